//! Putting and getting, written once for every kind of queue.
//!
//! ```text
//! putters (each with its item)  ──►  store, up to `capacity`  ──►  getters (each with an empty hand)
//! ```
//!
//! 1. A getter waits only while the store is empty and no putter waits; a putter waits only while the store is full and no
//!    getter waits.
//! 2. An item goes straight into the hand of the first getter in line, if one waits: nobody can take it on the way.
//! 3. When an item is taken out, the first putter in line moves its own in: the order of putting is kept.
//! 4. A capacity of 0 makes it a channel: there is no store, and a putter waits until a getter takes the item from its hand.
//! 5. An item that arrives is shown to all who wait to see one, before it goes anywhere; they get a copy of it, made under the
//!    lock by the function that the first of them left.
//! 6. A getter that is unwound with an item in its hand passes it to the next, or puts it back before all others
//!    (`capacity` may be exceeded by such items).

use super::error::{GetTimeoutError, TryGetError};
use super::store::Store;
use crate::hub::park;
use crate::primitive::const_unless_loom;
use crate::sync::wait_queue::{Handover, View, WaitQueue, Waited};
use std::time::Instant;

/// The line of getters: a ticket is the hand that receives the item.
pub(super) const GETTERS: usize = 0;
/// The line of putters: a ticket is the item, until it has been taken.
pub(super) const PUTTERS: usize = 1;
/// The line of those who wait for all tasks to be done.
const JOINERS: usize = 2;
/// The line of those who wait to see an item: a ticket is the hand that receives a copy.
const PEEKERS: usize = 3;
/// How many lines there are.
pub(super) const LINES: usize = 4;

/// The state of a queue, and who waits for it to change.
pub(super) struct Core<S: Store> {
    /// The state of invariant 1.
    queue: WaitQueue<State<S>, LINES>,
}

/// Copies an item.
type CopyItem<T> = fn(&T) -> T;

/// What the queue's lock protects beside the lines.
pub(super) struct State<S: Store> {
    /// The items that nobody has asked for yet.
    store: S,
    /// How many items `store` holds before putters wait.
    capacity: usize,
    /// How many items were put for which `task_done` has not been called.
    unfinished: usize,
    /// No more items are accepted.
    closed: bool,
    /// Copies an item for those who wait to see one.
    copy: Option<CopyItem<S::Item>>,
}

impl<S: Store> State<S> {
    /// Whether a getter need not wait, apart from putters that wait.
    pub(super) fn can_get(&self) -> bool {
        self.closed || self.store.len() > 0
    }

    /// Whether a putter need not wait, apart from getters that wait.
    pub(super) fn can_put(&self) -> bool {
        self.closed || self.store.len() < self.capacity
    }
}

/// What is seen under the lock.
pub(super) type Locked<'a, S> = View<'a, State<S>, LINES>;

impl<S: Store> Handover<LINES> for State<S> {
    type Ticket = Option<S::Item>;

    fn take_back(view: &mut Locked<'_, S>, line: usize, ticket: &mut Option<S::Item>) {
        if line != GETTERS {
            return; // a putter's item is in already, a joiner was given nothing, a peeker a copy
        }
        if let Some(item) = ticket.take() {
            show(view, &item);
            match view.grant(GETTERS) {
                Some(hand) => *hand = Some(item),
                None => view.state.store.put_back(item),
            }
        }
    }
}

/// Why nothing was put or got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It would have to wait.
    WouldWait,
    /// The queue is closed (and, for a getter, empty).
    Closed,
    /// The deadline passed.
    TimedOut,
    /// The greenlet is unwinding and must not wait.
    Refused,
}

impl Failure {
    /// As the error of a `try_get`.
    pub(super) fn of_try_get(self) -> TryGetError {
        match self {
            Failure::Closed => TryGetError::Closed,
            _ => TryGetError::Empty,
        }
    }

    /// As the error of a `get_timeout`.
    pub(super) fn of_get_timeout(self) -> GetTimeoutError {
        match self {
            Failure::Closed => GetTimeoutError::Closed,
            _ => GetTimeoutError::TimedOut,
        }
    }
}

impl<S: Store> Core<S> {
    const_unless_loom! {
        /// A queue around an empty store.
        pub(super) const fn new(store: S, capacity: usize) -> Core<S> {
            Core { queue: WaitQueue::new(State { store, capacity, unfinished: 0, closed: false, copy: None }) }
        }
    }

    /// Where the items are and who waits for them.
    pub(super) fn queue(&self) -> &WaitQueue<State<S>, LINES> {
        &self.queue
    }

    /// Puts an item, and waits for room if there is none.
    #[inline(always)]
    pub(super) fn put(&self, item: S::Item, deadline: Option<Instant>) -> Result<(), (Failure, S::Item)> {
        park::spend();
        let waited = self.queue.wait(PUTTERS, deadline, "put", |view| match put(view, item) {
            Err((Failure::WouldWait, item)) => Err(Some(item)),
            result => Ok(result),
        });
        match waited {
            Waited::AtOnce(result) => result,
            // Whoever granted it took the item; a queue that closed left it.
            Waited::Granted(item) => or_item(item, Failure::Closed),
            Waited::TimedOut(item) => or_item(item, Failure::TimedOut),
            Waited::Refused(item) => or_item(item, Failure::Refused),
        }
    }

    /// Puts an item if that is possible at once.
    pub(super) fn try_put(&self, item: S::Item) -> Result<(), (Failure, S::Item)> {
        self.queue.with(|view| put(view, item))
    }

    /// Gets an item, and waits for one if there is none.
    #[inline(always)]
    pub(super) fn get(&self, deadline: Option<Instant>) -> Result<S::Item, Failure> {
        park::spend();
        let waited = self.queue.wait(GETTERS, deadline, "get", |view| match get(view) {
            Err(Failure::WouldWait) => Err(None),
            result => Ok(result),
        });
        match waited {
            Waited::AtOnce(result) => result,
            Waited::Granted(hand) => hand.ok_or(Failure::Closed),
            Waited::TimedOut(_) => Err(Failure::TimedOut),
            Waited::Refused(_) => Err(Failure::Refused),
        }
    }

    /// Gets an item if there is one.
    pub(super) fn try_get(&self) -> Result<S::Item, Failure> {
        self.queue.with(get)
    }

    /// A copy of the item whose turn it is; waits for one if there is none.
    pub(super) fn peek(&self, deadline: Option<Instant>) -> Result<S::Item, Failure>
    where
        S::Item: Clone,
    {
        park::spend();
        let waited = self.queue.wait(PEEKERS, deadline, "peek", |view| match peek(view) {
            Err(Failure::WouldWait) => {
                view.state.copy = Some(S::Item::clone);
                Err(None)
            }
            result => Ok(result),
        });
        match waited {
            Waited::AtOnce(result) => result,
            Waited::Granted(hand) => hand.ok_or(Failure::Closed),
            Waited::TimedOut(_) => Err(Failure::TimedOut),
            Waited::Refused(_) => Err(Failure::Refused),
        }
    }

    /// A copy of the item whose turn it is, if there is one.
    pub(super) fn try_peek(&self) -> Result<S::Item, Failure>
    where
        S::Item: Clone,
    {
        self.queue.with(peek)
    }

    /// Accepts no more items. Waiting putters keep theirs, waiting getters leave empty-handed.
    pub(super) fn close(&self) {
        self.queue.with(close);
    }

    /// As `close`, and drops what nobody has asked for yet, counting it as done.
    pub(super) fn close_now(&self) {
        let mut dropped = Vec::new();
        self.queue.with(|view| {
            close(view);
            dropped.extend(std::iter::from_fn(|| view.state.store.take()));
            view.state.unfinished = view.state.unfinished.saturating_sub(dropped.len());
            if view.state.unfinished == 0 {
                view.grant_all(JOINERS);
            }
        });
    }

    /// One item that was got has been dealt with. False if there were none left.
    pub(super) fn task_done(&self) -> bool {
        self.queue.with(|view| {
            let Some(left) = view.state.unfinished.checked_sub(1) else {
                return false;
            };
            view.state.unfinished = left;
            if left == 0 {
                view.grant_all(JOINERS);
            }
            true
        })
    }

    /// Waits until `task_done` was called for every item.
    pub(super) fn join(&self, deadline: Option<Instant>) -> Result<(), Failure> {
        park::spend();
        let done = |view: &mut Locked<'_, S>| if view.state.unfinished == 0 { Ok(()) } else { Err(None) };
        match self.queue.wait(JOINERS, deadline, "join", done) {
            Waited::AtOnce(()) | Waited::Granted(_) => Ok(()),
            Waited::TimedOut(_) => Err(Failure::TimedOut),
            Waited::Refused(_) => Err(Failure::Refused),
        }
    }

    /// How many items wait for a getter.
    pub(super) fn len(&self) -> usize {
        self.queue.with(|view| view.state.store.len())
    }

    /// How many items it holds before putters wait.
    pub(super) fn capacity(&self) -> usize {
        self.queue.with(|view| view.state.capacity)
    }

    /// How many items have not been dealt with.
    pub(super) fn unfinished(&self) -> usize {
        self.queue.with(|view| view.state.unfinished)
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.with(|view| view.state.closed)
    }

    /// How many getters and how many putters wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, usize) {
        self.queue.with(|view| (view.count_in(GETTERS), view.count_in(PUTTERS)))
    }

    /// How many wait to see an item.
    #[cfg(test)]
    pub(super) fn peeking(&self) -> usize {
        self.queue.with(|view| view.count_in(PEEKERS))
    }

    /// Stands in line for an item and is unwound there; `meanwhile` runs in between.
    #[cfg(test)]
    pub(super) fn get_and_be_unwound(&self, meanwhile: impl FnOnce()) {
        let waiting = self.queue.stand_in_line(GETTERS, None);
        meanwhile();
        drop(waiting);
    }
}

/// Under the lock: puts the item into a getter's hand or into the store.
#[inline]
pub(super) fn put<S: Store>(view: &mut Locked<'_, S>, item: S::Item) -> Result<(), (Failure, S::Item)> {
    if view.state.closed {
        return Err((Failure::Closed, item));
    }
    show(view, &item);
    if let Some(hand) = view.grant(GETTERS) {
        *hand = Some(item);
    } else if view.state.store.len() < view.state.capacity {
        view.state.store.put(item);
    } else {
        return Err((Failure::WouldWait, item));
    }
    view.state.unfinished += 1;
    Ok(())
}

/// Under the lock: takes an item out of the store and lets a putter move its own in; or takes it from the putter's hand.
#[inline]
pub(super) fn get<S: Store>(view: &mut Locked<'_, S>) -> Result<S::Item, Failure> {
    let stored = view.state.store.take();
    // A store that holds more than it should, by items put back, takes no more.
    if stored.is_some() && view.state.store.len() >= view.state.capacity {
        return stored.ok_or(Failure::WouldWait);
    }
    let moved = view.grant(PUTTERS).and_then(Option::take);
    view.state.unfinished += usize::from(moved.is_some());
    match (stored, moved) {
        (Some(item), Some(next)) => {
            view.state.store.put(next);
            Ok(item)
        }
        (Some(item), None) | (None, Some(item)) => Ok(item),
        (None, None) if view.state.closed => Err(Failure::Closed),
        (None, None) => Err(Failure::WouldWait),
    }
}

/// Under the lock: a copy of the item whose turn it is.
fn peek<S: Store>(view: &mut Locked<'_, S>) -> Result<S::Item, Failure>
where
    S::Item: Clone,
{
    match view.state.store.peek() {
        Some(item) => Ok(item.clone()),
        None if view.state.closed => Err(Failure::Closed),
        None => Err(Failure::WouldWait),
    }
}

/// Under the lock: gives a copy of an item that has arrived to each who waits to see one.
#[inline]
fn show<S: Store>(view: &mut Locked<'_, S>, item: &S::Item) {
    if !view.nobody_in(PEEKERS) {
        show_now(view, item);
    }
}

/// The work of [`show`].
#[cold]
fn show_now<S: Store>(view: &mut Locked<'_, S>, item: &S::Item) {
    let Some(copy) = view.state.copy else { return };
    // Copied first: if that panics, nobody is granted nothing.
    while !view.nobody_in(PEEKERS) {
        let shown = copy(item);
        if let Some(hand) = view.grant(PEEKERS) {
            *hand = Some(shown);
        }
    }
}

/// Under the lock: closes, and lets go all who wait for an item or for room.
fn close<S: Store>(view: &mut Locked<'_, S>) {
    view.state.closed = true;
    view.grant_all(GETTERS);
    view.grant_all(PUTTERS);
    view.grant_all(PEEKERS);
}

/// The failure of a putter that still has its item.
#[inline]
fn or_item<T>(item: Option<T>, failure: Failure) -> Result<(), (Failure, T)> {
    match item {
        None => Ok(()),
        Some(item) => Err((failure, item)),
    }
}
