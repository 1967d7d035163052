//! "This operation would block forever": when it is certain, and who is told.
//!
//! A hub is *quiet* when it sleeps with nothing pending: nothing ready, no alarm, nobody waiting for a descriptor, an
//! empty inbox. Only another thread could wake it. It is certain that none will when every thread of the process is a
//! quiet hub's or an idle one of our thread pool. A hub asks only after it has been quiet for a while, so that this
//! costs nothing where hubs wake each other all the time. Then every quiet hub's own stack is told: if it waits, its
//! wait ends in a panic that carries the report.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::remote::{Message, Remote};
use crate::sys::process;

/// Remotes of all hubs of the process.
static HUBS: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

/// Hubs that sleep with nothing pending.
static QUIET: AtomicUsize = AtomicUsize::new(0);

/// Threads of the thread pool that have no job: they wake nobody.
static IDLE_WORKERS: AtomicUsize = AtomicUsize::new(0);

/// The list, locked.
fn hubs() -> std::sync::MutexGuard<'static, Vec<&'static Remote>> {
    // A hub that parked its caller here would be parked in its own making.
    #[cfg(feature = "monkey")]
    let _inside = super::hook_state::Inside::enter();
    HUBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calling thread has a hub now.
pub(super) fn enlist(remote: &'static Remote) {
    hubs().push(remote);
}

/// The calling thread's hub is gone.
pub(super) fn delist(remote: &'static Remote) {
    hubs().retain(|other| !std::ptr::eq(*other, remote));
}

/// The calling thread's hub sleeps, and nothing is pending in it.
pub(super) fn go_quiet() {
    QUIET.fetch_add(1, Ordering::SeqCst);
}

/// The calling thread's hub sleeps no more.
pub(super) fn go_on() {
    QUIET.fetch_sub(1, Ordering::SeqCst);
}

/// A thread of the thread pool waits for a job (`true`), or has got one.
pub(crate) fn worker_is_idle(idle: bool) {
    if idle {
        IDLE_WORKERS.fetch_add(1, Ordering::SeqCst);
    } else {
        IDLE_WORKERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// If nobody in the process can wake anybody, tells all hubs. Called by a quiet hub.
pub(super) fn check() {
    let hubs = hubs();
    let quiet = QUIET.load(Ordering::SeqCst);
    let nobody_else = || process::thread_count() == Some(quiet + IDLE_WORKERS.load(Ordering::SeqCst));
    if !are_left_alone(&hubs, quiet, nobody_else) {
        return;
    }
    let told: Vec<&'static Remote> = hubs.clone();
    drop(hubs);
    for hub in told {
        hub.post(Message::Deadlock);
    }
}

/// Whether all hubs are quiet, `quiet` of them by their own count, and nobody else is there who could wake one.
fn are_left_alone(hubs: &[&Remote], quiet: usize, nobody_else: impl FnOnce() -> bool) -> bool {
    let all_quiet = || hubs.iter().all(|hub| hub.is_quiet());
    // Somebody may have woken a hub and ended before the threads were counted: that hub is not quiet any more.
    quiet == hubs.len() && all_quiet() && nobody_else() && all_quiet()
}

/// The text of the panic.
pub(super) fn report(what: &str, lines: &str) -> String {
    format!(
        "iora: this operation would block forever: {what}\n\
         nothing is ready, no timer and no descriptor is waited for, and no other thread could wake anybody:\n{lines}"
    )
}

/// Prints what is parked for ever in a hub whose own stack waits for nobody.
#[expect(clippy::print_stderr, reason = "a report like that of a panic")]
pub(super) fn print(lines: &str) {
    eprintln!("{}", report("work", lines));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_somebody_woke_before_its_end_is_not_left_alone() {
        let hub = Remote::adopt();
        assert!(hub.prepare_sleep(true));
        assert!(are_left_alone(&[hub], 1, || true));
        assert!(!are_left_alone(&[hub], 0, || true), "it has not said so");
        assert!(!are_left_alone(&[hub], 1, || false));
        let wakes_and_ends = || {
            hub.post(Message::Deadlock);
            true
        };
        assert!(!are_left_alone(&[hub], 1, wakes_and_ends));
        hub.retire();
    }
}
