//! Waiting in a hook: one call that blocks, made one that parks.
//!
//! The call is tried without blocking. If it would block, and this is a place where the caller may be parked, and the
//! descriptor is not one that the user made non-blocking, the caller waits for the hub to say that it is worth another
//! try. The event is never trusted: after each wake-up the call itself is what counts.
#![expect(unsafe_code, reason = "borrows descriptors by number")]

use std::ffi::c_int;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use super::frame::{error, system};
use super::table::{self, Followed, Kind, NONBLOCKING, Slot, TIMED};
use crate::hub::hooks;
use crate::hub::park::{self, WakeReason};
pub(super) use crate::hub::source::Direction;
use crate::hub::source::{Registration, Turn, Waited};
use crate::sys::errno;

/// What to do after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again.
    Retry,
    /// Make the call as it is, blocking the thread if need be.
    Block,
    /// Return this error.
    Fail(c_int),
}

/// The time between two looks at what gives no events.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// The longest such time.
pub(super) const LONG_PAUSE: Duration = Duration::from_millis(20);

/// A blocking call on a descriptor.
pub(super) struct Wait {
    /// On which.
    fd: RawFd,
    /// What it waits for.
    direction: Direction,
    /// Its name.
    what: &'static str,
    /// Place in the line of those who wait.
    turn: Turn,
    /// Its time limit, once it has waited.
    begun: Option<Option<Instant>>,
    /// The error of a call whose time is up.
    expired: c_int,
    /// Its time is up: after one more try it fails.
    is_over: bool,
    /// The call has been tried since it last waited: that it would block is certain.
    tried: bool,
}

impl Wait {
    /// Not waiting yet.
    #[inline]
    pub(super) fn new(fd: RawFd, direction: Direction, what: &'static str) -> Wait {
        Wait {
            fd,
            direction,
            what,
            turn: Turn::default(),
            begun: None,
            expired: libc::EAGAIN,
            is_over: false,
            tried: true,
        }
    }

    /// One that waits before the first try, since that [is in vain](is_in_vain): the direction may be ready all the same, for those
    /// who stand in line.
    #[inline]
    pub(super) fn before_trying(mut self) -> Wait {
        self.tried = false;
        self
    }

    /// One whose time limit is given by the call, not by the socket. At its end it fails with `ETIMEDOUT`.
    pub(super) fn until(fd: RawFd, what: &'static str, deadline: Option<Instant>) -> Wait {
        let mut wait = Wait::new(fd, Direction::Read, what);
        wait.begun = Some(deadline);
        wait.expired = libc::ETIMEDOUT;
        wait
    }

    /// Fails with this when the socket's time limit is over.
    pub(super) fn expiring_with(mut self, number: c_int) -> Wait {
        self.expired = number;
        self
    }

    /// The call would block: waits until it is worth another try.
    pub(super) fn wait(&mut self) -> Next {
        // A call that succeeds after all leaves it as it was.
        let _saved = errno::Saved::new();
        if self.is_over {
            return Next::Fail(self.expired);
        }
        // std holds a lock around its calls on these.
        let is_standard = (0..=2).contains(&self.fd) && self.begun.is_none();
        if is_standard || !hooks::may_wait() {
            return Next::Block;
        }
        let Some(slot) = table::slot(self.fd) else {
            return Next::Block;
        };
        let deadline = match self.begun {
            Some(deadline) => deadline,
            None => {
                let options = slot.options(self.fd);
                if options & NONBLOCKING != 0 {
                    return Next::Fail(libc::EAGAIN);
                }
                let deadline = if options & TIMED != 0 { self.limit() } else { None };
                *self.begun.insert(deadline)
            }
        };
        if slot.kind(self.fd) == Kind::OtherSocket {
            match self.direction {
                // A Unix datagram's receiver is full, which its sender's events know nothing of.
                Direction::Write if has_events(self.fd, libc::POLLOUT) => return self.look_again_later(deadline),
                // No datagram comes any more, which only a call that may block is told; it does not block.
                Direction::Read if has_events(self.fd, libc::POLLRDHUP) => return Next::Block,
                _ => {}
            }
        }
        match self.registration(slot) {
            Ok(registration) => self.wait_for(registration, deadline),
            Err(libc::EPERM) => Next::Block,
            Err(libc::EBADF) => Next::Fail(libc::EBADF),
            Err(_) => self.look_again_later(deadline),
        }
    }

    /// When the socket's own time limit is over.
    fn limit(&self) -> Option<Instant> {
        let option = match self.direction {
            Direction::Read => libc::SO_RCVTIMEO,
            Direction::Write => libc::SO_SNDTIMEO,
        };
        table::limit_of(self.fd, option).and_then(|limit| Instant::now().checked_add(limit))
    }

    /// The registration with this thread's hub, in which the direction is not ready as far as that is certain now.
    fn registration(&mut self, slot: &Slot) -> Result<Registration, c_int> {
        let tried = std::mem::replace(&mut self.tried, true);
        if let Some(registration) = slot.registration() {
            if tried {
                registration.blocked(self.direction);
            }
            return Ok(registration);
        }
        slot.end_orphans(self.fd);
        // SAFETY: the caller of the hook says that it is open; if it is not, registering fails.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        match Registration::new(fd, self.direction) {
            Ok(registration) => {
                slot.add(registration);
                Ok(registration)
            }
            Err(error) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// Parks until an event.
    fn wait_for(&mut self, registration: Registration, deadline: Option<Instant>) -> Next {
        let (direction, what) = (self.direction, self.what);
        loop {
            let turn = &mut self.turn;
            return match hooks::quietly(|| registration.wait(direction, deadline, what, turn)) {
                Some(Waited::Ready) => Next::Retry,
                Some(Waited::Again) => continue,
                // Who waits until a time asks by himself what came until then.
                Some(Waited::TimedOut) if self.expired == libc::ETIMEDOUT => Next::Fail(self.expired),
                // Closed since the time was up.
                Some(Waited::TimedOut) if registration.may_try(direction).is_none() => Next::Fail(libc::EBADF),
                // What came in time is taken, though the hub has not heard of it yet.
                Some(Waited::TimedOut) => {
                    self.is_over = true;
                    Next::Retry
                }
                Some(Waited::Closed) => Next::Fail(libc::EBADF),
                Some(Waited::Refused) => Next::Block,
                None => Next::Fail(libc::ECANCELED),
            };
        }
    }

    /// For what gives no event: one that is registered with the hub's epoll set by somebody else, for one.
    #[cold]
    fn look_again_later(&mut self, deadline: Option<Instant>) -> Next {
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return Next::Fail(self.expired);
        }
        pause_beside(&[Followed::new(self.fd)], PAUSE, deadline, self.what)
    }
}

/// Parks for a while, for want of an event of these descriptors.
pub(super) fn pause_beside(
    followed: &[Followed],
    length: Duration,
    deadline: Option<Instant>,
    what: &'static str,
) -> Next {
    match pause(length, deadline, what) {
        Next::Retry if followed.iter().any(Followed::is_closed) => Next::Fail(libc::EBADF),
        next => next,
    }
}

/// Parks for a while, for want of an event.
fn pause(length: Duration, deadline: Option<Instant>, what: &'static str) -> Next {
    let until = Instant::now() + length;
    let until = deadline.map_or(until, |at| at.min(until));
    match hooks::quietly(|| park::park(Some(until), what)) {
        Some(WakeReason::Refused) => Next::Block,
        Some(_) => Next::Retry,
        None => Next::Fail(libc::ECANCELED),
    }
}

/// Calls `look`, at `fd` if there is one, until it finds something, in ever longer pauses. `None` stands for: block instead.
pub(super) fn look_now_and_then(
    fd: Option<RawFd>,
    what: &'static str,
    mut look: impl FnMut() -> Option<isize>,
) -> Option<isize> {
    let mut length = PAUSE;
    let followed: &[Followed] = match fd {
        Some(fd) => &[Followed::new(fd)],
        None => &[],
    };
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if !hooks::may_wait() {
            return None;
        }
        match pause_beside(followed, length, None, what) {
            Next::Retry => length = (length * 2).min(LONG_PAUSE),
            Next::Block => return None,
            Next::Fail(number) => return Some(error(number)),
        }
    }
}

/// Whether the direction is known not to be ready, so that an attempt would be in vain. Never so of a descriptor that the
/// user made non-blocking: its answer is the kernel's.
#[inline]
pub(super) fn is_in_vain(fd: RawFd, direction: Direction) -> bool {
    let Some(slot) = table::find(fd) else { return false };
    slot.glance()
        .is_some_and(|registration| registration.may_try(direction) == Some(false))
        && slot.options(fd) & NONBLOCKING == 0
}

/// A short transfer showed that there is no more for now.
#[inline]
pub(super) fn drained(fd: RawFd, direction: Direction) {
    if let Some(registration) = table::find(fd).and_then(Slot::glance) {
        registration.drained(direction);
    }
}

/// Makes one call: `call(true)` must not block, `call(false)` may.
#[inline]
pub(super) fn attempt(fd: RawFd, direction: Direction, what: &'static str, call: impl Fn(bool) -> isize) -> isize {
    let result = call(true);
    if result == error(libc::EAGAIN) {
        return attempt_again(Wait::new(fd, direction, what), call);
    }
    hooks::spend();
    result
}

/// The rest of [`attempt`], when the first has failed.
#[inline(never)]
pub(super) fn attempt_again(mut wait: Wait, call: impl Fn(bool) -> isize) -> isize {
    loop {
        match wait.wait() {
            Next::Retry => {}
            Next::Block => return call(false),
            Next::Fail(number) => return error(number),
        }
        let result = call(true);
        if result != error(libc::EAGAIN) {
            return result;
        }
    }
}

/// Whether `fd` has any of these events now.
pub(super) fn has_events(fd: RawFd, events: libc::c_short) -> bool {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    system!(SYS_ppoll, &raw mut entry, 1, &raw const at_once, 0, 8) != 0
}

/// Parks for a moment, if the caller may be parked.
pub(super) fn pause_briefly(followed: &[Followed], what: &'static str) -> Next {
    if hooks::may_wait() {
        pause_beside(followed, PAUSE, None, what)
    } else {
        Next::Block
    }
}
