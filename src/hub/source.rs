//! Descriptors registered with a hub: what is known of their readiness, and who waits for it.
//!
//! A source is registered once, edge-triggered, when an operation on it first would block. From then on its readiness is
//! cached here: an event sets it, and whoever finds the descriptor drained clears it. Because events come at edges, a
//! cleared direction becomes ready again only by an event, and the kernel sends one whenever something changes. Events
//! are taken by the thread that clears, so one that is older than what cleared cannot undo it, and none gets lost.
//!
//! There are two proofs that a descriptor drained. A *short* read or write saves the call that would fail; but a stream
//! that has ended, or has a mark of urgent data in it, comes up short and is ready still: events say so, and then this
//! proof does not count. An operation that *would block* is beyond doubt.
//!
//! Readers and writers wait separately. Several waiters of one direction stand in a queue; an event wakes the first,
//! and each wakes the next when it leaves and the direction is still ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Instant;

use super::core::Hub;
use super::current;
use super::park::{self, WakeReason};
use super::poller::Readiness;
use super::remote::{Message, Remote};
pub(crate) use super::sources::Direction;
use super::sources::{Half, SourceState};
use super::task::Reason;
use crate::collections::slab::Key;
use crate::sys::{poll, process};

/// How a wait for a descriptor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Try the operation again: it may succeed now.
    Ready,
    /// Wait again: it was nothing, or not for the caller.
    Again,
    /// The deadline passed.
    TimedOut,
    /// The source was closed.
    Closed,
    /// The thread is unwinding and must not switch.
    Refused,
}

/// A registration of a descriptor with one hub.
#[derive(Clone, Copy)]
pub(crate) struct Registration {
    /// The hub's thread.
    remote: &'static Remote,
    /// The source in that hub's table.
    key: Key,
}

// It is two names. What they stand for no panic of a user's leaves half changed: the hub runs none of the user's code meanwhile.
impl UnwindSafe for Registration {}
impl RefUnwindSafe for Registration {}

/// Whether the calling thread has a hub that waits for descriptors. If not, use [`block_until_ready`].
#[inline]
pub(crate) fn has_hub() -> bool {
    current::hub().is_some()
}

/// Blocks a thread that has no hub until `fd` is ready.
pub(crate) fn block_until_ready(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
) -> io::Result<Waited> {
    let ready = match direction {
        Direction::Read => poll::wait_readable(fd, deadline),
        Direction::Write => poll::wait_writable(fd, deadline),
    }?;
    Ok(if ready { Waited::Ready } else { Waited::TimedOut })
}

impl Registration {
    /// Registers `fd` with the calling thread's hub. `blocked` is the direction that was just found not ready.
    pub(crate) fn new(fd: BorrowedFd<'_>, blocked: Direction) -> io::Result<Registration> {
        let hub = current::hub().ok_or(io::ErrorKind::Unsupported)?;
        if process::forked() {
            return Err(io::Error::other(
                "iora: the hub of a process cannot be used in its fork",
            ));
        }
        let mut state = SourceState::default();
        state.read.ready = blocked != Direction::Read;
        state.write.ready = blocked != Direction::Write;
        let key = hub.sources.borrow_mut().insert(state);
        if let Err(error) = hub.register_source(fd, key) {
            hub.sources.borrow_mut().remove(key);
            return Err(error);
        }
        Ok(Registration {
            remote: hub.remote,
            key,
        })
    }

    /// Whether it was with a hub that the calling thread had before the present one.
    pub(crate) fn is_stale(&self) -> bool {
        let mine = current::hub().filter(|hub| std::ptr::eq(hub.remote, self.remote));
        mine.is_some_and(|hub| !hub.sources.borrow().contains(self.key))
    }

    /// Whether an operation should be tried before waiting: the direction may be ready, and nobody stands in line.
    /// `None` when the registration is not (or no longer) with the calling thread's hub, or when a signal handler asks in the
    /// middle of the hub's work.
    #[inline]
    pub(crate) fn may_try(&self, direction: Direction) -> Option<bool> {
        let hub = current::hub().filter(|hub| std::ptr::eq(hub.remote, self.remote))?;
        let mut sources = hub.sources.try_borrow_mut().ok()?;
        let state = sources.get_mut(self.key)?;
        let ended = state.ended;
        let half = state.half(direction);
        Some(ended || (half.ready && half.waiters.is_empty()))
    }

    /// The result of an operation proves that there was no more to be had: the next waits for an event first.
    #[inline]
    pub(crate) fn drained(&self, direction: Direction) {
        self.with_half(direction, Half::drained);
    }

    /// An operation would have blocked: the next waits for an event first.
    #[inline]
    pub(crate) fn blocked(&self, direction: Direction) {
        self.with_half(direction, |half| {
            half.ready = false;
            half.closed = false;
        });
    }

    /// Calls `f` with one direction of the source, if it is registered with the calling thread's hub.
    #[inline]
    fn with_half(&self, direction: Direction, f: impl FnOnce(&mut Half)) {
        let Some(hub) = current::hub() else { return };
        if !std::ptr::eq(hub.remote, self.remote) {
            return;
        }
        // Borrowed already: by what a signal handler interrupted.
        let Ok(mut sources) = hub.sources.try_borrow_mut() else {
            return;
        };
        if let Some(state) = sources.get_mut(self.key) {
            f(state.half(direction));
        }
    }

    /// Parks the caller until there is news of the direction. It stays in line until the turn is left or dropped.
    ///
    /// There is no loop in here because of what that would have to keep meanwhile: of a greenlet that waits, each cache line of
    /// frames is cold when it goes on.
    pub(crate) fn wait(
        &self,
        direction: Direction,
        deadline: Option<Instant>,
        what: &'static str,
        turn: &mut Turn,
    ) -> Waited {
        let key = self.key;
        let Some(hub) = current::hub() else {
            return Waited::Refused;
        };
        let me = hub.running.get().unwrap_or(hub.root);
        if turn.place.as_ref().is_some_and(|place| place.me != me) {
            // An operation in a generator has changed greenlets.
            *turn = Turn::default();
        }
        if turn.place.is_none() && hub.stand_in_line(key, direction, me) {
            turn.place = Some(Place {
                source: key,
                direction,
                me,
            });
        }
        match hub.turn_of_source(key, direction, me) {
            Waited::Again => {}
            waited => return waited,
        }
        match park::park(deadline, what) {
            WakeReason::Unparked => {}
            WakeReason::TimedOut => return Waited::TimedOut,
            WakeReason::Refused => return Waited::Refused,
        }
        match current::hub() {
            Some(hub) => hub.turn_of_source(key, direction, me),
            None => Waited::Refused,
        }
    }

    /// Ends the registration: the descriptor is about to be closed. With `closed`, waiters are told.
    pub(crate) fn end(&self, fd: BorrowedFd<'_>, closed: bool) {
        if process::forked() {
            return;
        }
        match current::hub().filter(|hub| std::ptr::eq(hub.remote, self.remote)) {
            Some(hub) => {
                hub.deregister_source(fd, self.key);
                hub.end_source(self.key, closed);
            }
            // Its events find nobody once the message is read. If no duplicate lives, closing takes it out of the set.
            None => self.remote.post(Message::EndSource(self.key, closed)),
        }
    }
}

/// A place in a source's queue; leaves it when dropped, and wakes the next if there is something for it.
#[derive(Default)]
pub(crate) struct Turn {
    /// Where the caller stands in line.
    place: Option<Place>,
}

/// A place in line.
struct Place {
    /// The source in the table of the calling thread's hub.
    source: Key,
    /// Who stands there.
    me: Key,
    /// In which of its lines.
    direction: Direction,
}

impl Turn {
    /// Leaves. With `drained`, the operation that was waited for proves that there was no more to be had.
    #[inline]
    pub(crate) fn leave(mut self, drained: bool) {
        self.leave_place(drained);
    }

    /// Leaves, if it stands in line.
    #[inline]
    fn leave_place(&mut self, drained: bool) {
        if let Some(Place { source, me, direction }) = self.place.take()
            && let Some(hub) = current::hub()
        {
            hub.leave_line(source, direction, me, drained);
        }
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        self.leave_place(false);
    }
}

impl Hub {
    /// Puts a task into a source's line; `false` if there is no such source.
    #[inline(always)]
    fn stand_in_line(&self, source: Key, direction: Direction, me: Key) -> bool {
        let mut sources = self.sources.borrow_mut();
        let Some(state) = sources.get_mut(source).filter(|state| !state.ended) else {
            return false;
        };
        state.half(direction).waiters.push_back(me);
        self.source_waiters.set(self.source_waiters.get() + 1);
        true
    }

    /// Whether the turn of a task that stands in a source's line has come.
    #[inline(always)]
    fn turn_of_source(&self, source: Key, direction: Direction, me: Key) -> Waited {
        match self.sources.borrow_mut().get_mut(source) {
            Some(state) if !state.ended => {
                let half = state.half(direction);
                if half.ready && half.waiters.front() == Some(me) {
                    Waited::Ready
                } else {
                    Waited::Again
                }
            }
            _ => Waited::Closed,
        }
    }

    /// Takes a task out of a source's line.
    #[inline(never)]
    fn leave_line(&self, source: Key, direction: Direction, me: Key, drained: bool) {
        let next = {
            let mut sources = self.sources.borrow_mut();
            // Not there: an operation has ended the hub in which it waited.
            let Some(state) = sources.get_mut(source) else {
                return;
            };
            self.source_waiters.set(self.source_waiters.get() - 1);
            let half = state.half(direction);
            if drained {
                half.drained();
            }
            half.waiters.remove(me);
            if half.ready { half.waiters.front() } else { None }
        };
        if let Some(next) = next {
            self.wake(next, Reason::Unparked);
        }
    }

    /// An event of the poller.
    #[inline]
    pub(super) fn source_ready(&self, key: Key, readiness: Readiness) {
        let (reader, writer) = {
            let mut sources = self.sources.borrow_mut();
            // An event of a source that was dropped meanwhile finds nothing.
            let Some(state) = sources.get_mut(key) else { return };
            state.read.ready |= readiness.readable;
            state.read.closed |= readiness.read_closed;
            state.read.urgent |= readiness.urgent;
            state.write.ready |= readiness.writable;
            (
                state.read.waiters.front().filter(|_| readiness.readable),
                state.write.waiters.front().filter(|_| readiness.writable),
            )
        };
        if let Some(reader) = reader {
            self.wake(reader, Reason::Unparked);
        }
        if let Some(writer) = writer {
            self.wake(writer, Reason::Unparked);
        }
    }

    /// Adds a source's descriptor to the epoll set. If the kernel knows it already, another source has it, or had: then this one
    /// waits by a duplicate of its own, because an entry has events for one.
    fn register_source(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        let result = self.poller.borrow().register(fd, key.to_bits());
        match result {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.register_duplicate(fd, key),
            result => result,
        }
    }

    /// [`register_source`](Self::register_source) for a descriptor that the kernel knows.
    #[cold]
    fn register_duplicate(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        let duplicate = fd.try_clone_to_owned()?;
        // What the kernel knows of a number that was free stands for nobody any more.
        self.poller.borrow().register_anew(duplicate.as_fd(), key.to_bits())?;
        if let Some(state) = self.sources.borrow_mut().get_mut(key) {
            state.duplicate = Some(duplicate);
        }
        Ok(())
    }

    /// Takes a source's descriptor out of the epoll set. Explicitly, because a duplicate may live on.
    fn deregister_source(&self, fd: BorrowedFd<'_>, key: Key) {
        let is_own = match self.sources.borrow().get(key) {
            // One that has ended is out of it, and its number may be another source's.
            Some(state) => state.duplicate.is_none() && !state.ended,
            // It was in the set of a hub that is gone. In this one the descriptor may be another source's.
            None => false,
        };
        if is_own {
            // Fails if the kernel has forgotten it.
            let _ = self.poller.borrow().deregister(fd);
        }
    }

    /// A source was dropped, or closed under whoever waits for it.
    pub(super) fn end_source(&self, key: Key, closed: bool) {
        if !closed {
            let state = self.sources.borrow_mut().remove(key);
            if let Some(duplicate) = state.and_then(|state| state.duplicate) {
                let _ = self.poller.borrow().deregister(duplicate.as_fd());
            }
            return;
        }
        let waiters: Vec<Key> = {
            let mut sources = self.sources.borrow_mut();
            let Some(state) = sources.get_mut(key) else { return };
            state.ended = true;
            state.read.waiters.iter().chain(state.write.waiters.iter()).collect()
        };
        for waiter in waiters {
            self.wake(waiter, Reason::Unparked);
        }
    }
}
