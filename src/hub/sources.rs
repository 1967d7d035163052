//! The record of a registered descriptor in its hub's table.

use std::collections::VecDeque;

use crate::collections::slab::Key;

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Until a read will not block.
    Read,
    /// Until a write will not block.
    Write,
}

/// One direction of a source.
#[derive(Default)]
pub(super) struct Half {
    /// An operation may succeed: try before waiting.
    pub(super) ready: bool,
    /// By the last event no operation will block ever again. An operation that blocks all the same proves it wrong:
    /// errors of a datagram socket pass.
    pub(super) closed: bool,
    /// A read may stop short of what is there: only one that would block proves that the descriptor drained.
    pub(super) urgent: bool,
    /// Who waits, first come first served.
    pub(super) waiters: VecDeque<Key>,
}

/// A registered descriptor.
#[derive(Default)]
pub(super) struct SourceState {
    /// Readers.
    pub(super) read: Half,
    /// Writers.
    pub(super) write: Half,
    /// The source was closed: every wait ends.
    pub(super) ended: bool,
}

impl SourceState {
    /// One of the two directions.
    pub(super) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}
