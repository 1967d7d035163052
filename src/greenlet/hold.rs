//! The handle's hold on a record: lends and takes the outcome, and leaves it to the greenlet when it is dropped first.
//!
//! The invariants are those of [`shared`](super::shared).
#![expect(unsafe_code, reason = "one of the two owners of a record")]

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use super::exit::Exit;
use super::local::Inherited;
use super::shared::{Shared, Spawned};
use crate::hub::job::{Info, JobRef};
use crate::hub::park::Unparker;

/// The handle's hold on a record. Dropping it detaches the greenlet.
pub(super) struct Handle<T> {
    /// The record.
    shared: NonNull<Shared<T>>,
    /// It owns the outcome.
    value: PhantomData<T>,
}

// SAFETY: the closure in the same allocation is neither run nor dropped by a handle (invariant 1), `joiner` is touched on
// one thread only (invariant 3); the rest is atomics, locks and the outcome, which is a `T` or an `Exit`, both of which may
// be sent.
unsafe impl<T: Send> Send for Handle<T> {}

// SAFETY: as above; through a shared handle only `&T` can be reached, and of a panic's payload only the text, if it is one.
unsafe impl<T: Send + Sync> Sync for Handle<T> {}

/// Makes the record of a greenlet of the calling thread's hub, and both holds on it.
#[inline]
pub(super) fn spawn<T, F: FnOnce() -> T>(
    info: Info,
    unparker: Unparker,
    closure: F,
    inherited: Option<Box<Inherited>>,
) -> (JobRef, Handle<T>) {
    let (spawned, handle) = record(info, Some(unparker), closure, inherited);
    // SAFETY: invariants 4 and 5: this is the task's hold; the calls are those of this type.
    (unsafe { JobRef::new(spawned.cast()) }, handle)
}

/// Makes a record: the task's hold, and the handle's.
#[inline]
pub(super) fn record<T, F: FnOnce() -> T>(
    info: Info,
    unparker: Option<Unparker>,
    closure: F,
    inherited: Option<Box<Inherited>>,
) -> (NonNull<Spawned<T, F>>, Handle<T>) {
    let spawned = NonNull::from(Box::leak(Spawned::new(info, unparker, closure, inherited)));
    let handle = Handle {
        shared: spawned.cast(),
        value: PhantomData,
    };
    (spawned, handle)
}

impl<T> Deref for Handle<T> {
    type Target = Shared<T>;

    #[inline]
    fn deref(&self) -> &Shared<T> {
        // SAFETY: invariant 5: the handle has not left.
        unsafe { self.shared.as_ref() }
    }
}

impl<T> Handle<T> {
    /// Takes the outcome, if it is there.
    #[inline]
    pub(super) fn take(self) -> Option<Result<T, Exit>> {
        if !self.ready() {
            return None;
        }
        // SAFETY: invariant 2: it has ended, so the outcome is the handle's, who has lent it to nobody and is consumed.
        let outcome = unsafe { &mut *self.outcome.get() };
        outcome.take()
    }
}

impl<T> Drop for Handle<T> {
    #[inline]
    fn drop(&mut self) {
        /// Leaves when dropped, also if the value's destructor panics.
        struct Leave<T>(NonNull<Shared<T>>);

        impl<T> Drop for Leave<T> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: invariant 5: this is the handle's hold.
                let shared = unsafe { self.0.as_ref() };
                let free = shared.job.calls.free;
                if shared.phase.leave_as_handle() {
                    // SAFETY: the phase says that both have left.
                    unsafe { free(self.0.cast()) };
                }
            }
        }

        if !self.ready() && self.phase.detach() {
            return;
        }
        let _leave = Leave(self.shared);
        // SAFETY: invariant 2: it has ended, so the outcome is the handle's, who has lent it to nobody any more.
        let outcome = unsafe { &mut *self.outcome.get() };
        drop(outcome.take());
    }
}
