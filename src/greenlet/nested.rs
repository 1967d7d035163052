//! A stack on top of whoever runs: a generator's, a raw greenlet's.
//!
//! To the hub it is part of the greenlet (or thread) that resumed it. What belongs to the stack all the same is exchanged with
//! each switch: the word that says which stack it is, and the shields that were entered on it and not left.

use std::cell::Cell;
use std::io;
use std::panic::Location;

use crate::coroutine::{Coroutine, Status};
use crate::hub::nested::NestedStack;
use crate::hub::spawn;
use crate::stack::Stack;

/// What belongs to such a stack. Stays where it is for as long as it has one.
pub(super) struct Nested {
    /// Which it is.
    stack: NestedStack,
    /// The shields that it is in while suspended: its own, not those of whoever resumes it.
    shields: Cell<u32>,
}

impl Nested {
    /// Of something, in a word or two, that has no stack yet.
    pub(super) fn new(what: &'static str, made_at: &'static Location<'static>) -> Nested {
        Nested {
            stack: NestedStack::new(what, made_at),
            shields: Cell::new(0),
        }
    }

    /// Gives it a stack of the default size.
    ///
    /// # Errors
    ///
    /// As [`spawn::claim_stack`].
    pub(super) fn claim(&self) -> io::Result<Stack> {
        spawn::claim_stack(&self.stack)
    }

    /// Whether whoever runs is on this stack.
    pub(super) fn is_current(&self) -> bool {
        self.stack.is_current()
    }

    /// Switches to the stack, on top of whoever runs, until it suspends or finishes.
    pub(super) fn resume(&self, coroutine: &mut Coroutine) -> Status {
        let shields = spawn::shields();
        let inside = self.shields.get();
        if inside > 0 {
            spawn::set_shields(shields + inside);
        }
        let status = self.stack.on(|| coroutine.resume());
        let left_in = spawn::shields();
        if left_in != shields {
            self.shields.set(left_in.saturating_sub(shields));
            spawn::set_shields(shields);
        } else {
            self.shields.set(0);
        }
        status
    }
}
