//! Hooks of what waits for child processes.
//!
//! A child that is named is waited for by a descriptor that stands for it (pidfd_open(2)), which becomes readable when it
//! ends, or by the one that the caller has. Any child, one of a group, or one that stops, gives no such event: it is looked
//! for now and then.
#![expect(
    unsafe_code,
    reason = "defines functions of libc, and owns a descriptor of its making"
)]

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};

use super::frame::{SUBPROCESS, answer_int, error, is_on, system};
use super::table::{self, NONBLOCKING};
use super::wait::{self, Next, Wait};
use crate::hub::hooks;

/// What tells that a child has ended.
#[derive(Clone, Copy)]
enum Event {
    /// A descriptor of its number.
    Of(pid_t),
    /// This descriptor.
    Readable(RawFd),
    /// Nothing.
    Nothing,
}

/// waitpid(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    // SAFETY: as the caller of this function.
    unsafe { wait4(pid, status, options, std::ptr::null_mut()) }
}

/// wait(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn wait(status: *mut c_int) -> pid_t {
    // SAFETY: as the caller of this function.
    unsafe { wait4(-1, status, 0, std::ptr::null_mut()) }
}

/// wait4(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn wait4(pid: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
    let real = |options: c_int| system!(SYS_wait4, pid, status, options, usage);
    if !is_on(SUBPROCESS) || options & libc::WNOHANG != 0 {
        return answer_int(real(options));
    }
    let look = || Some(real(options | libc::WNOHANG)).filter(|result| *result != 0);
    let only_end = options & (libc::WUNTRACED | libc::WCONTINUED) == 0;
    let event = if pid > 0 && only_end {
        Event::Of(pid)
    } else {
        Event::Nothing
    };
    answer_int(until(event, "waitpid", look, || real(options)))
}

/// wait3(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
    // SAFETY: as the caller of this function.
    unsafe { wait4(-1, status, options, usage) }
}

/// waitid(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn waitid(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int {
    let real = |info: *mut siginfo_t, options: c_int| system!(SYS_waitid, kind, id, info, options, 0);
    let is_nonblocking = || {
        let slot = (kind == libc::P_PIDFD).then(|| table::slot(id as RawFd)).flatten();
        slot.is_some_and(|slot| slot.options(id as RawFd) & NONBLOCKING != 0)
    };
    if !is_on(SUBPROCESS) || options & libc::WNOHANG != 0 || is_nonblocking() {
        return answer_int(real(info, options));
    }
    let look = || {
        // SAFETY: it is plain integers, for which zero is a value.
        let mut found: siginfo_t = unsafe { std::mem::zeroed() };
        let result = real(&raw mut found, options | libc::WNOHANG);
        if result >= 0 && found.si_signo == 0 {
            return None;
        }
        if result >= 0 && !info.is_null() {
            // SAFETY: not null, and the caller's to be written to.
            unsafe { *info = found };
        }
        Some(result)
    };
    let only_end = options & (libc::WSTOPPED | libc::WCONTINUED) == 0;
    let event = match kind {
        libc::P_PID if only_end => Event::Of(id as pid_t),
        libc::P_PIDFD if only_end => Event::Readable(id as RawFd),
        _ => Event::Nothing,
    };
    answer_int(until(event, "waitid", look, || real(info, options)))
}

/// Waits until `look` finds something.
fn until(event: Event, what: &'static str, look: impl Fn() -> Option<isize>, blocking: impl Fn() -> isize) -> isize {
    if let Some(found) = look() {
        return found;
    }
    if !hooks::may_wait() {
        return blocking();
    }
    let opened = match event {
        Event::Of(pid) => system!(SYS_pidfd_open, pid, 0),
        Event::Readable(_) | Event::Nothing => -1,
    };
    // SAFETY: if the call succeeded it is open, and nobody else knows it.
    let opened = (opened >= 0).then(|| unsafe { OwnedFd::from_raw_fd(opened as RawFd) });
    let child = match (event, &opened) {
        (Event::Readable(child), _) => child,
        (_, Some(child)) => child.as_raw_fd(),
        (_, None) => return wait::look_now_and_then(None, what, look).unwrap_or_else(blocking),
    };
    let mut wait = Wait::until(child, what, None);
    loop {
        match wait.wait() {
            Next::Retry => {}
            Next::Block => return blocking(),
            Next::Fail(number) => return error(number),
        }
        if let Some(found) = look() {
            return found;
        }
    }
}
