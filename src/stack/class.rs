//! The stacks of one size on one thread: promises, the warm cache, and the slabs below.
//!
//! What happens for every greenlet is counting and one array: a reservation adds one to `promised`, a claim pops the
//! warm cache, a release pushes. Everything else is behind `#[cold]`.
//!
//! The warm cache is an array of stacks, last in first out, in two parts:
//!
//! ```text
//!    0               trimmed                length      fence
//!    ├─── shallow ──────┼──── maybe deep ──────┤ ─ ─ ─ ─ ─┤
//! ```
//!
//! The upper part was released lately and may have deep pages in memory: memory below the uppermost [`KEPT`] bytes. A
//! release that finds [`DEEP_LIMIT`] such stacks takes the deep pages of the older half away, one system call for each
//! of them: stacks that are used again and again stay at the upper end and never pay for it, and a burst pays for each of its stacks once.
//! Likewise a release that finds [`WARM_LIMIT`] stacks sends the oldest [`BATCH`] to their slabs.
//!
//! Invariants, of which the comments speak by number:
//!
//! 1. `promised` is the number of reservations and live stacks; `capacity` the number of stacks in all slabs.
//!    `promised <= capacity`: whoever holds a reservation finds a stack, warm or in a slab.
//! 2. A stack in the warm cache was taken from `slabs`, is in the cache once, and nobody uses it.
//! 3. `trimmed <= length <= fence`, and `fence` is the least of `trimmed + DEEP_LIMIT` and the limit of the cache.
#![expect(unsafe_code, reason = "gives memory of stacks back")]

use std::cell::{Cell, RefCell};
use std::io;
use std::num::NonZeroUsize;

use super::slab::Slabs;
use crate::sys::map::{self, page_size};

/// The most stacks in a warm cache. With one page each that is 16 MiB a thread, which is what a burst of so many
/// greenlets took anyway; reusing one from the slab costs two system calls and a page fault instead.
pub(super) const WARM_LIMIT: usize = 4096;

/// The most warm stacks that may hold deep pages: 32 MiB of them if each of the default size was used to its end.
pub(super) const DEEP_LIMIT: usize = 128;

/// How many stacks go to the slabs at once when the warm cache is full.
const BATCH: usize = 64;

/// What a cached stack may keep in memory at its upper end: the frames of ordinary calls.
pub(super) const KEPT: usize = 16 * 1024;

/// The stacks of one size on one thread.
#[derive(Debug)]
pub(super) struct Class {
    /// The size of each stack with its guard.
    size: usize,
    /// How many reservations and live stacks there are (invariant 1).
    promised: Cell<usize>,
    /// How many stacks the slabs hold (invariant 1).
    capacity: Cell<usize>,
    /// The bases of the warm stacks: the first `length` entries. The others mean nothing.
    warm: Box<[Cell<usize>]>,
    /// How many warm stacks there are.
    length: Cell<usize>,
    /// How many of them, from the oldest, have no deep pages.
    trimmed: Cell<usize>,
    /// The length at which a release has to do more than to push.
    fence: Cell<usize>,
    /// The most warm stacks: [`WARM_LIMIT`], or none once the thread's pool is gone.
    limit: Cell<usize>,
    /// Where stacks come from. Borrowed for the length of a call in here, never across one out.
    slabs: RefCell<Slabs>,
}

impl Class {
    /// A class without slabs for stacks of `size` bytes, which are whole pages.
    pub(super) fn new(size: usize) -> Class {
        Class {
            size,
            promised: Cell::new(0),
            capacity: Cell::new(0),
            warm: vec![Cell::new(0); WARM_LIMIT].into(),
            length: Cell::new(0),
            trimmed: Cell::new(0),
            fence: Cell::new(DEEP_LIMIT.min(WARM_LIMIT)),
            limit: Cell::new(WARM_LIMIT),
            slabs: RefCell::new(Slabs::new(size)),
        }
    }

    /// The size of each stack with its guard.
    #[inline]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Promises one stack.
    #[inline]
    pub(super) fn promise(&self) -> io::Result<()> {
        if self.promised.get() == self.capacity.get() {
            self.grow()?;
        }
        self.promised.set(self.promised.get() + 1);
        Ok(())
    }

    /// Maps one more slab.
    #[cold]
    fn grow(&self) -> io::Result<()> {
        let added = self.slabs.borrow_mut().grow()?;
        self.capacity.set(self.capacity.get() + added);
        Ok(())
    }

    /// Takes a promise back of which no use was made.
    pub(super) fn renounce(&self) {
        self.promised.set(self.promised.get() - 1);
        self.shrink();
    }

    /// Makes a promise good: the base of a stack that is the caller's until [`release`](Class::release).
    ///
    /// # Errors
    ///
    /// When the guard of a fresh stack cannot be set. The promise is void then.
    #[inline]
    pub(super) fn claim(&self) -> io::Result<NonZeroUsize> {
        if let Some(index) = self.length.get().checked_sub(1)
            && let Some(base) = NonZeroUsize::new(self.warm[index].get())
        {
            self.length.set(index);
            if index < self.trimmed.get() {
                self.set_trimmed(index);
            }
            return Ok(base);
        }
        self.claim_from_slab()
    }

    /// As [`claim`](Class::claim) when no stack is warm.
    #[cold]
    fn claim_from_slab(&self) -> io::Result<NonZeroUsize> {
        let taken = self.slabs.borrow_mut().take();
        match taken {
            Ok(base) => Ok(base.expect("a promised stack is there (invariant 1)")),
            Err(error) => {
                self.renounce();
                Err(error)
            }
        }
    }

    /// Takes a stack back, and with it the promise.
    ///
    /// # Safety
    ///
    /// [`claim`](Class::claim) of this class gave it out, it was not released since, and nobody uses it any more.
    #[inline]
    pub(super) unsafe fn release(&self, base: NonZeroUsize) {
        if self.length.get() == self.fence.get() {
            self.make_room();
        }
        let length = self.length.get();
        if length == self.fence.get() {
            // SAFETY: the caller's promise, and it is not in the warm cache.
            return unsafe { self.release_to_slab(base) };
        }
        self.promised.set(self.promised.get() - 1);
        self.warm[length].set(base.get());
        self.length.set(length + 1);
    }

    /// As [`release`](Class::release) when there is no cache any more.
    ///
    /// # Safety
    ///
    /// As [`release`](Class::release).
    #[cold]
    unsafe fn release_to_slab(&self, base: NonZeroUsize) {
        self.promised.set(self.promised.get() - 1);
        let mut slabs = self.slabs.borrow_mut();
        // SAFETY: a claimed stack was taken from these slabs, and the caller is done with it.
        unsafe { slabs.give(base) };
        drop(slabs);
        self.shrink();
    }

    /// Makes room for a release: trims, or sends the oldest stacks to their slabs.
    #[cold]
    fn make_room(&self) {
        if self.length.get() == self.limit.get() {
            self.send_to_slabs(BATCH.min(self.length.get()));
            self.shrink();
        }
        let deep = self.length.get() - self.trimmed.get();
        if deep >= DEEP_LIMIT {
            self.trim(deep / 2);
        }
    }

    /// Gives the deep pages of the oldest `count` stacks back that may have some.
    fn trim(&self, count: usize) {
        let from = self.trimmed.get();
        let to = from + count;
        for entry in &self.warm[from..to] {
            let base = entry.get();
            let shallow = base - KEPT.min(self.size - page_size());
            let limit = base - self.size + page_size();
            if limit < shallow {
                // SAFETY: the pages are a warm stack's above its guard, and nobody uses it (invariant 2).
                unsafe { map::discard(limit..shallow) };
            }
        }
        self.set_trimmed(to);
    }

    /// Sends the oldest `count` warm stacks to their slabs.
    fn send_to_slabs(&self, count: usize) {
        let length = self.length.get();
        let mut slabs = self.slabs.borrow_mut();
        for entry in &self.warm[..count] {
            let base = NonZeroUsize::new(entry.get()).expect("a warm stack has an address");
            // SAFETY: a warm stack was taken from these slabs and nobody uses it (invariant 2); it leaves the cache below.
            unsafe { slabs.give(base) };
        }
        for index in count..length {
            self.warm[index - count].set(self.warm[index].get());
        }
        self.length.set(length - count);
        self.set_trimmed(self.trimmed.get().saturating_sub(count));
    }

    /// Sets `trimmed`, and `fence` by it (invariant 3).
    #[inline]
    fn set_trimmed(&self, trimmed: usize) {
        self.trimmed.set(trimmed);
        self.fence.set((trimmed + DEEP_LIMIT).min(self.limit.get()));
    }

    /// Unmaps empty slabs that nobody needs: all but one, so that a count that goes up and down does not map and unmap
    /// all the time, and all of them once there is no cache any more.
    fn shrink(&self) {
        let spare = usize::from(self.limit.get() != 0);
        let mut slabs = self.slabs.borrow_mut();
        if slabs.empty() > spare {
            let surplus = self.capacity.get() - self.promised.get();
            let removed = slabs.shrink(spare, surplus);
            self.capacity.set(self.capacity.get() - removed);
        }
    }

    /// Empties the cache for good and unmaps what is not promised: the thread ends.
    ///
    /// Reservations and stacks that still exist stay good; each goes straight to its slab when it is dropped.
    pub(super) fn close(&self) {
        self.send_to_slabs(self.length.get());
        self.limit.set(0);
        self.set_trimmed(0);
        self.shrink();
    }
}
