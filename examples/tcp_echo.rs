//! A TCP echo server, and clients that count what comes back: plain blocking code, a greenlet each.
//!
//! `cargo run --example tcp_echo [CLIENTS [ROUNDS]]`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use iora::net::{TcpListener, TcpStream};

/// Sends back what comes until the client has enough. The number of bytes.
fn echo(mut stream: TcpStream) -> io::Result<usize> {
    let mut buffer = [0; 1024];
    let mut total = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(total);
        }
        stream.write_all(&buffer[..length])?;
        total += length;
    }
}

/// Has `rounds` messages sent back. The number of bytes.
fn ask(server: SocketAddr, number: usize, rounds: usize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(server)?;
    let mut total = 0;
    for round in 0..rounds {
        let message = format!("message {round} of client {number}\n");
        stream.write_all(message.as_bytes())?;
        let mut answer = vec![0; message.len()];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, message.as_bytes());
        total += answer.len();
    }
    Ok(total)
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let clients = arguments.next().unwrap_or(100);
    let rounds = arguments.next().unwrap_or(100);

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = iora::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accepts");
            drop(iora::spawn(move || echo(stream).expect("echoes")));
        }
    });

    let began = Instant::now();
    let greenlets: Vec<_> = (0..clients)
        .map(|number| iora::spawn(move || ask(address, number, rounds)))
        .collect();
    let mut bytes = 0;
    for greenlet in greenlets {
        bytes += greenlet.get().expect("did not panic")?;
    }
    let requests = clients * rounds;
    println!("{clients} clients sent {requests} messages and got all of their {bytes} bytes back");
    println!(
        "{:.0} messages a second",
        requests as f64 / began.elapsed().as_secs_f64()
    );
    server.kill();
    Ok(())
}
