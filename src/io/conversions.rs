//! A [`Source`] as a descriptor: what std's pipes can be turned into, a source of a pipe can be too.

use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use super::source::Source;
use crate::sys::descriptor;

impl<T: AsFd> AsRawFd for Source<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// The descriptor blocks again: whoever gets it has no hub to wait with.
impl<T: AsFd + Into<OwnedFd>> From<Source<T>> for OwnedFd {
    fn from(source: Source<T>) -> OwnedFd {
        let fd = source.into_inner().into();
        // Fails for a descriptor that is none; whatever is done with it fails as well.
        let _ = descriptor::set_nonblocking(&fd, false);
        fd
    }
}

/// The descriptor blocks again.
impl<T: AsFd + Into<OwnedFd>> IntoRawFd for Source<T> {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

/// For a child's standard stream, which blocks again, as a child expects: so one child's output becomes another's input.
///
/// ```
/// use std::process::{Command, Stdio};
/// use iora::process::Child;
///
/// let mut echo = Child::new(Command::new("echo").arg("one two").stdout(Stdio::piped()).spawn()?)?;
/// let words = echo.stdout.take().expect("a pipe");
/// let count = Child::new(Command::new("wc").arg("-w").stdin(words).stdout(Stdio::piped()).spawn()?)?;
/// assert_eq!(count.wait_with_output()?.stdout.trim_ascii(), b"2");
/// assert!(echo.wait()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
impl<T: AsFd + Into<OwnedFd>> From<Source<T>> for Stdio {
    fn from(source: Source<T>) -> Stdio {
        Stdio::from(OwnedFd::from(source))
    }
}
