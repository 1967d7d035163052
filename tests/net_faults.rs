//! Sockets that are closed, reset, killed, interrupted or starved of descriptors under whoever waits for them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iora::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use socket2::SockRef;

#[path = "common/waiting.rs"]
mod waiting;
use waiting::until_parked;

/// What a closed descriptor is told.
const EBADF: Option<i32> = Some(9);

/// A listener on a free port, and its address.
fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen();
    let client = TcpStream::connect(address).expect("connects");
    (client, listener.accept().expect("accepts").0)
}

/// Ends the connection so that the peer is told of an error.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("sets");
    drop(stream);
}

/// Something that waits for ever on a shared socket, by its word, and how to close the socket.
type Waiter = (&'static str, fn(&Arc<Sockets>) -> io::Error, fn(&Sockets));

/// One of each kind of socket, each in a state in which the matching [`Waiter`] waits.
struct Sockets {
    /// Nothing comes.
    quiet: TcpStream,
    /// Has no room for more.
    full: TcpStream,
    /// Nobody connects.
    listener: TcpListener,
    /// Nobody sends.
    datagrams: UdpSocket,
    /// Nothing comes.
    unix: UnixStream,
    /// Nobody connects.
    unix_listener: UnixListener,
    /// The other ends.
    _peers: (TcpStream, TcpStream, UnixStream),
}

impl Sockets {
    /// New ones.
    fn new() -> Arc<Sockets> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (quiet, one) = pair();
        let (full, two) = pair();
        let (unix, three) = UnixStream::pair().expect("a pair");
        full.set_nonblocking(true).expect("sets");
        let mut bytes = 0;
        // Until what the peer's buffer takes in is full, too.
        for _ in 0..64 {
            while let Ok(count) = (&full).write(&[0; 65536]) {
                bytes += count;
            }
            iora::yield_now();
        }
        assert!(bytes > 0);
        full.set_nonblocking(false).expect("sets");
        let name = format!("iora faults {} {number}", std::process::id());
        let name = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
        Arc::new(Sockets {
            quiet,
            full,
            listener: listen().0,
            datagrams: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"),
            unix,
            unix_listener: UnixListener::bind_addr(&name.expect("a name")).expect("binds"),
            _peers: (one, two, three),
        })
    }
}

/// Every kind of wait that somebody may close the socket under.
const WAITERS: [Waiter; 6] = [
    (
        "recv",
        |sockets| (&sockets.quiet).read(&mut [0]).expect_err("nothing comes"),
        |sockets| sockets.quiet.close(),
    ),
    (
        "send",
        |sockets| (&sockets.full).write_all(&[0; 1 << 20]).expect_err("no room"),
        |sockets| sockets.full.close(),
    ),
    (
        "accept",
        |sockets| sockets.listener.accept().expect_err("nobody connects"),
        |sockets| sockets.listener.close(),
    ),
    (
        "recv",
        |sockets| sockets.datagrams.recv_from(&mut [0]).expect_err("nobody sends"),
        |sockets| sockets.datagrams.close(),
    ),
    (
        "recv",
        |sockets| (&sockets.unix).read(&mut [0]).expect_err("nothing comes"),
        |sockets| sockets.unix.close(),
    ),
    (
        "accept",
        |sockets| sockets.unix_listener.accept().expect_err("nobody connects"),
        |sockets| sockets.unix_listener.close(),
    ),
];

#[test]
fn g078_closing_wakes_waiters_of_the_same_hub() {
    for (what, wait, close) in WAITERS {
        let sockets = Sockets::new();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let sockets = Arc::clone(&sockets);
                let waiter = iora::spawn(move || wait(&sockets));
                until_parked(&waiter, what);
                waiter
            })
            .collect();
        iora::spawn({
            let sockets = Arc::clone(&sockets);
            move || close(&sockets)
        })
        .join();
        for waiter in waiters {
            let error = waiter.get().expect("did not panic");
            assert_eq!(error.raw_os_error(), EBADF, "{what}: {error}");
        }
    }
}

#[test]
fn g078_closing_wakes_waiters_of_other_threads_with_and_without_hubs() {
    for (what, wait, close) in WAITERS {
        for closer_has_hub in [false, true] {
            let sockets = Sockets::new();
            let waits_in_hub = Arc::clone(&sockets);
            let (parked, is_parked) = std::sync::mpsc::channel();
            let hub = thread::spawn(move || {
                let waiter = iora::spawn(move || wait(&waits_in_hub));
                until_parked(&waiter, what);
                parked.send(()).expect("the test waits for it");
                waiter.get().expect("did not panic")
            });
            let waits_in_thread = Arc::clone(&sockets);
            let thread = thread::spawn(move || wait(&waits_in_thread));
            is_parked.recv().expect("it parks");
            let closer = Arc::clone(&sockets);
            let closer = thread::spawn(move || {
                if closer_has_hub {
                    iora::spawn(move || close(&closer)).join();
                } else {
                    close(&closer);
                }
            });
            closer.join().expect("did not panic");
            for waiter in [hub, thread] {
                let error = waiter.join().expect("did not panic");
                assert_eq!(error.raw_os_error(), EBADF, "{what}: {error}");
            }
        }
    }
}

#[test]
fn g083_every_call_on_a_closed_socket_says_so() {
    let (client, mut server) = pair();
    client.close();
    let mut buffer = [0; 4];
    let errors = [
        (&client).read(&mut buffer).expect_err("closed"),
        (&client).read(&mut []).expect_err("closed"),
        (&client).write(b"x").expect_err("closed"),
        (&client).write(b"").expect_err("closed"),
        client.peek(&mut buffer).expect_err("closed"),
        client.shutdown(Shutdown::Both).expect_err("closed"),
        client.try_clone().expect_err("closed"),
        client.set_read_timeout(None).expect_err("closed"),
    ];
    for error in errors {
        assert_eq!(error.raw_os_error(), EBADF, "{error}");
    }
    client.close();
    assert_eq!(server.read(&mut buffer).expect("told of the end"), 0);
}

#[test]
fn a_reset_ends_waiting_readers_and_writers() {
    let (client, mut server) = pair();
    let reader = iora::spawn(move || server.read(&mut [0]).expect_err("reset"));
    until_parked(&reader, "recv");
    reset(client);
    assert_eq!(
        reader.get().expect("did not panic").kind(),
        io::ErrorKind::ConnectionReset
    );

    let (client, mut server) = pair();
    let writer = iora::spawn(move || server.write_all(&vec![0; 64 << 20]).expect_err("reset"));
    until_parked(&writer, "send");
    reset(client);
    let kind = writer.get().expect("did not panic").kind();
    assert!(
        matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
        "{kind:?}"
    );
}

#[test]
fn a_reset_between_two_calls_is_told_by_the_next() {
    let (client, mut server) = pair();
    (&client).write_all(b"one").expect("writes");
    let server = iora::spawn(move || {
        server.read_exact(&mut [0; 3]).expect("reads");
        server
    })
    .get()
    .expect("did not panic");
    reset(client);
    let error = iora::spawn(move || (&server).read(&mut [0]).expect_err("reset"))
        .get()
        .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_connection_that_was_reset_before_it_was_accepted_harms_no_other() {
    let (listener, address) = listen();
    reset(TcpStream::connect(address).expect("connects"));
    let good = TcpStream::connect(address).expect("connects");
    let server = iora::spawn(move || {
        listener
            .incoming()
            .filter_map(|stream| {
                let mut text = String::new();
                stream.expect("accepts").read_to_string(&mut text).ok().map(|_| text)
            })
            .next()
    });
    (&good).write_all(b"good").expect("writes");
    drop(good);
    assert_eq!(server.get().expect("did not panic").as_deref(), Some("good"));
}

#[test]
fn a_killed_reader_loses_nothing_and_the_next_gets_it() {
    let (mut client, server) = pair();
    let server = Arc::new(server);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let server = Arc::clone(&server);
            let reader = iora::spawn(move || {
                let mut text = [0; 4];
                (&*server).read_exact(&mut text).expect("reads");
                text
            });
            until_parked(&reader, "recv");
            reader
        })
        .collect();
    let [first, second, third] = <[_; 3]>::try_from(readers).expect("three");
    // Killed while it is woken already: what woke it is for the next.
    client.write_all(b"text").expect("writes");
    first.kill();
    assert!(!third.ready());
    assert_eq!(&second.get().expect("did not panic"), b"text");
    third.kill();
    client.write_all(b"more").expect("writes");
    let mut text = [0; 4];
    (&*server).read_exact(&mut text).expect("reads");
    assert_eq!(&text, b"more");
}

#[test]
fn no_timeout_takes_a_byte_with_it() {
    const COUNT: usize = 3000;
    let (client, server) = pair();
    let writer = iora::spawn(move || {
        for number in 0..COUNT {
            (&client).write_all(&[number as u8]).expect("writes");
            if number % 7 == 0 {
                iora::sleep(Duration::from_micros(50));
            }
        }
    });
    let reader = iora::spawn(move || {
        let mut received = Vec::new();
        let mut timeouts = 0;
        while received.len() < COUNT {
            let result = iora::timeout(Duration::from_micros(120), || {
                let mut buffer = [0; 3];
                loop {
                    let count = (&server).read(&mut buffer).expect("reads");
                    received.extend_from_slice(&buffer[..count]);
                    if received.len() == COUNT {
                        return;
                    }
                }
            });
            timeouts += usize::from(result.is_err());
        }
        (received, timeouts)
    });
    let (received, timeouts) = reader.get().expect("did not panic");
    writer.get().expect("did not panic");
    assert!(timeouts > 0);
    for (number, byte) in received.into_iter().enumerate() {
        assert_eq!(byte, number as u8);
    }
}

#[test]
fn a_timeout_ends_each_kind_of_wait_and_leaves_the_socket_usable() {
    let limit = Duration::from_millis(5);
    let sockets = Sockets::new();
    let clones = Arc::clone(&sockets);
    iora::spawn(move || {
        assert!(iora::timeout(limit, || (&clones.quiet).read(&mut [0])).is_err());
        assert!(iora::timeout(limit, || (&clones.full).write_all(&[0; 1 << 20])).is_err());
        assert!(iora::timeout(limit, || clones.listener.accept()).is_err());
        assert!(iora::timeout(limit, || clones.datagrams.recv(&mut [0])).is_err());
    })
    .get()
    .expect("did not panic");
    let (peer, drain, _) = &sockets._peers;
    let mut peer = peer;
    peer.write_all(b"x").expect("writes");
    assert_eq!((&sockets.quiet).read(&mut [0; 2]).expect("reads"), 1);
    let writer = Arc::clone(&sockets);
    let writer = iora::spawn(move || {
        (&writer.full).write_all(b"last").expect("writes");
        writer.full.shutdown(Shutdown::Write).expect("connected");
    });
    let mut all = Vec::new();
    let mut drain = drain;
    drain.read_to_end(&mut all).expect("reads");
    assert!(all.ends_with(b"last"));
    writer.get().expect("did not panic");
    let address = sockets.listener.local_addr().expect("bound");
    let client = TcpStream::connect(address).expect("connects");
    let from = sockets.listener.accept().expect("accepts").1;
    assert_eq!(from, client.local_addr().expect("connected"));
    let to = sockets.datagrams.local_addr().expect("bound");
    sockets.datagrams.send_to(b"yz", to).expect("sends");
    assert_eq!(sockets.datagrams.recv(&mut [0; 8]).expect("receives"), 2);
}

#[test]
fn a_kill_ends_each_kind_of_wait() {
    for (what, wait, _) in WAITERS {
        let sockets = Sockets::new();
        let waiter = iora::spawn({
            let sockets = Arc::clone(&sockets);
            move || wait(&sockets)
        });
        until_parked(&waiter, what);
        waiter.kill();
        assert_eq!(waiter.ending(), Some(iora::Ending::Killed));
        // Nobody is left who holds it.
        assert_eq!(Arc::strong_count(&sockets), 1);
    }
}

#[test]
fn a_killed_connect_closes_its_socket() {
    // A full listener answers nobody.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a free port");
    full.listen(0).expect("listens");
    let address = full.local_addr().expect("bound").as_socket().expect("of the internet");
    let mut connected = Vec::new();
    loop {
        let connect = iora::spawn(move || TcpStream::connect(address));
        while !connect.ready() && !format!("{connect:?}").contains("parked in connect") {
            iora::yield_now();
        }
        // A connection over the loopback is there at once, or not before the kernel tries again in a second.
        if connect.join_timeout(Duration::from_millis(100)) {
            connected.push(connect.get().expect("did not panic").expect("connects"));
            continue;
        }
        connect.kill();
        assert_eq!(connect.ending(), Some(iora::Ending::Killed));
        break;
    }
    let error = iora::timeout(Duration::from_millis(5), || TcpStream::connect(address));
    assert!(error.is_err());
}

/// Writes when it is dropped, and keeps what came of it.
struct LastWords {
    /// Where to.
    stream: TcpStream,
    /// How much.
    size: usize,
    /// Whether the last write succeeded.
    succeeded: Arc<AtomicBool>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let result = self.stream.write_all(&vec![0; self.size]);
        self.succeeded.store(result.is_ok(), Ordering::SeqCst);
    }
}

#[test]
fn a_destructor_may_write_but_not_wait_while_a_kill_unwinds() {
    for (size, succeeds) in [(16, true), (64 << 20, false)] {
        let (client, _server) = pair();
        let succeeded = Arc::new(AtomicBool::new(!succeeds));
        let words = LastWords {
            stream: client,
            size,
            succeeded: Arc::clone(&succeeded),
        };
        let greenlet = iora::spawn(move || {
            let _words = words;
            iora::sleep(Duration::from_secs(3600));
        });
        until_parked(&greenlet, "sleep");
        greenlet.kill();
        assert_eq!(succeeded.load(Ordering::SeqCst), succeeds);
    }
}

#[test]
fn an_event_of_a_dropped_socket_wakes_nobody_who_has_its_number() {
    for _ in 0..50 {
        let (mut old_client, old) = pair();
        let reader = {
            let old = Arc::new(old);
            let again = Arc::clone(&old);
            let reader = iora::spawn(move || (&*again).read(&mut [0]));
            until_parked(&reader, "recv");
            reader.kill();
            drop(reader);
            Arc::into_inner(old).expect("the only one left")
        };
        let number = reader.as_raw_fd();
        // The event is on its way when the descriptor goes.
        old_client.write_all(b"old").expect("writes");
        drop(reader);
        let (listener, address) = listen();
        let mut streams = Vec::new();
        let mut new = None;
        // Somebody else may be faster; then there is nothing to see this time.
        for _ in 0..8 {
            let client = TcpStream::connect(address).expect("connects");
            let server = listener.accept().expect("accepts").0;
            if server.as_raw_fd() == number {
                new = Some((client, server));
                break;
            }
            streams.push((client, server));
        }
        let Some((mut client, server)) = new else { continue };
        let reader = iora::spawn(move || {
            let mut text = [0; 3];
            (&server).read_exact(&mut text).expect("reads");
            text
        });
        until_parked(&reader, "recv");
        iora::sleep(Duration::from_micros(100));
        assert!(!reader.ready());
        client.write_all(b"new").expect("writes");
        assert_eq!(&reader.get().expect("did not panic"), b"new");
    }
}

#[test]
fn signals_during_the_poll_are_nobodys_error() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    let id = count_signals(counter);
    let (client, mut server) = pair();
    let thread = this_thread();
    let sender = Arc::clone(&handled);
    let kicker = thread::spawn(move || {
        for round in 1..=50 {
            kick(thread);
            while sender.load(Ordering::SeqCst) < round {
                thread::yield_now();
            }
        }
        (&client).write_all(b"x").expect("writes");
        client
    });
    // Waits in the hub's poller, then in poll(2) of a thread without a hub.
    let reader = iora::spawn(move || {
        server.read_exact(&mut [0]).expect("reads");
        server
    });
    let mut server = reader.get().expect("did not panic");
    let mut client = kicker.join().expect("did not panic");
    let (told, tell) = std::sync::mpsc::channel();
    let bare = thread::spawn(move || {
        told.send(this_thread()).expect("the test waits for it");
        server.read_exact(&mut [0]).expect("reads");
    });
    let thread = tell.recv().expect("it begins");
    for round in 51..=60 {
        kick(thread);
        while handled.load(Ordering::SeqCst) < round {
            thread::yield_now();
        }
    }
    client.write_all(b"y").expect("writes");
    bare.join().expect("did not panic");
    signal_hook::low_level::unregister(id);
}

/// Counts the signals that come.
#[expect(unsafe_code, reason = "a signal handler")]
fn count_signals(counter: Arc<AtomicUsize>) -> signal_hook::SigId {
    let handler = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    // SAFETY: the handler only adds to an atomic.
    unsafe { signal_hook::low_level::register(signal_hook::consts::SIGUSR1, handler) }.expect("registers")
}

/// The calling thread's number.
#[expect(unsafe_code, reason = "calls libc")]
fn this_thread() -> i32 {
    // SAFETY: the call has no precondition.
    unsafe { libc::gettid() }
}

/// Sends a signal to one thread of the process.
#[expect(unsafe_code, reason = "calls libc")]
fn kick(thread: i32) {
    let process = i32::try_from(std::process::id()).expect("a number of a process");
    // SAFETY: the call takes three integers and touches no memory.
    let result = unsafe { libc::tgkill(process, thread, libc::SIGUSR1) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[test]
fn accepting_goes_on_after_descriptors_have_run_out() {
    // The limit is the process's: a process of its own has it.
    let program = std::env::current_exe().expect("this program");
    let script = format!(
        "ulimit -n 40; exec '{}' --exact --ignored --nocapture --test-threads=1 child_short_of_descriptors",
        program.display()
    );
    let output = Command::new("sh").arg("-c").arg(script).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("served all"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "run by another test, with few descriptors"]
#[expect(clippy::print_stdout, reason = "read by the test that runs this one")]
fn child_short_of_descriptors() {
    // The hub has descriptors of its own.
    iora::spawn(|| ()).join();
    let (listener, address) = listen();
    let mut client = TcpStream::connect(address).expect("connects");
    let mut spare = Vec::new();
    // One that waits to be accepted, and not one descriptor left.
    while let Ok(file) = std::fs::File::open("/dev/null") {
        spare.push(file);
    }
    let error = listener.accept().expect_err("none left");
    assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
    let server = iora::spawn(move || {
        let mut stream = listener
            .incoming()
            .next()
            .expect("never ends")
            .expect("waits for a descriptor");
        stream.write_all(b"at last").expect("writes");
    });
    until_parked(&server, "sleep");
    spare.truncate(spare.len() - 2);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "at last");
    server.get().expect("did not panic");
    println!("served all");
}

#[test]
fn g079_a_reader_and_a_writer_wait_at_once_and_a_second_reader_queues() {
    let (client, server) = pair();
    iora::scope(|scope| {
        let one = scope.spawn(|| (&server).read(&mut [0]).expect("reads"));
        let two = scope.spawn(|| (&server).read(&mut [0]).expect("reads"));
        let writer = scope.spawn(|| (&server).write_all(&vec![0; 8 << 20]).expect("writes"));
        while !writer.ready() {
            (&client).read_exact(&mut vec![0; 1 << 19]).expect("reads");
        }
        assert!(!one.ready() && !two.ready());
        (&client).write_all(b"a").expect("writes");
        assert_eq!(one.join().expect("did not panic"), 1);
        assert!(!two.ready());
        (&client).write_all(b"b").expect("writes");
        assert_eq!(two.join().expect("did not panic"), 1);
    });
}
