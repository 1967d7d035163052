//! Sockets of the machine.

use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;
use std::time::Duration;

use super::beside;
use super::unix::{Incoming, SocketAddr, UnixDatagram, UnixListener, UnixStream};
use crate::{Folder, methods, traits};

/// How long something waits.
type Timeout = Option<Duration>;

methods! {
    UnixStream::connect::<PathBuf>: fn(PathBuf) -> io::Result<UnixStream>;
    UnixStream::connect_addr: fn(&SocketAddr) -> io::Result<UnixStream>;
    UnixStream::pair: fn() -> io::Result<(UnixStream, UnixStream)>;
    UnixStream::try_clone: fn(&UnixStream) -> io::Result<UnixStream>;
    UnixStream::local_addr: fn(&UnixStream) -> io::Result<SocketAddr>;
    UnixStream::peer_addr: fn(&UnixStream) -> io::Result<SocketAddr>;
    UnixStream::set_read_timeout: fn(&UnixStream, Timeout) -> io::Result<()>;
    UnixStream::set_write_timeout: fn(&UnixStream, Timeout) -> io::Result<()>;
    UnixStream::read_timeout: fn(&UnixStream) -> io::Result<Timeout>;
    UnixStream::write_timeout: fn(&UnixStream) -> io::Result<Timeout>;
    UnixStream::set_nonblocking: fn(&UnixStream, bool) -> io::Result<()>;
    UnixStream::take_error: fn(&UnixStream) -> io::Result<Option<io::Error>>;
    UnixStream::shutdown: fn(&UnixStream, Shutdown) -> io::Result<()>;
    UnixStream::from_raw_fd: unsafe fn(RawFd) -> UnixStream;

    UnixListener::bind::<PathBuf>: fn(PathBuf) -> io::Result<UnixListener>;
    UnixListener::bind_addr: fn(&SocketAddr) -> io::Result<UnixListener>;
    UnixListener::accept: fn(&UnixListener) -> io::Result<(UnixStream, SocketAddr)>;
    UnixListener::try_clone: fn(&UnixListener) -> io::Result<UnixListener>;
    UnixListener::local_addr: fn(&UnixListener) -> io::Result<SocketAddr>;
    UnixListener::set_nonblocking: fn(&UnixListener, bool) -> io::Result<()>;
    UnixListener::take_error: fn(&UnixListener) -> io::Result<Option<io::Error>>;
    UnixListener::incoming: for<'a> fn(&'a UnixListener) -> Incoming<'a>;
    UnixListener::from_raw_fd: unsafe fn(RawFd) -> UnixListener;

    UnixDatagram::bind::<PathBuf>: fn(PathBuf) -> io::Result<UnixDatagram>;
    UnixDatagram::bind_addr: fn(&SocketAddr) -> io::Result<UnixDatagram>;
    UnixDatagram::unbound: fn() -> io::Result<UnixDatagram>;
    UnixDatagram::pair: fn() -> io::Result<(UnixDatagram, UnixDatagram)>;
    UnixDatagram::connect::<PathBuf>: fn(&UnixDatagram, PathBuf) -> io::Result<()>;
    UnixDatagram::connect_addr: fn(&UnixDatagram, &SocketAddr) -> io::Result<()>;
    UnixDatagram::try_clone: fn(&UnixDatagram) -> io::Result<UnixDatagram>;
    UnixDatagram::local_addr: fn(&UnixDatagram) -> io::Result<SocketAddr>;
    UnixDatagram::peer_addr: fn(&UnixDatagram) -> io::Result<SocketAddr>;
    UnixDatagram::recv_from: fn(&UnixDatagram, &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    UnixDatagram::recv: fn(&UnixDatagram, &mut [u8]) -> io::Result<usize>;
    UnixDatagram::send_to::<PathBuf>: fn(&UnixDatagram, &[u8], PathBuf) -> io::Result<usize>;
    UnixDatagram::send_to_addr: fn(&UnixDatagram, &[u8], &SocketAddr) -> io::Result<usize>;
    UnixDatagram::send: fn(&UnixDatagram, &[u8]) -> io::Result<usize>;
    UnixDatagram::set_read_timeout: fn(&UnixDatagram, Timeout) -> io::Result<()>;
    UnixDatagram::set_write_timeout: fn(&UnixDatagram, Timeout) -> io::Result<()>;
    UnixDatagram::read_timeout: fn(&UnixDatagram) -> io::Result<Timeout>;
    UnixDatagram::write_timeout: fn(&UnixDatagram) -> io::Result<Timeout>;
    UnixDatagram::set_nonblocking: fn(&UnixDatagram, bool) -> io::Result<()>;
    UnixDatagram::take_error: fn(&UnixDatagram) -> io::Result<Option<io::Error>>;
    UnixDatagram::shutdown: fn(&UnixDatagram, Shutdown) -> io::Result<()>;
    UnixDatagram::from_raw_fd: unsafe fn(RawFd) -> UnixDatagram;
}

traits! {
    UnixStream: Read, Write, AsFd, AsRawFd, IntoRawFd, FromRawFd, From<OwnedFd>, Into<OwnedFd>, Debug;
    UnixStream: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    &UnixStream: Read, Write;
    UnixListener: AsFd, AsRawFd, IntoRawFd, FromRawFd, From<OwnedFd>, Into<OwnedFd>, Debug;
    UnixListener: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    &'static UnixListener: IntoIterator<Item = io::Result<UnixStream>, IntoIter = Incoming<'static>>;
    UnixDatagram: AsFd, AsRawFd, IntoRawFd, FromRawFd, From<OwnedFd>, Into<OwnedFd>, Debug;
    UnixDatagram: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
    Incoming<'static>: Iterator<Item = io::Result<UnixStream>>, Debug, Send, Sync, UnwindSafe, RefUnwindSafe;
}

fn kind<T: Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("fails").kind()
}

#[test]
fn a_conversation_by_path_and_by_name() {
    let folder = Folder::new();
    let path = folder.file("listener");
    let by_path = UnixListener::bind(&path).expect("a new path");
    let name = SocketAddr::from_abstract_name(format!("iora {}", path.display())).expect("a name");
    let by_name = UnixListener::bind_addr(&name).expect("a new name");
    assert_eq!(
        by_name.local_addr().expect("bound").as_abstract_name(),
        name.as_abstract_name()
    );
    for (listener, address) in [
        (by_path, SocketAddr::from_pathname(&path).expect("a path")),
        (by_name, name),
    ] {
        let server = beside(move || {
            for stream in (&listener).into_iter().take(1) {
                let mut stream = stream.expect("a connection");
                let mut text = String::new();
                stream.read_to_string(&mut text).expect("an end");
                stream.write_all(text.to_uppercase().as_bytes()).expect("a reader");
            }
        });
        let mut stream = match address.as_pathname() {
            Some(path) => UnixStream::connect(path).expect("listens"),
            None => UnixStream::connect_addr(&address).expect("listens"),
        };
        assert_eq!(
            stream.peer_addr().expect("connected").as_pathname(),
            address.as_pathname()
        );
        assert!(stream.local_addr().expect("connected").is_unnamed());
        stream.write_all(b"hello").expect("a reader");
        stream.shutdown(Shutdown::Write).expect("connected");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a writer");
        assert_eq!(text, "HELLO");
        server();
    }
}

#[test]
fn pairs_move_bytes_in_every_way() {
    let (mut one, two) = UnixStream::pair().expect("descriptors");
    let parts = [IoSlice::new(b"one "), IoSlice::new(b"two")];
    assert_eq!(one.write_vectored(&parts).expect("room"), 7);
    let (mut left, mut right) = ([0; 4], [0; 8]);
    let mut parts = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
    assert_eq!((&two).read_vectored(&mut parts).expect("bytes"), 7);
    assert_eq!((&left, &right[..3]), (b"one ", &b"two"[..]));
    let clone = two.try_clone().expect("a descriptor");
    let waiting = beside(move || (&clone).read(&mut [0; 8]).expect("bytes"));
    (&one).write_all(b"more").expect("room");
    assert_eq!(waiting(), 4);
    assert!(one.take_error().expect("open").is_none());
    drop(two);
    assert_eq!(one.read(&mut [0; 8]).expect("the end"), 0);
    assert_eq!(kind(one.write(b"x")), ErrorKind::BrokenPipe);
}

#[test]
fn failures_have_the_same_kinds() {
    let folder = Folder::new();
    let path = folder.file("socket");
    assert_eq!(kind(UnixStream::connect(&path)), ErrorKind::NotFound);
    let listener = UnixListener::bind(&path).expect("a new path");
    assert_eq!(kind(UnixListener::bind(&path)), ErrorKind::AddrInUse);
    assert_eq!(kind(UnixDatagram::bind(&path)), ErrorKind::AddrInUse);
    drop(listener);
    assert_eq!(kind(UnixStream::connect(&path)), ErrorKind::ConnectionRefused);
    for bad in [PathBuf::from("with\0inside"), folder.file(&"x".repeat(200))] {
        assert_eq!(kind(UnixStream::connect(&bad)), ErrorKind::InvalidInput);
        assert_eq!(kind(UnixListener::bind(&bad)), ErrorKind::InvalidInput);
        assert_eq!(kind(UnixDatagram::bind(&bad)), ErrorKind::InvalidInput);
    }
    let datagram = UnixDatagram::unbound().expect("a descriptor");
    assert_eq!(kind(datagram.send(b"x")), ErrorKind::NotConnected);
    assert_eq!(kind(datagram.peer_addr()), ErrorKind::NotConnected);
    assert_eq!(kind(datagram.connect(folder.file("nobody"))), ErrorKind::NotFound);
    assert_eq!(kind(datagram.send_to(b"x", folder.file("nobody"))), ErrorKind::NotFound);
}

#[test]
fn time_is_limited_and_nothing_waits_where_it_must_not() {
    let (mut one, _two) = UnixStream::pair().expect("descriptors");
    let short = Duration::from_millis(20);
    assert_eq!(one.read_timeout().expect("open"), None);
    assert_eq!(
        kind(one.set_read_timeout(Some(Duration::ZERO))),
        ErrorKind::InvalidInput
    );
    one.set_read_timeout(Some(short)).expect("open");
    one.set_write_timeout(Some(short)).expect("open");
    assert_eq!(one.read_timeout().expect("open"), Some(short));
    assert_eq!(one.write_timeout().expect("open"), Some(short));
    assert_eq!(kind(one.read(&mut [0; 1])), ErrorKind::WouldBlock);
    assert_eq!(kind(one.read(&mut [])), ErrorKind::WouldBlock);
    one.set_read_timeout(None).expect("open");
    one.set_nonblocking(true).expect("open");
    assert_eq!(kind(one.read(&mut [0; 1])), ErrorKind::WouldBlock);
    assert_eq!(kind(one.read(&mut [])), ErrorKind::WouldBlock);

    let (left, _right) = UnixDatagram::pair().expect("descriptors");
    left.set_read_timeout(Some(short)).expect("open");
    left.set_write_timeout(Some(short)).expect("open");
    assert_eq!(left.read_timeout().expect("open"), Some(short));
    assert_eq!(left.write_timeout().expect("open"), Some(short));
    assert_eq!(kind(left.recv(&mut [0; 1])), ErrorKind::WouldBlock);
    assert_eq!(kind(left.recv_from(&mut [0; 1])), ErrorKind::WouldBlock);
    let error = loop {
        if let Err(error) = left.send(b"until there is no room") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    left.set_read_timeout(None).expect("open");
    left.set_nonblocking(true).expect("open");
    assert_eq!(kind(left.recv(&mut [0; 1])), ErrorKind::WouldBlock);

    let folder = Folder::new();
    let listener = UnixListener::bind(folder.file("listener")).expect("a new path");
    listener.set_nonblocking(true).expect("open");
    let clone = listener.try_clone().expect("a descriptor");
    assert_eq!(kind(clone.accept().map(drop)), ErrorKind::WouldBlock);
    let first = listener.incoming().next().expect("never ends");
    assert_eq!(kind(first.map(drop)), ErrorKind::WouldBlock);
    assert!(listener.take_error().expect("open").is_none());
}

#[test]
fn datagrams_come_and_go() {
    let folder = Folder::new();
    let (first, second) = (folder.file("one"), folder.file("two"));
    let one = UnixDatagram::bind(&first).expect("a new path");
    let address = SocketAddr::from_pathname(&second).expect("a path");
    let two = UnixDatagram::bind_addr(&address).expect("a new path");
    assert_eq!(one.send_to(b"hello", &second).expect("room"), 5);
    assert_eq!(one.send_to_addr(b"again", &address).expect("room"), 5);
    let mut buffer = [0; 3];
    let (length, from) = two.recv_from(&mut buffer).expect("a datagram");
    assert_eq!((length, from.as_pathname()), (3, Some(&*first)));
    assert_eq!(two.recv(&mut [0; 8]).expect("a datagram"), 5);
    one.connect_addr(&address).expect("a peer");
    assert_eq!(one.peer_addr().expect("connected").as_pathname(), Some(&*second));
    two.connect(&first).expect("a peer");
    let clone = two.try_clone().expect("a descriptor");
    let waiting = beside(move || clone.recv(&mut [0; 8]).expect("a datagram"));
    assert_eq!(one.send(b"last").expect("room"), 4);
    assert_eq!(waiting(), 4);
    let (left, right) = UnixDatagram::pair().expect("descriptors");
    left.send(b"").expect("room");
    let (length, from) = right.recv_from(&mut [0; 8]).expect("a datagram");
    assert!(length == 0 && from.is_unnamed());
    let clone = left.try_clone().expect("a descriptor");
    let waiting = beside(move || clone.recv(&mut [0; 8]).expect("the end"));
    left.shutdown(Shutdown::Both).expect("connected");
    assert_eq!(waiting(), 0);
    let (length, from) = left.recv_from(&mut [0; 8]).expect("the end");
    assert!(length == 0 && from.is_unnamed());
    left.set_nonblocking(true).expect("open");
    assert_eq!(kind(left.recv(&mut [0; 8])), ErrorKind::WouldBlock);
    left.set_nonblocking(false).expect("open");
    assert_eq!(kind(left.send(b"x")), ErrorKind::BrokenPipe);
    assert!(left.take_error().expect("open").is_none());
}

#[test]
fn descriptors_are_given_and_taken() {
    let (one, mut two) = UnixStream::pair().expect("descriptors");
    let number = one.as_raw_fd();
    assert_eq!(one.as_fd().as_raw_fd(), number);
    let mut again = UnixStream::from(OwnedFd::from(one));
    assert_eq!(again.as_raw_fd(), number);
    again.write_all(b"still here").expect("connected");
    drop(again);
    let mut text = String::new();
    two.read_to_string(&mut text).expect("an end");
    assert_eq!(text, "still here");
    let (left, right) = UnixDatagram::pair().expect("descriptors");
    UnixDatagram::from(OwnedFd::from(left)).send(b"one").expect("room");
    assert_eq!(right.recv(&mut [0; 8]).expect("a datagram"), 3);
    let folder = Folder::new();
    let path = folder.file("listener");
    let listener = UnixListener::from(OwnedFd::from(UnixListener::bind(&path).expect("a new path")));
    assert_eq!(listener.local_addr().expect("bound").as_pathname(), Some(&*path));
}

#[test]
fn debugging_shows_addresses() {
    let folder = Folder::new();
    let path = folder.file("socket");
    let listener = UnixListener::bind(&path).expect("a new path");
    let client = UnixStream::connect(&path).expect("listens");
    let datagram = UnixDatagram::unbound().expect("a descriptor");
    let shown = format!("{path:?} (pathname)");
    for (text, name, addresses) in [
        (
            format!("{listener:?}"),
            "UnixListener { fd: ",
            format!(", local: {shown} }}"),
        ),
        (
            format!("{client:?}"),
            "UnixStream { fd: ",
            format!(", local: (unnamed), peer: {shown} }}"),
        ),
        (
            format!("{datagram:?}"),
            "UnixDatagram { fd: ",
            ", local: (unnamed) }".into(),
        ),
    ] {
        assert!(text.starts_with(name) && text.ends_with(&addresses), "{text}");
    }
}
