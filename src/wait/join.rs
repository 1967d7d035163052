//! Joining some of many greenlets, and stopping at the first that failed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::iwait::iwait;
use crate::greenlet::{Ending, Greenlet};

/// As [`joinall`](crate::joinall), but parks the caller only until `count` of the `jobs` have ended, however they did.
/// Returns those that have, in the order in which they ended.
///
/// ```
/// use std::time::Duration;
///
/// let jobs = [3600, 0].map(|seconds| iora::spawn(move || iora::sleep(Duration::from_secs(seconds))));
/// let first = iora::joinall_count(&jobs, 1, None);
/// assert_eq!(first[0].id(), jobs[1].id());
/// ```
pub fn joinall_count<'a, T: 'a>(
    jobs: impl IntoIterator<Item = &'a Greenlet<T>>,
    count: usize,
    timeout: impl Into<Option<Duration>>,
) -> Vec<&'a Greenlet<T>> {
    iwait(jobs, timeout).take(count).map(|(_, job)| job).collect()
}

/// As [`joinall`](crate::joinall), but gives up as soon as one of the `jobs` has ended without returning a value. Returns
/// those that have ended in time, in the order in which they did.
///
/// # Errors
///
/// What became of the first that failed. It can be asked again: the jobs keep their outcomes.
///
/// ```
/// let jobs = [iora::spawn(|| 1), iora::spawn(|| panic!("out of luck"))];
/// let error = iora::joinall_or_raise(&jobs, None).unwrap_err();
/// assert_eq!((error.index(), error.panic_message()), (1, Some("out of luck")));
/// ```
pub fn joinall_or_raise<'a, T: 'a>(
    jobs: impl IntoIterator<Item = &'a Greenlet<T>>,
    timeout: impl Into<Option<Duration>>,
) -> Result<Vec<&'a Greenlet<T>>, JoinError> {
    let one = |(index, job): (usize, &'a Greenlet<T>)| match job.ending() {
        Some(Ending::Returned) | None => Ok(job),
        Some(ending) => Err(JoinError {
            index,
            ending,
            greenlet: format!("{job:?}"),
            message: job.panic_message().map(str::to_owned),
        }),
    };
    iwait(jobs, timeout).map(one).collect()
}

/// A greenlet ended without returning a value: the error of [`joinall_or_raise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinError {
    /// Its place among the jobs.
    index: usize,
    /// How it ended.
    ending: Ending,
    /// Which it was.
    greenlet: String,
    /// What its panic said.
    message: Option<String>,
}

impl JoinError {
    /// The greenlet's place in the order given.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How it ended.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// The message of its panic, if that was the end and the message is a text.
    pub fn panic_message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.greenlet),
            None => f.write_str(&self.greenlet),
        }
    }
}

impl Error for JoinError {}
