//! Hooks of `connect` and `accept`.
//!
//! No flag makes a single `connect` non-blocking, so the descriptor is made so for the length of that one system call, and
//! is as it was before the caller is parked. `accept` cannot be tried at all without changing what other processes
//! see of the listener: it is polled first, and of the threads of this process only one at a time polls and accepts.
#![expect(unsafe_code, reason = "defines functions of libc, and reads their arguments")]

use std::ffi::c_int;

use libc::{sockaddr, socklen_t};

use super::frame::{SOCKET, answer_int, error, is_on, system};
use super::table::{self, Kind, NONBLOCKING};
use super::wait::{self, Direction, Wait};
use crate::hub::hooks;
use crate::primitive::ShortLock;

/// connect(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let real = || answer_int(system!(SYS_connect, fd, address, length));
    if !is_on(SOCKET) || !hooks::may_wait() {
        return real();
    }
    let Some(slot) = table::slot(fd) else { return real() };
    // Datagram sockets do not wait for anybody.
    if slot.kind(fd) == Kind::File || slot.options(fd) & NONBLOCKING != 0 {
        return real();
    }
    if hooks::is_cancelled() {
        return answer_int(error(libc::ECANCELED));
    }
    let mut result = start(fd, address, length);
    if result == error(libc::EAGAIN) {
        // A Unix listener whose queue is full; nothing tells when it is not.
        let queued = wait::look_now_and_then(Some(fd), "connect", || {
            let result = start(fd, address, length);
            (result != error(libc::EAGAIN)).then_some(result)
        });
        match queued {
            Some(queued) => result = queued,
            None => return real(),
        }
    }
    // Somebody may have begun before, and given up waiting.
    if result != error(libc::EINPROGRESS) && result != error(libc::EALREADY) {
        return answer_int(result);
    }
    answer_int(wait::attempt_again(
        Wait::new(fd, Direction::Write, "connect").expiring_with(-result as c_int),
        // A connection that was begun is waited for by the same call.
        |now| {
            if now {
                finish(fd)
            } else {
                system!(SYS_connect, fd, address, length)
            }
        },
    ))
}

/// Begins to connect, and leaves the descriptor as it was.
fn start(fd: c_int, address: *const sockaddr, length: socklen_t) -> isize {
    let flags = system!(SYS_fcntl, fd, libc::F_GETFL);
    if flags < 0 {
        return flags;
    }
    let changed = system!(SYS_fcntl, fd, libc::F_SETFL, flags | libc::O_NONBLOCK as isize);
    if changed < 0 {
        return changed;
    }
    let result = system!(SYS_connect, fd, address, length);
    system!(SYS_fcntl, fd, libc::F_SETFL, flags);
    result
}

/// What became of a connection that was begun.
fn finish(fd: c_int) -> isize {
    if !wait::has_events(fd, libc::POLLOUT) {
        return error(libc::EAGAIN);
    }
    match table::option_of(fd, libc::SO_ERROR) {
        Some(number) => error(number),
        None => error(libc::EBADF),
    }
}

/// accept(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    // SAFETY: as the caller of this function.
    unsafe { accept4(fd, address, length, 0) }
}

/// accept4(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    /// Held from the look to the call, so that no other thread of this process takes what was seen.
    static LOOK_AND_CALL: ShortLock<()> = ShortLock::new(());

    let real = || system!(SYS_accept4, fd, address, length, flags);
    if !is_on(SOCKET) {
        return answer_int(real());
    }
    let nonblocking = || table::slot(fd).is_none_or(|slot| slot.options(fd) & NONBLOCKING != 0);
    // A signal handler may have interrupted whoever holds the lock.
    if !hooks::may_wait() || nonblocking() {
        return answer_int(real());
    }
    answer_int(wait::attempt(fd, Direction::Read, "accept", |now| {
        if !now {
            return real();
        }
        let _alone = LOOK_AND_CALL.lock();
        if wait::has_events(fd, libc::POLLIN) {
            real()
        } else {
            error(libc::EAGAIN)
        }
    }))
}
