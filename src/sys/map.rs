//! Private anonymous memory that costs nothing until it is touched.
#![expect(unsafe_code, reason = "mappings are made, changed and ended by system calls")]

use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The size of a page, asked of the system once.
#[inline]
pub(crate) fn page_size() -> usize {
    /// The answer, or zero before the first question.
    static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
    let known = PAGE_SIZE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: `sysconf` has no precondition.
    let asked = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let asked = usize::try_from(asked).expect("the system knows its page size");
    PAGE_SIZE.store(asked, Ordering::Relaxed);
    asked
}

/// A mapping of zeroed, private, readable and writable memory; unmapped when dropped.
///
/// It is not accounted for (`MAP_NORESERVE`) and never made of huge pages: one touched byte costs one page.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Where it begins: a page's address.
    start: usize,
    /// How long it is: whole pages, never zero.
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes, which must be whole pages.
    ///
    /// # Errors
    ///
    /// When the address space, the limit on it or the number of mappings is used up.
    pub(crate) fn new(length: usize) -> io::Result<Mapping> {
        debug_assert!(length.is_multiple_of(page_size()));
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the system chooses an address where nothing is mapped, so no memory in use changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // A kernel without huge pages refuses this advice and does not need it.
        // SAFETY: the range is the mapping just made; the advice does not change what it holds.
        unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
        Ok(Mapping {
            start: start.expose_provenance(),
            length,
        })
    }

    /// The addresses it covers.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.length
    }
}

impl Drop for Mapping {
    /// Unmaps. When the system refuses (cutting a hole may need one mapping more than it allows) the addresses stay
    /// mapped for ever: memory given back before costs nothing then.
    fn drop(&mut self) {
        // SAFETY: `self` owns the range; whoever hands out parts of it keeps `self` until they are back.
        unsafe { libc::munmap(ptr::without_provenance_mut(self.start), self.length) };
    }
}

/// Gives the memory of `range` back to the system; it reads as zero from then on. Guards in it stay.
///
/// # Safety
///
/// `range` is whole pages of a live [`Mapping`], and nobody needs what they hold.
pub(crate) unsafe fn discard(range: Range<usize>) {
    let start = ptr::without_provenance_mut(range.start);
    // Fails only for locked memory (`mlockall`), which is to stay then.
    // SAFETY: the caller owns the pages and what they hold is of no more use.
    unsafe { libc::madvise(start, range.end - range.start, libc::MADV_DONTNEED) };
}

/// [`discard`]s each of the ranges, many in one system call where the system can (Linux 6.15 and newer).
///
/// # Safety
///
/// As [`discard`], for each of them.
pub(crate) unsafe fn discard_each(ranges: impl IntoIterator<Item = Range<usize>>) {
    const NOTHING: libc::iovec = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut ranges = ranges.into_iter();
    let mut parts = [NOTHING; TOGETHER];
    loop {
        let (mut count, mut length) = (0, 0);
        for (part, range) in parts.iter_mut().zip(&mut ranges) {
            *part = libc::iovec {
                iov_base: ptr::without_provenance_mut(range.start),
                iov_len: range.end - range.start,
            };
            count += 1;
            length += part.iov_len;
        }
        let parts = &parts[..count];
        if count == 0 {
            return;
        }
        // SAFETY: the caller owns the pages and what they hold is of no more use.
        if unsafe { discard_together(parts) } == Some(length) {
            continue;
        }
        for part in parts {
            let start = part.iov_base.addr();
            // SAFETY: as above.
            unsafe { discard(start..start + part.iov_len) };
        }
    }
}

/// The most ranges that [`discard_each`] puts in one system call.
const TOGETHER: usize = 64;

/// Gives the memory of some ranges back: how many bytes that were, if the system can do it at all.
///
/// # Safety
///
/// As [`discard`], for each of them.
unsafe fn discard_together(ranges: &[libc::iovec]) -> Option<usize> {
    /// Stands for the calling thread's process; the libc crate does not have it yet.
    const PIDFD_SELF: libc::c_int = -10_000;
    let (start, count) = (ranges.as_ptr(), ranges.len());
    let call = libc::SYS_process_madvise;
    // SAFETY: the system reads the slice, which outlives the call; the caller owns the pages and what they hold is of no
    // more use.
    let result = unsafe { libc::syscall(call, PIDFD_SELF, start, count, libc::MADV_DONTNEED, 0) };
    usize::try_from(result).ok()
}

/// How many pages of `range` are in memory: for tests, which check what was given back.
#[cfg(test)]
pub(crate) fn resident_pages(range: Range<usize>) -> usize {
    let mut pages = vec![0_u8; (range.end - range.start) / page_size()];
    let start = ptr::without_provenance_mut(range.start);
    // SAFETY: the vector has a byte for each page of the range.
    let result = unsafe { libc::mincore(start, range.end - range.start, pages.as_mut_ptr()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    pages.iter().filter(|page| **page & 1 != 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `value` to the byte at `address`, which a test has mapped.
    fn write(address: usize, value: u8) {
        // SAFETY: the tests below pass addresses inside a mapping that they hold.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(value) };
    }

    /// Reads the byte at `address`, which a test has mapped.
    fn read(address: usize) -> u8 {
        // SAFETY: the tests below pass addresses inside a mapping that they hold.
        unsafe { ptr::with_exposed_provenance::<u8>(address).read_volatile() }
    }

    #[test]
    fn a_mapping_is_committed_by_touch_and_page_by_page() {
        // Large enough to hold a huge page wherever it lies.
        let mapping = Mapping::new(8 << 20).unwrap();
        assert_eq!(resident_pages(mapping.range()), 0);
        write(mapping.range().start + (4 << 20), 1);
        assert_eq!(resident_pages(mapping.range()), 1);
    }

    #[test]
    fn discarded_pages_leave_memory_and_read_as_zero() {
        let mapping = Mapping::new(4 * page_size()).unwrap();
        for page in 0..4 {
            write(mapping.range().start + page * page_size(), 7);
        }
        assert_eq!(resident_pages(mapping.range()), 4);
        let middle = mapping.range().start + page_size()..mapping.range().end - page_size();
        // SAFETY: the two pages are the mapping's, and the test has no further use for their content.
        unsafe { discard(middle.clone()) };
        assert_eq!(resident_pages(mapping.range()), 2);
        assert_eq!(read(mapping.range().start), 7);
        assert_eq!(read(middle.start), 0);
    }

    #[test]
    fn of_many_ranges_each_is_discarded_and_nothing_else() {
        for count in [0, 1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER] {
            let mapping = Mapping::new(2 * (count + 1) * page_size()).unwrap();
            for page in mapping.range().step_by(page_size()) {
                write(page, 7);
            }
            let page = |number| mapping.range().start + number * page_size();
            // SAFETY: the pages are the mapping's, and the test has no further use for their content.
            unsafe { discard_each((0..count).map(|number| page(2 * number)..page(2 * number + 1))) };
            assert_eq!(resident_pages(mapping.range()), count + 2);
            for number in 0..count {
                assert_eq!((read(page(2 * number)), read(page(2 * number + 1))), (0, 7));
            }
        }
    }

    #[test]
    fn what_the_system_does_not_discard_together_is_discarded_one_by_one() {
        let mapping = Mapping::new(3 * page_size()).unwrap();
        let page = |number| mapping.range().start + number * page_size();
        write(page(0), 7);
        write(page(2), 7);
        // The system gives up at the second, which is no page's address.
        // SAFETY: the pages are the mapping's, and the test has no further use for their content.
        unsafe { discard_each([page(0)..page(1), page(1) + 1..page(2), page(2)..page(3)]) };
        assert_eq!(resident_pages(mapping.range()), 0);
    }

    #[test]
    fn a_mapping_that_cannot_be_is_an_error() {
        let length = (usize::MAX >> 1) & !(page_size() - 1);
        let error = Mapping::new(length).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    }
}
