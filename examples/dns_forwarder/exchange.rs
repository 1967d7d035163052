//! One query to one upstream: over UDP, over TCP where UDP does not do.
//!
//! ```text
//!   upstream 0   [ socket ] [ socket ] … a few, each on a port of its own that the system chose at random
//!   upstream 1   [ socket ] [ socket ] …      │ id ──► who waits for it
//!                                             └ a greenlet that receives, and wakes whom an answer is for
//! ```
//!
//! Whoever wants to forge an answer has to guess the socket's port, the id, and the case of the question's letters
//! (RFC 5452): each query takes one of the sockets by chance and an id by chance, and a socket is replaced after a while. Sockets are
//! connected, so the system drops what does not come from the upstream. What does not fit is dropped here, and the
//! waiting goes on. A socket for each query would be as safe, and many times as dear.
//!
//! Every hub has its own, and greenlets never leave their hub: so these are plain cells, without locks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use iora::Greenlet;
use iora::net::UdpSocket;
use iora::queue::Queue;

use crate::tcp_upstream::{Connections, is_time_out};
use crate::upstream_query::{self, Match, UpstreamQuery};

/// How many sockets there are for an upstream, if there are few upstreams.
const MOST_SOCKETS: usize = 16;
/// How many sockets there may be for all upstreams and hubs together.
const ALL_SOCKETS: usize = 256;
/// How many queries a socket takes before another port takes its place: this, and up to as many more by chance.
const QUERIES_A_SOCKET: u32 = 500;
/// The longest datagram that is received: more than is asked for.
const LONGEST_DATAGRAM: usize = 4096;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nothing came in time.
    TimedOut,
    /// The system says that it cannot be reached, or the connection broke.
    Unreachable(io::ErrorKind),
    /// It was not asked: there was no descriptor or memory left here.
    NotAsked,
    /// The question came back in another case. It may be forged: to be asked again over TCP.
    OtherCase,
}

impl NoAnswer {
    /// What this error of a socket towards an upstream means.
    fn of(error: &io::Error) -> NoAnswer {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => NoAnswer::NotAsked,
            _ if is_time_out(error) => NoAnswer::TimedOut,
            _ => NoAnswer::Unreachable(error.kind()),
        }
    }
}

/// The sockets of one hub towards all upstreams.
pub(crate) struct Sockets {
    /// The sockets towards each.
    upstreams: Vec<Towards>,
}

/// The sockets towards one upstream.
struct Towards {
    /// Its address.
    address: SocketAddr,
    /// The sockets, opened when they are first used.
    slots: Box<[RefCell<Option<Rc<Socket>>>]>,
    /// The connections to it.
    connections: Rc<Connections>,
}

/// One connected socket.
struct Socket {
    /// The socket.
    socket: UdpSocket,
    /// Who waits for which id.
    waiting: RefCell<HashMap<u16, Waiter>>,
    /// For how many more queries it may be used.
    uses_left: Cell<u32>,
    /// It is no longer used for new queries: it ends with the last that waits.
    retired: Cell<bool>,
    /// The greenlet that receives.
    receiver: RefCell<Option<Greenlet<()>>>,
}

/// What came of a query, or that nothing will.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Which upstream was asked.
    pub(crate) upstream: usize,
    /// What it was asked.
    pub(crate) query: Rc<UpstreamQuery>,
    /// When it was asked.
    pub(crate) sent: Instant,
    /// The answer, or why there is none.
    pub(crate) outcome: Result<Vec<u8>, NoAnswer>,
}

/// Where the letters come in for whoever has asked.
pub(crate) type Inbox = Rc<Queue<Letter>>;

/// One query that waits for its answer.
struct Waiter {
    /// Which upstream was asked.
    upstream: usize,
    /// What it was asked.
    query: Rc<UpstreamQuery>,
    /// When it was asked.
    sent: Instant,
    /// Where the answer is to go.
    inbox: Inbox,
    /// It has gone there: whatever else comes is dropped.
    done: Cell<bool>,
}

impl Waiter {
    /// Sends the letter, if it is the first. Nobody else runs meanwhile.
    fn deliver(&self, outcome: Result<Vec<u8>, NoAnswer>) {
        if !self.done.replace(true) {
            let (upstream, query, sent) = (self.upstream, Rc::clone(&self.query), self.sent);
            // The inbox has no bound and is never closed. Nobody else may run here, as `put` lets them now and then: the table
            // of those who wait is borrowed.
            let _ = self.inbox.try_put(Letter {
                upstream,
                query,
                sent,
                outcome,
            });
        }
    }
}

impl Sockets {
    /// Sockets towards these upstreams, for one of so many hubs. Opens none yet.
    pub(crate) fn new(upstreams: impl ExactSizeIterator<Item = SocketAddr>, hubs: usize) -> Sockets {
        let all = upstreams.len() * hubs;
        let each = (ALL_SOCKETS / all.max(1)).clamp(1, MOST_SOCKETS);
        let slots = || (0..each).map(|_| RefCell::new(None)).collect();
        Sockets {
            upstreams: upstreams
                .map(|address| Towards {
                    address,
                    slots: slots(),
                    connections: Connections::new(address, all),
                })
                .collect(),
        }
    }

    /// Asks over UDP. The answer comes to the inbox, for as long as what is returned is kept.
    pub(crate) fn send(&self, upstream: usize, query: Rc<UpstreamQuery>, inbox: &Inbox) -> Result<Sent, NoAnswer> {
        let socket = self.socket(upstream).map_err(|error| NoAnswer::of(&error))?;
        let (inbox, done) = (Rc::clone(inbox), Cell::new(false));
        let waiter = Waiter {
            upstream,
            query: Rc::clone(&query),
            sent: Instant::now(),
            inbox,
            done,
        };
        let sent = Sent::register(socket, waiter);
        sent.socket
            .socket
            .send(&query.message(sent.id))
            .map_err(|error| NoAnswer::of(&error))?;
        Ok(sent)
    }

    /// Asks over TCP. Parks until the answer is there, or the time is over.
    pub(crate) fn ask_by_tcp(
        &self,
        upstream: usize,
        query: &UpstreamQuery,
        longest: Duration,
    ) -> Result<Vec<u8>, NoAnswer> {
        let answer = self.upstreams[upstream].connections.ask(query, longest);
        answer.map_err(|error| NoAnswer::of(&error))
    }

    /// One of the upstream's sockets, by chance, with a use taken from it; opened or replaced if need be.
    fn socket(&self, upstream: usize) -> io::Result<Rc<Socket>> {
        let Towards { address, slots, .. } = &self.upstreams[upstream];
        let slot = &slots[rand::random_range(0..slots.len())];
        if let Some(socket) = &*slot.borrow()
            && socket.uses_left.get() > 0
        {
            socket.uses_left.set(socket.uses_left.get() - 1);
            return Ok(Rc::clone(socket));
        }
        let fresh = Socket::open(*address)?;
        if let Some(old) = slot.replace(Some(Rc::clone(&fresh))) {
            old.retired.set(true);
            old.end_if_done();
        }
        Ok(fresh)
    }
}

impl Socket {
    /// Opens a socket on a port that the system chooses, and begins to receive on it.
    fn open(address: SocketAddr) -> io::Result<Rc<Socket>> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        let socket = Rc::new(Socket {
            socket,
            waiting: RefCell::default(),
            uses_left: Cell::new(QUERIES_A_SOCKET + rand::random_range(0..QUERIES_A_SOCKET)),
            retired: Cell::new(false),
            receiver: RefCell::new(None),
        });
        let receiving = Rc::clone(&socket);
        socket.receiver.replace(Some(iora::spawn(move || receiving.receive())));
        Ok(socket)
    }

    /// Receives answers, and hands each to whom it is for, until it is killed.
    fn receive(&self) {
        let mut buffer = [0; LONGEST_DATAGRAM];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => self.hand_over(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody listens there: whoever waits need not wait longer. The next datagram may fare better.
                Err(error) => {
                    self.give_up(NoAnswer::of(&error));
                    iora::yield_now();
                }
            }
        }
    }

    /// Wakes whom an answer is for. What is for nobody, or does not fit, is dropped.
    fn hand_over(&self, answer: &[u8]) {
        let Some(id) = upstream_query::id_of(answer) else {
            return;
        };
        let waiting = self.waiting.borrow();
        let Some(waiter) = waiting.get(&id) else { return };
        match waiter.query.matches(answer) {
            Match::Yes => waiter.deliver(Ok(answer.to_vec())),
            Match::OtherCase => waiter.deliver(Err(NoAnswer::OtherCase)),
            Match::No => {}
        }
    }

    /// Tells all who wait that they wait in vain.
    fn give_up(&self, why: NoAnswer) {
        for waiter in self.waiting.borrow().values() {
            waiter.deliver(Err(why));
        }
    }

    /// Ends the receiver of a retired socket for which nobody waits any more, and so closes it.
    fn end_if_done(&self) {
        if self.retired.get()
            && self.waiting.borrow().is_empty()
            && let Some(receiver) = self.receiver.take()
        {
            receiver.kill_nowait();
        }
    }
}

/// A query that was sent; when this is dropped, nobody waits for its answer any more.
pub(crate) struct Sent {
    /// The socket.
    socket: Rc<Socket>,
    /// The id under which it waits.
    id: u16,
}

impl Sent {
    /// Enters a waiter under an id that nobody can foresee.
    fn register(socket: Rc<Socket>, waiter: Waiter) -> Sent {
        let mut waiting = socket.waiting.borrow_mut();
        // At most some thousands wait: a free one of 65,536 is soon found.
        let id = loop {
            let id = rand::random();
            if !waiting.contains_key(&id) {
                break id;
            }
        };
        waiting.insert(id, waiter);
        drop(waiting);
        Sent { socket, id }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.socket.waiting.borrow_mut().remove(&self.id);
        self.socket.end_if_done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Query;
    use crate::wire::RESPONSE;

    #[test]
    fn answers_are_handed_over_once_and_while_others_stop_waiting() {
        // More than a greenlet may hand over before others run.
        const QUERIES: usize = 400;
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = peer.local_addr().expect("bound");
        let sockets = Sockets::new([address].into_iter(), ALL_SOCKETS);
        let query = Rc::new(UpstreamQuery::new(&Query::for_root(), false, None));
        let inbox = Rc::new(Queue::new());
        let send = |_| sockets.send(0, Rc::clone(&query), &inbox).expect("sends");
        let waiting: Vec<Sent> = (0..QUERIES).map(send).collect();
        let answer = |sent: &Sent| {
            let mut answer = query.message(sent.id);
            answer[2] |= RESPONSE;
            answer
        };
        let answers: Vec<Vec<u8>> = waiting.iter().map(answer).collect();
        let socket = Rc::clone(&waiting[0].socket);
        let leaving = iora::spawn(move || drop(waiting));
        for answer in answers.iter().chain(&answers) {
            socket.hand_over(answer);
        }
        assert_eq!(inbox.len(), QUERIES, "one letter each");
        leaving.get().expect("nobody is in the way");
        assert!(socket.waiting.borrow().is_empty());
    }
    #[test]
    fn a_socket_that_was_used_enough_goes_when_nobody_waits_for_it() {
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = peer.local_addr().expect("bound");
        let sockets = Sockets::new([address].into_iter(), ALL_SOCKETS);
        let old = sockets.socket(0).expect("opens");
        old.uses_left.set(0);
        let new = sockets.socket(0).expect("opens");
        assert!(!Rc::ptr_eq(&old, &new));
        iora::yield_now();
        assert_eq!(Rc::strong_count(&old), 1, "its receiver has ended");
    }

    #[test]
    fn who_asks_where_nobody_listens_is_told() {
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = peer.local_addr().expect("bound");
        drop(peer);
        let sockets = Sockets::new([address].into_iter(), 1);
        let query = Rc::new(UpstreamQuery::new(&Query::for_root(), false, None));
        let inbox = Rc::new(Queue::new());
        let _sent = sockets.send(0, query, &inbox).expect("sends");
        let letter = inbox.get_timeout(Duration::from_secs(10)).expect("a letter");
        let refused = NoAnswer::Unreachable(io::ErrorKind::ConnectionRefused);
        assert_eq!(letter.outcome, Err(refused));
    }
}
