//! A flag that greenlets and threads wait for.
//!
//! The flag is an atomic, so that looking at a set event costs one load. It is set under the queue's lock, together with the
//! grants to all who wait: whoever found it clear under that lock stands in line before the next `set` looks.

use super::select::Choice;
use super::wait_queue::observer::{Observation, Observer};
use super::wait_queue::{Broadcast, WaitQueue, Waited, deadline_after, refused};
use crate::hub::park;
use crate::primitive::{
    atomic::{AtomicBool, Ordering},
    const_unless_loom,
};
use std::fmt;
use std::time::{Duration, Instant};

/// A flag that greenlets and threads wait for.
///
/// [`set`](Event::set) wakes all who wait, and whoever waited when it was set has seen it, even if it is
/// [cleared](Event::clear) before they run.
///
/// ```
/// use iora::sync::Event;
/// use std::sync::Arc;
///
/// let event = Arc::new(Event::new());
/// let setter = event.clone();
/// std::thread::spawn(move || setter.set());
/// event.wait();
/// assert!(event.is_set());
/// ```
pub struct Event {
    /// Whether it is set; becomes true only under the lock of `queue`.
    set: AtomicBool,
    /// Who waits for it.
    queue: WaitQueue<Broadcast>,
}

impl Event {
    const_unless_loom! {
        /// An event that is not set.
        pub const fn new() -> Event {
            Event { set: AtomicBool::new(false), queue: WaitQueue::new(Broadcast) }
        }
    }

    /// Sets the flag and wakes all who wait. Never waits.
    pub fn set(&self) {
        self.queue.with(|view| {
            self.set.store(true, Ordering::Release);
            view.grant_all(0);
            view.tell_all();
        });
    }

    /// Clears the flag: whoever calls [`wait`](Event::wait) from now on waits for the next [`set`](Event::set).
    pub fn clear(&self) {
        self.set.store(false, Ordering::Release);
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits until the event is set; returns at once if it is.
    ///
    /// Parks the greenlet until somebody calls [`set`](Event::set).
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn wait(&self) {
        if let Waited::Refused(()) = self.wait_until(None) {
            refused("Event::wait");
        }
    }

    /// As [`wait`](Event::wait), but for `timeout` at most; whether the event was set.
    ///
    /// Parks the greenlet until somebody calls [`set`](Event::set) or the time is over. If it would have to wait
    /// while its greenlet is unwinding, it returns false at once.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        // Looked at first, so that a set event costs no look at the clock.
        let deadline = if self.is_set() { None } else { deadline_after(timeout) };
        matches!(self.wait_until(deadline), Waited::AtOnce(()) | Waited::Granted(()))
    }

    /// Has `observer` told when the flag is set.
    pub(crate) fn observe(&self, observer: Observer) -> Observation<'_> {
        self.queue.observe(observer, |_| self.is_set())
    }

    /// Waiting for the event, for a [`Select`](crate::sync::Select).
    pub fn waiting(&self) -> Choice<'_, ()> {
        Choice::told(&self.queue, |_| self.is_set(), || ())
    }

    /// How many observe it.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn observers(&self) -> usize {
        self.queue.with(|view| view.count_observers())
    }

    /// Waits for the flag.
    fn wait_until(&self, deadline: Option<Instant>) -> Waited<(), ()> {
        park::spend();
        if self.is_set() {
            return Waited::AtOnce(());
        }
        self.queue
            .wait(0, deadline, "event", |_| if self.is_set() { Ok(()) } else { Err(()) })
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Event")
            .field("set", &self.is_set())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Returns once so many wait.
    fn until_waiting(event: &Event, count: usize) {
        while event.queue.with(|view| view.count_in(0)) < count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn waiters_have_seen_a_set_that_was_cleared_at_once() {
        let event = Arc::new(Event::new());
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let event = event.clone();
                std::thread::spawn(move || event.wait_timeout(Duration::MAX))
            })
            .collect();
        until_waiting(&event, 10);
        event.set();
        event.clear();
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        assert!(!event.wait_timeout(Duration::ZERO), "the old set is over");
    }

    #[test]
    fn a_wait_that_times_out_leaves_no_trace() {
        static EVENT: Event = Event::new();
        assert!(!EVENT.wait_timeout(Duration::from_millis(1)));
        assert_eq!(EVENT.queue.with(|view| view.count_in(0)), 0);
        EVENT.set();
        assert!(EVENT.wait_timeout(Duration::ZERO));
        EVENT.wait();
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_event_set_then_cleared_is_seen_by_who_waits() {
        loom::model(|| {
            let event = Arc::new(Event::new());
            let there = event.clone();
            let setter = loom::thread::spawn(move || there.set());
            event.wait();
            setter.join().unwrap();
            assert!(event.is_set());
        });
    }
}
