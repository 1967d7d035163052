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

use std::sync::Arc;

use crate::collections::lines::Place;

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

/// The observers of one wait queue, from those who came first.
#[derive(Default)]
pub(super) struct Observers {
    /// Mostly nobody: then it is no more than a pointer.
    lines: Option<Box<Lines>>,
}

/// Whoever was told is out of line and has left its observer with the one who told it.
type Lines = crate::collections::lines::Lines<Option<Observer>, 1>;

impl Observers {
    /// Nobody.
    pub(super) const fn new() -> Observers {
        Observers { lines: None }
    }

    /// One more, behind all others.
    pub(super) fn add(&mut self, observer: Observer) -> Place {
        self.lines
            .get_or_insert_with(|| Box::new(Lines::new()))
            .push_back(0, Some(observer))
    }

    /// Takes out the first who was not told yet.
    pub(super) fn next(&mut self) -> Option<Observer> {
        self.lines.as_mut()?.step_out_first(0, |_| true)?.take()
    }

    /// Gives up a place. What is left is dropped by the caller, after the lock.
    pub(super) fn remove(&mut self, place: Place) -> Removed {
        let Some(lines) = &mut self.lines else {
            return Removed(None, None);
        };
        let observer = lines.take(place).flatten();
        let unused = if lines.is_vacant() { self.lines.take() } else { None };
        Removed(observer, unused)
    }

    /// How many there are that were not told.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lines.as_ref().map_or(0, |lines| lines.len(0))
    }
}

/// What is to be dropped after the lock: an observer, and the last one's lines.
#[expect(dead_code, reason = "only dropped")]
pub(super) struct Removed(Option<Observer>, Option<Box<Lines>>);

/// Where an observer can be taken out again.
pub(super) trait Observed {
    /// Takes it out.
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
