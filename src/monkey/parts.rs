//! Messages and reads in several parts, of which some have been dealt with already.
#![expect(unsafe_code, reason = "reads the arguments of libc's functions")]

use libc::iovec;

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
