//! The handle of a greenlet: join it, ask what came of it, kill it.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use super::completion::{self, Completion};
use super::exit::{Ending, Exit};
use super::hold::Handle;
use super::shared::Shared;
use crate::hub::interrupt::Interrupt;
use crate::hub::park::Unparker;
use crate::hub::report;
use crate::sync::wait_queue::WaitQueue;
use crate::sync::wait_queue::observer::{Observation, Observer};
use crate::time::deadline;

/// A greenlet that was spawned: the means to wait for it, to take its value, to kill it.
///
/// Dropping the handle detaches the greenlet, which runs on. The handle may go to other threads if the value may: all its
/// methods work from everywhere.
///
/// ```
/// let job = iora::spawn(|| 6 * 7);
/// assert_eq!(job.get().unwrap(), 42);
/// ```
pub struct Greenlet<T> {
    /// What it shares with the greenlet.
    handle: Handle<T>,
}

/// Names a link of a greenlet, so that it can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(u64);

impl<T> Greenlet<T> {
    /// The handle of what was just spawned.
    #[inline]
    pub(super) fn new(handle: Handle<T>) -> Greenlet<T> {
        Greenlet { handle }
    }

    /// What it shares with the greenlet.
    #[inline]
    pub(super) fn shared(&self) -> &Shared<T> {
        &self.handle
    }

    /// Reaches the greenlet; `None` while it is on its way to another hub.
    pub(crate) fn unparker(&self) -> Option<Unparker> {
        self.shared().unparker()
    }

    /// Whether the greenlet is the one that calls.
    pub(super) fn is_current(&self) -> bool {
        self.unparker().is_some_and(Unparker::is_current)
    }

    /// Parks the caller until the greenlet has ended, however it did.
    ///
    /// While the thread unwinds nothing can be waited for: then it returns at once.
    #[inline(always)]
    pub fn join(&self) {
        self.shared().wait(None);
    }

    /// As [`join`](Self::join), for `timeout` at most. Whether the greenlet has ended.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.shared().wait(deadline::after(timeout))
    }

    /// Parks the caller until the greenlet has ended, and takes its value.
    ///
    /// # Errors
    ///
    /// When it did not return: see [`Exit`]. A panic's report was printed when it happened; its payload is in the error.
    #[inline(always)]
    pub fn get(self) -> Result<T, Exit> {
        self.join();
        self.handle.take().unwrap_or(Err(Exit::Abandoned))
    }

    /// The value, if the greenlet has returned one.
    pub fn value(&self) -> Option<&T> {
        self.shared().value()
    }

    /// Whether the greenlet has ended.
    pub fn ready(&self) -> bool {
        self.shared().ready()
    }

    /// Whether the greenlet has ended by returning its value.
    pub fn successful(&self) -> bool {
        self.ending() == Some(Ending::Returned)
    }

    /// How the greenlet ended, once it has.
    pub fn ending(&self) -> Option<Ending> {
        self.shared().ending()
    }

    /// The message of the panic that the greenlet ended with, if it did and the message is a text.
    pub fn panic_message(&self) -> Option<&str> {
        self.shared().panic_message()
    }

    /// Has `observer` told when the greenlet has ended.
    pub(crate) fn observe(&self, observer: Observer) -> Observation<'_> {
        self.completion().observe(observer, |view| view.state.ended())
    }

    /// Where its end is waited for; whoever asks is about to.
    pub(crate) fn completion(&self) -> &WaitQueue<Completion> {
        self.shared().completion()
    }

    /// Kills the greenlet and parks the caller until it has ended.
    ///
    /// The kill is raised in the greenlet as an unwind at its next park point, which ends the wait that it is in; its
    /// destructors run. A greenlet that was not begun never runs. It is raised once: a greenlet may catch it (with
    /// `catch_unwind`) and go on, and then this waits on. A greenlet that kills itself unwinds at once.
    ///
    /// ```
    /// let job = iora::spawn(|| iora::sleep(std::time::Duration::from_secs(3600)));
    /// job.kill();
    /// assert!(matches!(job.get(), Err(iora::Exit::Killed)));
    /// ```
    pub fn kill(&self) {
        self.kill_nowait();
        self.join();
    }

    /// As [`kill`](Self::kill), waiting for `timeout` at most. Whether the greenlet has ended.
    pub fn kill_timeout(&self, timeout: Duration) -> bool {
        self.kill_nowait();
        self.join_timeout(timeout)
    }

    /// Asks the greenlet to end, without waiting: it takes effect at its next turn.
    pub fn kill_nowait(&self) {
        self.raise(Interrupt::Kill);
    }

    /// Raises `payload` in the greenlet, as [`kill_nowait`](Self::kill_nowait) does a kill: if it does not catch it, it
    /// ends as [`Exit::Panicked`] with that payload.
    pub fn throw(&self, payload: Box<dyn Any + Send>) {
        self.raise(Interrupt::Throw(payload));
    }

    /// Raises something in the greenlet unless it has ended.
    fn raise(&self, interrupt: Interrupt) {
        if self.ready() {
            return;
        }
        if self.is_current() {
            crate::hub::spawn::interrupt_current(interrupt);
        } else {
            self.shared().interrupt(interrupt);
        }
    }

    /// Has `link` called when the greenlet has ended: on its stack, in the order of addition, each whatever becomes of
    /// the others. Called at once, by the caller, if the greenlet has ended and its links have been called.
    ///
    /// A greenlet that its thread left behind has its links called as the thread ends, by what is left of it: what they spawn
    /// there never runs, and mostly cannot be spawned any more ([`Builder::spawn`](crate::Builder::spawn) returns an error,
    /// [`spawn`](crate::spawn) panics, which ends that link alone).
    ///
    /// ```
    /// use iora::Ending;
    /// use iora::sync::AsyncResult;
    ///
    /// let ended = AsyncResult::new();
    /// let job = iora::spawn(|| 7);
    /// job.link({
    ///     let ended = ended.clone();
    ///     move |ending| ended.set(ending).unwrap()
    /// });
    /// assert_eq!(ended.get(), Ending::Returned);
    /// ```
    pub fn link(&self, link: impl FnOnce(Ending) + Send + 'static) -> LinkId {
        match self.shared().link(Box::new(link)) {
            Ok(number) => LinkId(number),
            Err((link, ending)) => {
                completion::call(link, ending);
                LinkId(u64::MAX)
            }
        }
    }

    /// As [`link`](Self::link), but called only if the greenlet has returned its value.
    pub fn link_value(&self, link: impl FnOnce() + Send + 'static) -> LinkId {
        self.link(|ending| {
            if ending == Ending::Returned {
                link();
            }
        })
    }

    /// As [`link`](Self::link), but called only if the greenlet has ended without returning a value.
    pub fn link_exception(&self, link: impl FnOnce(Ending) + Send + 'static) -> LinkId {
        self.link(|ending| {
            if ending != Ending::Returned {
                link(ending);
            }
        })
    }

    /// Takes a link back. Whether it was still there.
    pub fn unlink(&self, id: LinkId) -> bool {
        self.shared().unlink(id.0).is_some()
    }

    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        self.shared().info().name.as_deref().map(|name| &**name)
    }

    /// Its number, which no other greenlet of the process has.
    pub fn id(&self) -> u64 {
        self.shared().info().id
    }
}

impl<T> fmt::Debug for Greenlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared();
        let state = match shared.ending() {
            Some(Ending::Returned) => "returned".to_owned(),
            Some(Ending::Killed) => "killed".to_owned(),
            Some(Ending::Panicked) => "panicked".to_owned(),
            Some(Ending::TimedOut) => "timed out".to_owned(),
            Some(Ending::Abandoned) => "abandoned".to_owned(),
            None => shared
                .unparker()
                .and_then(Unparker::state_in_words)
                .unwrap_or_else(|| "on another thread".to_owned()),
        };
        f.write_str(&report::describe(shared.info(), &state))
    }
}
