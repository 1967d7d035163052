//! How large a stack is.
//!
//! A size is *address space*: memory is taken by touch, one page at a time. It includes the guard page.
//!
//! Every size is an odd number of pages. Stacks lie side by side, and what a switch touches lies at the same place of each: were
//! their distance a power of two, all those places would fall into few sets of the processor's translation caches, and of those
//! that hold the page tables. 1,000 greenlets that take turns would pay a tenth more for each.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::map::page_size;

/// What a greenlet gets when nobody says otherwise.
pub(crate) const DEFAULT_SIZE: usize = 256 * 1024;

/// The least size: a guard, and enough to format a panic message. Less is rounded up.
pub(super) const MINIMUM: usize = 16 * 1024;

/// The process's default. It guards nothing else, so relaxed access is enough.
static DEFAULT: AtomicUsize = AtomicUsize::new(DEFAULT_SIZE);

/// The size of stacks for greenlets that do not ask for one.
#[inline]
pub(crate) fn default_size() -> usize {
    DEFAULT.load(Ordering::Relaxed)
}

/// Changes [`default_size`] for greenlets spawned from now on, on every thread.
pub(crate) fn set_default_size(size: usize) {
    DEFAULT.store(size, Ordering::Relaxed);
}

/// The size that a wish for `size` bytes gets: an odd number of whole pages, at least [`MINIMUM`].
pub(super) fn rounded(size: usize) -> io::Result<usize> {
    size.max(MINIMUM)
        .checked_next_multiple_of(page_size())
        .map(|rounded| rounded | page_size())
        .filter(|rounded| isize::try_from(*rounded).is_ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a stack larger than the address space"))
}

/// Whether it is seen at once that a wish for `size` bytes gets `given`, which is what some wish gets. It is for whole pages, the
/// default among them.
#[inline]
pub(super) fn gives(size: usize, given: usize) -> bool {
    size | page_size() == given
}

/// Where the guard of a stack begins that was wished with `size` bytes and has this base.
pub(crate) fn limit(base: usize, size: usize) -> Option<usize> {
    base.checked_sub(rounded(size).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_pages_and_not_too_small() {
        assert_eq!(rounded(0).unwrap(), rounded(MINIMUM).unwrap());
        for size in [MINIMUM, MINIMUM + 1, DEFAULT_SIZE - page_size(), DEFAULT_SIZE] {
            let added = rounded(size).unwrap() - size;
            assert!(added <= 2 * page_size(), "{size} + {added}");
            assert_eq!(rounded(size).unwrap() % page_size(), 0);
        }
    }

    #[test]
    fn neighbours_are_an_odd_number_of_pages_apart() {
        for pages in 4..100 {
            let size = rounded(pages * page_size()).unwrap();
            assert_eq!(size / page_size() % 2, 1, "{pages}");
            assert_eq!(rounded(size).unwrap(), size);
        }
    }

    #[test]
    fn whole_pages_are_seen_to_give_what_they_do_and_nothing_else_is() {
        let given: Vec<usize> = (0..40).map(|pages| rounded(pages * page_size()).unwrap()).collect();
        for size in (0..40 * page_size()).step_by(page_size() / 4) {
            let rounded = rounded(size).unwrap();
            assert_eq!(
                gives(size, rounded),
                size >= MINIMUM && size.is_multiple_of(page_size()),
                "{size}"
            );
            assert!(
                given.iter().all(|given| !gives(size, *given) || *given == rounded),
                "{size}"
            );
        }
        assert!(gives(DEFAULT_SIZE, rounded(DEFAULT_SIZE).unwrap()));
    }

    #[test]
    fn a_size_beyond_all_measure_is_bad_input() {
        for size in [usize::MAX, usize::MAX - page_size(), usize::MAX / 2 + 1] {
            assert_eq!(rounded(size).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
