//! What a process may do, where, and for how long.

#![expect(unsafe_code, reason = "std knows nothing of limits, affinity and parents")]

use std::mem;

/// Allows this process as many descriptors as it may allow itself; how many that is.
pub(crate) fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is written to a variable that outlives the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the limit is read from a variable that outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    limit.rlim_cur
}

/// Keeps this process on one CPU; where there is no such CPU, it stays where it is.
pub(crate) fn pin(cpu: usize) {
    // SAFETY: a set of CPUs is an array of integers: all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the number is far below the 1,024 that a set has room for.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set outlives the call, and its size is the one given.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
}

/// Has the kernel end this process when the one that started it ends.
pub(crate) fn end_with_parent() {
    // SAFETY: this option takes a signal's number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}
