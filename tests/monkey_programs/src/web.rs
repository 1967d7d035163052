//! Servers of HTTP with a thread for each connection, which take their time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::Certificate;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::overlap::DELAY;

/// What the servers answer.
pub const BODY: &str = "after a while";

/// Listens on a free port, and serves each connection on a thread of its own, until the process ends.
///
/// # Panics
///
/// If there is no port.
pub fn serve_on_threads(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (serve.clone(), stream.expect("accepts"));
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers one request of HTTP after [`DELAY`].
fn answer(mut stream: impl Read + Write) {
    let mut lines = BufReader::new(&mut stream).lines();
    while !lines.next().expect("a request").expect("lines").is_empty() {}
    thread::sleep(DELAY);
    let length = BODY.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("writes");
    stream.write_all(BODY.as_bytes()).expect("writes");
    stream.flush().expect("writes");
}

/// A slow server of HTTP.
pub fn http() -> SocketAddr {
    serve_on_threads(answer)
}

/// A slow server of HTTPS for `localhost`, and the certificate to be trusted.
///
/// # Panics
///
/// If there is no port.
pub fn https() -> (SocketAddr, Certificate) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let configuration = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .expect("they belong together");
    let configuration = Arc::new(configuration);
    let address = serve_on_threads(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&configuration)).expect("a good configuration");
        let mut stream = StreamOwned::new(connection, stream);
        answer(&mut stream);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    (address, certified.cert)
}
