//! TCP connections: std's, but waiting calls park the greenlet.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{SockAddr, Type};

use super::delegate::{socket_type, stream, timeouts};
use super::internet::{first_good, internet_socket, socket_for, to_std};
use super::short::Short;
use super::socket::Socket;
use super::to_socket_addrs::ToSocketAddrs;
use crate::hub::source::Direction;
use crate::io::Limit;

/// A TCP connection. Reads and writes park the caller until they can be done.
///
/// A drop-in for [`std::net::TcpStream`]: the same methods and traits, and conversions both ways. It may be shared between
/// greenlets, also of several hubs, and used on threads without one; several readers are served in the order in which they
/// came.
///
/// ```
/// use std::io::{Read, Write};
/// use iora::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let server = iora::spawn(move || {
///     let (mut stream, _) = listener.accept()?;
///     stream.write_all(b"hello")
/// });
/// let mut text = String::new();
/// TcpStream::connect(address)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// server.get().expect("did not panic")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream(pub(super) Socket);

impl TcpStream {
    /// Connects to the first of the addresses that accepts. Parks the caller until one has, or all have refused.
    ///
    /// # Errors
    ///
    /// That of the last address; those of the look-up.
    pub fn connect<A: ToSocketAddrs>(address: A) -> io::Result<TcpStream> {
        first_good(address, |address| connect(address, None))
    }

    /// As [`connect`](Self::connect), to one address, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the time was up; `InvalidInput` for a zero `timeout`.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        connect(*address, Some(Limit::after(Some(timeout)))).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "connection timed out"),
            _ => error,
        })
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// `NotConnected` when there is no connection any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.options().peer_addr().and_then(to_std)
    }

    /// Looks at what the next read would give, and leaves it there. Parks the caller until there is something.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return self.0.receive_nothing("peek");
        }
        self.0.peek(buffer)
    }

    /// Has small writes sent at once (`TCP_NODELAY`) instead of gathered.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.options().set_tcp_nodelay(nodelay)
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.options().tcp_nodelay()
    }

    /// Has what comes acknowledged at once (`TCP_QUICKACK`). The system may undo this later.
    ///
    /// What [`TcpStreamExt`](std::os::linux::net::TcpStreamExt) is for std's stream.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.0.options().set_tcp_quickack(quickack)
    }

    /// Whether what comes is acknowledged at once.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    pub fn quickack(&self) -> io::Result<bool> {
        self.0.options().tcp_quickack()
    }
}

/// A connection to one address.
fn connect(address: SocketAddr, limit: Option<Limit>) -> io::Result<TcpStream> {
    let socket = socket_for(address, Type::STREAM)?;
    socket.connect(&SockAddr::from(address), limit)?;
    Ok(TcpStream(socket))
}

// A read stops short of more only at urgent data, of which an event tells.
stream!(TcpStream, Short::Proves);
socket_type!(TcpStream, std::net::TcpStream);
internet_socket!(TcpStream);
timeouts!(TcpStream);

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            fields.field("addr", &address);
        }
        if let Ok(peer) = self.peer_addr() {
            fields.field("peer", &peer);
        }
        fields.field("fd", &self.as_raw_fd()).finish()
    }
}
