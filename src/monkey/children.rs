//! Hooks of what waits for child processes.
//!
//! A child that is named is waited for by a descriptor that stands for it (pidfd_open(2)), which becomes readable when it
//! ends. Any child, one of a group, or one that stops, gives no such event: it is looked for now and then.
#![expect(unsafe_code, reason = "defines functions of libc")]

use std::ffi::c_int;
use std::os::fd::AsRawFd;

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};

use super::frame::{SUBPROCESS, answer_int, error, is_on, system};
use super::wait::{self, Next, Wait};
use crate::hub::hooks;
use crate::sys::pidfd;

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
    let named = (pid > 0 && only_end).then_some(pid);
    answer_int(until(named, "waitpid", look, || real(options)))
}

/// waitid(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn waitid(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int {
    let real = |options: c_int| system!(SYS_waitid, kind, id, info, options, 0);
    if !is_on(SUBPROCESS) || options & libc::WNOHANG != 0 || info.is_null() {
        return answer_int(real(options));
    }
    let look = || {
        // SAFETY: not null, and the caller's to be written to.
        unsafe { (*info).si_signo = 0 };
        let result = real(options | libc::WNOHANG);
        // SAFETY: as above.
        let found = unsafe { (*info).si_signo } != 0;
        (result < 0 || found).then_some(result)
    };
    let only_end = options & (libc::WSTOPPED | libc::WCONTINUED) == 0;
    let named = (kind == libc::P_PID && only_end).then_some(id as pid_t);
    answer_int(until(named, "waitid", look, || real(options)))
}

/// Waits until `look` finds something.
fn until(
    named: Option<pid_t>,
    what: &'static str,
    look: impl Fn() -> Option<isize>,
    blocking: impl Fn() -> isize,
) -> isize {
    if let Some(found) = look() {
        return found;
    }
    if !hooks::may_park() {
        return blocking();
    }
    let Some(Ok(child)) = named.map(|pid| pidfd::open(pid.cast_unsigned())) else {
        return wait::look_now_and_then(what, look).unwrap_or_else(blocking);
    };
    let mut wait = Wait::until(child.as_raw_fd(), what, None);
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
