//! Hooks of the variants that a C compiler calls with `_FORTIFY_SOURCE`: they are told the size of the buffer as well, and
//! end the program when a call would go beyond it.
#![expect(unsafe_code, reason = "defines functions of libc")]

use std::ffi::{c_int, c_void};

use libc::{nfds_t, pollfd, sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::{receive, select};

/// Ends the program if `length` goes beyond `room`.
fn check(length: usize, room: usize) {
    if length > room {
        std::process::abort();
    }
}

/// recv(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __recv_chk(
    fd: c_int,
    buffer: *mut c_void,
    length: size_t,
    room: size_t,
    flags: c_int,
) -> ssize_t {
    check(length, room);
    // SAFETY: as the caller of this function.
    unsafe { receive::recv(fd, buffer, length, flags) }
}

/// recvfrom(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    buffer: *mut c_void,
    length: size_t,
    room: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_length: *mut socklen_t,
) -> ssize_t {
    check(length, room);
    // SAFETY: as the caller of this function.
    unsafe { receive::recvfrom(fd, buffer, length, flags, address, address_length) }
}

/// read(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __read_chk(fd: c_int, buffer: *mut c_void, length: size_t, room: size_t) -> ssize_t {
    check(length, room);
    // SAFETY: as the caller of this function.
    unsafe { receive::read(fd, buffer, length) }
}

/// poll(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __poll_chk(entries: *mut pollfd, count: nfds_t, limit: c_int, room: size_t) -> c_int {
    check(count as usize, room / size_of::<pollfd>());
    // SAFETY: as the caller of this function.
    unsafe { select::poll(entries, count, limit) }
}

/// ppoll(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __ppoll_chk(
    entries: *mut pollfd,
    count: nfds_t,
    limit: *const timespec,
    mask: *const sigset_t,
    room: size_t,
) -> c_int {
    check(count as usize, room / size_of::<pollfd>());
    // SAFETY: as the caller of this function.
    unsafe { select::ppoll(entries, count, limit, mask) }
}
