//! The only user of mio: readiness of descriptors, a waker for other threads, and a clock alarm.
//!
//! * Every descriptor is registered once, edge-triggered, for both directions; after that no `epoll_ctl`.
//! * epoll's own timeout counts whole milliseconds. The alarm clock's timer descriptors are in the same epoll set instead.
//! * After `fork` the child shares the parent's epoll set: it must not touch it. See [`process::forked`].

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::alarm_clock::{AlarmClock, BELLS};
use crate::sys::process;

/// Readiness events taken from the kernel in one system call. Few, because the kernel looks at each descriptor when it
/// reports it: whoever is woken then finds it in the processor's cache still.
const EVENTS: usize = 64;

/// Token of the waker's descriptor; no source's token is as large.
const WAKER: Token = Token(usize::MAX);

/// Tokens of the alarm clock's descriptors.
const BELL: [Token; BELLS] = [Token(usize::MAX - 1), Token(usize::MAX - 2)];

/// What is asked of every descriptor. mio asks for edges.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);

/// What an event says of a descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    /// A read will not block.
    pub(super) readable: bool,
    /// A write will not block.
    pub(super) writable: bool,
    /// No read will block ever again: the peer has ended its side, or there is an error.
    pub(super) read_closed: bool,
    /// There is a mark of urgent data in the stream, at which a read stops though there is more.
    pub(super) urgent: bool,
}

/// The epoll set of one hub.
pub(super) struct Poller {
    /// mio's epoll set.
    poll: Poll,
    /// Filled by [`poll`](Self::poll).
    events: Events,
    /// Ends a [`poll`](Self::poll) when it rings.
    pub(super) clock: AlarmClock,
}

/// Wakes a poller from any thread.
pub(super) struct Waker(mio::Waker);

impl Waker {
    /// Makes the poller's present or next [`Poller::poll`] return.
    pub(super) fn wake(&self) {
        // It is called with locks held, and the write is one that a hook sees: nobody else may run before it is done.
        #[cfg(feature = "monkey")]
        let _inside = super::hook_state::Inside::enter();
        // The only errors of a write to an eventfd are bugs of ours (a closed descriptor).
        if let Err(error) = self.0.wake() {
            debug_assert!(false, "waking a hub failed: {error}");
        }
    }
}

impl Poller {
    /// An empty set and its waker.
    pub(super) fn new() -> io::Result<(Poller, Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let clock = AlarmClock::new()?;
        for (bell, token) in clock.descriptors().iter().zip(BELL) {
            poll.registry()
                .register(&mut SourceFd(&bell.as_raw_fd()), token, Interest::READABLE)?;
        }
        let poller = Poller {
            poll,
            events: Events::with_capacity(EVENTS),
            clock,
        };
        Ok((poller, Waker(waker)))
    }

    /// Adds a descriptor. Its present readiness comes as an event of the next poll.
    ///
    /// `AlreadyExists` if the kernel knows it. It keeps an entry for a number as long as what that stood for is open, by a
    /// duplicate say.
    pub(super) fn register(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let token = Token(token as usize);
        self.poll
            .registry()
            .register(&mut SourceFd(&fd.as_raw_fd()), token, INTEREST)
    }

    /// As [`register`](Self::register), where nobody waits for an entry that the kernel may have: it is made anew.
    pub(super) fn register_anew(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        match self.register(fd, token) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let token = Token(token as usize);
                self.poll
                    .registry()
                    .reregister(&mut SourceFd(&fd.as_raw_fd()), token, INTEREST)
            }
            result => result,
        }
    }

    /// Takes a descriptor out: needed while a duplicate of it may be alive.
    pub(super) fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()))
    }

    /// Waits for events, or until the alarm clock rings, and hands each event to `on_event`. Never returns early because of a
    /// signal that was handled, may return early for no reason.
    pub(super) fn poll(&mut self, on_event: impl FnMut(u64, Readiness)) -> io::Result<()> {
        self.wait(None, on_event)
    }

    /// Hands the events that are there now to `on_event`.
    pub(super) fn poll_now(&mut self, on_event: impl FnMut(u64, Readiness)) -> io::Result<()> {
        self.wait(Some(Duration::ZERO), on_event)
    }

    /// One call of the kernel.
    fn wait(&mut self, timeout: Option<Duration>, mut on_event: impl FnMut(u64, Readiness)) -> io::Result<()> {
        if process::forked() {
            return Err(io::Error::other(
                "this process is the fork of the one whose hub it is; a fork must exec or exit",
            ));
        }
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            match event.token() {
                WAKER => {}
                token if let Some(bell) = BELL.iter().position(|bell| *bell == token) => self.clock.rang(bell),
                Token(token) => {
                    let read_closed = event.is_read_closed() || event.is_error();
                    on_event(
                        token as u64,
                        Readiness {
                            readable: event.is_readable() || read_closed,
                            writable: event.is_writable() || event.is_write_closed(),
                            read_closed,
                            urgent: event.is_priority(),
                        },
                    );
                }
            }
        }
        Ok(())
    }
}
