//! Pure data structures: no system call, no coroutine, no clock.

pub(crate) mod inbox;
pub(crate) mod phase;
pub(crate) mod ring;
pub(crate) mod slab;
pub(crate) mod timers;
