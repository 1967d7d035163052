//! Bytes that nobody can guess, from the kernel.
#![expect(unsafe_code, reason = "the kernel writes into a buffer of ours")]

use std::io;

/// Fills `bytes` with random ones.
///
/// # Errors
///
/// Those of getrandom(2): a kernel without the call (before Linux 3.17), or a sandbox that forbids it.
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the pointer and the length are those of a slice that is borrowed for the whole call.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => filled += count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_filled_and_differently_each_time() {
        // Larger than what one call is sure to give.
        let (mut one, mut other) = (vec![0; 1000], vec![0; 1000]);
        fill(&mut one).expect("random bytes");
        fill(&mut other).expect("random bytes");
        assert_ne!(one, other);
        assert!(
            one[984..].iter().any(|byte| *byte != 0),
            "sixteen zeroes at the end do not happen"
        );
        fill(&mut []).expect("nothing to do");
    }
}
