//! The only C: raw system calls, errno, mappings and guards, descriptor flags, signals, processes.

pub(crate) mod alternate_stack;
#[cfg(test)]
pub(crate) mod child;
pub(crate) mod connect;
pub(crate) mod descriptor;
pub(crate) mod errno;
pub(crate) mod fault;
pub(crate) mod guard;
pub(crate) mod local_address;
pub(crate) mod map;
pub(crate) mod mmsg;
pub(crate) mod pidfd;
pub(crate) mod poll;
pub(crate) mod prefetch;
pub(crate) mod process;
pub(crate) mod random;
#[cfg(feature = "monkey")]
pub(crate) mod raw;
pub(crate) mod report;
#[cfg(feature = "monkey")]
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod timer_fd;
