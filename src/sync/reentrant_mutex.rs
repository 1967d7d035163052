//! A lock that its owner may take again.
//!
//! The owner is the greenlet (or the thread's own stack), not the thread: two greenlets of one thread exclude each other.
//!
//! 1. `owner` holds the owner's number while the raw lock is held, and 0 otherwise. Only the owner writes its own number there,
//!    and numbers are never used again. So whoever reads its own number there is the owner, however late it reads.
//! 2. `depth` is touched by the owner alone.
#![expect(unsafe_code, reason = "the lock is what lets a value be shared that is not `Sync`")]

use super::raw_mutex::RawMutex;
use crate::hub::park;
use crate::primitive::{
    atomic::{AtomicU32, AtomicU64, Ordering},
    const_unless_loom,
};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// A mutual exclusion lock that a greenlet that holds it may take again.
///
/// Its guards give shared access only, since there may be several: for a value that changes, put a `Cell` or `RefCell` inside.
/// There is no poisoning, for the same reason. A guard cannot leave its thread, so nobody can unlock what it does not hold.
///
/// ```
/// use iora::sync::ReentrantMutex;
/// use std::cell::RefCell;
///
/// static LOG: ReentrantMutex<RefCell<Vec<&str>>> = ReentrantMutex::new(RefCell::new(Vec::new()));
///
/// fn log(line: &'static str) {
///     LOG.lock().borrow_mut().push(line);
/// }
///
/// let whole = LOG.lock(); // nobody else's lines in between
/// log("one");
/// log("two");
/// assert_eq!(*whole.borrow(), ["one", "two"]);
/// ```
pub struct ReentrantMutex<T: ?Sized> {
    /// Held while anybody holds a guard.
    raw: RawMutex,
    /// See invariant 1.
    owner: AtomicU64,
    /// How many guards the owner holds.
    depth: AtomicU32,
    /// What the lock protects.
    value: T,
}

// SAFETY: a shared mutex gives out `&T` on one thread at a time: guards are not `Send`, and all guards that exist belong to
// one owner, which never changes thread (invariant 1). So the value may change thread but is never shared.
unsafe impl<T: ?Sized + Send> Sync for ReentrantMutex<T> {}

impl<T> ReentrantMutex<T> {
    const_unless_loom! {
        /// An unlocked mutex.
        pub const fn new(value: T) -> ReentrantMutex<T> {
            ReentrantMutex { raw: RawMutex::new(), owner: AtomicU64::new(0), depth: AtomicU32::new(0), value }
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Locks, and unlocks when the last guard of the caller is dropped.
    ///
    /// Parks the greenlet until the lock is its own; returns at once if it is already. While it is unwinding it blocks the thread
    /// instead, if another thread holds the lock.
    ///
    /// # Panics
    ///
    /// If it would have to wait for a greenlet of its own thread while its greenlet is unwinding; if it holds `u32::MAX` guards.
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        park::spend();
        let caller = park::current_id();
        if !self.again(caller) {
            self.raw.lock();
            self.begin(caller);
        }
        self.guard()
    }

    /// Locks if the mutex is free or the caller's. Never waits.
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        let caller = park::current_id();
        if !self.again(caller) {
            if !self.raw.try_lock() {
                return None;
            }
            self.begin(caller);
        }
        Some(self.guard())
    }

    /// The value, for its only owner: nothing has to be locked.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// Takes the lock once more if `caller` has it.
    fn again(&self, caller: u64) -> bool {
        let owns = self.owner.load(Ordering::Relaxed) == caller;
        if owns {
            let depth = self.depth.load(Ordering::Relaxed);
            self.depth
                .store(depth.checked_add(1).expect("fewer guards than that"), Ordering::Relaxed);
        }
        owns
    }

    /// The raw lock has just been taken by `caller`.
    fn begin(&self, caller: u64) {
        self.owner.store(caller, Ordering::Relaxed);
        self.depth.store(1, Ordering::Relaxed);
    }

    /// The guard of a lock that has just been taken.
    fn guard(&self) -> ReentrantMutexGuard<'_, T> {
        ReentrantMutexGuard {
            mutex: self,
            here: PhantomData,
        }
    }
}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> ReentrantMutex<T> {
        ReentrantMutex::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> ReentrantMutex<T> {
        ReentrantMutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("ReentrantMutex");
        match self.try_lock() {
            Some(guard) => fields.field("data", &&*guard),
            None => fields.field("data", &format_args!("<locked>")),
        };
        fields.finish_non_exhaustive()
    }
}

/// Shared access to what a [`ReentrantMutex`] protects; the last one of its owner unlocks when dropped.
///
/// ```compile_fail
/// fn send<T: Send>(_: T) {}
/// send(iora::sync::ReentrantMutex::new(0).lock()); // whoever locked has to unlock
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    /// What is locked.
    mutex: &'a ReentrantMutex<T>,
    /// The thread that locked must unlock: a guard is not `Send`.
    here: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T` only, which may be used by other threads if `T` is `Sync`; it is dropped by its owner.
unsafe impl<T: ?Sized + Sync> Sync for ReentrantMutexGuard<'_, T> {}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.mutex.value
    }
}

impl<T: ?Sized> Drop for ReentrantMutexGuard<'_, T> {
    fn drop(&mut self) {
        let left = self.mutex.depth.load(Ordering::Relaxed) - 1;
        self.mutex.depth.store(left, Ordering::Relaxed);
        if left == 0 {
            self.mutex.owner.store(0, Ordering::Relaxed);
            self.mutex.raw.unlock();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, formatter)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn its_owner_locks_again_and_others_wait_for_the_last_guard() {
        let mutex = ReentrantMutex::new(Cell::new(0));
        let (first, second) = (mutex.lock(), mutex.try_lock().unwrap());
        let free = || std::thread::scope(|scope| scope.spawn(|| mutex.try_lock().is_some()).join().unwrap());
        assert!(!free());
        drop(first);
        assert!(!free());
        second.set(1);
        drop(second);
        assert!(free());
        assert_eq!(mutex.into_inner().get(), 1);
    }

    #[test]
    fn threads_exclude_each_other() {
        const ROUNDS: usize = 5_000;
        let total = ReentrantMutex::new(Cell::new(0));
        let add = || {
            let guard = total.lock();
            let again = total.lock();
            guard.set(again.get() + 1);
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..ROUNDS).for_each(|_| add()));
            }
        });
        assert_eq!(total.lock().get(), 3 * ROUNDS);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;
    use std::cell::Cell;

    #[test]
    fn loom_reentrant_mutex_excludes() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mutex = Arc::new(ReentrantMutex::new(Cell::new(0)));
            let there = mutex.clone();
            let add = |mutex: &ReentrantMutex<Cell<u32>>| {
                let guard = mutex.lock();
                let again = mutex.lock();
                guard.set(again.get() + 1);
            };
            let other = loom::thread::spawn(move || add(&there));
            add(&mutex);
            other.join().unwrap();
            assert_eq!(mutex.lock().get(), 2);
        });
    }
}
