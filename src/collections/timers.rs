//! Deadlines in order: a heap with four children a node that knows where each of its timers stands.
//!
//! ```text
//! heap:   [ deadline, sequence, key ] …   ordered: the root is due first     (the compared part, together in memory)
//! slots:  key → { position in heap, value }                                  (found by key, so cancelling is exact)
//! ```
//!
//! 1. `slots[heap[i].key].position == i` for every `i`, and each slot is named by exactly one heap node.
//! 2. A node is not due before its parent; among equal deadlines the one inserted first is due first (`sequence`).
//! 3. A cancelled timer is taken out at once: nothing is left to be skipped later.
//!
//! The common timer is an I/O time-out: inserted with a far deadline and cancelled soon after. It is appended, compared
//! with one parent, and taken off the end again; no other node moves.

use super::slab::{Key, Slab};
use std::time::Instant;

/// Children of a node. Four make the heap half as deep as two do, and the children of a node stand side by side.
const ARITY: usize = 4;

/// Names one timer of one [`Timers`]; it goes stale when the timer fires or is cancelled.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct TimerKey(Key);

/// One timer in the heap.
#[derive(Copy, Clone, Debug)]
struct Node {
    /// When it is due.
    deadline: Instant,
    /// How many timers were inserted before it: the order among equal deadlines.
    sequence: u64,
    /// Its slot.
    key: Key,
}

impl Node {
    /// Whether it is due before `other`: invariant 2.
    #[inline]
    fn before(&self, other: &Node) -> bool {
        (self.deadline, self.sequence) < (other.deadline, other.sequence)
    }
}

/// What a [`TimerKey`] finds.
#[derive(Debug)]
struct Slot<T> {
    /// Where the timer stands in the heap: invariant 1.
    position: u32,
    /// The caller's.
    value: T,
}

/// Values that become due, each at its deadline. Insertion and removal take O(log n).
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// The heap.
    heap: Vec<Node>,
    /// Positions and values.
    slots: Slab<Slot<T>>,
    /// The sequence number of the next insertion.
    next_sequence: u64,
}

impl<T> Timers<T> {
    /// No timer; it allocates at the first insertion.
    pub(crate) const fn new() -> Timers<T> {
        Timers {
            heap: Vec::new(),
            slots: Slab::new(),
            next_sequence: 0,
        }
    }

    /// Adds a timer.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        let position = self.heap.len();
        let key = self.slots.insert(Slot {
            position: position as u32,
            value,
        });
        let node = Node {
            deadline,
            sequence: self.next_sequence,
            key,
        };
        self.next_sequence += 1;
        self.heap.push(node);
        self.sift_up(position, node);
        TimerKey(key)
    }

    /// Takes a timer out before it is due; `None` if it fired or was cancelled already.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.remove(key.0)?;
        self.take_out(slot.position as usize);
        Some(slot.value)
    }

    /// When the next timer is due.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|node| node.deadline)
    }

    /// Takes out the timer that is due first, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let first = *self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        let slot = self.slots.remove(first.key)?;
        self.take_out(0);
        Some(slot.value)
    }

    /// How many timers there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is no timer.
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// All values, in no particular order.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|(_, slot)| &slot.value)
    }

    /// Takes the node at `position` out of the heap; its slot is gone already.
    fn take_out(&mut self, position: usize) {
        let Some(last) = self.heap.pop() else { return };
        if position == self.heap.len() {
            return;
        }
        // The last node takes its place, and goes down or up from there.
        let up = position > 0 && last.before(&self.heap[(position - 1) / ARITY]);
        if up {
            self.sift_up(position, last);
        } else {
            self.sift_down(position, last);
        }
    }

    /// Puts `node` at `hole` or as far above as it belongs.
    #[inline]
    fn sift_up(&mut self, mut hole: usize, node: Node) {
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if !node.before(&self.heap[parent]) {
                break;
            }
            self.place(hole, self.heap[parent]);
            hole = parent;
        }
        self.place(hole, node);
    }

    /// Puts `node` at `hole` or as far below as it belongs.
    fn sift_down(&mut self, mut hole: usize, node: Node) {
        loop {
            let first_child = hole * ARITY + 1;
            let children = first_child..self.heap.len().min(first_child + ARITY);
            let earliest = children.reduce(|best, at| {
                if self.heap[at].before(&self.heap[best]) {
                    at
                } else {
                    best
                }
            });
            match earliest {
                Some(child) if self.heap[child].before(&node) => {
                    self.place(hole, self.heap[child]);
                    hole = child;
                }
                _ => break,
            }
        }
        self.place(hole, node);
    }

    /// Writes `node` at `position` and says so in its slot: keeps invariant 1.
    #[inline]
    fn place(&mut self, position: usize, node: Node) {
        self.heap[position] = node;
        if let Some(slot) = self.slots.get_mut(node.key) {
            slot.position = position as u32;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// One step of the comparison with the model.
    #[derive(Clone, Debug)]
    enum Step {
        /// Insert with a deadline so many seconds from the start.
        Insert(u64),
        /// Cancel one of the timers seen so far.
        Cancel(usize),
        /// Let the time be so many seconds from the start and fire what is due.
        Fire(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..20_u64).prop_map(Step::Insert),
            2 => any::<usize>().prop_map(Step::Cancel),
            1 => (0..20_u64).prop_map(Step::Fire),
        ]
    }

    /// The invariants at the top of the file.
    fn check<T>(timers: &Timers<T>) {
        assert_eq!(timers.heap.len(), timers.slots.len());
        for (position, node) in timers.heap.iter().enumerate() {
            assert_eq!(timers.slots.get(node.key).unwrap().position as usize, position);
            if position > 0 {
                assert!(timers.heap[(position - 1) / ARITY].before(node));
            }
        }
    }

    proptest! {
        #[test]
        fn fires_as_a_sorted_list_does(steps in prop::collection::vec(step(), 1..300)) {
            let start = Instant::now();
            let at = |seconds| start + Duration::from_secs(seconds);
            let mut timers = Timers::new();
            // The model: deadline and number of each live timer, in order of insertion.
            let mut model: Vec<(u64, usize)> = Vec::new();
            let mut keys = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(deadline) => {
                        model.push((deadline, keys.len()));
                        keys.push(timers.insert(at(deadline), keys.len()));
                    }
                    Step::Cancel(which) if !keys.is_empty() => {
                        let number = which % keys.len();
                        let place = model.iter().position(|(_, other)| *other == number);
                        let expected = place.map(|place| model.remove(place).1);
                        prop_assert_eq!(timers.cancel(keys[number]), expected);
                    }
                    Step::Cancel(_) => {}
                    Step::Fire(now) => {
                        let mut due: Vec<_> = model.extract_if(.., |(deadline, _)| *deadline <= now).collect();
                        due.sort(); // by deadline, then by insertion
                        for (_, number) in due {
                            prop_assert_eq!(timers.pop_due(at(now)), Some(number));
                        }
                        prop_assert_eq!(timers.pop_due(at(now)), None);
                    }
                }
                check(&timers);
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.is_empty(), model.is_empty());
                prop_assert_eq!(timers.next_deadline(), model.iter().map(|(deadline, _)| at(*deadline)).min());
                let mut values: Vec<_> = timers.iter().copied().collect();
                values.sort();
                prop_assert_eq!(values, model.iter().map(|(_, number)| *number).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_fired_timer_cannot_be_cancelled() {
        let now = Instant::now();
        let mut timers = Timers::new();
        let key = timers.insert(now, 'a');
        assert_eq!(timers.pop_due(now), Some('a'));
        timers.insert(now, 'b');
        assert_eq!(timers.cancel(key), None);
        assert_eq!(timers.len(), 1);
    }
}
