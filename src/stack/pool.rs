//! What a thread has of stacks, and the two handles by which others hold them.
//!
//! The thread's pool is a list of classes, one for each size. The class asked for last is in a slot of its own,
//! [`LATEST`], a plain pointer: nearly every greenlet has the same size, and looking there costs one load.
//!
//! A class lives as long as its pool or one of its reservations or stacks (`Rc`). So a stack that is dropped after
//! the thread's pool (by another thread-local's destructor) still goes home, and one that is forgotten (a greenlet left parked when its thread ended, or
//! `mem::forget`) keeps its class, and its slab mapped, for ever: memory is never taken away below live frames.
#![expect(
    unsafe_code,
    reason = "the pointer to the latest class; promises of a stack to the coroutine"
)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr;
use std::rc::Rc;

use super::class::Class;
use super::size;
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

/// Promises a stack of `size` bytes of address space (rounded up to whole pages, at least 16 KiB) on this thread.
///
/// # Errors
///
/// When the address space is used up, the size is beyond all measure, or the thread's destructors run already.
#[inline]
pub(crate) fn reserve(size: usize) -> io::Result<Reservation> {
    let latest = LATEST.get();
    // SAFETY: it is null or points to a class that the pool holds: the pool takes it away from here before it lets go.
    if let Some(class) = unsafe { latest.as_ref() }
        && class.size() == size
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
    let class =
        found.map_err(|_| io::Error::other("no stack for a greenlet: the thread is ending"))?;
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
    /// When the guard of a stack never used before cannot be set: for want of memory or, with guards by `mprotect`, of mappings.
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
    #[inline]
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
    use crate::stack::DEFAULT_SIZE;

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
        let mut coroutine = corosensei::Coroutine::with_stack(
            stack(),
            |_: &corosensei::Yielder<usize, ()>, input: usize| input + 1,
        );
        assert_eq!(coroutine.resume(1).as_return(), Some(2));
        drop(coroutine.into_stack());
    }
}
