//! Unmodified event loops, `poll` and `select` in greenlets of one thread; and names, compared with the C library's.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "calls functions of libc")]

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use iora::monkey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs `f` while another greenlet counts its turns.
fn with_ticker<R: 'static>(f: impl FnOnce() -> R + 'static) -> (R, u32) {
    monkey::patch_all().expect("the hooks are reached");
    let ticks = Rc::new(Cell::new(0));
    let done = Rc::new(Cell::new(false));
    let ticker = iora::spawn({
        let (ticks, done) = (ticks.clone(), done.clone());
        move || {
            while !done.get() {
                ticks.set(ticks.get() + 1);
                iora::sleep(Duration::from_millis(1));
            }
        }
    });
    let value = iora::spawn(f).get().expect("it returned");
    done.set(true);
    ticker.join();
    (value, ticks.get())
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (one, listener.accept().expect("accepted").0)
}

#[test]
fn poll_waits_for_any_of_several() {
    let (one, other) = pair();
    let (third, fourth) = pair();
    let ((count, events), ticks) = with_ticker(move || {
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
    assert!(ticks > 5, "{ticks}");
}

#[test]
fn poll_gives_up_in_time_and_knows_what_is_not_open() {
    let (one, other) = pair();
    let (_, ticks) = with_ticker(move || {
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
    assert!(ticks > 5, "{ticks}");
}

#[test]
fn select_waits() {
    let (one, other) = pair();
    let (count, ticks) = with_ticker(move || {
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
    assert!(ticks > 5, "{ticks}");
}

#[test]
fn tokio_in_a_greenlet() {
    let (text, ticks) = with_ticker(|| {
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
    assert!(ticks > 10, "{ticks}");
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
    let (found, _) = with_ticker(table);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn hosts_by_name() {
    let (address, _) = with_ticker(|| {
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
