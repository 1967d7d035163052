//! From a client's message to its answer: at once from the cache where that is possible, else by way of the upstreams.
//!
//! ```text
//!   message ─► question ─┬─► refused, local name, cached: answered in place
//!                        └─► a greenlet of its own ─► in flight already? wait with the others
//!                                                     else ask the upstreams in turn ─► sanitise ─► cache
//! ```
//!
//! What all hubs share is in [`Shared`]; a [`Forwarder`] is one hub's view of it, with a resolver of its own.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::answer;
use crate::cache::Cache;
use crate::config::Config;
use crate::edns::{self, Transport};
use crate::in_flight::{InFlight, Role};
use crate::local_names;
use crate::question::{self, OwnedQuery, Query, Rcode, Reading};
use crate::resolver::Resolver;
use crate::shutdown::{Ticket, Work};
use crate::stored::Stored;
use crate::upstreams::Upstreams;
use crate::wire::{RECURSION_AVAILABLE, RESPONSE};

/// What is left of a query's time for the way back to the client: a twentieth, but never more than this.
const MOST_SPARE: Duration = Duration::from_millis(200);

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
    pub(crate) upstreams: Upstreams,
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
    /// This hub's way to the upstreams.
    resolver: Rc<Resolver>,
}

impl Forwarder {
    /// The view of one hub.
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Forwarder> {
        let resolver = Resolver::new(Arc::clone(&shared));
        Rc::new(Forwarder { shared, resolver })
    }

    /// Answers a message at once if that is possible, by appending to `out`. Never parks.
    pub(crate) fn respond(&self, message: &[u8], transport: Transport, out: &mut Vec<u8>) -> Response {
        let query = match question::read(message) {
            Reading::Query(query) => query,
            Reading::BadVersion(query) => {
                write_refusal(&query, 0, edns::BAD_VERSION, out);
                return Response::Ready;
            }
            Reading::Refuse(query, rcode) => {
                write_refusal(&query, rcode as u8, 0, out);
                return Response::Ready;
            }
            Reading::Reject(rcode) => {
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
    pub(crate) fn resolve(&self, query: &OwnedQuery, transport: Transport, out: &mut Vec<u8>) {
        let query = query.as_query();
        let (answer, now) = self.look_up(&query);
        answer.render(&query, transport, now, out);
    }

    /// The answer, from the upstreams or from whoever asks them already, and the time as of which it is to be given: one that
    /// has just come has its full TTLs.
    fn look_up(&self, query: &Query<'_>) -> (Arc<Stored>, Instant) {
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
                let answer = Arc::new(self.resolver.ask(query, deadline));
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
}

/// A failure for want of room.
fn too_busy(query: &Query<'_>, now: Instant) -> Stored {
    Stored::empty(query, Rcode::ServFail, now, 0).with_error(edns::NOT_READY, "too many queries wait".into())
}

/// Answers a query with its question, a response code, whose higher bits EDNS carries, and nothing else.
fn write_refusal(query: &Query<'_>, rcode: u8, rcode_high: u8, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&query.asked.id.to_be_bytes());
    let desired = u8::from(query.asked.recursion_desired);
    out.extend_from_slice(&[RESPONSE | desired, RECURSION_AVAILABLE | rcode, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(query.question);
    edns::append_opt(out, start, query.asked.edns, rcode_high, None);
}
