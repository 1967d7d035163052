//! The word on which `std::thread::park` waits, which belongs to the thread, so that its greenlets share it.
//!
//! std makes it "parked" and waits for it to become "notified"; whoever notifies looks whether it was "parked", and only then
//! wakes. Two cannot be parked on it at once: the second would wait, in std's code, for a word that says "parked" and does
//! not. So while greenlets wait for it the word is
//!
//! ```text
//!   empty     while others of the thread run: they may park, too
//!   parked    while the hub sleeps: then whoever notifies wakes it
//!   notified  found so before and after the hub's sleeps, and now and then in between: all who wait are woken
//! ```
//!
//! Whoever is woken makes the word "notified" again, which std then uses up. `park` may return without cause, so those who
//! were not meant look at their condition and park again; and the channels of std, which stand on it, work for any number of
//! greenlets that hear from other threads. A notification may be used up by somebody who did not have to wait: so, once
//! there were several, none trusts its sleep for longer than [`DOUBT`]. One that is alone does, though a neighbour may use up what was
//! meant for it: to wake it whenever others have run would cure that, and have `park` return without cause all the time, also to
//! those who do not look at their condition again.
//!
//! The word is found by asking std to park for no time.
#![expect(unsafe_code, reason = "reaches the word by its address")]

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::frame::error;
use super::futex_queue::{ALONG, Queue, WAITS, WOKEN, queue};
use crate::hub::hooks::{self, SleepWatch};

/// What the word holds when nobody is parked and nobody was notified, when somebody is parked, and when somebody was
/// notified: std's, of this Rust version. The word is found by the second; should they change, greenlets park in the kernel
/// again.
const EMPTY: u32 = 0;
/// See [`EMPTY`].
pub(super) const PARKED: u32 = u32::MAX;
/// See [`EMPTY`].
const NOTIFIED: u32 = 1;

/// How often std is asked for the word: a notification that comes just then takes the place of an answer, and somebody who
/// notifies in a loop takes that of nearly all.
const TRIES: u32 = 100_000;

/// How long a greenlet that shares the word believes that nobody meant it.
const DOUBT: Duration = Duration::from_millis(50);

thread_local! {
    /// The word's address; 0 when unknown.
    static OWN_WORD: Cell<usize> = const { Cell::new(0) };
    /// How many greenlets wait for it.
    static WAITERS: Cell<u32> = const { Cell::new(0) };
    /// Several have waited at once.
    static IS_SHARED: Cell<bool> = const { Cell::new(false) };
    /// The thread is being asked for its word.
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// One greenlet that waits for the word. While there is one, the word is there: its `park` holds on to the thread's handle.
struct Waits(());

impl Waits {
    /// From here on.
    fn enter() -> Waits {
        static WATCH: SleepWatch = SleepWatch { before, after };
        WAITERS.set(WAITERS.get() + 1);
        hooks::watch_sleep(Some(&WATCH));
        Waits(())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        WAITERS.set(WAITERS.get() - 1);
        if WAITERS.get() == 0 {
            hooks::watch_sleep(None);
        }
    }
}

/// Changes the thread's word. Only while somebody waits for it.
fn change(from: u32, to: u32) -> bool {
    // SAFETY: aligned (it was checked), and there, as somebody waits for it; others change it by atomic operations only.
    let cell = unsafe { AtomicU32::from_ptr(OWN_WORD.get() as *mut u32) };
    cell.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok()
}

/// The hub is about to sleep, or looks up from its work.
fn before() -> bool {
    if change(NOTIFIED, EMPTY) || !change(EMPTY, PARKED) && change(NOTIFIED, EMPTY) {
        let word = OWN_WORD.get();
        queue(word).wake(word, usize::MAX, ALONG);
        return false;
    }
    true
}

/// The hub has slept. What was notified meanwhile is found at the next look.
fn after() {
    change(PARKED, EMPTY);
}

/// Parks until the thread is notified, or the deadline.
pub(super) fn wait(queue: &Queue, word: usize, cell: &AtomicU32, deadline: Option<Instant>) -> isize {
    let woken = AtomicU8::new(WAITS);
    if !queue.enter(word, cell, PARKED, true, &woken) {
        return error(libc::EAGAIN);
    }
    let _waits = Waits::enter();
    change(PARKED, EMPTY);
    if queue.is_shared(word) && !IS_SHARED.replace(true) {
        // Those who had no doubts begin to have them.
        queue.wake(word, usize::MAX, ALONG);
    }
    loop {
        let doubt = if IS_SHARED.get() {
            Instant::now().checked_add(DOUBT)
        } else {
            None
        };
        if woken.load(Ordering::Acquire) == WAITS {
            let until = [deadline, doubt].into_iter().flatten().min();
            hooks::park_shielded(until, "thread::park");
        }
        match woken.load(Ordering::Acquire) {
            WAITS => {}
            WOKEN => {
                // It may have been meant for any of them.
                queue.wake(word, usize::MAX, ALONG);
                break;
            }
            _ => break,
        }
        let late = |at: Option<Instant>| at.is_some_and(|at| Instant::now() >= at);
        if late(deadline) && queue.leave(&woken) {
            return error(libc::ETIMEDOUT);
        }
        if late(doubt) && queue.leave(&woken) {
            break;
        }
    }
    // The caller uses that up at once, and with it what may have come for others.
    if cell.swap(NOTIFIED, Ordering::SeqCst) == NOTIFIED {
        queue.wake(word, usize::MAX, ALONG);
    }
    0
}

/// Whether the thread parks on this word.
pub(super) fn is_own(word: usize) -> bool {
    if OWN_WORD.get() == 0 {
        ask();
    }
    OWN_WORD.get() == word
}

/// Takes the word if the thread was asked for it.
pub(super) fn answer(word: usize) -> bool {
    if ASKING.get() {
        OWN_WORD.set(word);
    }
    ASKING.get()
}

/// Has std park the thread for no time, and sees on which word it does. Whoever was about to park is notified: what came
/// meanwhile was used up.
#[cold]
#[expect(clippy::disallowed_methods, reason = "the hook answers before anything is stopped")]
fn ask() {
    ASKING.set(true);
    for _ in 0..TRIES {
        std::thread::park_timeout(Duration::ZERO);
        if OWN_WORD.get() != 0 {
            break;
        }
    }
    std::thread::current().unpark();
    ASKING.set(false);
    if OWN_WORD.get() == 0 {
        // Not what std does any more.
        OWN_WORD.set(usize::MAX);
    }
}
