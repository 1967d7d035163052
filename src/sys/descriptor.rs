//! The flags of an open file description.
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Has operations on `fd` fail with `WouldBlock` instead of blocking (`true`), or block again. Shared by duplicates.
pub(crate) fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    let mut value = libc::c_int::from(on);
    // SAFETY: the request reads one int through the pointer, which points to one that lives through the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONBIO, &raw mut value) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn an_empty_socket_would_block_while_the_flag_is_set() {
        let (mut one, _two) = UnixStream::pair().expect("a pair");
        set_nonblocking(&one, true).expect("sets");
        let error = one.read(&mut [0]).expect_err("nothing to read");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
