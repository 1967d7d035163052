//! One piece of work on its way to a thread, and its result on the way back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::sync::wait_queue::{End, Handover, View, WaitQueue, Waited};

/// Work for a thread of a pool. Must not unwind.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What a closure returned, or the payload of its panic.
pub(super) type Outcome<T> = Result<T, Box<dyn Any + Send>>;

/// Where the outcome arrives; one waits for it.
struct Slot<T>(Option<Outcome<T>>);

impl<T> Handover for Slot<T> {
    type Ticket = ();

    /// The outcome stays in its slot: nobody else wants it.
    fn take_back(_: &mut View<'_, Self>, _: usize, _: &mut ()) {}
}

/// The other end of a job.
pub(super) struct Pending<T>(Arc<WaitQueue<Slot<T>>>);

/// Makes a job of a closure, and where its outcome will be.
pub(super) fn new<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> (Job, Pending<T>) {
    let slot = Arc::new(WaitQueue::new(Slot(None)));
    let pending = Pending(slot.clone());
    let job = move || {
        let outcome = catch_unwind(AssertUnwindSafe(f));
        slot.with(|view| {
            view.state.0 = Some(outcome);
            view.grant_all(0);
        });
    };
    (Box::new(job), pending)
}

impl<T> Pending<T> {
    /// Parks the caller until the job is done. While the thread unwinds, it is blocked: a thread of the pool will end that.
    pub(super) fn wait(self) -> Outcome<T> {
        loop {
            let take = |view: &mut View<'_, Slot<T>>| view.state.0.take().ok_or(());
            let waited = match self.0.wait(0, None, "thread pool", take) {
                Waited::Refused(()) => match self.0.enter(0, End::Back, take) {
                    Ok(outcome) => Waited::AtOnce(outcome),
                    Err(waiting) => waiting.block(None, "thread pool"),
                },
                waited => waited,
            };
            if let Waited::AtOnce(outcome) = waited {
                return outcome;
            }
        }
    }
}
