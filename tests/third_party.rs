//! Libraries written for std's blocking sockets run over ours unchanged.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use iora::net::{TcpListener, TcpStream};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tungstenite::Message;

/// Connections of each test.
const CLIENTS: u32 = 8;

/// A listener on a free port, and its address.
fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Serves `CLIENTS` connections, a greenlet each, with what `client` does as greenlets of the same hub.
fn serve_and_ask(serve: impl Fn(TcpStream) + Clone + 'static, ask: impl Fn(TcpStream, u32) + Clone + 'static) {
    let (listener, address) = listen();
    let server = iora::spawn(move || {
        let greenlets: Vec<_> = listener
            .incoming()
            .take(CLIENTS as usize)
            .map(|stream| {
                let (serve, stream) = (serve.clone(), stream.expect("accepts"));
                iora::spawn(move || serve(stream))
            })
            .collect();
        for greenlet in greenlets {
            greenlet.get().expect("did not panic");
        }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let ask = ask.clone();
            iora::spawn(move || ask(TcpStream::connect(address).expect("connects"), number))
        })
        .collect();
    for client in clients {
        client.get().expect("did not panic");
    }
    server.get().expect("did not panic");
}

/// Configurations of a server with a certificate of its own, and of clients that trust it.
fn encryption() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a good certificate");
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("they belong together");
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[test]
fn g086_rustls_encrypts_between_greenlets() {
    const SIZE: usize = 300_000;
    let (server, client) = encryption();
    serve_and_ask(
        move |stream| {
            let connection = ServerConnection::new(Arc::clone(&server)).expect("a good configuration");
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = [0; 4];
            stream.read_exact(&mut request).expect("reads");
            stream.write_all(&request.repeat(SIZE / 4)).expect("writes");
            stream.conn.send_close_notify();
            stream.flush().expect("writes");
        },
        move |stream, number| {
            let name = ServerName::try_from("localhost").expect("a name");
            let connection = ClientConnection::new(Arc::clone(&client), name).expect("a good configuration");
            let mut stream = StreamOwned::new(connection, stream);
            stream.write_all(&number.to_be_bytes()).expect("writes");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("reads");
            assert_eq!(answer, number.to_be_bytes().repeat(SIZE / 4));
        },
    );
}

#[test]
fn tungstenite_talks_between_greenlets() {
    serve_and_ask(
        |stream| {
            let mut socket = tungstenite::accept(stream).expect("shakes hands");
            while let Ok(message) = socket.read() {
                match message {
                    Message::Text(text) => socket
                        .send(Message::text(text.as_str().to_uppercase()))
                        .expect("writes"),
                    Message::Binary(bytes) => socket.send(Message::Binary(bytes)).expect("writes"),
                    _ => {}
                }
            }
        },
        |stream, number| {
            let (mut socket, _) = tungstenite::client("ws://localhost/", stream).expect("shakes hands");
            for round in 0..10 {
                socket
                    .send(Message::text(format!("hello {number} {round}")))
                    .expect("writes");
                let answer = socket.read().expect("reads").into_text().expect("text");
                assert_eq!(answer.as_str(), format!("HELLO {number} {round}"));
            }
            socket.send(Message::binary(vec![7; 200_000])).expect("writes");
            assert_eq!(socket.read().expect("reads").into_data().len(), 200_000);
            socket.close(None).expect("writes");
            while socket.read().is_ok() {}
        },
    );
}
