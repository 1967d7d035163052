//! `tungstenite`: WebSocket.

use std::net::TcpStream;
use std::thread;

use iora_monkey_programs::overlap::{DELAY, overlap};
use iora_monkey_programs::web::serve_on_threads;
use tungstenite::Message;

#[test]
fn tungstenite_echo() {
    let address = serve_on_threads(|stream| {
        let mut socket = tungstenite::accept(stream).expect("shakes hands");
        while let Ok(message) = socket.read() {
            if message.is_text() {
                thread::sleep(DELAY);
                socket.send(message).expect("writes");
            }
        }
    });
    overlap(move |number| {
        let stream = TcpStream::connect(address).expect("connects");
        let (mut socket, _) = tungstenite::client("ws://localhost/", stream).expect("shakes hands");
        let question = number.to_string();
        socket.send(Message::text(question.as_str())).expect("writes");
        let answer = socket.read().expect("reads").into_text().expect("text");
        assert_eq!(answer.as_str(), question);
        socket.close(None).expect("writes");
        while socket.read().is_ok() {}
    });
}
