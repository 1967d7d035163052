//! Hooks of what waits for many descriptors: `poll`, `select`, `epoll_wait` and their like.
//!
//! The call itself, with no time to wait, says what is ready. If nothing is, the caller waits for an epoll set that holds
//! all of them: a set can itself be watched by the hub's. `epoll_wait` has such a set already, which makes every event
//! loop written for epoll run inside a greenlet. A call that changes the signal mask while it waits blocks the thread.
#![expect(
    unsafe_code,
    reason = "defines functions of libc, and reads and writes their arguments"
)]

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_ulong};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};

use super::frame::{SELECT, answer_int, error, is_on, system};
use super::parts;
use super::time::{self, span};
use super::wait::{Next, Wait, look_now_and_then};
use crate::hub::hooks;

/// Size of the kernel's signal set, which is not the C library's.
const SIGNALS: usize = 8;

/// What epoll and poll call the same.
const EVENTS: c_int = libc::EPOLLIN
    | libc::EPOLLOUT
    | libc::EPOLLPRI
    | libc::EPOLLRDHUP
    | libc::EPOLLRDNORM
    | libc::EPOLLRDBAND
    | libc::EPOLLWRNORM
    | libc::EPOLLWRBAND;

/// A limit in milliseconds; negative is none.
fn milliseconds(limit: c_int) -> Option<Duration> {
    u64::try_from(limit).ok().map(Duration::from_millis)
}

/// A limit as the kernel takes it.
fn to_spec(limit: Option<Duration>) -> timespec {
    let limit = limit.unwrap_or_default();
    timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(limit.subsec_nanos()),
    }
}

/// The entries that the kernel sees: it has half a word for their count.
fn counted(count: nfds_t) -> usize {
    count as c_uint as usize
}

/// poll(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn poll(entries: *mut pollfd, count: nfds_t, limit: c_int) -> c_int {
    let count = counted(count);
    let real = |limit: Option<Duration>| {
        let spec = to_spec(limit);
        let spec = limit.map_or(std::ptr::null(), |_| &raw const spec);
        system!(SYS_ppoll, entries, count, spec, 0, SIGNALS)
    };
    if !is_on(SELECT) || limit == 0 {
        return answer_int(real(milliseconds(limit)));
    }
    answer_int(poll_until(entries, count, milliseconds(limit), real))
}

/// ppoll(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ppoll(
    entries: *mut pollfd,
    count: nfds_t,
    limit: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let count = counted(count);
    // The kernel writes what is left to its argument, the C library's caller does not expect it to.
    // SAFETY: null, or a time that the caller vouches for.
    let mut given = unsafe { limit.as_ref() }.copied();
    let pointer = given.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    if !is_on(SELECT) || !mask.is_null() || (!limit.is_null() && span(limit).is_none_or(|limit| limit.is_zero())) {
        return answer_int(system!(SYS_ppoll, entries, count, pointer, mask, SIGNALS));
    }
    let real = |limit: Option<Duration>| {
        let spec = to_spec(limit);
        let spec = limit.map_or(std::ptr::null(), |_| &raw const spec);
        system!(SYS_ppoll, entries, count, spec, 0, SIGNALS)
    };
    answer_int(poll_until(entries, count, span(limit), real))
}

/// Polls until something is ready or the limit is over.
fn poll_until(
    entries: *mut pollfd,
    count: usize,
    limit: Option<Duration>,
    real: impl Fn(Option<Duration>) -> isize,
) -> isize {
    let ready = real(Some(Duration::ZERO));
    if ready != 0 || !hooks::may_wait() {
        hooks::spend();
        return if ready != 0 { ready } else { real(limit) };
    }
    let entries: &[pollfd] = if count == 0 {
        &[]
    } else {
        // SAFETY: the caller of the hook vouches for the array and its length; the kernel has just read it.
        unsafe { std::slice::from_raw_parts(entries, count) }
    };
    let wanted = entries
        .iter()
        .filter(|entry| entry.fd >= 0)
        .map(|entry| (entry.fd, c_int::from(entry.events)));
    until(limit, wanted, "poll", real)
}

/// Waits for any of `wanted`, and asks `real` after each event.
fn until(
    limit: Option<Duration>,
    wanted: impl Iterator<Item = (RawFd, c_int)>,
    what: &'static str,
    real: impl Fn(Option<Duration>) -> isize,
) -> isize {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut wanted = wanted.peekable();
    if let (None, Some(limit)) = (wanted.peek(), limit) {
        time::sleep_for(limit);
        return if hooks::is_cancelled() {
            error(libc::ECANCELED)
        } else {
            0
        };
    }
    let Some(set) = Set::of(wanted) else {
        return without_set(deadline, what, real);
    };
    let mut wait = Wait::until(set.0.as_raw_fd(), what, deadline);
    loop {
        match wait.wait() {
            Next::Retry => {}
            Next::Fail(libc::ETIMEDOUT) => return real(Some(Duration::ZERO)),
            Next::Fail(number) => return error(number),
            Next::Block => return real(deadline.map(|at| at.saturating_duration_since(Instant::now()))),
        }
        let ready = real(Some(Duration::ZERO));
        if ready != 0 {
            return ready;
        }
    }
}

/// As [`until`] when no set can be made, for want of descriptors for one: asks now and then.
#[cold]
fn without_set(deadline: Option<Instant>, what: &'static str, real: impl Fn(Option<Duration>) -> isize) -> isize {
    let look = || {
        let ready = real(Some(Duration::ZERO));
        (ready != 0 || deadline.is_some_and(|at| Instant::now() >= at)).then_some(ready)
    };
    let blocking = || real(deadline.map(|at| at.saturating_duration_since(Instant::now())));
    look_now_and_then(None, what, look).unwrap_or_else(blocking)
}

/// An epoll set for one wait.
struct Set(OwnedFd);

impl Set {
    /// A set of these descriptors and events; `None` if it cannot be made, or not watch one of them.
    fn of(wanted: impl Iterator<Item = (RawFd, c_int)>) -> Option<Set> {
        let set = system!(SYS_epoll_create1, libc::EPOLL_CLOEXEC);
        if set < 0 {
            return None;
        }
        // SAFETY: the call succeeded, so it is open, and nobody else knows it.
        let set = unsafe { OwnedFd::from_raw_fd(set as RawFd) };
        let mut seen: Vec<(RawFd, c_int)> = Vec::new();
        for (fd, events) in wanted {
            let mut event = epoll_event { events: 0, u64: 0 };
            let mut add = |action, events: c_int| {
                event.events = (events & EVENTS) as u32;
                system!(SYS_epoll_ctl, set.as_raw_fd(), action, fd, &raw mut event)
            };
            match add(libc::EPOLL_CTL_ADD, events) {
                0.. => seen.push((fd, events)),
                result if result == error(libc::EEXIST) => {
                    if let Some((_, before)) = seen.iter_mut().find(|(other, _)| *other == fd) {
                        *before |= events;
                        add(libc::EPOLL_CTL_MOD, *before);
                    }
                }
                // A file, which is always ready, or closed: the call itself has said so.
                result if result == error(libc::EPERM) || result == error(libc::EBADF) => {}
                _ => return None,
            }
        }
        Some(Set(set))
    }
}

/// select(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    limit: *mut timeval,
) -> c_int {
    // SAFETY: null, or a time that the caller vouches for.
    let given = unsafe { limit.as_ref() };
    let begun = Instant::now();
    if given.is_some_and(|limit| limit.tv_sec < 0 || limit.tv_usec < 0) {
        return answer_int(error(libc::EINVAL));
    }
    let given = given.map(|limit| timespec {
        tv_sec: limit.tv_sec.saturating_add(limit.tv_usec / 1_000_000),
        tv_nsec: limit.tv_usec % 1_000_000 * 1000,
    });
    let result = select_spec(count, [read, write, except], given);
    // SAFETY: null, or the caller's to be written to: what is left of the time, as Linux does.
    if let (Some(limit), Some(given)) = (unsafe { limit.as_mut() }, given) {
        let left = span(&raw const given)
            .unwrap_or_default()
            .saturating_sub(begun.elapsed());
        limit.tv_sec = left.as_secs() as libc::time_t;
        limit.tv_usec = libc::suseconds_t::from(left.subsec_micros());
    }
    answer_int(result)
}

/// pselect(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pselect(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    limit: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: null, or a time that the caller vouches for.
    let given = unsafe { limit.as_ref() }.copied();
    if mask.is_null() {
        return answer_int(select_spec(count, [read, write, except], given));
    }
    let mut copy = given;
    let pointer = copy.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let masked = [mask as usize, SIGNALS];
    answer_int(system!(
        SYS_pselect6,
        count,
        read,
        write,
        except,
        pointer,
        masked.as_ptr()
    ))
}

/// Bits in a word of a set.
const BITS: usize = c_ulong::BITS as usize;

/// Three sets of a select.
type Sets = [[c_ulong; libc::FD_SETSIZE / BITS]; 3];

/// Both of them. What the kernel is asked with are copies, of as much of the sets as it looks at: a program may have sets that are shorter
/// than the type, and they are its own while it waits.
fn select_spec(count: c_int, sets: [*mut fd_set; 3], limit: Option<timespec>) -> isize {
    let call = |sets: [*mut c_ulong; 3], limit: Option<timespec>| {
        let mut limit = limit;
        let pointer = limit.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
        system!(SYS_pselect6, count, sets[0], sets[1], sets[2], pointer, 0)
    };
    let sets = sets.map(<*mut fd_set>::cast::<c_ulong>);
    let length = limit.map(|limit| span(&raw const limit));
    let words = usize::try_from(count).unwrap_or(usize::MAX).div_ceil(BITS);
    let bytes = words.saturating_mul(size_of::<c_ulong>());
    let is_there = |set: *mut c_ulong| set.is_null() || parts::is_memory(set.cast(), bytes);
    // Sets larger than the type are more than is copied here. What is no memory, the kernel refuses.
    let usual = words <= libc::FD_SETSIZE / BITS && length != Some(None);
    if !is_on(SELECT) || !usual || length == Some(Some(Duration::ZERO)) || !sets.into_iter().all(is_there) {
        return call(sets, limit);
    }
    let mut before: Sets = Default::default();
    for (set, before) in sets.into_iter().zip(&mut before) {
        if !set.is_null() {
            // SAFETY: the words of the set that stand for descriptors below the count, which the caller of the hook vouches for.
            unsafe { std::ptr::copy_nonoverlapping(set.cast::<u8>(), before.as_mut_ptr().cast(), bytes) };
        }
    }
    let found = Cell::new(before);
    let real = |limit: Option<Duration>| {
        let mut copies = before;
        let [read, write, except] = &mut copies;
        let pointers = [(sets[0], read), (sets[1], write), (sets[2], except)];
        let pointers = pointers.map(|(set, copy)| if set.is_null() { set } else { copy.as_mut_ptr() });
        let ready = call(pointers, limit.map(|limit| to_spec(Some(limit))));
        found.set(copies);
        ready
    };
    let wanted = (0..count).filter_map(|fd| {
        let (word, bit) = (fd as usize / BITS, fd as usize % BITS);
        let events = [libc::EPOLLIN, libc::EPOLLOUT, libc::EPOLLPRI].into_iter().zip(&before);
        let events = events.filter(|(_, set)| set[word] >> bit & 1 != 0);
        let events = events.fold(0, |all, (event, _)| all | event);
        (events != 0).then_some((fd, events))
    });
    let ready = real(Some(Duration::ZERO));
    let result = if ready == 0 && hooks::may_wait() {
        until(length.flatten(), wanted, "select", real)
    } else {
        hooks::spend();
        if ready == 0 { real(length.flatten()) } else { ready }
    };
    if result >= 0 {
        for (set, found) in sets.into_iter().zip(found.get()) {
            if !set.is_null() {
                // SAFETY: as above; they are the caller's to be written to.
                unsafe { std::ptr::copy_nonoverlapping(found.as_ptr().cast::<u8>(), set.cast(), bytes) };
            }
        }
    }
    result
}

/// epoll_wait(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_wait(set: c_int, events: *mut epoll_event, room: c_int, limit: c_int) -> c_int {
    // SAFETY: as the caller of this function; no mask.
    unsafe { epoll_pwait(set, events, room, limit, std::ptr::null()) }
}

/// epoll_pwait(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_pwait(
    set: c_int,
    events: *mut epoll_event,
    room: c_int,
    limit: c_int,
    mask: *const sigset_t,
) -> c_int {
    let real = |limit: c_int| system!(SYS_epoll_pwait, set, events, room, limit, mask, SIGNALS);
    if !is_on(SELECT) || limit == 0 || !mask.is_null() {
        return answer_int(real(limit));
    }
    answer_int(epoll_until(set, milliseconds(limit), || real(0), || real(limit)))
}

/// epoll_pwait2(2)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_pwait2(
    set: c_int,
    events: *mut epoll_event,
    room: c_int,
    limit: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let real = || system!(SYS_epoll_pwait2, set, events, room, limit, mask, SIGNALS);
    let length = span(limit);
    if !is_on(SELECT) || !mask.is_null() || length == Some(Duration::ZERO) || (length.is_none() && !limit.is_null()) {
        return answer_int(real());
    }
    let at_once = || system!(SYS_epoll_pwait, set, events, room, 0, 0, SIGNALS);
    answer_int(epoll_until(set, length, at_once, real))
}

/// Asks the set until it has events or the limit is over.
fn epoll_until(
    set: c_int,
    limit: Option<Duration>,
    at_once: impl Fn() -> isize,
    blocking: impl Fn() -> isize,
) -> isize {
    let ready = at_once();
    if ready != 0 {
        hooks::spend();
        return ready;
    }
    if !hooks::may_wait() {
        return blocking();
    }
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut wait = Wait::until(set, "epoll_wait", deadline);
    loop {
        match wait.wait() {
            Next::Retry => {}
            Next::Fail(libc::ETIMEDOUT) => return at_once(),
            Next::Fail(number) => return error(number),
            Next::Block => return blocking(),
        }
        let ready = at_once();
        if ready != 0 {
            return ready;
        }
    }
}
