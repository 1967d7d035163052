//! From a client's message to its answer: at once from the cache where that is possible, else by way of the upstreams.
//!
//! ```text
//!   message ─► question ─┬─► refused, local name, cached: answered in place
//!                        └─► a greenlet of its own ─► in flight already? wait with the others
//!                                                     else ask the upstreams in turn ─► sanitise ─► cache
//! ```
//!
//! What all hubs share is in [`Shared`]; a [`Forwarder`] is one hub's view of it, with sockets of its own.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::answer::{self, Rejected};
use crate::cache::Cache;
use crate::config::Config;
use crate::edns::{self, Transport};
use crate::exchange::{NoAnswer, Sockets};
use crate::in_flight::{InFlight, Role};
use crate::local_names;
use crate::question::{self, OwnedQuery, Query, Rcode, Reading};
use crate::shutdown::{Ticket, Work};
use crate::stored::Stored;
use crate::upstream_query::UpstreamQuery;
use crate::upstreams::{Upstream, Upstreams};
use crate::wire::{RCODE, RECURSION_AVAILABLE, RESPONSE, TRUNCATED};

/// How many seconds a failure is kept (RFC 9520 asks for 1 to 300).
const FAILURE_LIFETIME: u32 = 5;
/// What is left of a query's time for the way back to the client: a twentieth, but never more than this.
const MOST_SPARE: Duration = Duration::from_millis(200);
/// The shortest time for which it is worth while to ask anybody.
const LEAST_TRY: Duration = Duration::from_millis(10);
/// How long after its death an upstream is probed first, and at most between two probes.
const PROBES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What all hubs share.
pub(crate) struct Shared {
    /// What the command line said.
    pub(crate) config: Config,
    /// The answers that are kept.
    cache: Cache,
    /// The questions that are being asked.
    in_flight: InFlight,
    /// What is to be finished before the end.
    pub(crate) work: Arc<Work>,
    /// The name servers.
    upstreams: Upstreams,
}

impl Shared {
    /// Everything at its beginning.
    pub(crate) fn new(config: Config) -> Arc<Shared> {
        Arc::new(Shared {
            cache: Cache::new(config.cache_entries, config.threads),
            in_flight: InFlight::default(),
            work: Arc::default(),
            upstreams: Upstreams::new(&config.upstreams),
            config,
        })
    }
}

/// What is to be done about a message.
pub(crate) enum Response {
    /// The answer has been written: send it.
    Ready,
    /// Nothing.
    Silence,
    /// The answer takes time: call [`Forwarder::resolve`] in a greenlet of its own.
    Later(OwnedQuery, Ticket),
}

/// One hub's view of the forwarder.
pub(crate) struct Forwarder {
    /// What all hubs share.
    pub(crate) shared: Arc<Shared>,
    /// This hub's sockets.
    sockets: Sockets,
}

impl Forwarder {
    /// The view of one hub.
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Forwarder> {
        let addresses = shared.upstreams.all().iter().map(|upstream| upstream.address);
        let sockets = Sockets::new(addresses, shared.config.threads);
        Rc::new(Forwarder { shared, sockets })
    }

    /// Answers a message at once if that is possible, by appending to `out`. Never parks.
    pub(crate) fn respond(&self, message: &[u8], transport: Transport, out: &mut Vec<u8>) -> Response {
        let query = match question::read(message) {
            Reading::Query(query) => query,
            Reading::BadVersion(query) => {
                write_bad_version(&query, out);
                return Response::Ready;
            }
            Reading::Refuse(rcode) => {
                out.extend_from_slice(&question::refusal(message, rcode));
                return Response::Ready;
            }
            Reading::Ignore => return Response::Silence,
        };
        let (key, now) = (query.key(), Instant::now());
        let hit = self
            .shared
            .cache
            .find(&key, &query, now, |answer| answer.render(&query, transport, now, out));
        if hit.is_some() {
            return Response::Ready;
        }
        let made = local_names::answer(&query, now).or_else(|| {
            let above = self.shared.cache.find_missing_above(&query, now)?;
            answer::below_missing(&query, &above)
        });
        if let Some(answer) = made {
            answer.render(&query, transport, now, out);
            return Response::Ready;
        }
        match self.shared.work.begin_waiting() {
            Some(ticket) => Response::Later(query.to_owned(), ticket),
            None => {
                too_busy(&query, now).render(&query, transport, now, out);
                Response::Ready
            }
        }
    }

    /// Appends the answer to a query for which [`Forwarder::respond`] said `Later`. Parks until it is there, for no
    /// longer than a query may take.
    pub(crate) fn resolve(self: &Rc<Self>, query: &OwnedQuery, transport: Transport, out: &mut Vec<u8>) {
        let query = query.as_query();
        let (answer, now) = self.look_up(&query);
        answer.render(&query, transport, now, out);
    }

    /// The answer, from the upstreams or from whoever asks them already, and the time as of which it is to be given: one that
    /// has just come has its full TTLs.
    fn look_up(self: &Rc<Self>, query: &Query<'_>) -> (Arc<Stored>, Instant) {
        let shared = &self.shared;
        let started = Instant::now();
        let timeout = shared.config.timeout;
        let key = query.key();
        let answer = match shared.in_flight.join(&key) {
            Role::Lead(lead) => {
                // Whoever led until a moment ago, on another hub, may have left the answer.
                if let Some(answer) = shared.cache.find(&key, query, started, Arc::clone) {
                    lead.land(Arc::clone(&answer));
                    return (answer, started);
                }
                let deadline = started + timeout - (timeout / 20).min(MOST_SPARE);
                let answer = Arc::new(self.ask_upstreams(query, deadline));
                shared.cache.keep(query, &answer);
                lead.land(Arc::clone(&answer));
                answer
            }
            Role::Follow(flight) => flight
                .wait(timeout)
                .unwrap_or_else(|| Arc::new(too_busy(query, started))),
            Role::Full => Arc::new(too_busy(query, started)),
        };
        let now = started.max(answer.born());
        (answer, now)
    }

    /// Asks the upstreams in turn, and again those that did not answer in time. A failure at worst.
    fn ask_upstreams(self: &Rc<Self>, query: &Query<'_>, deadline: Instant) -> Stored {
        let mut candidates = self.shared.upstreams.in_turn();
        let mut trouble = String::new();
        for tries_before in 0.. {
            let mut silent = Vec::new();
            for &index in &candidates {
                let upstream = &self.shared.upstreams.all()[index];
                let left = deadline.saturating_duration_since(Instant::now());
                if left < LEAST_TRY {
                    silent.clear();
                    break;
                }
                match self.ask(index, query, upstream.patience(tries_before).min(left), left) {
                    Ok(stored) => return stored,
                    Err(failure) => {
                        if failure == Failure::NoAnswer(NoAnswer::TimedOut) {
                            silent.push(index);
                        }
                        trouble = format!("{}: {failure}", upstream.address);
                    }
                }
            }
            if silent.is_empty() {
                break;
            }
            candidates = silent;
        }
        Stored::empty(query, Rcode::ServFail, Instant::now(), FAILURE_LIFETIME)
            .with_error(edns::NO_REACHABLE_AUTHORITY, trouble)
    }

    /// Asks one upstream: over UDP for as long as `patience`, and whatever else it takes to get an answer from it for as long
    /// as `left`.
    fn ask(
        self: &Rc<Self>,
        index: usize,
        query: &Query<'_>,
        patience: Duration,
        left: Duration,
    ) -> Result<Stored, Failure> {
        let upstream = &self.shared.upstreams.all()[index];
        let started = Instant::now();
        let deadline = started + left;
        let with_edns = upstream.takes_edns();
        let message = match self.exchange(upstream, index, query, with_edns, patience, deadline) {
            Ok(message) => message,
            Err(trouble) => {
                if upstream.failed() {
                    self.probe_until_alive(index);
                }
                return Err(Failure::NoAnswer(trouble));
            }
        };
        upstream.answered(started.elapsed());
        let message = if with_edns && dislikes_edns(&message) {
            let left = deadline.saturating_duration_since(Instant::now());
            let plain = self.exchange(upstream, index, query, false, patience.min(left), deadline);
            let plain = plain.map_err(Failure::NoAnswer)?;
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

    /// One message there and one back: over UDP, and over TCP where the answer is truncated or may be forged.
    fn exchange(
        &self,
        upstream: &Upstream,
        index: usize,
        query: &Query<'_>,
        edns: bool,
        patience: Duration,
        deadline: Instant,
    ) -> Result<Vec<u8>, NoAnswer> {
        let bits = upstream.keeps_case().then(rand::random);
        let asked = Rc::new(UpstreamQuery::new(query, edns, bits));
        let other_case = match self.sockets.ask(index, &asked, patience) {
            Ok(message) if message[2] & TRUNCATED == 0 => return Ok(message),
            Ok(_) => false,
            Err(NoAnswer::OtherCase) => true,
            Err(trouble) => return Err(trouble),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.sockets.ask_by_tcp(index, &asked, left);
        // Over TCP it is certain who answers. One who does not talk TCP has to be believed that it folds the case.
        if other_case && answer.as_ref().map_or(true, |answer| !asked.is_exact(answer)) {
            upstream.does_not_keep_case();
        }
        answer
    }

    /// Asks a dead upstream for the root now and then, behind everybody's back, until it answers.
    fn probe_until_alive(self: &Rc<Self>, index: usize) {
        let this = Rc::clone(self);
        drop(iora::spawn(move || {
            let upstream = &this.shared.upstreams.all()[index];
            let mut pause = PROBES.0;
            while !upstream.is_alive() {
                iora::sleep(pause);
                pause = (pause * 2).min(PROBES.1);
                let root = Query::for_root();
                let started = Instant::now();
                let asked = Rc::new(UpstreamQuery::new(&root, false, None));
                if this.sockets.ask(index, &asked, PROBES.0).is_ok() {
                    upstream.answered(started.elapsed());
                }
            }
        }));
    }
}

/// Why an upstream's answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// There was none.
    NoAnswer(NoAnswer),
    /// It does not help.
    Rejected(Rejected),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::NoAnswer(NoAnswer::TimedOut) => formatter.write_str("no answer in time"),
            Failure::NoAnswer(NoAnswer::Unreachable(kind)) => write!(formatter, "{kind}"),
            Failure::NoAnswer(NoAnswer::OtherCase) => formatter.write_str("the question came back in another case"),
            Failure::Rejected(Rejected::Malformed) => formatter.write_str("malformed answer"),
            Failure::Rejected(Rejected::Failure(rcode)) => write!(formatter, "response code {rcode}"),
            Failure::Rejected(Rejected::Referral) => formatter.write_str("it does not resolve names for others"),
        }
    }
}

/// Whether an upstream's message says that it does not understand EDNS.
fn dislikes_edns(message: &[u8]) -> bool {
    let rcode = message[3] & RCODE;
    // BADVERS is 16: its lowest four bits are zero, and an OPT holds the rest.
    let bad_version = rcode == 0 && message.len() > 11 && {
        let parsed = domain::base::Message::from_slice(message).ok();
        parsed.is_some_and(|message| message.opt_rcode().to_int() == u16::from(edns::BAD_VERSION) << 4)
    };
    rcode == Rcode::FormErr as u8 || rcode == Rcode::NotImp as u8 || bad_version
}

/// A failure for want of room.
fn too_busy(query: &Query<'_>, now: Instant) -> Stored {
    Stored::empty(query, Rcode::ServFail, now, 0).with_error(edns::NOT_READY, "too many queries wait".into())
}

/// Answers a query whose EDNS has a version that is not known.
fn write_bad_version(query: &Query<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&query.asked.id.to_be_bytes());
    let desired = u8::from(query.asked.recursion_desired);
    out.extend_from_slice(&[RESPONSE | desired, RECURSION_AVAILABLE, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(query.question);
    edns::append_opt(out, start, query.asked.edns, edns::BAD_VERSION, None);
}
