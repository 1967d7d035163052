//! The hub: what runs the greenlets of a thread, parks them and wakes them.
//!
//! It is made by the first [`spawn`](crate::spawn) on a thread, and ended by [`end()`].

// Other layers see `park` (the narrow waist), `source` (readiness of descriptors) and `spawn`; all else is the hub's own
// business.

#[cfg(not(loom))]
mod alarm_clock;
#[cfg(not(loom))]
mod core;
#[cfg(not(loom))]
mod current;
#[cfg(not(loom))]
pub(crate) mod deadlock;
#[cfg(not(loom))]
mod end;
#[cfg(all(not(loom), feature = "monkey"))]
mod hook_state;
#[cfg(all(not(loom), feature = "monkey"))]
pub(crate) mod hooks;
#[cfg(not(loom))]
pub(crate) mod idle;
#[cfg(not(loom))]
pub(crate) mod interrupt;
#[cfg(not(loom))]
pub(crate) mod job;
#[cfg(not(loom))]
mod lend;
#[cfg(not(loom))]
mod make;
#[cfg(not(loom))]
pub(crate) mod nested;
#[cfg(not(loom))]
pub(crate) mod park;
#[cfg(loom)]
#[path = "park_loom.rs"]
pub(crate) mod park;
#[cfg(not(loom))]
mod poller;
#[cfg(not(loom))]
mod remote;
#[cfg(not(loom))]
pub(crate) mod report;
#[cfg(not(loom))]
pub(crate) mod source;
#[cfg(not(loom))]
mod sources;
#[cfg(not(loom))]
pub(crate) mod spawn;
#[cfg(not(loom))]
mod spin;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
pub(crate) mod tree;
#[cfg(not(loom))]
mod turn;

#[cfg(not(loom))]
pub use end::end;
