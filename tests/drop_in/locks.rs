//! Locks, and what else waits for others.
#![expect(deprecated, reason = "what std has, it has")]

use std::fmt::{Debug, Display};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::beside;
use super::sync::{
    Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
    RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult, WaitTimeoutResult,
};
use crate::{methods, traits};

/// Something to protect.
type Text = String;
type Guard<'a> = MutexGuard<'a, Text>;

methods! {
    Mutex::<Text>::new: fn(Text) -> Mutex<Text>;
    Mutex::<Text>::lock: fn(&Mutex<Text>) -> LockResult<Guard<'_>>;
    Mutex::<Text>::try_lock: fn(&Mutex<Text>) -> TryLockResult<Guard<'_>>;
    Mutex::<Text>::is_poisoned: fn(&Mutex<Text>) -> bool;
    Mutex::<Text>::clear_poison: fn(&Mutex<Text>);
    Mutex::<Text>::into_inner: fn(Mutex<Text>) -> LockResult<Text>;
    Mutex::<Text>::get_mut: fn(&mut Mutex<Text>) -> LockResult<&mut Text>;

    RwLock::<Text>::new: fn(Text) -> RwLock<Text>;
    RwLock::<Text>::read: fn(&RwLock<Text>) -> LockResult<RwLockReadGuard<'_, Text>>;
    RwLock::<Text>::try_read: fn(&RwLock<Text>) -> TryLockResult<RwLockReadGuard<'_, Text>>;
    RwLock::<Text>::write: fn(&RwLock<Text>) -> LockResult<RwLockWriteGuard<'_, Text>>;
    RwLock::<Text>::try_write: fn(&RwLock<Text>) -> TryLockResult<RwLockWriteGuard<'_, Text>>;
    RwLock::<Text>::is_poisoned: fn(&RwLock<Text>) -> bool;
    RwLock::<Text>::clear_poison: fn(&RwLock<Text>);
    RwLock::<Text>::into_inner: fn(RwLock<Text>) -> LockResult<Text>;
    RwLock::<Text>::get_mut: fn(&mut RwLock<Text>) -> LockResult<&mut Text>;
    RwLockWriteGuard::<Text>::downgrade: fn(RwLockWriteGuard<'static, Text>) -> RwLockReadGuard<'static, Text>;

    Condvar::new: fn() -> Condvar;
    Condvar::wait: for<'a> fn(&Condvar, Guard<'a>) -> LockResult<Guard<'a>>;
    Condvar::wait_while::<Text, fn(&mut Text) -> bool>:
        for<'a> fn(&Condvar, Guard<'a>, fn(&mut Text) -> bool) -> LockResult<Guard<'a>>;
    Condvar::wait_timeout:
        for<'a> fn(&Condvar, Guard<'a>, Duration) -> LockResult<(Guard<'a>, WaitTimeoutResult)>;
    Condvar::wait_timeout_ms: for<'a> fn(&Condvar, Guard<'a>, u32) -> LockResult<(Guard<'a>, bool)>;
    Condvar::wait_timeout_while::<Text, fn(&mut Text) -> bool>:
        for<'a> fn(&Condvar, Guard<'a>, Duration, fn(&mut Text) -> bool) -> LockResult<(Guard<'a>, WaitTimeoutResult)>;
    Condvar::notify_one: fn(&Condvar);
    Condvar::notify_all: fn(&Condvar);
    WaitTimeoutResult::timed_out: fn(&WaitTimeoutResult) -> bool;

    Barrier::new: fn(usize) -> Barrier;
    Barrier::wait: fn(&Barrier) -> BarrierWaitResult;
    BarrierWaitResult::is_leader: fn(&BarrierWaitResult) -> bool;

    OnceLock::<Text>::new: fn() -> OnceLock<Text>;
    OnceLock::<Text>::get: fn(&OnceLock<Text>) -> Option<&Text>;
    OnceLock::<Text>::get_mut: fn(&mut OnceLock<Text>) -> Option<&mut Text>;
    OnceLock::<Text>::get_or_init::<fn() -> Text>: fn(&OnceLock<Text>, fn() -> Text) -> &Text;
    OnceLock::<Text>::wait: fn(&OnceLock<Text>) -> &Text;
    OnceLock::<Text>::set: fn(&OnceLock<Text>, Text) -> Result<(), Text>;
    OnceLock::<Text>::into_inner: fn(OnceLock<Text>) -> Option<Text>;
    OnceLock::<Text>::take: fn(&mut OnceLock<Text>) -> Option<Text>;

    LazyLock::<Text>::new: fn(fn() -> Text) -> LazyLock<Text>;
    LazyLock::<Text>::force: fn(&LazyLock<Text>) -> &Text;
    LazyLock::<Text>::force_mut: fn(&mut LazyLock<Text>) -> &mut Text;
    LazyLock::<Text>::get: fn(&LazyLock<Text>) -> Option<&Text>;
    LazyLock::<Text>::get_mut: fn(&mut LazyLock<Text>) -> Option<&mut Text>;
}

traits! {
    Mutex<Text>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Debug, Default, From<Text>;
    Mutex<std::cell::Cell<u8>>: Send, Sync, UnwindSafe, RefUnwindSafe;
    Mutex<dyn Debug + Send>: Send, Sync, UnwindSafe, RefUnwindSafe, Debug;
    Guard<'static>: Deref<Target = Text>, DerefMut, Debug, Display, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    RwLock<Text>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Debug, Default, From<Text>;
    RwLock<dyn Debug + Send + Sync>: Send, Sync, UnwindSafe, RefUnwindSafe, Debug;
    RwLockReadGuard<'static, Text>: Deref<Target = Text>, Debug, Display, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    RwLockWriteGuard<'static, Text>:
        Deref<Target = Text>, DerefMut, Debug, Display, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    Condvar: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Debug, Default;
    WaitTimeoutResult: Send, Sync, Debug, Clone, Copy, PartialEq, Eq;
    Barrier: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Debug;
    BarrierWaitResult: Send, Sync, Debug;
    OnceLock<Text>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Debug, Default, Clone, PartialEq, Eq, From<Text>;
    LazyLock<Text>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Debug, Default, Deref<Target = Text>, DerefMut;
}

static COUNT: Mutex<u32> = Mutex::new(0);
static TABLE: RwLock<Vec<u32>> = RwLock::new(Vec::new());
static CHANGED: Condvar = Condvar::new();
static GATE: Barrier = Barrier::new(3);
static NAME: OnceLock<String> = OnceLock::new();
static LAZY: LazyLock<String> = LazyLock::new(|| String::from("made"));

#[test]
fn statics_are_shared() {
    let all: Vec<_> = (0..3)
        .map(|number| {
            beside(move || {
                *COUNT.lock().unwrap() += 1;
                TABLE.write().unwrap().push(number);
                CHANGED.notify_all();
                assert_eq!(NAME.get_or_init(|| format!("by {number}")), NAME.wait());
                assert_eq!(LAZY.len(), 4);
                GATE.wait().is_leader()
            })
        })
        .collect();
    assert_eq!(all.into_iter().filter_map(|wait| wait().then_some(())).count(), 1);
    let count = CHANGED.wait_while(COUNT.lock().unwrap(), |count| *count < 3).unwrap();
    assert_eq!(*count, 3);
    let mut numbers = TABLE.read().unwrap().clone();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn a_panic_poisons_until_it_is_cleared() {
    let lock = Mutex::new(1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = lock.lock().unwrap();
        *guard = 2;
        panic!("while it is held");
    }));
    assert!(panicked.is_err() && lock.is_poisoned());
    assert!(matches!(lock.try_lock(), Err(TryLockError::Poisoned(_))));
    assert_eq!(format!("{lock:?}"), "Mutex { data: 2, poisoned: true, .. }");
    assert_eq!(*lock.lock().unwrap_or_else(PoisonError::into_inner), 2);
    lock.clear_poison();
    assert!(!lock.is_poisoned() && lock.lock().is_ok());

    let lock = RwLock::new(1);
    let read = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.read().unwrap();
        panic!("while it is read");
    }));
    assert!(read.is_err() && !lock.is_poisoned());
    let written = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.write().unwrap();
        panic!("while it is written");
    }));
    assert!(written.is_err() && lock.is_poisoned());
    assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
    assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
    lock.clear_poison();
    assert_eq!(lock.into_inner().unwrap(), 1);
}

#[test]
fn what_is_held_would_block() {
    let mut lock = Mutex::from(1);
    let guard = lock.lock().unwrap();
    assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    assert!(format!("{lock:?}").contains("<locked>"));
    assert_eq!(format!("{guard:?} {guard}"), "1 1");
    drop(guard);
    *lock.get_mut().unwrap() += 1;
    assert_eq!(lock.into_inner().unwrap(), 2);

    let lock = RwLock::from(1);
    let (one, two) = (lock.read().unwrap(), lock.try_read().unwrap());
    assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
    drop((one, two));
    let guard = lock.write().unwrap();
    assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
    assert!(format!("{lock:?}").contains("<locked>"));
    let guard = RwLockWriteGuard::downgrade(guard);
    assert_eq!(*lock.try_read().unwrap(), *guard);
}

#[test]
fn who_waits_is_notified_or_timed_out() {
    let pair = Arc::new((Mutex::new(0), Condvar::new()));
    let there = Arc::clone(&pair);
    let other = beside(move || {
        let mut guard = there.0.lock().unwrap();
        while *guard == 0 {
            guard = there.1.wait(guard).unwrap();
        }
        *guard += 1;
        there.1.notify_one();
    });
    let (lock, changed) = &*pair;
    *lock.lock().unwrap() = 1;
    changed.notify_one();
    let long = Duration::from_secs(600);
    let (guard, result) = changed
        .wait_timeout_while(lock.lock().unwrap(), long, |value| *value < 2)
        .unwrap();
    assert!(*guard == 2 && !result.timed_out());
    drop(guard);
    other();
    let (begun, short) = (Instant::now(), Duration::from_millis(20));
    // It may wake before its time: then it waits for the rest.
    let (mut guard, result) = changed
        .wait_timeout_while(lock.lock().unwrap(), short, |_| true)
        .unwrap();
    assert!(result.timed_out() && begun.elapsed() >= short);
    let (there, at_last) = (Arc::clone(&pair), 3);
    let other = beside(move || {
        *there.0.lock().unwrap() = at_last;
        there.1.notify_one();
    });
    while *guard != at_last {
        let (locked, in_time) = changed.wait_timeout_ms(guard, 600_000).unwrap();
        assert!(in_time);
        guard = locked;
    }
    other();
    while let (locked, true) = changed.wait_timeout_ms(guard, 1).unwrap() {
        guard = locked;
    }
}

#[test]
fn what_is_set_once_stays() {
    let mut cell = OnceLock::new();
    assert!(cell.get().is_none() && cell.get_mut().is_none());
    assert_eq!(cell.set(1), Ok(()));
    assert_eq!(cell.set(2), Err(2));
    assert_eq!((cell.wait(), cell.get_or_init(|| 3)), (&1, &1));
    assert_eq!(cell, OnceLock::from(1));
    assert_ne!(cell, OnceLock::new());
    assert_eq!(cell.clone().into_inner(), Some(1));
    *cell.get_mut().unwrap() = 4;
    assert_eq!((cell.take(), cell.take()), (Some(4), None));

    let mut lazy: LazyLock<u8> = LazyLock::new(|| 5);
    assert!(LazyLock::get(&lazy).is_none() && LazyLock::get_mut(&mut lazy).is_none());
    *lazy += 1;
    assert_eq!((*lazy, LazyLock::get(&lazy)), (6, Some(&6)));
    *LazyLock::force_mut(&mut lazy) += 1;
    assert_eq!(LazyLock::get_mut(&mut lazy), Some(&mut 7));
    assert_eq!(*LazyLock::force(&LazyLock::<u8>::default()), 0);
}
