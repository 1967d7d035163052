//! Sockets of the machine between greenlets of one hub, of two hubs, and threads without a hub.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use iora::net::{UnixDatagram, UnixListener, UnixStream};

#[path = "common/waiting.rs"]
mod waiting;
use waiting::until_parked;

/// A directory of a test's own for its sockets, gone when the test is over.
struct Directory(PathBuf);

impl Directory {
    /// A new one.
    fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("iora-sockets-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory of our own");
        Directory(path)
    }

    /// Where it is.
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sends back what comes until the stream ends.
fn echo(mut stream: UnixStream) {
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer).expect("reads") {
            0 => return,
            length => stream.write_all(&buffer[..length]).expect("writes"),
        }
    }
}

/// Sends `rounds` messages and expects each back.
fn ask(mut stream: UnixStream, rounds: u32) {
    for round in 0..rounds {
        stream.write_all(&round.to_be_bytes()).expect("writes");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("reads");
        assert_eq!(answer, round.to_be_bytes());
    }
}

#[test]
fn echo_by_path_between_greenlets() {
    let directory = Directory::new();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("binds");
    assert_eq!(listener.local_addr().expect("bound").as_pathname(), Some(&*path));
    let server = iora::spawn(move || {
        let greenlets: Vec<_> = listener
            .incoming()
            .take(10)
            .map(|stream| {
                let stream = stream.expect("accepts");
                iora::spawn(move || echo(stream))
            })
            .collect();
        for greenlet in greenlets {
            greenlet.get().expect("did not panic");
        }
    });
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let path = path.clone();
            iora::spawn(move || ask(UnixStream::connect(path).expect("connects"), 20))
        })
        .collect();
    for client in clients {
        client.get().expect("did not panic");
    }
    server.get().expect("did not panic");
}

#[test]
fn echo_between_two_hubs_and_a_thread_without_one() {
    let (one, two) = UnixStream::pair().expect("a pair");
    let server = thread::spawn(move || iora::spawn(move || echo(two)).get().expect("did not panic"));
    let client = iora::spawn(move || ask(one, 100));
    client.get().expect("did not panic");
    server.join().expect("did not panic");
    let (one, two) = UnixStream::pair().expect("a pair");
    let server = thread::spawn(move || echo(two));
    iora::spawn(move || ask(one, 100)).get().expect("did not panic");
    server.join().expect("did not panic");
}

#[test]
fn abstract_names_are_addresses() {
    let name = format!("iora test {}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("binds");
    let stream = UnixStream::connect_addr(&address).expect("connects");
    let (_accepted, from) = listener.accept().expect("accepts");
    assert!(from.is_unnamed());
    let peer = stream.peer_addr().expect("connected");
    assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
}

#[test]
fn connecting_waits_while_the_backlog_is_full() {
    let directory = Directory::new();
    let path = directory.path().join("socket");
    let full = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&socket2::SockAddr::unix(&path).expect("fits"))
        .expect("binds");
    full.listen(0).expect("listens");
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(full));
    let first = UnixStream::connect(&path).expect("there is room for one");
    let second = {
        let path = path.clone();
        iora::spawn(move || UnixStream::connect(path).expect("connects at last"))
    };
    until_parked(&second, "sleep");
    drop(listener.accept().expect("accepts"));
    let second = second.get().expect("did not panic");
    drop(listener.accept().expect("accepts"));
    // Nobody accepts any more.
    let third = UnixStream::connect(&path).expect("there is room for one");
    let fourth = {
        let path = path.clone();
        iora::timeout(Duration::from_millis(10), move || UnixStream::connect(path))
    };
    assert!(fourth.is_err());
    drop((first, second, third));
}

#[test]
fn huge_writes_wait_for_the_reader() {
    const SIZE: usize = 4 << 20;
    let (mut one, mut two) = UnixStream::pair().expect("a pair");
    let writer = iora::spawn(move || one.write_all(&vec![3; SIZE]).expect("writes"));
    until_parked(&writer, "send");
    let mut received = Vec::new();
    two.read_to_end(&mut received).expect("reads");
    assert_eq!(received.len(), SIZE);
    assert!(received.iter().all(|byte| *byte == 3));
    writer.get().expect("did not panic");
}

#[test]
fn datagrams_wait_for_room() {
    let (one, two) = UnixDatagram::pair().expect("a pair");
    let sender = iora::spawn(move || {
        for number in 0..1000_u32 {
            one.send(&number.to_be_bytes()).expect("sends");
        }
    });
    until_parked(&sender, "send");
    let mut buffer = [0; 8];
    for number in 0..1000_u32 {
        assert_eq!(two.recv(&mut buffer).expect("receives"), 4);
        assert_eq!(buffer[..4], number.to_be_bytes());
    }
    sender.get().expect("did not panic");
}

#[test]
fn datagrams_to_a_connected_receiver_wait_for_room_in_its_queue() {
    let directory = Directory::new();
    let path = directory.path().join("receiver");
    let receiver = UnixDatagram::bind(&path).expect("binds");
    let connected = UnixDatagram::unbound().expect("a socket");
    connected.connect(&path).expect("connects");
    let sender = iora::spawn(move || {
        for number in 0..1000_u32 {
            connected.send(&number.to_be_bytes()).expect("sends");
        }
    });
    until_parked(&sender, "send");
    let mut buffer = [0; 8];
    for number in 0..1000_u32 {
        assert_eq!(receiver.recv(&mut buffer).expect("receives"), 4);
        assert_eq!(buffer[..4], number.to_be_bytes());
    }
    sender.get().expect("did not panic");
}

#[test]
fn datagrams_to_a_path_wait_for_room_in_its_queue() {
    let directory = Directory::new();
    let path = directory.path().join("receiver");
    let from = directory.path().join("sender");
    let receiver = UnixDatagram::bind(&path).expect("binds");
    let unconnected = UnixDatagram::bind(&from).expect("binds");
    let sender = iora::spawn(move || {
        for number in 0..300_u32 {
            unconnected.send_to(&number.to_be_bytes(), &path).expect("sends");
        }
    });
    until_parked(&sender, "sleep");
    let mut buffer = [0; 8];
    for number in 0..300_u32 {
        let (length, sender) = receiver.recv_from(&mut buffer).expect("receives");
        assert_eq!((length, sender.as_pathname()), (4, Some(&*from)));
        assert_eq!(buffer[..4], number.to_be_bytes());
    }
    sender.get().expect("did not panic");
}

#[test]
fn receiving_ends_when_it_is_shut_down_also_without_a_hub() {
    let receive = |(socket, _other): (UnixDatagram, UnixDatagram)| {
        socket.shutdown(Shutdown::Read).expect("connected");
        let mut room = [0; 8];
        (
            socket.recv(&mut room).expect("an end"),
            socket.recv_from(&mut room).expect("an end").0,
        )
    };
    let pair = || UnixDatagram::pair().expect("descriptors");
    let (one, two) = (pair(), pair());
    assert_eq!(
        thread::spawn(move || receive(one)).join().expect("did not panic"),
        (0, 0)
    );
    assert_eq!(iora::spawn(move || receive(two)).get().expect("did not panic"), (0, 0));
    let (socket, other) = pair();
    other.send(b"before").expect("room");
    socket.shutdown(Shutdown::Read).expect("connected");
    assert_eq!(socket.recv(&mut [0; 8]).expect("what came before"), 6);
    assert_eq!(socket.recv(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn modes_timeouts_and_ends_are_as_stds() {
    let (one, two) = UnixStream::pair().expect("a pair");
    one.set_read_timeout(Some(Duration::from_millis(5))).expect("sets");
    assert_eq!(
        (&one).read(&mut [0]).expect_err("nothing").kind(),
        io::ErrorKind::WouldBlock
    );
    one.set_read_timeout(None).expect("sets");
    one.set_nonblocking(true).expect("sets");
    assert_eq!(
        (&one).read(&mut [0]).expect_err("nothing").kind(),
        io::ErrorKind::WouldBlock
    );
    one.set_nonblocking(false).expect("sets");
    two.shutdown(Shutdown::Write).expect("connected");
    assert_eq!((&one).read(&mut [0]).expect("reads"), 0);
    assert_eq!((&one).read(&mut [0]).expect("reads"), 0);
    let text = format!("{one:?}");
    assert!(text.ends_with("local: (unnamed), peer: (unnamed) }"), "{text}");
}

#[test]
fn descriptors_sent_along_do_not_hide_what_comes_after() {
    // A read stops behind the message that had descriptors with it, and there is more.
    let (one, two) = UnixStream::pair().expect("a pair");
    let reader = iora::spawn(move || {
        let mut text = Vec::new();
        (&two).read_to_end(&mut text).expect("reads");
        text
    });
    until_parked(&reader, "recv");
    (&one).write_all(b"before ").expect("writes");
    let (sent, _) = std::os::unix::net::UnixStream::pair().expect("a pair");
    send_with_descriptor(&one, b"with ", &sent);
    (&one).write_all(b"after").expect("writes");
    one.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(reader.get().expect("did not panic"), b"before with after");
}

/// Sends `bytes` and, along with them, a descriptor.
fn send_with_descriptor(stream: &UnixStream, bytes: &[u8], sent: &std::os::unix::net::UnixStream) {
    use std::os::fd::AsRawFd;
    // A control message: its length, SOL_SOCKET, SCM_RIGHTS, the descriptor, padding.
    let mut control = Vec::new();
    control.extend_from_slice(&20_usize.to_ne_bytes());
    control.extend_from_slice(&1_i32.to_ne_bytes());
    control.extend_from_slice(&1_i32.to_ne_bytes());
    control.extend_from_slice(&sent.as_raw_fd().to_ne_bytes());
    control.extend_from_slice(&[0; 4]);
    let slices = [io::IoSlice::new(bytes)];
    let message = socket2::MsgHdr::new().with_buffers(&slices).with_control(&control);
    let count = socket2::SockRef::from(stream).sendmsg(&message, 0).expect("sends");
    assert_eq!(count, bytes.len());
}

#[test]
fn sockets_may_go_to_other_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<UnixStream>();
    check::<UnixListener>();
    check::<UnixDatagram>();
}
