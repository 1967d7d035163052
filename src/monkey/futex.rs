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
//! meanwhile before it waits again. So whoever frees a lock (the word is 0) for a greenlet of its own thread lets that
//! one run first. Those who wake for other reasons go on: a condition is mostly notified with its mutex locked.
//!
//! # The thread's own word
//!
//! `std::thread::park` waits on a word that belongs to the thread, so greenlets of one thread share it. The word is found
//! by asking std to park for no time. Once one of them is woken there, all are: each is made to see the word as
//! notified. `park` may return without cause, so they look and park again; and the channels of std, which stand on
//! it, work for any number of greenlets that hear from other threads.
//!
//! Only what std asks for is taken (`FUTEX_WAIT_BITSET`, private). A plain `FUTEX_WAIT` blocks the thread: those who use it
//! (parking_lot) keep their queues in thread-locals, in which two greenlets of one thread must not stand.
#![expect(unsafe_code, reason = "defines a function of libc, and reads the words it is given")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use libc::timespec;

use super::frame::{THREAD, answer, error, is_on, system_call};
use super::time::span;
use crate::hub::hooks;
use crate::hub::park::Unparker;
use crate::primitive::ShortLock;

/// Queues; a word's address chooses one.
const QUEUES: usize = 256;

/// What a thread's word holds while somebody is parked, and when somebody was notified: std's, of this Rust version. The
/// word is found by the first; should they change, greenlets park in the kernel again.
const PARKED: u32 = u32::MAX;
/// See [`PARKED`].
const NOTIFIED: u32 = 1;

/// Who waits for a word.
struct Waiter {
    /// The word's address.
    word: usize,
    /// Wakes it.
    unparker: Unparker,
    /// On the waiter's stack: set, as the last thing done, by whoever takes it from the queue.
    woken: *const AtomicU8,
}

// SAFETY: the pointer is used under the queue's lock only, while the waiter is in the queue: it leaves its frame only when
// it has been taken out. A stack with a waiter on it that is leaked stays mapped.
unsafe impl Send for Waiter {}

/// Those who wait for the words of some addresses.
struct Queue {
    /// How many: looked at without the lock.
    count: AtomicUsize,
    /// In the order of their coming.
    waiters: ShortLock<VecDeque<Waiter>>,
}

/// All of them.
static TABLE: [Queue; QUEUES] = [const {
    Queue {
        count: AtomicUsize::new(0),
        waiters: ShortLock::new(VecDeque::new()),
    }
}; QUEUES];

thread_local! {
    /// The word on which the thread parks; 0 when unknown.
    static OWN_WORD: Cell<usize> = const { Cell::new(0) };
    /// Several greenlets have been parked on the thread's word at once.
    static IS_SHARED: Cell<bool> = const { Cell::new(false) };
    /// The thread is being asked for its word.
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// The queue of a word.
fn queue(word: usize) -> &'static Queue {
    &TABLE[(word >> 2).wrapping_mul(0x9E37_79B9) >> 8 & (QUEUES - 1)]
}

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
            if ASKING.get() {
                OWN_WORD.set(word);
                return error(libc::ETIMEDOUT);
            }
            let everybody = bits as u32 == u32::MAX;
            if !everybody || operation & libc::FUTEX_CLOCK_REALTIME != 0 || !is_on(THREAD) || !hooks::may_park() {
                return real(arguments);
            }
            wait(word, value as u32, limit as *const timespec)
        }
        WAKE | WAKE_BITS => {
            let Woken { woken, free } = wake(word, value);
            if woken >= value {
                if free && value == 1 {
                    hooks::yield_shielded();
                }
                return woken as isize;
            }
            let rest = real([word, arguments[1], value - woken, limit, arguments[4], bits]);
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

/// What came of a call that wakes.
#[derive(Default)]
struct Woken {
    /// How many were woken.
    woken: usize,
    /// One of them is of the calling thread, and finds the word 0.
    free: bool,
}

/// Wakes up to `count` greenlets that wait for `word`.
fn wake(word: usize, count: usize) -> Woken {
    let queue = queue(word);
    // After the change of the word, before the look at the count: the waiter does it the other way round.
    fence(Ordering::SeqCst);
    if count == 0 || queue.count.load(Ordering::SeqCst) == 0 {
        return Woken::default();
    }
    queue.wake(word, count, WOKEN)
}

impl Queue {
    /// Takes up to `count` waiters out and wakes them, telling them `how`.
    fn wake(&self, word: usize, count: usize, how: u8) -> Woken {
        let mut result = Woken::default();
        while result.woken < count {
            let unparker = {
                let mut waiters = self.waiters.lock();
                let Some(place) = waiters.iter().position(|waiter| waiter.word == word) else {
                    break;
                };
                let waiter = waiters.remove(place).expect("it was found there");
                self.count.fetch_sub(1, Ordering::SeqCst);
                if hooks::is_local(waiter.unparker) {
                    // SAFETY: aligned (it was checked), and valid at least until the wait returns, as its caller vouched;
                    // the waiter cannot run while this runs on its thread.
                    let word = unsafe { AtomicU32::from_ptr(word as *mut u32) };
                    result.free |= word.load(Ordering::Relaxed) == 0;
                }
                // SAFETY: its frame lives until it sees this, or takes itself out of the queue under this lock.
                unsafe { &*waiter.woken }.store(how, Ordering::Release);
                waiter.unparker
            };
            unparker.unpark();
            result.woken += 1;
        }
        result
    }

    /// Takes `me` out; `false` if somebody has already.
    fn leave(&self, me: &AtomicU8) -> bool {
        let mut waiters = self.waiters.lock();
        let place = waiters.iter().position(|waiter| std::ptr::eq(waiter.woken, me));
        if let Some(place) = place {
            waiters.remove(place);
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        place.is_some()
    }

    /// Has those who wait for the word look at it again.
    fn nudge(&self, word: usize) {
        let waiters: Vec<Unparker> = {
            let waiters = self.waiters.lock();
            waiters
                .iter()
                .filter(|waiter| waiter.word == word)
                .map(|waiter| waiter.unparker)
                .collect()
        };
        waiters.into_iter().for_each(Unparker::unpark);
    }

    /// Whether somebody besides the caller waits for the word.
    fn is_shared(&self, word: usize) -> bool {
        self.waiters
            .lock()
            .iter()
            .filter(|waiter| waiter.word == word)
            .nth(1)
            .is_some()
    }
}

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
    if value == PARKED && is_own(word) {
        return wait_own(queue, word, cell, deadline);
    }
    let woken = AtomicU8::new(WAITS);
    if !enqueue(queue, word, cell, value, &woken) {
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

/// Puts the caller in the queue, if the word holds `value`.
fn enqueue(queue: &Queue, word: usize, cell: &AtomicU32, value: u32, woken: &AtomicU8) -> bool {
    let mut waiters = queue.waiters.lock();
    queue.count.fetch_add(1, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    if cell.load(Ordering::SeqCst) != value {
        queue.count.fetch_sub(1, Ordering::SeqCst);
        return false;
    }
    waiters.push_back(Waiter {
        word,
        unparker: Unparker::current(),
        woken,
    });
    true
}

/// How long a greenlet that shares the thread's word believes that nobody meant it.
const DOUBT: Duration = Duration::from_millis(50);

/// As [`wait`], for the word of the thread, on which others of its greenlets may be parked.
///
/// Whoever returns leaves the word empty, so those who still wait are made to look: they put it back to parked, or find
/// that they were notified meanwhile. One notification may be used up between their looks by somebody who did not have to
/// wait: so, once there were several, none trusts its sleep for longer than [`DOUBT`].
fn wait_own(queue: &Queue, word: usize, cell: &AtomicU32, deadline: Option<Instant>) -> isize {
    /// Makes the word say that somebody is parked; `false` if it says that somebody was notified.
    fn claim(cell: &AtomicU32) -> bool {
        cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |seen| {
            (seen != NOTIFIED).then_some(PARKED)
        })
        .is_ok()
    }
    let woken = AtomicU8::new(WAITS);
    if !claim(cell) || !enqueue(queue, word, cell, PARKED, &woken) {
        queue.wake(word, usize::MAX, ALONG);
        return error(libc::EAGAIN);
    }
    if queue.is_shared(word) {
        IS_SHARED.set(true);
        queue.nudge(word);
    }
    let how = loop {
        let doubt = if IS_SHARED.get() {
            Instant::now().checked_add(DOUBT)
        } else {
            None
        };
        let until = [deadline, doubt].into_iter().flatten().min();
        hooks::park_shielded(until, "thread::park");
        match woken.load(Ordering::Acquire) {
            WAITS => {}
            how => break how,
        }
        let late = |at: Option<Instant>| at.is_some_and(|at| Instant::now() >= at);
        if late(deadline) {
            if queue.leave(&woken) {
                queue.nudge(word);
                return error(libc::ETIMEDOUT);
            }
        } else if late(doubt) {
            if queue.leave(&woken) {
                break ALONG;
            }
        } else if !claim(cell) && queue.leave(&woken) {
            break WOKEN;
        }
    };
    if how == WOKEN {
        // It may have been meant for any of them.
        queue.wake(word, usize::MAX, ALONG);
    }
    cell.store(NOTIFIED, Ordering::SeqCst);
    queue.nudge(word);
    0
}

/// A waiter is in its queue.
const WAITS: u8 = 0;
/// A waiter was taken out by whoever wakes.
const WOKEN: u8 = 1;
/// A waiter on a thread's word was taken out because another one was woken.
const ALONG: u8 = 2;

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

/// Whether the thread parks on this word.
fn is_own(word: usize) -> bool {
    if OWN_WORD.get() == 0 {
        ask();
    }
    OWN_WORD.get() == word
}

/// Has std park the thread for no time, and sees on which word it does. Whoever was about to park is notified: what came
/// meanwhile was used up.
#[cold]
#[expect(clippy::disallowed_methods, reason = "the hook answers before anything is stopped")]
fn ask() {
    ASKING.set(true);
    std::thread::park_timeout(Duration::ZERO);
    if OWN_WORD.get() == 0 {
        std::thread::park_timeout(Duration::ZERO);
    }
    std::thread::current().unpark();
    ASKING.set(false);
    if OWN_WORD.get() == 0 {
        // Not what std does any more.
        OWN_WORD.set(usize::MAX);
    }
}
