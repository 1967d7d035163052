//! `native-tls`, on the shared OpenSSL.

use std::io::{Read, Write};
use std::net::TcpStream;

use iora_monkey_programs::overlap::overlap;
use iora_monkey_programs::web::{self, BODY};
use native_tls::{Certificate, TlsConnector};

#[test]
fn native_tls_https() {
    let (address, certificate) = web::https();
    let root = Certificate::from_pem(certificate.pem().as_bytes()).expect("a certificate");
    let connector = TlsConnector::builder()
        .add_root_certificate(root)
        .build()
        .expect("OpenSSL");
    overlap(move |_| {
        let stream = TcpStream::connect(address).expect("connects");
        let mut stream = connector.connect("localhost", stream).expect("shakes hands");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        assert!(answer.ends_with(BODY), "{answer}");
    });
}
