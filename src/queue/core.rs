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
use super::locked::{GETTERS, JOINERS, LINES, Locked, PEEKERS, PUTTERS, State, close, get, let_in, peek, put};
use super::store::Store;
use crate::hub::park;
use crate::primitive::const_unless_loom;
use crate::sync::wait_queue::{Look, WaitQueue, Waited};
use std::time::Instant;

/// The state of a queue, and who waits for it to change.
pub(super) struct Core<S: Store> {
    /// The state of invariant 1.
    queue: WaitQueue<State<S>, LINES>,
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
                state.add(item);
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
