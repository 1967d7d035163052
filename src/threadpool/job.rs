//! One piece of work on its way to a thread, and its result on the way back.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::thread::discard;
use crate::sync::Choice;
#[cfg(not(loom))]
use crate::sync::wait_queue::observer::{Observation, Observer};
use crate::sync::wait_queue::{Handover, Manner, View, WaitQueue, Waited, deadline_after};
#[cfg(not(loom))]
use crate::wait::Waitable;

/// Work for a thread of a pool. Must not unwind.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What a closure returned, or the payload of its panic.
pub(super) type Outcome<T> = Result<T, Box<dyn Any + Send>>;

/// Where the outcome arrives; one takes it.
struct Slot<T> {
    /// The outcome, until it is taken.
    outcome: Option<Outcome<T>>,
    /// It has arrived.
    done: bool,
}

impl<T> Handover for Slot<T> {
    type Aside = ();
    type Ticket = ();

    /// The outcome stays in its slot: nobody else wants it.
    fn take_back(_: &mut View<'_, Self>, _: usize, _: &mut ()) {}
}

/// What was given to a [`ThreadPool`](super::ThreadPool): the means to wait for it and to take its value.
///
/// Dropping it detaches the work, which is done all the same. It is [`Waitable`], and may go to other threads.
///
/// ```
/// let pool = iora::threadpool::ThreadPool::new(1);
/// let job = pool.spawn(|| 6 * 7);
/// assert_eq!(job.get().unwrap(), 42);
/// ```
#[must_use = "dropping it detaches the work"]
pub struct JobHandle<T>(Arc<WaitQueue<Slot<T>>>);

/// Makes a job of a closure, and where its outcome will be.
pub(super) fn new<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> (Job, JobHandle<T>) {
    let slot = Arc::new(WaitQueue::new(Slot {
        outcome: None,
        done: false,
    }));
    let handle = JobHandle(slot.clone());
    let job = move || {
        let outcome = catch_unwind(AssertUnwindSafe(f));
        slot.with(|view| {
            view.state.outcome = Some(outcome);
            view.state.done = true;
            view.grant_all(0);
            view.tell_all();
        });
        // Without a handle the outcome goes here, whatever its destructor does.
        discard(slot);
    };
    (Box::new(job), handle)
}

impl<T> JobHandle<T> {
    /// Whether the work is done.
    pub fn ready(&self) -> bool {
        self.0.with(|view| view.state.done)
    }

    /// Parks the caller until the work is done.
    ///
    /// While the thread unwinds nothing can be waited for: then it returns at once.
    pub fn join(&self) {
        self.wait_until(None);
    }

    /// As [`join`](Self::join), for `timeout` at most. Whether the work is done.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(deadline_after(timeout))
    }

    /// Parks the caller until the work is done or `deadline` passes. Whether it is done.
    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let done = |view: &mut View<'_, Slot<T>>| if view.state.done { Ok(()) } else { Err(()) };
        matches!(
            self.0.wait(0, deadline, "thread pool", done),
            Waited::AtOnce(()) | Waited::Granted(())
        )
    }

    /// Parks the caller until the work is done, and takes its value. While the thread unwinds, it is blocked: a thread of the
    /// pool will end that.
    ///
    /// # Errors
    ///
    /// With the payload, when the work panicked.
    pub fn get(self) -> std::thread::Result<T> {
        loop {
            let take = |view: &mut View<'_, Slot<T>>| view.state.outcome.take().ok_or(());
            let waited = match self.0.wait(0, None, "thread pool", take) {
                Waited::Refused(()) => self.0.wait_so(Manner::BLOCKING, 0, "thread pool", take, || ()),
                waited => waited,
            };
            if let Waited::AtOnce(outcome) = waited {
                return outcome;
            }
        }
    }
}

impl<T> JobHandle<T> {
    /// Waiting until the work is done, for a [`Select`](crate::sync::Select).
    pub fn joining(&self) -> Choice<'_, ()> {
        Choice::told(&self.0, |slot| slot.done, || ())
    }
}

#[cfg(not(loom))]
impl<T> Waitable for JobHandle<T> {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        self.0.observe(observer, |view| view.state.done)
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("ready", &self.ready()).finish()
    }
}
