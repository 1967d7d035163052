//! The hub: what runs the greenlets of a thread and parks them.

#[cfg(not(loom))]
pub(crate) mod park;
#[cfg(loom)]
#[path = "park_loom.rs"]
pub(crate) mod park;
