//! The front of a queue: items that getters take without the queue's lock.
//!
//! ```text
//! putters ──► [ store ]  ── whole, when the front is empty ──►  [ front ] ──► getters
//!             the queue's lock                                  a lock of its own
//! ```
//!
//! So a putter and a getter that run on two processors seldom touch what the other has just written.
//!
//! 1. The items of the front come before those of the store. It grows under the queue's lock only, and by a whole store only when
//!    it is empty.
//! 2. Its lock is taken after the queue's, or alone. Its length changes under its lock; without it, who holds the queue's
//!    lock knows an upper bound.
//! 3. If somebody waits for room and the front is not empty, `wanted` is set; whoever takes an item and finds it set lets in whom
//!    there is room for. It is set in the section in which the wait begins.

use super::store::Store;
use crate::primitive::atomic::{AtomicUsize, Ordering};
use crate::primitive::{ShortLock, const_unless_loom};
use std::mem;

/// See the top of the file. In a cache line of its own.
#[repr(align(64))]
pub(super) struct Front<S> {
    /// How many items there are.
    len: AtomicUsize,
    /// What its lock protects.
    inner: ShortLock<Inner<S>>,
}

/// What the lock protects.
struct Inner<S> {
    /// The items.
    items: S,
    /// Somebody waits for room; see invariant 3.
    wanted: bool,
}

impl<S: Store> Front<S> {
    const_unless_loom! {
        /// With these items, which are none.
        pub(super) const fn new(items: S) -> Front<S> {
            Front { len: AtomicUsize::new(0), inner: ShortLock::new(Inner { items, wanted: false }) }
        }
    }

    /// How many items there are: exactly if it is 0 and the caller holds the queue's lock, else there may be fewer by now.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Takes the first item, and whether there is room now that somebody waits for.
    #[inline(always)]
    pub(super) fn take(&self) -> Option<(S::Item, bool)> {
        if !S::IN_ORDER || self.len() == 0 {
            return None;
        }
        let mut inner = self.inner.lock();
        let item = inner.items.take()?;
        self.len.store(inner.items.len(), Ordering::Relaxed);
        Some((item, mem::take(&mut inner.wanted)))
    }

    /// Looks at the first item.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&S::Item) -> R) -> Option<R> {
        if self.len() == 0 {
            return None;
        }
        self.inner.lock().items.peek().map(look)
    }

    /// Under the queue's lock: takes over the whole store, if it is empty. Somebody waits for room if `wanted`.
    #[inline(always)]
    pub(super) fn refill(&self, store: &mut S, wanted: bool) {
        if S::IN_ORDER && store.len() > 0 && self.len() == 0 {
            let mut inner = self.inner.lock();
            self.len.store(store.len(), Ordering::Relaxed);
            mem::swap(&mut inner.items, store);
            inner.wanted = wanted;
        }
    }

    /// Under the queue's lock: adds an item before all others, unless it is empty: then the item comes back.
    pub(super) fn put_back(&self, item: S::Item) -> Option<S::Item> {
        let mut inner = self.inner.lock();
        if inner.items.len() == 0 {
            return Some(item);
        }
        inner.items.put_back(item);
        self.len.store(inner.items.len(), Ordering::Relaxed);
        None
    }

    /// Under the queue's lock: whether it holds fewer than so many items. If not, whoever takes one will find it wanted.
    #[cold]
    pub(super) fn is_below(&self, limit: usize) -> bool {
        let mut inner = self.inner.lock();
        let below = inner.items.len() < limit;
        inner.wanted |= !below;
        below
    }
}
