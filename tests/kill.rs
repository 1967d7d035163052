//! Kills, in every state of the victim and from everywhere.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use iora::queue::{Channel, Queue};
use iora::sync::{AsyncResult, Condvar, Event, Mutex, Semaphore};
use iora::{Ending, Exit, Generator, Greenlet, Yielder};

#[path = "common/waiting.rs"]
mod waiting;
use waiting::until_parked;

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

/// Whatever came of it.
fn ignore<T>(_: T) {}

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Something that waits for ever, made afresh for each victim.
type Wait = (&'static str, fn() -> Box<dyn FnOnce()>);

/// Every kind of wait that a greenlet may be parked in.
const WAITS: &[Wait] = &[
    ("sleep", || Box::new(|| iora::sleep(LONG))),
    ("sleep for ever", || Box::new(|| iora::sleep(Duration::MAX))),
    ("yields", || {
        Box::new(|| {
            loop {
                iora::yield_now();
            }
        })
    }),
    ("join", || {
        let job = iora::spawn(|| iora::sleep(LONG));
        Box::new(move || job.join())
    }),
    ("join with a limit", || {
        let job = iora::spawn(|| iora::sleep(LONG));
        Box::new(move || assert!(!job.join_timeout(LONG)))
    }),
    ("joinall", || {
        let jobs = [0, 1].map(|_| iora::spawn(|| iora::sleep(LONG)));
        Box::new(move || drop(iora::joinall(&jobs, None)))
    }),
    ("event", || Box::new(|| Event::new().wait())),
    ("event with a limit", || {
        Box::new(|| assert!(!Event::new().wait_timeout(LONG)))
    }),
    ("semaphore", || Box::new(|| Semaphore::new(0).acquire())),
    ("result", || {
        Box::new(|| {
            AsyncResult::<u32>::new().wait();
        })
    }),
    ("mutex", || {
        let mutex = Rc::new(Mutex::new(()));
        let holder = mutex.clone();
        drop(iora::spawn(move || {
            let _guard = holder.lock();
            iora::sleep(LONG);
        }));
        Box::new(move || {
            // The holder is before the victim in the queue of the ready.
            drop(mutex.lock());
        })
    }),
    ("condition", || {
        Box::new(|| {
            let mutex = Mutex::new(());
            drop(Condvar::new().wait(mutex.lock().unwrap()));
        })
    }),
    ("get", || Box::new(|| ignore(Queue::<u32>::new().get()))),
    ("put", || {
        Box::new(|| {
            let queue = Queue::bounded(1);
            queue.put(1).unwrap();
            ignore(queue.put(2));
        })
    }),
    ("queue's join", || {
        Box::new(|| {
            let queue = Queue::new();
            queue.put(1).unwrap();
            queue.join();
        })
    }),
    ("channel's get", || Box::new(|| ignore(Channel::<u32>::new().get()))),
    ("channel's put", || Box::new(|| ignore(Channel::new().put(1)))),
    ("time-out", || {
        Box::new(|| ignore(iora::timeout(LONG, || iora::sleep(LONG))))
    }),
    ("scope", || {
        Box::new(|| {
            iora::scope(|scope| {
                scope.spawn(|| iora::sleep(LONG));
            });
        })
    }),
    ("generator", || {
        Box::new(|| {
            let inner = Generator::new(|hand: &Yielder<(), ()>, ()| {
                iora::sleep(LONG);
                hand.give(());
            });
            inner.for_each(drop);
        })
    }),
    ("destructor", || {
        struct Sleeps;
        impl Drop for Sleeps {
            fn drop(&mut self) {
                iora::sleep(LONG);
            }
        }
        Box::new(|| drop(Sleeps))
    }),
];

/// Kills a greenlet of the calling thread's hub, in one way or another, and waits until it has ended.
type Killer = (&'static str, fn(Greenlet<()>) -> Greenlet<()>);

/// Every place that a kill may come from.
const KILLERS: &[Killer] = &[
    ("the thread's own stack", |victim| {
        victim.kill();
        victim
    }),
    ("a greenlet", |victim| {
        let killer = iora::spawn(move || {
            victim.kill();
            victim
        });
        killer.get().unwrap()
    }),
    ("a plain thread", |victim| {
        in_a_thread(move || {
            victim.kill();
            victim
        })
    }),
    ("a greenlet of another hub", |victim| {
        in_a_thread(move || {
            let killer = iora::spawn(move || {
                victim.kill();
                victim
            });
            killer.get().unwrap()
        })
    }),
    ("several at once", |victim| {
        victim.kill_nowait();
        victim.kill_nowait();
        let victim = in_a_thread(move || {
            victim.kill_nowait();
            victim
        });
        assert!(iora::killall([&victim], LONG));
        victim
    }),
];

/// Runs `f` on another thread while this thread's hub goes on.
fn in_a_thread<T: Send + Sync + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let result = Arc::new(AsyncResult::new());
    let setter = result.clone();
    let thread = thread::spawn(move || assert!(setter.set(f()).is_ok()));
    result.wait();
    thread.join().unwrap();
    Arc::into_inner(result).unwrap().into_inner().unwrap()
}

#[test]
fn a_kill_ends_every_wait_from_everywhere_and_destructors_run_once() {
    for (wait, make) in WAITS {
        for (killer, kill) in KILLERS {
            let dropped = Rc::new(Cell::new(0));
            let (counted, waits) = (Counted(dropped.clone()), make());
            let victim = iora::spawn(move || {
                let _counted = counted;
                waits();
            });
            // Twice: what it waits for may have to begin first.
            iora::yield_now();
            iora::yield_now();
            assert!(!victim.ready(), "{wait}");
            let victim = kill(victim);
            assert_eq!(victim.ending(), Some(Ending::Killed), "{wait}, killed by {killer}");
            assert_eq!(dropped.get(), 1, "{wait}, killed by {killer}");
            assert!(!victim.successful() && victim.value().is_none());
        }
    }
}

#[test]
fn g026_a_greenlet_that_is_killed_before_it_begins_never_runs_and_its_links_are_called_once() {
    for delay in [Duration::ZERO, LONG] {
        for (killer, kill) in KILLERS {
            let (ran, dropped) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
            let told = Arc::new(AtomicU32::new(0));
            let (counted, runs) = (Counted(dropped.clone()), ran.clone());
            let body = move || {
                let _counted = counted;
                runs.set(true);
            };
            let victim = if delay.is_zero() {
                iora::spawn(body)
            } else {
                iora::spawn_later(delay, body)
            };
            let tells = told.clone();
            victim.link(move |ending| {
                assert_eq!(ending, Ending::Killed);
                tells.fetch_add(1, Ordering::Relaxed);
            });
            // Those that come from other threads come too late for one that is ready.
            if delay.is_zero() {
                victim.kill_nowait();
            }
            let victim = kill(victim);
            iora::yield_now();
            assert!(!ran.get(), "killed by {killer}");
            assert_eq!(dropped.get(), 1, "killed by {killer}");
            assert_eq!(told.load(Ordering::Relaxed), 1, "killed by {killer}");
            assert!(matches!(victim.get(), Err(Exit::Killed)));
        }
    }
}

#[test]
fn g026_a_greenlet_that_runs_is_killed_at_its_next_park_point() {
    let (sender, receiver) = mpsc::channel();
    let (state, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let victim = iora::spawn({
        let (state, seen) = (state.clone(), seen.clone());
        move || {
            let killer: thread::JoinHandle<Greenlet<()>> = receiver.recv().unwrap();
            // Really blocks the thread: the kill finds it running.
            let _victim = killer.join().unwrap();
            state.store(1, Ordering::Relaxed);
            // The hub reads what came from other threads when it has run its ready greenlets.
            iora::sleep(LONG);
            seen.store(1, Ordering::Relaxed);
        }
    });
    let told = Arc::new(Event::new());
    let ended = Arc::new(std::sync::OnceLock::new());
    let (tells, ends) = (told.clone(), ended.clone());
    victim.link(move |ending| {
        ends.set(ending).unwrap();
        tells.set();
    });
    sender
        .send(thread::spawn(move || {
            victim.kill_nowait();
            victim
        }))
        .unwrap();
    told.wait();
    assert_eq!(ended.get(), Some(&Ending::Killed));
    assert_eq!((state.load(Ordering::Relaxed), seen.load(Ordering::Relaxed)), (1, 0));
}

#[test]
fn g028_a_second_kill_and_one_after_the_end_are_harmless() {
    let finished = iora::spawn(|| 3);
    finished.join();
    finished.kill();
    assert_eq!(finished.ending(), Some(Ending::Returned));
    assert_eq!(finished.get().unwrap(), 3);
    let killed = iora::spawn(|| iora::sleep(LONG));
    iora::yield_now();
    killed.kill();
    killed.kill();
    assert!(killed.kill_timeout(Duration::ZERO));
    let panicked = iora::spawn(|| -> () { panic!("expected") });
    panicked.join();
    panicked.kill();
    assert_eq!(panicked.ending(), Some(Ending::Panicked));
}

#[test]
fn g028_a_kill_that_does_not_wait_takes_effect_at_the_next_turn() {
    let victim = iora::spawn(|| iora::sleep(LONG));
    iora::yield_now();
    victim.kill_nowait();
    assert!(!victim.ready());
    iora::yield_now();
    assert!(victim.ready());
}

#[test]
fn g009b_a_kill_returns_after_the_victims_handler_and_what_follows_it() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let victim = iora::spawn({
        let log = log.clone();
        move || {
            log.borrow_mut().push("start");
            if let Err(payload) = catch_unwind(|| iora::sleep(LONG)) {
                log.borrow_mut().push("except");
                drop(payload);
            }
            log.borrow_mut().push("finished");
        }
    });
    iora::yield_now();
    victim.kill();
    assert_eq!(*log.borrow(), ["start", "except", "finished"]);
    assert!(victim.successful());
}

#[test]
fn g031_a_caught_kill_is_over_and_the_killer_waits_on() {
    let caught = Rc::new(Cell::new(0));
    let undead = iora::spawn({
        let caught = caught.clone();
        move || {
            while caught.get() < 3 {
                if catch_unwind(|| iora::sleep(LONG)).is_err() {
                    caught.set(caught.get() + 1);
                }
            }
            7
        }
    });
    iora::yield_now();
    assert!(!undead.kill_timeout(SHORT), "it resists");
    assert!(!iora::killall([&undead], SHORT));
    assert_eq!(caught.get(), 2);
    undead.kill();
    assert_eq!(undead.get().unwrap(), 7);
}

#[test]
fn g029_killall_ends_those_that_have_not_begun_and_spares_the_caller() {
    let jobs: Vec<_> = (0..5).map(|_| iora::spawn(|| -> () { panic!("never runs") })).collect();
    assert!(iora::killall(&jobs, Duration::ZERO) || iora::killall(&jobs, SHORT));
    assert!(jobs.iter().all(|job| job.ending() == Some(Ending::Killed)));
    let jobs = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        jobs.borrow_mut().push(iora::spawn(|| iora::sleep(LONG)));
    }
    let everybody = jobs.clone();
    let spared = Rc::new(Cell::new(false));
    let survives = spared.clone();
    jobs.borrow_mut().push(iora::spawn(move || {
        let everybody = everybody.take();
        assert!(iora::killall(&everybody, None));
        iora::yield_now();
        assert_eq!(everybody.iter().filter(|job| job.ready()).count(), 2);
        survives.set(true);
    }));
    iora::sleep(SHORT);
    assert!(spared.get());
}

#[test]
fn g030_what_is_thrown_comes_out() {
    #[derive(Debug, PartialEq)]
    struct Thrown(u32);
    let at_start = iora::spawn(|| ());
    at_start.throw(Box::new(Thrown(1)));
    let parked = iora::spawn(|| iora::sleep(LONG));
    iora::yield_now();
    parked.throw(Box::new(Thrown(2)));
    for (job, number) in [(at_start, 1), (parked, 2)] {
        let Err(Exit::Panicked(payload)) = job.get() else {
            panic!("it was thrown at");
        };
        assert_eq!(payload.downcast_ref(), Some(&Thrown(number)));
    }
}

#[test]
fn g031_what_is_thrown_may_be_caught_and_several_come_in_order() {
    let job = iora::spawn(|| {
        let mut caught = Vec::new();
        while caught.len() < 3 {
            if let Err(payload) = catch_unwind(|| iora::sleep(LONG)) {
                caught.push(*payload.downcast::<u32>().unwrap());
            }
        }
        caught
    });
    iora::yield_now();
    (1..4u32).for_each(|n| job.throw(Box::new(n)));
    assert_eq!(job.get().unwrap(), [1, 2, 3]);
}

#[test]
fn g027_g036_no_result_can_be_confused_with_a_kill() {
    // A body that turns every error into a value does not swallow the kill: only `catch_unwind` sees it.
    let job = iora::spawn(|| {
        let queue = Queue::<u32>::new();
        queue.get().unwrap_or(0)
    });
    iora::yield_now();
    job.kill();
    assert!(matches!(job.get(), Err(Exit::Killed)));
}

#[test]
fn a_kill_that_is_caught_and_thrown_again_is_a_kill() {
    let job = iora::spawn(|| {
        let payload = catch_unwind(|| iora::sleep(LONG)).unwrap_err();
        iora::sleep(SHORT);
        resume_unwind(payload);
    });
    iora::yield_now();
    job.kill();
    assert!(matches!(job.get(), Err(Exit::Killed)));
}

#[test]
fn a_panic_of_a_destructor_that_a_kill_runs_is_the_end_of_that_greenlet() {
    struct Catches;
    impl Drop for Catches {
        fn drop(&mut self) {
            // Caught inside: a panic that left the destructor would abort the process, as everywhere.
            assert!(catch_unwind(|| panic!("inner")).is_err());
        }
    }
    let job = iora::spawn(|| {
        let _catches = Catches;
        iora::sleep(LONG);
    });
    iora::yield_now();
    job.kill();
    assert!(matches!(job.get(), Err(Exit::Killed)));
}

// Shield.

#[test]
fn a_shield_delays_a_kill_until_its_end() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let victim = iora::spawn({
        let log = log.clone();
        move || {
            iora::shield(|| {
                iora::shield(|| iora::sleep(SHORT));
                log.borrow_mut().push("inner");
                iora::sleep(SHORT);
                log.borrow_mut().push("outer");
            });
            log.borrow_mut().push("after");
            iora::yield_now();
            log.borrow_mut().push("never");
        }
    });
    iora::yield_now();
    victim.kill();
    assert_eq!(*log.borrow(), ["inner", "outer", "after"]);
}

#[test]
fn a_shield_is_left_by_a_panic() {
    let victim = iora::spawn(|| {
        assert!(catch_unwind(|| iora::shield(|| panic!("expected"))).is_err());
        iora::sleep(LONG);
    });
    iora::yield_now();
    victim.kill();
    assert_eq!(victim.ending(), Some(Ending::Killed));
}

#[test]
fn a_time_out_is_held_back_by_a_shield_too() {
    let result = iora::timeout(SHORT, || {
        iora::shield(|| iora::sleep(Duration::from_millis(5)));
        iora::yield_now();
    });
    assert!(result.is_err());
    let mut shielded = false;
    let result = iora::timeout(SHORT, || {
        iora::shield(|| iora::sleep(Duration::from_millis(5)));
        shielded = true;
    });
    assert!(
        result.is_ok() && shielded,
        "no park point after the shield: it came in time"
    );
}

// Kills that race with what the victim waits for.

/// Victim and second in line wait with `wait`; the victim is handed what it waits for by `give`, and killed before it
/// runs, or killed first. The second in line must get it.
fn nothing_is_lost(wait: impl Fn() + Clone + 'static, give: impl Fn()) {
    for kill_first in [false, true] {
        let (wait_first, wait_second) = (wait.clone(), wait.clone());
        let victim = iora::spawn(wait_first);
        let second = iora::spawn(wait_second);
        iora::yield_now();
        assert!(!victim.ready() && !second.ready());
        if kill_first {
            victim.kill_nowait();
            give();
        } else {
            give();
            victim.kill_nowait();
        }
        victim.join();
        assert_eq!(victim.ending(), Some(Ending::Killed));
        assert!(
            second.join_timeout(Duration::from_secs(60)),
            "lost; killed first: {kill_first}"
        );
        assert!(second.successful());
    }
}

#[test]
fn a_permit_given_to_one_that_is_killed_goes_to_the_next() {
    let semaphore = Rc::new(Semaphore::new(0));
    let waits = semaphore.clone();
    nothing_is_lost(move || waits.acquire(), || semaphore.release());
    assert_eq!(semaphore.permits(), 0);
    semaphore.release();
    assert!(semaphore.try_acquire());
}

#[test]
fn a_lock_given_to_one_that_is_killed_goes_to_the_next() {
    let mutex = Rc::new(Mutex::new(0));
    for kill_first in [false, true] {
        let guard = mutex.lock().unwrap();
        let [victim, second] = [1, 2].map(|n| {
            let mutex = mutex.clone();
            iora::spawn(move || *mutex.lock().unwrap() = n)
        });
        iora::yield_now();
        if kill_first {
            victim.kill_nowait();
            drop(guard);
        } else {
            drop(guard);
            victim.kill_nowait();
        }
        assert!(second.join_timeout(Duration::from_secs(60)));
        assert_eq!(victim.ending(), Some(Ending::Killed));
        assert_eq!(*mutex.try_lock().expect("free, and not poisoned"), 2);
    }
}

#[test]
fn g057_an_item_given_to_one_that_is_killed_goes_to_the_next_in_order() {
    let queue = Rc::new(Queue::new());
    let waits = queue.clone();
    nothing_is_lost(move || ignore(waits.get().unwrap()), || queue.put(1).unwrap());
    // With nobody else in line it goes back to the front.
    let gets = queue.clone();
    let victim = iora::spawn(move || gets.get());
    iora::yield_now();
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    victim.kill();
    assert_eq!([queue.try_get(), queue.try_get()], [Ok(1), Ok(2)]);
}

#[test]
fn g057_a_putter_that_is_killed_leaves_its_item_or_takes_it_along() {
    let queue = Rc::new(Queue::bounded(1));
    queue.put(0).unwrap();
    let putters = [1, 2].map(|n| {
        let queue = queue.clone();
        iora::spawn(move || queue.put(n).unwrap())
    });
    iora::yield_now();
    putters[0].kill();
    assert_eq!(queue.get(), Ok(0));
    assert_eq!(queue.get(), Ok(2));
    assert!(putters[1].join_timeout(LONG));
    assert!(queue.is_empty());
}

#[test]
fn g057_an_item_of_a_channel_is_not_lost_with_its_getter() {
    let channel = Rc::new(Channel::new());
    let gets = channel.clone();
    let victim = iora::spawn(move || gets.get());
    iora::yield_now();
    let puts = channel.clone();
    let putter = iora::spawn(move || puts.put(5));
    iora::yield_now();
    victim.kill();
    // Either the item came to its getter, who ended by returning it, or the next one gets it.
    if victim.ending() == Some(Ending::Killed) {
        assert_eq!(channel.get(), Ok(5));
    } else {
        assert_eq!(victim.get().unwrap(), Ok(5));
    }
    assert!(putter.join_timeout(LONG));
}

#[test]
fn a_notification_given_to_one_that_is_killed_goes_to_the_next() {
    let pair = Rc::new((Mutex::new(0), Condvar::new()));
    for kill_first in [false, true] {
        *pair.0.lock().unwrap() = 0;
        let [victim, second] = [(); 2].map(|()| {
            let pair = pair.clone();
            iora::spawn(move || drop(pair.1.wait(pair.0.lock().unwrap())))
        });
        iora::yield_now();
        if kill_first {
            victim.kill_nowait();
            pair.1.notify_one();
        } else {
            pair.1.notify_one();
            victim.kill_nowait();
        }
        victim.join();
        if victim.ending() == Some(Ending::Killed) {
            assert!(
                second.join_timeout(Duration::from_secs(60)),
                "killed first: {kill_first}"
            );
        }
        second.kill();
        assert!(
            !pair.0.is_poisoned() || {
                pair.0.clear_poison();
                true
            }
        );
    }
}

#[test]
fn a_notification_given_to_one_that_is_killed_as_it_locks_again_goes_to_the_next() {
    let pair = Rc::new((Mutex::new(0), Condvar::new()));
    let waiters = [(); 2].map(|()| {
        let pair = pair.clone();
        let waiting = iora::spawn(move || {
            let guard = pair.1.wait_while(pair.0.lock().unwrap(), |tokens| *tokens == 0);
            *guard.unwrap() -= 1;
        });
        until_parked(&waiting, "condition");
        waiting
    });
    let mut guard = pair.0.lock().unwrap();
    *guard = 1;
    pair.1.notify_one();
    until_parked(&waiters[0], "lock");
    waiters[0].kill();
    drop(guard);
    assert!(
        waiters[1].join_timeout(Duration::from_secs(60)),
        "the notification is lost"
    );
    assert_eq!(*pair.0.lock().unwrap(), 0);
}

#[test]
fn kills_race_with_wakes_from_another_thread_and_no_permit_is_lost() {
    const ROUNDS: usize = 300;
    let semaphore = Arc::new(Semaphore::new(0));
    let taken = Arc::new(AtomicU32::new(0));
    for _ in 0..ROUNDS {
        let victim = iora::spawn({
            let (semaphore, taken) = (semaphore.clone(), taken.clone());
            move || {
                semaphore.acquire();
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        iora::yield_now();
        let releases = semaphore.clone();
        let thread = thread::spawn(move || releases.release());
        victim.kill();
        thread.join().unwrap();
    }
    let left = semaphore.permits();
    assert_eq!(left + taken.load(Ordering::Relaxed) as usize, ROUNDS);
}

// Panics that nobody expects.

#[test]
fn g014_g015_a_panic_anywhere_in_a_greenlets_life_harms_nobody_else() {
    struct Panics(&'static str);
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("destructor of {}", self.0);
        }
    }
    static LOCAL: iora::Local<Panics> = iora::Local::new(|| Panics("a local"));

    let in_body = iora::spawn(|| -> u32 { panic!("body") });
    assert_eq!(in_body.get().unwrap_err().panic_message(), Some("body"));

    let captured = Panics("the closure");
    let in_closure = iora::spawn(move || {
        let _captured = &captured;
    });
    in_closure.join();
    assert_eq!(in_closure.ending(), Some(Ending::Panicked));

    let captured = Panics("the closure of one that never ran");
    let unstarted = iora::spawn(move || drop(captured));
    unstarted.kill();
    assert_eq!(unstarted.ending(), Some(Ending::Panicked));

    // Nobody wants the value: it is dropped by the greenlet.
    drop(iora::spawn(|| Panics("a value")));
    iora::yield_now();

    let value_and_local = iora::spawn(|| {
        LOCAL.with(|_| ());
        Panics("a value with a local")
    });
    value_and_local.join();
    assert_eq!(value_and_local.ending(), Some(Ending::Panicked));

    let in_link = iora::spawn(|| 1);
    in_link.link(|_| panic!("link"));
    let told = Arc::new(Event::new());
    let tells = told.clone();
    in_link.link(move |_| tells.set());
    told.wait();
    in_link.link(|_| panic!("late link"));
    assert_eq!(in_link.get().unwrap(), 1);

    let with_a_payload = iora::spawn(|| panic_any(Panics("a payload")));
    with_a_payload.join();
    let exit = with_a_payload.get().unwrap_err();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(exit))).is_err());

    let link_with_a_payload = iora::spawn(|| 2);
    link_with_a_payload.link(|_| panic_any(Panics("a link's payload")));
    assert_eq!(link_with_a_payload.get().unwrap(), 2);

    assert_eq!(iora::spawn(|| 3).get().unwrap(), 3);
}

#[test]
fn a_detached_greenlet_drops_its_value_itself() {
    let dropped = Rc::new(Cell::new(0));
    let counted = Counted(dropped.clone());
    drop(iora::spawn(move || counted));
    iora::yield_now();
    assert_eq!(dropped.get(), 1);
}

// Blocking calls in destructors that a kill or a panic runs.

/// Calls its closure when it is dropped, and notes that it came back.
struct OnDrop<F: FnMut()>(F, Rc<Cell<bool>>);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        assert!(thread::panicking());
        (self.0)();
        self.1.set(true);
    }
}

/// Runs `blocks` in a destructor, once by a kill and once by a panic, and checks that no other greenlet ran meanwhile.
fn in_an_unwind(blocks: impl FnMut() + Clone + 'static) {
    for panics in [false, true] {
        let (came_back, others) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let on_drop = OnDrop(blocks.clone(), came_back.clone());
        let victim = iora::spawn(move || {
            let _on_drop = on_drop;
            if panics {
                panic!("expected");
            }
            iora::sleep(LONG);
        });
        iora::yield_now();
        let ran = others.clone();
        let back = came_back.clone();
        victim.kill_nowait();
        // Comes after the victim in the queue of the ready: it may run only when the unwind is over.
        let other = iora::spawn(move || {
            ran.set(true);
            assert!(!thread::panicking() && back.get());
        });
        victim.join();
        assert!(came_back.get());
        assert!(other.get().is_ok() && others.get());
    }
}

#[test]
fn a_sleep_in_an_unwind_returns_at_once() {
    in_an_unwind(|| {
        iora::sleep(LONG);
        iora::sleep(Duration::MAX);
        iora::yield_now();
    });
}

#[test]
fn a_join_in_an_unwind_returns_at_once() {
    let other = Rc::new(iora::spawn(|| iora::sleep(LONG)));
    let jobs = other.clone();
    in_an_unwind(move || {
        jobs.join();
        assert!(!jobs.join_timeout(LONG));
        assert!(iora::joinall([&*jobs], None).is_empty());
    });
    other.kill();
}

#[test]
fn a_kill_in_an_unwind_asks_and_does_not_wait() {
    let other = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        other.borrow_mut().push(iora::spawn(|| iora::sleep(LONG)));
    }
    iora::yield_now();
    let victims = other.clone();
    in_an_unwind(move || {
        let victim = victims.borrow_mut().pop().unwrap();
        victim.kill();
        assert!(!victim.ready());
    });
}

#[test]
fn a_spawn_in_an_unwind_is_fine() {
    let jobs = Rc::new(RefCell::new(Vec::new()));
    let spawned = jobs.clone();
    in_an_unwind(move || spawned.borrow_mut().push(iora::spawn(|| 3)));
    for job in jobs.take() {
        assert_eq!(job.get().unwrap(), 3);
    }
}

#[test]
fn a_mutex_that_another_thread_holds_is_waited_for_in_an_unwind() {
    let mutex = Arc::new(Mutex::new(0));
    in_an_unwind(move || {
        let (sender, receiver) = mpsc::channel();
        let holder = thread::spawn({
            let mutex = mutex.clone();
            move || {
                let mut guard = mutex.lock().unwrap();
                sender.send(()).unwrap();
                for _ in 0..1000 {
                    thread::yield_now();
                }
                *guard += 1;
            }
        });
        receiver.recv().unwrap();
        let value = mutex
            .lock()
            .map_or_else(|poisoned| *poisoned.into_inner(), |guard| *guard);
        assert!(value > 0, "the lock was waited for");
        holder.join().unwrap();
    });
}

#[test]
fn a_mutex_that_is_free_can_be_locked_in_an_unwind() {
    let mutex = Rc::new(Mutex::new(0));
    let locks = mutex.clone();
    in_an_unwind(move || match locks.lock() {
        Ok(mut guard) => *guard += 1,
        Err(poisoned) => *poisoned.into_inner() += 1,
    });
    assert_eq!(
        mutex
            .lock()
            .map_or_else(|poisoned| *poisoned.into_inner(), |guard| *guard),
        2
    );
}
