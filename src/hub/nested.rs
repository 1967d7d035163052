//! Stacks on top of whoever runs (a generator's, a raw greenlet's): what the report of an overflow has to know of them.
//!
//! The thread keeps one word that says which of them it is on (see `current`): the address of its record, or zero for none. A
//! greenlet that is suspended on one takes the word with it.
#![expect(unsafe_code, reason = "the record is found by its address in a signal handler")]

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::panic::Location;
use std::ptr;

use super::current;
use crate::stack::overflow::Nested;
use crate::stack::{self, Stack};
use crate::sys::map;

/// The record of such a stack.
pub(crate) struct NestedStack {
    /// What it is the stack of.
    what: &'static str,
    /// Where that was made.
    made_at: &'static Location<'static>,
    /// Where the guard begins, and how large it is; zeros while there is no stack.
    place: Cell<(usize, usize)>,
}

impl NestedStack {
    /// The record of something without a stack yet.
    pub(crate) fn new(what: &'static str, made_at: &'static Location<'static>) -> NestedStack {
        NestedStack {
            what,
            made_at,
            place: Cell::new((0, 0)),
        }
    }

    /// A stack of the default size for it.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(super) fn claim(&self) -> io::Result<Stack> {
        let size = stack::default_size();
        let stack = stack::reserve(size)?.claim()?;
        self.place.set((stack.limit().get(), size));
        Ok(stack)
    }

    /// Whether whoever runs is on it.
    pub(crate) fn is_current(&self) -> bool {
        current::stack_mark() == self.mark()
    }

    /// Whoever runs goes on to it, calls `switch`, and is back then.
    pub(crate) fn on<R>(&self, switch: impl FnOnce() -> R) -> R {
        let outer = current::replace_stack_mark(self.mark());
        let result = switch();
        current::replace_stack_mark(outer);
        result
    }

    /// The word for it.
    fn mark(&self) -> usize {
        ptr::from_ref(self).expose_provenance()
    }
}

/// What there is to say of the stack with this word, and where its guard is, if it is one of these. Called by the fault
/// handler: it only reads.
pub(super) fn describe(mark: usize) -> Option<(Range<usize>, Nested)> {
    let record: *const NestedStack = ptr::with_exposed_provenance(mark);
    // SAFETY: it is null or made by `on`, of a record that is borrowed until the word is replaced. What is suspended in
    // between has its word saved on its stack, beside that borrow, and if it is never resumed both stay.
    let record = unsafe { record.as_ref() }?;
    let (limit, size) = record.place.get();
    let nested = Nested {
        what: record.what,
        made_at: record.made_at,
        size,
    };
    Some((limit..limit + map::page_size(), nested))
}
