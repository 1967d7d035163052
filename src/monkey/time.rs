//! Hooks of what sleeps. A kill ends a sleep early, with success: whoever sleeps expects no error.
#![expect(unsafe_code, reason = "defines functions of libc, and reads their arguments")]

use std::ffi::{c_int, c_uint};
use std::time::{Duration, Instant};

use libc::{clockid_t, timespec, useconds_t};

use super::frame::{TIME, answer_int, is_on, system};
use crate::hub::hooks;
use crate::hub::park::{self, WakeReason};

/// nanosleep(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn nanosleep(request: *const timespec, remainder: *mut timespec) -> c_int {
    match span(request).filter(|_| may_sleep()) {
        Some(length) => {
            sleep_for(length);
            0
        }
        None => answer_int(system!(SYS_nanosleep, request, remainder)),
    }
}

/// clock_nanosleep(2); returns an error's number.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    request: *const timespec,
    remainder: *mut timespec,
) -> c_int {
    let known = matches!(
        clock,
        libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME
    );
    let Some(span) = span(request).filter(|_| known && may_sleep()) else {
        return -system!(SYS_clock_nanosleep, clock, flags, request, remainder) as c_int;
    };
    if flags & libc::TIMER_ABSTIME == 0 {
        sleep_for(span);
        return 0;
    }
    // Looked at again after each sleep: a clock may be set.
    loop {
        let left = span.saturating_sub(now(clock));
        if left.is_zero() || !sleep_for(left) {
            return 0;
        }
    }
}

/// usleep(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn usleep(microseconds: useconds_t) -> c_int {
    let length = Duration::from_micros(microseconds.into());
    if may_sleep() {
        sleep_for(length);
        return 0;
    }
    let request = spec(length);
    answer_int(system!(SYS_nanosleep, &raw const request, 0))
}

/// sleep(3); returns the seconds that were not slept.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sleep(seconds: c_uint) -> c_uint {
    let length = Duration::from_secs(seconds.into());
    if may_sleep() {
        sleep_for(length);
        return 0;
    }
    let mut rest = spec(length);
    if system!(SYS_nanosleep, &raw const rest, &raw mut rest) < 0 {
        return c_uint::try_from(rest.tv_sec).unwrap_or(0) + c_uint::from(rest.tv_nsec > 0);
    }
    0
}

/// Whether the caller may be parked instead.
fn may_sleep() -> bool {
    is_on(TIME) && hooks::may_wait()
}

/// Parks for `length`. Whether the time is over: not so when a kill came.
pub(super) fn sleep_for(length: Duration) -> bool {
    if length.is_zero() {
        hooks::yield_quietly();
        return true;
    }
    let deadline = Instant::now().checked_add(length);
    while deadline.is_none_or(|at| Instant::now() < at) {
        match hooks::quietly(|| park::park(deadline, "sleep")) {
            None | Some(WakeReason::Refused) => return false,
            Some(_) => {}
        }
    }
    true
}

/// A length of time as Rust has it; `None` for none, or one that the kernel would refuse.
pub(super) fn span(time: *const timespec) -> Option<Duration> {
    // SAFETY: null, or a time that the caller of the hook vouches for.
    let time = unsafe { time.as_ref() }?;
    let nanoseconds = u32::try_from(time.tv_nsec)
        .ok()
        .filter(|count| *count < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanoseconds))
}

/// A length of time as C has it.
fn spec(length: Duration) -> timespec {
    timespec {
        tv_sec: libc::time_t::try_from(length.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(length.subsec_nanos()),
    }
}

/// What a clock shows.
fn now(clock: clockid_t) -> Duration {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    system!(SYS_clock_gettime, clock, &raw mut time);
    span(&raw const time).unwrap_or_default()
}
