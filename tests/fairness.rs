//! Nobody starves: whoever never waits gives way all the same, to timers, to other greenlets and to other threads.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use iora::queue::{Channel, Queue};
use iora::sync::{AsyncResult, Event, Mutex, Semaphore};

const SHORT: Duration = Duration::from_millis(5);

/// What would go on for ever without ever having to wait.
const BUSY: &[(&str, fn())] = &[
    ("yields", || {
        loop {
            iora::yield_now();
        }
    }),
    ("sleeps of nothing", || {
        loop {
            iora::sleep(Duration::ZERO);
        }
    }),
    ("puts and gets", || {
        let queue = Queue::new();
        loop {
            queue.put(1).unwrap();
            queue.get().unwrap();
        }
    }),
    ("permits", || {
        let semaphore = Semaphore::new(1);
        loop {
            semaphore.acquire();
            semaphore.release();
        }
    }),
    ("locks", || {
        let mutex = Mutex::new(0u64);
        loop {
            *mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        }
    }),
    ("an event that is set", || {
        let event = Event::new();
        event.set();
        loop {
            event.wait();
        }
    }),
    ("a result that is there", || {
        let result = AsyncResult::new();
        assert!(result.set(1).is_ok());
        loop {
            result.get();
        }
    }),
    ("joins of one that has ended", || {
        let job = iora::spawn(|| ());
        loop {
            job.join();
        }
    }),
    ("new greenlets", || {
        loop {
            iora::spawn(|| ()).join();
        }
    }),
    ("scopes", || {
        loop {
            iora::scope(|scope| {
                scope.spawn(|| ());
            });
        }
    }),
    ("a pair that wake each other", || {
        let [there, back] = [(); 2].map(|()| Rc::new(Channel::new()));
        let (gets, puts) = (there.clone(), back.clone());
        drop(iora::spawn(move || {
            while gets.get().is_ok_and(|ball| puts.put(ball).is_ok()) {}
        }));
        loop {
            there.put(1).unwrap();
            back.get().unwrap();
        }
    }),
];

#[test]
fn g002_timers_ring_while_a_greenlet_is_busy() {
    for (what, busy) in BUSY {
        let job = iora::spawn(move || iora::timeout(SHORT, busy).is_err());
        assert!(job.get().unwrap(), "{what}");
        // The thread's own stack, too.
        assert!(iora::timeout(SHORT, busy).is_err(), "{what}");
    }
}

#[test]
fn other_greenlets_run_while_one_is_busy() {
    for (what, busy) in BUSY {
        let turns = Rc::new(Cell::new(0));
        let counts = turns.clone();
        let other = iora::spawn(move || {
            while counts.get() < 10 {
                iora::yield_now();
                counts.set(counts.get() + 1);
            }
        });
        let busy = iora::spawn(busy);
        other.join();
        assert_eq!(turns.get(), 10, "{what}");
        busy.kill();
    }
}

#[test]
fn another_thread_is_heard_while_a_greenlet_is_busy() {
    for (_, busy) in BUSY {
        let busy = iora::spawn(busy);
        let event = Arc::new(Event::new());
        let sets = event.clone();
        let thread = thread::spawn(move || {
            sets.set();
            // From another thread, while it is busy.
            busy.kill_nowait();
            busy
        });
        event.wait();
        let busy = thread.join().unwrap();
        busy.join();
        assert!(busy.ready());
    }
}
