//! What a request costs a server: `echo_cN` keeps N connections open, each of which sends 64 bytes, waits for
//! them to come back, and sends the next.
//!
//! ```text
//!  CPU 0: server, one process          CPU 1: load, one process
//!  any runtime, std's socket calls  ◀──▶  mio by hand, N requests under way
//! ```
//!
//! Four figures: CPU time of the server a request, as the kernel accounts it to that process; requests a second;
//! and how long a request takes, at the median and at the 99th percentile. The server's CPU time is the one to look
//! at: the others also tell how fast the load is. All runtimes read into a buffer larger than
//! a request, so that a short read may tell them that the socket is drained. `mio` is a state machine by hand,
//! `corosensei` a coroutine a connection on the same loop.

#![expect(clippy::print_stdout, reason = "a server tells its port on stdout")]

mod common;
#[path = "common/cpu_time.rs"]
mod cpu_time;
#[path = "common/limits.rs"]
mod limits;

use std::env;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Case, Figure, Outcome, percentile, quick, scaled};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use cpu_time::cpu_time;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{self, Runtime};

/// Bytes of a request.
const REQUEST: usize = 64;

/// Bytes of a server's buffer.
const BUFFER: usize = 1024;

/// How many connections may wait to be accepted; std's listeners queue 128.
const BACKLOG: usize = 64;

/// The argument that makes this binary a server.
const SERVE: &str = "--serve";

/// A server never returns, and tells its port once it listens.
const SERVERS: [(&str, fn()); 7] = [
    ("iora", iora),
    ("tokio-ct", tokio_ct),
    ("tokio-mt2", tokio_mt2),
    ("may", may),
    ("corosensei", corosensei),
    ("mio", state_machine),
    ("thread", threads),
];

fn main() -> ExitCode {
    if let [_, serve, runtime] = &*env::args().collect::<Vec<_>>()
        && serve == SERVE
    {
        return serve_as(runtime);
    }
    let counts: &[usize] = if quick() { &[10] } else { &[50, 1_000, 10_000] };
    let mut cases = Vec::new();
    for &count in counts {
        for (runtime, _) in SERVERS {
            cases.push(Case::new(format!("echo_c{count}"), runtime, move || {
                load(runtime, count)
            }));
        }
    }
    common::run(3, &cases)
}

/// The server's process.
fn serve_as(runtime: &str) -> ExitCode {
    common::limit_time();
    limits::end_with_parent();
    limits::raise_descriptors();
    limits::pin(0);
    if let Some((_, serve)) = SERVERS.iter().find(|(name, _)| *name == runtime) {
        serve();
    }
    ExitCode::FAILURE
}

// ---- The load ----------------------------------------------------------------------------------------

/// One connection of the load.
struct Caller {
    /// The connection.
    stream: TcpStream,
    /// When the request under way was sent.
    sent: Instant,
    /// How many bytes of it are still to come back.
    missing: usize,
}

/// Starts a server and puts load on it.
fn load(runtime: &str, count: usize) -> Outcome {
    let allowed = limits::raise_descriptors();
    if allowed < count as u64 + 32 {
        return Err(format!("RLIMIT_NOFILE allows {allowed} descriptors"));
    }
    limits::pin(1);
    let mut server = start_server(runtime).map_err(|error| error.to_string())?;
    let outcome = put_load(&mut server, count).map_err(|error| error.to_string());
    server
        .kill()
        .and_then(|()| server.wait())
        .map_err(|error| error.to_string())?;
    outcome
}

/// Starts this binary as a server.
fn start_server(runtime: &str) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args([SERVE, runtime])
        .stdout(Stdio::piped())
        .spawn()
}

/// Connects, warms up, measures.
fn put_load(server: &mut Child, count: usize) -> io::Result<Vec<Figure>> {
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut line)?;
    let port = line
        .trim()
        .parse()
        .map_err(|_| io::Error::other("the server told no port"))?;
    let process = libc::pid_t::try_from(server.id()).map_err(io::Error::other)?;

    let mut poll = Poll::new()?;
    let mut callers = connect(port, count)?;
    for (number, caller) in callers.iter_mut().enumerate() {
        let descriptor = caller.stream.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&descriptor), Token(number), Interest::READABLE)?;
        caller.send()?;
    }

    exchange(
        &mut poll,
        &mut callers,
        scaled(Duration::from_millis(200), Duration::from_millis(20)),
    )?;
    let (start, before) = (Instant::now(), cpu_time(process));
    let mut times = exchange(
        &mut poll,
        &mut callers,
        scaled(Duration::from_millis(700), Duration::from_millis(50)),
    )?;
    let (elapsed, spent) = (start.elapsed(), cpu_time(process).saturating_sub(before));
    Ok(vec![
        Figure::each("cpu_ns", spent.as_nanos() as f64, times.len()),
        Figure::new("req_s", times.len() as f64 / elapsed.as_secs_f64()),
        Figure::new("p50_us", percentile(&mut times, 0.50)),
        Figure::new("p99_us", percentile(&mut times, 0.99)),
    ])
}

/// Opens connections, and has one request go over each before there are many more: so the server has surely
/// accepted it, and its backlog never overflows. Closing them leaves no state behind in the kernel.
fn connect(port: u16, count: usize) -> io::Result<Vec<Caller>> {
    let mut callers = Vec::with_capacity(count);
    while callers.len() < count {
        let first = callers.len();
        for _ in first..count.min(first + BACKLOG) {
            let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            (&stream).write_all(&[1; REQUEST])?;
            callers.push(Caller {
                stream,
                sent: Instant::now(),
                missing: 0,
            });
        }
        for caller in &mut callers[first..] {
            caller.stream.read_exact(&mut [0; REQUEST])?;
            caller.stream.set_nonblocking(true)?;
        }
    }
    Ok(callers)
}

impl Caller {
    /// Sends a request; the socket has room, for nothing else is under way.
    fn send(&mut self) -> io::Result<()> {
        self.missing = REQUEST;
        self.stream.write_all(&[1; REQUEST])
    }

    /// Takes what has come; whether that completes the answer.
    fn receive(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut [0; BUFFER]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) if length > self.missing => Err(io::Error::other("more came back than was sent")),
            Ok(length) => {
                self.missing -= length;
                Ok(self.missing == 0)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Keeps every caller's request under way for that long; microseconds that each one took.
fn exchange(poll: &mut Poll, callers: &mut [Caller], period: Duration) -> io::Result<Vec<f64>> {
    let mut events = Events::with_capacity(1024);
    let mut times = Vec::with_capacity(1 << 20);
    let end = Instant::now() + period;
    loop {
        poll.poll(&mut events, Some(Duration::from_secs(5)))?;
        if events.is_empty() {
            return Err(io::Error::other("the server does not answer"));
        }
        for event in &events {
            let caller = &mut callers[event.token().0];
            if caller.receive()? {
                let now = Instant::now();
                times.push((now - caller.sent).as_nanos() as f64 / 1_000.0);
                caller.sent = now;
                caller.send()?;
            }
        }
        if Instant::now() >= end {
            return Ok(times);
        }
    }
}

// ---- The servers -------------------------------------------------------------------------------------

/// A listener on any free port, which it tells.
fn listen() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    println!("{}", listener.local_addr().expect("bound").port());
    listener
}

/// A greenlet a connection, on one hub.
fn iora() {
    let listener = iora::net::TcpListener::from(listen());
    for stream in listener.incoming() {
        let stream = stream.expect("accepts");
        stream.set_nodelay(true).expect("an option");
        drop(iora::spawn(move || echo(stream)));
    }
}

/// A thread a connection.
fn threads() {
    for stream in listen().incoming() {
        let stream = stream.expect("accepts");
        stream.set_nodelay(true).expect("an option");
        let thread = thread::Builder::new().stack_size(64 * 1024);
        thread.spawn(move || echo(stream)).expect("a thread");
    }
}

/// Sends back what comes until the other side is gone: plain blocking code.
fn echo(mut stream: impl Read + Write) {
    let mut buffer = [0; BUFFER];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
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
    let mut events = Events::with_capacity(1024);
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
