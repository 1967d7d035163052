//! Why a pool took nothing in.

use std::error::Error;
use std::fmt;

/// The pool took no greenlet in: the error of [`Pool::try_spawn`](super::Pool::try_spawn) and
/// [`Pool::spawn_timeout`](super::Pool::spawn_timeout), which hands the closure back.
pub enum SpawnError<F> {
    /// There was no free place, at once or in time.
    PoolFull(F),
    /// It was [closed](super::Group::close).
    Closed(F),
}

impl<F> SpawnError<F> {
    /// What was to be spawned.
    pub fn into_inner(self) -> F {
        match self {
            SpawnError::PoolFull(f) | SpawnError::Closed(f) => f,
        }
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpawnError::PoolFull(_) => "PoolFull(..)",
            SpawnError::Closed(_) => "Closed(..)",
        })
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpawnError::PoolFull(_) => "the pool is full",
            SpawnError::Closed(_) => "the pool is closed",
        })
    }
}

impl<F> Error for SpawnError<F> {}
