//! The hook of `pthread_join`, by which std and C libraries wait until a thread has ended.
//!
//! The C library learns of it by a futex that the kernel wakes, and by nothing that could be watched: so the thread is
//! looked at now and then. A kill stays pending meanwhile, since callers know no error that would mean it.
#![expect(unsafe_code, reason = "defines a function of libc, and calls its like")]

use std::ffi::{c_int, c_void};
use std::time::Instant;

use libc::pthread_t;

use super::frame::{THREAD, is_on};
use super::original;
use super::wait::{LONG_PAUSE, PAUSE};
use crate::hub::hooks;

/// pthread_join(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int {
    let mut pause = PAUSE;
    // A thread that joins itself is told so by the function itself.
    while is_on(THREAD) && hooks::may_park() && !is_current(thread) {
        // SAFETY: the caller of the hook vouches for the arguments; it has not been joined yet.
        let result = unsafe { libc::pthread_tryjoin_np(thread, value) };
        if result != libc::EBUSY {
            return result;
        }
        hooks::park_shielded(Instant::now().checked_add(pause), "pthread_join");
        pause = (pause * 2).min(LONG_PAUSE);
    }
    original::pthread_join(thread, value)
}

/// Whether it is the calling thread.
fn is_current(thread: pthread_t) -> bool {
    // SAFETY: takes nothing.
    let current = unsafe { libc::pthread_self() };
    current == thread
}
