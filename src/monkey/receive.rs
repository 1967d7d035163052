//! Hooks of what receives: `recv`, `read` and their like.
//!
//! A socket is asked with `MSG_DONTWAIT`, which nobody else sees; any other descriptor with `RWF_NOWAIT`, and where the kernel
//! does not know that, it is polled first.
#![expect(unsafe_code, reason = "defines functions of libc")]

use std::ffi::{c_int, c_uint, c_void};

use libc::{iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::frame::{SOCKET, answer, answer_int, error, is_on, system};
use super::parts;
use super::table::{self, Followed, Kind};
use super::wait::{self, Direction, Next, Wait};
use crate::hub::hooks;

/// Flags of a call that does not wait anyway, or that the user said must not.
const NEVER_WAITS: c_int = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE | libc::MSG_OOB;

/// recv(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recv(fd: c_int, buffer: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
    if is_on(SOCKET) {
        return patched_recv(fd, buffer, length, flags);
    }
    answer(system!(SYS_recvfrom, fd, buffer, length, flags, 0, 0))
}

/// [`recv`] on a thread with a hub. On others the hook is so short that it needs no frame; nor does it
/// for this call, the last thing it does, which has its form and does not unwind.
#[inline(never)]
extern "C" fn patched_recv(fd: c_int, buffer: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
    let call = move |flags, had| system!(SYS_recvfrom, fd, buffer as usize + had, length - had, flags, 0, 0);
    if flags & NEVER_WAITS != 0 {
        return answer(call(flags, 0));
    }
    answer(receive(fd, length, flags, "recv", call))
}

/// recvfrom(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recvfrom(
    fd: c_int,
    buffer: *mut c_void,
    length: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_length: *mut socklen_t,
) -> ssize_t {
    if !is_on(SOCKET) || flags & NEVER_WAITS != 0 {
        return answer(system!(
            SYS_recvfrom,
            fd,
            buffer,
            length,
            flags,
            address,
            address_length
        ));
    }
    answer(receive(fd, length, flags, "recvfrom", |flags, had| {
        system!(
            SYS_recvfrom,
            fd,
            buffer as usize + had,
            length - had,
            flags,
            address,
            address_length
        )
    }))
}

/// Receives into a buffer of `length` bytes; `call` is told the flags and how much it holds already.
#[inline(always)]
fn receive(fd: c_int, length: usize, flags: c_int, what: &'static str, call: impl Fn(c_int, usize) -> isize) -> isize {
    if flags & libc::MSG_WAITALL != 0 {
        return receive_all(fd, length, flags, what, call, || false);
    }
    let may_come_short = flags & libc::MSG_PEEK == 0;
    let is_in_vain = wait::is_in_vain(fd, Direction::Read);
    if !is_in_vain {
        let result = call(flags | libc::MSG_DONTWAIT, 0);
        if result != error(libc::EAGAIN) {
            // Before anybody else may run: what comes meanwhile is news.
            if may_come_short {
                note_short(fd, result, length);
            }
            hooks::spend();
            return result;
        }
    }
    let wait = Wait::new(fd, Direction::Read, what);
    let wait = if is_in_vain { wait.before_trying() } else { wait };
    let result = wait::attempt_again(wait, |now| {
        call(if now { flags | libc::MSG_DONTWAIT } else { flags }, 0)
    });
    if may_come_short {
        note_short(fd, result, length);
    }
    result
}

/// A stream that gave less than was asked for has no more for now.
#[inline]
fn note_short(fd: c_int, result: isize, length: usize) {
    let is_short = result > 0 && (result as usize) < length;
    if is_short && table::find(fd).is_some_and(|slot| slot.kind(fd) == Kind::StreamSocket) {
        wait::drained(fd, Direction::Read);
    }
}

/// As [`receive`], with `MSG_WAITALL`: a stream fills the buffer, unless what follows is of another kind (`is_last`).
fn receive_all(
    fd: c_int,
    length: usize,
    flags: c_int,
    what: &'static str,
    call: impl Fn(c_int, usize) -> isize,
    is_last: impl Fn() -> bool,
) -> isize {
    let is_stream = table::slot(fd).is_some_and(|slot| slot.kind(fd) == Kind::StreamSocket);
    let peeks = flags & libc::MSG_PEEK != 0;
    let mut wait = Wait::new(fd, Direction::Read, what);
    let mut had = 0;
    loop {
        let before = if peeks { 0 } else { had };
        let result = call(flags | libc::MSG_DONTWAIT, before);
        match result {
            0 => return had as isize,
            1.. if !is_stream => return result,
            1.. => {
                had = before + result as usize;
                // What is only looked at is there again the next time, so the end of the stream does not show.
                if had == length || is_last() || (peeks && wait::has_events(fd, libc::POLLRDHUP)) {
                    return had as isize;
                }
                if !peeks {
                    continue;
                }
            }
            _ if result != error(libc::EAGAIN) => return if had > 0 { had as isize } else { result },
            _ => {}
        }
        match wait.wait() {
            Next::Retry => {}
            Next::Block => {
                let rest = call(flags, before);
                return if rest < 0 && had > 0 {
                    had as isize
                } else {
                    before as isize + rest
                };
            }
            Next::Fail(_) if had > 0 => return had as isize,
            Next::Fail(number) => return error(number),
        }
    }
}

/// recvmsg(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if !is_on(SOCKET) || flags & NEVER_WAITS != 0 {
        return answer(system!(SYS_recvmsg, fd, message, flags));
    }
    if flags & libc::MSG_WAITALL == 0 {
        return answer(wait::attempt(fd, Direction::Read, "recvmsg", |now| {
            let flags = if now { flags | libc::MSG_DONTWAIT } else { flags };
            system!(SYS_recvmsg, fd, message, flags)
        }));
    }
    // What is no memory, the kernel refuses.
    if !parts::is_memory(message.cast(), size_of::<msghdr>()) {
        return answer(system!(SYS_recvmsg, fd, message, flags));
    }
    // SAFETY: memory; the caller vouches for it, as for the libc function.
    let whole = unsafe { *message };
    let is_usual = whole.msg_iovlen <= libc::UIO_MAXIOV as usize;
    if !is_usual || !parts::is_memory(whole.msg_iov.cast(), whole.msg_iovlen * size_of::<iovec>()) {
        return answer(system!(SYS_recvmsg, fd, message, flags));
    }
    let parts = parts::given(whole.msg_iov, whole.msg_iovlen);
    let call = |flags: c_int, had: usize| {
        let mut rest = parts::rest(parts, had);
        let mut now = whole;
        now.msg_iov = rest.as_mut_ptr();
        now.msg_iovlen = rest.len() as _;
        let result = system!(SYS_recvmsg, fd, &raw mut now, flags);
        if result >= 0 {
            now.msg_iov = whole.msg_iov;
            now.msg_iovlen = whole.msg_iovlen;
            // SAFETY: memory, and the caller's to be written to.
            unsafe { *message = now };
        }
        result
    };
    // Nothing is received after what came along with data.
    // SAFETY: memory, as above.
    let has_control = || unsafe { (*message).msg_controllen } > 0 && whole.msg_controllen > 0;
    let length = parts::length(parts);
    answer(receive_all(fd, length, flags, "recvmsg", call, has_control))
}

/// recvmmsg(2)
///
/// Its time limit is looked at only after each message, as the kernel does.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    limit: *mut timespec,
) -> c_int {
    if !is_on(SOCKET) || flags & NEVER_WAITS != 0 || !limit.is_null() {
        return answer_int(system!(SYS_recvmmsg, fd, messages, count, flags, limit));
    }
    let followed = Followed::new(fd);
    let mut had = 0;
    while had < count && !followed.is_closed() {
        let rest = messages.wrapping_add(had as usize);
        let result = wait::attempt(fd, Direction::Read, "recvmmsg", |now| {
            let flags = if now { flags | libc::MSG_DONTWAIT } else { flags };
            system!(SYS_recvmmsg, fd, rest, count - had, flags & !libc::MSG_WAITFORONE, 0)
        });
        match result {
            1.. => had += result as c_uint,
            _ if had > 0 => break,
            _ => return answer_int(result),
        }
        if flags & libc::MSG_WAITFORONE != 0 {
            break;
        }
    }
    had as c_int
}

/// read(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
    if is_on(SOCKET) {
        return patched_read(fd, buffer, length);
    }
    answer(system!(SYS_read, fd, buffer, length))
}

/// [`read`] on a thread with a hub.
#[inline(never)]
extern "C" fn patched_read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
    if length == 0 {
        return answer(system!(SYS_read, fd, buffer, length));
    }
    let kind = table::slot(fd).map_or(Kind::File, |slot| slot.kind(fd));
    answer(match kind {
        Kind::File => system!(SYS_read, fd, buffer, length),
        Kind::Pipe | Kind::Terminal | Kind::Other => {
            let part = iovec {
                iov_base: buffer,
                iov_len: length,
            };
            read_other(fd, "read", &raw const part, 1)
        }
        Kind::StreamSocket | Kind::OtherSocket => receive(fd, length, 0, "read", move |flags, _| {
            system!(SYS_recvfrom, fd, buffer, length, flags, 0, 0)
        }),
    })
}

/// readv(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if !is_on(SOCKET) || count <= 0 {
        return answer(system!(SYS_readv, fd, parts, count));
    }
    let kind = table::slot(fd).map_or(Kind::File, |slot| slot.kind(fd));
    answer(match kind {
        Kind::File => system!(SYS_readv, fd, parts, count),
        _ => read_other(fd, "readv", parts, count),
    })
}

/// Reads what is no socket. `RWF_NOWAIT` makes one call of it; what does not know it is polled first.
fn read_other(fd: c_int, what: &'static str, parts: *const iovec, count: c_int) -> isize {
    wait::attempt(fd, Direction::Read, what, |now| {
        if !now {
            return system!(SYS_readv, fd, parts, count);
        }
        // The offset -1 stands for the descriptor's own.
        let result = system!(SYS_preadv2, fd, parts, count, -1_isize, -1_isize, libc::RWF_NOWAIT);
        if result != error(libc::EOPNOTSUPP) && result != error(libc::ENOSYS) {
            return result;
        }
        let nonblocking = table::slot(fd).is_some_and(|slot| slot.options(fd) & table::NONBLOCKING != 0);
        if nonblocking || wait::has_events(fd, libc::POLLIN) {
            system!(SYS_readv, fd, parts, count)
        } else {
            error(libc::EAGAIN)
        }
    })
}
