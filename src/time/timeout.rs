//! Time-outs over any stretch of code.
//!
//! A started [`Timeout`] has an alarm in the hub. When it rings, the timeout is queued as an interrupt of its greenlet and
//! raised, as an unwind, at the next park point, which ends the park that the greenlet is in. Its number says which
//! timeout an unwind belongs to, so nested ones do not take each other's.

use std::error::Error;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::deadline;
use crate::hub::interrupt::TimeoutPayload;
use crate::hub::spawn::{self, SetTimeout};

/// The time was up: the error of [`timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, for `limit` at most: when the time is up, `f` is unwound from the call in which it is parked.
///
/// Code that does not park is not interrupted. Destructors run. Limits nest: the one whose time is up first unwinds, and
/// each [`timeout`] answers only for its own.
///
/// # Errors
///
/// [`Elapsed`] when the time was up.
///
/// ```
/// use std::time::Duration;
///
/// let result = iora::timeout(Duration::from_millis(5), || iora::sleep(Duration::from_secs(60)));
/// assert!(result.is_err());
/// assert_eq!(iora::timeout(Duration::from_secs(60), || 7), Ok(7));
/// ```
pub fn timeout<R>(limit: Duration, f: impl FnOnce() -> R) -> Result<R, Elapsed> {
    let mut timeout = Timeout::new(limit);
    timeout.start();
    timeout.catch(f)
}

/// A time-out that is started and cancelled by hand, and may be used again.
///
/// From [`start`](Self::start) on, when the time is up, it is raised at the next park point of the greenlet that started
/// it, as an unwind that [`catch`](Self::catch) turns into an error; one that nobody catches ends the greenlet as
/// [`Exit::TimedOut`](crate::Exit::TimedOut). Dropping it cancels it. It belongs to its greenlet and cannot be sent to another thread.
///
/// ```
/// use iora::Timeout;
/// use std::time::Duration;
///
/// // Ten milliseconds for both calls together.
/// let mut timeout = Timeout::new(Duration::from_millis(10));
/// timeout.start();
/// let result = timeout.catch(|| {
///     iora::sleep(Duration::from_millis(1));
///     iora::sleep(Duration::from_secs(3600));
/// });
/// assert!(result.is_err());
/// // The same again, for each of several.
/// assert_eq!(timeout.run(|| 7), Some(7));
/// ```
#[must_use = "a timeout does nothing before it is started, and is cancelled when it is dropped"]
pub struct Timeout {
    /// How long; `None` never expires.
    limit: Option<Duration>,
    /// Names the present start.
    number: u64,
    /// The alarm, while started.
    set: Option<SetTimeout>,
    /// When it expires, while started.
    at: Option<Instant>,
    /// See [`silent`](Self::silent).
    silent: bool,
    /// It belongs to a greenlet of this thread.
    not_send: PhantomData<*mut ()>,
}

impl Timeout {
    /// A timeout that is not started. `None` as the limit never expires.
    pub fn new(limit: impl Into<Option<Duration>>) -> Timeout {
        Timeout {
            limit: limit.into(),
            number: 0,
            set: None,
            at: None,
            silent: false,
            not_send: PhantomData,
        }
    }

    /// The same, marked as one whose expiry is no failure (gevent's `exception=False`): [`run`](Self::run) it and go on.
    /// `Debug` says so.
    pub fn silent(limit: impl Into<Option<Duration>>) -> Timeout {
        let mut timeout = Timeout::new(limit);
        timeout.silent = true;
        timeout
    }

    /// Whether it was made by [`silent`](Self::silent).
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Starts it: the time counts from now. It may be started again once it was raised or cancelled.
    ///
    /// # Panics
    ///
    /// When it is started already; when the thread has no hub and the system refuses one.
    pub fn start(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        assert!(!self.pending(), "iora: this timeout is started already");
        self.cancel();
        self.number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.at = self.limit.and_then(deadline::after);
        if let Some(at) = self.at {
            match spawn::set_timeout(at, self.number) {
                Ok(set) => self.set = Some(set),
                Err(error) => panic!("iora: no hub for a timeout: {error}"),
            }
        }
    }

    /// Stops it. If it has expired but was not raised yet, it will not be.
    pub fn cancel(&mut self) {
        if let Some(set) = self.set.take() {
            set.cancel();
        }
        self.at = None;
    }

    /// Whether it is started and its time has not come.
    pub fn pending(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() < at)
    }

    /// Runs `f`; if this timeout unwinds it, gives [`Elapsed`]. Whatever else unwinds `f` goes on unwinding. Cancels the
    /// timeout at the end.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time was up.
    pub fn catch<R>(&mut self, f: impl FnOnce() -> R) -> Result<R, Elapsed> {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let value = f();
            spawn::raise_told();
            value
        }));
        self.cancel();
        match result {
            Ok(value) => Ok(value),
            Err(payload) => match payload.downcast_ref::<TimeoutPayload>() {
                Some(TimeoutPayload(number)) if *number == self.number => Err(Elapsed(())),
                _ => resume_unwind(payload),
            },
        }
    }

    /// Starts it and runs `f`: its result, or `None` when the time was up.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn run<R>(&mut self, f: impl FnOnce() -> R) -> Option<R> {
        self.start();
        self.catch(f).ok()
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let silent = if self.silent { " (silent)" } else { "" };
        match self.limit {
            Some(limit) => write!(f, "<Timeout {limit:?}{silent}>"),
            None => write!(f, "<Timeout never{silent}>"),
        }
    }
}
