//! Names to addresses: a stub resolver that parks the greenlet, not the thread.
//!
//! Most programs need none of this: [`net`](crate::net) looks names up by [`Resolver::system`], which goes by
//! `/etc/hosts`, `/etc/resolv.conf` and `/etc/nsswitch.conf` as the C library does, and leaves names to the
//! system's own resolver where the configuration asks for more than files and DNS. A [`Resolver`] with a
//! [`Config`] of its own goes by other files or texts.
//!
//! Unlike the C library it keeps answers as long as their servers allow. Two kinds of names
//! are never sent to a server: those below `localhost`, which are this machine, and those below `onion` and `invalid`.

mod addrinfo;
mod answers;
mod cache;
mod config;
mod error;
mod flight;
pub(crate) mod hosts;
mod interfaces;
pub(crate) mod literal;
pub(crate) mod message;
pub(crate) mod name;
pub(crate) mod nsswitch;
mod order;
pub(crate) mod resolv_conf;
mod resolver;
pub(crate) mod services;
mod settings;
mod socket;
mod transport;

pub use addrinfo::{AddrInfo, Hints, SocketType};
pub use config::Config;
pub use error::{Failure, LookupError};
pub(crate) use resolver::resolve;
pub use resolver::{Family, Resolver};
