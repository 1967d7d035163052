//! How putting and getting fail: one small type per operation, each handing the item back.

use std::error::Error;
use std::fmt;

/// A `put` failed: the queue is closed (or would have had to wait while its greenlet is unwinding). Holds the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PutError<T>(pub T);

/// A `try_put` failed. Holds the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPutError<T> {
    /// There is no room now (in a channel: nobody waits for an item).
    Full(T),
    /// The queue is closed.
    Closed(T),
}

/// A `put_timeout` failed. Holds the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutTimeoutError<T> {
    /// There was no room in time.
    TimedOut(T),
    /// The queue is closed.
    Closed(T),
}

/// A `get` failed: the queue is closed and empty (or would have had to wait while its greenlet is unwinding).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetError;

/// A `try_get` failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryGetError {
    /// There is no item now (in a channel: nobody waits to put one).
    Empty,
    /// The queue is closed and empty.
    Closed,
}

/// A `get_timeout` failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GetTimeoutError {
    /// There was no item in time.
    TimedOut,
    /// The queue is closed and empty.
    Closed,
}

/// What all of them say of a closed queue.
const CLOSED: &str = "the queue is closed";

impl<T> PutError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TryPutError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            TryPutError::Full(item) | TryPutError::Closed(item) => item,
        }
    }

    /// What went wrong, without the item.
    fn reason(&self) -> (&'static str, &'static str) {
        match self {
            TryPutError::Full(_) => ("Full(..)", "the queue is full"),
            TryPutError::Closed(_) => ("Closed(..)", CLOSED),
        }
    }
}

impl<T> PutTimeoutError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            PutTimeoutError::TimedOut(item) | PutTimeoutError::Closed(item) => item,
        }
    }

    /// What went wrong, without the item.
    fn reason(&self) -> (&'static str, &'static str) {
        match self {
            PutTimeoutError::TimedOut(_) => ("TimedOut(..)", "the queue was full until the time was over"),
            PutTimeoutError::Closed(_) => ("Closed(..)", CLOSED),
        }
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PutError(..)")
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(CLOSED)
    }
}

impl<T> Error for PutError<T> {}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason().0)
    }
}

impl<T> fmt::Display for TryPutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason().1)
    }
}

impl<T> Error for TryPutError<T> {}

impl<T> fmt::Debug for PutTimeoutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason().0)
    }
}

impl<T> fmt::Display for PutTimeoutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason().1)
    }
}

impl<T> Error for PutTimeoutError<T> {}

impl fmt::Display for GetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(CLOSED)
    }
}

impl Error for GetError {}

impl fmt::Display for TryGetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TryGetError::Empty => "the queue is empty",
            TryGetError::Closed => CLOSED,
        })
    }
}

impl Error for TryGetError {}

impl fmt::Display for GetTimeoutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            GetTimeoutError::TimedOut => "the queue was empty until the time was over",
            GetTimeoutError::Closed => CLOSED,
        })
    }
}

impl Error for GetTimeoutError {}

/// Why nothing was put or got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It would have to wait.
    WouldWait,
    /// The queue is closed (and, for a getter, empty).
    Closed,
    /// The deadline passed.
    TimedOut,
    /// The greenlet is unwinding and must not wait.
    Refused,
}

/// The failure of a putter that still has its item.
#[inline]
pub(super) fn or_item<T>(item: Option<T>, failure: Failure) -> Result<(), (Failure, T)> {
    match item {
        None => Ok(()),
        Some(item) => Err((failure, item)),
    }
}

impl Failure {
    /// As the error of a `try_get`.
    pub(super) fn of_try_get(self) -> TryGetError {
        match self {
            Failure::Closed => TryGetError::Closed,
            _ => TryGetError::Empty,
        }
    }

    /// As the error of a `get_timeout`.
    pub(super) fn of_get_timeout(self) -> GetTimeoutError {
        match self {
            Failure::Closed => GetTimeoutError::Closed,
            _ => GetTimeoutError::TimedOut,
        }
    }
}
