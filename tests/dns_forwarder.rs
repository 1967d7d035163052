//! The DNS forwarder from outside: the program runs as a child, between clients and upstreams that are played here.
//!
//! An upstream is a function from a query to what happens: answers that come late, twice, cut short, from elsewhere, with a
//! wrong id or question, or not at all. Every test has its own forwarder and its own upstreams, on ports that the system
//! chooses.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const A: u16 = 1;
const SOA: u16 = 6;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const OPT: u16 = 41;

// ---------------------------------------------------------------------------------------------- messages

/// A name written with dots, as it is on the wire.
fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A query of a client, without EDNS.
fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&name_bytes(name));
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// The same with an OPT record.
fn with_opt(mut message: Vec<u8>, payload: u16, version: u8) -> Vec<u8> {
    message[11] += 1;
    message.extend_from_slice(&[0, 0, 41]);
    message.extend_from_slice(&payload.to_be_bytes());
    message.extend_from_slice(&[0, version, 0, 0, 0, 0]);
    message
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    owner: String,
    kind: u16,
    class: u16,
    ttl: u32,
    data: Vec<u8>,
}

/// A message as it was read.
#[derive(Clone, Debug)]
struct Message {
    id: u16,
    flags: u16,
    /// The name of the question in the case in which it stands there; empty without a question.
    name: String,
    kind: u16,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additional: Vec<Record>,
    length: usize,
}

impl Message {
    fn parse(bytes: &[u8]) -> Message {
        let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let mut at = 12;
        let (mut name, mut kind) = (String::new(), 0);
        for _ in 0..number(4) {
            name = read_name(bytes, &mut at);
            kind = number(at);
            at += 4;
        }
        let mut sections = [6, 8, 10].map(|count_at| {
            let records = (0..number(count_at)).map(|_| {
                let owner = read_name(bytes, &mut at);
                let length = usize::from(number(at + 8));
                let ttl = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap());
                let data = bytes[at + 10..at + 10 + length].to_vec();
                let record = Record {
                    owner,
                    kind: number(at),
                    class: number(at + 2),
                    ttl,
                    data,
                };
                at += 10 + length;
                record
            });
            records.collect::<Vec<_>>()
        });
        assert_eq!(at, bytes.len(), "bytes behind the last record");
        let [answers, authorities, additional] = &mut sections;
        let (answers, authorities, additional) = (
            std::mem::take(answers),
            std::mem::take(authorities),
            std::mem::take(additional),
        );
        Message {
            id: number(0),
            flags: number(2),
            name,
            kind,
            answers,
            authorities,
            additional,
            length: bytes.len(),
        }
    }

    fn rcode(&self) -> u16 {
        self.flags & 15
    }

    fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    fn opt(&self) -> Option<&Record> {
        self.additional.iter().find(|record| record.kind == OPT)
    }
}

/// The name at `at`, with dots; `at` moves behind it.
fn read_name(bytes: &[u8], at: &mut usize) -> String {
    let mut labels = Vec::new();
    let mut here = *at;
    let mut jumped = false;
    loop {
        let length = usize::from(bytes[here]);
        if length >= 0xc0 {
            if !jumped {
                *at = here + 2;
            }
            jumped = true;
            here = (length & 0x3f) << 8 | usize::from(bytes[here + 1]);
            continue;
        }
        here += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(&bytes[here..here + length]).into_owned());
        here += length;
    }
    if !jumped {
        *at = here;
    }
    labels.join(".")
}

// ---------------------------------------------------------------------------------------------- upstreams

/// A query as an upstream gets it.
#[derive(Clone, Debug)]
struct Asked {
    bytes: Vec<u8>,
    message: Message,
    /// The name in lower case.
    name: String,
    tcp: bool,
    /// Where it came from.
    from: SocketAddr,
}

impl Asked {
    /// An answer with this response code and these records.
    fn answer(
        &self,
        rcode: u8,
        answers: &[(&str, u16, u32, &[u8])],
        authorities: &[(&str, u16, u32, &[u8])],
    ) -> Vec<u8> {
        let question_end = 12 + name_bytes(&self.name).len() + 4;
        let mut message = self.bytes[..question_end].to_vec();
        message[2] = 0x81;
        message[3] = 0x80 | rcode;
        message[6..12].fill(0);
        message[6..8].copy_from_slice(&u16::try_from(answers.len()).unwrap().to_be_bytes());
        message[9] = u8::try_from(authorities.len()).unwrap();
        for (owner, kind, ttl, data) in answers.iter().chain(authorities) {
            message.extend_from_slice(&name_bytes(owner));
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 1]);
            message.extend_from_slice(&ttl.to_be_bytes());
            message.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    /// An answer of one address.
    fn address(&self, last: u8) -> Vec<u8> {
        self.answer(0, &[(&self.name, A, 60, &[192, 0, 2, last])], &[])
    }
}

/// What an upstream does about a query.
enum Deed {
    /// Sends this.
    Send(Vec<u8>),
    /// Sends this from another port.
    SendFromElsewhere(Vec<u8>),
    /// Closes the connection, if it is one.
    Close,
    /// Sends half of this and closes the connection, if it is one.
    SendHalf(Vec<u8>),
    /// Resets the connection, if it is one.
    Reset,
}

/// An upstream: UDP and TCP at one address.
struct Upstream {
    address: SocketAddr,
    /// All that it was asked so far, but for probes.
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How many connections to it are open.
    open: Arc<AtomicUsize>,
}

impl Upstream {
    /// One that does what `behaviour` says, each query in a thread of its own.
    fn start(behaviour: impl Fn(&Asked) -> Vec<Deed> + Send + Sync + 'static) -> Upstream {
        let (udp, tcp) = bind_both();
        let address = udp.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let behaviour = Arc::new(behaviour);
        let (log, does) = (Arc::clone(&asked), Arc::clone(&behaviour));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = udp.recv_from(&mut buffer) {
                let asked = note(&log, &buffer[..length], false, client);
                let (udp, does) = (udp.try_clone().unwrap(), Arc::clone(&does));
                thread::spawn(move || {
                    for deed in does(&asked) {
                        match deed {
                            Deed::Send(message) => drop(udp.send_to(&message, client)),
                            Deed::SendFromElsewhere(message) => {
                                let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
                                elsewhere.send_to(&message, client).unwrap();
                            }
                            Deed::Close | Deed::SendHalf(_) | Deed::Reset => {}
                        }
                    }
                });
            }
        });
        let log = Arc::clone(&asked);
        let open: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&open);
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let (stream, log, does) = (stream.unwrap(), Arc::clone(&log), Arc::clone(&behaviour));
                let count = Arc::clone(&count);
                count.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    converse(stream, &log, &*does);
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Upstream { address, asked, open }
    }

    /// One that cuts its answers short over UDP and does this over TCP, where it is told the question's number on its
    /// connection, from 1 on.
    fn over_tcp(behaviour: impl Fn(&Asked, usize) -> Vec<Deed> + Send + Sync + 'static) -> Upstream {
        let numbers: Mutex<HashMap<SocketAddr, usize>> = Mutex::default();
        Upstream::start(move |asked| {
            if !asked.tcp {
                let mut cut = asked.answer(0, &[], &[]);
                cut[2] |= 2;
                return vec![Deed::Send(cut)];
            }
            let number = {
                let mut numbers = numbers.lock().unwrap();
                let number = numbers.entry(asked.from).or_default();
                *number += 1;
                *number
            };
            behaviour(asked, number)
        })
    }

    /// Where the questions over TCP came from, without repetitions.
    fn connections(&self) -> HashSet<SocketAddr> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.tcp).map(|asked| asked.from).collect()
    }

    /// One that answers every question for an address.
    fn plain(last: u8) -> Upstream {
        Upstream::start(move |asked| vec![Deed::Send(asked.address(last))])
    }

    /// How often it was asked for this name.
    fn count(&self, name: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.name == name)
            .count()
    }
}

/// Serves one connection until it ends.
fn converse(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, does: impl Fn(&Asked) -> Vec<Deed>) {
    let Ok(client) = stream.peer_addr() else { return };
    while let Ok(message) = read_framed(&mut stream) {
        for deed in does(&note(log, &message, true, client)) {
            match deed {
                Deed::Send(message) => write_framed(&mut stream, &message),
                Deed::SendFromElsewhere(_) => {}
                Deed::Close => return,
                Deed::SendHalf(message) => {
                    let framed = framed(&message);
                    let _ = stream.write_all(&framed[..framed.len() / 2]);
                    return;
                }
                Deed::Reset => {
                    return socket2::SockRef::from(&stream)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                }
            }
        }
    }
}

fn note(log: &Mutex<Vec<Asked>>, bytes: &[u8], tcp: bool, from: SocketAddr) -> Asked {
    let message = Message::parse(bytes);
    let name = message.name.to_ascii_lowercase();
    let asked = Asked {
        bytes: bytes.to_vec(),
        message,
        name,
        tcp,
        from,
    };
    log.lock().unwrap().push(asked.clone());
    asked
}

/// A UDP socket and a TCP listener at one port.
fn bind_both() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

/// An address at which nobody listens, but which nobody else takes while the sockets live.
fn dead_address() -> SocketAddr {
    let (udp, _tcp) = bind_both();
    udp.local_addr().unwrap()
}

fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn write_framed(stream: &mut TcpStream, message: &[u8]) {
    // Whoever asked may have gone away.
    let _ = stream.write_all(&framed(message));
}

// ---------------------------------------------------------------------------------------------- the forwarder

/// The program, built beside this test.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/dns_forwarder");
    if !path.exists() {
        // `cargo test` builds those examples as programs that have no tests of their own.
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "dns_forwarder"]);
        if path.iter().any(|part| part == "release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    let changed = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dns_forwarder");
    let mut sources = std::fs::read_dir(sources).unwrap();
    assert!(
        sources.all(|source| changed(&source.unwrap().path()) <= changed(&path)),
        "{} is older than its source: `cargo build --examples`",
        path.display()
    );
    path
}

/// A forwarder that runs.
struct Forwarder {
    child: Child,
    address: SocketAddr,
}

impl Forwarder {
    /// One with these upstreams and flags, on a port of its own.
    fn start(upstreams: &[SocketAddr], flags: &[&str]) -> Forwarder {
        Forwarder::start_at("127.0.0.1:0", upstreams, flags)
    }

    /// As [`start`](Self::start), listening there.
    fn start_at(listen: &str, upstreams: &[SocketAddr], flags: &[&str]) -> Forwarder {
        let mut command = Command::new(program());
        command.args(["--listen", listen]).args(flags);
        for upstream in upstreams {
            command.args(["--upstream", &upstream.to_string()]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split(' ').next());
        let address = address
            .unwrap_or_else(|| panic!("unexpected first line {line:?}"))
            .parse()
            .unwrap();
        Forwarder { child, address }
    }

    /// A client of it.
    fn client(&self) -> Client {
        Forwarder::client_of(self.address)
    }

    /// One that hears no other address than this.
    fn client_of(address: SocketAddr) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(socket)
    }

    /// A connection to it.
    fn connection(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn signal(&self, name: &str) {
        assert!(
            // The shell's own `kill`: the program of that name is not on every system.
            Command::new("sh")
                .args(["-c", &format!("kill {name} {}", self.child.id())])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Its exit code; it must end within the time.
    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::yield_now();
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client over UDP.
struct Client(UdpSocket);

impl Client {
    fn send(&self, message: &[u8]) {
        self.0.send(message).unwrap();
    }

    fn receive(&self) -> Message {
        let mut buffer = [0; 65_535];
        let length = self.0.recv(&mut buffer).expect("no answer");
        Message::parse(&buffer[..length])
    }

    fn ask(&self, message: &[u8]) -> Message {
        self.send(message);
        let answer = self.receive();
        assert_eq!(
            answer.id,
            u16::from_be_bytes([message[0], message[1]]),
            "the id is the client's"
        );
        assert_eq!(answer.flags & 0x8000, 0x8000, "it is an answer");
        answer
    }

    /// Asks for something that is answered at once and in order: whatever was sent before has been taken up.
    fn settle(&self) {
        assert_eq!(self.ask(&query(0xfeed, "localhost", A)).answers[0].data, [127, 0, 0, 1]);
    }
}

fn soa_data(minimum: u32) -> Vec<u8> {
    let mut data = [name_bytes("ns.example"), name_bytes("host.example")].concat();
    data.extend_from_slice(&[0; 16]);
    data.extend_from_slice(&minimum.to_be_bytes());
    data
}

// ---------------------------------------------------------------------------------------------- tests: answers

#[test]
fn an_answer_is_kept_and_its_ttl_counted_down() {
    let upstream = Upstream::plain(7);
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    let first = client.ask(&query(1, "www.example", A));
    assert_eq!((first.rcode(), first.answers.len()), (0, 1));
    assert_eq!(
        (first.answers[0].ttl, &first.answers[0].data[..]),
        (60, &[192, 0, 2, 7][..])
    );
    assert_eq!(first.flags, 0x8180, "an answer, recursion desired and available");
    let second = client.ask(&query(2, "WWW.eXample", A));
    assert!(second.answers[0].ttl < 60, "what is left, rounded down");
    assert!(second.answers[0].ttl > 30);
    assert_eq!(
        (&*second.name, second.kind, &*second.answers[0].owner),
        ("WWW.eXample", A, "WWW.eXample")
    );
    assert_eq!(upstream.count("www.example"), 1);
}

#[test]
fn a_missing_name_is_kept_for_all_types_and_what_is_below() {
    let upstream = Upstream::start(|asked| {
        vec![Deed::Send(asked.answer(
            3,
            &[],
            &[("example", SOA, 300, &soa_data(60))],
        ))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    let first = client.ask(&query(1, "gone.example", A));
    assert_eq!(
        (first.rcode(), first.authorities[0].kind, first.authorities[0].ttl),
        (3, SOA, 60)
    );
    for (name, kind) in [("gone.example", A), ("gone.example", AAAA), ("a.b.gone.example", TXT)] {
        let next = client.ask(&query(2, name, kind));
        assert_eq!((next.rcode(), &*next.name, next.kind), (3, name, kind));
        assert!(next.authorities[0].ttl < 60);
    }
    assert_eq!(upstream.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_missing_type_is_kept_and_an_answer_without_soa_is_not() {
    let upstream = Upstream::start(|asked| {
        let soa: &[(&str, u16, u32, &[u8])] = &[("example", SOA, 30, &soa_data(3600))];
        vec![Deed::Send(asked.answer(
            0,
            &[],
            if asked.name == "kept.example" { soa } else { &[] },
        ))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    for name in ["kept.example", "kept.example", "unkept.example", "unkept.example"] {
        let answer = client.ask(&query(1, name, AAAA));
        assert_eq!((answer.rcode(), answer.answers.len()), (0, 0));
    }
    assert_eq!(
        (upstream.count("kept.example"), upstream.count("unkept.example")),
        (1, 2)
    );
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let upstream = Upstream::plain(7);
    let forwarder = Forwarder::start_at("0.0.0.0:0", &[upstream.address], &["--threads", "2"]);
    for ip in ["127.0.0.1", "127.0.0.2", "127.9.9.9"] {
        let client = Forwarder::client_of(SocketAddr::new(ip.parse().unwrap(), forwarder.address.port()));
        // At once, later, and out of the cache.
        client.settle();
        for _ in 0..2 {
            let answer = client.ask(&query(1, &format!("{ip}.example"), A));
            assert_eq!(answer.answers[0].data, [192, 0, 2, 7]);
        }
    }
}

#[test]
fn records_beside_the_question_are_dropped() {
    let upstream = Upstream::start(|asked| {
        let target = name_bytes("target.example");
        let answers: [(&str, u16, u32, &[u8]); 3] = [
            (&asked.name, 5, 60, &target),
            ("bank.example", A, 9999, &[192, 0, 2, 66]),
            ("target.example", A, 60, &[192, 0, 2, 1]),
        ];
        vec![Deed::Send(asked.answer(0, &answers, &[]))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    let answer = client.ask(&query(1, "www.example", A));
    let owners: Vec<_> = answer.answers.iter().map(|record| &*record.owner).collect();
    assert_eq!(owners, ["www.example", "target.example"]);
    client.ask(&query(2, "bank.example", A));
    assert_eq!(upstream.count("bank.example"), 1, "what came unasked was not kept");
}

#[test]
fn unknown_types_are_forwarded_and_local_names_are_not() {
    let upstream = Upstream::start(|asked| {
        vec![Deed::Send(asked.answer(
            0,
            &[(&asked.name, asked.message.kind, 60, &[0xc0, 0xff, 1])],
            &[],
        ))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    assert_eq!(
        client.ask(&query(1, "x.example", 65_333)).answers[0].data,
        [0xc0, 0xff, 1]
    );
    assert_eq!(client.ask(&query(2, "printer.local", A)).rcode(), 3);
    assert_eq!(client.ask(&query(3, "1.1.168.192.in-addr.arpa", 12)).rcode(), 3);
    assert_eq!(
        client.ask(&query(4, "x.example", 255)).answers[0].kind,
        13,
        "everything: the one record of RFC 8482"
    );
    assert_eq!(upstream.asked.lock().unwrap().len(), 1);
}

#[test]
fn bad_messages_are_refused_and_answers_not_answered() {
    let upstream = Upstream::plain(1);
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    let good = query(0x1234, "www.example", A);
    let spoilt = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        message
    };
    for (what, message) in [
        ("cut short", good[..good.len() - 3].to_vec()),
        ("a header cut short", good[..5].to_vec()),
        ("no question", spoilt(5, 0)),
        ("two questions", spoilt(5, 2)),
        ("65,535 records", spoilt(10, 0xff)),
        ("a pointer", spoilt(12, 0xc0)),
        ("trailing bytes", [&good[..], b"x"].concat()),
    ] {
        let answer = client.ask(&message);
        assert_eq!((answer.rcode(), answer.length), (1, 12), "{what}");
    }
    assert_eq!(client.ask(&spoilt(2, 0x21)).rcode(), 4, "an unknown operation");
    let iterative = {
        let mut message = query(1, "www.example", A);
        message[2] = 0;
        message
    };
    for (what, message) in [
        ("a zone transfer", query(1, "www.example", 252)),
        ("a query that desires no recursion", iterative),
    ] {
        let answer = client.ask(&with_opt(message, 1232, 0));
        assert_eq!((answer.rcode(), &*answer.name), (5, "www.example"), "{what}");
        assert!(answer.opt().is_some(), "{what}");
    }
    // Neither an answer nor a single byte is answered: the next thing that comes is the answer to something else.
    client.send(&spoilt(2, 0x81));
    client.send(&[7]);
    client.send(&[]);
    client.settle();
    assert!(upstream.asked.lock().unwrap().is_empty());
}

#[test]
fn every_answer_fits_the_clients_payload() {
    let upstream = Upstream::start(|asked| {
        let last: [[u8; 4]; 60] = std::array::from_fn(|index| [192, 0, 2, u8::try_from(index).unwrap()]);
        let answers: Vec<(&str, u16, u32, &[u8])> = last.iter().map(|data| (&*asked.name, A, 60, &data[..])).collect();
        // 60 addresses take 960 bytes and more.
        vec![Deed::Send(asked.answer(0, &answers, &[]))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    let plain = query(1, "www.example", A);
    let answer = client.ask(&plain);
    assert!(answer.is_truncated() && answer.length <= 512 && answer.opt().is_none());
    let answer = client.ask(&with_opt(plain.clone(), 600, 0));
    assert!(answer.is_truncated() && answer.length <= 600);
    assert_eq!(answer.opt().unwrap().class, 1232, "our own payload");
    let answer = client.ask(&with_opt(plain.clone(), 4096, 0));
    assert_eq!((answer.is_truncated(), answer.answers.len()), (false, 60));
    let mut stream = forwarder.connection();
    write_framed(&mut stream, &plain);
    let answer = Message::parse(&read_framed(&mut stream).unwrap());
    assert_eq!((answer.is_truncated(), answer.answers.len()), (false, 60));
    let answer = client.ask(&with_opt(plain, 1232, 1));
    assert_eq!(answer.opt().unwrap().ttl >> 24, 1, "BADVERS");
    let asked = upstream.asked.lock().unwrap();
    assert_eq!(asked[0].message.opt().unwrap().class, 1232);
    assert_eq!(asked.len(), 1);
}

// ---------------------------------------------------------------------------------------------- tests: upstreams

#[test]
fn equal_questions_wait_for_one_upstream_query() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::start(move |asked| {
        gate.lock().unwrap().recv().unwrap();
        vec![Deed::Send(asked.address(1))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    let mut stream = forwarder.connection();
    for id in 0..200 {
        client.send(&query(id, "www.example", A));
    }
    write_framed(&mut stream, &query(777, "WWW.example", A));
    client.settle();
    open.send(()).unwrap();
    let mut ids: Vec<u16> = (0..200).map(|_| client.receive().id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>(), "each gets exactly one answer");
    assert_eq!(Message::parse(&read_framed(&mut stream).unwrap()).id, 777);
    assert_eq!(upstream.count("www.example"), 1);
}

#[test]
fn they_take_turns_and_failures_move_on_to_the_next() {
    let (one, two) = (Upstream::plain(1), Upstream::plain(2));
    let failing = Upstream::start(|asked| vec![Deed::Send(asked.answer(2, &[], &[]))]);
    let forwarder = Forwarder::start(&[one.address, failing.address, dead_address(), two.address], &[]);
    let client = forwarder.client();
    for number in 0..12 {
        let answer = client.ask(&query(number, &format!("n{number}.example"), A));
        assert_eq!((answer.rcode(), answer.answers.len()), (0, 1));
    }
    let counts = [&one, &two, &failing].map(|upstream| upstream.asked.lock().unwrap().len());
    assert!(counts.iter().all(|&count| count >= 3), "{counts:?}");
}

#[test]
fn a_silent_upstream_costs_time_and_not_the_answer() {
    let silent = Upstream::start(|_| Vec::new());
    let one = Upstream::plain(1);
    let forwarder = Forwarder::start(&[silent.address, one.address], &[]);
    let client = forwarder.client();
    for number in 0..8 {
        assert_eq!(client.ask(&query(number, &format!("n{number}.example"), A)).rcode(), 0);
    }
    assert!(!silent.asked.lock().unwrap().is_empty());
}

#[test]
fn an_answer_that_comes_after_the_question_was_repeated_still_counts() {
    let (repeated, wait) = mpsc::channel::<()>();
    let (repeated, wait) = (Mutex::new(repeated), Mutex::new(wait));
    let first = AtomicUsize::new(0);
    let upstream = Upstream::start(move |asked| {
        if first.fetch_add(1, Ordering::SeqCst) > 0 {
            let _ = repeated.lock().unwrap().send(());
            return Vec::new();
        }
        wait.lock().unwrap().recv().unwrap();
        vec![Deed::Send(asked.address(1))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    assert_eq!(
        forwarder.client().ask(&query(1, "www.example", A)).answers[0].data,
        [192, 0, 2, 1]
    );
}

#[test]
fn when_nobody_answers_the_client_is_told_in_time_and_the_failure_is_kept() {
    let silent = Upstream::start(|_| Vec::new());
    let forwarder = Forwarder::start(&[silent.address], &["--timeout", "1s"]);
    let client = forwarder.client();
    let answer = client.ask(&with_opt(query(1, "www.example", A), 1232, 0));
    assert_eq!(answer.rcode(), 2);
    let text = String::from_utf8_lossy(&answer.opt().unwrap().data).into_owned();
    assert!(
        text.contains(&silent.address.to_string()),
        "which upstream failed: {text}"
    );
    let before = silent.count("www.example");
    assert_eq!(client.ask(&query(2, "www.example", A)).rcode(), 2);
    assert_eq!(silent.count("www.example"), before, "it was not asked again");
}

#[test]
fn an_upstream_that_dies_and_comes_back_is_used_again() {
    let upstream = Upstream::plain(1);
    let silent = Arc::new(AtomicUsize::new(1));
    let mute = Arc::clone(&silent);
    let other = Upstream::start(move |asked| {
        if mute.load(Ordering::SeqCst) == 1 {
            Vec::new()
        } else {
            vec![Deed::Send(asked.address(2))]
        }
    });
    let forwarder = Forwarder::start(&[upstream.address, other.address], &[]);
    let client = forwarder.client();
    let mut number = 0;
    let mut next = || {
        number += 1;
        client.ask(&query(number, &format!("n{number}.example"), A)).answers[0].data[3]
    };
    (0..8).for_each(|_| assert_eq!(next(), 1));
    let asked_while_dead = || {
        other
            .asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| !asked.name.is_empty())
            .count()
    };
    let before = asked_while_dead();
    (0..8).for_each(|_| assert_eq!(next(), 1));
    assert_eq!(asked_while_dead(), before, "a dead one is not used");
    silent.store(0, Ordering::SeqCst);
    let deadline = Instant::now() + PATIENCE;
    while next() != 2 {
        assert!(Instant::now() < deadline, "it is never used again");
    }
}

#[test]
fn want_of_descriptors_is_not_the_upstreams_failure() {
    let (one, two) = (Upstream::plain(1), Upstream::plain(2));
    let forwarder = Forwarder::start(&[one.address, two.address], &["--threads", "1"]);
    let client = forwarder.client();
    let mut number = 0;
    let mut next = || {
        number += 1;
        client.ask(&query(number, &format!("n{number}.example"), A)).rcode()
    };
    // From then on it needs a descriptor for nothing else.
    client.settle();
    let before = limit_descriptors(&forwarder.child, 0);
    assert_eq!([(); 4].map(|()| next()), [2; 4]);
    let asked = || [&one, &two].map(|upstream| upstream.asked.lock().unwrap().len());
    assert_eq!(asked(), [0, 0]);
    limit_descriptors(&forwarder.child, before);
    // Those that were dead would be left out as soon as one of them has answered.
    assert_eq!([(); 6].map(|()| next()), [0; 6]);
    let asked = asked();
    assert!(asked.iter().all(|&count| count >= 3), "they take turns: {asked:?}");
}

/// Has a process open no descriptor whose number is not below `limit`; what the limit was.
#[expect(unsafe_code, reason = "calls a function of libc")]
fn limit_descriptors(child: &Child, limit: u64) -> u64 {
    let process = i32::try_from(child.id()).unwrap();
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: it writes to the second one.
    let read = unsafe { libc::prlimit(process, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limits) };
    assert_eq!(read, 0);
    let before = std::mem::replace(&mut limits.rlim_cur, limit);
    // SAFETY: it reads the first one.
    let written = unsafe { libc::prlimit(process, libc::RLIMIT_NOFILE, &raw const limits, std::ptr::null_mut()) };
    assert_eq!(written, 0);
    before
}

#[test]
fn lies_are_dropped_and_the_truth_is_waited_for() {
    let upstream = Upstream::start(|asked| {
        let lie = asked.address(66);
        let changed = |at: usize, by: u8| {
            let mut message = lie.clone();
            message[at] ^= by;
            message
        };
        vec![
            Deed::SendFromElsewhere(lie.clone()),
            Deed::Send(changed(0, 1)),
            Deed::Send(changed(1, 0x80)),
            Deed::Send(changed(13, 1)),
            Deed::Send(changed(2, 0x80)),
            Deed::Send(lie[..11].to_vec()),
            Deed::Send(Vec::new()),
            Deed::Send(asked.address(1)),
            Deed::Send(asked.address(67)),
        ]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    for number in 0..20 {
        let answer = client.ask(&query(number, &format!("name{number}.example"), A));
        assert_eq!(answer.answers[0].data, [192, 0, 2, 1]);
    }
}

#[test]
fn ids_ports_and_case_are_unpredictable() {
    let upstream = Upstream::plain(1);
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    for number in 0..40 {
        client.ask(&query(number, &format!("a-long-name-{number}.with-letters.example"), A));
    }
    let asked = upstream.asked.lock().unwrap();
    let ids: HashSet<u16> = asked.iter().map(|asked| asked.message.id).collect();
    assert!(ids.len() > 35, "{ids:?}");
    let ports: HashSet<u16> = asked.iter().map(|asked| asked.from.port()).collect();
    assert!(ports.len() > 5, "{ports:?}");
    let mixed = asked.iter().filter(|asked| {
        let name = &asked.message.name;
        name.chars().any(|c| c.is_ascii_lowercase()) && name.chars().any(|c| c.is_ascii_uppercase())
    });
    assert!(mixed.count() > 35);
}

#[test]
fn an_upstream_that_folds_the_case_is_believed_over_tcp() {
    let upstream = Upstream::start(|asked| {
        let mut message = asked.address(1);
        let end = 12 + name_bytes(&asked.name).len();
        message[12..end].make_ascii_lowercase();
        vec![Deed::Send(message)]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    for number in 0..5 {
        let answer = client.ask(&query(number, &format!("some-letters-{number}.example"), A));
        assert_eq!(answer.answers[0].data, [192, 0, 2, 1]);
    }
    let asked = upstream.asked.lock().unwrap();
    assert_eq!(
        asked.iter().filter(|asked| asked.tcp).count(),
        1,
        "once, and then it is known"
    );
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    let upstream = Upstream::start(|asked| {
        if asked.tcp {
            return vec![Deed::Send(asked.address(1))];
        }
        let mut message = asked.answer(0, &[], &[]);
        message[2] |= 2;
        vec![Deed::Send(message)]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let answer = forwarder.client().ask(&query(1, "www.example", A));
    assert_eq!(
        (answer.is_truncated(), &answer.answers[0].data[..]),
        (false, &[192, 0, 2, 1][..])
    );
    assert_eq!(upstream.count("www.example"), 2);
}

/// How a connection can die with a question on it.
const DEATHS: [fn(&Asked) -> Vec<Deed>; 4] = [
    |_| vec![Deed::Close],
    |_| vec![Deed::Reset],
    |asked| vec![Deed::SendHalf(asked.address(66))],
    |asked| {
        let mut wrong = asked.address(66);
        wrong[0] ^= 1;
        vec![Deed::Send(wrong), Deed::Close]
    },
];

#[test]
fn a_truncated_answer_from_one_whose_connections_die_moves_on() {
    for death in DEATHS {
        let cut = Upstream::over_tcp(move |asked, _| death(asked));
        let whole = Upstream::plain(1);
        let forwarder = Forwarder::start(&[cut.address, whole.address], &[]);
        assert_eq!(
            forwarder.client().ask(&query(1, "www.example", A)).answers[0].data,
            [192, 0, 2, 1]
        );
        assert_eq!(
            cut.connections().len(),
            1,
            "a fresh connection that dies is not replaced"
        );
    }
}

/// Asks the forwarder for so many names, one after the other, and wants the same address for each.
fn ask_for_names(forwarder: &Forwarder, count: u16) {
    let client = forwarder.client();
    for number in 0..count {
        let answer = client.ask(&query(number, &format!("name{number}.example"), A));
        assert_eq!(answer.answers[0].data, [192, 0, 2, 1], "name {number}");
    }
}

#[test]
fn truncated_answers_are_fetched_over_one_connection() {
    let upstream = Upstream::over_tcp(|asked, _| vec![Deed::Send(asked.address(1))]);
    ask_for_names(&Forwarder::start(&[upstream.address], &[]), 10);
    assert_eq!(upstream.connections().len(), 1);
}

#[test]
fn a_connection_that_dies_with_its_second_question_is_replaced() {
    for death in DEATHS {
        let upstream = Upstream::over_tcp(move |asked, number| match number {
            1 => vec![Deed::Send(asked.address(1))],
            _ => death(asked),
        });
        ask_for_names(&Forwarder::start(&[upstream.address], &[]), 2);
        assert_eq!(upstream.connections().len(), 2);
        assert_eq!(upstream.count("name1.example"), 3, "over UDP, in vain, and again");
    }
}

#[test]
fn a_connection_that_is_closed_or_spoilt_between_questions_is_not_used_again() {
    let endings: [fn(&Asked) -> Deed; 3] = [|_| Deed::Close, |_| Deed::Reset, |asked| Deed::Send(asked.address(66))];
    for ending in endings {
        let upstream = Upstream::over_tcp(move |asked, _| vec![Deed::Send(asked.address(1)), ending(asked)]);
        ask_for_names(&Forwarder::start(&[upstream.address], &[]), 5);
    }
}

#[test]
fn an_idle_connection_is_closed_after_a_while() {
    let upstream = Upstream::over_tcp(|asked, _| vec![Deed::Send(asked.address(1))]);
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    for first in [0, 100] {
        let answer = forwarder.client().ask(&query(1, &format!("name{first}.example"), A));
        assert_eq!(answer.answers[0].data, [192, 0, 2, 1]);
        let deadline = Instant::now() + PATIENCE;
        while upstream.open.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "it stays open");
            thread::yield_now();
        }
    }
    assert_eq!(upstream.connections().len(), 2);
}

#[test]
fn connections_to_an_upstream_are_bounded() {
    const QUESTIONS: u16 = 40;
    const MOST: usize = 16;
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::over_tcp(move |asked, _| {
        gate.lock().unwrap().recv().unwrap();
        vec![Deed::Send(asked.address(1))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &["--timeout", "60s"]);
    let client = forwarder.client();
    for number in 0..QUESTIONS {
        client.send(&query(number, &format!("name{number}.example"), A));
    }
    let asked = |tcp| {
        upstream
            .asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.tcp == tcp)
            .count()
    };
    while asked(true) < MOST || asked(false) < usize::from(QUESTIONS) {
        thread::yield_now();
    }
    client.settle();
    assert_eq!((asked(true), upstream.open.load(Ordering::SeqCst)), (MOST, MOST));
    for _ in 0..QUESTIONS {
        open.send(()).unwrap();
    }
    let mut ids: Vec<u16> = (0..QUESTIONS).map(|_| client.receive().id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..QUESTIONS).collect::<Vec<_>>());
}

#[test]
fn an_upstream_without_edns_is_asked_without() {
    let upstream = Upstream::start(|asked| {
        let answer = if asked.message.opt().is_some() {
            asked.answer(1, &[], &[])
        } else {
            asked.address(1)
        };
        vec![Deed::Send(answer)]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let client = forwarder.client();
    for number in 0..3 {
        assert_eq!(
            client.ask(&query(number, &format!("n{number}.example"), A)).answers[0].data,
            [192, 0, 2, 1]
        );
    }
    let asked = upstream.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|asked| asked.message.opt().is_some()).count(), 1);
}

#[test]
fn with_upstreams_that_fail_at_random_every_query_gets_exactly_one_answer() {
    const NAMES: u16 = 150;
    const CLIENTS: u16 = 4;
    let unreliable = |number: u8| {
        Upstream::start(move |asked| {
            // The same name fares the same with one upstream, but differently with the next.
            let sum: usize = asked.name.bytes().map(usize::from).sum();
            let answer = asked.address(number);
            match (sum + usize::from(number) * 5) % 12 {
                0 => Vec::new(),
                1 => vec![Deed::Send(asked.answer(2, &[], &[]))],
                2 => vec![Deed::Send(asked.answer(5, &[], &[]))],
                3 => vec![Deed::Send(answer.clone()), Deed::Send(answer)],
                4 if !asked.tcp => {
                    let mut cut = asked.answer(0, &[], &[]);
                    cut[2] |= 2;
                    vec![Deed::Send(cut)]
                }
                5 => vec![Deed::SendFromElsewhere(asked.address(66)), Deed::Send(answer)],
                6 => vec![Deed::Send(answer[..answer.len() - 3].to_vec())],
                7 => vec![Deed::Close],
                _ => vec![Deed::Send(answer)],
            }
        })
    };
    let upstreams = [unreliable(1), unreliable(2), unreliable(3)];
    let forwarder = Forwarder::start(
        &[upstreams[0].address, upstreams[1].address, upstreams[2].address],
        &["--threads", "2"],
    );
    let name = |number: u16| format!("name{}.example", number / 2);
    let clients: Vec<Client> = (0..CLIENTS).map(|_| forwarder.client()).collect();
    let mut stream = forwarder.connection();
    for number in 0..NAMES {
        clients
            .iter()
            .for_each(|client| client.send(&query(number, &name(number), A)));
        write_framed(&mut stream, &query(number, &name(number), A));
    }
    let check = |answers: Vec<Message>, who: &str| {
        let mut ids: Vec<u16> = answers.iter().map(|answer| answer.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..NAMES).collect::<Vec<_>>(), "{who}");
        for answer in answers {
            assert_eq!(answer.name, name(answer.id), "{who}");
            assert!(
                answer.rcode() == 2 || (1..=3).contains(&answer.answers[0].data[3]),
                "{who}: {answer:?}"
            );
        }
    };
    for client in &clients {
        check((0..NAMES).map(|_| client.receive()).collect(), "over UDP");
    }
    let over_tcp = (0..NAMES).map(|_| Message::parse(&read_framed(&mut stream).unwrap()));
    check(over_tcp.collect(), "over TCP");
    // Nothing more comes: the next answer is that to the next question.
    for client in &clients {
        client.settle();
    }
}

// ---------------------------------------------------------------------------------------------- tests: connections

#[test]
fn a_connection_takes_many_queries_and_answers_them_as_they_come() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::start(move |asked| {
        if asked.name == "slow.example" {
            gate.lock().unwrap().recv().unwrap();
        }
        vec![Deed::Send(asked.address(1))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let mut stream = forwarder.connection();
    let names = ["slow.example", "quick.example", "localhost"];
    let all: Vec<u8> = names
        .iter()
        .zip(1..)
        .flat_map(|(name, id)| framed(&query(id, name, A)))
        .collect();
    // In pieces that end in the middle of a length and of a message.
    for piece in all.chunks(17) {
        stream.write_all(piece).unwrap();
    }
    let mut ids = [0, 0].map(|_| Message::parse(&read_framed(&mut stream).unwrap()).id);
    ids.sort_unstable();
    assert_eq!(ids, [2, 3], "the slow one holds nobody up");
    open.send(()).unwrap();
    assert_eq!(Message::parse(&read_framed(&mut stream).unwrap()).id, 1);
    // The connection goes on, whatever comes.
    stream.write_all(&framed(b"")).unwrap();
    stream.write_all(&framed(&query(9, "www.example", A)[..20])).unwrap();
    let refused = Message::parse(&read_framed(&mut stream).unwrap());
    assert_eq!((refused.id, refused.rcode()), (9, 1));
}

#[test]
fn a_client_that_goes_away_takes_nobody_along() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::start(move |asked| {
        gate.lock().unwrap().recv().unwrap();
        vec![Deed::Send(asked.address(1))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let mut stream = forwarder.connection();
    write_framed(&mut stream, &query(1, "www.example", A));
    while upstream.count("www.example") == 0 {
        thread::yield_now();
    }
    drop(stream);
    let client = forwarder.client();
    client.send(&query(2, "www.example", A));
    client.settle();
    open.send(()).unwrap();
    assert_eq!(client.receive().answers[0].data, [192, 0, 2, 1]);
    assert_eq!(upstream.count("www.example"), 1);
}

// ---------------------------------------------------------------------------------------------- tests: the program

#[test]
fn it_stops_gracefully() {
    for signal in ["-TERM", "-INT"] {
        let (open, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let upstream = Upstream::start(move |asked| {
            gate.lock().unwrap().recv().unwrap();
            vec![Deed::Send(asked.address(1))]
        });
        let mut forwarder = Forwarder::start(&[upstream.address], &["--threads", "2"]);
        let (client, mut stream) = (forwarder.client(), forwarder.connection());
        client.send(&query(1, "www.example", A));
        write_framed(&mut stream, &query(2, "www.example", A));
        while upstream.count("www.example") == 0 {
            thread::yield_now();
        }
        write_framed(&mut stream, &query(3, "localhost", A));
        read_framed(&mut stream).unwrap();
        client.settle();
        forwarder.signal(signal);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(forwarder.address).is_ok() {
            assert!(Instant::now() < deadline, "it goes on listening");
            thread::yield_now();
        }
        open.send(()).unwrap();
        assert_eq!(client.receive().answers[0].data, [192, 0, 2, 1]);
        assert_eq!(Message::parse(&read_framed(&mut stream).unwrap()).id, 2);
        assert_eq!(forwarder.exit_code(), Some(0));
    }
}

#[test]
fn a_second_signal_does_not_wait_for_what_is_in_flight() {
    let upstream = Upstream::start(|_| Vec::new());
    let mut forwarder = Forwarder::start(&[upstream.address], &["--timeout", "60s"]);
    forwarder.client().send(&query(1, "www.example", A));
    while upstream.count("www.example") == 0 {
        thread::yield_now();
    }
    forwarder.signal("-TERM");
    while TcpStream::connect(forwarder.address).is_ok() {
        thread::yield_now();
    }
    assert!(forwarder.child.try_wait().unwrap().is_none(), "it waits");
    forwarder.signal("-TERM");
    assert_eq!(forwarder.exit_code(), None, "ended by the signal");
}

#[test]
fn several_hubs_share_the_port_and_the_cache() {
    let upstream = Upstream::plain(1);
    let forwarder = Forwarder::start(&[upstream.address], &["--threads", "3"]);
    for number in 0..30 {
        let client = forwarder.client();
        assert_eq!(
            client.ask(&query(number, "www.example", A)).answers[0].data,
            [192, 0, 2, 1]
        );
        let mut stream = forwarder.connection();
        write_framed(&mut stream, &query(number, "www.example", A));
        read_framed(&mut stream).unwrap();
    }
    assert_eq!(upstream.count("www.example"), 1);
}

/// Runs the program to its end, which must come by itself.
fn run(flags: &[&str]) -> Output {
    let mut child = Command::new(program());
    child
        .args(["--listen", "127.0.0.1:0"])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    child.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn wrong_flags_and_files_are_named_and_nothing_is_started() {
    let directory = std::env::temp_dir().join(format!("dns_forwarder-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let list = directory.join("upstreams");
    std::fs::write(&list, "# ours\n192.0.2.1\nnot an address\n").unwrap();
    let list = list.to_str().unwrap();
    for (flags, expected) in [
        (&["--upstream", "dns.example"][..], "dns.example"),
        (
            &["--upstream-file", list],
            &*format!("{list}:3: \"not an address\": not an IP address"),
        ),
        (&["--upstream-file", "/no/such/file"], "/no/such/file: "),
        (&["--listen", "127.0.0.1:99999"], "127.0.0.1:99999"),
        (&["--upstream", "192.0.2.1", "--threads", "0"], "--threads"),
        (&["--upstream", "192.0.2.1", "--timeout", "0s"], "--timeout"),
        (&["--upstream", "192.0.2.1", "--max-ttl", "soon"], "--max-ttl"),
        (
            &["--upstream", "192.0.2.1", "--min-ttl", "1d", "--max-ttl", "1h"],
            "--min-ttl",
        ),
        (&["--unknown"], "--unknown"),
    ] {
        let output = run(flags);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {complaint}");
        assert!(complaint.contains(expected), "{flags:?}: {complaint}");
        assert!(output.stdout.is_empty(), "{flags:?}: nothing is started");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_address_in_use_is_named() {
    let (udp, _tcp) = bind_both();
    let taken = udp.local_addr().unwrap().to_string();
    let output = run(&["--upstream", "192.0.2.1", "--listen", &taken]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&taken));
    assert!(output.stdout.is_empty());
}

#[test]
fn dig_is_content_with_it() {
    if Command::new("dig").arg("-v").output().is_err() {
        writeln!(io::stderr(), "SKIPPED dig_is_content_with_it: dig is not installed").unwrap();
        return;
    }
    let upstream = Upstream::start(|asked| {
        let target = name_bytes("target.example");
        let answers: [(&str, u16, u32, &[u8]); 2] = [
            (&asked.name, 5, 60, &target),
            ("target.example", A, 60, &[192, 0, 2, 1]),
        ];
        vec![Deed::Send(asked.answer(0, &answers, &[]))]
    });
    let forwarder = Forwarder::start(&[upstream.address], &[]);
    let dig = |arguments: &[&str]| {
        let port = forwarder.address.port().to_string();
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &port])
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("WARNING") && !text.contains("mismatch"), "{text}");
        text
    };
    for arguments in [
        &["+short", "www.example"][..],
        &["+short", "www.example"],
        &["+short", "+tcp", "www.example"],
    ] {
        assert_eq!(dig(arguments), "target.example.\n192.0.2.1\n");
    }
    let whole = dig(&["+dnssec", "+nsid", "+cookie", "www.example"]);
    assert!(
        whole.contains("status: NOERROR") && whole.contains("udp: 1232"),
        "{whole}"
    );
    assert!(dig(&["+noedns", "x.invalid"]).contains("status: NXDOMAIN"));
    assert!(dig(&["+short", "-x", "127.0.0.1"]).contains("localhost."));
}
