//! The only place that switches stacks.
//!
//! A [`Coroutine`] owns a stack and what runs on it. Its hub *resumes* it from the thread's own stack; what runs on it
//! *suspends* through the [`Suspender`] it was started with. Nothing here knows greenlets, wake-ups or the hub.
//!
//! ```text
//!   thread's own stack             coroutine's stack
//!   ──────────────────             ─────────────────
//!   resume() ────────────────────▶ body starts, or suspend() returns
//!   Status::Suspended ◀─────────── Suspender::suspend()
//!   Status::Finished  ◀─────────── body returns
//! ```
//!
//! Invariants:
//!
//! 1. A started coroutine is never dropped before its body has returned: dropping would unwind its frames from the
//!    outside. Its owner resumes it to its end or [`leak`](Coroutine::leak)s it, stack and all.
//! 2. The body never unwinds out: whoever builds a coroutine gives it a body that catches.
//! 3. A `Suspender` is used only on the thread, and on the stack or on top of the stack, that it was handed to.
//! 4. `errno` belongs to what runs on a stack, not to the thread: it is saved over each suspension.
#![expect(
    unsafe_code,
    reason = "a suspender refers to a value at the top of the coroutine's own stack"
)]

use std::ptr::NonNull;

use crate::stack::Stack;
use crate::sys::errno;

/// How far a resumed coroutine came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It called [`Suspender::suspend`] and can be resumed.
    Suspended,
    /// Its body returned; only its stack is left.
    Finished,
}

/// A stack and what runs on it. Not `Send`: what is on the stack need not be.
pub(crate) struct Coroutine {
    /// The switch itself. Carries no values: hub and greenlet share memory on one thread.
    inner: corosensei::Coroutine<(), (), (), Stack>,
}

/// The way back from a coroutine's stack to whoever resumed it.
#[derive(Clone, Copy)]
pub(crate) struct Suspender {
    /// Lives at the top of the coroutine's stack, at one address for as long as its body runs.
    yielder: NonNull<corosensei::Yielder<(), ()>>,
}

impl Coroutine {
    /// Makes a coroutine that will run `body` on `stack` at its first [`resume`](Self::resume).
    ///
    /// `body` is moved onto the new stack, so it should be small (a pointer or two).
    pub(crate) fn new(stack: Stack, body: impl FnOnce(Suspender) + 'static) -> Coroutine {
        let inner = corosensei::Coroutine::with_stack(stack, move |yielder: &corosensei::Yielder<(), ()>, ()| {
            body(Suspender {
                yielder: NonNull::from(yielder),
            });
        });
        Coroutine { inner }
    }

    /// Switches to the coroutine's stack until it suspends or finishes.
    #[inline]
    pub(crate) fn resume(&mut self) -> Status {
        match self.inner.resume(()) {
            corosensei::CoroutineResult::Yield(()) => Status::Suspended,
            corosensei::CoroutineResult::Return(()) => Status::Finished,
        }
    }

    /// Forgets the coroutine with all that is on its stack: no destructor runs, the stack stays mapped for ever.
    pub(crate) fn leak(self) {
        std::mem::forget(self);
    }
}

impl Suspender {
    /// Switches back to whoever resumed this coroutine; returns when it is resumed again.
    #[inline]
    pub(crate) fn suspend(self) {
        let _errno = errno::Saved::new();
        // SAFETY: invariant 3: the caller runs on this coroutine's stack, so its body has not returned, and the yielder,
        // which lives until it does, is there.
        let yielder = unsafe { self.yielder.as_ref() };
        yielder.suspend(());
    }
}
