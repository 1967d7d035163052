//! How a wait begins, and how it ended.

use crate::hub::park::WakeReason;
use std::time::{Duration, Instant};

/// How a wait differs from the usual: at the back of the line, switching, for ever.
#[derive(Copy, Clone)]
pub(crate) struct Manner {
    /// Where in its line it begins.
    pub(crate) end: End,
    /// When it is over.
    pub(crate) deadline: Option<Instant>,
    /// It never switches but blocks the thread. Only where another thread can end the wait.
    pub(crate) blocking: bool,
}

impl Manner {
    /// At the back of the line, for ever, without switching.
    pub(crate) const BLOCKING: Manner = Manner {
        end: End::Back,
        deadline: None,
        blocking: true,
    };
}

/// Where in its line a waiter stands at first.
#[derive(Copy, Clone, Debug)]
pub(crate) enum End {
    /// Behind all others.
    Back,
    /// Before all others: for one that was overtaken, or that blocks the whole thread and with it those before it.
    Front,
}

/// How a wait ended. The ticket comes back in every case.
#[must_use]
#[derive(Debug)]
pub(crate) enum Waited<R, T> {
    /// It did not have to wait.
    AtOnce(R),
    /// Somebody granted it what it waited for.
    Granted(T),
    /// The deadline passed first.
    TimedOut(T),
    /// The thread is unwinding and must not switch (design: "Never switch while unwinding"); nothing was waited for.
    Refused(T),
}

impl<R, T> Waited<R, T> {
    /// The end of a wait.
    #[inline(always)]
    pub(super) fn new(granted: bool, reason: WakeReason, ticket: T) -> Waited<R, T> {
        match reason {
            // What was granted counts even if the deadline passed as well: it must not be lost.
            _ if granted => Waited::Granted(ticket),
            WakeReason::Refused => Waited::Refused(ticket),
            WakeReason::TimedOut | WakeReason::Unparked => Waited::TimedOut(ticket),
        }
    }
}

/// The deadline that is `timeout` from now; `None`, which is for ever, if that is beyond what an `Instant` holds.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// The end of a wait that must not switch and cannot fail: see [`Waited::Refused`]. The caller is unwinding already.
#[cold]
pub(crate) fn refused(what: &str) -> ! {
    panic!(
        "{what} would have to wait while its greenlet is unwinding: a destructor that runs during a panic or a kill \
         must not wait for other greenlets"
    )
}
