//! What the hooks of libc cost, and what unmodified code gains by them (feature `monkey`).
//!
//! `hook_recv` is a `recv` of one byte that is there; `hook_off` the same on a thread without a hub. `bare` makes the system
//! call without libc. `echo_std_c1000` is an echo over `std::net` on 1,000 connections, clients and server in one process: wall
//! time a request. `std_mutex_1000` is a `std::sync::Mutex` whose holder parks, contended by 1,000 greenlets: time an
//! acquisition, beside that of iora's own. `getaddrinfo` looks a name of the hosts file up.
#![expect(unsafe_code, reason = "calls libc, and the kernel without it")]

mod common;
#[path = "common/limits.rs"]
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod limits;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Case, Figure, scaled};

fn main() -> ExitCode {
    let mut cases = Vec::new();
    let mut add = |bench, runtime, count, work: fn(usize) -> Duration| {
        cases.push(Case::new(bench, runtime, move || {
            Ok(vec![Figure::each("ns", work(count).as_nanos() as f64, count)])
        }));
    };
    let count = scaled(1_000_000, 1_000);
    add("hook_recv", "iora", count, |count| {
        in_greenlet(move || receive(count, libc_receive))
    });
    add("hook_recv", "bare", count, |count| {
        in_greenlet(move || receive(count, bare_receive))
    });
    add("hook_off", "iora", count, |count| {
        without_hub(move || receive(count, libc_receive))
    });
    add("hook_off", "bare", count, |count| {
        without_hub(move || receive(count, bare_receive))
    });
    let count = scaled(200_000, 2_000);
    add("echo_std_c1000", "iora", count, |count| {
        in_greenlet(move || echo(count))
    });
    add("echo_std_c1000", "iora-net", count, |count| {
        in_greenlet(move || echo_net(count))
    });
    add("echo_std_c1000", "thread", count, echo_threads);
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

/// Peeks, so that the byte stays.
fn receive(count: usize, call: fn(i32) -> isize) -> Duration {
    let (one, mut other) = UnixStream::pair().expect("a pair");
    other.write_all(b"x").expect("there is room");
    let begun = Instant::now();
    for _ in 0..count {
        assert_eq!(call(one.as_raw_fd()), 1);
    }
    begun.elapsed()
}

fn libc_receive(fd: i32) -> isize {
    let mut byte = [0_u8; 1];
    // SAFETY: room for a byte.
    unsafe { libc::recv(fd, byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK) }
}

#[cfg(target_arch = "x86_64")]
fn bare_receive(fd: i32) -> isize {
    let mut byte = [0_u8; 1];
    let result: isize;
    // SAFETY: recvfrom with room for a byte and no address, by the kernel's convention.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") libc::SYS_recvfrom as isize => result, in("rdi") fd as isize,
            in("rsi") byte.as_mut_ptr(), in("rdx") 1, in("r10") libc::MSG_PEEK as isize, in("r8") 0, in("r9") 0,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn bare_receive(fd: i32) -> isize {
    libc_receive(fd)
}

/// Connections of the echo.
const CONNECTIONS: usize = 1000;

fn serve(mut stream: impl Read + Write) {
    let mut buffer = [0; 256];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..count]).expect("the client is there");
    }
}

fn ask(mut stream: impl Read + Write, count: usize) {
    let mut buffer = [0; 64];
    for _ in 0..count {
        stream.write_all(&[1; 64]).expect("the server is there");
        stream.read_exact(&mut buffer).expect("an echo");
    }
}

fn connections() -> Vec<(TcpStream, TcpStream)> {
    limits::raise_descriptors();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let pair = |_| {
        let near = TcpStream::connect(address).expect("connected");
        let far = listener.accept().expect("accepted").0;
        near.set_nodelay(true).expect("set");
        far.set_nodelay(true).expect("set");
        (near, far)
    };
    (0..CONNECTIONS).map(pair).collect()
}

fn echo(count: usize) -> Duration {
    let pairs = connections();
    let begun = Instant::now();
    let mut clients = Vec::new();
    for (near, far) in pairs {
        iora::spawn(move || serve(far));
        clients.push(iora::spawn(move || ask(near, count / CONNECTIONS)));
    }
    iora::joinall(&clients, None);
    begun.elapsed()
}

fn echo_net(count: usize) -> Duration {
    let pairs = connections();
    let begun = Instant::now();
    let mut clients = Vec::new();
    for (near, far) in pairs {
        let (near, far) = (iora::net::TcpStream::from(near), iora::net::TcpStream::from(far));
        iora::spawn(move || serve(far));
        clients.push(iora::spawn(move || ask(near, count / CONNECTIONS)));
    }
    iora::joinall(&clients, None);
    begun.elapsed()
}

fn echo_threads(count: usize) -> Duration {
    let pairs = connections();
    let begun = Instant::now();
    let mut clients = Vec::new();
    for (near, far) in pairs {
        thread::spawn(move || serve(far));
        clients.push(thread::spawn(move || ask(near, count / CONNECTIONS)));
    }
    for client in clients {
        client.join().expect("no panic");
    }
    begun.elapsed()
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
