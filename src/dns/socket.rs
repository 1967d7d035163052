//! The resolver's door to the outside: sockets that give up at a deadline, randomness, and the system's own resolver.
//!
//! The sockets belong to one look-up of one greenlet each, and end with it. They are tried first and waited for
//! only when that would block, so what has come already is got even after the deadline.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

use super::interfaces::Interfaces;
use crate::hub::source::Direction;
use crate::io::{Limit, Source, Wait};
use crate::sys::{connect, random};
use crate::threadpool;

/// A datagram socket that talks to one server and hears nobody else.
pub(crate) struct Datagram(Source<UdpSocket>);

impl Datagram {
    /// A socket at a port of its own, chosen at random by the system.
    pub(crate) fn connect(server: SocketAddr) -> io::Result<Datagram> {
        let socket = UdpSocket::bind(any_address(server))?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        Ok(Datagram(Source::of_nonblocking(socket)))
    }

    /// Sends one datagram. One that finds no room is lost, as it might be on its way.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        match self.0.get_ref().send(datagram) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result.map(drop),
        }
    }

    /// Waits for a datagram until `deadline`. Parks the greenlet.
    #[expect(clippy::disallowed_methods, reason = "the socket is non-blocking")]
    pub(crate) fn receive(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        attempt(&self.0, Direction::Read, deadline, |socket| socket.recv(buffer))
    }
}

/// A connection to a server.
pub(crate) struct Stream(Source<TcpStream>);

impl Stream {
    /// Connects, or gives up at `deadline`. Parks the greenlet.
    pub(crate) fn connect(server: SocketAddr, deadline: Instant) -> io::Result<Stream> {
        let stream = Source::of_nonblocking(connect::start(server)?);
        attempt(&stream, Direction::Write, deadline, |socket| {
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            match socket.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
                result => result.map(drop),
            }
        })?;
        Ok(Stream(stream))
    }

    /// Writes all of `bytes`, or gives up at `deadline`. Parks the greenlet.
    pub(crate) fn write_all(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = attempt(&self.0, Direction::Write, deadline, |mut socket| socket.write(bytes))?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Fills `buffer`, or gives up at `deadline`. Parks the greenlet.
    pub(crate) fn read_exact(&self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = attempt(&self.0, Direction::Read, deadline, |mut socket| socket.read(buffer))?;
            if count == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
            buffer = &mut buffer[count..];
        }
        Ok(())
    }
}

/// Runs `operation` on a non-blocking socket, waiting until `deadline` where it would block.
fn attempt<T: AsFd, R>(
    socket: &Source<T>,
    direction: Direction,
    deadline: Instant,
    operation: impl FnMut(&T) -> io::Result<R>,
) -> io::Result<R> {
    let wait = Wait {
        direction,
        what: "look-up",
    };
    let result = socket.run(wait, || Ok(Limit::Until(deadline)), operation, |_| false);
    result.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })
}

/// The address that the system would send from to reach `destination`; `None` when it knows no way.
///
/// Asked by connecting a datagram socket, which sends nothing.
pub(crate) fn source_for(destination: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any_address(destination)).ok()?;
    socket.connect(destination).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// This machine's own IPv6 addresses; none where the kernel does not tell.
pub(crate) fn interfaces() -> Interfaces {
    let table = fs::read("/proc/net/if_inet6").unwrap_or_default();
    Interfaces::parse(&table)
}

/// Whether an interface is one that packs packets into others; not if the system does not say so.
pub(crate) fn is_tunnel(interface: &str) -> bool {
    /// `ARPHRD_TUNNEL`, `ARPHRD_TUNNEL6`, `ARPHRD_SIT` and `ARPHRD_IPGRE`.
    const TUNNELS: [&str; 4] = ["768", "769", "776", "778"];
    let kind = fs::read_to_string(format!("/sys/class/net/{interface}/type")).unwrap_or_default();
    TUNNELS.contains(&kind.trim_end())
}

/// A number that nobody can guess.
pub(crate) fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    random::fill(&mut bytes)?;
    Ok(u16::from_ne_bytes(bytes))
}

/// What the system's own `getaddrinfo` knows of `host`. Parks the greenlet while a thread of the pool asks it.
pub(crate) fn ask_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    #[expect(clippy::disallowed_methods, reason = "on a thread of the pool it stops nobody")]
    threadpool::apply(move || (host.as_str(), 0).to_socket_addrs().map(Iterator::collect))
}

/// Any port of the same family.
fn any_address(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}
