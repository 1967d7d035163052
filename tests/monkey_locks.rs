//! std's locks, and those of other crates, among greenlets of one hub, of several, and plain threads: nothing is lost.
//!
//! What a page of the documentation says does not work is here too, with its symptom: a test that fails when it has
//! become better.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]

#[path = "common/patched.rs"]
#[expect(unsafe_code, reason = "makes descriptors")]
#[expect(dead_code, reason = "no descriptors are needed here")]
mod patched;
#[path = "common/rounds.rs"]
mod rounds;
#[path = "common/thread_status.rs"]
#[expect(dead_code, reason = "once asleep is enough")]
mod thread_status;
#[path = "common/waiting.rs"]
mod waiting;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use patched::{in_greenlet, watched};
use rounds::{SOON, rounds};
use thread_status::ThreadStatus;
use waiting::until_parked;

/// How often each hub spawns its greenlets.
const ROUNDS: usize = 150;

/// Calls `job` from greenlets of two hubs, of which some are killed and some time out, and from a plain thread.
fn stress(job: impl Fn() + Send + Sync + 'static) {
    iora::monkey::patch_all().unwrap();
    let job = Arc::new(job);
    let plain = {
        let job = job.clone();
        move || (0..ROUNDS).for_each(|_| job())
    };
    let hub = move || rounds(ROUNDS, &job);
    watched(|| {
        let threads = [thread::spawn(hub.clone()), thread::spawn(hub), thread::spawn(plain)];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn mutex() {
    let inside = AtomicBool::new(false);
    let mutex = Mutex::new(());
    stress(move || {
        // Whoever is killed inside poisons it.
        let _guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!inside.swap(true, Ordering::SeqCst), "two are inside");
        let _leaves = Defer(|| inside.store(false, Ordering::SeqCst));
        iora::yield_now();
    });
}

/// Calls a function when dropped.
struct Defer<F: Fn()>(F);

impl<F: Fn()> Drop for Defer<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn a_lock_that_is_freed_for_a_greenlet_reaches_a_neighbour_that_stops_its_thread() {
    iora::monkey::patch_all().unwrap();
    let mutex = Arc::new(Mutex::new(()));
    let about_to_stop = Arc::new(AtomicBool::new(false));
    watched(|| {
        let (locked, is_locked) = mpsc::channel();
        let holder = thread::spawn({
            let (mutex, about_to_stop, hub) = (mutex.clone(), about_to_stop.clone(), ThreadStatus::of_current());
            move || {
                let guard = mutex.lock();
                locked.send(()).unwrap();
                while !about_to_stop.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                hub.until_asleep();
                drop(guard);
            }
        });
        is_locked.recv().unwrap();
        let waiting = iora::spawn({
            let mutex = mutex.clone();
            move || drop(mutex.lock())
        });
        until_parked(&waiting, "futex");
        let unwinding = iora::spawn(move || {
            let _locks = Defer(|| {
                about_to_stop.store(true, Ordering::SeqCst);
                drop(mutex.lock());
            });
            iora::sleep(Duration::from_secs(3600));
        });
        until_parked(&unwinding, "sleep");
        unwinding.kill();
        waiting.get().unwrap();
        holder.join().unwrap();
    });
}

#[test]
fn readers_and_writers() {
    let (readers, writers) = (AtomicU32::new(0), AtomicU32::new(0));
    let (lock, calls) = (RwLock::new(()), AtomicU32::new(0));
    stress(move || {
        if calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            let _guard = lock.write().unwrap_or_else(PoisonError::into_inner);
            assert_eq!(writers.fetch_add(1, Ordering::SeqCst), 0);
            let _leaves = Defer(|| {
                writers.fetch_sub(1, Ordering::SeqCst);
            });
            assert_eq!(readers.load(Ordering::SeqCst), 0);
            iora::yield_now();
        } else {
            let _guard = lock.read().unwrap_or_else(PoisonError::into_inner);
            readers.fetch_add(1, Ordering::SeqCst);
            let _leaves = Defer(|| {
                readers.fetch_sub(1, Ordering::SeqCst);
            });
            assert_eq!(writers.load(Ordering::SeqCst), 0);
            iora::yield_now();
        }
    });
}

#[test]
fn whoever_locks_again_at_once_lets_those_in_that_wait_for_readers_and_writers() {
    /// Locks, lets others run, unlocks, and does so again until all of them got in; how often.
    fn rounds_until(
        others: usize,
        again: fn(&RwLock<()>, &dyn Fn()),
        other: impl Fn(&RwLock<()>) + Copy + 'static,
    ) -> u32 {
        let (lock, inside) = (Rc::new(RwLock::new(())), Rc::new(Cell::new(0)));
        let first = lock.write().unwrap();
        let waiting: Vec<_> = (0..others)
            .map(|_| {
                let (lock, inside) = (lock.clone(), inside.clone());
                let one = iora::spawn(move || {
                    other(&lock);
                    inside.set(inside.get() + 1);
                });
                until_parked(&one, "futex");
                one
            })
            .collect();
        drop(first);
        let mut rounds = 0;
        while inside.get() < others {
            again(&lock, &iora::yield_now);
            rounds += 1;
        }
        iora::joinall(&waiting, None);
        rounds
    }
    in_greenlet(|| {
        let reads = |lock: &RwLock<()>| drop(lock.read().unwrap());
        let writes = |lock: &RwLock<()>| drop(lock.write().unwrap());
        let read = |lock: &RwLock<()>, meanwhile: &dyn Fn()| {
            let _guard = lock.read().unwrap();
            meanwhile();
        };
        let write = |lock: &RwLock<()>, meanwhile: &dyn Fn()| {
            let _guard = lock.write().unwrap();
            meanwhile();
        };
        // Freed for readers, the lock is theirs first.
        assert_eq!(rounds_until(3, write, reads), 0);
        // A writer may be overtaken for a while, but not for ever.
        rounds_until(1, read, writes);
        rounds_until(3, write, writes);
    });
}

#[test]
fn conditions() {
    // A token for each: who loses a wake-up waits for ever. Nothing raises in the middle, for these are std's calls only.
    let (tokens, is_there) = (Mutex::new(0_u32), Condvar::new());
    let calls = AtomicU32::new(0);
    stress(move || {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(2) {
            let tokens = tokens.lock().unwrap();
            // In vain, most of the time.
            drop(is_there.wait_timeout(tokens, SOON).unwrap());
        }
        let mut taken = {
            *tokens.lock().unwrap() += 1;
            is_there.notify_one();
            tokens.lock().unwrap()
        };
        while *taken == 0 {
            taken = is_there.wait(taken).unwrap();
        }
        *taken -= 1;
        if *taken > 0 {
            is_there.notify_one();
        }
    });
}

/// Calls `f` of as many greenlets on each of two hubs, and one plain thread, with their number.
fn together<F: Fn(usize) + Send + Sync + 'static>(on_each: usize, f: F) {
    iora::monkey::patch_all().unwrap();
    let f = Arc::new(f);
    watched(|| {
        let hubs: Vec<_> = (0..2)
            .map(|hub| {
                let f = f.clone();
                thread::spawn(move || {
                    let all: Vec<_> = (0..on_each)
                        .map(|number| {
                            let f = f.clone();
                            iora::spawn(move || f(hub * on_each + number))
                        })
                        .collect();
                    for one in all {
                        one.get().unwrap();
                    }
                })
            })
            .collect();
        f(2 * on_each);
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
    });
}

#[test]
fn barriers() {
    let barrier = Barrier::new(5);
    let leaders = Arc::new(AtomicU32::new(0));
    let counted = leaders.clone();
    together(2, move |_| {
        for _ in 0..300 {
            if barrier.wait().is_leader() {
                leaders.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    assert_eq!(counted.load(Ordering::SeqCst), 300);
}

#[test]
fn initialized_once() {
    let cells: Arc<Vec<OnceLock<usize>>> = Arc::new((0..300).map(|_| OnceLock::new()).collect());
    let once = std::sync::Once::new();
    let made = Arc::new(AtomicU32::new(0));
    let count = made.clone();
    let barrier = Barrier::new(5);
    together(2, move |number| {
        for cell in cells.iter() {
            barrier.wait();
            let value = *cell.get_or_init(|| {
                made.fetch_add(1, Ordering::SeqCst);
                if number < 4 {
                    iora::yield_now();
                }
                number
            });
            assert!(value < 5);
            once.call_once(|| {
                made.fetch_add(1000, Ordering::SeqCst);
            });
            assert_eq!(cell.get(), Some(&value));
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 1300);
}

#[test]
fn parked_threads() {
    // Greenlets of one thread share its word: each is woken though, however many are parked at once.
    in_greenlet(|| {
        for _ in 0..20 {
            let thread = thread::current();
            let flags: Arc<Vec<AtomicBool>> = Arc::new((0..10).map(|_| AtomicBool::new(false)).collect());
            let parked: Vec<_> = (0..10)
                .map(|number| {
                    let flags = flags.clone();
                    iora::spawn(move || {
                        while !flags[number].load(Ordering::SeqCst) {
                            thread::park();
                        }
                    })
                })
                .collect();
            let timed = iora::spawn(|| thread::park_timeout(Duration::from_millis(1)));
            iora::yield_now();
            let waker = thread::spawn(move || {
                for flag in flags.iter() {
                    flag.store(true, Ordering::SeqCst);
                    thread.unpark();
                    thread::yield_now();
                }
            });
            for one in parked {
                one.get().unwrap();
            }
            timed.get().unwrap();
            waker.join().unwrap();
        }
    });
}

#[test]
fn a_thread_that_is_parked_for_real_is_woken_beside_its_greenlets() {
    in_greenlet(|| {
        let done = Rc::new(Cell::new(false));
        let parked = iora::spawn({
            let done = done.clone();
            move || {
                while !done.get() {
                    thread::park();
                }
            }
        });
        until_parked(&parked, "thread::park");
        let (this, status) = (thread::current(), ThreadStatus::of_current());
        let waker = iora::monkey::unpatched(|| {
            let waker = thread::spawn(move || {
                status.until_asleep();
                this.unpark();
            });
            thread::park();
            waker
        });
        done.set(true);
        thread::current().unpark();
        parked.get().unwrap();
        waker.join().unwrap();
    });
}

#[test]
fn a_second_greenlet_parks_after_the_hub_has_slept() {
    in_greenlet(|| {
        let done = Rc::new(Cell::new(false));
        let park = || {
            let done = done.clone();
            let parked = iora::spawn(move || {
                while !done.get() {
                    thread::park();
                }
            });
            until_parked(&parked, "thread::park");
            parked
        };
        let first = park();
        // While the hub sleeps the word says that the thread is parked.
        iora::sleep(Duration::from_millis(1));
        let second = park();
        done.set(true);
        thread::current().unpark();
        first.get().unwrap();
        second.get().unwrap();
    });
}

#[test]
fn several_greenlets_park_though_others_notify_while_the_first_does() {
    iora::monkey::patch_all().unwrap();
    let round = || {
        let (done, quiet) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let this = thread::current();
        let (begins, begun) = mpsc::channel();
        let noise = {
            let quiet = quiet.clone();
            thread::spawn(move || {
                begins.send(()).unwrap();
                while !quiet.load(Ordering::SeqCst) {
                    this.unpark();
                }
            })
        };
        begun.recv().unwrap();
        let parked = [0, 1].map(|_| {
            let done = done.clone();
            iora::spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    thread::park();
                }
            })
        });
        (0..20).for_each(|_| iora::yield_now());
        quiet.store(true, Ordering::SeqCst);
        noise.join().unwrap();
        // Until then one may use up what is meant for the other.
        parked.iter().for_each(|one| until_parked(one, "thread::park"));
        done.store(true, Ordering::SeqCst);
        thread::current().unpark();
        parked.into_iter().for_each(|one| one.get().unwrap());
    };
    // Each thread finds out once how it parks.
    watched(|| (0..50).for_each(|_| thread::spawn(round).join().unwrap()));
}

/// What each greenlet sends into its channel.
const ITEMS: u64 = 200;

/// A hub on a thread of its own, with a greenlet for each of `sends`, which sends all items by it.
fn sent_by_a_hub(sends: Vec<impl Fn(u64) + Send + 'static>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let all: Vec<_> = sends
            .into_iter()
            .map(|send| iora::spawn(move || (1..=ITEMS).for_each(send)))
            .collect();
        all.into_iter().for_each(|one| one.get().unwrap());
    })
}

/// What each of `receivers` receives until its end, summed up by a greenlet.
fn sums(receivers: Vec<impl IntoIterator<Item = u64> + 'static>) -> Vec<u64> {
    let all: Vec<_> = receivers
        .into_iter()
        .map(|receiver| iora::spawn(move || receiver.into_iter().sum::<u64>()))
        .collect();
    all.into_iter().map(|one| one.get().unwrap()).collect()
}

#[test]
fn channels_between_hubs() {
    // Of every capacity, several receivers on one thread, senders on another hub and on a plain thread.
    iora::monkey::patch_all().unwrap();
    watched(|| {
        for capacity in [0, 1, 7] {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::sync_channel::<u64>(capacity)).unzip();
            let twins = senders.clone();
            let plain = thread::spawn(move || {
                for item in 1..=ITEMS {
                    twins.iter().for_each(|sender| sender.send(item).unwrap());
                }
            });
            let send = |sender: mpsc::SyncSender<u64>| move |item| sender.send(item).unwrap();
            let hub = sent_by_a_hub(senders.into_iter().map(send).collect());
            assert!(sums(receivers).iter().all(|sum| *sum == ITEMS * (ITEMS + 1)));
            plain.join().unwrap();
            hub.join().unwrap();
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..4).map(|_| crossbeam_channel::bounded::<u64>(capacity)).unzip();
            let send = |sender: crossbeam_channel::Sender<u64>| move |item| sender.send(item).unwrap();
            let hub = sent_by_a_hub(senders.into_iter().map(send).collect());
            assert!(sums(receivers).iter().all(|sum| *sum == ITEMS * (ITEMS + 1) / 2));
            hub.join().unwrap();
        }
    });
}

#[test]
fn whoever_wakes_a_hub_lets_nobody_run_before_it_is_done() {
    // Each greenlet of a thread wakes the same hub again and again, just when that has gone to sleep, and does nothing else:
    // a hook that let the other one run in the middle of that would leave it before a lock that cannot be freed.
    in_greenlet(|| {
        let hubs = iora::hubs(1).unwrap();
        let wakers = [0, 1].map(|_| {
            let (event, seen) = (Arc::new(iora::sync::Event::new()), Arc::new(AtomicBool::new(false)));
            let (told, sees) = (event.clone(), seen.clone());
            let sleeper = hubs.spawn(move || {
                for _ in 0..1000 {
                    told.wait();
                    told.clear();
                    sees.store(true, Ordering::SeqCst);
                }
            });
            let waker = iora::spawn(move || {
                for _ in 0..1000 {
                    event.set();
                    while !seen.swap(false, Ordering::SeqCst) {
                        std::hint::spin_loop();
                    }
                    // Until it sleeps again, mostly.
                    let at = Instant::now();
                    while at.elapsed() < Duration::from_micros(50) {
                        std::hint::spin_loop();
                    }
                }
            });
            (sleeper, waker)
        });
        for (sleeper, waker) in wakers {
            waker.get().unwrap();
            sleeper.get().unwrap();
        }
    });
}

#[test]
fn what_is_said_of_channels_on_one_thread() {
    in_greenlet(|| {
        // What is there already is received; who waits is not woken by its own thread, only by its time limit.
        let limit = Duration::from_millis(200);
        let (sender, receiver) = mpsc::channel();
        let receiver = iora::spawn(move || {
            assert_eq!(receiver.recv(), Ok(1));
            (receiver.recv_timeout(limit), receiver.try_recv())
        });
        sender.send(1).unwrap();
        until_parked(&receiver, "thread::park");
        sender.send(2).unwrap();
        (0..3).for_each(|_| iora::yield_now());
        assert!(!receiver.ready(), "it was woken: the page should say so");
        let (timed, tried) = receiver.get().unwrap();
        assert!(timed == Ok(2) || tried == Ok(2), "it is not lost");
        let (sender, receiver) = crossbeam_channel::unbounded();
        let receiver = iora::spawn(move || {
            assert_eq!(receiver.recv(), Ok(1));
            let _ = receiver.recv_timeout(limit);
        });
        sender.send(1).unwrap();
        until_parked(&receiver, "thread::park");
        sender.send(2).unwrap();
        (0..3).for_each(|_| iora::yield_now());
        assert!(!receiver.ready(), "it was woken: the page should say so");
        receiver.get().unwrap();
    });
}

#[test]
fn what_is_said_of_parking_lot() {
    in_greenlet(|| {
        let lock = Rc::new(parking_lot::Mutex::new(()));
        let held = lock.lock();
        let turns = Rc::new(Cell::new(0_u32));
        let other = iora::spawn({
            let turns = turns.clone();
            move || {
                loop {
                    turns.set(turns.get() + 1);
                    iora::yield_now();
                }
            }
        });
        let contender = iora::spawn({
            let (lock, turns) = (lock.clone(), turns.clone());
            move || {
                let before = turns.get();
                let got = lock.try_lock_for(Duration::from_millis(50)).is_some();
                (got, turns.get() - before)
            }
        });
        iora::yield_now();
        assert_eq!(
            contender.get().unwrap(),
            (false, 0),
            "the thread stopped, and its holder with it"
        );
        drop(held);
        other.kill();
        // Between threads nothing is lost by that.
        let lock = Arc::new(parking_lot::Mutex::new(0));
        let twin = lock.clone();
        let thread = thread::spawn(move || (0..10_000).for_each(|_| *twin.lock() += 1));
        let greenlets: Vec<_> = (0..5)
            .map(|_| {
                let lock = lock.clone();
                iora::spawn(move || {
                    for _ in 0..1000 {
                        *lock.lock() += 1;
                        iora::yield_now();
                    }
                })
            })
            .collect();
        greenlets.into_iter().for_each(|one| one.get().unwrap());
        thread.join().unwrap();
        assert_eq!(*lock.lock(), 15_000);
    });
}

#[test]
fn a_time_limit_of_a_condition_is_kept() {
    in_greenlet(|| {
        let (lock, condition) = (Mutex::new(()), Condvar::new());
        let begun = Instant::now();
        let limit = Duration::from_millis(30);
        let guard = lock.lock().unwrap();
        let (_guard, late) = condition.wait_timeout_while(guard, limit, |()| true).unwrap();
        assert!(late.timed_out() && begun.elapsed() >= limit);
    });
}
