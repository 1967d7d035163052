//! A point that a number of greenlets and threads pass together.
//!
//! All but the last stand in line; the last grants all of them and is the leader. One that is unwound in line leaves it, and
//! the count with it under the same lock, so that a round never begins short of one.

use super::wait_queue::{Handover, View, WaitQueue, Waited, refused};
use crate::hub::park;
use crate::primitive::const_unless_loom;
use std::fmt;

/// A barrier: [`std::sync::Barrier`] for greenlets, and for threads too.
///
/// ```
/// use iora::sync::Barrier;
///
/// let barrier = Barrier::new(3);
/// let leaders = iora::scope(|scope| {
///     let all: Vec<_> = (0..3).map(|_| scope.spawn(|| barrier.wait().is_leader())).collect();
///     all.into_iter().filter_map(|one| one.join().ok()).filter(|leads| *leads).count()
/// });
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    /// Who is there already.
    queue: WaitQueue<Round>,
}

/// The round that has not passed yet.
struct Round {
    /// How many have to come.
    size: usize,
    /// How many stand in line.
    arrived: usize,
}

impl Handover for Round {
    type Aside = ();
    type Ticket = ();

    fn take_back(_view: &mut View<'_, Round>, _line: usize, _ticket: &mut ()) {
        // It was unwound after its round had passed.
    }

    fn left(view: &mut View<'_, Round>, _line: usize) {
        view.state.arrived -= 1;
    }
}

impl Barrier {
    const_unless_loom! {
        /// A barrier that so many pass together. (One of size 0 is passed at once, as one of size 1.)
        pub const fn new(size: usize) -> Barrier {
            Barrier { queue: WaitQueue::new(Round { size, arrived: 0 }) }
        }
    }

    /// Waits until as many have come as the barrier is made for; one of them is told that it is the leader.
    ///
    /// Parks the greenlet until the last one comes. One that is killed or times out before that is not counted any more.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn wait(&self) -> BarrierWaitResult {
        park::spend();
        let waited = self.queue.wait(0, None, "barrier", |view| {
            if view.state.arrived + 1 < view.state.size {
                view.state.arrived += 1;
                return Err(());
            }
            view.state.arrived = 0;
            view.grant_all(0);
            Ok(())
        });
        match waited {
            Waited::AtOnce(()) => BarrierWaitResult(true),
            Waited::Granted(()) => BarrierWaitResult(false),
            Waited::TimedOut(()) | Waited::Refused(()) => refused("Barrier::wait"),
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// Whether a greenlet or thread is the leader of the round that passed. (std's type of this name cannot be made outside std.)
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// True for exactly one of those who passed together.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::wait_queue::End;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn nobody_is_a_round_ahead_and_each_round_has_a_leader() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 500;
        let barrier = Barrier::new(THREADS);
        let (come, leaders) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 1..=ROUNDS {
                        come.fetch_add(1, Ordering::SeqCst);
                        let leads = barrier.wait().is_leader();
                        leaders.fetch_add(usize::from(leads), Ordering::SeqCst);
                        assert!(come.load(Ordering::SeqCst) >= round * THREADS);
                        assert!(come.load(Ordering::SeqCst) <= (round + 1) * THREADS);
                    }
                });
            }
        });
        assert_eq!(leaders.into_inner(), ROUNDS);
    }

    #[test]
    fn who_is_unwound_in_line_is_not_counted() {
        let barrier = Barrier::new(2);
        let waiting = barrier.queue.enter(None, 0, End::Back, |view| {
            view.state.arrived += 1;
            Err::<(), ()>(())
        });
        drop(waiting);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| barrier.wait().is_leader());
            while barrier.queue.with(|view| view.count_in(0)) == 0 {
                std::thread::yield_now();
            }
            assert!(barrier.wait().is_leader());
            assert!(!first.join().unwrap());
        });
    }

    #[test]
    fn alone_one_passes_at_once() {
        assert!(Barrier::new(0).wait().is_leader());
        assert!(Barrier::new(1).wait().is_leader());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;
    use crate::sync::wait_queue::{End, Waiting};

    #[test]
    fn loom_barrier_lets_all_go_round_after_round() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let barrier = Arc::new(Barrier::new(2));
            let there = barrier.clone();
            let other = loom::thread::spawn(move || [there.wait().is_leader(), there.wait().is_leader()]);
            let here = [barrier.wait().is_leader(), barrier.wait().is_leader()];
            let there = other.join().unwrap();
            assert!(here[0] != there[0] && here[1] != there[1]);
        });
    }

    #[test]
    fn loom_barrier_waits_for_as_many_as_stay() {
        loom::model(|| {
            let barrier = Arc::new(Barrier::new(2));
            let (killed, there) = (barrier.clone(), barrier.clone());
            let killed = loom::thread::spawn(move || {
                let entered = killed.queue.enter(None, 0, End::Back, |view| {
                    if view.state.arrived > 0 {
                        return Ok(()); // the other one is there: this one does not come
                    }
                    view.state.arrived += 1;
                    Err(())
                });
                // Leaves at once, and says whether the round had passed before.
                matches!(entered.err().map(Waiting::end), Some(((), true)))
            });
            let other = loom::thread::spawn(move || there.wait().is_leader());
            if killed.join().unwrap() {
                assert!(other.join().unwrap());
            } else {
                assert!(barrier.wait().is_leader() != other.join().unwrap());
            }
        });
    }
}
