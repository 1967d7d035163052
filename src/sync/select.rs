//! Waiting for the first of several things.
//!
//! ```text
//!   attempt each ── one succeeds ─────────────────────────────▶ its outcome
//!        ▲ none
//!        │         stand in each line under one claim ─▶ park ─▶ the claim is won by who grants one ─▶ leave all: its outcome
//!        │                 │ one has become possible        │ deadline
//!        └── win it oneself ◀───────────────────────────────┴─▶ win it oneself, leave all ─▶ nothing
//! ```
//!
//! 1. A grant is given only by who wins the claim (see [`Claim`]), so one thing is done in all, or none: whoever wins its own claim
//!    knows that nothing was and nothing will be granted to it.
//! 2. Standing in line and the check whether that is necessary happen under that queue's lock, so nothing is missed. The check
//!    passes over what stands in line under the same claim: a selection does not deal with itself.
//! 3. A selection that is unwound leaves all lines; what it had been granted is passed on by its place in that line.

use super::wait_queue::{Claim, End, Handover, View, WaitQueue, Waiting, deadline_after, refused};
use crate::hub::park::{self, WakeReason};
use std::fmt;
use std::time::Duration;

/// Waits for the first of several things: items, room, events, results, permits, ends of greenlets. Exactly one happens.
///
/// Each [`case`](Select::case) is something to wait for and what to make of it. If several are possible, one is chosen at
/// random, or the first one if the selection is [`biased`](Select::biased).
///
/// ```
/// use iora::queue::{Channel, Queue};
/// use iora::sync::{Event, Select};
/// use std::time::Duration;
///
/// let (numbers, words, stop) = (Queue::new(), Channel::new(), Event::new());
/// numbers.put(7).unwrap();
/// let answer = Select::new()
///     .case(numbers.getting(), |number| format!("the number {}", number.unwrap()))
///     .case(words.putting("hello"), |_| String::from("somebody took the word"))
///     .case(stop.waiting(), |()| String::from("over"))
///     .wait_timeout(Duration::from_secs(1));
/// assert_eq!(answer.as_deref(), Some("the number 7"));
/// ```
#[must_use = "it does nothing before it waits"]
pub struct Select<'a, R> {
    /// What may happen.
    branches: Vec<Box<dyn Branch<R> + 'a>>,
    /// Whether the first of several that are possible is chosen.
    biased: bool,
}

/// Something to wait for by a [`Select`]: made by a queue, an event, a greenlet and their like, done only if it is chosen.
#[must_use = "it is done by a `Select`"]
pub struct Choice<'a, O>(Box<dyn Branch<O> + 'a>);

impl<'a, R> Select<'a, R> {
    /// A selection of nothing yet.
    pub fn new() -> Select<'a, R> {
        Select {
            branches: Vec::new(),
            biased: false,
        }
    }

    /// Adds something to wait for, and what is made of its outcome if it happens.
    pub fn case<O: 'a>(mut self, choice: Choice<'a, O>, then: impl FnOnce(O) -> R + 'a) -> Select<'a, R> {
        self.branches.push(Box::new(Case { choice, then }));
        self
    }

    /// If several are possible at once, the one that was added first is chosen.
    pub fn biased(mut self) -> Select<'a, R> {
        self.biased = true;
        self
    }

    /// Waits until one of them has happened.
    ///
    /// Parks the greenlet until then. One that is killed while it waits loses nothing: none of them has happened.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn wait(mut self) -> R {
        match self.run(None) {
            Some(result) => result,
            None => refused("Select::wait"),
        }
    }

    /// As [`wait`](Select::wait), but for `timeout` at most; `None` if nothing has happened.
    ///
    /// Parks the greenlet until one has happened or the time is over. If it would have to wait while its greenlet is unwinding,
    /// it returns `None` at once.
    pub fn wait_timeout(mut self, timeout: Duration) -> Option<R> {
        self.run(Some(timeout))
    }

    /// As [`wait`](Select::wait), but never waits; `None` if nothing is possible now.
    pub fn try_wait(mut self) -> Option<R> {
        self.mix();
        self.attempt()
    }

    /// See the picture at the top.
    fn run(&mut self, timeout: Option<Duration>) -> Option<R> {
        park::spend();
        self.mix();
        let mut deadline = None;
        loop {
            if let Some(result) = self.attempt() {
                return Some(result);
            }
            deadline = deadline.or_else(|| timeout.and_then(deadline_after));
            let claim = Claim::new();
            let stands = self.branches.iter_mut().all(|branch| branch.stand(&claim));
            let mut reason = WakeReason::Unparked;
            while stands && reason == WakeReason::Unparked && !claim.is_won() {
                reason = park::park(deadline, "select");
            }
            let nothing = claim.win();
            let mut chosen = None;
            for (index, branch) in self.branches.iter_mut().enumerate() {
                if branch.leave() {
                    chosen = Some(index);
                }
            }
            if let Some(index) = chosen {
                return Some(self.branches.swap_remove(index).finish());
            }
            debug_assert!(nothing, "the claim was won by somebody who granted something");
            if reason != WakeReason::Unparked {
                return None;
            }
        }
    }

    /// The outcome of the first that is possible at once.
    fn attempt(&mut self) -> Option<R> {
        let done = self.branches.iter_mut().position(|branch| branch.attempt())?;
        Some(self.branches.swap_remove(done).finish())
    }

    /// Begins at a random one, if it is not biased.
    fn mix(&mut self) {
        if !self.biased && self.branches.len() > 1 {
            let first = random() % self.branches.len();
            self.branches.rotate_left(first);
        }
    }
}

/// A number of a cheap sequence, one for each thread: fairness needs no more.
#[cfg(not(loom))]
fn random() -> usize {
    use std::cell::Cell;
    thread_local! { static STATE: Cell<u32> = const { Cell::new(0x9e37_79b9) }; }
    let mut state = STATE.get();
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    STATE.set(state);
    state as usize
}

/// Models have to take the same way twice.
#[cfg(loom)]
fn random() -> usize {
    0
}

impl<R> Default for Select<'_, R> {
    fn default() -> Self {
        Select::new()
    }
}

impl<R> fmt::Debug for Select<'_, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Select")
            .field("cases", &self.branches.len())
            .field("biased", &self.biased)
            .finish()
    }
}

impl<O> fmt::Debug for Choice<'_, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Choice").finish()
    }
}

/// One of the things that may happen.
trait Branch<O> {
    /// Does it if that is possible at once; whether it did.
    fn attempt(&mut self) -> bool;

    /// Stands in line under the claim, unless it is possible at once; whether it stands.
    fn stand(&mut self, claim: &Claim) -> bool;

    /// Leaves the line, if it stands in it; whether it had been granted what it waited for.
    fn leave(&mut self) -> bool;

    /// What came of it, once it has happened.
    fn finish(self: Box<Self>) -> O;
}

/// A thing, and what is made of its outcome.
struct Case<'a, O, F> {
    /// The thing.
    choice: Choice<'a, O>,
    /// Called with its outcome.
    then: F,
}

impl<O, R, F: FnOnce(O) -> R> Branch<R> for Case<'_, O, F> {
    fn attempt(&mut self) -> bool {
        self.choice.0.attempt()
    }

    fn stand(&mut self, claim: &Claim) -> bool {
        self.choice.0.stand(claim)
    }

    fn leave(&mut self) -> bool {
        self.choice.0.leave()
    }

    fn finish(self: Box<Self>) -> R {
        (self.then)(self.choice.0.finish())
    }
}

/// What a primitive tells of a thing that may be waited for beside others.
pub(crate) trait Deed<S: Handover<N>, const N: usize> {
    /// What comes of it.
    type Outcome;

    /// Under the lock: does it if that is possible at once.
    fn attempt(&mut self, view: &mut View<'_, S, N>) -> Option<Self::Outcome>;

    /// Under the lock: whether it is possible at once, without dealing with who waits under this claim.
    fn ready(&self, view: &mut View<'_, S, N>, claim: &Claim) -> bool;

    /// What it brings into line. Called again only after `keep`.
    fn bring(&mut self) -> S::Ticket;

    /// It left the line without a grant.
    fn keep(&mut self, _ticket: S::Ticket) {}

    /// It was granted.
    fn granted(&mut self, ticket: S::Ticket) -> Self::Outcome;
}

/// A deed, and where it is waited for.
struct Wish<'a, S: Handover<N>, const N: usize, D: Deed<S, N>> {
    /// Where it waits.
    queue: &'a WaitQueue<S, N>,
    /// In which line.
    line: usize,
    /// Its place in line, while it stands there. Dropped by an unwinding, it leaves the line.
    waiting: Option<Waiting<'a, S, N>>,
    /// What came of it.
    outcome: Option<D::Outcome>,
    /// What is to be done.
    deed: D,
}

impl<'a, O> Choice<'a, O> {
    /// Something to wait for in `line` of `queue`.
    pub(crate) fn new<S, const N: usize, D>(queue: &'a WaitQueue<S, N>, line: usize, deed: D) -> Choice<'a, O>
    where
        S: Handover<N>,
        D: Deed<S, N, Outcome = O> + 'a,
        O: 'a,
    {
        Choice(Box::new(Wish {
            queue,
            line,
            waiting: None,
            outcome: None,
            deed,
        }))
    }
}

/// Something becomes true, and all who wait are granted that: an event, the end of a greenlet.
struct Told<C, F> {
    /// Whether it is true.
    holds: C,
    /// What comes of it.
    outcome: F,
}

impl<S, C, F, O> Deed<S, 1> for Told<C, F>
where
    S: Handover<Ticket = ()>,
    C: Fn(&S) -> bool,
    F: Fn() -> O,
{
    type Outcome = O;

    fn attempt(&mut self, view: &mut View<'_, S>) -> Option<O> {
        (self.holds)(view.state).then(&self.outcome)
    }

    fn ready(&self, view: &mut View<'_, S>, _claim: &Claim) -> bool {
        (self.holds)(view.state)
    }

    fn bring(&mut self) {}

    fn granted(&mut self, _ticket: ()) -> O {
        (self.outcome)()
    }
}

impl<'a, O> Choice<'a, O> {
    /// Waiting in `queue` until something `holds`, of which all are told. It may be over when `outcome` is called.
    pub(crate) fn told<S>(
        queue: &'a WaitQueue<S>,
        holds: impl Fn(&S) -> bool + 'a,
        outcome: impl Fn() -> O + 'a,
    ) -> Choice<'a, O>
    where
        S: Handover<Ticket = ()>,
        O: 'a,
    {
        Choice::new(queue, 0, Told { holds, outcome })
    }
}

impl<S: Handover<N>, const N: usize, D: Deed<S, N>> Branch<D::Outcome> for Wish<'_, S, N, D> {
    fn attempt(&mut self) -> bool {
        self.outcome = self.queue.with(|view| self.deed.attempt(view));
        self.outcome.is_some()
    }

    fn stand(&mut self, claim: &Claim) -> bool {
        let deed = &mut self.deed;
        let entered = self.queue.enter(Some(claim), self.line, End::Back, |view| {
            if deed.ready(view, claim) {
                Ok(())
            } else {
                Err(deed.bring())
            }
        });
        self.waiting = entered.err();
        self.waiting.is_some()
    }

    fn leave(&mut self) -> bool {
        match self.waiting.take().map(Waiting::end) {
            Some((ticket, true)) => self.outcome = Some(self.deed.granted(ticket)),
            Some((ticket, false)) => self.deed.keep(ticket),
            None => {}
        }
        self.outcome.is_some()
    }

    fn finish(self: Box<Self>) -> D::Outcome {
        self.outcome.expect("called when it has happened")
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;
    use crate::queue::{Channel, Queue};
    use crate::sync::{AsyncResult, Event};

    /// Up to so many preemptions.
    fn model(bound: usize, body: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(bound);
        model.check(body);
    }

    /// Stands in all lines and is unwound there.
    fn stand_and_be_unwound<R>(mut select: Select<'_, R>) {
        let claim = Claim::new();
        let _ = select.branches.iter_mut().all(|branch| branch.stand(&claim));
    }

    #[test]
    fn loom_select_takes_one_item_and_leaves_the_other() {
        model(3, || {
            let (one, other) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
            let (there, yonder) = (one.clone(), other.clone());
            let first = loom::thread::spawn(move || there.put(1).unwrap());
            let second = loom::thread::spawn(move || yonder.put(2).unwrap());
            let get = || {
                Select::new()
                    .case(one.getting(), |item| item.unwrap())
                    .case(other.getting(), |item| item.unwrap())
                    .wait()
            };
            assert_eq!(get() + get(), 3);
            first.join().unwrap();
            second.join().unwrap();
        });
    }

    #[test]
    fn loom_select_puts_one_item_in_all() {
        model(3, || {
            let (one, other) = (Arc::new(Channel::new()), Arc::new(Channel::new()));
            let (there, yonder) = (one.clone(), other.clone());
            let first = loom::thread::spawn(move || there.get());
            let second = loom::thread::spawn(move || yonder.get());
            Select::new()
                .case(one.putting(1), |put| put.unwrap())
                .case(other.putting(1), |put| put.unwrap())
                .wait();
            one.close();
            other.close();
            let got = [first.join().unwrap(), second.join().unwrap()];
            assert_eq!(got.iter().filter(|item| item.is_ok()).count(), 1);
        });
    }

    #[test]
    fn loom_select_meets_another_selection() {
        model(3, || {
            let (one, other) = (Arc::new(Channel::new()), Arc::new(Channel::new()));
            let (there, yonder) = (one.clone(), other.clone());
            let putter = loom::thread::spawn(move || {
                Select::new()
                    .case(there.putting(1), |put| put.unwrap())
                    .case(yonder.putting(1), |put| put.unwrap())
                    .wait();
            });
            let got = Select::new()
                .case(other.getting(), |item| item.unwrap())
                .case(one.getting(), |item| item.unwrap())
                .wait();
            assert_eq!(got, 1);
            putter.join().unwrap();
        });
    }

    #[test]
    fn loom_select_is_told_of_the_first_of_two_results() {
        model(3, || {
            let (one, other) = (AsyncResult::new(), AsyncResult::new());
            let (there, yonder) = (one.clone(), other.clone());
            let first = loom::thread::spawn(move || there.set(1).unwrap());
            let second = loom::thread::spawn(move || yonder.set(2).unwrap());
            let told = Select::new()
                .case(one.waiting(), |value| *value)
                .case(other.waiting(), |value| *value)
                .wait();
            assert!(told == 1 || told == 2);
            first.join().unwrap();
            second.join().unwrap();
            assert_eq!(one.get() + other.get(), 3, "it takes nothing away");
        });
    }

    #[test]
    fn loom_select_loses_nothing_when_it_is_unwound_or_times_out() {
        model(3, || {
            let (queue, event) = (Arc::new(Queue::new()), Arc::new(Event::new()));
            let (there, flag) = (queue.clone(), event.clone());
            let killed = loom::thread::spawn(move || {
                stand_and_be_unwound(
                    Select::new()
                        .case(there.getting(), |_| ())
                        .case(flag.waiting(), |()| ()),
                );
            });
            let there = queue.clone();
            let late = loom::thread::spawn(move || {
                Select::new()
                    .case(there.getting(), |item| item.is_ok())
                    .wait_timeout(Duration::from_secs(1))
            });
            queue.put(()).unwrap();
            event.set();
            killed.join().unwrap();
            let taken = late.join().unwrap() == Some(true);
            assert_eq!(queue.try_get().is_ok(), !taken);
        });
    }
}
