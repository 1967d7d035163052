//! How far a record with two owners has come: the greenlet that ends and the handle that learns of it.
//!
//! The record holds an outcome. One byte says whose the outcome is, and which of the two frees the record:
//!
//! | bit | set by | means |
//! | --- | --- | --- |
//! | `ENDED` | the greenlet | the outcome is there; it is the handle's, if there was a handle then |
//! | `HANDLE_GONE` | the handle | before `ENDED`: the outcome will be the greenlet's to drop |
//! | `TASK_GONE` | the greenlet | it does not touch the record any more |
//! | `ATTENDED` | anyone by way of the handle | somebody stands in line for the end: the greenlet has to look there |
//!
//! 1. Bits are set once and never reset.
//! 2. Whichever owner leaves second is told so, and is the only one to be told: it frees the record.
//! 3. What an owner did to the record before it left is seen by the one who frees it; what the greenlet did before `ENDED` by
//!    whoever sees `ENDED`.
//! 4. An end that nobody attends is one exchange, and whoever comes second needs none: it sees that it is alone.

use crate::primitive::atomic::{AtomicU8, Ordering};
use crate::primitive::const_unless_loom;

/// The outcome is there.
const ENDED: u8 = 1;
/// The handle is gone.
const HANDLE_GONE: u8 = 2;
/// The greenlet is gone.
const TASK_GONE: u8 = 4;
/// Somebody stands in line for the end.
const ATTENDED: u8 = 8;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    const_unless_loom! {
        /// The greenlet has not ended; both owners are there.
        pub(crate) const fn new() -> Phase {
            Phase(AtomicU8::new(0))
        }
    }

    /// Whether the outcome is there.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) & ENDED != 0
    }

    /// Whether [`end_and_leave`](Self::end_and_leave) would succeed if nobody else does anything.
    #[inline]
    pub(crate) fn is_unattended(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// The greenlet ends and leaves in one step, if the handle is there and nobody attends. Then the outcome, and the
    /// record, are the handle's: the greenlet does not touch them any more.
    #[inline]
    pub(crate) fn end_and_leave(&self) -> bool {
        self.0
            .compare_exchange(0, ENDED | TASK_GONE, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// The greenlet ends. Whether the outcome is the handle's; otherwise it stays the greenlet's.
    #[inline]
    pub(crate) fn end(&self) -> bool {
        let before = self.0.load(Ordering::Acquire);
        if before & HANDLE_GONE != 0 {
            // It is alone.
            self.0.store(before | ENDED, Ordering::Relaxed);
            return false;
        }
        self.0.fetch_or(ENDED, Ordering::AcqRel) & HANDLE_GONE == 0
    }

    /// The greenlet, which has ended, leaves. Whether it has to free the record.
    #[inline]
    pub(crate) fn leave_as_task(&self) -> bool {
        self.0.load(Ordering::Acquire) & HANDLE_GONE != 0
            || self.0.fetch_or(TASK_GONE, Ordering::AcqRel) & HANDLE_GONE != 0
    }

    /// The handle leaves if the greenlet has not ended, and so leaves the outcome to it. Whether it did.
    #[inline]
    pub(crate) fn detach(&self) -> bool {
        let mut before = self.0.load(Ordering::Acquire);
        while before & ENDED == 0 {
            match self
                .0
                .compare_exchange_weak(before, before | HANDLE_GONE, Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(now) => before = now,
            }
        }
        false
    }

    /// The handle leaves a greenlet that has ended. Whether it has to free the record.
    #[inline]
    pub(crate) fn leave_as_handle(&self) -> bool {
        self.0.load(Ordering::Acquire) & TASK_GONE != 0
            || self.0.fetch_or(HANDLE_GONE, Ordering::AcqRel) & TASK_GONE != 0
    }

    /// Somebody is about to stand in line for the end. Whether the greenlet will look at the line, or is about to; otherwise it
    /// has gone, perhaps without a look.
    #[inline]
    pub(crate) fn attend(&self) -> bool {
        self.0.fetch_or(ATTENDED, Ordering::AcqRel) & TASK_GONE == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_unattended_end_leaves_everything_to_the_handle() {
        let phase = Phase::new();
        assert!(!phase.has_ended() && phase.is_unattended());
        assert!(phase.end_and_leave());
        assert!(phase.has_ended());
        assert!(!phase.detach());
        assert!(phase.leave_as_handle());
        assert!(!phase.attend());
    }

    #[test]
    fn a_detached_one_keeps_its_outcome_and_frees_the_record() {
        let phase = Phase::new();
        assert!(phase.detach());
        assert!(!phase.end_and_leave());
        assert!(!phase.end());
        assert!(phase.leave_as_task());
    }

    #[test]
    fn an_attended_end_is_told_in_two_steps() {
        let phase = Phase::new();
        assert!(phase.attend());
        assert!(!phase.is_unattended() && !phase.end_and_leave());
        assert!(phase.end());
        assert!(phase.attend());
        assert!(!phase.leave_as_task());
        assert!(!phase.attend());
        assert!(phase.leave_as_handle());
    }

    #[test]
    fn a_handle_that_leaves_between_end_and_leave_does_not_free() {
        let phase = Phase::new();
        phase.attend();
        assert!(phase.end());
        assert!(!phase.detach());
        assert!(!phase.leave_as_handle());
        assert!(phase.leave_as_task());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;

    use super::*;
    use crate::primitive::Arc;
    use crate::primitive::atomic::AtomicUsize;

    /// A record with an outcome; loom reports two who touch it at a time.
    struct Record {
        /// Whose turn it is.
        phase: Phase,
        /// Written at the end, and again by whoever drops what is there.
        outcome: UnsafeCell<()>,
        /// How often the outcome was dropped.
        dropped: AtomicUsize,
        /// How often the record was freed.
        freed: AtomicUsize,
        /// The greenlet has looked at the line.
        told: AtomicUsize,
    }

    impl Record {
        /// Nothing has happened.
        fn new() -> Arc<Record> {
            Arc::new(Record {
                phase: Phase::new(),
                outcome: UnsafeCell::new(()),
                dropped: AtomicUsize::new(0),
                freed: AtomicUsize::new(0),
                told: AtomicUsize::new(0),
            })
        }

        /// Drops the outcome.
        fn drop_outcome(&self) {
            self.outcome.with_mut(|_| ());
            assert_eq!(self.dropped.fetch_add(1, Ordering::Relaxed), 0);
        }

        /// Frees the record.
        fn free(&self) {
            self.outcome.with_mut(|_| ());
            assert_eq!(self.freed.fetch_add(1, Ordering::Relaxed), 0);
        }

        /// The greenlet's part.
        fn end(&self) {
            self.outcome.with_mut(|_| ());
            if self.phase.end_and_leave() {
                return;
            }
            if !self.phase.end() {
                self.drop_outcome();
            }
            self.told.store(1, Ordering::Release);
            if self.phase.leave_as_task() {
                self.free();
            }
        }

        /// The handle's part.
        fn drop_handle(&self) {
            if self.phase.has_ended() || !self.phase.detach() {
                self.drop_outcome();
                if self.phase.leave_as_handle() {
                    self.free();
                }
            }
        }
    }

    /// Runs `handle` with the handle, beside the greenlet's end.
    fn model(handle: fn(&Record)) {
        loom::model(move || {
            let record = Record::new();
            let greenlet = {
                let record = record.clone();
                loom::thread::spawn(move || record.end())
            };
            handle(&record);
            record.drop_handle();
            greenlet.join().unwrap();
            assert_eq!(record.dropped.load(Ordering::Relaxed), 1);
            assert_eq!(record.freed.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn loom_phase_has_one_who_drops_and_one_who_frees() {
        model(|_| ());
    }

    #[test]
    fn loom_phase_misses_nobody_who_attends() {
        model(|record| {
            if record.phase.attend() {
                while record.told.load(Ordering::Acquire) == 0 {
                    loom::thread::yield_now();
                }
            }
        });
    }

    #[test]
    fn loom_phase_is_told_by_the_end_what_the_greenlet_did() {
        model(|record| {
            if record.phase.has_ended() {
                record.outcome.with(|_| ());
            }
        });
    }
}
