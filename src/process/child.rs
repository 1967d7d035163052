//! A child process.
//!
//! ```text
//!   wait() ──▶ ended? ──yes─▶ its status, which std keeps
//!                │no  ▲
//!                ▼    └───────────────────────────────┐
//!              park until the pidfd is readable ──────┘
//! ```
//!
//! 1. The descriptor that stands for the process (pidfd_open(2)) is opened before the process is reaped, so it is never
//!    somebody else's. It says only that it is worth asking; the answer is `waitpid`'s, by std, which asks once and keeps it.
//! 2. The lock around std's handle is held for a system call that does not wait, and never across a park.
//! 3. Who observes a child (`wait`, `iwait`) has a greenlet of its own that waits for a duplicate of the descriptor and tells.
//!    It lives as long as the observation, whose end closes the duplicate: a kill would not do where nothing can unwind.

use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ExitStatus, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::greenlet::{Builder, scope};
use crate::hub::source::Direction;
use crate::io::{Limit, Source, Wait};
use crate::sync::wait_queue::observer::{Observation, Observer};
use crate::sys::pidfd;
use crate::time::sleep;
use crate::wait::Waitable;

/// What a child is waited for.
const END: Wait = Wait {
    direction: Direction::Read,
    what: "child",
};

/// The time between two looks at a child for whose end there is no event.
const PAUSE: Duration = Duration::from_millis(50);

/// A child process, made of [`std::process::Child`]. Waiting for it, and reading and writing its pipes, parks the greenlet.
///
/// It can be waited for together with others: it is [`Waitable`]. Dropping it leaves the process alone, as std's does: it
/// runs on, and once it has ended it remains as a zombie until the parent ends.
///
/// ```
/// use std::process::{Command, Stdio};
/// use std::time::Duration;
/// use iora::process::Child;
///
/// let mut cat = Child::new(Command::new("cat").stdin(Stdio::piped()).spawn()?)?;
/// assert!(cat.wait_timeout(Duration::from_millis(1))?.is_none()); // a look: its standard input stays open
/// assert!(cat.wait()?.success()); // closes its standard input first
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Child {
    /// The pipe to the child's standard input, if there is one.
    pub stdin: Option<Source<PipeWriter>>,
    /// The pipe from the child's standard output, if there is one.
    pub stdout: Option<Source<PipeReader>>,
    /// The pipe from the child's standard error, if there is one.
    pub stderr: Option<Source<PipeReader>>,
    /// The process itself.
    process: Arc<Process>,
}

/// What those who wait share.
struct Process {
    /// Its number.
    id: u32,
    /// std's handle.
    handle: Mutex<std::process::Child>,
    /// Readable once the process has ended; `None` if it had been reaped before.
    end: Option<Source<OwnedFd>>,
}

impl Child {
    /// Makes it waitable, and its pipes. This side of the pipes becomes non-blocking, the child's does not.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor for it, or somebody else has reaped it. It runs on, and its handle is dropped.
    pub fn new(mut child: std::process::Child) -> io::Result<Child> {
        let end = match child.try_wait()? {
            Some(_) => None,
            None => Some(Source::of_nonblocking(pidfd::open(child.id())?)),
        };
        Ok(Child {
            stdin: child.stdin.take().map(pipe).transpose()?,
            stdout: child.stdout.take().map(pipe).transpose()?,
            stderr: child.stderr.take().map(pipe).transpose()?,
            process: Arc::new(Process {
                id: child.id(),
                handle: Mutex::new(child),
                end,
            }),
        })
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id
    }

    /// Ends the process by SIGKILL; does nothing if it has been waited for. It still has to be waited for.
    ///
    /// # Errors
    ///
    /// When the process may not be killed.
    pub fn kill(&self) -> io::Result<()> {
        self.process.lock().kill()
    }

    /// Parks the caller until the process has ended, and says how it did. The pipe to its standard input is closed first, if
    /// it is still here: a child that reads to the end would wait for it.
    ///
    /// One that has been waited for gives its status again. A thread without a hub is blocked instead.
    ///
    /// # Errors
    ///
    /// When somebody else has reaped it. When the call would have to wait while the thread unwinds.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.process.wait(Limit::Never)
    }

    /// As [`wait`](Self::wait), for `timeout` at most; `None` if the process still runs. The pipe to its standard input
    /// stays open.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        match self.process.wait(Limit::after(Some(timeout))) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            result => result.map(Some),
        }
    }

    /// How the process ended, if it has. Never waits.
    ///
    /// # Errors
    ///
    /// When somebody else has reaped it.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.process.lock().try_wait()
    }

    /// Closes the pipe to the child's standard input, then parks the caller until the others have come to their end and the
    /// process to its own: all that it wrote, and how it ended.
    ///
    /// # Errors
    ///
    /// Those of reading the pipes, and of [`wait`](Self::wait).
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        match (self.stdout.take(), self.stderr.take()) {
            (None, None) => {}
            (Some(mut out), None) => drop(out.read_to_end(&mut stdout)?),
            (None, Some(mut err)) => drop(err.read_to_end(&mut stderr)?),
            // Both at once: the child may fill one while it is the other that is read.
            (Some(mut out), Some(mut err)) => scope(|scope| {
                let beside = scope.spawn(|| err.read_to_end(&mut stderr));
                out.read_to_end(&mut stdout)?;
                beside
                    .join()
                    .unwrap_or_else(|exit| Err(io::Error::other(exit.to_string())))
            })
            .map(drop)?,
        }
        let status = self.wait()?;
        Ok(Output { status, stdout, stderr })
    }
}

/// One of the child's pipes, made waitable.
fn pipe<T: From<OwnedFd> + AsFd>(pipe: impl Into<OwnedFd>) -> io::Result<Source<T>> {
    Source::new(T::from(pipe.into()))
}

impl Process {
    /// std's handle. No panic leaves it half changed.
    fn lock(&self) -> MutexGuard<'_, std::process::Child> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still runs; not if nobody knows any more how it ended.
    fn is_running(&self) -> bool {
        matches!(self.lock().try_wait(), Ok(None))
    }

    /// How it ended; `WouldBlock` if it still runs.
    fn status(&self) -> io::Result<ExitStatus> {
        self.lock().try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Waits for its end; `WouldBlock` when the limit is over.
    fn wait(&self, limit: Limit) -> io::Result<ExitStatus> {
        match &self.end {
            // What is reaped already has its status at hand.
            None => self.status(),
            Some(end) => self.wait_by(end, limit),
        }
    }

    /// As [`wait`](Self::wait), by this descriptor of the process. Nothing is read: it stays readable for all who wait.
    fn wait_by(&self, end: &Source<OwnedFd>, limit: Limit) -> io::Result<ExitStatus> {
        end.run(END, || Ok(limit), |_| self.status(), |_| false)
    }
}

impl Waitable for Child {
    /// # Panics
    ///
    /// When there is no address space left for the stack of the greenlet that waits.
    fn observe(&self, observer: Observer) -> Observation<'_> {
        if !self.process.is_running() {
            observer.tell();
            return Observation::over();
        }
        let watch = Arc::new(Watch {
            process: self.process.clone(),
            end: self.process.end.as_ref().and_then(|end| {
                let duplicate = end.get_ref().try_clone().ok()?;
                Some(Source::of_nonblocking(duplicate))
            }),
            over: AtomicBool::new(false),
        });
        let watcher = Builder::new().name(format!("child {}", self.id())).spawn({
            let watch = watch.clone();
            move || watch.run(observer)
        });
        match watcher {
            Ok(_) => Observation::by(Observing(watch)),
            Err(error) => panic!("iora: spawning a greenlet failed: {error}"),
        }
    }
}

/// What an observation shares with the greenlet that waits for it.
struct Watch {
    /// Which process.
    process: Arc<Process>,
    /// A duplicate of its descriptor; `None` if there are no descriptors left.
    end: Option<Source<OwnedFd>>,
    /// Nobody observes any more.
    over: AtomicBool,
}

impl Watch {
    /// Tells the observer of the end of the process.
    fn run(&self, observer: Observer) {
        while !self.is_over() {
            if !self.process.is_running() {
                return observer.tell();
            }
            let waited = self.end.as_ref().map(|end| self.process.wait_by(end, Limit::Never));
            // Without a descriptor, or a hub that can watch it, the status is looked at now and then.
            if !matches!(waited, Some(Ok(_))) && !self.is_over() {
                sleep(PAUSE);
            }
        }
    }

    /// Whether nobody observes any more.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// The observation. Dropping it ends its greenlet.
struct Observing(Arc<Watch>);

impl Drop for Observing {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        if let Some(end) = &self.0.end {
            end.close();
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::{iwait, yield_now};

    #[test]
    fn an_observation_leaves_nothing_behind() {
        let cat = Command::new("cat").stdin(Stdio::piped()).spawn().expect("a child");
        let mut cat = Child::new(cat).expect("waitable");
        let holders = |child: &Child| Arc::strong_count(&child.process);
        let mut iterator = iwait([&cat, &cat], Duration::ZERO);
        assert_eq!(iterator.next().map(|(index, _)| index), None);
        assert_eq!(holders(&cat), 3, "two watches");
        drop(iterator);
        yield_now();
        assert_eq!(holders(&cat), 1, "the watchers have ended");
        assert!(cat.wait().expect("a child").success());
        assert_eq!(iwait([&cat], None).count(), 1);
        assert_eq!(holders(&cat), 1, "nothing watches what has ended");
    }
}
