//! The mark on a lock whose guard was dropped by an unwinding, which may have left half changed what the lock protects.
//!
//! As in std: only an unwinding that began while the guard was held counts. A kill or a timeout is one.

use crate::primitive::{
    atomic::{AtomicBool, Ordering},
    const_unless_loom,
};
use std::sync::{LockResult, PoisonError};
use std::thread;

/// Whether a lock is poisoned. Written and read by whoever holds the lock, which orders the accesses.
pub(super) struct Poison(AtomicBool);

/// What a guard remembers.
pub(super) struct Held {
    /// Whether the thread was unwinding already when it locked: then that unwinding poisons nothing.
    panicking: bool,
}

impl Held {
    /// The lock has just been taken.
    #[inline]
    pub(super) fn begin() -> Held {
        Held {
            panicking: thread::panicking(),
        }
    }
}

impl Poison {
    const_unless_loom! {
        /// Not poisoned.
        pub(super) const fn new() -> Poison {
            Poison(AtomicBool::new(false))
        }
    }

    /// Whether the lock is poisoned.
    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The value is whole again.
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// The guard is dropped, the lock held still.
    #[inline]
    pub(super) fn end(&self, held: &Held) {
        if thread::panicking() && !held.panicking {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// `value`, as an error if the lock is poisoned.
    #[inline]
    pub(super) fn judge<T>(&self, value: T) -> LockResult<T> {
        judge(self.is_set(), value)
    }
}

/// `value`, as an error if `poisoned`.
#[inline]
pub(super) fn judge<T>(poisoned: bool, value: T) -> LockResult<T> {
    if poisoned {
        Err(PoisonError::new(value))
    } else {
        Ok(value)
    }
}
