//! Equal look-ups in flight are one: the first comer does the work, the others wait for its result.
//!
//! ```text
//!   run(key) ── nobody flies ──> work() ──> landed: table entry gone, result kept for those who wait, all woken
//!       └────── somebody does ─> wait ──┬─> landed: a copy of the result
//!                                       └─> lost (its flier was killed or panicked): start over
//! ```
//!
//! 1. A flight leaves the table when it lands or is lost, by a guard: a later call never sees an old result.
//! 2. A waiter gives up waiting at its deadline and does the work itself: a flier whose thread has gone cannot hold it for ever.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::sync::wait_queue::{Handover, View, WaitQueue, Waited};

/// The flights of one kind.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    /// Those that are up.
    table: Mutex<HashMap<K, Arc<Flight<V>>>>,
}

/// One piece of work.
struct Flight<V> {
    /// How far it is, and who waits for it to end.
    state: WaitQueue<State<V>>,
}

/// How far a flight is.
enum State<V> {
    /// Under way.
    Up,
    /// Done.
    Landed(Arc<V>),
    /// Its flier unwound.
    Lost,
}

impl<V> Handover for State<V> {
    type Aside = ();
    type Ticket = ();

    /// All who wait are told of the end; none of them takes it away from another.
    fn take_back(_: &mut View<'_, State<V>>, _: usize, _: &mut ()) {}
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
            match self.board(key) {
                Boarded::First(landing) => {
                    let value = Arc::new(work());
                    landing.end(State::Landed(value.clone()));
                    drop(landing);
                    // No copy where nobody else wants one.
                    return Arc::try_unwrap(value).unwrap_or_else(|shared| V::clone(&shared));
                }
                Boarded::Later(flight) => match flight.wait(deadline) {
                    Outcome::Landed(value) => return V::clone(&value),
                    Outcome::Lost => {}
                    Outcome::GaveUp => return work(),
                },
            }
        }
    }

    /// Joins the flight of `key`, or starts it.
    fn board<'a>(&'a self, key: &'a K) -> Boarded<'a, K, V> {
        let mut table = lock(&self.table);
        if let Some(flight) = table.get(key) {
            return Boarded::Later(flight.clone());
        }
        let flight = Arc::new(Flight {
            state: WaitQueue::new(State::Up),
        });
        table.insert(key.clone(), flight.clone());
        Boarded::First(Landing {
            flights: self,
            key,
            flight,
        })
    }
}

/// How one came to a flight.
enum Boarded<'a, K: Hash + Eq, V> {
    /// As the one who does the work.
    First(Landing<'a, K, V>),
    /// As one who waits.
    Later(Arc<Flight<V>>),
}

/// How waiting for a flight ended.
enum Outcome<V> {
    /// With its result.
    Landed(Arc<V>),
    /// Without one.
    Lost,
    /// It did not end in time, or may not be waited for (the caller unwinds).
    GaveUp,
}

impl<V> State<V> {
    /// How the flight ended, if it has.
    fn outcome(&self) -> Option<Outcome<V>> {
        match self {
            State::Up => None,
            State::Landed(value) => Some(Outcome::Landed(value.clone())),
            State::Lost => Some(Outcome::Lost),
        }
    }
}

impl<V> Flight<V> {
    /// Waits until the flight ends.
    fn wait(&self, deadline: Instant) -> Outcome<V> {
        let waited = self
            .state
            .wait(0, Some(deadline), "look-up", |view| view.state.outcome().ok_or(()));
        match waited {
            Waited::AtOnce(outcome) => outcome,
            Waited::Granted(()) => self.state.with(|view| view.state.outcome()).unwrap_or(Outcome::GaveUp),
            Waited::TimedOut(()) | Waited::Refused(()) => Outcome::GaveUp,
        }
    }
}

impl<V> std::fmt::Debug for Flight<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

/// Ends a flight: with a result, or lost when dropped without one.
struct Landing<'a, K: Hash + Eq, V> {
    /// The table that it is in.
    flights: &'a Flights<K, V>,
    /// Under which key.
    key: &'a K,
    /// The flight.
    flight: Arc<Flight<V>>,
}

impl<K: Hash + Eq, V> Landing<'_, K, V> {
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
        self.flight.state.with(|view| {
            if let State::Up = view.state {
                *view.state = state;
                view.grant_all(0);
            }
        });
    }
}

impl<K: Hash + Eq, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        self.end(State::Lost);
    }
}

/// Locks; a panic elsewhere leaves the table whole, as each change is one statement.
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
            if flight.is_some_and(|flight| flight.state.with(|view| view.count_in(0)) == count) {
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
