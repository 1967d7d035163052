//! A greenlet that gives up the thread lends its stack to the loop, for as long as the loop has nothing to do but resume.
//!
//! ```text
//!   thread's own stack          A's stack                         B's stack
//!   ──────────────────          ─────────                         ─────────
//!   turn: run A ──────────────▶ A parks: lends it to the loop
//!                               turn: run B ────────────────────▶ B wakes A and parks
//!                               turn: A is next, so A goes on ◀───
//! ```
//!
//! Two that pass something to and fro so switch half as often as over the thread's own stack, on which each way from one to
//! the other is two switches.
//!
//! 1. One stack at a time is lent, which [`Hub::lent`] says: whoever is resumed from there suspends to there.
//! 2. Only greenlets that have begun are resumed from there. For anything else (to look around, to start or to clear away a
//!    greenlet, the thread's own stack's turn, to sleep) the borrowed stack is given back first: that takes more room than is
//!    sure to be there, or runs somebody else's code.
//! 3. The lender is parked, or ready, like any other. Its turn comes in order, there or on the thread's own stack.
#![expect(unsafe_code, reason = "it resumes greenlets, as the loop does")]

use super::core::{Foreground, Hub};
use super::current;
use super::task::Body;
use crate::collections::slab::Key;
use crate::coroutine::Status;

impl Hub {
    /// Gives up the thread until it is the turn of the greenlet that calls, on its own stack.
    #[inline(always)]
    pub(super) fn give_up(&self) {
        let mine = self.foreground.get().expect("a running greenlet can be suspended");
        if self.lent.get() || !self.lend(mine) {
            mine.suspend(self.errno);
        }
    }

    /// Runs others from the stack of the greenlet that calls, which was resumed from the thread's own stack and gives up the thread,
    /// as long as that is all there is to do. Whether that was until its turn came; if not, it has to suspend. It does not do so
    /// itself, because its return would not be foreseen after that, see `park`.
    #[inline(never)]
    fn lend(&self, mine: Foreground) -> bool {
        let Some(me) = self.running.get() else { return false };
        self.lent.set(true);
        let _errno = self.errno.save();
        // Not `self`: see `run`.
        while let Some(hub) = current::hub() {
            match hub.next_begun(me) {
                Next::Me => {
                    hub.foreground.set(Some(mine));
                    hub.lent.set(false);
                    return true;
                }
                Next::Other(other) => {
                    // SAFETY: this is the loop, and as in `run`: the task owns the coroutine and stays in the slab until it has
                    // ended, and it is not ready before it has given up the thread.
                    let status = unsafe { other.resume() };
                    if status == Status::Finished {
                        // The loop on the thread's own stack clears it away: it is found `running`, and `lent` set.
                        return false;
                    }
                }
                Next::Nothing => {
                    hub.lent.set(false);
                    return false;
                }
            }
        }
        false
    }

    /// Begins the turn of who is next, if it can be resumed from a borrowed stack.
    #[inline(always)]
    fn next_begun(&self, me: Key) -> Next {
        if self.is_time_to_look() {
            return Next::Nothing;
        }
        self.fetch_ahead();
        let Some(key) = self.ready.get(0) else {
            return Next::Nothing;
        };
        // SAFETY: nobody else comes to the tasks before the last use of it.
        let Some(task) = (unsafe { self.task(key) }) else {
            return Next::Nothing;
        };
        let Body::Begun(coroutine) = &task.body else {
            return Next::Nothing;
        };
        let entrance = coroutine.entrance();
        self.ready.pop_front();
        self.begin_turn(task);
        self.renew_budget();
        self.running.set(Some(key));
        if key == me {
            return Next::Me;
        }
        // SAFETY: it is that of the greenlet that runs now.
        let other = unsafe { Foreground::new(entrance) };
        self.foreground.set(Some(other));
        Next::Other(other)
    }
}

/// Whose turn is next.
enum Next {
    /// The lender's.
    Me,
    /// Another greenlet's that has begun.
    Other(Foreground),
    /// Nobody's, or one that has to wait for the thread's own stack.
    Nothing,
}
