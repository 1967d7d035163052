//! For tests of hooks: a greenlet in a process with everything patched, and descriptors of all kinds.

use std::fs::File;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// So late that it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `f` in a greenlet with everything patched. A hook that stops the thread instead of parking would hang the test:
/// after a minute the process ends, and says why.
#[track_caller]
pub(crate) fn in_greenlet<R: 'static>(f: impl FnOnce() -> R + 'static) -> R {
    iora::monkey::patch_all().expect("the hooks are reached");
    watched(|| iora::spawn(f).get().expect("it returned"))
}

/// Runs `f`; a process in which it does not return is ended.
#[track_caller]
pub(crate) fn watched<R>(f: impl FnOnce() -> R) -> R {
    let place = std::panic::Location::caller();
    let (done, ended) = mpsc::channel::<()>();
    let watcher = thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(io::stderr(), "{place}: this does not end: the thread is stopped");
            std::process::abort();
        }
    });
    let value = f();
    drop(done);
    watcher.join().expect("it watched");
    value
}

/// A connection's two ends.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (one, listener.accept().expect("accepted").0)
}

/// A pipe's ends: to read from, to write to.
pub(crate) fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: both are open and nobody else's.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    (read.into(), write.into())
}
