//! A value that arrives later.
//!
//! The value is in a `OnceLock`, so it is read without a lock and by reference; it is set under the queue's lock, together
//! with the grants to all who wait.

use super::select::Choice;
use super::wait_queue::observer::{Observation, Observer};
use super::wait_queue::{Broadcast, WaitQueue, Waited, deadline_after, refused};
use crate::hub::park;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A value that is set once and waited for by any number of greenlets and threads.
///
/// Its clones are handles of one result. For an outcome that may be an error, let `T` be a `Result`: then
/// [`get`](AsyncResult::get) gives what the other side [set](AsyncResult::set_value) or
/// [failed with](AsyncResult::set_error), to be used with `?`.
///
/// ```
/// use iora::sync::AsyncResult;
///
/// let result: AsyncResult<Result<u32, String>> = AsyncResult::new();
/// let worker = result.clone();
/// std::thread::spawn(move || worker.set_value(42));
/// assert_eq!(result.get(), Ok(42));
/// ```
pub struct AsyncResult<T> {
    /// What all handles share.
    shared: Arc<Shared<T>>,
}

/// What all handles share.
struct Shared<T> {
    /// The value; set only under the lock of `queue`.
    value: OnceLock<T>,
    /// Who waits for it.
    queue: WaitQueue<Broadcast>,
}

impl<T> AsyncResult<T> {
    /// A result that is not there yet.
    pub fn new() -> AsyncResult<T> {
        AsyncResult {
            shared: Arc::new(Shared {
                value: OnceLock::new(),
                queue: WaitQueue::new(Broadcast),
            }),
        }
    }

    /// Sets the value and wakes all who wait. Never waits.
    ///
    /// # Errors
    ///
    /// If it was set before: the value comes back.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.shared.queue.with(|view| {
            self.shared.value.set(value)?;
            view.grant_all(0);
            view.tell_all();
            Ok(())
        })
    }

    /// Whether the value is there.
    pub fn ready(&self) -> bool {
        self.shared.value.get().is_some()
    }

    /// Waits for the value and gives it by reference.
    ///
    /// Parks the greenlet until somebody calls [`set`](AsyncResult::set).
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn wait(&self) -> &T {
        match self.wait_until(None) {
            Some(value) => value,
            None => refused("AsyncResult::wait"),
        }
    }

    /// As [`wait`](AsyncResult::wait), but for `timeout` at most; `None` if the value did not come.
    ///
    /// Parks the greenlet until somebody calls [`set`](AsyncResult::set) or the time is over. If it would have to wait
    /// while its greenlet is unwinding, it returns `None` at once.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        let deadline = if self.ready() { None } else { deadline_after(timeout) };
        self.wait_until(deadline)
    }

    /// A copy of the value, if it is there. Never waits.
    pub fn try_get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.shared.value.get().cloned()
    }

    /// Waits for the value and gives a copy of it.
    ///
    /// Parks the greenlet until somebody calls [`set`](AsyncResult::set).
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.wait().clone()
    }

    /// As [`get`](AsyncResult::get), but waits for `timeout` at most; `None` if the value did not come.
    ///
    /// Parks the greenlet until somebody calls [`set`](AsyncResult::set) or the time is over. If it would have to wait
    /// while its greenlet is unwinding, it returns `None` at once.
    pub fn get_timeout(&self, timeout: Duration) -> Option<T>
    where
        T: Clone,
    {
        self.wait_timeout(timeout).cloned()
    }

    /// The value itself, if it is there and this is the last handle.
    pub fn into_inner(self) -> Option<T> {
        Arc::into_inner(self.shared)?.value.into_inner()
    }

    /// Waiting for the value, for a [`Select`](crate::sync::Select).
    pub fn waiting(&self) -> Choice<'_, &T> {
        let shared = &*self.shared;
        let value = || shared.value.get().expect("once it is set it stays");
        Choice::told(&shared.queue, |_| shared.value.get().is_some(), value)
    }

    /// Has `observer` told when the value is there.
    pub(crate) fn observe(&self, observer: Observer) -> Observation<'_> {
        self.shared.queue.observe(observer, |_| self.ready())
    }

    /// Waits for the value; `None` if the deadline passed or the wait was refused.
    fn wait_until(&self, deadline: Option<Instant>) -> Option<&T> {
        park::spend();
        let value = &self.shared.value;
        if value.get().is_none() {
            match self
                .shared
                .queue
                .wait(0, deadline, "result", |_| value.get().map(|_| ()).ok_or(()))
            {
                Waited::AtOnce(()) | Waited::Granted(()) => {}
                Waited::TimedOut(()) | Waited::Refused(()) => return None,
            }
        }
        value.get()
    }
}

impl<V, E> AsyncResult<Result<V, E>> {
    /// Sets `Ok(value)`; does nothing if the result was set before.
    pub fn set_value(&self, value: V) {
        let _ = self.set(Ok(value));
    }

    /// Sets `Err(error)`; does nothing if the result was set before.
    pub fn set_error(&self, error: E) {
        let _ = self.set(Err(error));
    }
}

impl<T> Clone for AsyncResult<T> {
    fn clone(&self) -> AsyncResult<T> {
        AsyncResult {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Default for AsyncResult<T> {
    fn default() -> AsyncResult<T> {
        AsyncResult::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for AsyncResult<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AsyncResult")
            .field("value", &self.shared.value.get())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn all_who_wait_get_the_first_value_that_was_set() {
        let result = AsyncResult::new();
        assert_eq!(result.try_get(), None);
        assert_eq!(result.get_timeout(Duration::ZERO), None);
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let result = result.clone();
                std::thread::spawn(move || result.get())
            })
            .collect();
        while result.shared.queue.with(|view| view.count_in(0)) < 4 {
            std::thread::yield_now();
        }
        assert_eq!(result.set(String::from("first")), Ok(()));
        assert_eq!(result.set(String::from("second")), Err(String::from("second")));
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), "first");
        }
        assert_eq!(result.wait_timeout(Duration::MAX).map(String::as_str), Some("first"));
        assert_eq!(result.into_inner().as_deref(), Some("first"));
    }

    #[test]
    fn an_error_is_a_value_too() {
        let result: AsyncResult<Result<(), &str>> = AsyncResult::new();
        result.set_error("refused");
        result.set_value(());
        assert_eq!(result.get(), Err("refused"));
        assert!(result.ready());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    #[test]
    fn loom_async_result_arrives() {
        loom::model(|| {
            let result = AsyncResult::new();
            let setter = result.clone();
            let setter = loom::thread::spawn(move || setter.set(7).unwrap());
            assert_eq!(result.get(), 7);
            setter.join().unwrap();
        });
    }
}
