//! Messages and reads in several parts, of which some have been dealt with already.
#![expect(unsafe_code, reason = "reads the arguments of libc's functions")]

use libc::iovec;

use super::frame::{error, system};

/// The parts that a caller gave.
pub(super) fn given<'a>(parts: *const iovec, count: usize) -> &'a [iovec] {
    if parts.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller of the hook vouches for the array and its length; it is used only during the call.
    unsafe { std::slice::from_raw_parts(parts, count) }
}

/// Their length together.
pub(super) fn length(parts: &[iovec]) -> usize {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.iov_len))
}

/// What is left of the parts after their first `had` bytes.
pub(super) fn rest(parts: &[iovec], mut had: usize) -> Vec<iovec> {
    let mut rest = Vec::with_capacity(parts.len());
    for part in parts {
        let skipped = had.min(part.iov_len);
        had -= skipped;
        if skipped < part.iov_len {
            rest.push(iovec {
                iov_base: part.iov_base.wrapping_byte_add(skipped),
                iov_len: part.iov_len - skipped,
            });
        }
    }
    rest
}

/// Size of the kernel's set of signals.
const SET: usize = 8;
/// No page is smaller.
const PAGE: usize = 4096;

/// Whether that many bytes can be read there: none, or as many as a set of signals has, at least. The kernel reads a set before it
/// refuses to do with it what it does not know; a page is there as a whole or not at all.
pub(super) fn is_memory(place: *const u8, length: usize) -> bool {
    let first = place as usize;
    let Some(last) = first.checked_add(length.saturating_sub(SET)) else {
        return false;
    };
    let can_read = |at: usize| system!(SYS_rt_sigprocmask, -1_isize, at, 0, SET) != error(libc::EFAULT);
    let mut others = (first..last).step_by(PAGE).filter(|at| at / PAGE != last / PAGE);
    // The kernel takes null for no set.
    length == 0 || (first != 0 && can_read(last) && others.all(can_read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_can_be_read_from_its_beginning_to_its_end() {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let pages = system!(SYS_mmap, 0, 3 * PAGE, access, kind, -1_isize, 0) as usize;
        let is_memory = |at: usize, length| is_memory(std::ptr::with_exposed_provenance(at), length);
        assert!(is_memory(pages, 3 * PAGE));
        assert!(system!(SYS_mprotect, pages + PAGE, PAGE, libc::PROT_NONE) == 0);
        assert!(is_memory(pages, PAGE) && is_memory(pages + 2 * PAGE, PAGE) && is_memory(pages + PAGE - SET, SET));
        assert!(!is_memory(pages, 3 * PAGE), "a hole");
        assert!(!is_memory(pages + PAGE - SET, 2 * SET), "what follows");
        assert!(!is_memory(0, SET) && is_memory(0, 0) && !is_memory(usize::MAX, 2 * SET));
        system!(SYS_munmap, pages, 3 * PAGE);
    }
}
