//! Datagrams within the machine: std's socket, but waiting calls park the greenlet.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};

use super::delegate::{socket_type, timeouts};
use super::socket::{Socket, receive_from};
use super::unix::{from_std, of_path, to_std, unix_debug, unix_socket};
use crate::hub::source::Direction;
use crate::sys::{poll, socket};

/// A socket for datagrams within the machine. None is lost: sending parks the caller until the receiver has room.
///
/// A drop-in for [`std::os::unix::net::UnixDatagram`]: the same methods and traits, and conversions both ways. Addresses
/// are std's [`SocketAddr`] of that module.
///
/// ```
/// use iora::net::UnixDatagram;
///
/// let (one, two) = UnixDatagram::pair()?;
/// let reader = iora::spawn(move || {
///     let mut buffer = [0; 16];
///     one.recv(&mut buffer).map(|length| buffer[..length].to_vec())
/// });
/// two.send(b"hello")?;
/// assert_eq!(reader.get().expect("did not panic")?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram(Socket);

impl UnixDatagram {
    /// A socket at `path`, which must not exist yet.
    ///
    /// # Errors
    ///
    /// Those of bind(2); `InvalidInput` for a path that is too long or has a zero in it.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        bind(&of_path(path)?)
    }

    /// As [`bind`](Self::bind), at an address.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        bind(&from_std(address)?)
    }

    /// A socket without an address: nobody can send to it unless it is connected.
    ///
    /// # Errors
    ///
    /// When the descriptors have run out.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Socket::new(Domain::UNIX, Type::DGRAM).map(UnixDatagram)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// When the descriptors have run out.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, two) = Socket::pair(Type::DGRAM)?;
        Ok((UnixDatagram(one), UnixDatagram(two)))
    }

    /// Talks to the socket at `path` from now on: [`send`](Self::send) goes there, and only what comes from there is
    /// received.
    ///
    /// # Errors
    ///
    /// Those of connect(2); `InvalidInput` for a path that is too long or has a zero in it.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.0.options().connect(&of_path(path)?)
    }

    /// As [`connect`](Self::connect), to an address.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.0.options().connect(&from_std(address)?)
    }

    /// Receives a datagram: its length and its sender. What does not fit into `buffer` is lost. Parks the caller until there
    /// is one, or receiving is shut down: then it is empty, and from nobody.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the read time-out is over.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |fd: BorrowedFd<'_>| receive_from(fd, buffer, 0).map(|(length, from)| (length, Some(from)));
        let (length, from) = self.receive(receive, (0, None))?;
        Ok((
            length,
            from.map_or_else(|| SocketAddr::from_pathname(""), |from| to_std(&from))?,
        ))
    }

    /// Receives a datagram. What does not fit into `buffer` is lost. Parks the caller until there is one.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| socket::receive(fd, buffer, 0), 0)
    }

    /// Runs a call that receives a datagram. Once receiving was shut down, none will come; but the system says so only to
    /// who blocks, and to who does not that he has to wait.
    fn receive<R>(&self, mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<R>, nothing: R) -> io::Result<R> {
        let waits = self.0.waits();
        let mut nothing = Some(nothing);
        let or_end = |fd: BorrowedFd<'_>| match call(fd) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && waits && poll::is_shut_down(fd) => {
                nothing.take().ok_or(error)
            }
            result => result,
        };
        self.0.run_on(Direction::Read, or_end, |_| false)
    }

    /// Sends a datagram to the socket at `path`. Parks the caller until there is room for it.
    ///
    /// # Errors
    ///
    /// Those of sendto(2); `InvalidInput` for a path that is too long or has a zero in it.
    pub fn send_to<P: AsRef<Path>>(&self, bytes: &[u8], path: P) -> io::Result<usize> {
        self.0.send_to_by_clock(bytes, &of_path(path)?)
    }

    /// As [`send_to`](Self::send_to), to an address.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn send_to_addr(&self, bytes: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.0.send_to_by_clock(bytes, &from_std(address)?)
    }

    /// Sends a datagram to the peer. Parks the caller until there is room for it.
    ///
    /// # Errors
    ///
    /// Those of send(2).
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    /// Ends receiving, sending or both.
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }
}

/// A socket at one address.
fn bind(address: &SockAddr) -> io::Result<UnixDatagram> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM)?;
    socket.options().bind(address)?;
    Ok(UnixDatagram(socket))
}

socket_type!(UnixDatagram, std::os::unix::net::UnixDatagram);
unix_socket!(UnixDatagram with peer);
timeouts!(UnixDatagram);
unix_debug!(UnixDatagram, "local": local_addr, "peer": peer_addr);
