//! `redis`, against a real `redis-server`.

use std::net::Ipv4Addr;
use std::process::Stdio;

use iora_monkey_programs::overlap::{DELAY, overlap};
use iora_monkey_programs::process::{Folder, Server, command, listens};

#[test]
fn redis_blpop() {
    let folder = Folder::new();
    let start = |port: u16| {
        let mut command = command("redis-server", &folder);
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--loglevel",
            "warning",
        ]);
        command.args(["--port", &port.to_string()]).stdout(Stdio::null());
        command
    };
    let server = Server::start(libc::SIGTERM, start, listens);
    let client = redis::Client::open((Ipv4Addr::LOCALHOST.to_string(), server.port())).expect("an address");
    overlap(move |number| {
        let mut connection = client.get_connection().expect("connected");
        let key = format!("nothing-{number}");
        let found: Option<(String, String)> = redis::cmd("BLPOP")
            .arg(key)
            .arg(DELAY.as_secs_f64())
            .query(&mut connection)
            .expect("an answer");
        assert_eq!(found, None);
    });
}
