//! The resolver's door to the outside: sockets that give up at a deadline, randomness, and work on other threads.
//!
//! Interim: plain blocking sockets of std. What stands on this file does not see the difference.
#![expect(clippy::disallowed_methods, reason = "interim")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use crate::sys::random;

/// A datagram socket that talks to one server and hears nobody else.
#[derive(Debug)]
pub(crate) struct Datagram(UdpSocket);

impl Datagram {
    /// A socket at a port of its own, chosen at random by the system.
    pub(crate) fn connect(server: SocketAddr) -> io::Result<Datagram> {
        let socket = UdpSocket::bind(any_address(server))?;
        socket.connect(server)?;
        Ok(Datagram(socket))
    }

    /// Sends one datagram.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.0.send(datagram).map(drop)
    }

    /// Waits for a datagram until `deadline`.
    pub(crate) fn receive(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        self.0.set_read_timeout(Some(left(deadline)?))?;
        self.0.recv(buffer).map_err(timed_out)
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Stream(TcpStream);

impl Stream {
    /// Connects, or gives up at `deadline`.
    pub(crate) fn connect(server: SocketAddr, deadline: Instant) -> io::Result<Stream> {
        TcpStream::connect_timeout(&server, left(deadline)?)
            .map(Stream)
            .map_err(timed_out)
    }

    /// Writes all of `bytes`, or gives up at `deadline`.
    pub(crate) fn write_all(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        self.0.set_write_timeout(Some(left(deadline)?))?;
        self.0.write_all(bytes).map_err(timed_out)
    }

    /// Fills `buffer`, or gives up at `deadline`.
    pub(crate) fn read_exact(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            self.0.set_read_timeout(Some(left(deadline)?))?;
            match self.0.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) => return Err(timed_out(error)),
            }
        }
        Ok(())
    }
}

/// The address that the system would send from to reach `destination`; `None` when it knows no way.
///
/// Asked by connecting a datagram socket, which sends nothing.
pub(crate) fn source_for(destination: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any_address(destination)).ok()?;
    socket.connect(destination).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// A number that nobody can guess.
pub(crate) fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    random::fill(&mut bytes)?;
    Ok(u16::from_ne_bytes(bytes))
}

/// Runs `work` where it may block, and waits for it.
pub(crate) fn off_thread<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// What the system's own `getaddrinfo` knows of `host`. Parks the greenlet while a thread of the pool asks it.
pub(crate) fn ask_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    off_thread(move || (host.as_str(), 0).to_socket_addrs().map(Iterator::collect))
}

/// Any port of the same family.
fn any_address(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

/// The time until `deadline`, which is an error once it has passed.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// A blocking socket says "would block" when its time is over.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}
