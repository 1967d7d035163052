//! Queries that wait: equal ones wait together, and there are never too many.
//!
//! The first to ask a question leads and asks the upstreams. Whoever asks the same before the answer is there follows: it
//! waits for the leader's answer and sends nothing. Nobody's going away disturbs the others, for the leader waits in a
//! greenlet of its own; should it end without an answer, the followers are told so.
//!
//! The bounds keep somebody who piles up questions (to release a burst of answers at somebody else, or to use up the
//! memory) from getting far.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use iora::sync::AsyncResult;

use crate::question::Key;
use crate::stored::Stored;

/// How many may wait for the answer to one question.
const MOST_FOLLOWERS: usize = 1_000;

/// The questions that are being asked upstream.
#[derive(Default)]
pub(crate) struct InFlight {
    /// Who asks, by question. The lock is held for a look-up, never while a greenlet parks.
    flights: Mutex<HashMap<Box<[u8]>, Arc<Flight>>>,
}

/// One question that is being asked.
#[derive(Default)]
pub(crate) struct Flight {
    /// The leader's answer; `None` when it ended without one.
    answer: AsyncResult<Option<Arc<Stored>>>,
    /// How many follow.
    followers: AtomicUsize,
}

/// What whoever asks a question has to do.
pub(crate) enum Role<'a> {
    /// Ask the upstreams, and say what they said.
    Lead(Lead<'a>),
    /// Wait for what the leader says.
    Follow(Arc<Flight>),
    /// Give up: too many wait already.
    Full,
}

/// The duty to land a flight: ends it on drop, with or without an answer.
pub(crate) struct Lead<'a> {
    /// The table that the flight is in.
    table: &'a InFlight,
    /// Under which it is there.
    key: &'a Key,
    /// The flight.
    flight: Arc<Flight>,
}

impl InFlight {
    /// Joins those who ask this question.
    pub(crate) fn join<'a>(&'a self, key: &'a Key) -> Role<'a> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key.as_bytes()) {
            if flight.followers.fetch_add(1, Ordering::Relaxed) >= MOST_FOLLOWERS {
                return Role::Full;
            }
            return Role::Follow(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::default());
        flights.insert(key.as_bytes().into(), Arc::clone(&flight));
        Role::Lead(Lead {
            table: self,
            key,
            flight,
        })
    }

    /// The table. Nothing panics while it is locked.
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Parks until the leader has ended, or the time is over. The answer, if there is one.
    pub(crate) fn wait(&self, longest: Duration) -> Option<Arc<Stored>> {
        self.answer.get_timeout(longest).flatten()
    }
}

impl Lead<'_> {
    /// Gives the answer to all who follow. It must be in the cache already: who comes later finds it there, or leads.
    pub(crate) fn land(self, answer: Arc<Stored>) {
        self.end(Some(answer));
    }

    /// Takes the flight out of the table, and then wakes the followers, unless that has been done.
    fn end(&self, answer: Option<Arc<Stored>>) {
        if !self.flight.answer.ready() {
            self.table.lock().remove(self.key.as_bytes());
            let _ = self.flight.answer.set(answer);
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::question::tests::query_bytes;
    use crate::question::{Rcode, Reading, read};

    fn key_and_answer(name: &str) -> (Key, Arc<Stored>) {
        let message = query_bytes(1, name, 1, &[]);
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        (
            query.key(),
            Arc::new(Stored::empty(&query, Rcode::NoError, Instant::now(), 1)),
        )
    }

    #[test]
    fn the_first_leads_and_the_others_get_its_answer() {
        let table = InFlight::default();
        let (key, answer) = key_and_answer("a.example");
        let (other, _) = key_and_answer("b.example");
        let Role::Lead(lead) = table.join(&key) else {
            panic!("nobody led")
        };
        let Role::Follow(flight) = table.join(&key) else {
            panic!("two led")
        };
        assert!(matches!(table.join(&other), Role::Lead(_)), "another question");
        lead.land(Arc::clone(&answer));
        assert!(Arc::ptr_eq(&flight.wait(Duration::from_secs(10)).unwrap(), &answer));
        assert!(
            matches!(table.join(&key), Role::Lead(_)),
            "what has landed is not joined"
        );
    }

    #[test]
    fn a_leader_that_fails_leaves_nobody_waiting() {
        let table = InFlight::default();
        let (key, _) = key_and_answer("a.example");
        let Role::Lead(lead) = table.join(&key) else {
            panic!("nobody led")
        };
        let Role::Follow(flight) = table.join(&key) else {
            panic!("two led")
        };
        drop(lead);
        assert!(flight.answer.ready());
        assert!(flight.wait(Duration::from_secs(10)).is_none());
        assert!(matches!(table.join(&key), Role::Lead(_)), "the next one tries");
    }

    #[test]
    fn followers_are_bounded() {
        let table = InFlight::default();
        let (key, _) = key_and_answer("a.example");
        let _lead = table.join(&key);
        let followers = (0..MOST_FOLLOWERS + 5)
            .filter(|_| matches!(table.join(&key), Role::Follow(_)))
            .count();
        assert_eq!(followers, MOST_FOLLOWERS);
    }
}
