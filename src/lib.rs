//! Stackful green threads for Rust: plain blocking code that parks a greenlet instead of a thread.
//!
//! See the README for a first example and `DESIGN.md` for the reasons behind the layers.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
#![cfg_attr(
    loom,
    expect(dead_code, reason = "the loom build leaves out whatever switches stacks")
)]

pub(crate) mod collections;
#[cfg(not(loom))]
pub(crate) mod coroutine;
#[cfg(not(loom))]
pub mod dns;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(not(loom))]
mod greenlet;
pub mod hub;
#[cfg(not(loom))]
pub mod io;
#[cfg(all(not(loom), target_os = "linux", target_env = "gnu", feature = "monkey"))]
pub mod monkey;
#[cfg(not(loom))]
pub mod net;
pub mod pool;
pub(crate) mod primitive;
#[cfg(not(loom))]
pub mod process;
pub mod queue;
#[cfg(doctest)]
mod readme;
#[cfg(not(loom))]
pub(crate) mod stack;
pub mod sync;
#[cfg(not(loom))]
pub(crate) mod sys;
pub mod threadpool;
#[cfg(not(loom))]
mod time;
#[cfg(not(loom))]
mod wait;

#[cfg(not(loom))]
pub use greenlet::raw;
#[cfg(not(loom))]
pub use greenlet::{
    Builder, Current, Ending, Exit, Generator, Greenlet, HubGone, HubHandle, Hubs, LinkId, Local, Resumed, Scope,
    ScopedGreenlet, TreeLocal, Yielder, current, hubs, idle, joinall, killall, scope, set_default_stack_size, shield,
    spawn, spawn_later, yield_now,
};
#[cfg(not(loom))]
pub use time::{Elapsed, Timeout, sleep, timeout};
#[cfg(not(loom))]
pub use wait::{IWait, JoinError, Waitable, iwait, joinall_count, joinall_or_raise, wait, wait_count};
