//! Each hooked call on descriptors: it parks where it would block, and what it gives is what the kernel gives.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "calls functions of libc")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "several calls in a row")]

#[path = "common/patched.rs"]
mod patched;
#[path = "common/waiting.rs"]
mod waiting;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_void};
use patched::{in_greenlet, pair, pipe};
use waiting::until_parked;

/// Long enough that nothing else takes as long.
const LONG: Duration = Duration::from_secs(100);

/// What a function of libc gave, with its error.
fn result(value: isize) -> Result<usize, i32> {
    usize::try_from(value).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

fn recv(fd: RawFd, room: &mut [u8], flags: c_int) -> Result<usize, i32> {
    // SAFETY: the buffer has that much room.
    result(unsafe { libc::recv(fd, room.as_mut_ptr().cast(), room.len(), flags) })
}

fn send(fd: RawFd, data: &[u8], flags: c_int) -> Result<usize, i32> {
    // SAFETY: the buffer is that long.
    result(unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), flags) })
}

fn part(data: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    }
}

fn message(parts: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: a message is pointers and integers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len();
    message
}

/// Writes until the pipe or socket is full; how much that was.
fn fill(fd: RawFd) -> usize {
    // SAFETY: flags of a descriptor that is open.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) };
    let chunk = [7_u8; 4096];
    let mut total = 0;
    for size in [chunk.len(), 1] {
        loop {
            // SAFETY: the buffer is longer.
            match unsafe { libc::write(fd, chunk.as_ptr().cast(), size) } {
                ..=0 => break,
                count => total += count as usize,
            }
        }
    }
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
    total
}

/// Reads exactly so much and throws it away.
fn drain(mut from: impl Read, count: usize) {
    let mut rest = count;
    let mut buffer = vec![0; 1 << 16];
    while rest > 0 {
        let room = rest.min(buffer.len());
        let got = from.read(&mut buffer[..room]).expect("readable");
        assert!(got > 0, "it ended early");
        rest -= got;
    }
}

/// A file of a test's own with this in it, which has no name.
fn file_of(data: &[u8]) -> File {
    // SAFETY: a string.
    let fd = unsafe { libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: open, and nobody else's.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(data).unwrap();
    file.rewind().unwrap();
    file
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 % 251) as u8).collect()
}

#[test]
fn each_way_to_receive_parks() {
    in_greenlet(|| {
        type Call = fn(RawFd) -> Vec<u8>;
        fn by_recv(fd: RawFd) -> Vec<u8> {
            let mut room = [0; 8];
            let count = recv(fd, &mut room, 0).unwrap();
            room[..count].to_vec()
        }
        fn by_recvfrom(fd: RawFd) -> Vec<u8> {
            let mut room = [0_u8; 8];
            let none = ptr::null_mut;
            // SAFETY: the buffer has that much room; no address is wanted.
            let count = unsafe { libc::recvfrom(fd, room.as_mut_ptr().cast(), 8, 0, none(), ptr::null_mut()) };
            room[..result(count).unwrap()].to_vec()
        }
        fn by_read(fd: RawFd) -> Vec<u8> {
            let mut room = [0_u8; 8];
            // SAFETY: the buffer has that much room.
            let count = unsafe { libc::read(fd, room.as_mut_ptr().cast(), 8) };
            room[..result(count).unwrap()].to_vec()
        }
        fn by_readv(fd: RawFd) -> Vec<u8> {
            let (mut first, mut second) = ([0_u8; 2], [0_u8; 6]);
            let parts = [part(&mut first), part(&mut second)];
            // SAFETY: two parts with room.
            let count = unsafe { libc::readv(fd, parts.as_ptr(), 2) };
            [&first[..], &second].concat()[..result(count).unwrap()].to_vec()
        }
        fn by_recvmsg(fd: RawFd) -> Vec<u8> {
            let (mut first, mut second) = ([0_u8; 2], [0_u8; 6]);
            let mut parts = [part(&mut first), part(&mut second)];
            let mut message = message(&mut parts);
            // SAFETY: a message of two parts with room.
            let count = unsafe { libc::recvmsg(fd, &raw mut message, 0) };
            [&first[..], &second].concat()[..result(count).unwrap()].to_vec()
        }
        let calls: [(&str, Call); 5] = [
            ("recv", by_recv),
            ("recvfrom", by_recvfrom),
            ("read", by_read),
            ("readv", by_readv),
            ("recvmsg", by_recvmsg),
        ];
        for (name, call) in calls {
            let (mut one, other) = pair();
            // The first time it registers, the second time it is known to be drained.
            for word in [b"once", b"more"] {
                let fd = other.as_raw_fd();
                let reader = iora::spawn(move || call(fd));
                until_parked(&reader, name);
                one.write_all(word).unwrap();
                assert_eq!(reader.get().unwrap(), word, "{name}");
            }
        }
    });
}

#[test]
fn whoever_comes_after_an_event_leaves_it_to_those_who_wait() {
    in_greenlet(|| {
        let one = Rc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = one.local_addr().unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let twin = one.clone();
        let first = iora::spawn(move || twin.recv(&mut [0; 8]).unwrap());
        until_parked(&first, "recv");
        other.send_to(b"word", address).unwrap();
        // Told of the event, and not running yet.
        while format!("{first:?}").contains("parked") {
            iora::yield_now();
        }
        let sender = iora::spawn(move || {
            first.join();
            other.send_to(b"words", address).unwrap();
        });
        assert_eq!(one.recv(&mut [0; 8]).unwrap(), 5);
        sender.get().unwrap();
    });
}

#[test]
fn what_comes_while_a_short_read_lets_others_run_is_news() {
    in_greenlet(|| {
        /// Many reads at a time: after some of them the hub lets others run.
        const READS: std::ops::Range<usize> = 110..140;
        // So many that the hub looks for events meanwhile.
        let others: Vec<_> = (0..200)
            .map(|_| {
                iora::spawn(|| {
                    loop {
                        iora::yield_now();
                    }
                })
            })
            .collect();
        for reads in READS {
            // The last one comes short.
            let size = reads * 4 + 2;
            let (one, mut other) = pair();
            let fd = one.as_raw_fd();
            let reader = iora::spawn(move || {
                let mut total = 0;
                while total < 2 * size {
                    total += recv(one.as_raw_fd(), &mut [0; 4], 0).unwrap();
                }
            });
            for _ in 0..2 {
                other.write_all(&vec![1; size]).unwrap();
                let mut left: c_int = 1;
                while left > 0 {
                    iora::yield_now();
                    // SAFETY: room for a number; once the reader has all, its descriptor is closed.
                    if unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut left) } < 0 {
                        left = 0;
                    }
                }
            }
            reader.get().unwrap();
        }
        iora::killall(&others, None);
    });
}

#[test]
fn each_way_to_send_parks_until_all_is_sent() {
    in_greenlet(|| {
        const SIZE: usize = 20_000_000;
        type Call = fn(RawFd, &mut [u8]) -> isize;
        let calls: [(&str, Call); 6] = [
            // SAFETY: the buffer is that long.
            ("send", |fd, data| unsafe {
                libc::send(fd, data.as_ptr().cast(), data.len(), 0)
            }),
            // SAFETY: the buffer is that long; no address.
            ("sendto", |fd, data| unsafe {
                libc::sendto(fd, data.as_ptr().cast(), data.len(), 0, ptr::null(), 0)
            }),
            // SAFETY: the buffer is that long.
            ("write", |fd, data| unsafe {
                libc::write(fd, data.as_ptr().cast(), data.len())
            }),
            ("writev", |fd, data| {
                let (first, second) = data.split_at_mut(1_000_001);
                let parts = [part(first), part(&mut []), part(second)];
                // SAFETY: three parts.
                unsafe { libc::writev(fd, parts.as_ptr(), 3) }
            }),
            ("sendmsg", |fd, data| {
                let (first, second) = data.split_at_mut(1_000_001);
                let mut parts = [part(first), part(&mut []), part(second)];
                let message = message(&mut parts);
                // SAFETY: a message of three parts.
                unsafe { libc::sendmsg(fd, &raw const message, 0) }
            }),
            ("sendmsg", |fd, data| {
                let (first, second) = data.split_at_mut(1_000_001);
                let (mut one, mut two) = ([part(first)], [part(second)]);
                let mut messages =
                    [message(&mut one), message(&mut two)].map(|msg_hdr| libc::mmsghdr { msg_hdr, msg_len: 0 });
                // SAFETY: two messages.
                let count = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), 2, 0) };
                assert_eq!(count, 2);
                messages.iter().map(|message| message.msg_len as isize).sum()
            }),
        ];
        for (name, call) in calls {
            let (mut one, other) = pair();
            let fd = other.as_raw_fd();
            let writer = iora::spawn(move || call(fd, &mut pattern(SIZE)));
            until_parked(&writer, name);
            let mut received = vec![0; SIZE];
            one.read_exact(&mut received).unwrap();
            assert!(received == pattern(SIZE), "{name}");
            assert_eq!(writer.get().unwrap(), SIZE as isize, "{name}");
        }
    });
}

/// A pipe with a name for a moment: the kernel cannot be told not to wait for one. One descriptor for both ends.
fn named_pipe() -> File {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("iora-pipe-{}-{number}", std::process::id()));
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let pipe = File::options().read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    pipe
}

#[test]
fn a_pipe_with_a_name_takes_what_it_has_room_for_and_then_the_rest() {
    in_greenlet(|| {
        const SIZE: usize = 300_000;
        let pipe = named_pipe();
        let (near, far) = (pipe.try_clone().unwrap(), pipe.try_clone().unwrap());
        // Several pages, and room for all of them.
        (&near).write_all(&[1; 20_000]).unwrap();
        drain(&far, 20_000);
        let writer = iora::spawn(move || (&near).write_all(&pattern(SIZE)).unwrap());
        until_parked(&writer, "write");
        let mut all = vec![0; SIZE];
        (&far).read_exact(&mut all).unwrap();
        writer.get().unwrap();
        assert!(all == pattern(SIZE));
        // Parts, the first of which are empty.
        let (mut first, mut second) = (*b"one", *b"two");
        for parts in [
            vec![part(&mut []), part(&mut first), part(&mut []), part(&mut second)],
            vec![part(&mut []), part(&mut all)],
        ] {
            let size = parts.iter().map(|part| part.iov_len).sum();
            let fd = pipe.as_raw_fd();
            // SAFETY: all parts live until the greenlet has ended.
            let writer = iora::spawn(move || unsafe { libc::writev(fd, parts.as_ptr(), parts.len() as c_int) });
            drain(&far, size);
            assert_eq!(writer.get().unwrap(), size as isize);
        }
    });
}

#[test]
fn what_is_no_memory_is_refused_and_harms_nobody() {
    in_greenlet(|| {
        let (one, _other) = pair();
        let (fd, file) = (one.as_raw_fd(), file_of(b"word"));
        let nowhere = 8;
        let (constant, mutable) = (ptr::without_provenance(nowhere), ptr::without_provenance_mut(nowhere));
        let mut nothing = message(&mut []);
        nothing.msg_iov = ptr::without_provenance_mut(nowhere);
        nothing.msg_iovlen = 2;
        let part: *const libc::iovec = ptr::without_provenance(nowhere);
        // SAFETY: the kernel is to refuse them.
        unsafe {
            assert_eq!(result(libc::sendmsg(fd, constant, 0)), Err(libc::EFAULT));
            assert_eq!(result(libc::sendmsg(fd, &raw const nothing, 0)), Err(libc::EFAULT));
            assert_eq!(result(libc::writev(fd, part, 2)), Err(libc::EFAULT));
            assert_eq!(result(libc::writev(fd, part, 5000)), Err(libc::EINVAL));
            assert_eq!(result(libc::recvmsg(fd, mutable, libc::MSG_WAITALL)), Err(libc::EFAULT));
            let whole = &raw mut nothing;
            assert_eq!(result(libc::recvmsg(fd, whole, libc::MSG_WAITALL)), Err(libc::EFAULT));
            nothing.msg_iovlen = usize::MAX;
            let whole = &raw mut nothing;
            assert_eq!(result(libc::recvmsg(fd, whole, libc::MSG_WAITALL)), Err(libc::EMSGSIZE));
            assert_eq!(result(libc::sendmsg(fd, whole, 0)), Err(libc::EMSGSIZE));
            let offset = ptr::without_provenance_mut(nowhere);
            assert_eq!(
                result(libc::sendfile(fd, file.as_raw_fd(), offset, 1)),
                Err(libc::EFAULT)
            );
        }
    });
}

#[test]
fn several_messages_at_once() {
    in_greenlet(|| {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        one.connect(other.local_addr().unwrap()).unwrap();
        let receive = |fd: RawFd, flags: c_int| {
            let mut rooms = [[0_u8; 8]; 3];
            let mut parts = rooms.each_mut().map(|room| [part(room)]);
            let mut messages = parts.each_mut().map(|part| libc::mmsghdr {
                msg_hdr: message(part),
                msg_len: 0,
            });
            // SAFETY: three messages with room.
            let count = unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), 3, flags as _, ptr::null_mut()) };
            let lengths = messages.map(|message| message.msg_len as usize);
            (result(count as isize), lengths, rooms)
        };
        // All of them.
        let fd = other.as_raw_fd();
        let receiver = iora::spawn(move || receive(fd, 0));
        for word in [&b"a"[..], b"bb", b"ccc"] {
            until_parked(&receiver, "recvmmsg");
            one.send(word).unwrap();
        }
        let (count, lengths, rooms) = receiver.get().unwrap();
        assert_eq!((count, lengths), (Ok(3), [1, 2, 3]));
        assert_eq!(
            [&rooms[0][..1], &rooms[1][..2], &rooms[2][..3]],
            [&b"a"[..], b"bb", b"ccc"]
        );
        // Whatever there is, once there is something.
        let receiver = iora::spawn(move || receive(fd, libc::MSG_WAITFORONE));
        until_parked(&receiver, "recvmmsg");
        one.send(b"alone").unwrap();
        assert_eq!(receiver.get().unwrap().0, Ok(1));
        assert_eq!(receive(fd, libc::MSG_DONTWAIT).0, Err(libc::EAGAIN));
    });
}

#[test]
fn waiting_for_all_that_was_asked_for() {
    in_greenlet(|| {
        type Call = fn(RawFd) -> Result<Vec<u8>, i32>;
        let calls: [(&str, Call); 2] = [
            ("recv", |fd| {
                let mut room = vec![0; 10];
                let count = recv(fd, &mut room, libc::MSG_WAITALL)?;
                Ok(room[..count].to_vec())
            }),
            ("recvmsg", |fd| {
                let mut room = [0; 10];
                let (first, second) = room.split_at_mut(4);
                let mut parts = [part(first), part(second)];
                let mut message = message(&mut parts);
                // SAFETY: two parts with room.
                let count = unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_WAITALL) };
                let count = result(count)?;
                Ok(room[..count].to_vec())
            }),
        ];
        for (name, call) in calls {
            let (mut one, other) = pair();
            let fd = other.as_raw_fd();
            let reader = iora::spawn(move || call(fd));
            for word in [&b"123"[..], b"45", b"67890"] {
                until_parked(&reader, name);
                one.write_all(word).unwrap();
                iora::yield_now();
            }
            assert_eq!(reader.get().unwrap().as_deref(), Ok(&b"1234567890"[..]), "{name}");
            // What there is counts when the peer ends, and when the time is up.
            other.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            one.write_all(b"123456").unwrap();
            let begun = Instant::now();
            assert_eq!(call(fd).as_deref(), Ok(&b"123456"[..]), "{name}");
            assert!(begun.elapsed() >= Duration::from_millis(20));
            assert_eq!(call(fd), Err(libc::EAGAIN), "{name}");
            other.set_read_timeout(None).unwrap();
            let reader = iora::spawn(move || call(fd));
            until_parked(&reader, name);
            one.write_all(b"end").unwrap();
            drop(one);
            assert_eq!(reader.get().unwrap().as_deref(), Ok(&b"end"[..]), "{name}");
            assert_eq!(call(fd).as_deref(), Ok(&b""[..]), "{name}");
        }
    });
}

#[test]
fn peeking_takes_nothing() {
    in_greenlet(|| {
        let (mut one, other) = pair();
        let fd = other.as_raw_fd();
        let peek = move |flags| {
            let mut room = [0; 6];
            recv(fd, &mut room, libc::MSG_PEEK | flags).map(|count| room[..count].to_vec())
        };
        assert_eq!(peek(libc::MSG_DONTWAIT), Err(libc::EAGAIN));
        let peeker = iora::spawn(move || peek(0));
        until_parked(&peeker, "recv");
        one.write_all(b"abc").unwrap();
        assert_eq!(peeker.get().unwrap().as_deref(), Ok(&b"abc"[..]));
        assert_eq!(peek(0).as_deref(), Ok(&b"abc"[..]));
        let peeker = iora::spawn(move || peek(libc::MSG_WAITALL));
        until_parked(&peeker, "recv");
        one.write_all(b"def").unwrap();
        assert_eq!(peeker.get().unwrap().as_deref(), Ok(&b"abcdef"[..]));
        let mut word = [0; 4];
        (&other).read_exact(&mut word).unwrap();
        assert_eq!(&word, b"abcd");
        // The peer ends before there is as much as was asked for.
        let peeker = iora::spawn(move || peek(libc::MSG_WAITALL));
        until_parked(&peeker, "recv");
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peeker.get().unwrap().as_deref(), Ok(&b"ef"[..]));
    });
}

#[test]
fn receiving_into_no_room_waits_for_something_and_reading_into_none_does_not() {
    in_greenlet(|| {
        let (mut one, mut other) = pair();
        let fd = one.as_raw_fd();
        // SAFETY: nothing is read.
        assert_eq!(result(unsafe { libc::read(fd, ptr::null_mut(), 0) }), Ok(0));
        let receiver = iora::spawn(move || recv(fd, &mut [], 0));
        until_parked(&receiver, "recv");
        other.write_all(b"x").unwrap();
        assert_eq!(receiver.get().unwrap(), Ok(0));
        assert_eq!(one.read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn a_call_that_must_not_wait_does_not() {
    in_greenlet(|| {
        let (one, other) = pair();
        let mut room = [0; 4];
        assert_eq!(recv(one.as_raw_fd(), &mut room, libc::MSG_DONTWAIT), Err(libc::EAGAIN));
        fill(one.as_raw_fd());
        assert_eq!(send(one.as_raw_fd(), b"x", libc::MSG_DONTWAIT), Err(libc::EAGAIN));
        drop(other);
    });
}

#[test]
fn time_limits_for_sending() {
    in_greenlet(|| {
        let (one, other) = pair();
        fill(one.as_raw_fd());
        let limit = Duration::from_millis(30);
        one.set_write_timeout(Some(limit)).unwrap();
        let begun = Instant::now();
        assert_eq!(send(one.as_raw_fd(), b"x", 0), Err(libc::EAGAIN));
        assert!(begun.elapsed() >= limit);
        // What was sent before counts.
        let size = 20_000_000;
        let (near, far) = pair();
        near.set_write_timeout(Some(limit)).unwrap();
        let begun = Instant::now();
        let sent = send(near.as_raw_fd(), &vec![1; size], 0).unwrap();
        assert!(sent > 0 && sent < size, "{sent}");
        assert!(begun.elapsed() >= limit);
        drop((far, other));
    });
}

#[test]
fn what_comes_in_time_is_received_though_the_thread_was_busy() {
    in_greenlet(|| {
        let limit = Duration::from_millis(30);
        let (one, mut other) = pair();
        one.set_read_timeout(Some(limit)).unwrap();
        let fd = one.as_raw_fd();
        for flags in [0, libc::MSG_WAITALL] {
            let begun = Instant::now();
            let reader = iora::spawn(move || recv(fd, &mut [0; 4], flags));
            until_parked(&reader, "recv");
            other.write_all(b"word").unwrap();
            // Nobody else runs before the time is up.
            while begun.elapsed() < limit * 2 {
                std::hint::spin_loop();
            }
            assert_eq!(reader.get().unwrap(), Ok(4));
        }
        assert_eq!(recv(fd, &mut [0; 4], 0), Err(libc::EAGAIN));
    });
}

#[test]
fn the_users_own_flags_pass_through() {
    in_greenlet(|| {
        let (one, other) = pair();
        let fd = one.as_raw_fd();
        let mut on: c_int = 1;
        // SAFETY: a pointer to an integer, as this request takes it.
        assert_eq!(unsafe { libc::ioctl(fd, libc::FIONBIO, &raw mut on) }, 0);
        assert_eq!(recv(fd, &mut [0; 4], 0), Err(libc::EAGAIN));
        assert_eq!(recv(fd, &mut [0; 4], libc::MSG_WAITALL), Err(libc::EAGAIN));
        fill(fd);
        assert_eq!(send(fd, b"x", 0), Err(libc::EAGAIN));
        let (read, write) = pipe();
        for fd in [read.as_raw_fd(), write.as_raw_fd()] {
            // SAFETY: sets a flag.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }, 0);
        }
        fill(write.as_raw_fd());
        assert_eq!((&write).write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // SAFETY: no offsets.
        let moved = unsafe { libc::splice(read.as_raw_fd(), ptr::null_mut(), fd, ptr::null_mut(), 10, 0) };
        assert_eq!(result(moved), Err(libc::EAGAIN), "the socket is full");
        // And back.
        let mut off: c_int = 0;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ioctl(fd, libc::FIONBIO, &raw mut off) }, 0);
        let reader = iora::spawn(move || recv(fd, &mut [0; 4], 0));
        until_parked(&reader, "recv");
        (&other).write_all(b"yes").unwrap();
        assert_eq!(reader.get().unwrap(), Ok(3));
    });
}

#[test]
fn a_connection_is_begun_and_accepted_in_turn() {
    in_greenlet(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fd = listener.as_raw_fd();
        // SAFETY: no address is wanted.
        let accept = move || result(unsafe { libc::accept(fd, ptr::null_mut(), ptr::null_mut()) } as isize);
        for _ in 0..2 {
            let server = iora::spawn(accept);
            until_parked(&server, "accept");
            let client = TcpStream::connect(address).unwrap();
            let accepted = server.get().unwrap().unwrap() as RawFd;
            // SAFETY: open, and nobody else's.
            let accepted = TcpStream::from(unsafe { OwnedFd::from_raw_fd(accepted) });
            assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
        }
        // Its end wakes who waits there.
        let server = iora::spawn(accept);
        until_parked(&server, "accept");
        // SAFETY: a socket.
        assert_eq!(unsafe { libc::shutdown(fd, libc::SHUT_RDWR) }, 0);
        assert_eq!(server.get().unwrap(), Err(libc::EINVAL));
    });
}

#[test]
fn a_connection_that_was_begun_is_waited_for_again() {
    in_greenlet(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // SAFETY: shortens the queue of a listener; one connection fills it.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let _first = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // SAFETY: makes a descriptor.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        // SAFETY: open, and nobody else's.
        let second = TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let limit = Duration::from_millis(20);
        second.set_write_timeout(Some(limit)).unwrap();
        // SAFETY: an address is integers, for which zero is a value.
        let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
        (address.sin_family, address.sin_port) = (libc::AF_INET as _, port.to_be());
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: an address of that length.
        let connect = || result(unsafe { libc::connect(fd, (&raw const address).cast(), length) } as isize);
        for error in [libc::EINPROGRESS, libc::EALREADY] {
            let begun = Instant::now();
            assert_eq!(connect(), Err(error));
            assert!(begun.elapsed() >= limit);
        }
    });
}

#[test]
fn shutting_down_wakes_who_reads() {
    in_greenlet(|| {
        let (one, other) = pair();
        let fd = one.as_raw_fd();
        let reader = iora::spawn(move || recv(fd, &mut [0; 4], 0));
        until_parked(&reader, "recv");
        one.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.get().unwrap(), Ok(0));
        drop(other);
    });
}

#[test]
fn shutting_down_ends_the_receiving_of_datagrams() {
    in_greenlet(|| {
        let (local, _other) = UnixDatagram::pair().unwrap();
        let internet = UdpSocket::bind("127.0.0.1:0").unwrap();
        internet.connect(internet.local_addr().unwrap()).unwrap();
        for fd in [local.as_raw_fd(), internet.as_raw_fd()] {
            let reader = iora::spawn(move || recv(fd, &mut [0; 4], 0));
            until_parked(&reader, "recv");
            // SAFETY: it is open.
            assert_eq!(unsafe { libc::shutdown(fd, libc::SHUT_RD) }, 0);
            assert_eq!(reader.get().unwrap(), Ok(0), "who waited");
            assert_eq!(recv(fd, &mut [0; 4], 0), Ok(0), "who comes later");
            assert_eq!(recv(fd, &mut [0; 4], libc::MSG_DONTWAIT), Err(libc::EAGAIN));
        }
    });
}

#[test]
fn whatever_closes_a_descriptor_wakes_who_waits_for_it() {
    in_greenlet(|| {
        type Close = fn(RawFd) -> bool;
        let ways: [Close; 5] = [
            // SAFETY: the test's own descriptor, which it forgets.
            |fd| unsafe { libc::close(fd) == 0 },
            // SAFETY: as above.
            |fd| unsafe { libc::close_range(fd as u32, fd as u32, 0) == 0 },
            // SAFETY: as above; the duplicate of the standard input is closed below.
            |fd| unsafe { libc::dup2(0, fd) == fd },
            // SAFETY: as above.
            |fd| unsafe { libc::dup3(0, fd, libc::O_CLOEXEC) == fd },
            |fd| {
                // SAFETY: as above.
                std::thread::spawn(move || unsafe { libc::close(fd) == 0 })
                    .join()
                    .unwrap()
            },
        ];
        for (number, close) in ways.into_iter().enumerate() {
            let (one, _other) = pair();
            let fd = mem::ManuallyDrop::new(one).as_raw_fd();
            let reader = iora::spawn(move || recv(fd, &mut [0; 4], 0));
            until_parked(&reader, "recv");
            assert!(close(fd), "{number}");
            assert_eq!(reader.get().unwrap(), Err(libc::EBADF), "{number}");
            if matches!(number, 2 | 3) {
                // SAFETY: the duplicate.
                unsafe { libc::close(fd) };
            }
        }
    });
}

#[test]
fn a_close_leaves_the_error_number_as_it_was() {
    in_greenlet(|| {
        let (one, mut other) = pair();
        let fd = mem::ManuallyDrop::new(one).as_raw_fd();
        let reader = iora::spawn(move || recv(fd, &mut [0; 4], 0));
        until_parked(&reader, "recv");
        other.write_all(b"word").unwrap();
        assert_eq!(reader.get().unwrap(), Ok(4));
        // SAFETY: the thread's own; a descriptor that the test forgets.
        let after = unsafe {
            *libc::__errno_location() = libc::EXDEV;
            (libc::close(fd), *libc::__errno_location())
        };
        assert_eq!(after, (0, libc::EXDEV));
    });
}

#[test]
fn a_stream_that_is_closed_closes_its_descriptor() {
    in_greenlet(|| {
        let (one, _other) = pair();
        let fd = mem::ManuallyDrop::new(one).as_raw_fd();
        let reader = iora::spawn(move || recv(fd, &mut [0; 4], 0));
        until_parked(&reader, "recv");
        // SAFETY: the socket is the stream's from here on, and that is closed.
        unsafe {
            let stream = libc::fdopen(fd, c"r+".as_ptr());
            assert!(!stream.is_null());
            assert_eq!(libc::fclose(stream), 0);
        }
        assert_eq!(reader.get().unwrap(), Err(libc::EBADF));
        let file = file_of(b"text");
        let at = file.as_raw_fd();
        // SAFETY: puts it where the socket was, if it is not there.
        assert!(at == fd || unsafe { libc::syscall(libc::SYS_dup3, at, fd, 0) } == fd.into());
        let mut text = [0_u8; 4];
        // SAFETY: a buffer with room.
        assert_eq!(unsafe { libc::read(fd, text.as_mut_ptr().cast(), 4) }, 4);
        assert_eq!(&text, b"text");
        // SAFETY: nobody else's.
        assert!(at == fd || unsafe { libc::close(fd) } == 0);
    });
}

#[test]
fn a_number_that_is_used_again_is_not_taken_for_what_was_waited_for() {
    in_greenlet(|| {
        let held = file_of(b"");
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        let lock = |file: &File, operation| {
            // SAFETY: open.
            unsafe { libc::flock(file.as_raw_fd(), operation) }
        };
        assert_eq!(lock(&held, libc::LOCK_EX), 0);
        let second = File::options().read(true).write(true).open(path).unwrap();
        let fd = second.as_raw_fd();
        let waits = iora::spawn(move || {
            // SAFETY: open when it is called.
            result(unsafe { libc::flock(fd, libc::LOCK_EX) } as isize)
        });
        until_parked(&waits, "flock");
        let another = file_of(b"");
        let path = format!("/proc/self/fd/{}", another.as_raw_fd());
        let beside = File::options().read(true).write(true).open(path).unwrap();
        // SAFETY: puts it where the other was.
        assert_eq!(unsafe { libc::dup2(another.as_raw_fd(), fd) }, fd);
        assert_eq!(waits.get().unwrap(), Err(libc::EBADF));
        assert_eq!(lock(&beside, libc::LOCK_EX | libc::LOCK_NB), 0, "nobody has locked it");
    });
}

#[test]
fn what_closes_nothing_wakes_nobody() {
    in_greenlet(|| {
        let (one, other) = pair();
        let fd = one.as_raw_fd();
        let reader = iora::spawn(move || recv(fd, &mut [0; 4], 0));
        until_parked(&reader, "recv");
        let number = fd as u32;
        // SAFETY: these fail, or close nothing.
        unsafe {
            assert_eq!(libc::dup3(0, fd, libc::O_APPEND), -1);
            assert_eq!(libc::dup3(fd, fd, 0), -1);
            assert_eq!(libc::dup2(1 << 20, fd), -1);
            assert_eq!(libc::dup2(fd, fd), fd);
            assert_eq!(libc::close_range(number, number, 1 << 10), -1);
            assert_eq!(libc::close_range(number, number, libc::CLOSE_RANGE_CLOEXEC as c_int), 0);
        }
        (0..5).for_each(|_| iora::yield_now());
        until_parked(&reader, "recv");
        (&other).write_all(b"word").unwrap();
        assert_eq!(reader.get().unwrap(), Ok(4));
    });
}

#[test]
fn a_duplicate_outlives_what_it_was_made_of() {
    in_greenlet(|| {
        let ways: [fn(RawFd) -> RawFd; 3] = [
            // SAFETY: duplicates a descriptor.
            |fd| unsafe { libc::dup(fd) },
            // SAFETY: as above.
            |fd| unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) },
            |fd| {
                let free = file_of(b"");
                // SAFETY: as above, in place of a file that is closed by it.
                unsafe { libc::dup2(fd, mem::ManuallyDrop::new(free).as_raw_fd()) }
            },
        ];
        for duplicate in ways {
            let (one, other) = pair();
            // Both are registered with the hub, which has to tell them apart when one is closed.
            let first = one.as_raw_fd();
            let reader = iora::spawn(move || recv(first, &mut [0; 4], 0));
            until_parked(&reader, "recv");
            let second = duplicate(first);
            assert!(second >= 0);
            // SAFETY: open, and nobody else's.
            let twin = unsafe { OwnedFd::from_raw_fd(second) };
            (&other).write_all(b"one").unwrap();
            assert_eq!(reader.get().unwrap(), Ok(3));
            let [one_reader, twin_reader] = [first, second].map(|fd| iora::spawn(move || recv(fd, &mut [0; 1], 0)));
            until_parked(&one_reader, "recv");
            until_parked(&twin_reader, "recv");
            drop(one);
            assert_eq!(one_reader.get().unwrap(), Err(libc::EBADF));
            until_parked(&twin_reader, "recv");
            (&other).write_all(b"two").unwrap();
            assert_eq!(twin_reader.get().unwrap(), Ok(1));
            assert_eq!(recv(second, &mut [0; 4], 0), Ok(2));
            drop(twin);
        }
    });
}

#[test]
fn sendfile_to_a_socket_and_a_pipe() {
    in_greenlet(|| {
        const SIZE: usize = 20_000_000;
        let data = pattern(SIZE);
        let send_all = |out: RawFd, file: File| {
            let from = file.as_raw_fd();
            let mut offset: libc::off_t = 1000;
            let size = SIZE - 1000;
            // SAFETY: an offset to read and write.
            let sent = result(unsafe { libc::sendfile(out, from, &raw mut offset, size + 5) });
            assert_eq!((sent, offset as usize), (Ok(size), SIZE), "what there is");
            assert_eq!((&file).stream_position().unwrap(), 0, "which is not used");
            // SAFETY: no offset.
            let sent = result(unsafe { libc::sendfile64(out, from, ptr::null_mut(), 500) });
            assert_eq!((sent, (&file).stream_position().unwrap()), (Ok(500), 500));
        };
        let receive = |mut from: Box<dyn Read>| {
            let mut received = Vec::new();
            from.read_to_end(&mut received).unwrap();
            assert!(received == [&data[1000..], &data[..500]].concat());
        };
        let (one, other) = pair();
        let file = file_of(&data);
        let sender = iora::spawn(move || send_all(one.as_raw_fd(), file));
        until_parked(&sender, "sendfile");
        // The sender drops its end when it is done, and the reader sees the end.
        receive(Box::new(other));
        sender.get().unwrap();
        let (read, write) = pipe();
        let file = file_of(&data);
        let sender = iora::spawn(move || {
            let out = write;
            let fd = out.as_raw_fd();
            send_all(fd, file);
        });
        until_parked(&sender, "sendfile");
        receive(Box::new(read));
        sender.get().unwrap();
    });
}

#[test]
fn splice_from_and_to() {
    // SAFETY: no offsets.
    let splice = |from: RawFd, to: RawFd, length: usize| unsafe {
        result(libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), length, 0))
    };
    in_greenlet(move || {
        // From an empty socket to a pipe.
        let (mut one, other) = pair();
        let (read, write) = pipe();
        let (from, to) = (other.as_raw_fd(), write.as_raw_fd());
        let splicer = iora::spawn(move || splice(from, to, 100));
        until_parked(&splicer, "splice");
        one.write_all(b"hello").unwrap();
        assert_eq!(splicer.get().unwrap(), Ok(5));
        // From the pipe to a full socket.
        let stuffed = fill(from);
        let (source, sink) = (read.as_raw_fd(), from);
        let splicer = iora::spawn(move || splice(source, sink, 100));
        until_parked(&splicer, "splice");
        drain(&one, stuffed);
        assert_eq!(splicer.get().unwrap(), Ok(5));
        let mut word = [0; 5];
        one.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"hello");
        // To a full pipe, and from an empty one.
        let (empty, feed) = pipe();
        let splicer = iora::spawn(move || splice(empty.as_raw_fd(), to, 100));
        until_parked(&splicer, "splice");
        (&feed).write_all(b"word").unwrap();
        assert_eq!(splicer.get().unwrap(), Ok(4));
        let stuffed = 4 + fill(to);
        let (full, more) = pipe();
        (&more).write_all(b"more").unwrap();
        let splicer = iora::spawn(move || splice(full.as_raw_fd(), to, 100));
        until_parked(&splicer, "splice");
        drain(&read, stuffed);
        assert_eq!(splicer.get().unwrap(), Ok(4));
        // The end of what is read from.
        drop(feed);
    });
}

#[test]
fn a_splice_that_does_nothing_waits_for_nothing() {
    in_greenlet(|| {
        let (read, _write) = pipe();
        let (one, other) = pair();
        let splice = |from: RawFd, out: RawFd, length| {
            // SAFETY: no offsets.
            result(unsafe { libc::splice(from, ptr::null_mut(), out, ptr::null_mut(), length, 0) })
        };
        assert_eq!(splice(read.as_raw_fd(), one.as_raw_fd(), 0), Ok(0));
        assert_eq!(splice(other.as_raw_fd(), one.as_raw_fd(), 1), Err(libc::EINVAL));
    });
}

#[test]
fn splice_to_a_socket_with_less_room_than_the_pipe_holds() {
    in_greenlet(|| {
        let (mut one, other) = pair();
        for (fd, option) in [(one.as_raw_fd(), libc::SO_RCVBUF), (other.as_raw_fd(), libc::SO_SNDBUF)] {
            let size: c_int = 4096;
            // SAFETY: an integer, as this option takes it.
            let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const size).cast(), 4) };
            assert_eq!(set, 0);
        }
        let total = 1_000_000;
        let (read, mut write) = pipe();
        let feeder = iora::spawn(move || write.write_all(&pattern(total)).unwrap());
        let splicer = iora::spawn(move || {
            let (from, to) = (read.as_raw_fd(), other.as_raw_fd());
            let mut moved = 0;
            loop {
                // SAFETY: no offsets.
                let count = unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), 1 << 16, 0) };
                match result(count).unwrap() {
                    0 => break moved,
                    count => moved += count,
                }
            }
        });
        until_parked(&feeder, "write");
        until_parked(&splicer, "splice");
        let mut received = Vec::new();
        one.read_to_end(&mut received).unwrap();
        assert!(received == pattern(total));
        assert_eq!(splicer.get().unwrap(), total);
    });
}

#[test]
fn copying_between_sockets_as_std_does() {
    in_greenlet(|| {
        // `std::io::copy` splices, or sends files.
        let (mut near, mut from) = pair();
        let (mut to, mut far) = pair();
        let copier = iora::spawn(move || io::copy(&mut from, &mut to).unwrap());
        let feeder = iora::spawn(move || near.write_all(&pattern(20_000_000)).unwrap());
        let mut received = Vec::new();
        far.read_to_end(&mut received).unwrap();
        feeder.get().unwrap();
        assert!(received == pattern(20_000_000));
        assert_eq!(copier.get().unwrap(), 20_000_000);
        for through in [file_of(&pattern(20_000_000)), {
            let (read, mut write) = pipe();
            iora::spawn(move || write.write_all(&pattern(20_000_000)).unwrap());
            read
        }] {
            let (mut to, mut far) = pair();
            let mut through = through;
            let copier = iora::spawn(move || io::copy(&mut through, &mut to).unwrap());
            let mut received = Vec::new();
            far.read_to_end(&mut received).unwrap();
            assert!(received == pattern(20_000_000));
            assert_eq!(copier.get().unwrap(), 20_000_000);
        }
    });
}

#[test]
fn locks_of_files_are_waited_for() {
    let folder = std::env::temp_dir().join(format!("iora-locks-{}", std::process::id()));
    let path = folder.clone();
    in_greenlet(move || {
        let open = || {
            let mut options = File::options();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .unwrap()
        };
        let (one, other) = (open(), open());
        // SAFETY: a file.
        assert_eq!(unsafe { libc::flock(one.as_raw_fd(), libc::LOCK_EX) }, 0);
        let fd = other.as_raw_fd();
        // SAFETY: as above.
        let try_lock = result(unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } as isize);
        assert_eq!(try_lock, Err(libc::EWOULDBLOCK));
        // SAFETY: as above.
        let waiter = iora::spawn(move || unsafe { libc::flock(fd, libc::LOCK_EX) });
        until_parked(&waiter, "flock");
        drop(one);
        assert_eq!(waiter.get().unwrap(), 0);
        // Of parts of a file, which belong to the open file.
        let one = open();
        // SAFETY: a lock is integers, for which zero is a value.
        let mut lock: libc::flock = unsafe { mem::zeroed() };
        (lock.l_type, lock.l_len) = (libc::F_WRLCK as _, 10);
        // SAFETY: a file and a lock.
        let locked = unsafe { libc::fcntl(one.as_raw_fd(), libc::F_OFD_SETLKW, &raw const lock) };
        assert_eq!(locked, 0);
        // SAFETY: as above.
        let waiter = iora::spawn(move || unsafe { libc::fcntl(fd, libc::F_OFD_SETLKW, &raw const lock) });
        until_parked(&waiter, "fcntl");
        drop(one);
        assert_eq!(waiter.get().unwrap(), 0);
        // std's own.
        let one = open();
        drop(other);
        one.lock().unwrap();
        let other = open();
        let waiter = iora::spawn(move || other.lock().unwrap());
        until_parked(&waiter, "flock");
        one.unlock().unwrap();
        waiter.get().unwrap();
        // A kill ends the wait.
        one.lock().unwrap();
        let other = open();
        // SAFETY: a file.
        let waiter = iora::spawn(move || unsafe { libc::flock(other.as_raw_fd(), libc::LOCK_EX) });
        until_parked(&waiter, "flock");
        waiter.kill();
        assert!(matches!(waiter.get(), Err(iora::Exit::Killed)));
    });
    let _ = std::fs::remove_file(folder);
}

#[test]
fn a_lock_that_another_process_holds() {
    let path = std::env::temp_dir().join(format!("iora-process-lock-{}", std::process::id()));
    let file = path.clone();
    in_greenlet(move || {
        let mine = File::create(&file).unwrap();
        let (mut read, write) = pipe();
        // SAFETY: a lock is integers, for which zero is a value.
        let mut lock: libc::flock = unsafe { mem::zeroed() };
        lock.l_type = libc::F_WRLCK as _;
        let fd = mine.as_raw_fd();
        // SAFETY: the child makes system calls, and exits.
        let child = match unsafe { libc::fork() } {
            0 => {
                // SAFETY: a file and a lock; then the child says so, waits for its end, and exits.
                unsafe {
                    libc::fcntl(fd, libc::F_SETLKW, &raw const lock);
                    libc::write(write.as_raw_fd(), c"x".as_ptr().cast(), 1);
                    libc::pause();
                    libc::_exit(0);
                }
            }
            child => child,
        };
        assert!(child > 0);
        read.read_exact(&mut [0]).unwrap();
        // SAFETY: a file and a lock.
        let waiter = iora::spawn(move || unsafe { libc::fcntl(fd, libc::F_SETLKW, &raw const lock) });
        until_parked(&waiter, "fcntl");
        // SAFETY: the child, which nobody has waited for.
        assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
        assert_eq!(waiter.get().unwrap(), 0);
        // SAFETY: as above; no status is wanted.
        assert_eq!(unsafe { libc::waitpid(child, ptr::null_mut(), 0) }, child);
    });
    let _ = std::fs::remove_file(path);
}

#[test]
fn a_datagram_for_a_receiver_that_is_full() {
    in_greenlet(|| {
        let folder = std::env::temp_dir().join(format!("iora-datagrams-{}", std::process::id()));
        let _ = std::fs::remove_file(&folder);
        let receiver = UnixDatagram::bind(&folder).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"filler", &folder).is_ok() {}
        // Connected or not: a socket that is not gives no event when there is room.
        let connected = UnixDatagram::unbound().unwrap();
        connected.connect(&folder).unwrap();
        let path = folder.clone();
        let senders = [
            ("write", iora::spawn(move || connected.send(b"one").unwrap())),
            (
                "sendto",
                iora::spawn({
                    let unconnected = UnixDatagram::unbound().unwrap();
                    move || unconnected.send_to(b"two", path).unwrap()
                }),
            ),
        ];
        for (name, sender) in &senders {
            until_parked(sender, name);
        }
        let mut words = Vec::new();
        while words.len() < 2 {
            let mut room = [0; 16];
            let count = receiver.recv(&mut room).unwrap();
            if &room[..count] != b"filler" {
                words.push(room[..count].to_vec());
            }
        }
        assert!(words.contains(&b"one".to_vec()) && words.contains(&b"two".to_vec()));
        for (_, sender) in senders {
            assert_eq!(sender.get().unwrap(), 3);
        }
        let _ = std::fs::remove_file(&folder);
    });
}

#[test]
fn events_timers_and_terminals() {
    in_greenlet(|| {
        let owned = |fd: RawFd| {
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            // SAFETY: open, and nobody else's.
            File::from(unsafe { OwnedFd::from_raw_fd(fd) })
        };
        // SAFETY: makes a descriptor.
        let event = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) });
        let twin = event.try_clone().unwrap();
        let reader = iora::spawn(move || {
            let mut word = [0; 8];
            (&twin).read_exact(&mut word).unwrap();
            u64::from_ne_bytes(word)
        });
        until_parked(&reader, "read");
        (&event).write_all(&7_u64.to_ne_bytes()).unwrap();
        assert_eq!(reader.get().unwrap(), 7);
        // One that is full is waited for.
        (&event).write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
        let twin = event.try_clone().unwrap();
        let writer = iora::spawn(move || (&twin).write_all(&1_u64.to_ne_bytes()).unwrap());
        until_parked(&writer, "write");
        (&event).read_exact(&mut [0; 8]).unwrap();
        writer.get().unwrap();
        // SAFETY: makes a descriptor.
        let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) });
        let nothing = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let once = libc::itimerspec {
            it_interval: nothing,
            it_value: libc::timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            },
        };
        // SAFETY: a timer and its setting.
        let set = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const once, ptr::null_mut()) };
        assert_eq!(set, 0);
        let reader = iora::spawn(move || (&timer).read(&mut [0; 8]).unwrap());
        until_parked(&reader, "read");
        assert_eq!(reader.get().unwrap(), 8);
        // SAFETY: makes a descriptor, and its other end.
        let (keyboard, screen) = unsafe {
            let keyboard = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
            assert_eq!((libc::grantpt(keyboard), libc::unlockpt(keyboard)), (0, 0));
            let screen = libc::ioctl(
                keyboard,
                libc::TIOCGPTPEER,
                libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
            );
            (owned(keyboard), owned(screen))
        };
        let twin = screen.try_clone().unwrap();
        let reader = iora::spawn(move || {
            let mut line = [0; 16];
            let count = (&twin).read(&mut line).unwrap();
            line[..count].to_vec()
        });
        until_parked(&reader, "read");
        (&keyboard).write_all(b"typed\n").unwrap();
        assert_eq!(reader.get().unwrap(), b"typed\n");
        drain(&keyboard, b"typed\r\n".len());
        // Nobody looks at the screen for a while.
        let writer = iora::spawn(move || (&screen).write_all(&[b'x'; 100_000]).unwrap());
        until_parked(&writer, "write");
        drain(&keyboard, 100_000);
        writer.get().unwrap();
    });
}

#[test]
fn a_kill_or_a_timeout_ends_each_wait() {
    in_greenlet(|| {
        type Call = fn(RawFd) -> isize;
        let calls: [(&str, Call); 9] = [
            ("recv", |fd| recv(fd, &mut [0; 1], 0).map_or(-1, |count| count as isize)),
            ("recv", |fd| {
                recv(fd, &mut [0; 1], libc::MSG_WAITALL).map_or(-1, |count| count as isize)
            }),
            // SAFETY: a buffer with room.
            ("read", |fd| unsafe {
                libc::read(fd, [0_u8; 1].as_mut_ptr().cast::<c_void>(), 1)
            }),
            ("poll", |fd| {
                let mut entry = libc::pollfd {
                    fd,
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: one entry.
                unsafe { libc::poll(&raw mut entry, 1, -1) as isize }
            }),
            ("splice", |fd| {
                let (_read, write) = pipe();
                // SAFETY: no offsets.
                unsafe { libc::splice(fd, ptr::null_mut(), write.as_raw_fd(), ptr::null_mut(), 1, 0) }
            }),
            ("send", |fd| {
                fill(fd);
                send(fd, b"x", 0).map_or(-1, |count| count as isize)
            }),
            ("poll", |_| {
                // SAFETY: no entries.
                unsafe { libc::poll(ptr::null_mut(), 0, -1) as isize }
            }),
            // SAFETY: no sets.
            ("select", |_| unsafe {
                libc::select(0, ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut()) as isize
            }),
            ("waitpid", |_| {
                let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
                let pid = child.id() as libc::pid_t;
                // SAFETY: no status is wanted.
                let value = unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } as isize;
                let error = io::Error::last_os_error();
                child.kill().unwrap();
                reap(&mut child);
                // SAFETY: this thread's own.
                unsafe { *libc::__errno_location() = error.raw_os_error().unwrap() };
                value
            }),
        ];
        for (name, call) in calls {
            let (one, _other) = pair();
            let fd = one.as_raw_fd();
            let outcome = move || (call(fd), io::Error::last_os_error().raw_os_error());
            let seen = Rc::new(std::cell::Cell::new(None));
            let victim = iora::spawn({
                let seen = seen.clone();
                move || seen.set(Some(outcome()))
            });
            until_parked(&victim, name);
            victim.kill();
            assert!(matches!(victim.get(), Err(iora::Exit::Killed)), "{name}");
            assert_eq!(seen.take(), Some((-1, Some(libc::ECANCELED))), "{name}");
            let (near, _far) = pair();
            let fd = near.as_raw_fd();
            let begun = Instant::now();
            assert!(iora::timeout(Duration::from_millis(10), || call(fd)).is_err(), "{name}");
            assert!(begun.elapsed() < LONG, "{name}");
        }
    });
}

/// Reaps a child that has been killed, without waiting where that would fail.
fn reap(child: &mut std::process::Child) {
    iora::monkey::unpatched(|| child.wait().unwrap());
}

/// Sends data and a descriptor along with it.
fn send_with(fd: RawFd, mut data: Vec<u8>, carried: RawFd) -> Result<usize, i32> {
    let mut parts = [part(&mut data)];
    let mut message = message(&mut parts);
    let mut control = [0_u64; 8];
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as usize;
    // SAFETY: there is room for a header and a descriptor.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header).cast::<c_int>().write(carried);
        result(libc::sendmsg(fd, &raw const message, 0))
    }
}

/// Receives data, and a descriptor if one comes along.
fn receive_with(fd: RawFd, room: &mut [u8], flags: c_int) -> (Result<usize, i32>, Option<OwnedFd>) {
    let mut parts = [part(room)];
    let mut message = message(&mut parts);
    let mut control = [0_u64; 8];
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: a message with room.
    let count = result(unsafe { libc::recvmsg(fd, &raw mut message, flags) });
    // SAFETY: the kernel has filled it in.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: if it is there, it carries a descriptor, which is ours now.
    let carried = unsafe { header.as_ref() }
        .map(|header| unsafe { OwnedFd::from_raw_fd(libc::CMSG_DATA(ptr::from_ref(header)).cast::<c_int>().read()) });
    (count, carried)
}

#[test]
fn waiting_for_all_ends_with_what_carries_a_descriptor() {
    in_greenlet(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let receive = move || {
            let carried = file_of(b"carried");
            assert_eq!(send(near.as_raw_fd(), b"abc", 0), Ok(3));
            assert_eq!(send_with(near.as_raw_fd(), b"def".to_vec(), carried.as_raw_fd()), Ok(3));
            assert_eq!(send(near.as_raw_fd(), b"ghi", 0), Ok(3));
            let mut seen = Vec::new();
            let mut rest = 9;
            while rest > 0 {
                let mut room = [0; 9];
                let (count, carried) = receive_with(far.as_raw_fd(), &mut room[..rest], libc::MSG_WAITALL);
                seen.push((room[..count.unwrap()].to_vec(), carried.is_some()));
                rest -= count.unwrap();
            }
            seen
        };
        let expected = iora::monkey::unpatched(&receive);
        assert!(expected.iter().any(|(_, carried)| *carried));
        assert_eq!(receive(), expected);
    });
}

#[test]
fn unix_streams_carry_descriptors_once() {
    in_greenlet(|| {
        // A send that has to wait must not send what goes along with it twice.
        let (near, far) = UnixStream::pair().unwrap();
        let sent = file_of(b"carried");
        let fd = near.as_raw_fd();
        let number = sent.as_raw_fd();
        const SIZE: usize = 1_000_000;
        let sender = iora::spawn(move || send_with(fd, vec![1; SIZE], number));
        until_parked(&sender, "sendmsg");
        let (mut received, mut descriptors) = (0, 0);
        while received < SIZE {
            let (count, carried) = receive_with(far.as_raw_fd(), &mut vec![0; 1 << 16], 0);
            received += count.unwrap();
            descriptors += usize::from(carried.is_some());
        }
        assert_eq!((received, descriptors), (SIZE, 1));
        assert_eq!(sender.get().unwrap(), Ok(SIZE));
        drop(sent);
    });
}
