//! Greenlet-local variables.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use iora::{Ending, Local};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

#[test]
fn g097_every_greenlet_and_every_thread_has_its_own() {
    static NUMBER: Local<Cell<u32>> = Local::new(|| Cell::new(1));
    NUMBER.with(|number| number.set(2));
    let jobs: Vec<_> = (10..13)
        .map(|n| {
            iora::spawn(move || {
                assert_eq!(NUMBER.with(Cell::get), 1);
                NUMBER.with(|number| number.set(n));
                iora::sleep(SHORT);
                NUMBER.with(Cell::get)
            })
        })
        .collect();
    iora::joinall(&jobs, None);
    let values: Vec<_> = jobs.iter().filter_map(iora::Greenlet::value).copied().collect();
    assert_eq!(values, [10, 11, 12]);
    assert_eq!(NUMBER.with(Cell::get), 2);
    assert_eq!(thread::spawn(|| NUMBER.with(Cell::get)).join().unwrap(), 1);
}

#[test]
fn the_threads_own_outlives_its_hub() {
    static NUMBER: Local<Cell<u32>> = Local::new(|| Cell::new(1));
    thread::spawn(|| {
        NUMBER.with(|number| number.set(2));
        iora::spawn(|| ()).join();
        iora::hub::end();
        assert_eq!(NUMBER.with(Cell::get), 2);
    })
    .join()
    .unwrap();
}

/// What was noted.
type Log = Rc<RefCell<Vec<Option<u64>>>>;

/// Notes when it is dropped, and by which greenlet.
struct Notes(RefCell<Option<Log>>);

impl Drop for Notes {
    fn drop(&mut self) {
        if let Some(log) = self.0.take() {
            log.borrow_mut().push(iora::current().map(|current| current.id()));
        }
    }
}

#[test]
fn g097_values_end_with_the_greenlet_on_its_stack_though_its_handle_lives() {
    static NOTES: Local<Notes> = Local::new(|| Notes(RefCell::default()));
    let log = Rc::new(RefCell::new(Vec::new()));
    let ends: [fn(); 3] = [|| (), || panic!("expected"), || iora::sleep(LONG)];
    for end in ends {
        let logs = log.clone();
        let job = iora::spawn(move || {
            NOTES.with(|notes| notes.0.replace(Some(logs)));
            end();
        });
        iora::yield_now();
        job.kill();
        assert_eq!(log.borrow_mut().pop(), Some(Some(job.id())));
    }
}

#[test]
fn a_destructor_may_park_and_use_other_variables_and_its_own() {
    struct Uses(Cell<bool>);
    impl Drop for Uses {
        fn drop(&mut self) {
            if self.0.get() {
                iora::sleep(SHORT);
                // Both are made again, and end too.
                OTHER.with(|other| other.0.set(true));
                USES.with(|_| ());
            }
        }
    }
    struct Other(Cell<bool>);
    impl Drop for Other {
        fn drop(&mut self) {
            if self.0.get() {
                DROPPED.fetch_add(1, Ordering::Relaxed);
                assert!(iora::current().is_some(), "on the greenlet's stack");
            }
        }
    }
    static USES: Local<Uses> = Local::new(|| Uses(Cell::new(false)));
    static OTHER: Local<Other> = Local::new(|| Other(Cell::new(false)));
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    let job = iora::spawn(|| USES.with(|uses| uses.0.set(true)));
    job.join();
    assert_eq!(job.ending(), Some(Ending::Returned));
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
}

#[test]
fn one_that_is_made_in_a_link_or_by_the_destructor_of_the_value_ends_on_the_greenlets_stack() {
    struct Noted;
    impl Drop for Noted {
        fn drop(&mut self) {
            assert!(iora::current().is_some());
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    static NOTED: Local<Noted> = Local::new(|| Noted);
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Uses;
    impl Drop for Uses {
        fn drop(&mut self) {
            NOTED.with(|_| ());
        }
    }
    let linked = iora::spawn(|| ());
    linked.link(|_| NOTED.with(|_| ()));
    linked.join();
    iora::yield_now();
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    drop(iora::spawn(|| Uses));
    iora::yield_now();
    assert_eq!(DROPPED.load(Ordering::Relaxed), 2);
}

#[test]
fn a_destructor_that_always_makes_another_does_not_go_on_for_ever() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            AGAIN.with(|_| ());
        }
    }
    static AGAIN: Local<Again> = Local::new(|| Again);
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    assert!(iora::spawn(|| AGAIN.with(|_| ())).get().is_ok());
    assert!(DROPPED.load(Ordering::Relaxed) > 1);
}

#[test]
fn a_panic_of_a_destructor_is_the_greenlets() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a local's");
        }
    }
    static PANICS: Local<Panics> = Local::new(|| Panics);
    let job = iora::spawn(|| PANICS.with(|_| 3));
    assert_eq!(job.get().unwrap_err().panic_message(), Some("a local's"));
    // The first panic counts.
    let job = iora::spawn(|| -> () {
        PANICS.with(|_| ());
        panic!("the body's");
    });
    assert_eq!(job.get().unwrap_err().panic_message(), Some("the body's"));
}

#[test]
fn g035_children_inherit_what_is_inheritable() {
    static DEPTH: Local<Cell<u32>> = Local::inherited(|| Cell::new(0));
    static OWN: Local<Cell<u32>> = Local::new(|| Cell::new(0));
    let parent = iora::spawn(|| {
        DEPTH.with(|depth| depth.set(1));
        OWN.with(|own| own.set(1));
        let child = iora::spawn(|| {
            let seen = (DEPTH.with(Cell::get), OWN.with(Cell::get));
            DEPTH.with(|depth| depth.set(depth.get() + 1));
            let grandchild = iora::spawn(|| DEPTH.with(Cell::get));
            (seen, grandchild.get().unwrap())
        });
        // A later change is the parent's own.
        DEPTH.with(|depth| depth.set(7));
        (child.get().unwrap(), DEPTH.with(Cell::get))
    });
    assert_eq!(parent.get().unwrap(), (((1, 0), 2), 7));
    assert_eq!(DEPTH.with(Cell::get), 0, "another root");
}

#[test]
fn one_that_is_taken_is_made_again() {
    static NUMBER: Local<Cell<u32>> = Local::inherited(|| Cell::new(1));
    iora::spawn(|| {
        assert!(NUMBER.take().is_none());
        NUMBER.with(|number| {
            number.set(5);
            assert!(NUMBER.take().is_none(), "in use");
        });
        NUMBER.with(|number| number.set(6));
        assert_eq!(NUMBER.take().map(Cell::into_inner), Some(6));
        assert_eq!(NUMBER.with(Cell::get), 1);
    })
    .get()
    .unwrap();
}

#[test]
fn one_whose_first_value_uses_the_variable_itself_ends_with_one_value() {
    static ROUNDS: AtomicU32 = AtomicU32::new(0);
    static LIVE: AtomicU32 = AtomicU32::new(0);
    struct Live;
    impl Drop for Live {
        fn drop(&mut self) {
            // Uses the hub: nothing of it may be borrowed now.
            iora::yield_now();
            LIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
    static ITSELF: Local<Live> = Local::new(|| {
        if ROUNDS.fetch_add(1, Ordering::Relaxed) == 0 {
            ITSELF.with(|_| ());
        }
        LIVE.fetch_add(1, Ordering::Relaxed);
        Live
    });
    let job = iora::spawn(|| {
        ITSELF.with(|_| ());
        LIVE.load(Ordering::Relaxed)
    });
    assert_eq!(job.get().unwrap(), 1);
    assert_eq!(LIVE.load(Ordering::Relaxed), 0);
}

#[test]
fn g097_many_in_one_greenlet_do_not_pile_up() {
    static NUMBER: Local<Rc<Cell<u32>>> = Local::new(Rc::default);
    iora::spawn(|| {
        for _ in 0..10_000 {
            NUMBER.with(|number| number.set(number.get() + 1));
            if NUMBER.with(|number| number.get() % 100 == 0) {
                assert_eq!(NUMBER.take().map(|number| Rc::strong_count(&number)), Some(1));
            }
        }
    })
    .get()
    .unwrap();
}
