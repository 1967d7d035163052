//! Questions to an upstream over TCP, on connections that are kept for the next question (RFC 7766, section 6.2.1).
//!
//! ```text
//!   a question ─► a place ─┬─► an idle connection ── answered ─────────┬─► idle again, and closed when it is so for long
//!                          │         │ it dies before it has answered  │
//!                          └─────────┴──► a fresh one ── answered ─────┘
//! ```
//!
//! A connection has one question at a time. An upstream may close an idle one whenever it likes, also while a question is
//! on its way there: such a question is asked once more on a fresh connection, whose death would mean something.
//!
//! Every hub has its own, as it has its own sockets.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use iora::net::TcpStream;
use iora::sync::Semaphore;

use crate::upstream_query::{self, Match, UpstreamQuery};

/// How many connections to an upstream there may be, if there are few upstreams; who asks for one more parks.
const MOST_CONNECTIONS: usize = 16;
/// How many there may be for all upstreams and hubs together, but for one each.
const ALL_CONNECTIONS: usize = 128;
/// How many of them are kept while they are idle.
const MOST_IDLE: usize = 4;
/// How long they are kept.
const IDLE: Duration = Duration::from_secs(5);

/// The connections to one upstream.
pub(crate) struct Connections {
    /// Where they go.
    address: SocketAddr,
    /// One for each that may have a question.
    places: Semaphore,
    /// Those that have no question, the one that was used last at the end.
    idle: RefCell<Vec<Idle>>,
    /// A greenlet is there that will close them.
    is_swept: Cell<bool>,
}

/// A connection without a question.
struct Idle {
    /// The connection.
    stream: TcpStream,
    /// When its last answer came.
    since: Instant,
}

impl Connections {
    /// Connections to this address, one of so many upstreams of all hubs together; none yet.
    pub(crate) fn new(address: SocketAddr, upstreams: usize) -> Rc<Connections> {
        let most = (ALL_CONNECTIONS / upstreams.max(1)).clamp(1, MOST_CONNECTIONS);
        Rc::new(Connections {
            address,
            places: Semaphore::new(most),
            idle: RefCell::default(),
            is_swept: Cell::new(false),
        })
    }

    /// Asks. Parks until the answer is there, or the time is over.
    pub(crate) fn ask(self: &Rc<Self>, query: &UpstreamQuery, longest: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + longest;
        let _place = self.places.hold_timeout(longest).ok_or(io::ErrorKind::TimedOut)?;
        if let Some(stream) = self.take_idle() {
            match ask_on(&stream, query, deadline) {
                Ok(answer) => {
                    self.keep(stream);
                    return Ok(answer);
                }
                Err(error) if is_time_out(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let stream = TcpStream::connect_timeout(&self.address, left(deadline)?)?;
        stream.set_nodelay(true)?;
        let answer = ask_on(&stream, query, deadline)?;
        self.keep(stream);
        Ok(answer)
    }

    /// The idle connection that was used last, of those that can still be used.
    fn take_idle(&self) -> Option<TcpStream> {
        loop {
            let Idle { stream, .. } = self.idle.borrow_mut().pop()?;
            if is_quiet(&stream) {
                return Some(stream);
            }
        }
    }

    /// Keeps a connection for the next question, and sees to it that it is closed when there is none.
    fn keep(self: &Rc<Self>, stream: TcpStream) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= MOST_IDLE {
            return;
        }
        let since = Instant::now();
        idle.push(Idle { stream, since });
        if !self.is_swept.replace(true) {
            let this = Rc::clone(self);
            drop(iora::spawn(move || this.sweep()));
        }
    }

    /// Closes each connection when it has been idle for long; ends when there are none.
    fn sweep(&self) {
        loop {
            let first_end = self.idle.borrow().iter().map(|idle| idle.since + IDLE).min();
            let Some(end) = first_end else { break };
            iora::sleep(end.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            self.idle.borrow_mut().retain(|idle| now < idle.since + IDLE);
        }
        self.is_swept.set(false);
    }
}

/// Whether a connection is open, and nothing has come that nobody asked for.
fn is_quiet(stream: &TcpStream) -> bool {
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let quiet = looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    quiet && stream.set_nonblocking(false).is_ok()
}

/// Asks on a connection that has no other question.
fn ask_on(mut stream: &TcpStream, query: &UpstreamQuery, deadline: Instant) -> io::Result<Vec<u8>> {
    let id = rand::random();
    let message = query.message(id);
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(&[&length.to_be_bytes(), &message[..]].concat())?;
    loop {
        let mut length = [0; 2];
        read_exact(stream, &mut length, deadline)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        read_exact(stream, &mut answer, deadline)?;
        // Over TCP the case of the question proves nothing more: nobody can forge the stream.
        if upstream_query::id_of(&answer) == Some(id) && query.matches(&answer) != Match::No {
            return Ok(answer);
        }
    }
}

/// Reads as many bytes as `buffer` takes, before the deadline as a whole.
fn read_exact(mut stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether nothing happened in time.
pub(crate) fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// How much time is left before the deadline; an error if none is.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}
