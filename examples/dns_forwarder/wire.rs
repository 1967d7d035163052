//! The few facts of the wire format (RFC 1035, section 4) that the path of a cached answer needs.
//!
//! Everything else is read and written by the `domain` crate. What is here walks over bytes without copying them, and
//! never looks beyond the slice it was given: a stranger wrote it.

/// The length of the fixed header: id, flags and four counts.
pub(crate) const HEADER: usize = 12;

/// The longest name on the wire, the root's empty label included (RFC 1035, section 2.3.4).
pub(crate) const LONGEST_NAME: usize = 255;

/// The first byte of the flags: this is a response.
pub(crate) const RESPONSE: u8 = 0x80;
/// The first byte of the flags: the operation code.
pub(crate) const OPCODE: u8 = 0x78;
/// The first byte of the flags: the answer is truncated.
pub(crate) const TRUNCATED: u8 = 0x02;
/// The first byte of the flags: recursion is desired.
pub(crate) const RECURSION_DESIRED: u8 = 0x01;
/// The second byte of the flags: recursion is available.
pub(crate) const RECURSION_AVAILABLE: u8 = 0x80;
/// The second byte of the flags: the data are authentic (RFC 4035).
pub(crate) const AUTHENTIC_DATA: u8 = 0x20;
/// The second byte of the flags: the asker does the checking itself (RFC 4035).
pub(crate) const CHECKING_DISABLED: u8 = 0x10;
/// The second byte of the flags: the response code.
pub(crate) const RCODE: u8 = 0x0f;

/// The type of the pseudo-record that carries EDNS (RFC 6891).
pub(crate) const TYPE_OPT: u16 = 41;
/// The class of the Internet.
pub(crate) const CLASS_IN: u16 = 1;

/// The two bytes at `at` as a number, if they are there.
pub(crate) fn read_u16(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The four bytes at `at` as a number, if they are there.
pub(crate) fn read_u32(message: &[u8], at: usize) -> Option<u32> {
    let bytes = message.get(at..at + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Where the name that begins at `at` ends in the message; a compression pointer ends it.
///
/// `None` for a name that runs out of the message, is too long, or has a label of an unknown kind.
pub(crate) fn skip_name(message: &[u8], at: usize) -> Option<usize> {
    let mut next = at;
    loop {
        let length = usize::from(*message.get(next)?);
        match length {
            0 => return Some(next + 1),
            1..=63 => next += 1 + length,
            0xc0.. => return (next + 2 <= message.len()).then_some(next + 2),
            _ => return None,
        }
        if next - at >= LONGEST_NAME {
            return None;
        }
    }
}

/// Where the parts of one record lie in its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordAt {
    /// The record's type.
    pub(crate) kind: u16,
    /// The class field as it stands (the payload size in an OPT).
    pub(crate) class: u16,
    /// Where the four bytes of the TTL are.
    pub(crate) ttl_at: usize,
    /// Where the record's data begin.
    pub(crate) data_at: usize,
    /// Where the record ends.
    pub(crate) end: usize,
}

/// The record that begins at `at`, or `None` where the message is too short or its owner's name is malformed.
pub(crate) fn record_at(message: &[u8], at: usize) -> Option<RecordAt> {
    let fixed = skip_name(message, at)?;
    let data_length = usize::from(read_u16(message, fixed + 8)?);
    let end = fixed + 10 + data_length;
    (end <= message.len()).then_some(RecordAt {
        kind: read_u16(message, fixed)?,
        class: read_u16(message, fixed + 2)?,
        ttl_at: fixed + 4,
        data_at: fixed + 10,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_root_or_at_a_pointer() {
        assert_eq!(skip_name(b"\x03www\x00rest", 0), Some(5));
        assert_eq!(skip_name(b"\x03www\xc0\x0crest", 0), Some(6));
        assert_eq!(skip_name(b"\x00", 0), Some(1));
    }

    #[test]
    fn a_malformed_name_is_refused() {
        assert_eq!(skip_name(b"", 0), None, "nothing there");
        assert_eq!(skip_name(b"\x03ww", 0), None, "label cut short");
        assert_eq!(skip_name(b"\xc0", 0), None, "pointer cut short");
        assert_eq!(skip_name(b"\x80\x00", 0), None, "unknown kind of label");
        let endless = b"\x01a".repeat(200);
        assert_eq!(skip_name(&endless, 0), None, "longer than any name");
    }

    #[test]
    fn the_longest_name_is_accepted_and_one_byte_more_is_not() {
        let mut name = b"\x01a".repeat(127);
        name.push(0);
        assert_eq!(name.len(), LONGEST_NAME);
        assert_eq!(skip_name(&name, 0), Some(LONGEST_NAME));
        let mut longer = b"\x02ab".to_vec();
        longer.extend_from_slice(&b"\x01a".repeat(126));
        longer.push(0);
        assert_eq!(skip_name(&longer, 0), None);
    }

    #[test]
    fn a_record_must_fit() {
        let record = b"\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04";
        let found = record_at(record, 0).unwrap();
        assert_eq!(
            (found.kind, found.class, found.ttl_at, found.data_at, found.end),
            (1, 1, 5, 11, 15)
        );
        for length in 0..record.len() {
            assert!(record_at(&record[..length], 0).is_none(), "{length} bytes");
        }
    }
}
