//! What a sleep costs, and how late it ends: `timers_10000` has 10,000 tasks sleep ten times, each time
//! 1 to 100 ms.
//!
//! Three figures: CPU time a sleep (of the whole process, spawn and join included, after a first pass
//! of one sleep a task that warms stacks and heap), and how late the sleeps end, at the median and at the
//! 99th percentile. Either is easily bought with the other, so look at both. `mio` is a binary heap by hand, with
//! a timerfd for the grain that its poll lacks.

mod common;
#[path = "common/cpu_time.rs"]
mod cpu_time;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{Case, Figure, Outcome, percentile, scaled};
use cpu_time::cpu_time;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tokio::runtime::{self, Runtime};

fn main() -> ExitCode {
    let tasks = scaled(10_000, 100);
    let mut cases = Vec::new();
    let mut add = |runtime, measure: fn(usize) -> Outcome| {
        cases.push(Case::new(format!("timers_{tasks}"), runtime, move || measure(tasks)));
    };
    add("iora", iora);
    add("tokio-ct", tokio_ct);
    add("tokio-mt2", tokio_mt2);
    add("may", may);
    add("mio", by_hand);
    common::run(5, &cases)
}

/// How long a task's sleep should take: 1 to 100 ms, the same for every runtime.
fn duration(task: usize, sleep: usize) -> Duration {
    let mixed = (task * 31 + sleep + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    Duration::from_millis(1 + mixed as u64 % 100)
}

/// How much more than `wanted` has passed since `start`, in nanoseconds. Panics if it is less.
fn lateness(start: Instant, wanted: Duration) -> u64 {
    let late = start.elapsed().checked_sub(wanted).expect("a sleep never ends early");
    u64::try_from(late.as_nanos()).unwrap_or(u64::MAX)
}

/// Measures a pass; `pass` has all tasks sleep as often as it is told, and returns how late each sleep was.
fn measured(tasks: usize, mut pass: impl FnMut(usize) -> Vec<u64>) -> Outcome {
    let sleeps = scaled(10, 2);
    pass(1);
    let before = cpu_time(0);
    let late = pass(sleeps);
    let spent = cpu_time(0).saturating_sub(before);
    assert_eq!(late.len(), tasks * sleeps);
    let mut late: Vec<f64> = late
        .into_iter()
        .map(|nanoseconds| nanoseconds as f64 / 1_000.0)
        .collect();
    Ok(vec![
        Figure::each("cpu_ns", spent.as_nanos() as f64, tasks * sleeps),
        Figure::new("p50_us", percentile(&mut late, 0.50)),
        Figure::new("p99_us", percentile(&mut late, 0.99)),
    ])
}

/// One hub, that of this thread, whose own stack waits.
fn iora(tasks: usize) -> Outcome {
    let task = |task, sleeps| {
        let mut late = Vec::with_capacity(sleeps);
        for sleep in 0..sleeps {
            let (start, wanted) = (Instant::now(), duration(task, sleep));
            iora::sleep(wanted);
            late.push(lateness(start, wanted));
        }
        late
    };
    measured(tasks, |sleeps| {
        let jobs: Vec<_> = (0..tasks)
            .map(|number| iora::spawn(move || task(number, sleeps)))
            .collect();
        jobs.into_iter().flat_map(|job| job.get().expect("no panic")).collect()
    })
}

/// One thread and the time driver.
fn tokio_ct(tasks: usize) -> Outcome {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    tokio_tasks(&runtime, tasks)
}

/// Two workers and the time driver.
fn tokio_mt2(tasks: usize) -> Outcome {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    tokio_tasks(&runtime, tasks)
}

/// Spawns the tasks and collects what they say.
fn tokio_tasks(runtime: &Runtime, tasks: usize) -> Outcome {
    let task = async |task, sleeps| {
        let mut late = Vec::with_capacity(sleeps);
        for sleep in 0..sleeps {
            let (start, wanted) = (Instant::now(), duration(task, sleep));
            tokio::time::sleep(wanted).await;
            late.push(lateness(start, wanted));
        }
        late
    };
    measured(tasks, |sleeps| {
        let all = async move {
            let jobs: Vec<_> = (0..tasks).map(|number| tokio::spawn(task(number, sleeps))).collect();
            let mut late = Vec::with_capacity(tasks * sleeps);
            for job in jobs {
                late.extend(job.await.expect("no panic"));
            }
            late
        };
        runtime.block_on(async { tokio::spawn(all).await.expect("no panic") })
    })
}

/// Two workers.
fn may(tasks: usize) -> Outcome {
    may::config().set_workers(2).set_pool_capacity(tasks);
    let task = |task, sleeps| {
        let mut late = Vec::with_capacity(sleeps);
        for sleep in 0..sleeps {
            let (start, wanted) = (Instant::now(), duration(task, sleep));
            may::coroutine::sleep(wanted);
            late.push(lateness(start, wanted));
        }
        late
    };
    measured(tasks, |sleeps| {
        let jobs: Vec<_> = (0..tasks)
            .map(|number| may::go!(move || task(number, sleeps)))
            .collect();
        jobs.into_iter().flat_map(|job| job.join().expect("no panic")).collect()
    })
}

/// A sleep in the heap: when it ends (first, so that it orders them), when it began, whose and which it is.
type Sleep = Reverse<(Instant, Instant, usize, usize)>;

/// A heap, and a timerfd set to its head.
fn by_hand(tasks: usize) -> Outcome {
    let alarm = alarm::Alarm::new();
    let mut poll = Poll::new().expect("a poll");
    poll.registry()
        .register(&mut SourceFd(&alarm.descriptor()), Token(0), Interest::READABLE)
        .expect("registers");
    let mut events = Events::with_capacity(16);
    let asleep = |task, sleep| -> Sleep {
        let start = Instant::now();
        Reverse((start + duration(task, sleep), start, task, sleep))
    };
    measured(tasks, |sleeps| {
        let mut heap: BinaryHeap<Sleep> = (0..tasks).map(|task| asleep(task, 0)).collect();
        let mut late = Vec::with_capacity(tasks * sleeps);
        while let Some(&Reverse((deadline, start, task, sleep))) = heap.peek() {
            let now = Instant::now();
            if deadline > now {
                alarm.set(deadline - now);
                poll.poll(&mut events, None).expect("polls");
                continue;
            }
            heap.pop();
            late.push(lateness(start, deadline - start));
            if sleep + 1 < sleeps {
                heap.push(asleep(task, sleep + 1));
            }
        }
        late
    })
}

/// A timerfd.
mod alarm {
    #![expect(unsafe_code, reason = "std does not have timerfds")]

    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
    use std::ptr;
    use std::time::Duration;

    /// Becomes readable when its time has come.
    pub(super) struct Alarm(OwnedFd);

    impl Alarm {
        /// One that is not set.
        pub(super) fn new() -> Self {
            let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
            // SAFETY: the call takes two numbers and touches no memory.
            let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
            assert!(descriptor >= 0, "no timerfd");
            // SAFETY: the descriptor was made just above and belongs to nobody else.
            Self(unsafe { OwnedFd::from_raw_fd(descriptor) })
        }

        /// What to register.
        pub(super) fn descriptor(&self) -> RawFd {
            self.0.as_raw_fd()
        }

        /// Sets it to ring after this time, at least a nanosecond.
        pub(super) fn set(&self, after: Duration) {
            let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
            let value = libc::timespec {
                tv_sec: seconds,
                tv_nsec: i64::from(after.subsec_nanos()).max(1),
            };
            let setting = libc::itimerspec {
                it_interval: zero,
                it_value: value,
            };
            // SAFETY: the setting outlives the call, and the old one is not asked for.
            let set = unsafe { libc::timerfd_settime(self.descriptor(), 0, &setting, ptr::null_mut()) };
            assert_eq!(set, 0, "the timerfd cannot be set");
        }
    }
}
