//! The only C: raw system calls, errno, mappings and guards, descriptor flags, signals.

pub(crate) mod alternate_stack;
pub(crate) mod errno;
pub(crate) mod fault;
pub(crate) mod guard;
pub(crate) mod map;
pub(crate) mod report;
