//! A descriptor that stands for a process (pidfd_open(2)): an epoll set can wait for its end.
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Becomes readable when the process `id` has ended. Closed on exec.
///
/// The caller knows that the number still means that process: it is a child that nobody has reaped.
pub(crate) fn open(id: u32) -> io::Result<OwnedFd> {
    let id = libc::pid_t::try_from(id).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: takes two integers and touches no memory.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    let Ok(fd @ 0..) = RawFd::try_from(opened) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the call succeeded, so `fd` is open, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use super::*;
    use crate::sys::poll;

    #[test]
    fn is_readable_once_the_child_has_ended() {
        let mut child = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("a child");
        let process = open(child.id()).expect("opens");
        assert!(!poll::wait_readable(&process, Some(Instant::now())).expect("polls"));
        drop(child.stdin.take());
        assert!(poll::wait_readable(&process, None).expect("polls"));
        assert!(child.wait().expect("a child").success());
        open(0).expect_err("no process");
    }
}
