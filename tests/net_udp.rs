//! UDP between greenlets of one hub, of two hubs, and threads without a hub; many datagrams at once.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use iora::net::{Datagrams, UdpSocket};

#[path = "common/waiting.rs"]
mod waiting;
use waiting::until_parked;

/// A socket on a free port, and its address.
fn bind() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// Sends back `rounds` datagrams.
fn echo(socket: &UdpSocket, rounds: u32) {
    let mut buffer = [0; 64];
    for _ in 0..rounds {
        let (length, from) = socket.recv_from(&mut buffer).expect("receives");
        assert_eq!(socket.send_to(&buffer[..length], from).expect("sends"), length);
    }
}

/// Sends `rounds` datagrams, each when the one before has come back.
fn ask(to: SocketAddr, rounds: u32) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.connect(to).expect("connects");
    assert_eq!(socket.peer_addr().expect("connected"), to);
    for round in 0..rounds {
        let message = round.to_be_bytes();
        socket.send(&message).expect("sends");
        let mut answer = [0; 8];
        assert_eq!(socket.recv(&mut answer).expect("receives"), 4);
        assert_eq!(answer[..4], message);
    }
}

#[test]
fn echo_between_greenlets_of_one_hub() {
    let (server, address) = bind();
    let server = iora::spawn(move || echo(&server, 200));
    let clients: Vec<_> = (0..10).map(|_| iora::spawn(move || ask(address, 20))).collect();
    for client in clients {
        client.get().expect("did not panic");
    }
    server.get().expect("did not panic");
}

#[test]
fn echo_between_two_hubs_and_a_thread_without_one() {
    let (server, address) = bind();
    let server = thread::spawn(move || iora::spawn(move || echo(&server, 60)).get().expect("did not panic"));
    let client = thread::spawn(move || ask(address, 30));
    iora::spawn(move || ask(address, 30)).get().expect("did not panic");
    client.join().expect("did not panic");
    server.join().expect("did not panic");
}

#[test]
fn empty_and_cut_datagrams_are_datagrams() {
    let (server, address) = bind();
    let (client, _) = bind();
    let receiver = iora::spawn(move || {
        let mut buffer = [1; 2];
        let empty = server.recv_from(&mut buffer).expect("receives").0;
        let cut = server.recv_from(&mut buffer).expect("receives").0;
        let dropped = server.recv(&mut []).expect("receives");
        (empty, cut, dropped)
    });
    until_parked(&receiver, "recv");
    assert_eq!(client.send_to(b"", address).expect("sends"), 0);
    client.send_to(b"long", address).expect("sends");
    client.send_to(b"dropped", address).expect("sends");
    assert_eq!(receiver.get().expect("did not panic"), (0, 2, 0));
}

#[test]
fn peeking_leaves_the_datagram() {
    let (server, address) = bind();
    let (client, from) = bind();
    client.send_to(b"hello", address).expect("sends");
    let mut buffer = [0; 8];
    assert_eq!(server.peek_from(&mut buffer).expect("peeks"), (5, from));
    assert_eq!(server.peek(&mut buffer).expect("peeks"), 5);
    assert_eq!(server.recv_from(&mut buffer).expect("receives"), (5, from));
}

#[test]
fn too_long_a_datagram_is_an_error() {
    let (server, address) = bind();
    let error = server.send_to(&[0; 70_000], address).expect_err("too long");
    assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE");
    let error = server.send_to(b"x", &[][..]).expect_err("no address");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_refusal_passes_and_the_socket_goes_on() {
    let (server, address) = bind();
    let gone = {
        let (socket, address) = bind();
        drop(socket);
        address
    };
    let (client, from) = bind();
    client.connect(gone).expect("connects");
    let client = Rc::new(client);
    let refused = iora::spawn({
        let client = client.clone();
        move || client.recv(&mut [0; 8]).expect_err("nobody is there")
    });
    until_parked(&refused, "recv");
    client.send(b"x").expect("sends");
    assert!(refused.join_timeout(Duration::from_secs(60)), "it is not told");
    let error = refused.get().expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    client.connect(address).expect("connects");
    // The error was told of as a lasting one: the wait must not spin, nor end, on it.
    let client = iora::spawn(move || client.recv(&mut [0; 8]).expect("receives"));
    until_parked(&client, "recv");
    server.send_to(b"four", from).expect("sends");
    assert_eq!(client.get().expect("did not panic"), 4);
}

#[test]
fn g080_receiving_times_out_as_stds_does() {
    let (server, _) = bind();
    server.set_read_timeout(Some(Duration::from_millis(10))).expect("sets");
    let error = iora::spawn(move || server.recv(&mut [0]).expect_err("nothing comes"))
        .get()
        .expect("did not panic");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn receivers_of_one_socket_are_served_in_order() {
    let (server, address) = bind();
    let (client, _) = bind();
    iora::scope(|scope| {
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let server = &server;
                let receiver = scope.spawn(move || {
                    let mut byte = [0];
                    server.recv(&mut byte).expect("receives");
                    byte[0]
                });
                iora::yield_now();
                receiver
            })
            .collect();
        for number in 0..4 {
            client.send_to(&[number], address).expect("sends");
        }
        for (number, receiver) in receivers.into_iter().enumerate() {
            assert_eq!(receiver.join().expect("did not panic"), number as u8);
        }
    });
}

#[test]
fn many_datagrams_come_in_one_call() {
    let (server, address) = bind();
    let (client, from) = bind();
    let receiver = iora::spawn(move || {
        let mut datagrams = Datagrams::new(8, 4);
        let mut all = Vec::new();
        while all.len() < 20 {
            let count = server.recv_many(&mut datagrams).expect("receives");
            assert!((1..=8).contains(&count));
            assert_eq!(count, datagrams.len());
            all.extend(
                datagrams
                    .iter()
                    .map(|one| (one.bytes.to_vec(), one.address, one.truncated)),
            );
        }
        all
    });
    until_parked(&receiver, "recv");
    for number in 0..20_u8 {
        client
            .send_to(&vec![number; usize::from(number % 6)], address)
            .expect("sends");
    }
    for (number, (bytes, sender, truncated)) in receiver.get().expect("did not panic").into_iter().enumerate() {
        let length = number % 6;
        assert_eq!(bytes, vec![number as u8; length.min(4)]);
        assert_eq!(sender, Some(from));
        assert_eq!(truncated, length > 4);
    }
}

#[test]
fn what_was_received_goes_back_in_one_call() {
    let (server, address) = bind();
    let clients: Vec<_> = (0..5).map(|_| bind().0).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8], address).expect("sends");
    }
    let mut datagrams = Datagrams::new(16, 16);
    assert_eq!(server.recv_many(&mut datagrams).expect("receives"), 5);
    assert_eq!(server.send_many(&mut datagrams).expect("sends"), 5);
    assert!(datagrams.is_empty());
    assert_eq!(server.send_many(&mut datagrams).expect("nothing to send"), 0);
    for (number, client) in clients.iter().enumerate() {
        let mut byte = [9];
        assert_eq!(client.recv_from(&mut byte).expect("receives"), (1, address));
        assert_eq!(usize::from(byte[0]), number);
    }
}

#[test]
fn many_go_to_the_peer_of_a_connected_socket() {
    let (server, address) = bind();
    let (client, _) = bind();
    client.connect(address).expect("connects");
    let mut datagrams = Datagrams::new(3, 8);
    assert!(datagrams.push(b"one", None));
    assert!(datagrams.push(b"two", None));
    assert_eq!(client.send_many(&mut datagrams).expect("sends"), 2);
    assert_eq!(server.recv_many(&mut datagrams).expect("receives"), 2);
    assert_eq!(datagrams.get(1).expect("two came").bytes, b"two");
}

#[test]
fn a_datagram_that_cannot_be_sent_is_told_when_it_is_the_first() {
    let (server, address) = bind();
    let mut datagrams = Datagrams::new(3, 70_000);
    assert!(datagrams.push(b"good", address));
    assert!(datagrams.push(&[0; 70_000], address));
    assert!(datagrams.push(b"good too", address));
    assert_eq!(server.send_many(&mut datagrams).expect("sends the first"), 1);
    let error = server.send_many(&mut datagrams).expect_err("too long");
    assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE");
    assert!(datagrams.pop_front());
    assert_eq!(server.send_many(&mut datagrams).expect("sends the last"), 1);
    assert_eq!(server.recv_many(&mut datagrams).expect("receives"), 2);
}

#[test]
fn many_on_a_thread_without_a_hub() {
    let (server, address) = bind();
    let receiver = thread::spawn(move || {
        let mut datagrams = Datagrams::new(8, 8);
        server.recv_many(&mut datagrams).expect("receives")
    });
    bind().0.send_to(b"x", address).expect("sends");
    assert_eq!(receiver.join().expect("did not panic"), 1);
}

#[test]
fn datagrams_of_version_six_have_their_addresses() {
    let Ok(server) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else {
        // A machine without version six.
        return;
    };
    let client = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
    let mut datagrams = Datagrams::new(2, 8);
    assert!(datagrams.push(b"six", server.local_addr().expect("bound")));
    assert_eq!(client.send_many(&mut datagrams).expect("sends"), 1);
    assert_eq!(server.recv_many(&mut datagrams).expect("receives"), 1);
    assert_eq!(datagrams.get(0).expect("came").address, client.local_addr().ok());
}

#[test]
fn options_are_stored_and_debug_reads_as_stds() {
    let (socket, _) = bind();
    socket.set_broadcast(true).expect("sets");
    assert!(socket.broadcast().expect("asks"));
    socket.set_ttl(12).expect("sets");
    assert_eq!(socket.ttl().expect("asks"), 12);
    socket.set_multicast_ttl_v4(3).expect("sets");
    assert_eq!(socket.multicast_ttl_v4().expect("asks"), 3);
    socket.set_multicast_loop_v4(false).expect("sets");
    assert!(!socket.multicast_loop_v4().expect("asks"));
    assert!(socket.take_error().expect("asks").is_none());
    let ours = format!("{socket:?}");
    let standard = std::net::UdpSocket::from(socket.try_clone().expect("clones"));
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let clone_fd = std::os::fd::AsRawFd::as_raw_fd(&standard);
    assert_eq!(
        ours,
        format!("{standard:?}").replace(&format!("fd: {clone_fd}"), &format!("fd: {fd}"))
    );
}

#[test]
fn sockets_share_a_port() {
    let one = UdpSocket::bind_reuse_port((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = one.local_addr().expect("bound");
    let two = UdpSocket::bind_reuse_port(address).expect("shares it");
    assert_eq!(two.local_addr().expect("bound"), address);
    let error = UdpSocket::bind(address).expect_err("does not share it");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
