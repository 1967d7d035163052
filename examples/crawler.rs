//! A crawler: fetches many pages over HTTP at once, a greenlet each, following links, with a time-out for each page.
//!
//! The site is in the same process: pages that link to each other, some slow, some missing, one that never answers.
//!
//! `cargo run --example crawler`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use iora::net::{TcpListener, TcpStream};

/// Pages of the site.
const PAGES: u32 = 200;

/// How long a page may take.
const LIMIT: Duration = Duration::from_secs(1);

/// Answers one request: page n links to pages 2n and 2n + 1.
fn serve(stream: &TcpStream) -> io::Result<()> {
    let mut line = String::new();
    let mut lines = BufReader::new(stream);
    lines.read_line(&mut line)?;
    let number: u32 = line
        .trim_start_matches("GET /page/")
        .split(' ')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    let (status, body) = match number {
        0 => ("400 Bad Request", String::new()),
        _ if number > PAGES => ("404 Not Found", String::new()),
        13 => {
            // Never answers: the crawler has to give up.
            iora::sleep(Duration::from_secs(3600));
            return Ok(());
        }
        _ => {
            iora::sleep(Duration::from_millis(u64::from(number % 10)));
            let links = [2 * number, 2 * number + 1].map(|link| format!("<a href=\"/page/{link}\">"));
            ("200 OK", links.concat())
        }
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Fetches a page: the status and the body.
fn fetch(server: SocketAddr, path: &str) -> io::Result<(String, String)> {
    let mut stream = TcpStream::connect(server)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.lines().next().unwrap_or_default();
    Ok((status.trim_start_matches("HTTP/1.1 ").to_owned(), body.to_owned()))
}

/// What the greenlets share. They are all on one thread: no lock is needed.
struct Crawl {
    /// The site.
    server: SocketAddr,
    /// Pages that somebody fetches or has fetched.
    seen: RefCell<BTreeSet<String>>,
    /// How often what came of a page.
    results: RefCell<BTreeMap<String, u32>>,
}

/// Fetches a page, and what it links to, each in a greenlet of its own; returns when all of that is done.
fn crawl(shared: &Rc<Crawl>, path: String) {
    if !shared.seen.borrow_mut().insert(path.clone()) {
        return;
    }
    let result = iora::timeout(LIMIT, || fetch(shared.server, &path));
    let (result, body) = match result {
        Ok(Ok((status, body))) => (status, body),
        Ok(Err(error)) => (error.to_string(), String::new()),
        Err(elapsed) => (format!("{path}: {elapsed}"), String::new()),
    };
    *shared.results.borrow_mut().entry(result).or_default() += 1;
    let links: Vec<_> = body
        .split('"')
        .filter(|part| part.starts_with('/'))
        .map(|link| {
            let (shared, link) = (Rc::clone(shared), link.to_owned());
            iora::spawn(move || crawl(&shared, link))
        })
        .collect();
    iora::joinall(&links, None);
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let shared = Rc::new(Crawl {
        server: listener.local_addr()?,
        seen: RefCell::default(),
        results: RefCell::default(),
    });
    let server = iora::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accepts");
            // A crawler that gave up is no error of ours.
            drop(iora::spawn(move || serve(&stream).ok()));
        }
    });

    let began = Instant::now();
    let first = Rc::clone(&shared);
    iora::spawn(move || crawl(&first, "/page/1".to_owned())).join();
    println!(
        "crawled {} pages in {:.0?}:",
        shared.seen.borrow().len(),
        began.elapsed()
    );
    for (result, count) in &*shared.results.borrow() {
        println!("{count:5}  {result}");
    }
    server.kill();
    Ok(())
}
