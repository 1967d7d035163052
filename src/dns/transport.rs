//! Asking the servers: datagrams first, TCP where an answer was too long, one server after the other.
//!
//! ```text
//!   for each attempt, for each server (from a starting one on):
//!       send every open question from a socket and under an id of its own      A and AAAA are side by side
//!       for each: wait for its answer until the server's time is over
//!           foreign     drop, wait on                truncated    the same question by TCP
//!           form error  again without EDNS           failed       this question goes on to the next server
//! ```
//!
//! The answers of questions that are waited for later pile up in their own sockets meanwhile, so one greenlet waits for all of
//! them in the time of the slowest. A question is settled by the first server that knows: "no such name" is an answer too.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::message::{Answer, Kind, Manner, Question, Reading};
use super::name::HostName;
use super::resolv_conf::ResolvConf;
use super::socket::{self, Datagram, Stream};

/// The most bytes of a datagram that are looked at: more than any server may send us.
const LONGEST_DATAGRAM: usize = 4096;

/// The most datagrams not for us that are passed over once time is over.
const MOST_LATE: usize = 64;

/// Why a question has no answer: said by the last server that was asked.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// Whether that server simply did not answer in time.
    pub(crate) timed_out: bool,
    /// Which server, and what it did.
    pub(crate) cause: String,
}

/// Asks for `name`, once for each of `kinds`, and returns the answers in their order.
///
/// Parks the greenlet until all are settled. `first` turns the list of servers.
pub(crate) fn ask(conf: &ResolvConf, first: usize, name: &HostName, kinds: &[Kind]) -> Vec<Result<Answer, Trouble>> {
    let mut settled = Vec::with_capacity(kinds.len());
    // One batch of all questions, or a batch for each one.
    let batch_size = if conf.single_request { 1 } else { kinds.len().max(1) };
    for batch in kinds.chunks(batch_size) {
        let mut questions: Vec<Open> = batch.iter().map(|kind| Open::new(name, *kind, conf)).collect();
        for round in 0..conf.attempts as usize * conf.servers.len() {
            if questions.iter().all(|question| question.answer.is_some()) {
                break;
            }
            ask_one(conf, conf.servers[(first + round) % conf.servers.len()], &mut questions);
        }
        settled.extend(
            questions
                .into_iter()
                .map(|question| question.answer.ok_or(question.trouble)),
        );
    }
    settled
}

/// One question on its way.
struct Open {
    /// With the id of its last sending.
    question: Question,
    /// How it is put.
    manner: Manner,
    /// Where the present server's answer will come; none while it waits for its turn.
    socket: Option<Datagram>,
    /// Set once it is settled.
    answer: Option<Answer>,
    /// What the last server did instead.
    trouble: Trouble,
}

/// What to do next about a question at the present server.
enum Next {
    /// Nothing: the question is settled.
    Settled,
    /// Wait on: this was not for us.
    Wait,
    /// Ask again by TCP.
    Tcp,
    /// Ask again without EDNS.
    Plain,
    /// Go on to the next server.
    GiveUp(String),
}

/// Asks one server all questions that are still open.
fn ask_one(conf: &ResolvConf, server: SocketAddr, questions: &mut [Open]) {
    let deadline = Instant::now() + conf.timeout;
    let open = || |question: &&mut Open| question.answer.is_none();
    if !conf.use_tcp {
        for question in questions.iter_mut().filter(open()) {
            if let Err(error) = question.send(server) {
                question.note(server, &error);
            }
        }
    }
    for question in questions.iter_mut().filter(open()) {
        let done = if conf.use_tcp {
            question.ask_by_tcp(server, deadline)
        } else if question.socket.is_some() {
            question.hear(conf, server, deadline)
        } else {
            // It could not even be sent; why is noted.
            continue;
        };
        if let Err(error) = done {
            question.note(server, &error);
        }
        question.socket = None;
    }
}

impl Open {
    /// A question that was not asked yet.
    fn new(name: &HostName, kind: Kind, conf: &ResolvConf) -> Open {
        Open {
            question: Question {
                id: 0,
                name: name.clone(),
                kind,
            },
            manner: Manner {
                edns: conf.edns0,
                trust_ad: conf.trust_ad,
            },
            socket: None,
            answer: None,
            trouble: Trouble {
                timed_out: false,
                cause: "there is no name server to ask".to_owned(),
            },
        }
    }

    /// Sends the question from a new socket, under a new id.
    fn send(&mut self, server: SocketAddr) -> io::Result<()> {
        let bytes = self.prepare()?;
        let socket = Datagram::connect(server)?;
        socket.send(&bytes)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Gives the question a new id and puts it into wire form.
    fn prepare(&mut self) -> io::Result<Vec<u8>> {
        self.question.id = socket::random_id()?;
        self.question
            .to_bytes(self.manner)
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Waits for the answer to what was sent, until `deadline`.
    fn hear(&mut self, conf: &ResolvConf, server: SocketAddr, deadline: Instant) -> io::Result<()> {
        let mut buffer = [0; LONGEST_DATAGRAM];
        let mut late = 0;
        while let Some(socket) = &self.socket {
            let length = socket.receive(&mut buffer, deadline)?;
            match self.judge(&buffer[..length]) {
                Next::Settled => return Ok(()),
                // What lies in the socket is looked at even when time is over: while another question was waited for,
                // the answer to this one may have come. But nobody keeps us by sending without end.
                Next::Wait if Instant::now() >= deadline => {
                    late += 1;
                    if late == MOST_LATE {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Next::Wait => {}
                // The server is there and willing: its time starts anew.
                Next::Tcp => return self.ask_by_tcp(server, Instant::now() + conf.timeout),
                Next::Plain => self.send(server)?,
                Next::GiveUp(cause) => return Err(io::Error::other(cause)),
            }
        }
        Ok(())
    }

    /// Asks over a connection of its own, until `deadline`.
    fn ask_by_tcp(&mut self, server: SocketAddr, deadline: Instant) -> io::Result<()> {
        self.socket = None;
        let mut stream = Stream::connect(server, deadline)?;
        self.send_by_tcp(&stream, deadline)?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length, deadline)?;
            let mut message = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut message, deadline)?;
            match self.judge(&message) {
                Next::Settled => return Ok(()),
                Next::Wait => {}
                Next::Tcp => return Err(io::Error::other("the server's answer is truncated even by TCP")),
                // A server that just said it cannot read us may well have closed the connection.
                Next::Plain => {
                    stream = Stream::connect(server, deadline)?;
                    self.send_by_tcp(&stream, deadline)?;
                }
                Next::GiveUp(cause) => return Err(io::Error::other(cause)),
            }
        }
    }

    /// Sends the question with its length before it, in one write (RFC 7766, section 8).
    fn send_by_tcp(&mut self, stream: &Stream, deadline: Instant) -> io::Result<()> {
        let bytes = self.prepare()?;
        let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat(), deadline)
    }

    /// What a message from the server means for this question. Keeps the answer if it is one.
    fn judge(&mut self, message: &[u8]) -> Next {
        match self.question.read(message) {
            Reading::Foreign => Next::Wait,
            Reading::Truncated => Next::Tcp,
            Reading::FormatError if self.manner.edns => {
                self.manner.edns = false;
                Next::Plain
            }
            Reading::FormatError => Next::GiveUp("the server does not understand the question (FORMERR)".to_owned()),
            Reading::Failed(cause) => Next::GiveUp(cause.to_owned()),
            Reading::Answer(answer) => {
                self.answer = Some(answer);
                Next::Settled
            }
        }
    }

    /// Remembers why `server` gave no answer.
    fn note(&mut self, server: SocketAddr, error: &io::Error) {
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        let cause = if timed_out {
            "no answer in time".to_owned()
        } else {
            error.to_string()
        };
        self.trouble = Trouble {
            timed_out,
            cause: format!("{server}: {cause}"),
        };
    }
}
