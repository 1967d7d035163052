//! UDP sockets: std's, but waiting calls park the greenlet, and many datagrams at once.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{SockAddr, Type};

use super::datagrams::Datagrams;
use super::delegate::{socket_type, timeouts};
use super::internet::{first_good, internet_socket, socket_for, to_std};
use super::socket::Socket;
use super::to_socket_addrs::ToSocketAddrs;
use crate::hub::source::Direction;
use crate::sys::local_address;
use crate::sys::socket::PEEK;

/// A UDP socket. Receiving parks the caller until a datagram is there, sending until there is room for it.
///
/// A drop-in for [`std::net::UdpSocket`]: the same methods and traits, and conversions both ways.
///
/// ```
/// use iora::net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", server.local_addr()?)?;
/// let mut buffer = [0; 16];
/// let (length, from) = server.recv_from(&mut buffer)?;
/// assert_eq!((&buffer[..length], from), (&b"hello"[..], client.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket(pub(super) Socket);

impl UdpSocket {
    /// A socket at the first of the addresses that is free. Port 0 is a free port of the system's choice.
    ///
    /// Parks the caller if a name has to be looked up.
    ///
    /// # Errors
    ///
    /// That of the last address; those of the look-up.
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        first_good(address, |address| bind(address, false))
    }

    /// As [`bind`](Self::bind), at an address that other sockets may have too (`SO_REUSEPORT`): the system spreads the
    /// datagrams over them, those of one sender always to the same.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); in use, too, where somebody has the address without sharing it.
    pub fn bind_reuse_port<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        first_good(address, |address| bind(address, true))
    }

    /// Talks to one peer from now on: [`send`](Self::send) goes there, and only what comes from there is received.
    ///
    /// Parks the caller if a name has to be looked up.
    ///
    /// # Errors
    ///
    /// That of the last address; those of the look-up.
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        first_good(address, |address| self.0.options().connect(&SockAddr::from(address)))
    }

    /// The address of the peer it is connected to.
    ///
    /// # Errors
    ///
    /// `NotConnected` when it is not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.options().peer_addr().and_then(to_std)
    }

    /// Receives a datagram: its length and its sender. What does not fit into `buffer` is lost. Parks the caller until there
    /// is one.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the read time-out is over; what the network has told of datagrams that were sent.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.0.receive_from(buffer, 0)?;
        Ok((length, to_std(from)?))
    }

    /// As [`recv_from`](Self::recv_from), but the datagram stays.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.0.receive_from(buffer, PEEK)?;
        Ok((length, to_std(from)?))
    }

    /// Sends a datagram to the first of the addresses. Parks the caller until there is room, or a name is looked up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when there is no address; those of sendto(2).
    pub fn send_to<A: ToSocketAddrs>(&self, bytes: &[u8], address: A) -> io::Result<usize> {
        let Some(address) = address.to_socket_addrs()?.next() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            ));
        };
        self.0.send_to(bytes, &SockAddr::from(address))
    }

    /// Receives a datagram from the peer. What does not fit into `buffer` is lost. Parks the caller until there is one.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from); `ConnectionRefused` when nobody listens where something was sent to.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer)
    }

    /// As [`recv`](Self::recv), but the datagram stays.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buffer)
    }

    /// Sends a datagram to the peer. Parks the caller until there is room.
    ///
    /// # Errors
    ///
    /// Those of send(2).
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    /// Has [`recv_from_at`](Self::recv_from_at) tell at which of the machine's addresses datagrams arrive, from the next that
    /// arrives on. For a socket that is bound to none in particular.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_tell_local_addr(&self) -> io::Result<()> {
        let ipv6 = self.local_addr()?.is_ipv6();
        local_address::tell(self, ipv6)
    }

    /// As [`recv_from`](Self::recv_from), and says at which of the machine's addresses the datagram arrived:
    /// [`send_to_from`](Self::send_to_from) answers from there. `None` without
    /// [`set_tell_local_addr`](Self::set_tell_local_addr), or when it was sent to many.
    ///
    /// ```
    /// use iora::net::UdpSocket;
    ///
    /// let (server, client) = (UdpSocket::bind("0.0.0.0:0")?, UdpSocket::bind("0.0.0.0:0")?);
    /// server.set_tell_local_addr()?;
    /// client.connect(("127.0.0.2", server.local_addr()?.port()))?;
    /// client.send(b"where are you?")?;
    /// let mut buffer = [0; 16];
    /// let (_, from, at) = server.recv_from_at(&mut buffer)?;
    /// server.send_to_from(b"here", from, at)?;
    /// // It is connected: what comes from elsewhere it does not hear.
    /// assert_eq!(client.recv(&mut buffer)?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn recv_from_at(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
        let receive = |fd: BorrowedFd<'_>| local_address::receive(fd, buffer);
        self.0.run_on(Direction::Read, receive, |_| false)
    }

    /// Sends a datagram to `to`, from this one of the machine's addresses, or from the one that the route says. Parks the
    /// caller until there is room.
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2): `InvalidInput` when the address is not the machine's.
    pub fn send_to_from(&self, bytes: &[u8], to: SocketAddr, from: impl Into<Option<IpAddr>>) -> io::Result<usize> {
        match from.into() {
            Some(from) => {
                let send = |fd: BorrowedFd<'_>| local_address::send(fd, bytes, to, from);
                self.0.run_on(Direction::Write, send, |_| false)
            }
            None => self.0.send_to(bytes, &SockAddr::from(to)),
        }
    }

    /// Receives as many datagrams as there are, in one system call, into `datagrams`, whose content it replaces: at most as
    /// many as that has room for. Returns how many. Parks the caller until there is one.
    ///
    /// ```
    /// use iora::net::{Datagrams, UdpSocket};
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0")?;
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// client.send_to(b"one", server.local_addr()?)?;
    /// client.send_to(b"two", server.local_addr()?)?;
    /// let mut datagrams = Datagrams::new(64, 1500);
    /// assert_eq!(server.recv_many(&mut datagrams)?, 2);
    /// // Back to where they came from.
    /// while !datagrams.is_empty() {
    ///     server.send_many(&mut datagrams)?;
    /// }
    /// assert_eq!(client.recv(&mut [0; 16])?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from); then `datagrams` is empty.
    pub fn recv_many(&self, datagrams: &mut Datagrams) -> io::Result<usize> {
        let most = datagrams.capacity();
        datagrams.clear();
        let receive = |fd: BorrowedFd<'_>| datagrams.receive(fd);
        // Fewer than there is room for: there are no more.
        self.0.run_on(Direction::Read, receive, |count| *count < most)
    }

    /// Sends as many of `datagrams` as there is room for, in one system call: from the first on, each to its address, or to
    /// the peer if it has none. What was sent leaves `datagrams`. Returns how many, which is none only if there were none.
    /// Parks the caller until there is room for one.
    ///
    /// # Errors
    ///
    /// Those of sendto(2), for the first of `datagrams`: the others may be sendable once
    /// [`pop_front`](Datagrams::pop_front) has taken it out.
    pub fn send_many(&self, datagrams: &mut Datagrams) -> io::Result<usize> {
        if datagrams.is_empty() {
            return Ok(0);
        }
        self.0.run_on(Direction::Write, |fd| datagrams.send(fd), |_| false)
    }
}

/// A socket at one address.
fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<UdpSocket> {
    let socket = socket_for(address, Type::DGRAM)?;
    if reuse_port {
        socket.options().set_reuse_port(true)?;
    }
    socket.options().bind(&SockAddr::from(address))?;
    Ok(UdpSocket(socket))
}

/// Options, each a pair of a setter and a getter of socket2's.
macro_rules! options {
    ($($set:ident, $get:ident: $value:ty = $set_option:ident, $get_option:ident, $what:literal;)*) => {
        impl UdpSocket {
            $(
                #[doc = concat!("Sets ", $what, ".")]
                ///
                /// # Errors
                ///
                /// Those of setsockopt(2).
                pub fn $set(&self, value: $value) -> io::Result<()> {
                    self.0.options().$set_option(value)
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") sets: ", $what, ".")]
                ///
                /// # Errors
                ///
                /// Those of getsockopt(2).
                pub fn $get(&self) -> io::Result<$value> {
                    self.0.options().$get_option()
                }
            )*
        }
    };
}

options! {
    set_broadcast, broadcast: bool = set_broadcast, broadcast,
        "whether it may send to everybody on the network (`SO_BROADCAST`)";
    set_multicast_loop_v4, multicast_loop_v4: bool = set_multicast_loop_v4, multicast_loop_v4,
        "whether multicasts come back to this machine (`IP_MULTICAST_LOOP`)";
    set_multicast_ttl_v4, multicast_ttl_v4: u32 = set_multicast_ttl_v4, multicast_ttl_v4,
        "the hops that a multicast may take (`IP_MULTICAST_TTL`)";
    set_multicast_loop_v6, multicast_loop_v6: bool = set_multicast_loop_v6, multicast_loop_v6,
        "whether multicasts come back to this machine (`IPV6_MULTICAST_LOOP`)";
}

impl UdpSocket {
    /// Joins the multicast group `group` on the interface with the address `interface`.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.options().join_multicast_v4(group, interface)
    }

    /// Joins the multicast group `group` on the interface with the number `interface`.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.options().join_multicast_v6(group, interface)
    }

    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.options().leave_multicast_v4(group, interface)
    }

    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.options().leave_multicast_v6(group, interface)
    }
}

socket_type!(UdpSocket, std::net::UdpSocket);
internet_socket!(UdpSocket);
timeouts!(UdpSocket);

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("UdpSocket");
        if let Ok(address) = self.local_addr() {
            fields.field("addr", &address);
        }
        fields.field("fd", &self.as_raw_fd()).finish()
    }
}
