//! Moving less than was asked for, and what that tells.

use crate::sys::socket;

/// What a read tells that gives less than it was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Short {
    /// That there was no more.
    Proves,
    /// Nothing: it may have stopped at the border of two messages.
    ProvesNothing,
}

/// Whether an operation moved something, and less than it could have: the system moves only so much at once. Nothing is
/// the end of a stream.
#[inline]
pub(super) fn is_short(count: usize, offered: usize) -> bool {
    count > 0 && count < offered.min(socket::MOST_BYTES)
}

/// The bytes of as many buffers as the system takes at once.
pub(super) fn total<B: std::ops::Deref<Target = [u8]>>(buffers: &[B]) -> usize {
    let buffers = &buffers[..buffers.len().min(socket::MOST_SLICES)];
    buffers.iter().fold(0, |sum, buffer| sum.saturating_add(buffer.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    #[test]
    fn only_less_than_the_system_moves_at_once_is_short() {
        assert!(is_short(3, 4));
        assert!(!is_short(4, 4));
        assert!(!is_short(0, 4));
        assert!(!is_short(socket::MOST_BYTES, usize::MAX));
    }

    #[test]
    fn buffers_beyond_the_systems_limit_do_not_count() {
        let buffers = [IoSlice::new(b"ab"); socket::MOST_SLICES + 5];
        assert_eq!(total(&buffers), 2 * socket::MOST_SLICES);
    }
}
