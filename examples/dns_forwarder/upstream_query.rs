//! The query as an upstream gets it, and whether what comes back is the answer to it.
//!
//! It bears nothing of the client but the question: an id of its own, letters in upper and lower case by chance (what a
//! forger has to guess too), and an OPT of its own.

use crate::edns::PAYLOAD;
use crate::question::Query;
use crate::wire::{AUTHENTIC_DATA, CHECKING_DISABLED, HEADER, OPCODE, RECURSION_DESIRED, RESPONSE, TYPE_OPT, read_u16};

/// A query for an upstream, complete but for its id.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamQuery {
    /// The message with id zero.
    message: Vec<u8>,
    /// Where the question ends.
    question_end: usize,
}

/// Whether a message is the answer to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// It is.
    Yes,
    /// It is, but for the case of the question.
    OtherCase,
    /// It is not.
    No,
}

impl UpstreamQuery {
    /// The query for what a client asked. `bits` has a bit for each letter of the name that says whether to change its
    /// case; it is used over and over for long names.
    pub(crate) fn new(query: &Query<'_>, edns: bool, bits: Option<u64>) -> UpstreamQuery {
        let mut message = vec![0; HEADER];
        message[2] = RECURSION_DESIRED;
        // RFC 6840, section 5.7: it understands what the AD bit of an answer says.
        message[3] = AUTHENTIC_DATA
            | if query.asked.checking_disabled {
                CHECKING_DISABLED
            } else {
                0
            };
        message[5] = 1;
        message.extend_from_slice(query.question);
        let question_end = message.len();
        let name = &mut message[HEADER..question_end - 4];
        name.make_ascii_lowercase();
        if let Some(bits) = bits {
            for (index, byte) in name.iter_mut().enumerate() {
                // A label's length is below the letters, so it stays as it is.
                if bits.rotate_right(u32::try_from(index % 64).unwrap_or(0)) & 1 == 1 {
                    byte.make_ascii_uppercase();
                }
            }
        }
        if edns {
            message[11] = 1;
            message.push(0);
            message.extend_from_slice(&TYPE_OPT.to_be_bytes());
            message.extend_from_slice(&PAYLOAD.to_be_bytes());
            message.extend_from_slice(&[0, 0, if query.asked.dnssec_ok() { 0x80 } else { 0 }, 0, 0, 0]);
        }
        UpstreamQuery { message, question_end }
    }

    /// The message with this id.
    pub(crate) fn message(&self, id: u16) -> Vec<u8> {
        let mut message = self.message.clone();
        message[..2].copy_from_slice(&id.to_be_bytes());
        message
    }

    /// Whether it says that EDNS is understood here.
    pub(crate) fn has_edns(&self) -> bool {
        self.message.len() > self.question_end
    }

    /// Whether the question of `answer` is the one that was asked, letter by letter.
    pub(crate) fn is_exact(&self, answer: &[u8]) -> bool {
        self.matches(answer) == Match::Yes
    }

    /// Whether `answer`, whose id is right, answers this query.
    pub(crate) fn matches(&self, answer: &[u8]) -> Match {
        if answer.len() < HEADER || answer[2] & RESPONSE == 0 || answer[2] & OPCODE != 0 {
            return Match::No;
        }
        let asked = &self.message[HEADER..self.question_end];
        // One that understood nothing may give back the header alone.
        let unread = answer.len() == HEADER && answer[4..HEADER].iter().all(|&count| count == 0);
        if unread && matches!(answer[3] & 0x0f, 1 | 4) {
            return Match::Yes;
        }
        let Some(given) = answer.get(HEADER..self.question_end) else {
            return Match::No;
        };
        if read_u16(answer, 4) != Some(1) {
            Match::No
        } else if given == asked {
            Match::Yes
        } else if asked_alike(given, asked) {
            Match::OtherCase
        } else {
            Match::No
        }
    }
}

/// Whether two questions differ in the case of their names at most.
fn asked_alike(one: &[u8], other: &[u8]) -> bool {
    let name = one.len() - 4;
    one[..name].eq_ignore_ascii_case(&other[..name]) && one[name..] == other[name..]
}

/// The id of a message.
pub(crate) fn id_of(message: &[u8]) -> Option<u16> {
    read_u16(message, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::tests::{name_bytes, opt_bytes, query_bytes};
    use crate::question::{Reading, read};

    fn made(name: &str, edns: bool, bits: Option<u64>) -> UpstreamQuery {
        let message = query_bytes(0x5555, name, 1, &opt_bytes(4096, 0, true, &[]));
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        UpstreamQuery::new(&query, edns, bits)
    }

    #[test]
    fn it_bears_its_own_id_case_and_payload() {
        let query = made("WwW.example", true, None);
        let message = query.message(0x1234);
        assert_eq!(message[..4], [0x12, 0x34, RECURSION_DESIRED, AUTHENTIC_DATA]);
        assert_eq!(message[HEADER..HEADER + 13], name_bytes("www.example"));
        assert!(message.ends_with(&opt_bytes(1232, 0, true, &[])));
        assert_eq!(made("www.example", false, None).message(1)[11], 0);
        let upper = made("www.example", true, Some(u64::MAX)).message(1);
        assert_eq!(upper[HEADER..HEADER + 13], name_bytes("WWW.EXAMPLE"));
    }

    #[test]
    fn an_answer_must_fit() {
        let query = made("www.example", true, Some(0x5555_5555_5555_5555));
        let mut answer = query.message(1);
        assert_eq!(query.matches(&answer), Match::No, "a query is no answer");
        answer[2] |= RESPONSE;
        assert_eq!(query.matches(&answer), Match::Yes);
        for length in 0..query.question_end {
            assert_eq!(query.matches(&answer[..length]), Match::No, "{length} bytes");
        }
        let mut folded = answer.clone();
        folded[HEADER..query.question_end].make_ascii_lowercase();
        assert_eq!(query.matches(&folded), Match::OtherCase);
        let mut other = answer.clone();
        other[HEADER + 1] = b'x';
        assert_eq!(query.matches(&other), Match::No, "another name");
        let mut other = answer.clone();
        other[query.question_end - 3] = 28;
        assert_eq!(query.matches(&other), Match::No, "another type");
        let mut other = answer.clone();
        other[5] = 2;
        assert_eq!(query.matches(&other), Match::No, "two questions");
    }

    #[test]
    fn a_bare_header_may_say_that_nothing_was_understood() {
        let query = made("www.example", true, None);
        assert_eq!(query.matches(&[0, 1, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Match::Yes);
        assert_eq!(query.matches(&[0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Match::No);
        assert_eq!(query.matches(&[0, 1, 0x80, 3, 0, 0, 0, 0, 0, 0, 0, 0]), Match::No);
    }
}
