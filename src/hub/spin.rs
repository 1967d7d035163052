//! Whether an idle hub should look at its inbox for a few microseconds before it goes to sleep.
//!
//! To sleep in the kernel and be woken costs two threads about ten microseconds. Where hubs answer each other at once, the
//! answer is there sooner than that. So a hub spins, but only when its last sleep was ended by another thread within
//! [`SHORT`], and no longer than that; the first spin in vain ends it until the next such sleep. A hub that waits for
//! descriptors and timers never spins and never reads the clock for this.

use std::cell::Cell;
use std::hint;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

/// A sleep that was not worth it, and the longest spin.
const SHORT: Duration = Duration::from_micros(30);

/// Looks at the inbox between two looks at the clock.
const LOOKS: u32 = 64;

/// What a hub remembers of its last sleeps.
pub(super) struct Spin {
    /// Another thread woke this hub since it last slept: sleeps are worth measuring.
    heard: Cell<bool>,
    /// The last sleep was short, and no spin was in vain since.
    worthwhile: Cell<bool>,
    /// There is a second processor for the thread that is to answer.
    possible: bool,
}

impl Spin {
    /// A hub that has not slept.
    pub(super) fn new() -> Spin {
        static PROCESSORS: Lazy<usize> =
            Lazy::new(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get));
        Spin {
            heard: Cell::new(false),
            worthwhile: Cell::new(false),
            possible: *PROCESSORS > 1,
        }
    }

    /// A message of another thread was read.
    #[inline]
    pub(super) fn heard(&self) {
        self.heard.set(true);
    }

    /// Spins if that is worth it. Whether `has_messages` came true.
    #[inline]
    pub(super) fn spin(&self, has_messages: impl Fn() -> bool) -> bool {
        self.worthwhile.get() && self.spin_now(has_messages)
    }

    /// The work of [`spin`](Self::spin).
    #[cold]
    fn spin_now(&self, has_messages: impl Fn() -> bool) -> bool {
        let until = Instant::now() + SHORT;
        loop {
            for _ in 0..LOOKS {
                if has_messages() {
                    return true;
                }
                hint::spin_loop();
            }
            if Instant::now() >= until {
                self.worthwhile.set(false);
                return false;
            }
        }
    }

    /// The hub goes to sleep: when, if it is worth knowing.
    #[inline]
    pub(super) fn fall_asleep(&self) -> Option<Instant> {
        (self.possible && self.heard.take()).then(Instant::now)
    }

    /// The hub woke up, because of a message or not.
    #[inline]
    pub(super) fn wake_up(&self, asleep: Option<Instant>, by_message: bool) {
        if let Some(asleep) = asleep {
            self.worthwhile.set(by_message && asleep.elapsed() < SHORT);
        }
    }
}
