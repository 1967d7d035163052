//! Hooks of what sends: `send`, `write` and their like.
//!
//! As a blocking call does, these send everything, waiting in between: on a stream and a pipe. A time limit, a kill or an
//! error ends them early: then what was sent counts, and the next call tells.
#![expect(unsafe_code, reason = "defines functions of libc, and reads their arguments")]

use std::ffi::{c_int, c_uint, c_void};

use libc::{iovec, mmsghdr, msghdr, off_t, size_t, sockaddr, socklen_t, ssize_t};

use super::frame::{SOCKET, answer, answer_int, error, is_on, system};
use super::parts;
use super::table::{self, Followed, Kind, NONBLOCKING};
use super::wait::{self, Direction, Next, Wait};
use crate::hub::hooks;
use crate::sys::errno;

/// What a pipe takes at once when it can be written to.
const PIPE_BUFFER: usize = 4096;
/// What a terminal takes at once when it can be written to, also if each byte becomes as many as a tabulator's.
const TERMINAL_BUFFER: usize = 32;

/// send(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn send(fd: c_int, buffer: *const c_void, length: size_t, flags: c_int) -> ssize_t {
    if is_on(SOCKET) {
        return patched_send(fd, buffer, length, flags);
    }
    answer(system!(SYS_sendto, fd, buffer, length, flags, 0, 0))
}

/// [`send`] on a thread with a hub. On others the hook is so short that it needs no frame; nor does it
/// for this call, the last thing it does, which has its form and does not unwind.
#[inline(never)]
extern "C" fn patched_send(fd: c_int, buffer: *const c_void, length: size_t, flags: c_int) -> ssize_t {
    let call = move |now, had| {
        let flags = flags_of(flags, now, had);
        system!(SYS_sendto, fd, buffer as usize + had, length - had, flags, 0, 0)
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return answer(call(true, 0));
    }
    answer(transmit(fd, || length, true, "send", call))
}

/// sendto(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendto(
    fd: c_int,
    buffer: *const c_void,
    length: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_length: socklen_t,
) -> ssize_t {
    if !is_on(SOCKET) || flags & libc::MSG_DONTWAIT != 0 {
        return answer(system!(SYS_sendto, fd, buffer, length, flags, address, address_length));
    }
    answer(transmit(
        fd,
        || length,
        true,
        "sendto",
        |now, had| {
            let flags = flags_of(flags, now, had);
            system!(
                SYS_sendto,
                fd,
                buffer as usize + had,
                length - had,
                flags,
                address,
                address_length
            )
        },
    ))
}

/// Flags for what is left after `had` bytes. Once something is sent, the end of the other side is told by the next call, and
/// so is its signal.
#[inline]
fn flags_of(flags: c_int, now: bool, had: usize) -> c_int {
    flags | if now { libc::MSG_DONTWAIT } else { 0 } | if had > 0 { libc::MSG_NOSIGNAL } else { 0 }
}

/// Sends `length` bytes; `call` is told whether it must not wait, and how much is sent already. If it sends less than it could,
/// there is no room for now, if `is_short_full`. The length is asked for when the kernel has found it in order.
#[inline(always)]
fn transmit(
    fd: c_int,
    length: impl Fn() -> usize,
    is_short_full: bool,
    what: &'static str,
    call: impl Fn(bool, usize) -> isize,
) -> isize {
    let result = call(true, 0);
    let would_block = result == error(libc::EAGAIN);
    let length = if result < 0 && !would_block { 0 } else { length() };
    if !would_block && (result < 0 || result == length as isize) {
        hooks::spend();
        return result;
    }
    transmit_rest(fd, length, is_short_full, what, result, call)
}

/// The rest of [`transmit`], when not everything found room.
#[inline(never)]
fn transmit_rest(
    fd: c_int,
    length: usize,
    is_short_full: bool,
    what: &'static str,
    first: isize,
    call: impl Fn(bool, usize) -> isize,
) -> isize {
    let mut had = 0;
    let mut result = first;
    let mut wait = Wait::new(fd, Direction::Write, what);
    loop {
        match result {
            1.. => {
                had += result as usize;
                if had >= length {
                    return had as isize;
                }
                if !is_short_full {
                    result = call(true, had);
                    continue;
                }
            }
            _ if result == error(libc::EAGAIN) => {}
            _ if had > 0 => return had as isize,
            _ => return result,
        }
        match wait.wait() {
            Next::Retry => result = call(true, had),
            Next::Block => {
                let rest = call(false, had);
                return if had == 0 { rest } else { had as isize + rest.max(0) };
            }
            Next::Fail(_) if had > 0 => return had as isize,
            Next::Fail(number) => return error(number),
        }
    }
}

/// sendmsg(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if !is_on(SOCKET) || flags & libc::MSG_DONTWAIT != 0 || message.is_null() {
        return answer(system!(SYS_sendmsg, fd, message, flags));
    }
    // What the kernel refuses is not looked at here: it may not even be memory.
    // SAFETY: only called when the kernel has read it; the caller vouches for it, as for the libc function.
    let whole = || unsafe { *message };
    let length = || parts::length(parts::given(whole().msg_iov, whole().msg_iovlen));
    answer(transmit(fd, length, true, "sendmsg", |now, had| {
        let flags = flags_of(flags, now, had);
        if had == 0 {
            return system!(SYS_sendmsg, fd, message, flags);
        }
        let mut message = whole();
        let mut rest = parts::rest(parts::given(message.msg_iov, message.msg_iovlen), had);
        message.msg_iov = rest.as_mut_ptr();
        message.msg_iovlen = rest.len() as _;
        // What goes along with the data went with its beginning.
        message.msg_control = std::ptr::null_mut();
        message.msg_controllen = 0;
        system!(SYS_sendmsg, fd, &raw const message, flags)
    }))
}

/// sendmmsg(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
    if !is_on(SOCKET) || flags & libc::MSG_DONTWAIT != 0 {
        return answer_int(system!(SYS_sendmmsg, fd, messages, count, flags));
    }
    let before = errno::get();
    let followed = Followed::new(fd);
    let mut had = 0;
    while had < count && !followed.is_closed() {
        let message = messages.wrapping_add(had as usize);
        // SAFETY: one of the `count` messages that the caller vouches for.
        let header = unsafe { &raw const (*message).msg_hdr };
        // SAFETY: as the caller of this function.
        let sent = unsafe { sendmsg(fd, header, flags) };
        if sent < 0 {
            if had == 0 {
                return -1;
            }
            errno::set(before);
            break;
        }
        // SAFETY: as above; the kernel writes the length there, too.
        unsafe { (*message).msg_len = sent as c_uint };
        had += 1;
    }
    had as c_int
}

/// write(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
    if is_on(SOCKET) {
        return patched_write(fd, buffer, length);
    }
    answer(system!(SYS_write, fd, buffer, length))
}

/// [`write()`] on a thread with a hub.
#[inline(never)]
extern "C" fn patched_write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
    if length == 0 || (0..=2).contains(&fd) {
        return answer(system!(SYS_write, fd, buffer, length));
    }
    let kind = table::slot(fd).map_or(Kind::File, |slot| slot.kind(fd));
    answer(match kind {
        Kind::File => system!(SYS_write, fd, buffer, length),
        _ => write_all(fd, kind, buffer, length, "write"),
    })
}

/// Writes to what is no file. To a socket too: so it raises SIGPIPE.
#[inline]
fn write_all(fd: c_int, kind: Kind, buffer: *const c_void, length: usize, what: &'static str) -> isize {
    transmit(
        fd,
        || length,
        kind.is_socket(),
        what,
        |now, had| {
            if kind.is_socket() {
                let flags = flags_of(0, now, had);
                return system!(SYS_sendto, fd, buffer as usize + had, length - had, flags, 0, 0);
            }
            let part = iovec {
                iov_base: buffer.cast_mut().wrapping_byte_add(had),
                iov_len: length - had,
            };
            write_other(fd, kind, now, &raw const part, 1)
        },
    )
}

/// writev(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if !is_on(SOCKET) || !(1..=libc::UIO_MAXIOV).contains(&count) || (0..=2).contains(&fd) {
        return answer(system!(SYS_writev, fd, parts, count));
    }
    let kind = table::slot(fd).map_or(Kind::File, |slot| slot.kind(fd));
    if kind == Kind::File {
        return answer(system!(SYS_writev, fd, parts, count));
    }
    // What the kernel refuses is not looked at here: it may not even be memory.
    let given = || parts::given(parts, count as usize);
    let length = || parts::length(given());
    answer(transmit(fd, length, kind.is_socket(), "writev", |now, had| {
        let shorter = if had > 0 { parts::rest(given(), had) } else { Vec::new() };
        let (rest, count) = if had > 0 {
            (shorter.as_ptr(), shorter.len())
        } else {
            (parts, count as usize)
        };
        if !kind.is_socket() {
            return write_other(fd, kind, now, rest, count);
        }
        // SAFETY: a message is pointers and integers, for which zero is a value.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = rest.cast_mut();
        message.msg_iovlen = count as _;
        let flags = flags_of(0, now, had);
        system!(SYS_sendmsg, fd, &raw const message, flags)
    }))
}

/// Writes to what is no socket. What does not know `RWF_NOWAIT` is polled first, and given what then surely finds room.
fn write_other(fd: c_int, kind: Kind, now: bool, parts: *const iovec, count: usize) -> isize {
    let all = || system!(SYS_writev, fd, parts, count);
    if !now {
        return all();
    }
    // The offset -1 stands for the descriptor's own.
    let result = system!(SYS_pwritev2, fd, parts, count, -1_isize, -1_isize, libc::RWF_NOWAIT);
    if result != error(libc::EOPNOTSUPP) && result != error(libc::ENOSYS) {
        return result;
    }
    if table::slot(fd).is_some_and(|slot| slot.options(fd) & NONBLOCKING != 0) {
        return all();
    }
    if !wait::has_events(fd, libc::POLLOUT) {
        return error(libc::EAGAIN);
    }
    let surely = match kind {
        Kind::Pipe => PIPE_BUFFER,
        Kind::Terminal => TERMINAL_BUFFER,
        _ => return all(),
    };
    let parts = parts::given(parts, count);
    if parts::length(parts) <= surely {
        return all();
    }
    match parts.iter().find(|part| part.iov_len > 0) {
        Some(part) => system!(SYS_write, fd, part.iov_base, part.iov_len.min(surely)),
        None => 0,
    }
}

/// Bytes that `sendfile` copies at a time.
const COPIED: usize = 64 * 1024;

/// sendfile(2), to a socket or pipe by way of a buffer: the call itself cannot be told not to wait.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendfile(out: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
    let real = || answer(system!(SYS_sendfile, out, from, offset, count));
    if !is_on(SOCKET) || !hooks::may_wait() {
        return real();
    }
    let Some(slot) = table::slot(out) else { return real() };
    let kind = slot.kind(out);
    if !matches!(kind, Kind::StreamSocket | Kind::Pipe) || slot.options(out) & NONBLOCKING != 0 {
        return real();
    }
    // What the kernel refuses is not looked at here: the offset may not even be memory.
    if count > isize::MAX as usize || system!(SYS_sendfile, out, from, offset, 0) < 0 {
        return real();
    }
    // SAFETY: null, or an offset that the kernel has just read, and which the caller vouches for.
    let given = unsafe { offset.as_ref() }.copied();
    let mut at = match given {
        Some(at) => at as isize,
        None => system!(SYS_lseek, from, 0, libc::SEEK_CUR),
    };
    if at < 0 {
        return real();
    }
    let mut buffer = vec![0_u8; count.min(COPIED)];
    let mut total = 0;
    let mut failed = 0;
    let followed = Followed::new(from);
    while total < count && !followed.is_closed() {
        let wanted = buffer.len().min(count - total);
        let got = system!(SYS_pread64, from, buffer.as_mut_ptr(), wanted, at);
        if got < 0 && total == 0 {
            // As if it may only be read in other ways; the kernel has one.
            return real();
        }
        if got <= 0 {
            break;
        }
        let sent = write_all(out, kind, buffer.as_ptr().cast(), got as usize, "sendfile");
        if sent < 0 {
            failed = sent;
            break;
        }
        at += sent;
        total += sent as usize;
        if sent < got {
            break;
        }
    }
    if offset.is_null() && !followed.is_closed() {
        system!(SYS_lseek, from, at, libc::SEEK_SET);
    } else if !offset.is_null() {
        // SAFETY: not null, and the caller's to be written to.
        unsafe { *offset = at as off_t };
    }
    answer(if total > 0 { total as isize } else { failed })
}

/// sendfile(2) with a 64-bit offset, as all are here.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendfile64(out: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
    // SAFETY: as the caller of this function.
    unsafe { sendfile(out, from, offset, count) }
}

/// splice(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut off_t,
    out: c_int,
    out_offset: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    let kind = |fd: c_int| table::slot(fd).map_or(Kind::File, |slot| slot.kind(fd));
    // The kernel does nothing, or refuses.
    let is_vain = || length == 0 || ![from, out].into_iter().any(|fd| kind(fd) == Kind::Pipe);
    if !is_on(SOCKET) || flags & libc::SPLICE_F_NONBLOCK != 0 || is_vain() {
        return answer(system!(SYS_splice, from, from_offset, out, out_offset, length, flags));
    }
    let waits = |fd: c_int| kind(fd) != Kind::File;
    // A socket that it goes to does not know the flag: it gets what surely finds room.
    let at_once = if kind(out) == Kind::StreamSocket && hooks::may_wait() {
        length.min(PIPE_BUFFER)
    } else {
        length
    };
    let followed = [from, out].map(Followed::new);
    answer(loop {
        for (fd, direction, events) in [
            (from, Direction::Read, libc::POLLIN),
            (out, Direction::Write, libc::POLLOUT),
        ] {
            let mut wait = Wait::new(fd, direction, "splice");
            while waits(fd) && !wait::has_events(fd, events) {
                match wait.wait() {
                    Next::Retry if followed.iter().any(Followed::is_closed) => return answer(error(libc::EBADF)),
                    Next::Retry => {}
                    Next::Block => {
                        return answer(system!(SYS_splice, from, from_offset, out, out_offset, length, flags));
                    }
                    Next::Fail(number) => return answer(error(number)),
                }
            }
        }
        let now = flags | libc::SPLICE_F_NONBLOCK;
        let result = system!(SYS_splice, from, from_offset, out, out_offset, at_once, now);
        if result != error(libc::EAGAIN) {
            break result;
        }
        // Both are ready and yet it would block: a pipe with room for less than a page.
        match wait::pause_briefly(&followed, "splice") {
            Next::Retry => {}
            Next::Block => break system!(SYS_splice, from, from_offset, out, out_offset, length, flags),
            Next::Fail(number) => break error(number),
        }
    })
}
