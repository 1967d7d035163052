//! Parts of a greenlet in which it cannot be interrupted.

use crate::hub::spawn;

/// Runs `f` without raising kills or timeouts in it: they stay pending until the greenlet's first park point after `f`.
///
/// For the few lines that must not be left half done though they park. It delays, it does not refuse: whoever kills
/// waits. Shields nest.
///
/// ```
/// use std::time::Duration;
///
/// let job = iora::spawn(|| {
///     iora::shield(|| iora::sleep(Duration::from_millis(5))); // to its end
///     iora::sleep(Duration::from_secs(3600)); // the kill is raised here
/// });
/// iora::yield_now();
/// job.kill();
/// assert!(matches!(job.get(), Err(iora::Exit::Killed)));
/// ```
pub fn shield<R>(f: impl FnOnce() -> R) -> R {
    let _shielded = Shielded::enter();
    f()
}

/// Leaves the shield when dropped, also by a panic.
pub(super) struct Shielded(());

impl Shielded {
    /// Enters a shield.
    pub(super) fn enter() -> Shielded {
        spawn::shield(true);
        Shielded(())
    }
}

impl Drop for Shielded {
    fn drop(&mut self) {
        spawn::shield(false);
    }
}
