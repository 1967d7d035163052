//! Greenlets: life, death and what comes of them.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use iora::{Ending, Exit};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn g001_two_that_yield_take_turns() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let jobs: Vec<_> = (1..=2)
        .map(|n| {
            let log = log.clone();
            iora::spawn(move || {
                log.borrow_mut().push(format!("{n}A"));
                iora::sleep(Duration::ZERO);
                log.borrow_mut().push(format!("{n}B"));
            })
        })
        .collect();
    iora::joinall(&jobs, None);
    assert_eq!(*log.borrow(), ["1A", "2A", "1B", "2B"]);
}

#[test]
fn g002_a_loop_of_yields_does_not_starve_timers() {
    let result = iora::timeout(Duration::from_millis(10), || {
        loop {
            iora::yield_now();
        }
    });
    result.unwrap_err();
}

#[test]
fn g003_sleep_is_never_short() {
    let start = Instant::now();
    iora::sleep(Duration::from_millis(3));
    assert!(start.elapsed() >= Duration::from_millis(3));
    let inside = iora::spawn(|| {
        let start = Instant::now();
        iora::sleep(Duration::from_millis(3));
        start.elapsed()
    });
    assert!(inside.get().unwrap() >= Duration::from_millis(3));
}

#[test]
fn a_value_comes_back() {
    let job = iora::spawn(|| 42);
    assert!(!job.ready());
    assert_eq!(job.value(), None);
    job.join();
    assert!(job.ready() && job.successful());
    assert_eq!(job.value(), Some(&42));
    assert_eq!(job.get().unwrap(), 42);
}

#[test]
fn a_panic_reaches_whoever_joins_and_nobody_else() {
    let other = iora::spawn(|| {
        iora::sleep(Duration::from_millis(1));
        1
    });
    let job = iora::spawn(|| -> u32 { panic!("broken {}", 7) });
    job.join();
    assert_eq!(job.ending(), Some(Ending::Panicked));
    assert_eq!(job.value(), None);
    assert_eq!(job.get().unwrap_err().panic_message(), Some("broken 7"));
    assert_eq!(other.get().unwrap(), 1);
}

#[test]
fn a_kill_before_the_start_means_it_never_runs() {
    let ran = Rc::new(Cell::new(false));
    let job = iora::spawn({
        let ran = ran.clone();
        move || ran.set(true)
    });
    job.kill();
    assert!(!ran.get());
    assert!(matches!(job.get(), Err(Exit::Killed)));
    assert_eq!(Rc::strong_count(&ran), 1, "the closure was dropped");
}

#[test]
fn a_kill_runs_destructors_and_returns_after_them() {
    let log = Rc::new(RefCell::new(Vec::new()));
    struct Note(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.borrow_mut().push("dropped");
        }
    }
    let job = iora::spawn({
        let log = log.clone();
        move || {
            let _note = Note(log.clone());
            log.borrow_mut().push("start");
            iora::sleep(LONG);
            log.borrow_mut().push("never");
        }
    });
    iora::yield_now();
    job.kill();
    assert_eq!(*log.borrow(), ["start", "dropped"]);
    job.kill();
    assert!(matches!(job.get(), Err(Exit::Killed)));
}

#[test]
fn a_caught_kill_is_over() {
    let job = iora::spawn(|| {
        let caught = catch_unwind(|| iora::sleep(LONG)).is_err();
        iora::sleep(Duration::from_millis(1));
        caught
    });
    iora::yield_now();
    job.kill();
    assert!(job.get().unwrap());
}

#[test]
fn a_greenlet_kills_itself() {
    let job = iora::spawn(|| {
        iora::current().unwrap().kill_nowait();
        unreachable!("killed");
    });
    assert!(matches!(job.get(), Err(Exit::Killed)));
}

#[test]
fn timeouts_nest() {
    let outer = iora::timeout(Duration::from_millis(5), || {
        let inner = iora::timeout(LONG, || iora::sleep(LONG));
        panic!("{inner:?}");
    });
    outer.unwrap_err();
    let outer = iora::timeout(LONG, || {
        iora::timeout(Duration::from_millis(1), || iora::sleep(LONG)).is_err()
    });
    assert_eq!(outer, Ok(true));
}

#[test]
fn a_scope_lends() {
    let text = "hello".to_owned();
    let mut n = 0;
    let length = iora::scope(|s| {
        let length = s.spawn(|| {
            iora::yield_now();
            text.len()
        });
        s.spawn(|| n += 1);
        length.join().unwrap()
    });
    assert_eq!((length, n), (5, 1));
}

#[test]
fn a_panic_of_a_scope_kills_its_greenlets_first() {
    let ended = Cell::new(false);
    struct Set<'a>(&'a Cell<bool>);
    impl Drop for Set<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        iora::scope(|s| {
            s.spawn(|| {
                let _set = Set(&ended);
                iora::sleep(LONG);
            });
            iora::yield_now();
            panic!("body");
        })
    }));
    assert!(result.is_err() && ended.get());
}

#[test]
fn links_are_called_in_order() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let job = iora::spawn(|| ());
    for n in 0..1000 {
        let sender = sender.clone();
        job.link(move |ending| sender.send((n, ending)).unwrap());
    }
    job.join();
    iora::yield_now();
    let got: Vec<_> = receiver.try_iter().collect();
    assert_eq!(got, (0..1000).map(|n| (n, Ending::Returned)).collect::<Vec<_>>());
}

#[test]
fn another_thread_joins_and_kills() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let stop = iora::spawn(|| iora::sleep(LONG));
    let quick = iora::spawn(|| 5);
    let thread = std::thread::spawn(move || {
        sender.send(quick.get().unwrap()).unwrap();
        stop.kill();
        stop.ending()
    });
    let waiter = iora::spawn(|| iora::sleep(Duration::from_millis(200)));
    waiter.join();
    assert_eq!(receiver.recv(), Ok(5));
    assert_eq!(thread.join().unwrap(), Some(Ending::Killed));
}

#[test]
fn a_thread_that_ends_tells_who_waits() {
    let thread = std::thread::spawn(|| {
        let job = iora::spawn(|| iora::sleep(LONG));
        iora::yield_now();
        job
    });
    let job = thread.join().unwrap();
    assert!(matches!(job.get(), Err(Exit::Abandoned)));
}

#[test]
fn the_end_of_a_hub_unwinds_what_is_parked() {
    std::thread::spawn(|| {
        let token = Rc::new(());
        for _ in 0..10 {
            let token = token.clone();
            drop(iora::spawn(move || {
                let _token = token;
                iora::sleep(LONG);
            }));
        }
        iora::yield_now();
        iora::hub::end();
        assert_eq!(Rc::strong_count(&token), 1);
        assert_eq!(iora::spawn(|| 3).get().unwrap(), 3);
    })
    .join()
    .unwrap();
}

#[test]
fn many_greenlets() {
    for _ in 0..3 {
        let jobs: Vec<_> = (0..10_000u64)
            .map(|n| {
                iora::spawn(move || {
                    iora::yield_now();
                    n
                })
            })
            .collect();
        iora::joinall(&jobs, None);
        assert_eq!(jobs.iter().map(|job| *job.value().unwrap()).sum::<u64>(), 49_995_000);
    }
}
