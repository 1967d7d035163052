//! A group with a bound.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::error::SpawnError;
use super::group::Group;
use super::roster::Patience;
use crate::greenlet::Greenlet;
use crate::time::deadline;

/// A [`Group`] of so many greenlets at most: `spawn` parks the caller while it is full.
///
/// It has all methods of a group. Its clones are handles of one pool.
///
/// ```
/// let pool = iora::pool::Pool::new(2);
/// for n in 0..10 {
///     // Parks here while two are at work.
///     drop(pool.spawn(move || iora::sleep(std::time::Duration::from_millis(n))));
/// }
/// pool.join();
/// assert_eq!(pool.free_count(), 2);
/// ```
#[derive(Clone)]
pub struct Pool {
    /// The group, bounded.
    group: Group,
}

impl Pool {
    /// An empty pool with `size` places. One without any takes nothing in.
    pub fn new(size: usize) -> Pool {
        Pool {
            group: Group::bounded(size),
        }
    }

    /// As [`spawn`](Group::spawn), but never waits.
    ///
    /// # Errors
    ///
    /// If it is full or closed: the closure comes back.
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<Greenlet<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.group.start(Patience::None, f)
    }

    /// As [`spawn`](Group::spawn), but waits for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If there was no place in time, or it is closed: the closure comes back. A wait while its greenlet is unwinding is over at
    /// once.
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn_timeout<F, T>(&self, timeout: Duration, f: F) -> Result<Greenlet<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.group.start(Patience::Until(deadline::after(timeout)), f)
    }

    /// As [`add`](Group::add), but never waits; false if the pool is full.
    #[must_use = "whether the pool took it in"]
    pub fn try_add<T>(&self, job: &Greenlet<T>) -> bool {
        self.group.admit_running(Patience::None, job)
    }

    /// As [`add`](Group::add), but waits for `timeout` at most; false if there was no place in time.
    #[must_use = "whether the pool took it in"]
    pub fn add_timeout<T>(&self, timeout: Duration, job: &Greenlet<T>) -> bool {
        self.group.admit_running(Patience::Until(deadline::after(timeout)), job)
    }

    /// How many places it has.
    pub fn size(&self) -> usize {
        self.group.roster.limit()
    }

    /// How many places are free.
    pub fn free_count(&self) -> usize {
        self.group.roster.free()
    }

    /// Parks the caller until a place is free, or for `timeout` (a `Duration`, or `None`: no limit). Returns how many are; the
    /// place is not taken.
    pub fn wait_available(&self, timeout: impl Into<Option<Duration>>) -> usize {
        self.group.roster.wait_free(timeout.into().and_then(deadline::after))
    }
}

impl Deref for Pool {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.group
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.size())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
