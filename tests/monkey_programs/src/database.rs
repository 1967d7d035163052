//! A PostgreSQL of one's own.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use postgres::{Client, NoTls};

use crate::process::{Folder, Server, command};

/// A server with an empty cluster. Its user is `iora`, who needs no password.
pub struct Database {
    /// Stopped first.
    server: Server,
    /// The cluster.
    _folder: Folder,
}

impl Database {
    /// Makes a cluster and starts the server.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed, or does not start.
    pub fn start() -> Database {
        let folder = Folder::new();
        let programs = programs();
        let made = command(programs.join("initdb"), &folder)
            .args(["--pgdata=data", "--username=iora", "--auth=trust", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C"])
            .stdout(Stdio::null())
            .status()
            .expect("initdb is installed");
        assert!(made.success(), "initdb: {made}");
        let start = |port: u16| {
            let mut command = command(programs.join("postgres"), &folder);
            command.args(["-D", "data", "-F", "-h", "127.0.0.1", "-k", "", "-p", &port.to_string()]);
            command.args(["-c", "log_min_messages=panic"]);
            command
        };
        // It listens before it is ready.
        let answers = |port| Client::connect(&address(port), NoTls).is_ok();
        // SIGQUIT ends it and its children at once.
        let server = Server::start(libc::SIGQUIT, start, answers);
        Database {
            server,
            _folder: folder,
        }
    }

    /// How to connect, as libpq and what follows it take it.
    pub fn address(&self) -> String {
        address(self.server.port())
    }
}

/// How to connect to the server on `port`.
fn address(port: u16) -> String {
    format!("host=127.0.0.1 port={port} user=iora dbname=postgres")
}

/// Where Debian keeps the programs of the server: not on the search path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    versions
        .map(|version| version.expect("a folder").path().join("bin"))
        .find(|folder| folder.join("initdb").exists())
        .expect("PostgreSQL is installed")
}
