//! Waiting, written once: state and the lines of those who wait for it to change, under one short lock.
//!
//! ```text
//!            ┌───────────── lock ─────────────┐
//! waiter:    │ check state; else stand in line │ ── park ──► │ granted? take the ticket home │
//! notifier:  │ change state; grant the first   │ ── unlock, then unpark
//! ```
//!
//! 1. *Nothing is missed*: the check and the standing in line happen under one lock, and so do the change and the grant.
//! 2. *Strict hand-over*: a notifier gives what there is to the first in line, by [`View::grant`]: that waiter leaves the
//!    line and owns it from then on, even before it runs. Nobody who comes later gets past it.
//! 3. *Each waiter brings a ticket* (an item to put, an empty hand for an item to get, or nothing). The one who grants sees
//!    it and may change it; the waiter takes it home.
//! 4. *Cancel-safe*: a waiter may time out or be unwound by a kill at any moment. Its guard takes it out of the line; if a grant
//!    had reached it already, a time-out turns into success, and an unwind hands the grant to [`Handover::take_back`].
//! 5. *Nothing is woken, dropped or called back under the lock*: those to wake are collected and woken after it.
//! 6. *Observers* stand beside the lines: they are told that there is something ([`View::tell_all`]), once, and are granted
//!    nothing. The check and the registration are one section, as in 1.
//! 7. *One of several*: a waiter that stands in the lines of several queues at once stands in each under the same [`Claim`].
//!    Whoever grants it something has to win the claim first, and passes it over otherwise: it is granted one thing in all.
//!
//! The lock is never held across a park, so waiting for it is as short as the sections here.

mod claim;
pub(crate) mod observer;
mod wakes;

pub(crate) use self::claim::Claim;
use self::observer::{Observation, Observed, Observer, Observers};
use self::wakes::Wakes;
use crate::collections::lines::{Lines, Place};
use crate::hub::park::{self, Unparker, WakeReason};
use crate::primitive::{ShortGuard, ShortLock, const_unless_loom};
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// What a primitive tells its wait queue: what waiters carry, and what becomes of a grant whose waiter was unwound.
pub(crate) trait Handover<const N: usize = 1>: Sized {
    /// What each waiter brings and takes home; see invariant 3.
    type Ticket;

    /// A waiter of `line` was granted something and unwound before it ran: grant it to the next, or take it back.
    /// What is left in `ticket` is dropped after unlocking.
    fn take_back(view: &mut View<'_, Self, N>, line: usize, ticket: &mut Self::Ticket);

    /// A waiter left `line` without having been granted anything.
    fn left(_view: &mut View<'_, Self, N>, _line: usize) {}
}

/// The state of a primitive whose notifications go to all who wait and need not be passed on by anyone.
#[derive(Debug)]
pub(crate) struct Broadcast;

impl Handover for Broadcast {
    type Ticket = ();

    fn take_back(_view: &mut View<'_, Broadcast>, _line: usize, _ticket: &mut ()) {}
}

/// One waiter.
struct Waiter<T> {
    /// Wakes it; gone once it was granted something.
    unparker: Option<Unparker>,
    /// What has to be won before it is granted anything; see invariant 7.
    claim: Option<Claim>,
    /// See invariant 3.
    ticket: T,
}

/// What the lock protects.
struct Inner<S: Handover<N>, const N: usize> {
    /// The primitive's own.
    state: S,
    /// Who waits. Those out of line have been granted something, or were passed over.
    lines: Lines<Waiter<S::Ticket>, N>,
    /// Who is only told.
    observers: Observers,
}

/// The state of a primitive and `N` lines of greenlets and threads that wait for it to change.
pub(crate) struct WaitQueue<S: Handover<N>, const N: usize = 1> {
    /// See the top of the file.
    inner: ShortLock<Inner<S, N>>,
}

/// What a primitive sees and does under the lock.
pub(crate) struct View<'a, S: Handover<N>, const N: usize = 1> {
    /// The primitive's own.
    pub(crate) state: &'a mut S,
    /// Who waits.
    lines: &'a mut Lines<Waiter<S::Ticket>, N>,
    /// Who is only told.
    observers: &'a mut Observers,
    /// Whom to wake after unlocking.
    wakes: &'a mut Wakes,
}

/// How a wait ended. The ticket comes back in every case.
#[must_use]
#[derive(Debug)]
pub(crate) enum Waited<R, T> {
    /// It did not have to wait.
    AtOnce(R),
    /// Somebody granted it what it waited for.
    Granted(T),
    /// The deadline passed first.
    TimedOut(T),
    /// The thread is unwinding and must not switch (design: "Never switch while unwinding"); nothing was waited for.
    Refused(T),
}

impl<S: Handover<N>, const N: usize> WaitQueue<S, N> {
    const_unless_loom! {
        /// Nobody waits yet.
        pub(crate) const fn new(state: S) -> WaitQueue<S, N> {
            WaitQueue { inner: ShortLock::new(Inner { state, lines: Lines::new(), observers: Observers::new() }) }
        }
    }

    /// Looks at the state and changes it, under the lock; wakes whoever was granted something, after it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut View<'_, S, N>) -> R) -> R {
        let mut wakes = Wakes::default();
        let result = change(&mut View::new(&mut self.lock(), &mut wakes));
        wakes.wake();
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
        match self.enter(line, End::Back, attempt) {
            Ok(result) => Waited::AtOnce(result),
            Err(waiting) => waiting.park(deadline, what),
        }
    }

    /// The first half of [`WaitQueue::wait`]: stands in line without parking yet, for whoever has something to do in between
    /// (a condition unlocks its mutex).
    #[inline(always)]
    pub(crate) fn enter<R>(
        &self,
        line: usize,
        end: End,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
    ) -> Result<R, Waiting<'_, S, N>> {
        self.enter_under(None, line, end, attempt)
    }

    /// As [`WaitQueue::enter`], for a waiter that stands in other lines under the same claim.
    #[inline(always)]
    pub(crate) fn enter_under<R>(
        &self,
        claim: Option<&Claim>,
        line: usize,
        end: End,
        attempt: impl FnOnce(&mut View<'_, S, N>) -> Result<R, S::Ticket>,
    ) -> Result<R, Waiting<'_, S, N>> {
        let mut wakes = Wakes::default();
        let mut inner = self.lock();
        let result = match attempt(&mut View::new(&mut inner, &mut wakes)) {
            Ok(result) => Ok(result),
            Err(ticket) => {
                let waiter = Waiter {
                    unparker: Some(Unparker::current()),
                    claim: claim.cloned(),
                    ticket,
                };
                let place = match end {
                    End::Back => inner.lines.push_back(line, waiter),
                    End::Front => inner.lines.push_front(line, waiter),
                };
                Err(Waiting {
                    queue: self,
                    place: Some(place),
                    line,
                })
            }
        };
        drop(inner);
        wakes.wake();
        result
    }

    /// As [`WaitQueue::enter`] at the back of the line, whatever the state.
    pub(crate) fn stand_in_line(&self, line: usize, ticket: S::Ticket) -> Waiting<'_, S, N> {
        match self.enter(line, End::Back, |_| Err::<Infallible, _>(ticket)) {
            Ok(never) => match never {},
            Err(waiting) => waiting,
        }
    }

    /// Has `observer` told once: now, if `ready` says of the state that there is something, else at the next
    /// [`View::tell_all`].
    pub(crate) fn observe(
        &self,
        observer: Observer,
        ready: impl FnOnce(&mut View<'_, S, N>) -> bool,
    ) -> Observation<'_> {
        let mut wakes = Wakes::default();
        let mut inner = self.lock();
        if !ready(&mut View::new(&mut inner, &mut wakes)) {
            let place = inner.observers.add(observer);
            return Observation::at(self, place);
        }
        drop(inner);
        wakes.wake();
        observer.tell();
        Observation::over()
    }

    /// The lock. No foreign code runs under it, so a panic there is a bug of ours and leaves the state whole.
    #[inline(always)]
    fn lock(&self) -> ShortGuard<'_, Inner<S, N>> {
        self.inner.lock()
    }
}

impl<'a, S: Handover<N>, const N: usize> View<'a, S, N> {
    /// The view of a locked queue.
    #[inline]
    fn new(inner: &'a mut Inner<S, N>, wakes: &'a mut Wakes) -> View<'a, S, N> {
        View {
            state: &mut inner.state,
            lines: &mut inner.lines,
            observers: &mut inner.observers,
            wakes,
        }
    }

    /// Grants the first in `line` what it waits for: it leaves the line and will be woken. `None` if nobody waits.
    #[inline]
    pub(crate) fn grant(&mut self, line: usize) -> Option<&mut S::Ticket> {
        // One that has been granted something elsewhere is passed over.
        let waiter = self
            .lines
            .step_out_first(line, |waiter| waiter.claim.as_ref().is_none_or(Claim::win))?;
        if let Some(unparker) = waiter.unparker.take() {
            self.wakes.add(unparker);
        }
        Some(&mut waiter.ticket)
    }

    /// Grants all of `line`, in order.
    pub(crate) fn grant_all(&mut self, line: usize) {
        while self.grant(line).is_some() {}
    }

    /// Tells all who observe; each is told once.
    #[inline]
    pub(crate) fn tell_all(&mut self) {
        while let Some(observer) = self.observers.next() {
            self.wakes.add_observer(observer);
        }
    }

    /// The ticket of the first in `line`, which must not wait under a [`Claim`].
    pub(crate) fn first(&mut self, line: usize) -> Option<&mut S::Ticket> {
        self.lines.first(line).map(|waiter| &mut waiter.ticket)
    }

    /// Whether somebody stands in `line` who can be granted something, other than under `claim`.
    pub(crate) fn others_in(&self, line: usize, claim: &Claim) -> bool {
        self.lines.iter(line).any(|waiter| match &waiter.claim {
            None => true,
            Some(other) => !other.is(claim) && !other.is_won(),
        })
    }

    /// Whether nobody stands in `line`.
    #[inline]
    pub(crate) fn nobody_in(&self, line: usize) -> bool {
        self.lines.is_empty(line)
    }

    /// How many observe; counts them.
    #[cfg(test)]
    pub(crate) fn count_observers(&self) -> usize {
        self.observers.count()
    }

    /// How many stand in `line`; counts them.
    #[cfg(test)]
    pub(crate) fn count_in(&self, line: usize) -> usize {
        self.lines.len(line)
    }
}

impl<S: Handover<N>, const N: usize> Observed for WaitQueue<S, N> {
    fn forget(&self, place: Place) {
        let removed = self.lock().observers.remove(place);
        drop(removed);
    }
}

/// Where in its line a waiter stands at first.
#[derive(Copy, Clone, Debug)]
pub(crate) enum End {
    /// Behind all others.
    Back,
    /// Before all others: for one that was overtaken, or that blocks the whole thread and with it those before it.
    Front,
}

/// A waiter's own hold on its place in line. Dropping it (a kill unwinds through it) leaves the line; see invariant 4.
pub(crate) struct Waiting<'a, S: Handover<N>, const N: usize = 1> {
    /// Where it waits.
    queue: &'a WaitQueue<S, N>,
    /// Its place; `None` once it has been taken out.
    place: Option<Place>,
    /// Its line.
    line: usize,
}

impl<S: Handover<N>, const N: usize> Waiting<'_, S, N> {
    /// Parks until it is granted what it waits for or `deadline` passes. Never [`Waited::AtOnce`].
    #[inline(always)]
    pub(crate) fn park<R>(self, deadline: Option<Instant>, what: &'static str) -> Waited<R, S::Ticket> {
        self.until(deadline, what, false)
    }

    /// As [`Waiting::park`], but never switches: blocks the thread. Only where another thread can end the wait.
    pub(crate) fn block<R>(self, deadline: Option<Instant>, what: &'static str) -> Waited<R, S::Ticket> {
        self.until(deadline, what, true)
    }

    /// Parks, or really blocks, until it is granted something or will not be.
    #[inline(always)]
    fn until<R>(mut self, deadline: Option<Instant>, what: &'static str, block: bool) -> Waited<R, S::Ticket> {
        loop {
            let reason = if block {
                park::block(deadline, what)
            } else {
                park::park(deadline, what)
            };
            if let Some((ticket, granted)) = self.leave(|granted| granted || reason != WakeReason::Unparked) {
                return match reason {
                    // What was granted counts even if the deadline passed as well: it must not be lost.
                    _ if granted => Waited::Granted(ticket),
                    WakeReason::Refused => Waited::Refused(ticket),
                    WakeReason::TimedOut | WakeReason::Unparked => Waited::TimedOut(ticket),
                };
            }
        }
    }

    /// Takes the waiter out if `leaves` says so of its having been granted something: its ticket, and that answer.
    #[inline(always)]
    fn leave(&mut self, leaves: impl FnOnce(bool) -> bool) -> Option<(S::Ticket, bool)> {
        let mut inner = self.queue.lock();
        let granted = inner.lines.at(self.place.as_ref()?)?.unparker.is_none();
        if !leaves(granted) {
            return None;
        }
        let waiter = inner.lines.take(self.place.take()?)?;
        if !granted {
            self.left(inner);
        }
        Some((waiter.ticket, granted))
    }

    /// Says that the waiter, whose place is taken, was granted nothing.
    #[cold]
    fn left(&self, mut inner: ShortGuard<'_, Inner<S, N>>) {
        let mut wakes = Wakes::default();
        S::left(&mut View::new(&mut inner, &mut wakes), self.line);
        drop(inner);
        wakes.wake();
    }

    /// What is to be done when the wait is unwound.
    #[cold]
    fn unwound(&mut self, place: Place) {
        let mut wakes = Wakes::default();
        let mut inner = self.queue.lock();
        let mut waiter = inner.lines.take(place);
        let mut view = View::new(&mut inner, &mut wakes);
        match &mut waiter {
            Some(waiter) if waiter.unparker.is_none() => S::take_back(&mut view, self.line, &mut waiter.ticket),
            _ => S::left(&mut view, self.line),
        }
        drop(inner);
        wakes.wake();
    }

    /// Leaves the line: the ticket, and whether something was granted.
    pub(crate) fn end(mut self) -> Option<(S::Ticket, bool)> {
        self.leave(|_| true)
    }
}

impl<S: Handover<N>, const N: usize> Drop for Waiting<'_, S, N> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.unwound(place);
        }
    }
}

/// The deadline that is `timeout` from now; `None`, which is for ever, if that is beyond what an `Instant` holds.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// The end of a wait that must not switch and cannot fail: see [`Waited::Refused`]. The caller is unwinding already.
#[cold]
pub(crate) fn refused(what: &str) -> ! {
    panic!(
        "{what} would have to wait while its greenlet is unwinding: a destructor that runs during a panic or a kill \
         must not wait for other greenlets"
    )
}

/// A queue of tokens: the smallest primitive, for the tests of the waiting itself.
#[cfg(test)]
mod token {
    use super::*;

    /// How many tokens there are that nobody owns.
    pub(super) struct Tokens(pub(super) usize);

    impl Handover for Tokens {
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
        matches!(
            waiting.park::<Infallible>(Some(Instant::now()), "token"),
            Waited::Granted(())
        )
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
        let Err(urgent) = queue.enter(0, End::Front, |_| Err::<(), ()>(())) else {
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
