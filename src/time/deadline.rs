//! Durations at the edge, deadlines inside: a deadline that overflows the clock means for ever.

use std::time::{Duration, Instant};

/// As good as for ever, where a deadline is needed all the same: a hundred years.
pub(crate) const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The deadline `timeout` from now; `None`, for ever, if the clock does not reach so far.
pub(crate) fn after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}
