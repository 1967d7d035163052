//! What a greenlet shares with its handle: who it is, who waits for it, what came of it.
//!
//! One allocation, the record, holds all of it and the closure: [`Spawned`]. It has two owners, and goes with the second of
//! them: the hub's task, which runs it and knows its head, the [`Job`]; and the [`Handle`](super::hold::Handle), which does not know the
//! closure's type.
//!
//! ```text
//!   hub's task ──▶ Spawned { shared: Shared { job, …, outcome }, closure } ◀── Greenlet<T>, on any thread
//! ```
//!
//! Nearly every greenlet is joined once at most, by somebody on its own thread. That one leaves its unparker in `joiner`, and
//! the end is one exchange. Whoever else waits or wants to be told makes the [`Completion`], says so in the phase, and stands
//! in line there.
//!
//! Invariants:
//!
//! 1. The closure is touched only by the hub's thread, on the greenlet's own stack: it is taken out to be run or dropped
//!    there. One that never runs is leaked, never dropped by whoever frees the record; one that travels to a hub belongs to
//!    [`Unstarted`](super::unstarted::Unstarted) until it has arrived.
//! 2. The outcome is written by the greenlet before the phase says that it has ended; from then on it is the handle's, or, if the
//!    handle was gone by then, still the greenlet's.
//! 3. `joiner` is touched only by the thread of the hub that `unparker` names.
//! 4. `job` is the first field of `Shared`, and `shared` of `Spawned`: a pointer to one is a pointer to the others.
//! 5. The record is there until both owners have left, as the phase counts them.
#![expect(
    unsafe_code,
    reason = "a record with two owners, and an outcome that belongs to one of them at a time"
)]

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Instant;

use once_cell::race::OnceBox;

use super::completion::{Completion, Link};
use super::exit::{Ending, Exit};
use super::local::{Inherited, drop_locals};
use crate::collections::phase::Phase;
use crate::hub::interrupt::{Interrupt, discard};
use crate::hub::job::{Calls, Info, Job};
use crate::hub::park::{self, Unparker, WakeReason};
use crate::hub::spawn;
use crate::sync::wait_queue::{WaitQueue, Waited};

/// See the top of the file.
#[repr(C)]
pub(super) struct Shared<T> {
    /// Who it is.
    pub(super) job: Job,
    /// Whether it has ended, whose the outcome is, who is left.
    pub(super) phase: Phase,
    /// Reaches it; `None` for one that had to travel to its hub (the completion has it then).
    unparker: Option<Unparker>,
    /// Who waits for the end on the greenlet's own thread, the first of them; invariant 3.
    joiner: Cell<Option<Unparker>>,
    /// Who else waits, and for what; made at its first use.
    completion: OnceBox<WaitQueue<Completion>>,
    /// What came of it; invariant 2.
    pub(super) outcome: UnsafeCell<Option<Result<T, Exit>>>,
}

/// A greenlet's shared part and its closure.
#[repr(C)]
pub(super) struct Spawned<T, F> {
    /// The part that the handle sees.
    pub(super) shared: Shared<T>,
    /// Taken when the greenlet begins; invariant 1.
    pub(super) closure: UnsafeCell<ManuallyDrop<Option<F>>>,
    /// Local variables that it inherits; taken with the closure.
    inherited: UnsafeCell<ManuallyDrop<Option<Box<Inherited>>>>,
}

impl<T, F: FnOnce() -> T> Spawned<T, F> {
    /// What the hub calls.
    const CALLS: Calls = Calls {
        run: Spawned::<T, F>::run,
        abandon: Shared::<T>::abandon,
        release: Shared::<T>::release,
        free: Spawned::<T, F>::free,
    };

    /// A record that both its owners hold.
    #[inline(always)]
    pub(super) fn new(
        info: Info,
        unparker: Option<Unparker>,
        closure: F,
        inherited: Option<Box<Inherited>>,
    ) -> Box<Spawned<T, F>> {
        // Allocated first, so that it is written straight to its place.
        Box::write(
            Box::new_uninit(),
            Spawned {
                shared: Shared {
                    job: Job {
                        calls: &Spawned::<T, F>::CALLS,
                        info,
                    },
                    phase: Phase::new(),
                    unparker,
                    joiner: Cell::new(None),
                    completion: OnceBox::new(),
                    outcome: UnsafeCell::new(None),
                },
                closure: UnsafeCell::new(ManuallyDrop::new(Some(closure))),
                inherited: UnsafeCell::new(ManuallyDrop::new(inherited)),
            },
        )
    }

    /// See [`Calls::run`].
    ///
    /// # Safety
    ///
    /// It is the head of such a record, and the caller its task, which runs.
    unsafe fn run(job: NonNull<Job>) {
        let spawned = job.cast::<Spawned<T, F>>();
        // SAFETY: invariants 4 and 5.
        let result = unsafe { spawned.as_ref() }.call();
        // SAFETY: the task's hold, which nobody uses any more.
        unsafe { Shared::end(spawned.cast(), result) };
    }

    /// Runs the closure, or drops it if the greenlet was ended before it began. Everything that is the user's happens
    /// in here, on the greenlet's stack, and is caught.
    #[inline]
    fn call(&self) -> Result<T, Exit> {
        // SAFETY: invariant 1: this is the hub's thread, and nobody else takes it.
        let closure = unsafe { &mut *self.closure.get() };
        // SAFETY: as above.
        let inherited = unsafe { &mut *self.inherited.get() };
        let (closure, inherited) = (closure.take(), inherited.take());
        let result = catch_unwind(AssertUnwindSafe(|| match spawn::take_interrupt() {
            Some(Interrupt::Throw(payload)) => Err(Exit::Panicked(payload)),
            Some(Interrupt::Timeout(_)) => Err(Exit::TimedOut),
            Some(Interrupt::Kill) => {
                drop(closure);
                Err(Exit::Killed)
            }
            None => {
                if let Some(inherited) = inherited {
                    inherited.install();
                }
                let closure = closure.expect("a greenlet begins once");
                let value = closure();
                spawn::raise_told();
                Ok(value)
            }
        }));
        result.unwrap_or_else(|payload| Err(Exit::from_payload(payload)))
    }
}

impl<T, F> Spawned<T, F> {
    /// See [`Calls::free`].
    ///
    /// # Safety
    ///
    /// It is the head of such a record, and both its owners have left.
    unsafe fn free(job: NonNull<Job>) {
        // SAFETY: it came from a box (`new`), and invariant 5: this is its end.
        drop(unsafe { Box::from_raw(job.cast::<Spawned<T, F>>().as_ptr()) });
    }
}

impl<T> Shared<T> {
    /// The greenlet's end, on its own stack.
    ///
    /// # Safety
    ///
    /// The caller is its task, whose hold ends here.
    #[inline]
    unsafe fn end(this: NonNull<Shared<T>>, result: Result<T, Exit>) {
        // SAFETY: invariant 5.
        let shared = unsafe { this.as_ref() };
        // SAFETY: invariant 2: it has not ended, so the outcome, which is empty, is the greenlet's.
        unsafe { shared.outcome.get().write(Some(result)) };
        if shared.phase.is_unattended()
            && let Some(job) = spawn::retire()
        {
            let joiner = shared.joiner.take();
            if shared.phase.end_and_leave() {
                // From here on the record may be gone.
                if let Some(joiner) = joiner {
                    joiner.unpark();
                }
                return;
            }
            shared.joiner.set(joiner);
            spawn::take_back(job);
        }
        // SAFETY: the caller's promise.
        unsafe { Shared::end_slowly(this) };
    }

    /// The end of one that has local variables, or of which more is expected than to wake one of its own thread.
    ///
    /// # Safety
    ///
    /// As [`end`](Self::end).
    #[inline(never)]
    unsafe fn end_slowly(this: NonNull<Shared<T>>) {
        // SAFETY: invariant 5.
        let shared = unsafe { this.as_ref() };
        let payload = drop_locals();
        // SAFETY: invariant 2: it has not ended.
        let outcome = unsafe { &mut *shared.outcome.get() };
        let result = match (payload, outcome.take()) {
            (Some(payload), Some(Ok(value))) => {
                discard(value);
                Err(Exit::from_payload(payload))
            }
            (payload, result) => {
                discard(payload);
                result.unwrap_or(Err(Exit::Abandoned))
            }
        };
        // From here on nothing is raised in it any more: its end is told whole.
        spawn::shield(true);
        shared.finish(result);
        // Links, and the destructor of a value that nobody wants, may have used local variables too.
        discard(drop_locals());
        if let Some(job) = spawn::retire() {
            job.release();
        }
    }

    /// Publishes the outcome, wakes who waits, calls the links.
    pub(super) fn finish(&self, result: Result<T, Exit>) {
        let ending = ending_of(&result);
        // SAFETY: invariant 2: it has not ended, so the outcome is the greenlet's.
        let outcome = unsafe { &mut *self.outcome.get() };
        *outcome = Some(result);
        let completion = if self.phase.end() {
            // There are some who wait, or may be before it is gone.
            Some(self.rare())
        } else {
            // SAFETY: invariant 2: the handle was gone, so it is still the greenlet's, and nobody will ask for it.
            let outcome = unsafe { &mut *self.outcome.get() };
            discard(outcome.take());
            self.completion.get()
        };
        if let Some(joiner) = self.joiner.take() {
            joiner.unpark();
        }
        if let Some(completion) = completion {
            completion.complete(ending);
        }
    }

    /// See [`Calls::abandon`].
    ///
    /// # Safety
    ///
    /// It is the head of such a record, and the caller its task, which does not run any more.
    unsafe fn abandon(job: NonNull<Job>) {
        // SAFETY: invariants 4 and 5.
        let shared = unsafe { job.cast::<Shared<T>>().as_ref() };
        // It may have ended already, and be parked in a link: then the outcome is the handle's.
        if !shared.phase.has_ended() {
            // It may have returned, and be parked in the destructor of a local variable: that does not undo what came of it.
            // SAFETY: invariant 2: it has not ended, and it does not run any more.
            let outcome = unsafe { &mut *shared.outcome.get() };
            let result = outcome.take();
            shared.finish(result.unwrap_or(Err(Exit::Abandoned)));
        } else if let Some(completion) = shared.completion.get() {
            completion.call_links(Ending::Abandoned);
        }
    }

    /// See [`Calls::release`].
    ///
    /// # Safety
    ///
    /// It is the head of such a record, and the caller its task, whose hold ends here.
    pub(super) unsafe fn release(job: NonNull<Job>) {
        // SAFETY: invariants 4 and 5.
        let shared = unsafe { job.cast::<Shared<T>>().as_ref() };
        let free = shared.job.calls.free;
        if shared.phase.leave_as_task() {
            // SAFETY: the phase says that both have left.
            unsafe { free(job) };
        }
    }

    /// The name it was given, its number, its birthplace.
    pub(super) fn info(&self) -> &Info {
        &self.job.info
    }

    /// What few greenlets need, made now if need be.
    pub(super) fn rare(&self) -> &WaitQueue<Completion> {
        self.completion
            .get_or_init(|| Box::new(WaitQueue::new(Completion::default())))
    }

    /// Where its end is waited for; whoever asks is about to.
    pub(super) fn completion(&self) -> &WaitQueue<Completion> {
        let completion = self.rare();
        if !self.phase.attend() {
            // It may have gone without a look at it.
            completion.settle(self.ending().unwrap_or(Ending::Abandoned));
        }
        completion
    }

    /// Reaches the greenlet; `None` while it is on its way to its hub.
    pub(super) fn unparker(&self) -> Option<Unparker> {
        self.unparker.or_else(|| self.completion.get()?.arrived())
    }

    /// Raises something in the greenlet at its next park point.
    pub(super) fn interrupt(&self, interrupt: Interrupt) {
        match self.unparker {
            Some(unparker) => unparker.interrupt(interrupt),
            None => self.rare().interrupt(interrupt),
        }
    }

    /// Whether it has ended.
    #[inline]
    pub(super) fn ready(&self) -> bool {
        self.phase.has_ended()
    }

    /// Parks the caller until the greenlet has ended or `deadline` passes. Whether it has ended.
    #[inline(always)]
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        if self.ready() {
            // A loop that only joins those that have ended gives way too.
            park::spend();
            return true;
        }
        match self.unparker {
            // On its own thread nobody else can be here at the same time.
            Some(unparker) if unparker.is_local() && self.joiner.get().is_none() => self.wait_as_joiner(deadline),
            _ => self.wait_in_line(deadline),
        }
    }

    /// [`wait`](Self::wait) for the first on the greenlet's own thread.
    #[inline(always)]
    fn wait_as_joiner(&self, deadline: Option<Instant>) -> bool {
        self.joiner.set(Some(Unparker::current()));
        let _joiner = Joiner(&self.joiner);
        loop {
            let reason = park::park(deadline, "join");
            if self.ready() || reason != WakeReason::Unparked {
                return self.ready();
            }
        }
    }

    /// [`wait`](Self::wait) for all others.
    #[cold]
    fn wait_in_line(&self, deadline: Option<Instant>) -> bool {
        let waited = self
            .completion()
            .wait(0, deadline, "join", |view| view.state.ended().then_some(()).ok_or(()));
        matches!(waited, Waited::AtOnce(()) | Waited::Granted(()))
    }

    /// The outcome, once it is there.
    fn outcome(&self) -> Option<&Result<T, Exit>> {
        if !self.ready() {
            return None;
        }
        // SAFETY: invariant 2: it has ended, so the outcome is the handle's, who lends it for as long as it is borrowed.
        unsafe { &*self.outcome.get() }.as_ref()
    }

    /// The value, once the greenlet has returned it.
    pub(super) fn value(&self) -> Option<&T> {
        self.outcome()?.as_ref().ok()
    }

    /// The message of the panic that it ended with, if it had one.
    pub(super) fn panic_message(&self) -> Option<&str> {
        self.outcome()?.as_ref().err()?.panic_message()
    }

    /// How it ended, once it has.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.outcome().map(ending_of)
    }

    /// Adds a link. If the links have been called already, gives it back with the ending.
    pub(super) fn link(&self, link: Link) -> Result<u64, (Link, Ending)> {
        let linked = self.completion().link(link);
        linked.map_err(|link| (link, self.ending().unwrap_or(Ending::Abandoned)))
    }

    /// Takes a link back, unless it has been called.
    pub(super) fn unlink(&self, number: u64) -> Option<Link> {
        self.completion.get()?.unlink(number)
    }
}

/// How a greenlet with this outcome ended.
fn ending_of<T>(outcome: &Result<T, Exit>) -> Ending {
    outcome.as_ref().map_or_else(Exit::ending, |_| Ending::Returned)
}

/// Takes whoever waits on the greenlet's own thread away from it, when its wait is over or unwound.
struct Joiner<'a>(&'a Cell<Option<Unparker>>);

impl Drop for Joiner<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use crate::hub::park::Unparker;

    #[test]
    fn a_join_that_is_woken_for_nothing_goes_on() {
        let job = crate::spawn(|| (0..10).for_each(|_| crate::yield_now()));
        let me = Unparker::current();
        drop(crate::spawn(move || me.unpark()));
        job.join();
        assert!(job.ready());
    }
}
