//! What all sockets have in common: a [`Source`] of socket2's socket, the user's mode and the time-outs.
//!
//! * The descriptor is non-blocking. Whether calls *wait* is the user's mode, kept here.
//! * Time-outs are kept in the kernel, as std keeps them, and here, where looking at them costs nothing. Those of a
//!   descriptor that came from outside are asked for when a call first has to wait.
//! * Clones share mode and time-outs, as duplicates of a descriptor do: the first [`Socket::try_clone`] makes the place
//!   that they share.
#![expect(unsafe_code, reason = "the kernel writes addresses where socket2 keeps them")]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockAddrStorage, Type};

use super::short::{Short, is_short, total};
use crate::hub::source::Direction;
use crate::io::{Limit, Source, Wait};
use crate::sys::{descriptor, socket};

/// Connections that may wait to be accepted: as many as the system allows.
pub(super) const BACKLOG: i32 = -1;

/// In [`Settings`]: no time-out.
const NEVER: u64 = 0;

/// In [`Settings`]: the kernel has to be asked.
const UNKNOWN: u64 = u64::MAX;

/// What the user has set.
struct Settings {
    /// Calls do not wait.
    nonblocking: AtomicBool,
    /// Nanoseconds that a read waits at most, or [`NEVER`], or [`UNKNOWN`].
    read_timeout: AtomicU64,
    /// The same for a write.
    write_timeout: AtomicU64,
}

impl Settings {
    /// Calls wait; `timeout` is [`NEVER`] or [`UNKNOWN`], in both directions.
    const fn new(nonblocking: bool, timeout: u64) -> Settings {
        Settings {
            nonblocking: AtomicBool::new(nonblocking),
            read_timeout: AtomicU64::new(timeout),
            write_timeout: AtomicU64::new(timeout),
        }
    }

    /// The time-out of one direction.
    fn timeout(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Read => &self.read_timeout,
            Direction::Write => &self.write_timeout,
        }
    }
}

/// See the top of the file.
pub(super) struct Socket {
    /// The descriptor.
    source: Source<socket2::Socket>,
    /// Used until there are clones.
    own: Settings,
    /// Used by all clones, once there are some.
    shared: OnceLock<Arc<Settings>>,
}

/// Wait for something to receive, called `what`.
const fn reading(what: &'static str) -> Wait {
    Wait {
        direction: Direction::Read,
        what,
    }
}

/// Wait for room to send.
const SENDING: Wait = Wait {
    direction: Direction::Write,
    what: "send",
};

impl Socket {
    /// A new socket that is neither bound nor connected.
    pub(super) fn new(domain: Domain, kind: Type) -> io::Result<Socket> {
        socket2::Socket::new(domain, kind.nonblocking(), None).map(Socket::of_new)
    }

    /// Two sockets of the machine, connected to each other.
    pub(super) fn pair(kind: Type) -> io::Result<(Socket, Socket)> {
        let (one, two) = socket2::Socket::pair(Domain::UNIX, kind.nonblocking(), None)?;
        Ok((Socket::of_new(one), Socket::of_new(two)))
    }

    /// One that this module has just made, non-blocking and without time-outs.
    pub(super) fn of_new(inner: socket2::Socket) -> Socket {
        Socket {
            source: Source::of_nonblocking(inner),
            own: Settings::new(false, NEVER),
            shared: OnceLock::new(),
        }
    }

    /// One that comes from outside. Its calls wait, whatever its mode was.
    pub(super) fn from_outside(fd: OwnedFd) -> Socket {
        // Fails for a descriptor that is none; whatever is done with it fails as well.
        let _ = descriptor::set_nonblocking(&fd, true);
        Socket {
            source: Source::of_nonblocking(socket2::Socket::from(fd)),
            own: Settings::new(false, UNKNOWN),
            shared: OnceLock::new(),
        }
    }

    /// Gives the descriptor away; it blocks again, unless the user had chosen otherwise.
    pub(super) fn into_outside(self) -> OwnedFd {
        let nonblocking = self.settings().nonblocking.load(Ordering::Relaxed);
        let fd = OwnedFd::from(self.source.into_inner());
        if !nonblocking {
            let _ = descriptor::set_nonblocking(&fd, false);
        }
        fd
    }

    /// A second descriptor of the same socket.
    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        self.source.check_open()?;
        let inner = self.options().try_clone()?;
        let shared = self.shared.get_or_init(|| {
            let nonblocking = self.own.nonblocking.load(Ordering::Relaxed);
            Arc::new(Settings::new(nonblocking, UNKNOWN))
        });
        let clone = Socket::of_new(inner);
        let _ = clone.shared.set(Arc::clone(shared));
        Ok(clone)
    }

    /// socket2's socket, for its options.
    pub(super) fn options(&self) -> &socket2::Socket {
        self.source.get_ref()
    }

    /// Wakes every waiter with EBADF, ends the connection, and has every later call fail with EBADF.
    pub(super) fn close(&self) {
        self.source.close();
        // Wakes waiters that have no hub. Fails on a socket that is not connected, which wakes them too.
        let _ = self.options().shutdown(Shutdown::Both);
    }

    /// Ends one or both directions of the connection.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.check_open()?;
        self.options().shutdown(how)
    }

    /// The settings that hold.
    fn settings(&self) -> &Settings {
        self.shared.get().map_or(&self.own, |shared| shared)
    }

    /// Chooses whether calls wait (`false`) or fail with `WouldBlock`.
    pub(super) fn set_nonblocking(&self, on: bool) {
        self.settings().nonblocking.store(on, Ordering::Relaxed);
    }

    /// Sets the time-out of one direction.
    pub(super) fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        self.source.check_open()?;
        // The kernel counts microseconds, and none of them would mean for ever.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_micros(1)));
        match direction {
            Direction::Read => self.options().set_read_timeout(timeout)?,
            Direction::Write => self.options().set_write_timeout(timeout)?,
        }
        self.settings()
            .timeout(direction)
            .store(nanoseconds(timeout), Ordering::Relaxed);
        Ok(())
    }

    /// The time-out of one direction, as the kernel has it.
    pub(super) fn timeout(&self, direction: Direction) -> io::Result<Option<Duration>> {
        match direction {
            Direction::Read => self.options().read_timeout(),
            Direction::Write => self.options().write_timeout(),
        }
    }

    /// How long a call may wait from now on.
    #[inline]
    pub(super) fn limit(&self, direction: Direction) -> io::Result<Limit> {
        let settings = self.settings();
        Ok(match settings.timeout(direction).load(Ordering::Relaxed) {
            _ if settings.nonblocking.load(Ordering::Relaxed) => Limit::Now,
            NEVER => Limit::Never,
            UNKNOWN => Limit::after(self.learn_timeout(direction)?),
            nanoseconds => Limit::after(Some(Duration::from_nanos(nanoseconds))),
        })
    }

    /// Asks the kernel for the time-out of one direction.
    #[cold]
    fn learn_timeout(&self, direction: Direction) -> io::Result<Option<Duration>> {
        let timeout = self.timeout(direction)?;
        let known = self.settings().timeout(direction);
        known.store(nanoseconds(timeout), Ordering::Relaxed);
        Ok(timeout)
    }

    /// Runs a call that waits as the user has set.
    #[inline]
    fn run<R>(
        &self,
        wait: Wait,
        operation: impl FnMut(&socket2::Socket) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        self.source.run(wait, || self.limit(wait.direction), operation, drained)
    }

    /// Runs a call that must not wait, because there is nothing to wait for: nothing to move.
    fn run_empty(&self, operation: impl FnOnce(&socket2::Socket) -> io::Result<usize>) -> io::Result<usize> {
        self.source.check_open()?;
        match operation(self.options()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Reads from a stream. Where `short` says so, less than what was asked for proves that there was no more. Into no room it
    /// waits all the same, as recv(2) does.
    #[inline]
    pub(super) fn read(&self, buffer: &mut [u8], short: Short) -> io::Result<usize> {
        let room = buffer.len();
        if room == 0 && short == Short::Proves {
            return self.receive_nothing("recv");
        }
        self.run(
            reading("recv"),
            |socket| socket::receive(socket, buffer, 0),
            |count| short == Short::Proves && is_short(*count, room),
        )
    }

    /// As [`read`](Self::read), into several buffers. Into no room it never waits, as readv(2).
    pub(super) fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>], short: Short) -> io::Result<usize> {
        let room = total(buffers);
        if room == 0 {
            return self.source.check_open().map(|()| 0);
        }
        self.run(
            reading("recv"),
            |socket| socket::receive_vectored(socket, buffers),
            |count| short == Short::Proves && is_short(*count, room),
        )
    }

    /// Writes to a stream, where less than what was given proves that there is no more room.
    #[inline]
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return self.run_empty(|socket| socket::send(socket, bytes));
        }
        self.run(
            SENDING,
            |socket| socket::send(socket, bytes),
            |count| is_short(*count, bytes.len()),
        )
    }

    /// As [`write`](Self::write), from several buffers.
    pub(super) fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered = total(buffers);
        if offered == 0 {
            return self.run_empty(|socket| socket::send_vectored(socket, buffers));
        }
        self.run(
            SENDING,
            |socket| socket::send_vectored(socket, buffers),
            |count| is_short(*count, offered),
        )
    }

    /// Waits until there is something to receive from a stream of TCP's, and leaves it there. In vain too it is no error: such
    /// a stream's recv(2) looks once more only if there is room.
    #[cold]
    pub(super) fn receive_nothing(&self, what: &'static str) -> io::Result<usize> {
        let result = self.run(reading(what), |socket| socket::receive(socket, &mut [], 0), |_| false);
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.waits() => Ok(0),
            result => result,
        }
    }

    /// Looks at what a read would give and leaves it there.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.run(
            reading("peek"),
            |socket| socket::receive(socket, buffer, socket::PEEK),
            |_| false,
        )
    }

    /// Receives one datagram.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.run(reading("recv"), |socket| socket::receive(socket, buffer, 0), |_| false)
    }

    /// Receives one datagram and its sender's address; with [`socket::PEEK`] it stays.
    pub(super) fn receive_from(&self, buffer: &mut [u8], flags: i32) -> io::Result<(usize, SockAddr)> {
        self.run(reading("recv"), |socket| receive_from(socket, buffer, flags), |_| false)
    }

    /// Whether calls wait, by the user's choice.
    pub(super) fn waits(&self) -> bool {
        !self.settings().nonblocking.load(Ordering::Relaxed)
    }

    /// Sends one datagram to the peer.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.run(SENDING, |socket| socket::send(socket, bytes), |_| false)
    }

    /// Sends one datagram.
    pub(super) fn send_to(&self, bytes: &[u8], address: &SockAddr) -> io::Result<usize> {
        self.run(
            SENDING,
            |socket| socket.send_to_with_flags(bytes, address, socket::SEND_FLAGS),
            |_| false,
        )
    }

    /// As [`send_to`](Self::send_to), where no event tells when the receiver has room.
    pub(super) fn send_to_by_clock(&self, bytes: &[u8], address: &SockAddr) -> io::Result<usize> {
        self.source.run_by_clock(
            || self.limit(Direction::Write),
            |socket| socket.send_to_with_flags(bytes, address, socket::SEND_FLAGS),
        )
    }

    /// Runs a call of another kind on the descriptor. `drained` says whether its result proves that there was no more.
    pub(super) fn run_on<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let wait = match direction {
            Direction::Read => reading("recv"),
            Direction::Write => SENDING,
        };
        self.run(wait, |socket| operation(socket.as_fd()), drained)
    }

    /// Accepts a connection. One that was aborted meanwhile does not count.
    pub(super) fn accept(&self) -> io::Result<(Socket, SockAddr)> {
        let accept = |socket: &socket2::Socket| loop {
            let fill = |address: *mut SockAddrStorage, length| {
                // SAFETY: both pointers are those of socket2's storage, which any address fits.
                unsafe { socket::accept(socket, address.cast(), length) }
            };
            // SAFETY: the closure stores an address and its length, or nothing.
            let result = unsafe { SockAddr::try_init(fill) };
            match result {
                Err(error) if socket::is_aborted(&error) => {}
                result => return result,
            }
        };
        let (fd, address) = self.run(reading("accept"), accept, |_| false)?;
        let accepted = Socket::of_new(socket2::Socket::from(fd));
        // A connection inherits the listener's time-outs.
        for direction in [Direction::Read, Direction::Write] {
            if self.settings().timeout(direction).load(Ordering::Relaxed) != NEVER {
                accepted.own.timeout(direction).store(UNKNOWN, Ordering::Relaxed);
            }
        }
        Ok((accepted, address))
    }

    /// Connects, waiting until `limit`; `None` is the user's own write time-out.
    pub(super) fn connect(&self, address: &SockAddr, limit: Option<Limit>) -> io::Result<()> {
        let wait = Wait {
            direction: Direction::Write,
            what: "connect",
        };
        // Asked again, connect(2) tells how the connection comes on.
        let connect = |socket: &socket2::Socket| match socket.connect(address) {
            Err(error) if socket::is_connected(&error) => Ok(()),
            Err(error) if socket::is_in_progress(&error) => Err(socket::would_block()),
            result => result,
        };
        self.source.run(
            wait,
            || limit.map_or_else(|| self.limit(Direction::Write), Ok),
            connect,
            |()| false,
        )
    }

    /// As [`connect`](Self::connect), where no event tells when the listener has room.
    pub(super) fn connect_by_clock(&self, address: &SockAddr) -> io::Result<()> {
        self.source
            .run_by_clock(|| self.limit(Direction::Write), |socket| socket.connect(address))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

/// One try of [`Socket::receive_from`].
pub(super) fn receive_from(socket: impl AsFd, buffer: &mut [u8], flags: i32) -> io::Result<(usize, SockAddr)> {
    let fill = |address: *mut SockAddrStorage, length| {
        // SAFETY: both pointers are those of socket2's storage, which any address fits.
        unsafe { socket::receive_from(socket, buffer, flags, address.cast(), length) }
    };
    // SAFETY: the closure stores an address and its length, or nothing.
    unsafe { SockAddr::try_init(fill) }
}

/// A time-out as [`Settings`] keep it; one that does not fit is as good as none.
fn nanoseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(NEVER, |timeout| {
        u64::try_from(timeout.as_nanos())
            .ok()
            .filter(|nanoseconds| *nanoseconds != UNKNOWN)
            .unwrap_or(NEVER)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_beyond_counting_is_none() {
        assert_eq!(nanoseconds(Some(Duration::MAX)), NEVER);
        assert_eq!(nanoseconds(Some(Duration::from_nanos(UNKNOWN))), NEVER);
        assert_eq!(nanoseconds(Some(Duration::from_micros(3))), 3000);
    }
}
