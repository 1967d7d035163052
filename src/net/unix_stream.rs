//! Connections within the machine: std's, but waiting calls park the greenlet.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};

use super::delegate::{socket_type, stream, timeouts};
use super::short::Short;
use super::socket::Socket;
use super::unix::{from_std, of_path, to_std, unix_debug, unix_socket};
use crate::hub::source::Direction;

/// A connection within the machine. Reads and writes park the caller until they can be done.
///
/// A drop-in for [`std::os::unix::net::UnixStream`]: the same methods and traits, and conversions both ways.
///
/// ```
/// use std::io::{Read, Write};
/// use iora::net::UnixStream;
///
/// let (mut one, mut two) = UnixStream::pair()?;
/// let reader = iora::spawn(move || {
///     let mut text = String::new();
///     one.read_to_string(&mut text).map(|_| text)
/// });
/// two.write_all(b"hello")?;
/// drop(two);
/// assert_eq!(reader.get().expect("did not panic")?, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream(pub(super) Socket);

impl UnixStream {
    /// Connects to the listener at `path`. Parks the caller while too many others wait there to be accepted.
    ///
    /// # Errors
    ///
    /// Those of connect(2); `InvalidInput` for a path that is too long or has a zero in it.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        connect(&of_path(path)?)
    }

    /// As [`connect`](Self::connect), to an address.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        connect(&from_std(address)?)
    }

    /// Two ends of a connection.
    ///
    /// # Errors
    ///
    /// When the descriptors have run out.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, two) = Socket::pair(Type::STREAM)?;
        Ok((UnixStream(one), UnixStream(two)))
    }
}

/// A connection to one address.
fn connect(address: &SockAddr) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM)?;
    socket.connect_by_clock(address)?;
    Ok(UnixStream(socket))
}

// A read stops where descriptors or credentials were sent along, though there is more.
stream!(UnixStream, Short::ProvesNothing);
socket_type!(UnixStream, std::os::unix::net::UnixStream);
unix_socket!(UnixStream with peer);
timeouts!(UnixStream);
unix_debug!(UnixStream, "local": local_addr, "peer": peer_addr);
