//! Host names by the process's resolver: thin over [`dns`](crate::dns).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::dns::{AddrInfo, Failure, Family, Hints, LookupError, Resolver};
use crate::net::to_socket_addrs::ToSocketAddrs;

/// The first IPv4 address of a host.
///
/// As gevent's and Python's function of this name it knows IPv4 alone; [`lookup_host`] finds both families.
/// Parks the greenlet until the name servers have answered or their time is over.
///
/// ```
/// use std::net::Ipv4Addr;
///
/// assert_eq!(iora::net::gethostbyname("127.0.0.1")?, Ipv4Addr::LOCALHOST);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Kind `NotFound` when there is no such name or it has no such address, `TimedOut` when no server answered,
/// `InvalidInput` when `host` is no name, `Other` when the servers failed; a [`LookupError`] is inside.
pub fn gethostbyname(host: &str) -> io::Result<Ipv4Addr> {
    let addresses = Resolver::system().resolve_family(host, 0, Family::V4)?;
    let first = addresses.iter().find_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    first.ok_or_else(|| LookupError::new(host, Failure::NoData, "the name has no such address").into())
}

/// All addresses of a host with a port, the most promising first.
///
/// Takes what [`ToSocketAddrs`] takes: `"example.org:443"`, `("example.org", 443)`, `(ip, 443)`.
/// Parks the greenlet until the name servers have answered or their time is over.
///
/// ```
/// let addresses: Vec<_> = iora::net::lookup_host("[::1]:80")?.collect();
/// assert_eq!(addresses, ["[::1]:80".parse().unwrap()]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`gethostbyname`]; kind `InvalidInput` also when the port is missing.
pub fn lookup_host(host: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    host.to_socket_addrs()
}

/// Everything that a socket call needs to reach a service at a host, the most promising first.
///
/// A service is a number or a name of `/etc/services`. Without a host, it is this machine; without a service, the port is 0.
/// Parks the greenlet until the name servers have answered or their time is over.
///
/// ```
/// use iora::net::{Hints, SocketType, getaddrinfo};
///
/// let listen = Hints { passive: true, socket_type: Some(SocketType::Stream), ..Hints::default() };
/// let infos = getaddrinfo(None, Some("8080"), &listen)?;
/// assert_eq!(infos[0].address, "0.0.0.0:8080".parse().unwrap());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`gethostbyname`], and kind `InvalidInput` for hints that contradict each other or the arguments.
pub fn getaddrinfo(host: Option<&str>, service: Option<&str>, hints: &Hints) -> io::Result<Vec<AddrInfo>> {
    Resolver::system().getaddrinfo(host, service, hints)
}
