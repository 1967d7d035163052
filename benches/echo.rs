//! What a request costs a server: `echo_cN` keeps N connections open, each of which sends 64 bytes, waits for
//! them to come back, and sends the next.
//!
//! `common/load.rs` tells how it is measured. All runtimes read into a buffer larger than a request, so that a short read may
//! tell them that the socket is drained. `mio` is a state machine by hand, `corosensei` a coroutine a connection on the same
//! loop.

#![expect(clippy::print_stdout, reason = "a server tells its port on stdout")]

mod common;
#[path = "common/cpu_time.rs"]
mod cpu_time;
#[path = "common/limits.rs"]
mod limits;
#[path = "common/load.rs"]
mod load;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

use common::{Case, quick};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use load::{BUFFER, Server, echo, listen, threads};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{self, Runtime};

/// Who serves.
const SERVERS: [Server; 7] = [
    ("iora", iora),
    ("tokio-ct", tokio_ct),
    ("tokio-mt2", tokio_mt2),
    ("may", may),
    ("corosensei", corosensei),
    ("mio", state_machine),
    ("thread", threads),
];

fn main() -> ExitCode {
    if let Some(code) = load::serve(&SERVERS) {
        return code;
    }
    let counts: &[usize] = if quick() { &[10] } else { &[50, 1_000, 10_000] };
    let mut cases = Vec::new();
    for &count in counts {
        for (runtime, _) in SERVERS {
            cases.push(Case::new(format!("echo_c{count}"), runtime, move || {
                load::load(runtime, count)
            }));
        }
    }
    common::run(3, &cases)
}

// ---- The servers -------------------------------------------------------------------------------------

/// A greenlet a connection, on one hub.
fn iora() {
    let listener = iora::net::TcpListener::from(listen());
    for stream in listener.incoming() {
        let stream = stream.expect("accepts");
        stream.set_nodelay(true).expect("an option");
        drop(iora::spawn(move || echo(stream)));
    }
}

/// One thread.
fn tokio_ct() {
    tokio_tasks(
        &runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime"),
    );
}

/// Two workers, which share the one CPU.
fn tokio_mt2() {
    tokio_tasks(
        &runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_io()
            .build()
            .expect("a runtime"),
    );
}

/// A task a connection.
fn tokio_tasks(runtime: &Runtime) {
    let accept = async {
        let listener = listen();
        listener.set_nonblocking(true).expect("an option");
        let listener = tokio::net::TcpListener::from_std(listener).expect("registers");
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            stream.set_nodelay(true).expect("an option");
            tokio::spawn(async move {
                let mut buffer = [0; BUFFER];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    };
    runtime.block_on(async { tokio::spawn(accept).await.expect("no panic") });
}

/// A coroutine a connection, on one worker.
fn may() {
    may::config().set_workers(1).set_worker_pin(false);
    let accept = may::go!(|| {
        let listener = may::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
        println!("{}", listener.local_addr().expect("bound").port());
        for stream in listener.incoming() {
            let stream = stream.expect("accepts");
            stream.set_nodelay(true).expect("an option");
            may::go!(move || echo(stream));
        }
    });
    accept.join().expect("no panic");
}

/// Readiness events taken in one system call. The kernel touches each socket when it reports it; with 1,024 of them the first is
/// out of the processor's cache again when its turn comes, which costs 3 to 6 % at 10,000 connections.
const EVENTS: usize = 64;

/// Runs an event loop: `accepted` makes something of each new stream, `ready` is called with it on every edge and
/// says whether it goes on.
fn event_loop<T>(mut accepted: impl FnMut(TcpStream) -> T, mut ready: impl FnMut(&mut T) -> bool) {
    const LISTENER: Token = Token(usize::MAX - 1);
    let interest = Interest::READABLE | Interest::WRITABLE;
    let listener = listen();
    listener.set_nonblocking(true).expect("an option");
    let mut poll = Poll::new().expect("a poll");
    let register = |poll: &Poll, descriptor: RawFd, token, interest| {
        poll.registry()
            .register(&mut SourceFd(&descriptor), token, interest)
            .expect("registers");
    };
    register(&poll, listener.as_raw_fd(), LISTENER, Interest::READABLE);
    let mut connections: Vec<Option<T>> = Vec::new();
    let mut events = Events::with_capacity(EVENTS);
    loop {
        poll.poll(&mut events, None).expect("polls");
        for event in &events {
            if event.token() != LISTENER {
                let connection = &mut connections[event.token().0];
                if connection.as_mut().is_some_and(|connection| !ready(connection)) {
                    *connection = None;
                }
                continue;
            }
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nodelay(true).expect("an option");
                stream.set_nonblocking(true).expect("an option");
                let descriptor = stream.as_raw_fd();
                let place = usize::try_from(descriptor).expect("not negative");
                if connections.len() <= place {
                    connections.resize_with(place + 1, || None);
                }
                connections[place] = Some(accepted(stream));
                register(&poll, descriptor, Token(place), interest);
            }
        }
    }
}

/// The state of a connection of the state machine.
struct Connection {
    /// The stream.
    stream: TcpStream,
    /// What was read and could not be sent back at once: empty, as a rule.
    rest: Vec<u8>,
}

/// A state machine a connection, and one buffer for all of them.
fn state_machine() {
    let mut buffer = [0; BUFFER];
    let accepted = |stream| Connection {
        stream,
        rest: Vec::new(),
    };
    event_loop(accepted, |connection| match connection.go_on(&mut buffer) {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    });
}

impl Connection {
    /// Sends back what is left over, then what comes, until the socket has no more; a short read says that
    /// without another call.
    fn go_on(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while !self.rest.is_empty() {
            let sent = self.stream.write(&self.rest)?;
            self.rest.drain(..sent);
        }
        loop {
            let length = self.stream.read(buffer)?;
            if length == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let mut sent = 0;
            while sent < length {
                match self.stream.write(&buffer[sent..length]) {
                    Ok(more) => sent += more,
                    Err(error) => {
                        self.rest.extend_from_slice(&buffer[sent..length]);
                        return Err(error);
                    }
                }
            }
            if length < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// A coroutine a connection, on the same event loop.
fn corosensei() {
    let accepted = |mut stream: TcpStream| {
        let stack = DefaultStack::new(64 * 1024).expect("a stack");
        Coroutine::<(), (), (), _>::with_stack(stack, move |yielder, ()| {
            let mut buffer = [0; BUFFER];
            loop {
                let length = match stream.read(&mut buffer) {
                    Ok(length @ 1..) => length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        yielder.suspend(());
                        continue;
                    }
                    Ok(0) | Err(_) => return,
                };
                let mut rest = &buffer[..length];
                while !rest.is_empty() {
                    match stream.write(rest) {
                        Ok(written) => rest = &rest[written..],
                        Err(error) if error.kind() == ErrorKind::WouldBlock => yielder.suspend(()),
                        Err(_) => return,
                    }
                }
                if length < BUFFER {
                    yielder.suspend(());
                }
            }
        })
    };
    event_loop(accepted, |task| matches!(task.resume(()), CoroutineResult::Yield(())));
}
