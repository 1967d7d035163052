//! The `mysql` crate, against a real MariaDB.

use std::process::Stdio;

use iora_monkey_programs::overlap::{DELAY, overlap};
use iora_monkey_programs::process::{Folder, Server, command};
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};

/// How to connect.
pub(super) fn address(port: u16) -> Opts {
    OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(port)
        .prefer_socket(false)
        .user(Some("root"))
        .into()
}

/// A server without tables, which lets everybody in.
fn start(folder: &Folder) -> Server {
    let here = folder.path().display();
    let start = |port: u16| {
        let mut command = command("/usr/sbin/mariadbd", folder);
        command.args([
            "--no-defaults",
            "--skip-grant-tables",
            "--skip-name-resolve",
            "--bind-address=127.0.0.1",
        ]);
        command.args([
            format!("--datadir={here}"),
            format!("--socket={here}/socket"),
            format!("--port={port}"),
        ]);
        command.stderr(Stdio::null());
        command
    };
    Server::start(libc::SIGTERM, start, |port| Conn::new(address(port)).is_ok())
}

#[test]
fn mysql_sleeps_in_the_server() {
    let folder = Folder::new();
    let server = start(&folder);
    let address = address(server.port());
    overlap(move |number| {
        let mut connection = Conn::new(address.clone()).expect("connects");
        let row: Option<(u32, u32)> = connection
            .exec_first("select ?, sleep(?)", (number, DELAY.as_secs_f64()))
            .expect("an answer");
        assert_eq!(row, Some((number, 0)));
    });
}
