//! One question to the upstreams, until one of them has answered it or its time is over.
//!
//! ```text
//!   first  ├── patience ──┤  nothing yet: ask the next, and go on listening to the first
//!   second                ├── patience ──┤
//!   first                                ├────── twice the patience ──────┤  …      whichever answers first counts
//! ```
//!
//! A failure moves on to the next at once. What was answered badly is not asked again; what was not answered is, for as long
//! as the query's time lasts. Whatever else an answer takes (TCP, no EDNS) is done here too.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::base::iana;
use iora::queue::Queue;

use crate::answer::{self, Rejected};
use crate::edns;
use crate::exchange::{Inbox, Letter, NoAnswer, Sent, Sockets};
use crate::forwarder::Shared;
use crate::question::{Query, Rcode};
use crate::stored::Stored;
use crate::upstream_query::UpstreamQuery;
use crate::upstreams::Upstream;
use crate::wire::{RCODE, TRUNCATED};

/// How many seconds a failure is kept (RFC 9520 asks for 1 to 300).
const FAILURE_LIFETIME: u32 = 5;
/// The shortest time for which it is worth while to ask anybody.
const LEAST_TRY: Duration = Duration::from_millis(10);
/// How long after its death an upstream is probed first, and at most between two probes.
const PROBES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Why an upstream's answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// There was none.
    NoAnswer(NoAnswer),
    /// It does not help.
    Rejected(Rejected),
}

/// What asks the upstreams, for one hub.
pub(crate) struct Resolver {
    /// What all hubs share.
    shared: Arc<Shared>,
    /// This hub's sockets.
    sockets: Sockets,
}

impl Resolver {
    /// The resolver of one hub.
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Resolver> {
        let addresses = shared.upstreams.all().iter().map(|upstream| upstream.address);
        let sockets = Sockets::new(addresses, shared.config.threads);
        Rc::new(Resolver { shared, sockets })
    }

    /// The answer of whichever upstream gives one before the deadline; a failure at worst. Parks until then.
    pub(crate) fn ask(self: &Rc<Self>, query: &Query<'_>, deadline: Instant) -> Stored {
        let inbox = Rc::new(Queue::new());
        let mut tries: Vec<Sent> = Vec::new();
        let mut candidates = self.shared.upstreams.in_turn();
        let mut trouble = String::new();
        for tries_before in 0.. {
            let mut silent = Vec::new();
            for &index in &candidates {
                let upstream = self.upstream(index);
                let now = Instant::now();
                let left = deadline.saturating_duration_since(now);
                if left < LEAST_TRY {
                    return failed(query, trouble);
                }
                let until = now + upstream.patience(tries_before).min(left);
                match self.send(index, query, upstream.takes_edns(), &inbox) {
                    Ok(sent) => tries.push(sent),
                    Err(no_answer) => {
                        self.note_failure(index, no_answer);
                        trouble = format!("{}: {}", upstream.address, Failure::NoAnswer(no_answer));
                        continue;
                    }
                }
                loop {
                    let Some(letter) = receive(&inbox, until) else {
                        self.note_failure(index, NoAnswer::TimedOut);
                        silent.push(index);
                        trouble = format!("{}: {}", upstream.address, Failure::NoAnswer(NoAnswer::TimedOut));
                        break;
                    };
                    let from = letter.upstream;
                    match self.open(query, letter, deadline) {
                        Ok(stored) => return stored,
                        Err(failure) => trouble = format!("{}: {failure}", self.upstream(from).address),
                    }
                    if from == index {
                        break;
                    }
                    // It was silent before, and now it is no better.
                    silent.retain(|&other| other != from);
                }
            }
            if silent.is_empty() {
                break;
            }
            candidates = silent;
        }
        failed(query, trouble)
    }

    /// One of the upstreams.
    fn upstream(&self, index: usize) -> &Upstream {
        &self.shared.upstreams.all()[index]
    }

    /// Sends the query to an upstream; its answer comes to the inbox.
    fn send(&self, index: usize, query: &Query<'_>, edns: bool, inbox: &Inbox) -> Result<Sent, NoAnswer> {
        let bits = self.upstream(index).keeps_case().then(rand::random);
        self.sockets
            .send(index, Rc::new(UpstreamQuery::new(query, edns, bits)), inbox)
    }

    /// What can be kept of what came from an upstream; it may take more questions to that upstream to know.
    fn open(self: &Rc<Self>, query: &Query<'_>, letter: Letter, deadline: Instant) -> Result<Stored, Failure> {
        let (index, round_trip) = (letter.upstream, letter.sent.elapsed());
        let had_edns = letter.query.has_edns();
        let message = self.whole(letter, deadline).map_err(|no_answer| {
            self.note_failure(index, no_answer);
            Failure::NoAnswer(no_answer)
        })?;
        let upstream = self.upstream(index);
        upstream.answered(round_trip);
        let message = if had_edns && dislikes_edns(&message) {
            let plain = self
                .ask_without_edns(query, index, deadline)
                .map_err(Failure::NoAnswer)?;
            if plain[3] & RCODE != Rcode::FormErr as u8 {
                upstream.does_without_edns();
            }
            plain
        } else {
            message
        };
        let rules = &self.shared.config.ttl_rules;
        answer::sanitise(query, &message, rules, Instant::now()).map_err(Failure::Rejected)
    }

    /// The whole message: fetched over TCP where the one that came is truncated or may be forged.
    fn whole(&self, letter: Letter, deadline: Instant) -> Result<Vec<u8>, NoAnswer> {
        let other_case = match letter.outcome {
            Ok(message) if message[2] & TRUNCATED == 0 => return Ok(message),
            Ok(_) => false,
            Err(NoAnswer::OtherCase) => true,
            Err(no_answer) => return Err(no_answer),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.sockets.ask_by_tcp(letter.upstream, &letter.query, left);
        // Over TCP it is certain who answers. One who does not talk TCP has to be believed that it folds the case.
        let folds = match &answer {
            Ok(answer) => !letter.query.is_exact(answer),
            Err(no_answer) => *no_answer != NoAnswer::NotAsked,
        };
        if other_case && folds {
            self.upstream(letter.upstream).does_not_keep_case();
        }
        answer
    }

    /// Asks an upstream once more, without EDNS.
    fn ask_without_edns(&self, query: &Query<'_>, index: usize, deadline: Instant) -> Result<Vec<u8>, NoAnswer> {
        let inbox = Rc::new(Queue::new());
        let _sent = self.send(index, query, false, &inbox)?;
        let until = deadline.min(Instant::now() + self.upstream(index).patience(0));
        let letter = receive(&inbox, until).ok_or(NoAnswer::TimedOut)?;
        self.whole(letter, deadline)
    }

    /// An upstream gave no answer; should it be dead now, it is probed until it lives. One that was not asked has not failed.
    fn note_failure(self: &Rc<Self>, index: usize, why: NoAnswer) {
        if why != NoAnswer::NotAsked && self.upstream(index).failed() {
            let this = Rc::clone(self);
            drop(iora::spawn(move || this.probe_until_alive(index)));
        }
    }

    /// Asks a dead upstream for the root now and then, behind everybody's back, until it answers.
    fn probe_until_alive(&self, index: usize) {
        let upstream = self.upstream(index);
        let mut pause = PROBES.0;
        while !upstream.is_alive() {
            iora::sleep(pause);
            pause = (pause * 2).min(PROBES.1);
            let inbox = Rc::new(Queue::new());
            let Ok(_sent) = self.send(index, &Query::for_root(), false, &inbox) else {
                continue;
            };
            if let Some(letter) = receive(&inbox, Instant::now() + PROBES.0)
                && letter.outcome.is_ok()
            {
                upstream.answered(letter.sent.elapsed());
            }
        }
    }
}

/// The next letter, if one comes in time.
fn receive(inbox: &Inbox, until: Instant) -> Option<Letter> {
    inbox.get_timeout(until.saturating_duration_since(Instant::now())).ok()
}

/// The answer when nobody gave one.
fn failed(query: &Query<'_>, trouble: String) -> Stored {
    Stored::empty(query, Rcode::ServFail, Instant::now(), FAILURE_LIFETIME)
        .with_error(edns::NO_REACHABLE_AUTHORITY, trouble)
}

/// Whether an upstream's message says that it does not understand EDNS.
fn dislikes_edns(message: &[u8]) -> bool {
    let rcode = message[3] & RCODE;
    // BADVERS is 16: its lowest four bits are zero, and an OPT holds the rest.
    let bad_version = || {
        let parsed = domain::base::Message::from_slice(message).ok();
        parsed.is_some_and(|message| message.opt_rcode().to_int() == u16::from(edns::BAD_VERSION) << 4)
    };
    let empty = message[6..10] == [0; 4];
    rcode == Rcode::FormErr as u8 || rcode == Rcode::NotImp as u8 || rcode == 0 && empty && bad_version()
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::NoAnswer(NoAnswer::TimedOut) => formatter.write_str("no answer in time"),
            Failure::NoAnswer(NoAnswer::Unreachable(kind)) => write!(formatter, "{kind}"),
            Failure::NoAnswer(NoAnswer::NotAsked) => {
                formatter.write_str("not asked, for want of descriptors or memory")
            }
            Failure::NoAnswer(NoAnswer::OtherCase) => formatter.write_str("the question came back in another case"),
            Failure::Rejected(Rejected::Malformed) => formatter.write_str("malformed answer"),
            Failure::Rejected(Rejected::Failure(rcode)) => {
                write!(formatter, "it says {}", iana::Rcode::masked_from_int(*rcode))
            }
            Failure::Rejected(Rejected::Referral) => formatter.write_str("it does not resolve names for others"),
        }
    }
}
