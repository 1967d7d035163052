//! What the kinds of queues have in common in public: written once, as macros, and defined for each.
//!
//! A kind is a struct with one field, `core`. [`transfer`] defines putting, getting, closing and iteration; [`storage`]
//! what only a queue with a store has; [`tasks`] the counting of what was got and is not done.

/// The items of a queue as they are got; ends when the queue is closed and empty.
#[derive(Debug)]
#[must_use = "it gets nothing before it is asked"]
pub struct Iter<'a, Q> {
    /// The queue.
    pub(super) queue: &'a Q,
}

/// Putting, getting, closing and iteration for the queue `$kind`, whose items are `$bound`.
macro_rules! transfer {
    ($kind:ident, $($bound:tt)*) => {
        impl<T $($bound)*> $kind<T> {
            /// Puts an item.
            ///
            /// Parks the greenlet until there is room for the item (in a channel: until it has been taken).
            ///
            /// # Errors
            ///
            /// If it is closed, or would have to wait while its greenlet is unwinding: the item comes back.
            #[inline(always)]
            pub fn put(&self, item: T) -> Result<(), PutError<T>> {
                self.core.put(item, None).map_err(|(_, item)| PutError(item))
            }

            /// As [`put`](Self::put), but never waits.
            ///
            /// # Errors
            ///
            /// If there is no room (in a channel: nobody waits for an item), or it is closed: the item comes back.
            pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
                self.core.try_put(item).map_err(|(failure, item)| match failure {
                    Failure::Closed => TryPutError::Closed(item),
                    _ => TryPutError::Full(item),
                })
            }

            /// As [`put`](Self::put), but waits for `timeout` at most.
            ///
            /// Parks the greenlet until there is room for the item (in a channel: until it has been taken) or the time is over.
            ///
            /// # Errors
            ///
            /// If the time is over, or it is closed: the item comes back. A wait while its greenlet is unwinding is over at once.
            pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutTimeoutError<T>> {
                self.core.put(item, deadline_after(timeout)).map_err(|(failure, item)| match failure {
                    Failure::Closed => PutTimeoutError::Closed(item),
                    _ => PutTimeoutError::TimedOut(item),
                })
            }

            /// Gets an item.
            ///
            /// Parks the greenlet until there is one. A greenlet that is killed while it waits loses no item.
            ///
            /// # Errors
            ///
            /// If it is closed and empty, or would have to wait while its greenlet is unwinding.
            #[inline(always)]
            pub fn get(&self) -> Result<T, GetError> {
                self.core.get(None).map_err(|_| GetError)
            }

            /// As [`get`](Self::get), but never waits.
            ///
            /// # Errors
            ///
            /// If there is no item, or it is closed and empty.
            pub fn try_get(&self) -> Result<T, TryGetError> {
                self.core.try_get().map_err(Failure::of_try_get)
            }

            /// As [`get`](Self::get), but waits for `timeout` at most.
            ///
            /// Parks the greenlet until there is an item or the time is over.
            ///
            /// # Errors
            ///
            /// If the time is over, or it is closed and empty. A wait while its greenlet is unwinding is over at once.
            pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetTimeoutError> {
                self.core.get(deadline_after(timeout)).map_err(Failure::of_get_timeout)
            }

            /// Getting an item, for a [`Select`](crate::sync::Select). Its outcome is that of [`get`](Self::get).
            pub fn getting(&self) -> Choice<'_, Result<T, GetError>> {
                self.core.getting()
            }

            /// Putting an item, for a [`Select`](crate::sync::Select). Its outcome is that of [`put`](Self::put); if something
            /// else is chosen, the item is dropped.
            pub fn putting(&self, item: T) -> Choice<'_, Result<(), PutError<T>>> {
                self.core.putting(item)
            }

            /// Accepts no more items: whoever puts gets its item back, also those who wait to. Items that are in can be got.
            pub fn close(&self) {
                self.core.close();
            }

            /// Whether it was closed.
            pub fn is_closed(&self) -> bool {
                self.core.is_closed()
            }

            /// Gets items until it is closed and empty. `for item in &queue` does the same.
            pub fn iter(&self) -> Iter<'_, $kind<T>> {
                Iter { queue: self }
            }
        }

        impl<T $($bound)*> Iterator for Iter<'_, $kind<T>> {
            type Item = T;

            fn next(&mut self) -> Option<T> {
                self.queue.get().ok()
            }
        }

        impl<'a, T $($bound)*> IntoIterator for &'a $kind<T> {
            type Item = T;
            type IntoIter = Iter<'a, $kind<T>>;

            fn into_iter(self) -> Iter<'a, $kind<T>> {
                self.iter()
            }
        }

        impl<T $($bound)*> Default for $kind<T> {
            fn default() -> $kind<T> {
                $kind::new()
            }
        }
    };
}

/// Construction, size and peeking, for the queue `$kind` around the store `$store`, whose items are `$bound`.
macro_rules! storage {
    ($kind:ident, $store:expr, $($bound:tt)*) => {
        impl<T $($bound)*> $kind<T> {
            const_unless_loom! {
                /// An empty queue without bound: putting never waits.
                pub const fn new() -> $kind<T> {
                    $kind { core: Core::new($store, $store, usize::MAX) }
                }
            }

            const_unless_loom! {
                /// An empty queue in which putting waits while it holds `capacity` items.
                ///
                /// # Panics
                ///
                /// If `capacity` is 0: that is a [`Channel`](crate::queue::Channel).
                pub const fn bounded(capacity: usize) -> $kind<T> {
                    assert!(capacity > 0, "a queue without room is a Channel");
                    $kind { core: Core::new($store, $store, capacity) }
                }
            }

            /// How many items it holds.
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Whether it holds no item.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether putting would wait.
            pub fn is_full(&self) -> bool {
                self.len() >= self.core.capacity()
            }

            /// How many items it holds at most; `None` without bound.
            pub fn capacity(&self) -> Option<usize> {
                Some(self.core.capacity()).filter(|capacity| *capacity != usize::MAX)
            }

            /// A copy of the item that will be got next, which stays where it is.
            ///
            /// Parks the greenlet until there is an item. All who wait are shown the first one that arrives.
            ///
            /// `T::clone` is called under the queue's lock: it must not use the queue or wait.
            ///
            /// # Errors
            ///
            /// If it is closed and empty, or would have to wait while its greenlet is unwinding.
            pub fn peek(&self) -> Result<T, GetError>
            where
                T: Clone,
            {
                self.core.peek(None).map_err(|_| GetError)
            }

            /// As [`peek`](Self::peek), but never waits.
            ///
            /// # Errors
            ///
            /// If there is no item, or it is closed and empty.
            pub fn try_peek(&self) -> Result<T, TryGetError>
            where
                T: Clone,
            {
                self.core.try_peek().map_err(Failure::of_try_get)
            }

            /// As [`peek`](Self::peek), but waits for `timeout` at most.
            ///
            /// Parks the greenlet until there is an item or the time is over.
            ///
            /// # Errors
            ///
            /// If the time is over, or it is closed and empty. A wait while its greenlet is unwinding is over at once.
            pub fn peek_timeout(&self, timeout: Duration) -> Result<T, GetTimeoutError>
            where
                T: Clone,
            {
                self.core.peek(deadline_after(timeout)).map_err(Failure::of_get_timeout)
            }
        }
    };
}

/// The counting of tasks, for the queue `$kind` whose items are `$bound`.
macro_rules! tasks {
    ($kind:ident, $($bound:tt)*) => {
        impl<T $($bound)*> $kind<T> {
            /// As [`close`](Self::close), and drops the items that are in, as if they were done.
            pub fn close_now(&self) {
                self.core.close_now();
            }

            /// gevent's name for both: [`close_now`](Self::close_now) if `immediate`, [`close`](Self::close) otherwise.
            pub fn shutdown(&self, immediate: bool) {
                if immediate {
                    self.close_now();
                } else {
                    self.close();
                }
            }

            /// Says that an item that was got has been dealt with: see [`join`](Self::join).
            ///
            /// # Panics
            ///
            /// If it is called more often than items were put.
            pub fn task_done(&self) {
                assert!(self.core.task_done(), "task_done was called more often than items were put");
            }

            /// How many of the items that were put have not been dealt with, by [`task_done`](Self::task_done).
            pub fn unfinished(&self) -> usize {
                self.core.unfinished()
            }

            /// Waits until every item that was put has been got and dealt with.
            ///
            /// Parks the greenlet until [`task_done`](Self::task_done) has been called once for each item.
            ///
            /// # Panics
            ///
            /// If it would have to wait while its greenlet is unwinding.
            pub fn join(&self) {
                if self.core.join(None).is_err() {
                    refused("join");
                }
            }

            /// As [`join`](Self::join), but waits for `timeout` at most; whether all was dealt with.
            ///
            /// Parks the greenlet until [`task_done`](Self::task_done) has been called once for each item or the time is over. If it
            /// would have to wait while its greenlet is unwinding, it returns false at once.
            pub fn join_timeout(&self, timeout: Duration) -> bool {
                self.core.join(deadline_after(timeout)).is_ok()
            }
        }

        impl<T $($bound)*> fmt::Debug for $kind<T> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .debug_struct(stringify!($kind))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("unfinished", &self.unfinished())
                    .field("closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(super) use {storage, tasks, transfer};
