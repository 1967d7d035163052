//! A timer descriptor: a clock alarm that an epoll set can wait for (timerfd_create(2)).
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Instant;

/// Becomes readable when the time it was set to has come. Non-blocking, closed on exec.
#[derive(Debug)]
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    /// A timer that is not set.
    pub(crate) fn new() -> io::Result<TimerFd> {
        // SAFETY: takes two integers and touches no memory.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `fd` is open, and nobody else knows it.
        Ok(TimerFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sets the alarm to `at`, in place of what it was set to. Not readable again until then.
    pub(crate) fn set(&self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        let value = libc::timespec {
            tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
            // Zero would disarm the timer; a nanosecond rings at once.
            tv_nsec: libc::c_long::from(left.subsec_nanos()).max(1),
        };
        let interval = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = libc::itimerspec {
            it_interval: interval,
            it_value: value,
        };
        // SAFETY: `setting` is initialised and outlives the call; the old value is not asked for.
        let result = unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const setting, ptr::null_mut()) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::poll;

    #[test]
    fn rings_and_is_silent_again_once_set_anew() {
        let timer = TimerFd::new().unwrap();
        timer.set(Instant::now()).unwrap();
        assert!(poll::wait_readable(&timer.0, None).unwrap());
        timer.set(Instant::now() + Duration::from_secs(3600)).unwrap();
        assert!(!poll::wait_readable(&timer.0, Some(Instant::now())).unwrap());
    }
}
