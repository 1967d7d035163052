//! The process's own pool.

use once_cell::sync::Lazy;

use super::pool::ThreadPool;

/// How many threads the process's pool has at most: enough for a few slow disks and name servers at once.
const LIMIT: usize = 16;

/// Made at its first use.
static POOL: Lazy<ThreadPool> = Lazy::new(|| ThreadPool::new(LIMIT));

/// Runs `f` on a thread of the process's pool (16 at most) and parks the caller until it is done; see
/// [`ThreadPool::apply`].
///
/// # Panics
///
/// With the panic of `f`.
///
/// ```
/// let hosts = iora::threadpool::apply(|| std::fs::read_to_string("/etc/hosts"));
/// # let _ = hosts;
/// ```
pub fn apply<T, F>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    POOL.apply(f)
}
