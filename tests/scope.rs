//! Scopes: greenlets that borrow.

#[path = "common/child.rs"]
mod child;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use iora::sync::Event;
use iora::{Ending, Exit};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

/// Sets what it borrows when it is dropped.
struct Sets<'a>(&'a Cell<bool>);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn it_waits_for_greenlets_that_nobody_joins_and_for_those_that_they_spawn() {
    let (mut numbers, count) = (vec![3, 1, 2], Cell::new(0));
    iora::scope(|scope| {
        scope.spawn(|| {
            iora::sleep(SHORT);
            numbers.sort_unstable();
        });
        for _ in 0..10 {
            scope.spawn(|| {
                iora::yield_now();
                scope.spawn(|| count.set(count.get() + 1));
            });
        }
    });
    assert_eq!((numbers, count.get()), (vec![1, 2, 3], 10));
}

#[test]
fn an_empty_one_returns_at_once_and_needs_no_hub() {
    assert_eq!(thread::spawn(|| iora::scope(|_| 5)).join().unwrap(), 5);
}

#[test]
fn values_may_borrow_too() {
    let text = "one two".to_owned();
    let word = iora::scope(|scope| scope.spawn(|| text.split(' ').next_back()).join().unwrap());
    assert_eq!(word, Some("two"));
}

#[test]
fn a_panic_of_a_greenlet_that_was_joined_is_the_joiners() {
    let result = iora::scope(|scope| scope.spawn(|| -> () { panic!("expected") }).join());
    assert_eq!(result.unwrap_err().panic_message(), Some("expected"));
}

#[test]
fn a_panic_of_a_greenlet_that_was_not_joined_is_the_scopes_after_all_have_ended() {
    let ended = Cell::new(false);
    let result = catch_unwind(AssertUnwindSafe(|| {
        iora::scope(|scope| {
            scope.spawn(|| {
                let _sets = Sets(&ended);
                iora::sleep(SHORT);
            });
            scope.spawn(|| panic!("expected"));
        });
    }));
    assert!(result.is_err() && ended.get());
}

#[test]
fn a_panic_of_the_body_kills_and_waits() {
    let (ended, never) = (Cell::new(false), Cell::new(false));
    let result = catch_unwind(AssertUnwindSafe(|| {
        iora::scope(|scope| {
            scope.spawn(|| {
                let _sets = Sets(&ended);
                iora::sleep(LONG);
            });
            iora::yield_now();
            scope.spawn(|| never.set(true));
            panic!("expected");
        });
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"expected"));
    assert!(ended.get() && !never.get());
}

#[test]
fn a_greenlet_that_was_killed_is_no_panic() {
    iora::scope(|scope| {
        let job = scope.spawn(|| iora::sleep(LONG));
        iora::yield_now();
        job.kill();
        assert!(job.ready());
        assert!(matches!(job.join(), Err(Exit::Killed)));
        assert!(!scope.spawn(|| iora::sleep(SHORT)).join_timeout(Duration::ZERO));
    });
}

#[test]
fn a_kill_of_the_parent_in_its_wait_reaches_the_greenlets_and_then_the_parent() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let parent = iora::spawn({
        let log = log.clone();
        move || {
            let ended = Cell::new(false);
            let result = catch_unwind(AssertUnwindSafe(|| {
                iora::scope(|scope| {
                    scope.spawn(|| {
                        let _sets = Sets(&ended);
                        iora::sleep(LONG);
                    });
                });
                log.borrow_mut().push("never");
            }));
            assert!(ended.get());
            log.borrow_mut().push("unwound");
            std::panic::resume_unwind(result.unwrap_err());
        }
    });
    iora::yield_now();
    iora::yield_now();
    parent.kill();
    assert_eq!(*log.borrow(), ["unwound"]);
    assert_eq!(parent.ending(), Some(Ending::Killed));
}

#[test]
fn a_kill_of_the_parent_waits_for_a_greenlet_that_resists() {
    let gave_up = Rc::new(Cell::new(false));
    let parent = iora::spawn({
        let gave_up = gave_up.clone();
        move || {
            let lent = [1, 2, 3];
            iora::scope(|scope| {
                scope.spawn(|| {
                    assert!(catch_unwind(|| iora::sleep(LONG)).is_err());
                    // The frame of the parent is still there.
                    iora::sleep(SHORT);
                    gave_up.set(lent.len() == 3);
                });
            });
        }
    });
    iora::yield_now();
    iora::yield_now();
    parent.kill();
    assert!(gave_up.get());
    assert_eq!(parent.ending(), Some(Ending::Killed));
}

#[test]
fn a_time_out_of_the_parent_in_its_wait_is_its_own() {
    let ended = Cell::new(false);
    let result = iora::timeout(SHORT, || {
        iora::scope(|scope| {
            scope.spawn(|| {
                let _sets = Sets(&ended);
                iora::sleep(LONG);
            });
        });
    });
    assert!(result.is_err() && ended.get());
}

#[test]
fn a_time_out_in_the_body_ends_the_greenlets() {
    let ended = Cell::new(false);
    let result = iora::timeout(SHORT, || {
        iora::scope(|scope| {
            scope.spawn(|| {
                let _sets = Sets(&ended);
                iora::sleep(LONG);
            });
            iora::sleep(LONG);
        });
    });
    assert!(result.is_err() && ended.get());
}

#[test]
fn nested_scopes_are_killed_from_the_outside_in() {
    let log = RefCell::new(Vec::new());
    struct Logs<'a>(&'a RefCell<Vec<&'static str>>, &'static str);
    impl Drop for Logs<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let result = iora::timeout(SHORT, || {
        let _first = Logs(&log, "outer body");
        iora::scope(|outer| {
            outer.spawn(|| {
                let _second = Logs(&log, "outer greenlet");
                iora::scope(|inner| {
                    inner.spawn(|| {
                        let _third = Logs(&log, "inner greenlet");
                        iora::sleep(LONG);
                    });
                });
            });
        });
    });
    assert!(result.is_err());
    assert_eq!(*log.borrow(), ["inner greenlet", "outer greenlet", "outer body"]);
}

#[test]
fn the_end_of_the_hub_inside_ends_the_greenlets_before_what_they_borrow_goes() {
    thread::spawn(|| {
        let (ended, again) = (Cell::new(false), Cell::new(false));
        iora::scope(|scope| {
            let parked = scope.spawn(|| {
                let _sets = Sets(&ended);
                iora::sleep(LONG);
            });
            iora::yield_now();
            let unstarted = scope.spawn(|| unreachable!("the hub ends first"));
            iora::hub::end();
            assert!(ended.get());
            assert!(matches!(parked.join(), Err(Exit::Killed)));
            assert!(matches!(unstarted.join(), Err(Exit::Killed)));
            // A new hub, in the same scope.
            scope.spawn(|| again.set(true));
        });
        assert!(again.get());
    })
    .join()
    .unwrap();
}

#[test]
fn one_that_resists_the_end_of_the_hub_never_runs_again() {
    thread::spawn(|| {
        let runs = Cell::new(0);
        let seen = iora::scope(|scope| {
            scope.spawn(|| {
                loop {
                    runs.set(runs.get() + 1);
                    let _ = catch_unwind(|| iora::sleep(LONG));
                }
            });
            iora::yield_now();
            iora::hub::end();
            runs.get()
        });
        iora::spawn(|| iora::sleep(SHORT)).join();
        assert_eq!(runs.get(), seen);
    })
    .join()
    .unwrap();
}

#[test]
fn in_a_destructor_during_an_unwind_it_aborts_if_greenlets_are_left() {
    struct Scopes(bool);
    impl Drop for Scopes {
        fn drop(&mut self) {
            iora::scope(|scope| {
                if self.0 {
                    scope.spawn(|| ());
                }
            });
        }
    }
    let name = "in_a_destructor_during_an_unwind_it_aborts_if_greenlets_are_left";
    let output = child::in_child(name, "", || {
        let harmless = iora::spawn(|| {
            let _scopes = Scopes(false);
            panic!("first");
        });
        harmless.join();
        assert!(harmless.ready());
        iora::spawn(|| {
            let _scopes = Scopes(true);
            panic!("second");
        })
        .join();
        unreachable!("it aborts");
    });
    let text = child::assert_ended(&output, Some(6));
    assert!(
        text.contains("a scope cannot wait for its greenlets while the thread unwinds"),
        "{text}"
    );
}

#[test]
fn a_scope_in_a_greenlet_shares_the_hub_with_everybody() {
    let event = Rc::new(Event::new());
    let waits = event.clone();
    let parent = iora::spawn(move || {
        let mut total = 0;
        iora::scope(|scope| {
            let jobs = [1, 2, 3].map(|n| {
                let waits = &waits;
                scope.spawn(move || {
                    waits.wait();
                    n
                })
            });
            total = jobs.into_iter().map(|job| job.join().unwrap()).sum();
        });
        total
    });
    iora::yield_now();
    event.set();
    assert_eq!(parent.get().unwrap(), 6);
}

#[test]
fn a_name_is_seen() {
    iora::scope(|scope| {
        let job = scope.spawn_with(iora::Builder::new().name("borrower"), || ()).unwrap();
        assert!(format!("{job:?}").contains("\"borrower\""));
        assert!(format!("{scope:?}").contains('1'));
    });
}
