//! What TCP and UDP have in common: addresses of the internet, and options of its packets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Type};

use super::socket::Socket;
use super::to_socket_addrs::ToSocketAddrs;

/// Tries `f` with each of the addresses until one is good; gives the error of the last.
pub(super) fn first_good<R>(
    addresses: impl ToSocketAddrs,
    f: impl FnMut(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for result in addresses.to_socket_addrs()?.map(f) {
        match result {
            Ok(good) => return Ok(good),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")))
}

/// A new socket of the family of `address`.
pub(super) fn socket_for(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), kind)
}

/// The address that the kernel gave as a socket's.
pub(super) fn to_std(address: SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an address of the internet"))
}

/// The hops that packets may take, whatever the family: what std sets for both.
macro_rules! internet_socket {
    ($type:ident) => {
        impl $type {
            /// The address of this end.
            ///
            /// # Errors
            ///
            /// Those of getsockname(2).
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.0.options().local_addr().and_then(to_std)
            }

            /// Sets the number of hops that a packet may take (`IP_TTL`).
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2).
            pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
                self.0.options().set_ttl_v4(ttl)
            }

            /// The number of hops that a packet may take (`IP_TTL`).
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            pub fn ttl(&self) -> io::Result<u32> {
                self.0.options().ttl_v4()
            }
        }
    };
}
pub(super) use internet_socket;
