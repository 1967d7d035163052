//! Switching hooks on, and off for a scope.

use std::io;
use std::sync::Once;
use std::sync::atomic::Ordering;

use super::frame::{DNS, PATCHED, SELECT, SOCKET, SUBPROCESS, THREAD, TIME};
use super::report::{self, Report};
use super::table;
use crate::hub::hooks;
use crate::sys::process;

/// Switches groups of hooks on, if they are reached.
fn patch(groups: u32) -> io::Result<Report> {
    report::check(groups)?;
    static FORKS: Once = Once::new();
    FORKS.call_once(|| {
        table::owned_by_this_process();
        process::in_forks(in_child);
    });
    let before = PATCHED.fetch_or(groups, Ordering::SeqCst);
    Ok(Report::of(before | groups))
}

/// What a fork does first. The hubs are its parent's, and locks may be held by threads that it does not have: where there are
/// hubs, its calls are the system's alone.
extern "C" fn in_child() {
    if process::has_hubs() {
        PATCHED.store(0, Ordering::SeqCst);
    }
    table::owned_by_this_process();
}

/// Makes all blocking functions of libc cooperative, for the whole process and for good: to be called at the top of `main`.
///
/// From then on, code that blocks on a thread with a hub parks its greenlet. A thread without a hub notices nothing.
///
/// # Errors
///
/// When the program was linked so that the hooks are not reached; the error says how to link.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// iora::monkey::patch_all()?;
/// let begun = Instant::now();
/// let sleepers: Vec<_> = (0..20).map(|_| iora::spawn(|| std::thread::sleep(Duration::from_millis(50)))).collect();
/// iora::joinall(&sleepers, None);
/// assert!(begun.elapsed() < Duration::from_millis(900));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn patch_all() -> io::Result<Report> {
    patch(SOCKET | TIME | DNS | SELECT | THREAD | SUBPROCESS)
}

/// Makes sockets, pipes and other descriptors cooperative.
///
/// # Errors
///
/// As [`patch_all`].
pub fn patch_socket() -> io::Result<Report> {
    patch(SOCKET)
}

/// Makes sleeping cooperative.
///
/// # Errors
///
/// As [`patch_all`].
pub fn patch_time() -> io::Result<Report> {
    patch(TIME)
}

/// Has names looked up by iora's resolver.
///
/// # Errors
///
/// As [`patch_all`].
pub fn patch_dns() -> io::Result<Report> {
    patch(DNS)
}

/// Makes waiting for many descriptors cooperative: `poll`, `select`, `epoll_wait`.
///
/// # Errors
///
/// As [`patch_all`].
pub fn patch_select() -> io::Result<Report> {
    patch(SELECT)
}

/// Makes std's locks cooperative, and `std::thread::park` and what stands on it.
///
/// # Errors
///
/// As [`patch_all`].
pub fn patch_thread() -> io::Result<Report> {
    patch(THREAD)
}

/// Makes waiting for child processes cooperative.
///
/// # Errors
///
/// As [`patch_all`].
pub fn patch_subprocess() -> io::Result<Report> {
    patch(SUBPROCESS)
}

/// Whether a function of libc is patched.
///
/// ```
/// assert!(!iora::monkey::is_patched("recv"));
/// iora::monkey::patch_socket()?;
/// assert!(iora::monkey::is_patched("recv") && !iora::monkey::is_patched("nanosleep"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_patched(function: &str) -> bool {
    Report::of(PATCHED.load(Ordering::Relaxed))
        .functions()
        .any(|name| name == function)
}

/// Runs `f` with the hooks passing straight through for this greenlet: what blocks in it blocks the thread.
///
/// ```
/// iora::monkey::patch_all()?;
/// iora::spawn(|| {
///     iora::monkey::unpatched(|| std::thread::sleep(std::time::Duration::from_millis(1)));
/// })
/// .join();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unpatched<R>(f: impl FnOnce() -> R) -> R {
    let _scope = Scope::enter();
    f()
}

/// Leaves the scope when dropped, also by a panic.
struct Scope(());

impl Scope {
    /// Enters one.
    fn enter() -> Scope {
        hooks::unpatched(true);
        Scope(())
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        hooks::unpatched(false);
    }
}
