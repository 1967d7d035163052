//! `mio`: a plain event loop in one greenlet, with its clients in others of the same thread.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::thread;

use iora_monkey_programs::overlap::{CALLS, DELAY, overlap};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Echoes until as many connections as are made are closed.
fn serve(mut listener: TcpListener) {
    const LISTENER: Token = Token(0);
    let mut poll = Poll::new().expect("a poll");
    let register = |source: &mut dyn mio::event::Source, poll: &Poll, token| {
        poll.registry()
            .register(source, token, Interest::READABLE)
            .expect("registers");
    };
    register(&mut listener, &poll, LISTENER);
    let (mut streams, mut closed): (HashMap<Token, TcpStream>, u32) = (HashMap::new(), 0);
    let mut events = Events::with_capacity(16);
    while closed < CALLS {
        poll.poll(&mut events, None).expect("polls");
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let token = Token(streams.len() + 1);
                    register(&mut stream, &poll, token);
                    streams.insert(token, stream);
                }
                continue;
            }
            let stream = streams.get_mut(&event.token()).expect("one of ours");
            let mut bytes = [0; 64];
            loop {
                match stream.read(&mut bytes) {
                    Ok(0) => {
                        closed += 1;
                        break;
                    }
                    Ok(count) => stream.write_all(&bytes[..count]).expect("room"),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn mio_serves_greenlets() {
    let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = iora::spawn(move || serve(listener));
    overlap(move |number| {
        let mut stream = std::net::TcpStream::connect(address).expect("connects");
        for round in 0..3 {
            thread::sleep(DELAY / 3);
            let question = [number as u8, round];
            stream.write_all(&question).expect("writes");
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).expect("reads");
            assert_eq!(answer, question);
        }
    });
    server.get().expect("no panic");
}
