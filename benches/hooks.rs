//! What the hooks of libc cost, and what unmodified code gains by them (feature `monkey`).
//!
//! `hook_recv` is a `recv` of one byte that is there; `hook_off` the same on a thread without a hub. `bare` is a function of
//! the same form that makes the system call and nothing else, `libc` the C library's own. `echo_std_c1000` is an echo over
//! `std::net` on 1,000 connections (`common/load.rs`) beside iora's own sockets and threads. `std_mutex_1000` is a `std::sync::Mutex` whose holder parks, contended by 1,000 greenlets: time an
//! acquisition, beside that of iora's own. `getaddrinfo` looks a name of the hosts file up.
#![expect(unsafe_code, reason = "calls libc, and the kernel without it")]

mod common;
#[path = "common/cpu_time.rs"]
mod cpu_time;
#[path = "common/limits.rs"]
mod limits;
#[path = "common/load.rs"]
mod load;

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::io::Write;
use std::net::ToSocketAddrs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Case, Figure, scaled};
use load::{Server, echo, listen, threads};

/// Who serves the echo.
const SERVERS: [Server; 3] = [("iora", echo_std), ("iora-net", echo_net), ("thread", threads)];

fn main() -> ExitCode {
    if let Some(code) = load::serve(&SERVERS) {
        return code;
    }
    let mut cases = Vec::new();
    let mut add = |bench, runtime, count, work: fn(usize) -> Duration| {
        cases.push(Case::new(bench, runtime, move || {
            Ok(vec![Figure::each("ns", work(count).as_nanos() as f64, count)])
        }));
    };
    let count = scaled(1_000_000, 1_000);
    add("hook_recv", "iora", count, |count| {
        in_greenlet(move || receive(count, libc::recv))
    });
    add("hook_recv", "bare", count, |count| {
        in_greenlet(move || receive(count, bare))
    });
    add("hook_recv", "libc", count, |count| {
        in_greenlet(move || receive(count, original()))
    });
    add("hook_off", "iora", count, |count| {
        without_hub(move || receive(count, libc::recv))
    });
    add("hook_off", "bare", count, |count| {
        without_hub(move || receive(count, bare))
    });
    add("hook_off", "libc", count, |count| {
        without_hub(move || receive(count, original()))
    });
    let count = scaled(200_000, 2_000);
    add("std_mutex_1000", "iora", count, |count| {
        in_greenlet(move || contend_std(count))
    });
    add("std_mutex_1000", "iora-mutex", count, |count| {
        in_greenlet(move || contend_iora(count))
    });
    let count = scaled(5_000, 50);
    add("getaddrinfo", "iora", count, |count| {
        in_greenlet(move || look_up(count))
    });
    add("getaddrinfo", "glibc", count, |count| {
        without_hub(move || look_up(count))
    });
    for (runtime, _) in SERVERS {
        cases.push(Case::new("echo_std_c1000", runtime, move || {
            load::load(runtime, scaled(1_000, 10))
        }));
    }
    common::run(5, &cases)
}

fn in_greenlet(work: impl FnOnce() -> Duration + 'static) -> Duration {
    iora::monkey::patch_all().expect("the hooks are reached");
    iora::spawn(work).get().expect("no panic")
}

fn without_hub(work: impl FnOnce() -> Duration) -> Duration {
    iora::monkey::patch_all().expect("the hooks are reached");
    work()
}

/// A function of the form of recv(2).
type Receive = unsafe extern "C" fn(c_int, *mut c_void, usize, c_int) -> isize;

/// Peeks, so that the byte stays.
fn receive(count: usize, call: Receive) -> Duration {
    let (one, mut other) = UnixStream::pair().expect("a pair");
    other.write_all(b"x").expect("there is room");
    let fd = one.as_raw_fd();
    // Opaque, so that none of them is inlined.
    let call = black_box(call);
    let begun = Instant::now();
    for _ in 0..count {
        let mut byte = [0_u8; 1];
        // SAFETY: room for a byte.
        let received = unsafe { call(fd, byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK) };
        assert_eq!(received, 1);
    }
    begun.elapsed()
}

/// The system call alone.
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn bare(fd: c_int, buffer: *mut c_void, length: usize, flags: c_int) -> isize {
    let result: isize;
    // SAFETY: recvfrom without an address, by the kernel's convention; the caller vouches for the buffer.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") libc::SYS_recvfrom as isize => result, in("rdi") fd as isize,
            in("rsi") buffer, in("rdx") length, in("r10") flags as isize, in("r8") 0, in("r9") 0,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
use libc::recv as bare;

/// The C library's `recv`, past the hook.
fn original() -> Receive {
    // SAFETY: the name is a string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"recv".as_ptr()) };
    assert!(!found.is_null());
    // SAFETY: the C library's function of that name has this type.
    unsafe { std::mem::transmute::<*mut c_void, Receive>(found) }
}

/// std's sockets in greenlets: a greenlet a connection, on one hub.
fn echo_std() {
    iora::monkey::patch_all().expect("the hooks are reached");
    for stream in listen().incoming() {
        let stream = stream.expect("accepts");
        stream.set_nodelay(true).expect("an option");
        drop(iora::spawn(move || echo(stream)));
    }
}

/// iora's own sockets.
fn echo_net() {
    let listener = iora::net::TcpListener::from(listen());
    for stream in listener.incoming() {
        let stream = stream.expect("accepts");
        stream.set_nodelay(true).expect("an option");
        drop(iora::spawn(move || echo(stream)));
    }
}

/// Greenlets that contend.
const GREENLETS: usize = 1000;

fn contend(count: usize, work: impl Fn() + Clone + 'static) -> Duration {
    let begun = Instant::now();
    let all: Vec<_> = (0..GREENLETS)
        .map(|_| {
            let work = work.clone();
            iora::spawn(move || (0..count / GREENLETS).for_each(|_| work()))
        })
        .collect();
    iora::joinall(&all, None);
    begun.elapsed()
}

fn contend_std(count: usize) -> Duration {
    let lock = Arc::new(std::sync::Mutex::new(0_u64));
    contend(count, move || {
        let mut guard = lock.lock().expect("not poisoned");
        iora::yield_now();
        *guard += 1;
    })
}

fn contend_iora(count: usize) -> Duration {
    let lock = Arc::new(iora::sync::Mutex::new(0_u64));
    contend(count, move || {
        let mut guard = lock.lock().expect("not poisoned");
        iora::yield_now();
        *guard += 1;
    })
}

fn look_up(count: usize) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        let found = ("localhost", 80)
            .to_socket_addrs()
            .expect("it is in every hosts file")
            .count();
        assert!(found > 0);
    }
    begun.elapsed()
}
