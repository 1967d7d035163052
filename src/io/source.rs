//! Any descriptor made waitable: the one loop under every blocking call on a descriptor.
//!
//! ```text
//!   call ─▶ may it succeed? ──yes──▶ try ──done──────────────────────▶ return
//!                │no                  │would block                        ▲
//!                └──────────▶ stand in line, park until ready ─▶ try ─────┤
//!                                          ▲                      │       │
//!                                          └──────would block─────┘   done
//! ```
//!
//! 1. The first call that would block registers the descriptor with the calling thread's hub. What the hub knows of its
//!    readiness from then on spares the call that would fail: see `hub::source`.
//! 2. A source may be used from several hubs and from threads without one. Registrations are added under `more`'s lock,
//!    which also guards the step to *closed*: either the closer sees a registration, or whoever registers sees that the
//!    source is closed. The first registration is in `first` instead, where it is found without the lock.
//! 3. The budget is spent before the operation, not after it: the caller may be killed there, and must not take with it
//!    what was read.
//! 4. A place in line is a [`Turn`]: whatever ends the wait, a kill included, it is given up and the next is woken.
//! 5. The registrations end before the descriptor closes, so that no event of the next one with its number can be theirs.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::hub::park;
use crate::hub::source::{self, Direction, Registration, Turn, Waited};
use crate::sys::{descriptor, socket};
use crate::time::{deadline, sleep};

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Not at all.
    Now,
    /// Until then.
    Until(Instant),
    /// For ever.
    Never,
}

impl Limit {
    /// At most `timeout` from now; for ever without one.
    pub(crate) fn after(timeout: Option<Duration>) -> Limit {
        timeout.and_then(deadline::after).map_or(Limit::Never, Limit::Until)
    }

    /// As the hub wants it.
    fn deadline(self) -> Option<Instant> {
        match self {
            Limit::Until(at) => Some(at),
            Limit::Now | Limit::Never => None,
        }
    }
}

/// What a call waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// Until a read, or a write, does not block.
    pub(crate) direction: Direction,
    /// In a word, for reports.
    pub(crate) what: &'static str,
}

/// A descriptor whose reads and writes park the greenlet until it is ready.
///
/// It is put into non-blocking mode. Duplicates share that mode: whoever else uses the same pipe or socket has to
/// expect `WouldBlock`.
///
/// ```
/// use std::io::{Read, Write, pipe};
///
/// let (reader, mut writer) = pipe()?;
/// let mut reader = iora::io::Source::new(reader)?;
/// let greenlet = iora::spawn(move || {
///     let mut line = [0; 5];
///     reader.read_exact(&mut line).map(|()| line)
/// });
/// iora::yield_now();
/// writer.write_all(b"hello")?;
/// assert_eq!(&greenlet.get().expect("did not panic")?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Source<T: AsFd> {
    /// The registration with the hub that first waited. Set under `more`'s lock, once; that hub may be gone.
    first: OnceLock<Registration>,
    /// Registrations with other hubs.
    more: Mutex<Vec<Registration>>,
    /// `more` is or was not empty.
    has_more: AtomicBool,
    /// Somebody closed it. Set under `more`'s lock.
    closed: AtomicBool,
    /// What has the descriptor; taken by [`into_inner`](Self::into_inner) alone.
    inner: Option<T>,
}

impl<T: AsFd> Source<T> {
    /// Makes `inner` waitable, and non-blocking.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for the standard streams (descriptors 0 to 2): other programs share them and expect them to block.
    /// What the system says when it does not know the descriptor.
    pub fn new(inner: T) -> io::Result<Source<T>> {
        if inner.as_fd().as_raw_fd() <= 2 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the standard streams are shared with other programs",
            ));
        }
        descriptor::set_nonblocking(&inner, true)?;
        Ok(Source::of_nonblocking(inner))
    }

    /// As [`new`](Self::new), for what is non-blocking already.
    pub(crate) const fn of_nonblocking(inner: T) -> Source<T> {
        Source {
            first: OnceLock::new(),
            more: Mutex::new(Vec::new()),
            has_more: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            inner: Some(inner),
        }
    }

    /// What has the descriptor.
    #[inline]
    pub fn get_ref(&self) -> &T {
        self.inner.as_ref().expect("there until into_inner")
    }

    /// Gives the descriptor back. It stays non-blocking.
    pub fn into_inner(mut self) -> T {
        self.deregister();
        self.inner.take().expect("there until into_inner")
    }

    /// Calls `operation` until it does not say `WouldBlock`. Parks the caller until a read may succeed in between.
    ///
    /// # Errors
    ///
    /// Those of `operation`; EBADF when the source was [closed](Self::close).
    pub fn read_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run_unknown(Direction::Read, "read", operation)
    }

    /// Calls `operation` until it does not say `WouldBlock`. Parks the caller until a write may succeed in between.
    ///
    /// # Errors
    ///
    /// As [`read_with`](Self::read_with).
    pub fn write_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run_unknown(Direction::Write, "write", operation)
    }

    /// Runs an operation of the user's, whose result proves nothing.
    fn run_unknown<R>(
        &self,
        direction: Direction,
        what: &'static str,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.run(Wait { direction, what }, || Ok(Limit::Never), operation, |_| false)
    }

    /// Ends every wait of a greenlet with EBADF, in whatever hub; later calls get it too. A thread without a hub that waits
    /// is not reached.
    ///
    /// The descriptor itself lives as long as the source does: nobody else gets its number under a call that still runs.
    pub fn close(&self) {
        let registrations: Vec<Registration> = {
            let more = self.lock();
            self.closed.store(true, Ordering::Release);
            self.first.get().into_iter().chain(&*more).copied().collect()
        };
        for registration in registrations {
            registration.end(self.get_ref().as_fd(), true);
        }
    }

    /// Calls `operation` until it does not say that it would block, waiting in between. See the top of the file.
    ///
    /// `limit` is asked once, when it would have to wait. `drained` says whether the result proves that there was no more
    /// to be had.
    #[inline]
    pub(crate) fn run<R>(
        &self,
        wait: Wait,
        limit: impl FnOnce() -> io::Result<Limit>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        park::spend();
        self.check_open()?;
        let (registration, may_try) = self.local(wait.direction);
        if may_try {
            match uninterrupted(|| operation(self.get_ref())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(registration) = registration {
                        registration.blocked(wait.direction);
                    }
                }
                Ok(result) => {
                    if let Some(registration) = registration.filter(|_| drained(&result)) {
                        registration.drained(wait.direction);
                    }
                    return Ok(result);
                }
                Err(error) => return Err(error),
            }
        }
        match limit()? {
            Limit::Now if may_try => Err(socket::would_block()),
            // What the hub knows may be older than what the caller knows: here the kernel has the last word.
            Limit::Now => uninterrupted(|| operation(self.get_ref())),
            limit => self.wait_and_try(wait, limit.deadline(), registration, operation, drained),
        }
    }

    /// The waiting half of [`run`](Self::run).
    fn wait_and_try<R>(
        &self,
        wait: Wait,
        deadline: Option<Instant>,
        registration: Option<Registration>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let direction = wait.direction;
        let registration = match registration {
            Some(registration) => Some(registration),
            None if source::has_hub() => Some(self.register(direction)?),
            None => None,
        };
        let mut turn = Turn::default();
        loop {
            let waited = match registration {
                Some(registration) => registration.wait(direction, deadline, wait.what, &mut turn),
                None => source::block_until_ready(self.get_ref().as_fd(), direction, deadline)?,
            };
            self.check_open()?;
            match waited {
                Waited::Ready => {}
                Waited::Again => continue,
                // What came in time is taken, though the hub has not heard of it yet.
                Waited::TimedOut => return uninterrupted(|| operation(self.get_ref())),
                Waited::Closed => return Err(socket::closed()),
                Waited::Refused => return Err(refused()),
            }
            match uninterrupted(|| operation(self.get_ref())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(registration) = registration {
                        registration.blocked(direction);
                    }
                }
                Ok(result) => {
                    turn.leave(drained(&result));
                    return Ok(result);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`run`](Self::run), where no event tells when an operation would not block any more: it is repeated after a
    /// pause, which grows.
    pub(crate) fn run_by_clock<R>(
        &self,
        limit: impl FnOnce() -> io::Result<Limit>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        /// The first pause.
        const SHORTEST: Duration = Duration::from_micros(200);
        /// No pause is longer.
        const LONGEST: Duration = Duration::from_millis(50);
        park::spend();
        let mut limit = Some(limit);
        let mut deadline = None;
        let mut pause = SHORTEST;
        loop {
            self.check_open()?;
            match uninterrupted(|| operation(self.get_ref())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(limit) = limit.take() {
                        match limit()? {
                            Limit::Now => return Err(error),
                            limit => deadline = limit.deadline(),
                        }
                    }
                    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                    if left == Some(Duration::ZERO) {
                        return Err(error);
                    }
                    if std::thread::panicking() && source::has_hub() {
                        return Err(refused());
                    }
                    sleep(left.map_or(pause, |left| left.min(pause)));
                    pause = (pause * 2).min(LONGEST);
                }
                result => return result,
            }
        }
    }

    /// The error of a closed source, if it is closed.
    #[inline]
    pub(crate) fn check_open(&self) -> io::Result<()> {
        if self.closed.load(Ordering::Acquire) {
            Err(socket::closed())
        } else {
            Ok(())
        }
    }

    /// The registration with the calling thread's hub, if there is one, and whether to try before waiting.
    #[inline(always)]
    fn local(&self, direction: Direction) -> (Option<Registration>, bool) {
        let Some(first) = self.first.get() else {
            return (None, true);
        };
        match first.may_try(direction) {
            Some(may_try) => (Some(*first), may_try),
            None => self.local_elsewhere(direction),
        }
    }

    /// [`local`](Self::local) when the first registration is with another hub.
    #[cold]
    fn local_elsewhere(&self, direction: Direction) -> (Option<Registration>, bool) {
        let find = |registration: &Registration| {
            let may_try = registration.may_try(direction)?;
            Some((Some(*registration), may_try))
        };
        if self.has_more.load(Ordering::Acquire)
            && let Some(found) = self.lock().iter().find_map(find)
        {
            return found;
        }
        (None, true)
    }

    /// Registers with the calling thread's hub. `blocked` is the direction that was found not ready.
    #[cold]
    fn register(&self, blocked: Direction) -> io::Result<Registration> {
        // The user's: not under the lock.
        let fd = self.get_ref().as_fd();
        let mut more = self.lock();
        self.check_open()?;
        let registration = Registration::new(fd, blocked)?;
        if self.first.set(registration).is_err() {
            more.retain(|other| !other.is_stale());
            more.push(registration);
            self.has_more.store(true, Ordering::Release);
        }
        Ok(registration)
    }

    /// Ends all registrations: the descriptor is about to go.
    fn deregister(&mut self) {
        let Some(inner) = &self.inner else { return };
        let more = self.more.get_mut().unwrap_or_else(PoisonError::into_inner);
        for registration in self.first.take().into_iter().chain(more.drain(..)) {
            registration.end(inner.as_fd(), false);
        }
    }

    /// Locks the registrations. No panic leaves them half changed.
    fn lock(&self) -> MutexGuard<'_, Vec<Registration>> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Repeats `operation` as long as signals interrupt it.
#[inline]
fn uninterrupted<R>(mut operation: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The error of a call in a destructor that runs while the thread unwinds.
#[cold]
fn refused() -> io::Error {
    io::Error::other("iora: the call would have to wait, and the thread is unwinding")
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(self.get_ref()).finish()
    }
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_closed_before_it_is_registered_is_not_waited_for() {
        let (reader, _writer) = io::pipe().expect("two descriptors");
        let source = Source::new(reader).expect("not a standard stream");
        let job = crate::spawn(move || {
            let wait = Wait {
                direction: Direction::Read,
                what: "read",
            };
            // It is asked between the first look whether the source is open and the registration.
            let limit = || {
                source.close();
                Ok(Limit::Never)
            };
            source.run(wait, limit, |_| Err::<(), _>(socket::would_block()), |()| false)
        });
        assert!(job.join_timeout(Duration::from_secs(60)), "nobody will wake it");
        let result = job.get().expect("did not panic");
        assert_eq!(
            result.map_err(|error| error.raw_os_error()),
            Err(socket::closed().raw_os_error())
        );
    }
}
