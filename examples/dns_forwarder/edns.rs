//! EDNS (RFC 6891) on the client's side: how much the client takes, and the OPT record that its answer ends with.
//!
//! An answer is kept without an OPT; each client gets its own, or none where it sent none.

use crate::question::ClientEdns;
use crate::wire::{HEADER, TYPE_OPT, read_u16};

/// The largest UDP payload that is sent or asked for: what passes every path without fragments (DNS flag day 2020).
pub(crate) const PAYLOAD: u16 = 1232;
/// The payload that every client takes (RFC 1035, section 4.2.1).
const LEAST_PAYLOAD: u16 = 512;
/// The longest message over TCP (RFC 1035, section 4.2.2).
pub(crate) const LONGEST_MESSAGE: usize = 65_535;
/// The response code BADVERS without its lowest four bits, which are zero.
pub(crate) const BAD_VERSION: u8 = 1;
/// The option that holds an extended error (RFC 8914).
const OPTION_EXTENDED_ERROR: u16 = 15;
/// The longest text of an extended error that is sent.
const LONGEST_TEXT: usize = 200;

/// Why an answer is a failure, for whoever reads it with `dig` (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    /// The number of the reason.
    pub(crate) code: u16,
    /// The reason in words.
    pub(crate) text: String,
}

/// "Not Ready": there is too much to do just now.
pub(crate) const NOT_READY: u16 = 14;
/// "No Reachable Authority": no upstream answered.
pub(crate) const NO_REACHABLE_AUTHORITY: u16 = 22;

/// How a message travels to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A datagram.
    Udp,
    /// A stream.
    Tcp,
}

/// The longest answer that the client takes.
pub(crate) fn limit(transport: Transport, edns: Option<ClientEdns>) -> usize {
    match (transport, edns) {
        (Transport::Tcp, _) => LONGEST_MESSAGE,
        (Transport::Udp, None) => usize::from(LEAST_PAYLOAD),
        (Transport::Udp, Some(edns)) => usize::from(edns.payload.clamp(LEAST_PAYLOAD, PAYLOAD)),
    }
}

/// How long the OPT is that [`append_opt`] adds.
pub(crate) fn opt_length(edns: Option<ClientEdns>, error: Option<&ExtendedError>) -> usize {
    match (edns, error) {
        (None, _) => 0,
        (Some(_), None) => 11,
        (Some(_), Some(error)) => 11 + 6 + shortened(&error.text).len(),
    }
}

/// Ends the message that begins at `start` of `out` with an OPT record, if its client sent one.
pub(crate) fn append_opt(
    out: &mut Vec<u8>,
    start: usize,
    edns: Option<ClientEdns>,
    rcode_high: u8,
    error: Option<&ExtendedError>,
) {
    let Some(edns) = edns else { return };
    out.push(0);
    out.extend_from_slice(&TYPE_OPT.to_be_bytes());
    out.extend_from_slice(&PAYLOAD.to_be_bytes());
    out.extend_from_slice(&[rcode_high, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0]);
    match error {
        None => out.extend_from_slice(&[0, 0]),
        Some(error) => {
            let text = shortened(&error.text);
            let length = u16::try_from(text.len()).expect("shortened to a few hundred bytes") + 2;
            out.extend_from_slice(&(length + 4).to_be_bytes());
            out.extend_from_slice(&OPTION_EXTENDED_ERROR.to_be_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&error.code.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
    let at = start + HEADER - 2;
    let records = read_u16(out, at).unwrap_or(0).saturating_add(1);
    out[at..at + 2].copy_from_slice(&records.to_be_bytes());
}

/// The text, cut at a character where it is too long.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_payload_is_respected_within_reason() {
        let of = |payload| {
            limit(
                Transport::Udp,
                Some(ClientEdns {
                    payload,
                    dnssec_ok: false,
                }),
            )
        };
        assert_eq!(of(0), 512);
        assert_eq!(of(700), 700);
        assert_eq!(of(4096), 1232);
        assert_eq!(limit(Transport::Udp, None), 512);
        assert_eq!(limit(Transport::Tcp, None), 65_535);
    }

    #[test]
    fn the_length_that_is_announced_is_the_length_that_is_written() {
        let edns = Some(ClientEdns {
            payload: 1232,
            dnssec_ok: true,
        });
        let long = ExtendedError {
            code: 22,
            text: "é".repeat(300),
        };
        let short = ExtendedError {
            code: 22,
            text: "no upstream".into(),
        };
        for error in [None, Some(&short), Some(&long)] {
            let mut out = vec![0; 3 + HEADER];
            append_opt(&mut out, 3, edns, 0, error);
            assert_eq!(out.len(), 3 + HEADER + opt_length(edns, error));
            assert_eq!(out[3 + 11], 1, "one additional record");
        }
        let mut out = vec![0; HEADER];
        append_opt(&mut out, 0, None, 0, Some(&short));
        assert_eq!(out, vec![0; HEADER]);
    }
}
