//! How a greenlet ended, when it did not return.

use std::any::Any;
use std::error::Error;
use std::fmt;

use crate::hub::interrupt::{KillPayload, TimeoutPayload};

/// Why a greenlet has no value: the error of [`Greenlet::get`](crate::Greenlet::get).
#[non_exhaustive]
pub enum Exit {
    /// It was killed.
    Killed,
    /// It panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// A [`Timeout`](crate::Timeout) of its own expired, and nothing caught it.
    TimedOut,
    /// It will never end: its hub ended, or its thread did, while it was parked or had not begun.
    Abandoned,
}

/// How a greenlet ended, in a word: what links are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// It returned its value.
    Returned,
    /// See [`Exit::Killed`].
    Killed,
    /// See [`Exit::Panicked`].
    Panicked,
    /// See [`Exit::TimedOut`].
    TimedOut,
    /// See [`Exit::Abandoned`].
    Abandoned,
}

impl Exit {
    /// What the payload of an unwind means.
    pub(crate) fn from_payload(payload: Box<dyn Any + Send>) -> Exit {
        if payload.is::<KillPayload>() {
            Exit::Killed
        } else if payload.is::<TimeoutPayload>() {
            Exit::TimedOut
        } else {
            Exit::Panicked(payload)
        }
    }

    /// The panic that the payload of an unwind means; gives it back if it is a kill or a timeout.
    pub(crate) fn from_panic(payload: Box<dyn Any + Send>) -> Result<Exit, Box<dyn Any + Send>> {
        if payload.is::<KillPayload>() || payload.is::<TimeoutPayload>() {
            Err(payload)
        } else {
            Ok(Exit::Panicked(payload))
        }
    }

    /// The same in a word.
    pub fn ending(&self) -> Ending {
        match self {
            Exit::Killed => Ending::Killed,
            Exit::Panicked(_) => Ending::Panicked,
            Exit::TimedOut => Ending::TimedOut,
            Exit::Abandoned => Ending::Abandoned,
        }
    }

    /// The message of a panic, if that was the end and it had one.
    pub fn panic_message(&self) -> Option<&str> {
        let Exit::Panicked(payload) = self else { return None };
        match payload.downcast_ref::<&'static str>() {
            Some(text) => Some(text),
            None => payload.downcast_ref::<String>().map(String::as_str),
        }
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Panicked(_) => f
                .debug_tuple("Panicked")
                .field(&self.panic_message().unwrap_or(".."))
                .finish(),
            _ => fmt::Debug::fmt(&self.ending(), f),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Killed => f.write_str("the greenlet was killed"),
            Exit::Panicked(_) => match self.panic_message() {
                Some(message) => write!(f, "the greenlet panicked: {message}"),
                None => f.write_str("the greenlet panicked"),
            },
            Exit::TimedOut => f.write_str("a timeout of the greenlet expired and nothing caught it"),
            Exit::Abandoned => f.write_str("the greenlet was left behind by the end of its hub or thread"),
        }
    }
}

impl Error for Exit {}
