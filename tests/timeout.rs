//! Time-outs.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use iora::queue::Queue;
use iora::sync::{AsyncResult, Condvar, Event, Mutex, Semaphore};
use iora::{Ending, Exit, Timeout};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

/// Whatever came of it.
fn ignore<T>(_: T) {}

#[test]
fn it_ends_every_wait_on_the_threads_own_stack_and_on_a_greenlets() {
    let waits: &[fn()] = &[
        || iora::sleep(LONG),
        || iora::sleep(Duration::MAX),
        || iora::spawn(|| iora::sleep(LONG)).join(),
        || Event::new().wait(),
        || Semaphore::new(0).acquire(),
        || ignore(Queue::<u32>::new().get()),
        || {
            AsyncResult::<u32>::new().wait();
        },
        || {
            let mutex = Mutex::new(());
            drop(Condvar::new().wait(mutex.lock().unwrap()));
        },
        || {
            iora::scope(|scope| {
                scope.spawn(|| iora::sleep(LONG));
            });
        },
        || {
            loop {
                iora::yield_now();
            }
        },
    ];
    for wait in waits {
        let start = Instant::now();
        iora::timeout(SHORT, wait).unwrap_err();
        assert!(start.elapsed() >= SHORT, "never early");
        let inside = iora::spawn(move || iora::timeout(SHORT, wait).is_err());
        assert!(inside.get().unwrap());
    }
}

#[test]
fn the_limit_of_a_wait_that_was_woken_before_does_not_end_the_next() {
    let limit = Duration::from_millis(20);
    let queue = Rc::new(Queue::new());
    let there = queue.clone();
    let getter = iora::spawn(move || (there.get_timeout(limit), there.get()));
    iora::yield_now();
    queue.put(1).expect("open");
    iora::sleep(limit + SHORT);
    queue.put(2).expect("open");
    let (first, second) = getter.get().unwrap();
    assert_eq!((first, second), (Ok(1), Ok(2)));
}

#[test]
fn what_finishes_in_time_gives_its_value() {
    assert_eq!(iora::timeout(LONG, || 7), Ok(7));
    assert_eq!(
        iora::timeout(Duration::MAX, || {
            iora::yield_now();
            7
        }),
        Ok(7)
    );
    assert_eq!(
        iora::timeout(Duration::ZERO, || 7),
        Ok(7),
        "code that does not park is not interrupted"
    );
}

#[test]
fn destructors_run() {
    let dropped = Rc::new(Cell::new(false));
    struct Sets(Rc<Cell<bool>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let sets = Sets(dropped.clone());
    let result = iora::timeout(SHORT, move || {
        let _sets = sets;
        iora::sleep(LONG);
    });
    assert!(result.is_err() && dropped.get());
}

#[test]
fn g038_one_that_nobody_catches_ends_its_greenlet() {
    let job = iora::spawn(|| {
        let mut timeout = Timeout::new(SHORT);
        timeout.start();
        iora::sleep(LONG);
    });
    job.join();
    assert_eq!(job.ending(), Some(Ending::TimedOut));
    assert!(matches!(job.get(), Err(Exit::TimedOut)));
}

#[test]
fn g038_it_may_be_started_again_after_it_expired() {
    let mut timeout = Timeout::new(SHORT);
    for _ in 0..3 {
        timeout.start();
        assert!(timeout.pending());
        timeout.catch(|| iora::sleep(LONG)).unwrap_err();
        assert!(!timeout.pending());
    }
    timeout.start();
    assert_eq!(timeout.catch(|| 3), Ok(3));
}

#[test]
fn g039_a_silent_one_gives_nothing_instead_of_an_error() {
    let mut timeout = Timeout::silent(SHORT);
    assert!(timeout.is_silent());
    assert_eq!(timeout.run(|| iora::sleep(LONG)), None);
    assert_eq!(timeout.run(|| 5), Some(5));
    assert!(format!("{timeout:?}").contains("(silent)"));
    assert!(!format!("{:?}", Timeout::new(SHORT)).contains("silent"));
}

#[test]
fn g041_a_cancelled_one_is_not_raised() {
    let mut timeout = Timeout::new(SHORT);
    timeout.start();
    timeout.cancel();
    assert!(!timeout.pending());
    iora::sleep(SHORT * 3);
    // Dropping it does the same.
    let mut timeout = Timeout::new(SHORT);
    timeout.start();
    drop(timeout);
    iora::sleep(SHORT * 3);
}

#[test]
fn g041_one_that_expired_is_not_raised_after_its_cancel() {
    let mut timeout = Timeout::new(SHORT);
    timeout.start();
    // The hub sees it expire while the greenlet is shielded.
    iora::shield(|| iora::sleep(SHORT * 3));
    assert!(!timeout.pending());
    timeout.cancel();
    iora::sleep(SHORT);
    // The same by a start: only the new one counts.
    let mut timeout = Timeout::new(SHORT);
    timeout.start();
    iora::shield(|| iora::sleep(SHORT * 3));
    timeout.start();
    let start = Instant::now();
    timeout.catch(|| iora::sleep(LONG)).unwrap_err();
    assert!(start.elapsed() < LONG);
}

#[test]
fn g042_one_without_a_limit_never_expires() {
    let mut timeout = Timeout::new(None);
    timeout.start();
    assert!(!timeout.pending());
    assert_eq!(
        timeout.catch(|| {
            iora::sleep(SHORT);
            4
        }),
        Ok(4)
    );
    assert_eq!(format!("{timeout:?}"), "<Timeout never>");
}

#[test]
fn g009b_g043_of_two_the_one_that_is_due_first_is_raised() {
    let outer = iora::timeout(SHORT, || {
        let inner = iora::timeout(LONG, || iora::sleep(LONG));
        panic!("{inner:?}");
    });
    outer.unwrap_err();
    let both = iora::timeout(LONG, || iora::timeout(SHORT, || iora::sleep(LONG)));
    assert!(matches!(both, Ok(Err(_))));
}

#[test]
fn g043_an_inner_silent_one_does_not_swallow_the_outer() {
    let mut went_on = false;
    let outer = iora::timeout(SHORT, || {
        let mut inner = Timeout::silent(LONG);
        inner.run(|| iora::sleep(LONG));
        went_on = true;
    });
    assert!(outer.is_err() && !went_on);
}

#[test]
fn g043_two_that_expire_in_one_turn_are_raised_one_after_the_other() {
    let mut raised = Vec::new();
    let outer = iora::timeout(SHORT, || {
        let inner = iora::timeout(SHORT, || {
            // Both ring while nothing can be raised.
            iora::shield(|| iora::sleep(SHORT * 5));
            iora::sleep(LONG);
        });
        raised.push(inner.is_err());
        iora::sleep(LONG);
    });
    // The outer one was set first, so it is due first and takes the inner one with it; were it the other way round, the
    // inner one would have been noted.
    assert!(outer.is_err());
    assert!(raised.is_empty() || raised == [true]);
    iora::sleep(SHORT);
}

#[test]
fn g044_one_that_is_started_cannot_be_started() {
    let mut timeout = Timeout::new(LONG);
    timeout.start();
    let again = catch_unwind(AssertUnwindSafe(|| timeout.start()));
    assert!(again.is_err() && timeout.pending());
}

#[test]
fn g045_only_its_own_catch_turns_it_into_an_error() {
    let mut other = Timeout::new(LONG);
    let mut own = Timeout::new(SHORT);
    own.start();
    let result = own.catch(|| other.catch(|| iora::sleep(LONG)));
    assert!(result.is_err());
}

#[test]
fn a_panic_goes_through_and_the_timeout_is_cancelled() {
    let result = catch_unwind(|| iora::timeout(SHORT, || panic!("expected")));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"expected"));
    iora::sleep(SHORT * 3);
}

#[test]
fn one_that_expires_in_the_turn_of_the_wake_up_loses_nothing() {
    // The item is handed over, then the time is up, and only then does the getter run.
    let queue = Rc::new(Queue::new());
    let gets = queue.clone();
    let getter = iora::spawn(move || iora::timeout(SHORT, || gets.get().unwrap()));
    iora::yield_now();
    queue.put(5).unwrap();
    let start = Instant::now();
    while start.elapsed() < SHORT * 3 {
        std::hint::spin_loop();
    }
    let got = getter.get().unwrap();
    match got {
        Ok(item) => assert_eq!((item, queue.len()), (5, 0)),
        Err(_) => assert_eq!(queue.try_get(), Ok(5)),
    }
}

#[test]
fn g057_a_getter_whose_time_is_up_leaves_the_item_to_others() {
    let queue = Rc::new(Queue::new());
    let log = Rc::new(RefCell::new(Vec::new()));
    let jobs: Vec<_> = [SHORT, LONG]
        .map(|limit| {
            let (queue, log) = (queue.clone(), log.clone());
            iora::spawn(move || {
                let got = queue.get_timeout(limit).ok();
                log.borrow_mut().push(got);
            })
        })
        .into();
    jobs[0].join();
    queue.put(1).unwrap();
    jobs[1].join();
    assert_eq!(*log.borrow(), [None, Some(1)]);
}

#[test]
fn g047_a_surrounding_one_is_raised_through_a_wait_with_a_limit_of_its_own() {
    let event = Event::new();
    assert!(!event.wait_timeout(SHORT), "its own limit is an answer");
    iora::timeout(SHORT, || event.wait_timeout(LONG)).unwrap_err();
}

#[test]
fn a_kill_is_not_taken_for_a_time_out() {
    let job = iora::spawn(|| iora::timeout(LONG, || iora::sleep(LONG)).is_err());
    iora::yield_now();
    job.kill();
    assert!(matches!(job.get(), Err(Exit::Killed)));
}

#[test]
fn one_of_a_greenlet_that_ended_is_gone_with_it() {
    let kept = Rc::new(RefCell::new(None));
    let keeps = kept.clone();
    let job = iora::spawn(move || {
        let mut timeout = Timeout::new(SHORT);
        timeout.start();
        keeps.replace(Some(timeout));
    });
    job.join();
    iora::sleep(SHORT * 3);
    assert!(kept.take().is_some(), "dropped by another greenlet, without harm");
}

#[test]
fn a_time_that_is_up_is_an_io_error_of_that_kind() {
    let elapsed = iora::timeout(SHORT, || iora::sleep(LONG)).unwrap_err();
    assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(elapsed.to_string(), "the time was up");
}

#[test]
fn a_thread_that_has_no_greenlets_may_have_time_outs() {
    let result = std::thread::spawn(|| iora::timeout(SHORT, || iora::sleep(LONG)).is_err());
    assert!(result.join().unwrap());
}

#[test]
fn one_whose_work_was_done_in_time_may_be_run_again() {
    let mut timeout = Timeout::new(LONG);
    assert_eq!(timeout.run(|| 1), Some(1));
    assert!(!timeout.pending());
    assert_eq!(timeout.run(|| 2), Some(2));
}
