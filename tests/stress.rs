//! Each primitive under greenlets of two hubs and a plain thread, some of which are killed or time out: no item, permit, lock
//! or wake-up is lost.
//!
//! A test that loses one hangs. So each is given a minute, which it needs a small part of.

#[path = "common/rounds.rs"]
mod rounds;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use iora::pool::Pool;
use iora::queue::{Channel, Queue, SimpleQueue};
use iora::sync::{
    AsyncResult, Barrier, BoundedSemaphore, Condvar, Event, Mutex, OnceCell, ReentrantMutex, RwLock, Select, Semaphore,
};
use iora::threadpool::ThreadPool;
use rounds::{GREENLETS, SOON, rounds};

/// How often each hub spawns its greenlets.
const ROUNDS: usize = 200;
/// So late that it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `job` from greenlets of two hubs, of which some are killed and some time out, and from a plain thread.
fn stress(job: impl Fn() + Send + Sync + 'static) {
    let job = Arc::new(job);
    let (done, ended) = mpsc::channel();
    let plain = {
        let (job, done) = (job.clone(), done.clone());
        move || {
            (0..ROUNDS).for_each(|_| job());
            done.send(()).unwrap();
        }
    };
    let hub = move || {
        rounds(ROUNDS, &job);
        // What a killed greenlet has left behind must not stand in a line for ever.
        iora::hub::end();
        done.send(()).unwrap();
    };
    let threads = [thread::spawn(hub.clone()), thread::spawn(hub), thread::spawn(plain)];
    for _ in &threads {
        match ended.recv_timeout(PATIENCE) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("somebody waits for what was lost"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break, // one panicked: see below
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn semaphore() {
    let (semaphore, inside) = (Arc::new(Semaphore::new(2)), AtomicUsize::new(0));
    let there = semaphore.clone();
    stress(move || {
        let _permit = there.hold();
        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
        let _leaves = Defer(|| {
            inside.fetch_sub(1, Ordering::SeqCst);
        });
        iora::yield_now();
    });
    assert_eq!(semaphore.permits(), 2);
}

#[test]
fn bounded_semaphore() {
    let semaphore = Arc::new(BoundedSemaphore::new(1));
    let there = semaphore.clone();
    stress(move || {
        if there.acquire_timeout(Duration::from_millis(1)) {
            let _releases = Defer(|| there.release());
            iora::yield_now();
        }
    });
    assert_eq!(semaphore.permits(), 1);
}

#[test]
fn mutex() {
    let (mutex, completed) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
    let (there, counter) = (mutex.clone(), completed.clone());
    stress(move || {
        let mut guard = there.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *guard;
        iora::yield_now();
        *guard = seen + 1;
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let value = *mutex.try_lock().unwrap_or_else(|error| match error {
        iora::sync::TryLockError::Poisoned(guard) => guard.into_inner(),
        iora::sync::TryLockError::WouldBlock => panic!("locked still"),
    });
    assert_eq!(value, completed.load(Ordering::SeqCst));
}

#[test]
fn rw_lock() {
    let (lock, number) = (Arc::new(RwLock::new((0, 0))), AtomicUsize::new(0));
    let there = lock.clone();
    stress(move || {
        if number.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            let mut guard = there.write().unwrap_or_else(PoisonError::into_inner);
            guard.0 += 1;
            let seen = *guard;
            let _ends = Defer(|| guard.1 = seen.0);
            iora::yield_now();
        } else {
            let guard = there.read().unwrap_or_else(PoisonError::into_inner);
            let seen = *guard;
            iora::yield_now();
            assert_eq!(seen, *guard);
            assert_eq!(seen.0, seen.1);
        }
    });
    lock.clear_poison();
    assert!(lock.try_write().is_ok());
}

#[test]
fn reentrant_mutex() {
    let mutex = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let (there, completed) = (mutex.clone(), Arc::new(AtomicUsize::new(0)));
    let counter = completed.clone();
    stress(move || {
        let outer = there.lock();
        let seen = outer.get();
        let inner = there.lock();
        iora::yield_now();
        inner.set(seen + 1);
        counter.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(mutex.try_lock().unwrap().get(), completed.load(Ordering::SeqCst));
}

#[test]
fn condvar() {
    let pair = Arc::new((Mutex::new(0), Condvar::new()));
    let there = pair.clone();
    stress(move || {
        // Puts one in, and takes one out: as long as no notification is lost there is always one to come.
        *there.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        there.1.notify_one();
        let guard = there.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = there
            .1
            .wait_while(guard, |count| *count == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *guard -= 1;
    });
    assert!(*pair.0.lock().unwrap_or_else(PoisonError::into_inner) >= 0);
}

#[test]
fn barrier() {
    const SIZE: usize = 3;
    let barrier = Arc::new(Barrier::new(SIZE));
    let (passed, led) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    // Whoever is left alone in the end needs company.
    let fillers: Vec<_> = (1..SIZE)
        .map(|_| {
            let (barrier, over, passed, led) = (barrier.clone(), over.clone(), passed.clone(), led.clone());
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    if let Ok(result) = iora::timeout(Duration::from_millis(1), || barrier.wait()) {
                        passed.fetch_add(1, Ordering::SeqCst);
                        led.fetch_add(usize::from(result.is_leader()), Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    let (all, leaders) = (passed.clone(), led.clone());
    stress(move || {
        let leads = barrier.wait().is_leader();
        all.fetch_add(1, Ordering::SeqCst);
        leaders.fetch_add(usize::from(leads), Ordering::SeqCst);
    });
    over.store(true, Ordering::SeqCst);
    fillers.into_iter().for_each(|filler| filler.join().unwrap());
    // A leader is never unwound on its way out; others may be, after they passed.
    assert!(passed.load(Ordering::SeqCst) <= SIZE * led.load(Ordering::SeqCst));
}

#[test]
fn once_cell() {
    let cells: Arc<Vec<OnceCell<usize>>> = Arc::new((0..2 * ROUNDS).map(|_| OnceCell::new()).collect());
    let (made, next) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let (there, counter) = (cells.clone(), made.clone());
    stress(move || {
        let index = next.fetch_add(1, Ordering::SeqCst) / 4 % there.len();
        let fails = index.is_multiple_of(3);
        let value = there[index].get_or_try_init(|| {
            iora::yield_now();
            if fails {
                return Err(());
            }
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(index)
        });
        assert_eq!(value.ok(), (!fails).then_some(&index));
    });
    let set = cells.iter().filter(|cell| cell.get().is_some()).count();
    assert_eq!(made.load(Ordering::SeqCst), set);
    // Nobody has kept the right to try.
    for (index, cell) in cells.iter().enumerate() {
        assert_eq!(*cell.get_or_init(|| index), index);
    }
}

#[test]
fn event_and_result() {
    // Pairs of who waits and who sets: all waiters end, unless they are killed or time out.
    let gates: Arc<Vec<(Event, AsyncResult<usize>)>> =
        Arc::new((0..200).map(|_| (Event::new(), AsyncResult::new())).collect());
    let next = AtomicUsize::new(0);
    let there = gates.clone();
    stress(move || {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let (event, result) = &there[number / 8 % there.len()];
        if number % 8 == 3 {
            event.set();
            let _ = result.set(number / 8 % there.len());
        } else {
            // Where the one that sets was killed, nobody else would.
            while !event.wait_timeout(Duration::from_millis(20)) {
                event.set();
                let _ = result.set(number / 8 % there.len());
            }
            if result.wait_timeout(Duration::from_millis(20)).is_none() {
                let _ = result.set(number / 8 % there.len());
            }
            assert_eq!(*result.wait(), number / 8 % there.len());
        }
    });
    for (index, (event, result)) in gates.iter().enumerate() {
        assert!(!event.is_set() || result.try_get().is_none_or(|value| value == index));
    }
}

#[test]
fn simple_queue_with_peekers() {
    let (queue, put, got) = (
        Arc::new(SimpleQueue::bounded(3)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (there, puts, gets) = (queue.clone(), put.clone(), got.clone());
    stress(move || {
        // Counted before it may park: one that is killed while it puts has put nothing.
        if there.put_timeout(1, Duration::from_millis(5)).is_ok() {
            puts.fetch_add(1, Ordering::SeqCst);
        }
        let _ = there.peek_timeout(SOON);
        if there.get_timeout(Duration::from_millis(5)).is_ok() {
            gets.fetch_add(1, Ordering::SeqCst);
        }
    });
    // A putter that is unwound after its item was taken has put it, and could not count it.
    let left = queue.len();
    assert!(got.load(Ordering::SeqCst) + left >= put.load(Ordering::SeqCst));
    let uncounted = got.load(Ordering::SeqCst) + left - put.load(Ordering::SeqCst);
    assert!(uncounted <= 4 * ROUNDS, "items came from nowhere");
}

#[test]
fn select_over_queues_and_channels() {
    let (queue, channel) = (Arc::new(Queue::new()), Arc::new(Channel::new()));
    let (stop, tally) = (Arc::new(Event::new()), Arc::new(std::sync::Mutex::new(Vec::new())));
    // Each item has a number of its own, and is put until it is in.
    let putter = {
        let (queue, channel, tally) = (queue.clone(), channel.clone(), tally.clone());
        thread::spawn(move || {
            let total = 2 * ROUNDS * GREENLETS + ROUNDS;
            for item in 0..total {
                let put = Select::new()
                    .case(channel.putting(item), |put| put.is_ok())
                    .case(queue.putting(item), |put| put.is_ok())
                    .wait();
                assert!(put);
            }
            // What nobody asked for any more.
            while let Some(item) = Select::new()
                .case(queue.getting(), |item| item.unwrap())
                .case(channel.getting(), |item| item.unwrap())
                .try_wait()
            {
                tally.lock().unwrap().push(item);
            }
            total
        })
    };
    let (items, pipe, over, all) = (queue.clone(), channel.clone(), stop.clone(), tally.clone());
    stress(move || {
        let item = Select::new()
            .case(over.waiting(), |()| None)
            .case(items.getting(), |item| item.ok())
            .case(pipe.getting(), |item| item.ok())
            .wait_timeout(Duration::from_millis(5));
        if let Some(Some(item)) = item {
            // std's lock does not park: a kill comes before or after.
            all.lock().unwrap().push(item);
        }
    });
    stop.set();
    let total = putter.join().unwrap();
    let mut all = std::mem::take(&mut *tally.lock().unwrap());
    while let Ok(item) = queue.try_get() {
        all.push(item);
    }
    all.sort();
    assert_eq!(all, (0..total).collect::<Vec<_>>());
}

/// Calls its function when it is dropped.
struct Defer<F: FnMut()>(F);

impl<F: FnMut()> Drop for Defer<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn waiting_for_many() {
    let semaphore = Arc::new(Semaphore::new(1));
    let there = semaphore.clone();
    stress(move || {
        let never = Event::new();
        loop {
            let mixture: [&dyn iora::Waitable; 2] = [&never, &there];
            assert_eq!(iora::wait_count(mixture, 1, None)[0].0, 1);
            // It was told, not given: another may have been quicker.
            if there.try_acquire() {
                break;
            }
        }
        let _releases = Defer(|| there.release());
        iora::yield_now();
    });
    assert_eq!(semaphore.permits(), 1);
}

#[test]
fn pool() {
    let pool = Pool::new(2);
    let there = pool.clone();
    stress(move || {
        there.spawn(iora::yield_now).join();
        let queued = there.apply_async(iora::yield_now);
        drop(there.spawn_timeout(SOON, iora::yield_now));
        queued.join();
    });
    pool.join();
    assert_eq!((pool.len(), pool.free_count()), (0, 2));
}

#[test]
fn thread_pool() {
    let (pool, sum) = (Arc::new(ThreadPool::new(2)), Arc::new(AtomicUsize::new(0)));
    let (there, total) = (pool.clone(), sum.clone());
    let submitted = Arc::new(AtomicUsize::new(0));
    let count = submitted.clone();
    stress(move || {
        let total = total.clone();
        let job = there.spawn(move || total.fetch_add(1, Ordering::SeqCst));
        count.fetch_add(1, Ordering::SeqCst);
        job.join();
    });
    pool.join();
    // One that was killed after its job was in did not count it.
    assert!(sum.load(Ordering::SeqCst) >= submitted.load(Ordering::SeqCst));
}
