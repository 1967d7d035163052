//! The CPU time of a process, user and system, by its clock: exact to the nanosecond, and readable from
//! outside the process.

#![expect(unsafe_code, reason = "std does not have this clock")]

use std::time::Duration;

/// The CPU time that all threads of the process have had so far; 0 is this process.
pub(crate) fn cpu_time(process: libc::pid_t) -> Duration {
    let mut clock = 0;
    // SAFETY: the clock's id is written to a variable that outlives the call.
    let found = unsafe { libc::clock_getcpuclockid(process, &mut clock) };
    assert_eq!(found, 0, "process {process} has no clock");
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a variable that outlives the call; any clock id is allowed.
    let read = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(read, 0, "the clock of process {process} cannot be read");
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
