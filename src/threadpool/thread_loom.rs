//! The threads of a pool in loom's models: its own, and nobody asks which are idle.

use std::io;
pub(super) use std::mem::drop as discard;

/// Starts a thread.
pub(super) fn start(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    drop(loom::thread::spawn(run));
    Ok(())
}

/// One of the threads waits for a job (`true`), or has got one.
pub(super) fn is_idle(_idle: bool) {}
