//! A fork of a process with a hub: the child may only exec or exit, and does the parent no harm.
#![expect(unsafe_code, reason = "calls fork")]

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use iora::net::{TcpListener, TcpStream};

const LONG: Duration = Duration::from_secs(3600);

/// Forks; the child runs `child` and exits. Returns its exit status.
fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: the child calls nothing that another thread may have held a lock of, but the allocator, which the C library
    // makes usable in a fork; then it exits without running what the parent registered.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => {
            let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).is_ok();
            // SAFETY: ends the process and does nothing else.
            unsafe { libc::_exit(i32::from(!fine)) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: `status` is valid for writes.
            let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
            assert_eq!(waited, pid);
            status
        }
    }
}

#[test]
fn g095_a_child_that_drops_what_it_inherited_leaves_the_parents_hub_as_it_was() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = iora::spawn(move || listener.accept().unwrap().0);
    let mut client = TcpStream::connect(address).unwrap();
    let mut server = server.get().unwrap();
    // Registers both ends: each has waited once.
    let reader = iora::spawn(move || {
        let mut word = [0; 4];
        server.read_exact(&mut word).unwrap();
        (server, word)
    });
    iora::yield_now();
    client.write_all(b"ping").unwrap();
    let (server, word) = reader.get().unwrap();
    assert_eq!(&word, b"ping");
    let parked = iora::spawn(|| iora::sleep(LONG));
    iora::yield_now();

    let mut ends = Some((client, server));
    let descriptor = ends.as_ref().map(|(client, _)| client.as_raw_fd());
    let mut held = Some(parked);
    let status = fork(|| {
        // What a child drops on its way.
        drop(ends.take());
        drop(held.take());
    });
    assert_eq!(status, 0);

    let (mut client, server) = ends.expect("the parent's are its own");
    assert_eq!(Some(client.as_raw_fd()), descriptor);
    let reader = iora::spawn(move || {
        let mut server = server;
        let mut word = [0; 4];
        server.read_exact(&mut word).unwrap();
        word
    });
    iora::yield_now();
    assert!(!reader.ready(), "it waits for an event of the same registration");
    client.write_all(b"pong").unwrap();
    assert!(reader.join_timeout(Duration::from_secs(60)), "the event came");
    assert_eq!(&reader.get().unwrap(), b"pong");
    let parked = held.expect("the parent's");
    parked.kill();
    assert!(parked.ready());
}

#[test]
fn g095_a_child_that_waits_is_told_and_runs_nothing_of_the_parents() {
    let parked = iora::spawn(|| iora::sleep(Duration::from_millis(5)));
    iora::yield_now();
    let status = fork(|| {
        // The hub is the parent's: it says so instead of waiting on the parent's epoll set.
        let waited = std::panic::catch_unwind(|| iora::sleep(LONG));
        assert!(waited.is_err());
    });
    assert_eq!(status, 0);
    assert!(parked.get().is_ok());
}
