//! TCP between greenlets of one hub, of two hubs, and threads without a hub.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use iora::net::{TcpListener, TcpStream};

#[path = "common/waiting.rs"]
mod waiting;
use waiting::until_parked;

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
    let (server, from) = listener.accept().expect("accepts");
    assert_eq!(from, client.local_addr().expect("connected"));
    (client, server)
}

/// Sends back what comes until the stream ends.
fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 512];
    loop {
        match stream.read(&mut buffer).expect("reads") {
            0 => return,
            length => stream.write_all(&buffer[..length]).expect("writes"),
        }
    }
}

/// Connects, sends `rounds` messages and expects each back.
fn ask(address: SocketAddr, rounds: u32) {
    let mut stream = TcpStream::connect(address).expect("connects");
    for round in 0..rounds {
        let message = round.to_be_bytes();
        stream.write_all(&message).expect("writes");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("reads");
        assert_eq!(answer, message);
    }
}

/// Serves `connections` of them.
fn serve(listener: TcpListener, connections: usize) {
    let greenlets: Vec<_> = listener
        .incoming()
        .take(connections)
        .map(|stream| {
            let stream = stream.expect("accepts");
            iora::spawn(move || echo(stream))
        })
        .collect();
    for greenlet in greenlets {
        greenlet.get().expect("did not panic");
    }
}

/// Runs `f` as a greenlet of a hub of its own, in a thread of its own.
fn other_hub<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R> {
    thread::spawn(move || iora::spawn(f).get().expect("did not panic"))
}

#[test]
fn echo_between_greenlets_of_one_hub() {
    let (listener, address) = listen();
    let server = iora::spawn(move || serve(listener, 100));
    let clients: Vec<_> = (0..100).map(|_| iora::spawn(move || ask(address, 20))).collect();
    for client in clients {
        client.get().expect("did not panic");
    }
    server.get().expect("did not panic");
}

#[test]
fn echo_between_two_hubs() {
    let (listener, address) = listen();
    let server = other_hub(move || serve(listener, 20));
    let clients: Vec<_> = (0..20).map(|_| iora::spawn(move || ask(address, 50))).collect();
    for client in clients {
        client.get().expect("did not panic");
    }
    server.join().expect("did not panic");
}

#[test]
fn echo_between_threads_without_a_hub() {
    let (listener, address) = listen();
    let server = thread::spawn(move || echo(listener.accept().expect("accepts").0));
    thread::spawn(move || ask(address, 100)).join().expect("did not panic");
    server.join().expect("did not panic");
}

#[test]
fn echo_between_a_hub_and_a_thread_without_one() {
    let (listener, address) = listen();
    let server = thread::spawn(move || echo(listener.accept().expect("accepts").0));
    iora::spawn(move || ask(address, 100)).get().expect("did not panic");
    server.join().expect("did not panic");
}

#[test]
fn std_clients_talk_to_greenlets() {
    let (listener, address) = listen();
    let client = thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).expect("connects");
        stream.write_all(b"hello").expect("writes");
        stream.shutdown(Shutdown::Write).expect("connected");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("reads");
        text
    });
    iora::spawn(move || serve(listener, 1)).get().expect("did not panic");
    assert_eq!(client.join().expect("did not panic"), "hello");
}

#[test]
fn many_connections_at_once() {
    const MANY: usize = 200;
    let (listener, address) = listen();
    let server = iora::spawn(move || serve(listener, MANY));
    let mut streams: Vec<TcpStream> = (0..MANY)
        .map(|_| TcpStream::connect(address).expect("connects"))
        .collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&(number as u64).to_be_bytes()).expect("writes");
    }
    for (number, stream) in streams.iter_mut().enumerate().rev() {
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("reads");
        assert_eq!(u64::from_be_bytes(answer), number as u64);
    }
    drop(streams);
    server.get().expect("did not panic");
}

#[test]
fn vectored_reads_and_writes() {
    let (mut client, mut server) = pair();
    let slices = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
    assert_eq!(client.write_vectored(&slices).expect("writes"), 7);
    let (mut first, mut second) = ([0; 3], [0; 8]);
    let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(server.read_vectored(&mut buffers).expect("reads"), 7);
    assert_eq!((&first, &second[..4]), (b"one", &b" two"[..]));
}

#[test]
fn a_vectored_read_waits() {
    let (mut client, mut server) = pair();
    let reader = iora::spawn(move || {
        let mut buffer = [0; 4];
        let count = server
            .read_vectored(&mut [IoSliceMut::new(&mut buffer)])
            .expect("reads");
        (count, buffer)
    });
    until_parked(&reader, "recv");
    client.write_all(b"four").expect("writes");
    assert_eq!(reader.get().expect("did not panic"), (4, *b"four"));
}

#[test]
fn nothing_to_move_never_waits() {
    let (mut client, mut server) = pair();
    assert_eq!(server.read_vectored(&mut []).expect("nothing"), 0);
    assert_eq!(client.write(&[]).expect("nothing"), 0);
    assert_eq!(client.write_vectored(&[IoSlice::new(&[])]).expect("nothing"), 0);
    client.write_all(b"x").expect("writes");
    assert_eq!(server.read(&mut [0; 2]).expect("reads"), 1);
    assert_eq!(server.read_vectored(&mut []).expect("nothing"), 0);
}

#[test]
fn a_read_into_no_room_waits_for_something_and_leaves_it_there() {
    let (mut client, mut server) = pair();
    let reader = iora::spawn(move || {
        let mut counts = vec![server.read(&mut []).expect("there is something")];
        counts.extend([(); 3].map(|()| server.read(&mut [0; 1]).expect("reads")));
        // The stream has ended.
        counts.push(server.read(&mut []).expect("ends"));
        counts
    });
    until_parked(&reader, "recv");
    client.write_all(b"xy").expect("writes");
    drop(client);
    assert_eq!(reader.get().expect("did not panic"), [0, 1, 1, 0, 0]);
}

#[test]
fn huge_writes_wait_for_a_slow_reader() {
    const SIZE: usize = 24 << 20;
    let (mut client, mut server) = pair();
    let writer = iora::spawn(move || {
        let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
        client.write_all(&bytes).expect("writes");
    });
    until_parked(&writer, "send");
    let mut at = 0;
    let mut buffer = vec![0; 60_000];
    loop {
        let count = server.read(&mut buffer).expect("reads");
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            assert_eq!(*byte, (at % 251) as u8);
            at += 1;
        }
        iora::yield_now();
    }
    assert_eq!(at, SIZE);
    writer.get().expect("did not panic");
}

#[test]
fn huge_vectored_writes_between_hubs() {
    const SIZE: usize = 8 << 20;
    let (mut client, mut server) = pair();
    let writer = other_hub(move || {
        let bytes = vec![7; SIZE / 2];
        let mut left = SIZE;
        while left > 0 {
            let (one, two) = bytes.split_at((left / 2).min(bytes.len()));
            let two = &two[..(left - one.len()).min(two.len())];
            left -= client
                .write_vectored(&[IoSlice::new(one), IoSlice::new(two)])
                .expect("writes");
        }
    });
    let mut received = Vec::new();
    server.read_to_end(&mut received).expect("reads");
    assert_eq!(received.len(), SIZE);
    assert!(received.iter().all(|byte| *byte == 7));
    writer.join().expect("did not panic");
}

#[test]
fn half_closed_streams_go_on_the_other_way() {
    let (mut client, mut server) = pair();
    let reader = iora::spawn(move || {
        let mut text = String::new();
        server.read_to_string(&mut text).expect("reads");
        server.write_all(text.to_uppercase().as_bytes()).expect("writes");
    });
    until_parked(&reader, "recv");
    client.write_all(b"half").expect("writes");
    client.shutdown(Shutdown::Write).expect("connected");
    let error = client.write(b"more").expect_err("ended");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "HALF");
    reader.get().expect("did not panic");
}

#[test]
fn the_end_of_a_stream_is_read_again_and_again() {
    let (client, mut server) = pair();
    (&client).write_all(b"last").expect("writes");
    drop(client);
    let mut buffer = [0; 16];
    let mut received = Vec::new();
    for _ in 0..6 {
        let count = server.read(&mut buffer).expect("reads");
        received.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(received, b"last");
}

#[test]
fn data_and_the_end_in_one_event_are_both_read() {
    for half_first in [false, true] {
        let (mut client, mut server) = pair();
        let reader = iora::spawn(move || {
            let mut buffer = [0; 16];
            let first = server.read(&mut buffer).expect("reads");
            // The read came up short, and no other event will come.
            let ends: Vec<_> = (0..3).map(|_| server.read(&mut buffer).unwrap_or(0)).collect();
            (first, ends)
        });
        until_parked(&reader, "recv");
        client.write_all(b"last").expect("writes");
        if half_first {
            client.shutdown(Shutdown::Write).expect("connected");
        }
        drop(client);
        assert_eq!(reader.get().expect("did not panic"), (4, vec![0; 3]));
    }
}

#[test]
fn a_reader_that_waits_hears_of_an_end_on_this_side() {
    let (_client, server) = pair();
    iora::scope(|scope| {
        let reader = scope.spawn(|| (&server).read(&mut [0]).expect("reads"));
        iora::yield_now();
        server.shutdown(Shutdown::Read).expect("connected");
        assert_eq!(reader.join().expect("did not panic"), 0);
    });
}

#[test]
fn peeking_leaves_what_it_saw() {
    let (mut client, server) = pair();
    let peeker = iora::spawn(move || {
        let mut buffer = [0; 8];
        let peeked = server.peek(&mut buffer).expect("peeks");
        let read = (&server).read(&mut buffer).expect("reads");
        (peeked, read)
    });
    until_parked(&peeker, "peek");
    client.write_all(b"five!").expect("writes");
    assert_eq!(peeker.get().expect("did not panic"), (5, 5));
}

#[test]
fn what_came_in_time_is_read_though_the_hub_was_late() {
    let (client, mut server) = pair();
    let limit = Duration::from_millis(200);
    server.set_read_timeout(Some(limit)).expect("connected");
    let reader = iora::spawn(move || {
        let mut byte = [0];
        server.read(&mut byte).map(|count| (count, byte[0]))
    });
    until_parked(&reader, "recv");
    // The hub hears of it only when the time is over as well.
    socket2::SockRef::from(&client).send(b"x").expect("sends");
    thread::sleep(limit);
    assert_eq!(reader.get().expect("did not panic").expect("in time"), (1, b'x'));
}

#[test]
fn urgent_data_in_the_stream_stops_no_reader_for_ever() {
    let (client, mut server) = pair();
    let reader = iora::spawn(move || {
        let mut text = Vec::new();
        while text.len() < b"beforeafter".len() {
            let mut room = [0; 100];
            let count = server.read(&mut room).expect("reads");
            text.extend_from_slice(&room[..count]);
        }
        text
    });
    until_parked(&reader, "recv");
    let raw = socket2::SockRef::from(&client);
    raw.send(b"before").expect("sends");
    raw.send_out_of_band(b"!").expect("sends");
    raw.send(b"after").expect("sends");
    // The stream goes on: without another look the reader would sit before "after".
    assert!(reader.join_timeout(Duration::from_secs(60)), "nothing more will come");
    let text = reader.get().expect("did not panic");
    assert_eq!(text, b"beforeafter");
}

#[test]
fn readers_of_one_socket_are_served_in_order() {
    let (mut client, server) = pair();
    iora::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let server = &server;
                let reader = scope.spawn(move || {
                    let mut byte = [0];
                    let mut stream = server;
                    stream.read_exact(&mut byte).expect("reads");
                    byte[0]
                });
                iora::yield_now();
                reader
            })
            .collect();
        client.write_all(&[0, 1, 2, 3]).expect("writes");
        for (number, reader) in readers.into_iter().enumerate() {
            assert_eq!(reader.join().expect("did not panic"), number as u8);
        }
    });
}

#[test]
fn a_reader_and_a_writer_wait_side_by_side() {
    let (client, server) = pair();
    iora::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut byte = [0];
            (&client).read_exact(&mut byte).expect("reads");
            byte[0]
        });
        let writer = scope.spawn(|| (&client).write_all(&vec![1; 16 << 20]).expect("writes"));
        while !writer.ready() {
            (&server).read_exact(&mut vec![0; 1 << 20]).expect("reads");
        }
        assert!(!reader.ready());
        (&server).write_all(&[9]).expect("writes");
        assert_eq!(reader.join().expect("did not panic"), 9);
    });
}

#[test]
fn a_stream_may_move_to_another_hub_after_it_was_registered() {
    let (mut client, mut server) = pair();
    let reader = iora::spawn(move || {
        let mut byte = [0];
        server.read_exact(&mut byte).expect("reads");
        server
    });
    until_parked(&reader, "recv");
    client.write_all(b"x").expect("writes");
    let mut server = reader.get().expect("did not panic");
    let there = other_hub(move || {
        let mut bytes = [0; 3];
        server.read_exact(&mut bytes).expect("reads");
        (bytes, server)
    });
    client.write_all(b"abc").expect("writes");
    let (bytes, server) = there.join().expect("did not panic");
    assert_eq!(&bytes, b"abc");
    // Back again, where an entry of the first registration may be left.
    let mut server = TcpStream::from(std::net::TcpStream::from(server));
    let reader = iora::spawn(move || {
        let mut bytes = [0; 3];
        server.read_exact(&mut bytes).expect("reads");
        bytes
    });
    until_parked(&reader, "recv");
    client.write_all(b"def").expect("writes");
    assert_eq!(&reader.get().expect("did not panic"), b"def");
}

#[test]
fn two_hubs_read_from_one_stream() {
    let (mut client, server) = pair();
    let server = std::sync::Arc::new(server);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let server = std::sync::Arc::clone(&server);
            other_hub(move || {
                let mut sum = 0;
                let mut byte = [0];
                while (&*server).read(&mut byte).expect("reads") == 1 {
                    sum += u32::from(byte[0]);
                }
                sum
            })
        })
        .collect();
    for _ in 0..100 {
        client.write_all(&[1, 2, 3]).expect("writes");
    }
    client.shutdown(Shutdown::Write).expect("connected");
    let sum: u32 = readers
        .into_iter()
        .map(|reader| reader.join().expect("did not panic"))
        .sum();
    assert_eq!(sum, 600);
}

#[test]
fn one_listener_accepts_in_two_hubs() {
    let (listener, address) = listen();
    let listener = std::sync::Arc::new(listener);
    let servers: Vec<_> = (0..2)
        .map(|_| {
            let listener = std::sync::Arc::clone(&listener);
            other_hub(move || {
                let mut served = 0;
                while let Ok((stream, _)) = listener.accept() {
                    echo(stream);
                    served += 1;
                }
                served
            })
        })
        .collect();
    for _ in 0..20 {
        ask(address, 3);
    }
    listener.close();
    let served: u32 = servers
        .into_iter()
        .map(|server| server.join().expect("did not panic"))
        .sum();
    assert_eq!(served, 20);
}

#[test]
fn listeners_share_a_port() {
    let one = TcpListener::bind_reuse_port((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = one.local_addr().expect("bound");
    let two = TcpListener::bind_reuse_port(address).expect("shares it");
    let error = TcpListener::bind(address).expect_err("does not share it");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let servers: Vec<_> = [one, two]
        .map(|listener| {
            iora::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    echo(stream);
                }
            })
        })
        .into();
    for _ in 0..20 {
        ask(address, 1);
    }
    iora::killall(&servers, None);
}

#[test]
fn connect_tries_each_address() {
    let (listener, good) = listen();
    let refused = listen().1;
    let stream = TcpStream::connect(&[refused, good][..]).expect("the second accepts");
    assert_eq!(stream.peer_addr().expect("connected"), good);
    drop(listener);
    let error = TcpStream::connect(&[refused, refused][..]).expect_err("both refuse");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let error = TcpStream::connect(&[][..]).expect_err("no address");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn g081_a_refused_connection_is_an_error_in_a_greenlet_too() {
    let refused = listen().1;
    let error = iora::spawn(move || TcpStream::connect(refused).expect_err("nobody listens"))
        .get()
        .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.raw_os_error().is_some());
}

#[test]
fn timeouts_are_checked_and_kept_by_the_kernel() {
    let (client, _server) = pair();
    assert_eq!(client.read_timeout().expect("asks"), None);
    let error = client.set_read_timeout(Some(Duration::ZERO)).expect_err("zero");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    client.set_read_timeout(Some(Duration::from_secs(2))).expect("sets");
    client.set_write_timeout(Some(Duration::from_secs(3))).expect("sets");
    assert_eq!(client.read_timeout().expect("asks"), Some(Duration::from_secs(2)));
    assert_eq!(client.write_timeout().expect("asks"), Some(Duration::from_secs(3)));
    let standard = std::net::TcpStream::from(client);
    assert_eq!(standard.read_timeout().expect("asks"), Some(Duration::from_secs(2)));
    standard.set_read_timeout(None).expect("sets");
    let client = TcpStream::from(standard);
    assert_eq!(client.read_timeout().expect("asks"), None);
}

#[test]
fn g080_a_read_times_out_as_stds_does() {
    let (mut client, mut server) = pair();
    let limit = Duration::from_millis(20);
    server.set_read_timeout(Some(limit)).expect("sets");
    let (error, took, mut server) = iora::spawn(move || {
        let began = Instant::now();
        let error = server.read(&mut [0]).expect_err("nothing comes");
        (error, began.elapsed(), server)
    })
    .get()
    .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(took >= limit, "{took:?}");
    client.write_all(b"x").expect("writes");
    assert_eq!(server.read(&mut [0]).expect("reads"), 1);
}

#[test]
fn a_write_times_out_when_nobody_reads() {
    let (mut client, _server) = pair();
    client.set_write_timeout(Some(Duration::from_millis(20))).expect("sets");
    let error = iora::spawn(move || client.write_all(&vec![0; 64 << 20]).expect_err("no room"))
        .get()
        .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_timeout_set_by_a_clone_or_outside_holds() {
    let (_client, server) = pair();
    let clone = server.try_clone().expect("clones");
    clone.set_read_timeout(Some(Duration::from_millis(10))).expect("sets");
    let standard = std::net::TcpStream::from(clone);
    assert_eq!(
        (&server).read(&mut [0]).expect_err("nothing").kind(),
        io::ErrorKind::WouldBlock
    );
    drop(server);
    let again = TcpStream::from(standard);
    let error = iora::spawn(move || (&again).read(&mut [0]).expect_err("nothing"))
        .get()
        .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_thread_without_a_hub_times_out() {
    let (_client, mut server) = pair();
    server.set_read_timeout(Some(Duration::from_millis(10))).expect("sets");
    let error = thread::spawn(move || server.read(&mut [0]).expect_err("nothing"))
        .join()
        .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn connecting_times_out() {
    // A listener whose backlog is full answers nobody.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a free port");
    full.listen(0).expect("listens");
    let address = full.local_addr().expect("bound").as_socket().expect("of the internet");
    let limit = Duration::from_millis(50);
    let (error, _kept) = iora::spawn(move || {
        let mut kept = Vec::new();
        loop {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => kept.push(stream),
                Err(error) => return (error, kept),
            }
        }
    })
    .get()
    .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let error = TcpStream::connect_timeout(&address, Duration::ZERO).expect_err("zero");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_users_nonblocking_mode_is_shared_by_clones() {
    let (mut client, server) = pair();
    let clone = server.try_clone().expect("clones");
    server.set_nonblocking(true).expect("sets");
    for stream in [&server, &clone] {
        let mut stream = stream;
        assert_eq!(
            stream.read(&mut [0]).expect_err("nothing").kind(),
            io::ErrorKind::WouldBlock
        );
    }
    client.write_all(b"x").expect("writes");
    let mut byte = [0];
    while let Err(error) = (&clone).read(&mut byte) {
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        iora::yield_now();
    }
    clone.set_nonblocking(false).expect("sets");
    let reader = iora::spawn(move || (&server).read(&mut [0]).expect("reads"));
    until_parked(&reader, "recv");
    client.write_all(b"y").expect("writes");
    assert_eq!(reader.get().expect("did not panic"), 1);
}

#[test]
fn a_nonblocking_reader_sees_what_the_hub_has_not_heard_of() {
    let (mut client, mut server) = pair();
    let reader = iora::spawn(move || {
        server.read_exact(&mut [0]).expect("reads");
        server
    });
    until_parked(&reader, "recv");
    client.write_all(b"x").expect("writes");
    let mut server = reader.get().expect("did not panic");
    server.set_nonblocking(true).expect("sets");
    assert_eq!(
        server.read(&mut [0]).expect_err("nothing").kind(),
        io::ErrorKind::WouldBlock
    );
    client.write_all(b"y").expect("writes");
    // No turn of the hub in between.
    assert_eq!(server.read(&mut [0; 4]).expect("reads"), 1);
}

#[test]
fn conversions_give_blocking_sockets_and_take_any() {
    let (client, server) = pair();
    let standard = std::net::TcpStream::from(client);
    standard
        .set_read_timeout(Some(Duration::from_millis(10)))
        .expect("sets");
    let began = Instant::now();
    let error = (&standard).read(&mut [0]).expect_err("nothing");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(began.elapsed() >= Duration::from_millis(10));
    standard.set_read_timeout(None).expect("sets");
    standard.set_nonblocking(true).expect("sets");
    let client = TcpStream::from(standard);
    let reader = iora::spawn(move || (&client).read(&mut [0]).expect("reads"));
    until_parked(&reader, "recv");
    let number = server.as_raw_fd();
    let server = TcpStream::from(OwnedFd::from(server));
    assert_eq!(server.as_raw_fd(), number);
    (&server).write_all(b"x").expect("writes");
    assert_eq!(reader.get().expect("did not panic"), 1);
}

#[test]
fn a_clone_made_blocking_elsewhere_blocks_nobody() {
    let (mut client, server) = pair();
    let clone = std::net::TcpStream::from(server.try_clone().expect("clones"));
    let reader = iora::spawn(move || (&server).read(&mut [0]).expect("reads"));
    until_parked(&reader, "recv");
    client.write_all(b"x").expect("writes");
    assert_eq!(reader.get().expect("did not panic"), 1);
    drop(clone);
}

#[test]
fn g086_a_clone_keeps_the_connection_until_the_last_is_dropped() {
    let (mut client, server) = pair();
    let clone = server.try_clone().expect("clones");
    let reader = iora::spawn(move || {
        let mut text = String::new();
        (&clone).read_to_string(&mut text).expect("reads");
        text
    });
    until_parked(&reader, "recv");
    drop(server);
    client.write_all(b"still there").expect("writes");
    client.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(reader.get().expect("did not panic"), "still there");
    assert_eq!(client.read(&mut [0]).expect("reads"), 0);
}

#[test]
fn options_are_stored_and_debug_reads_as_stds() {
    let (listener, _) = listen();
    listener.set_ttl(33).expect("sets");
    assert_eq!(listener.ttl().expect("asks"), 33);
    assert!(listener.take_error().expect("asks").is_none());
    let (client, _server) = pair();
    client.set_nodelay(true).expect("sets");
    assert!(client.nodelay().expect("asks"));
    client.set_ttl(44).expect("sets");
    assert_eq!(client.ttl().expect("asks"), 44);
    let ours = (format!("{listener:?}"), format!("{client:?}"));
    let stds = (
        format!("{:?}", std::net::TcpListener::from(listener)),
        format!("{:?}", std::net::TcpStream::from(client)),
    );
    assert_eq!(ours, stds);
}

#[test]
fn sockets_may_go_to_other_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<TcpStream>();
    check::<TcpListener>();
    check::<iora::net::UdpSocket>();
}

#[test]
fn a_greenlet_that_never_waits_for_its_socket_lets_others_run() {
    let (client, server) = pair();
    let busy = iora::spawn(move || {
        let mut byte = [0];
        loop {
            (&client).write_all(&[1]).expect("writes");
            (&server).read_exact(&mut byte).expect("reads");
        }
    });
    let other = iora::spawn(|| iora::sleep(Duration::from_millis(1)));
    other.get().expect("did not panic");
    assert!(!busy.ready());
    busy.kill();
}
