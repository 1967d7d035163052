//! The record of a registered descriptor in its hub's table.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

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
    /// By the last event no read will block ever again: it is `ready` too, and one that comes up short proves nothing. A read that
    /// blocks all the same proves it wrong: errors of a datagram socket pass. Never so of writes: where none will block, each fails.
    pub(super) closed: bool,
    /// A read may stop short of what is there: only one that would block proves that the descriptor drained.
    pub(super) urgent: bool,
    /// Who waits, first come first served.
    pub(super) waiters: Waiters,
}

impl Half {
    /// An operation came up short: there is no more to be had before the next event, as far as that is a proof.
    #[inline]
    pub(super) fn drained(&mut self) {
        self.ready = self.closed || self.urgent;
    }
}

/// Tasks in order of arrival. Mostly there is one, which needs no memory elsewhere. One whose operation waits itself stands here
/// more than once.
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
    #[inline]
    pub(super) fn front(&self) -> Option<Key> {
        self.first
    }

    /// One more, behind all others.
    #[inline]
    pub(super) fn push_back(&mut self, key: Key) {
        match self.first {
            None => self.first = Some(key),
            Some(_) => self.push_behind(key),
        }
    }

    /// [`push_back`](Self::push_back) where somebody waits.
    #[cold]
    fn push_behind(&mut self, key: Key) {
        self.more.get_or_insert_default().push_back(key);
    }

    /// Takes one out, wherever it stands; once.
    #[inline]
    pub(super) fn remove(&mut self, key: Key) {
        if self.more.is_some() {
            self.remove_among(key);
        } else if self.first == Some(key) {
            self.first = None;
        }
    }

    /// [`remove`](Self::remove) where there are or were several.
    #[cold]
    fn remove_among(&mut self, key: Key) {
        let Some(more) = &mut self.more else { return };
        if self.first == Some(key) {
            self.first = more.pop_front();
        } else if let Some(place) = more.iter().position(|other| *other == key) {
            more.remove(place);
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
    /// What is in the epoll set in place of its descriptor, which was there already.
    pub(super) duplicate: Option<OwnedFd>,
}

impl SourceState {
    /// One of the two directions.
    #[inline]
    pub(super) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::slab::Slab;

    #[test]
    fn who_waits_leaves_from_any_place_and_the_others_keep_their_order() {
        let mut slab = Slab::<u32>::new();
        let keys: Vec<Key> = (0..4).map(|number| slab.insert(number)).collect();
        let mut waiters = Waiters::default();
        let in_order = |waiters: &Waiters| waiters.iter().collect::<Vec<_>>();

        waiters.push_back(keys[0]);
        waiters.remove(keys[1]);
        assert_eq!(waiters.front(), Some(keys[0]));
        waiters.remove(keys[0]);
        assert!(waiters.is_empty());

        for key in &keys {
            waiters.push_back(*key);
        }
        waiters.remove(keys[2]);
        assert_eq!(in_order(&waiters), [keys[0], keys[1], keys[3]]);
        waiters.remove(keys[0]);
        assert_eq!(in_order(&waiters), [keys[1], keys[3]]);
        waiters.push_back(keys[2]);
        waiters.remove(keys[1]);
        waiters.remove(keys[3]);
        assert_eq!(in_order(&waiters), [keys[2]]);
        waiters.remove(keys[2]);
        assert!(waiters.is_empty());
        waiters.push_back(keys[3]);
        assert_eq!(in_order(&waiters), [keys[3]]);

        waiters.push_back(keys[0]);
        waiters.push_back(keys[0]);
        waiters.remove(keys[0]);
        assert_eq!(in_order(&waiters), [keys[3], keys[0]], "one place of two");
    }
}
