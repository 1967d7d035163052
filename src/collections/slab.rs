//! A generational slab: values in one growing array, found by small keys that go stale instead of dangling.
//!
//! ```text
//! entries:  [ gen 3 | value ]  [ gen 7 | - | next ]──┐  [ gen 0 | value ]  [ gen 2 | - | NONE ]
//!                                   ▲                └───────────────────────────▲
//! first_vacant ─────────────────────┘        vacant entries are a list through the entries themselves
//! ```
//!
//! 1. An entry's generation goes up by one whenever its value is removed, so a key (index and generation) names
//!    one insertion for ever: after the removal it finds nothing, whoever moves into the entry later.
//! 2. Vacant entries are reused last in, first out: the warmest one first.
//! 3. An entry whose generation has reached the end of its range is never used again (one entry lost in four
//!    thousand million insertions) rather than starting over and honouring an old key.
//! 4. The entries never shrink: a key's index stays within them.

use std::fmt;
use std::num::NonZeroU64;

#[cfg(not(loom))]
use crate::sys::prefetch::prefetch;

/// Ends the list of vacant entries. No entry has this index.
const NONE: u32 = u32::MAX;

/// Names one insertion into one slab. One word, also in an `Option`: whoever moves keys about does it in one store.
#[derive(Copy, Clone, Eq, PartialEq, Hash)]
pub(crate) struct Key(
    /// The upper half: which of the values that the entry has held; see invariant 1. The lower half: which entry, counted
    /// from one.
    NonZeroU64,
);

impl Key {
    /// Names a value of an entry.
    #[inline]
    const fn new(index: u32, generation: u32) -> Key {
        // No entry has the index `NONE`, so this does not carry into the upper half.
        match NonZeroU64::new((generation as u64) << 32 | (index as u64 + 1)) {
            Some(bits) => Key(bits),
            None => unreachable!(),
        }
    }

    /// Which entry.
    #[inline]
    const fn index(self) -> usize {
        (self.0.get() as u32).wrapping_sub(1) as usize
    }

    /// Which of the values that the entry has held.
    #[inline]
    const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key as one number, for whoever can carry only that (a poll token, an atomic).
    pub(crate) const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The key that [`Key::to_bits`] was called on; zero is none.
    pub(crate) const fn from_bits(bits: u64) -> Option<Key> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Key(bits)),
            None => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.index(), self.generation())
    }
}

/// For values that are used one here, one there, and mostly just their first fields: each entry begins a cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Line;

/// One place for a value. Eight bytes more than an `Option<T>`, in front of it; aligned as an `A`.
#[derive(Debug)]
#[repr(C)]
struct Entry<T, A> {
    /// There is none.
    align: [A; 0],
    /// The generation of the value inside or, if vacant, of the next one.
    generation: u32,
    /// If vacant, the next vacant entry or [`NONE`]; meaningless otherwise.
    next_vacant: u32,
    /// `None` if vacant.
    value: Option<T>,
}

/// Values that are found by [`Key`]. Insertion, removal and look-up take constant time.
#[derive(Debug)]
pub(crate) struct Slab<T, A = ()> {
    /// All entries, vacant ones included.
    entries: Vec<Entry<T, A>>,
    /// The entry that the next insertion takes, or [`NONE`]: then it appends one.
    first_vacant: u32,
    /// How many entries hold a value.
    occupied: u32,
    /// The generation of the first value of each appended entry.
    first_generation: u32,
}

impl<T, A> Slab<T, A> {
    /// An empty slab; it allocates at the first insertion.
    pub(crate) const fn new() -> Slab<T, A> {
        Slab::with_first_generation(0)
    }

    /// An empty slab that honours no key of a generation below `generation`.
    pub(crate) const fn with_first_generation(generation: u32) -> Slab<T, A> {
        Slab {
            entries: Vec::new(),
            first_vacant: NONE,
            occupied: 0,
            first_generation: generation,
        }
    }

    /// Puts a value in and returns the key that finds it.
    ///
    /// # Panics
    ///
    /// If there are 4,294,967,295 entries.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.insert_with(|| value)
    }

    /// As [`Slab::insert`] of what `make` makes, which is written straight to its place.
    #[inline(always)]
    pub(crate) fn insert_with(&mut self, make: impl FnOnce() -> T) -> Key {
        let index = self.first_vacant;
        if let Some(entry) = self.entries.get_mut(index as usize)
            // It is vacant. To say so saves the look for something to be dropped, and with it a copy.
            && entry.value.is_none()
        {
            self.first_vacant = entry.next_vacant;
            entry.value = Some(make());
            self.occupied += 1;
            return Key::new(index, entry.generation);
        }
        self.append(make())
    }

    /// [`Slab::insert`] when no entry is vacant.
    #[cold]
    fn append(&mut self, value: T) -> Key {
        let key = self.next_key();
        assert!(key.index() != NONE as usize, "a slab holds at most {NONE} entries");
        self.entries.push(Entry {
            align: [],
            generation: key.generation(),
            next_vacant: NONE,
            value: Some(value),
        });
        self.occupied += 1;
        key
    }

    /// The key that the next [`Slab::insert`] will return, provided that nothing is removed before.
    #[inline]
    pub(crate) fn next_key(&self) -> Key {
        match self.entries.get(self.first_vacant as usize) {
            Some(entry) => Key::new(self.first_vacant, entry.generation),
            None => {
                let index = u32::try_from(self.entries.len()).unwrap_or(NONE);
                Key::new(index, self.first_generation)
            }
        }
    }

    /// The value that `key` was given for, unless it was removed.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index())?;
        if entry.generation == key.generation() {
            entry.value.as_ref()
        } else {
            None
        }
    }

    /// As [`Slab::get`], to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index())?;
        if entry.generation == key.generation() {
            entry.value.as_mut()
        } else {
            None
        }
    }

    /// Has the processor fetch the beginning of the value, if it is there: [`Slab::get`] will not have to wait for it then.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn fetch(&self, key: Key) {
        if let Some(entry) = self.entries.get(key.index()) {
            prefetch(entry);
        }
    }

    /// Whether [`Slab::get`] would find something.
    #[inline]
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Takes the value out; the key finds nothing from now on.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index())?;
        if entry.generation != key.generation() {
            return None;
        }
        let value = entry.value.take()?;
        self.vacate(key.index() as u32);
        Some(value)
    }

    /// As [`Slab::remove`], but the value does not leave its place: `f` takes from it what is still wanted, or has to be dropped, and
    /// the rest is forgotten.
    #[inline]
    pub(crate) fn remove_with<R>(&mut self, key: Key, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let entry = self.entries.get_mut(key.index())?;
        if entry.generation != key.generation() {
            return None;
        }
        let taken = f(entry.value.as_mut()?);
        std::mem::forget(entry.value.take());
        self.vacate(key.index() as u32);
        Some(taken)
    }

    /// Makes an entry, whose value is gone, one of the vacant ones.
    #[inline]
    fn vacate(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        self.occupied -= 1;
        // Invariant 3: the last generation is not followed by any; the entry stays out of the list.
        if entry.generation < u32::MAX - 1 {
            entry.generation += 1;
            entry.next_vacant = self.first_vacant;
            self.first_vacant = index;
        } else {
            entry.generation = u32::MAX;
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.occupied as usize
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// All values with their keys, in the order of their entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let key = Key::new(index as u32, entry.generation);
            entry.value.as_ref().map(|value| (key, value))
        })
    }

    /// The keys of all values, in the order of their entries.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.iter().map(|(key, _)| key)
    }

    /// A generation above that of every key handed out so far: a successor made by
    /// [`Slab::with_first_generation`] with it honours no key of this slab.
    ///
    /// The range ends after four thousand million reuses of one entry. A successor made then would mistake keys for its own: who
    /// makes successors has to stop long before, as `hub::remote` does.
    pub(crate) fn first_unused_generation(&self) -> u32 {
        let after = |entry: &Entry<T, A>| entry.generation.saturating_add(u32::from(entry.value.is_some()));
        self.entries.iter().map(after).max().unwrap_or(self.first_generation)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// One step of the comparison with the model. Numbers choose among the keys seen so far.
    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16),
        Remove(usize),
        RemoveWith(usize),
        Change(usize, u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => any::<u16>().prop_map(Step::Insert),
            1 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::RemoveWith),
            1 => (any::<usize>(), any::<u16>()).prop_map(|(at, value)| Step::Change(at, value)),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_whose_keys_are_never_given_twice(
            first in prop_oneof![Just(0), Just(u32::MAX - 3)],
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut slab = Slab::<u16>::with_first_generation(first);
            let mut model: HashMap<Key, u16> = HashMap::new();
            let mut seen: Vec<Key> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(value) => {
                        let expected = slab.next_key();
                        let key = slab.insert(value);
                        prop_assert_eq!(key, expected);
                        prop_assert!(!seen.contains(&key), "{:?} was given twice", key);
                        seen.push(key);
                        model.insert(key, value);
                    }
                    Step::Remove(at) if !seen.is_empty() => {
                        let key = seen[at % seen.len()];
                        prop_assert_eq!(slab.remove(key), model.remove(&key));
                    }
                    Step::RemoveWith(at) if !seen.is_empty() => {
                        let key = seen[at % seen.len()];
                        prop_assert_eq!(slab.remove_with(key, |value| *value), model.remove(&key));
                    }
                    Step::Change(at, value) if !seen.is_empty() => {
                        let key = seen[at % seen.len()];
                        prop_assert_eq!(slab.get_mut(key).is_some(), model.contains_key(&key));
                        if let (Some(mine), Some(theirs)) = (slab.get_mut(key), model.get_mut(&key)) {
                            *mine = value;
                            *theirs = value;
                        }
                    }
                    Step::Remove(_) | Step::RemoveWith(_) | Step::Change(..) => {}
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert_eq!(slab.is_empty(), model.is_empty());
            }
            for key in &seen {
                prop_assert_eq!(slab.get(*key), model.get(key));
                prop_assert_eq!(slab.contains(*key), model.contains_key(key));
                prop_assert!(key.generation() < slab.first_unused_generation());
                prop_assert_eq!(Key::from_bits(key.to_bits()), Some(*key));
            }
            let listed: HashMap<Key, u16> = slab.iter().map(|(key, value)| (key, *value)).collect();
            prop_assert_eq!(&listed, &model);
            let keys: HashSet<Key> = slab.keys().collect();
            prop_assert_eq!(keys.len(), model.len());
        }
    }

    #[test]
    fn the_entry_that_was_vacated_last_is_used_first() {
        let mut slab = Slab::<i32>::new();
        let keys: Vec<Key> = (0..4).map(|value| slab.insert(value)).collect();
        slab.remove(keys[1]);
        slab.remove(keys[3]);
        assert_eq!(slab.insert(10).index(), keys[3].index());
        assert_eq!(slab.insert(11).index(), keys[1].index());
        assert_eq!(slab.insert(12).index(), 4);
    }

    #[test]
    fn a_successor_honours_no_old_key() {
        let mut slab = Slab::<i32>::new();
        let old: Vec<Key> = (0..3).map(|value| slab.insert(value)).collect();
        slab.remove(old[0]);
        let newest = slab.insert(9);
        let mut successor = Slab::<i32>::with_first_generation(slab.first_unused_generation());
        for value in 0..3 {
            successor.insert(value);
        }
        for key in old.into_iter().chain([newest]) {
            assert_eq!(successor.get(key), None);
        }
    }

    #[test]
    fn an_entry_costs_eight_bytes_beside_its_value() {
        assert_eq!(size_of::<Entry<Box<u8>, ()>>(), 16);
        assert_eq!(size_of::<Entry<[Box<u8>; 7], Line>>(), 64);
        assert_eq!(align_of::<Entry<u8, Line>>(), 64);
    }
}
