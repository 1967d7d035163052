//! Interim: parks plain threads only, so that what stands on it can be written and tested now.

use std::cell::Cell;
use std::thread::Thread;
use std::time::Instant;

/// Why [`park`] returned. It may return `Unparked` without cause: callers loop over their condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeReason {
    /// Somebody called [`Unparker::unpark`] (or nobody did: wake-ups may be spurious).
    Unparked,
    /// The deadline passed.
    TimedOut,
    /// The thread is unwinding: nothing was waited for. See DESIGN.md, "Never switch while unwinding".
    Refused,
}

/// Wakes one parked greenlet or thread. `Copy + Send + Sync` in its final form; hold it by value.
#[derive(Clone, Debug)]
pub(crate) struct Unparker(Thread);

impl Unparker {
    /// The unparker of whoever calls: a greenlet, or the thread's own stack.
    pub(crate) fn current() -> Unparker {
        Unparker(std::thread::current())
    }

    /// Makes the next (or present) `park` of its owner return. Never blocks, any thread may call it.
    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

/// Parks the caller until it is unparked or `deadline` passes. `what` says in one word what it waits for ("recv").
///
/// An `unpark` that comes first makes the next `park` return at once. A kill or a timeout is raised from here as an
/// unwind: whoever registered itself somewhere must hold a guard that takes it out again.
pub(crate) fn park(deadline: Option<Instant>, what: &'static str) -> WakeReason {
    let _ = what;
    match deadline {
        None => std::thread::park(),
        Some(at) => {
            let now = Instant::now();
            if now >= at {
                return WakeReason::TimedOut;
            }
            std::thread::park_timeout(at - now);
            if Instant::now() >= at {
                return WakeReason::TimedOut;
            }
        }
    }
    WakeReason::Unparked
}

/// As [`park`], but never switches: blocks the whole thread. Only for a wait that another thread can end.
pub(crate) fn block(deadline: Option<Instant>, what: &'static str) -> WakeReason {
    park(deadline, what)
}

/// Spends one unit of the running greenlet's budget: to be called by every operation that succeeded at once.
/// Yields when the budget is spent, so that a greenlet whose operations never wait starves nobody.
/// Never call it with a lock held or with something half done: it is a park point (a kill may be raised).
pub(crate) fn spend() {
    thread_local! { static LEFT: Cell<u32> = const { Cell::new(0) }; }
    LEFT.with(|left| left.set(left.get().wrapping_add(1)));
}
