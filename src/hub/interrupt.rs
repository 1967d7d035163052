//! What is raised in a greenlet from outside: a kill, an expired timeout, any payload somebody throws.
//!
//! An interrupt is queued at its task and raised, first come first served, as an unwind at the task's next park point
//! (see `park`). The payloads are private types: no `Result` can be confused with them and only `catch_unwind` sees
//! them. Each is raised once; a greenlet may catch it and go on.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::DerefMut;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

/// Something to raise in a greenlet at its next park point.
pub(crate) enum Interrupt {
    /// End, please.
    Kill,
    /// The `Timeout` with this number expired.
    Timeout(u64),
    /// Unwind with this payload.
    Throw(Box<dyn Any + Send>),
}

/// Payload of a kill.
pub(crate) struct KillPayload;

/// Payload of the expired timeout with this number.
pub(crate) struct TimeoutPayload(pub(crate) u64);

/// Drops something of the user's, whatever its destructor does. A panic of it is reported by the panic hook.
pub(crate) fn discard<T>(value: T) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) else {
        return;
    };
    // Even the payload may have a destructor that panics: that is once too often.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(payload);
    }
}

/// Drops what was thrown at somebody who is gone, each for itself: two destructors that panic are no panic within a panic.
pub(crate) fn discard_all(thrown: Option<impl DerefMut<Target = VecDeque<Interrupt>>>) {
    if let Some(mut thrown) = thrown {
        thrown.drain(..).for_each(discard);
    }
}

impl Interrupt {
    /// Unwinds the running greenlet. The panic hook is not called: nothing went wrong.
    pub(crate) fn raise(self) -> ! {
        if cfg!(panic = "abort") {
            panic!(
                "iora: a greenlet was killed or timed out, but the program is built with panic = \"abort\": it cannot unwind"
            );
        }
        match self {
            Interrupt::Kill => panic::resume_unwind(Box::new(KillPayload)),
            Interrupt::Timeout(number) => panic::resume_unwind(Box::new(TimeoutPayload(number))),
            Interrupt::Throw(payload) => panic::resume_unwind(payload),
        }
    }
}
