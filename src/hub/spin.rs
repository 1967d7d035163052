//! Whether an idle hub should look at its inbox for a few microseconds before it goes to sleep.
//!
//! To sleep in the kernel and be woken costs two threads about ten microseconds. Where hubs answer each other at once, the
//! answer is there sooner than that. So a hub spins, for [`LONGEST`] at most, but only when its last sleep was ended by
//! another thread within [`SHORT`]. A spin in vain ends it for one such sleep, the next in vain for two, and so on to
//! [`MOST_PATIENCE`]: where processors are scarce hubs soon do not spin at all. A hub that waits for descriptors and timers
//! never spins and never reads the clock for this.

use std::cell::Cell;
use std::hint;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

/// A sleep as short as this was not worth it.
const SHORT: Duration = Duration::from_micros(30);

/// The longest spin: a sleeping thread that is woken now answers sooner, on a processor that is free.
const LONGEST: Duration = Duration::from_micros(15);

/// After how many short sleeps, at the most, spinning is tried again.
const MOST_PATIENCE: u32 = 1024;

/// Looks at the inbox between two looks at the clock.
const LOOKS: u32 = 64;

/// What a hub remembers of its last sleeps.
pub(super) struct Spin {
    /// Another thread woke this hub since it last slept: sleeps are worth measuring.
    heard: Cell<bool>,
    /// Spin before the next sleep.
    worthwhile: Cell<bool>,
    /// Short sleeps to come before spinning is tried again.
    waiting: Cell<u32>,
    /// How many that will be after the next spin in vain.
    patience: Cell<u32>,
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
            waiting: Cell::new(0),
            patience: Cell::new(1),
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
        let until = Instant::now() + LONGEST;
        loop {
            for _ in 0..LOOKS {
                if has_messages() {
                    self.patience.set(1);
                    return true;
                }
                hint::spin_loop();
            }
            if Instant::now() >= until {
                self.worthwhile.set(false);
                self.waiting.set(self.patience.get());
                self.patience.set((self.patience.get() * 2).min(MOST_PATIENCE));
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
        if let Some(asleep) = asleep
            && by_message
            && asleep.elapsed() < SHORT
        {
            let waiting = self.waiting.get();
            self.waiting.set(waiting.saturating_sub(1));
            self.worthwhile.set(waiting == 0);
        }
    }
}
