//! The lock with what it protects: std's interface over [`RawMutex`].
#![expect(unsafe_code, reason = "the lock is what makes access to the cell exclusive")]

use super::poison::{self, Held, Poison};
use super::raw_mutex::RawMutex;
use crate::hub::park;
use crate::primitive::const_unless_loom;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

/// A mutual exclusion lock: [`std::sync::Mutex`] for greenlets, and for threads too.
///
/// A greenlet may park while it holds the guard. An unlock wakes whoever has waited longest; a thread that is running
/// already may lock in between, but a waiter that lost that way once is given the lock by the next unlock.
///
/// ```
/// use iora::sync::Mutex;
///
/// static TOTAL: Mutex<u32> = Mutex::new(0);
/// *TOTAL.lock().unwrap() += 3;
/// assert_eq!(*TOTAL.lock().unwrap(), 3);
/// ```
// In this order: the word of the lock, which is its last field, shares a cache line with the value.
#[repr(C)]
pub struct Mutex<T: ?Sized> {
    /// Who may touch `value`.
    raw: RawMutex,
    /// A guard was dropped by a panic or a kill.
    poison: Poison,
    /// What the lock protects.
    value: UnsafeCell<T>,
}

// SAFETY: with the mutex goes its value, which may change thread.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: a shared mutex gives its value to one thread at a time (`raw`), so the value changes thread but is never shared.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// As std's: a value that a panic left half changed is marked by the poison.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    const_unless_loom! {
        /// An unlocked mutex.
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawMutex::new(), poison: Poison::new(), value: UnsafeCell::new(value) }
        }
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the error holds the value.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.is_poisoned();
        poison::judge(poisoned, self.value.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, and unlocks when the guard is dropped.
    ///
    /// Parks the greenlet until the lock is its own. While it is unwinding it blocks the thread instead, if another thread holds the
    /// lock.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned: a greenlet or thread panicked or was killed while it held the guard. The error holds the guard.
    ///
    /// # Panics
    ///
    /// If it would have to wait for a greenlet of its own thread while its greenlet is unwinding.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        park::spend();
        self.raw.lock();
        self.guard()
    }

    /// Locks if the mutex is free. Never waits.
    ///
    /// # Errors
    ///
    /// If it is locked, or if it is poisoned.
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.try_lock() {
            Ok(self.guard()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Whether a guard was dropped by a panic or a kill.
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
    /// If the mutex is poisoned; the error holds the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.judge(self.value.get_mut())
    }

    /// The guard of a lock that has just been taken.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard {
            mutex: self,
            held: Held::begin(),
            here: PhantomData,
        };
        self.poison.judge(guard)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => fields.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => fields.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => fields.field("data", &format_args!("<locked>")),
        };
        fields.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

/// Access to what a [`Mutex`] protects; unlocks when dropped.
#[must_use = "a guard that is not kept unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    /// What is locked.
    mutex: &'a Mutex<T>,
    /// Since when it is held.
    held: Held,
    /// The thread that locked must unlock: a guard is not `Send`.
    here: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T` only, which may be used by other threads if `T` is `Sync`; it is dropped by its owner.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// What is locked.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard's existence means that the lock is held for it, and the reference cannot outlive the guard.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.end(&self.held);
        self.mutex.raw.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, formatter)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn excludes() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 20_000;
        let total = Mutex::new(0_usize);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..ROUNDS).for_each(|_| *total.lock().unwrap() += 1));
            }
        });
        assert_eq!(total.into_inner().unwrap(), THREADS * ROUNDS);
    }

    #[test]
    fn a_waiter_gets_the_lock_of_a_holder_that_keeps_it_long() {
        let mutex = Arc::new(Mutex::new(1));
        let held = mutex.lock().unwrap();
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked>, poisoned: false, .. }");
        let there = mutex.clone();
        let waiter = thread::spawn(move || *there.lock().unwrap());
        while !mutex.raw.is_waited_for() {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(waiter.join().unwrap(), 1);
        assert!(mutex.try_lock().is_ok());
    }

    #[test]
    fn a_panic_under_the_guard_poisons() {
        let mut mutex = Mutex::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock().unwrap();
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert!(mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap_err().into_inner(), 1);
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        mutex.clear_poison();
        *mutex.get_mut().unwrap() = 2;
        assert_eq!(*mutex.lock().unwrap(), 2);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_mutex_excludes() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mutex = Arc::new(Mutex::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let mutex = mutex.clone();
                    loom::thread::spawn(move || *mutex.lock().unwrap() += 1)
                })
                .collect();
            *mutex.lock().unwrap() += 1;
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(*mutex.lock().unwrap(), 3);
        });
    }

    #[test]
    fn loom_mutex_is_passed_on_by_who_is_unwound_in_line() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mutex = Arc::new(Mutex::new(()));
            let (there, killed) = (mutex.clone(), mutex.clone());
            let waiter = loom::thread::spawn(move || drop(there.lock().unwrap()));
            let killed = loom::thread::spawn(move || killed.raw.wait_and_be_unwound());
            drop(mutex.lock().unwrap());
            waiter.join().unwrap();
            killed.join().unwrap();
            assert!(mutex.try_lock().is_ok());
        });
    }
}
