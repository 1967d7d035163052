//! Makes an upstream's answer fit to be kept: only what belongs to the question, with the TTLs that rule it.
//!
//! An upstream may be wrong, or somebody else. So the message is not patched but written anew:
//!
//! * of the answers, the chain of aliases that begins at the question's name, and the records at its end;
//! * of the authorities, the SOA that says how long "there is none" holds, if there is none (RFC 2308), and the proofs
//!   of DNSSEC for a client that asked for them;
//! * of the rest, nothing: a record beside the question could be about any name.
//!
//! The records of a set share their least TTL (RFC 2181, section 5.2), and the answer is kept for the least of all.

use std::time::Instant;

use domain::base::iana::Class;
use domain::base::message::RecordSection;
use domain::base::message_builder::{AnswerBuilder, AuthorityBuilder, PushError, StaticCompressor};
use domain::base::name::{ParsedName, ToName};
use domain::base::record::ComposeRecord;
use domain::base::{Message, MessageBuilder, Name, ParsedRecord, Rtype, Ttl};
use domain::rdata::{AllRecordData, Cname, Rrsig, Soa};

use crate::question::{Query, Rcode};
use crate::stored::Stored;
use crate::wire::RCODE;

/// The longest chain of aliases that is followed.
const LONGEST_CHAIN: usize = 16;
/// The longest message that is kept: what is left of the longest that can be sent when an OPT with an error is added.
const LONGEST_KEPT: usize = 65_000;
/// A response code that is an answer although it says no: the name would become too long (RFC 6672).
const RCODE_YXDOMAIN: u8 = 6;

/// The bounds of what is done with TTLs, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TtlRules {
    /// A shorter TTL is raised to this.
    pub(crate) least: u32,
    /// A longer TTL is lowered to this.
    pub(crate) most: u32,
    /// How long it is kept at most that something does not exist.
    pub(crate) negative_most: u32,
}

impl TtlRules {
    /// The TTL within the bounds. One with the highest bit set counts as zero (RFC 2181, section 8).
    fn bound(&self, ttl: u32) -> u32 {
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        ttl.max(self.least).min(self.most)
    }
}

/// Why an upstream's message is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// It is malformed, or its aliases lead in a circle.
    Malformed,
    /// It says that the upstream cannot or will not answer, by this response code.
    Failure(u8),
    /// It points at other servers: the upstream does not resolve names for others.
    Referral,
}

/// A record that is kept.
struct Kept<'r, 'a> {
    /// The record.
    record: &'r ParsedRecord<'a, [u8]>,
    /// Which set it belongs to: the step of the chain and the type, that of what is signed for a signature.
    set: (usize, Rtype),
}

/// What the chain of aliases turned out to be.
struct Chain<'r, 'a> {
    /// Its records, in the order in which the upstream sent them.
    kept: Vec<Kept<'r, 'a>>,
    /// The name at its end.
    end: Name<Vec<u8>>,
    /// Whether there is what was asked for at its end.
    answered: bool,
}

/// The answer to `query` that is in `response`, an upstream's message whose question is the query's.
pub(crate) fn sanitise(query: &Query<'_>, response: &[u8], rules: &TtlRules, now: Instant) -> Result<Stored, Rejected> {
    let message = Message::from_slice(response).map_err(|_| Rejected::Malformed)?;
    let rcode = response[3] & RCODE;
    let missing = rcode == Rcode::NxDomain as u8;
    if rcode != Rcode::NoError as u8 && !missing && rcode != RCODE_YXDOMAIN {
        return Err(Rejected::Failure(rcode));
    }
    let (_, answers, authorities, _) = message.sections().map_err(|_| Rejected::Malformed)?;
    let answers = records_of(answers)?;
    let authorities = records_of(authorities)?;
    let chain = follow(query, &answers)?;
    let negative = missing || !chain.answered;
    let soa = if negative {
        soa_for(&chain.end, &authorities)
    } else {
        None
    };
    let header = message.header();
    let points_elsewhere = authorities.iter().any(|record| record.rtype() == Rtype::NS);
    if negative && !missing && soa.is_none() && chain.kept.is_empty() && points_elsewhere && !header.ra() {
        return Err(Rejected::Referral);
    }

    // The TTLs: one for each set, and the least of all for the whole.
    let sets = least_of_sets(&chain.kept, rules);
    let mut lifetime = sets.iter().map(|&(_, ttl)| ttl).min().unwrap_or(u32::MAX);
    let mut negative_ttl = 0;
    if negative {
        // Without a SOA nobody says how long it holds: it is not kept (RFC 2308, section 5).
        negative_ttl = soa.as_ref().map_or(0, |soa| soa.ttl.min(rules.negative_most));
        lifetime = lifetime.min(negative_ttl);
    }
    let mut proofs = Vec::new();
    if query.asked.dnssec_ok() {
        let most = if negative { negative_ttl } else { lifetime };
        let chosen = authorities.iter().filter(|record| is_proof(record, negative));
        proofs.extend(chosen.map(|record| (record, rules.bound(record.ttl().as_secs()).min(most))));
        // A proof that is over proves nothing: what rests on it goes with it.
        lifetime = proofs.iter().fold(lifetime, |least, &(_, ttl)| least.min(ttl));
    }

    let built = MessageBuilder::from_target(StaticCompressor::new(Vec::with_capacity(response.len() + 32)));
    let mut builder = built.expect("a vector has room for a header").question();
    let name = Name::from_octets(query.name()).map_err(|_| Rejected::Malformed)?;
    let lower: Name<Vec<u8>> = name.to_canonical_name();
    builder
        .push((lower, Rtype::from_int(query.asked.kind), Class::IN))
        .map_err(|_| Rejected::Malformed)?;
    let mut builder = builder.answer();
    for kept in &chain.kept {
        let ttl = sets.iter().find(|(set, _)| *set == kept.set).map_or(0, |&(_, ttl)| ttl);
        push(&mut builder, kept.record, ttl)?;
    }
    let mut builder = builder.authority();
    if let Some(soa) = &soa {
        push(&mut builder, soa.record, negative_ttl)?;
    }
    for (record, ttl) in proofs {
        push(&mut builder, record, ttl)?;
    }
    let mut header = *builder.header_mut();
    header.set_qr(true);
    header.set_ad(message.header().ad());
    *builder.header_mut() = header;
    let mut wire = builder.finish().into_target();
    wire[3] |= rcode;
    if wire.len() > LONGEST_KEPT {
        return Err(Rejected::Malformed);
    }
    let stored = Stored::new(wire, now, lifetime).ok_or(Rejected::Malformed)?;
    // An answer by way of an alias is about the alias' target, not about the name that was asked for.
    Ok(if missing && chain.kept.is_empty() {
        stored.of_missing_name()
    } else {
        stored
    })
}

/// The answer to a query for a name below one that is known not to exist (RFC 8020): the same, to another question.
pub(crate) fn below_missing(query: &Query<'_>, above: &Stored) -> Option<Stored> {
    let message = Message::from_slice(above.wire()).ok()?;
    let mut builder = MessageBuilder::from_target(StaticCompressor::new(Vec::new()))
        .ok()?
        .question();
    let name = Name::from_octets(query.name()).ok()?;
    builder
        .push((name, Rtype::from_int(query.asked.kind), Class::IN))
        .ok()?;
    let mut builder = builder.authority();
    for record in message.authority().ok()? {
        let record = record.ok()?;
        push(&mut builder, &record, record.ttl().as_secs()).ok()?;
    }
    *builder.header_mut() = message.header();
    Stored::new(builder.finish().into_target(), above.born(), above.lifetime())
}

/// All records of a section; an error when one does not fit.
fn records_of<'a>(section: RecordSection<'a, [u8]>) -> Result<Vec<ParsedRecord<'a, [u8]>>, Rejected> {
    section.collect::<Result<_, _>>().map_err(|_| Rejected::Malformed)
}

/// Follows the aliases from the question's name to what was asked for.
fn follow<'r, 'a>(query: &Query<'_>, answers: &'r [ParsedRecord<'a, [u8]>]) -> Result<Chain<'r, 'a>, Rejected> {
    let wanted = Rtype::from_int(query.asked.kind);
    let name = Name::from_octets(query.name()).map_err(|_| Rejected::Malformed)?;
    let mut end: Name<Vec<u8>> = name.to_name();
    let mut steps: Vec<Option<(usize, Rtype)>> = vec![None; answers.len()];
    let mut aliases = 0;
    let mut answered = false;
    loop {
        let mut alias = None;
        for (index, record) in answers.iter().enumerate() {
            let kind = record.rtype();
            let rules_it = kind == Rtype::DNAME || covered(record) == Some(Rtype::DNAME);
            let belongs = if rules_it && wanted != Rtype::DNAME {
                end.ends_with(&record.owner()) && !end.name_eq(&record.owner())
            } else {
                end.name_eq(&record.owner())
            };
            if !belongs || record.class() != Class::IN || steps[index].is_some() {
                continue;
            }
            if kind == wanted {
                answered = true;
                steps[index] = Some((aliases, kind));
            } else if kind == Rtype::CNAME && alias.is_none() {
                alias = Some(index);
            } else if kind == Rtype::DNAME {
                steps[index] = Some((aliases, kind));
            } else if let Some(signed) = covered(record)
                && query.asked.dnssec_ok()
                && (signed == wanted || signed == Rtype::CNAME || signed == Rtype::DNAME)
            {
                steps[index] = Some((aliases, signed));
            }
        }
        if answered {
            break;
        }
        let Some(alias) = alias else { break };
        let record = answers[alias]
            .to_record::<Cname<_>>()
            .ok()
            .flatten()
            .ok_or(Rejected::Malformed)?;
        steps[alias] = Some((aliases, Rtype::CNAME));
        end = record.data().cname().to_name();
        aliases += 1;
        if aliases > LONGEST_CHAIN {
            return Err(Rejected::Malformed);
        }
    }
    let kept: Vec<_> = answers
        .iter()
        .zip(&steps)
        .filter_map(|(record, step)| step.map(|set| Kept { record, set }))
        .collect();
    // The aliases come back to where they have been: the record there is spent, and nothing was found.
    let circle = !answered
        && kept
            .iter()
            .any(|one| one.record.rtype() == Rtype::CNAME && end.name_eq(&one.record.owner()));
    if circle {
        Err(Rejected::Malformed)
    } else {
        Ok(Chain { kept, end, answered })
    }
}

/// The type that a signature is about, if the record is one.
fn covered(record: &ParsedRecord<'_, [u8]>) -> Option<Rtype> {
    if record.rtype() != Rtype::RRSIG {
        return None;
    }
    let signature = record.to_record::<Rrsig<_, _>>().ok()??;
    Some(signature.data().type_covered())
}

/// The SOA that says how long it holds that there is nothing.
struct NegativeSoa<'r, 'a> {
    /// The record.
    record: &'r ParsedRecord<'a, [u8]>,
    /// For how many seconds.
    ttl: u32,
}

/// The SOA among the authorities whose zone `name` belongs to.
fn soa_for<'r, 'a>(name: &Name<Vec<u8>>, authorities: &'r [ParsedRecord<'a, [u8]>]) -> Option<NegativeSoa<'r, 'a>> {
    authorities.iter().find_map(|record| {
        if record.rtype() != Rtype::SOA || record.class() != Class::IN || !name.ends_with(&record.owner()) {
            return None;
        }
        let soa = record.to_record::<Soa<_>>().ok()??;
        let most = i32::MAX as u32;
        let (own, minimum) = (record.ttl().as_secs(), soa.data().minimum().as_secs());
        let ttl = own.min(minimum);
        Some(NegativeSoa {
            record,
            ttl: if ttl > most { 0 } else { ttl },
        })
    })
}

/// Whether an authority record proves something to a client that checks signatures.
fn is_proof(record: &ParsedRecord<'_, [u8]>, negative: bool) -> bool {
    let kind = covered(record).unwrap_or(record.rtype());
    let of_soa = negative && kind == Rtype::SOA && record.rtype() == Rtype::RRSIG;
    record.class() == Class::IN && (kind == Rtype::NSEC || kind == Rtype::NSEC3 || of_soa)
}

/// The TTL of each set: the least of its records', within the bounds.
fn least_of_sets(kept: &[Kept<'_, '_>], rules: &TtlRules) -> Vec<((usize, Rtype), u32)> {
    let mut sets: Vec<((usize, Rtype), u32)> = Vec::new();
    for one in kept {
        let ttl = rules.bound(one.record.ttl().as_secs());
        match sets.iter_mut().find(|(set, _)| *set == one.set) {
            Some((_, least)) => *least = ttl.min(*least),
            None => sets.push((one.set, ttl)),
        }
    }
    sets
}

/// The sections that records can be appended to.
trait Section {
    /// Appends a record.
    fn append(&mut self, record: impl ComposeRecord) -> Result<(), PushError>;
}

impl Section for AnswerBuilder<StaticCompressor<Vec<u8>>> {
    fn append(&mut self, record: impl ComposeRecord) -> Result<(), PushError> {
        self.push(record)
    }
}

impl Section for AuthorityBuilder<StaticCompressor<Vec<u8>>> {
    fn append(&mut self, record: impl ComposeRecord) -> Result<(), PushError> {
        self.push(record)
    }
}

/// Appends a copy of a record with another TTL; its names are read and written anew.
fn push(section: &mut impl Section, record: &ParsedRecord<'_, [u8]>, ttl: u32) -> Result<(), Rejected> {
    let copy = record
        .to_any_record::<AllRecordData<_, ParsedName<_>>>()
        .map_err(|_| Rejected::Malformed)?;
    let copy = (copy.owner(), record.class(), Ttl::from_secs(ttl), copy.data());
    section.append(copy).map_err(|_| Rejected::Malformed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::question::tests::{name_bytes, opt_bytes, query_bytes};
    use crate::question::{OwnedQuery, Reading, read};

    const RULES: TtlRules = TtlRules {
        least: 0,
        most: 86_400,
        negative_most: 3600,
    };

    /// A record as the tests write it: owner, type, TTL, data.
    type Written = (&'static str, u16, u32, Vec<u8>);

    fn a(owner: &'static str, ttl: u32, last: u8) -> Written {
        (owner, 1, ttl, vec![192, 0, 2, last])
    }

    fn cname(owner: &'static str, ttl: u32, target: &str) -> Written {
        (owner, 5, ttl, name_bytes(target))
    }

    fn soa(owner: &'static str, ttl: u32, minimum: u32) -> Written {
        let mut data = [name_bytes("ns.example"), name_bytes("host.example")].concat();
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&minimum.to_be_bytes());
        (owner, 6, ttl, data)
    }

    fn rrsig(owner: &'static str, ttl: u32, covered: u16) -> Written {
        let mut data = covered.to_be_bytes().to_vec();
        data.extend_from_slice(&[13, 2, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        data.extend_from_slice(&name_bytes("example"));
        data.extend_from_slice(&[7; 64]);
        (owner, 46, ttl, data)
    }

    fn query(name: &str, kind: u16, dnssec_ok: bool) -> OwnedQuery {
        let message = query_bytes(1, name, kind, &opt_bytes(1232, 0, dnssec_ok, &[]));
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        query.to_owned()
    }

    /// An upstream's message.
    fn response(query: &OwnedQuery, rcode: u8, answers: &[Written], authorities: &[Written]) -> Vec<u8> {
        let mut message = vec![0, 0, 0x81, 0x80 | rcode, 0, 1, 0, 0, 0, 0, 0, 0];
        message[7] = u8::try_from(answers.len()).unwrap();
        message[9] = u8::try_from(authorities.len()).unwrap();
        message.extend_from_slice(query.as_query().question);
        for (owner, kind, ttl, data) in answers.iter().chain(authorities) {
            message.extend_from_slice(&name_bytes(owner));
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 1]);
            message.extend_from_slice(&ttl.to_be_bytes());
            message.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    /// What is kept of an upstream's message: its records in a few words each.
    fn records(stored: &Stored) -> Vec<String> {
        let message = Message::from_slice(stored.wire()).unwrap();
        let records = message.iter().map(|found| {
            let (record, _) = found.unwrap();
            format!("{} {} {}", record.owner(), record.rtype(), record.ttl().as_secs())
        });
        records.collect()
    }

    fn kept(query: &OwnedQuery, rcode: u8, answers: &[Written], authorities: &[Written]) -> Result<Stored, Rejected> {
        sanitise(
            &query.as_query(),
            &response(query, rcode, answers, authorities),
            &RULES,
            Instant::now(),
        )
    }

    #[test]
    fn an_address_is_kept_for_its_ttl() {
        let stored = kept(
            &query("www.example", 1, false),
            0,
            &[a("WWW.example", 300, 1), a("www.example", 60, 2)],
            &[],
        );
        let stored = stored.unwrap();
        assert_eq!(
            records(&stored),
            ["www.example A 60", "www.example A 60"],
            "a set shares its least TTL"
        );
        assert_eq!((stored.lifetime(), stored.name_is_missing()), (60, false));
    }

    #[test]
    fn a_chain_of_aliases_is_kept_in_whatever_order_it_comes() {
        let answers = [
            a("c.example", 60, 1),
            cname("b.example", 20, "c.example"),
            cname("a.example", 40, "b.example"),
        ];
        let stored = kept(&query("a.example", 1, false), 0, &answers, &[]).unwrap();
        assert_eq!(
            records(&stored),
            ["c.example A 60", "b.example CNAME 20", "a.example CNAME 40"]
        );
        assert_eq!(stored.lifetime(), 20);
    }

    #[test]
    fn what_does_not_belong_to_the_question_is_dropped() {
        let answers = [
            a("www.example", 60, 1),
            a("bank.example", 9999, 66),
            cname("elsewhere.example", 60, "bank.example"),
            ("www.example", 16, 60, b"\x04evil".to_vec()),
            rrsig("www.example", 60, 1),
        ];
        let authorities = [
            ("example", 2, 60, name_bytes("ns.evil.example")),
            soa("example", 60, 60),
        ];
        let stored = kept(&query("www.example", 1, false), 0, &answers, &authorities).unwrap();
        assert_eq!(records(&stored), ["www.example A 60"]);
    }

    #[test]
    fn a_second_alias_of_one_name_is_dropped() {
        let answers = [
            cname("a.example", 60, "b.example"),
            cname("a.example", 60, "c.example"),
            a("b.example", 60, 1),
        ];
        let stored = kept(&query("a.example", 1, false), 0, &answers, &[]).unwrap();
        assert_eq!(records(&stored), ["a.example CNAME 60", "b.example A 60"]);
    }

    #[test]
    fn aliases_in_a_circle_are_malformed() {
        let answers = [cname("a.example", 60, "b.example"), cname("b.example", 60, "a.example")];
        assert_eq!(
            kept(&query("a.example", 1, false), 0, &answers, &[]).unwrap_err(),
            Rejected::Malformed
        );
        let itself = [cname("a.example", 60, "a.example")];
        assert_eq!(
            kept(&query("a.example", 1, false), 0, &itself, &[]).unwrap_err(),
            Rejected::Malformed
        );
        assert!(
            kept(&query("a.example", 5, false), 0, &itself, &[]).is_ok(),
            "asked for as such it is an answer"
        );
    }

    #[test]
    fn an_alias_of_a_whole_tree_is_kept_with_what_follows_from_it() {
        let answers = [
            ("old.example", 39, 60, name_bytes("new.example")),
            cname("www.old.example", 60, "www.new.example"),
            a("www.new.example", 60, 1),
        ];
        let stored = kept(&query("www.old.example", 1, false), 0, &answers, &[]).unwrap();
        assert_eq!(records(&stored).len(), 3);
    }

    #[test]
    fn a_missing_name_is_kept_as_its_soa_says() {
        let gone = query("gone.example", 1, false);
        let lifetime = |authority| kept(&gone, 3, &[], &[authority]).unwrap().lifetime();
        assert_eq!(lifetime(soa("example", 300, 60)), 60, "the minimum");
        assert_eq!(lifetime(soa("example", 30, 60)), 30, "its own TTL");
        assert_eq!(lifetime(soa("example", 86_400, 86_400)), 3600, "the maximum");
        assert_eq!(lifetime(soa("other", 300, 300)), 0, "another zone's says nothing");
        let stored = kept(&gone, 3, &[], &[soa("example", 300, 60)]).unwrap();
        assert_eq!(
            (records(&stored), stored.rcode()),
            (vec!["example SOA 60".to_owned()], 3)
        );
        assert!(stored.name_is_missing());
        assert_eq!(
            kept(&gone, 3, &[], &[]).unwrap().lifetime(),
            0,
            "without a SOA it is not kept"
        );
    }

    #[test]
    fn the_end_of_an_alias_that_is_missing_is_not_the_name_itself() {
        let answers = [cname("a.example", 50, "gone.example")];
        let stored = kept(&query("a.example", 1, false), 3, &answers, &[soa("example", 300, 60)]).unwrap();
        assert_eq!(records(&stored), ["a.example CNAME 50", "example SOA 60"]);
        assert_eq!((stored.name_is_missing(), stored.lifetime()), (false, 50));
    }

    #[test]
    fn a_missing_type_is_kept_for_this_type() {
        let stored = kept(&query("www.example", 28, false), 0, &[], &[soa("example", 300, 60)]).unwrap();
        assert_eq!(
            (stored.lifetime(), stored.rcode(), stored.name_is_missing()),
            (60, 0, false)
        );
    }

    #[test]
    fn proofs_are_for_those_who_ask() {
        let answers = [
            a("www.example", 60, 1),
            rrsig("www.example", 60, 1),
            rrsig("www.example", 60, 16),
        ];
        let stored = kept(&query("www.example", 1, true), 0, &answers, &[]).unwrap();
        assert_eq!(records(&stored), ["www.example A 60", "www.example RRSIG 60"]);
        let authorities = [
            soa("example", 300, 60),
            rrsig("example", 300, 6),
            rrsig("a.example", 300, 47),
        ];
        let gone = kept(&query("gone.example", 1, true), 3, &[], &authorities).unwrap();
        assert_eq!(
            records(&gone),
            ["example SOA 60", "example RRSIG 60", "a.example RRSIG 60"]
        );
        let gone = kept(&query("gone.example", 1, false), 3, &[], &authorities).unwrap();
        assert_eq!(records(&gone), ["example SOA 60"]);
    }

    #[test]
    fn nothing_is_kept_longer_than_its_proof() {
        let short = [soa("example", 300, 60), rrsig("a.example", 20, 47)];
        let gone = kept(&query("gone.example", 1, true), 3, &[], &short).unwrap();
        assert_eq!((gone.lifetime(), &records(&gone)[1][..]), (20, "a.example RRSIG 20"));
        let wildcard = [a("www.example", 60, 1), rrsig("www.example", 60, 1)];
        let found = kept(&query("www.example", 1, true), 0, &wildcard, &short[1..]).unwrap();
        assert_eq!(found.lifetime(), 20);
        let unasked = kept(&query("gone.example", 1, false), 3, &[], &short).unwrap();
        assert_eq!(unasked.lifetime(), 60);
    }

    #[test]
    fn ttls_are_bounded() {
        let rules = TtlRules {
            least: 30,
            most: 100,
            negative_most: 3600,
        };
        let www = query("www.example", 1, false);
        let lifetime = |ttl| {
            let message = response(&www, 0, &[a("www.example", ttl, 1)], &[]);
            sanitise(&www.as_query(), &message, &rules, Instant::now())
                .unwrap()
                .lifetime()
        };
        assert_eq!(
            (lifetime(0), lifetime(60), lifetime(1000), lifetime(0x8000_0000)),
            (30, 60, 100, 30)
        );
    }

    #[test]
    fn a_failure_is_no_answer() {
        let www = query("www.example", 1, false);
        assert_eq!(kept(&www, 2, &[], &[]).unwrap_err(), Rejected::Failure(2));
        assert_eq!(kept(&www, 5, &[], &[]).unwrap_err(), Rejected::Failure(5));
        let mut referral = response(&www, 0, &[], &[("example", 2, 60, name_bytes("ns.example"))]);
        referral[3] = 0;
        let error = sanitise(&www.as_query(), &referral, &RULES, Instant::now()).unwrap_err();
        assert_eq!(error, Rejected::Referral);
    }

    #[test]
    fn unknown_types_pass_untouched() {
        let stored = kept(
            &query("www.example", 65_400, false),
            0,
            &[("www.example", 65_400, 60, vec![0xc0, 0xff, 3])],
            &[],
        );
        assert!(stored.unwrap().wire().ends_with(&[0, 0, 0, 60, 0, 3, 0xc0, 0xff, 3]));
    }

    #[test]
    fn a_record_that_lies_about_its_length_is_malformed() {
        let www = query("www.example", 1, false);
        let short = [("www.example", 1, 60, vec![192, 0, 2])];
        assert_eq!(kept(&www, 0, &short, &[]).unwrap_err(), Rejected::Malformed);
        let whole = response(&www, 0, &[a("www.example", 60, 1)], &[]);
        for length in 12..whole.len() {
            assert!(
                sanitise(&www.as_query(), &whole[..length], &RULES, Instant::now()).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_name_below_a_missing_one_is_missing_for_the_same_time() {
        let stored = kept(&query("gone.example", 1, false), 3, &[], &[soa("example", 300, 60)]).unwrap();
        let below = query("a.b.gone.example", 28, false);
        let answer = below_missing(&below.as_query(), &stored).unwrap();
        assert_eq!(
            (records(&answer), answer.rcode()),
            (vec!["example SOA 60".to_owned()], 3)
        );
        let later = stored.born() + Duration::from_secs(30);
        let mut out = Vec::new();
        answer.render(&below.as_query(), crate::edns::Transport::Udp, later, &mut out);
        let message = Message::from_slice(&out).unwrap();
        assert_eq!(
            message.authority().unwrap().next().unwrap().unwrap().ttl().as_secs(),
            30
        );
    }

    proptest::proptest! {
        #[test]
        fn no_spoilt_answer_makes_it_panic(spoilt in proptest::collection::vec((0_usize..400, proptest::num::u8::ANY), 1..8)) {
            let www = query("www.example", 1, true);
            let answers = [cname("www.example", 9, "b.example"), rrsig("b.example", 9, 1), a("b.example", 9, 1)];
            let mut message = response(&www, 0, &answers, &[soa("example", 300, 60)]);
            for (at, byte) in spoilt {
                let at = at % message.len();
                message[at] = byte;
            }
            if let Ok(stored) = sanitise(&www.as_query(), &message, &RULES, Instant::now()) {
                let mut out = Vec::new();
                stored.render(&www.as_query(), crate::edns::Transport::Udp, Instant::now(), &mut out);
            }
        }
    }
}
