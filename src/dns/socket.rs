//! The resolver's door to the outside: sockets that give up at a deadline, randomness, and the system's own resolver.
//!
//! The sockets belong to one look-up of one greenlet each, and end with it. They are tried first and waited for
//! only when that would block, so what has come already is got even after the deadline.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

use crate::hub::park;
use crate::hub::source::{self, Direction, Registration, Turn, Waited};
use crate::sys::{connect, random};
use crate::threadpool;

/// A datagram socket that talks to one server and hears nobody else.
pub(crate) struct Datagram(Waitable<UdpSocket>);

impl Datagram {
    /// A socket at a port of its own, chosen at random by the system.
    pub(crate) fn connect(server: SocketAddr) -> io::Result<Datagram> {
        let socket = UdpSocket::bind(any_address(server))?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        Ok(Datagram(Waitable::new(socket)))
    }

    /// Sends one datagram. One that finds no room is lost, as it might be on its way.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        match self.0.inner.send(datagram) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result.map(drop),
        }
    }

    /// Waits for a datagram until `deadline`. Parks the greenlet.
    #[expect(clippy::disallowed_methods, reason = "the socket is non-blocking")]
    pub(crate) fn receive(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        self.0.attempt(Direction::Read, deadline, |socket| socket.recv(buffer))
    }
}

/// A connection to a server.
pub(crate) struct Stream(Waitable<TcpStream>);

impl Stream {
    /// Connects, or gives up at `deadline`. Parks the greenlet.
    pub(crate) fn connect(server: SocketAddr, deadline: Instant) -> io::Result<Stream> {
        let stream = Waitable::new(connect::start(server)?);
        stream.attempt(Direction::Write, deadline, |socket| {
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
            let count = self
                .0
                .attempt(Direction::Write, deadline, |mut socket| socket.write(bytes))?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Fills `buffer`, or gives up at `deadline`. Parks the greenlet.
    pub(crate) fn read_exact(&self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = self
                .0
                .attempt(Direction::Read, deadline, |mut socket| socket.read(buffer))?;
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

/// A non-blocking socket whose calls can be waited for.
struct Waitable<T: AsFd> {
    /// The socket.
    inner: T,
    /// With the hub of the thread, from the first call on that would have blocked; none on a thread without a hub.
    registration: Cell<Option<Registration>>,
}

impl<T: AsFd> Waitable<T> {
    /// Not waited for yet.
    fn new(inner: T) -> Waitable<T> {
        Waitable {
            inner,
            registration: Cell::new(None),
        }
    }

    /// Calls `operation` until it does not say that it would block, waiting for `direction` in between until `deadline`.
    fn attempt<R>(
        &self,
        direction: Direction,
        deadline: Instant,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut turn = Turn::default();
        loop {
            match operation(&self.inner) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.wait(direction, deadline, &mut turn)? {
                        Waited::Ready => {}
                        Waited::TimedOut => return Err(io::ErrorKind::TimedOut.into()),
                        Waited::Closed => return Err(io::Error::other("the hub has ended")),
                        Waited::Refused => return Err(io::Error::other("a thread that unwinds cannot wait")),
                    }
                }
                result => {
                    park::spend();
                    return result;
                }
            }
        }
    }

    /// Waits until `direction`, which was just found not ready, is.
    fn wait(&self, direction: Direction, deadline: Instant, turn: &mut Turn) -> io::Result<Waited> {
        if !source::has_hub() {
            return source::block_until_ready(self.inner.as_fd(), direction, Some(deadline));
        }
        let registration = match self.registration.get() {
            Some(registration) => {
                registration.clear(direction);
                registration
            }
            None => {
                let registration = Registration::new(self.inner.as_fd(), direction)?;
                self.registration.set(Some(registration));
                registration
            }
        };
        registration.wait(direction, Some(deadline), "look-up", turn)
    }
}

impl<T: AsFd> Drop for Waitable<T> {
    fn drop(&mut self) {
        if let Some(registration) = self.registration.get() {
            registration.end(self.inner.as_fd(), true);
        }
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
