//! Waiting for any, some or all of many things of any kind.

mod iwait;
mod join;
mod waitable;

pub use iwait::{IWait, iwait, wait, wait_count};
pub use join::{JoinError, joinall_count, joinall_or_raise};
pub use waitable::Waitable;
