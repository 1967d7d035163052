//! Those who wait for futexes, by the address of the word.
//!
//! A waiter compares the word under the lock of its queue, and whoever wakes changes the word before it takes that lock.
//!
//! Threads wait in the kernel beside the greenlets, also such as have greenlets: one of them is unwinding, say. A greenlet that was
//! woken is of no use to them: its own thread may be one that is stopped, and it may be long before it has passed the wake on. So
//! they are counted, and whoever wakes wakes one of them as well.
#![expect(unsafe_code, reason = "reaches words and waiters by their addresses")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use crate::hub::hooks;
use crate::hub::park::Unparker;
use crate::primitive::ShortLock;

/// A waiter is in its queue.
pub(super) const WAITS: u8 = 0;
/// A waiter was taken out by whoever wakes.
pub(super) const WOKEN: u8 = 1;
/// A waiter on a thread's word was taken out because another one was woken.
pub(super) const ALONG: u8 = 2;

/// Who is woken by somebody of the same thread, to a word that is not 0, is let run before the waker goes on once in so many times,
/// and only so long after the last time: see `futex` on writers.
const PATIENCE: (u32, Duration) = (16, Duration::from_millis(10));

/// Queues; a word's address chooses one.
const QUEUES: usize = 256;

/// Who waits for a word.
struct Waiter {
    /// The word's address.
    word: usize,
    /// Wakes it.
    unparker: Unparker,
    /// The word is its thread's.
    of_thread: bool,
    /// On the waiter's stack: set, as the last thing done, by whoever takes it from the queue.
    woken: *const AtomicU8,
}

// SAFETY: the pointer is used under the queue's lock only, while the waiter is in the queue: it leaves its frame only when
// it has been taken out. A stack with a waiter on it that is leaked stays mapped.
unsafe impl Send for Waiter {}

/// Those who wait for the words of some addresses.
pub(super) struct Queue {
    /// How many: looked at without the lock.
    count: AtomicUsize,
    /// How many threads wait in the kernel for the words, or are about to.
    threads: AtomicUsize,
    /// See there.
    waiters: ShortLock<Waiters>,
}

/// Those in one queue.
struct Waiters {
    /// In the order of their coming.
    line: VecDeque<Waiter>,
    /// How many were woken by somebody of their thread to a word that was not 0; wraps.
    overtaken: u32,
    /// When one of those was let run first.
    last_first: Option<Instant>,
}

impl Waiters {
    /// Whether it is time to let one run first that finds its word not 0. Asked for each of them.
    fn is_due(&mut self) -> bool {
        self.overtaken = self.overtaken.wrapping_add(1);
        if !self.overtaken.is_multiple_of(PATIENCE.0) {
            return false;
        }
        let now = Instant::now();
        let due = self.last_first.is_none_or(|last| now >= last + PATIENCE.1);
        if due {
            self.last_first = Some(now);
        }
        due
    }
}

/// All of them.
static TABLE: [Queue; QUEUES] = [const {
    Queue {
        count: AtomicUsize::new(0),
        threads: AtomicUsize::new(0),
        waiters: ShortLock::new(Waiters {
            line: VecDeque::new(),
            overtaken: 0,
            last_first: None,
        }),
    }
}; QUEUES];

/// The queue of a word.
pub(super) fn queue(word: usize) -> &'static Queue {
    &TABLE[(word >> 2).wrapping_mul(0x9E37_79B9) >> 8 & (QUEUES - 1)]
}

/// What came of a call that wakes.
#[derive(Default)]
pub(super) struct Woken {
    /// How many were woken.
    pub(super) woken: usize,
    /// One of them is of the calling thread, and is to run before the caller goes on: it finds the word 0, or it is time.
    pub(super) first: bool,
    /// Threads may wait in the kernel beside them.
    pub(super) in_kernel: bool,
}

/// Wakes up to `count` greenlets that wait for `word`.
pub(super) fn wake(word: usize, count: usize) -> Woken {
    let queue = queue(word);
    // After the change of the word, before the look at the count: the waiter does it the other way round.
    fence(Ordering::SeqCst);
    if count == 0 || queue.count.load(Ordering::SeqCst) == 0 {
        return Woken::default();
    }
    let mut result = queue.wake(word, count, WOKEN);
    // As with the count: a thread that is not counted yet finds the word changed.
    result.in_kernel = queue.threads.load(Ordering::SeqCst) > 0;
    result
}

impl Queue {
    /// Calls `wait`, by which the calling thread waits in the kernel.
    pub(super) fn beside<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.threads.fetch_add(1, Ordering::SeqCst);
        let result = wait();
        self.threads.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// Takes up to `count` waiters out and wakes them, telling them `how`.
    pub(super) fn wake(&self, word: usize, count: usize, how: u8) -> Woken {
        let mut result = Woken::default();
        while result.woken < count {
            let unparker = {
                let mut waiters = self.waiters.lock();
                let Some(place) = waiters.line.iter().position(|waiter| waiter.word == word) else {
                    break;
                };
                let waiter = waiters.line.remove(place).expect("it was found there");
                self.count.fetch_sub(1, Ordering::SeqCst);
                if !waiter.of_thread && hooks::is_local(waiter.unparker) {
                    // SAFETY: aligned (it was checked), and valid at least until the wait returns, as its caller vouched;
                    // the waiter cannot run while this runs on its thread.
                    let word = unsafe { AtomicU32::from_ptr(word as *mut u32) };
                    result.first |= word.load(Ordering::Relaxed) == 0 || waiters.is_due();
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

    /// Puts the caller in, if the word holds `value`; says whether it is the thread's.
    pub(super) fn enter(&self, word: usize, cell: &AtomicU32, value: u32, of_thread: bool, woken: &AtomicU8) -> bool {
        let mut waiters = self.waiters.lock();
        self.count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if cell.load(Ordering::SeqCst) != value {
            self.count.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        waiters.line.push_back(Waiter {
            word,
            unparker: Unparker::current(),
            of_thread,
            woken,
        });
        true
    }

    /// Takes `me` out; `false` if somebody has already.
    pub(super) fn leave(&self, me: &AtomicU8) -> bool {
        let mut waiters = self.waiters.lock();
        let place = waiters.line.iter().position(|waiter| std::ptr::eq(waiter.woken, me));
        if let Some(place) = place {
            waiters.line.remove(place);
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        place.is_some()
    }

    /// Whether somebody besides the caller waits for the word.
    pub(super) fn is_shared(&self, word: usize) -> bool {
        self.waiters
            .lock()
            .line
            .iter()
            .filter(|waiter| waiter.word == word)
            .nth(1)
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waits_for_the_word_is_woken() {
        let words: Vec<AtomicU32> = (0..1024).map(|_| AtomicU32::new(7)).collect();
        let address = |word: &AtomicU32| word.as_ptr().addr();
        let (one, others) = words.split_first().expect("some");
        let table = queue(address(one));
        let other = others.iter().find(|word| std::ptr::eq(queue(address(word)), table));
        let other = other.expect("there are fewer queues than words");
        let (first, second) = (AtomicU8::new(WAITS), AtomicU8::new(WAITS));
        assert!(
            !table.enter(address(one), one, 8, false, &first),
            "it holds something else"
        );
        assert!(table.enter(address(one), one, 7, false, &first));
        assert!(table.enter(address(other), other, 7, false, &second));
        assert_eq!(wake(address(other), usize::MAX).woken, 1);
        assert_eq!([&first, &second].map(|how| how.load(Ordering::Relaxed)), [WAITS, WOKEN]);
        assert!(table.leave(&first) && !table.leave(&second));
        assert_eq!(table.count.load(Ordering::Relaxed), 0);
        assert_eq!(wake(address(one), usize::MAX).woken, 0);
    }
}
