//! When a sleeping hub wakes up for its alarms: two timer descriptors, called bells.
//!
//! To wake an idle processor costs as much as ten sleepers or more, so a hub wakes up a little after the first deadline, and
//! what is due meanwhile costs no turn of its own.
//!
//! Half of that price is paid for setting the processor's clock to an event that is near, on a virtual machine above all. So
//! where alarms come in crowds the hub wakes up in a rhythm, and sets the next ring but one before the next: as long as
//! another ring is nearer there is nothing to be done, and when that has come the kernel sets the clock anew in any case.
//!
//! ```text
//!          1          2          3          4
//!    ──────▼██────────▼██────────▼──────────▼───── ─ ─ ▶ time
//!            └ sets 3   └ sets 4
//! ```
//!
//! Rings are never early for an alarm. One that was set for an alarm that was cancelled costs a needless turn, and the rhythm
//! another one when a crowd has passed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::sys::timer_fd::TimerFd;

/// From ring to ring where alarms come in crowds: half of them are late by less than half of this and what a wake-up takes. No
/// simple fraction of a millisecond: who sleeps for whole milliseconds again and again would be due just after a ring each
/// time.
const PERIOD: Duration = Duration::from_micros(207);

/// How many alarms between two rings are a crowd. Fewer cost less than the ring.
const CROWD: usize = 8;

/// So long after the first deadline the clock rings when there are [`MANY`] alarms and no crowd.
const GRAIN: Duration = Duration::from_micros(140);

/// The same when there are fewer alarms: hardly more than one is due within it, unless they were set together.
const FINE_GRAIN: Duration = Duration::from_micros(20);

/// See [`GRAIN`].
const MANY: usize = 64;

/// How many bells there are.
pub(super) const BELLS: usize = 2;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct AlarmClock {
    /// Each is in the hub's epoll set, edge-triggered, and never read.
    bells: [TimerFd; BELLS],
    /// When each will ring, if it is set. Told by [`rang`](AlarmClock::rang), so it may have rung already.
    armed: [Option<Instant>; BELLS],
    /// How many alarms fired since the last ring.
    fired: usize,
    /// A crowd fired between the last two rings.
    crowded: bool,
}

impl AlarmClock {
    /// One that is not set.
    pub(super) fn new() -> io::Result<AlarmClock> {
        Ok(AlarmClock {
            bells: [TimerFd::new()?, TimerFd::new()?],
            armed: [None; BELLS],
            fired: 0,
            crowded: false,
        })
    }

    /// What the poller has to know.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; BELLS] {
        self.bells.each_ref().map(TimerFd::as_fd)
    }

    /// Makes sure that it rings in time for `count` alarms, the first of them at `first`.
    pub(super) fn set_for_alarms(&mut self, first: Instant, count: usize) -> io::Result<()> {
        let grain = match count {
            _ if self.crowded => PERIOD,
            MANY.. => GRAIN,
            _ => FINE_GRAIN,
        };
        self.set(first + grain)?;
        if self.crowded
            // One is set for this sleep: the other one for the next.
            && let [Some(at), None] | [None, Some(at)] = self.armed
        {
            self.arm(at.max(first) + PERIOD)?;
        }
        Ok(())
    }

    /// Makes sure that it rings at `at` or before.
    pub(super) fn set(&mut self, at: Instant) -> io::Result<()> {
        if self.armed.iter().flatten().any(|armed| *armed <= at) {
            return Ok(());
        }
        self.arm(at)
    }

    /// Sets a bell that is not set, or else the one that would ring last.
    fn arm(&mut self, at: Instant) -> io::Result<()> {
        let [first, second] = self.armed;
        let bell = usize::from(first.is_some() && second.is_none_or(|second| first < Some(second)));
        self.bells[bell].set(at)?;
        self.armed[bell] = Some(at);
        Ok(())
    }

    /// A bell has rung.
    pub(super) fn rang(&mut self, bell: usize) {
        self.armed[bell] = None;
        self.crowded = self.fired >= CROWD;
        self.fired = 0;
    }

    /// So many alarms fired.
    #[inline]
    pub(super) fn fired(&mut self, count: usize) {
        self.fired += count;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sys::poll;

    /// Far enough that nothing rings during a test.
    const HOUR: Duration = Duration::from_secs(3600);

    /// When the bells will ring, in order.
    fn rings(clock: &AlarmClock) -> Vec<Instant> {
        let mut rings: Vec<_> = clock.armed.iter().flatten().copied().collect();
        rings.sort();
        rings
    }

    /// One that rang after a crowd.
    fn crowded() -> AlarmClock {
        let mut clock = AlarmClock::new().unwrap();
        clock.fired(CROWD);
        clock.rang(0);
        clock
    }

    #[test]
    fn few_alarms_ring_sooner_than_many() {
        let first = Instant::now() + HOUR;
        for (count, grain) in [(1, FINE_GRAIN), (MANY - 1, FINE_GRAIN), (MANY, GRAIN)] {
            let mut clock = AlarmClock::new().unwrap();
            clock.set_for_alarms(first, count).unwrap();
            assert_eq!(rings(&clock), [first + grain]);
        }
    }

    #[test]
    fn a_crowd_has_the_next_ring_but_one_set_too() {
        let first = Instant::now() + HOUR;
        let mut clock = crowded();
        clock.set_for_alarms(first, MANY).unwrap();
        let (next, after) = (first + PERIOD, first + 2 * PERIOD);
        assert_eq!(rings(&clock), [next, after]);
        // In the rhythm nothing is set but one ring for each that rang.
        clock.set_for_alarms(first + PERIOD / 2, MANY).unwrap();
        assert_eq!(rings(&clock), [next, after]);
        clock.fired(CROWD);
        let bell = usize::from(clock.armed[1] == Some(next));
        clock.rang(bell);
        clock.set_for_alarms(next, MANY).unwrap();
        assert_eq!(rings(&clock), [after, after + PERIOD]);
    }

    #[test]
    fn when_the_crowd_has_passed_one_ring_at_a_time_is_set() {
        let first = Instant::now() + HOUR;
        let mut clock = crowded();
        clock.fired(CROWD - 1);
        clock.rang(1);
        clock.set_for_alarms(first, MANY).unwrap();
        assert_eq!(rings(&clock), [first + GRAIN]);
    }

    #[test]
    fn a_ring_that_was_missed_does_not_set_the_rhythm() {
        let now = Instant::now();
        let mut clock = crowded();
        clock.set(now).unwrap();
        clock.set_for_alarms(now + HOUR, MANY).unwrap();
        assert_eq!(rings(&clock), [now, now + HOUR + PERIOD]);
    }

    #[test]
    fn an_earlier_ring_takes_the_place_of_the_last() {
        let at = Instant::now() + HOUR;
        let mut clock = AlarmClock::new().unwrap();
        for (set, expected) in [
            (5, vec![5]),
            (6, vec![5]),
            (4, vec![4, 5]),
            (4, vec![4, 5]),
            (2, vec![2, 4]),
            (3, vec![2, 4]),
            (1, vec![1, 2]),
        ] {
            clock.set(at + set * HOUR).unwrap();
            let expected: Vec<_> = expected.into_iter().map(|hours| at + hours * HOUR).collect();
            assert_eq!(rings(&clock), expected);
        }
    }

    #[test]
    fn each_bell_rings_when_it_was_set_to_and_not_before() {
        let mut clock = AlarmClock::new().unwrap();
        let at = [1, 2].map(|count| Instant::now() + count * Duration::from_millis(5));
        // The later one first, or the earlier one would do for both.
        clock.set(at[1]).unwrap();
        clock.set(at[0]).unwrap();
        for (bell, at) in [(1, at[0]), (0, at[1])] {
            assert_eq!(clock.armed[bell], Some(at));
            assert!(poll::wait_readable(&clock.bells[bell], None).unwrap());
            assert!(Instant::now() >= at);
        }
    }
}
