//! `tiny_http` as a server: its own threads accept and read, greenlets take the requests and answer them.
//!
//! It begins with four threads and may take a while to make more, so the requests come in up to three portions.

use std::sync::Arc;
use std::thread;

use iora_monkey_programs::overlap::{CALLS, DELAY, overlap};
use tiny_http::{Response, Server};

#[test]
fn tiny_http_serves() {
    let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
    let address = server.server_addr().to_ip().expect("an address");
    let asked: Vec<_> = (0..CALLS)
        .map(|number| {
            thread::spawn(move || {
                let mut answer = ureq::get(format!("http://{address}/{number}"))
                    .call()
                    .expect("an answer");
                answer.body_mut().read_to_string().expect("text")
            })
        })
        .collect();
    overlap(move |_| {
        let request = server.recv().expect("a request");
        thread::sleep(DELAY);
        let body = request.url().to_owned();
        request.respond(Response::from_string(body)).expect("writes");
    });
    for (number, answer) in asked.into_iter().enumerate() {
        assert_eq!(answer.join().expect("no panic"), format!("/{number}"));
    }
}
