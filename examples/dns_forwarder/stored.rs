//! An answer in the form in which it is kept: ready to be sent, but for what differs from client to client.
//!
//! ```text
//!   message   header | question, lower case | answer records | authority records          (no OPT)
//!   behind it                                  ^        ^       ^   where the TTLs are
//! ```
//!
//! To answer, the bytes are copied, and then patched: id and flags, the question as the client wrote it (records point at
//! it, so they too show the client's case), each TTL less the answer's age, and an OPT for a client that sent one.
//!
//! 1. A TTL shown never exceeds what is left: the age is rounded up.
//! 2. The question that is patched in has the length of the one that it replaces.

use std::time::{Duration, Instant};

use crate::edns::{self, ExtendedError, Transport};
use crate::question::{Query, Rcode};
use crate::wire::{
    AUTHENTIC_DATA, CHECKING_DISABLED, HEADER, RCODE, RECURSION_AVAILABLE, RECURSION_DESIRED, RESPONSE, TRUNCATED,
    read_u16, read_u32, record_at, skip_name,
};

/// An answer that can be sent to any client with the same question.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The message as it is sent, with id zero and full TTLs; behind it where its TTLs are, two bytes each. One allocation
    /// for both, for there are many of these.
    bytes: Box<[u8]>,
    /// How long the message is.
    length: usize,
    /// When the upstream gave it.
    born: Instant,
    /// How many seconds it may be kept; zero for an answer that is sent once.
    lifetime: u32,
    /// Why it is a failure, if it is one.
    error: Option<Box<ExtendedError>>,
    /// It says that the name of the question itself (not one that it is an alias of) does not exist.
    name_is_missing: bool,
}

impl Stored {
    /// Keeps a message. `None` unless it is a header, one question, and whole records.
    pub(crate) fn new(wire: Vec<u8>, born: Instant, lifetime: u32) -> Option<Stored> {
        let length = wire.len();
        let records = u32::from(read_u16(&wire, 6)?) + u32::from(read_u16(&wire, 8)?);
        let mut at = skip_name(&wire, HEADER)? + 4;
        let mut bytes = wire;
        for _ in 0..records {
            let record = record_at(&bytes[..length], at)?;
            bytes.extend_from_slice(&u16::try_from(record.ttl_at).ok()?.to_be_bytes());
            at = record.end;
        }
        (at == length).then_some(Stored {
            bytes: bytes.into(),
            length,
            born,
            lifetime,
            error: None,
            name_is_missing: false,
        })
    }

    /// An answer that holds no record: `rcode` to the query's question.
    pub(crate) fn empty(query: &Query<'_>, rcode: Rcode, born: Instant, lifetime: u32) -> Stored {
        let mut wire = vec![0; HEADER];
        wire[2] = RESPONSE;
        wire[3] = rcode as u8;
        wire[5] = 1;
        wire.extend_from_slice(query.question);
        let length = wire.len();
        Stored {
            bytes: wire.into(),
            length,
            born,
            lifetime,
            error: None,
            name_is_missing: false,
        }
    }

    /// The same answer with a reason for its being a failure.
    pub(crate) fn with_error(self, code: u16, text: String) -> Stored {
        Stored {
            error: Some(Box::new(ExtendedError { code, text })),
            ..self
        }
    }

    /// The same answer, marked as one that says that its question's name does not exist.
    pub(crate) fn of_missing_name(self) -> Stored {
        Stored {
            name_is_missing: true,
            ..self
        }
    }

    /// Whether it says that the name of its question does not exist.
    pub(crate) fn name_is_missing(&self) -> bool {
        self.name_is_missing
    }

    /// The message, with id zero and full TTLs.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// When the upstream gave it.
    pub(crate) fn born(&self) -> Instant {
        self.born
    }

    /// How many seconds it may be kept.
    pub(crate) fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// The response code.
    #[cfg(test)]
    pub(crate) fn rcode(&self) -> u8 {
        self.bytes[3] & RCODE
    }

    /// Whether it may still be given at `now`.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.born) < Duration::from_secs(u64::from(self.lifetime))
    }

    /// Roughly what it costs in memory, its own record included.
    pub(crate) fn size(&self) -> usize {
        size_of::<Stored>()
            + self.bytes.len()
            + self
                .error
                .as_ref()
                .map_or(0, |error| size_of::<ExtendedError>() + error.text.len())
    }

    /// Appends the answer to `out` as this client is to get it at `now`.
    ///
    /// `query` must ask for a name of the same length (the cache compares the whole name). What the client would not take is
    /// left out, and the answer marked as truncated.
    pub(crate) fn render(&self, query: &Query<'_>, transport: Transport, now: Instant, out: &mut Vec<u8>) {
        let start = out.len();
        let edns = query.asked.edns;
        let limit = edns::limit(transport, edns);
        let question_end = HEADER + query.question.len();
        let mut error = self.error.as_deref();
        let mut whole = self.length + edns::opt_length(edns, error) <= limit;
        if !whole && error.is_some() {
            error = None;
            whole = self.length + edns::opt_length(edns, None) <= limit;
        }
        if whole {
            out.extend_from_slice(self.wire());
            self.count_down(&mut out[start..], now);
        } else {
            out.extend_from_slice(&self.bytes[..question_end]);
            out[start + 6..start + HEADER].fill(0);
        }
        let message = &mut out[start..];
        message[HEADER..question_end].copy_from_slice(query.question);
        message[..2].copy_from_slice(&query.asked.id.to_be_bytes());
        let truncated = if whole { 0 } else { TRUNCATED };
        let desired = if query.asked.recursion_desired {
            RECURSION_DESIRED
        } else {
            0
        };
        message[2] = RESPONSE | truncated | desired;
        // RFC 6840, section 5.8: only a client that understands it is told that the data are authentic.
        let tell = query.asked.authentic_data || query.asked.dnssec_ok();
        let authentic = if tell { self.bytes[3] & AUTHENTIC_DATA } else { 0 };
        let checking = if query.asked.checking_disabled {
            CHECKING_DISABLED
        } else {
            0
        };
        message[3] = RECURSION_AVAILABLE | authentic | checking | self.bytes[3] & RCODE;
        edns::append_opt(out, start, edns, 0, error);
    }

    /// Takes the answer's age off every TTL of its copy.
    fn count_down(&self, copy: &mut [u8], now: Instant) {
        let age = now.saturating_duration_since(self.born);
        let seconds = age.as_secs() + u64::from(age.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        if seconds == 0 {
            return;
        }
        for at in self.bytes[self.length..].chunks_exact(2) {
            let at = usize::from(u16::from_be_bytes([at[0], at[1]]));
            let ttl = read_u32(copy, at).unwrap_or(0).saturating_sub(seconds);
            copy[at..at + 4].copy_from_slice(&ttl.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::tests::{opt_bytes, query_bytes};
    use crate::question::{Reading, read};

    /// An answer of one address to `name`, kept for 60 seconds, and `more` bytes of a TXT record beside it.
    fn stored(name: &str, born: Instant, more: usize) -> Stored {
        let mut wire = query_bytes(0, name, 1, &[]);
        wire[2] = RESPONSE;
        wire[3] = AUTHENTIC_DATA;
        wire[7] = 1;
        wire.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        if more > 0 {
            wire[7] = 2;
            wire.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
            wire.extend_from_slice(&u16::try_from(more).unwrap().to_be_bytes());
            wire.extend(std::iter::repeat_n(b'x', more));
        }
        Stored::new(wire, born, 60).unwrap()
    }

    fn rendered(stored: &Stored, message: &[u8], transport: Transport, now: Instant) -> Vec<u8> {
        let Reading::Query(query) = read(message) else {
            panic!("not a query")
        };
        let mut out = b"before".to_vec();
        stored.render(&query, transport, now, &mut out);
        assert_eq!(&out[..6], b"before");
        out.split_off(6)
    }

    fn ttl_of(message: &[u8], name: &str) -> u32 {
        read_u32(message, HEADER + name.len() + 2 + 4 + 6).unwrap()
    }

    #[test]
    fn a_copy_bears_the_clients_id_case_and_flags() {
        let born = Instant::now();
        let stored = stored("example.com", born, 0);
        let mut query = query_bytes(0x1234, "eXaMple.CoM", 1, &[]);
        let answer = rendered(&stored, &query, Transport::Udp, born);
        assert_eq!(answer[..2], [0x12, 0x34]);
        assert_eq!(answer[2..4], [0x81, 0x80], "no AD for a client that does not know it");
        assert_eq!(answer[HEADER..HEADER + 17], query[HEADER..HEADER + 17]);
        query[3] |= AUTHENTIC_DATA | CHECKING_DISABLED;
        assert_eq!(
            rendered(&stored, &query, Transport::Udp, born)[3],
            0x80 | AUTHENTIC_DATA | CHECKING_DISABLED
        );
    }

    #[test]
    fn a_ttl_is_counted_down_and_never_above_what_is_left() {
        let born = Instant::now();
        let stored = stored("example.com", born, 0);
        let query = query_bytes(1, "example.com", 1, &[]);
        let shown = |millis| {
            let now = born + Duration::from_millis(millis);
            ttl_of(&rendered(&stored, &query, Transport::Udp, now), "example.com")
        };
        assert_eq!(shown(0), 60);
        assert_eq!(shown(1), 59);
        assert_eq!(shown(1000), 59);
        assert_eq!(shown(10_500), 49);
        assert_eq!(shown(70_000), 0);
        assert!(stored.is_fresh(born + Duration::from_millis(59_999)));
        assert!(!stored.is_fresh(born + Duration::from_secs(60)));
    }

    #[test]
    fn what_does_not_fit_is_truncated_over_udp_alone() {
        let born = Instant::now();
        let stored = stored("example.com", born, 600);
        let plain = query_bytes(1, "example.com", 1, &[]);
        let answer = rendered(&stored, &plain, Transport::Udp, born);
        assert_eq!(answer.len(), HEADER + 17);
        assert_eq!(answer[2] & TRUNCATED, TRUNCATED);
        assert_eq!(answer[4..HEADER], [0, 1, 0, 0, 0, 0, 0, 0]);
        let whole = rendered(&stored, &plain, Transport::Tcp, born);
        assert_eq!((whole[2] & TRUNCATED, whole[7]), (0, 2));
        let edns = query_bytes(1, "example.com", 1, &opt_bytes(1232, 0, false, &[]));
        let whole = rendered(&stored, &edns, Transport::Udp, born);
        assert_eq!((whole[2] & TRUNCATED, whole[7], whole[11]), (0, 2, 1));
        let small = query_bytes(1, "example.com", 1, &opt_bytes(520, 0, false, &[]));
        let answer = rendered(&stored, &small, Transport::Udp, born);
        assert_eq!((answer[2] & TRUNCATED, answer.len()), (TRUNCATED, HEADER + 17 + 11));
    }

    #[test]
    fn an_extended_error_is_told_to_those_who_understand_it() {
        let born = Instant::now();
        let message = query_bytes(1, "example.com", 1, &[]);
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        let stored = Stored::empty(&query, Rcode::ServFail, born, 5)
            .with_error(edns::NO_REACHABLE_AUTHORITY, "192.0.2.1:53 timed out".into());
        assert_eq!(stored.rcode(), 2);
        assert!(!rendered(&stored, &message, Transport::Udp, born).ends_with(b"timed out"));
        let edns = query_bytes(1, "example.com", 1, &opt_bytes(1232, 0, false, &[]));
        assert!(rendered(&stored, &edns, Transport::Udp, born).ends_with(b"timed out"));
    }
}
