//! Joins, links and what a handle says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use iora::sync::Event;
use iora::{Builder, Ending, Exit, Greenlet, Timeout};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

#[test]
fn g013_states_in_words() {
    let event = Rc::new(Event::new());
    let waits = event.clone();
    let place = line!() + 1;
    let job = Builder::new().name("clerk").spawn(move || waits.wait()).unwrap();
    let line = |state: &str| format!("<Greenlet \"clerk\" #{} at tests/join.rs:{place}: {state}>", job.id());
    assert_eq!(format!("{job:?}"), line("not started"));
    iora::yield_now();
    assert_eq!(format!("{job:?}"), line("parked in event"));
    event.set();
    assert_eq!(format!("{job:?}"), line("ready"));
    job.join();
    assert_eq!(format!("{job:?}"), line("returned"));
    let later = iora::spawn_later(LONG, || ());
    assert!(format!("{later:?}").ends_with("parked in its start>"), "{later:?}");
    later.kill();
    assert!(format!("{later:?}").ends_with(": killed>"));
    let own = Rc::new(RefCell::new(None::<Greenlet<String>>));
    let looks = own.clone();
    let job = iora::spawn(move || format!("{:?}", looks.borrow().as_ref().unwrap()));
    own.replace(Some(job));
    iora::yield_now();
    let line = own.take().unwrap().get().unwrap();
    assert!(line.ends_with(": running>"), "{line}");
}

#[test]
fn a_current_greenlet_knows_itself() {
    assert!(iora::current().is_none());
    let job = Builder::new().name("me").spawn(|| {
        let me = iora::current().unwrap();
        (me.id(), me.name().map(str::to_owned), me.spawned_at().file())
    });
    let job = job.unwrap();
    let id = job.id();
    assert_eq!(job.name(), Some("me"));
    assert_eq!(job.get().unwrap(), (id, Some("me".to_owned()), "tests/join.rs"));
}

#[test]
fn ids_are_unique_in_the_process() {
    let ids = || -> Vec<u64> { (0..2000).map(|_| iora::spawn(|| ()).id()).collect() };
    let threads: Vec<_> = (0..3).map(|_| thread::spawn(ids)).collect();
    let mut all: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6000);
}

#[test]
fn g014_a_failure_has_no_value_and_its_message_is_kept() {
    let job = iora::spawn(|| -> u32 { panic!("number {}", 3) });
    job.join();
    assert!(job.ready() && !job.successful());
    assert_eq!((job.value(), job.ending()), (None, Some(Ending::Panicked)));
    let exit = job.get().unwrap_err();
    assert_eq!(exit.ending(), Ending::Panicked);
    assert_eq!(exit.to_string(), "the greenlet panicked: number 3");
    assert_eq!(format!("{exit:?}"), "Panicked(\"number 3\")");
}

#[test]
fn g016_a_join_returns_on_success_on_failure_and_when_its_time_is_up() {
    let [returns, panics] = [false, true].map(|panics| {
        iora::spawn(move || {
            iora::yield_now();
            assert!(!panics, "expected");
        })
    });
    returns.join();
    panics.join();
    let parked = iora::spawn(|| iora::sleep(LONG));
    let start = Instant::now();
    assert!(!parked.join_timeout(SHORT) && start.elapsed() >= SHORT);
    assert!(!parked.join_timeout(Duration::ZERO));
    assert!(returns.join_timeout(Duration::ZERO), "it has ended: no wait");
}

#[test]
fn many_join_one() {
    let job = Arc::new(iora::spawn(|| {
        iora::sleep(SHORT);
        5
    }));
    let mut joiners = Vec::new();
    for _ in 0..10 {
        let job = job.clone();
        joiners.push(iora::spawn(move || {
            job.join();
            *job.value().unwrap()
        }));
    }
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let job = job.clone();
            thread::spawn(move || {
                if n % 2 == 0 {
                    // A plain thread, and one with a hub.
                    job.join();
                    return *job.value().unwrap();
                }
                iora::spawn(move || {
                    job.join();
                    *job.value().unwrap()
                })
                .get()
                .unwrap()
            })
        })
        .collect();
    job.join();
    iora::joinall(&joiners, None);
    assert!(joiners.iter().all(|joiner| joiner.value() == Some(&5)));
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 5));
}

#[test]
fn a_joiner_that_gives_up_is_not_woken_and_leaves_room_for_the_next() {
    let end = Rc::new(Event::new());
    let ends = end.clone();
    let job = Rc::new(iora::spawn(move || ends.wait()));
    let join = |timeout: Duration| {
        let job = job.clone();
        iora::spawn(move || {
            let ended = job.join_timeout(timeout);
            // A wake-up that was meant for the join would end this wait too soon.
            let never = Event::new();
            (ended, never.wait_timeout(SHORT * 20))
        })
    };
    let (first, killed, second) = (join(SHORT), join(LONG), join(LONG));
    iora::sleep(SHORT * 5);
    killed.kill();
    let third = join(LONG);
    iora::yield_now();
    end.set();
    let results: Vec<_> = [first, second, third]
        .into_iter()
        .map(|job| job.get().unwrap())
        .collect();
    assert_eq!(results, [(false, false), (true, false), (true, false)]);
    assert_eq!(killed.ending(), Some(Ending::Killed));
}

#[test]
fn who_joins_on_another_thread_about_now_misses_no_end() {
    let (send, receive) = mpsc::channel::<Arc<Greenlet<u32>>>();
    let joiner = thread::spawn(move || {
        let mut sum = 0;
        for job in receive {
            job.join();
            sum += *job.value().unwrap();
        }
        sum
    });
    for number in 0..2_000 {
        let job = Arc::new(iora::spawn(move || number));
        send.send(job.clone()).unwrap();
        if number % 2 == 0 {
            job.join();
        } else {
            iora::yield_now();
        }
    }
    drop(send);
    assert_eq!(joiner.join().unwrap(), (0..2_000).sum());
}

#[test]
fn g017_g020_joinall_takes_duplicates_and_gives_what_has_ended() {
    let (quick, slow) = (
        iora::spawn(|| 1),
        iora::spawn(|| {
            iora::sleep(LONG);
            2
        }),
    );
    let ended = iora::joinall([&quick, &slow, &quick], SHORT);
    assert_eq!(
        ended.iter().map(|job| job.id()).collect::<Vec<_>>(),
        [quick.id(), quick.id()]
    );
    assert!(iora::joinall::<()>([], None).is_empty());
    assert!(iora::joinall([&slow], Duration::ZERO).is_empty());
    slow.kill();
    assert_eq!(iora::joinall([&slow], None).len(), 1);
}

#[test]
fn a_value_is_lent_for_as_long_as_the_handle_lives() {
    let job = iora::spawn(|| String::from("lent"));
    job.join();
    let lent: &str = job.value().unwrap();
    iora::spawn(|| ()).join();
    assert_eq!(lent, "lent");
    assert_eq!(job.get().unwrap(), "lent");
}

#[test]
fn a_value_goes_to_another_thread() {
    let job = iora::spawn(|| vec![1, 2, 3]);
    job.join();
    let sum = thread::spawn(move || job.get().unwrap().into_iter().sum::<i32>());
    assert_eq!(sum.join().unwrap(), 6);
}

// Links.

#[test]
fn g021_links_are_called_in_order_for_every_ending() {
    let endings: [(fn(), Ending); 3] = [
        (|| (), Ending::Returned),
        (|| panic!("expected"), Ending::Panicked),
        (|| iora::sleep(LONG), Ending::Killed),
    ];
    for (body, ending) in endings {
        let log = Arc::new(Mutex::new(Vec::new()));
        let job = iora::spawn(body);
        for n in 0..100 {
            let log = log.clone();
            job.link(move |told| log.lock().unwrap().push((n, told)));
        }
        iora::yield_now();
        job.kill();
        iora::yield_now();
        assert_eq!(*log.lock().unwrap(), (0..100).map(|n| (n, ending)).collect::<Vec<_>>());
    }
}

#[test]
fn g022_a_link_that_comes_after_the_end_is_called_at_once() {
    let job = iora::spawn(|| ());
    job.join();
    iora::yield_now();
    let (sender, receiver) = mpsc::channel();
    let id = job.link(move |ending| sender.send(ending).unwrap());
    assert_eq!(receiver.try_recv(), Ok(Ending::Returned));
    assert!(!job.unlink(id));
}

#[test]
fn g022_one_that_comes_while_the_others_are_called_is_called_after_them() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let job = Arc::new(iora::spawn(|| ()));
    let (adds, logs) = (job.clone(), log.clone());
    job.link(move |_| {
        logs.lock().unwrap().push(1);
        let late = logs.clone();
        adds.link(move |_| late.lock().unwrap().push(3));
    });
    let logs = log.clone();
    job.link(move |_| logs.lock().unwrap().push(2));
    job.join();
    iora::yield_now();
    assert_eq!(*log.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn g023_a_link_that_fails_keeps_no_other_from_being_called() {
    let count = Arc::new(AtomicU32::new(0));
    let job = iora::spawn(|| 7);
    for n in 0..4 {
        let count = count.clone();
        job.link(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            assert!(n % 2 == 0, "expected");
        });
    }
    job.join();
    iora::yield_now();
    assert_eq!(count.load(Ordering::Relaxed), 4);
    assert_eq!(job.get().unwrap(), 7);
}

#[test]
fn g024_a_link_that_is_taken_back_is_not_called_also_by_a_link() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let job = Arc::new(iora::spawn(|| ()));
    let note = |n: u32| {
        let log = log.clone();
        move |_| log.lock().unwrap().push(n)
    };
    let before = job.link(note(1));
    assert!(job.unlink(before) && !job.unlink(before));
    let during = Arc::new(Mutex::new(None));
    let (takes, which) = (job.clone(), during.clone());
    job.link(move |_| assert!(takes.unlink(which.lock().unwrap().unwrap())));
    *during.lock().unwrap() = Some(job.link(note(2)));
    job.link(note(3));
    job.join();
    iora::yield_now();
    assert_eq!(*log.lock().unwrap(), [3]);
}

#[test]
fn a_link_from_another_thread_is_called_once_whenever_it_comes() {
    for _ in 0..50 {
        let job = Arc::new(iora::spawn(iora::yield_now));
        let called = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (job, called) = (job.clone(), called.clone());
                thread::spawn(move || {
                    job.link(move |_| {
                        called.fetch_add(1, Ordering::Relaxed);
                    })
                })
            })
            .collect();
        job.join();
        for thread in threads {
            thread.join().unwrap();
        }
        // A link that was added while others were called is called by the greenlet: it is done when it is gone.
        iora::yield_now();
        assert_eq!(called.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn a_link_may_park_and_the_join_does_not_wait_for_it() {
    let event = Arc::new(Event::new());
    let done = Arc::new(AtomicU32::new(0));
    let job = iora::spawn(|| 3);
    let (waits, sets) = (event.clone(), done.clone());
    job.link(move |_| {
        waits.wait();
        sets.store(1, Ordering::Relaxed);
    });
    job.join();
    job.kill();
    assert_eq!((job.value(), done.load(Ordering::Relaxed)), (Some(&3), 0));
    event.set();
    iora::yield_now();
    assert_eq!(
        done.load(Ordering::Relaxed),
        1,
        "a kill after the end does not reach it"
    );
}

// What belongs to nobody.

#[test]
fn a_greenlet_whose_handle_is_dropped_runs_on() {
    let ran = Rc::new(Cell::new(false));
    let runs = ran.clone();
    drop(iora::spawn(move || {
        iora::yield_now();
        runs.set(true);
    }));
    iora::yield_now();
    iora::yield_now();
    assert!(ran.get());
}

#[test]
fn handles_dropped_on_another_thread_while_their_greenlets_end() {
    for _ in 0..200 {
        let (count, job) = {
            let count = Arc::new(());
            let held = count.clone();
            (count, iora::spawn(move || held))
        };
        let dropper = thread::spawn(move || drop(job));
        iora::yield_now();
        dropper.join().unwrap();
        iora::yield_now();
        assert_eq!(Arc::strong_count(&count), 1, "whoever came last dropped the value");
    }
}

#[test]
fn spawn_later_is_never_early() {
    let start = Instant::now();
    let job = iora::spawn_later(SHORT * 5, move || start.elapsed());
    assert!(job.get().unwrap() >= SHORT * 5);
    let job = Builder::new().delay(SHORT * 5).spawn(move || start.elapsed()).unwrap();
    assert!(job.get().unwrap() >= SHORT * 5);
    let never = iora::spawn_later(Duration::MAX, || ());
    assert!(!never.join_timeout(SHORT));
    never.kill();
    assert!(matches!(never.get(), Err(Exit::Killed)));
}

/// What became of what links spawned as their thread ended, and whether the last link was called. With a generator first,
/// the thread's stacks outlive its hub.
fn spawned_by_links_of_a_thread_that_ends(generator_first: bool) -> (Vec<Ending>, bool) {
    let (sender, spawned) = mpsc::channel();
    let called = Arc::new(AtomicBool::new(false));
    let thread = thread::spawn({
        let called = called.clone();
        move || {
            if generator_first {
                iora::Generator::new(|_: &iora::Yielder<(), ()>, ()| ()).for_each(drop);
            }
            let left_behind = iora::spawn(|| iora::sleep(LONG));
            iora::yield_now();
            left_behind.link({
                let sender = sender.clone();
                move |_| {
                    // An error means that nothing was spawned.
                    let _ = Builder::new().spawn(|| 1).map(|job| sender.send(job));
                }
            });
            left_behind.link(move |_| drop(sender.send(iora::spawn(|| 2))));
            left_behind.link(move |ending| called.store(ending == Ending::Abandoned, Ordering::SeqCst));
        }
    });
    thread.join().expect("whatever its links do");
    let endings = spawned
        .iter()
        .map(|job| {
            job.join();
            job.ending().expect("it was joined")
        })
        .collect();
    (endings, called.load(Ordering::SeqCst))
}

#[test]
fn what_a_link_spawns_as_its_thread_ends_never_runs_and_harms_nobody() {
    assert_eq!(
        spawned_by_links_of_a_thread_that_ends(false),
        (vec![], true),
        "no stack is left"
    );
    let all = vec![Ending::Abandoned; 2];
    assert_eq!(spawned_by_links_of_a_thread_that_ends(true), (all, true));
}

#[test]
fn nothing_is_raised_in_what_is_called_at_the_end() {
    let job = iora::spawn(|| {
        let mut timeout = Timeout::new(SHORT);
        timeout.start();
        std::mem::forget(timeout);
    });
    let (whole, last) = (Arc::new(AtomicBool::new(false)), Arc::new(Event::new()));
    let (slow, end) = (whole.clone(), last.clone());
    job.link(move |_| {
        iora::sleep(20 * SHORT);
        slow.store(true, Ordering::SeqCst);
    });
    job.link(move |_| end.set());
    last.wait();
    assert!(whole.load(Ordering::SeqCst));
}

#[test]
fn one_that_is_left_behind_in_a_link_has_the_others_called() {
    let called = Arc::new(AtomicU32::new(0));
    let calls = called.clone();
    thread::spawn(move || {
        let job = iora::spawn(|| ());
        job.link(|_| iora::sleep(LONG));
        job.link(move |ending| {
            assert_eq!(ending, Ending::Returned);
            calls.fetch_add(1, Ordering::SeqCst);
        });
        iora::yield_now();
        assert!(job.ready());
    })
    .join()
    .unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 1);
}

#[test]
fn a_value_that_nobody_wants_may_panic_with_something_that_panics_too() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("once too often");
        }
    }
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            std::panic::panic_any(Payload);
        }
    }
    drop(iora::spawn(|| Value));
    iora::yield_now();
    assert_eq!(iora::spawn(|| 1).get().unwrap(), 1);
}
