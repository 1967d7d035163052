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
//! release that finds [`DEEP_LIMIT`] such stacks takes the deep pages of the older half away, in one system call if the
//! system can: stacks that are used again and again stay at the upper end and never pay for it, and a burst pays once for
//! each.
//! A release that finds [`WARM_LIMIT`] stacks sends its own to the slab.
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

/// The most stacks in a warm cache. With one page each that is 64 MiB a thread, which is what a burst of so many
/// greenlets took anyway; reusing one from the slab costs two system calls and a page fault instead.
pub(super) const WARM_LIMIT: usize = 16 * 1024;

/// The most warm stacks that may hold deep pages: 32 MiB of them if each of the default size was used to its end.
pub(super) const DEEP_LIMIT: usize = 128;

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
        let length = self.length.get();
        if length == self.fence.get() && !self.make_room() {
            // SAFETY: the caller's promise is the same.
            return unsafe { self.release_to_slab(base) };
        }
        self.promised.set(self.promised.get() - 1);
        self.warm[length].set(base.get());
        self.length.set(length + 1);
    }

    /// As [`release`](Class::release) when the cache is full or no more.
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

    /// Trims when that is due, and says whether there is room for one more warm stack.
    #[cold]
    fn make_room(&self) -> bool {
        let deep = self.length.get() - self.trimmed.get();
        if deep >= DEEP_LIMIT {
            self.trim(deep / 2);
        }
        self.length.get() < self.fence.get()
    }

    /// Gives the deep pages of the oldest `count` stacks back that may have some.
    fn trim(&self, count: usize) {
        let from = self.trimmed.get();
        let to = from + count;
        let deep = self.warm[from..to].iter().filter_map(|entry| {
            let base = entry.get();
            let shallow = base - KEPT.min(self.size - page_size());
            let limit = base - self.size + page_size();
            (limit < shallow).then_some(limit..shallow)
        });
        // SAFETY: the pages are warm stacks' above their guards, and nobody uses those (invariant 2).
        unsafe { map::discard_each(deep) };
        self.set_trimmed(to);
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
        let warm = self.length.replace(0);
        for entry in &self.warm[..warm] {
            let base = NonZeroUsize::new(entry.get()).expect("a warm stack has an address");
            // SAFETY: a warm stack was taken from these slabs and nobody uses it (invariant 2); it has left the cache.
            unsafe { self.slabs.borrow_mut().give(base) };
        }
        self.limit.set(0);
        self.set_trimmed(0);
        self.shrink();
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    /// A size that makes deep pages possible and thousands of stacks cheap.
    const SIZE: usize = 64 * 1024;

    /// Reserves and claims a stack.
    fn take(class: &Class) -> NonZeroUsize {
        class.promise().unwrap();
        class.claim().unwrap()
    }

    /// Releases a stack that a test took.
    fn give(class: &Class, base: NonZeroUsize) {
        // SAFETY: the tests give each stack once, and use it no more.
        unsafe { class.release(base) };
    }

    /// Writes `value` to the word that ends `below` bytes under the base.
    fn write(base: NonZeroUsize, below: usize, value: usize) {
        let word = ptr::with_exposed_provenance_mut::<usize>(base.get() - below - size_of::<usize>());
        // SAFETY: the tests write to stacks that they hold, above the guard.
        unsafe { word.write_volatile(value) };
    }

    /// Reads what [`write`] wrote.
    fn read(base: NonZeroUsize, below: usize) -> usize {
        let word = ptr::with_exposed_provenance::<usize>(base.get() - below - size_of::<usize>());
        // SAFETY: the tests read from stacks that they hold, above the guard.
        unsafe { word.read_volatile() }
    }

    /// How many of a stack's pages between `KEPT` and the guard are in memory.
    fn deep_pages(base: NonZeroUsize) -> usize {
        map::resident_pages(base.get() - SIZE + page_size()..base.get() - KEPT)
    }

    /// How many of a stack's upper pages are in memory.
    fn shallow_pages(base: NonZeroUsize) -> usize {
        map::resident_pages(base.get() - KEPT..base.get())
    }

    /// The deepest word of a stack.
    const DEEPEST: usize = SIZE - 4096 - size_of::<usize>();

    #[test]
    fn a_promise_takes_no_memory_and_is_kept() {
        let class = Class::new(SIZE);
        for _ in 0..1_000_000 {
            class.promise().unwrap();
        }
        assert!(class.capacity.get() >= 1_000_000);
        let bases: Vec<_> = (0..10).map(|_| class.claim().unwrap()).collect();
        for base in bases {
            assert_eq!(shallow_pages(base) + deep_pages(base), 0);
            give(&class, base);
        }
        for _ in 10..1_000_000 {
            class.renounce();
        }
        assert_eq!(class.promised.get(), 0);
    }

    #[test]
    fn slabs_that_nobody_needs_are_unmapped_but_for_a_spare_one() {
        let class = Class::new(SIZE);
        for _ in 0..10_000 {
            class.promise().unwrap();
        }
        for _ in 0..10_000 {
            class.renounce();
        }
        assert_eq!(class.slabs.borrow().empty(), 1);
        assert!(class.capacity.get() <= 1024);
        for _ in 0..10_000 {
            class.promise().unwrap();
        }
        assert!(class.capacity.get() >= 10_000);
    }

    #[test]
    fn the_cache_is_bounded_and_the_rest_leaves_memory() {
        let class = Class::new(SIZE);
        let bases: Vec<_> = (0..WARM_LIMIT + 3000).map(|_| take(&class)).collect();
        for &base in &bases {
            write(base, 0, 1);
        }
        let capacity = class.capacity.get();
        for &base in &bases {
            give(&class, base);
        }
        assert_eq!(class.length.get(), WARM_LIMIT);
        assert_eq!(class.promised.get(), 0);
        assert!(class.capacity.get() < capacity, "slabs wholly free are unmapped");
        assert!(class.slabs.borrow().empty() <= 1);
        // Those right behind the cached ones share a slab with them, so they are still mapped.
        assert_eq!(shallow_pages(bases[WARM_LIMIT - 1]), 1);
        // A cold stack is claimed again when the warm ones are used up, and reads as zero.
        let again: Vec<_> = (0..WARM_LIMIT + 100).map(|_| take(&class)).collect();
        let (warm, cold) = again.split_at(WARM_LIMIT);
        assert!(warm.iter().all(|base| read(*base, 0) == 1));
        assert!(cold.iter().all(|base| shallow_pages(*base) == 0 && read(*base, 0) == 0));
        for base in again {
            give(&class, base);
        }
    }

    #[test]
    fn deep_pages_of_cached_stacks_are_given_back() {
        let class = Class::new(SIZE);
        let bases: Vec<_> = (0..1000).map(|_| take(&class)).collect();
        for &base in &bases {
            write(base, 0, 1);
            write(base, DEEPEST, 1);
            assert_eq!(deep_pages(base), 1);
        }
        for &base in &bases {
            give(&class, base);
        }
        let deep = bases.iter().filter(|base| deep_pages(**base) != 0).count();
        assert!(deep <= DEEP_LIMIT, "{deep}");
        assert!(bases.iter().all(|base| shallow_pages(*base) == 1));
    }

    #[test]
    fn stacks_in_steady_use_keep_their_deep_pages() {
        let class = Class::new(SIZE);
        for round in 0..100 {
            let bases: Vec<_> = (0..DEEP_LIMIT).map(|_| take(&class)).collect();
            for &base in &bases {
                assert_eq!(deep_pages(base), usize::from(round != 0));
                write(base, DEEPEST, 1);
            }
            for base in bases {
                give(&class, base);
            }
        }
    }

    #[test]
    fn the_smallest_stack_has_no_deep_pages_to_give_back() {
        let class = Class::new(16 * 1024);
        let bases: Vec<_> = (0..1000).map(|_| take(&class)).collect();
        for &base in &bases {
            write(base, 0, 1);
        }
        for &base in &bases {
            give(&class, base);
        }
        assert!((0..1000).all(|_| read(take(&class), 0) == 1));
    }

    #[test]
    fn no_stack_is_handed_out_twice() {
        let class = Class::new(SIZE);
        let mut held: Vec<(NonZeroUsize, usize)> = Vec::new();
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for step in 1..60_000 {
            // Waves: long stretches that mostly take, then long ones that mostly give.
            let taking = if (step / 10_000) % 2 == 0 { 8 } else { 2 };
            if random(10) < taking {
                let base = take(&class);
                for below in [0, DEEPEST] {
                    write(base, below, step);
                }
                held.push((base, step));
            } else if !held.is_empty() {
                let (base, mark) = held.swap_remove(random(held.len()));
                assert!([0, DEEPEST].iter().all(|below| read(base, *below) == mark));
                give(&class, base);
            }
            assert_eq!(class.promised.get(), held.len());
            assert!(class.promised.get() <= class.capacity.get());
        }
        for (base, mark) in held {
            assert!([0, DEEPEST].iter().all(|below| read(base, *below) == mark));
            give(&class, base);
        }
    }

    #[test]
    fn what_is_out_when_the_class_closes_stays_good() {
        let class = Class::new(SIZE);
        class.promise().unwrap();
        let live = take(&class);
        let cached = take(&class);
        write(live, 0, 7);
        give(&class, cached);
        class.close();
        assert_eq!(read(live, 0), 7);
        let late = class.claim().unwrap();
        write(late, 0, 8);
        give(&class, late);
        assert_eq!(read(live, 0), 7);
        give(&class, live);
        assert_eq!(class.capacity.get(), 0, "the last one takes the slab with it");
    }
}
