//! Waiting for any of many things: an observer is left with each of them, and tells its number here.
//!
//! ```text
//! event ── observer 0 ──┐
//! greenlet ─ observer 1 ┼─► [ 1, 0 ] ─► next() gives 1, then 0
//! semaphore ─ observer 2┘
//! ```
//!
//! Numbers are told in the order in which the things became ready, and kept until they are asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::wait_queue::observer::{Observe, Observer};
use super::wait_queue::{Handover, View, WaitQueue, Waited};
use crate::hub::park;

/// The numbers that were told and not asked for yet.
struct Told(VecDeque<usize>);

impl Handover for Told {
    type Aside = ();
    type Ticket = ();

    /// The number is kept: whoever asks next gets it.
    fn take_back(_view: &mut View<'_, Told>, _line: usize, _ticket: &mut ()) {}
}

impl Observe for WaitQueue<Told> {
    fn told(&self, number: usize) {
        self.with(|view| {
            view.state.0.push_back(number);
            view.grant(0);
        });
    }
}

/// See the top of the file. One at a time asks for what arrived.
pub(crate) struct Arrivals {
    /// Shared with the observers.
    queue: Arc<WaitQueue<Told>>,
}

impl Arrivals {
    /// Nothing arrived yet; `expected` numbers will.
    pub(crate) fn new(expected: usize) -> Arrivals {
        Arrivals {
            queue: Arc::new(WaitQueue::new(Told(VecDeque::with_capacity(expected)))),
        }
    }

    /// One that tells `number`.
    pub(crate) fn observer(&self, number: usize) -> Observer {
        Observer::new(self.queue.clone(), number)
    }

    /// The number that arrived next. Parks the caller until there is one; `None` if `deadline` passed first, or if it would have
    /// to wait while its greenlet is unwinding.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Option<usize> {
        park::spend();
        loop {
            match self
                .queue
                .wait(0, deadline, "wait", |view| view.state.0.pop_front().ok_or(()))
            {
                Waited::AtOnce(number) => return Some(number),
                Waited::Granted(()) => {}
                Waited::TimedOut(()) | Waited::Refused(()) => return None,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::wait_queue::Broadcast;
    use super::*;

    #[test]
    fn numbers_arrive_in_order_once_and_leave_no_trace() {
        let queues: Vec<_> = (0..3).map(|_| WaitQueue::new(Broadcast)).collect();
        let arrivals = Arrivals::new(3);
        let observations: Vec<_> = queues
            .iter()
            .enumerate()
            .map(|(number, queue)| queue.observe(arrivals.observer(number), |_| number == 1))
            .collect();
        queues[2].with(|view| view.tell_all());
        queues[2].with(|view| view.tell_all());
        let now = Some(Instant::now());
        assert_eq!(arrivals.next(now), Some(1));
        assert_eq!(arrivals.next(now), Some(2));
        assert_eq!(arrivals.next(now), None);
        assert_eq!(queues[0].with(|view| view.count_observers()), 1);
        drop(observations);
        assert_eq!(queues[0].with(|view| view.count_observers()), 0);
        queues[0].with(|view| view.tell_all());
        assert_eq!(arrivals.next(now), None, "who left is not told");
        assert_eq!(Arc::strong_count(&arrivals.queue), 1);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::super::wait_queue::Broadcast;
    use super::*;
    use crate::primitive::Arc;
    use crate::primitive::atomic::{AtomicBool, Ordering};

    /// A flag that can be observed.
    struct Flag {
        set: AtomicBool,
        queue: WaitQueue<Broadcast>,
    }

    impl Flag {
        fn new() -> Arc<Flag> {
            Arc::new(Flag {
                set: AtomicBool::new(false),
                queue: WaitQueue::new(Broadcast),
            })
        }

        fn set(&self) {
            self.queue.with(|view| {
                self.set.store(true, Ordering::Release);
                view.tell_all();
            });
        }
    }

    #[test]
    fn loom_arrivals_miss_nothing_that_comes_while_they_are_registered() {
        loom::model(|| {
            let flags = [Flag::new(), Flag::new()];
            let setters: Vec<_> = flags
                .iter()
                .map(|flag| {
                    let flag = flag.clone();
                    loom::thread::spawn(move || flag.set())
                })
                .collect();
            let arrivals = Arrivals::new(2);
            let observations: Vec<_> = flags
                .iter()
                .enumerate()
                .map(|(number, flag)| {
                    flag.queue
                        .observe(arrivals.observer(number), |_| flag.set.load(Ordering::Acquire))
                })
                .collect();
            let both = [arrivals.next(None), arrivals.next(None)];
            assert!(both == [Some(0), Some(1)] || both == [Some(1), Some(0)]);
            drop(observations);
            setters.into_iter().for_each(|setter| setter.join().unwrap());
        });
    }

    #[test]
    fn loom_an_observer_that_leaves_while_it_is_told_leaves_no_trace() {
        loom::model(|| {
            let flag = Flag::new();
            let there = flag.clone();
            let setter = loom::thread::spawn(move || there.set());
            let arrivals = Arrivals::new(1);
            drop(flag.queue.observe(arrivals.observer(0), |_| false));
            let told = arrivals.next(Some(Instant::now()));
            setter.join().unwrap();
            assert!(told.is_none() || flag.set.load(Ordering::Acquire));
            assert_eq!(flag.queue.with(|view| view.count_observers()), 0);
        });
    }
}
