//! A queue of small values, first in, first out, in an array that is a power of two long.
//!
//! ```text
//! entries: [ g ][ h ][ - ][ - ][ - ][ e ][ f ] …     front and back only count up; an entry is found by the lower bits
//!                      ▲ back        ▲ front
//! ```
//!
//! 1. `back - front` is how many values there are, at most the length of `entries`; both wrap around together.
//! 2. The length of `entries` is a power of two, so a number's lower bits are always an index.
//! 3. The entries of the numbers from `front` to before `back` have been written. Values are `Copy`: none is dropped.
//! 4. Only one thread has it, and no reference to `entries` lives while anything else is called, the allocator included.
//!
//! It is what a `VecDeque` in a `RefCell` is, less what that has to do for lengths that are no power of two, and less the
//! stores that mark it borrowed, at each push and pop. The hub does one of each for every turn of a greenlet.
#![expect(unsafe_code, reason = "entries are changed through a shared reference")]

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;

/// Values in a row.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    /// See the invariants.
    entries: UnsafeCell<Box<[MaybeUninit<T>]>>,
    /// Counts those taken out.
    front: Cell<usize>,
    /// Counts those put in.
    back: Cell<usize>,
}

/// Entries at first.
const FIRST: usize = 16;

impl<T: Copy> Ring<T> {
    /// Nothing.
    pub(crate) fn new() -> Ring<T> {
        Ring {
            entries: UnsafeCell::new(Box::new_uninit_slice(FIRST)),
            front: Cell::new(0),
            back: Cell::new(0),
        }
    }

    /// Whether there is no value.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.front.get() == self.back.get()
    }

    /// How many values were ever taken out, modulo the range of the number.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.front.get()
    }

    /// Puts a value behind all others.
    #[inline]
    pub(crate) fn push_back(&self, value: T) {
        let back = self.back.get();
        // SAFETY: invariant 4: nothing else is called before the last use of it.
        let entries = unsafe { &mut *self.entries.get() };
        if back.wrapping_sub(self.front.get()) == entries.len() {
            return self.push_back_growing(value);
        }
        let index = back & (entries.len().wrapping_sub(1));
        // SAFETY: invariant 2.
        unsafe { entries.get_unchecked_mut(index) }.write(value);
        self.back.set(back.wrapping_add(1));
    }

    /// Takes the value out that was put in first.
    #[inline]
    pub(crate) fn pop_front(&self) -> Option<T> {
        let value = self.get(0)?;
        self.front.set(self.front.get().wrapping_add(1));
        Some(value)
    }

    /// The value that is taken out after so many others.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<T> {
        let front = self.front.get();
        if place >= self.back.get().wrapping_sub(front) {
            return None;
        }
        // SAFETY: invariant 4: nothing else is called before the last use of it.
        let entries = unsafe { &*self.entries.get() };
        let index = front.wrapping_add(place) & entries.len().wrapping_sub(1);
        // SAFETY: invariant 2.
        let entry = unsafe { entries.get_unchecked(index) };
        // SAFETY: invariant 3: the number is one of those, as was seen above.
        Some(*unsafe { entry.assume_init_ref() })
    }

    /// [`push_back`](Self::push_back) when all entries are taken.
    #[cold]
    #[inline(never)]
    fn push_back_growing(&self, value: T) {
        self.grow(Box::new_uninit_slice);
        self.push_back(value);
    }

    /// Has twice as many entries from now on, which `make` makes.
    fn grow(&self, make: impl FnOnce(usize) -> Box<[MaybeUninit<T>]>) {
        let length = self.length();
        // The allocator may be one that waits, and so lets others come here: what there is to move is seen after that.
        let mut entries = make(length * 2);
        if self.length() != length {
            return;
        }
        // One bit more of the counters finds an entry: each value moves to the entry of its number.
        for place in 0..length {
            if let Some(value) = self.get(place) {
                entries[self.front.get().wrapping_add(place) & (length * 2 - 1)].write(value);
            }
        }
        // SAFETY: invariant 4: nothing is called before the last use of it; what was there is dropped after that.
        let place = unsafe { &mut *self.entries.get() };
        let former = std::mem::replace(place, entries);
        drop(former);
    }

    /// How many entries there are.
    fn length(&self) -> usize {
        // SAFETY: invariant 4: nothing else is called before the last use of it.
        unsafe { &*self.entries.get() }.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_others_do_while_it_grows_is_kept() {
        for pushed in [0, 1, FIRST, 3 * FIRST] {
            let ring = Ring::new();
            (0..FIRST).for_each(|value| ring.push_back(value));
            assert_eq!(ring.pop_front(), Some(0));
            ring.grow(|length| {
                (FIRST..FIRST + pushed).for_each(|value| ring.push_back(value));
                assert_eq!(ring.pop_front(), Some(1));
                Box::new_uninit_slice(length)
            });
            let left: Vec<_> = std::iter::from_fn(|| ring.pop_front()).collect();
            assert_eq!(left, (2..FIRST + pushed).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_deque(steps in prop::collection::vec((0..40_usize, 0..40_usize), 1..50), wraps: bool) {
            let (ring, mut model) = (Ring::new(), VecDeque::new());
            if wraps {
                // The counters are about to start over.
                ring.front.set(usize::MAX - 20);
                ring.back.set(usize::MAX - 20);
            }
            let mut next = 0_u32;
            for (pushes, pops) in steps {
                for _ in 0..pushes {
                    ring.push_back(next);
                    model.push_back(next);
                    next += 1;
                }
                for _ in 0..pops {
                    prop_assert_eq!(ring.pop_front(), model.pop_front());
                    prop_assert_eq!(ring.is_empty(), model.is_empty());
                }
                for place in 0..=model.len() {
                    prop_assert_eq!(ring.get(place), model.get(place).copied());
                }
            }
        }
    }
}
