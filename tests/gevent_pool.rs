//! gevent's behaviours of groups and pools, by their numbers, and promises of them that have none.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use iora::pool::{Group, Pool, SpawnError};
use iora::sync::Event;
use iora::{Ending, Exit, Greenlet};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// A greenlet that waits for the event.
fn waiter(event: &Rc<Event>) -> impl FnOnce() + 'static {
    let event = event.clone();
    move || event.wait()
}

#[test]
fn g071_spawn_waits_while_the_pool_is_full() {
    let (pool, event) = (Pool::new(1), Rc::new(Event::new()));
    let first = pool.spawn(waiter(&event));
    assert!(matches!(pool.try_spawn(|| 2), Err(SpawnError::PoolFull(_))));
    let start = Instant::now();
    let full = pool.spawn_timeout(SHORT, || "comes back").unwrap_err();
    assert!(start.elapsed() >= SHORT);
    assert_eq!(full.to_string(), "the pool is full");
    assert_eq!(full.into_inner()(), "comes back");
    let stranger = iora::spawn(waiter(&event));
    assert!(!pool.try_add(&stranger));
    assert!(!pool.add_timeout(SHORT, &stranger));
    assert!(!pool.contains(&stranger));
    let spawned = Rc::new(Cell::new(false));
    let blocked = iora::spawn({
        let (pool, spawned) = (pool.clone(), spawned.clone());
        move || {
            let job = pool.spawn(|| 7);
            spawned.set(true);
            job.get().unwrap()
        }
    });
    iora::yield_now();
    assert!(!spawned.get(), "the pool is full");
    event.set();
    assert_eq!(blocked.get().unwrap(), 7);
    assert!(first.ready());
    stranger.join();
}

#[test]
fn g072_discard_frees_a_place() {
    let (pool, event) = (Pool::new(2), Rc::new(Event::new()));
    assert_eq!((pool.size(), pool.free_count(), pool.wait_available(None)), (2, 2, 2));
    let jobs = [pool.spawn(waiter(&event)), pool.spawn(waiter(&event))];
    assert_eq!((pool.free_count(), pool.len()), (0, 2));
    assert_eq!(pool.wait_available(SHORT), 0);
    assert!(pool.discard(&jobs[0]));
    assert!(!pool.discard(&jobs[0]), "it is no member any more");
    assert_eq!((pool.free_count(), pool.len()), (1, 1));
    let third = pool.try_spawn(|| 3).unwrap();
    event.set();
    assert_eq!(third.get().unwrap(), 3);
    iora::joinall(&jobs, None);
    pool.join();
    assert_eq!(pool.free_count(), 2, "the discarded one gives no place back twice");
    assert_eq!(Pool::new(0).wait_available(SHORT), 0);
}

#[test]
fn g072_a_place_that_comes_free_ends_the_wait_for_one() {
    let (pool, event) = (Pool::new(1), Rc::new(Event::new()));
    drop(pool.spawn(waiter(&event)));
    let watcher = iora::spawn({
        let pool = pool.clone();
        move || pool.wait_available(None)
    });
    iora::yield_now();
    event.set();
    assert_eq!(watcher.get().unwrap(), 1);
    assert_eq!(pool.free_count(), 1, "it was not taken");
}

#[test]
fn g073_apply_from_inside_runs_in_place() {
    let pool = Pool::new(1);
    let inside = pool.clone();
    let nested = pool.apply(move || {
        let outer = iora::current().unwrap().id();
        inside
            .apply(move || (iora::current().unwrap().id() == outer, 42))
            .unwrap()
    });
    assert_eq!(nested.unwrap(), (true, 42));
    let inside = pool.clone();
    let failed = pool.apply(move || inside.apply(|| -> u32 { panic!("inside") }).unwrap_err());
    assert_eq!(failed.unwrap().panic_message(), Some("inside"));
    assert!(matches!(pool.apply(|| panic!("worker")), Err(Exit::Panicked(_))));
}

#[test]
fn g073_apply_async_never_waits() {
    let (pool, event) = (Pool::new(1), Rc::new(Event::new()));
    let (most, now) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let jobs: Vec<Greenlet<usize>> = (0..10)
        .map(|number| {
            let (event, most, now) = (event.clone(), most.clone(), now.clone());
            pool.apply_async(move || {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                event.wait();
                iora::yield_now();
                now.set(now.get() - 1);
                number
            })
        })
        .collect();
    assert_eq!((pool.len(), pool.free_count()), (10, 0));
    event.set();
    pool.join();
    assert_eq!(most.get(), 1, "one at a time");
    let values: Vec<_> = jobs.into_iter().map(|job| job.get().unwrap()).collect();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn g074_map_and_imap_keep_the_order_and_imap_unordered_does_not() {
    let sleepy = |n: u64| {
        iora::sleep(Duration::from_millis(10 - n));
        n
    };
    let numbers: Vec<u64> = (0..10).collect();
    for pool in [Pool::new(10), Pool::new(3), Pool::new(1)] {
        assert_eq!(pool.map(sleepy, numbers.clone()).unwrap(), numbers);
        let mut imap = pool.imap(sleepy, numbers.clone(), None);
        for n in &numbers {
            assert_eq!(imap.next().unwrap().unwrap(), *n);
        }
        assert!(imap.next().is_none());
        assert!(imap.next().is_none(), "it stays at its end");
        let unordered: Vec<u64> = pool
            .imap_unordered(sleepy, numbers.clone(), None)
            .map(Result::unwrap)
            .collect();
        assert_eq!(unordered.iter().copied().collect::<BTreeSet<_>>().len(), 10);
        match pool.size() {
            1 => assert_eq!(unordered, numbers, "one at a time: in order"),
            10 => assert_eq!(unordered.last(), Some(&0), "the slowest comes last"),
            _ => {}
        }
        assert_eq!(pool.map(|n: u64| n, []).unwrap(), []);
        assert_eq!(pool.free_count(), pool.size());
    }
}

#[test]
fn g075_the_producer_stops_as_far_ahead_as_it_may() {
    for ordered in [false, true] {
        let taken = Rc::new(Cell::new(0));
        let items = {
            let taken = taken.clone();
            (0..10).inspect(move |_| taken.set(taken.get() + 1))
        };
        let pool = Pool::new(5);
        let mut results = if ordered {
            pool.imap(|n| n, items, 2)
        } else {
            pool.imap_unordered(|n| n, items, 2)
        };
        for given in 0..8 {
            // However long the consumer takes.
            (0..10).for_each(|_| iora::yield_now());
            assert_eq!(taken.get(), given + 2);
            assert_eq!(results.next().unwrap().unwrap(), given);
        }
        assert_eq!(results.map(Result::unwrap).collect::<Vec<_>>(), [8, 9]);
        assert_eq!(taken.get(), 10);
    }
}

#[test]
fn g076_an_error_of_a_worker_comes_in_its_place_and_the_rest_follows() {
    let divide = |n: i32| 6 / n;
    let group = Group::new();
    let mut results = group.imap(divide, [1, 0, 2], None);
    assert_eq!(results.next().unwrap().unwrap(), 6);
    let error = results.next().unwrap().unwrap_err();
    assert_eq!(error.panic_message(), Some("attempt to divide by zero"));
    assert_eq!(results.next().unwrap().unwrap(), 3);
    assert!(results.next().is_none());
    let (good, bad): (Vec<_>, Vec<_>) = group.imap_unordered(divide, [1, 0, 2], None).partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (2, 1));
    let error = group.map(divide, [1, 0, 2]).unwrap_err();
    assert_eq!(error.ending(), Ending::Panicked);
}

#[test]
fn g076_an_error_of_the_items_comes_last() {
    let items = || (0..).map(|n| if n == 2 { panic!("no item") } else { n });
    for maxsize in [None, Some(1)] {
        let pool = Pool::new(1);
        let mut results = pool.imap(|n| n, items(), maxsize);
        assert_eq!(results.next().unwrap().unwrap(), 0);
        assert_eq!(results.next().unwrap().unwrap(), 1);
        assert_eq!(results.next().unwrap().unwrap_err().panic_message(), Some("no item"));
        assert!(results.next().is_none());
        let unordered: Vec<_> = pool.imap_unordered(|n| n, items(), maxsize).collect();
        assert_eq!(unordered.iter().filter(|result| result.is_err()).count(), 1);
        let map = catch_unwind(AssertUnwindSafe(|| pool.map(|n| n, items()).is_ok()));
        assert_eq!(map.unwrap_err().downcast_ref(), Some(&"no item"));
        pool.join();
        assert_eq!(pool.free_count(), 1);
    }
}

#[test]
fn g077_a_kill_reaches_each_member_once() {
    let group = Group::new();
    let (kills, release) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
    let stubborn = {
        let (kills, release) = (kills.clone(), release.clone());
        group.spawn(move || {
            while !release.is_set() {
                if catch_unwind(AssertUnwindSafe(|| release.wait())).is_err() {
                    kills.set(kills.get() + 1);
                }
            }
        })
    };
    let meek = group.spawn(|| iora::sleep(LONG));
    iora::yield_now();
    assert!(!group.kill_timeout(SHORT), "one resists");
    assert!(meek.ready() && !stubborn.ready());
    assert_eq!((kills.get(), group.len()), (1, 1));
    assert!(!group.kill_timeout(SHORT));
    let killer = iora::spawn({
        let group = group.clone();
        move || group.kill()
    });
    iora::yield_now();
    assert_eq!(kills.get(), 1, "not killed again");
    assert!(!killer.ready(), "the killer waits");
    release.set();
    killer.join();
    assert!(stubborn.successful());
    assert!(group.join_timeout(SHORT));
    assert!(group.is_empty());
}

#[test]
fn g077_a_kill_without_waiting_leaves_the_length_until_they_have_run() {
    let group = Group::new();
    let jobs: Vec<_> = (0..3).map(|_| group.spawn(|| iora::sleep(LONG))).collect();
    assert!(!group.join_timeout(SHORT));
    group.kill_nowait();
    assert_eq!(group.len(), 3);
    iora::joinall(&jobs, None);
    assert_eq!(group.len(), 0);
    assert!(jobs.iter().all(|job| job.ending() == Some(Ending::Killed)));
    let (one, other) = (group.spawn(|| iora::sleep(LONG)), group.spawn(|| iora::sleep(LONG)));
    group.killone(&one);
    group.killone(&one);
    assert!(one.ready() && !other.ready());
    group.kill();
    let stranger = iora::spawn(|| 1);
    group.killone(&stranger);
    assert_eq!(stranger.get().unwrap(), 1);
}

#[test]
fn a_member_that_kills_its_group_is_spared_and_joins_the_others() {
    let group = Group::new();
    let inside = group.clone();
    drop(group.spawn(|| iora::sleep(LONG)));
    let killer = group.spawn(move || {
        inside.kill();
        inside.len()
    });
    drop(group.spawn(|| iora::sleep(LONG)));
    assert_eq!(killer.get().unwrap(), 1);
}

#[test]
fn those_who_wait_for_a_place_get_it_in_order_and_lose_none() {
    let (pool, event) = (Pool::new(1), Rc::new(Event::new()));
    drop(pool.spawn(waiter(&event)));
    let order = Rc::new(RefCell::new(Vec::new()));
    let spawners: Vec<_> = (0..4)
        .map(|number| {
            let (pool, order) = (pool.clone(), order.clone());
            iora::spawn(move || drop(pool.spawn(move || order.borrow_mut().push(number))))
        })
        .collect();
    let queued = pool.apply_async(|| 0);
    iora::yield_now();
    spawners[1].kill();
    queued.kill();
    event.set();
    spawners[0].join(); // it has the place that came free; the next one waits for it
    spawners[2].kill();
    spawners[3].join();
    pool.join();
    assert_eq!(*order.borrow(), [0, 3]);
    assert_eq!((pool.free_count(), pool.len()), (1, 0));
}

#[test]
fn a_kill_reaches_those_that_wait_for_a_place() {
    let pool = Pool::new(1);
    let jobs: Vec<_> = (0..5).map(|_| pool.apply_async(|| iora::sleep(LONG))).collect();
    iora::yield_now();
    pool.kill();
    assert!(jobs.iter().all(|job| job.ending() == Some(Ending::Killed)));
    assert_eq!((pool.free_count(), pool.len()), (1, 0));
}

#[test]
fn a_dropped_imap_kills_its_workers_and_takes_no_more_items() {
    for consumed in 0..2 {
        let (pool, token, taken) = (Pool::new(2), Rc::new(()), Rc::new(Cell::new(0)));
        let items = {
            let taken = taken.clone();
            (0..100).inspect(move |_| taken.set(taken.get() + 1))
        };
        let held = token.clone();
        let mut results = pool.imap(
            move |n| {
                let _held = held.clone();
                if n > 0 {
                    iora::sleep(LONG);
                }
            },
            items,
            None,
        );
        for _ in 0..consumed {
            results.next().unwrap().unwrap();
        }
        iora::yield_now();
        drop(results);
        pool.join();
        iora::yield_now();
        assert_eq!(Rc::strong_count(&token), 1, "closures and workers are gone");
        assert_eq!(Rc::strong_count(&taken), 1, "and the items");
        assert!(taken.get() <= 4);
        assert_eq!(pool.free_count(), 2);
    }
    // One that is dropped before anything of it began.
    let pool = Pool::new(1);
    drop(pool.imap_unordered(|n| n, 0..3, None));
    iora::yield_now();
    assert!(pool.is_empty());
}

#[test]
fn killed_workers_give_their_end() {
    let pool = Pool::new(2);
    let results = pool.imap(|_| iora::sleep(LONG), 0..2, None);
    (0..3).for_each(|_| iora::yield_now());
    pool.kill();
    let ends: Vec<_> = results.map(|result| result.unwrap_err().ending()).collect();
    assert_eq!(ends, [Ending::Killed, Ending::Killed]);
}

#[test]
fn a_failed_map_kills_the_others() {
    let group = Group::new();
    let result = group.map(
        |n: u32| {
            assert!(n > 0, "zero");
            iora::sleep(LONG);
        },
        [0, 1, 2],
    );
    assert_eq!(result.unwrap_err().panic_message(), Some("zero"));
    group.join();
}

#[test]
fn a_closed_pool_finishes_what_it_has() {
    let pool = Pool::new(1);
    let jobs: Vec<_> = (0..3).map(|n| pool.apply_async(move || n)).collect();
    let results = pool.imap(|n| n, 0..3, None);
    pool.close();
    assert!(pool.is_closed());
    assert!(matches!(pool.try_spawn(|| ()), Err(SpawnError::Closed(_))));
    catch_unwind(AssertUnwindSafe(|| drop(pool.spawn(|| ())))).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| drop(pool.apply_async(|| ())))).unwrap_err();
    assert_eq!(results.map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2]);
    pool.join();
    assert!(jobs.iter().all(Greenlet::successful));
}

#[test]
fn a_pool_is_shared_by_threads_and_bounds_all_of_them() {
    const EACH: usize = 100;
    let (pool, inside) = (Pool::new(3), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (pool, inside) = (pool.clone(), inside.clone());
            std::thread::spawn(move || {
                for round in 0..EACH {
                    let inside = inside.clone();
                    let job = pool.spawn(move || {
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                        iora::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    });
                    match round % 3 {
                        0 => job.join(),
                        // A place is asked for and not waited for to the end.
                        1 => drop(pool.spawn_timeout(Duration::ZERO, || ())),
                        _ => drop(job),
                    }
                }
                pool.join();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((pool.len(), pool.free_count()), (0, 3));
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

#[test]
fn a_pool_outlives_a_thread_that_ends_with_members() {
    let pool = Pool::new(2);
    std::thread::spawn({
        let pool = pool.clone();
        move || {
            drop(pool.spawn(|| iora::sleep(LONG)));
            iora::yield_now();
        }
    })
    .join()
    .unwrap();
    pool.join();
    assert_eq!(pool.free_count(), 2);
}
