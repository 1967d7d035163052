//! TCP listeners: std's, but accepting parks the greenlet.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use socket2::{SockAddr, Type};

use super::delegate::{incoming, socket_type};
use super::internet::{first_good, internet_socket, socket_for, to_std};
use super::pause::Pause;
use super::socket::{BACKLOG, Socket};
use super::tcp_stream::TcpStream;
use super::to_socket_addrs::ToSocketAddrs;

/// A TCP socket that accepts connections.
///
/// A drop-in for [`std::net::TcpListener`]: the same methods and traits, and conversions both ways.
///
/// ```no_run
/// use std::io::copy;
///
/// // An echo server.
/// let listener = iora::net::TcpListener::bind("127.0.0.1:7")?;
/// for stream in listener.incoming() {
///     let stream = stream?;
///     iora::spawn(move || copy(&mut &stream, &mut &stream));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener(Socket);

impl TcpListener {
    /// Listens on the first of the addresses that is free. Port 0 is a free port of the system's choice.
    ///
    /// Parks the caller if a name has to be looked up.
    ///
    /// # Errors
    ///
    /// That of the last address; those of the look-up.
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        first_good(address, |address| bind(address, false))
    }

    /// As [`bind`](Self::bind), on an address that other listeners may have too (`SO_REUSEPORT`): the system spreads the
    /// connections over them.
    ///
    /// A server with several hubs has one listener a hub. With port 0 the first gets a free port, which its
    /// [`local_addr`](Self::local_addr) tells the others.
    ///
    /// ```
    /// use iora::net::TcpListener;
    ///
    /// let one = TcpListener::bind_reuse_port("127.0.0.1:0")?;
    /// let two = TcpListener::bind_reuse_port(one.local_addr()?)?;
    /// assert_eq!(one.local_addr()?, two.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); in use, too, where somebody has the address without sharing it.
    pub fn bind_reuse_port<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        first_good(address, |address| bind(address, true))
    }

    /// Accepts a connection. Parks the caller until there is one.
    ///
    /// # Errors
    ///
    /// When descriptors or memory have run out; [`incoming`](Self::incoming) waits until they are back.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = self.0.accept()?;
        Ok((TcpStream(socket), to_std(address)?))
    }

    /// Sets whether a socket of version 6 of the internet hears nothing of version 4 (`IPV6_V6ONLY`).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2), which allows it before the socket is bound alone.
    #[deprecated = "can be set only before the socket is bound, as std says"]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        self.0.options().set_only_v6(only_v6)
    }

    /// Whether a socket of version 6 of the internet hears nothing of version 4 (`IPV6_V6ONLY`).
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    #[deprecated = "can be set only before the socket is bound, as std says"]
    pub fn only_v6(&self) -> io::Result<bool> {
        self.0.options().only_v6()
    }
}

/// A listener on one address.
fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = socket_for(address, Type::STREAM)?;
    let options = socket.options();
    // As std: a port may be taken again though old connections linger.
    options.set_reuse_address(true)?;
    if reuse_port {
        options.set_reuse_port(true)?;
    }
    options.bind(&SockAddr::from(address))?;
    options.listen(BACKLOG)?;
    Ok(TcpListener(socket))
}

socket_type!(TcpListener, std::net::TcpListener);
internet_socket!(TcpListener);
incoming!(TcpListener, TcpStream);

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            fields.field("addr", &address);
        }
        fields.field("fd", &self.as_raw_fd()).finish()
    }
}
