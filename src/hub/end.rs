//! The end of a hub that somebody asked for: its greenlets unwind, and what will not end is leaked.

use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use super::{current, park};

/// How long [`end`] waits for greenlets that take their time to unwind.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a greenlet that catches the kill and goes on is killed again.
const ROUNDS: u32 = 8;

/// Ends the calling thread's hub: kills its greenlets and waits, a second at most, until they have unwound.
///
/// A greenlet that was spawned but has not begun never runs. One that will not end is leaked with its stack: its
/// destructors never run, and whoever joins it is told. The next `spawn` on this thread makes a new hub. On a thread
/// without a hub nothing happens.
///
/// # Panics
///
/// When called from a greenlet: only the thread's own stack can outlive the hub.
///
/// ```
/// let server = iora::spawn(|| iora::sleep(std::time::Duration::from_secs(3600)));
/// iora::yield_now();
/// iora::hub::end();
/// assert!(matches!(server.get(), Err(iora::Exit::Killed)));
/// ```
pub fn end() {
    let Some(hub) = current::hub() else { return };
    assert!(
        hub.running.get() == Some(hub.root),
        "iora: hub::end() was called from a greenlet"
    );
    hub.ending.set(true);
    for round in 1..=ROUNDS {
        let keys: Vec<_> = hub.tasks.borrow().keys().filter(|key| *key != hub.root).collect();
        if keys.is_empty() || std::thread::panicking() {
            break;
        }
        for key in keys {
            hub.interrupt(key, Interrupt::Kill);
        }
        let until = Instant::now() + PATIENCE * round / ROUNDS.pow(2);
        while hub.tasks.borrow().len() > 1 && Instant::now() < until {
            park::park(Some(until), "the end of the hub");
        }
    }
    let taken = current::take_hub();
    if let Some(hub) = taken {
        hub.abandon_all(current::renew_remote);
    }
}
