//! Those who are only told: they stand in no line, are granted nothing, and hold up nobody.
//!
//! Whoever waits for any of many things leaves an [`Observer`] with each: a number, and whom to tell it. It is told once, after the
//! lock is released, and does with the number what it likes (see `sync::arrivals`). The [`Observation`] that it got in return
//! takes it out again when dropped.
#![cfg_attr(
    loom,
    expect(
        unreachable_pub,
        reason = "what is waited for together is left out of the loom build"
    )
)]

use std::collections::BTreeMap;
use std::sync::Arc;

/// Whoever is told.
pub(crate) trait Observe: Send + Sync {
    /// What was left under this number may be ready. Must not park or unwind.
    fn told(&self, number: usize);
}

/// Whom to tell, and the number to tell.
pub struct Observer {
    /// Whom.
    who: Arc<dyn Observe>,
    /// Which of the many things it was left with.
    number: usize,
}

impl Observer {
    /// Has `who` told `number`.
    pub(crate) fn new(who: Arc<dyn Observe>, number: usize) -> Observer {
        Observer { who, number }
    }

    /// Tells it. Not to be called under a lock.
    pub(crate) fn tell(self) {
        self.who.told(self.number);
    }
}

/// The observers of one wait queue that were not told, from those who came first.
#[derive(Default)]
pub(super) struct Observers {
    /// Mostly nobody: then it is no more than a pointer.
    waiting: Option<Box<Waiting>>,
}

/// Those who wait, by their places, and how many there have been.
#[derive(Default)]
struct Waiting {
    /// Who waits.
    by_place: BTreeMap<Place, Observer>,
    /// The next place.
    next: Place,
}

/// Names an observer among those of one queue.
pub(super) type Place = u64;

impl Observers {
    /// Nobody.
    pub(super) const fn new() -> Observers {
        Observers { waiting: None }
    }

    /// One more, behind all others.
    pub(super) fn add(&mut self, observer: Observer) -> Place {
        let waiting = self.waiting.get_or_insert_default();
        let place = waiting.next;
        waiting.next += 1;
        waiting.by_place.insert(place, observer);
        place
    }

    /// Takes out the first.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Observer> {
        let (_, observer) = self.waiting.as_mut()?.by_place.pop_first()?;
        Some(observer)
    }

    /// Gives up a place. What was left there is dropped by the caller, after the lock.
    pub(super) fn remove(&mut self, place: Place) -> Option<Observer> {
        self.waiting.as_mut()?.by_place.remove(&place)
    }

    /// How many there are that were not told.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.by_place.len())
    }
}

/// Where an observer can be taken out again.
pub(super) trait Observed {
    /// Takes it out, if it was not told.
    fn forget(&self, place: Place);
}

/// An observer's hold on its place. Dropping it takes the observer out, told or not.
#[must_use = "dropping it ends the observation"]
pub struct Observation<'a> {
    /// Where it stands; nowhere if it was told at once.
    at: At<'a>,
}

/// Where an observer stands.
enum At<'a> {
    /// It was told at once.
    Nowhere,
    /// In a wait queue.
    Place(&'a dyn Observed, Place),
    /// With something that ends when this is dropped.
    #[expect(dead_code, reason = "only dropped")]
    Guard(Box<dyn Send>),
}

impl<'a> Observation<'a> {
    /// It was told at once, and stands nowhere.
    pub(crate) fn over() -> Observation<'a> {
        Observation { at: At::Nowhere }
    }

    /// It stands at `place`.
    pub(super) fn at(queue: &'a dyn Observed, place: Place) -> Observation<'a> {
        Observation {
            at: At::Place(queue, place),
        }
    }

    /// It was left with something else, which forgets it when `guard` is dropped.
    #[cfg(not(loom))]
    pub(crate) fn by(guard: impl Send + 'static) -> Observation<'a> {
        Observation {
            at: At::Guard(Box::new(guard)),
        }
    }
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        if let At::Place(queue, place) = std::mem::replace(&mut self.at, At::Nowhere) {
            queue.forget(place);
        }
    }
}
