//! Connections: many queries on each, answered in whatever order the answers come (RFC 7766).
//!
//! One greenlet reads a connection. What it has read at once it answers at once, all cached answers in one write; what takes
//! time gets a greenlet each, and the connection's lock keeps the answers apart. A client that asks faster than it reads
//! parks its own reader and nobody else.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iora::net::{TcpListener, TcpStream};
use iora::sync::{Mutex as ParkingMutex, Semaphore};

use crate::edns::Transport;
use crate::forwarder::{Forwarder, Response};

/// How long a connection may be idle before it is closed.
const IDLE: Duration = Duration::from_secs(10);
/// How long a client may take to make room for its answers.
const UNREAD: Duration = Duration::from_secs(5);
/// How many connections there may be.
const MOST_CONNECTIONS: usize = 500;
/// How many of them a single client may have.
const MOST_A_CLIENT: usize = 100;
/// How many queries of a connection may wait at the same time; its reader parks when there are more.
const MOST_WAITING: usize = 100;
/// How much is read at once.
const CHUNK: usize = 4096;
/// How many bytes of answers are gathered before they are written.
const MOST_GATHERED: usize = 32 * 1024;
/// How long to pause when no connection can be accepted: the descriptors may be used up.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections that there are, for all hubs.
#[derive(Default)]
pub(crate) struct Connections {
    /// How many each client has.
    by_client: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place among those that may be; given back on drop.
struct Place {
    /// Where it is counted.
    connections: Arc<Connections>,
    /// Whose it is.
    client: IpAddr,
}

impl Connections {
    /// A place for one more connection of a client, if there is one.
    fn place(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut by_client = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = by_client.values().sum();
        let own = by_client.entry(client).or_default();
        if all >= MOST_CONNECTIONS || *own >= MOST_A_CLIENT {
            if *own == 0 {
                by_client.remove(&client);
            }
            return None;
        }
        *own += 1;
        Some(Place {
            connections: Arc::clone(self),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_client = self
            .connections
            .by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_client.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}

/// Accepts connections and serves each in a greenlet of its own, until the greenlet is killed.
pub(crate) fn serve(forwarder: &Rc<Forwarder>, listener: &TcpListener, connections: &Arc<Connections>) {
    loop {
        let (stream, client) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if is_the_clients(&error) => continue,
            Err(_) => {
                iora::sleep(PAUSE);
                continue;
            }
        };
        // One too many is closed at once: the client may come back, or use UDP.
        let Some(place) = connections.place(client.ip().to_canonical()) else {
            continue;
        };
        let forwarder = Rc::clone(forwarder);
        drop(iora::spawn(move || {
            let _place = place;
            // However a connection ends, there is nobody to tell.
            let _ = converse(&forwarder, stream);
        }));
    }
}

/// Whether a failure to accept is that of the one connection.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// What the reader of a connection and those who answer on it share.
struct Connection {
    /// The connection; whoever has the lock writes whole messages.
    stream: TcpStream,
    /// Held for each write.
    writing: ParkingMutex<()>,
    /// How many more queries may wait.
    room: Semaphore,
}

impl Connection {
    /// Writes whole messages. Parks until the client has room for them.
    fn write(&self, messages: &[u8]) -> io::Result<()> {
        // A writer that was stopped half-way has left half a message, and then no more can be written.
        let Ok(_writing) = self.writing.lock() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        (&self.stream).write_all(messages)
    }
}

/// Reads and answers the queries of one connection until it ends or is idle.
fn converse(forwarder: &Rc<Forwarder>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(UNREAD))?;
    let connection = Rc::new(Connection {
        stream,
        writing: ParkingMutex::new(()),
        room: Semaphore::new(MOST_WAITING),
    });
    let mut received: Vec<u8> = Vec::new();
    let mut out = Vec::new();
    loop {
        let mut chunk = [0; CHUNK];
        let count = match (&connection.stream).read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Nothing was asked for a while; but whoever still waits for an answer is not idle.
            Err(error) if is_time_out(&error) && Rc::strong_count(&connection) > 1 => continue,
            Err(error) => return Err(error),
        };
        // What has been received is answered, also at the end; then nobody reads any more.
        let _ticket = forwarder.shared.work.begin();
        received.extend_from_slice(&chunk[..count]);
        let mut at = 0;
        while let Some(message) = next_message(&received[at..]) {
            at += 2 + message.len();
            answer(forwarder, &connection, message, &mut out);
            if out.len() >= MOST_GATHERED {
                connection.write(&out)?;
                out.clear();
            }
        }
        received.drain(..at);
        if !out.is_empty() {
            connection.write(&out)?;
            out.clear();
        }
        // A full chunk is seldom all that the client has sent before the end.
        if forwarder.shared.work.is_to_end() && count < CHUNK {
            return Ok(());
        }
    }
}

/// Answers one message: into `out` at once, or later by a greenlet of its own.
fn answer(forwarder: &Rc<Forwarder>, connection: &Rc<Connection>, message: &[u8], out: &mut Vec<u8>) {
    let start = begin_message(out);
    match forwarder.respond(message, Transport::Tcp, out) {
        Response::Ready => end_message(out, start),
        Response::Silence => out.truncate(start),
        Response::Later(query, ticket) => {
            out.truncate(start);
            // What is ready must not wait until there is room again.
            if !connection.room.try_acquire() {
                if connection.write(out).is_err() {
                    return;
                }
                out.clear();
                connection.room.acquire();
            }
            let (forwarder, connection) = (Rc::clone(forwarder), Rc::clone(connection));
            drop(iora::spawn(move || {
                let mut out = Vec::new();
                let start = begin_message(&mut out);
                forwarder.resolve(&query, Transport::Tcp, &mut out);
                end_message(&mut out, start);
                // A client that went away has no use for it, but others may have waited for the same.
                let _ = connection.write(&out);
                connection.room.release();
                drop(ticket);
            }));
        }
    }
}

/// The first message of what was received, without its length, if it is there as a whole.
fn next_message(received: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*received.first()?, *received.get(1)?]));
    received.get(2..2 + length)
}

/// Leaves room for a message's length, and says where.
fn begin_message(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0, 0]);
    out.len() - 2
}

/// Fills in the length of the message that began at `start`.
fn end_message(out: &mut [u8], start: usize) {
    let length = u16::try_from(out.len() - start - 2).unwrap_or(u16::MAX);
    out[start..start + 2].copy_from_slice(&length.to_be_bytes());
}

/// Whether a read ended because nothing came in time.
fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_by_their_lengths() {
        assert_eq!(next_message(&[]), None);
        assert_eq!(next_message(&[0]), None);
        assert_eq!(next_message(&[0, 2, 1]), None);
        assert_eq!(next_message(&[0, 2, 1, 2, 3]), Some(&[1, 2][..]));
        assert_eq!(next_message(&[0, 0, 9]), Some(&[][..]));
    }

    #[test]
    fn connections_are_bounded_for_each_client_and_in_all() {
        let connections = Arc::new(Connections::default());
        let client = |number: u8| IpAddr::from([192, 0, 2, number]);
        let mut places: Vec<_> = (0..MOST_A_CLIENT)
            .map(|_| connections.place(client(1)).unwrap())
            .collect();
        assert!(connections.place(client(1)).is_none());
        places.pop();
        places.push(connections.place(client(1)).unwrap());
        for number in 2.. {
            let more: Vec<_> = std::iter::from_fn(|| connections.place(client(number))).collect();
            if more.is_empty() {
                break;
            }
            places.extend(more);
        }
        assert_eq!(places.len(), MOST_CONNECTIONS);
        drop(places);
        assert!(connections.by_client.lock().unwrap().is_empty());
    }
}
