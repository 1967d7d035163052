//! `hyper` on tokio's `current_thread` runtime, in one greenlet, as a server and as clients.

use std::convert::Infallible;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use iora_monkey_programs::overlap::{CALLS, DELAY, LEAST_TICKS, overlap, while_ticking};
use iora_monkey_programs::web::{self, BODY};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Serves as many connections as are made at once, and ends.
async fn serve(listener: TcpListener) {
    let answer = |request: Request<Incoming>| async move {
        tokio::time::sleep(DELAY).await;
        let path = request.uri().path().to_owned();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(path))))
    };
    let mut connections = Vec::new();
    for _ in 0..CALLS {
        let (stream, _) = listener.accept().await.expect("accepts");
        let connection = hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        connections.push(tokio::spawn(connection));
    }
    for connection in connections {
        connection.await.expect("no panic").expect("answers");
    }
}

/// Asks for a path.
async fn ask(stream: TcpStream, path: String) -> Bytes {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let request = Request::get(path)
        .header("Host", "localhost")
        .body(Empty::<Bytes>::new());
    let answer = sender
        .send_request(request.expect("a request"))
        .await
        .expect("an answer");
    answer.into_body().collect().await.expect("a body").to_bytes()
}

#[test]
fn hyper_serves_greenlets() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    let server = iora::spawn(move || {
        runtime().block_on(async { serve(TcpListener::from_std(listener).expect("a socket")).await });
    });
    // Blocking clients on the thread of the server.
    overlap(move |number| {
        let mut answer = ureq::get(format!("http://{address}/{number}"))
            .call()
            .expect("an answer");
        assert_eq!(answer.body_mut().read_to_string().expect("text"), format!("/{number}"));
    });
    server.get().expect("no panic");
}

#[test]
fn hyper_asks() {
    let address = web::http();
    iora::monkey::patch_all().expect("the hooks are reached");
    let ticks = while_ticking(move || {
        runtime().block_on(async {
            let asked: Vec<_> = (0..CALLS)
                .map(|number| {
                    tokio::spawn(async move {
                        let stream = TcpStream::connect(address).await.expect("connects");
                        ask(stream, format!("/{number}")).await
                    })
                })
                .collect();
            for answer in asked {
                assert_eq!(answer.await.expect("no panic"), BODY);
            }
        });
    });
    assert!(ticks >= LEAST_TICKS, "{ticks}: nothing went on meanwhile");
}

/// The documented limit of the above.
#[test]
fn a_second_tokio_of_the_thread_panics() {
    iora::monkey::patch_all().expect("the hooks are reached");
    let first = iora::spawn(|| runtime().block_on(async { tokio::time::sleep(DELAY).await }));
    let second = iora::spawn(|| runtime().block_on(async {}));
    let why = second.get().expect_err("tokio knows of the first").to_string();
    assert!(why.contains("Cannot start a runtime from within a runtime"), "{why}");
    first.get().expect("undisturbed");
}
