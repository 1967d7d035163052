//! The record of one greenlet in its hub's slab.
//!
//! ```text
//!   spawn ──────▶ Awake ◀── its turn ── Unparked, TimedOut or Deadlocked
//!                 │  │                    ▲
//!          it has │  └─ parks ─▶ Parked ──┘ somebody wakes it, or its deadline passes
//!           ended │                ▲
//!                 ▼                └── spawn_later
//!              removed
//! ```
//!
//! The hub owns tasks; everyone else holds keys. A key whose task is gone finds nothing.

use std::any::Any;
use std::collections::VecDeque;
use std::rc::Rc;

use super::interrupt::{self, Interrupt};
use super::job::JobRef;
use super::tree::Tree;
use crate::collections::timers::TimerKey;
use crate::coroutine::Coroutine;
use crate::stack::Reservation;

/// Where a task stands. Only its hub's thread reads or writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In the ready queue after a park, because somebody unparked it or there is an interrupt to raise.
    Unparked,
    /// In the ready queue after a park whose deadline passed.
    TimedOut,
    /// In the ready queue after a park that nobody could end any more.
    Deadlocked,
    /// Has the thread, or is in the ready queue without having waited: unstarted, or it yielded.
    Awake,
    /// In nobody's queue but that of what it waits for.
    Parked,
}

/// Why a parked task was made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Somebody unparked it, or there is an interrupt to raise.
    Unparked,
    /// Its deadline passed.
    TimedOut,
    /// Nobody can wake it any more. Only the thread's own stack is told, or whoever blocks the thread.
    Deadlock,
}

impl Reason {
    /// Where it stands then.
    #[inline]
    pub(super) fn state(self) -> State {
        match self {
            Reason::Unparked => State::Unparked,
            Reason::TimedOut => State::TimedOut,
            Reason::Deadlock => State::Deadlocked,
        }
    }
}

/// What there is to run.
pub(super) enum Body {
    /// The thread's own stack, which runs the hub's loop while it is parked.
    Root,
    /// Not begun: it has a claim to a stack, but no stack yet.
    Unstarted(Reservation),
    /// On the way from there to here.
    Starting,
    /// Begun: it runs or is suspended.
    Begun(Coroutine),
}

/// What is left of others' in the record of a greenlet that has ended: what was thrown at it and never raised, and values that
/// it did not see to itself.
type Rest = (
    Option<Box<VecDeque<Interrupt>>>,
    Option<Box<Box<dyn Any>>>,
    Option<Rc<Tree>>,
);

/// One greenlet, or the thread's own stack. What each park and turn looks at comes first: it is to lie in one cache line, with eight
/// bytes of the slab's before it.
#[repr(C)]
pub(super) struct Task {
    /// What there is to run.
    pub(super) body: Body,
    /// What is to be raised in it, oldest first. Boxed, because almost no greenlet ever has one.
    #[expect(clippy::box_collection, reason = "a pointer in each task instead of a deque")]
    pub(super) interrupts: Option<Box<VecDeque<Interrupt>>>,
    /// Ends its wait at the deadline, if it has one. Cancelled by whoever makes it ready.
    pub(super) alarm: Option<TimerKey>,
    /// What it waits for, in a word, while parked.
    pub(super) waits_for: &'static str,
    /// About where its frames ended when it last parked, see `coroutine::low`.
    pub(super) low: u32,
    /// Where it stands.
    pub(super) state: State,
    /// It was unparked while it was not parked: its next park returns at once.
    pub(super) token: bool,
    /// How many `shield`s it is in: interrupts stay pending meanwhile.
    pub(super) shields: u32,
    /// What it runs and how it is described; `None` for the thread's own stack, and for a greenlet at its very end.
    pub(super) job: Option<JobRef>,
    /// Storage of the greenlet-local variables, made at their first use.
    pub(super) locals: Option<Box<Box<dyn Any>>>,
    /// What it shares with the greenlets that it spawned, or was spawned by.
    pub(super) tree: Option<Rc<Tree>>,
    /// What it knows of the hooks it goes through.
    #[cfg(feature = "monkey")]
    pub(super) hooks: super::hook_state::HookState,
}

const _: () = assert!(size_of::<u64>() + std::mem::offset_of!(Task, token) < 64);

impl Task {
    /// The record of the thread's own stack, which is running.
    pub(super) fn root() -> Task {
        Task::new(State::Awake, Body::Root, None, None)
    }

    /// The record of an unstarted greenlet: ready, or parked until an alarm starts it.
    #[inline(always)]
    pub(super) fn unstarted(job: JobRef, reservation: Reservation, tree: Option<Rc<Tree>>, ready: bool) -> Task {
        let state = if ready { State::Awake } else { State::Parked };
        Task::new(state, Body::Unstarted(reservation), Some(job), tree)
    }

    /// A record with nothing pending.
    #[inline(always)]
    fn new(state: State, body: Body, job: Option<JobRef>, tree: Option<Rc<Tree>>) -> Task {
        Task {
            body,
            interrupts: None,
            alarm: None,
            waits_for: "its start",
            low: 0,
            state,
            token: false,
            shields: 0,
            job,
            locals: None,
            tree,
            #[cfg(feature = "monkey")]
            hooks: super::hook_state::HookState::default(),
        }
    }

    /// Queues `interrupt`; a second kill while one is pending changes nothing.
    pub(super) fn push_interrupt(&mut self, interrupt: Interrupt) {
        let queue = self.interrupts.get_or_insert_default();
        let again = matches!(interrupt, Interrupt::Kill) && queue.iter().any(|i| matches!(i, Interrupt::Kill));
        if !again {
            queue.push_back(interrupt);
        }
    }

    /// Takes the oldest interrupt that may be raised now.
    #[inline]
    pub(super) fn take_interrupt(&mut self) -> Option<Interrupt> {
        if self.interrupts.is_none() || self.shields > 0 {
            None
        } else {
            self.pop_interrupt()
        }
    }

    /// The rare half of [`take_interrupt`](Self::take_interrupt).
    #[cold]
    fn pop_interrupt(&mut self) -> Option<Interrupt> {
        let queue = self.interrupts.as_mut()?;
        let interrupt = queue.pop_front();
        if queue.is_empty() {
            self.interrupts = None;
        }
        interrupt
    }

    /// Takes all that is to be dropped of a greenlet that has ended: its stack, and what is left of others', if there is any.
    #[inline]
    pub(super) fn take_rest(&mut self) -> (Body, Option<Rest>) {
        let body = std::mem::replace(&mut self.body, Body::Starting);
        let some = self.interrupts.is_some() || self.locals.is_some() || self.tree.is_some();
        let rest = some.then(|| (self.interrupts.take(), self.locals.take(), self.tree.take()));
        (body, rest)
    }

    /// Forgets the expiry of the timeout `number`, which was cancelled before it could be raised.
    pub(super) fn forget_timeout(&mut self, number: u64) {
        if let Some(queue) = &mut self.interrupts {
            queue.retain(|i| !matches!(i, Interrupt::Timeout(n) if *n == number));
            if queue.is_empty() {
                self.interrupts = None;
            }
        }
    }
}

impl Task {
    /// Forgets the task with all that is on its stack; the stack stays mapped for ever.
    pub(super) fn leak(self) {
        if let Body::Begun(coroutine) = self.body {
            coroutine.leak();
        }
        // Its job is leaked by dropping it: frames on the leaked stack refer to it.
        // Values of greenlet-local variables belong to the greenlet's frames, not to whoever ends the thread.
        std::mem::forget(self.locals);
        std::mem::forget(self.tree);
        // What was thrown at it is nobody's. A panic here would unwind past the tasks that have not been leaked yet.
        interrupt::discard_all(self.interrupts);
    }
}
