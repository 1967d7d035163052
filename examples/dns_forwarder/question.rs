//! Reads what a client sent: a query that can be answered, something to refuse, or something to be silent about.
//!
//! This is on the path of every cached answer, so it reads in place and copies nothing. Its rules:
//!
//! * an answer is never answered, or two servers could talk for ever;
//! * a malformed message gets FORMERR as soon as its id can be read;
//! * an unknown operation code gets NOTIMP before anything behind the header is looked at;
//! * one question a message (RFC 9619), no answers or authorities in a query, nothing behind the last record.

use crate::wire::{
    AUTHENTIC_DATA, CHECKING_DISABLED, CLASS_IN, HEADER, LONGEST_NAME, OPCODE, RCODE, RECURSION_AVAILABLE,
    RECURSION_DESIRED, RESPONSE, TYPE_OPT, read_u16, record_at, skip_name,
};

/// The type of an incremental zone transfer (RFC 1995).
const TYPE_IXFR: u16 = 251;
/// The type of a whole zone transfer (RFC 5936).
const TYPE_AXFR: u16 = 252;
/// The types from here up to 254 ask for something that is not a record (transfers, mail boxes).
const FIRST_META_TYPE: u16 = 250;
/// The type that asks for everything there is (RFC 8482).
pub(crate) const TYPE_ANY: u16 = 255;

/// The response codes that a forwarder itself gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rcode {
    /// All is well.
    NoError = 0,
    /// The message cannot be understood.
    FormErr = 1,
    /// No upstream gave an answer.
    ServFail = 2,
    /// The name does not exist.
    NxDomain = 3,
    /// The operation is not supported.
    NotImp = 4,
    /// The operation is refused.
    Refused = 5,
}

/// What a client's message turned out to be.
#[derive(Debug)]
pub(crate) enum Reading<'a> {
    /// A query to be answered.
    Query(Query<'a>),
    /// A query for EDNS of a version that nobody knows yet: to be answered BADVERS.
    BadVersion(Query<'a>),
    /// A query for something that a forwarder does not do: to be answered with its question and this code.
    Refuse(Query<'a>, Rcode),
    /// Nothing whose question could be given back: to be answered at once, with [`refusal`].
    Reject(Rcode),
    /// Something to be silent about.
    Ignore,
}

/// What the client's OPT record said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientEdns {
    /// The largest UDP payload that the client takes, as it wrote it.
    pub(crate) payload: u16,
    /// The client wants the records of DNSSEC (RFC 3225).
    pub(crate) dnssec_ok: bool,
}

/// The facts of a query apart from its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The id that the answer must bear.
    pub(crate) id: u16,
    /// The type that is asked for.
    pub(crate) kind: u16,
    /// The client desires recursion.
    pub(crate) recursion_desired: bool,
    /// The client understands the AD bit (RFC 6840, section 5.7).
    pub(crate) authentic_data: bool,
    /// The client checks signatures itself.
    pub(crate) checking_disabled: bool,
    /// The OPT record, if there was one.
    pub(crate) edns: Option<ClientEdns>,
}

impl Asked {
    /// Whether the client wants the records of DNSSEC.
    pub(crate) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// A query for a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    /// Everything but the name.
    pub(crate) asked: Asked,
    /// The question section as the client wrote it: name, type, class.
    pub(crate) question: &'a [u8],
}

/// A query that owns its question: what a greenlet takes along while it waits.
#[derive(Clone, Debug)]
pub(crate) struct OwnedQuery {
    /// Everything but the name.
    asked: Asked,
    /// The question section as the client wrote it.
    question: Box<[u8]>,
}

impl OwnedQuery {
    /// The query again, borrowed.
    pub(crate) fn as_query(&self) -> Query<'_> {
        Query {
            asked: self.asked,
            question: &self.question,
        }
    }
}

impl Query<'static> {
    /// A query for the servers of the root: what every name server can answer.
    pub(crate) fn for_root() -> Query<'static> {
        let asked = Asked {
            id: 0,
            kind: 2,
            recursion_desired: true,
            authentic_data: false,
            checking_disabled: false,
            edns: None,
        };
        Query {
            asked,
            question: &[0, 0, 2, 0, 1],
        }
    }
}

impl<'a> Query<'a> {
    /// The name that is asked for, uncompressed, in the case in which the client wrote it.
    pub(crate) fn name(&self) -> &'a [u8] {
        &self.question[..self.question.len() - 4]
    }

    /// A copy that can be taken along.
    pub(crate) fn to_owned(self) -> OwnedQuery {
        OwnedQuery {
            asked: self.asked,
            question: self.question.into(),
        }
    }

    /// Under which the answer to this query is kept.
    pub(crate) fn key(&self) -> Key {
        Key::new(
            self.name(),
            self.asked.kind,
            self.asked.dnssec_ok(),
            self.asked.checking_disabled,
        )
    }
}

/// Under which an answer is kept: the name in lower case, the type, and the two bits that change what an answer holds
/// (RFC 4035, section 4.7). The class is always that of the Internet.
///
/// Built on the stack, so that looking up copies nothing to the heap.
pub(crate) struct Key {
    /// Name, type (two bytes) and bits (one byte).
    bytes: [u8; LONGEST_NAME + 3],
    /// How many of the bytes are used.
    length: usize,
}

/// The type under which "this name does not exist, whatever the type" is kept. No query asks for it: it is refused.
const TYPE_NONE: u16 = 0;

impl Key {
    /// The key for a name on the wire, a type, and the DO and CD bits.
    pub(crate) fn new(name: &[u8], kind: u16, dnssec_ok: bool, checking_disabled: bool) -> Key {
        let mut bytes = [0; LONGEST_NAME + 3];
        let length = name.len();
        // A label's length is at most 63, below 'A': folding the whole name at once leaves the lengths alone.
        bytes[..length].copy_from_slice(name);
        bytes[..length].make_ascii_lowercase();
        bytes[length..length + 2].copy_from_slice(&kind.to_be_bytes());
        bytes[length + 2] = u8::from(dnssec_ok) | u8::from(checking_disabled) << 1;
        Key {
            bytes,
            length: length + 3,
        }
    }

    /// The key under which it is kept that a name does not exist.
    pub(crate) fn of_missing_name(name: &[u8], dnssec_ok: bool, checking_disabled: bool) -> Key {
        Key::new(name, TYPE_NONE, dnssec_ok, checking_disabled)
    }

    /// The key as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Reads a message from a client.
pub(crate) fn read(message: &[u8]) -> Reading<'_> {
    if message.len() < 2 {
        return Reading::Ignore;
    }
    let flags = (
        message.get(2).copied().unwrap_or(0),
        message.get(3).copied().unwrap_or(0),
    );
    if flags.0 & RESPONSE != 0 {
        return Reading::Ignore;
    }
    if message.len() < HEADER {
        return Reading::Reject(Rcode::FormErr);
    }
    if flags.0 & OPCODE != 0 {
        return Reading::Reject(Rcode::NotImp);
    }
    let Some(sections) = read_sections(message) else {
        return Reading::Reject(Rcode::FormErr);
    };
    let (question_end, opt) = sections;
    let question = &message[HEADER..question_end];
    let kind = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
    let class = u16::from_be_bytes([question[question.len() - 2], question[question.len() - 1]]);
    let asked = Asked {
        id: u16::from_be_bytes([message[0], message[1]]),
        kind,
        recursion_desired: flags.0 & RECURSION_DESIRED != 0,
        authentic_data: flags.1 & AUTHENTIC_DATA != 0,
        checking_disabled: flags.1 & CHECKING_DISABLED != 0,
        edns: opt.map(|(_, edns)| edns),
    };
    let query = Query { asked, question };
    if opt.is_some_and(|(version, _)| version != 0) {
        return Reading::BadVersion(query);
    }
    match kind {
        TYPE_AXFR | TYPE_IXFR | TYPE_NONE | TYPE_OPT => Reading::Refuse(query, Rcode::Refused),
        FIRST_META_TYPE..TYPE_ANY => Reading::Refuse(query, Rcode::NotImp),
        _ if class != CLASS_IN => Reading::Refuse(query, Rcode::Refused),
        // Only what is asked for with recursion is a forwarder's business; anything else would be a way to look at
        // what other clients asked for.
        _ if !asked.recursion_desired => Reading::Refuse(query, Rcode::Refused),
        _ => Reading::Query(query),
    }
}

/// Walks over all sections: where the question ends, and the OPT with its version. `None` when anything is malformed.
fn read_sections(message: &[u8]) -> Option<(usize, Option<(u8, ClientEdns)>)> {
    let questions = read_u16(message, 4)?;
    let answers = read_u16(message, 6)?;
    let authorities = read_u16(message, 8)?;
    let additional = read_u16(message, 10)?;
    if questions != 1 || answers != 0 {
        return None;
    }
    let name_end = skip_name(message, HEADER)?;
    // Nothing stands before the first name that a pointer could point at.
    if ends_in_pointer(message, name_end) {
        return None;
    }
    let question_end = name_end + 4;
    if question_end > message.len() {
        return None;
    }
    let mut at = question_end;
    let mut opt = None;
    // An incremental transfer brings a SOA as authority; it is refused later, by its type.
    for index in 0..u32::from(authorities) + u32::from(additional) {
        let record = record_at(message, at)?;
        if record.kind == TYPE_OPT {
            let misplaced = index < u32::from(authorities) || opt.is_some() || message[at] != 0;
            if misplaced {
                return None;
            }
            opt = Some(read_opt(
                message,
                record.class,
                record.ttl_at,
                &message[record.data_at..record.end],
            )?);
        }
        at = record.end;
    }
    (at == message.len()).then_some((question_end, opt))
}

/// Whether the first name of the message, which ends at `end`, ends in a compression pointer.
fn ends_in_pointer(message: &[u8], end: usize) -> bool {
    let mut at = HEADER;
    while at < end {
        match message[at] {
            0 => return false,
            0xc0.. => return true,
            length => at += 1 + usize::from(length),
        }
    }
    false
}

/// The version and the rest of an OPT record; `None` when its options run out of it.
fn read_opt(message: &[u8], class: u16, ttl_at: usize, options: &[u8]) -> Option<(u8, ClientEdns)> {
    let mut at = 0;
    while at < options.len() {
        at += 4 + usize::from(read_u16(options, at + 2)?);
    }
    if at != options.len() {
        return None;
    }
    let version = message[ttl_at + 1];
    let dnssec_ok = message[ttl_at + 2] & 0x80 != 0;
    Some((
        version,
        ClientEdns {
            payload: class,
            dnssec_ok,
        },
    ))
}

/// The answer to a message that is rejected: a header alone, with the client's id.
///
/// `message` must be one for which [`read`] said `Reject`: at least its id can be read.
pub(crate) fn refusal(message: &[u8], rcode: Rcode) -> [u8; HEADER] {
    let mut answer = [0; HEADER];
    answer[..2].copy_from_slice(&message[..2]);
    let asked = message.get(2).copied().unwrap_or(0);
    answer[2] = RESPONSE | asked & (OPCODE | RECURSION_DESIRED);
    answer[3] = RECURSION_AVAILABLE | (rcode as u8) & RCODE;
    answer
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A query for a name written with dots, with recursion desired, and with what comes behind the question.
    pub(crate) fn query_bytes(id: u16, name: &str, kind: u16, rest: &[u8]) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend_from_slice(&[RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!rest.is_empty())]);
        message.extend_from_slice(&name_bytes(name));
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(rest);
        message
    }

    /// A name written with dots, as it is on the wire.
    pub(crate) fn name_bytes(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    /// An OPT record.
    pub(crate) fn opt_bytes(payload: u16, version: u8, dnssec_ok: bool, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 41];
        bytes.extend_from_slice(&payload.to_be_bytes());
        bytes.extend_from_slice(&[0, version, if dnssec_ok { 0x80 } else { 0 }, 0]);
        bytes.extend_from_slice(&u16::try_from(options.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(options);
        bytes
    }

    fn refused(message: &[u8]) -> Rcode {
        match read(message) {
            Reading::Refuse(_, rcode) | Reading::Reject(rcode) => rcode,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_plain_query_is_read() {
        let message = query_bytes(7, "WWW.Example.com", 28, &[]);
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        assert_eq!((query.asked.id, query.asked.kind, query.asked.edns), (7, 28, None));
        assert_eq!(query.name(), name_bytes("WWW.Example.com"));
    }

    #[test]
    fn the_key_folds_case_and_keeps_the_bits_apart() {
        let key = |name: &str, kind, dnssec_ok, checking| {
            Key::new(&name_bytes(name), kind, dnssec_ok, checking)
                .as_bytes()
                .to_vec()
        };
        assert_eq!(
            key("WWW.Example.COM", 1, false, false),
            key("www.example.com", 1, false, false)
        );
        let all = [
            key("a.example", 1, false, false),
            key("a.example", 28, false, false),
            key("a.example", 1, true, false),
            key("a.example", 1, false, true),
            key("b.example", 1, false, false),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one));
        }
    }

    #[test]
    fn edns_is_read_with_unknown_options() {
        let options = [0xfd, 0xe9, 0, 2, 1, 2, 0, 10, 0, 0];
        let message = query_bytes(1, "example.com", 1, &opt_bytes(4096, 0, true, &options));
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        assert_eq!(
            query.asked.edns,
            Some(ClientEdns {
                payload: 4096,
                dnssec_ok: true
            })
        );
    }

    #[test]
    fn a_later_version_of_edns_is_told_so() {
        let message = query_bytes(1, "example.com", 1, &opt_bytes(1232, 1, false, &[]));
        assert!(matches!(read(&message), Reading::BadVersion(_)));
    }

    #[test]
    fn an_answer_is_never_answered() {
        let mut message = query_bytes(1, "example.com", 1, &[]);
        message[2] |= RESPONSE;
        for length in 3..=message.len() {
            assert!(matches!(read(&message[..length]), Reading::Ignore));
        }
    }

    #[test]
    fn every_cut_of_a_query_is_malformed() {
        let message = query_bytes(1, "example.com", 1, &opt_bytes(1232, 0, false, &[0, 3, 0, 1, 9]));
        assert!(matches!(read(&message), Reading::Query(_)));
        for length in 2..message.len() {
            assert_eq!(refused(&message[..length]), Rcode::FormErr, "{length} bytes");
        }
        assert!(matches!(read(&message[..1]), Reading::Ignore));
        assert!(matches!(read(&[]), Reading::Ignore));
    }

    #[test]
    fn malformed_messages_are_refused() {
        let plain = query_bytes(1, "example.com", 1, &[]);
        let with = |at: usize, byte: u8| {
            let mut message = plain.clone();
            message[at] = byte;
            message
        };
        assert_eq!(refused(&with(5, 0)), Rcode::FormErr, "no question");
        assert_eq!(refused(&with(5, 2)), Rcode::FormErr, "two questions");
        assert_eq!(refused(&with(4, 0xff)), Rcode::FormErr, "65,281 questions");
        assert_eq!(refused(&with(7, 1)), Rcode::FormErr, "an answer in a query");
        assert_eq!(refused(&with(10, 0xff)), Rcode::FormErr, "65,280 additional records");
        assert_eq!(refused(&with(12, 0xc0)), Rcode::FormErr, "a compressed question");
        assert_eq!(refused(&with(12, 0x40)), Rcode::FormErr, "an unknown kind of label");
        let mut trailing = plain.clone();
        trailing.push(0);
        assert_eq!(refused(&trailing), Rcode::FormErr, "trailing byte");
        let looped = query_bytes(1, "", 1, &[]);
        let looped = [&looped[..12], &[0xc0, 12, 0, 1, 0, 1]].concat();
        assert_eq!(refused(&looped), Rcode::FormErr, "a name that points at itself");
        let mut two = opt_bytes(1232, 0, false, &[]);
        two.extend_from_slice(&opt_bytes(1232, 0, false, &[]));
        let mut message = query_bytes(1, "example.com", 1, &two);
        message[11] = 2;
        assert_eq!(refused(&message), Rcode::FormErr, "two OPT records");
    }

    #[test]
    fn a_label_that_looks_like_a_pointer_is_no_pointer() {
        let mut message = query_bytes(1, "ab.com", 1, &[]);
        message[17] = 0xc1;
        assert!(matches!(read(&message), Reading::Query(_)));
    }

    #[test]
    fn what_a_forwarder_does_not_do_is_refused() {
        let mut status = query_bytes(1, "example.com", 1, &[]);
        status[2] |= 2 << 3;
        assert_eq!(refused(&status), Rcode::NotImp);
        assert_eq!(refused(&status[..12]), Rcode::NotImp, "the header is enough to say so");
        assert_eq!(refused(&query_bytes(1, "example.com", TYPE_AXFR, &[])), Rcode::Refused);
        assert_eq!(refused(&query_bytes(1, "example.com", TYPE_IXFR, &[])), Rcode::Refused);
        assert_eq!(refused(&query_bytes(1, "example.com", 253, &[])), Rcode::NotImp);
        let mut chaos = query_bytes(1, "version.bind", 16, &[]);
        let last = chaos.len() - 1;
        chaos[last] = 3;
        assert_eq!(refused(&chaos), Rcode::Refused);
        let mut iterative = query_bytes(1, "example.com", 1, &[]);
        iterative[2] = 0;
        assert_eq!(refused(&iterative), Rcode::Refused);
    }

    #[test]
    fn a_rejection_bears_the_id_and_the_operation() {
        let mut status = query_bytes(0xabcd, "example.com", 1, &[]);
        status[2] |= 2 << 3;
        assert_eq!(
            refusal(&status, Rcode::NotImp),
            [0xab, 0xcd, 0x91, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(refusal(&[1, 2], Rcode::FormErr)[..4], [1, 2, 0x80, 0x81]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            if let Reading::Reject(rcode) = read(&bytes) {
                refusal(&bytes, rcode);
            }
        }

        #[test]
        fn no_spoilt_query_makes_it_panic(at in 2_usize..40, byte in proptest::num::u8::ANY, kind in 0_u16..300) {
            let mut message = query_bytes(1, "www.example.com", kind, &opt_bytes(1232, 0, true, &[0, 10, 0, 2, 1, 2]));
            let at = at.min(message.len() - 1);
            message[at] = byte;
            if let Reading::Query(query) = read(&message) {
                assert_eq!(query.key().as_bytes().len(), query.name().len() + 3);
            }
        }
    }
}
