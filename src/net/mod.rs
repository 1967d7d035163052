//! Sockets that park the greenlet instead of the thread, and the names of hosts.

mod lookup;
mod to_socket_addrs;

pub use crate::dns::{AddrInfo, Family, Hints, SocketType};
pub use lookup::{getaddrinfo, gethostbyname, lookup_host};
pub use to_socket_addrs::ToSocketAddrs;
