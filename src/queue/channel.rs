//! A queue without a store: each item passes from hand to hand.

use super::core::Core;
use super::error::{Failure, GetError, GetTimeoutError, PutError, PutTimeoutError, TryGetError, TryPutError};
use super::facade::{Iter, transfer};
use crate::primitive::const_unless_loom;
use crate::sync::Choice;
use crate::sync::wait_queue::deadline_after;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// A meeting point: `put` waits until a `get` has taken the item. First come, first served on both sides.
///
/// (The item of a getter that is killed just after the item reached its hand is kept for the next `get`.)
///
/// ```
/// use iora::queue::Channel;
///
/// static NUMBERS: Channel<u32> = Channel::new();
///
/// std::thread::spawn(|| {
///     (1..4).for_each(|number| NUMBERS.put(number).unwrap());
///     NUMBERS.close();
/// });
/// assert_eq!(NUMBERS.iter().collect::<Vec<_>>(), [1, 2, 3]);
/// ```
pub struct Channel<T> {
    /// The waiting, around a store of capacity 0.
    core: Core<VecDeque<T>>,
}

transfer!(Channel,);

impl<T> Channel<T> {
    const_unless_loom! {
        /// A channel.
        pub const fn new() -> Channel<T> {
            Channel { core: Core::new(VecDeque::new(), VecDeque::new(), 0) }
        }
    }

    /// Always 0: a channel holds nothing.
    pub fn len(&self) -> usize {
        0
    }

    /// Always true.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Always true.
    pub fn is_full(&self) -> bool {
        true
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Channel")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn a_put_waits_for_its_get() {
        let channel = Arc::new(Channel::new());
        assert_eq!(channel.try_put(0), Err(TryPutError::Full(0)));
        assert_eq!(
            channel.put_timeout(0, Duration::from_millis(1)),
            Err(PutTimeoutError::TimedOut(0))
        );
        assert_eq!(channel.try_get(), Err(TryGetError::Empty));
        let there = channel.clone();
        let putter = thread::spawn(move || (1..4).for_each(|item| there.put(item).unwrap()));
        while channel.core.waiting() != (0, 1) {
            thread::yield_now();
        }
        assert!(!putter.is_finished());
        assert!(channel.is_empty() && channel.is_full());
        assert_eq!((0..3).map(|_| channel.get().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        putter.join().unwrap();
    }

    #[test]
    fn an_item_in_the_hand_of_a_getter_that_is_unwound_is_kept() {
        let channel = Channel::new();
        channel.core.get_and_be_unwound(|| channel.put(1).unwrap());
        assert!(channel.try_put(2).is_err());
        assert_eq!(channel.get(), Ok(1));
        assert_eq!(channel.try_get(), Err(TryGetError::Empty));
    }

    #[test]
    fn closing_gives_the_item_back() {
        let channel = Arc::new(Channel::new());
        let there = channel.clone();
        let putter = thread::spawn(move || there.put(1));
        while channel.core.waiting() != (0, 1) {
            thread::yield_now();
        }
        channel.close();
        assert_eq!(putter.join().unwrap(), Err(PutError(1)));
        assert_eq!(channel.get(), Err(GetError));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_channel_passes_from_hand_to_hand() {
        loom::model(|| {
            let channel = Arc::new(Channel::new());
            let there = channel.clone();
            let putter = loom::thread::spawn(move || there.put(1));
            assert_eq!(channel.get(), Ok(1));
            assert_eq!(putter.join().unwrap(), Ok(()));
        });
    }
}
