//! Sockets that park the greenlet instead of the thread, and the names of hosts.
//!
//! What std's module of this name has, stable, is here too, addresses included: `use iora::net` in the place of
//! `use std::net`. Sockets of the machine (`std::os::unix::net`) are beside the others. Options that std has no method for are
//! reached by way of the descriptor ([`AsFd`](std::os::fd::AsFd)), for instance with socket2's `SockRef`.

mod datagrams;
mod delegate;
mod internet;
mod lookup;
mod pause;
mod short;
mod socket;
mod tcp_listener;
mod tcp_stream;
mod to_socket_addrs;
mod udp;
mod unix;
mod unix_datagram;
mod unix_listener;
mod unix_stream;

pub use crate::dns::{AddrInfo, Family, Hints, SocketType};
pub use datagrams::{Datagram, Datagrams};
pub use lookup::{getaddrinfo, gethostbyname, lookup_host};
pub use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use to_socket_addrs::ToSocketAddrs;
pub use udp::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::{Incoming as UnixIncoming, UnixListener};
pub use unix_stream::UnixStream;
