//! Parking for loom's models: the signatures of `park.rs` on loom's threads.
//!
//! Time does not pass in a model: a park with a deadline lets the others run and reports that the deadline passed, so a
//! model that waits with a deadline explores every order of the notification and the end of the wait.

use loom::thread::Thread;
use std::time::Instant;

/// Why [`park`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeReason {
    /// Somebody called [`Unparker::unpark`].
    Unparked,
    /// The deadline passed.
    TimedOut,
    /// The thread is unwinding.
    Refused,
}

/// Wakes one parked thread.
#[derive(Clone, Debug)]
pub(crate) struct Unparker(Thread);

impl Unparker {
    /// The unparker of the calling thread.
    pub(crate) fn current() -> Unparker {
        Unparker(loom::thread::current())
    }

    /// Makes the next (or present) `park` of its owner return.
    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

/// Parks the calling thread; with a deadline it returns after others had a chance to run.
pub(crate) fn park(deadline: Option<Instant>, _what: &'static str) -> WakeReason {
    if deadline.is_some() {
        loom::thread::yield_now();
        return WakeReason::TimedOut;
    }
    loom::thread::park();
    WakeReason::Unparked
}

/// As [`park`].
pub(crate) fn block(deadline: Option<Instant>, what: &'static str) -> WakeReason {
    park(deadline, what)
}

/// Models have no budget.
pub(crate) fn spend() {}

/// As [`spend`].
pub(crate) fn spend_if_any() -> bool {
    true
}

/// A number that names the calling thread.
pub(crate) fn current_id() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    loom::thread_local! { static ID: u64 = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed); }
    ID.with(|id| *id)
}
