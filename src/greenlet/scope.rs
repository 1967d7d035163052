//! Greenlets that borrow from their parent's stack.
//!
//! Sound because [`scope`] neither returns nor unwinds before every greenlet of the scope has ended and dropped what it
//! borrowed. What could cut the wait short is kept from doing so:
//!
//! 1. An unwind of the body is caught first and goes on after the wait.
//! 2. The wait is shielded: a kill or timeout that arrives meanwhile is passed to the children and stays pending.
//! 3. A deadlock's panic is caught like the body's.
//! 4. Where the thread unwinds and nothing can be waited for, the process is aborted.
//!
//! If the parent is leaked (its thread ends first), its stack stays for ever, and its children never run again either: they
//! are greenlets of the same thread.
#![expect(unsafe_code, reason = "closures that borrow are spawned as if they did not")]

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::transmute;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::builder::{Builder, spawn_at};
use super::exit::{Ending, Exit};
use super::handle::Greenlet;
use super::shield::Shielded;
use crate::hub::interrupt::Interrupt;
use crate::hub::park::{self, Unparker, WakeReason};
use crate::hub::spawn;

/// What the greenlets of a scope tell it.
#[derive(Default)]
struct Progress {
    /// Those that have not ended, by their numbers.
    live: HashMap<u64, Unparker>,
    /// Panics of greenlets less those that a `join` took notice of.
    panics: isize,
    /// Whoever waits for the end of the scope.
    waiter: Option<Unparker>,
}

/// The place where borrowing greenlets are spawned: see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    /// What its greenlets tell it.
    progress: Arc<Mutex<Progress>>,
    /// Invariant in both lifetimes, as `std::thread::Scope` is.
    scope: PhantomData<&'scope mut &'scope ()>,
    /// What may be borrowed.
    env: PhantomData<&'env mut &'env ()>,
    /// Its greenlets belong to this thread.
    not_send: PhantomData<*mut ()>,
}

/// The handle of a greenlet of a scope. Dropping it is fine: the scope waits all the same.
pub struct ScopedGreenlet<'scope, T> {
    /// The greenlet.
    greenlet: Greenlet<()>,
    /// Its value, once it has returned.
    value: Arc<Mutex<Option<T>>>,
    /// What it tells the scope.
    progress: Arc<Mutex<Progress>>,
    /// It may hold what the scope borrows.
    scope: PhantomData<&'scope mut &'scope ()>,
}

/// Runs `f` with a [`Scope`] in which greenlets can be spawned that borrow from the caller's stack.
///
/// When `f` has returned, parks the caller until all of them have ended. If `f` unwinds (a panic, a kill, a timeout), they
/// are killed, and waited for, before the unwind goes on. A kill or timeout that arrives while the scope waits is passed
/// on to them as a kill, and raised in the caller when they have ended.
///
/// # Panics
///
/// When a greenlet of the scope panicked and nobody joined it.
///
/// # Aborts
///
/// When it is called in a destructor while the thread unwinds, and greenlets are left at the end of `f`: they cannot be
/// waited for then, and nothing else is sound.
///
/// ```
/// let mut words = vec!["two", "one"];
/// let mut length = 0;
/// iora::scope(|scope| {
///     scope.spawn(|| words.sort());
///     scope.spawn(|| length = "hello".len());
/// });
/// assert_eq!((words, length), (vec!["one", "two"], 5));
/// ```
pub fn scope<'env, F, R>(f: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let scope = Scope {
        progress: Arc::default(),
        scope: PhantomData,
        env: PhantomData,
        not_send: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    if result.is_err() {
        kill_all(&scope.progress);
    }
    let (broken_off, passed_on) = wait_for_all(&scope.progress);
    if result.is_ok() && passed_on {
        spawn::raise_pending();
    }
    let panicked = lock(&scope.progress).panics > 0;
    match (result, broken_off) {
        (Err(payload), _) | (Ok(_), Some(payload)) => resume_unwind(payload),
        (Ok(_), None) if panicked => panic!("iora: a greenlet of a scope panicked"),
        (Ok(value), None) => value,
    }
}

/// Waits until no greenlet of the scope is left. Returns the payload of what tried to break the wait off, and whether a kill
/// or timeout arrived and was passed on.
fn wait_for_all(progress: &Mutex<Progress>) -> (Option<Box<dyn Any + Send>>, bool) {
    let _shielded = Shielded::enter();
    let mut broken_off = None;
    let mut passed_on = false;
    loop {
        {
            let mut progress = lock(progress);
            if progress.live.is_empty() {
                return (broken_off, passed_on);
            }
            progress.waiter = Some(Unparker::current());
        }
        if spawn::has_interrupts() && !passed_on {
            passed_on = true;
            kill_all(progress);
        }
        match catch_unwind(|| park::park(None, "scope")) {
            Ok(WakeReason::Refused) => abort("iora: a scope cannot wait for its greenlets while the thread unwinds"),
            Ok(_) => {}
            Err(payload) => {
                broken_off.get_or_insert(payload);
                kill_all(progress);
            }
        }
    }
}

/// Ends the process with a message.
#[expect(clippy::print_stderr, reason = "the last words of the process")]
fn abort(message: &str) -> ! {
    eprintln!("{message}");
    std::process::abort();
}

/// Kills the greenlets that are left.
fn kill_all(progress: &Mutex<Progress>) {
    let live: Vec<Unparker> = lock(progress).live.values().copied().collect();
    for unparker in live {
        unparker.interrupt(Interrupt::Kill);
    }
}

/// Locks; nothing is ever left half done under this lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a greenlet that may borrow whatever outlives the scope; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedGreenlet<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        match self.spawn_with(Builder::new(), f) {
            Ok(greenlet) => greenlet,
            Err(error) => panic!("iora: spawning a greenlet failed: {error}"),
        }
    }

    /// As [`spawn`](Self::spawn), with a name and a stack size of its own.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_with<F, T>(&'scope self, builder: Builder, f: F) -> io::Result<ScopedGreenlet<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let value = Arc::new(Mutex::new(None));
        let slot = value.clone();
        let body: Box<dyn FnOnce() + 'scope> = Box::new(move || {
            let returned = f();
            *lock(&slot) = Some(returned);
        });
        // SAFETY: `scope` waits until the greenlet has ended, and by then the closure was run or dropped (or is leaked and
        // never runs): nothing that it borrows is used after 'scope.
        let body: Box<dyn FnOnce() + 'static> = unsafe { transmute(body) };
        let (name, stack_size) = builder.into_parts();
        let greenlet = spawn_at(name, stack_size, None, Location::caller(), body)?;
        let id = greenlet.id();
        let unparker = greenlet.unparker().expect("a greenlet of this hub is there at once");
        lock(&self.progress).live.insert(id, unparker);
        let progress = self.progress.clone();
        greenlet.link(move |ending| {
            let waiter = {
                let mut progress = lock(&progress);
                progress.live.remove(&id);
                progress.panics += isize::from(ending == Ending::Panicked);
                progress.waiter
            };
            if let Some(waiter) = waiter {
                waiter.unpark();
            }
        });
        Ok(ScopedGreenlet {
            greenlet,
            value,
            progress: self.progress.clone(),
            scope: PhantomData,
        })
    }
}

impl<T> ScopedGreenlet<'_, T> {
    /// Parks the caller until the greenlet has ended, and takes its value.
    ///
    /// # Errors
    ///
    /// When it did not return: see [`Exit`].
    pub fn join(self) -> Result<T, Exit> {
        let ScopedGreenlet {
            greenlet,
            value,
            progress,
            ..
        } = self;
        match greenlet.get() {
            Ok(()) => lock(&value).take().ok_or(Exit::Abandoned),
            Err(exit) => {
                lock(&progress).panics -= isize::from(exit.ending() == Ending::Panicked);
                Err(exit)
            }
        }
    }

    /// As [`Greenlet::join_timeout`]: whether the greenlet has ended.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.greenlet.join_timeout(timeout)
    }

    /// Whether the greenlet has ended.
    pub fn ready(&self) -> bool {
        self.greenlet.ready()
    }

    /// As [`Greenlet::kill`].
    pub fn kill(&self) {
        self.greenlet.kill();
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("live", &lock(&self.progress).live.len())
            .finish()
    }
}

impl<T> fmt::Debug for ScopedGreenlet<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.greenlet, f)
    }
}
