//! What every hook stands on: whether it is switched on, the way to the kernel, and what it returns.
//!
//! A hook asks two questions in turn:
//!
//! 1. [`is_on`]: is its group patched, and has the thread a hub? One load, one branch, one look at a thread-local. If not,
//!    it is the system call itself.
//! 2. Only when the call would block, `hooks::may_wait`: is this user code on a greenlet (or on the own stack of a
//!    hub's thread), not the runtime's own code, a thread that unwinds, the child of a fork, a signal handler? If
//!    not, it blocks the thread.
//!
//! What a signal handler may call comes so far without a lock, an allocation or a borrow that the code it interrupted may hold.
#![expect(unsafe_code, reason = "makes system calls")]

use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::hub::source;
use crate::sys::{errno, raw};

/// Sockets and other descriptors.
pub(super) const SOCKET: u32 = 1;
/// Sleeping.
pub(super) const TIME: u32 = 2;
/// Names.
pub(super) const DNS: u32 = 4;
/// Waiting for many descriptors.
pub(super) const SELECT: u32 = 8;
/// Locks.
pub(super) const THREAD: u32 = 16;
/// Child processes.
pub(super) const SUBPROCESS: u32 = 32;

/// The groups that are patched.
pub(super) static PATCHED: AtomicU32 = AtomicU32::new(0);

/// Whether a hook of this group has to do with the calling thread at all.
#[inline(always)]
pub(super) fn is_on(group: u32) -> bool {
    PATCHED.load(Ordering::Relaxed) & group != 0 && source::has_hub()
}

/// What the kernel answered, as the C library returns it: -1 and `errno` for an error.
#[inline(always)]
pub(super) fn answer(result: isize) -> isize {
    if result < 0 { fail(result) } else { result }
}

/// As [`answer`], for functions that return an `int`.
#[inline(always)]
pub(super) fn answer_int(result: isize) -> c_int {
    answer(result) as c_int
}

/// Sets `errno`. Of a form that does not unwind, so that calling it last takes no frame.
#[cold]
#[inline(never)]
extern "C" fn fail(result: isize) -> isize {
    errno::set(-result as c_int);
    -1
}

/// An error's number as the kernel returns it.
pub(super) const fn error(number: c_int) -> isize {
    -(number as isize)
}

/// A system call: the number and up to six arguments, as [`raw::call`] takes them.
///
/// # Safety
///
/// As [`raw::call`].
#[inline(always)]
pub(super) unsafe fn system_call<const N: usize>(number: c_long, arguments: [usize; N]) -> isize {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    // SAFETY: the caller's; arguments that are not given are not looked at.
    unsafe { raw::call(number, all) }
}

/// Makes a system call with the arguments of the hook around it.
macro_rules! system {
    ($number:ident $(, $argument:expr)* $(,)?) => {{
        let arguments = [$($argument as usize),*];
        // SAFETY: the caller of the hook vouches for the arguments, as for the libc function of that name; what the hook
        // adds is flags, and memory of its own that outlives the call.
        unsafe { $crate::monkey::frame::system_call(libc::$number, arguments) }
    }};
}
pub(super) use system;
