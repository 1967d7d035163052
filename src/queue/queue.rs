//! Queues with a store: first in first out, last in first out, least first.

use super::core::Core;
use super::error::{Failure, GetError, GetTimeoutError, PutError, PutTimeoutError, TryGetError, TryPutError};
use super::facade::{Iter, storage, tasks, transfer};
use crate::primitive::const_unless_loom;
use crate::sync::Choice;
use crate::sync::wait_queue::{deadline_after, refused};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::time::Duration;

/// A queue, bounded or not, of many putters and many getters. First in, first out.
///
/// ```
/// use iora::queue::Queue;
///
/// static JOBS: Queue<u32> = Queue::bounded(2);
///
/// let worker = std::thread::spawn(|| {
///     let mut sum = 0;
///     for job in &JOBS {
///         sum += job;
///         JOBS.task_done();
///     }
///     sum
/// });
/// for job in 1..=10 {
///     JOBS.put(job).unwrap();
/// }
/// JOBS.join();
/// JOBS.close();
/// assert_eq!(worker.join().unwrap(), 55);
/// ```
pub struct Queue<T> {
    /// The waiting and the items.
    core: Core<VecDeque<T>>,
}

storage!(Queue, VecDeque::new(),);
tasks!(Queue,);
transfer!(Queue,);

/// As [`Queue`], without the counting of tasks.
///
/// ```
/// let queue = iora::queue::SimpleQueue::new();
/// queue.put("hello").unwrap();
/// assert_eq!(queue.peek(), Ok("hello"));
/// assert_eq!(queue.get(), Ok("hello"));
/// ```
pub struct SimpleQueue<T> {
    /// The waiting and the items.
    core: Core<VecDeque<T>>,
}

storage!(SimpleQueue, VecDeque::new(),);
transfer!(SimpleQueue,);

impl<T> fmt::Debug for SimpleQueue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SimpleQueue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// As [`Queue`], but what was put last is got first.
///
/// ```
/// let stack = iora::queue::LifoQueue::new();
/// stack.put('a').unwrap();
/// stack.put('b').unwrap();
/// assert_eq!(stack.get(), Ok('b'));
/// ```
pub struct LifoQueue<T> {
    /// The waiting and the items.
    core: Core<Vec<T>>,
}

storage!(LifoQueue, Vec::new(),);
tasks!(LifoQueue,);
transfer!(LifoQueue,);

/// As [`Queue`], but the least item is got first, in no particular order among equals.
///
/// `T`'s comparison is called under the queue's lock: it must not use the queue or wait.
///
/// ```
/// let todo = iora::queue::PriorityQueue::new();
/// todo.put((2, "tea")).unwrap();
/// todo.put((1, "water")).unwrap();
/// assert_eq!(todo.get(), Ok((1, "water")));
/// ```
pub struct PriorityQueue<T: Ord> {
    /// The waiting and the items.
    core: Core<BinaryHeap<Reverse<T>>>,
}

storage!(PriorityQueue, BinaryHeap::new(), : Ord);
tasks!(PriorityQueue, : Ord);
transfer!(PriorityQueue, : Ord);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    /// Returns once so many getters and putters wait.
    fn until_waiting<T>(queue: &Queue<T>, getters: usize, putters: usize) {
        while queue.core.waiting() != (getters, putters) {
            thread::yield_now();
        }
    }

    #[test]
    fn fails_at_once_if_asked_to() {
        let queue = Queue::bounded(1);
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        assert_eq!(queue.try_put(1), Ok(()));
        assert_eq!(queue.try_put(2), Err(TryPutError::Full(2)));
        assert!(queue.is_full());
        assert_eq!(
            queue.put_timeout(2, Duration::from_millis(1)),
            Err(PutTimeoutError::TimedOut(2))
        );
        assert_eq!(queue.get_timeout(Duration::ZERO), Ok(1));
        assert_eq!(
            queue.get_timeout(Duration::from_millis(1)),
            Err(GetTimeoutError::TimedOut)
        );
        assert_eq!(queue.core.waiting(), (0, 0));
        assert_eq!((queue.capacity(), Queue::<u8>::new().capacity()), (Some(1), None));
    }

    #[test]
    fn putters_are_served_in_the_order_of_their_coming() {
        let queue = Arc::new(Queue::bounded(1));
        queue.put(0).unwrap();
        let putters: Vec<_> = (1..4)
            .map(|number| {
                let there = queue.clone();
                let putter = thread::spawn(move || there.put(number));
                until_waiting(&queue, 0, number);
                putter
            })
            .collect();
        assert_eq!((0..4).map(|_| queue.get().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        putters.into_iter().for_each(|putter| putter.join().unwrap().unwrap());
    }

    #[test]
    fn getters_are_served_in_the_order_of_their_coming() {
        let queue = Arc::new(Queue::new());
        let getters: Vec<_> = (1..4)
            .map(|number| {
                let there = queue.clone();
                let getter = thread::spawn(move || there.get());
                until_waiting(&queue, number, 0);
                getter
            })
            .collect();
        (0..3).for_each(|item| queue.put(item).unwrap());
        for (item, getter) in getters.into_iter().enumerate() {
            assert_eq!(getter.join().unwrap(), Ok(item));
        }
    }

    #[test]
    fn a_getter_that_is_unwound_loses_no_item() {
        let queue = Queue::bounded(2);
        queue
            .core
            .get_and_be_unwound(|| (0..3).for_each(|item| queue.try_put(item).unwrap()));
        assert_eq!(queue.len(), 3, "the item is back, one above the bound");
        assert!(queue.try_put(3).is_err());
        assert_eq!((0..3).map(|_| queue.get().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
        // With another getter in line the item goes to that one.
        thread::scope(|scope| {
            let mut heir = None;
            queue.core.get_and_be_unwound(|| {
                heir = Some(scope.spawn(|| queue.get()));
                until_waiting(&queue, 2, 0);
                queue.put(7).unwrap();
            });
            assert_eq!(heir.unwrap().join().unwrap(), Ok(7));
        });
    }

    #[test]
    fn a_getter_that_is_unwound_puts_its_item_before_those_that_others_could_get() {
        let queue = Queue::new();
        queue.core.get_and_be_unwound(|| {
            (0..20).for_each(|item| queue.put(item).unwrap());
            assert_eq!(queue.get(), Ok(1));
        });
        assert_eq!((queue.len(), queue.peek()), (19, Ok(0)));
        queue.close();
        assert!(queue.iter().eq(std::iter::once(0).chain(2..20)));
    }

    #[test]
    fn an_item_that_is_put_back_takes_room() {
        let queue = Queue::bounded(3);
        queue.core.get_and_be_unwound(|| {
            (0..4).for_each(|item| queue.put(item).unwrap());
            assert_eq!(queue.get(), Ok(1), "0 is on its way");
        });
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.try_put(4), Err(TryPutError::Full(4)));
    }

    #[test]
    fn each_item_taken_lets_in_one_who_waits_for_room() {
        let queue = Arc::new(Queue::bounded(2));
        let putter = |item| {
            let there = queue.clone();
            drop(thread::spawn(move || there.put(item)));
        };
        (0..2).for_each(|item| queue.put(item).unwrap());
        assert_eq!(queue.get(), Ok(0));
        queue.put(2).unwrap();
        putter(3);
        until_waiting(&queue, 0, 1);
        assert_eq!(queue.get(), Ok(1));
        assert_eq!(queue.core.waiting(), (0, 0), "there is room");
        for (item, waiting) in [(4, 1), (5, 2)] {
            putter(item);
            until_waiting(&queue, 0, waiting);
        }
        for (item, waiting) in [(2, 1), (3, 0)] {
            assert_eq!((queue.get(), queue.core.waiting()), (Ok(item), (0, waiting)));
        }
        assert_eq!((queue.get(), queue.get()), (Ok(4), Ok(5)));
        assert_eq!(queue.unfinished(), 6, "those that were let in count");
    }

    #[test]
    fn who_waits_to_see_an_item_is_shown_it_however_it_comes() {
        let queue = Arc::new(Queue::new());
        let peeker = || {
            let there = queue.clone();
            let peeker = thread::spawn(move || there.peek());
            while queue.core.peeking() == 0 {
                thread::yield_now();
            }
            peeker
        };
        let first = peeker();
        queue.put(1).unwrap();
        assert_eq!(queue.core.peeking(), 0);
        assert_eq!((first.join().unwrap(), queue.get()), (Ok(1), Ok(1)));
        // From the hand of a getter that is unwound before it takes it home.
        let mut second = None;
        queue.core.get_and_be_unwound(|| {
            queue.put(2).unwrap();
            second = Some(peeker());
        });
        assert_eq!(queue.core.peeking(), 0);
        assert_eq!((second.unwrap().join().unwrap(), queue.get()), (Ok(2), Ok(2)));
    }

    #[test]
    fn a_copy_that_panics_leaves_in_line_who_was_to_see_it() {
        /// Is copied once.
        struct Item(Arc<AtomicU32>);
        impl Clone for Item {
            fn clone(&self) -> Item {
                assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "once");
                Item(self.0.clone())
            }
        }
        let queue = Arc::new(Queue::new());
        let peekers = [(); 2].map(|()| {
            let there = queue.clone();
            thread::spawn(move || there.peek().is_ok())
        });
        while queue.core.peeking() < 2 {
            thread::yield_now();
        }
        let item = Item(Arc::default());
        assert!(catch_unwind(AssertUnwindSafe(|| queue.put(item).is_ok())).is_err());
        assert_eq!((queue.core.peeking(), queue.len()), (2, 0));
        queue.close();
        assert_eq!(peekers.map(|peeker| peeker.join().unwrap()), [false; 2]);
    }

    #[test]
    fn a_comparison_that_panics_leaves_nobody_waiting_who_was_let_in() {
        /// Cannot be compared with the one that says so.
        struct Item(u32, bool);
        impl PartialEq for Item {
            fn eq(&self, other: &Item) -> bool {
                self.cmp(other).is_eq()
            }
        }
        impl Eq for Item {}
        impl PartialOrd for Item {
            fn partial_cmp(&self, other: &Item) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Item {
            fn cmp(&self, other: &Item) -> std::cmp::Ordering {
                assert!(!self.1 && !other.1, "not to be compared");
                self.0.cmp(&other.0)
            }
        }
        let queue = Arc::new(PriorityQueue::bounded(2));
        queue.put(Item(1, false)).unwrap();
        queue.put(Item(2, false)).unwrap();
        let there = queue.clone();
        let putter = thread::spawn(move || there.put(Item(3, true)).is_ok());
        while queue.core.waiting().1 == 0 {
            thread::yield_now();
        }
        // The room that this makes is for the putter, whose item goes in with a comparison.
        assert!(catch_unwind(AssertUnwindSafe(|| queue.get().is_ok())).is_err());
        assert!(putter.join().unwrap(), "its item was taken");
    }

    #[test]
    fn an_item_whose_comparison_panics_is_there_and_counts() {
        thread_local! {
            static PANICS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
        }
        #[derive(PartialEq, Eq)]
        struct Item(u32);
        impl PartialOrd for Item {
            fn partial_cmp(&self, other: &Item) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Item {
            fn cmp(&self, other: &Item) -> std::cmp::Ordering {
                assert!(!PANICS.get(), "not now");
                self.0.cmp(&other.0)
            }
        }
        let queue = PriorityQueue::new();
        queue.put(Item(1)).unwrap();
        let puts: [&dyn Fn(); 2] = [&|| queue.put(Item(2)).unwrap(), &|| {
            assert!(queue.try_put(Item(3)).is_ok())
        }];
        for put in puts {
            PANICS.set(true);
            assert!(catch_unwind(AssertUnwindSafe(put)).is_err());
            PANICS.set(false);
        }
        assert_eq!((queue.len(), queue.unfinished()), (3, 3));
        for _ in 0..3 {
            assert!(queue.try_get().is_ok());
            queue.task_done();
        }
        queue.join();
    }

    #[test]
    fn room_made_by_who_gets_is_for_those_who_wait_first() {
        const PUTTERS: usize = 3;
        const EACH: usize = 2_000;
        for capacity in [1, 3, 8, 64] {
            let queue = Queue::bounded(capacity);
            thread::scope(|scope| {
                for putter in 0..PUTTERS {
                    let queue = &queue;
                    scope.spawn(move || (0..EACH).for_each(|item| queue.put((putter, item)).unwrap()));
                }
                let mut next = [0; PUTTERS];
                for _ in 0..PUTTERS * EACH {
                    assert!(queue.len() <= capacity);
                    let (putter, item) = queue.get().unwrap();
                    assert_eq!(item, next[putter]);
                    next[putter] += 1;
                }
            });
            assert_eq!((queue.core.waiting(), queue.len()), ((0, 0), 0));
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_deque(steps in prop::collection::vec((0..6_u8, 1..20_usize), 0..60), capacity in 1..40_usize) {
            let (queue, mut model) = (Queue::bounded(capacity), VecDeque::new());
            for (number, (step, times)) in steps.into_iter().enumerate() {
                for _ in 0..times {
                    match step {
                        0..3 => {
                            let room = model.len() < capacity;
                            prop_assert_eq!(queue.try_put(number).is_ok(), room);
                            if room {
                                model.push_back(number);
                            }
                        }
                        3..5 => prop_assert_eq!(queue.try_get().ok(), model.pop_front()),
                        _ => {
                            prop_assert_eq!(queue.try_peek().ok(), model.front().copied());
                            if model.is_empty() {
                                queue.core.get_and_be_unwound(|| queue.put(number).unwrap());
                                model.push_front(number);
                            }
                        }
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_full(), model.len() >= capacity);
            }
        }
    }

    #[test]
    fn close_lets_all_go_and_the_items_be_got() {
        let queue = Arc::new(Queue::bounded(1));
        queue.put(1).unwrap();
        let there = queue.clone();
        let putter = thread::spawn(move || there.put(2));
        until_waiting(&queue, 0, 1);
        queue.close();
        assert_eq!(putter.join().unwrap(), Err(PutError(2)));
        assert_eq!(queue.try_put(3), Err(TryPutError::Closed(3)));
        assert_eq!(queue.iter().collect::<Vec<_>>(), [1]);
        assert_eq!(queue.get(), Err(GetError));

        let queue: Arc<Queue<u8>> = Arc::new(Queue::new());
        let there = queue.clone();
        let getter = thread::spawn(move || there.get());
        until_waiting(&queue, 1, 0);
        queue.close();
        assert_eq!(getter.join().unwrap(), Err(GetError));
    }

    #[test]
    fn close_now_drops_the_items_and_lets_joiners_go() {
        let item = Arc::new(());
        let queue = Queue::new();
        queue.put(item.clone()).unwrap();
        assert!(!queue.join_timeout(Duration::from_millis(1)));
        queue.close_now();
        queue.join();
        assert_eq!(Arc::strong_count(&item), 1);
        assert_eq!(queue.try_get(), Err(TryGetError::Closed));
    }

    #[test]
    fn a_peek_shows_what_will_be_got_and_waits_for_it() {
        let (queue, stack, least) = (Queue::new(), LifoQueue::new(), PriorityQueue::new());
        assert_eq!(queue.try_peek(), Err(TryGetError::Empty));
        assert_eq!(
            queue.peek_timeout(Duration::from_millis(1)),
            Err(GetTimeoutError::TimedOut)
        );
        for item in [2, 1, 3] {
            queue.put(item).unwrap();
            stack.put(item).unwrap();
            least.put(item).unwrap();
        }
        assert_eq!((queue.peek(), stack.try_peek(), least.peek()), (Ok(2), Ok(3), Ok(1)));
        assert_eq!((queue.len(), stack.len(), least.len()), (3, 3, 3));
        queue.shutdown(true);
        assert_eq!(queue.peek(), Err(GetError));

        let queue = SimpleQueue::new();
        thread::scope(|scope| {
            let peekers: Vec<_> = (0..2).map(|_| scope.spawn(|| queue.peek())).collect();
            while queue.core.peeking() < 2 {
                thread::yield_now();
            }
            // An item that was in the hand of a getter that is unwound is shown as well.
            queue.core.get_and_be_unwound(|| queue.put(1).unwrap());
            assert!(peekers.into_iter().all(|peeker| peeker.join().unwrap() == Ok(1)));
            assert_eq!(queue.get(), Ok(1));
            let late = scope.spawn(|| queue.peek());
            while queue.core.peeking() == 0 {
                thread::yield_now();
            }
            queue.close();
            assert_eq!(late.join().unwrap(), Err(GetError));
        });
    }

    #[test]
    fn join_waits_for_the_last_task() {
        let queue = Arc::new(Queue::new());
        queue.join();
        (0..3).for_each(|item| queue.put(item).unwrap());
        let there = queue.clone();
        let worker = thread::spawn(move || {
            for _ in 0..3 {
                there.get().unwrap();
                there.task_done();
            }
        });
        queue.join();
        assert_eq!(queue.unfinished(), 0);
        worker.join().unwrap();
    }

    #[test]
    #[should_panic(expected = "more often than items were put")]
    fn task_done_too_often_is_a_bug() {
        Queue::<u8>::new().task_done();
    }

    #[test]
    #[should_panic(expected = "is a Channel")]
    fn a_queue_has_room() {
        drop(Queue::<u8>::bounded(0));
    }

    #[test]
    fn least_and_last_first_with_putters_waiting() {
        let (least, last) = (PriorityQueue::bounded(2), LifoQueue::bounded(2));
        thread::scope(|scope| {
            for item in [3, 1] {
                least.put(item).unwrap();
                last.put(item).unwrap();
            }
            scope.spawn(|| least.put(2).unwrap());
            scope.spawn(|| last.put(2).unwrap());
            while least.core.waiting().1 + last.core.waiting().1 < 2 {
                thread::yield_now();
            }
            assert_eq!((0..3).map(|_| least.get().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
            assert_eq!((0..3).map(|_| last.get().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        });
    }

    #[test]
    fn nothing_is_lost_between_many_threads_that_time_out() {
        const ITEMS: usize = 2_000;
        const THREADS: usize = 3;
        let queue = Queue::bounded(4);
        let total = thread::scope(|scope| {
            let getters: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let mut sum = 0;
                        loop {
                            match queue.get_timeout(Duration::from_micros(50)) {
                                Ok(item) => sum += item,
                                Err(GetTimeoutError::TimedOut) => {}
                                Err(GetTimeoutError::Closed) => return sum,
                            }
                        }
                    })
                })
                .collect();
            let putters: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        for mut item in 1..=ITEMS {
                            while let Err(error) = queue.put_timeout(item, Duration::from_micros(50)) {
                                item = error.into_inner();
                            }
                        }
                    })
                })
                .collect();
            putters.into_iter().for_each(|putter| putter.join().unwrap());
            queue.close();
            getters.into_iter().map(|getter| getter.join().unwrap()).sum::<usize>()
        });
        assert_eq!(total, THREADS * ITEMS * (ITEMS + 1) / 2);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_queue_hands_over_in_order_and_blocks_putters() {
        loom::model(|| {
            let queue = Arc::new(Queue::bounded(1));
            let there = queue.clone();
            let putter = loom::thread::spawn(move || (0..2).for_each(|item| there.put(item).unwrap()));
            assert_eq!((queue.get(), queue.get()), (Ok(0), Ok(1)));
            putter.join().unwrap();
        });
    }

    #[test]
    fn loom_queue_lets_in_who_waits_when_the_front_is_taken_from() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let queue = Arc::new(Queue::bounded(2));
            let there = queue.clone();
            let putter = loom::thread::spawn(move || (0..5).for_each(|item| there.put(item).unwrap()));
            assert!((0..5).all(|item| queue.get() == Ok(item)));
            putter.join().unwrap();
        });
    }

    #[test]
    fn loom_queue_loses_no_item_to_a_getter_that_times_out_or_is_unwound() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let queue = Arc::new(Queue::bounded(1));
            let (late, killed) = (queue.clone(), queue.clone());
            let late = loom::thread::spawn(move || late.get_timeout(Duration::from_secs(1)).is_ok());
            let killed = loom::thread::spawn(move || killed.core.get_and_be_unwound(|| ()));
            queue.put(()).unwrap();
            let taken = late.join().unwrap();
            killed.join().unwrap();
            assert_eq!(queue.try_get().is_ok(), !taken);
        });
    }

    #[test]
    fn loom_queue_shows_an_item_to_all_who_peek_and_gives_it_to_one() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let queue = Arc::new(Queue::new());
            let (peeking, getting) = (queue.clone(), queue.clone());
            let peeker = loom::thread::spawn(move || peeking.peek());
            let getter = loom::thread::spawn(move || getting.get());
            queue.put(1).unwrap();
            assert_eq!(getter.join().unwrap(), Ok(1));
            queue.close(); // the peeker may have come after the getter
            assert!(matches!(peeker.join().unwrap(), Ok(1) | Err(GetError)));
        });
    }

    #[test]
    fn loom_queue_close_lets_go_who_waits() {
        loom::model(|| {
            let queue = Arc::new(Queue::<()>::new());
            let there = queue.clone();
            let closer = loom::thread::spawn(move || there.close());
            assert_eq!(queue.get(), Err(GetError));
            closer.join().unwrap();
        });
    }
}

/// The models of the other kinds: what they do otherwise when an item is handed over, moved in or put back.
#[cfg(all(test, loom))]
mod loom_kinds {
    use super::*;
    use crate::primitive::Arc;

    /// Up to three preemptions.
    fn model(body: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(body);
    }

    #[test]
    fn loom_lifo_queue_moves_in_the_item_of_who_waits_for_room() {
        model(|| {
            let stack = Arc::new(LifoQueue::bounded(1));
            let there = stack.clone();
            let putter = loom::thread::spawn(move || (0..2).for_each(|item| there.put(item).unwrap()));
            assert_eq!(
                (stack.get(), stack.get()),
                (Ok(0), Ok(1)),
                "room for one: the second comes after it"
            );
            putter.join().unwrap();
            assert!(stack.is_empty());
        });
    }

    #[test]
    fn loom_lifo_queue_loses_no_item_to_a_getter_that_is_unwound() {
        model(|| {
            let stack = Arc::new(LifoQueue::new());
            let (killed, late) = (stack.clone(), stack.clone());
            let killed = loom::thread::spawn(move || killed.core.get_and_be_unwound(|| ()));
            let late = loom::thread::spawn(move || late.get_timeout(Duration::from_secs(1)).ok());
            stack.put(0).unwrap();
            stack.put(1).unwrap();
            killed.join().unwrap();
            let mut got = vec![];
            got.extend(late.join().unwrap());
            got.extend(std::iter::from_fn(|| stack.try_get().ok()));
            got.sort_unstable();
            assert_eq!(got, [0, 1]);
        });
    }

    #[test]
    fn loom_priority_queue_hands_over_what_comes_and_gives_the_rest_in_order() {
        model(|| {
            let queue = Arc::new(PriorityQueue::bounded(2));
            let (there, yonder) = (queue.clone(), queue.clone());
            let putter = loom::thread::spawn(move || [3, 1].map(|item| there.put(item).unwrap()));
            let other = loom::thread::spawn(move || yonder.put(2).unwrap());
            let first = queue.get().unwrap();
            putter.join().unwrap();
            other.join().unwrap();
            let rest = [queue.get().unwrap(), queue.get().unwrap()];
            assert!(rest[0] < rest[1], "{first}, then {rest:?}");
            assert_eq!(first + rest[0] + rest[1], 6);
        });
    }

    #[test]
    fn loom_priority_queue_takes_an_item_back_to_its_place() {
        model(|| {
            let queue = Arc::new(PriorityQueue::new());
            let killed = queue.clone();
            let killed = loom::thread::spawn(move || killed.core.get_and_be_unwound(|| ()));
            queue.put(2).unwrap();
            queue.put(1).unwrap();
            killed.join().unwrap();
            assert_eq!((queue.try_get(), queue.try_get()), (Ok(1), Ok(2)));
        });
    }

    #[test]
    fn loom_simple_queue_serves_two_getters_and_closes() {
        model(|| {
            let queue = Arc::new(SimpleQueue::new());
            let getters: Vec<_> = (0..2)
                .map(|_| {
                    let queue = queue.clone();
                    loom::thread::spawn(move || queue.get().is_ok())
                })
                .collect();
            queue.put(()).unwrap();
            queue.close();
            let served: Vec<bool> = getters.into_iter().map(|getter| getter.join().unwrap()).collect();
            assert_eq!(served.iter().filter(|served| **served).count(), 1);
        });
    }
}
