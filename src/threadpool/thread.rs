//! The threads of a pool, as the system and the report of deadlocks see them.

use std::io;
use std::thread;

use crate::hub::deadlock;
pub(super) use crate::hub::interrupt::discard;

/// Starts a thread.
///
/// # Errors
///
/// When the system refuses it.
pub(super) fn start(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("iora-pool".to_owned()).spawn(run).map(drop)
}

/// One of the threads waits for a job (`true`), or has got one.
pub(super) fn is_idle(idle: bool) {
    deadlock::worker_is_idle(idle);
}
