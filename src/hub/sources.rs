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
    pub(super) waiters: Waiters,
}

/// Tasks in order of arrival. Mostly there is one, which needs no memory elsewhere.
#[derive(Default)]
pub(super) struct Waiters {
    /// Who came first; `None` only if nobody waits.
    first: Option<Key>,
    /// Those behind, once there were any.
    #[expect(clippy::box_collection, reason = "a pointer in each source instead of a deque")]
    more: Option<Box<VecDeque<Key>>>,
}

impl Waiters {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Who came first.
    pub(super) fn front(&self) -> Option<Key> {
        self.first
    }

    /// One more, behind all others.
    pub(super) fn push_back(&mut self, key: Key) {
        match self.first {
            None => self.first = Some(key),
            Some(_) => self.more.get_or_insert_default().push_back(key),
        }
    }

    /// Takes one out, wherever it stands.
    pub(super) fn remove(&mut self, key: Key) {
        if self.first == Some(key) {
            self.first = self.more.as_mut().and_then(|more| more.pop_front());
        } else if let Some(more) = &mut self.more {
            more.retain(|other| *other != key);
        }
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Key> {
        self.first
            .into_iter()
            .chain(self.more.iter().flat_map(|more| more.iter().copied()))
    }
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
