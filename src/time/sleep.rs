//! Sleeping.

use std::time::{Duration, Instant};

use super::deadline;
use crate::hub::park::{self, WakeReason};

/// Parks the caller for `duration`: never less, and on an idle hub a fraction of a millisecond more.
///
/// A zero `duration` lets every other ready greenlet run once, as [`yield_now`](crate::yield_now). On a thread without a
/// hub it blocks the thread. While the thread unwinds (in a destructor run by a panic or a kill) it returns at once: other
/// greenlets must not run then, and nobody waits for a thread that sleeps.
///
/// ```
/// use std::time::Duration;
///
/// let slow = iora::spawn(|| iora::sleep(Duration::from_secs(3600)));
/// let quick = iora::spawn(|| iora::sleep(Duration::from_millis(1)));
/// quick.join();
/// assert!(!slow.ready());
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        park::yield_now();
        return;
    }
    let until = deadline::after(duration);
    // An alarm is never early: only a wake-up without cause has to look at the clock.
    while park::park(until, "sleep") == WakeReason::Unparked {
        if until.is_some_and(|until| Instant::now() >= until) {
            return;
        }
    }
}
