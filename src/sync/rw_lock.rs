//! The lock of many readers or one writer, with what it protects: std's interface over [`RawRwLock`].
//!
//! Only a writer's guard poisons: a reader has changed nothing.
#![expect(
    unsafe_code,
    reason = "the lock is what makes a writer's access to the cell exclusive"
)]

use super::poison::{self, Held, Poison};
use super::raw_rw_lock::{Mode, RawRwLock};
use crate::hub::park;
use crate::primitive::const_unless_loom;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

/// A lock of many readers or one writer: [`std::sync::RwLock`] for greenlets, and for threads too.
///
/// First come, first served: a reader that comes after a writer waits behind it. So no writer starves, and a greenlet that
/// holds a reader's guard must not ask for a second one, for a writer may be waiting in between.
///
/// ```
/// use iora::sync::RwLock;
///
/// static CONFIG: RwLock<u32> = RwLock::new(1);
/// {
///     let (one, other) = (CONFIG.read().unwrap(), CONFIG.try_read().unwrap());
///     assert_eq!(*one + *other, 2);
///     assert!(CONFIG.try_write().is_err());
/// }
/// *CONFIG.write().unwrap() = 5;
/// assert_eq!(*CONFIG.read().unwrap(), 5);
/// ```
pub struct RwLock<T: ?Sized> {
    /// Who may touch `value`.
    raw: RawRwLock,
    /// Whether a writer's guard was dropped by a panic or a kill.
    poison: Poison,
    /// What the lock protects.
    value: UnsafeCell<T>,
}

// SAFETY: with the lock goes its value, which may change thread.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: a shared lock gives its value to one thread at a time to change (`raw`), so it may change thread; or to several to
// read, so it must be `Sync` as well.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// As std's: a value that a panic left half changed is marked by the poison.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    const_unless_loom! {
        /// An unlocked lock.
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { raw: RawRwLock::new(), poison: Poison::new(), value: UnsafeCell::new(value) }
        }
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned; the error holds the value.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.is_poisoned();
        poison::judge(poisoned, self.value.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading, together with other readers, until the guard is dropped.
    ///
    /// Parks the greenlet while a writer holds the lock, or waits for it.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: a greenlet or thread panicked or was killed while it wrote. The error holds the guard.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        park::spend();
        self.raw.lock(Mode::Read);
        self.reader()
    }

    /// Locks for reading if no writer holds the lock or waits for it. Never waits.
    ///
    /// # Errors
    ///
    /// If it would have to wait, or if the lock is poisoned.
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.raw.try_lock(Mode::Read) {
            Ok(self.reader()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Locks for writing until the guard is dropped.
    ///
    /// Parks the greenlet until the lock is its own.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: a greenlet or thread panicked or was killed while it wrote. The error holds the guard.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        park::spend();
        self.raw.lock(Mode::Write);
        self.writer()
    }

    /// Locks for writing if the lock is free. Never waits.
    ///
    /// # Errors
    ///
    /// If it is locked or waited for, or if it is poisoned.
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.raw.try_lock(Mode::Write) {
            Ok(self.writer()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Whether a writer's guard was dropped by a panic or a kill.
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Forgets the poisoning: the caller has made the value whole again.
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, for its only owner: nothing has to be locked.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned; the error holds the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.judge(self.value.get_mut())
    }

    /// The guard of a reader that has just locked.
    #[inline]
    fn reader(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.poison.judge(RwLockReadGuard {
            lock: self,
            here: PhantomData,
        })
    }

    /// The guard of a writer that has just locked.
    #[inline]
    fn writer(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.poison.judge(RwLockWriteGuard {
            lock: self,
            held: Held::begin(),
            here: PhantomData,
        })
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => fields.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => fields.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => fields.field("data", &format_args!("<locked>")),
        };
        fields.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

/// Shared access to what a [`RwLock`] protects; unlocks when dropped.
#[must_use = "a guard that is not kept unlocks at once"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    /// What is locked.
    lock: &'a RwLock<T>,
    /// As std's, it is not `Send`.
    here: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T` only, which may be used by other threads if `T` is `Sync`; it is dropped by its owner.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard's existence means that no writer holds the lock, and the reference cannot outlive the guard.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock(Mode::Read);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, formatter)
    }
}

/// Access to what a [`RwLock`] protects; unlocks when dropped.
#[must_use = "a guard that is not kept unlocks at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    /// What is locked.
    lock: &'a RwLock<T>,
    /// Since when it is held.
    held: Held,
    /// As std's, it is not `Send`.
    here: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T` only, which may be used by other threads if `T` is `Sync`; it is dropped by its owner.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader, without letting another writer in between. Never waits.
    pub fn downgrade(guard: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let lock = guard.lock;
        lock.poison.end(&guard.held);
        std::mem::forget(guard);
        lock.raw.downgrade();
        RwLockReadGuard {
            lock,
            here: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard's existence means that the lock is held for it, and the reference cannot outlive the guard.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed exclusively; no other guard exists.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.end(&self.held);
        self.lock.raw.unlock(Mode::Write);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, formatter)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    #[test]
    fn writers_exclude_readers_and_each_other() {
        const ROUNDS: usize = 3_000;
        let pair = RwLock::new((0, 0));
        std::thread::scope(|scope| {
            for number in 0..4 {
                let pair = &pair;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        if number < 2 {
                            let mut guard = pair.write().unwrap();
                            guard.0 += 1;
                            guard.1 += 1;
                        } else {
                            let guard = pair.read().unwrap();
                            assert_eq!(guard.0, guard.1);
                        }
                    }
                });
            }
        });
        assert_eq!(pair.into_inner().unwrap(), (2 * ROUNDS, 2 * ROUNDS));
    }

    #[test]
    fn a_reader_behind_a_waiting_writer_waits() {
        let lock = RwLock::new(0);
        let guard = lock.read().unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| *lock.write().unwrap() += 1);
            while lock.raw.waiting() == 0 {
                std::thread::yield_now();
            }
            assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
            let reader = scope.spawn(|| *lock.read().unwrap());
            while lock.raw.waiting() < 2 {
                std::thread::yield_now();
            }
            drop(guard);
            assert_eq!(reader.join().unwrap(), 1);
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_writer_that_panics_poisons_and_a_reader_does_not() {
        let mut lock = RwLock::new(1);
        let reader = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.read().unwrap();
            resume_unwind(Box::new(()));
        }));
        assert!(reader.is_err() && !lock.is_poisoned());
        let writer = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = lock.write().unwrap();
            *guard = 2;
            resume_unwind(Box::new(()));
        }));
        assert!(writer.is_err() && lock.is_poisoned());
        assert_eq!(*lock.read().unwrap_err().into_inner(), 2);
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        *lock.get_mut().unwrap() = 3;
        let reader = RwLockWriteGuard::downgrade(lock.write().unwrap());
        assert_eq!((*reader, *lock.read().unwrap()), (3, 3));
        assert_eq!(format!("{lock:?}"), "RwLock { data: 3, poisoned: false, .. }");
    }
}
