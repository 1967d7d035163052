//! The name servers that are asked, whose turn it is, and which of them live.
//!
//! They take turns. One that fails several times in a row is taken for dead: it is probed behind the clients' backs and
//! not used until it answers again. When all are dead all are used, for a guess is better than nothing.
//!
//! Shared by all hubs: every number stands for itself, so each is an atomic of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// After how many failures in a row an upstream is taken for dead.
const FAILURES_TO_DIE: u32 = 3;
/// The shortest and the longest time that one try waits.
const TRY_BOUNDS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(1500));
/// How long the first try waits when nothing is known about the upstream.
const FIRST_TRY: Duration = Duration::from_millis(800);

/// One name server.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// Its smoothed round-trip time in microseconds; 0 while unknown.
    round_trip: AtomicU32,
    /// How often in a row it failed.
    failures: AtomicU32,
    /// It answered a query with EDNS by FORMERR, and one without by an answer.
    without_edns: AtomicBool,
    /// It gives the question back in another case than it was asked in.
    folds_case: AtomicBool,
}

impl Upstream {
    /// One about which nothing is known.
    fn new(address: SocketAddr) -> Upstream {
        Upstream {
            address,
            round_trip: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            without_edns: AtomicBool::new(false),
            folds_case: AtomicBool::new(false),
        }
    }

    /// Whether it may be used.
    pub(crate) fn is_alive(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < FAILURES_TO_DIE
    }

    /// It answered, after this time.
    pub(crate) fn answered(&self, after: Duration) {
        self.failures.store(0, Ordering::Relaxed);
        let sample = u32::try_from(after.as_micros()).unwrap_or(u32::MAX).max(1);
        let smoothed = match self.round_trip.load(Ordering::Relaxed) {
            0 => sample,
            old => u32::try_from((u64::from(old) * 7 + u64::from(sample)) / 8)
                .unwrap_or(u32::MAX)
                .max(1),
        };
        self.round_trip.store(smoothed, Ordering::Relaxed);
    }

    /// It gave no answer, or none that helps. True if it is dead from now on.
    pub(crate) fn failed(&self) -> bool {
        // Two hubs may both see it die; saturating, so that years of failures do not bring it back.
        let before = self.failures.load(Ordering::Relaxed);
        self.failures.store(before.saturating_add(1), Ordering::Relaxed);
        before + 1 == FAILURES_TO_DIE
    }

    /// How long to wait for it before somebody else is asked, at the given try.
    pub(crate) fn patience(&self, tries_before: u32) -> Duration {
        let first = match self.round_trip.load(Ordering::Relaxed) {
            0 => FIRST_TRY,
            known => (Duration::from_micros(u64::from(known)) * 4).clamp(TRY_BOUNDS.0, TRY_BOUNDS.1),
        };
        first * 2_u32.saturating_pow(tries_before.min(8))
    }

    /// Whether it is to be asked with EDNS.
    pub(crate) fn takes_edns(&self) -> bool {
        !self.without_edns.load(Ordering::Relaxed)
    }

    /// It is to be asked without EDNS from now on.
    pub(crate) fn does_without_edns(&self) {
        self.without_edns.store(true, Ordering::Relaxed);
    }

    /// Whether it gives questions back in the case in which they were asked.
    pub(crate) fn keeps_case(&self) -> bool {
        !self.folds_case.load(Ordering::Relaxed)
    }

    /// It does not give questions back in the case in which they were asked.
    pub(crate) fn does_not_keep_case(&self) {
        self.folds_case.store(true, Ordering::Relaxed);
    }
}

/// All name servers.
#[derive(Debug)]
pub(crate) struct Upstreams {
    /// In the order in which they were given.
    list: Vec<Upstream>,
    /// Whose turn is next.
    turn: AtomicUsize,
}

impl Upstreams {
    /// At least one address.
    pub(crate) fn new(addresses: &[SocketAddr]) -> Upstreams {
        Upstreams {
            list: addresses.iter().copied().map(Upstream::new).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Upstream] {
        &self.list
    }

    /// Whom to ask for one query, first to last, as indices into [`Upstreams::all`]: the living from the one whose turn it
    /// is, or all if none lives.
    pub(crate) fn in_turn(&self) -> Vec<usize> {
        let count = self.list.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let order = (first..count).chain(0..first);
        let living: Vec<usize> = order.clone().filter(|&index| self.list[index].is_alive()).collect();
        if living.is_empty() { order.collect() } else { living }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Upstreams {
        let addresses = [1, 2, 3].map(|last| SocketAddr::from(([192, 0, 2, last], 53)));
        Upstreams::new(&addresses)
    }

    fn die(upstream: &Upstream) {
        let deaths = (0..FAILURES_TO_DIE + 2).filter(|_| upstream.failed()).count();
        assert_eq!(deaths, 1, "a death is told once");
    }

    #[test]
    fn they_take_turns() {
        let upstreams = three();
        assert_eq!(upstreams.in_turn(), [0, 1, 2]);
        assert_eq!(upstreams.in_turn(), [1, 2, 0]);
        assert_eq!(upstreams.in_turn(), [2, 0, 1]);
        assert_eq!(upstreams.in_turn(), [0, 1, 2]);
    }

    #[test]
    fn a_dead_one_is_left_out_until_it_answers() {
        let upstreams = three();
        die(&upstreams.all()[1]);
        assert_eq!(upstreams.in_turn(), [0, 2]);
        assert_eq!(upstreams.in_turn(), [2, 0]);
        upstreams.all()[1].answered(Duration::from_millis(1));
        assert_eq!(upstreams.in_turn(), [2, 0, 1]);
    }

    #[test]
    fn when_all_are_dead_all_are_asked() {
        let upstreams = three();
        upstreams.all().iter().for_each(die);
        assert_eq!(upstreams.in_turn().len(), 3);
    }

    #[test]
    fn patience_follows_the_round_trip_and_doubles() {
        let upstreams = three();
        let one = &upstreams.all()[0];
        assert_eq!(one.patience(0), FIRST_TRY);
        assert_eq!(one.patience(1), FIRST_TRY * 2);
        one.answered(Duration::from_millis(100));
        assert_eq!(one.patience(0), Duration::from_millis(400));
        for _ in 0..100 {
            one.answered(Duration::from_millis(10));
        }
        assert_eq!(one.patience(0), TRY_BOUNDS.0);
    }
}
