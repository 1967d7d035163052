//! Questions and answers in wire form (RFC 1035), by the `domain` crate: this file says what they mean.
//!
//! A datagram counts as an answer only if its id is ours and it repeats our question; whatever else
//! comes is [`Reading::Foreign`], and waiting goes on (RFC 5452). From an answer, only the alias chain that starts at the
//! question and the addresses at its end are taken: records of other names beside them prove nothing.
//! Pure: bytes in, meaning out, and no bytes make it panic.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, ParsedName, ToName};
use domain::rdata::{A, Aaaa, Cname, Soa};

use super::name::HostName;

/// The size of answer that we say we take by datagram: what crosses any network whole (DNS flag day 2020).
const EDNS_PAYLOAD: u16 = 1232;

/// The most aliases that are followed; resolvers cut chains at about this length.
const LONGEST_CHAIN: usize = 16;

/// A name as it stands in messages, but uncompressed.
type WireName = Name<Vec<u8>>;

/// Which addresses a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

/// One question, as it was or will be sent.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Chosen at random for each sending.
    pub(crate) id: u16,
    /// The full name.
    pub(crate) name: HostName,
    /// What is wanted of it.
    pub(crate) kind: Kind,
}

/// How a question is put.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// Whether it carries an EDNS record.
    pub(crate) edns: bool,
    /// Whether it asks for the AD bit.
    pub(crate) trust_ad: bool,
}

/// What some bytes mean as an answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// No answer to this question: to be dropped, and the real one waited for.
    Foreign,
    /// It was too long for a datagram: to be asked for again by TCP.
    Truncated,
    /// The server does not understand the form of the question; perhaps it does without EDNS.
    FormatError,
    /// The server cannot or will not say; the text says why.
    Failed(&'static str),
    /// The server has said what there is.
    Answer(Answer),
}

/// What a server knows of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Empty unless `status` is [`Status::Found`]; in the server's order.
    pub(crate) addresses: Vec<IpAddr>,
    /// The name at the end of the alias chain.
    pub(crate) canonical: String,
    /// Whether there is anything.
    pub(crate) status: Status,
    /// How long this may be believed; nothing when the server does not say.
    pub(crate) ttl: Duration,
}

/// What an answer says in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// There are addresses.
    Found,
    /// The name exists, addresses of this kind do not.
    NoData,
    /// The name does not exist.
    NoName,
}

impl Kind {
    /// The type of record that holds such addresses.
    fn rtype(self) -> Rtype {
        match self {
            Kind::A => Rtype::A,
            Kind::Aaaa => Rtype::AAAA,
        }
    }
}

impl Question {
    /// The question in wire form. `None` only for a name that no question can hold, which a [`HostName`] is not.
    pub(crate) fn to_bytes(&self, manner: Manner) -> Option<Vec<u8>> {
        let mut message = MessageBuilder::new_vec();
        let header = message.header_mut();
        header.set_id(self.id);
        header.set_rd(true);
        header.set_ad(manner.trust_ad);
        let mut message = message.question();
        message.push((self.wire_name()?, self.kind.rtype(), Class::IN)).ok()?;
        let mut message = message.additional();
        if manner.edns {
            message
                .opt(|opt| {
                    opt.set_udp_payload_size(EDNS_PAYLOAD);
                    Ok(())
                })
                .ok()?;
        }
        Some(message.finish())
    }

    /// What `bytes` mean as an answer to this question.
    pub(crate) fn read(&self, bytes: &[u8]) -> Reading {
        let Ok(message) = Message::from_slice(bytes) else {
            return Reading::Foreign;
        };
        let header = message.header();
        if header.id() != self.id || !header.qr() || header.opcode() != Opcode::QUERY {
            return Reading::Foreign;
        }
        match message.sole_question() {
            Ok(question) => {
                let same_name = self.wire_name().is_some_and(|name| question.qname().name_eq(&name));
                if !same_name || question.qtype() != self.kind.rtype() || question.qclass() != Class::IN {
                    return Reading::Foreign;
                }
            }
            // A server that cannot read the question cannot repeat it either.
            Err(_) if header.rcode() == Rcode::FORMERR && message.header_counts().qdcount() == 0 => {
                return Reading::FormatError;
            }
            Err(_) => return Reading::Foreign,
        }
        if header.tc() {
            return Reading::Truncated;
        }
        match message.opt_rcode() {
            OptRcode::NOERROR => self.read_records(message, false),
            OptRcode::NXDOMAIN => self.read_records(message, true),
            OptRcode::FORMERR | OptRcode::NOTIMP | OptRcode::BADVERS => Reading::FormatError,
            OptRcode::SERVFAIL => Reading::Failed("the server failed (SERVFAIL)"),
            OptRcode::REFUSED => Reading::Failed("the server refused (REFUSED)"),
            _ => Reading::Failed("the server answered with an unknown code"),
        }
    }

    /// Reads the records of an answer whose header and question are right.
    fn read_records(&self, message: &Message<[u8]>, no_name: bool) -> Reading {
        self.try_read_records(message, no_name)
            .unwrap_or(Reading::Failed("the server's answer cannot be read"))
    }

    /// As [`Question::read_records`]; `None` when the message breaks off or contradicts itself.
    fn try_read_records(&self, message: &Message<[u8]>, no_name: bool) -> Option<Reading> {
        let (canonical, chain_ttl) = self.follow_aliases(message)?;
        let found = match self.kind {
            Kind::A => collect::<A>(message, &canonical, |data| IpAddr::V4(data.addr()))?,
            Kind::Aaaa => collect::<Aaaa>(message, &canonical, |data| IpAddr::V6(data.addr()))?,
        };
        let canonical_text = canonical.to_string();
        if let Some(ttl) = found.iter().map(|(_, ttl)| *ttl).min() {
            return Some(Reading::Answer(Answer {
                addresses: found.into_iter().map(|(address, _)| address).collect(),
                canonical: canonical_text,
                status: Status::Found,
                ttl: ttl.min(chain_ttl),
            }));
        }
        let negative_ttl = negative_ttl(message, &canonical)?;
        let header = message.header();
        // Neither an authority for the name nor willing to ask one: it points elsewhere (a lame delegation).
        if !no_name && negative_ttl.is_none() && !header.aa() && !header.ra() {
            return Some(Reading::Failed("the server does not answer for this name"));
        }
        Some(Reading::Answer(Answer {
            addresses: Vec::new(),
            canonical: canonical_text,
            status: if no_name { Status::NoName } else { Status::NoData },
            ttl: negative_ttl.unwrap_or_default().min(chain_ttl),
        }))
    }

    /// The end of the alias chain that starts at the question, and the least time to live on the way.
    fn follow_aliases(&self, message: &Message<[u8]>) -> Option<(WireName, Duration)> {
        let mut aliases = HashMap::new();
        for record in message.answer().ok()?.limit_to_in::<Cname<ParsedName<&[u8]>>>() {
            let record = record.ok()?;
            let target = (record.data().cname().to_vec(), believable(record.ttl().as_secs()));
            aliases.entry(record.owner().to_vec()).or_insert(target);
        }
        let mut name = self.wire_name()?;
        let mut ttl = Duration::MAX;
        for _ in 0..LONGEST_CHAIN {
            match aliases.remove(&name) {
                None => return Some((name, ttl)),
                Some((target, own_ttl)) => {
                    name = target;
                    ttl = ttl.min(own_ttl);
                }
            }
        }
        None
    }

    /// The name in wire form.
    fn wire_name(&self) -> Option<WireName> {
        Name::vec_from_str(self.name.as_str()).ok()
    }
}

/// The addresses of `owner` in the answer section, each once, with their times to live.
fn collect<'a, Data>(
    message: &'a Message<[u8]>,
    owner: &WireName,
    address: impl Fn(&Data) -> IpAddr,
) -> Option<Vec<(IpAddr, Duration)>>
where
    Data: domain::base::ParseRecordData<'a, [u8]>,
{
    let mut found: Vec<(IpAddr, Duration)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for record in message.answer().ok()?.limit_to_in::<Data>() {
        let record = record.ok()?;
        if record.owner().name_eq(owner) {
            let address = address(record.data());
            if seen.insert(address) {
                found.push((address, believable(record.ttl().as_secs())));
            }
        }
    }
    Some(found)
}

/// How long the absence may be believed (RFC 2308, section 5): what the zone's SOA record says, if there is one.
/// The outer `None` means that the section cannot be read.
fn negative_ttl(message: &Message<[u8]>, name: &WireName) -> Option<Option<Duration>> {
    for record in message.authority().ok()?.limit_to_in::<Soa<ParsedName<&[u8]>>>() {
        let record = record.ok()?;
        if name.ends_with(record.owner()) {
            return Some(Some(believable(
                record.ttl().as_secs().min(record.data().minimum().as_secs()),
            )));
        }
    }
    Some(None)
}

/// A time to live with its highest bit set counts as nothing (RFC 2181, section 8).
fn believable(ttl: u32) -> Duration {
    Duration::from_secs(if ttl > i32::MAX as u32 { 0 } else { ttl.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::base::message_builder::AnswerBuilder;
    use domain::base::{Serial, Ttl};
    use proptest::prelude::*;

    type Records = AnswerBuilder<Vec<u8>>;

    fn question(name: &str, kind: Kind) -> Question {
        Question {
            id: 4711,
            name: HostName::parse(name).expect("a good name"),
            kind,
        }
    }

    fn name(text: &str) -> Name<Vec<u8>> {
        Name::vec_from_str(text).expect("a good name")
    }

    fn ttl(seconds: u32) -> Ttl {
        Ttl::from_secs(seconds)
    }

    /// An answer to `question`: `fill` adds its records, `finish` changes its header.
    fn reply(question: &Question, rcode: Rcode, fill: impl FnOnce(&mut Records)) -> Vec<u8> {
        let asked = question.to_bytes(Manner::default()).expect("a question");
        let asked = Message::from_octets(asked).expect("a message");
        let mut answer = MessageBuilder::new_vec().start_answer(&asked, rcode).expect("fits");
        answer.header_mut().set_ra(true);
        fill(&mut answer);
        answer.finish()
    }

    /// As [`reply`], with the SOA record of `zone` in the authority section: it lives for so many seconds, minimum 7.
    fn negative_reply(question: &Question, rcode: Rcode, zone: &str, seconds: u32) -> Vec<u8> {
        let asked = question.to_bytes(Manner::default()).expect("a question");
        let asked = Message::from_octets(asked).expect("a message");
        let mut answer = MessageBuilder::new_vec()
            .start_answer(&asked, rcode)
            .expect("fits")
            .authority();
        answer.header_mut().set_ra(true);
        let soa = Soa::new(
            name("ns.test"),
            name("me.test"),
            Serial(1),
            ttl(1),
            ttl(1),
            ttl(1),
            ttl(7),
        );
        answer.push((name(zone), ttl(seconds), soa)).expect("fits");
        answer.finish()
    }

    fn answer(reading: Reading) -> Answer {
        match reading {
            Reading::Answer(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    #[test]
    fn a_question_asks_for_what_it_says() {
        for (kind, rtype) in [(Kind::A, Rtype::A), (Kind::Aaaa, Rtype::AAAA)] {
            let bytes = question("Www.Example", kind)
                .to_bytes(Manner {
                    edns: true,
                    trust_ad: true,
                })
                .expect("a question");
            let message = Message::from_octets(bytes).expect("a message");
            let header = message.header();
            assert!(header.rd() && header.ad() && !header.qr() && header.id() == 4711);
            let asked = message.sole_question().expect("one question");
            assert_eq!(
                (asked.qname().to_string(), asked.qtype()),
                ("www.example".to_owned(), rtype)
            );
            assert_eq!(
                message.opt().expect("an option record").udp_payload_size(),
                EDNS_PAYLOAD
            );
        }
        let plain = question("a", Kind::A).to_bytes(Manner::default()).expect("a question");
        let plain = Message::from_octets(plain).expect("a message");
        assert!(plain.opt().is_none() && !plain.header().ad());
    }

    #[test]
    fn addresses_with_the_least_time_to_live() {
        let asked = question("www.test", Kind::A);
        let bytes = reply(&asked, Rcode::NOERROR, |records| {
            records
                .push((name("WWW.test"), ttl(30), A::from_octets(10, 0, 0, 1)))
                .expect("fits");
            records
                .push((name("www.test"), ttl(20), A::from_octets(10, 0, 0, 2)))
                .expect("fits");
            records
                .push((name("www.test"), ttl(20), A::from_octets(10, 0, 0, 2)))
                .expect("fits");
            records
                .push((name("other.test"), ttl(1), A::from_octets(10, 6, 6, 6)))
                .expect("fits");
        });
        let answer = answer(asked.read(&bytes));
        assert_eq!(
            answer.addresses,
            ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().expect("an address"))
        );
        assert_eq!(
            (answer.status, answer.ttl.as_secs(), &*answer.canonical),
            (Status::Found, 20, "www.test")
        );
    }

    #[test]
    fn aliases_in_any_order_and_only_the_chain() {
        let asked = question("a.test", Kind::Aaaa);
        let bytes = reply(&asked, Rcode::NOERROR, |records| {
            let address = |last| Aaaa::new(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
            records.push((name("c.test"), ttl(30), address(1))).expect("fits");
            records
                .push((name("b.test"), ttl(10), Cname::new(name("c.test"))))
                .expect("fits");
            records
                .push((name("A.test"), ttl(20), Cname::new(name("B.test"))))
                .expect("fits");
            records.push((name("a.test"), ttl(20), address(2))).expect("fits");
        });
        let answer = answer(asked.read(&bytes));
        assert_eq!(answer.addresses, ["2001:db8::1".parse::<IpAddr>().expect("an address")]);
        assert_eq!((answer.ttl.as_secs(), &*answer.canonical), (10, "c.test"));
    }

    #[test]
    fn an_alias_circle_ends() {
        let asked = question("a.test", Kind::A);
        let bytes = reply(&asked, Rcode::NOERROR, |records| {
            records
                .push((name("a.test"), ttl(10), Cname::new(name("b.test"))))
                .expect("fits");
            records
                .push((name("b.test"), ttl(10), Cname::new(name("a.test"))))
                .expect("fits");
        });
        assert_eq!(answer(asked.read(&bytes)).status, Status::NoData);
        let bytes = reply(&asked, Rcode::NOERROR, |records| {
            let mut owner = name("a.test");
            for index in 0..30 {
                let target = name(&format!("a{index}.test"));
                records
                    .push((owner, ttl(10), Cname::new(target.clone())))
                    .expect("fits");
                owner = target;
            }
        });
        assert!(matches!(asked.read(&bytes), Reading::Failed(_)));
    }

    #[test]
    fn nothing_found_is_believed_as_long_as_the_zone_says() {
        for (rcode, status) in [(Rcode::NOERROR, Status::NoData), (Rcode::NXDOMAIN, Status::NoName)] {
            for (zone, lives, seconds) in [("test", 90, 7), ("test", 3, 3), ("elsewhere", 90, 0)] {
                let asked = question("www.test", Kind::A);
                let answer = answer(asked.read(&negative_reply(&asked, rcode, zone, lives)));
                assert_eq!(
                    (answer.status, answer.ttl.as_secs()),
                    (status, seconds),
                    "{zone} {lives}"
                );
            }
        }
    }

    #[test]
    fn wrong_answers_are_foreign() {
        let asked = question("www.test", Kind::A);
        let good = reply(&asked, Rcode::NOERROR, |_| {});
        assert!(matches!(asked.read(&good), Reading::Answer(_)));
        let others = [
            Question {
                id: 4712,
                ..asked.clone()
            },
            question("www.tesT.x", Kind::A),
            question("www.test", Kind::Aaaa),
        ];
        for other in others {
            assert_eq!(other.read(&good), Reading::Foreign, "{other:?}");
        }
        assert_eq!(
            asked.read(&asked.to_bytes(Manner::default()).expect("a question")),
            Reading::Foreign
        );
        assert_eq!(asked.read(&[]), Reading::Foreign);
        assert_eq!(asked.read(&good[..11]), Reading::Foreign);
        assert_eq!(asked.read(&good[..12]), Reading::Foreign);
    }

    #[test]
    fn codes_and_flags() {
        let asked = question("www.test", Kind::A);
        let read = |rcode| asked.read(&reply(&asked, rcode, |_| {}));
        assert!(matches!(read(Rcode::SERVFAIL), Reading::Failed(text) if text.contains("SERVFAIL")));
        assert!(matches!(read(Rcode::REFUSED), Reading::Failed(text) if text.contains("REFUSED")));
        assert!(matches!(read(Rcode::YXDOMAIN), Reading::Failed(_)));
        assert_eq!(read(Rcode::FORMERR), Reading::FormatError);
        assert_eq!(read(Rcode::NOTIMP), Reading::FormatError);
        let truncated = reply(&asked, Rcode::NOERROR, |records| records.header_mut().set_tc(true));
        assert_eq!(asked.read(&truncated), Reading::Truncated);
        let lame = reply(&asked, Rcode::NOERROR, |records| records.header_mut().set_ra(false));
        assert!(matches!(asked.read(&lame), Reading::Failed(_)));
        let mut bare = MessageBuilder::new_vec();
        bare.header_mut().set_id(4711);
        bare.header_mut().set_qr(true);
        bare.header_mut().set_rcode(Rcode::FORMERR);
        assert_eq!(asked.read(&bare.finish()), Reading::FormatError);
    }

    #[test]
    fn an_answer_that_breaks_off_is_a_failure() {
        let asked = question("www.test", Kind::A);
        let bytes = reply(&asked, Rcode::NOERROR, |records| {
            records
                .push((name("www.test"), ttl(30), A::from_octets(10, 0, 0, 1)))
                .expect("fits");
        });
        assert!(matches!(asked.read(&bytes[..bytes.len() - 1]), Reading::Failed(_)));
    }

    #[test]
    fn a_negative_time_to_live_is_nothing() {
        let asked = question("www.test", Kind::A);
        let bytes = reply(&asked, Rcode::NOERROR, |records| {
            records
                .push((name("www.test"), ttl(0x8000_0000), A::from_octets(10, 0, 0, 1)))
                .expect("fits");
        });
        assert_eq!(answer(asked.read(&bytes)).ttl, Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = question("www.test", Kind::A).read(&bytes);
        }

        /// Bytes that pass the first checks, so that the records are reached.
        #[test]
        fn no_damaged_answer_panics(damage in prop::collection::vec((30usize..120, any::<u8>()), 0..6), cut in 30usize..120) {
            let asked = question("www.test", Kind::A);
            let mut bytes = reply(&asked, Rcode::NOERROR, |records| {
                records.push((name("www.test"), ttl(30), Cname::new(name("b.test")))).expect("fits");
                records.push((name("b.test"), ttl(30), A::from_octets(10, 0, 0, 1))).expect("fits");
            });
            for (at, byte) in damage {
                if let Some(target) = bytes.get_mut(at) {
                    *target = byte;
                }
            }
            bytes.truncate(cut);
            let _ = asked.read(&bytes);
        }
    }
}
