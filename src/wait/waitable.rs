//! What can be waited for together with others.

use std::rc::Rc;
use std::sync::Arc;

use crate::greenlet::Greenlet;
use crate::sync::wait_queue::observer::{Observation, Observer};
use crate::sync::{AsyncResult, BoundedSemaphore, Event, Semaphore};

/// What [`wait()`](crate::wait()) and [`iwait`](crate::iwait) wait for.
///
/// | waitable | is ready when |
/// | --- | --- |
/// | [`Greenlet`] | it has ended |
/// | [`Event`] | it is set, or was set while it was waited for |
/// | [`AsyncResult`] | its value is there |
/// | [`Semaphore`], [`BoundedSemaphore`] | it has a permit that nobody waits for; waiting does not acquire it |
/// | [`Child`](crate::process::Child) | the process has ended; its standard input stays open |
/// | [`JobHandle`](crate::threadpool::JobHandle) | the work is done |
///
/// References and smart pointers to them are waitable too. A mixture is waited for as `&dyn Waitable`.
pub trait Waitable {
    /// Has `observer` told once, when it is ready.
    #[doc(hidden)]
    fn observe(&self, observer: Observer) -> Observation<'_>;
}

impl<T> Waitable for Greenlet<T> {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        Greenlet::observe(self, observer)
    }
}

impl Waitable for Event {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        Event::observe(self, observer)
    }
}

impl<T> Waitable for AsyncResult<T> {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        AsyncResult::observe(self, observer)
    }
}

impl Waitable for Semaphore {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        Semaphore::observe(self, observer)
    }
}

impl Waitable for BoundedSemaphore {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        BoundedSemaphore::observe(self, observer)
    }
}

impl<W: Waitable + ?Sized> Waitable for &W {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        W::observe(self, observer)
    }
}

impl<W: Waitable + ?Sized> Waitable for Box<W> {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        W::observe(self, observer)
    }
}

impl<W: Waitable + ?Sized> Waitable for Rc<W> {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        W::observe(self, observer)
    }
}

impl<W: Waitable + ?Sized> Waitable for Arc<W> {
    fn observe(&self, observer: Observer) -> Observation<'_> {
        W::observe(self, observer)
    }
}
