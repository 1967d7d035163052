//! What a parked task keeps: `memory_N` spawns N of them, waits until all are parked, and divides what the
//! process has grown by, resident memory and page tables, by N.
//!
//! Every task waits for the same semaphore, flag or lock, whatever its runtime offers for that. The kernel's own
//! record of a thread is not in the figure of `thread`. Who cannot hold N tasks says so on stderr.

mod common;

use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use common::{Case, Figure, Outcome, quick};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use tokio::runtime::{self, Runtime};

fn main() -> ExitCode {
    let counts: &[usize] = if quick() { &[100] } else { &[10_000, 100_000, 1_000_000] };
    let mut cases = Vec::new();
    for &count in counts {
        let mut add = |runtime, measure: fn(usize) -> Outcome| {
            cases.push(Case::new(format!("memory_{count}"), runtime, move || measure(count)));
        };
        add("iora", iora);
        add("tokio-ct", tokio_ct);
        add("tokio-mt2", tokio_mt2);
        add("may", may);
        add("corosensei", corosensei);
        add("thread", threads);
    }
    common::run(3, &cases)
}

/// How many tasks have begun to wait.
static PARKED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of this process that are resident, page tables included.
fn footprint() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let kilobytes = |name: &str| -> f64 {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a known line");
        line.split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .expect("a number")
    };
    (kilobytes("VmRSS:") + kilobytes("VmPTE:")) * 1024.0
}

/// What the process grew by from `before` until now, when all tasks must be parked.
fn growth(before: f64, count: usize) -> Outcome {
    let grown = footprint() - before;
    let parked = PARKED.load(Ordering::Acquire);
    if parked != count {
        return Err(format!("{parked} of {count} parked"));
    }
    Ok(vec![Figure::each("bytes", grown, count)])
}

/// Waits, off the runtime, until all tasks are parked.
fn all_parked(count: usize) {
    while PARKED.load(Ordering::Acquire) < count {
        thread::yield_now();
    }
}

/// All wait for a permit of a semaphore that has none.
fn iora(count: usize) -> Outcome {
    let gate = Arc::new(iora::sync::Semaphore::new(0));
    let before = footprint();
    for number in 0..count {
        let gate = Arc::clone(&gate);
        let wait = move || {
            PARKED.fetch_add(1, Ordering::Release);
            gate.acquire();
            PARKED.fetch_sub(1, Ordering::Release);
        };
        let greenlet = iora::Builder::new().spawn(wait);
        drop(greenlet.map_err(|error| format!("greenlet {number}: {error}"))?);
    }
    while PARKED.load(Ordering::Acquire) < count {
        iora::yield_now();
    }
    growth(before, count)
}

/// One thread.
fn tokio_ct(count: usize) -> Outcome {
    tokio_tasks(
        &runtime::Builder::new_current_thread().build().expect("a runtime"),
        count,
    )
}

/// Two workers.
fn tokio_mt2(count: usize) -> Outcome {
    tokio_tasks(
        &runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .expect("a runtime"),
        count,
    )
}

/// All wait for a permit of a semaphore that has none.
fn tokio_tasks(runtime: &Runtime, count: usize) -> Outcome {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let spawn_all = {
        let gate = Arc::clone(&gate);
        async move {
            for _ in 0..count {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    PARKED.fetch_add(1, Ordering::Release);
                    drop(gate.acquire().await);
                    PARKED.fetch_sub(1, Ordering::Release);
                });
            }
            while PARKED.load(Ordering::Acquire) < count {
                tokio::task::yield_now().await;
            }
        }
    };
    let before = footprint();
    runtime.block_on(spawn_all);
    growth(before, count)
}

/// All wait for a permit of a semaphore that has none.
fn may(count: usize) -> Outcome {
    may::config().set_workers(2);
    may::go!(|| ()).join().expect("no panic");
    let gate = Arc::new(may::sync::Semphore::new(0));
    let before = footprint();
    for _ in 0..count {
        let gate = Arc::clone(&gate);
        may::go!(move || {
            PARKED.fetch_add(1, Ordering::Release);
            gate.wait();
            PARKED.fetch_sub(1, Ordering::Release);
        });
    }
    all_parked(count);
    growth(before, count)
}

/// All are suspended, each on a stack as the library makes them.
fn corosensei(count: usize) -> Outcome {
    let before = footprint();
    let mut parked = Vec::with_capacity(count);
    for number in 0..count {
        let stack = DefaultStack::new(64 * 1024).map_err(|error| format!("stack {number}: {error}"))?;
        let mut task = Coroutine::<(), (), (), _>::with_stack(stack, |yielder, ()| yielder.suspend(()));
        assert!(matches!(task.resume(()), CoroutineResult::Yield(())));
        PARKED.fetch_add(1, Ordering::Release);
        parked.push(task);
    }
    growth(before, count)
}

/// All wait for a lock that the main thread holds.
fn threads(count: usize) -> Outcome {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let before = footprint();
    for number in 0..count {
        let gate = Arc::clone(&gate);
        let wait = move || {
            PARKED.fetch_add(1, Ordering::Release);
            drop(gate.lock());
        };
        let thread = thread::Builder::new().stack_size(64 * 1024).spawn(wait);
        thread.map_err(|error| format!("thread {number}: {error}"))?;
    }
    all_parked(count);
    let outcome = growth(before, count);
    drop(held);
    outcome
}
