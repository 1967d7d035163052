//! Greenlets: spawn them, wait for them, kill them; scopes, generators, greenlet-local storage.

mod builder;
mod completion;
mod current;
mod exit;
mod generator;
mod handle;
mod hold;
mod hubs;
mod join;
mod local;
mod nested;
pub mod raw;
mod scope;
mod shared;
mod shield;
mod tree_local;
mod unstarted;

pub use builder::{Builder, set_default_stack_size, spawn, spawn_later};
pub use current::{Current, current, idle, yield_now};
pub use exit::{Ending, Exit};
pub use generator::{Generator, Resumed, Yielder};
pub use handle::{Greenlet, LinkId};
pub use hubs::{HubGone, HubHandle, Hubs, hubs};
pub use join::{joinall, killall};
pub use local::Local;
pub use scope::{Scope, ScopedGreenlet, scope};
pub use shield::shield;
pub use tree_local::TreeLocal;
