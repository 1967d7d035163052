//! Names that no upstream can say anything about, or should hear of, and the answers that they get here.
//!
//! `localhost` and its address are this machine (RFC 6761); `.local` belongs to multicast (RFC 6762), `.onion` to Tor (RFC
//! 7686), `.invalid` to nobody; the reverse of private addresses would tell a stranger how the network is built (RFC
//! 6303). A question for everything there is gets the one record of RFC 8482.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use domain::base::iana::Class;
use domain::base::message_builder::StaticCompressor;
use domain::base::name::ToName;
use domain::base::{CharStr, MessageBuilder, Name, Rtype, Serial, Ttl};
use domain::rdata::{A, Aaaa, Hinfo, Ptr, Soa};

use crate::question::{Query, Rcode, TYPE_ANY};
use crate::stored::Stored;
use crate::wire::RESPONSE;

/// How long a client may keep what is said here.
const TTL: u32 = 10_800;

/// The zones that are answered here.
const ZONES: &[&str] = &[
    "localhost",
    "local",
    "onion",
    "invalid",
    "0.in-addr.arpa",
    "10.in-addr.arpa",
    "127.in-addr.arpa",
    "254.169.in-addr.arpa",
    "16.172.in-addr.arpa",
    "17.172.in-addr.arpa",
    "18.172.in-addr.arpa",
    "19.172.in-addr.arpa",
    "20.172.in-addr.arpa",
    "21.172.in-addr.arpa",
    "22.172.in-addr.arpa",
    "23.172.in-addr.arpa",
    "24.172.in-addr.arpa",
    "25.172.in-addr.arpa",
    "26.172.in-addr.arpa",
    "27.172.in-addr.arpa",
    "28.172.in-addr.arpa",
    "29.172.in-addr.arpa",
    "30.172.in-addr.arpa",
    "31.172.in-addr.arpa",
    "168.192.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    LOOPBACK_6,
    "8.b.d.0.1.0.0.2.ip6.arpa",
    "c.f.ip6.arpa",
    "d.f.ip6.arpa",
    "8.e.f.ip6.arpa",
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
];

/// The last labels of these zones.
const TOPS: &[&str] = &["localhost", "local", "onion", "invalid", "arpa"];

/// The reverse of 127.0.0.1.
const LOOPBACK_4: &str = "1.0.0.127.in-addr.arpa";
/// The reverse of ::1.
const LOOPBACK_6: &str = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";

/// The answer to a query that is not to be sent to any upstream.
pub(crate) fn answer(query: &Query<'_>, now: Instant) -> Option<Stored> {
    if query.asked.kind == TYPE_ANY {
        return build(query, &Found::Everything, now);
    }
    let labels = labels_from_the_end(query.name());
    // Nearly every name ends at this first look.
    if !labels
        .first()
        .is_some_and(|last| TOPS.iter().any(|top| last.eq_ignore_ascii_case(top.as_bytes())))
    {
        return None;
    }
    let zone = ZONES.iter().copied().find(|zone| is_below(&labels, zone))?;
    let loopback = [LOOPBACK_4, LOOPBACK_6]
        .into_iter()
        .find(|name| is_above(&labels, name));
    let kind = Rtype::from_int(query.asked.kind);
    let found = match (zone, loopback) {
        ("localhost", _) if kind == Rtype::A => Found::Address4,
        ("localhost", _) if kind == Rtype::AAAA => Found::Address6,
        (_, Some(name)) if kind == Rtype::PTR && is_below(&labels, name) => Found::Pointer,
        // What stands above the loopback's name exists, although it has no record.
        ("localhost", _) | (_, Some(_)) => Found::Nothing {
            zone,
            rcode: Rcode::NoError,
        },
        _ if labels.len() == zone.split('.').count() => Found::Nothing {
            zone,
            rcode: Rcode::NoError,
        },
        _ => Found::Nothing {
            zone,
            rcode: Rcode::NxDomain,
        },
    };
    build(query, &found, now)
}

/// What there is to say.
enum Found {
    /// The address of this machine.
    Address4,
    /// The address of this machine, version 6.
    Address6,
    /// The name of this machine.
    Pointer,
    /// That the question for everything is not answered.
    Everything,
    /// That there is nothing, in this zone, by this code.
    Nothing { zone: &'static str, rcode: Rcode },
}

/// The labels of a name, the last one first, in the case in which they are written.
fn labels_from_the_end(name: &[u8]) -> Vec<&[u8]> {
    let mut labels = Vec::new();
    let mut at = 0;
    while let Some(&length) = name.get(at).filter(|&&length| length > 0) {
        let end = at + 1 + usize::from(length);
        labels.push(name.get(at + 1..end).unwrap_or_default());
        at = end;
    }
    labels.reverse();
    labels
}

/// Whether the name is the zone's or below it.
fn is_below(labels: &[&[u8]], zone: &str) -> bool {
    let mut labels = labels.iter();
    zone.rsplit('.').all(|wanted| {
        labels
            .next()
            .is_some_and(|label| label.eq_ignore_ascii_case(wanted.as_bytes()))
    })
}

/// Whether the name is `name` or above it.
fn is_above(labels: &[&[u8]], name: &str) -> bool {
    let mut wanted = name.rsplit('.');
    labels.iter().all(|label| {
        wanted
            .next()
            .is_some_and(|wanted| label.eq_ignore_ascii_case(wanted.as_bytes()))
    })
}

/// Writes the answer. `None` only if a name is malformed, which [`crate::question::read`] has excluded.
fn build(query: &Query<'_>, found: &Found, now: Instant) -> Option<Stored> {
    let owner = Name::from_octets(query.name()).ok()?;
    let ttl = Ttl::from_secs(TTL);
    let mut builder = MessageBuilder::from_target(StaticCompressor::new(Vec::new()))
        .ok()?
        .question();
    let lower: Name<Vec<u8>> = owner.to_canonical_name();
    builder
        .push((lower, Rtype::from_int(query.asked.kind), Class::IN))
        .ok()?;
    let mut builder = builder.answer();
    match found {
        Found::Address4 => builder
            .push((owner, Class::IN, ttl, A::new(Ipv4Addr::LOCALHOST)))
            .ok()?,
        Found::Address6 => builder
            .push((owner, Class::IN, ttl, Aaaa::new(Ipv6Addr::LOCALHOST)))
            .ok()?,
        Found::Pointer => builder
            .push((owner, Class::IN, ttl, Ptr::new(Name::vec_from_str("localhost").ok()?)))
            .ok()?,
        Found::Everything => {
            let host = Hinfo::new(CharStr::from_octets("RFC8482").ok()?, CharStr::from_octets("").ok()?);
            builder.push((owner, Class::IN, ttl, host)).ok()?;
        }
        Found::Nothing { .. } => {}
    }
    let mut builder = builder.authority();
    let mut code = Rcode::NoError;
    if let Found::Nothing { zone, rcode } = found {
        let zone = Name::vec_from_str(zone).ok()?;
        let nobody = Name::vec_from_str("nobody.invalid").ok()?;
        let seconds = Ttl::from_secs;
        let soa = Soa::new(
            &zone,
            &nobody,
            Serial(1),
            seconds(3600),
            seconds(1200),
            seconds(604_800),
            ttl,
        );
        builder.push((&zone, Class::IN, ttl, soa)).ok()?;
        code = *rcode;
    }
    let mut wire = builder.finish().into_target();
    wire[2] = RESPONSE;
    wire[3] = code as u8;
    Stored::new(wire, now, TTL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::tests::query_bytes;
    use crate::question::{Reading, read};

    /// The response code, the number of answers, and the last bytes of the answer; `None` if it would be forwarded.
    fn asked(name: &str, kind: u16) -> Option<(u8, u8, Vec<u8>)> {
        let message = query_bytes(1, name, kind, &[]);
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        let stored = answer(&query, Instant::now())?;
        let wire = stored.wire();
        Some((stored.rcode(), wire[7], wire[wire.len() - 4..].to_vec()))
    }

    #[test]
    fn localhost_is_this_machine() {
        assert_eq!(asked("localhost", 1), Some((0, 1, vec![127, 0, 0, 1])));
        assert_eq!(asked("app.LocalHost", 28), Some((0, 1, vec![0, 0, 0, 1])));
        assert!(matches!(asked("localhost", 15), Some((0, 0, _))));
        assert!(matches!(asked("1.0.0.127.in-addr.arpa", 12), Some((0, 1, _))));
        assert!(matches!(asked(LOOPBACK_6, 12), Some((0, 1, _))));
        assert!(
            matches!(asked("0.0.127.in-addr.arpa", 12), Some((0, 0, _))),
            "it exists, empty"
        );
    }

    #[test]
    fn every_zone_has_its_last_label_in_the_list() {
        for zone in ZONES {
            assert!(TOPS.contains(&zone.rsplit('.').next().unwrap()), "{zone}");
        }
    }

    #[test]
    fn what_belongs_to_nobody_does_not_exist() {
        let private = [
            "printer.local",
            "x.onion",
            "a.b.invalid",
            "1.1.168.192.in-addr.arpa",
            "9.20.172.in-addr.arpa",
        ];
        for name in private {
            assert!(matches!(asked(name, 12), Some((3, 0, _))), "{name}");
        }
        assert!(matches!(asked("local", 2), Some((0, 0, _))), "the zone itself exists");
    }

    #[test]
    fn every_other_name_is_forwarded() {
        let public = [
            "example.com",
            "local.example",
            "notlocal",
            "8.8.8.8.in-addr.arpa",
            "1.32.172.in-addr.arpa",
            "",
            "arpa",
        ];
        for name in public {
            assert_eq!(asked(name, 12), None, "{name}");
        }
    }

    #[test]
    fn everything_is_answered_with_one_record() {
        let (rcode, answers, _) = asked("example.com", TYPE_ANY).unwrap();
        assert_eq!((rcode, answers), (0, 1));
    }
}
