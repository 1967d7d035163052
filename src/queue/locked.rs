//! What is done under a queue's lock: its state, its lines, and every step that changes them. `core` says when each is taken.

use super::error::Failure;
use super::front::Front;
use super::store::Store;
use crate::sync::wait_queue::{Handover, View};

/// The line of getters: a ticket is the hand that receives the item.
pub(super) const GETTERS: usize = 0;
/// The line of putters: a ticket is the item, until it has been taken.
pub(super) const PUTTERS: usize = 1;
/// The line of those who wait for all tasks to be done.
pub(super) const JOINERS: usize = 2;
/// The line of those who wait to see an item: a ticket is the hand that receives a copy.
pub(super) const PEEKERS: usize = 3;
/// How many lines there are.
pub(super) const LINES: usize = 4;

/// Copies an item.
type CopyItem<T> = fn(&T) -> T;

/// What the queue's lock protects beside the lines.
pub(super) struct State<S: Store> {
    /// The items that nobody has asked for yet.
    pub(super) store: S,
    /// How many items there may be before putters wait.
    pub(super) capacity: usize,
    /// At most so many items are in the front.
    pub(super) ahead: usize,
    /// How many items were put for which `task_done` has not been called.
    pub(super) unfinished: usize,
    /// No more items are accepted.
    pub(super) closed: bool,
    /// Copies an item for those who wait to see one.
    pub(super) copy: Option<CopyItem<S::Item>>,
}

impl<S: Store> State<S> {
    /// Puts an item into the store. It is there, and so it counts, also if it is compared with others and that panics.
    #[inline(always)]
    pub(super) fn add(&mut self, item: S::Item) {
        self.unfinished += 1;
        self.store.put(item);
    }

    /// Whether the store is empty, and items can come.
    #[inline(always)]
    pub(super) fn is_empty_and_open(&self) -> bool {
        self.store.len() == 0 && !self.closed
    }

    /// Whether there is room, as far as is known without a look at the front.
    #[inline(always)]
    pub(super) fn has_room_for_sure(&self) -> bool {
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

/// Puts the item into a getter's hand or into the store.
#[inline]
pub(super) fn put<S: Store>(view: &mut Locked<'_, S>, item: S::Item) -> Result<(), (Failure, S::Item)> {
    if view.state.closed {
        return Err((Failure::Closed, item));
    }
    show(view, &item);
    if let Some(hand) = view.grant(GETTERS) {
        *hand = Some(item);
        view.state.unfinished += 1;
    } else if has_room_for_newcomer(view) {
        view.state.add(item);
    } else {
        return Err((Failure::WouldWait, item));
    }
    Ok(())
}

/// Whether a putter would not have to wait, apart from getters that wait.
pub(super) fn can_put<S: Store>(view: &mut Locked<'_, S>) -> bool {
    view.state.closed || has_room_for_newcomer(view)
}

/// Whether there is room, and nobody waits for it. If not, whoever makes some will let in who waits.
#[inline]
fn has_room_for_newcomer<S: Store>(view: &mut Locked<'_, S>) -> bool {
    if !view.nobody_in(PUTTERS) {
        let_in(view);
    }
    view.nobody_in(PUTTERS) && has_room(view)
}

/// Whether there is room for an item. If not, whoever makes some will let in who waits.
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

/// Lets in putters that wait, as long as there is room.
pub(super) fn let_in<S: Store>(view: &mut Locked<'_, S>) {
    while !view.nobody_in(PUTTERS) && has_room(view) {
        let Some(item) = view.grant(PUTTERS).and_then(Option::take) else {
            return;
        };
        view.state.add(item);
    }
}

/// Takes the item whose turn it is and lets putters move their own in; or takes it from a putter's hand.
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

/// Whether a getter would find something, apart from putters that wait.
pub(super) fn can_get<S: Store>(view: &Locked<'_, S>) -> bool {
    view.state.closed || view.aside.len() > 0 || view.state.store.len() > 0
}

/// An item that was taken comes before all others again.
fn put_back<S: Store>(view: &mut Locked<'_, S>, item: S::Item) {
    match view.aside.put_back(item) {
        Some(item) => view.state.store.put_back(item),
        None => view.state.ahead += 1,
    }
}

/// A copy of the item whose turn it is.
pub(super) fn peek<S: Store>(view: &mut Locked<'_, S>) -> Result<S::Item, Failure>
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

/// Gives a copy of an item that has arrived to each who waits to see one.
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

/// Closes, and lets go all who wait for an item or for room.
pub(super) fn close<S: Store>(view: &mut Locked<'_, S>) {
    view.state.closed = true;
    view.grant_all(GETTERS);
    view.grant_all(PUTTERS);
    view.grant_all(PEEKERS);
}
