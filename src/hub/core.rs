//! The hub of one thread: its tasks, its ready queue, its alarms, its poller.
//!
//! Invariants:
//!
//! 1. Only the hub's own thread touches a [`Hub`]; others reach it through its [`Remote`].
//! 2. No borrow of a `RefCell` here lives across a switch, a callback or a drop of somebody else's value.
//! 3. A task is in the ready queue exactly once when its state says that it was woken, or when it is `Awake` and `running` does not hold
//!    its key, and not at all otherwise. A task that yields is put there just before it gives up the thread.
//! 4. `running` holds the key of whoever has the thread. The thread's own stack runs the loop while it is parked: then
//!    `running` is `None` as long as no greenlet has the thread. While the loop runs on a borrowed stack (see `lend`) it is left as
//!    it was: nothing that looks at it runs there.
#![expect(
    unsafe_code,
    reason = "what goes with a greenlet lies on its stack, and the fault handler reads it"
)]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
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
use crate::collections::ring::Ring;
use crate::collections::slab::{Key, Line, Slab};
use crate::collections::timers::{TimerKey, Timers};
use crate::coroutine::{self, Entrance, Status};
use crate::stack::overflow::Runner;
use crate::stack::{self, Reservation};
use crate::sys::errno;

/// Operations that a greenlet may do without waiting before it has to yield.
pub(super) const BUDGET: u32 = 128;

/// What happens at a deadline.
pub(super) enum Alarm {
    /// The task's park times out, or its late start is due.
    Wake(Key),
    /// The timeout with this number is raised in the task.
    Expire(Key, u64),
}

/// The coroutine of the greenlet that runs.
#[derive(Clone, Copy)]
pub(super) struct Foreground(Entrance);

impl Foreground {
    /// Of the greenlet that is about to run.
    ///
    /// # Safety
    ///
    /// Nobody but that greenlet uses it, while it runs.
    #[inline]
    pub(super) unsafe fn new(entrance: Entrance) -> Foreground {
        Foreground(entrance)
    }

    /// What that greenlet was spawned for; `None` from when its task gives up its hold on it.
    pub(super) fn job(self) -> Option<NonNull<Job>> {
        // SAFETY: `new`'s promise: the greenlet runs, so its coroutine is there.
        unsafe { self.0.tag() }.map(NonNull::cast)
    }

    /// Says what that greenlet was spawned for, while its task has a hold on it.
    pub(super) fn set_job(self, job: Option<NonNull<Job>>) {
        // SAFETY: as above.
        unsafe { self.0.set_tag(job.map(NonNull::cast)) };
    }

    /// Gives it the thread, until it gives it up or ends.
    ///
    /// # Safety
    ///
    /// The caller is the loop, whose invariants those of `Entrance::resume` follow from.
    #[inline]
    pub(super) unsafe fn resume(self) -> Status {
        // SAFETY: the caller's promise.
        unsafe { self.0.resume() }
    }

    /// Gives up the thread: switches to the hub's loop, and returns when the greenlet's turn comes. `errno` is the
    /// thread's.
    #[inline]
    pub(super) fn suspend(self, errno: errno::Place) {
        // SAFETY: `new`'s promise: it is this greenlet that calls.
        unsafe { self.0.suspend(errno) };
    }
}

/// See the top of the file.
pub(crate) struct Hub {
    /// How other threads reach this hub.
    pub(super) remote: &'static Remote,
    /// Names this hub among all that its remote belonged to.
    pub(super) epoch: u64,
    /// Every greenlet that has not finished, and the thread's own stack.
    pub(super) tasks: RefCell<Slab<Task, Line>>,
    /// The key of the thread's own stack.
    pub(super) root: Key,
    /// Tasks whose turn will come, first in, first out.
    pub(super) ready: Ring<Key>,
    /// Tasks that wait until nothing is ready.
    pub(super) idlers: RefCell<VecDeque<Key>>,
    /// What happens when.
    pub(super) alarms: RefCell<Timers<Alarm>>,
    /// Descriptors registered with the poller.
    pub(super) sources: RefCell<Slab<SourceState, Line>>,
    /// Tasks that wait for a descriptor.
    pub(super) source_waiters: Cell<usize>,
    /// The epoll set.
    pub(super) poller: RefCell<Poller>,
    /// Who has the thread; `None` while the loop itself runs.
    pub(super) running: Cell<Option<Key>>,
    /// Who blocks the whole thread, because it must not switch: it is told in place of the thread's own stack.
    pub(super) blocked: Cell<Option<Key>>,
    /// The coroutine of the greenlet that runs; left over from the last one while none does.
    pub(super) foreground: Cell<Option<Foreground>>,
    /// Where the thread's `errno` is.
    pub(super) errno: errno::Place,
    /// The loop runs on the stack of a greenlet that has given up the thread, and whoever has the thread was resumed from there.
    pub(super) lent: Cell<bool>,
    /// The state in which the running task was found when its turn came.
    pub(super) found: Cell<State>,
    /// Whether the running task had interrupts when its turn came.
    pub(super) interrupted: Cell<bool>,
    /// What is left of the running task's [`BUDGET`].
    pub(super) budget: Cell<u32>,
    /// How many turns there had been when the hub last looked at alarms, inbox and descriptors.
    pub(super) looked: Cell<usize>,
    /// Whether there were so many greenlets then, or so many that waited for descriptors, that their stacks are cold.
    pub(super) crowded: Cell<bool>,
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
            ready: Ring::new(),
            idlers: RefCell::default(),
            alarms: RefCell::new(Timers::new(Instant::now())),
            source_waiters: Cell::new(0),
            poller: RefCell::new(poller),
            running: Cell::new(Some(root)),
            blocked: Cell::new(None),
            foreground: Cell::new(None),
            errno: errno::Place::here(),
            lent: Cell::new(false),
            found: Cell::new(State::Parked),
            interrupted: Cell::new(false),
            budget: Cell::new(BUDGET),
            looked: Cell::new(0),
            crowded: Cell::new(false),
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
            None => self.ready.push_back(key),
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

    /// The task, if it is still there: what [`with_task`](Self::with_task) does, for the few places that each turn of a greenlet
    /// passes. That others have borrowed the tasks is found out in debug builds only, and that this one has in none.
    ///
    /// # Safety
    ///
    /// Nobody has borrowed the tasks, and nobody comes to them before the last use of the reference.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the caller says that it is exclusive")]
    pub(super) unsafe fn task(&self, key: Key) -> Option<&mut Task> {
        debug_assert!(self.tasks.try_borrow_mut().is_ok(), "the tasks are borrowed");
        // SAFETY: the caller's promise.
        unsafe { &mut *self.tasks.as_ptr() }.get_mut(key)
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
        // SAFETY: nobody else comes to the tasks in this function before the last use of it.
        let Some(task) = (unsafe { self.task(key) }) else {
            return;
        };
        if task.state != State::Parked {
            task.token |= task.state == State::Awake && reason == Reason::Unparked;
            return;
        }
        task.state = reason.state();
        if task.alarm.is_some() {
            return self.ready_before_alarm(key);
        }
        self.ready.push_back(key);
    }

    /// Marks the running task parked, unless something is pending.
    #[inline(always)]
    pub(super) fn park_simply(&self, key: Key, what: &'static str) -> bool {
        // SAFETY: nobody else comes to the tasks in this function before the last use of it.
        let Some(task) = (unsafe { self.task(key) }) else {
            return false;
        };
        if task.token || task.interrupts.is_some() {
            return false;
        }
        task.state = State::Parked;
        task.waits_for = what;
        task.low = coroutine::low();
        true
    }

    /// The end of [`wake`](Self::wake) for a task that is woken before its alarm.
    #[inline(never)]
    fn ready_before_alarm(&self, key: Key) {
        if let Some(alarm) = self.with_task(key, |task| task.alarm.take()).flatten() {
            self.alarms.borrow_mut().cancel(alarm);
        }
        self.ready.push_back(key);
    }

    /// The turn of a task has come: it has the thread from now on.
    ///
    /// What is mostly as it was is looked at before it is written: a processor makes several loads in the time of one store.
    #[inline]
    pub(super) fn begin_turn(&self, task: &mut Task) {
        let (found, interrupted) = (task.state, task.interrupts.is_some());
        if found != State::Awake {
            task.state = State::Awake;
        }
        if self.found.get() != found {
            self.found.set(found);
        }
        if self.interrupted.get() != interrupted {
            self.interrupted.set(interrupted);
        }
    }

    /// Whose turn begins has a whole budget.
    #[inline]
    pub(super) fn renew_budget(&self) {
        if self.budget.get() != BUDGET {
            self.budget.set(BUDGET);
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
            State::Parked => format!("parked in {}", task.waits_for),
            _ => "ready".to_owned(),
        }
    }

    /// The greenlet that runs, if one does. Called by the fault handler: it only reads.
    pub(super) fn runner(&self) -> Option<Runner> {
        self.running.get().filter(|key| *key != self.root)?;
        let foreground = self.foreground.get()?;
        let job = foreground.job()?;
        // SAFETY: a greenlet runs, so this is its job, which its task holds; a task that gives up its hold clears it.
        let info = unsafe { &(*job.as_ptr()).info };
        Some(Runner {
            stack_limit: stack::limit(foreground.0.base(), info.stack_size)?,
            stack_size: info.stack_size,
            id: info.id,
            name: info.name.as_deref().map(|name| NonNull::from(&**name)),
            spawned_at: info.spawned_at,
        })
    }

    /// Leaks every greenlet that is left, calls `closed`, and tells those who wait for one. The hub is not used any more.
    pub(super) fn abandon_all(&self, closed: fn()) {
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
        closed();
        for task in tasks {
            if let Some(job) = &task.job {
                job.abandon();
            }
            task.leak();
        }
    }
}
