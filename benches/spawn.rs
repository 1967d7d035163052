//! What a task costs from spawn to join, its work being nothing.
//!
//! * `spawn_join`: one is spawned and joined, then the next.
//! * `spawn_batch_cold`: 100,000 are spawned, then all are joined, in a process that did nothing before.
//! * `spawn_batch_warm`: the same once more, with the memory of an equal batch at hand.
//!
//! The figure is wall time a task. `corosensei` is the least that does the same by hand: a run queue, a free
//! list of stacks, and for each task one allocation, the cell in which its result comes back. It cannot tell
//! who waits, so it cannot park anybody. In the batches its stacks are slices of one large mapping without
//! guards, 100,000 of them alive at once.

mod common;

use std::cell::Cell;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Case, Figure, Outcome, scaled};
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult};
use tokio::runtime::{self, Runtime};

fn main() -> ExitCode {
    let tasks = scaled(1_000_000, 1_000);
    let mut cases = vec![
        Case::new("spawn_join", "iora", move || one_by_one(tasks, iora_join)),
        Case::new("spawn_join", "tokio-ct", move || one_by_one(tasks, tokio_ct_join)),
        Case::new("spawn_join", "tokio-mt2", move || one_by_one(tasks, tokio_mt2_join)),
        Case::new("spawn_join", "may", move || one_by_one(tasks / 4, may_join)),
        Case::new("spawn_join", "corosensei", move || one_by_one(tasks, corosensei_join)),
        Case::new("spawn_join", "thread", move || one_by_one(tasks / 50, thread_join)),
    ];
    let tasks = scaled(100_000, 1_000);
    for (bench, measure) in [("spawn_batch_cold", cold as Measure), ("spawn_batch_warm", warm)] {
        cases.extend([
            Case::new(bench, "iora", move || measure(tasks, &mut iora_batch)),
            Case::new(bench, "tokio-ct", move || measure(tasks, &mut tokio_ct_batch())),
            Case::new(bench, "tokio-mt2", move || measure(tasks, &mut tokio_mt2_batch())),
            Case::new(bench, "may", move || measure(tasks, &mut may_batch)),
            Case::new(bench, "corosensei", move || {
                measure(tasks, &mut corosensei_batch(tasks))
            }),
        ]);
    }
    common::run(5, &cases)
}

/// Measures batches: `batch` spawns and joins as many tasks as it is told.
type Measure = fn(usize, &mut dyn FnMut(usize)) -> Outcome;

/// The first batch of the process.
fn cold(tasks: usize, batch: &mut dyn FnMut(usize)) -> Outcome {
    let start = Instant::now();
    batch(tasks);
    Ok(vec![Figure::each("ns", start.elapsed().as_nanos() as f64, tasks)])
}

/// A batch after two equal ones.
fn warm(tasks: usize, batch: &mut dyn FnMut(usize)) -> Outcome {
    batch(tasks);
    batch(tasks);
    cold(tasks, batch)
}

/// Tasks of which each is joined before the next is spawned, after a tenth as many to warm up.
fn one_by_one(tasks: usize, work: fn(usize) -> Duration) -> Outcome {
    Ok(vec![Figure::each("ns", work(tasks).as_nanos() as f64, tasks)])
}

/// Calls the function a tenth as often to warm up, then `tasks` times against the clock.
fn timed(tasks: usize, mut task: impl FnMut(usize)) -> Duration {
    (0..tasks / 10).for_each(&mut task);
    let start = Instant::now();
    (0..tasks).for_each(&mut task);
    start.elapsed()
}

/// Spawned and joined from a greenlet.
fn iora_join(tasks: usize) -> Duration {
    let parent = iora::spawn(move || {
        timed(tasks, |number| {
            assert_eq!(iora::spawn(move || number).get().expect("no panic"), number);
        })
    });
    parent.get().expect("no panic")
}

/// A batch spawned and joined by the thread's own stack.
fn iora_batch(tasks: usize) {
    let jobs: Vec<_> = (0..tasks).map(|number| iora::spawn(move || number)).collect();
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.get().expect("no panic"), number);
    }
}

/// One thread, no drivers.
fn tokio_ct() -> Runtime {
    runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// Two workers, no drivers.
fn tokio_mt2() -> Runtime {
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime")
}

/// Spawned and joined on the runtime's one thread.
fn tokio_ct_join(tasks: usize) -> Duration {
    tokio_ct().block_on(tokio_join(tasks))
}

/// Spawned and joined from one of the workers, which is the fast way.
fn tokio_mt2_join(tasks: usize) -> Duration {
    tokio_mt2().block_on(async move { tokio::spawn(tokio_join(tasks)).await.expect("no panic") })
}

/// Tasks of which each is joined before the next is spawned.
async fn tokio_join(tasks: usize) -> Duration {
    let task = async |number: usize| {
        let result = tokio::spawn(async move { number }).await;
        assert_eq!(result.expect("no panic"), number);
    };
    for number in 0..tasks / 10 {
        task(number).await;
    }
    let start = Instant::now();
    for number in 0..tasks {
        task(number).await;
    }
    start.elapsed()
}

/// A batch on the runtime's one thread.
fn tokio_ct_batch() -> impl FnMut(usize) {
    let runtime = tokio_ct();
    move |tasks| runtime.block_on(tokio_batch(tasks))
}

/// A batch spawned and joined from one of the workers.
fn tokio_mt2_batch() -> impl FnMut(usize) {
    let runtime = tokio_mt2();
    move |tasks| runtime.block_on(async move { tokio::spawn(tokio_batch(tasks)).await.expect("no panic") })
}

/// All spawned, then all joined.
async fn tokio_batch(tasks: usize) {
    let jobs: Vec<_> = (0..tasks).map(|number| tokio::spawn(async move { number })).collect();
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.await.expect("no panic"), number);
    }
}

/// One worker, spawned and joined on it.
fn may_join(tasks: usize) -> Duration {
    may::config().set_workers(1).set_worker_pin(false);
    let parent = may::go!(move || {
        timed(tasks, |number| {
            assert_eq!(may::go!(move || number).join().expect("no panic"), number);
        })
    });
    parent.join().expect("no panic")
}

/// Two workers, and spawned from outside: its stacks are two mappings each, and a batch that were all
/// alive at once would exceed what a process may have.
fn may_batch(tasks: usize) {
    may::config().set_workers(2);
    let jobs: Vec<_> = (0..tasks).map(|number| may::go!(move || number)).collect();
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.join().expect("no panic"), number);
    }
}

/// By hand, the one stack coming back each time.
fn corosensei_join(tasks: usize) -> Duration {
    let mut scheduler = ByHand {
        ready: VecDeque::new(),
        free: vec![DefaultStack::default()],
    };
    timed(tasks, |number| {
        let result = scheduler.spawn(number);
        assert_eq!(scheduler.join(&result), number);
    })
}

/// By hand, on slices of one mapping.
fn corosensei_batch(capacity: usize) -> impl FnMut(usize) {
    let mut scheduler = ByHand {
        ready: VecDeque::new(),
        free: slab::stacks(capacity),
    };
    move |tasks| {
        let results: Vec<_> = (0..tasks).map(|number| scheduler.spawn(number)).collect();
        for (number, result) in results.iter().enumerate() {
            assert_eq!(scheduler.join(result), number);
        }
    }
}

/// The least that a scheduler has to be.
struct ByHand<S: Stack> {
    /// Spawned and not yet run, in this order.
    ready: VecDeque<Coroutine<(), (), (), S>>,
    /// Stacks that nobody uses.
    free: Vec<S>,
}

impl<S: Stack + 'static> ByHand<S> {
    /// A coroutine that will say its number, and where.
    fn spawn(&mut self, number: usize) -> Rc<Cell<Option<usize>>> {
        let result = Rc::new(Cell::new(None));
        let said = Rc::clone(&result);
        let stack = self.free.pop().expect("enough stacks");
        self.ready
            .push_back(Coroutine::with_stack(stack, move |_, ()| said.set(Some(number))));
        result
    }

    /// Runs what is ready until this result is there.
    fn join(&mut self, result: &Cell<Option<usize>>) -> usize {
        loop {
            if let Some(number) = result.get() {
                return number;
            }
            let mut task = self.ready.pop_front().expect("somebody has the result");
            assert!(matches!(task.resume(()), CoroutineResult::Return(())));
            self.free.push(task.into_stack());
        }
    }
}

/// Threads of the system.
fn thread_join(tasks: usize) -> Duration {
    timed(tasks, |number| {
        assert_eq!(thread::spawn(move || number).join().expect("no panic"), number);
    })
}

/// Stacks cut from one mapping, as cheap as they can be: without guards, and only for this bench.
mod slab {
    #![expect(unsafe_code, reason = "a stack of one's own is an unsafe trait")]

    use std::num::NonZeroUsize;
    use std::ptr;

    use corosensei::stack::{Stack, StackPointer};

    /// Bytes of address space a stack.
    const SIZE: usize = 64 * 1024;

    /// So many stacks, none of them touched yet. The mapping is never given back: the process ends with the
    /// measurement.
    pub(super) fn stacks(count: usize) -> Vec<SlabStack> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address that the kernel chooses overlaps nothing.
        let start = unsafe { libc::mmap(ptr::null_mut(), count * SIZE, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "no address space");
        // SAFETY: the range is the mapping made just above.
        unsafe { libc::madvise(start, count * SIZE, libc::MADV_NOHUGEPAGE) };
        let start = NonZeroUsize::new(start.expose_provenance()).expect("mapped");
        (0..count)
            .map(|number| SlabStack {
                limit: start.saturating_add(number * SIZE),
            })
            .collect()
    }

    /// One stack.
    pub(super) struct SlabStack {
        /// Its lowest address.
        limit: NonZeroUsize,
    }

    // SAFETY: SIZE bytes from `limit` are mapped for ever, page-aligned. There is no guard: the coroutines
    // of this bench return at once and use a few hundred bytes.
    unsafe impl Stack for SlabStack {
        fn base(&self) -> StackPointer {
            self.limit.saturating_add(SIZE)
        }

        fn limit(&self) -> StackPointer {
            self.limit
        }
    }
}
