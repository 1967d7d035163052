//! Waiting, written once: state and the lines of those who wait for it to change, under one short lock.
//!
//! ```text
//!            ┌───────────── lock ─────────────┐
//! waiter:    │ check state; else stand in line │ ── park ──► told? take the ticket home
//! notifier:  │ change state; grant the first   │ ── unlock, then unpark
//! ```
//!
//! 1. *Nothing is missed*: the check and the standing in line happen under one lock, and so do the change and the grant.
//! 2. *Strict hand-over*: a notifier gives what there is to the first in line, by [`View::grant`]: that waiter leaves the
//!    line and owns it from then on, even before it runs. Nobody who comes later gets past it.
//! 3. *Each waiter brings a ticket* (an item to put, an empty hand for an item to get, or nothing). The one who grants sees
//!    it and may change it; the waiter takes it home, without the lock: at the end of its section the granter tells it that the
//!    ticket is its own from then on.
//! 4. *Cancel-safe*: a waiter may time out or be unwound by a kill at any moment. Its guard takes it out of the line; if a grant
//!    had reached it already, a time-out turns into success, and an unwind hands the grant to [`Handover::take_back`].
//! 5. *Nothing is woken, dropped or called back under the lock*: those to wake are collected and woken after it.
//! 6. *Observers* stand beside the lines: they are told that there is something ([`View::tell_all`]), once, and are granted
//!    nothing. The check and the registration are one section, as in 1.
//! 7. *One of several*: a waiter that stands in the lines of several queues at once stands in each under the same [`Claim`].
//!    Whoever grants it something has to win the claim first, and passes it over otherwise: it is granted one thing in all.
//! 8. *A waiter lies in the frame of its wait*, and its guard, [`Hold`], is consumed or dropped before that frame ends. The queue
//!    outlives the guard, and every call by which a notifier is inside.
//!
//! The lock is never held across a park, so waiting for it is as short as the sections here.
#![expect(
    unsafe_code,
    reason = "the lines point to the waiters, which lie in the frames of their waits"
)]

mod claim;
mod line;
mod manner;
pub(crate) mod observer;
mod section;
mod wakes;

pub(crate) use self::claim::Claim;
use self::line::{Line, Waiter};
pub(crate) use self::manner::{End, Manner, Waited, deadline_after, refused};
use self::observer::{Observation, Observed, Observer, Observers, Place};
pub(crate) use self::section::{Broadcast, Handover, View};
use self::section::{Inner, Section};
use crate::hub::park::{self, WakeReason};
use crate::primitive::{ShortGuard, ShortLock, const_unless_loom};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::time::Instant;

/// The state of a primitive and `N` lines of greenlets and threads that wait for it to change.
pub(crate) struct WaitQueue<S: Handover<N>, const N: usize = 1> {
    /// See the top of the file.
    inner: ShortLock<Inner<S, N>>,
    /// What is reached without the lock too.
    aside: S::Aside,
}

impl<S: Handover<N, Aside = ()>, const N: usize> WaitQueue<S, N> {
    const_unless_loom! {
        /// Nobody waits yet.
        pub(crate) const fn new(state: S) -> WaitQueue<S, N> {
            WaitQueue::with_aside(state, ())
        }
    }
}

impl<S: Handover<N>, const N: usize> WaitQueue<S, N> {
    const_unless_loom! {
        /// Nobody waits yet.
        pub(crate) const fn with_aside(state: S, aside: S::Aside) -> WaitQueue<S, N> {
            let inner = Inner { state, lines: [const { Line::EMPTY }; N], observers: Observers::new() };
            WaitQueue { inner: ShortLock::new(inner), aside }
        }
    }

    /// What is reached without the lock.
    #[inline(always)]
    pub(crate) fn aside(&self) -> &S::Aside {
        &self.aside
    }

    /// Looks at the state and changes it, under the lock; wakes whoever was granted something, after it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut View<'_, S, N>) -> R) -> R {
        let mut section = self.section();
        let result = change(&mut section.view());
        section.end();
        result
    }

    /// Attempts something under the lock; if that gives a ticket instead of a result, waits in `line` with it.
    ///
    /// Parks the caller until it is granted what it waits for, or `deadline` passes. `what` names the wait in one word.
    #[inline(always)]
    pub(crate) fn wait<R>(
        &self,
        line: usize,
        deadline: Option<Instant>,
        what: &'static str,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
    ) -> Waited<R, S::Ticket> {
        self.look().wait(line, deadline, what, attempt)
    }

    /// As [`WaitQueue::wait`], in this manner; `between` is called when it stands in line and has not parked yet (a condition
    /// unlocks its mutex).
    #[inline(always)]
    pub(crate) fn wait_so<R>(
        &self,
        manner: Manner,
        line: usize,
        what: &'static str,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
        between: impl FnOnce(),
    ) -> Waited<R, S::Ticket> {
        self.look().wait_so(manner, line, what, attempt, between)
    }

    /// Takes the lock, for a look at the state.
    #[inline(always)]
    pub(crate) fn look(&self) -> Look<'_, S, N> {
        Look {
            queue: self,
            inner: self.inner.lock(),
        }
    }

    /// The section in which a wait begins: its result, or a waiter that stands in line, at the place given. A function of its
    /// own, and the wait itself none: see `park` on calls before a switch.
    ///
    /// # Safety
    ///
    /// As of `Inner::push`; the caller makes the guard.
    #[inline(never)]
    unsafe fn begin<'a, R>(
        &'a self,
        inner: ShortGuard<'a, Inner<S, N>>,
        line: usize,
        end: End,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
        place: &mut Option<Waiter<S::Ticket>>,
    ) -> Option<R> {
        let mut section = Section::new(&self.aside, inner);
        let result = match attempt(&mut section.view()) {
            Ok(result) => Some(result),
            Err(ticket) => {
                let waiter = place.insert(Waiter::new(None, ticket));
                // SAFETY: the caller's promise.
                unsafe { section.inner.push(line, end, waiter) };
                None
            }
        };
        section.end();
        result
    }

    /// The first half of [`WaitQueue::wait`]: stands in line without parking, under a claim if it stands in other lines too.
    pub(crate) fn enter<R>(
        &self,
        claim: Option<&Claim>,
        line: usize,
        end: End,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
    ) -> Result<R, Waiting<'_, S, N>> {
        let mut section = self.section();
        let result = match attempt(&mut section.view()) {
            Ok(result) => Ok(result),
            Err(ticket) => {
                let waiter = Rc::new(Waiter::new(claim.cloned(), ticket));
                // SAFETY: it lies in the heap, and is freed after the guard that stands beside it.
                let there = unsafe { &*Rc::as_ptr(&waiter) };
                // SAFETY: as above, and it is new.
                unsafe { section.inner.push(line, end, there) };
                let hold = Hold {
                    queue: self,
                    waiter: there,
                    line,
                };
                Err(Waiting { hold, waiter })
            }
        };
        section.end();
        result
    }

    /// Has `observer` told once: now, if `ready` says of the state that there is something, else at the next
    /// [`View::tell_all`].
    pub(crate) fn observe(
        &self,
        observer: Observer,
        ready: impl FnOnce(&mut View<'_, S, N>) -> bool,
    ) -> Observation<'_> {
        let mut section = self.section();
        let observation = if ready(&mut section.view()) {
            section.wakes.add_observer(observer);
            Observation::over()
        } else {
            Observation::at(self, section.inner.observers.add(observer))
        };
        section.end();
        observation
    }

    /// Takes the lock. No foreign code runs under it, so a panic there is a bug of ours and leaves the state whole.
    #[inline(always)]
    fn section(&self) -> Section<'_, S, N> {
        Section::new(&self.aside, self.inner.lock())
    }
}

/// The lock, held for a look: nobody is granted anything. For what is done often and mostly concerns nobody else.
pub(crate) struct Look<'a, S: Handover<N>, const N: usize> {
    /// Where.
    queue: &'a WaitQueue<S, N>,
    /// What the lock protects.
    inner: ShortGuard<'a, Inner<S, N>>,
}

impl<'a, S: Handover<N>, const N: usize> Look<'a, S, N> {
    /// The primitive's own.
    #[inline(always)]
    pub(crate) fn state(&mut self) -> &mut S {
        &mut self.inner.state
    }

    /// Whether nobody stands in `line`.
    #[inline(always)]
    pub(crate) fn nobody_in(&self, line: usize) -> bool {
        self.inner.lines[line].is_empty()
    }

    /// Grants the first in `line` something, if it waits there alone: `give` is told its ticket. Otherwise the lock is kept.
    #[inline(always)]
    pub(crate) fn grant(mut self, line: usize, give: impl FnOnce(&mut S, &mut S::Ticket)) -> Result<(), Self> {
        let Inner { state, lines, .. } = &mut *self.inner;
        let Some(unparker) = lines[line].give(|ticket| give(state, ticket)) else {
            return Err(self);
        };
        drop(self.inner);
        unparker.unpark();
        Ok(())
    }

    /// Waits in `line` with this ticket, as [`WaitQueue::wait`] does when the attempt gives it. Never [`Waited::AtOnce`].
    #[inline(always)]
    pub(crate) fn stand<R>(
        self,
        line: usize,
        deadline: Option<Instant>,
        what: &'static str,
        ticket: S::Ticket,
    ) -> Waited<R, S::Ticket> {
        let Look { queue, mut inner } = self;
        // There is no claim to be dropped.
        let waiter = ManuallyDrop::new(Waiter::new(None, ticket));
        // SAFETY: it is new, lies in this frame, below the guard that it is given, and does not move.
        unsafe { inner.push(line, End::Back, &waiter) };
        drop(inner);
        let hold = Hold {
            queue,
            waiter: &waiter,
            line,
        };
        let (granted, reason) = hold.park(deadline, what, false);
        Waited::new(granted, reason, hold.go_home())
    }

    /// As [`WaitQueue::wait`], with the lock held already.
    #[inline(always)]
    pub(crate) fn wait<R>(
        self,
        line: usize,
        deadline: Option<Instant>,
        what: &'static str,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
    ) -> Waited<R, S::Ticket> {
        let manner = Manner {
            end: End::Back,
            deadline,
            blocking: false,
        };
        self.wait_so(manner, line, what, attempt, || ())
    }

    /// As [`WaitQueue::wait_so`], with the lock held already.
    #[inline(always)]
    fn wait_so<R>(
        self,
        manner: Manner,
        line: usize,
        what: &'static str,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
        between: impl FnOnce(),
    ) -> Waited<R, S::Ticket> {
        let Look { queue, inner } = self;
        let mut place = None;
        // SAFETY: it lies in this frame, below the guard that it is given, and does not move.
        let at_once = unsafe { queue.begin(inner, line, manner.end, attempt, &mut place) };
        let Some(waiter) = &place else {
            return Waited::AtOnce(at_once.expect("a result or a waiter"));
        };
        let hold = Hold { queue, waiter, line };
        between();
        let (granted, reason) = hold.park(manner.deadline, what, manner.blocking);
        Waited::new(granted, reason, hold.go_home())
    }
}

impl<S: Handover<N>, const N: usize> Observed for WaitQueue<S, N> {
    fn forget(&self, place: Place) {
        let removed = self.inner.lock().observers.remove(place);
        drop(removed);
    }
}

/// A waiter's own hold on its place in line. Dropping it (a kill unwinds through it) leaves the line; see invariant 4.
struct Hold<'a, S: Handover<N>, const N: usize> {
    /// Where it waits.
    queue: &'a WaitQueue<S, N>,
    /// What stands in line, or stood there.
    waiter: &'a Waiter<S::Ticket>,
    /// Its line.
    line: usize,
}

impl<S: Handover<N>, const N: usize> Hold<'_, S, N> {
    /// Parks, or really blocks, until it is granted something or will not be; leaves the line. Whether it was granted something.
    /// Followed by `go_home`.
    #[inline(always)]
    fn park(&self, deadline: Option<Instant>, what: &'static str, block: bool) -> (bool, WakeReason) {
        loop {
            let reason = if block {
                park::block(deadline, what)
            } else {
                park::park(deadline, what)
            };
            if self.waiter.is_told() {
                return (true, reason);
            }
            if reason != WakeReason::Unparked {
                return (self.leave(), reason);
            }
        }
    }

    /// Leaves the line: whether something was granted. Followed by `go_home`.
    #[cold]
    fn leave(&self) -> bool {
        let mut section = self.queue.section();
        let granted = self.waiter.is_granted();
        if !granted {
            self.give_up(&mut section);
        }
        section.end();
        granted
    }

    /// The ticket, after `park` or `leave`.
    #[inline(always)]
    fn go_home(self) -> S::Ticket {
        // SAFETY: both have left the line, or seen that it was told; nobody else touches it from then on. The guard that would take
        // it otherwise is gone with this.
        let ticket = unsafe { self.waiter.take_ticket() };
        std::mem::forget(self);
        ticket
    }

    /// Under the lock: leaves the line, without having been granted anything.
    fn give_up(&self, section: &mut Section<'_, S, N>) {
        // SAFETY: it was pushed into this line of this queue, and this guard is its owner's.
        unsafe { section.inner.lines[self.line].remove(self.waiter) };
        S::left(&mut section.view(), self.line);
    }
}

impl<S: Handover<N>, const N: usize> Drop for Hold<'_, S, N> {
    #[cold]
    fn drop(&mut self) {
        let mut section = self.queue.section();
        if self.waiter.is_granted() {
            // SAFETY: the lock is held, and it is out of line: nobody else comes to it.
            let ticket = unsafe { self.waiter.ticket() };
            S::take_back(&mut section.view(), self.line, ticket);
        } else {
            self.give_up(&mut section);
        }
        section.end();
        // SAFETY: it has left the line, and this is its owner's end.
        drop(unsafe { self.waiter.take_ticket() });
    }
}

/// A waiter that stands in line and has not parked. Dropping it leaves the line.
pub(crate) struct Waiting<'a, S: Handover<N>, const N: usize = 1> {
    /// Its place in line; goes before the waiter itself.
    hold: Hold<'a, S, N>,
    /// What the line points to.
    #[expect(dead_code, reason = "kept for the guard")]
    waiter: Rc<Waiter<S::Ticket>>,
}

impl<S: Handover<N>, const N: usize> Waiting<'_, S, N> {
    /// Leaves the line: the ticket, and whether something was granted.
    pub(crate) fn end(self) -> (S::Ticket, bool) {
        let granted = self.hold.leave();
        (self.hold.go_home(), granted)
    }
}

/// What tests look at and do to it.
#[cfg(test)]
mod inspection {
    use super::*;

    impl<S: Handover<N>, const N: usize> WaitQueue<S, N> {
        /// As [`WaitQueue::enter`] at the back of the line, whatever the state.
        pub(crate) fn stand_in_line(&self, line: usize, ticket: S::Ticket) -> Waiting<'_, S, N> {
            match self.enter(None, line, End::Back, |_| Err::<std::convert::Infallible, _>(ticket)) {
                Ok(never) => match never {},
                Err(waiting) => waiting,
            }
        }
    }

    impl<S: Handover<N>, const N: usize> Waiting<'_, S, N> {
        /// Parks until it is granted what it waits for or `deadline` passes. Never [`Waited::AtOnce`].
        pub(crate) fn park<R>(self, deadline: Option<Instant>, what: &'static str) -> Waited<R, S::Ticket> {
            let (granted, reason) = self.hold.park(deadline, what, false);
            Waited::new(granted, reason, self.hold.go_home())
        }
    }
}

/// A queue of tokens: the smallest primitive, for the tests of the waiting itself.
#[cfg(test)]
mod token {
    use super::*;

    /// How many tokens there are that nobody owns.
    pub(super) struct Tokens(pub(super) usize);

    impl Handover for Tokens {
        type Aside = ();
        type Ticket = ();

        fn take_back(view: &mut View<'_, Self>, _line: usize, _ticket: &mut ()) {
            put(view);
        }
    }

    /// Gives a token to the first in line or, if nobody waits, keeps it.
    pub(super) fn put(view: &mut View<'_, Tokens>) {
        if view.grant(0).is_none() {
            view.state.0 += 1;
        }
    }

    /// Takes a token that nobody owns.
    pub(super) fn take(view: &mut View<'_, Tokens>) -> Result<(), ()> {
        view.state.0 = view.state.0.checked_sub(1).ok_or(())?;
        Ok(())
    }

    /// Waits for a token.
    pub(super) fn get(queue: &WaitQueue<Tokens>, deadline: Option<Instant>) -> Waited<(), ()> {
        queue.wait(0, deadline, "token", take)
    }

    /// A waiter that stands in line but never parks.
    pub(super) fn stand(queue: &WaitQueue<Tokens>) -> Waiting<'_, Tokens> {
        queue.stand_in_line(0, ())
    }

    /// Parks a waiter that stands in line.
    pub(super) fn granted(waiting: Waiting<'_, Tokens>) -> bool {
        matches!(waiting.park::<()>(Some(Instant::now()), "token"), Waited::Granted(()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::token::*;
    use super::*;

    #[test]
    fn first_come_first_served() {
        let queue = WaitQueue::new(Tokens(0));
        let (first, second, third) = (stand(&queue), stand(&queue), stand(&queue));
        queue.with(put);
        queue.with(put);
        assert!(granted(first));
        assert!(granted(second));
        assert!(!granted(third));
    }

    #[test]
    fn nobody_gets_past_a_waiter() {
        let queue = WaitQueue::new(Tokens(0));
        let first = stand(&queue);
        queue.with(put);
        assert!(matches!(get(&queue, Some(Instant::now())), Waited::TimedOut(())));
        assert!(granted(first));
    }

    #[test]
    fn a_grant_that_came_before_the_end_of_the_wait_counts() {
        let queue = WaitQueue::new(Tokens(0));
        let waiting = stand(&queue);
        queue.with(put);
        assert!(granted(waiting), "the deadline had passed, but so had the grant");
        assert_eq!(queue.with(|view| view.state.0), 0);
    }

    #[test]
    fn who_is_unwound_leaves_the_line_and_passes_the_grant_on() {
        let queue = WaitQueue::new(Tokens(0));
        let (first, second, third) = (stand(&queue), stand(&queue), stand(&queue));
        drop(first);
        assert_eq!(queue.with(|view| view.count_in(0)), 2);
        queue.with(put);
        drop(second); // granted, but never ran
        assert!(granted(third));
        let last = stand(&queue);
        queue.with(put);
        drop(last); // granted, and nobody to pass it on to
        assert_eq!(queue.with(|view| view.state.0), 1);
        assert!(matches!(get(&queue, None), Waited::AtOnce(())));
    }

    #[test]
    fn first_in_line_comes_before_all() {
        let queue = WaitQueue::new(Tokens(0));
        let first = stand(&queue);
        let Err(urgent) = queue.enter(None, 0, End::Front, |_| Err::<(), ()>(())) else {
            unreachable!()
        };
        queue.with(put);
        assert!(granted(urgent));
        assert!(!granted(first));
    }

    #[test]
    fn threads_pass_tokens_round_without_losing_one() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 2_000;
        let queue = WaitQueue::new(Tokens(2));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let queue = &queue;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        // Every third attempt gives up at once or is dropped in line.
                        let deadline = (round % 3 == thread % 3).then(Instant::now);
                        match get(queue, deadline) {
                            Waited::TimedOut(()) => drop(stand(queue)),
                            _ => queue.with(put),
                        }
                    }
                });
            }
        });
        assert_eq!(queue.with(|view| (view.state.0, view.count_in(0))), (2, 0));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::token::*;
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_wait_queue_hands_over() {
        loom::model(|| {
            let queue = Arc::new(WaitQueue::new(Tokens(0)));
            let there = queue.clone();
            let waiter = loom::thread::spawn(move || drop(get(&there, None)));
            queue.with(put);
            waiter.join().unwrap();
            assert_eq!(queue.with(|view| view.state.0), 0);
        });
    }

    #[test]
    fn loom_wait_queue_serves_two_waiters_with_one_token_in_turn() {
        loom::model(|| {
            let queue = Arc::new(WaitQueue::new(Tokens(0)));
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let queue = queue.clone();
                    loom::thread::spawn(move || {
                        let _ = get(&queue, None);
                        queue.with(put);
                    })
                })
                .collect();
            queue.with(put);
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
            assert_eq!(queue.with(|view| (view.state.0, view.count_in(0))), (1, 0));
        });
    }

    #[test]
    fn loom_wait_queue_loses_no_grant_to_a_waiter_that_times_out_or_is_unwound() {
        loom::model(|| {
            let queue = Arc::new(WaitQueue::new(Tokens(0)));
            let (late, killed) = (queue.clone(), queue.clone());
            let late = loom::thread::spawn(move || match get(&late, Some(Instant::now())) {
                Waited::TimedOut(()) => 0,
                _ => 1,
            });
            let killed = loom::thread::spawn(move || drop(stand(&killed)));
            queue.with(put);
            let taken = late.join().unwrap();
            killed.join().unwrap();
            assert_eq!(queue.with(|view| (view.state.0 + taken, view.count_in(0))), (1, 0));
        });
    }
}
