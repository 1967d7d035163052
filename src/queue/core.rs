//! Putting and getting, written once for every kind of queue.
//!
//! ```text
//! putters (each with its item)  ──►  store ──► front  ──►  getters (each with an empty hand)
//!                                    up to `capacity`
//! ```
//!
//! 1. A getter waits only while store and front are empty and no putter waits; a putter waits only while they are full and no
//!    getter waits, or until whoever made room lets it in.
//! 2. An item goes straight into the hand of the first getter in line, if one waits: nobody can take it on the way.
//! 3. When an item is taken out, the first putter in line moves its own in: the order of putting is kept.
//! 4. A capacity of 0 makes it a channel: there is no store, and a putter waits until a getter takes the item from its hand.
//! 5. An item that arrives is shown to all who wait to see one, before it goes anywhere; they get a copy of it, made under the
//!    lock by the function that the first of them left.
//! 6. A getter that is unwound with an item in its hand passes it to the next, or puts it back before all others
//!    (`capacity` may be exceeded by such items).

use super::error::{Failure, or_item};
use super::front::Front;
use super::store::Store;
use crate::hub::park;
use crate::primitive::const_unless_loom;
use crate::sync::wait_queue::{Handover, Look, View, WaitQueue, Waited};
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
    /// How many items there may be before putters wait.
    capacity: usize,
    /// At most so many items are in the front.
    ahead: usize,
    /// How many items were put for which `task_done` has not been called.
    unfinished: usize,
    /// No more items are accepted.
    closed: bool,
    /// Copies an item for those who wait to see one.
    copy: Option<CopyItem<S::Item>>,
}

impl<S: Store> State<S> {
    /// Whether the store is empty, and items can come.
    #[inline(always)]
    fn is_empty_and_open(&self) -> bool {
        self.store.len() == 0 && !self.closed
    }

    /// Whether there is room, as far as is known without a look at the front.
    #[inline(always)]
    fn has_room_for_sure(&self) -> bool {
        self.ahead.saturating_add(self.store.len()) < self.capacity
    }
}

/// What is seen under the lock.
pub(super) type Locked<'a, S> = View<'a, State<S>, LINES>;

impl<S: Store> Handover<LINES> for State<S> {
    type Aside = Front<S>;
    type Ticket = Option<S::Item>;

    fn take_back(view: &mut Locked<'_, S>, line: usize, ticket: &mut Option<S::Item>) {
        if line != GETTERS {
            return; // a putter's item is in already, a joiner was given nothing, a peeker a copy
        }
        if let Some(item) = ticket.take() {
            show(view, &item);
            match view.grant(GETTERS) {
                Some(hand) => *hand = Some(item),
                None => put_back(view, item),
            }
        }
    }
}

impl<S: Store> Core<S> {
    const_unless_loom! {
        /// A queue around an empty store and an empty front.
        pub(super) const fn new(store: S, front: S, capacity: usize) -> Core<S> {
            let state = State { store, capacity, ahead: 0, unfinished: 0, closed: false, copy: None };
            Core { queue: WaitQueue::with_aside(state, Front::new(front)) }
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
        let mut look = self.queue.look();
        let mut item = Some(item);
        if look.nobody_in(PEEKERS) && !look.state().closed {
            if !look.nobody_in(GETTERS) {
                let give = |state: &mut State<S>, hand: &mut Option<S::Item>| {
                    *hand = item.take();
                    state.unfinished += 1;
                };
                match look.grant(GETTERS, give) {
                    Ok(()) => return Ok(()),
                    Err(kept) => look = kept,
                }
            } else if look.nobody_in(PUTTERS)
                && look.state().has_room_for_sure()
                && let Some(item) = item.take()
            {
                let state = look.state();
                state.store.put(item);
                state.unfinished += 1;
                return Ok(());
            }
        }
        let item = item.expect("not given away");
        let waited = look.wait(PUTTERS, deadline, "put", |view| match put(view, item) {
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
        if self.queue.aside().len() > 0 {
            park::spend();
            if let Some(item) = self.take_ahead() {
                return Ok(item);
            }
        }
        let mut look = self.queue.look();
        if look.nobody_in(PUTTERS) && look.state().is_empty_and_open() && self.queue.aside().len() == 0 {
            // Who waits spends nothing.
            return got(look.stand(GETTERS, deadline, "get", None));
        }
        self.get_locked(look, deadline)
    }

    /// [`get`](Self::get) when there is something under the lock, or was. A function of its own: it hardly ever waits.
    #[inline(never)]
    fn get_locked<'a>(
        &'a self,
        mut look: Look<'a, State<S>, LINES>,
        deadline: Option<Instant>,
    ) -> Result<S::Item, Failure> {
        if !park::spend_if_any() {
            drop(look);
            park::spend();
            look = self.queue.look();
        }
        got(look.wait(GETTERS, deadline, "get", |view| match get(view) {
            Err(Failure::WouldWait) => Err(None),
            result => Ok(result),
        }))
    }

    /// Gets an item if there is one.
    pub(super) fn try_get(&self) -> Result<S::Item, Failure> {
        self.take_ahead().map_or_else(|| self.queue.with(get), Ok)
    }

    /// Takes an item out of the front.
    #[inline(always)]
    fn take_ahead(&self) -> Option<S::Item> {
        let (item, wanted) = self.queue.aside().take()?;
        if wanted {
            self.let_in();
        }
        Some(item)
    }

    /// Lets in putters that wait, as long as there is room.
    #[cold]
    fn let_in(&self) {
        self.queue.with(let_in);
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
        got(waited)
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
            dropped.extend(std::iter::from_fn(|| view.aside.take().map(|(item, _)| item)));
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
        self.queue.with(|view| view.aside.len() + view.state.store.len())
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
}

/// What a wait with an empty hand came to.
#[inline(always)]
fn got<T>(waited: Waited<Result<T, Failure>, Option<T>>) -> Result<T, Failure> {
    match waited {
        Waited::AtOnce(result) => result,
        Waited::Granted(hand) => hand.ok_or(Failure::Closed),
        Waited::TimedOut(_) => Err(Failure::TimedOut),
        Waited::Refused(_) => Err(Failure::Refused),
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
    } else if has_room_for_newcomer(view) {
        view.state.store.put(item);
    } else {
        return Err((Failure::WouldWait, item));
    }
    view.state.unfinished += 1;
    Ok(())
}

/// Under the lock: whether a putter would not have to wait, apart from getters that wait.
pub(super) fn can_put<S: Store>(view: &mut Locked<'_, S>) -> bool {
    view.state.closed || has_room_for_newcomer(view)
}

/// Under the lock: whether there is room, and nobody waits for it. If not, whoever makes some will let in who waits.
#[inline]
fn has_room_for_newcomer<S: Store>(view: &mut Locked<'_, S>) -> bool {
    if !view.nobody_in(PUTTERS) {
        let_in(view);
    }
    view.nobody_in(PUTTERS) && has_room(view)
}

/// Under the lock: whether there is room for an item. If not, whoever makes some will let in who waits.
#[inline]
fn has_room<S: Store>(view: &mut Locked<'_, S>) -> bool {
    let state = &mut *view.state;
    let Some(room) = state.capacity.checked_sub(state.store.len()) else {
        return false;
    };
    if state.ahead < room {
        return true;
    }
    state.ahead = view.aside.len();
    state.ahead < room || state.ahead > 0 && view.aside.is_below(room)
}

/// Under the lock: lets in putters that wait, as long as there is room.
fn let_in<S: Store>(view: &mut Locked<'_, S>) {
    while !view.nobody_in(PUTTERS) && has_room(view) {
        let Some(item) = view.grant(PUTTERS).and_then(Option::take) else {
            return;
        };
        view.state.store.put(item);
        view.state.unfinished += 1;
    }
}

/// Under the lock: takes the item whose turn it is and lets putters move their own in; or takes it from a putter's hand.
#[inline]
pub(super) fn get<S: Store>(view: &mut Locked<'_, S>) -> Result<S::Item, Failure> {
    let taken = match view.aside.take() {
        Some((item, _)) => Some(item),
        None => view.state.store.take(),
    };
    if let Some(item) = taken {
        if !view.nobody_in(PUTTERS) {
            let_in(view);
        }
        let wanted = !view.nobody_in(PUTTERS);
        view.aside.refill(&mut view.state.store, wanted);
        view.state.ahead = view.aside.len();
        return Ok(item);
    }
    if let Some(item) = view.grant(PUTTERS).and_then(Option::take) {
        view.state.unfinished += 1;
        return Ok(item);
    }
    Err(if view.state.closed {
        Failure::Closed
    } else {
        Failure::WouldWait
    })
}

/// Under the lock: whether a getter would find something, apart from putters that wait.
pub(super) fn can_get<S: Store>(view: &Locked<'_, S>) -> bool {
    view.state.closed || view.aside.len() > 0 || view.state.store.len() > 0
}

/// Under the lock: an item that was taken comes before all others again.
fn put_back<S: Store>(view: &mut Locked<'_, S>, item: S::Item) {
    match view.aside.put_back(item) {
        Some(item) => view.state.store.put_back(item),
        None => view.state.ahead += 1,
    }
}

/// Under the lock: a copy of the item whose turn it is.
fn peek<S: Store>(view: &mut Locked<'_, S>) -> Result<S::Item, Failure>
where
    S::Item: Clone,
{
    let item = view.aside.peek(S::Item::clone);
    match item.or_else(|| view.state.store.peek().cloned()) {
        Some(item) => Ok(item),
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
    // All copies first: if one panics, nobody has been granted anything, and all stand in line still.
    let copies: Vec<S::Item> = (0..view.count_in(PEEKERS)).map(|_| copy(item)).collect();
    for shown in copies {
        let Some(hand) = view.grant(PEEKERS) else { return };
        *hand = Some(shown);
    }
}

/// Under the lock: closes, and lets go all who wait for an item or for room.
fn close<S: Store>(view: &mut Locked<'_, S>) {
    view.state.closed = true;
    view.grant_all(GETTERS);
    view.grant_all(PUTTERS);
    view.grant_all(PEEKERS);
}

/// What tests look at and do to it.
#[cfg(test)]
mod inspection {
    use super::*;

    impl<S: Store> Core<S> {
        /// How many getters and how many putters wait.
        pub(in crate::queue) fn waiting(&self) -> (usize, usize) {
            self.queue.with(|view| (view.count_in(GETTERS), view.count_in(PUTTERS)))
        }

        /// How many wait to see an item.
        pub(in crate::queue) fn peeking(&self) -> usize {
            self.queue.with(|view| view.count_in(PEEKERS))
        }

        /// Stands in line for an item and is unwound there; `meanwhile` runs in between.
        pub(in crate::queue) fn get_and_be_unwound(&self, meanwhile: impl FnOnce()) {
            let waiting = self.queue.stand_in_line(GETTERS, None);
            meanwhile();
            drop(waiting);
        }
    }
}
