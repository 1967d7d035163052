//! The narrow waist: everything that blocks ends in [`park`], everything that wakes holds an [`Unparker`].
//!
//! * On a greenlet, `park` suspends it and the hub runs another. On the own stack of a thread that has a hub it runs the
//!   hub's loop in place. On a thread without a hub it blocks the thread.
//! * `park` may return without cause; callers loop over their condition. An `unpark` that comes between registration
//!   and `park` is not lost: the task keeps a token and the next park returns at once.
//! * Interrupts (kill, timeout) are raised here, before and after the wait, as an unwind. Whoever registered itself
//!   somewhere holds a guard that takes it out again and passes on what it was already given.
//! * A processor foresees where a return goes from the calls before it, whatever the stack. So each call that is made before
//!   a switch and returns after it costs a misprediction, and the switch itself one more: 5 ns each. Hence what is short
//!   and on the way to a switch is inlined, whatever the compiler thinks of it.
//! * While the thread unwinds nothing may switch, because the panic count belongs to the thread: `park` returns
//!   [`WakeReason::Refused`] at once, and [`block`] really blocks the thread.

use std::time::Instant;

use super::core::{Alarm, BUDGET, Hub};
use super::current::{self, HubRef};
use super::deadlock;
use super::interrupt::{self, Interrupt};
use super::remote::{Message, Remote};
use super::task::{Reason, State, Task};
use crate::collections::slab::Key;
use crate::coroutine;

/// Why [`park`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeReason {
    /// Somebody called [`Unparker::unpark`], or nobody did: wake-ups may be spurious.
    Unparked,
    /// The deadline passed.
    TimedOut,
    /// The thread is unwinding and has other greenlets: nothing was waited for.
    Refused,
}

/// Wakes one parked greenlet or thread, from any thread. A key, not a pointer: when its owner is gone it finds nothing.
#[derive(Clone, Copy)]
pub(crate) struct Unparker {
    /// Reaches the owner's thread.
    remote: &'static Remote,
    /// The owner among the tasks of that thread.
    key: Key,
}

impl Unparker {
    /// The unparker of whoever calls: a greenlet, or the thread's own stack.
    #[inline]
    pub(crate) fn current() -> Unparker {
        match current::hub() {
            Some(hub) => Unparker {
                remote: hub.remote,
                key: hub.running.get().unwrap_or(hub.root),
            },
            None => {
                let remote = current::remote();
                Unparker {
                    remote,
                    key: current::root_key(remote),
                }
            }
        }
    }

    /// The unparker of a task.
    pub(super) fn of(hub: &Hub, key: Key) -> Unparker {
        Unparker {
            remote: hub.remote,
            key,
        }
    }

    /// Makes the owner's present or next park return. Never blocks.
    #[inline]
    pub(crate) fn unpark(self) {
        match current::hub() {
            Some(hub) if std::ptr::eq(hub.remote, self.remote) => hub.wake(self.key, Reason::Unparked),
            _ => self.unpark_remote(),
        }
    }

    /// [`unpark`](Self::unpark) from another thread.
    #[cold]
    fn unpark_remote(self) {
        self.remote.post(Message::Wake(self.key));
    }

    /// Has `interrupt` raised in the owner at its next park point, which ends the park it is in.
    pub(crate) fn interrupt(self, interrupt: Interrupt) {
        match self.local_hub() {
            Some(hub) => hub.interrupt(self.key, interrupt),
            None => self.remote.post(Message::Interrupt(self.key, interrupt)),
        }
    }

    /// Whether the owner is whoever calls.
    pub(crate) fn is_current(self) -> bool {
        self.local_hub().is_some_and(|hub| hub.running.get() == Some(self.key))
    }

    /// The state of the owner in words, if it is a greenlet of the calling thread that has not ended.
    pub(crate) fn state_in_words(self) -> Option<String> {
        self.local_hub().and_then(|hub| hub.state_in_words(self.key))
    }

    /// Whether the owner belongs to the calling thread, which has a hub.
    #[inline]
    pub(crate) fn is_local(self) -> bool {
        self.local_hub().is_some()
    }

    /// The calling thread's hub, if the owner is one of its tasks (or was).
    #[inline]
    pub(super) fn local_hub(self) -> Option<HubRef> {
        current::hub().filter(|hub| std::ptr::eq(hub.remote, self.remote))
    }

    /// The owner's key, for the hub's own lists.
    pub(super) fn key(self) -> Key {
        self.key
    }
}

impl std::fmt::Debug for Unparker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Unparker").field(&self.key).finish()
    }
}

/// Parks the caller until it is unparked or `deadline` passes. `what` says in a word what it waits for ("recv").
///
/// # Panics
///
/// In the hub's own loop, where there is nothing to park; on the thread's own stack when nobody can wake anybody any
/// more, with a line for each greenlet.
#[inline(always)]
pub(crate) fn park(deadline: Option<Instant>, what: &'static str) -> WakeReason {
    match current::hub() {
        Some(_) if std::thread::panicking() => WakeReason::Refused,
        Some(hub) => hub.park(deadline, what),
        None => block_thread(deadline),
    }
}

/// As [`park`], but never switches: the whole thread waits. Only for a wait that another thread can end.
#[cold]
pub(crate) fn block(deadline: Option<Instant>, what: &'static str) -> WakeReason {
    match current::hub() {
        Some(hub) => hub.block(deadline, what),
        None => block_thread(deadline),
    }
}

/// A number that names the caller, a greenlet or a thread's own stack, and nobody else in the life of the process.
pub(crate) fn current_id() -> u64 {
    current::hub()
        .and_then(|hub| hub.running_id())
        .unwrap_or_else(current::own_id)
}

/// Lets every other ready greenlet run once. On a thread without a hub, lets another thread run.
#[inline(always)]
pub(crate) fn yield_now() {
    match current::hub() {
        Some(_) if std::thread::panicking() => {}
        Some(hub) => hub.yield_now(),
        None => std::thread::yield_now(),
    }
}

/// Spends one unit of the running greenlet's budget: to be called by every operation that succeeded at once.
///
/// Yields when the budget is spent, so that a greenlet whose operations never wait starves nobody. It is a park point:
/// never to be called with a lock held or with something half done.
#[inline(always)]
pub(crate) fn spend() {
    if !spend_if_any() {
        spent();
    }
}

/// As [`spend`], but never yields: `false` if the budget is spent.
#[inline(always)]
pub(crate) fn spend_if_any() -> bool {
    let Some(hub) = current::hub() else { return true };
    let left = hub.budget.get().checked_sub(1);
    if let Some(left) = left {
        hub.budget.set(left);
    }
    left.is_some()
}

/// The end of [`spend`] when the budget is spent.
#[cold]
fn spent() {
    yield_now();
    if let Some(hub) = current::hub() {
        hub.budget.set(BUDGET);
    }
}

/// Somebody's callback in the loop would block.
#[cold]
fn nothing_to_park(what: &str) -> ! {
    panic!("iora: a blocking call ({what}) in the hub's own loop, where nothing can be parked");
}

/// Blocks a thread that has no hub.
#[cold]
fn block_thread(deadline: Option<Instant>) -> WakeReason {
    let remote = current::remote();
    let me = current::root_key(remote);
    loop {
        let mut woken = false;
        for message in remote.messages() {
            match message {
                Message::Wake(key) => woken |= key == me,
                // Nothing else can be meant for a thread without tasks. It is somebody else's: its destructor may do anything.
                late => interrupt::discard(late),
            }
        }
        if woken {
            return WakeReason::Unparked;
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return WakeReason::TimedOut;
        }
        if remote.prepare_sleep(false) {
            sleep_thread(deadline);
            remote.awake();
        }
    }
}

/// Ends when the thread is unparked, at the deadline, or for no reason.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread without a hub has nothing else to run"
)]
fn sleep_thread(deadline: Option<Instant>) {
    match deadline {
        None => std::thread::park(),
        Some(at) => std::thread::park_timeout(at.saturating_duration_since(Instant::now())),
    }
}

impl Hub {
    /// See [`park`].
    #[inline(always)]
    fn park(&self, deadline: Option<Instant>, what: &'static str) -> WakeReason {
        let key = self.begin_park(what);
        if !self.prepare_park(key, deadline, what) {
            return WakeReason::Unparked;
        }
        match self.switch_out(key) {
            State::TimedOut => WakeReason::TimedOut,
            State::Deadlocked => self.report_deadlock(what),
            _ => WakeReason::Unparked,
        }
    }

    /// Marks the task parked. `false` if it was unparked before. Raises what is pending.
    #[inline(always)]
    fn prepare_park(&self, key: Key, deadline: Option<Instant>, what: &'static str) -> bool {
        deadline.is_none() && self.park_simply(key, what)
            || self.prepare_park_slow(key, deadline, what, coroutine::low())
    }

    /// [`prepare_park`](Self::prepare_park) with a deadline, a token or an interrupt.
    #[cold]
    fn prepare_park_slow(&self, key: Key, deadline: Option<Instant>, what: &'static str, low: u32) -> bool {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(key).expect("whoever runs has a task");
        if let Some(interrupt) = task.take_interrupt() {
            drop(tasks);
            interrupt.raise();
        }
        if std::mem::take(&mut task.token) {
            return false;
        }
        task.state = State::Parked;
        task.waits_for = what;
        task.low = low;
        if let Some(at) = deadline {
            task.alarm = Some(self.alarms.borrow_mut().insert(at, Alarm::Wake(key)));
        }
        true
    }

    /// Nobody can wake anybody any more.
    #[cold]
    fn report_deadlock(&self, what: &str) -> ! {
        let lines = self.describe();
        panic!("{}", deadlock::report(what, &lines));
    }

    /// See [`yield_now`].
    #[inline(always)]
    fn yield_now(&self) {
        // What is pending is raised afterwards.
        let key = self.begin_park("yield");
        self.ready.push_back(key);
        self.switch_out(key);
    }

    /// Who is about to give up the thread.
    #[inline]
    fn begin_park(&self, what: &'static str) -> Key {
        match self.running.get() {
            Some(key) => key,
            None => nothing_to_park(what),
        }
    }

    /// Gives up the thread until the task's turn comes; returns the state it was found in. Raises what is pending.
    #[inline(always)]
    fn switch_out(&self, key: Key) -> State {
        if current::stack_mark() != 0 {
            self.switch_out_nested(key);
        } else if key == self.root {
            self.drive();
        } else {
            self.give_up();
        }
        let found = self.found.get();
        if self.interrupted.get() {
            self.raise(key);
        }
        found
    }

    /// The switch of [`switch_out`](Self::switch_out) on a stack on top of the caller's own, whose word others must not find.
    #[cold]
    fn switch_out_nested(&self, key: Key) {
        let mark = current::replace_stack_mark(0);
        if key == self.root {
            self.drive();
        } else {
            let foreground = self.foreground.get().expect("a running greenlet can be suspended");
            foreground.suspend(self.errno);
        }
        current::replace_stack_mark(mark);
    }

    /// Raises the oldest interrupt of whoever runs, if it may be raised.
    #[cold]
    fn raise(&self, key: Key) {
        if let Some(Some(interrupt)) = self.with_task(key, Task::take_interrupt) {
            interrupt.raise();
        }
    }

    /// See [`block`]: turns of the loop in which no greenlet runs, until the caller is woken.
    fn block(&self, deadline: Option<Instant>, what: &'static str) -> WakeReason {
        let key = self.begin_park(what);
        let parked = self.with_task(key, |task| {
            if std::mem::take(&mut task.token) {
                return false;
            }
            task.state = State::Parked;
            task.waits_for = what;
            task.alarm = deadline.map(|at| self.alarms.borrow_mut().insert(at, Alarm::Wake(key)));
            true
        });
        if parked != Some(true) {
            return WakeReason::Unparked;
        }
        self.running.set(None);
        self.blocked.set(Some(key));
        // Whoever is ready stays so, out of sight: the hub does not sleep while somebody is ready.
        let mut aside = Vec::new();
        let found = loop {
            while let Some(other) = self.ready.pop_front() {
                aside.push(other);
            }
            match self.with_task(key, |task| task.state) {
                Some(State::Parked) => self.wait_for_something(),
                found => break found,
            }
        };
        for other in aside.into_iter().filter(|other| *other != key) {
            self.ready.push_back(other);
        }
        self.with_task(key, |task| task.state = State::Awake);
        self.blocked.set(None);
        self.running.set(Some(key));
        match found {
            Some(State::TimedOut) => WakeReason::TimedOut,
            Some(State::Deadlocked) => self.report_deadlock(what),
            _ => WakeReason::Unparked,
        }
    }
}
