//! Deadlines in order: a wheel of lists for what is due later, a heap for what is due soon.
//!
//! ```text
//!              now
//!  ──────────┬──▼──┬────┬────┬────┬─ ─ ─┬────────────────┬────────────────┬─ ─ ─ ▶ time
//!    soon    │     │    │    │    │     │                │                │
//!  (a heap)  │     │ level 0: a tick    │ level 1: 64 ticks each          │ level 2: 4,096 ticks each, …
//! ```
//!
//! A timer that is inserted is appended to the list of its time; when that has come, the list is dealt out to finer ones,
//! and at last to the heap. So the order among those that are far away, most of which are cancelled before they are due, is
//! never found out, and the heap stays as small as what is due within a tick.
//!
//! 1. `soon` has what is due up to the tick `turned`, the lists what is due in later ones. `turned` has begun already,
//!    as far as the wheel was told.
//! 2. A list holds the ticks that agree with `turned` in all digits above its level's and have its own number as their
//!    digit there, which is a larger one than `turned`'s.
//! 3. `filled` has a bit for each list that is not empty, and no timer in a list is due before that list's `first`.
//! 4. A timer that fired or was cancelled is gone from `values`. Its node may stay for a while, but never are there more
//!    than [`SPARE`] nodes and two for each timer.
//! 5. Timers fire in the order of their deadlines; among equal ones the one inserted first.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::slab::{Key, Slab};

/// A tick is two to the power of this many nanoseconds: about an eighth of a millisecond.
const TICK: u32 = 17;

/// Bits of a tick's number that make a digit.
const DIGIT: u32 = 6;

/// Lists of a level.
const LISTS: usize = 1 << DIGIT;

/// As many as a tick's number has digits.
const LEVELS: usize = (u64::BITS - TICK).div_ceil(DIGIT) as usize;

/// Nodes that may stay though their timers are gone; that many more than there are timers.
const SPARE: usize = 64;

/// The most room that a list keeps when it has been dealt out.
const KEPT: usize = 64;

/// Names one timer of one [`Timers`]; it goes stale when the timer fires or is cancelled.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct TimerKey(Key);

/// A timer's place in time. Nodes are ordered as they fire.
#[derive(Copy, Clone, Debug)]
struct Node {
    /// When it is due, in nanoseconds from the origin.
    at: u64,
    /// How many timers were inserted before it: the order among equal deadlines.
    sequence: u64,
    /// Finds the value, unless the timer is gone.
    key: Key,
}

impl Ord for Node {
    #[inline]
    fn cmp(&self, other: &Node) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Node {
    #[inline]
    fn partial_cmp(&self, other: &Node) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Node {}

/// Timers of a stretch of time, in no order.
#[derive(Clone, Debug)]
struct List {
    /// Those timers, and some that are gone.
    nodes: Vec<Node>,
    /// Invariant 3; the end of time when empty.
    first: u64,
}

impl List {
    /// One without timers.
    const EMPTY: List = List {
        nodes: Vec::new(),
        first: u64::MAX,
    };
}

/// Values that become due, each at its deadline. Insertion and removal take constant time, firing hardly more.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// From where time is counted.
    origin: Instant,
    /// Invariant 1.
    turned: u64,
    /// What is due first.
    soon: BinaryHeap<Reverse<Node>>,
    /// The lists, those of a level together.
    wheel: Box<[List]>,
    /// Invariant 3: a word for each level.
    filled: [u64; LEVELS],
    /// How many nodes there are in `soon` and `wheel`.
    nodes: usize,
    /// What becomes due.
    values: Slab<T>,
    /// The sequence number of the next insertion.
    next_sequence: u64,
}

impl<T> Timers<T> {
    /// No timer. What is due before `origin` is taken as due then.
    pub(crate) fn new(origin: Instant) -> Timers<T> {
        Timers {
            origin,
            turned: 0,
            soon: BinaryHeap::new(),
            wheel: vec![List::EMPTY; LEVELS * LISTS].into(),
            filled: [0; LEVELS],
            nodes: 0,
            values: Slab::new(),
            next_sequence: 0,
        }
    }

    /// Adds a timer.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        let key = self.values.insert(value);
        let node = Node {
            at: self.nanoseconds(deadline),
            sequence: self.next_sequence,
            key,
        };
        self.next_sequence += 1;
        self.nodes += 1;
        self.place(node);
        TimerKey(key)
    }

    /// Takes a timer out before it is due; `None` if it fired or was cancelled already.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let value = self.values.remove(key.0)?;
        if self.nodes > 2 * self.values.len() + SPARE {
            self.sweep();
        }
        Some(value)
    }

    /// When to look for due timers next: at the first deadline, or before it if a timer was cancelled that had an earlier
    /// one. `None` if there is no timer.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.values.is_empty() {
            return None;
        }
        let first = match self.soon.peek() {
            Some(Reverse(node)) => node.at,
            None => self.wheel[self.next_list()?].first,
        };
        Some(self.origin + Duration::from_nanos(first))
    }

    /// Takes out the timer that is due first, if it is due at `now`.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let now = self.nanoseconds(now);
        loop {
            let Some(Reverse(node)) = self.soon.peek().copied() else {
                if !self.turn(now) {
                    return None;
                }
                continue;
            };
            if node.at > now {
                return None;
            }
            self.soon.pop();
            self.nodes -= 1;
            if let Some(value) = self.values.remove(node.key) {
                return Some(value);
            }
        }
    }

    /// How many timers there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no timer.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values, in no particular order.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().map(|(_, value)| value)
    }

    /// From the origin to `at`: zero if it is before, the end of time if it is centuries later.
    #[inline]
    fn nanoseconds(&self, at: Instant) -> u64 {
        let after = at.saturating_duration_since(self.origin);
        after
            .as_secs()
            .checked_mul(1_000_000_000)
            .and_then(|seconds| seconds.checked_add(u64::from(after.subsec_nanos())))
            .unwrap_or(u64::MAX)
    }

    /// Puts a node where it belongs by invariants 1 and 2.
    #[inline]
    fn place(&mut self, node: Node) {
        let tick = node.at >> TICK;
        if tick <= self.turned {
            // It will be taken out soon, and those that are due with it have all been fetched by then.
            #[cfg(not(loom))]
            self.values.fetch(node.key);
            self.soon.push(Reverse(node));
            return;
        }
        let level = ((tick ^ self.turned).ilog2() / DIGIT) as usize;
        let digit = (tick >> (level as u32 * DIGIT)) as usize % LISTS;
        self.filled[level] |= 1 << digit;
        let list = &mut self.wheel[level * LISTS + digit];
        list.first = list.first.min(node.at);
        list.nodes.push(node);
    }

    /// The list whose time comes first.
    #[inline]
    fn next_list(&self) -> Option<usize> {
        // The finer the level, the sooner its end, by invariant 2.
        let level = self.filled.iter().position(|filled| *filled != 0)?;
        Some(level * LISTS + self.filled[level].trailing_zeros() as usize)
    }

    /// If something in the next list may be due at `now`, turns the wheel to the begin of its time and deals it out.
    fn turn(&mut self, now: u64) -> bool {
        let Some(next) = self.next_list() else { return false };
        if self.wheel[next].first > now {
            return false;
        }
        let (level, digit) = (next / LISTS, next % LISTS);
        self.filled[level] &= !(1 << digit);
        let list = std::mem::replace(&mut self.wheel[next], List::EMPTY);
        let shift = level as u32 * DIGIT;
        let above = self.turned >> shift >> DIGIT;
        self.turned = (above << DIGIT | digit as u64) << shift;
        let mut nodes = list.nodes;
        for node in nodes.drain(..) {
            self.place(node);
        }
        if nodes.capacity() <= KEPT {
            self.wheel[next].nodes = nodes;
        }
        true
    }

    /// Takes out the nodes whose timers are gone.
    #[cold]
    fn sweep(&mut self) {
        let values = &self.values;
        let mut left = 0;
        self.soon.retain(|Reverse(node)| values.contains(node.key));
        left += self.soon.len();
        for (level, filled) in self.filled.iter_mut().enumerate() {
            for digit in 0..LISTS {
                if *filled & 1 << digit == 0 {
                    continue;
                }
                let list = &mut self.wheel[level * LISTS + digit];
                list.nodes.retain(|node| values.contains(node.key));
                list.first = list.nodes.iter().map(|node| node.at).min().unwrap_or(u64::MAX);
                if list.nodes.is_empty() {
                    *filled &= !(1 << digit);
                }
                list.nodes.shrink_to(KEPT.max(2 * list.nodes.len()));
                left += list.nodes.len();
            }
        }
        self.nodes = left;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One step of the comparison with the model; times are in nanoseconds from the start.
    #[derive(Clone, Debug)]
    enum Step {
        /// Insert with this deadline.
        Insert(u64),
        /// Cancel one of the timers seen so far.
        Cancel(usize),
        /// Let it be so late and fire what is due.
        Fire(u64),
    }

    /// Times of all levels, many of them equal.
    fn time() -> impl Strategy<Value = u64> {
        let units = [
            1,
            60_000,
            1 << TICK,
            3_000_000,
            1_000_000_000,
            10_u64.pow(13),
            10_u64.pow(17),
        ];
        (0..20_u64, prop::sample::select(units.to_vec())).prop_map(|(number, unit)| number * unit)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => time().prop_map(Step::Insert),
            2 => any::<usize>().prop_map(Step::Cancel),
            1 => time().prop_map(Step::Fire),
        ]
    }

    /// The invariants at the top of the file.
    fn check<T>(timers: &Timers<T>) {
        assert!(timers.soon.iter().all(|Reverse(node)| node.at >> TICK <= timers.turned));
        let mut nodes = timers.soon.len();
        for (index, list) in timers.wheel.iter().enumerate() {
            let (level, digit) = (index / LISTS, index % LISTS);
            let shift = level as u32 * DIGIT;
            assert_eq!(timers.filled[level] & 1 << digit != 0, !list.nodes.is_empty());
            assert!(list.nodes.is_empty() || digit as u64 > timers.turned >> shift & (LISTS as u64 - 1));
            for node in &list.nodes {
                let tick = node.at >> TICK;
                assert_eq!(tick >> shift >> DIGIT, timers.turned >> shift >> DIGIT);
                assert_eq!((tick >> shift) as usize % LISTS, digit);
                assert!(node.at >= list.first);
            }
            nodes += list.nodes.len();
        }
        assert_eq!(nodes, timers.nodes);
        assert!(nodes >= timers.len() && nodes <= 2 * timers.len() + SPARE + 1);
    }

    proptest! {
        #[test]
        fn fires_as_a_sorted_list_does(steps in prop::collection::vec(step(), 1..300)) {
            let start = Instant::now();
            let at = |nanoseconds| start + Duration::from_nanos(nanoseconds);
            let mut timers = Timers::new(start);
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
                        prop_assert!(timers.next_deadline().is_none_or(|next| next > at(now)));
                    }
                }
                check(&timers);
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.is_empty(), model.is_empty());
                prop_assert_eq!(timers.next_deadline().is_none(), model.is_empty());
                if let Some(first) = model.iter().map(|(deadline, _)| at(*deadline)).min() {
                    prop_assert!(timers.next_deadline() <= Some(first));
                }
                let mut values: Vec<_> = timers.iter().copied().collect();
                values.sort();
                prop_assert_eq!(values, model.iter().map(|(_, number)| *number).collect::<Vec<_>>());
            }
        }

        #[test]
        fn is_looked_at_exactly_when_the_first_is_due(deadlines in prop::collection::vec(time(), 1..50)) {
            let start = Instant::now();
            let mut timers = Timers::new(start);
            for deadline in &deadlines {
                timers.insert(start + Duration::from_nanos(*deadline), ());
            }
            let mut deadlines = deadlines;
            deadlines.sort();
            for deadline in deadlines {
                let at = start + Duration::from_nanos(deadline);
                prop_assert_eq!(timers.next_deadline(), Some(at));
                prop_assert!(timers.pop_due(at).is_some());
            }
        }
    }

    #[test]
    fn a_fired_timer_cannot_be_cancelled() {
        let now = Instant::now();
        let mut timers = Timers::new(now);
        let key = timers.insert(now, 'a');
        assert_eq!(timers.pop_due(now), Some('a'));
        timers.insert(now, 'b');
        assert_eq!(timers.cancel(key), None);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn times_beyond_all_measure_keep_their_order() {
        let now = Instant::now();
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        let mut timers = Timers::new(now);
        timers.insert(now + 20 * century, 'd');
        timers.insert(now + 3 * century, 'c');
        if let Some(before) = now.checked_sub(Duration::from_nanos(1)) {
            timers.insert(before, 'a');
        } else {
            timers.insert(now, 'a');
        }
        timers.insert(now, 'b');
        assert_eq!(timers.pop_due(now), Some('a'));
        assert_eq!(timers.pop_due(now), Some('b'));
        assert_eq!(timers.pop_due(now + 2 * century), None);
        assert_eq!(timers.pop_due(now + 4 * century), Some('c'));
        assert!(timers.next_deadline().is_some());
    }

    #[test]
    fn what_is_cancelled_takes_no_room_for_long() {
        let now = Instant::now();
        let mut timers = Timers::new(now);
        let kept = timers.insert(now + Duration::from_secs(5), 0);
        for number in 1..100_000 {
            let key = timers.insert(now + Duration::from_micros(30_000_000 + number), number);
            assert_eq!(timers.cancel(key), Some(number));
            assert!(timers.nodes <= 2 + SPARE);
        }
        check(&timers);
        let room: usize = timers.wheel.iter().map(|list| list.nodes.capacity()).sum();
        assert!(room <= 8 * KEPT, "{room}");
        assert_eq!(timers.cancel(kept), Some(0));
    }
}
