//! Echo between two processes, each on a CPU of its own: a server, which the bench that includes this file brings, and load.
//!
//! ```text
//!  CPU 0: server, one process          CPU 1: load, one process
//!  any runtime, std's socket calls  ◀──▶  mio by hand, N requests under way
//! ```
//!
//! Four figures: CPU time of the server a request, as the kernel accounts it to that process; requests a second;
//! and how long a request takes, at the median and at the 99th percentile. The server's CPU time is the one to look
//! at: the others also tell how fast the load is.
//!
//! Three things to know of it:
//!
//! * The kernel charges a packet to whoever sends it, up to the receiving socket and the wake-up of who waits there. So four
//!   fifths and more of a server's time are the kernel's and alike for all, and a state machine by hand is the limit.
//! * Server and load depend on each other. When the load is the faster one it answers while the server is still busy with the
//!   same connection, and a request costs the server up to half as much again; when the server is, its batches are small. Where
//!   both are about as fast, rounds of one and the same server differ by a fifth.
//! * With 10,000 requests under way each one takes some 90 ms. That is more than the 40 ms for which the kernel holds an
//!   acknowledgement back in the hope of an answer to put it on: each side sends one more packet a request, some 2 us of CPU.

#![expect(clippy::print_stdout, reason = "a server tells its port on stdout")]

use std::env;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::common::{self, Figure, Outcome, percentile, scaled};
use crate::cpu_time::cpu_time;
use crate::limits;

/// Bytes of a request.
const REQUEST: usize = 64;

/// Bytes of a server's buffer.
pub(crate) const BUFFER: usize = 1024;

/// How many connections may wait to be accepted; std's listeners queue 128.
const BACKLOG: usize = 64;

/// The argument that makes this binary a server.
const SERVE: &str = "--serve";

/// A server's name, and what runs it: it never returns, and tells its port once it listens.
pub(crate) type Server = (&'static str, fn());

/// If the arguments say so, this process is one of the servers, and does nothing else.
pub(crate) fn serve(servers: &[Server]) -> Option<ExitCode> {
    match &*env::args().collect::<Vec<_>>() {
        [_, serve, runtime] if serve == SERVE => Some(serve_as(servers, runtime)),
        _ => None,
    }
}

/// The server's process.
fn serve_as(servers: &[Server], runtime: &str) -> ExitCode {
    common::limit_time();
    limits::end_with_parent();
    limits::raise_descriptors();
    limits::pin(0);
    if let Some((_, serve)) = servers.iter().find(|(name, _)| *name == runtime) {
        serve();
    }
    ExitCode::FAILURE
}

/// A listener on any free port, which it tells.
pub(crate) fn listen() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    println!("{}", listener.local_addr().expect("bound").port());
    listener
}

/// A thread a connection.
pub(crate) fn threads() {
    for stream in listen().incoming() {
        let stream = stream.expect("accepts");
        stream.set_nodelay(true).expect("an option");
        let thread = thread::Builder::new().stack_size(64 * 1024);
        thread.spawn(move || echo(stream)).expect("a thread");
    }
}

/// Sends back what comes until the other side is gone: plain blocking code.
pub(crate) fn echo(mut stream: impl Read + Write) {
    let mut buffer = [0; BUFFER];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

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
pub(crate) fn load(runtime: &str, count: usize) -> Outcome {
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
