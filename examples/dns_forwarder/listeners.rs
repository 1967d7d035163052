//! The sockets that clients talk to: bound before anything is started, so that a failure leaves nothing behind.
//!
//! Each hub has a UDP socket and a TCP listener of its own at each address; the system spreads the clients over them
//! (`SO_REUSEPORT`). UDP and TCP have the same port, also when the system chose it.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How many bytes of datagrams the system is asked to hold; it gives what its limits allow.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// How often a port that the system chose for UDP is tried for TCP, where somebody else may have it.
const TRIES: usize = 20;

/// The sockets of one hub at one address.
pub(crate) struct Pair {
    /// For datagrams.
    pub(crate) udp: UdpSocket,
    /// For connections.
    pub(crate) tcp: TcpListener,
}

/// Binds one address for so many hubs: where that is, and a pair for each hub.
pub(crate) fn bind(address: SocketAddr, hubs: usize) -> io::Result<(SocketAddr, Vec<Pair>)> {
    let shared = hubs > 1;
    if shared && address.port() != 0 {
        // Another program that shares its port in the same way would get some of our clients, unnoticed.
        bind_pair(address, false)?;
    }
    let mut first = bind_pair(address, shared);
    for _ in 1..TRIES {
        let taken = first
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
        if address.port() != 0 || !taken {
            break;
        }
        first = bind_pair(address, shared);
    }
    let mut pairs = vec![first?];
    let chosen = pairs[0].udp.local_addr()?;
    for _ in 1..hubs {
        pairs.push(bind_pair(chosen, shared)?);
    }
    Ok((chosen, pairs))
}

/// Binds a UDP socket, and a TCP listener at the same port.
fn bind_pair(address: SocketAddr, shared: bool) -> io::Result<Pair> {
    let udp: UdpSocket = socket(address, Type::DGRAM, Protocol::UDP, shared)?.into();
    // Less than was asked for is no failure.
    let _ = SockRef::from(&udp).set_recv_buffer_size(RECEIVE_BUFFER);
    let listener = socket(udp.local_addr()?, Type::STREAM, Protocol::TCP, shared)?;
    listener.listen(BACKLOG)?;
    Ok(Pair {
        udp,
        tcp: listener.into(),
    })
}

/// A bound socket.
fn socket(address: SocketAddr, kind: Type, protocol: Protocol, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hub_gets_the_same_port_for_udp_and_tcp() {
        let (chosen, pairs) = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(pairs.len(), 3);
        for pair in &pairs {
            assert_eq!(
                (pair.udp.local_addr().unwrap(), pair.tcp.local_addr().unwrap()),
                (chosen, chosen)
            );
        }
        assert!(bind(chosen, 1).is_err(), "somebody else has it");
        assert!(bind(chosen, 2).is_err(), "somebody else has it, and would share it");
    }
}
