//! In which order a queue keeps its items: all that its kinds differ in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Where a queue keeps the items that nobody has asked for yet.
pub(super) trait Store {
    /// What it keeps.
    type Item;

    /// What is put in later comes out later.
    const IN_ORDER: bool = false;

    /// Adds an item.
    fn put(&mut self, item: Self::Item);

    /// Takes out the item whose turn it is.
    fn take(&mut self) -> Option<Self::Item>;

    /// The item whose turn it is.
    fn peek(&self) -> Option<&Self::Item>;

    /// Adds an item that was taken out but not used: its turn comes before that of the others.
    fn put_back(&mut self, item: Self::Item);

    /// How many items there are.
    fn len(&self) -> usize;
}

impl<T> Store for VecDeque<T> {
    type Item = T;
    const IN_ORDER: bool = true;

    #[inline]
    fn put(&mut self, item: T) {
        self.push_back(item);
    }

    #[inline]
    fn take(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn peek(&self) -> Option<&T> {
        self.front()
    }

    fn put_back(&mut self, item: T) {
        self.push_front(item);
    }

    #[inline]
    fn len(&self) -> usize {
        VecDeque::len(self)
    }
}

/// Last in, first out.
impl<T> Store for Vec<T> {
    type Item = T;

    fn put(&mut self, item: T) {
        self.push(item);
    }

    fn take(&mut self) -> Option<T> {
        self.pop()
    }

    fn peek(&self) -> Option<&T> {
        self.last()
    }

    fn put_back(&mut self, item: T) {
        self.push(item);
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}

/// The least first.
impl<T: Ord> Store for BinaryHeap<Reverse<T>> {
    type Item = T;

    fn put(&mut self, item: T) {
        self.push(Reverse(item));
    }

    fn take(&mut self) -> Option<T> {
        self.pop().map(|Reverse(item)| item)
    }

    fn peek(&self) -> Option<&T> {
        BinaryHeap::peek(self).map(|Reverse(item)| item)
    }

    fn put_back(&mut self, item: T) {
        self.push(Reverse(item));
    }

    fn len(&self) -> usize {
        BinaryHeap::len(self)
    }
}
