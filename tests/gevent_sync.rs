//! gevent's behaviours of events, results and semaphores, by their numbers.

use iora::sync::{
    AsyncResult, Barrier, BoundedSemaphore, Condvar, Event, LazyCell, Mutex, OnceCell, ReentrantMutex, RwLock,
    Semaphore,
};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn g046_event_wait_is_true_even_if_cleared_at_once() {
    for count in [1, 100, 1000] {
        let event = Rc::new(Event::new());
        let waiters: Vec<_> = (0..count)
            .map(|_| {
                let event = event.clone();
                iora::spawn(move || event.wait_timeout(LONG))
            })
            .collect();
        iora::yield_now();
        event.set();
        event.clear();
        for waiter in waiters {
            assert!(waiter.get().unwrap());
        }
        assert!(!event.is_set());
    }
}

#[test]
fn g047_a_wait_that_times_out_is_false_and_an_outer_timeout_goes_through_it() {
    let event = Event::new();
    assert!(!event.wait_timeout(Duration::from_millis(1)));
    iora::timeout(Duration::from_millis(1), || event.wait()).unwrap_err();
    iora::timeout(Duration::from_millis(1), || event.wait_timeout(LONG)).unwrap_err();
}

#[test]
fn g048_who_comes_after_the_clear_waits_for_the_next_set() {
    let event = Rc::new(Event::new());
    let (first, there) = (event.clone(), event.clone());
    let early = iora::spawn(move || {
        first.wait();
        // Woken by the set, running after the clear.
        first.wait_timeout(Duration::ZERO)
    });
    iora::yield_now();
    event.set();
    event.clear();
    let late = iora::spawn(move || there.wait_timeout(Duration::from_millis(1)));
    assert!(!early.get().unwrap());
    assert!(!late.get().unwrap());
}

#[test]
fn g049_waiters_run_in_order_after_a_set() {
    let (event, log) = (Rc::new(Event::new()), Rc::new(RefCell::new(Vec::new())));
    let waiter = |number| {
        let (event, log) = (event.clone(), log.clone());
        iora::spawn(move || {
            event.wait();
            log.borrow_mut().push(number);
        })
    };
    let mut waiters = vec![waiter(1), waiter(2)];
    iora::yield_now();
    event.set();
    waiters.push(waiter(3)); // finds it set, and runs after those that waited
    iora::joinall(&waiters, None);
    assert_eq!(*log.borrow(), [1, 2, 3]);
}

#[test]
fn g051_a_result_is_an_error_or_a_value_and_stays() {
    let result: AsyncResult<Result<u32, &str>> = AsyncResult::new();
    assert_eq!(result.try_get(), None);
    assert_eq!(result.get_timeout(Duration::from_millis(1)), None);
    let there = result.clone();
    let waiter = iora::spawn(move || there.get());
    iora::yield_now();
    result.set_error("broken");
    assert_eq!(waiter.get().unwrap(), Err("broken"));
    assert_eq!(result.get(), Err("broken"));
}

#[test]
fn g053_another_thread_without_a_hub_wakes_a_waiter_here() {
    let (event, result) = (Arc::new(Event::new()), AsyncResult::new());
    let (there, sender) = (event.clone(), result.clone());
    let receiver = result.clone();
    let waiter = iora::spawn(move || receiver.get());
    let thread = std::thread::spawn(move || {
        there.set();
        sender.set(42).unwrap();
    });
    event.wait();
    assert_eq!(waiter.get().unwrap(), 42);
    thread.join().unwrap();
}

#[test]
fn g065_acquire_with_a_timeout_returns_false() {
    let semaphore = Semaphore::new(0);
    assert!(!semaphore.acquire_timeout(Duration::from_millis(1)));
    semaphore.release();
    assert!(semaphore.acquire_timeout(Duration::ZERO));
}

#[test]
fn g066_two_releases_wake_two_waiters_in_order() {
    let (semaphore, log) = (Rc::new(Semaphore::new(0)), Rc::new(RefCell::new(Vec::new())));
    let waiters: Vec<_> = (0..2)
        .map(|number| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            iora::spawn(move || {
                semaphore.acquire();
                log.borrow_mut().push(number);
            })
        })
        .collect();
    iora::yield_now();
    semaphore.release();
    semaphore.release();
    assert!(
        !semaphore.try_acquire(),
        "both permits have owners that have not run yet"
    );
    iora::joinall(&waiters, None);
    assert_eq!(*log.borrow(), [0, 1]);
}

#[test]
fn g067_two_that_keep_a_semaphore_going_do_not_starve_a_third() {
    let (semaphore, over) = (Rc::new(Semaphore::new(1)), Rc::new(Cell::new(false)));
    let keeper = || {
        let (semaphore, over) = (semaphore.clone(), over.clone());
        iora::spawn(move || {
            let mut turns = 0;
            while !over.get() {
                let _permit = semaphore.hold();
                turns += 1;
                iora::yield_now();
            }
            turns
        })
    };
    let keepers = [keeper(), keeper()];
    iora::yield_now();
    let (there, end) = (semaphore.clone(), over.clone());
    let third = iora::spawn(move || {
        there.acquire();
        end.set(true);
        there.release();
    });
    third.get().unwrap();
    for keeper in keepers {
        assert!(keeper.get().unwrap() <= 4, "it was overtaken by many");
    }
    assert_eq!(semaphore.permits(), 1);
}

#[test]
fn g068_a_reentrant_mutex_passes_between_threads_with_and_without_hubs() {
    const ROUNDS: usize = 500;
    let mutex = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let add = |mutex: &ReentrantMutex<Cell<usize>>| {
        for _ in 0..ROUNDS {
            let outer = mutex.lock();
            let inner = mutex.lock();
            inner.set(outer.get() + 1);
        }
    };
    let there = mutex.clone();
    let thread = std::thread::spawn(move || add(&there));
    let there = mutex.clone();
    let greenlet = iora::spawn(move || add(&there));
    greenlet.get().unwrap();
    thread.join().unwrap();
    assert_eq!(mutex.lock().get(), 2 * ROUNDS);
}

#[test]
fn g070_a_bounded_semaphore_is_not_released_too_often() {
    let semaphore = BoundedSemaphore::new(2);
    catch_unwind(AssertUnwindSafe(|| semaphore.release())).unwrap_err();
    semaphore.acquire();
    let held = semaphore.hold();
    semaphore.release();
    drop(held);
    catch_unwind(AssertUnwindSafe(|| semaphore.release())).unwrap_err();
    assert_eq!(semaphore.permits(), 2);
    catch_unwind(|| BoundedSemaphore::new(0).release()).unwrap_err();
    Semaphore::new(0).release(); // a plain one has no bound
}

#[test]
fn g070_a_reentrant_mutex_belongs_to_a_greenlet_and_not_to_its_thread() {
    let mutex = Rc::new(ReentrantMutex::new(Cell::new(0)));
    let (outer, inner) = (mutex.lock(), mutex.lock());
    let there = mutex.clone();
    let other = iora::spawn(move || {
        let busy = there.try_lock().is_none();
        there.lock().set(1);
        busy
    });
    iora::yield_now();
    drop(outer);
    iora::yield_now();
    assert_eq!((other.ready(), inner.get()), (false, 0));
    drop(inner);
    assert!(other.get().unwrap());
    assert_eq!(mutex.lock().get(), 1);
}

#[test]
fn a_killed_writer_lets_the_readers_behind_it_in() {
    let lock = Rc::new(RwLock::new(7));
    let held = lock.read().unwrap();
    let (writing, reading) = (lock.clone(), lock.clone());
    let writer = iora::spawn(move || *writing.write().unwrap() = 8);
    iora::yield_now();
    let reader = iora::spawn(move || *reading.read().unwrap());
    iora::yield_now();
    assert!(!reader.ready());
    writer.kill();
    assert_eq!(reader.get().unwrap(), 7);
    drop(held);
    assert!(lock.try_write().is_ok());
}

#[test]
fn a_writer_that_is_killed_with_the_lock_granted_passes_it_on() {
    let lock = Rc::new(RwLock::new(0));
    let held = lock.write().unwrap();
    let writer = || {
        let lock = lock.clone();
        iora::spawn(move || *lock.write().unwrap() += 1)
    };
    let (killed, heir) = (writer(), writer());
    iora::yield_now();
    drop(held); // granted to the first one
    assert!(lock.try_read().is_err());
    killed.kill();
    heir.get().unwrap();
    assert_eq!(*lock.read().unwrap(), 1);
}

#[test]
fn a_killed_one_leaves_the_barrier() {
    let barrier = Rc::new(Barrier::new(2));
    let comer = || {
        let barrier = barrier.clone();
        iora::spawn(move || barrier.wait().is_leader())
    };
    let killed = comer();
    iora::yield_now();
    killed.kill();
    let stays = comer();
    iora::yield_now();
    assert!(!stays.ready(), "it is alone");
    iora::timeout(Duration::from_millis(1), || Barrier::new(2).wait()).unwrap_err();
    assert!(barrier.wait().is_leader());
    assert!(!stays.get().unwrap());
}

#[test]
fn an_initialiser_may_park_and_a_killed_one_lets_the_next_one_try() {
    let (cell, made) = (Rc::new(OnceCell::new()), Rc::new(Cell::new(0)));
    let maker = || {
        let (cell, made) = (cell.clone(), made.clone());
        iora::spawn(move || {
            *cell.get_or_init(|| {
                iora::sleep(Duration::from_millis(1));
                made.set(made.get() + 1);
                made.get()
            })
        })
    };
    let (killed, heir, other) = (maker(), maker(), maker());
    let there = cell.clone();
    let watcher = iora::spawn(move || *there.wait());
    iora::yield_now();
    killed.kill();
    assert_eq!(
        (heir.get().unwrap(), other.get().unwrap(), watcher.get().unwrap()),
        (1, 1, 1)
    );
    assert_eq!(made.get(), 1);

    static LAZY: LazyCell<u32> = LazyCell::new(|| {
        iora::yield_now();
        7
    });
    let both = [iora::spawn(|| *LAZY), iora::spawn(|| *LAZY)];
    assert!(both.into_iter().all(|one| one.get().unwrap() == 7));
}

#[test]
fn g068_a_semaphore_passes_between_threads_with_and_without_hubs() {
    const ROUNDS: usize = 2_000;
    let (ping, pong) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (there_ping, there_pong) = (ping.clone(), pong.clone());
    let thread = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            there_ping.acquire();
            there_pong.release();
        }
    });
    let greenlet = iora::spawn(move || {
        for _ in 0..ROUNDS {
            ping.release();
            pong.acquire();
        }
    });
    greenlet.get().unwrap();
    thread.join().unwrap();
}

#[test]
fn a_killed_waiter_loses_no_permit() {
    let semaphore = Rc::new(Semaphore::new(0));
    let waiter = |semaphore: &Rc<Semaphore>| {
        let semaphore = semaphore.clone();
        iora::spawn(move || semaphore.acquire())
    };
    let (killed, heir) = (waiter(&semaphore), waiter(&semaphore));
    iora::yield_now();
    semaphore.release(); // belongs to the first one
    killed.kill();
    heir.get().unwrap();
    let last = waiter(&semaphore);
    iora::yield_now();
    last.kill(); // was in line with nothing
    semaphore.release();
    assert_eq!(semaphore.permits(), 1);
}

#[test]
fn a_killed_waiter_passes_the_lock_on() {
    let mutex = Rc::new(Mutex::new(0));
    let held = mutex.lock().unwrap();
    let waiter = |mutex: &Rc<Mutex<i32>>| {
        let mutex = mutex.clone();
        iora::spawn(move || *mutex.lock().unwrap() += 1)
    };
    let (killed, heir) = (waiter(&mutex), waiter(&mutex));
    iora::yield_now();
    drop(held); // wakes the first one to try
    killed.kill();
    heir.get().unwrap();
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn a_kill_under_the_guard_poisons_and_unlocks() {
    let mutex = Rc::new(Mutex::new(0));
    let there = mutex.clone();
    let holder = iora::spawn(move || {
        let _guard = there.lock().unwrap();
        iora::sleep(LONG);
    });
    iora::yield_now();
    assert!(mutex.try_lock().is_err());
    holder.kill();
    assert!(mutex.is_poisoned());
    assert_eq!(*mutex.lock().unwrap_err().into_inner(), 0);
}

#[test]
fn a_killed_waiter_of_a_condition_passes_the_notification_on() {
    let pair = Rc::new((Mutex::new(()), Condvar::new()));
    let waiter = |pair: &Rc<(Mutex<()>, Condvar)>| {
        let pair = pair.clone();
        iora::spawn(move || drop(pair.1.wait(pair.0.lock().unwrap()).unwrap()))
    };
    let (killed, heir) = (waiter(&pair), waiter(&pair));
    iora::yield_now();
    pair.1.notify_one();
    killed.kill();
    heir.get().unwrap();
}

#[test]
fn greenlets_of_two_threads_and_a_plain_thread_exclude_each_other() {
    const EACH: usize = 500;
    let total = Arc::new(Mutex::new(0_usize));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let total = total.clone();
            std::thread::spawn(move || {
                let jobs: Vec<_> = (0..4)
                    .map(|_| {
                        let total = total.clone();
                        iora::spawn(move || {
                            for _ in 0..EACH {
                                let mut guard = total.lock().unwrap();
                                let seen = *guard;
                                iora::yield_now(); // the holder gives up its thread, not the lock
                                *guard = seen + 1;
                            }
                        })
                    })
                    .collect();
                iora::joinall(&jobs, None);
            })
        })
        .collect();
    (0..EACH).for_each(|_| *total.lock().unwrap() += 1);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*total.lock().unwrap(), 9 * EACH);
}
