//! What name servers say of full names: known already, being asked for, or to be asked.
//!
//! ```text
//!   ask(name) ──> cache ──> flight ──> transport ──> message
//!                 known?    once for   the servers   what it means
//!                           all who
//!                           want it
//! ```
//!
//! Its locks are held for a table look-up each and never while parking. Answers got under
//! other settings (other servers, perhaps) are neither told nor kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cache::{Cache, Sign};
use super::flight::Flights;
use super::message::{Answer, Kind, Status};
use super::name::HostName;
use super::settings::Settings;
use super::transport;
pub(crate) use super::transport::Trouble;

/// Under which settings what is asked of a name.
type Wanted = (u64, HostName, &'static [Kind]);

/// The source of answers.
#[derive(Debug)]
pub(crate) struct Answers {
    /// What is known.
    known: Mutex<Known>,
    /// What is being asked.
    flights: Flights<Wanted, Vec<Result<Answer, Trouble>>>,
    /// Which server comes first, where the settings want them rotated.
    turn: AtomicUsize,
}

/// Answers, and the settings under which they were got.
#[derive(Debug)]
struct Known {
    /// The number of the settings.
    generation: u64,
    /// By full name and kind.
    cache: Cache<(HostName, Kind), Answer>,
}

impl Answers {
    /// Knows nothing yet, and will keep at most `most` answers.
    pub(crate) fn new(most: usize) -> Answers {
        let known = Known {
            generation: 0,
            cache: Cache::new(most),
        };
        Answers {
            known: Mutex::new(known),
            flights: Flights::new(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Forgets all answers.
    pub(crate) fn clear(&self) {
        self.lock().cache.clear();
    }

    /// What is known of a full name, or what the servers say of it; one answer for each of `kinds`.
    ///
    /// Parks the greenlet while they are asked.
    pub(crate) fn ask(
        &self,
        settings: &Settings,
        name: &HostName,
        kinds: &'static [Kind],
    ) -> Vec<Result<Answer, Trouble>> {
        if let Some(answers) = self.recall(settings, name, kinds) {
            return answers.into_iter().map(Ok).collect();
        }
        let key = (settings.generation, name.clone(), kinds);
        let deadline = Instant::now() + longest_time(settings);
        self.flights.run(&key, deadline, || {
            // A flight may have landed between the first look and this one.
            if let Some(answers) = self.recall(settings, name, kinds) {
                return answers.into_iter().map(Ok).collect();
            }
            let conf = &settings.resolv_conf;
            let first = if conf.rotate {
                self.turn.fetch_add(1, Ordering::Relaxed) % conf.servers.len()
            } else {
                0
            };
            let answers = transport::ask(conf, first, name, kinds);
            self.remember(settings, name, kinds, &answers);
            answers
        })
    }

    /// What is known of a full name, if that is all that is wanted.
    fn recall(&self, settings: &Settings, name: &HostName, kinds: &[Kind]) -> Option<Vec<Answer>> {
        let now = Instant::now();
        let mut known = self.lock();
        if known.generation != settings.generation {
            return None;
        }
        let cache = &mut known.cache;
        kinds
            .iter()
            .map(|kind| cache.get(&(name.clone(), *kind), now).cloned())
            .collect()
    }

    /// Keeps what was answered.
    fn remember(&self, settings: &Settings, name: &HostName, kinds: &[Kind], answers: &[Result<Answer, Trouble>]) {
        let now = Instant::now();
        let mut known = self.lock();
        if known.generation < settings.generation {
            known.generation = settings.generation;
            known.cache.clear();
        }
        if known.generation != settings.generation {
            return;
        }
        for (kind, answer) in kinds.iter().zip(answers) {
            if let Ok(answer) = answer {
                let sign = if answer.status == Status::Found {
                    Sign::Positive
                } else {
                    Sign::Negative
                };
                known
                    .cache
                    .insert((name.clone(), *kind), answer.clone(), sign, answer.ttl, now);
            }
        }
    }

    /// What is known; a panic elsewhere leaves it whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What asking may take at the longest: each server may be asked by datagram and by TCP.
fn longest_time(settings: &Settings) -> Duration {
    let conf = &settings.resolv_conf;
    let rounds = conf.attempts * conf.servers.len() as u32 * 2 * if conf.single_request { 2 } else { 1 };
    // Two questions that are truncated both are asked by TCP one after the other.
    conf.timeout * (rounds + conf.attempts * conf.servers.len() as u32)
}
