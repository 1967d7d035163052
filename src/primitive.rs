//! The one switch between std's synchronisation types and loom's.
//!
//! Files that loom models check (`collections/inbox`, `sync`, `queue`) take their locks and
//! atomics from here and nowhere else.

#[cfg(not(loom))]
mod short_lock;

#[cfg(not(loom))]
pub(crate) use short_lock::{ShortGuard, ShortLock};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic;

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;

#[cfg(all(loom, test))]
pub(crate) use loom::sync::Arc;

/// Defines a `const fn` that is a plain `fn` in the loom build, where locks and atomics have no `const` constructor.
macro_rules! const_unless_loom {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visibility const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}
pub(crate) use const_unless_loom;

/// Std's, by the functions of loom's.
#[cfg(not(loom))]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// With this value.
    #[inline(always)]
    pub(crate) const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with where the value is. What it does there has to be exclusive.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// In models the short lock is loom's mutex.
#[cfg(loom)]
pub(crate) struct ShortLock<T>(loom::sync::Mutex<T>);

/// Access to what a [`ShortLock`] protects.
#[cfg(loom)]
pub(crate) type ShortGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

#[cfg(loom)]
impl<T> ShortLock<T> {
    /// Unlocked.
    pub(crate) fn new(value: T) -> ShortLock<T> {
        ShortLock(loom::sync::Mutex::new(value))
    }

    /// Waits until nobody is inside.
    pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Enters if nobody is inside.
    #[cfg(feature = "monkey")]
    pub(crate) fn try_lock(&self) -> Option<ShortGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}
