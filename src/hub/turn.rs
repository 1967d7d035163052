//! The hub's loop: run the ready, fire alarms, read the inbox, poll descriptors.
//!
//! It runs on the thread's own stack while that is parked, or for a while on one that a greenlet lends it. Greenlets run in the order in which they became ready; at
//! most [`BATCH`] of them between two looks at the rest of the world, so that no chain of wake-ups starves a timer, a
//! descriptor or another thread. When nothing is ready the hub sleeps in its poller.
#![expect(
    unsafe_code,
    reason = "what runs on a coroutine's stack borrows its job from the task"
)]

use std::mem;
use std::time::{Duration, Instant};

use super::core::{Alarm, BUDGET, Foreground, Hub};
use super::interrupt::{self, Interrupt};
use super::job::{self, JobRef};
use super::poller::Readiness;
use super::remote::Message;
use super::task::{Body, Reason, Task};
use super::{current, deadlock};
use crate::collections::slab::Key;
use crate::coroutine::{Coroutine, Entrance, Status};

/// Greenlets that run between two looks at alarms, inbox and descriptors.
const BATCH: usize = 128;

/// Alarms that are taken out of the timers before anything is done.
const FIRED: usize = 16;

/// How many turns ahead the processor is told of a stack.
const AHEAD: usize = 2;

/// With fewer greenlets than this it need not be told: what each uses of its stack stays in its second cache.
const CROWD: usize = 2_000;

/// And with fewer that wait for a descriptor: what the kernel does for each request takes far more of that cache than a stack.
const CONNECTED: usize = 200;

impl Hub {
    /// Runs greenlets until the turn of the thread's own stack comes.
    #[inline(never)]
    pub(super) fn drive(&self) {
        self.running.set(None);
        // Not `self`, see `run`.
        while current::hub().is_some_and(|hub| hub.turn()) {}
        self.with_task(self.root, |task| self.begin_turn(task));
        self.running.set(Some(self.root));
        self.budget.set(BUDGET);
    }

    /// Runs whoever's turn it is; `false` if it is the thread's own stack.
    #[inline(always)]
    fn turn(&self) -> bool {
        if self.is_time_to_look() {
            self.look_around();
        }
        self.fetch_ahead();
        match self.ready.pop_front() {
            Some(key) if key == self.root => return false,
            Some(key) => self.run(key),
            None => self.wait_for_something(),
        }
        true
    }

    /// Whether a batch has been run since the hub last looked at the rest of the world.
    #[inline(always)]
    pub(super) fn is_time_to_look(&self) -> bool {
        self.ready.taken().wrapping_sub(self.looked.get()) >= BATCH
    }

    /// Has the processor fetch a stack that comes soon. Where there are many greenlets each is cold, in another page than all
    /// others, and the processor does not look so far ahead itself.
    #[inline(always)]
    pub(super) fn fetch_ahead(&self) {
        if self.crowded.get() {
            self.fetch_stack();
        }
    }

    /// The work of [`fetch_ahead`](Self::fetch_ahead).
    #[inline(never)]
    fn fetch_stack(&self) {
        let Some(key) = self.ready.get(AHEAD) else { return };
        if let Some(task) = self.tasks.borrow().get(key)
            && let Body::Begun(coroutine) = &task.body
        {
            coroutine.entrance().fetch(task.low);
        }
    }

    /// Gives the thread to a greenlet until it parks, yields or ends.
    #[inline(always)]
    fn run(&self, key: Key) {
        // SAFETY: nobody else comes to the tasks before the last use of it.
        let task = unsafe { self.task(key) }.expect("a ready task is in the slab");
        self.begin_turn(task);
        let entrance = match &task.body {
            Body::Begun(coroutine) => Some(coroutine.entrance()),
            _ => start(task),
        };
        let Some(entrance) = entrance else {
            return self.abandon(key);
        };
        self.running.set(Some(key));
        self.renew_budget();
        // SAFETY: it is that of the greenlet that runs now.
        self.foreground.set(Some(unsafe { Foreground::new(entrance) }));
        // SAFETY: the task owns the coroutine and stays in the slab until it is taken out below, at the coroutine's end, or
        // with the whole hub, which does not happen while the loop runs. It is resumed only here, and here it is not ready
        // before it has given up the thread.
        let status = unsafe { entrance.resume() };
        // From here on `self` would come from this stack's frame, which the processor finds at the end of a chain of loads through
        // both stacks. The thread-local is at hand, so it can begin with the next greenlet before that.
        let Some(hub) = current::hub() else { return };
        match status {
            Status::Suspended if !hub.lent.get() => hub.running.set(None),
            _ => hub.finish(),
        }
    }

    /// Clears away the greenlet that ran, which has ended, on its own account or on a borrowed stack.
    #[inline]
    fn finish(&self) {
        self.lent.set(false);
        let Some(key) = self.running.take() else { return };
        let mut tasks = self.tasks.borrow_mut();
        let left = tasks.remove_with(key, Task::take_rest);
        let last = tasks.len() == 1;
        drop(tasks);
        if let Some((Body::Begun(coroutine), rest)) = left {
            coroutine.finish();
            if let Some((thrown, locals, tree)) = rest {
                interrupt::discard_all(thrown);
                interrupt::discard((locals, tree));
            }
        }
        if last && self.ending.get() {
            self.wake(self.root, Reason::Unparked);
        }
    }

    /// The kernel has no memory for a stack that was promised: the greenlet never runs.
    #[cold]
    fn abandon(&self, key: Key) {
        let Some(mut task) = self.tasks.borrow_mut().remove(key) else {
            return;
        };
        if let Some(job) = task.job.take() {
            job.abandon();
            job.release();
        }
        interrupt::discard_all(task.interrupts.take());
        interrupt::discard(task);
    }

    /// Fires due alarms, reads the inbox and polls, without waiting.
    #[inline(never)]
    fn look_around(&self) {
        self.note_look();
        self.fire_alarms();
        self.read_inbox();
        self.poll_now();
        self.take_work();
        #[cfg(feature = "monkey")]
        drop(super::hook_state::Asleep::enter());
    }

    /// The hub begins to look at the rest of the world.
    fn note_look(&self) {
        self.looked.set(self.ready.taken());
        let crowded = self.source_waiters.get() >= CONNECTED || self.tasks.borrow().len() >= CROWD;
        self.crowded.set(crowded);
    }

    /// Polls without waiting.
    pub(super) fn poll_now(&self) {
        if !self.sources.borrow().is_empty() {
            let mut poller = self.poller.borrow_mut();
            let result = poller.poll_now(|token, readiness| self.source_event(token, readiness));
            result.expect("iora: polling failed");
        }
    }

    /// Nothing is ready: sleeps until something may be.
    #[inline(never)]
    pub(super) fn wait_for_something(&self) {
        self.note_look();
        self.fire_alarms();
        self.read_inbox();
        if !self.ready.is_empty() || self.take_work() || self.wake_idlers() {
            return;
        }
        #[cfg(feature = "monkey")]
        let Some(watched) = super::hook_state::Asleep::enter() else {
            return;
        };
        if self.spin.spin(|| self.remote.has_messages()) {
            #[cfg(feature = "monkey")]
            drop(watched);
            self.read_inbox();
            return;
        }
        if !self.remote.prepare_sleep(true) {
            return;
        }
        if self.take_work() {
            self.remote.awake();
            return;
        }
        let alarms = self.set_clock();
        let mut grace = Duration::from_millis(100);
        let forever = !alarms && self.source_waiters.get() == 0;
        if forever {
            deadlock::go_quiet();
        }
        let asleep = self.spin.fall_asleep();
        loop {
            let look = forever.then(|| Instant::now() + grace);
            if let Some(at) = look {
                let set = self.poller.borrow_mut().clock.set(at);
                set.expect("iora: setting a timer failed");
            }
            let mut events = 0;
            let result = self.poller.borrow_mut().poll(|token, readiness| {
                events += 1;
                self.source_event(token, readiness);
            });
            result.expect("iora: polling failed");
            if events > 0 || self.remote.has_messages() || look.is_none_or(|at| Instant::now() < at) {
                break;
            }
            // Nothing has happened for a while and nothing is pending here: is anybody left who could wake us?
            deadlock::check();
            if self.remote.has_messages() {
                break;
            }
            grace = (grace * 2).min(Duration::from_secs(5));
        }
        if forever {
            deadlock::go_on();
        }
        #[cfg(feature = "monkey")]
        drop(watched);
        self.remote.awake();
        self.spin.wake_up(asleep, self.remote.has_messages());
        self.fire_alarms();
        self.read_inbox();
    }

    /// Has the clock ring in time for the alarms; `false` if there are none.
    fn set_clock(&self) -> bool {
        let alarms = self.alarms.borrow();
        let Some(first) = alarms.next_deadline() else {
            return false;
        };
        let set = self.poller.borrow_mut().clock.set_for_alarms(first, alarms.len());
        set.expect("iora: setting a timer failed");
        true
    }

    /// An idle hub of a group asks for an unstarted greenlet: wakes the thread's own stack, which takes it.
    fn take_work(&self) -> bool {
        let work = self.work.borrow().clone();
        let there_is = work.is_some_and(|work| work());
        if there_is {
            self.wake(self.root, Reason::Unparked);
        }
        there_is
    }

    /// Does what is due.
    #[inline]
    fn fire_alarms(&self) {
        if !self.alarms.borrow().is_empty() {
            self.fire_due(Instant::now());
        }
    }

    /// Does what is due at `now`.
    fn fire_due(&self, now: Instant) {
        // Some at a time: by the second look at a task it has been fetched, and those between meanwhile.
        let mut due = [const { None }; FIRED];
        loop {
            let mut count = 0;
            for place in &mut due {
                *place = self.alarms.borrow_mut().pop_due(now);
                match place {
                    Some(Alarm::Wake(key) | Alarm::Expire(key, _)) => self.tasks.borrow().fetch(*key),
                    None => break,
                }
                count += 1;
            }
            self.poller.borrow_mut().clock.fired(count);
            for place in &mut due {
                match place.take() {
                    Some(Alarm::Wake(key)) => {
                        // It has fired: there is nothing left to cancel.
                        self.with_task(key, |task| task.alarm = None);
                        self.wake(key, Reason::TimedOut);
                    }
                    Some(Alarm::Expire(key, number)) => self.interrupt(key, Interrupt::Timeout(number)),
                    None => return,
                }
            }
        }
    }

    /// Does what other threads asked for.
    #[inline]
    fn read_inbox(&self) {
        if self.remote.has_messages() {
            self.handle_messages();
        }
    }

    /// The work of [`read_inbox`](Self::read_inbox).
    fn handle_messages(&self) {
        self.spin.heard();
        for message in self.remote.messages() {
            match message {
                Message::Wake(key) => self.wake(key, Reason::Unparked),
                Message::Interrupt(key, interrupt) => self.interrupt(key, interrupt),
                Message::Run(run) => run(),
                Message::EndSource(key, closed) => self.end_source(key, closed),
                Message::Deadlock if self.work.borrow().is_none() || self.blocked.get().is_some() => {
                    self.wake(self.blocked.get().unwrap_or(self.root), Reason::Deadlock);
                }
                // The own stack of a group's hub waits for work, not for a greenlet: whoever joins is told.
                Message::Deadlock => deadlock::print(&self.describe()),
            }
        }
    }

    /// A descriptor became ready.
    fn source_event(&self, token: u64, readiness: Readiness) {
        if let Some(key) = Key::from_bits(token) {
            self.source_ready(key, readiness);
        }
    }
}

/// Gives an unstarted greenlet its stack; `None` when the kernel has no memory for it.
#[inline]
fn start(task: &mut Task) -> Option<Entrance> {
    let body = mem::replace(&mut task.body, Body::Starting);
    let (Body::Unstarted(reservation), Some(job)) = (body, task.job.as_ref().map(JobRef::as_ptr)) else {
        unreachable!("only suspended and unstarted tasks are ready");
    };
    let stack = reservation.claim().ok()?;
    let coroutine = Coroutine::new(stack, move |_| {
        // SAFETY: the task in the slab holds the job (for ever, when the thread ends first and leaks both), and this is
        // that task's coroutine.
        unsafe { job::run(job) };
    });
    let entrance = coroutine.entrance();
    // SAFETY: its owner has it.
    unsafe { entrance.set_tag(Some(job.cast())) };
    // There is nothing to drop, which the compiler does not see.
    mem::forget(mem::replace(&mut task.body, Body::Begun(coroutine)));
    Some(entrance)
}
