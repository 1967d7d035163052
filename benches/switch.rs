//! What it costs to let the next one run: tasks of one runtime that do nothing but yield.
//!
//! `yield2` has two tasks, `yield1000` a thousand; the figure is wall time a yield, from the moment
//! all tasks are spawned until the last has ended. Runtimes of one thread run on one, `tokio-mt2` on
//! two. `corosensei` is the bare switch, without a run queue: coroutines in a vector, resumed from the first
//! to the last, round after round. So two of them alternate. Nobody can be much faster.

mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{Case, Figure, scaled};
use corosensei::{Coroutine, CoroutineResult};
use tokio::runtime;

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for (tasks, yields) in [(2, scaled(3_000_000, 500)), (1_000, scaled(6_000, 5))] {
        let mut add = |runtime, work: fn(usize, usize) -> Duration| {
            cases.push(Case::new(format!("yield{tasks}"), runtime, move || {
                let elapsed = work(tasks, yields);
                Ok(vec![Figure::each("ns", elapsed.as_nanos() as f64, tasks * yields)])
            }));
        };
        add("iora", iora);
        add("tokio-ct", tokio_ct);
        add("tokio-mt2", tokio_mt2);
        add("may", may);
        add("corosensei", corosensei);
    }
    common::run(5, &cases)
}

/// One hub, that of this thread, whose own stack waits.
fn iora(tasks: usize, yields: usize) -> Duration {
    let task = move || {
        for _ in 0..yields {
            iora::yield_now();
        }
    };
    let jobs: Vec<_> = (0..tasks).map(|_| iora::spawn(task)).collect();
    let start = Instant::now();
    assert_eq!(iora::joinall(&jobs, None).len(), tasks);
    start.elapsed()
}

/// One thread, no drivers: those would be polled between yields.
fn tokio_ct(tasks: usize, yields: usize) -> Duration {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(tokio_tasks(tasks, yields))
}

/// Two workers; the tasks are spawned from one of them, which is the fast way.
fn tokio_mt2(tasks: usize, yields: usize) -> Duration {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    runtime.block_on(async move { tokio::spawn(tokio_tasks(tasks, yields)).await.expect("no panic") })
}

/// Spawns the tasks and waits for them.
async fn tokio_tasks(tasks: usize, yields: usize) -> Duration {
    let task = || {
        tokio::spawn(async move {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
        })
    };
    let jobs: Vec<_> = (0..tasks).map(|_| task()).collect();
    let start = Instant::now();
    for job in jobs {
        job.await.expect("no panic");
    }
    start.elapsed()
}

/// One worker. The tasks are spawned from a coroutine: yielding ones keep those that come from another
/// thread waiting for ever.
fn may(tasks: usize, yields: usize) -> Duration {
    may::config().set_workers(1).set_worker_pin(false);
    let task = move || {
        for _ in 0..yields {
            may::coroutine::yield_now();
        }
    };
    let parent = may::go!(move || {
        let jobs: Vec<_> = (0..tasks).map(|_| may::go!(task)).collect();
        let start = Instant::now();
        for job in jobs {
            job.join().expect("no panic");
        }
        start.elapsed()
    });
    parent.join().expect("no panic")
}

/// Rounds over a vector: each coroutine is resumed, and taken out when it has ended.
fn corosensei(tasks: usize, yields: usize) -> Duration {
    let task = |_| {
        Coroutine::<(), (), ()>::new(move |yielder, ()| {
            for _ in 0..yields {
                yielder.suspend(());
            }
        })
    };
    let mut live: Vec<_> = (0..tasks).map(task).collect();
    let start = Instant::now();
    while !live.is_empty() {
        live.retain_mut(|coroutine| matches!(coroutine.resume(()), CoroutineResult::Yield(())));
    }
    start.elapsed()
}
