//! What has to be known of the process: whether it is a fork of the one that made the hubs, and its threads.
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set in the child of a fork, never in the parent.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Has [`forked`] tell the truth from now on. To be called before the first hub is made.
pub(crate) fn watch_forks() {
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler is a function of the program, lives for ever, and only stores to an atomic.
        let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(
            result,
            0,
            "iora: pthread_atfork failed: {}",
            io::Error::from_raw_os_error(result)
        );
    });
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
