//! Listeners within the machine: std's, but accepting parks the greenlet.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr, Type};

use super::delegate::{incoming, socket_type};
use super::pause::Pause;
use super::socket::{BACKLOG, Socket};
use super::unix::{from_std, of_path, to_std, unix_debug, unix_socket};
use super::unix_stream::UnixStream;

/// A socket that accepts connections from within the machine.
///
/// A drop-in for [`std::os::unix::net::UnixListener`]: the same methods and traits, and conversions both ways. Addresses
/// are std's [`SocketAddr`] of that module.
///
/// ```
/// use iora::net::{UnixListener, UnixStream};
/// use std::io::{Write, read_to_string};
/// use std::os::linux::net::SocketAddrExt;
/// use std::os::unix::net::SocketAddr;
///
/// // A name without a file, or a path with `bind`.
/// let address = SocketAddr::from_abstract_name(format!("iora-{}", std::process::id()))?;
/// let listener = UnixListener::bind_addr(&address)?;
/// let server = iora::spawn(move || listener.accept()?.0.write_all(b"hello"));
/// assert_eq!(read_to_string(UnixStream::connect_addr(&address)?)?, "hello");
/// server.get().expect("did not panic")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener(Socket);

impl UnixListener {
    /// Listens at `path`, which must not exist yet.
    ///
    /// # Errors
    ///
    /// Those of bind(2); `InvalidInput` for a path that is too long or has a zero in it.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        bind(&of_path(path)?)
    }

    /// As [`bind`](Self::bind), at an address.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        bind(&from_std(address)?)
    }

    /// Accepts a connection. Parks the caller until there is one.
    ///
    /// # Errors
    ///
    /// When descriptors or memory have run out; [`incoming`](Self::incoming) waits until they are back.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, address) = self.0.accept()?;
        Ok((UnixStream(socket), to_std(&address)?))
    }
}

/// A listener at one address.
fn bind(address: &SockAddr) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM)?;
    socket.options().bind(address)?;
    socket.options().listen(BACKLOG)?;
    Ok(UnixListener(socket))
}

socket_type!(UnixListener, std::os::unix::net::UnixListener);
unix_socket!(UnixListener);
incoming!(UnixListener, UnixStream);
unix_debug!(UnixListener, "local": local_addr);
