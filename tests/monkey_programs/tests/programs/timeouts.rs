//! A server that says nothing: a time limit of iora's around a call of somebody else's code brings it back, and with it a
//! kill, which hooks tell in the same way.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use iora_monkey_programs::web::serve_on_threads;
use lettre::SmtpTransport;

/// Listens, and hears everybody out.
fn silent() -> SocketAddr {
    serve_on_threads(|mut stream| {
        let _ = io::copy(&mut stream, &mut io::sink());
    })
}

/// Makes `call`, which would never return.
fn expires(call: impl Fn(SocketAddr) + 'static) {
    iora::monkey::patch_all().expect("the hooks are reached");
    let address = silent();
    let caller = iora::spawn(move || {
        let result = iora::timeout(Duration::from_millis(50), || call(address));
        assert!(result.is_err(), "it came back by itself");
        // The greenlet goes on, and so do its calls.
        std::thread::sleep(Duration::from_millis(1));
        TcpStream::connect(address).expect("connects");
    });
    caller.get().expect("no panic");
}

#[test]
fn ureq_expires() {
    expires(|address| {
        let _ = ureq::get(format!("http://{address}/")).call();
    });
}

#[test]
fn redis_expires() {
    expires(|address| {
        let client = redis::Client::open((address.ip().to_string(), address.port())).expect("an address");
        let _ = client.get_connection().map(|_| ());
    });
}

#[test]
fn mysql_expires() {
    expires(|address| {
        let _ = mysql::Conn::new(super::mysql::address(address.port()));
    });
}

/// tokio takes no error from the kernel when it waits: it panics.
#[test]
fn tokio_panics_when_it_is_killed() {
    iora::monkey::patch_all().expect("the hooks are reached");
    let address = format!("host=127.0.0.1 port={} user=iora", silent().port());
    let caller = iora::spawn(move || postgres::Client::connect(&address, postgres::NoTls).is_ok());
    iora::sleep(Duration::from_millis(50));
    caller.kill();
    let why = caller.get().expect_err("it was killed").to_string();
    assert!(why.contains("polling the I/O driver"), "{why}");
    // The next has a runtime of its own again.
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let next = iora::spawn(move || {
        runtime()
            .expect("a runtime")
            .block_on(async { tokio::time::sleep(Duration::from_millis(1)).await })
    });
    next.get().expect("undisturbed");
}

#[test]
fn tungstenite_expires() {
    expires(|address| {
        let _ = TcpStream::connect(address).map(|stream| tungstenite::client("ws://localhost/", stream).is_ok());
    });
}

#[test]
fn lettre_expires() {
    expires(|address| {
        let mailer = SmtpTransport::builder_dangerous("127.0.0.1")
            .port(address.port())
            .timeout(None);
        let _ = mailer.build().test_connection();
    });
}

#[cfg(feature = "curl")]
#[test]
fn curl_expires() {
    expires(|address| {
        let _ = super::curl::get(&format!("http://{address}/"), |_| {});
    });
}

#[cfg(feature = "libpq")]
#[test]
fn libpq_expires() {
    expires(|address| {
        let address = format!("host=127.0.0.1 port={} user=iora", address.port());
        assert!(super::libpq::ask(&address, "select 1").is_err());
    });
}

#[cfg(feature = "openssl")]
#[test]
fn native_tls_expires() {
    expires(|address| {
        let connector = native_tls::TlsConnector::new().expect("OpenSSL");
        let _ = TcpStream::connect(address).map(|stream| connector.connect("localhost", stream).is_ok());
    });
}
