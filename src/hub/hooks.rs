//! What stands between the hub and foreign code that must not be unwound: the hooks of libc (`monkey`).
//!
//! A hook parks as everybody else does, but its callers are C, or declared to be: nothing may unwind through them. What
//! is raised in a park of theirs is caught here and put back; the hook returns an error, and the greenlet remembers that
//! it was told (`HookState::told`). The interrupt is raised at its next park point of iora's own, or when it ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::core::BUDGET;
use super::current;
pub(crate) use super::hook_state::SleepWatch;
use super::hook_state::{self, Inside};
use super::interrupt::{Interrupt, KillPayload, TimeoutPayload};
use super::park;
use super::spawn;
use super::task::Task;
use crate::sys::{process, signals};

/// Whether a hook may park whoever calls: a greenlet or the own stack of a thread with a hub, in code of the user's.
pub(crate) fn may_park() -> bool {
    if Inside::is_entered() || std::thread::panicking() || process::forked() {
        return false;
    }
    let Some(hub) = current::hub() else { return false };
    // The hub's own loop.
    let Some(key) = hub.running.get() else { return false };
    let Ok(tasks) = hub.tasks.try_borrow() else {
        return false;
    };
    tasks.get(key).is_some_and(|task| task.hooks.unpatched == 0)
}

/// As [`may_park`], for calls that a signal handler may make too, which must not be parked there. That is asked first: whoever
/// the handler interrupted may have a task in hand without a mark that says so (`Hub::task`).
pub(crate) fn may_wait() -> bool {
    !signals::in_handler() && may_park()
}

/// Enters (`true`) or leaves a scope in which hooks pass straight through for whoever runs.
pub(crate) fn unpatched(enter: bool) {
    with_running(|task| {
        let depth = &mut task.hooks.unpatched;
        *depth = if enter { *depth + 1 } else { depth.saturating_sub(1) };
    });
}

/// Runs `f`, which may park. `None` when something is to be raised in the caller: it stays pending.
pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> Option<R> {
    if is_cancelled() {
        return None;
    }
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            put_back(payload);
            None
        }
    }
}

/// Whether something is pending that would be raised at a park point. A greenlet that is told so again and again lets
/// others run meanwhile.
pub(crate) fn is_cancelled() -> bool {
    let (pending, again) = with_running(|task| {
        let pending = task.interrupts.is_some() && task.shields == 0;
        let again = pending && task.hooks.told;
        task.hooks.told = pending;
        (pending, again)
    })
    .unwrap_or_default();
    if again {
        yield_shielded();
    }
    pending
}

/// Parks as `park::park` does, but with everything that is raised left pending: the wait goes on.
pub(crate) fn park_shielded(deadline: Option<std::time::Instant>, what: &'static str) -> park::WakeReason {
    spawn::shield(true);
    let reason = catch_unwind(AssertUnwindSafe(|| park::park(deadline, what)));
    spawn::shield(false);
    reason.unwrap_or_else(|payload| {
        put_back(payload);
        park::WakeReason::Unparked
    })
}

/// Has the sleep of the calling thread's hub watched from now on, or no more.
pub(crate) fn watch_sleep(watch: Option<&'static SleepWatch>) {
    hook_state::watch_sleep(watch);
}

/// Spends one unit of the budget of whoever runs; lets others run when it is spent.
#[inline]
pub(crate) fn spend() {
    let Some(hub) = current::hub() else { return };
    match hub.budget.get().checked_sub(1) {
        Some(left) => hub.budget.set(left),
        None => yield_quietly(),
    }
}

/// Lets every other ready greenlet run once, if this is a place where that may be.
#[cold]
pub(crate) fn yield_quietly() {
    if may_wait() {
        quietly(park::yield_now);
    }
    if let Some(hub) = current::hub() {
        hub.budget.set(BUDGET);
    }
}

/// Lets every other ready greenlet run once, if this is a place where that may be. What is pending stays so.
pub(crate) fn yield_shielded() {
    if may_park() {
        spawn::shield(true);
        park::yield_now();
        spawn::shield(false);
    }
}

/// Whether it wakes a greenlet (or the own stack) of the calling thread.
#[inline]
pub(crate) fn is_local(unparker: park::Unparker) -> bool {
    unparker.local_hub().is_some()
}

/// Puts back what was raised where nothing may unwind: it will be the first to be raised.
fn put_back(payload: Box<dyn Any + Send>) {
    let interrupt = if payload.is::<KillPayload>() {
        Interrupt::Kill
    } else {
        match payload.downcast::<TimeoutPayload>() {
            Ok(timeout) => Interrupt::Timeout(timeout.0),
            Err(payload) => Interrupt::Throw(payload),
        }
    };
    with_running(|task| {
        task.interrupts.get_or_insert_default().push_front(interrupt);
        task.hooks.told = true;
    });
}

/// Calls `f` with the record of whoever runs.
fn with_running<R>(f: impl FnOnce(&mut Task) -> R) -> Option<R> {
    let hub = current::hub()?;
    let key = hub.running.get()?;
    hub.with_task(key, f)
}
