//! Equal look-ups in flight are one: the first comer does the work, the others wait for its result.
//!
//! ```text
//!   run(key) ── nobody flies ──> work() ──> landed: table entry gone, result kept for those who wait, all woken
//!       └────── somebody does ─> wait ──┬─> landed: a copy of the result
//!                                       └─> lost (its flier was killed or panicked): start over
//! ```
//!
//! 1. A flight leaves the table when it lands or is lost, by a guard: a later call never sees an old result.
//! 2. A waiter that is killed leaves the list, by a guard. Nobody is woken under a lock.
//! 3. A waiter gives up waiting at its deadline and does the work itself: a flier whose thread has gone cannot hold it for ever.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::hub::park::{Unparker, WakeReason, park};

/// The flights of one kind.
#[derive(Debug)]
pub(crate) struct Flights<K: Hash + Eq + Clone, V: Clone> {
    /// Those that are up.
    table: Mutex<HashMap<K, Arc<Flight<V>>>>,
}

/// One piece of work.
#[derive(Debug)]
struct Flight<V> {
    /// How far it is, and who waits.
    state: Mutex<State<V>>,
}

/// How far a flight is.
#[derive(Debug)]
enum State<V> {
    /// Up, with those who wait, each under a number of its own.
    Up {
        /// The next waiter's number.
        next: u64,
        /// In order of arrival.
        waiters: Vec<(u64, Unparker)>,
    },
    /// Done.
    Landed(V),
    /// Its flier unwound.
    Lost,
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// No flights.
    pub(crate) fn new() -> Flights<K, V> {
        Flights {
            table: Mutex::new(HashMap::new()),
        }
    }

    /// The result of `work`, or of an equal one that is under way. Parks the greenlet until it is there;
    /// from `deadline` on it does the work itself.
    pub(crate) fn run(&self, key: &K, deadline: Instant, work: impl FnOnce() -> V) -> V {
        loop {
            let other = {
                let mut table = lock(&self.table);
                match table.get(key) {
                    Some(flight) => flight.clone(),
                    None => {
                        let state = Mutex::new(State::Up {
                            next: 0,
                            waiters: Vec::new(),
                        });
                        let flight = Arc::new(Flight { state });
                        table.insert(key.clone(), flight.clone());
                        drop(table);
                        let landing = Landing {
                            flights: self,
                            key,
                            flight,
                        };
                        let value = work();
                        landing.finish(State::Landed(value.clone()));
                        return value;
                    }
                }
            };
            match other.wait(deadline) {
                Outcome::Landed(value) => return value,
                Outcome::Lost => {}
                Outcome::GaveUp => return work(),
            }
        }
    }
}

/// How waiting for a flight ended.
enum Outcome<V> {
    /// With its result.
    Landed(V),
    /// Without one.
    Lost,
    /// It did not end in time, or may not be waited for (the caller unwinds).
    GaveUp,
}

impl<V: Clone> Flight<V> {
    /// Waits until the flight ends.
    fn wait(&self, deadline: Instant) -> Outcome<V> {
        let number = match &mut *lock(&self.state) {
            State::Up { next, waiters } => {
                *next += 1;
                waiters.push((*next, Unparker::current()));
                *next
            }
            State::Landed(value) => return Outcome::Landed(value.clone()),
            State::Lost => return Outcome::Lost,
        };
        let _place = Place { flight: self, number };
        loop {
            let reason = park(Some(deadline), "look-up");
            match &*lock(&self.state) {
                State::Landed(value) => return Outcome::Landed(value.clone()),
                State::Lost => return Outcome::Lost,
                State::Up { .. } => {}
            }
            if reason != WakeReason::Unparked {
                return Outcome::GaveUp;
            }
        }
    }
}

/// A waiter's place in the list.
struct Place<'a, V> {
    /// Whose list.
    flight: &'a Flight<V>,
    /// Under which number.
    number: u64,
}

impl<V> Drop for Place<'_, V> {
    fn drop(&mut self) {
        if let State::Up { waiters, .. } = &mut *lock(&self.flight.state) {
            waiters.retain(|(number, _)| *number != self.number);
        }
    }
}

/// Ends a flight: with a result, or lost when dropped without one.
struct Landing<'a, K: Hash + Eq + Clone, V: Clone> {
    /// The table that it is in.
    flights: &'a Flights<K, V>,
    /// Under which key.
    key: &'a K,
    /// The flight.
    flight: Arc<Flight<V>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Landing<'_, K, V> {
    /// Ends the flight in `state`; dropping the guard afterwards finds nothing left to do.
    fn finish(self, state: State<V>) {
        self.end(state);
    }

    /// Takes the flight out of the table, sets its state and wakes those who wait. The second call does nothing.
    fn end(&self, state: State<V>) {
        {
            let mut table = lock(&self.flights.table);
            if table
                .get(self.key)
                .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
            {
                table.remove(self.key);
            }
        }
        let waiters = {
            let mut present = lock(&self.flight.state);
            match &mut *present {
                State::Up { waiters, .. } => {
                    let waiters = std::mem::take(waiters);
                    *present = state;
                    waiters
                }
                State::Landed(_) | State::Lost => return,
            }
        };
        for (_, waiter) in waiters {
            waiter.unpark();
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        self.end(State::Lost);
    }
}

/// Locks; a panic elsewhere leaves the data whole, as each change is one statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// Waits, by looking, until `count` threads wait for the flight of `key`.
    fn until_waiting(flights: &Flights<u8, usize>, key: u8, count: usize) {
        loop {
            let flight = lock(&flights.table).get(&key).cloned();
            if let Some(flight) = flight
                && let State::Up { waiters, .. } = &*lock(&flight.state)
                && waiters.len() == count
            {
                return;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn equal_work_is_done_once() {
        let (flights, done) = (Flights::new(), AtomicUsize::new(0));
        let (open, gate) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let gate = gate;
                flights.run(&1, far(), || {
                    gate.recv().expect("opened");
                    done.fetch_add(1, Ordering::SeqCst) + 41
                })
            });
            until_waiting(&flights, 1, 0);
            let others: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| flights.run(&1, far(), || panic!("one is up already"))))
                .collect();
            assert_eq!(flights.run(&2, far(), || 7), 7, "other work is not held up");
            until_waiting(&flights, 1, 3);
            open.send(()).expect("waited for");
            for thread in others.into_iter().chain([first]) {
                assert_eq!(thread.join().expect("no panic"), 41);
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 1);
        assert!(lock(&flights.table).is_empty());
        assert_eq!(flights.run(&1, far(), || 5), 5, "an old result is not told");
    }

    #[test]
    fn a_lost_flight_is_taken_up_by_a_waiter() {
        let flights = Flights::new();
        let (open, gate) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let gate = gate;
                catch_unwind(AssertUnwindSafe(|| {
                    flights.run(&1, far(), || {
                        gate.recv().expect("opened");
                        std::panic::resume_unwind(Box::new("lost"))
                    })
                }))
            });
            until_waiting(&flights, 1, 0);
            let other = scope.spawn(|| flights.run(&1, far(), || 9));
            until_waiting(&flights, 1, 1);
            open.send(()).expect("waited for");
            assert!(first.join().expect("caught").is_err());
            assert_eq!(other.join().expect("no panic"), 9);
        });
        assert!(lock(&flights.table).is_empty());
    }

    #[test]
    fn a_waiter_helps_itself_at_its_deadline() {
        let flights = Flights::new();
        let (open, gate) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let gate = gate;
                flights.run(&1, far(), || {
                    gate.recv().expect("opened");
                    1
                })
            });
            until_waiting(&flights, 1, 0);
            assert_eq!(flights.run(&1, Instant::now(), || 2), 2);
            until_waiting(&flights, 1, 0);
            open.send(()).expect("waited for");
            assert_eq!(first.join().expect("no panic"), 1);
        });
    }
}
