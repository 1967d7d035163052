//! Getting and putting as what a [`Select`](crate::sync::Select) waits for.

use super::core::Core;
use super::error::{Failure, GetError, PutError};
use super::locked::{GETTERS, LINES, Locked, PUTTERS, State, can_get, can_put, get, put};
use super::store::Store;
use crate::sync::wait_queue::Claim;
use crate::sync::{Choice, Deed};

impl<S: Store> Core<S> {
    /// Getting an item.
    pub(super) fn getting(&self) -> Choice<'_, Result<S::Item, GetError>> {
        Choice::new(self.queue(), GETTERS, Get)
    }

    /// Putting an item.
    pub(super) fn putting<'a>(&'a self, item: S::Item) -> Choice<'a, Result<(), PutError<S::Item>>>
    where
        S::Item: 'a,
    {
        Choice::new(self.queue(), PUTTERS, Put(Some(item)))
    }
}

/// An item is got.
struct Get;

impl<S: Store> Deed<State<S>, LINES> for Get {
    type Outcome = Result<S::Item, GetError>;

    fn attempt(&mut self, view: &mut Locked<'_, S>) -> Option<Self::Outcome> {
        match get(view) {
            Err(Failure::WouldWait) => None,
            result => Some(result.map_err(|_| GetError)),
        }
    }

    fn ready(&self, view: &mut Locked<'_, S>, claim: &Claim) -> bool {
        can_get(view) || view.others_in(PUTTERS, claim)
    }

    fn bring(&mut self) -> Option<S::Item> {
        None
    }

    fn granted(&mut self, hand: Option<S::Item>) -> Self::Outcome {
        hand.ok_or(GetError)
    }
}

/// The item is put.
struct Put<T>(Option<T>);

impl<S: Store> Deed<State<S>, LINES> for Put<S::Item> {
    type Outcome = Result<(), PutError<S::Item>>;

    fn attempt(&mut self, view: &mut Locked<'_, S>) -> Option<Self::Outcome> {
        match put(view, self.0.take()?) {
            Ok(()) => Some(Ok(())),
            Err((Failure::WouldWait, item)) => {
                self.0 = Some(item);
                None
            }
            Err((_, item)) => Some(Err(PutError(item))),
        }
    }

    fn ready(&self, view: &mut Locked<'_, S>, claim: &Claim) -> bool {
        can_put(view) || view.others_in(GETTERS, claim)
    }

    fn bring(&mut self) -> Option<S::Item> {
        self.0.take()
    }

    fn keep(&mut self, item: Option<S::Item>) {
        self.0 = item;
    }

    fn granted(&mut self, item: Option<S::Item>) -> Self::Outcome {
        match item {
            None => Ok(()),
            Some(item) => Err(PutError(item)),
        }
    }
}
