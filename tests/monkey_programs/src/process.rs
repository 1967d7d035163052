//! Servers that are programs of their own.
#![expect(unsafe_code, reason = "sends signals, and asks for one when this process dies")]

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ports to try.
const ATTEMPTS: u32 = 5;
/// Time to answer in.
const LIMIT: Duration = Duration::from_secs(60);

/// A folder that is removed when this is dropped. As root it belongs to nobody, since some servers refuse to run as root.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[expect(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("iora-programs-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        if let Some((user, group)) = nobody() {
            chown(&path, Some(user), Some(group)).expect("root may");
        }
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whom a server runs as, if this process is root's.
fn nobody() -> Option<(u32, u32)> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let fields: Vec<&str> = users
        .lines()
        .map(|line| line.split(':').collect())
        .find(|fields: &Vec<&str>| fields[0] == "nobody")
        .expect("there is nobody");
    Some((
        fields[2].parse().expect("a number"),
        fields[3].parse().expect("a number"),
    ))
}

/// A command that runs in `folder`, not as root, and not longer than the thread that starts it.
pub fn command(program: impl AsRef<Path>, folder: &Folder) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(folder.path()).stdin(Stdio::null());
    if let Some((user, group)) = nobody() {
        command.uid(user).gid(group);
    }
    let with_us = || {
        // SAFETY: a system call without pointers.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: it makes one system call, which may be made between fork and exec.
    unsafe { command.pre_exec(with_us) };
    command
}

/// A server that listens on a port of this machine, and is stopped when this is dropped.
pub struct Server {
    /// Its process.
    child: Child,
    /// Where it listens.
    port: u16,
    /// The signal that stops it.
    signal: libc::c_int,
}

impl Server {
    /// Starts what `command` makes for a port, and waits until `answers` there.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn start(signal: libc::c_int, command: impl Fn(u16) -> Command, answers: impl Fn(u16) -> bool) -> Server {
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let child = command(port).spawn().expect("the program is installed");
            let mut server = Server { child, port, signal };
            if server.is_up(&answers) {
                return server;
            }
        }
        panic!("the server does not start");
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it answers; `false` if it ends, as when somebody else has taken the port.
    fn is_up(&mut self, answers: impl Fn(u16) -> bool) -> bool {
        let begun = Instant::now();
        while self.child.try_wait().expect("our child").is_none() {
            if answers(self.port) {
                return true;
            }
            assert!(begun.elapsed() < LIMIT, "the server does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: a child that has not been waited for, so the number is its own.
            unsafe { libc::kill(self.child.id() as libc::pid_t, self.signal) };
            let _ = self.child.wait();
        }
    }
}

/// Whether somebody listens there.
pub fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}
