//! Unmodified event loops, `poll` and `select` in greenlets of one thread; and names, compared with the C library's.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "calls functions of libc")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "one of two calls")]

#[path = "common/beside.rs"]
mod beside;
#[path = "common/child.rs"]
mod child;
#[path = "common/patched.rs"]
#[expect(dead_code, reason = "no pipes are needed here")]
mod patched;
#[path = "common/waiting.rs"]
mod waiting;

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use beside::beside_another;
use patched::{in_greenlet, pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use waiting::until_parked;

#[test]
fn poll_waits_for_any_of_several() {
    let (one, other) = pair();
    let (third, fourth) = pair();
    let (count, events) = beside_another(move || {
        let writer = iora::spawn(move || {
            iora::sleep(Duration::from_millis(20));
            (&fourth).write_all(b"x").unwrap();
            (other, fourth)
        });
        let entry = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // One twice, and one that is to be ignored.
        let mut entries = [
            entry(one.as_raw_fd()),
            entry(third.as_raw_fd()),
            entry(-1),
            entry(one.as_raw_fd()),
        ];
        // SAFETY: four entries.
        let count = unsafe { libc::poll(entries.as_mut_ptr(), 4, -1) };
        drop(writer.get());
        (count, entries.map(|entry| entry.revents))
    });
    assert_eq!((count, events), (1, [0, libc::POLLIN, 0, 0]));
}

#[test]
fn poll_waits_for_both_of_two_entries_of_one_descriptor() {
    in_greenlet(|| {
        let (one, mut other) = pair();
        one.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(count) = (&one).write(&[0; 1 << 16]) {
            sent += count;
        }
        let reader = iora::spawn(move || {
            other.read_exact(&mut vec![0; sent]).unwrap();
            other
        });
        let entry = |events| libc::pollfd {
            fd: one.as_raw_fd(),
            events,
            revents: 0,
        };
        let mut entries = [entry(libc::POLLIN), entry(libc::POLLOUT)];
        // SAFETY: two entries.
        assert_eq!(unsafe { libc::poll(entries.as_mut_ptr(), 2, -1) }, 1);
        assert_eq!(entries.map(|entry| entry.revents), [0, libc::POLLOUT]);
        drop(reader.get());
    });
}

#[test]
fn g084_poll_gives_up_in_time_and_knows_what_is_not_open() {
    let (one, other) = pair();
    beside_another(move || {
        let begun = Instant::now();
        let mut entry = libc::pollfd {
            fd: one.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry.
        assert_eq!(unsafe { libc::poll(&raw mut entry, 1, 30) }, 0);
        // SAFETY: no entries.
        assert_eq!(unsafe { libc::poll(ptr::null_mut(), 0, 10) }, 0);
        assert!(begun.elapsed() >= Duration::from_millis(40));
        let mut entry = libc::pollfd {
            fd: 1 << 20,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry.
        assert_eq!(unsafe { libc::poll(&raw mut entry, 1, -1) }, 1);
        assert_eq!(entry.revents, libc::POLLNVAL);
        drop(other);
    });
}

#[test]
fn select_waits() {
    let (one, other) = pair();
    let count = beside_another(move || {
        let writer = iora::spawn(move || {
            iora::sleep(Duration::from_millis(20));
            (&other).write_all(b"x").unwrap();
            other
        });
        // SAFETY: a set is an array of integers.
        let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
        // SAFETY: a small number.
        unsafe { libc::FD_SET(one.as_raw_fd(), &raw mut set) };
        let none = ptr::null_mut;
        // SAFETY: one set, no limit.
        let count = unsafe { libc::select(one.as_raw_fd() + 1, &raw mut set, none(), none(), ptr::null_mut()) };
        // SAFETY: as above.
        assert!(unsafe { libc::FD_ISSET(one.as_raw_fd(), &raw const set) });
        drop(writer.get());
        count
    });
    assert_eq!(count, 1);
}

#[test]
fn poll_and_select_wait_for_urgent_data_alone() {
    type Wait = fn(RawFd) -> (i32, bool);
    let waits: [Wait; 2] = [
        |fd| {
            let mut entry = libc::pollfd {
                fd,
                events: libc::POLLPRI,
                revents: 0,
            };
            // SAFETY: one entry, no limit.
            let count = unsafe { libc::poll(&raw mut entry, 1, -1) };
            (count, entry.revents == libc::POLLPRI)
        },
        |fd| {
            // SAFETY: a set is an array of integers; a small number.
            let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
            // SAFETY: as above.
            unsafe { libc::FD_SET(fd, &raw mut set) };
            let none = ptr::null_mut;
            // SAFETY: one set, no limit.
            let count = unsafe { libc::select(fd + 1, none(), none(), &raw mut set, ptr::null_mut()) };
            // SAFETY: as above.
            (count, unsafe { libc::FD_ISSET(fd, &raw const set) })
        },
    ];
    for (what, wait) in ["poll", "select"].into_iter().zip(waits) {
        in_greenlet(move || {
            let (one, mut other) = pair();
            let fd = one.as_raw_fd();
            other.write_all(b"not urgent").unwrap();
            let waits = iora::spawn(move || wait(fd));
            until_parked(&waits, what);
            // SAFETY: one byte.
            let sent = unsafe { libc::send(other.as_raw_fd(), [0_u8].as_ptr().cast(), 1, libc::MSG_OOB) };
            assert_eq!(sent, 1);
            assert_eq!(waits.get().unwrap(), (1, true), "{what}");
        });
    }
}

#[test]
fn select_says_how_much_time_is_left() {
    let left = beside_another(|| {
        let (one, other) = pair();
        let select = |seconds, microseconds| {
            // SAFETY: a set is an array of integers; a small number.
            let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
            // SAFETY: as above.
            unsafe { libc::FD_SET(one.as_raw_fd(), &raw mut set) };
            let mut limit = libc::timeval {
                tv_sec: seconds,
                tv_usec: microseconds,
            };
            let none = ptr::null_mut;
            // SAFETY: one set, and a limit.
            let count = unsafe { libc::select(one.as_raw_fd() + 1, &raw mut set, none(), none(), &raw mut limit) };
            let left = Duration::from_secs(limit.tv_sec as u64) + Duration::from_micros(limit.tv_usec as u64);
            (count, left)
        };
        assert_eq!(select(0, 20_000), (0, Duration::ZERO));
        let writer = iora::spawn(move || {
            iora::sleep(Duration::from_millis(20));
            (&other).write_all(b"x").unwrap();
            other
        });
        let (count, left) = select(2000, 0);
        drop(writer.get());
        assert_eq!(count, 1);
        left
    });
    assert!(left <= Duration::from_millis(1_999_980), "{left:?}");
    assert!(left > Duration::from_secs(1000), "{left:?}");
}

#[test]
fn a_select_leaves_alone_what_the_kernel_does() {
    in_greenlet(|| {
        let (one, other) = pair();
        let fd = one.as_raw_fd();
        let words = fd as usize / 64 + 1;
        // A set no longer than need be, and what is behind it.
        let memory: &'static [Cell<u64>] = Box::leak(vec![Cell::new(0); words + 16].into());
        let bits = 1 << (fd % 64);
        memory[words - 1].set(bits);
        let select = move || {
            let set = memory.as_ptr().cast_mut().cast();
            let none = ptr::null_mut;
            // SAFETY: a set that is long enough for the number.
            let count = unsafe { libc::select(fd + 1, set, none(), none(), ptr::null_mut()) };
            (count, std::io::Error::last_os_error().raw_os_error())
        };
        let selects = iora::spawn(select);
        until_parked(&selects, "select");
        assert_eq!(memory[words - 1].get(), bits, "it is the program's while it waits");
        memory[words].set(42);
        (&other).write_all(b"x").unwrap();
        assert_eq!(selects.get().unwrap().0, 1);
        assert_eq!(memory[words - 1].get(), bits);
        assert_eq!(memory[words].get(), 42, "it is not the set's");
        // Of one that fails nothing is changed.
        (&one).read_exact(&mut [0]).unwrap();
        let failed = Rc::new(Cell::new(None));
        let twin = failed.clone();
        let killed = iora::spawn(move || twin.set(Some(select())));
        until_parked(&killed, "select");
        killed.kill();
        killed.join();
        assert_eq!(failed.get(), Some((-1, Some(libc::ECANCELED))));
        assert_eq!(memory[words - 1].get(), bits);
    });
}

#[test]
fn select_and_poll_refuse_what_the_kernel_refuses() {
    in_greenlet(|| {
        let error = || std::io::Error::last_os_error().raw_os_error();
        let none = ptr::null_mut;
        let select = move |seconds, microseconds| {
            let mut limit = libc::timeval {
                tv_sec: seconds,
                tv_usec: microseconds,
            };
            // SAFETY: no sets.
            let result = unsafe { libc::select(0, none(), none(), none(), &raw mut limit) };
            (result, error().filter(|_| result < 0), limit.tv_sec)
        };
        assert_eq!(select(-1, 0), (-1, Some(libc::EINVAL), -1));
        assert_eq!(select(1, -1_000_000), (-1, Some(libc::EINVAL), 1));
        let nowhere = ptr::without_provenance_mut(8);
        // SAFETY: the kernel is to refuse them.
        unsafe {
            assert_eq!(libc::select(9, nowhere, none(), none(), ptr::null_mut()), -1);
            assert_eq!(error(), Some(libc::EFAULT));
            assert_eq!(libc::select(-1, none(), none(), none(), ptr::null_mut()), -1);
            assert_eq!(error(), Some(libc::EINVAL));
            // The kernel sees half of the number.
            assert_eq!(libc::poll(ptr::without_provenance_mut(8), 1 << 32, 1), 0);
            assert_eq!(libc::poll(ptr::without_provenance_mut(8), 1, -1), -1);
            assert_eq!(error(), Some(libc::EFAULT));
        }
        // So long that it does not fit its type.
        let waits = iora::spawn(move || select(i64::MAX, 1_000_000));
        until_parked(&waits, "sleep");
        waits.kill();
    });
}

#[test]
fn g084_select_asks_once_and_says_what_is_closed() {
    let (one, other) = pair();
    let () = in_greenlet(move || {
        let ask = |fd: RawFd| {
            // SAFETY: a set is an array of integers.
            let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
            // SAFETY: a small number.
            unsafe { libc::FD_SET(fd, &raw mut set) };
            let mut at_once = libc::timeval { tv_sec: 0, tv_usec: 0 };
            let none = ptr::null_mut;
            // SAFETY: one set, and a limit.
            unsafe { libc::select(fd + 1, &raw mut set, none(), none(), &raw mut at_once) }
        };
        assert_eq!(ask(one.as_raw_fd()), 0);
        (&other).write_all(b"x").unwrap();
        assert_eq!(ask(one.as_raw_fd()), 1);
        // A number that nobody else comes to.
        // SAFETY: a duplicate, and its end.
        let closed = unsafe { libc::fcntl(one.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 500) };
        // SAFETY: it is nobody else's.
        assert_eq!(unsafe { libc::close(closed) }, 0);
        assert_eq!(ask(closed), -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn g084_a_descriptor_that_is_closed_while_it_is_polled_harms_nobody() {
    let (one, other) = pair();
    let (left, right) = pair();
    in_greenlet(move || {
        let closed = one.as_raw_fd();
        let polls = iora::spawn(move || {
            let entry = |fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            let mut entries = [entry(closed), entry(left.as_raw_fd())];
            // SAFETY: two entries.
            let count = unsafe { libc::poll(entries.as_mut_ptr(), 2, -1) };
            (count, entries[1].revents, left)
        });
        iora::yield_now();
        drop(one);
        drop(other);
        (&right).write_all(b"x").unwrap();
        let (count, of_the_other, _left) = polls.get().unwrap();
        // The kernel may say of the closed one that it is not open.
        assert!((1..=2).contains(&count), "{count}");
        assert_eq!(of_the_other, libc::POLLIN);
    });
}

#[test]
fn poll_knows_each_event_by_all_its_names() {
    let found = in_greenlet(|| {
        [
            libc::POLLRDNORM,
            libc::POLLIN | libc::POLLRDHUP,
            libc::POLLRDNORM | libc::POLLPRI,
        ]
        .map(|events| {
            let (one, other) = pair();
            let mut entry = libc::pollfd {
                fd: one.as_raw_fd(),
                events,
                revents: 0,
            };
            let writer = iora::spawn(move || {
                (&other).write_all(b"x").unwrap();
                other
            });
            // SAFETY: one entry.
            let count = unsafe { libc::poll(&raw mut entry, 1, 60_000) };
            drop(writer.get());
            (
                count,
                entry.revents & events & !libc::POLLIN == libc::POLLRDNORM & events,
            )
        })
    });
    assert_eq!(found, [(1, true); 3]);
}

#[test]
fn polling_without_a_descriptor_to_spare() {
    let test = "polling_without_a_descriptor_to_spare";
    let output = child::in_child(test, "ulimit -n 64", || {
        let seen = beside_another(|| {
            let (one, other) = pair();
            let writer = iora::spawn(move || {
                iora::sleep(Duration::from_millis(30));
                (&other).write_all(b"x").unwrap();
                other
            });
            // One wait, for what the hub itself makes at the first.
            iora::sleep(Duration::from_millis(1));
            let mut taken = Vec::new();
            while let Ok(one) = one.try_clone() {
                taken.push(one);
            }
            let mut entry = libc::pollfd {
                fd: one.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry.
            let late = unsafe { libc::poll(&raw mut entry, 1, 5) };
            // SAFETY: as above.
            let count = unsafe { libc::poll(&raw mut entry, 1, -1) };
            drop(taken);
            drop(writer.get());
            (late, count, entry.revents)
        });
        assert_eq!(seen, (0, 1, libc::POLLIN));
    });
    child::assert_ended(&output, None);
}

#[test]
fn each_way_to_wait_for_many_parks() {
    type Wait = fn(RawFd) -> i32;
    let waits: [Wait; 4] = [
        |fd| {
            let mut entry = libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry, no limit and no mask.
            unsafe { libc::ppoll(&raw mut entry, 1, ptr::null(), ptr::null()) }
        },
        |fd| {
            // SAFETY: a set is an array of integers; a small number.
            let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
            // SAFETY: as above.
            unsafe { libc::FD_SET(fd, &raw mut set) };
            let none = ptr::null_mut;
            // SAFETY: one set, no limit and no mask.
            unsafe { libc::pselect(fd + 1, &raw mut set, none(), none(), ptr::null(), ptr::null()) }
        },
        |fd| by_epoll(fd, false),
        |fd| by_epoll(fd, true),
    ];
    for wait in waits {
        let count = beside_another(move || {
            let (one, other) = pair();
            let writer = iora::spawn(move || {
                iora::sleep(Duration::from_millis(20));
                (&other).write_all(b"x").unwrap();
                other
            });
            let count = wait(one.as_raw_fd());
            drop(writer.get());
            count
        });
        assert_eq!(count, 1);
    }
}

/// Waits by a set of the kernel's.
fn by_epoll(fd: RawFd, precise: bool) -> i32 {
    // SAFETY: makes a descriptor.
    let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    // SAFETY: open, and nobody else's.
    let set = unsafe { OwnedFd::from_raw_fd(set) };
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 7,
    };
    // SAFETY: two descriptors and an event.
    let added = unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    assert_eq!(added, 0);
    let limit = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let mut found = event;
    let mut wait = |limit: *const libc::timespec| {
        let milliseconds = if limit.is_null() { -1 } else { 1 };
        // SAFETY: room for one event.
        unsafe {
            if precise {
                epoll_pwait2(set.as_raw_fd(), &raw mut found, 1, limit, ptr::null())
            } else {
                libc::epoll_pwait(set.as_raw_fd(), &raw mut found, 1, milliseconds, ptr::null())
            }
        }
    };
    assert_eq!(wait(&raw const limit), 0);
    let count = wait(ptr::null());
    assert_eq!({ found.u64 }, 7);
    count
}

unsafe extern "C" {
    fn epoll_pwait2(
        set: i32,
        events: *mut libc::epoll_event,
        room: i32,
        limit: *const libc::timespec,
        mask: *const libc::sigset_t,
    ) -> i32;
}

#[test]
fn a_loop_of_mios_in_a_greenlet() {
    let got = beside_another(|| {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(8);
        let waker = Rc::new(mio::Waker::new(poll.registry(), mio::Token(1)).unwrap());
        let twin = waker.clone();
        let mut listener = mio::net::TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let interest = mio::Interest::READABLE;
        poll.registry()
            .register(&mut listener, mio::Token(0), interest)
            .unwrap();
        let _client = iora::spawn(move || {
            iora::sleep(Duration::from_millis(20));
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"to mio").unwrap();
            iora::sleep(Duration::from_millis(20));
            twin.wake().unwrap();
        });
        let (mut streams, mut got) = (Vec::new(), Vec::new());
        loop {
            poll.poll(&mut events, None).unwrap();
            for event in &events {
                match event.token() {
                    mio::Token(0) => {
                        let (mut stream, _) = listener.accept().unwrap();
                        poll.registry().register(&mut stream, mio::Token(2), interest).unwrap();
                        streams.push(stream);
                    }
                    mio::Token(1) => {
                        return got;
                    }
                    _ => {
                        let mut room = [0; 16];
                        let count = streams[0].read(&mut room).unwrap_or(0);
                        got.extend_from_slice(&room[..count]);
                    }
                }
            }
        }
    });
    assert_eq!(got, b"to mio");
}

#[test]
fn tokio_in_a_greenlet() {
    let text = beside_another(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::time::sleep(Duration::from_millis(30)).await;
                stream.write_all(b"from tokio").await.unwrap();
            });
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            server.await.unwrap();
            text
        })
    });
    assert_eq!(text, "from tokio");
}

/// What `getaddrinfo` says, as text.
fn look_up(host: Option<&str>, service: Option<&str>, family: i32, kind: i32, flags: i32) -> String {
    let text = |text: Option<&str>| text.map(|text| CString::new(text).unwrap());
    let (host, service) = (text(host), text(service));
    let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    // SAFETY: hints are integers and pointers, for which zero is a value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    (hints.ai_family, hints.ai_socktype, hints.ai_flags) = (family, kind, flags);
    let mut found = ptr::null_mut();
    // SAFETY: strings and hints outlive the call.
    let code = unsafe { libc::getaddrinfo(pointer(&host), pointer(&service), &raw const hints, &raw mut found) };
    if code != 0 {
        return format!("error {code}");
    }
    let mut lines = Vec::new();
    let mut next = found;
    while !next.is_null() {
        // SAFETY: an entry of the list.
        let entry = unsafe { &*next };
        // SAFETY: an address of that length.
        let address = unsafe { std::slice::from_raw_parts(entry.ai_addr.cast::<u8>(), entry.ai_addrlen as usize) };
        let name = if entry.ai_canonname.is_null() {
            String::new()
        } else {
            // SAFETY: a string of the list's.
            unsafe { CStr::from_ptr(entry.ai_canonname) }
                .to_string_lossy()
                .into_owned()
        };
        lines.push(format!(
            "{} {} {} {address:?} {name}",
            entry.ai_family, entry.ai_socktype, entry.ai_protocol
        ));
        next = entry.ai_next;
    }
    // SAFETY: the list is not used any more.
    unsafe { libc::freeaddrinfo(found) };
    lines.join("\n")
}

#[test]
fn names_as_the_c_library_says_them() {
    let table = || {
        let mut lines = Vec::new();
        for host in [
            None,
            Some("127.0.0.1"),
            Some("::1"),
            Some("127.1"),
            Some("0x7f.1"),
            Some("::ffff:192.0.2.1"),
        ] {
            for service in [None, Some("80"), Some("http"), Some("domain"), Some("no-such-service")] {
                for family in [libc::AF_UNSPEC, libc::AF_INET, libc::AF_INET6] {
                    for kind in [0, libc::SOCK_STREAM, libc::SOCK_DGRAM] {
                        for flags in [0, libc::AI_PASSIVE, libc::AI_NUMERICHOST, libc::AI_CANONNAME] {
                            let line = look_up(host, service, family, kind, flags);
                            lines.push(format!("{host:?} {service:?} {family} {kind} {flags}: {line}"));
                        }
                    }
                }
            }
        }
        lines
    };
    let expected = std::thread::spawn(table).join().unwrap();
    let found = in_greenlet(table);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn hosts_by_name() {
    let address = in_greenlet(|| {
        let name = CString::new("127.0.0.1").unwrap();
        unsafe extern "C" {
            fn gethostbyname(name: *const libc::c_char) -> *mut libc::hostent;
        }
        // SAFETY: a string.
        let host = unsafe { gethostbyname(name.as_ptr()) };
        // SAFETY: found, and this thread's until the next call.
        let host = unsafe { &*host };
        // SAFETY: the first of its addresses.
        let first = unsafe { *host.h_addr_list };
        // SAFETY: an address of four bytes.
        unsafe { *first.cast::<[u8; 4]>() }
    });
    assert_eq!(address, [127, 0, 0, 1]);
}
