//! What a thread has of stacks, and the two handles by which others hold them.
//!
//! The thread's pool is a list of classes, one for each size. The class asked for last is in a slot of its own,
//! [`LATEST`], a plain pointer: nearly every greenlet has the same size, and looking there costs one load.
//!
//! A class lives as long as its pool or one of its reservations or stacks (`Rc`). So a stack that is dropped after
//! the thread's pool (by another thread-local's destructor) still goes home, and one that is forgotten (a greenlet
//! left parked when its thread ended, or `mem::forget`) keeps its class, and its slab mapped, for ever: memory is
//! never taken away below live frames.
#![expect(
    unsafe_code,
    reason = "the pointer to the latest class; promises of a stack to the coroutine"
)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
#[cfg(test)]
use std::ops::Range;
use std::ptr;
use std::rc::Rc;

use super::class::Class;
use super::size;
#[cfg(test)]
use crate::sys::map::page_size;

thread_local! {
    /// The class asked for last: null, or one that [`POOL`] holds. Null for good once the pool is gone.
    static LATEST: Cell<*const Class> = const { Cell::new(ptr::null()) };

    /// The classes of this thread. Its destructor ends them with the thread.
    static POOL: Pool = const { Pool { classes: RefCell::new(Vec::new()) } };
}

/// The classes of a thread.
struct Pool {
    /// Few, in the order in which they were first asked for; none is ever taken out before the thread ends.
    classes: RefCell<Vec<Rc<Class>>>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        LATEST.set(ptr::null());
        for class in self.classes.get_mut() {
            class.close();
        }
    }
}

/// Promises a stack of `size` bytes of address space (rounded up to an odd number of pages, at least 16 KiB) on this thread.
///
/// # Errors
///
/// When the address space is used up, the size is beyond all measure, or the thread's destructors run already.
#[inline]
pub(crate) fn reserve(size: usize) -> io::Result<Reservation> {
    let latest = LATEST.get();
    // SAFETY: it is null or points to a class that the pool holds: the pool takes it away from here before it lets go.
    if let Some(class) = unsafe { latest.as_ref() }
        && size::gives(size, class.size())
    {
        class.promise()?;
        // SAFETY: the pool made the pointer from an `Rc` that it holds.
        unsafe { Rc::increment_strong_count(latest) };
        // SAFETY: the count just taken is this one's.
        let class = unsafe { Rc::from_raw(latest) };
        return Ok(Reservation { class });
    }
    reserve_other(size)
}

/// As [`reserve`], for another size than last time.
#[cold]
fn reserve_other(size: usize) -> io::Result<Reservation> {
    let size = size::rounded(size)?;
    let found = POOL.try_with(|pool| {
        let mut classes = pool.classes.borrow_mut();
        let class = match classes.iter().find(|class| class.size() == size) {
            Some(class) => class,
            None => classes.push_mut(Rc::new(Class::new(size))),
        };
        LATEST.set(Rc::as_ptr(class));
        class.clone()
    });
    let class = found.map_err(|_| io::Error::other("no stack for a greenlet: the thread is ending"))?;
    class.promise()?;
    Ok(Reservation { class })
}

/// The promise of a stack: takes no memory, and cannot fail for want of addresses later. Dropping it gives it up.
#[must_use = "a reservation that is dropped is given up"]
pub(crate) struct Reservation {
    /// The class that gave the promise and counts it.
    class: Rc<Class>,
}

impl Reservation {
    /// Makes the promise good. Takes the stack released last, which is likely in the processor's cache.
    ///
    /// # Errors
    ///
    /// When the guard of a stack never used before cannot be set: for want of memory or, with guards by `mprotect`,
    /// of mappings.
    #[inline]
    pub(crate) fn claim(self) -> io::Result<Stack> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so the count moves on to `class` and is not used twice.
        let class = unsafe { ptr::read(&raw const this.class) };
        let base = class.claim()?;
        Ok(Stack { base, class })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.class.renounce();
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reservation")
            .field("size", &self.class.size())
            .finish()
    }
}

/// A stack with a guard page at its low end, the owner's alone. Goes back to its thread's cache when dropped.
///
/// The guard is one page. Rust's code touches every page of a large frame in order and cannot step over it; C code
/// that was compiled without stack probes and has frames larger than a page can.
pub(crate) struct Stack {
    /// The high end, one past the last byte.
    base: NonZeroUsize,
    /// Where it came from and goes back to. Not `Send`, and so this is not.
    class: Rc<Class>,
}

impl Stack {
    /// The high end, from which the stack grows down.
    #[inline]
    pub(crate) fn base(&self) -> NonZeroUsize {
        self.base
    }

    /// The low end with the guard.
    #[inline]
    pub(crate) fn limit(&self) -> NonZeroUsize {
        let limit = self.base.get() - self.class.size();
        NonZeroUsize::new(limit).expect("nothing is mapped at zero")
    }

    /// The addresses of the guard.
    #[cfg(test)]
    pub(crate) fn guard(&self) -> Range<usize> {
        let limit = self.base.get() - self.class.size();
        limit..limit + page_size()
    }

    /// From limit to base, with the guard.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.class.size()
    }
}

// SAFETY: the guard is set before a stack is handed out (slab's invariant 2); a size is at least 16 KiB, so without
// the guard more than MIN_STACK_SIZE bytes are usable; base and limit are page addresses, hence aligned; nothing else
// uses the memory until the stack is dropped.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        Stack::base(self)
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        Stack::limit(self)
    }
}

impl Drop for Stack {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `claim` of this class gave it to this value, which alone had it and is no more.
        unsafe { self.class.release(self.base) };
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = self.base.get() - self.size()..self.base.get();
        formatter
            .debug_tuple("Stack")
            .field(&format_args!("{range:#x?}"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::size::DEFAULT_SIZE;
    use crate::sys::child;

    /// A stack of the default size.
    fn stack() -> Stack {
        reserve(DEFAULT_SIZE).unwrap().claim().unwrap()
    }

    #[test]
    fn the_stack_released_last_is_claimed_first() {
        let first = stack();
        let second = stack();
        let (first_base, second_base) = (first.base(), second.base());
        assert_ne!(first_base, second_base);
        drop(first);
        drop(second);
        let again = stack();
        assert_eq!(again.base(), second_base);
        assert_eq!(stack().base(), first_base);
    }

    #[test]
    fn a_stack_runs_a_coroutine() {
        let mut coroutine =
            corosensei::Coroutine::with_stack(stack(), |_: &corosensei::Yielder<usize, ()>, input: usize| input + 1);
        assert_eq!(coroutine.resume(1).as_return(), Some(2));
        drop(coroutine.into_stack());
    }

    /// A page of the mapping is there at `address`: a look at the process's list.
    fn is_mapped(address: usize) -> bool {
        std::fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let parse = |text| usize::from_str_radix(text, 16).unwrap();
            (parse(start)..parse(end)).contains(&address)
        })
    }

    /// Runs `body` in a child, as the test `name`, and checks that it succeeds.
    fn in_child(name: &str, limits: &str, environment: &[(&str, &str)], body: fn()) {
        if child::is_this(module_path!(), name) {
            return body();
        }
        let output = child::run(module_path!(), name, limits, environment);
        assert!(output.status.success(), "{output:?}");
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(report.contains("1 passed"), "the child ran the test: {report}");
    }

    #[test]
    fn the_parts_of_a_stack_lie_where_they_should() {
        for size in [1, 16 * 1024, 100_000, DEFAULT_SIZE, 1 << 30] {
            let stack = reserve(size).unwrap().claim().unwrap();
            assert!(stack.size() >= size);
            assert_eq!(stack.base().get() - stack.limit().get(), stack.size());
            assert_eq!(stack.guard(), stack.limit().get()..stack.limit().get() + page_size());
            assert_eq!(stack.base().get() % page_size(), 0);
        }
    }

    #[test]
    fn sizes_do_not_mix() {
        let small = reserve(32 * 1024).unwrap().claim().unwrap();
        let small_base = small.base();
        drop(small);
        let large = stack();
        assert_ne!(large.base(), small_base);
        assert_eq!(reserve(32 * 1024).unwrap().claim().unwrap().base(), small_base);
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert_eq!(reserve(usize::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(reserve(1 << 60).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        drop(stack());
    }

    #[test]
    fn a_forgotten_stack_stays_mapped_and_is_not_handed_out_again() {
        let base = std::thread::spawn(|| {
            let forgotten = stack();
            let base = forgotten.base();
            std::mem::forget(forgotten);
            assert!((0..1000).map(|_| stack()).all(|other| other.base() != base));
            base.get()
        });
        let base = base.join().unwrap();
        assert!(is_mapped(base - 1));
    }

    #[test]
    fn the_stacks_of_a_thread_end_with_it() {
        in_child("the_stacks_of_a_thread_end_with_it", "", &[], || {
            let thread = std::thread::spawn(|| {
                let stacks: Vec<_> = (0..1000).map(|_| stack()).collect();
                let bases: Vec<_> = stacks.iter().map(|stack| stack.base().get()).collect();
                assert!(bases.iter().all(|base| is_mapped(base - 1)));
                bases
            });
            let bases = thread.join().unwrap();
            assert!(!bases.iter().any(|base| is_mapped(base - 1)));
        });
    }

    #[test]
    fn a_forgotten_stack_keeps_no_more_than_its_slab() {
        in_child("a_forgotten_stack_keeps_no_more_than_its_slab", "", &[], || {
            let thread = std::thread::spawn(|| {
                let mut stacks: Vec<_> = (0..2000).map(|_| stack()).collect();
                let bases: Vec<_> = stacks.iter().map(|stack| stack.base().get()).collect();
                std::mem::forget(stacks.swap_remove(0));
                bases
            });
            let bases = thread.join().unwrap();
            assert!(is_mapped(bases[0] - 1));
            let left = bases.iter().filter(|base| is_mapped(**base - 1)).count();
            assert!(left <= 256, "{left}");
        });
    }

    #[test]
    fn stacks_may_outlive_the_pool_of_a_thread_that_ends() {
        thread_local! {
            static EARLY: RefCell<Vec<Stack>> = const { RefCell::new(Vec::new()) };
            static LATE: RefCell<Vec<Stack>> = const { RefCell::new(Vec::new()) };
        }
        in_child("stacks_may_outlive_the_pool_of_a_thread_that_ends", "", &[], || {
            let thread = std::thread::spawn(|| {
                // One is registered for destruction before the pool is, the other after: one of them outlives it.
                EARLY.with_borrow_mut(|stacks| stacks.reserve(1));
                let (first, second) = (stack(), stack());
                let bases = [first.base().get(), second.base().get()];
                EARLY.with_borrow_mut(|stacks| stacks.push(first));
                LATE.with_borrow_mut(|stacks| stacks.push(second));
                bases
            });
            let bases = thread.join().unwrap();
            assert!(!bases.iter().any(|base| is_mapped(base - 1)));
        });
    }

    #[test]
    fn a_thread_that_ends_gives_no_more_stacks() {
        /// Reserves when it is dropped.
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                // Before or after the pool's end: good or an error, never a panic (which would abort here).
                if let Ok(reservation) = reserve(DEFAULT_SIZE) {
                    drop(reservation.claim());
                }
            }
        }
        thread_local! {
            static EARLY: Late = const { Late };
            static LATER: Late = const { Late };
        }
        let thread = std::thread::spawn(|| {
            EARLY.with(|_| ());
            drop(stack());
            LATER.with(|_| ());
        });
        thread.join().unwrap();
    }

    #[test]
    fn many_threads_have_pools_of_their_own() {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                std::thread::spawn(|| {
                    for round in 1..50 {
                        let stacks: Vec<_> = (0..round).map(|_| stack()).collect();
                        for stack in &stacks {
                            let word = ptr::with_exposed_provenance_mut::<usize>(stack.base().get() - 8);
                            // SAFETY: the stack is this thread's alone.
                            unsafe { word.write_volatile(stack.base().get()) };
                        }
                        for stack in &stacks {
                            let word = ptr::with_exposed_provenance::<usize>(stack.base().get() - 8);
                            // SAFETY: the stack is this thread's alone.
                            assert_eq!(unsafe { word.read_volatile() }, stack.base().get());
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    #[cfg_attr(feature = "sanitizer", ignore = "the sanitizer reserves terabytes itself")]
    fn running_out_of_address_space_is_an_error_and_passes() {
        in_child(
            "running_out_of_address_space_is_an_error_and_passes",
            "ulimit -v 1000000;",
            &[],
            || {
                let mut reservations = Vec::new();
                let error = loop {
                    match reserve(DEFAULT_SIZE) {
                        Ok(reservation) => reservations.push(reservation),
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
                // Smaller slabs fill what is left: more than three quarters of the limit are stacks.
                assert!(reservations.len() > 3000, "{}", reservations.len());
                // Each promise made is kept, and what is given up can be had again.
                let stacks: Vec<_> = reservations.drain(..).map(|one| one.claim().unwrap()).collect();
                assert!(reserve(DEFAULT_SIZE).is_err());
                drop(stacks);
                drop(stack());
            },
        );
    }

    #[test]
    #[cfg_attr(feature = "sanitizer", ignore = "the sanitizer needs mappings of its own")]
    fn the_fallback_runs_out_of_mappings_with_an_error_and_recovers() {
        let name = "the_fallback_runs_out_of_mappings_with_an_error_and_recovers";
        in_child(name, "", &[("IORA_STACK_GUARD", "mprotect")], || {
            let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
            let limit: usize = limit.trim().parse().unwrap();
            let mut stacks = Vec::new();
            let error = loop {
                assert!(stacks.len() <= limit, "more guards than mappings");
                match reserve(16 * 1024).unwrap().claim() {
                    Ok(stack) => stacks.push(stack),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(stacks.len() > limit / 3, "{}", stacks.len());
            stacks.truncate(10);
            stacks.push(reserve(16 * 1024).unwrap().claim().unwrap());
        });
    }
}
