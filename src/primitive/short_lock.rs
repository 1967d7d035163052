//! A lock for sections of a few instructions that are never left halfway: a word that is spun on.
//!
//! Against std's mutex it saves the second exchange: unlocking is one plain store, because nobody sleeps in the kernel
//! waiting for it. That halves its cost where nobody contends, and every put, get and wake takes it two or three times.
//! What it costs in return: a thread that is descheduled inside a section makes the others give up their time slices
//! until it runs again. So the sections must not wait, allocate much, or call foreign code, and the holder never parks.
#![expect(unsafe_code, reason = "the lock is what makes access to the cell exclusive")]

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest pause between two looks at the word; after that the thread gives up its time slice.
const LONGEST: u32 = 64;

/// A value and the lock that protects it.
pub(crate) struct ShortLock<T> {
    /// Whether somebody is inside.
    locked: AtomicBool,
    /// What the lock protects.
    value: UnsafeCell<T>,
}

// SAFETY: a shared lock gives its value to one thread at a time (`locked`), so the value changes thread but is never shared.
unsafe impl<T: Send> Sync for ShortLock<T> {}

// As std's mutex, but for another reason: a section is never unwound halfway.
impl<T> UnwindSafe for ShortLock<T> {}
impl<T> RefUnwindSafe for ShortLock<T> {}

impl<T> ShortLock<T> {
    /// Unlocked.
    pub(crate) const fn new(value: T) -> ShortLock<T> {
        ShortLock {
            locked: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits, without switching, until nobody is inside.
    #[inline]
    pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
        if self
            .locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slow();
        }
        ShortGuard {
            lock: self,
            here: PhantomData,
        }
    }

    /// Enters if nobody is inside: for signal handlers, which may have interrupted the one who is.
    #[cfg(feature = "monkey")]
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<ShortGuard<'_, T>> {
        let entered = self
            .locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        entered.then(|| ShortGuard {
            lock: self,
            here: PhantomData,
        })
    }

    /// [`ShortLock::lock`] when somebody is inside.
    #[cold]
    fn lock_slow(&self) {
        // Ever more rarely: each look takes the word, and what lies beside it, away from the one inside.
        let mut pause = 1;
        while self.locked.load(Ordering::Relaxed) || self.locked.swap(true, Ordering::Acquire) {
            if pause <= LONGEST {
                (0..pause).for_each(|_| std::hint::spin_loop());
                pause *= 2;
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// Access to what a [`ShortLock`] protects.
pub(crate) struct ShortGuard<'a, T> {
    /// What is locked.
    lock: &'a ShortLock<T>,
    /// Sections are short: they do not change thread.
    here: PhantomData<*const ()>,
}

impl<T> Deref for ShortGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while `locked` is set for it, and the reference cannot outlive the guard.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for ShortGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for ShortGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.locked.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_more_threads_than_there_are_processors() {
        const THREADS: usize = 8;
        const ROUNDS: usize = 5_000;
        let total = ShortLock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..ROUNDS).for_each(|_| *total.lock() += 1));
            }
        });
        assert_eq!(*total.lock(), THREADS * ROUNDS);
    }
}
