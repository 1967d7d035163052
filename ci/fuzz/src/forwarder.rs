//! What holds of every message that the forwarder gets, from a client or from an upstream.
//!
//! `domain` reads everything a second time: what the forwarder takes for a query is one, what it keeps and sends is whole,
//! bears the client's id and question, and shows no TTL above what is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::base::iana::{Class, Rtype};
use domain::base::name::{ToLabelIter, ToName};
use domain::base::{Message, Name, ParsedName};
use domain::rdata::{AllRecordData, Cname, Rrsig};

use crate::answer::{self, TtlRules};
use crate::cache::Cache;
use crate::edns::{self, Transport};
use crate::local_names;
use crate::question::{self, Asked, ClientEdns, Key, Query, Rcode, Reading};
use crate::stored::Stored;
use crate::upstream_query::{Match, UpstreamQuery};

/// A client's message.
pub fn queries(content: &[u8]) {
    let reading = question::read(content);
    match &reading {
        Reading::Ignore => {}
        Reading::Reject(rcode) => {
            let refusal = question::refusal(content, *rcode);
            assert_eq!(refusal[..2], content[..2]);
            assert!(
                matches!(question::read(&refusal), Reading::Ignore),
                "answers are not answered"
            );
        }
        Reading::BadVersion(query) | Reading::Refuse(query, _) => check_query(content, query),
        Reading::Query(query) => {
            check_query(content, query);
            check_answers(query);
        }
    }
    if is_plain_query(content) {
        assert!(matches!(reading, Reading::Query(_)), "{reading:?}");
    }
}

/// An upstream's message: which question it answers, the flags, three counts, and its records. Or all of it as it is.
pub fn answers(content: &[u8]) {
    let &[which, first, second, answers, authorities, additional, ref records @ ..] = content else {
        return;
    };
    let names: [&[u8]; 4] = [
        b"\x03www\x07example\x03org\0",
        b"\0",
        b"\x01a\x01b\x03org\0",
        b"\x03WWW\x02A1\0",
    ];
    let kinds = [1, 28, 5, 39, 6, 46, 65, 0xff01];
    let kind: u16 = kinds[usize::from(which >> 2 & 7)];
    let question = [names[usize::from(which & 3)], &kind.to_be_bytes(), &[0, 1]].concat();
    let query = Query {
        asked: Asked {
            id: 0x1234,
            kind,
            recursion_desired: true,
            authentic_data: true,
            checking_disabled: false,
            edns: (which & 0x20 != 0).then_some(ClientEdns {
                payload: 1232,
                dnssec_ok: which & 0x40 != 0,
            }),
        },
        question: &question,
    };
    let rules = TtlRules {
        least: if which & 0x80 == 0 { 0 } else { 30 },
        most: 86_400,
        negative_most: 3600,
    };
    let mut message = vec![
        0,
        0,
        first | 0x80,
        second,
        0,
        1,
        0,
        answers,
        0,
        authorities,
        0,
        additional,
    ];
    message.extend_from_slice(&question);
    message.extend_from_slice(records);
    check_kept(&query, &message, &rules);
    if UpstreamQuery::new(&query, true, None).matches(content) != Match::No {
        check_kept(&query, content, &rules);
    }
}

/// Whether `domain` takes this for a query of the kind that is forwarded, without any record.
fn is_plain_query(content: &[u8]) -> bool {
    let Ok(message) = Message::from_octets(content) else {
        return false;
    };
    let header = message.header();
    let counts = message.header_counts();
    let Ok(question) = message.sole_question() else {
        return false;
    };
    let bare = [counts.ancount(), counts.nscount(), counts.arcount()] == [0; 3];
    let whole = content.len() == 12 + usize::from(question.qname().compose_len()) + 4;
    let kind = question.qtype().to_int();
    let ordinary = question.qclass() == Class::IN && !matches!(kind, 0 | 41 | 250..255);
    !header.qr() && content[2] & 0x78 == 0 && header.rd() && bare && whole && ordinary
}

/// That `domain` reads the same query, and that it is forwarded and kept as what it is.
fn check_query(content: &[u8], query: &Query<'_>) {
    let message = Message::from_octets(content).expect("longer than a header");
    let asked = message.sole_question().expect("one question");
    let name = Name::from_octets(query.name()).expect("a whole name");
    assert!(asked.qname().name_eq(&name));
    assert_eq!(asked.qtype().to_int(), query.asked.kind);
    assert_eq!(message.header().id(), query.asked.id);
    let opt = message.opt();
    let seen = opt.map(|opt| (opt.udp_payload_size(), opt.dnssec_ok()));
    assert_eq!(seen, query.asked.edns.map(|edns| (edns.payload, edns.dnssec_ok)));

    let key = |name: &[u8]| {
        Key::new(
            name,
            query.asked.kind,
            query.asked.dnssec_ok(),
            query.asked.checking_disabled,
        )
        .as_bytes()
        .to_vec()
    };
    assert_eq!(key(&query.name().to_ascii_uppercase()), query.key().as_bytes());
    assert_eq!(key(&query.name().to_ascii_lowercase()), query.key().as_bytes());

    for (edns, bits) in [(false, None), (true, None), (true, Some(0xa5a5_5a5a_0f0f_3c96))] {
        let upstream_query = UpstreamQuery::new(query, edns, bits);
        let sent = upstream_query.message(0xbeef);
        let message = Message::from_octets(&sent[..]).expect("longer than a header");
        let asked = message.sole_question().expect("one question");
        assert!(asked.qname().name_eq(&name) && asked.qtype().to_int() == query.asked.kind);
        assert_eq!((message.header().id(), message.opt().is_some()), (0xbeef, edns));
        assert_eq!(upstream_query.matches(&sent), Match::No, "a query is no answer");
        let mut answer = sent;
        answer[2] |= 0x80;
        assert_eq!(upstream_query.matches(&answer), Match::Yes);
        let end = 12 + query.name().len();
        let before = answer.clone();
        answer[12..end].make_ascii_uppercase();
        let expected = if answer == before { Match::Yes } else { Match::OtherCase };
        assert_eq!(upstream_query.matches(&answer), expected);
    }
}

/// The answers that are given without an upstream.
fn check_answers(query: &Query<'_>) {
    let now = Instant::now();
    let failed = Stored::empty(query, Rcode::ServFail, now, 5).with_error(22, "é".repeat(150));
    check_stored(query, &failed, now);
    if let Some(made) = local_names::answer(query, now) {
        check_stored(query, &made, now);
    }
    let cache = Cache::new(4, 1);
    let missing = Arc::new(Stored::empty(query, Rcode::NxDomain, now, 5).of_missing_name());
    cache.keep(query, &missing);
    let other = in_other_case(query.question);
    let same = Query {
        question: &other,
        ..*query
    };
    assert!(cache.find(&same.key(), &same, now, |_| ()).is_some());
    if let Some((below, above)) = below(query, &missing) {
        let found = cache.find_missing_above(&below.borrow(query), now);
        let expected = !query.asked.dnssec_ok() && query.name().len() > 1;
        assert_eq!(found.is_some(), expected, "what is below a missing name is missing");
        check_stored(&below.borrow(query), &above, now);
    }
}

/// What is kept of an upstream's message.
fn check_kept(query: &Query<'_>, message: &[u8], rules: &TtlRules) {
    let now = Instant::now();
    let Ok(stored) = answer::sanitise(query, message, rules, now) else {
        return;
    };
    check_stored(query, &stored, now);
    check_belongs(query, &stored);
    let wire = Message::from_octets(stored.wire()).expect("longer than a header");
    assert_eq!(wire.header_counts().arcount(), 0, "nothing beside the question");
    for record in wire.iter() {
        let (record, _) = record.expect("a whole record");
        let ttl = record.ttl().as_secs();
        assert!(ttl <= rules.most, "{ttl} seconds");
        assert!(
            stored.lifetime() <= ttl,
            "kept {} seconds, {ttl} shown",
            stored.lifetime()
        );
    }
    if stored.name_is_missing()
        && let Some((below, above)) = below(query, &stored)
    {
        check_stored(&below.borrow(query), &above, now);
    }
}

/// That every answer record is about the question's name, or about one that an alias leads to.
fn check_belongs(query: &Query<'_>, stored: &Stored) {
    let wire = Message::from_octets(stored.wire()).expect("longer than a header");
    let records: Vec<_> = wire
        .answer()
        .expect("sections")
        .map(|record| record.expect("whole"))
        .collect();
    let mut names: Vec<Name<Vec<u8>>> = vec![Name::from_octets(query.name().to_vec()).expect("a whole name")];
    loop {
        let found = records.iter().find_map(|record| {
            let alias = record.to_record::<Cname<_>>().ok()??;
            let target: Name<Vec<u8>> = alias.data().cname().to_name();
            let reached = names.iter().any(|name| name.name_eq(&record.owner()));
            (reached && !names.iter().any(|name| name.name_eq(&target))).then_some(target)
        });
        match found {
            Some(target) => names.push(target),
            None => break,
        }
    }
    for record in &records {
        let signed = record.to_record::<Rrsig<_, _>>().ok().flatten();
        let kind = signed.map_or(record.rtype(), |signed| signed.data().type_covered());
        let belongs = |name: &Name<Vec<u8>>| {
            name.name_eq(&record.owner()) || kind == Rtype::DNAME && name.ends_with(&record.owner())
        };
        assert!(names.iter().any(belongs), "{} {kind}", record.owner());
        assert_eq!(record.class(), Class::IN);
    }
}

/// That an answer is whole, and reaches each kind of client as it should, now and later.
fn check_stored(query: &Query<'_>, stored: &Stored, born: Instant) {
    let (kept, count) = records(stored.wire());
    assert_eq!(count, 0, "no OPT is kept");
    let question = in_other_case(query.question);
    let payloads = [None, Some(0), Some(700), Some(4096)];
    for age in [0, 1, 1000, 59_001, u64::from(u32::MAX) * 1000].map(Duration::from_millis) {
        for (transport, payload) in payloads
            .map(|payload| (Transport::Udp, payload))
            .into_iter()
            .chain([(Transport::Tcp, None), (Transport::Tcp, Some(512))])
        {
            let edns = payload.map(|payload| ClientEdns {
                payload,
                dnssec_ok: query.asked.dnssec_ok(),
            });
            let client = Query {
                asked: Asked {
                    id: !query.asked.id,
                    edns,
                    ..query.asked
                },
                question: &question,
            };
            let mut out = b"before".to_vec();
            stored.render(&client, transport, born + age, &mut out);
            let message = out.strip_prefix(b"before").expect("it only appends");
            assert!(message.len() <= edns::limit(transport, edns));
            assert_eq!(message[..2], client.asked.id.to_be_bytes());
            assert_eq!(
                message[12..12 + question.len()],
                question,
                "the question as it was asked"
            );
            assert!(matches!(question::read(message), Reading::Ignore), "it is an answer");
            let (shown, opts) = records(message);
            assert_eq!(opts, usize::from(edns.is_some()));
            if message[2] & 2 != 0 {
                assert!(shown.is_empty() && transport == Transport::Udp);
            } else {
                let seconds = u32::try_from(age.as_millis().div_ceil(1000)).expect("not so old");
                let left: Vec<u32> = kept.iter().map(|ttl| ttl.saturating_sub(seconds)).collect();
                assert_eq!(shown, left);
            }
        }
    }
}

/// The TTLs of a message's records, each of which must be whole; and how many OPT records there are beside them.
fn records(message: &[u8]) -> (Vec<u32>, usize) {
    let message = Message::from_octets(message).expect("longer than a header");
    message.sole_question().expect("one question");
    let (mut ttls, mut opts) = (Vec::new(), 0);
    for record in message.iter() {
        let (record, _) = record.expect("a whole record");
        if record.rtype() == Rtype::OPT {
            opts += 1;
            continue;
        }
        ttls.push(record.ttl().as_secs());
        record
            .to_any_record::<AllRecordData<_, ParsedName<_>>>()
            .expect("data of its type");
    }
    assert_eq!(message.opt().is_some(), opts == 1);
    (ttls, opts)
}

/// The question with the case of each letter changed.
fn in_other_case(question: &[u8]) -> Vec<u8> {
    let mut question = question.to_vec();
    let name = question.len() - 4;
    for byte in &mut question[..name] {
        // The length of a label is below the letters.
        if byte.is_ascii_alphabetic() {
            *byte ^= 0x20;
        }
    }
    question
}

/// A question that owns its bytes.
struct Below(Vec<u8>);

impl Below {
    /// The query for it.
    fn borrow(&self, query: &Query<'_>) -> Query<'_> {
        Query {
            asked: query.asked,
            question: &self.0,
        }
    }
}

/// The question for a name below the query's, and its answer when that one's says that the name does not exist. `None` if no
/// name is as long.
fn below(query: &Query<'_>, above: &Stored) -> Option<(Below, Stored)> {
    let question = [&[1, b'x'], query.question].concat();
    if question.len() > 255 + 4 {
        return None;
    }
    let below = Below(question);
    let stored = answer::below_missing(&below.borrow(query), above).expect("the name fits");
    Some((below, stored))
}
