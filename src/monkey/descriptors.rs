//! Hooks of what makes, changes and closes descriptors: none of these blocks, but what is known of a descriptor must go
//! with it.
#![expect(unsafe_code, reason = "defines functions of libc")]

use std::ffi::{c_int, c_long, c_uint, c_ulong, c_void};

use libc::{FILE, socklen_t};

use super::frame::{PATCHED, SOCKET, answer_int, error, is_on, system};
use super::{original, table, wait};
use crate::sys::errno;

/// Whether anything may be known of descriptors. Also on threads without a hub: they close what others wait for.
fn is_tracked() -> bool {
    PATCHED.load(std::sync::atomic::Ordering::Relaxed) != 0
}

/// close(2); who waits for the descriptor gets `EBADF`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn close(fd: c_int) -> c_int {
    if is_tracked() {
        table::closing(fd);
    }
    answer_int(system!(SYS_close, fd))
}

/// fclose(3); the C library closes the descriptor without passing by us.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fclose(stream: *mut FILE) -> c_int {
    closing_stream(stream);
    original::fclose(stream)
}

/// pclose(3), likewise.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pclose(stream: *mut FILE) -> c_int {
    closing_stream(stream);
    original::pclose(stream)
}

/// A stream is about to be closed, with the descriptor that it may have.
fn closing_stream(stream: *mut FILE) {
    if is_tracked() {
        let _saved = errno::Saved::new();
        // SAFETY: the caller of the hook vouches for the stream.
        table::closing(unsafe { libc::fileno(stream) });
    }
}

/// close_range(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    // With any other flag it closes nothing.
    if is_tracked() && flags & !(libc::CLOSE_RANGE_UNSHARE as c_int) == 0 {
        table::closing_range(first, last);
    }
    answer_int(system!(SYS_close_range, first, last, flags))
}

/// shutdown(2); who waits is woken by the kernel's event.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    answer_int(system!(SYS_shutdown, fd, how))
}

/// dup(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dup(old: c_int) -> c_int {
    answer_int(duplicated(old, system!(SYS_dup, old)))
}

/// Takes note of a duplicate.
fn duplicated(old: c_int, result: isize) -> isize {
    if is_tracked() && result >= 0 {
        table::duplicated(old, result as c_int);
    }
    result
}

/// dup2(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    if old == new {
        let flags = system!(SYS_fcntl, old, libc::F_GETFD);
        return answer_int(if flags < 0 { flags } else { new as isize });
    }
    // SAFETY: as the caller of this function.
    unsafe { dup3(old, new, 0) }
}

/// dup3(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    let is_open = || system!(SYS_fcntl, old, libc::F_GETFD) >= 0;
    if is_tracked() && old != new && flags & !libc::O_CLOEXEC == 0 && is_open() {
        table::closing(new);
    }
    answer_int(duplicated(old, system!(SYS_dup3, old, new, flags)))
}

/// fcntl(2); its third argument is a word, whatever its type.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int {
    let real = |command| system!(SYS_fcntl, fd, command, argument);
    if !is_tracked() {
        return answer_int(real(command));
    }
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => answer_int(duplicated(fd, real(command))),
        libc::F_SETFL => {
            let result = real(command);
            options_changed(fd);
            answer_int(result)
        }
        libc::F_SETLKW | libc::F_OFD_SETLKW if is_on(SOCKET) => {
            let at_once = if command == libc::F_SETLKW {
                libc::F_SETLK
            } else {
                libc::F_OFD_SETLK
            };
            let locked = wait::look_now_and_then(Some(fd), "fcntl", || {
                let result = real(at_once);
                (result != error(libc::EAGAIN)).then_some(result)
            });
            answer_int(locked.unwrap_or_else(|| real(command)))
        }
        _ => answer_int(real(command)),
    }
}

/// fcntl(2) under its other name.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: c_long) -> c_int {
    // SAFETY: as the caller of this function.
    unsafe { fcntl(fd, command, argument) }
}

/// flock(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn flock(fd: c_int, operation: c_int) -> c_int {
    if !is_on(SOCKET) || operation & libc::LOCK_NB != 0 {
        return answer_int(system!(SYS_flock, fd, operation));
    }
    let locked = wait::look_now_and_then(Some(fd), "flock", || {
        let result = system!(SYS_flock, fd, operation | libc::LOCK_NB);
        (result != error(libc::EAGAIN)).then_some(result)
    });
    answer_int(locked.unwrap_or_else(|| system!(SYS_flock, fd, operation)))
}

/// ioctl(2); its third argument is a word, whatever its type.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let result = system!(SYS_ioctl, fd, request, argument);
    if is_tracked() && request == libc::FIONBIO {
        options_changed(fd);
    }
    answer_int(result)
}

/// setsockopt(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    let result = system!(SYS_setsockopt, fd, level, option, value, length);
    if is_tracked() && level == libc::SOL_SOCKET && matches!(option, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) {
        options_changed(fd);
    }
    answer_int(result)
}

/// An option of `fd` may have changed.
fn options_changed(fd: c_int) {
    if let Some(slot) = table::find(fd) {
        slot.options_changed();
    }
}
