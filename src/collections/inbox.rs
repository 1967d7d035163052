//! Where other threads leave things for one consumer: a lock-free list that is taken whole.
//!
//! ```text
//! push:   head ─► [ c ] ─► [ b ] ─► [ a ]        newest first, one compare-and-swap
//! drain:  head ─► null, and the list is turned round: a, b, c
//! ```
//!
//! 1. A node is made by `Box::into_raw` and belongs to the list from the successful exchange in `push` until the swap in
//!    `drain` (or in `drop`), and to the `Drain` from then on; whoever owns it turns it into its `Box` again exactly once.
//! 2. Nodes leave the list only all together. So a `push` whose exchange succeeds has linked its node to the present
//!    list, even if the same address was freed and came back in between (there is no ABA problem).
//! 3. The order of draining is the order of the exchanges: FIFO for each producer and overall.
//!
//! `push`, `drain` and `is_empty` are sequentially consistent. So a consumer that announces its sleep and then finds
//! `is_empty`, and a producer that pushes and then looks for the announcement, cannot both miss each other.
#![expect(
    unsafe_code,
    reason = "nodes are shared by raw pointers; the invariants above say who owns them"
)]

use crate::primitive::atomic::{AtomicPtr, Ordering};
use std::marker::PhantomData;
use std::ptr;

/// One value on its way.
struct Node<T> {
    /// The node pushed before it, or null. Written before the node is shared, and by its owner after that.
    next: *mut Node<T>,
    /// The value.
    value: T,
}

/// An unbounded queue of many producers and one consumer.
pub(crate) struct Inbox<T: Send> {
    /// The newest node, or null.
    head: AtomicPtr<Node<T>>,
    /// It owns values of `T`.
    owns: PhantomData<T>,
}

// SAFETY: values only pass through, from a `push` to the consumer that takes them; no reference to one is handed out.
unsafe impl<T: Send> Sync for Inbox<T> {}

impl<T: Send> Inbox<T> {
    /// An empty inbox.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Inbox<T> {
        Inbox {
            head: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// An empty inbox.
    #[cfg(loom)]
    pub(crate) fn new() -> Inbox<T> {
        Inbox {
            head: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// Leaves a value for the consumer. Any thread may call it; it never waits.
    pub(crate) fn push(&self, value: T) {
        let node = Box::into_raw(Box::new(Node {
            next: ptr::null_mut(),
            value,
        }));
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: invariant 1: `node` came from `Box::into_raw` above and is not shared before the exchange succeeds.
            unsafe { (*node).next = head };
            match self
                .head
                .compare_exchange_weak(head, node, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(present) => head = present,
            }
        }
    }

    /// Takes everything that is there now, the oldest first. What is pushed during the iteration waits for the next call.
    pub(crate) fn drain(&self) -> Drain<T> {
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::SeqCst);
        let mut oldest = ptr::null_mut();
        while !newest.is_null() {
            let node = newest;
            // SAFETY: invariant 1: the swap made this call the only owner of `node`, which is alive and not null.
            newest = unsafe { (*node).next };
            // SAFETY: as above.
            unsafe { (*node).next = oldest };
            oldest = node;
        }
        Drain {
            oldest,
            owns: PhantomData,
        }
    }

    /// Whether [`Inbox::drain`] would find nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::SeqCst).is_null()
    }
}

impl<T: Send> Drop for Inbox<T> {
    fn drop(&mut self) {
        drop(self.drain());
    }
}

/// The values taken by [`Inbox::drain`], the oldest first; those not asked for are dropped with it.
pub(crate) struct Drain<T> {
    /// The next node to give out, or null; the list is this value's own.
    oldest: *mut Node<T>,
    /// It owns values of `T`.
    owns: PhantomData<T>,
}

impl<T> Iterator for Drain<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.oldest.is_null() {
            return None;
        }
        // SAFETY: invariant 1: the nodes reachable from `oldest` came from `Box::into_raw` and are owned by `self` alone;
        // `oldest` moves on below, so this one is not met again.
        let node = unsafe { Box::from_raw(self.oldest) };
        self.oldest = node.next;
        Some(node.value)
    }
}

impl<T> Drop for Drain<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn drains_in_the_order_of_pushing() {
        let inbox = Inbox::new();
        assert!(inbox.is_empty());
        for value in 0..5 {
            inbox.push(value);
        }
        assert!(!inbox.is_empty());
        let mut drain = inbox.drain();
        assert!(inbox.is_empty());
        inbox.push(5);
        assert_eq!(drain.by_ref().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(inbox.drain().collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn frees_what_nobody_took() {
        let token = Arc::new(());
        let inbox = Inbox::new();
        for _ in 0..4 {
            inbox.push(token.clone());
        }
        let mut drain = inbox.drain();
        drop(drain.next());
        drop(drain);
        assert_eq!(Arc::strong_count(&token), 1);
        inbox.push(token.clone());
        drop(inbox);
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    fn keeps_the_order_of_each_of_many_producers_and_loses_nothing() {
        const PRODUCERS: usize = 4;
        const EACH: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
        let inbox: Arc<Inbox<(usize, usize)>> = Arc::new(Inbox::new());
        let threads: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let inbox = inbox.clone();
                std::thread::spawn(move || (0..EACH).for_each(|number| inbox.push((producer, number))))
            })
            .collect();
        let mut next = [0; PRODUCERS];
        while next.iter().sum::<usize>() < PRODUCERS * EACH {
            for (producer, number) in inbox.drain() {
                assert_eq!(number, next[producer]);
                next[producer] += 1;
            }
            std::thread::yield_now();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(inbox.is_empty());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::{Arc, atomic::AtomicUsize};

    #[test]
    fn loom_inbox_loses_nothing_and_keeps_each_order() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new());
            let threads: Vec<_> = (0..2)
                .map(|producer| {
                    let inbox = inbox.clone();
                    loom::thread::spawn(move || {
                        inbox.push((producer, 0));
                        inbox.push((producer, 1));
                    })
                })
                .collect();
            let mut taken: Vec<_> = inbox.drain().collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            taken.extend(inbox.drain());
            for producer in 0..2 {
                let numbers: Vec<_> = taken
                    .iter()
                    .filter(|item| item.0 == producer)
                    .map(|item| item.1)
                    .collect();
                assert_eq!(numbers, [0, 1]);
            }
        });
    }

    #[test]
    fn loom_inbox_publishes_what_was_written_before_the_push() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new());
            let data = Arc::new(AtomicUsize::new(0));
            let (there, written) = (inbox.clone(), data.clone());
            let producer = loom::thread::spawn(move || {
                written.store(7, Ordering::Relaxed);
                there.push(());
            });
            if inbox.drain().next().is_some() {
                assert_eq!(data.load(Ordering::Relaxed), 7);
            }
            producer.join().unwrap();
        });
    }
}
