//! What has to be known of the process: whether it is a fork of the one that made the hubs, and its threads.
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set in the child of a fork, never in the parent.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether [`forked`] is being told.
static WATCHED: Once = Once::new();

/// Has [`forked`] tell the truth from now on. To be called before the first hub is made.
pub(crate) fn watch_forks() {
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    WATCHED.call_once(|| in_forks(in_child));
}

/// Has the child of every fork call this first. It makes no call that a signal handler may not make.
pub(crate) fn in_forks(in_child: extern "C" fn()) {
    // SAFETY: the handler is a function of the program and lives for ever; it does little, as said above.
    let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    assert_eq!(
        result,
        0,
        "iora: pthread_atfork failed: {}",
        io::Error::from_raw_os_error(result)
    );
}

/// Whether the process has, or had, hubs.
#[cfg(feature = "monkey")]
pub(crate) fn has_hubs() -> bool {
    WATCHED.is_completed()
}

/// Whether this process is the child of a `fork` without `exec`. It shares its parent's epoll sets, so it must leave
/// the hubs it finds alone.
#[inline]
pub(crate) fn forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// How many threads the process has, or `None` where /proc does not tell.
pub(crate) fn thread_count() -> Option<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    Some(tasks.count())
}
