//! The hook of `syscall`, through which std's locks reach the kernel's futexes.
//!
//! A greenlet that waits for a futex stands in a queue here, not in the kernel's; whoever wakes looks here first and in the
//! kernel for the rest. Look and sleep are one step, as in the kernel: the waiter compares the word under the lock of
//! its queue, and the waker changes the word before it takes that lock.
//!
//! A futex wait goes on when a kill comes: std's locks know no error. The kill stays pending.
//!
//! # A lock that is freed
//!
//! std's mutex is taken by whoever finds it free. Somebody who unlocks, goes on and locks again would always be faster than the
//! greenlet that was woken for it; and that one would, each time, look a hundred times at a lock whose owner cannot run
//! meanwhile before it waits again. So whoever frees a lock (the word is 0) for greenlets of its own thread lets them run
//! first, as also all readers that wait for a lock of readers and writers. Those who wake for other reasons go on: a condition
//! is mostly notified with its mutex locked. But they are late now and then, since the *writers* that wait for such a lock look
//! just like those who wait for a condition: theirs is a word that only counts. So somebody who unlocks and locks again and again
//! is ahead of a writer for a while, and not for ever.
//!
//! `std::thread::park` waits on a word that all greenlets of a thread share: see `thread_word`.
//!
//! Only what std asks for is taken (`FUTEX_WAIT_BITSET`, private). A plain `FUTEX_WAIT` blocks the thread: those who use it
//! (parking_lot) keep their queues in thread-locals, in which two greenlets of one thread must not stand.
#![expect(unsafe_code, reason = "defines a function of libc, and reads the words it is given")]

use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

use libc::timespec;

use super::frame::{THREAD, answer, error, is_on, system_call};
use super::futex_queue::{WAITS, Woken, queue, wake};
use super::thread_word;
use super::time::span;
use crate::hub::hooks;

/// syscall(2), of all system calls; its arguments are words.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn syscall(
    number: c_long,
    first: usize,
    second: usize,
    third: usize,
    fourth: usize,
    fifth: usize,
    sixth: usize,
) -> c_long {
    let arguments = [first, second, third, fourth, fifth, sixth];
    let result = if number == libc::SYS_futex {
        futex(arguments)
    } else if number == libc::SYS_close {
        super::table::closing(first as c_int);
        real(number, arguments)
    } else {
        real(number, arguments)
    };
    answer(result) as c_long
}

/// The call itself.
fn real(number: c_long, arguments: [usize; 6]) -> isize {
    // SAFETY: the caller of the hook vouches for the arguments, as for libc's function.
    unsafe { system_call(number, arguments) }
}

/// The futex calls: who waits may be parked, who wakes looks here first.
fn futex(arguments: [usize; 6]) -> isize {
    let [word, operation, value, limit, _, bits] = arguments;
    // An int in C: what is above it in the register is anything.
    let value = value as u32 as usize;
    let operation = operation as c_int;
    let real = |arguments| real(libc::SYS_futex, arguments);
    match operation & !libc::FUTEX_CLOCK_REALTIME {
        WAIT => {
            if thread_word::answer(word) {
                return error(libc::ETIMEDOUT);
            }
            let everybody = bits as u32 == u32::MAX;
            if !everybody || operation & libc::FUTEX_CLOCK_REALTIME != 0 || !is_on(THREAD) || !hooks::may_park() {
                return queue(word).beside(|| real(arguments));
            }
            wait(word, value as u32, limit as *const timespec)
        }
        WAKE | WAKE_BITS => {
            let Woken {
                woken,
                first,
                in_kernel,
            } = wake(word, value);
            let left = if in_kernel { value } else { value - woken };
            let rest = match left {
                0 => 0,
                left => real([word, arguments[1], left, limit, arguments[4], bits]),
            };
            if first {
                hooks::yield_shielded();
            }
            if rest < 0 { rest } else { rest + woken as isize }
        }
        // Wakes some and moves others to another word: here all are woken, and look again.
        REQUEUE | COMPARE_REQUEUE => {
            wake(word, usize::MAX);
            real(arguments)
        }
        _ => real(arguments),
    }
}

/// What std waits with.
const WAIT: c_int = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
/// What wakes.
const WAKE: c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
/// What wakes some of them.
const WAKE_BITS: c_int = libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG;
/// What moves waiters.
const REQUEUE: c_int = libc::FUTEX_REQUEUE | libc::FUTEX_PRIVATE_FLAG;
/// What moves waiters of an unchanged word.
const COMPARE_REQUEUE: c_int = libc::FUTEX_CMP_REQUEUE | libc::FUTEX_PRIVATE_FLAG;

/// Parks until the word is woken, if it (still) holds `value`. The limit is a time of the monotonic clock.
fn wait(word: usize, value: u32, limit: *const timespec) -> isize {
    if !word.is_multiple_of(4) || word == 0 {
        return error(libc::EINVAL);
    }
    let deadline = match deadline(limit) {
        Ok(deadline) => deadline,
        Err(number) => return error(number),
    };
    // SAFETY: aligned, and the caller of the hook vouches for it; others change it by atomic operations only.
    let cell = unsafe { AtomicU32::from_ptr(word as *mut u32) };
    let queue = queue(word);
    if value == thread_word::PARKED && thread_word::is_own(word) {
        return thread_word::wait(queue, word, cell, deadline);
    }
    let woken = AtomicU8::new(WAITS);
    if !queue.enter(word, cell, value, false, &woken) {
        return error(libc::EAGAIN);
    }
    loop {
        hooks::park_shielded(deadline, "futex");
        if woken.load(Ordering::Acquire) != WAITS {
            return 0;
        }
        if deadline.is_some_and(|at| Instant::now() >= at) && queue.leave(&woken) {
            return error(libc::ETIMEDOUT);
        }
    }
}

/// The time of the monotonic clock at which to give up.
fn deadline(limit: *const timespec) -> Result<Option<Instant>, c_int> {
    if limit.is_null() {
        return Ok(None);
    }
    let Some(at) = span(limit) else {
        return Err(libc::EINVAL);
    };
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    super::frame::system!(SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut now);
    let left = at.saturating_sub(span(&raw const now).unwrap_or_default());
    Ok(Instant::now().checked_add(left))
}
