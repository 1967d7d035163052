//! Hubs: their end, the end of their threads, deadlocks, forks.

#[path = "common/child.rs"]
mod child;

use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use iora::sync::Event;
use iora::{Ending, Exit, Greenlet};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

/// Runs `f` on a new thread, so that the hub it makes is its own.
fn on_a_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(f).join().expect("the thread does not panic")
}

/// Waits whatever comes: only the end of its hub ends it.
fn resist() {
    loop {
        let _ = catch_unwind(|| iora::sleep(LONG));
    }
}

// The end of a hub.

#[test]
fn the_end_of_a_hub_that_is_not_there_is_nothing() {
    on_a_thread(iora::hub::end);
}

#[test]
fn a_greenlet_that_has_not_begun_never_runs_when_its_hub_ends() {
    on_a_thread(|| {
        let (ran, token) = (Rc::new(Cell::new(false)), Rc::new(()));
        let jobs = [Duration::ZERO, LONG].map(|delay| {
            let (ran, token) = (ran.clone(), token.clone());
            iora::spawn_later(delay, move || {
                let _token = token;
                ran.set(true);
            })
        });
        let ready = iora::spawn({
            let ran = ran.clone();
            move || ran.set(true)
        });
        iora::hub::end();
        assert!(!ran.get());
        assert_eq!(Rc::strong_count(&token), 1, "the closures were dropped");
        for job in jobs {
            assert!(matches!(job.get(), Err(Exit::Killed)));
        }
        assert_eq!(ready.ending(), Some(Ending::Killed));
    });
}

#[test]
fn one_that_resists_the_end_is_leaked_and_whoever_joins_it_is_told() {
    on_a_thread(|| {
        let token = Rc::new(());
        let job = iora::spawn({
            let token = token.clone();
            move || {
                let _token = token;
                resist();
            }
        });
        iora::yield_now();
        iora::hub::end();
        assert_eq!(job.ending(), Some(Ending::Abandoned));
        assert_eq!(Rc::strong_count(&token), 2, "nothing on its stack was dropped");
        assert!(!iora::spawn(resist).join_timeout(SHORT), "the thread has a new hub");
        assert!(matches!(job.get(), Err(Exit::Abandoned)));
    });
}

#[test]
fn whoever_joins_from_another_thread_learns_of_the_end() {
    let (sender, receiver) = mpsc::channel();
    let hub = thread::spawn(move || {
        let job = iora::spawn(resist);
        iora::yield_now();
        sender.send(job).unwrap();
        iora::hub::end();
    });
    let job = receiver.recv().unwrap();
    assert!(matches!(job.get(), Err(Exit::Abandoned)));
    hub.join().unwrap();
}

/// Its destructor panics, and counts.
struct Bomb(Arc<AtomicU32>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("a payload that nobody caught");
    }
}

/// Counts when it is dropped.
struct Counts(Arc<AtomicU32>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_was_thrown_at_those_who_are_leaked_unwinds_none_of_them() {
    for explicit in [true, false] {
        let (bombs, unwound) = <(Arc<AtomicU32>, Arc<AtomicU32>)>::default();
        let jobs = on_a_thread({
            let (bombs, unwound) = (bombs.clone(), unwound.clone());
            move || {
                let jobs: Vec<_> = (0..3)
                    .map(|_| {
                        let unwound = Counts(unwound.clone());
                        iora::spawn(move || {
                            let _unwound = unwound;
                            iora::shield(|| iora::sleep(LONG));
                        })
                    })
                    .collect();
                iora::yield_now();
                jobs.iter().for_each(|job| job.throw(Box::new(Bomb(bombs.clone()))));
                // Not read any more.
                thread::scope(|scope| {
                    scope.spawn(|| jobs[0].throw(Box::new(Bomb(bombs.clone()))));
                });
                if explicit {
                    iora::hub::end();
                }
                jobs
            }
        });
        assert!(jobs.iter().all(|job| job.ending() == Some(Ending::Abandoned)));
        assert_eq!(bombs.load(Ordering::Relaxed), 4);
        assert_eq!(unwound.load(Ordering::Relaxed), 0, "unwound from outside");
    }
}

#[test]
fn a_link_of_one_that_resists_the_end_may_spawn() {
    // What a supervisor does: the link starts a new worker, on the hub that comes after.
    on_a_thread(|| {
        let (sender, receiver) = mpsc::channel();
        let job = iora::spawn(resist);
        job.link(move |ending| {
            let restarted = iora::spawn(|| 7);
            sender.send((ending, restarted)).unwrap();
        });
        iora::yield_now();
        iora::hub::end();
        let (ending, restarted) = receiver.recv().unwrap();
        assert_eq!(ending, Ending::Abandoned);
        // Woken from another thread: the new hub can still be reached.
        let event = Arc::new(Event::new());
        let waiter = iora::spawn({
            let event = event.clone();
            move || event.wait()
        });
        iora::yield_now();
        let other = thread::spawn(move || event.set());
        assert!(waiter.get().is_ok());
        other.join().unwrap();
        assert_eq!(restarted.get().unwrap(), 7);
    });
}

#[test]
fn the_value_of_one_that_returned_outlives_a_hub_that_ends_in_its_link() {
    on_a_thread(|| {
        let job = iora::spawn(|| vec![1, 2, 3]);
        job.link(|_| resist());
        iora::yield_now();
        let lent = job.value().expect("it has returned, and its link waits");
        iora::hub::end();
        assert_eq!(*lent, [1, 2, 3]);
        assert_eq!(job.ending(), Some(Ending::Returned));
        assert_eq!(job.get().unwrap(), [1, 2, 3]);
    });
}

#[test]
fn the_value_of_one_that_returned_outlives_a_thread_that_ends_in_the_destructor_of_its_local() {
    /// Waits when it is dropped.
    struct Stays;
    impl Drop for Stays {
        fn drop(&mut self) {
            resist();
        }
    }
    static STAYS: iora::Local<Stays> = iora::Local::new(|| Stays);
    let (job, panicked) = on_a_thread(|| {
        let job = iora::spawn(|| STAYS.with(|_| vec![1, 2, 3]));
        let panicked = iora::spawn(|| STAYS.with(|_| panic!("on purpose")));
        iora::yield_now();
        assert!(!job.ready() && !panicked.ready(), "the destructors wait");
        (job, panicked)
    });
    assert_eq!(job.ending(), Some(Ending::Returned));
    assert_eq!(job.get().unwrap(), [1, 2, 3]);
    let exit: Result<(), _> = panicked.get();
    assert_eq!(exit.unwrap_err().panic_message(), Some("on purpose"));
}

#[test]
fn a_timeout_of_a_hub_that_ended_leaves_the_timers_of_the_next_alone() {
    on_a_thread(|| {
        let mut old = iora::Timeout::new(LONG);
        old.start();
        iora::hub::end();
        let sleeper = iora::spawn(|| iora::sleep(SHORT));
        iora::yield_now();
        drop(old);
        assert!(
            sleeper.join_timeout(Duration::from_secs(60)),
            "the sleeper's timer was cancelled"
        );
    });
}

#[test]
fn the_end_of_a_hub_may_not_be_called_by_a_greenlet() {
    let message = iora::spawn(iora::hub::end).get().unwrap_err();
    assert!(message.to_string().contains("called from a greenlet"), "{message}");
}

#[test]
fn a_hub_ends_and_begins_many_times() {
    on_a_thread(|| {
        for n in 0..100 {
            let parked = iora::spawn(|| iora::sleep(LONG));
            assert_eq!(iora::spawn(move || n).get().unwrap(), n);
            iora::hub::end();
            assert_eq!(parked.ending(), Some(Ending::Killed));
        }
    });
}

#[test]
fn a_destructor_in_a_hub_that_ends_may_wait_for_another_greenlet() {
    on_a_thread(|| {
        struct WaitsFor(Option<Greenlet<()>>, Rc<Cell<bool>>);
        impl Drop for WaitsFor {
            fn drop(&mut self) {
                // The thread unwinds: this must come back at once.
                self.0.take().unwrap().join();
                self.1.set(true);
            }
        }
        let done = Rc::new(Cell::new(false));
        let other = iora::spawn(|| iora::sleep(LONG));
        let waits = WaitsFor(Some(other), done.clone());
        let job = iora::spawn(move || {
            let _waits = waits;
            iora::sleep(LONG);
        });
        iora::yield_now();
        iora::hub::end();
        assert!(done.get());
        assert_eq!(job.ending(), Some(Ending::Killed));
    });
}

// The end of a thread.

#[test]
fn g008_a_thread_that_ends_with_parked_greenlets_tells_those_who_join_elsewhere() {
    let event = Arc::new(Event::new());
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn({
        let event = event.clone();
        move || {
            let parked = iora::spawn(|| iora::sleep(LONG));
            let unstarted = iora::spawn_later(LONG, || ());
            iora::yield_now();
            sender.send([parked, unstarted]).unwrap();
            event.wait();
        }
    });
    for job in receiver.recv().unwrap() {
        let joined = iora::spawn(move || job.get());
        iora::yield_now();
        event.set();
        assert!(matches!(joined.get().unwrap(), Err(Exit::Abandoned)));
    }
    thread.join().unwrap();
}

#[test]
fn a_link_that_spawns_while_its_thread_ends_gets_an_error_or_one_that_is_abandoned() {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let job = iora::spawn(|| iora::sleep(LONG));
        job.link(move |ending| {
            let restarted = iora::Builder::new().spawn(|| ());
            sender.send((ending, restarted)).unwrap();
        });
        iora::yield_now();
    })
    .join()
    .unwrap();
    let (ending, restarted) = receiver.recv().unwrap();
    assert_eq!(ending, Ending::Abandoned);
    if let Ok(restarted) = restarted {
        assert!(matches!(restarted.get(), Err(Exit::Abandoned)));
    }
}

#[test]
fn a_greenlet_of_a_thread_that_has_gone_can_be_killed_and_thrown_at() {
    let job = on_a_thread(|| {
        let job = iora::spawn(|| iora::sleep(LONG));
        iora::yield_now();
        job
    });
    job.kill_nowait();
    job.throw(Box::new("too late"));
    job.kill();
    assert_eq!(job.ending(), Some(Ending::Abandoned));
}

#[test]
fn hubs_come_and_go_with_their_threads() {
    // Their remotes are used again: keys of the dead must find nothing.
    let mut left_behind = Vec::new();
    for _ in 0..50 {
        left_behind.push(on_a_thread(|| {
            let job = iora::spawn(|| iora::sleep(LONG));
            iora::yield_now();
            job
        }));
        on_a_thread(|| {
            let alive = iora::spawn(|| iora::sleep(SHORT));
            assert!(alive.get().is_ok());
        });
        left_behind.iter().for_each(Greenlet::kill_nowait);
    }
}

// Panics in places where the hub is.

#[test]
fn g004_a_hub_survives_what_a_message_to_it_drops() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a payload's destructor");
        }
    }
    on_a_thread(|| {
        // Never raised: the greenlet has no park point left, and the payload is left over at its end.
        let job = Rc::new(RefCell::new(None::<Greenlet<()>>));
        let own = job.clone();
        let spawned = iora::spawn(move || {
            let handle: Greenlet<()> = own.borrow_mut().take().unwrap();
            let handle = thread::spawn(move || {
                handle.throw(Box::new(Panics));
                handle
            });
            // A real wait for the thread, in which the hub does not turn.
            own.replace(Some(handle.join().unwrap()));
        });
        job.replace(Some(spawned));
        iora::yield_now();
        iora::sleep(SHORT);
        assert!(job.borrow().as_ref().unwrap().successful());
        assert_eq!(iora::spawn(|| 3).get().unwrap(), 3);
        // The same from the thread itself, in a shield that lasts to the end.
        let shielded = iora::spawn(|| iora::shield(|| iora::sleep(SHORT)));
        iora::yield_now();
        shielded.throw(Box::new(Panics));
        shielded.join();
        assert!(shielded.successful());
        assert_eq!(iora::spawn(|| 3).get().unwrap(), 3);
    });
}

#[test]
fn the_first_spawn_of_a_process_may_come_in_a_destructor_while_the_thread_panics() {
    struct Spawns;
    impl Drop for Spawns {
        fn drop(&mut self) {
            drop(iora::spawn(|| ()));
        }
    }
    let output = child::in_child(
        "the_first_spawn_of_a_process_may_come_in_a_destructor_while_the_thread_panics",
        "",
        || {
            let result = catch_unwind(|| {
                let _spawns = Spawns;
                panic!("first");
            });
            assert!(result.is_err());
            assert!(iora::spawn(|| -> () { panic!("second") }).get().is_err());
        },
    );
    child::assert_ended(&output, None);
}

#[test]
fn a_panic_is_reported_with_the_greenlet_that_it_ended() {
    let output = child::in_child("a_panic_is_reported_with_the_greenlet_that_it_ended", "", || {
        let named = iora::Builder::new().name("baker").spawn(|| panic!("burnt")).unwrap();
        named.join();
    });
    let text = child::assert_ended(&output, None);
    let line = text.lines().find(|line| line.contains("in <Greenlet")).expect("a line");
    assert!(line.contains("\"baker\"") && line.contains("tests/hub.rs:"), "{line}");
    assert!(text.contains("burnt"));
}

// What does not belong to hubs.

#[test]
fn a_greenlet_that_never_yields_lets_others_wait_and_no_more() {
    let stop = Arc::new(AtomicU32::new(0));
    let ran = Rc::new(Cell::new(false));
    let spins = iora::spawn({
        let stop = stop.clone();
        move || {
            stop.store(1, Ordering::Release);
            while stop.load(Ordering::Acquire) != 2 {
                std::hint::spin_loop();
            }
        }
    });
    let waits = iora::spawn({
        let ran = ran.clone();
        move || ran.set(true)
    });
    let seen = ran.clone();
    let other = thread::spawn({
        let stop = stop.clone();
        move || {
            while stop.load(Ordering::Acquire) != 1 {
                thread::yield_now();
            }
            stop.store(2, Ordering::Release);
        }
    });
    let before = iora::timeout(SHORT, || spins.join());
    assert!(before.is_ok() || spins.ready());
    assert!(waits.get().is_ok() && seen.get());
    other.join().unwrap();
}

#[test]
fn g012_time_spent_computing_does_not_shorten_a_sleep() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5) {
        std::hint::spin_loop();
    }
    let start = Instant::now();
    iora::spawn(|| iora::sleep(Duration::from_millis(5))).join();
    assert!(start.elapsed() >= Duration::from_millis(5));
}

#[test]
fn many_timers_ring_in_order() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let jobs: Vec<_> = [5u64, 1, 4, 2, 3]
        .map(|n| {
            let log = log.clone();
            iora::spawn_later(Duration::from_millis(20 * n), move || log.borrow_mut().push(n))
        })
        .into();
    iora::joinall(&jobs, None);
    assert_eq!(*log.borrow(), [1, 2, 3, 4, 5]);
}

#[test]
fn in_a_crowd_of_sleepers_that_comes_and_goes_each_sleeps_as_long_as_it_asked_to() {
    let sleep = |quarters: u64| {
        let (start, wanted) = (Instant::now(), Duration::from_micros(250 * quarters));
        iora::sleep(wanted);
        assert!(start.elapsed() >= wanted, "never early");
    };
    for _ in 0..3 {
        let crowd: Vec<_> = (0..500)
            .map(|number| {
                iora::spawn(move || {
                    for round in 0..5 {
                        sleep(1 + (number * 31 + round) % 60);
                    }
                })
            })
            .collect();
        let killed: Vec<_> = (0..100)
            .map(|number| iora::spawn(move || sleep(5 + number % 40)))
            .collect();
        iora::spawn(move || sleep(20)).get().unwrap();
        killed.iter().for_each(Greenlet::kill);
        for job in crowd {
            job.get().unwrap();
        }
        // What was set for the crowd rings, or not, for one alone.
        sleep(1);
        sleep(12);
    }
}
