//! The hub of one thread: its tasks, its ready queue, its alarms, its poller.
//!
//! Invariants:
//!
//! 1. Only the hub's own thread touches a [`Hub`]; others reach it through its [`Remote`].
//! 2. No borrow of a `RefCell` here lives across a switch, a callback or a drop of somebody else's value.
//! 3. A task is in the ready queue exactly once when its state is `Woken`, or when it is `Awake` and `running` does not hold
//!    its key, and not at all otherwise. A task that yields is put there when it has given up the thread.
//! 4. `running` holds the key of whoever has the thread. The thread's own stack runs the loop while it is parked: then
//!    `running` is `None` as long as no greenlet has the thread.
#![expect(
    unsafe_code,
    reason = "what goes with a greenlet lies on its stack, and the fault handler reads it"
)]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::interrupt::{self, Interrupt};
use super::job::{Job, JobRef};
use super::poller::Poller;
use super::remote::Remote;
use super::sources::SourceState;
use super::spin::Spin;
use super::task::{Body, Reason, State, Task};
use super::tree::Tree;
use super::{deadlock, report};
use crate::collections::slab::{Key, Slab};
use crate::collections::timers::{TimerKey, Timers};
use crate::coroutine::Suspender;
use crate::stack::Reservation;
use crate::stack::overflow::Runner;

/// Operations that a greenlet may do without waiting before it has to yield.
pub(super) const BUDGET: u32 = 128;

/// What happens at a deadline.
pub(super) enum Alarm {
    /// The task's park times out, or its late start is due.
    Wake(Key),
    /// The timeout with this number is raised in the task.
    Expire(Key, u64),
}

/// What goes with a greenlet while it runs. It lies at the top of the greenlet's own stack.
pub(super) struct Foreground {
    /// How it gets back to the loop.
    pub(super) suspender: Suspender,
    /// What it runs, for the overflow report; `None` from when its task gives up its hold on it.
    pub(super) job: Cell<Option<NonNull<Job>>>,
}

/// The foreground of a greenlet that has begun and not ended.
#[derive(Clone, Copy)]
pub(super) struct ForegroundRef(NonNull<Foreground>);

impl ForegroundRef {
    /// Refers to what lies at the top of a stack.
    ///
    /// # Safety
    ///
    /// The greenlet that runs on that stack keeps it there, unmoved, to its end. It is used by that greenlet, and by the
    /// hub while it has the thread.
    pub(super) unsafe fn new(foreground: &Foreground) -> ForegroundRef {
        ForegroundRef(NonNull::from(foreground))
    }
}

impl Deref for ForegroundRef {
    type Target = Foreground;

    #[inline]
    fn deref(&self) -> &Foreground {
        // SAFETY: whoever made it promised that it lies there until the greenlet has ended; the hub forgets it then.
        unsafe { self.0.as_ref() }
    }
}

/// See the top of the file.
pub(crate) struct Hub {
    /// How other threads reach this hub.
    pub(super) remote: &'static Remote,
    /// Names this hub among all that its remote belonged to.
    pub(super) epoch: u64,
    /// Every greenlet that has not finished, and the thread's own stack.
    pub(super) tasks: RefCell<Slab<Task>>,
    /// The key of the thread's own stack.
    pub(super) root: Key,
    /// Tasks whose turn will come, first in, first out.
    pub(super) ready: RefCell<VecDeque<Key>>,
    /// Tasks that wait until nothing is ready.
    pub(super) idlers: RefCell<VecDeque<Key>>,
    /// What happens when.
    pub(super) alarms: RefCell<Timers<Alarm>>,
    /// Descriptors registered with the poller.
    pub(super) sources: RefCell<Slab<SourceState>>,
    /// Tasks that wait for a descriptor.
    pub(super) source_waiters: Cell<usize>,
    /// The epoll set.
    pub(super) poller: RefCell<Poller>,
    /// Who has the thread; `None` while the loop itself runs.
    pub(super) running: Cell<Option<Key>>,
    /// Who blocks the whole thread, because it must not switch: it is told in place of the thread's own stack.
    pub(super) blocked: Cell<Option<Key>>,
    /// What goes with the greenlet that runs; left over from the last one while none does.
    pub(super) foreground: Cell<Option<ForegroundRef>>,
    /// Whoever gives up the thread yields: its turn comes again, without a wake-up.
    pub(super) yielding: Cell<bool>,
    /// The state in which the running task was found when its turn came.
    pub(super) found: Cell<State>,
    /// Whether the running task had interrupts when its turn came.
    pub(super) interrupted: Cell<bool>,
    /// What is left of the running task's [`BUDGET`].
    pub(super) budget: Cell<u32>,
    /// Greenlets run since the hub last looked at alarms, inbox and descriptors.
    pub(super) ticks: Cell<u32>,
    /// Whether to look at the inbox a little longer before sleeping.
    pub(super) spin: Spin,
    /// Where an idle hub looks for unstarted greenlets; set on the threads of `hubs(n)`.
    pub(super) work: RefCell<Option<Arc<dyn Fn() -> bool>>>,
    /// The hub is ending: the thread's own stack is woken when the last greenlet is gone.
    pub(super) ending: Cell<bool>,
}

impl Hub {
    /// A hub for the calling thread, whose own stack is its only, running task.
    pub(super) fn new(remote: &'static Remote) -> io::Result<Hub> {
        let (poller, waker) = Poller::new()?;
        let mut tasks = Slab::with_first_generation(remote.generation());
        let root = tasks.insert(Task::root());
        let hub = Hub {
            remote,
            epoch: remote.open_hub(waker),
            sources: RefCell::new(Slab::with_first_generation(remote.generation())),
            tasks: RefCell::new(tasks),
            root,
            ready: RefCell::default(),
            idlers: RefCell::default(),
            alarms: RefCell::new(Timers::new(Instant::now())),
            source_waiters: Cell::new(0),
            poller: RefCell::new(poller),
            running: Cell::new(Some(root)),
            blocked: Cell::new(None),
            foreground: Cell::new(None),
            yielding: Cell::new(false),
            found: Cell::new(State::Parked),
            interrupted: Cell::new(false),
            budget: Cell::new(BUDGET),
            ticks: Cell::new(0),
            spin: Spin::new(),
            work: RefCell::new(None),
            ending: Cell::new(false),
        };
        deadlock::enlist(remote);
        Ok(hub)
    }

    /// Takes in an unstarted greenlet: ready now, or at `start`.
    #[inline]
    pub(super) fn add(&self, job: JobRef, reservation: Reservation, start: Option<Instant>) -> Key {
        let tree = self.tree_of_running();
        let key = self
            .tasks
            .borrow_mut()
            .insert_with(|| Task::unstarted(job, reservation, tree, start.is_none()));
        match start {
            None => self.ready.borrow_mut().push_back(key),
            Some(at) => {
                let alarm = self.alarms.borrow_mut().insert(at, Alarm::Wake(key));
                self.with_task(key, |task| task.alarm = Some(alarm));
            }
        }
        key
    }

    /// The tree of the greenlet that runs, made now if it has none; `None` if none runs.
    #[inline]
    pub(super) fn tree_of_running(&self) -> Option<Rc<Tree>> {
        let key = self.running.get().filter(|key| *key != self.root)?;
        self.with_task(key, |task| task.tree.get_or_insert_default().clone())
    }

    /// Calls `f` with the task, if it is still there. `f` must neither switch nor call back.
    #[inline]
    pub(super) fn with_task<R>(&self, key: Key, f: impl FnOnce(&mut Task) -> R) -> Option<R> {
        self.tasks.borrow_mut().get_mut(key).map(f)
    }

    /// The number of the greenlet that runs; `None` on the thread's own stack.
    pub(super) fn running_id(&self) -> Option<u64> {
        let tasks = self.tasks.borrow();
        let job = &tasks.get(self.running.get()?)?.job;
        job.as_ref().map(|job| job.info().id)
    }

    /// Makes a parked task ready. One that has not parked keeps a token; one that is woken already stays so.
    #[inline]
    pub(super) fn wake(&self, key: Key, reason: Reason) {
        let alarm = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(key) else { return };
            match task.state {
                State::Parked => {
                    task.state = State::Woken(reason);
                    task.alarm.take()
                }
                State::Awake => {
                    task.token |= reason == Reason::Unparked;
                    return;
                }
                State::Woken(_) => return,
            }
        };
        self.ready.borrow_mut().push_back(key);
        if let Some(alarm) = alarm {
            self.cancel_alarm(alarm);
        }
    }

    /// The alarm of a task that was woken before it.
    #[inline(never)]
    fn cancel_alarm(&self, alarm: TimerKey) {
        self.alarms.borrow_mut().cancel(alarm);
    }

    /// The turn of a task has come: it has the thread from now on.
    #[inline]
    pub(super) fn begin_turn(&self, task: &mut Task) {
        self.found.set(std::mem::replace(&mut task.state, State::Awake));
        self.interrupted.set(task.interrupts.is_some());
    }

    /// A task has given up the thread: one that yields goes to the end of the ready queue.
    #[inline]
    pub(super) fn end_turn(&self, key: Key) {
        if self.yielding.take() {
            self.ready.borrow_mut().push_back(key);
        }
    }

    /// Has `interrupt` raised in a task at its next park point; ends the park it is in.
    pub(super) fn interrupt(&self, key: Key, interrupt: Interrupt) {
        // A shielded one is woken too: a scope that waits passes the kill on.
        let mut interrupt = Some(interrupt);
        self.with_task(key, |task| {
            if let Some(interrupt) = interrupt.take() {
                task.push_interrupt(interrupt);
            }
        });
        match interrupt {
            None => self.wake_parked(key),
            // The task is gone. What was thrown at it is somebody else's: its destructor may do anything.
            unheard => interrupt::discard(unheard),
        }
    }

    /// Ends a park without leaving a token behind.
    fn wake_parked(&self, key: Key) {
        if self.with_task(key, |task| task.state == State::Parked) == Some(true) {
            self.wake(key, Reason::Unparked);
        }
    }

    /// Sets the timeout `number` of a task.
    pub(super) fn expire_at(&self, at: Instant, key: Key, number: u64) -> TimerKey {
        self.alarms.borrow_mut().insert(at, Alarm::Expire(key, number))
    }

    /// Storage of the running task's local variables, made by `init` at its first use. `f` must not switch.
    pub(super) fn with_locals<R>(
        &self,
        init: impl FnOnce() -> Box<dyn Any>,
        f: impl FnOnce(&mut dyn Any) -> R,
    ) -> Option<R> {
        let key = self.running.get()?;
        self.with_task(key, |task| {
            f(&mut ***task.locals.get_or_insert_with(|| Box::new(init())))
        })
    }

    /// A line for each task but the thread's own: what it is and what it waits for.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        let tasks = self.tasks.borrow();
        for (key, task) in tasks.iter() {
            let line = match &task.job {
                Some(job) => report::describe(job.info(), &self.state_of(key, task)),
                None => format!("<the thread's own stack: {}>", self.state_of(key, task)),
            };
            let _ = writeln!(text, "  {line}");
        }
        text
    }

    /// The state of a greenlet of this hub in words; `None` when it has ended.
    pub(super) fn state_in_words(&self, key: Key) -> Option<String> {
        let tasks = self.tasks.borrow();
        tasks.get(key).map(|task| self.state_of(key, task))
    }

    /// The state of a task in words.
    fn state_of(&self, key: Key, task: &Task) -> String {
        match task.state {
            _ if self.running.get() == Some(key) => "running".to_owned(),
            State::Awake if matches!(task.body, Body::Unstarted(_)) => "not started".to_owned(),
            State::Awake | State::Woken(_) => "ready".to_owned(),
            State::Parked => format!("parked in {}", task.waits_for),
        }
    }

    /// The greenlet that runs, if one does. Called by the fault handler: it only reads.
    pub(super) fn runner(&self) -> Option<Runner> {
        self.running.get().filter(|key| *key != self.root)?;
        let foreground = self.foreground.get()?;
        let job = foreground.job.get()?;
        // SAFETY: the greenlet whose foreground this is has not ended, because its end clears it, and its task holds the job.
        let info = unsafe { &(*job.as_ptr()).info };
        Some(Runner {
            stack_size: info.stack_size,
            id: info.id,
            name: info.name.as_deref().map(|name| NonNull::from(&**name)),
            spawned_at: info.spawned_at,
        })
    }

    /// Leaks every greenlet that is left, and tells those who wait for one. The hub is not used any more.
    pub(super) fn abandon_all(&self) {
        deadlock::delist(self.remote);
        let keys: Vec<Key> = self.tasks.borrow().keys().collect();
        let tasks: Vec<Task> = {
            let mut tasks = self.tasks.borrow_mut();
            keys.into_iter().filter_map(|key| tasks.remove(key)).collect()
        };
        // Before anything of the user's runs: a link may spawn, and so make the thread's next hub.
        let generation = self.tasks.borrow().first_unused_generation().max(
            // Sources and tasks share the counter: neither kind of key may be honoured by the next hub.
            self.sources.borrow().first_unused_generation(),
        );
        self.remote.close_hub(generation);
        for task in tasks {
            if let Some(job) = &task.job {
                job.abandon();
            }
            task.leak();
        }
    }
}
