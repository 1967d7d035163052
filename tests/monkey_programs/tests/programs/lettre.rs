//! `lettre`: a message to a server of SMTP that thinks about it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use iora_monkey_programs::overlap::{CALLS, DELAY, overlap};
use iora_monkey_programs::web::serve_on_threads;
use lettre::{Message, SmtpTransport, Transport};

/// Messages that were taken.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// The server's half of a connection (RFC 5321, as far as it is asked).
fn serve(stream: TcpStream) {
    let say = |text: &str| (&stream).write_all(format!("{text}\r\n").as_bytes()).expect("writes");
    say("220 localhost");
    let mut lines = BufReader::new(&stream).lines().map(|line| line.expect("a line"));
    while let Some(line) = lines.next() {
        match line.split([' ', ':']).next().expect("a word") {
            "EHLO" | "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => say("250 well"),
            "DATA" => {
                say("354 go on");
                assert!(lines.by_ref().any(|line| line == "."), "no end of the message");
                thread::sleep(DELAY);
                TAKEN.fetch_add(1, Ordering::Relaxed);
                say("250 taken");
            }
            "QUIT" => return say("221 bye"),
            _ => say("500 what?"),
        }
    }
}

#[test]
fn lettre_sends() {
    let address = serve_on_threads(serve);
    overlap(move |number| {
        let message = Message::builder()
            .from("iora@localhost".parse().expect("an address"))
            .to(format!("bird{number}@localhost").parse().expect("an address"))
            .subject("Flight")
            .body("We leave at dawn.".to_owned())
            .expect("a message");
        let mailer = SmtpTransport::builder_dangerous("localhost")
            .port(address.port())
            .build();
        assert!(mailer.send(&message).expect("taken").is_positive());
    });
    assert_eq!(TAKEN.load(Ordering::Relaxed), CALLS);
}
