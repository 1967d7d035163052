//! A value that is made once, by a function that may park.
//!
//! The value is in a `OnceLock`, so it is read without a lock. Who makes it is settled in the queue:
//!
//! ```text
//!            ┌── fails, panics, is killed: the first in line tries ──┐
//!            ▼                                                      │
//! idle ─▶ trying (one; the others stand in line) ────────────────────┘
//!            └── succeeds: the value is set, and all go ──▶ set
//! ```
//!
//! The right to try is handed over: a waiter that was granted it has it even before it runs, and passes it on if it is
//! unwound first.

use super::wait_queue::{Handover, View, WaitQueue, Waited, refused};
use crate::hub::park;
use std::convert::Infallible;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

/// The line of those who would make the value.
const MAKERS: usize = 0;
/// The line of those who only wait for it.
const WATCHERS: usize = 1;

/// A value that is set once: [`std::sync::OnceLock`] with an initialiser that may park.
///
/// While one greenlet or thread makes the value, the others that want it wait. If it fails, panics or is killed, the next one
/// tries.
///
/// ```
/// use iora::sync::OnceCell;
///
/// static CONFIG: OnceCell<String> = OnceCell::new();
///
/// let config = CONFIG.get_or_init(|| {
///     iora::yield_now(); // as if it were read from somewhere
///     String::from("verbose")
/// });
/// assert_eq!(config, "verbose");
/// ```
pub struct OnceCell<T> {
    /// The value; set by whoever has the right to try.
    value: OnceLock<T>,
    /// Who waits for it.
    queue: WaitQueue<Trying, 2>,
}

/// Whether somebody has the right to try.
struct Trying(bool);

impl Trying {
    /// Gives the right to try to the first who would, if any. Called by whoever has it.
    fn pass_on(view: &mut View<'_, Trying, 2>) {
        match view.grant(MAKERS) {
            Some(tries) => *tries = true,
            None => view.state.0 = false,
        }
    }
}

impl Handover<2> for Trying {
    type Aside = ();
    /// Whether the right to try was granted, and not a value that is there.
    type Ticket = bool;

    fn take_back(view: &mut View<'_, Trying, 2>, _line: usize, tries: &mut bool) {
        if *tries {
            Trying::pass_on(view);
        }
    }
}

impl<T> OnceCell<T> {
    crate::primitive::const_unless_loom! {
        /// A cell without a value.
        pub const fn new() -> OnceCell<T> {
            OnceCell { value: OnceLock::new(), queue: WaitQueue::new(Trying(false)) }
        }
    }

    /// The value, if it is there. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there, for its only owner.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Waits until somebody has set the value.
    ///
    /// Parks the greenlet until the value is there.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn wait(&self) -> &T {
        park::spend();
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            let there = |_: &mut View<'_, Trying, 2>| self.get().map(|_| ()).ok_or(false);
            if let Waited::Refused(_) = self.queue.wait(WATCHERS, None, "cell", there) {
                refused("OnceCell::wait");
            }
        }
    }

    /// Sets the value.
    ///
    /// Parks the greenlet while another one makes the value.
    ///
    /// # Errors
    ///
    /// If there is a value: this one comes back.
    ///
    /// # Panics
    ///
    /// If it would have to wait while its greenlet is unwinding.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_try_init(|| value.take().ok_or(())).ok();
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value, made by `init` if it is not there yet.
    ///
    /// Parks the greenlet while another one makes the value. `init` may park too; if it needs the value itself, it waits for ever.
    ///
    /// # Panics
    ///
    /// If `init` panics: then the next one that wants the value tries. If it would have to wait while its greenlet is unwinding.
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, init: F) -> &T {
        match self.get_or_try_init(|| Ok::<T, Infallible>(init())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_init`](OnceCell::get_or_init), with an `init` that may fail.
    ///
    /// Parks the greenlet while another one makes the value.
    ///
    /// # Errors
    ///
    /// That of `init`: then the next one that wants the value tries.
    ///
    /// # Panics
    ///
    /// If `init` panics. If it would have to wait while its greenlet is unwinding.
    #[inline]
    pub fn get_or_try_init<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        loop {
            if let Some(value) = self.get() {
                return Ok(value);
            }
            if let Some(attempt) = self.attempt() {
                return attempt.make(init);
            }
        }
    }

    /// Waits for the right to try, or for the value: then there is nothing to try.
    #[cold]
    fn attempt(&self) -> Option<Attempt<'_, T>> {
        park::spend();
        let waited = self.queue.wait(MAKERS, None, "cell", |view| {
            let tries = self.get().is_none();
            if tries && view.state.0 {
                return Err(false);
            }
            view.state.0 |= tries;
            Ok(tries)
        });
        match waited {
            // Not `then_some`: an attempt that is made and dropped would pass on the right of another one.
            Waited::AtOnce(tries) | Waited::Granted(tries) => tries.then(|| Attempt { cell: self }),
            Waited::TimedOut(_) | Waited::Refused(_) => refused("OnceCell::get_or_init"),
        }
    }

    /// The value, if there is one; the cell is as new then.
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }
}

/// The right to try. Dropped, it passes on: after a failure, or when the initialiser is unwound.
struct Attempt<'a, T> {
    /// What is to be set.
    cell: &'a OnceCell<T>,
}

impl<'a, T> Attempt<'a, T> {
    /// Makes the value and lets go all who wait for it.
    fn make<E>(self, init: impl FnOnce() -> Result<T, E>) -> Result<&'a T, E> {
        let made = init()?;
        let cell = self.cell;
        let value = cell.value.get_or_init(|| made);
        std::mem::forget(self);
        cell.queue.with(|view| {
            view.state.0 = false;
            view.grant_all(MAKERS);
            view.grant_all(WATCHERS);
        });
        Ok(value)
    }
}

impl<T> Drop for Attempt<'_, T> {
    fn drop(&mut self) {
        self.cell.queue.with(Trying::pass_on);
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        OnceCell {
            value: OnceLock::from(value),
            ..OnceCell::new()
        }
    }
}

impl<T: Clone> Clone for OnceCell<T> {
    fn clone(&self) -> OnceCell<T> {
        self.get().cloned().map_or_else(OnceCell::new, OnceCell::from)
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    fn eq(&self, other: &OnceCell<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_tuple("OnceCell");
        match self.get() {
            Some(value) => fields.field(value),
            None => fields.field(&format_args!("<unset>")),
        };
        fields.finish()
    }
}

/// A value that is made when it is first used: [`std::sync::LazyLock`] with an initialiser that may park.
///
/// If the initialiser panics or its greenlet is killed, the next one that wants the value calls it again: so it is a `Fn`.
///
/// ```
/// use iora::sync::LazyCell;
///
/// static NAMES: LazyCell<Vec<&str>> = LazyCell::new(|| vec!["one", "two"]);
/// assert_eq!(NAMES.len(), 2);
/// ```
pub struct LazyCell<T, F = fn() -> T> {
    /// The value.
    cell: OnceCell<T>,
    /// Makes it.
    init: F,
}

impl<T, F: Fn() -> T> LazyCell<T, F> {
    crate::primitive::const_unless_loom! {
        /// A value that `init` will make.
        pub const fn new(init: F) -> LazyCell<T, F> {
            LazyCell { cell: OnceCell::new(), init }
        }
    }

    /// The value, made now if it was not yet. Using the cell as a reference does the same.
    ///
    /// Parks the greenlet while another one makes the value.
    ///
    /// # Panics
    ///
    /// If the initialiser panics. If it would have to wait while its greenlet is unwinding.
    pub fn force(this: &LazyCell<T, F>) -> &T {
        this.cell.get_or_init(&this.init)
    }

    /// As [`force`](Self::force), to be changed.
    ///
    /// # Panics
    ///
    /// As [`force`](Self::force).
    pub fn force_mut(this: &mut LazyCell<T, F>) -> &mut T {
        LazyCell::force(this);
        this.cell.get_mut().expect("made just now")
    }
}

impl<T, F> LazyCell<T, F> {
    /// The value, if it has been made.
    pub fn get(this: &LazyCell<T, F>) -> Option<&T> {
        this.cell.get()
    }

    /// The value, if it has been made, to be changed.
    pub fn get_mut(this: &mut LazyCell<T, F>) -> Option<&mut T> {
        this.cell.get_mut()
    }
}

impl<T, F: Fn() -> T> Deref for LazyCell<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyCell::force(self)
    }
}

impl<T, F: Fn() -> T> DerefMut for LazyCell<T, F> {
    fn deref_mut(&mut self) -> &mut T {
        LazyCell::force_mut(self)
    }
}

impl<T: Default> Default for LazyCell<T> {
    fn default() -> LazyCell<T> {
        LazyCell::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyCell<T, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_tuple("LazyCell");
        match self.cell.get() {
            Some(value) => fields.field(value),
            None => fields.field(&format_args!("<unset>")),
        };
        fields.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn who_comes_just_as_the_value_is_set_does_not_pass_on_the_right_of_its_maker() {
        let cell = OnceCell::new();
        let attempt = cell.attempt().expect("nobody else tries");
        // The first half of making it; the others have not been told yet.
        assert_eq!(cell.value.set(7), Ok(()));
        assert!(cell.attempt().is_none());
        assert!(cell.queue.with(|view| view.state.0), "the maker's right is gone");
        assert_eq!(attempt.make(|| Ok::<_, ()>(8)), Ok(&7));
    }

    #[test]
    fn is_made_once_and_seen_by_all() {
        let (cell, made) = (OnceCell::new(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| *cell.wait());
            let all: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        *cell.get_or_init(|| {
                            std::thread::yield_now();
                            made.fetch_add(1, Ordering::SeqCst) + 7
                        })
                    })
                })
                .collect();
            assert!(all.into_iter().all(|one| one.join().unwrap() == 7));
            assert_eq!(watcher.join().unwrap(), 7);
        });
        assert_eq!(made.into_inner(), 1);
        assert_eq!(cell.set(8), Err(8));
        assert_eq!(format!("{cell:?}"), "OnceCell(7)");
        assert_eq!(cell.into_inner(), Some(7));
    }

    #[test]
    fn after_a_failure_or_a_panic_the_next_one_tries() {
        let mut cell = OnceCell::new();
        assert_eq!(cell.get_or_try_init(|| Err("no")), Err("no"));
        assert!(
            catch_unwind(AssertUnwindSafe(
                || cell.get_or_init(|| std::panic::resume_unwind(Box::new(())))
            ))
            .is_err()
        );
        assert_eq!(cell.set(1), Ok(()));
        assert_eq!(cell.get_mut().map(std::mem::take), Some(1));
        assert_eq!((cell.take(), cell.take()), (Some(0), None));
        assert_eq!(OnceCell::from(2).clone().get(), Some(&2));
    }

    #[test]
    fn the_right_to_try_is_passed_on_by_who_is_unwound_with_it() {
        let cell = OnceCell::new();
        let first = cell.attempt();
        let killed = cell.queue.stand_in_line(MAKERS, false);
        drop(first); // grants the right to `killed`
        assert!(cell.queue.with(|view| view.state.0));
        drop(killed);
        assert!(!cell.queue.with(|view| view.state.0));
        assert_eq!(cell.get_or_init(|| 1), &1);
    }

    #[test]
    fn a_lazy_one_is_made_at_its_first_use() {
        let made = AtomicUsize::new(0);
        let lazy = LazyCell::new(|| match made.fetch_add(1, Ordering::SeqCst) {
            0 => std::panic::resume_unwind(Box::new(())),
            _ => "made",
        });
        assert_eq!(format!("{lazy:?}"), "LazyCell(<unset>)");
        assert!(catch_unwind(AssertUnwindSafe(|| lazy.len())).is_err());
        assert_eq!((*lazy, lazy.len()), ("made", 4));
        assert_eq!(made.load(Ordering::SeqCst), 2);
        assert_eq!(*LazyCell::<u8>::default(), 0);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    #[test]
    fn loom_once_cell_is_made_once_also_after_a_failure() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let cell = Arc::new(OnceCell::new());
            let (failing, watching) = (cell.clone(), cell.clone());
            let failing = loom::thread::spawn(move || failing.get_or_try_init(|| Err(())).ok().copied());
            let watching = loom::thread::spawn(move || *watching.wait());
            assert_eq!(cell.get_or_init(|| 1), &1);
            assert!(matches!(failing.join().unwrap(), None | Some(1)));
            assert_eq!(watching.join().unwrap(), 1);
        });
    }

    #[test]
    fn loom_once_cell_loses_no_right_to_try_to_who_is_unwound() {
        loom::model(|| {
            let cell = Arc::new(OnceCell::new());
            let (failing, killed) = (cell.clone(), cell.clone());
            let failing = loom::thread::spawn(move || drop(failing.attempt()));
            let killed = loom::thread::spawn(move || {
                drop(
                    killed
                        .queue
                        .enter(None, MAKERS, crate::sync::wait_queue::End::Back, |view| {
                            if view.state.0 { Err(false) } else { Ok(()) }
                        }),
                );
            });
            assert_eq!(cell.get_or_init(|| 1), &1);
            failing.join().unwrap();
            killed.join().unwrap();
        });
    }
}
