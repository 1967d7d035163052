//! What sharing costs between two threads, or two hubs.
//!
//! `mutex` has both add to one number under a lock; the figure is wall time an addition. `channel` has one put
//! numbers into a queue that holds 1,024 and the other get them; the figure is wall time an item. (may's
//! channel has no bound.)

mod common;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Case, Figure, scaled};
use iora::queue::Queue;
use tokio::runtime;

/// How many items a channel holds.
const CAPACITY: usize = 1024;

fn main() -> ExitCode {
    let mut cases = Vec::new();
    let rounds = scaled(2_000_000, 1_000);
    let mut add = |bench, runtime, work: fn(usize) -> Duration| {
        cases.push(Case::new(bench, runtime, move || {
            work(rounds / 10);
            Ok(vec![Figure::each("ns", work(rounds).as_nanos() as f64, rounds)])
        }));
    };
    add("mutex", "iora", iora_mutex);
    add("mutex", "thread", std_mutex);
    add("mutex", "parking-lot", parking_lot_mutex);
    add("mutex", "tokio-mt2", tokio_mutex);
    add("mutex", "may", may_mutex);
    add("channel", "iora", iora_channel);
    add("channel", "thread", std_channel);
    add("channel", "crossbeam", crossbeam_channel);
    add("channel", "tokio-mt2", tokio_channel);
    add("channel", "may", may_channel);
    common::run(5, &cases)
}

/// Runs both on threads of their own that begin together; how long they took.
fn both(one: impl FnOnce() + Send, other: impl FnOnce() + Send) -> Duration {
    let start = Barrier::new(3);
    thread::scope(|scope| {
        let threads = [
            scope.spawn(|| {
                start.wait();
                one();
            }),
            scope.spawn(|| {
                start.wait();
                other();
            }),
        ];
        start.wait();
        let begun = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        begun.elapsed()
    })
}

/// A greenlet on each of two threads.
fn iora_mutex(rounds: usize) -> Duration {
    let total = iora::sync::Mutex::new(0_usize);
    let add = || {
        iora::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..rounds / 2 {
                    *total.lock().expect("no panic") += black_box(1);
                }
            });
        });
    };
    both(add, add)
}

/// Two threads and std's mutex.
fn std_mutex(rounds: usize) -> Duration {
    let total = std::sync::Mutex::new(0_usize);
    let add = || {
        for _ in 0..rounds / 2 {
            *total.lock().expect("no panic") += black_box(1);
        }
    };
    both(add, add)
}

/// Two threads and parking_lot's mutex.
fn parking_lot_mutex(rounds: usize) -> Duration {
    let total = parking_lot::Mutex::new(0_usize);
    let add = || {
        for _ in 0..rounds / 2 {
            *total.lock() += black_box(1);
        }
    };
    both(add, add)
}

/// Two workers and tokio's mutex.
fn tokio_mutex(rounds: usize) -> Duration {
    async fn add(total: Arc<tokio::sync::Mutex<usize>>, rounds: usize) {
        for _ in 0..rounds / 2 {
            *total.lock().await += black_box(1);
        }
    }
    let total = Arc::new(tokio::sync::Mutex::new(0));
    tokio_both(add(Arc::clone(&total), rounds), add(total, rounds))
}

/// Both on two workers; how long they took.
fn tokio_both(
    one: impl Future<Output = ()> + Send + 'static,
    other: impl Future<Output = ()> + Send + 'static,
) -> Duration {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let begun = Instant::now();
        let (one, other) = (tokio::spawn(one), tokio::spawn(other));
        one.await.expect("no panic");
        other.await.expect("no panic");
        begun.elapsed()
    })
}

/// Two workers and may's mutex.
fn may_mutex(rounds: usize) -> Duration {
    let total = Arc::new(may::sync::Mutex::new(0_usize));
    let there = Arc::clone(&total);
    let add = move |total: &may::sync::Mutex<usize>| {
        for _ in 0..rounds / 2 {
            *total.lock().expect("no panic") += black_box(1);
        }
    };
    may_both(move || add(&total), move || add(&there))
}

/// Both on two workers; how long they took.
fn may_both(one: impl FnOnce() + Send + 'static, other: impl FnOnce() + Send + 'static) -> Duration {
    may::config().set_workers(2).set_worker_pin(false);
    let begun = Instant::now();
    let (one, other) = (may::go!(one), may::go!(other));
    one.join().expect("no panic");
    other.join().expect("no panic");
    begun.elapsed()
}

/// A greenlet on each of two threads.
fn iora_channel(rounds: usize) -> Duration {
    let queue = Queue::bounded(CAPACITY);
    let put = || {
        iora::scope(|scope| {
            scope.spawn(|| (0..rounds).for_each(|number| queue.put(number).expect("open")));
        });
    };
    let get = || {
        iora::scope(|scope| {
            scope.spawn(|| (0..rounds).for_each(|number| assert_eq!(queue.get(), Ok(number))));
        });
    };
    both(put, get)
}

/// Two threads and std's channel.
fn std_channel(rounds: usize) -> Duration {
    let (putter, getter) = mpsc::sync_channel(CAPACITY);
    both(
        move || (0..rounds).for_each(|number| putter.send(number).expect("open")),
        move || (0..rounds).for_each(|number| assert_eq!(getter.recv(), Ok(number))),
    )
}

/// Two threads and crossbeam's channel.
fn crossbeam_channel(rounds: usize) -> Duration {
    let (putter, getter) = crossbeam_channel::bounded(CAPACITY);
    both(
        move || (0..rounds).for_each(|number| putter.send(number).expect("open")),
        move || (0..rounds).for_each(|number| assert_eq!(getter.recv(), Ok(number))),
    )
}

/// Two workers and tokio's channel.
fn tokio_channel(rounds: usize) -> Duration {
    let (putter, mut getter) = tokio::sync::mpsc::channel(CAPACITY);
    tokio_both(
        async move {
            for number in 0..rounds {
                putter.send(number).await.expect("open");
            }
        },
        async move {
            for number in 0..rounds {
                assert_eq!(getter.recv().await, Some(number));
            }
        },
    )
}

/// Two workers and may's channel.
fn may_channel(rounds: usize) -> Duration {
    let (putter, getter) = may::sync::mpsc::channel();
    may_both(
        move || (0..rounds).for_each(|number| putter.send(number).expect("open")),
        move || (0..rounds).for_each(|number| assert_eq!(getter.recv(), Ok(number))),
    )
}
