//! Waiting for one descriptor by blocking the thread (poll(2)): for threads that have no hub.
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

/// Blocks until a read of `fd` will not block; `false` when `deadline` came first. Restarts after a signal.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Option<Instant>) -> io::Result<bool> {
    wait(fd, libc::POLLIN, deadline)
}

/// Blocks until a write to `fd` will not block; `false` when `deadline` came first. Restarts after a signal.
pub(crate) fn wait_writable(fd: impl AsFd, deadline: Option<Instant>) -> io::Result<bool> {
    wait(fd, libc::POLLOUT, deadline)
}

/// Whether nothing can be received from the socket `fd` any more but what is there already.
pub(crate) fn is_shut_down(fd: impl AsFd) -> bool {
    let mut entry = libc::pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: points to one initialised entry, as the count says.
    let count = unsafe { libc::poll(&raw mut entry, 1, 0) };
    count == 1 && entry.revents & libc::POLLRDHUP != 0
}

/// The loop under both.
fn wait(fd: impl AsFd, events: libc::c_short, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        // Rounded up, so that a wait never ends before its deadline.
        let milliseconds = deadline.map_or(-1, |at| {
            let left = at.saturating_duration_since(Instant::now());
            libc::c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        let mut entry = libc::pollfd {
            fd: fd.as_fd().as_raw_fd(),
            events,
            revents: 0,
        };
        // SAFETY: points to one initialised entry, as the count says.
        let count = unsafe { libc::poll(&raw mut entry, 1, milliseconds) };
        match count {
            0 if deadline.is_some_and(|at| Instant::now() >= at) => return Ok(false),
            0 => {}
            1.. if entry.revents & libc::POLLNVAL != 0 => return Err(io::Error::from_raw_os_error(libc::EBADF)),
            1.. => return Ok(true),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
