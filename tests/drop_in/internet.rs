//! TCP and UDP.

use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::beside;
use super::net::{
    AddrParseError, Incoming, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
    TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
};
use crate::{methods, traits};

/// What names an address here.
type At = (Ipv4Addr, u16);

/// A free port of this machine.
const FREE: At = (Ipv4Addr::LOCALHOST, 0);

/// How long something waits.
type Timeout = Option<Duration>;

methods! {
    TcpStream::connect::<At>: fn(At) -> io::Result<TcpStream>;
    TcpStream::connect_timeout: fn(&SocketAddr, Duration) -> io::Result<TcpStream>;
    TcpStream::peer_addr: fn(&TcpStream) -> io::Result<SocketAddr>;
    TcpStream::local_addr: fn(&TcpStream) -> io::Result<SocketAddr>;
    TcpStream::shutdown: fn(&TcpStream, Shutdown) -> io::Result<()>;
    TcpStream::try_clone: fn(&TcpStream) -> io::Result<TcpStream>;
    TcpStream::set_read_timeout: fn(&TcpStream, Timeout) -> io::Result<()>;
    TcpStream::set_write_timeout: fn(&TcpStream, Timeout) -> io::Result<()>;
    TcpStream::read_timeout: fn(&TcpStream) -> io::Result<Timeout>;
    TcpStream::write_timeout: fn(&TcpStream) -> io::Result<Timeout>;
    TcpStream::peek: fn(&TcpStream, &mut [u8]) -> io::Result<usize>;
    TcpStream::set_nodelay: fn(&TcpStream, bool) -> io::Result<()>;
    TcpStream::nodelay: fn(&TcpStream) -> io::Result<bool>;
    TcpStream::set_ttl: fn(&TcpStream, u32) -> io::Result<()>;
    TcpStream::ttl: fn(&TcpStream) -> io::Result<u32>;
    TcpStream::take_error: fn(&TcpStream) -> io::Result<Option<io::Error>>;
    TcpStream::set_nonblocking: fn(&TcpStream, bool) -> io::Result<()>;
    TcpStream::from_raw_fd: unsafe fn(RawFd) -> TcpStream;

    TcpListener::bind::<At>: fn(At) -> io::Result<TcpListener>;
    TcpListener::local_addr: fn(&TcpListener) -> io::Result<SocketAddr>;
    TcpListener::try_clone: fn(&TcpListener) -> io::Result<TcpListener>;
    TcpListener::accept: fn(&TcpListener) -> io::Result<(TcpStream, SocketAddr)>;
    TcpListener::incoming: for<'a> fn(&'a TcpListener) -> Incoming<'a>;
    TcpListener::set_ttl: fn(&TcpListener, u32) -> io::Result<()>;
    TcpListener::ttl: fn(&TcpListener) -> io::Result<u32>;
    TcpListener::take_error: fn(&TcpListener) -> io::Result<Option<io::Error>>;
    TcpListener::set_nonblocking: fn(&TcpListener, bool) -> io::Result<()>;
    TcpListener::from_raw_fd: unsafe fn(RawFd) -> TcpListener;

    UdpSocket::bind::<At>: fn(At) -> io::Result<UdpSocket>;
    UdpSocket::recv_from: fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    UdpSocket::peek_from: fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    UdpSocket::send_to::<At>: fn(&UdpSocket, &[u8], At) -> io::Result<usize>;
    UdpSocket::peer_addr: fn(&UdpSocket) -> io::Result<SocketAddr>;
    UdpSocket::local_addr: fn(&UdpSocket) -> io::Result<SocketAddr>;
    UdpSocket::try_clone: fn(&UdpSocket) -> io::Result<UdpSocket>;
    UdpSocket::set_read_timeout: fn(&UdpSocket, Timeout) -> io::Result<()>;
    UdpSocket::set_write_timeout: fn(&UdpSocket, Timeout) -> io::Result<()>;
    UdpSocket::read_timeout: fn(&UdpSocket) -> io::Result<Timeout>;
    UdpSocket::write_timeout: fn(&UdpSocket) -> io::Result<Timeout>;
    UdpSocket::set_broadcast: fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::broadcast: fn(&UdpSocket) -> io::Result<bool>;
    UdpSocket::set_multicast_loop_v4: fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::multicast_loop_v4: fn(&UdpSocket) -> io::Result<bool>;
    UdpSocket::set_multicast_ttl_v4: fn(&UdpSocket, u32) -> io::Result<()>;
    UdpSocket::multicast_ttl_v4: fn(&UdpSocket) -> io::Result<u32>;
    UdpSocket::set_multicast_loop_v6: fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::multicast_loop_v6: fn(&UdpSocket) -> io::Result<bool>;
    UdpSocket::set_ttl: fn(&UdpSocket, u32) -> io::Result<()>;
    UdpSocket::ttl: fn(&UdpSocket) -> io::Result<u32>;
    UdpSocket::join_multicast_v4: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()>;
    UdpSocket::join_multicast_v6: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()>;
    UdpSocket::leave_multicast_v4: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()>;
    UdpSocket::leave_multicast_v6: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()>;
    UdpSocket::take_error: fn(&UdpSocket) -> io::Result<Option<io::Error>>;
    UdpSocket::connect::<At>: fn(&UdpSocket, At) -> io::Result<()>;
    UdpSocket::send: fn(&UdpSocket, &[u8]) -> io::Result<usize>;
    UdpSocket::recv: fn(&UdpSocket, &mut [u8]) -> io::Result<usize>;
    UdpSocket::peek: fn(&UdpSocket, &mut [u8]) -> io::Result<usize>;
    UdpSocket::set_nonblocking: fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::from_raw_fd: unsafe fn(RawFd) -> UdpSocket;
}

traits! {
    TcpStream: Read, Write, AsFd, AsRawFd, IntoRawFd, FromRawFd, From<OwnedFd>, Into<OwnedFd>, Debug;
    TcpStream: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    &TcpStream: Read, Write;
    TcpListener: AsFd, AsRawFd, IntoRawFd, FromRawFd, From<OwnedFd>, Into<OwnedFd>, Debug;
    TcpListener: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    UdpSocket: AsFd, AsRawFd, IntoRawFd, FromRawFd, From<OwnedFd>, Into<OwnedFd>, Debug;
    UdpSocket: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    Incoming<'static>: Iterator<Item = io::Result<TcpStream>>, FusedIterator, Debug, Send, Sync, UnwindSafe, RefUnwindSafe;
    str: ToSocketAddrs<Iter = std::vec::IntoIter<SocketAddr>>;
    String: ToSocketAddrs<Iter = std::vec::IntoIter<SocketAddr>>;
    (&str, u16): ToSocketAddrs<Iter = std::vec::IntoIter<SocketAddr>>;
    (String, u16): ToSocketAddrs<Iter = std::vec::IntoIter<SocketAddr>>;
    (IpAddr, u16): ToSocketAddrs<Iter = std::option::IntoIter<SocketAddr>>;
    (Ipv4Addr, u16): ToSocketAddrs<Iter = std::option::IntoIter<SocketAddr>>;
    (Ipv6Addr, u16): ToSocketAddrs<Iter = std::option::IntoIter<SocketAddr>>;
    SocketAddr: ToSocketAddrs<Iter = std::option::IntoIter<SocketAddr>>;
    SocketAddrV4: ToSocketAddrs<Iter = std::option::IntoIter<SocketAddr>>;
    SocketAddrV6: ToSocketAddrs<Iter = std::option::IntoIter<SocketAddr>>;
    &'static [SocketAddr]: ToSocketAddrs<Iter = std::iter::Cloned<std::slice::Iter<'static, SocketAddr>>>;
    &'static str: ToSocketAddrs;
    AddrParseError: std::error::Error;
}

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(FREE).expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (server, from) = listener.accept().expect("a connection");
    assert_eq!(from, client.local_addr().expect("connected"));
    assert_eq!(server.peer_addr().expect("connected"), from);
    (client, server)
}

/// An address at which nobody listens: its port is taken, by `holder`.
fn deaf_address() -> (UdpSocket, SocketAddr) {
    let holder = UdpSocket::bind(FREE).expect("a free port");
    let address = holder.local_addr().expect("bound");
    (holder, address)
}

fn kind<T: Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("fails").kind()
}

#[test]
fn a_conversation() {
    let listener = TcpListener::bind(FREE).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = beside(move || {
        for stream in listener.incoming().take(2) {
            let stream = stream.expect("a connection");
            let mut lines = BufReader::new(&stream);
            let mut line = String::new();
            lines.read_line(&mut line).expect("a line");
            (&stream).write_all(line.to_uppercase().as_bytes()).expect("a reader");
        }
    });
    let told = ["[::1]:1", "127.0.0.1:1"].map(|text| text.parse::<SocketAddr>().expect("an address"));
    let addresses = [&told[..], &[address]].concat();
    for mut stream in [
        TcpStream::connect(&addresses[..]).expect("the last of them listens"),
        TcpStream::connect_timeout(&address, Duration::from_secs(60)).expect("listens"),
    ] {
        writeln!(stream, "hello").expect("a reader");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a writer");
        assert_eq!(text, "HELLO\n");
    }
    server();
}

#[test]
fn streams_move_bytes_in_every_way() {
    let (client, mut server) = pair();
    let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
    assert_eq!((&client).write_vectored(&parts).expect("room"), 7);
    (&client).flush().expect("nothing to do");
    let mut seen = [0; 3];
    assert_eq!(server.peek(&mut seen).expect("bytes"), 3);
    assert_eq!(&seen, b"one");
    let (mut left, mut right) = ([0; 4], [0; 8]);
    let mut parts = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
    assert_eq!(server.read_vectored(&mut parts).expect("bytes"), 7);
    assert_eq!((&left, &right[..3]), (b"one ", &b"two"[..]));
    assert_eq!((&client).write(b"").expect("nothing to write"), 0);
    server.write_all(b"rest").expect("room");
    let clone = server.try_clone().expect("a descriptor");
    drop(server);
    clone.shutdown(Shutdown::Write).expect("connected");
    let mut rest = Vec::new();
    (&client).read_to_end(&mut rest).expect("an end");
    assert_eq!(rest, b"rest");
    assert_eq!((&client).read(&mut [0; 1]).expect("the end again"), 0);
}

#[test]
fn what_was_shut_down_stays_shut() {
    let (client, mut server) = pair();
    client.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(kind((&client).write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(server.read(&mut [0; 8]).expect("the end"), 0);
    client.shutdown(Shutdown::Read).expect("connected");
    assert_eq!((&client).read(&mut [0; 8]).expect("the end"), 0);
    drop(server);
    drop(client);
    let (client, server) = pair();
    server.shutdown(Shutdown::Both).expect("connected");
    assert_eq!((&client).read(&mut [0; 1]).expect("the end"), 0);
    client.shutdown(Shutdown::Both).expect("connected");
    assert_eq!(kind(client.shutdown(Shutdown::Both)), ErrorKind::NotConnected);
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
}

#[test]
fn failures_have_the_same_kinds() {
    let (_holder, deaf) = deaf_address();
    assert_eq!(kind(TcpStream::connect(deaf)), ErrorKind::ConnectionRefused);
    let second = Duration::from_secs(1);
    assert_eq!(
        kind(TcpStream::connect_timeout(&deaf, second)),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(
        kind(TcpStream::connect_timeout(&deaf, Duration::ZERO)),
        ErrorKind::InvalidInput
    );
    let none: &[SocketAddr] = &[];
    assert_eq!(kind(TcpStream::connect(none)), ErrorKind::InvalidInput);
    assert_eq!(kind(TcpListener::bind(none)), ErrorKind::InvalidInput);
    assert_eq!(kind(UdpSocket::bind(none)), ErrorKind::InvalidInput);
    assert_eq!(kind(TcpStream::connect("no port")), ErrorKind::InvalidInput);
    assert_eq!(kind(TcpStream::connect("127.0.0.1:65536")), ErrorKind::InvalidInput);
    let listener = TcpListener::bind(FREE).expect("a free port");
    let taken = listener.local_addr().expect("bound");
    assert_eq!(kind(TcpListener::bind(taken)), ErrorKind::AddrInUse);
    assert_eq!(kind(UdpSocket::bind(deaf)), ErrorKind::AddrInUse);
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    assert_eq!(kind(TcpListener::bind(elsewhere)), ErrorKind::AddrNotAvailable);
    assert_eq!(kind(UdpSocket::bind(elsewhere)), ErrorKind::AddrNotAvailable);
}

#[test]
fn a_reset_is_told_to_readers_and_writers() {
    let (mut client, server) = pair();
    client.write_all(b"unread").expect("room");
    assert_eq!(server.peek(&mut [0; 16]).expect("bytes"), 6);
    // What is dropped with bytes unread resets the connection.
    drop(server);
    assert_eq!(kind(client.read(&mut [0; 16])), ErrorKind::ConnectionReset);
    assert_eq!(kind(client.write_all(b"more")), ErrorKind::BrokenPipe);
}

#[test]
fn time_is_limited_where_it_is_said() {
    let (mut client, _server) = pair();
    assert_eq!(client.read_timeout().expect("open"), None);
    assert_eq!(client.write_timeout().expect("open"), None);
    assert_eq!(
        kind(client.set_read_timeout(Some(Duration::ZERO))),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(client.set_write_timeout(Some(Duration::ZERO))),
        ErrorKind::InvalidInput
    );
    let short = Duration::from_millis(20);
    client.set_read_timeout(Some(short)).expect("open");
    assert_eq!(client.read_timeout().expect("open"), Some(short));
    let begun = Instant::now();
    assert_eq!(kind(client.read(&mut [0; 1])), ErrorKind::WouldBlock);
    assert_eq!(kind(client.peek(&mut [0; 1])), ErrorKind::WouldBlock);
    assert!(begun.elapsed() >= short);
    client.set_write_timeout(Some(short)).expect("open");
    assert_eq!(client.write_timeout().expect("open"), Some(short));
    let chunk = vec![0; 1 << 20];
    let error = loop {
        match client.write(&chunk) {
            Ok(count) => assert!(count > 0),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    client.set_read_timeout(None).expect("open");
    assert_eq!(client.read_timeout().expect("open"), None);

    let (socket, _) = deaf_address();
    assert_eq!(
        kind(socket.set_read_timeout(Some(Duration::ZERO))),
        ErrorKind::InvalidInput
    );
    socket.set_read_timeout(Some(short)).expect("open");
    socket.set_write_timeout(Some(short)).expect("open");
    assert_eq!(socket.read_timeout().expect("open"), Some(short));
    assert_eq!(socket.write_timeout().expect("open"), Some(short));
    assert_eq!(kind(socket.recv_from(&mut [0; 1])), ErrorKind::WouldBlock);
    assert_eq!(kind(socket.peek_from(&mut [0; 1])), ErrorKind::WouldBlock);
}

#[test]
fn a_read_into_no_room_waits_for_something() {
    let (mut client, mut server) = pair();
    let short = Duration::from_millis(20);
    client.set_read_timeout(Some(short)).expect("open");
    let begun = Instant::now();
    assert_eq!(client.read(&mut []).expect("in vain"), 0);
    assert_eq!(client.peek(&mut []).expect("in vain"), 0);
    assert!(begun.elapsed() >= short * 2);
    client.set_nonblocking(true).expect("open");
    assert_eq!(kind(client.read(&mut [])), ErrorKind::WouldBlock);
    assert_eq!(kind(client.peek(&mut [])), ErrorKind::WouldBlock);
    client.set_nonblocking(false).expect("open");
    assert_eq!(client.read_vectored(&mut []).expect("does not wait"), 0);
    client.set_read_timeout(None).expect("open");
    server.write_all(b"x").expect("writes");
    assert_eq!(client.read(&mut []).expect("there is something"), 0);
    assert_eq!(client.read(&mut [0; 2]).expect("it is there still"), 1);
    drop(server);
    assert_eq!(client.read(&mut []).expect("the end"), 0);
}

#[test]
fn nothing_waits_where_it_must_not() {
    let listener = TcpListener::bind(FREE).expect("a free port");
    listener.set_nonblocking(true).expect("open");
    assert_eq!(kind(listener.accept().map(drop)), ErrorKind::WouldBlock);
    let first = listener.incoming().next().expect("never ends");
    assert_eq!(kind(first.map(drop)), ErrorKind::WouldBlock);
    let clone = listener.try_clone().expect("a descriptor");
    assert_eq!(kind(clone.accept().map(drop)), ErrorKind::WouldBlock);

    let (client, _server) = pair();
    client.set_nonblocking(true).expect("open");
    assert_eq!(kind((&client).read(&mut [0; 1])), ErrorKind::WouldBlock);
    let (socket, _) = deaf_address();
    socket.set_nonblocking(true).expect("open");
    assert_eq!(kind(socket.recv_from(&mut [0; 1])), ErrorKind::WouldBlock);
    assert_eq!(kind(socket.recv(&mut [0; 1])), ErrorKind::WouldBlock);
    socket.set_nonblocking(false).expect("open");
}

#[test]
fn options_are_kept() {
    let (client, _server) = pair();
    for on in [true, false] {
        client.set_nodelay(on).expect("open");
        assert_eq!(client.nodelay().expect("open"), on);
    }
    client.set_ttl(77).expect("open");
    assert_eq!(client.ttl().expect("open"), 77);
    assert!(client.take_error().expect("open").is_none());
    let listener = TcpListener::bind(FREE).expect("a free port");
    listener.set_ttl(78).expect("open");
    assert_eq!(listener.ttl().expect("open"), 78);
    assert!(listener.take_error().expect("open").is_none());

    let (socket, _) = deaf_address();
    for on in [true, false] {
        socket.set_broadcast(on).expect("open");
        assert_eq!(socket.broadcast().expect("open"), on);
        socket.set_multicast_loop_v4(on).expect("open");
        assert_eq!(socket.multicast_loop_v4().expect("open"), on);
    }
    socket.set_ttl(79).expect("open");
    assert_eq!(socket.ttl().expect("open"), 79);
    socket.set_multicast_ttl_v4(5).expect("open");
    assert_eq!(socket.multicast_ttl_v4().expect("open"), 5);
    let group = Ipv4Addr::new(224, 0, 0, 254);
    socket
        .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
        .expect("an interface");
    assert_eq!(
        kind(socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)),
        ErrorKind::AddrInUse
    );
    socket
        .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
        .expect("a member");
    assert_eq!(
        kind(socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)),
        ErrorKind::AddrNotAvailable
    );
}

#[test]
fn options_of_version_six_are_kept() {
    let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else {
        return; // a machine without it
    };
    for on in [true, false] {
        socket.set_multicast_loop_v6(on).expect("open");
        assert_eq!(socket.multicast_loop_v6().expect("open"), on);
    }
    assert!(socket.join_multicast_v6(&Ipv6Addr::LOCALHOST, 1).is_err(), "no group");
    assert!(socket.leave_multicast_v6(&Ipv6Addr::LOCALHOST, 1).is_err(), "no group");
}

#[test]
#[expect(deprecated, reason = "still there")]
fn version_six_alone_is_told() {
    let listener = TcpListener::bind(FREE).expect("a free port");
    assert!(listener.only_v6().is_err(), "it is of version 4");
    assert!(listener.set_only_v6(true).is_err());
    if let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        let set = listener.only_v6().expect("open");
        assert_eq!(kind(listener.set_only_v6(!set)), ErrorKind::InvalidInput);
    }
}

#[test]
fn datagrams_come_and_go() {
    let (one, first) = deaf_address();
    let (two, second) = deaf_address();
    assert_eq!(kind(one.peer_addr()), ErrorKind::NotConnected);
    // "Destination address required".
    assert_eq!(one.send(b"x").expect_err("to whom?").raw_os_error(), Some(89));
    assert_eq!(one.send_to(b"hello", second).expect("room"), 5);
    let mut buffer = [0; 3];
    assert_eq!(two.peek_from(&mut buffer).expect("a datagram"), (3, first));
    assert_eq!(two.recv_from(&mut buffer).expect("a datagram"), (3, first));
    assert_eq!(&buffer, b"hel");
    two.connect(first).expect("a peer");
    assert_eq!(two.peer_addr().expect("connected"), first);
    assert_eq!(two.send(b"").expect("room"), 0);
    one.connect(second).expect("a peer");
    assert_eq!(one.peek(&mut buffer).expect("a datagram"), 0);
    assert_eq!(one.recv(&mut buffer).expect("a datagram"), 0);
    let clone = two.try_clone().expect("a descriptor");
    let waiting = beside(move || clone.recv(&mut [0; 8]).expect("a datagram"));
    one.send(b"last").expect("room");
    assert_eq!(waiting(), 4);
    assert_eq!(
        one.send_to(&[0; 65_536], second).expect_err("too long").raw_os_error(),
        Some(90)
    );
    let none: &[SocketAddr] = &[];
    assert_eq!(kind(one.send_to(b"x", none)), ErrorKind::InvalidInput);
}

#[test]
fn a_refusal_is_an_error_of_the_socket() {
    let (socket, _) = deaf_address();
    let gone = deaf_address().1;
    socket.connect(gone).expect("a peer");
    socket.send(b"anybody?").expect("room");
    assert_eq!(kind(socket.recv(&mut [0; 8])), ErrorKind::ConnectionRefused);
    socket.send(b"anybody?").expect("room");
    let error = socket.take_error().expect("open").expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(socket.take_error().expect("open").is_none(), "told once");
}

#[test]
fn descriptors_are_given_and_taken() {
    let (client, mut server) = pair();
    let number = client.as_raw_fd();
    assert_eq!(client.as_fd().as_raw_fd(), number);
    let fd = OwnedFd::from(client);
    assert_eq!(fd.as_raw_fd(), number);
    let mut again = TcpStream::from(fd);
    again.write_all(b"still here").expect("connected");
    drop(again);
    let mut text = String::new();
    server.read_to_string(&mut text).expect("an end");
    assert_eq!(text, "still here");

    let listener = TcpListener::bind(FREE).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let listener = TcpListener::from(OwnedFd::from(listener));
    assert_eq!(listener.local_addr().expect("bound"), address);
    let (socket, address) = deaf_address();
    let socket = UdpSocket::from(OwnedFd::from(socket));
    assert_eq!(socket.local_addr().expect("bound"), address);
}

#[test]
fn debugging_shows_addresses_and_descriptors() {
    let (client, _server) = pair();
    let (own, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let fd = client.as_raw_fd();
    assert_eq!(
        format!("{client:?}"),
        format!("TcpStream {{ addr: {own}, peer: {peer}, fd: {fd} }}")
    );
    let listener = TcpListener::bind(FREE).expect("a free port");
    let (own, fd) = (listener.local_addr().unwrap(), listener.as_raw_fd());
    assert_eq!(
        format!("{listener:?}"),
        format!("TcpListener {{ addr: {own}, fd: {fd} }}")
    );
    let (socket, own) = deaf_address();
    let fd = socket.as_raw_fd();
    assert_eq!(format!("{socket:?}"), format!("UdpSocket {{ addr: {own}, fd: {fd} }}"));
}

#[test]
fn names_are_addresses_too() {
    let found: Vec<SocketAddr> = "localhost:80".to_socket_addrs().expect("this machine").collect();
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|address| address.ip().is_loopback() && address.port() == 80)
    );
    let found: Vec<SocketAddr> = ("127.0.0.1", 1).to_socket_addrs().expect("an address").collect();
    assert_eq!(found, [SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1))]);
    assert!(
        "1.2.3.4.5"
            .parse::<Ipv4Addr>()
            .map_err(|error: AddrParseError| error)
            .is_err()
    );
}
