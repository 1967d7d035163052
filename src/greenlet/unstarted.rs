//! The task's hold on the record of a greenlet that has no hub yet: it may go to another thread, where it becomes a task, or end
//! on its way.
//!
//! The invariants are those of [`shared`](super::shared).
#![expect(unsafe_code, reason = "one of the two owners of a record, and of the closure")]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::exit::Exit;
use super::hold::{self, Handle};
use super::shared::{Shared, Spawned};
use crate::hub::interrupt::discard;
use crate::hub::job::{Info, JobRef};
use crate::hub::spawn;

/// The task's hold on the record of a greenlet that has no hub yet. Dropping it says that the greenlet never begins.
pub(super) struct Unstarted<T, F> {
    /// The record.
    spawned: NonNull<Spawned<T, F>>,
    /// It owns the closure.
    closure: PhantomData<F>,
}

// SAFETY: it inherits nothing, and the closure and the outcome may be sent; the rest is atomics and locks, and `joiner`,
// which is not used without an `unparker`.
unsafe impl<T: Send, F: Send> Send for Unstarted<T, F> {}

impl<T: Send + 'static, F: FnOnce() -> T + Send + 'static> Unstarted<T, F> {
    /// A greenlet without a hub.
    pub(super) fn new(info: Info, closure: F) -> (Unstarted<T, F>, Handle<T>) {
        let (spawned, handle) = hold::record(info, None, closure, None);
        let closure = PhantomData;
        (Unstarted { spawned, closure }, handle)
    }

    /// It is on its hub's thread: becomes one of its greenlets.
    pub(super) fn arrive(self) {
        let stack_size = self.shared().info().stack_size;
        let mut traveller = Some(self);
        let added = spawn::spawn(stack_size, None, |unparker| {
            let spawned = ManuallyDrop::new(traveller.take().expect("called once")).spawned;
            // SAFETY: invariants 4 and 5: it was the traveller's hold; the calls are those of this type.
            (unsafe { JobRef::new(spawned.cast()) }, (spawned, unparker))
        });
        if let Ok((spawned, unparker)) = added {
            // SAFETY: the task, which begins after this at the earliest, holds it. What was raised on the way finds it there.
            unsafe { spawned.as_ref() }.shared.rare().arrive(unparker);
        }
    }
}

impl<T, F> Unstarted<T, F> {
    /// The part that the handle sees.
    fn shared(&self) -> &Shared<T> {
        // SAFETY: invariant 5: this is the task's hold.
        &unsafe { self.spawned.as_ref() }.shared
    }

    /// The closure of one that will not arrive at its hub.
    pub(super) fn reclaim(&mut self) -> Option<F> {
        // SAFETY: invariant 5: this is the task's hold.
        let closure = unsafe { self.spawned.as_ref() }.closure.get();
        // SAFETY: invariant 1: it has not begun.
        let closure = unsafe { &mut *closure };
        closure.take()
    }
}

impl<T, F> Drop for Unstarted<T, F> {
    /// It will not arrive at its hub: drops the closure here, which may be done on any thread, and tells who waits.
    fn drop(&mut self) {
        discard(self.reclaim());
        self.shared().finish(Err(Exit::Abandoned));
        // SAFETY: this is the task's hold, which ends here.
        unsafe { Shared::<T>::release(self.spawned.cast()) };
    }
}
