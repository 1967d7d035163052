//! gevent's behaviours of thread pools, by their number, and promises of them that have none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use iora::Waitable;
use iora::sync::Event;
use iora::threadpool::{JobHandle, ThreadPool};

/// Work that says when it begins and lasts until it is told to end.
fn held(pool: &ThreadPool) -> (JobHandle<()>, Sender<()>, Receiver<()>) {
    let ((go, wait), (begun, begins)) = (channel(), channel());
    let job = pool.spawn(move || {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    });
    (job, go, begins)
}

#[test]
fn g091_one_thread_takes_one_job_and_one_in_line_and_the_next_spawn_waits() {
    let pool = Rc::new(ThreadPool::new(1));
    let (first, go, begins) = held(&pool);
    begins.recv().unwrap();
    let second = pool.spawn(|| 2);
    let spawned = Rc::new(Event::new());
    let third = iora::spawn({
        let (pool, spawned) = (pool.clone(), spawned.clone());
        move || {
            let job = pool.spawn(|| 3);
            spawned.set();
            job.get().unwrap()
        }
    });
    let killed = iora::spawn({
        let pool = pool.clone();
        move || drop(pool.spawn(|| panic!("never begins")))
    });
    iora::yield_now();
    assert!(!spawned.wait_timeout(Duration::from_millis(2)));
    killed.kill();
    go.send(()).unwrap();
    assert_eq!(third.get().unwrap(), 3);
    assert!(spawned.is_set());
    first.join();
    assert_eq!(second.get().unwrap(), 2);
    pool.join();
    assert_eq!(pool.threads(), 1);
}

#[test]
fn g091_an_apply_from_inside_finds_another_thread() {
    let pool = Arc::new(ThreadPool::new(2));
    let inside = pool.clone();
    let nested = pool.apply(move || {
        let here = std::thread::current().id();
        inside.apply(move || std::thread::current().id() != here)
    });
    assert!(nested);
}

#[test]
fn g091_it_grows_and_shrinks() {
    let pool = ThreadPool::new(1);
    let (first, go_first, begins) = held(&pool);
    begins.recv().unwrap();
    let (second, go_second, begins) = held(&pool);
    assert_eq!((pool.limit(), pool.threads()), (1, 1));
    pool.resize(2);
    begins.recv().unwrap(); // a second thread was started for what was in line
    assert_eq!(pool.threads(), 2);
    pool.resize(1);
    assert_eq!(pool.threads(), 2, "both are at work");
    go_first.send(()).unwrap();
    go_second.send(()).unwrap();
    first.get().unwrap();
    second.get().unwrap();
    while pool.threads() > 1 {
        iora::sleep(Duration::from_millis(1));
    }
    assert_eq!(pool.apply(|| 7), 7);
    // Idle ones are too many at once.
    pool.resize(3);
    pool.map(|_| std::thread::yield_now(), 0..50);
    pool.resize(1);
    while pool.threads() > 1 {
        iora::sleep(Duration::from_millis(1));
    }
    catch_unwind(AssertUnwindSafe(|| pool.resize(0))).unwrap_err();
    assert_eq!(pool.apply(|| 8), 8);
}

#[test]
fn g091_results_are_given_and_let_go() {
    let pool = ThreadPool::new(2);
    let token = Arc::new(());
    let jobs: Vec<_> = (0..10)
        .map(|_| {
            let token = token.clone();
            pool.spawn(move || token)
        })
        .collect();
    pool.join();
    assert!(jobs.iter().all(JobHandle::ready));
    assert_eq!(Arc::strong_count(&token), 11);
    drop(jobs);
    while Arc::strong_count(&token) > 1 {
        std::thread::yield_now(); // a thread drops its end of the last one
    }
    assert_eq!(pool.map(|n: u32| n * n, 0..5), [0, 1, 4, 9, 16]);
}

#[test]
fn a_panic_is_the_handles_or_the_maps() {
    let pool = ThreadPool::new(1);
    let payload = pool.spawn(|| -> () { panic!("spawned") }).get().unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"spawned"));
    let mapped = catch_unwind(AssertUnwindSafe(|| pool.map(|n: u32| 6 / n, [1, 0, 2])));
    assert!(mapped.is_err());
    assert_eq!(pool.apply(|| 1), 1);
}

#[test]
fn threads_end_when_they_are_idle_and_come_again() {
    let pool = ThreadPool::with_idle(2, Duration::from_millis(2));
    for round in 0..3 {
        assert_eq!(pool.apply(move || round), round);
        while pool.threads() > 0 {
            iora::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_job_is_waited_for_among_others() {
    let pool = ThreadPool::new(1);
    let (job, go, begins) = held(&pool);
    let event = Event::new();
    let mixture: [&dyn Waitable; 2] = [&job, &event];
    begins.recv().unwrap();
    assert!(iora::wait(mixture, Duration::from_millis(1)).is_empty());
    assert!(!job.join_timeout(Duration::ZERO));
    go.send(()).unwrap();
    assert_eq!(iora::wait_count(mixture, 1, None)[0].0, 0);
    assert!(job.join_timeout(Duration::MAX));
}

#[test]
fn greenlets_of_two_hubs_and_a_thread_submit_with_kills_in_between() {
    const EACH: usize = 60;
    let pool = Arc::new(ThreadPool::new(2));
    let submit = |pool: Arc<ThreadPool>| {
        move || {
            let jobs: Vec<_> = (0..EACH)
                .map(|n| {
                    let pool = pool.clone();
                    iora::spawn(move || pool.spawn(move || n).get().unwrap())
                })
                .collect();
            iora::yield_now();
            jobs.iter().step_by(3).for_each(iora::Greenlet::kill_nowait);
            iora::joinall(&jobs, None);
            jobs.iter().skip(1).step_by(3).all(iora::Greenlet::successful)
        }
    };
    let hubs = [0, 1].map(|_| std::thread::spawn(submit(pool.clone())));
    let plain = std::thread::spawn({
        let pool = pool.clone();
        move || (0..EACH).all(|n| pool.spawn(move || n).get().unwrap() == n)
    });
    assert!(hubs.into_iter().all(|hub| hub.join().unwrap()));
    assert!(plain.join().unwrap());
    pool.join();
}
