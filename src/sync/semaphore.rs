//! A counted permit, handed over strictly in order.
//!
//! A permit that is released while somebody waits goes to the first in line and never shows in the count: the count is
//! above zero only when nobody waits. So no newcomer gets past a waiter.
//!
//! The bound of a [`BoundedSemaphore`] is part of the state, and for a plain one beyond reach. Under the bound, only a
//! release too many can find all permits free.

use super::select::{Choice, Deed};
use super::wait_queue::observer::{Observation, Observer};
use super::wait_queue::{Claim, Handover, View, WaitQueue, Waited, deadline_after, refused};
use crate::hub::park;
use crate::primitive::const_unless_loom;
use std::fmt;
use std::ops::Deref;
use std::time::{Duration, Instant};

/// A number of permits that greenlets and threads acquire and release.
///
/// First come, first served: a released permit belongs to whoever has waited longest, even before it runs.
///
/// ```
/// use iora::sync::Semaphore;
///
/// static AT_ONCE: Semaphore = Semaphore::new(2);
///
/// let permit = AT_ONCE.hold(); // released when dropped
/// AT_ONCE.acquire();           // released by hand
/// assert!(!AT_ONCE.try_acquire());
/// AT_ONCE.release();
/// drop(permit);
/// assert_eq!(AT_ONCE.permits(), 2);
/// ```
pub struct Semaphore {
    /// The permits and who waits for one.
    queue: WaitQueue<Permits>,
}

/// What is counted.
struct Permits {
    /// How many permits nobody holds.
    free: usize,
    /// How many there are; `usize::MAX` if more may be added.
    bound: usize,
}

impl Permits {
    /// Gives a permit to the first in line or, if nobody waits, counts it. False if there would be more than the bound.
    fn release(view: &mut View<'_, Permits>) -> bool {
        if view.state.free == view.state.bound {
            return false;
        }
        if view.grant(0).is_none() {
            view.state.free += 1;
            view.tell_all();
        }
        true
    }

    /// Takes a permit that nobody holds.
    fn acquire(view: &mut View<'_, Permits>) -> Result<(), ()> {
        view.state.free = view.state.free.checked_sub(1).ok_or(())?;
        Ok(())
    }
}

impl Handover for Permits {
    type Aside = ();
    type Ticket = ();

    fn take_back(view: &mut View<'_, Permits>, _line: usize, _ticket: &mut ()) {
        // Below the bound: this permit is not free.
        Permits::release(view);
    }
}

impl Semaphore {
    const_unless_loom! {
        /// A semaphore with so many permits.
        pub const fn new(permits: usize) -> Semaphore {
            Semaphore { queue: WaitQueue::new(Permits { free: permits, bound: usize::MAX }) }
        }
    }

    /// Acquires a permit.
    ///
    /// Parks the greenlet until a permit is its own.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn acquire(&self) {
        if let Waited::Refused(()) = self.acquire_until(None) {
            refused("Semaphore::acquire");
        }
    }

    /// Acquires a permit if there is one; whether it did. Never waits.
    #[must_use = "whether a permit was acquired: one has to be released"]
    pub fn try_acquire(&self) -> bool {
        self.queue.with(Permits::acquire).is_ok()
    }

    /// As [`acquire`](Semaphore::acquire), but waits for `timeout` at most; whether it acquired one.
    ///
    /// Parks the greenlet until a permit is its own or the time is over. If it would have to wait while its greenlet is
    /// unwinding, it returns false at once.
    #[must_use = "whether a permit was acquired: one has to be released"]
    pub fn acquire_timeout(&self, timeout: Duration) -> bool {
        // Tried first, so that a free permit costs no look at the clock.
        self.try_acquire()
            || matches!(
                self.acquire_until(deadline_after(timeout)),
                Waited::AtOnce(()) | Waited::Granted(())
            )
    }

    /// Gives a permit back, or adds one. Any greenlet or thread may do so. Never waits.
    ///
    /// # Panics
    ///
    /// If it is a [`BoundedSemaphore`] and nobody holds a permit; if there are `usize::MAX` already.
    pub fn release(&self) {
        assert!(
            self.queue.with(Permits::release),
            "a semaphore was released more often than it was acquired"
        );
    }

    /// How many permits nobody holds or has been promised.
    pub fn permits(&self) -> usize {
        self.queue.with(|view| view.state.free)
    }

    /// As [`acquire`](Semaphore::acquire); the permit is released when the [`Permit`] is dropped.
    ///
    /// Parks the greenlet until a permit is its own.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn hold(&self) -> Permit<'_> {
        self.acquire();
        Permit { semaphore: self }
    }

    /// As [`try_acquire`](Semaphore::try_acquire); the permit is released when the [`Permit`] is dropped.
    pub fn try_hold(&self) -> Option<Permit<'_>> {
        self.try_acquire().then(|| Permit { semaphore: self })
    }

    /// As [`acquire_timeout`](Semaphore::acquire_timeout); the permit is released when the [`Permit`] is dropped.
    ///
    /// Parks the greenlet until a permit is its own or the time is over.
    pub fn hold_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        self.acquire_timeout(timeout).then(|| Permit { semaphore: self })
    }

    /// Has `observer` told when there is a permit that nobody holds or has been promised.
    pub(crate) fn observe(&self, observer: Observer) -> Observation<'_> {
        self.queue.observe(observer, |view| view.state.free > 0)
    }

    /// Acquiring a permit, for a [`Select`](crate::sync::Select).
    pub fn acquiring(&self) -> Choice<'_, ()> {
        Choice::new(&self.queue, 0, Acquire)
    }

    /// Waits for a permit.
    fn acquire_until(&self, deadline: Option<Instant>) -> Waited<(), ()> {
        park::spend();
        self.queue.wait(0, deadline, "semaphore", Permits::acquire)
    }
}

/// A permit is acquired.
struct Acquire;

impl Deed<Permits, 1> for Acquire {
    type Outcome = ();

    fn attempt(&mut self, view: &mut View<'_, Permits>) -> Option<()> {
        Permits::acquire(view).ok()
    }

    fn ready(&self, view: &mut View<'_, Permits>, _claim: &Claim) -> bool {
        view.state.free > 0
    }

    fn bring(&mut self) {}

    fn granted(&mut self, _ticket: ()) {}
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Semaphore")
            .field("permits", &self.permits())
            .finish_non_exhaustive()
    }
}

/// A [`Semaphore`] of a fixed number of permits: a release too many is a bug, and panics.
///
/// It is a semaphore in all else, and is used as one.
///
/// ```
/// use iora::sync::BoundedSemaphore;
///
/// static CONNECTIONS: BoundedSemaphore = BoundedSemaphore::new(10);
///
/// let connection = CONNECTIONS.hold();
/// assert_eq!(CONNECTIONS.permits(), 9);
/// drop(connection);
/// assert!(std::panic::catch_unwind(|| CONNECTIONS.release()).is_err());
/// ```
pub struct BoundedSemaphore(Semaphore);

impl BoundedSemaphore {
    const_unless_loom! {
        /// A semaphore with so many permits, and never more.
        pub const fn new(permits: usize) -> BoundedSemaphore {
            BoundedSemaphore(Semaphore { queue: WaitQueue::new(Permits { free: permits, bound: permits }) })
        }
    }

    /// Has `observer` told when there is a permit that nobody holds or has been promised.
    pub(crate) fn observe(&self, observer: Observer) -> Observation<'_> {
        self.0.observe(observer)
    }
}

impl Deref for BoundedSemaphore {
    type Target = Semaphore;

    fn deref(&self) -> &Semaphore {
        &self.0
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BoundedSemaphore")
            .field("permits", &self.permits())
            .finish_non_exhaustive()
    }
}

/// A permit of a [`Semaphore`], released when dropped.
#[must_use = "a permit that is not kept is released at once"]
#[derive(Debug)]
pub struct Permit<'a> {
    /// Where it goes.
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Keeps the permit acquired; somebody else will release it.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // If somebody released one too many, this one is back already: that release has been, or will be, the one to panic.
        self.semaphore.queue.with(Permits::release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn counts_and_times_out() {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.hold();
        assert!(!semaphore.try_acquire());
        assert!(semaphore.try_hold().is_none());
        assert!(!semaphore.acquire_timeout(Duration::from_millis(1)));
        assert!(semaphore.hold_timeout(Duration::ZERO).is_none());
        drop(permit);
        semaphore.hold_timeout(Duration::MAX).unwrap().forget();
        assert_eq!(semaphore.permits(), 0);
        semaphore.release();
        semaphore.release();
        assert_eq!(semaphore.permits(), 2);
    }

    #[test]
    fn a_newcomer_does_not_get_past_a_waiter() {
        let semaphore = Semaphore::new(0);
        let waiting = semaphore.queue.stand_in_line(0, ());
        semaphore.release();
        assert!(!semaphore.try_acquire());
        drop(waiting); // unwound: its permit is free again
        assert!(semaphore.try_acquire());
    }

    #[test]
    fn no_more_than_the_permits_are_inside_at_once() {
        const ROUNDS: usize = 1_000;
        let semaphore = Semaphore::new(2);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let _permit = semaphore.hold();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(semaphore.permits(), 2);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_semaphore_excludes_and_loses_no_permit() {
        loom::model(|| {
            let semaphore = Arc::new(Semaphore::new(1));
            let (there, late) = (semaphore.clone(), semaphore.clone());
            let holder = loom::thread::spawn(move || drop(there.hold()));
            let late = loom::thread::spawn(move || drop(late.hold_timeout(Duration::from_secs(1))));
            drop(semaphore.hold());
            holder.join().unwrap();
            late.join().unwrap();
            assert_eq!(semaphore.permits(), 1);
        });
    }
}
