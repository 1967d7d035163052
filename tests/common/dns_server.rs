//! A name server in the test process, as honest as its script: it can be slow, silent, lying, cut short or dead.
//!
//! It runs on threads of its own with plain blocking sockets, at a port of 127.0.0.1 that the system chooses, the same for UDP
//! and TCP. A script says for each question what to send back; the log says what was asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use domain::base::iana::{Class, Rcode};
use domain::base::message_builder::AnswerBuilder;
use domain::base::{Message, MessageBuilder, Name, Rtype, Serial, Ttl};
use domain::rdata::{A, Aaaa, Cname, Soa};

/// By which way a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
}

/// A question as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// How many questions came before it.
    pub(crate) number: usize,
    pub(crate) way: Way,
    pub(crate) from: SocketAddr,
    pub(crate) id: u16,
    /// Without the final dot.
    pub(crate) name: String,
    pub(crate) kind: Rtype,
    /// Whether it carried an EDNS record.
    pub(crate) edns: bool,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

/// What to do about a question; a script returns a list of these.
pub(crate) enum Deed {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Send these bytes from another port.
    SendFromElsewhere(Vec<u8>),
    /// Send these bytes one by one, by TCP.
    Trickle(Vec<u8>),
    /// Send these bytes as they are, without the length that TCP wants before them, and close.
    SendRawAndClose(Vec<u8>),
}

/// The script: what to do about each question.
type Script = dyn Fn(&Asked) -> Vec<Deed> + Send + Sync;

/// A running server. Dropping it closes its sockets.
pub(crate) struct DnsServer {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DnsServer {
    /// A server that goes by `script`.
    pub(crate) fn start(script: impl Fn(&Asked) -> Vec<Deed> + Send + Sync + 'static) -> DnsServer {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().expect("bound");
        let (log, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let script: Arc<Script> = Arc::new(script);
        let by_udp = {
            let (log, stop, script) = (log.clone(), stop.clone(), script.clone());
            std::thread::spawn(move || serve_udp(&udp, &log, &stop, &*script))
        };
        let by_tcp = {
            let (log, stop) = (log.clone(), stop.clone());
            std::thread::spawn(move || serve_tcp(&tcp, &log, &stop, &*script))
        };
        DnsServer {
            address,
            log,
            stop,
            threads: vec![by_udp, by_tcp],
        }
    }

    /// A line for `resolv.conf`.
    pub(crate) fn line(&self) -> String {
        format!("nameserver [{}]:{}\n", self.address.ip(), self.address.port())
    }

    /// What was asked up to now.
    pub(crate) fn log(&self) -> Vec<Asked> {
        self.log.lock().expect("no panic in the server").clone()
    }

    /// What was asked up to now, in short: `a.test A`.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.log()
            .iter()
            .map(|asked| format!("{} {}", asked.name, asked.kind))
            .collect()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        // Each thread is woken by something to read.
        self.stop.store(true, Ordering::SeqCst);
        let knock = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        knock.send_to(&[], self.address).expect("sent");
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the name server panicked");
        }
    }
}

/// The address of a port at which nobody listens (any more), as a line for `resolv.conf`.
pub(crate) fn dead_server_line() -> String {
    DnsServer::start(|_| Vec::new()).line()
}

/// A datagram socket and a listener at the same port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("bound")) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

/// Answers datagrams until told to stop.
fn serve_udp(socket: &UdpSocket, log: &Mutex<Vec<Asked>>, stop: &AtomicBool, script: &Script) {
    let mut buffer = [0; 65535];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).expect("received");
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let asked = note(&buffer[..length], Way::Udp, from, log);
        for deed in script(&asked) {
            match deed {
                Deed::Send(bytes) => drop(socket.send_to(&bytes, from)),
                Deed::SendFromElsewhere(bytes) => {
                    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
                    drop(other.send_to(&bytes, from));
                }
                Deed::Trickle(_) | Deed::SendRawAndClose(_) => panic!("a deed for TCP"),
            }
        }
    }
}

/// Answers connections, one after the other, until told to stop.
fn serve_tcp(listener: &TcpListener, log: &Mutex<Vec<Asked>>, stop: &AtomicBool, script: &Script) {
    loop {
        let (mut stream, from) = listener.accept().expect("accepted");
        if stop.load(Ordering::SeqCst) {
            return;
        }
        'connection: loop {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                break;
            }
            let mut bytes = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut bytes).expect("a whole question");
            let asked = note(&bytes, Way::Tcp, from, log);
            let with_length = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes(), bytes.as_slice()].concat();
            for deed in script(&asked) {
                // The client may have gone: that is its right.
                match deed {
                    Deed::Send(bytes) => drop(stream.write_all(&with_length(bytes))),
                    Deed::Trickle(bytes) => {
                        stream.set_nodelay(true).expect("set");
                        for byte in with_length(bytes) {
                            drop(stream.write_all(&[byte]));
                        }
                    }
                    Deed::SendRawAndClose(bytes) => {
                        drop(stream.write_all(&bytes));
                        break 'connection;
                    }
                    Deed::SendFromElsewhere(_) => panic!("a deed for UDP"),
                }
            }
        }
    }
}

/// Reads a question and writes it into the log.
fn note(bytes: &[u8], way: Way, from: SocketAddr, log: &Mutex<Vec<Asked>>) -> Asked {
    let message = Message::from_octets(bytes).expect("a message");
    let question = message.sole_question().expect("one question");
    assert_eq!(question.qclass(), Class::IN);
    assert!(message.header().rd() && !message.header().qr());
    let mut log = log.lock().expect("no panic in the server");
    let asked = Asked {
        number: log.len(),
        way,
        from,
        id: message.header().id(),
        name: question.qname().to_string(),
        kind: question.qtype(),
        edns: message.opt().is_some(),
        bytes: bytes.to_vec(),
    };
    log.push(asked.clone());
    asked
}

impl Asked {
    /// An answer with these records; each is `TTL A 192.0.2.1`, `TTL AAAA ::1` or `OWNER TTL TYPE DATA`.
    pub(crate) fn answer(&self, records: &[&str]) -> Vec<u8> {
        let mut answer = self.start(Rcode::NOERROR);
        for record in records {
            push(&mut answer, &self.name, record);
        }
        answer.finish()
    }

    /// An answer to A questions with the addresses of version 4 among `records`, to AAAA with the others.
    pub(crate) fn answer_kind(&self, records: &[&str]) -> Vec<u8> {
        let kind = format!(" {} ", self.kind);
        let of_kind: Vec<&str> = records
            .iter()
            .copied()
            .filter(|record| format!(" {record} ").contains(&kind))
            .collect();
        if of_kind.is_empty() {
            self.nothing(Rcode::NOERROR, 60)
        } else {
            self.answer(&of_kind)
        }
    }

    /// An answer without records, with the zone's SOA record: what a server says of what does not exist.
    pub(crate) fn nothing(&self, rcode: Rcode, seconds: u32) -> Vec<u8> {
        let ttl = Ttl::from_secs(seconds);
        let soa = Soa::new(name("ns.test"), name("me.test"), Serial(1), ttl, ttl, ttl, ttl);
        let mut answer = self.start(rcode).authority();
        answer.push((name("."), ttl, soa)).expect("fits");
        answer.finish()
    }

    /// An answer without records that says why.
    pub(crate) fn fail(&self, rcode: Rcode) -> Vec<u8> {
        self.start(rcode).finish()
    }

    /// An answer that did not fit.
    pub(crate) fn truncated(&self) -> Vec<u8> {
        let mut answer = self.start(Rcode::NOERROR);
        answer.header_mut().set_tc(true);
        answer.finish()
    }

    /// The beginning of an answer.
    fn start(&self, rcode: Rcode) -> AnswerBuilder<Vec<u8>> {
        let question = Message::from_octets(self.bytes.as_slice()).expect("a message");
        let mut answer = MessageBuilder::new_vec().start_answer(&question, rcode).expect("fits");
        answer.header_mut().set_ra(true);
        answer
    }
}

/// Adds a record as [`Asked::answer`] describes it.
fn push(answer: &mut AnswerBuilder<Vec<u8>>, asked: &str, record: &str) {
    let words: Vec<&str> = record.split(' ').collect();
    let (owner, ttl, kind, data) = match words[..] {
        [ttl, kind, data] => (asked, ttl, kind, data),
        [owner, ttl, kind, data] => (owner, ttl, kind, data),
        _ => panic!("no record: {record}"),
    };
    let (owner, ttl) = (name(owner), Ttl::from_secs(ttl.parse().expect("a number")));
    match kind {
        "A" => answer.push((owner, ttl, A::new(data.parse().expect("an address")))),
        "AAAA" => answer.push((owner, ttl, Aaaa::new(data.parse().expect("an address")))),
        "CNAME" => answer.push((owner, ttl, Cname::new(name(data)))),
        _ => panic!("no record: {record}"),
    }
    .expect("fits");
}

fn name(text: &str) -> Name<Vec<u8>> {
    Name::vec_from_str(text).expect("a name")
}
