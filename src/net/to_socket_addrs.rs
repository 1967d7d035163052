//! What can be turned into addresses: std's trait of this name, with look-ups that park the greenlet.

use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{option, slice, vec};

use crate::dns;

/// What can be turned into socket addresses, by asking name servers where it has to.
///
/// For the same types as [`std::net::ToSocketAddrs`]; only that names are looked up by [`dns`], which
/// parks the greenlet and not the thread.
///
/// ```
/// use iora::net::ToSocketAddrs;
///
/// let mut addresses = ("127.0.0.1", 80).to_socket_addrs()?;
/// assert_eq!(addresses.next(), Some("127.0.0.1:80".parse().unwrap()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// What [`to_socket_addrs`](ToSocketAddrs::to_socket_addrs) returns.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses, the most promising first.
    ///
    /// Parks the greenlet if a name has to be looked up.
    ///
    /// # Errors
    ///
    /// Those of [`gethostbyname`](crate::net::gethostbyname); kind `InvalidInput` also for a text without a port.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

impl ToSocketAddrs for SocketAddr {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(Some(*self).into_iter())
    }
}

impl ToSocketAddrs for SocketAddrV4 {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::V4(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for SocketAddrV6 {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::V6(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (IpAddr, u16) {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (Ipv4Addr, u16) {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (Ipv6Addr, u16) {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        dns::resolve(self.0, self.1).map(Vec::into_iter)
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address].into_iter());
        }
        let without_port = || io::Error::new(io::ErrorKind::InvalidInput, "invalid socket address");
        let (host, port) = self.rsplit_once(':').ok_or_else(without_port)?;
        let port = port
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "invalid port value"))?;
        (host, port).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(given: impl ToSocketAddrs) -> Vec<String> {
        given
            .to_socket_addrs()
            .expect("addresses")
            .map(|address| address.to_string())
            .collect()
    }

    #[test]
    fn all_that_std_takes() {
        let four = Ipv4Addr::new(192, 0, 2, 1);
        let address = SocketAddr::from((four, 80));
        assert_eq!(shown(address), ["192.0.2.1:80"]);
        assert_eq!(shown(SocketAddrV4::new(four, 80)), ["192.0.2.1:80"]);
        assert_eq!(shown(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 3)), ["[::1%3]:80"]);
        assert_eq!(shown((IpAddr::V4(four), 80)), ["192.0.2.1:80"]);
        assert_eq!(shown((four, 80)), ["192.0.2.1:80"]);
        assert_eq!(shown((Ipv6Addr::LOCALHOST, 80)), ["[::1]:80"]);
        assert_eq!(shown(("192.0.2.1", 80)), ["192.0.2.1:80"]);
        assert_eq!(shown((String::from("::1"), 80)), ["[::1]:80"]);
        assert_eq!(shown("192.0.2.1:80"), ["192.0.2.1:80"]);
        assert_eq!(shown(String::from("[::1]:80")), ["[::1]:80"]);
        let reference: &&str = &"192.0.2.1:80";
        assert_eq!(shown(reference), ["192.0.2.1:80"]);
        assert_eq!(shown(&[address, address][..]).len(), 2);
    }

    #[test]
    fn texts_that_are_no_addresses() {
        for bad in ["", "host", "host:", "host:65536", ":80", "a b:80", "[::1]"] {
            let error = bad.to_socket_addrs().map(drop).expect_err(bad);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
    }
}
