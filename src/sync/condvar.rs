//! A condition that changes under a mutex.
//!
//! The waiter stands in line before it unlocks the mutex, so a notification by whoever locks it next finds the waiter.

use super::mutex::{Mutex, MutexGuard};
use super::wait_queue::{End, Handover, Manner, View, WaitQueue, Waited, deadline_after, refused};
use crate::primitive::const_unless_loom;
use std::convert::Infallible;
use std::fmt;
use std::sync::{LockResult, PoisonError};
use std::time::{Duration, Instant};

/// A condition variable: [`std::sync::Condvar`] for greenlets, and for threads too, with [`Mutex`].
///
/// ```
/// use iora::sync::{Condvar, Mutex};
/// use std::sync::Arc;
///
/// let pair = Arc::new((Mutex::new(false), Condvar::new()));
/// let there = pair.clone();
/// std::thread::spawn(move || {
///     *there.0.lock().unwrap() = true;
///     there.1.notify_one();
/// });
/// let ready = pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap();
/// assert!(*ready);
/// ```
pub struct Condvar {
    /// Who waits.
    queue: WaitQueue<Notified>,
}

/// Nothing but the line. What was granted to a waiter that is unwound is passed on: `notify_one` meant one that runs.
struct Notified;

impl Handover for Notified {
    type Aside = ();
    type Ticket = ();

    fn take_back(view: &mut View<'_, Notified>, _line: usize, _ticket: &mut ()) {
        let _ = view.grant(0);
    }
}

impl Condvar {
    const_unless_loom! {
        /// A condition that nobody waits for.
        pub const fn new() -> Condvar {
            Condvar { queue: WaitQueue::new(Notified) }
        }
    }

    /// Unlocks the mutex, waits to be notified, and locks the mutex again.
    ///
    /// Parks the greenlet until it is notified and the lock is its own.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the error holds the guard.
    ///
    /// # Panics
    ///
    /// If its greenlet is unwinding.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, None).0
    }

    /// As [`wait`](Condvar::wait), again and again while `condition` holds.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the error holds the guard.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn wait_while<'a, T: ?Sized, F: FnMut(&mut T) -> bool>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Condvar::wait), but for `timeout` at most (to which the wait for the lock may add).
    ///
    /// Parks the greenlet until it is notified or the time is over, and the lock is its own. If its greenlet is unwinding, it
    /// does not wait and says that it timed out.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the error holds the guard and the outcome.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, outcome) = self.wait_until(guard, Some(deadline_after(timeout)));
        pair(guard, outcome)
    }

    /// As [`wait_timeout`](Condvar::wait_timeout), for so many milliseconds; `false` if it timed out.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the error holds the guard and the outcome.
    #[deprecated(since = "0.1.0", note = "there for code written for std: use `wait_timeout`")]
    pub fn wait_timeout_ms<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        ms: u32,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let timeout = Duration::from_millis(u64::from(ms));
        match self.wait_timeout(guard, timeout) {
            Ok((guard, outcome)) => Ok((guard, !outcome.timed_out())),
            Err(error) => {
                let (guard, outcome) = error.into_inner();
                Err(PoisonError::new((guard, !outcome.timed_out())))
            }
        }
    }

    /// As [`wait_timeout`](Condvar::wait_timeout), again and again while `condition` holds, for `timeout` in all.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the error holds the guard and the outcome.
    pub fn wait_timeout_while<'a, T: ?Sized, F: FnMut(&mut T) -> bool>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let deadline = deadline_after(timeout);
        let mut outcome = WaitTimeoutResult(false);
        // As std: the condition is asked once more after the time is over.
        while condition(&mut guard) {
            if outcome.0 {
                return Ok((guard, outcome));
            }
            let (result, now) = self.wait_until(guard, Some(deadline));
            outcome = now;
            match result {
                Ok(locked) => guard = locked,
                error => return pair(error, outcome),
            }
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Wakes the one that has waited longest, if any. Never waits.
    pub fn notify_one(&self) {
        self.queue.with(|view| view.grant(0).is_some());
    }

    /// Wakes all who wait. Never waits.
    pub fn notify_all(&self) {
        self.queue.with(|view| view.grant_all(0));
    }

    /// Waits; `timed` holds the deadline of a wait that may say that it timed out (`None` inside: for ever).
    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timed: Option<Option<Instant>>,
    ) -> (LockResult<MutexGuard<'a, T>>, WaitTimeoutResult) {
        let mutex: &'a Mutex<T> = guard.mutex();
        let manner = Manner {
            end: End::Back,
            deadline: timed.flatten(),
            blocking: false,
        };
        let stand = |_: &mut View<'_, Notified>| Err::<Infallible, ()>(());
        let notification = match self.queue.wait_so(manner, 0, "condition", stand, || drop(guard)) {
            Waited::AtOnce(never) => match never {},
            Waited::Granted(()) => Some(Notification(self)),
            Waited::Refused(()) if timed.is_none() => refused("Condvar::wait"),
            Waited::TimedOut(()) | Waited::Refused(()) => None,
        };
        let locked = mutex.lock();
        let outcome = WaitTimeoutResult(notification.is_none());
        std::mem::forget(notification);
        (locked, outcome)
    }
}

/// What a waiter was granted, until it has locked again. Dropped, it is passed on: the waiter was unwound, and has not seen what it
/// was notified of.
struct Notification<'a>(&'a Condvar);

impl Drop for Notification<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The guard and the outcome, as an error if the guard is one.
fn pair<'a, T: ?Sized>(
    guard: LockResult<MutexGuard<'a, T>>,
    outcome: WaitTimeoutResult,
) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
    match guard {
        Ok(guard) => Ok((guard, outcome)),
        Err(error) => Err(PoisonError::new((error.into_inner(), outcome))),
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// Whether a wait with a timeout ended by it. (std's type of this name cannot be made outside std.)
#[derive(Debug, PartialEq, Eq, Copy, Clone)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over before a notification came.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn one_notification_wakes_the_one_that_waited_longest() {
        let condition = Condvar::new();
        let (first, second) = (
            condition.queue.stand_in_line(0, ()),
            condition.queue.stand_in_line(0, ()),
        );
        condition.notify_one();
        let now = Some(Instant::now());
        assert!(matches!(first.park::<()>(now, "condition"), Waited::Granted(())));
        let third = condition.queue.stand_in_line(0, ());
        condition.notify_one();
        drop(second); // notified, but unwound
        assert!(matches!(third.park::<()>(now, "condition"), Waited::Granted(())));
    }

    #[test]
    fn waits_for_a_condition_between_threads() {
        let (turn, changed) = (Mutex::new(0), Condvar::new());
        thread::scope(|scope| {
            for parity in 0..2 {
                let (turn, changed) = (&turn, &changed);
                scope.spawn(move || {
                    for _ in 0..500 {
                        let mut turn = changed
                            .wait_while(turn.lock().unwrap(), |turn| *turn % 2 != parity)
                            .unwrap();
                        *turn += 1;
                        changed.notify_all();
                    }
                });
            }
        });
        assert_eq!(*turn.lock().unwrap(), 1000);
    }

    #[test]
    fn a_wait_that_times_out_locks_again() {
        let (mutex, condition) = (Mutex::new(7), Condvar::new());
        let guard = mutex.lock().unwrap();
        let (guard, outcome) = condition.wait_timeout(guard, Duration::from_millis(1)).unwrap();
        assert!(outcome.timed_out());
        assert!(mutex.try_lock().is_err());
        let (guard, outcome) = condition
            .wait_timeout_while(guard, Duration::ZERO, |value| *value == 7)
            .unwrap();
        assert!(outcome.timed_out());
        let (guard, outcome) = condition
            .wait_timeout_while(guard, Duration::MAX, |value| *value != 7)
            .unwrap();
        assert!(!outcome.timed_out());
        assert_eq!(*guard, 7);
        assert!(condition.queue.with(|view| view.nobody_in(0)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_condvar_misses_no_notification() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let pair = Arc::new((Mutex::new(false), Condvar::new()));
            let there = pair.clone();
            let notifier = loom::thread::spawn(move || {
                *there.0.lock().unwrap() = true;
                there.1.notify_one();
            });
            assert!(*pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap());
            notifier.join().unwrap();
        });
    }
}
