//! Slabs: large mappings, each cut into stacks of one size.
//!
//! ```text
//!   low                                                                              high
//!   ┌───────┬───────────────┬───────┬───────────────┬───────┬───────────────┬ ─ ─ ─ ─ ─ ─┐
//!   │ guard │ ◀── stack 0   │ guard │ ◀── stack 1   │ guard │ ◀── stack 2   │  fresh ...
//!   └───────┴───────────────┴───────┴───────────────┴───────┴───────────────┴ ─ ─ ─ ─ ─ ─┘
//!           limit        base
//! ```
//!
//! One mapping for many stacks, so that a million of them are a few thousand mappings (adjacent ones merge to fewer).
//! A stack is *fresh* until it is first handed out: nothing of it is in memory, not even its guard's mark in the page
//! table. A *cold* one came back: its guard is set and its memory was given back.
//!
//! Invariants, of which the comments below speak by number:
//!
//! 1. A slot is fresh, cold or *used* (handed out to the class: live, or in its warm cache); `used` counts the latter.
//! 2. A slot handed out has its guard, its other pages are nobody else's, and they stay mapped until it is given back.
//! 3. `roomy` holds the slabs with a slot to hand out, `empty` those with nothing but such slots.
#![expect(unsafe_code, reason = "gives memory of stacks back and sets their guards")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;

use crate::sys::guard;
use crate::sys::map::{self, Mapping, page_size};

/// What a slab covers unless its stacks are larger still. Address space only; 256 stacks of the default size.
const SLAB_BYTES: usize = 64 << 20;

/// The most stacks in a slab, so that a slab of small ones is free again at some time.
const MOST_SLOTS: usize = 256;

/// One mapping and the state of its slots.
#[derive(Debug)]
struct Slab {
    /// The memory.
    mapping: Mapping,
    /// How many stacks it is cut into.
    slots: usize,
    /// The first slot that was never handed out, as all after it.
    fresh: usize,
    /// The slots that came back.
    cold: Vec<u16>,
    /// How many slots are handed out.
    used: usize,
}

/// All slabs of one size on one thread.
#[derive(Debug)]
pub(super) struct Slabs {
    /// The size of a slot: guard and stack.
    stack_size: usize,
    /// The slabs by their first address.
    slabs: BTreeMap<usize, Slab>,
    /// Those with a slot to hand out. The system maps downwards: the last one is the oldest, and filled first.
    roomy: BTreeSet<usize>,
    /// Those with no slot handed out. The first one is the youngest, and unmapped first.
    empty: BTreeSet<usize>,
}

impl Slabs {
    /// No slabs yet, for stacks of `stack_size` bytes, which are whole pages.
    pub(super) fn new(stack_size: usize) -> Slabs {
        Slabs {
            stack_size,
            slabs: BTreeMap::new(),
            roomy: BTreeSet::new(),
            empty: BTreeSet::new(),
        }
    }

    /// Maps one more slab and says how many stacks it adds. Tries smaller ones where the usual size does not fit.
    pub(super) fn grow(&mut self) -> io::Result<usize> {
        let mut slots = (SLAB_BYTES / self.stack_size).clamp(1, MOST_SLOTS);
        let mapping = loop {
            // No overflow: one slot is no larger than the address space, several no larger than SLAB_BYTES.
            match Mapping::new(slots * self.stack_size) {
                Ok(mapping) => break mapping,
                Err(error) if slots == 1 => return Err(error),
                Err(_) => slots /= 2,
            }
        };
        let start = mapping.range().start;
        self.slabs.insert(
            start,
            Slab {
                mapping,
                slots,
                fresh: 0,
                cold: Vec::new(),
                used: 0,
            },
        );
        self.roomy.insert(start);
        self.empty.insert(start);
        Ok(slots)
    }

    /// Unmaps empty slabs, all but `spare` of them, as long as they hold no more than `surplus` stacks together.
    /// Says how many stacks that were.
    pub(super) fn shrink(&mut self, spare: usize, surplus: usize) -> usize {
        let mut removed = 0;
        while self.empty.len() > spare {
            let Some(&start) = self.empty.first() else {
                break;
            };
            let slots = self.slabs[&start].slots;
            if removed + slots > surplus {
                break;
            }
            self.remove(start);
            removed += slots;
        }
        removed
    }

    /// How many slabs have no stack handed out.
    pub(super) fn empty(&self) -> usize {
        self.empty.len()
    }

    /// Unmaps an empty slab.
    fn remove(&mut self, start: usize) {
        self.empty.remove(&start);
        self.roomy.remove(&start);
        self.slabs.remove(&start);
    }

    /// Hands out a stack and says where its base (its high end) is. `None` without a slab that has one.
    ///
    /// # Errors
    ///
    /// When its guard cannot be set; the stack stays fresh then.
    pub(super) fn take(&mut self) -> io::Result<Option<NonZeroUsize>> {
        let Some(&start) = self.roomy.last() else {
            return Ok(None);
        };
        let Some(slab) = self.slabs.get_mut(&start) else {
            return Ok(None);
        };
        let slot = match slab.cold.pop() {
            Some(slot) => usize::from(slot),
            None => {
                let slot = slab.fresh;
                let limit = start + slot * self.stack_size;
                // SAFETY: the slot was never handed out (invariant 1), so the page, which is the mapping's, is empty.
                unsafe { guard::install(limit..limit + page_size()) }?;
                slab.fresh += 1;
                slot
            }
        };
        slab.used += 1;
        self.empty.remove(&start);
        if slab.used == slab.slots {
            self.roomy.remove(&start);
        }
        Ok(NonZeroUsize::new(start + (slot + 1) * self.stack_size))
    }

    /// Takes a stack back, with all its memory.
    ///
    /// # Safety
    ///
    /// [`take`](Slabs::take) of these slabs gave it out, it was not given back since, and nobody uses it any more.
    pub(super) unsafe fn give(&mut self, base: NonZeroUsize) {
        let limit = base.get() - self.stack_size;
        // SAFETY: it was handed out here, so these pages are the slot's (invariant 2), and nobody uses them any more.
        unsafe { map::discard(limit + page_size()..base.get()) };
        let found = self.slabs.range_mut(..=limit).next_back();
        let (&start, slab) = found.expect("a stack lies in a slab");
        debug_assert!(slab.mapping.range().contains(&limit));
        let slot = (limit - start) / self.stack_size;
        debug_assert!(slot < slab.fresh);
        slab.cold.push(u16::try_from(slot).expect("a slab has few slots"));
        slab.used -= 1;
        self.roomy.insert(start);
        if slab.used == 0 {
            self.empty.insert(start);
        }
    }
}
