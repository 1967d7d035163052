//! How greenlets come into a hub, and what the layer above may ask of the one that runs.

use std::any::Any;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::interrupt::Interrupt;
use super::job::{Info, JobRef};
use super::nested::NestedStack;
use super::park::Unparker;
use super::tree::Tree;
use super::{current, make};
use crate::collections::timers::TimerKey;
use crate::stack::{self, Stack};

/// Whether a greenlet calls, not the own stack of a thread.
pub(crate) fn in_greenlet() -> bool {
    current::hub().is_some_and(|hub| hub.running.get().is_some_and(|key| key != hub.root))
}

/// Takes an unstarted greenlet into the calling thread's hub: ready now, or at `start`.
///
/// `make` makes its record, told how to wake it, and something for the caller.
///
/// # Errors
///
/// When there is no address space for its stack, or the system refuses a hub.
#[inline]
pub(crate) fn spawn<R>(
    stack_size: usize,
    start: Option<Instant>,
    make: impl FnOnce(Unparker) -> (JobRef, R),
) -> io::Result<R> {
    let hub = make::hub_or_new()?;
    let reservation = stack::reserve(stack_size)?;
    let key = hub.tasks.borrow().next_key();
    let (job, made) = make(Unparker::of(&hub, key));
    let added = hub.add(job, reservation, start);
    debug_assert_eq!(key, added);
    Ok(made)
}

/// Takes the running greenlet's hold on its record, at its very end: nothing in the hub refers to the record any more. `None` if
/// it has something that has to be dropped first, on its own stack: local variables, or those of its tree.
#[inline]
pub(crate) fn retire() -> Option<JobRef> {
    let hub = current::hub()?;
    let key = hub.running.get()?;
    let job = hub.with_task(key, |task| {
        let last_of_tree = task.tree.as_ref().is_some_and(|tree| Rc::strong_count(tree) == 1);
        if last_of_tree || task.locals.is_some() {
            return None;
        }
        task.tree = None;
        task.job.take()
    })??;
    hub.foreground.get()?.set_job(None);
    Some(job)
}

/// Takes back that it [retired](retire).
#[cold]
pub(crate) fn take_back(job: JobRef) {
    let Some(hub) = current::hub() else { return };
    if let Some(foreground) = hub.foreground.get() {
        foreground.set_job(Some(job.as_ptr()));
    }
    with_current(|task| task.job = Some(job));
}

/// A hub as other threads see it.
#[derive(Clone, Copy)]
pub(crate) struct RemoteHub {
    /// Its thread.
    remote: &'static super::remote::Remote,
    /// Which of the thread's hubs.
    epoch: u64,
}

impl RemoteHub {
    /// The calling thread's hub.
    ///
    /// # Errors
    ///
    /// When the system refuses one.
    pub(crate) fn current() -> io::Result<RemoteHub> {
        let hub = make::hub_or_new()?;
        Ok(RemoteHub {
            remote: hub.remote,
            epoch: hub.epoch,
        })
    }

    /// Calls `run` with `value` in the hub's loop, where it may spawn but not park; gives it back if the hub has ended.
    pub(crate) fn run<V: Send + 'static>(&self, value: V, run: fn(V)) -> Result<(), V> {
        self.remote.post_run(self.epoch, value, run)
    }

    /// Has the hub look at its inbox, and for work, before it sleeps (again).
    pub(crate) fn nudge(&self) {
        // One that has ended needs no nudge.
        let _ = self.run((), drop);
    }

    /// Whether the hub sleeps with nothing in its inbox.
    pub(crate) fn is_idle(&self) -> bool {
        self.remote.is_quiet()
    }
}

/// Where the calling thread's hub looks for unstarted greenlets before it sleeps: `work` says whether there is one, and
/// the thread's own stack, which is woken then, takes it.
pub(crate) fn take_work_when_idle(work: Arc<dyn Fn() -> bool>) -> io::Result<()> {
    let hub = make::hub_or_new()?;
    hub.work.replace(Some(work));
    Ok(())
}

/// A stack on top of whoever runs, with the report of its overflow prepared, on a thread without a hub too.
///
/// # Errors
///
/// When there is no memory for it, or the system refuses a signal handler or a stack for that.
pub(crate) fn claim_stack(of: &NestedStack) -> io::Result<Stack> {
    make::report_overflows()?;
    of.claim()
}

/// A number that no other greenlet of the process has.
pub(crate) fn next_id() -> u64 {
    current::next_id()
}

/// Takes what was raised in the running greenlet before it began.
#[inline]
pub(crate) fn take_interrupt() -> Option<Interrupt> {
    // Found when its turn, the first one, came.
    if !current::hub()?.interrupted.get() {
        return None;
    }
    with_current(|task| task.take_interrupt()).flatten()
}

/// Whether the running greenlet has something pending that will be raised at its next park point.
pub(crate) fn has_interrupts() -> bool {
    with_current(|task| task.interrupts.is_some()).unwrap_or(false)
}

/// Enters (`true`) or leaves a part of the running greenlet in which interrupts stay pending.
pub(crate) fn shield(enter: bool) {
    with_current(|task| {
        task.shields = if enter {
            task.shields + 1
        } else {
            task.shields.saturating_sub(1)
        };
    });
}

/// How many shields whoever runs is in.
pub(crate) fn shields() -> u32 {
    with_current(|task| task.shields).unwrap_or(0)
}

/// Whoever runs goes on to a stack that is in as many shields (a generator's), or returns from there.
pub(crate) fn set_shields(shields: u32) {
    with_current(|task| task.shields = shields);
}

/// Raises the oldest pending interrupt of whoever runs, if it may be raised.
pub(crate) fn raise_pending() {
    if std::thread::panicking() {
        return;
    }
    if let Some(Some(interrupt)) = with_current(super::task::Task::take_interrupt) {
        interrupt.raise();
    }
}

/// Raises what a hook of libc left pending, having returned an error instead: the code that was told so has ended.
#[inline]
pub(crate) fn raise_told() {
    #[cfg(feature = "monkey")]
    if with_current(|task| std::mem::take(&mut task.hooks.told)) == Some(true) {
        raise_pending();
    }
}

/// Queues `interrupt` for whoever runs and raises it at once if it may be raised now.
pub(crate) fn interrupt_current(interrupt: Interrupt) {
    with_current(|task| task.push_interrupt(interrupt));
    raise_pending();
}

/// Has the timeout `number` raised at `at` in whoever runs. `None` on a thread without a hub, where nothing can be
/// raised.
pub(crate) fn set_timeout(at: Instant, number: u64) -> io::Result<SetTimeout> {
    let hub = make::hub_or_new()?;
    let owner = Unparker::current();
    let alarm = hub.expire_at(at, owner.key(), number);
    Ok(SetTimeout {
        owner,
        epoch: hub.epoch,
        number,
        alarm,
    })
}

/// A timeout that may be pending in its greenlet.
pub(crate) struct SetTimeout {
    /// In whom it is raised.
    owner: Unparker,
    /// Which of the thread's hubs has the alarm: another one's timers bear the same keys.
    epoch: u64,
    /// Names it.
    number: u64,
    /// The alarm that expires it.
    alarm: TimerKey,
}

impl SetTimeout {
    /// Takes it back, also when it has expired but was not raised yet.
    pub(crate) fn cancel(self) {
        let Some(hub) = self.owner.local_hub().filter(|hub| hub.epoch == self.epoch) else {
            return;
        };
        hub.alarms.borrow_mut().cancel(self.alarm);
        hub.with_task(self.owner.key(), |task| task.forget_timeout(self.number));
    }
}

/// Whether the running greenlet has local variables.
pub(crate) fn has_locals() -> bool {
    with_current(|task| task.locals.is_some()).unwrap_or(false)
}

/// The running greenlet's local variables; `None` outside greenlets and hubs. `f` must not switch.
pub(crate) fn with_locals<R>(init: impl FnOnce() -> Box<dyn Any>, f: impl FnOnce(&mut dyn Any) -> R) -> Option<R> {
    current::hub()?.with_locals(init, f)
}

/// The tree of the greenlet that calls; `None` on a thread's own stack.
pub(crate) fn current_tree() -> Option<Rc<Tree>> {
    current::hub()?.tree_of_running()
}

/// A greenlet's own local variables, and those of its tree.
type Locals = (Option<Box<Box<dyn Any>>>, Option<Rc<Tree>>);

/// Takes the running greenlet's local variables and its hold on its tree, so that they can be dropped; `None` if it has
/// neither.
pub(crate) fn take_locals() -> Option<Locals> {
    with_current(|task| {
        let some = task.locals.is_some() || task.tree.is_some();
        some.then(|| (task.locals.take(), task.tree.take()))
    })
    .flatten()
}

/// Calls `f` with the description of the running greenlet; `None` on a thread's own stack. `f` must neither switch nor call
/// back.
pub(crate) fn with_info<R>(f: impl FnOnce(&Info, Unparker) -> R) -> Option<R> {
    let hub = current::hub()?;
    let key = hub.running.get()?;
    hub.with_task(key, |task| {
        task.job.as_ref().map(|job| f(job.info(), Unparker::of(&hub, key)))
    })?
}

/// Calls `f` with the record of whoever runs. `f` must neither switch nor call back.
#[inline]
fn with_current<R>(f: impl FnOnce(&mut super::task::Task) -> R) -> Option<R> {
    let hub = current::hub()?;
    let key = hub.running.get()?;
    hub.with_task(key, f)
}
