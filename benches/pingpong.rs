//! What a message costs: two tasks send one number there and back over two of the runtime's own queues.
//!
//! `pingpong` has both tasks on one thread (on two workers for `tokio-mt2`, which keeps such a pair on
//! one); `pingpong_threads` has each on a thread of its own. The figure is wall time a round trip.
//! `corosensei` is two coroutines resumed in turn around two `VecDeque`s, `mio` two threads that wake
//! each other's poll, `thread` two threads and std's channel.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Case, Figure, scaled};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use iora::queue::Queue;
use mio::{Events, Poll, Token, Waker};
use tokio::runtime;
use tokio::sync::mpsc as tokio_mpsc;

fn main() -> ExitCode {
    let mut cases = Vec::new();
    let mut add = |bench, runtime, rounds, work: fn(usize) -> Duration| {
        cases.push(Case::new(bench, runtime, move || {
            Ok(vec![Figure::each("ns", work(rounds).as_nanos() as f64, rounds)])
        }));
    };
    let rounds = scaled(1_000_000, 1_000);
    add("pingpong", "iora", rounds, iora);
    add("pingpong", "tokio-ct", rounds, tokio_ct);
    add("pingpong", "tokio-mt2", rounds, tokio_mt2);
    add("pingpong", "may", rounds, may);
    add("pingpong", "corosensei", rounds, corosensei);
    let rounds = scaled(50_000, 100);
    add("pingpong_threads", "iora", rounds, iora_threads);
    add("pingpong_threads", "tokio-ct", rounds, tokio_threads);
    add("pingpong_threads", "mio", rounds, mio_threads);
    add("pingpong_threads", "thread", rounds, std_threads);
    common::run(5, &cases)
}

/// Two greenlets of one hub.
fn iora(rounds: usize) -> Duration {
    let (there, back) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
    let (served, returned) = (Arc::clone(&there), Arc::clone(&back));
    let other = iora::spawn(move || iora_return(rounds, &served, &back));
    let server = iora::spawn(move || iora_serve(rounds, &there, &returned));
    let elapsed = server.get().expect("no panic");
    other.get().expect("no panic");
    elapsed
}

/// A greenlet on each of two threads.
fn iora_threads(rounds: usize) -> Duration {
    let (there, back) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
    let (served, returned) = (Arc::clone(&there), Arc::clone(&back));
    let other = thread::spawn(move || {
        let other = iora::spawn(move || iora_return(rounds, &served, &back));
        other.get().expect("no panic");
    });
    let server = iora::spawn(move || iora_serve(rounds, &there, &returned));
    let elapsed = server.get().expect("no panic");
    other.join().expect("no panic");
    elapsed
}

/// Puts numbers and waits for each to come back.
fn iora_serve(rounds: usize, there: &Queue<usize>, returned: &Queue<usize>) -> Duration {
    let start = Instant::now();
    for number in 0..rounds {
        there.put(number).expect("open");
        assert_eq!(returned.get(), Ok(number));
    }
    start.elapsed()
}

/// Puts back so many numbers.
fn iora_return(rounds: usize, served: &Queue<usize>, back: &Queue<usize>) {
    for _ in 0..rounds {
        back.put(served.get().expect("open")).expect("open");
    }
}

/// Both tasks on the runtime's one thread.
fn tokio_ct(rounds: usize) -> Duration {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(tokio_pair(rounds))
}

/// Both tasks on two workers.
fn tokio_mt2(rounds: usize) -> Duration {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    runtime.block_on(async move { tokio::spawn(tokio_pair(rounds)).await.expect("no panic") })
}

/// Spawns a task that returns the ball and one that serves it, and waits for them.
async fn tokio_pair(rounds: usize) -> Duration {
    let (there, served) = tokio_mpsc::unbounded_channel();
    let (back, returned) = tokio_mpsc::unbounded_channel();
    let other = tokio::spawn(tokio_return(served, back));
    let server = tokio::spawn(tokio_serve(rounds, there, returned));
    let elapsed = server.await.expect("no panic");
    other.await.expect("no panic");
    elapsed
}

/// Sends numbers and waits for each to come back.
async fn tokio_serve(
    rounds: usize,
    there: tokio_mpsc::UnboundedSender<usize>,
    mut returned: tokio_mpsc::UnboundedReceiver<usize>,
) -> Duration {
    let start = Instant::now();
    for number in 0..rounds {
        there.send(number).expect("open");
        assert_eq!(returned.recv().await, Some(number));
    }
    start.elapsed()
}

/// Sends back whatever comes, until nothing can come.
async fn tokio_return(mut served: tokio_mpsc::UnboundedReceiver<usize>, back: tokio_mpsc::UnboundedSender<usize>) {
    while let Some(number) = served.recv().await {
        back.send(number).expect("open");
    }
}

/// A runtime of one thread on each of two threads.
fn tokio_threads(rounds: usize) -> Duration {
    let (there, served) = tokio_mpsc::unbounded_channel();
    let (back, returned) = tokio_mpsc::unbounded_channel();
    let other = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(tokio_return(served, back));
    });
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    let elapsed = runtime.block_on(tokio_serve(rounds, there, returned));
    other.join().expect("no panic");
    elapsed
}

/// One worker, both coroutines on it.
fn may(rounds: usize) -> Duration {
    may::config().set_workers(1).set_worker_pin(false);
    let (there, served) = may::sync::mpsc::channel();
    let (back, returned) = may::sync::mpsc::channel();
    let parent = may::go!(move || {
        let other = may::go!(move || {
            while let Ok(number) = served.recv() {
                back.send(number).expect("open");
            }
        });
        let server = may::go!(move || {
            let start = Instant::now();
            for number in 0..rounds {
                there.send(number).expect("open");
                assert_eq!(returned.recv(), Ok(number));
            }
            start.elapsed()
        });
        let elapsed = server.join().expect("no panic");
        other.join().expect("no panic");
        elapsed
    });
    parent.join().expect("no panic")
}

/// Two coroutines, each of which suspends until its queue holds something.
fn corosensei(rounds: usize) -> Duration {
    type Queue = Rc<RefCell<VecDeque<usize>>>;
    fn get(queue: &Queue, yielder: &Yielder<(), ()>) -> usize {
        loop {
            let item = queue.borrow_mut().pop_front();
            match item {
                Some(number) => return number,
                None => yielder.suspend(()),
            }
        }
    }
    let (there, back) = (Queue::default(), Queue::default());
    let (served, returned) = (Rc::clone(&there), Rc::clone(&back));
    let mut server = Coroutine::<(), (), ()>::new(move |yielder, ()| {
        for number in 0..rounds {
            there.borrow_mut().push_back(number);
            assert_eq!(get(&returned, yielder), number);
        }
    });
    let mut other = Coroutine::<(), (), ()>::new(move |yielder, ()| {
        for _ in 0..rounds {
            let number = get(&served, yielder);
            back.borrow_mut().push_back(number);
        }
    });
    let start = Instant::now();
    while matches!(server.resume(()), CoroutineResult::Yield(())) {
        if !other.done() {
            other.resume(());
        }
    }
    start.elapsed()
}

/// Two threads, each of which polls until the other wakes it.
fn mio_threads(rounds: usize) -> Duration {
    fn end(poll: &Poll) -> Arc<Waker> {
        Arc::new(Waker::new(poll.registry(), Token(0)).expect("an eventfd"))
    }
    fn get(items: &mpsc::Receiver<usize>, poll: &mut Poll, events: &mut Events) -> Option<usize> {
        loop {
            match items.try_recv() {
                Ok(number) => return Some(number),
                Err(mpsc::TryRecvError::Disconnected) => return None,
                Err(mpsc::TryRecvError::Empty) => poll.poll(events, None).expect("polls"),
            }
        }
    }
    let (there, served) = mpsc::channel();
    let (back, returned) = mpsc::channel();
    let mut here = Poll::new().expect("a poll");
    let mut yonder = Poll::new().expect("a poll");
    let (wake_here, wake_yonder) = (end(&here), end(&yonder));
    let other = thread::spawn(move || {
        let mut events = Events::with_capacity(16);
        while let Some(number) = get(&served, &mut yonder, &mut events) {
            back.send(number).expect("open");
            wake_here.wake().expect("wakes");
        }
    });
    let mut events = Events::with_capacity(16);
    let start = Instant::now();
    for number in 0..rounds {
        there.send(number).expect("open");
        wake_yonder.wake().expect("wakes");
        assert_eq!(get(&returned, &mut here, &mut events), Some(number));
    }
    let elapsed = start.elapsed();
    drop(there);
    wake_yonder.wake().expect("wakes");
    other.join().expect("no panic");
    elapsed
}

/// Two threads and std's channel.
fn std_threads(rounds: usize) -> Duration {
    let (there, served) = mpsc::channel();
    let (back, returned) = mpsc::channel();
    let other = thread::spawn(move || {
        for number in served {
            back.send(number).expect("open");
        }
    });
    let start = Instant::now();
    for number in 0..rounds {
        there.send(number).expect("open");
        assert_eq!(returned.recv(), Ok(number));
    }
    let elapsed = start.elapsed();
    drop(there);
    other.join().expect("no panic");
    elapsed
}
