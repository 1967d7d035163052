//! Names to addresses: a stub resolver that parks the greenlet, not the thread.

pub(crate) mod cache;
pub(crate) mod hosts;
pub(crate) mod literal;
pub(crate) mod name;
pub(crate) mod nsswitch;
pub(crate) mod order;
pub(crate) mod resolv_conf;
pub(crate) mod services;
