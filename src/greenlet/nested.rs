//! A stack on top of whoever runs: a generator's, a raw greenlet's.
//!
//! To the hub it is part of the greenlet (or thread) that resumed it. What belongs to the stack all the same is exchanged with
//! each switch: where its guard is, and the shields that were entered on it and not left.

use std::cell::Cell;

use crate::coroutine::{Coroutine, Status};
use crate::hub::spawn;

/// What belongs to such a stack.
#[derive(Default)]
pub(super) struct Nested {
    /// Where its guard begins.
    limit: Cell<usize>,
    /// The shields that it is in while suspended: its own, not those of whoever resumes it.
    shields: Cell<u32>,
}

impl Nested {
    /// Of a stack whose guard begins at `limit`.
    pub(super) fn new(limit: usize) -> Nested {
        let nested = Nested::default();
        nested.limit.set(limit);
        nested
    }

    /// The stack is there now; its guard begins at `limit`.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Whether whoever runs is on this stack.
    pub(super) fn is_current(&self) -> bool {
        spawn::is_on_stack(self.limit.get())
    }

    /// Switches to the stack, on top of whoever runs, until it suspends or finishes.
    pub(super) fn resume(&self, coroutine: &mut Coroutine) -> Status {
        let outer = spawn::replace_stack_limit(self.limit.get());
        let shields = spawn::shields();
        let inside = self.shields.get();
        if inside > 0 {
            spawn::set_shields(shields + inside);
        }
        let status = coroutine.resume();
        let left_in = spawn::shields();
        if left_in != shields {
            self.shields.set(left_in.saturating_sub(shields));
            spawn::set_shields(shields);
        } else {
            self.shields.set(0);
        }
        spawn::replace_stack_limit(outer);
        status
    }
}
