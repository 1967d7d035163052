//! Why a look-up failed, in a form that can be handed to several waiters.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a name has no addresses: what `getaddrinfo` tells apart by its `EAI_` codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The name does not exist, or neither host nor service was given (`EAI_NONAME`).
    NoName,
    /// The name exists, but has no address of the wanted family (`EAI_NODATA`).
    NoData,
    /// No server answered in time (`EAI_AGAIN`).
    TimedOut,
    /// The servers failed or refused; it may work later (`EAI_AGAIN`).
    Again,
    /// The text cannot be a host name (`EAI_NONAME`).
    BadName,
    /// No such service for this kind of socket (`EAI_SERVICE`).
    Service,
    /// The numeric host is of another family than the wanted one (`EAI_ADDRFAMILY`).
    AddressFamily,
    /// Socket type and protocol do not go together (`EAI_SOCKTYPE`).
    SocketType,
    /// The flags contradict each other or the arguments (`EAI_BADFLAGS`).
    BadFlags,
}

impl Failure {
    /// The kind of the `io::Error` that carries this failure.
    fn kind(self) -> io::ErrorKind {
        match self {
            Failure::NoName | Failure::NoData => io::ErrorKind::NotFound,
            Failure::TimedOut => io::ErrorKind::TimedOut,
            Failure::Again => io::ErrorKind::Other,
            Failure::BadName | Failure::Service | Failure::AddressFamily | Failure::SocketType | Failure::BadFlags => {
                io::ErrorKind::InvalidInput
            }
        }
    }
}

/// A failed look-up: which host, and why.
///
/// It travels inside an [`io::Error`]; `error.get_ref()` and `downcast_ref` find it there.
///
/// ```
/// use iora::dns::{Failure, LookupError};
///
/// let error = iora::dns::Resolver::system().resolve("not a name", 80).unwrap_err();
/// let inner = error.get_ref().unwrap().downcast_ref::<LookupError>().unwrap();
/// assert_eq!((inner.host(), inner.failure()), ("not a name", Failure::BadName));
/// ```
#[derive(Clone, Debug)]
pub struct LookupError {
    /// As the user wrote it; for a service, its name.
    host: Arc<str>,
    /// The reason in one word.
    failure: Failure,
    /// The reason in a sentence, without the host.
    cause: Arc<str>,
}

impl LookupError {
    /// An error about `host`.
    pub(crate) fn new(host: &str, failure: Failure, cause: impl Into<Arc<str>>) -> LookupError {
        LookupError {
            host: host.into(),
            failure,
            cause: cause.into(),
        }
    }

    /// The name that was looked up, as it was written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The reason in one word.
    pub fn failure(&self) -> Failure {
        self.failure
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot look up {:?}: {}", self.host, self.cause)
    }
}

impl std::error::Error for LookupError {}

impl From<LookupError> for io::Error {
    fn from(error: LookupError) -> io::Error {
        io::Error::new(error.failure.kind(), error)
    }
}
