//! Waiting for many greenlets, and killing many.

use std::time::Duration;

use super::handle::Greenlet;
use crate::time::deadline;

/// Parks the caller until all `jobs` have ended, or for `timeout` (a `Duration`, or `None`: no limit). Returns those that
/// have ended, in the order given; a job may be given twice.
///
/// ```
/// use std::time::Duration;
///
/// let jobs: Vec<_> = (0..3).map(|n| iora::spawn(move || n * n)).collect();
/// iora::joinall(&jobs, Duration::from_secs(5));
/// assert_eq!(jobs[2].value(), Some(&4));
/// ```
pub fn joinall<'a, T: 'a>(
    jobs: impl IntoIterator<Item = &'a Greenlet<T>>,
    timeout: impl Into<Option<Duration>>,
) -> Vec<&'a Greenlet<T>> {
    let until = timeout.into().and_then(deadline::after);
    jobs.into_iter().filter(|job| job.shared().wait(until)).collect()
}

/// Kills all `jobs` and parks the caller until they have ended, or for `timeout`. Whether all have ended. A caller that
/// is among them is spared.
///
/// See [`Greenlet::kill`].
pub fn killall<'a, T: 'a>(
    jobs: impl IntoIterator<Item = &'a Greenlet<T>>,
    timeout: impl Into<Option<Duration>>,
) -> bool {
    let until = timeout.into().and_then(deadline::after);
    let victims: Vec<&Greenlet<T>> = jobs.into_iter().filter(|job| !job.is_current()).collect();
    for victim in &victims {
        victim.kill_nowait();
    }
    victims.iter().all(|victim| victim.shared().wait(until))
}
