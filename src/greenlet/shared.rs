//! What a greenlet shares with its handle: who it is, who waits for it, what came of it.
//!
//! One allocation holds all of it and the closure: [`Spawned`]. The hub's task owns it as a [`Job`] and runs it; the
//! handle owns it as [`Handle<T>`], without knowing the closure's type.
//!
//! ```text
//!   hub's task ──▶ Spawned { shared: Shared<T>, closure: F } ◀── Greenlet<T>, on any thread
//! ```
//!
//! Invariants:
//!
//! 1. The closure is touched only by the hub's thread, on the greenlet's own stack: it is taken out to be run or dropped
//!    there. One that never runs is leaked, never dropped by whoever lets go of the allocation last.
//! 2. The outcome is written once, by the greenlet, before `phase` leaves `LIVE`; from then on it belongs to whoever the
//!    phase says: to the handle (`DONE`), or to the greenlet (`DETACHED`, the handle was dropped first).
#![expect(
    unsafe_code,
    reason = "the closure and the outcome belong to one side at a time, as the phase says"
)]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use super::exit::{Ending, Exit};
use super::local::{Inherited, drop_locals};
use crate::hub::interrupt::{Interrupt, discard};
use crate::hub::park::{self, Unparker};
use crate::hub::spawn;
use crate::hub::task::{Info, Job};
use crate::sync::wait_queue::{Handover, View, WaitQueue, Waited};

/// The greenlet has not ended, and its handle is there.
const LIVE: u8 = 0;
/// It has ended; the outcome is the handle's.
const DONE: u8 = 1;
/// The handle is gone; the outcome is the greenlet's to drop.
const DETACHED: u8 = 2;

/// Something to be called when a greenlet has ended.
pub(super) type Link = Box<dyn FnOnce(Ending) + Send>;

/// How to reach the greenlet, who waits for its end, and what is called then.
pub(crate) struct Completion {
    /// Reaches it, once it has arrived at its hub.
    unparker: Option<Unparker>,
    /// How it ended, once it has.
    ending: Option<Ending>,
    /// All links that were there have been called: a new one is called by whoever adds it.
    links_called: bool,
    /// What few greenlets have.
    rare: Option<Box<Rare>>,
}

/// See [`Completion::rare`].
#[derive(Default)]
struct Rare {
    /// What was raised in it before it arrived.
    early: Vec<Interrupt>,
    /// Called in order of addition, each with its number.
    links: VecDeque<(u64, Link)>,
    /// The number of the next link.
    next_link: u64,
}

impl Completion {
    /// Whether the greenlet has ended.
    pub(crate) fn ended(&self) -> bool {
        self.ending.is_some()
    }

    /// The rare part, made now if need be.
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Takes the link to be called next.
    fn next_link(&mut self) -> Option<Link> {
        let next = self.rare.as_mut().and_then(|rare| rare.links.pop_front());
        self.links_called = next.is_none();
        next.map(|(_, link)| link)
    }
}

impl Handover for Completion {
    type Ticket = ();

    /// The end is there for all: nothing is handed over.
    fn take_back(_: &mut View<'_, Self>, _: usize, _: &mut ()) {}
}

/// See the top of the file.
pub(super) struct Shared<T> {
    /// Who it is.
    pub(super) info: Info,
    /// [`LIVE`], [`DONE`] or [`DETACHED`]; says whose the outcome is.
    phase: AtomicU8,
    /// What came of it; invariant 2.
    outcome: UnsafeCell<Option<Result<T, Exit>>>,
    /// Who waits for the end.
    completion: WaitQueue<Completion>,
}

/// A greenlet's shared part and its closure.
pub(super) struct Spawned<T, F> {
    /// The part that the handle sees.
    shared: Shared<T>,
    /// Taken when the greenlet begins; invariant 1.
    closure: UnsafeCell<ManuallyDrop<Option<F>>>,
    /// Local variables that it inherits; taken with the closure.
    inherited: UnsafeCell<ManuallyDrop<Option<Box<Inherited>>>>,
}

/// What the handle holds.
pub(super) trait Handle<T> {
    /// The part that it may use.
    fn shared(&self) -> &Shared<T>;
}

impl<T, F: FnOnce() -> T> Spawned<T, F> {
    /// An unstarted greenlet.
    pub(super) fn new(
        info: Info,
        unparker: Option<Unparker>,
        closure: F,
        inherited: Option<Box<Inherited>>,
    ) -> Spawned<T, F> {
        Spawned {
            shared: Shared {
                info,
                phase: AtomicU8::new(LIVE),
                outcome: UnsafeCell::new(None),
                completion: WaitQueue::new(Completion {
                    unparker,
                    ending: None,
                    links_called: false,
                    rare: None,
                }),
            },
            closure: UnsafeCell::new(ManuallyDrop::new(Some(closure))),
            inherited: UnsafeCell::new(ManuallyDrop::new(inherited)),
        }
    }

    /// Runs the closure, or drops it if the greenlet was ended before it began. Everything that is the user's happens
    /// in here, on the greenlet's stack, and is caught.
    fn call(&self) -> Result<T, Exit> {
        // SAFETY: invariant 1: this is the hub's thread, and nobody else takes it.
        let closure = unsafe { &mut *self.closure.get() };
        // SAFETY: as above.
        let inherited = unsafe { &mut *self.inherited.get() };
        let (closure, inherited) = (closure.take(), inherited.take());
        let result = catch_unwind(AssertUnwindSafe(|| match spawn::take_interrupt() {
            Some(Interrupt::Throw(payload)) => Err(Exit::Panicked(payload)),
            Some(Interrupt::Timeout(_)) => Err(Exit::TimedOut),
            Some(Interrupt::Kill) => {
                drop(closure);
                Err(Exit::Killed)
            }
            None => {
                if let Some(inherited) = inherited {
                    inherited.install();
                }
                let closure = closure.expect("a greenlet begins once");
                let value = closure();
                spawn::raise_told();
                Ok(value)
            }
        }));
        let result = result.unwrap_or_else(|payload| Err(Exit::from_payload(payload)));
        match (drop_locals(), result) {
            (Some(payload), Ok(value)) => {
                discard(value);
                Err(Exit::from_payload(payload))
            }
            (Some(payload), result) => {
                discard(payload);
                result
            }
            (None, result) => result,
        }
    }
}

// SAFETY: only what was made without a hub is sent, before it is begun: it inherits nothing, and the closure and the
// outcome may be sent.
unsafe impl<T: Send, F: Send> Send for Spawned<T, F> {}

// SAFETY: through a shared reference the closure is reached only by the thread that runs or discards it (invariant 1), the
// outcome only by the side that owns it (invariant 2); the rest is atomics and locks.
unsafe impl<T: Send, F: Send> Sync for Spawned<T, F> {}

impl<T, F: FnOnce() -> T + Send> Spawned<T, F> {
    /// The closure of one that will not arrive at its hub.
    pub(super) fn reclaim(&self) -> Option<F> {
        // SAFETY: as in `discard`.
        let closure = unsafe { &mut *self.closure.get() };
        closure.take()
    }

    /// It will not arrive at its hub: drops the closure here, which may be done on any thread, and tells who waits.
    pub(super) fn discard(&self) {
        // SAFETY: invariant 1: it has not begun, and whoever calls this was to begin it.
        let closure = unsafe { &mut *self.closure.get() };
        let closure = closure.take();
        discard(closure);
        self.shared.finish(Err(Exit::Abandoned));
    }
}

impl<T, F> Spawned<T, F> {
    /// The part that the handle sees.
    pub(super) fn shared(&self) -> &Shared<T> {
        &self.shared
    }
}

impl<T, F: FnOnce() -> T> Job for Spawned<T, F> {
    fn run(&self) {
        let result = self.call();
        // From here on nothing is raised in it any more: its end is told whole.
        spawn::shield(true);
        self.shared.finish(result);
        // Links, and the destructor of a value that nobody wants, may have used local variables too.
        if let Some(payload) = drop_locals() {
            discard(payload);
        }
    }

    fn info(&self) -> &Info {
        &self.shared.info
    }

    fn abandon(&self) {
        // It may have ended already, and be parked in a link: then the outcome is the handle's.
        if self.shared.ready() {
            self.shared.call_links(Ending::Abandoned);
        } else {
            self.shared.finish(Err(Exit::Abandoned));
        }
    }
}

impl<T, F> Handle<T> for Spawned<T, F> {
    fn shared(&self) -> &Shared<T> {
        &self.shared
    }
}

impl<T> Shared<T> {
    /// Reaches the greenlet; `None` while it is on its way to its hub.
    pub(super) fn unparker(&self) -> Option<Unparker> {
        self.completion.with(|view| view.state.unparker)
    }

    /// It has arrived at its hub: what was raised on the way is raised now.
    pub(super) fn arrive(&self, unparker: Unparker) {
        let early = self.completion.with(|view| {
            view.state.unparker = Some(unparker);
            view.state.rare.as_mut().map(|rare| std::mem::take(&mut rare.early))
        });
        for interrupt in early.into_iter().flatten() {
            unparker.interrupt(interrupt);
        }
    }

    /// Raises something in the greenlet at its next park point.
    pub(super) fn interrupt(&self, interrupt: Interrupt) {
        let arrived = self.completion.with(|view| match view.state.unparker {
            Some(unparker) => Some((unparker, interrupt)),
            None => {
                view.state.rare().early.push(interrupt);
                None
            }
        });
        if let Some((unparker, interrupt)) = arrived {
            unparker.interrupt(interrupt);
        }
    }

    /// Whether it has ended.
    #[inline]
    pub(super) fn ready(&self) -> bool {
        self.phase.load(Ordering::Acquire) == DONE
    }

    /// Publishes the outcome, wakes who waits, calls the links.
    fn finish(&self, result: Result<T, Exit>) {
        let ending = result.as_ref().map_or_else(Exit::ending, |_| Ending::Returned);
        // SAFETY: invariant 2: the phase is `LIVE` or `DETACHED`, so the outcome is the greenlet's.
        let outcome = unsafe { &mut *self.outcome.get() };
        *outcome = Some(result);
        if self
            .phase
            .compare_exchange(LIVE, DONE, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            // SAFETY: invariant 2: `DETACHED`, so it is still the greenlet's, and nobody will ask for it.
            let outcome = unsafe { &mut *self.outcome.get() };
            discard(outcome.take());
        }
        let linked = self.completion.with(|view| {
            view.state.ending = Some(ending);
            view.state.links_called = view.state.rare.as_ref().is_none_or(|rare| rare.links.is_empty());
            view.grant_all(0);
            view.tell_all();
            !view.state.links_called
        });
        if linked {
            self.call_links(ending);
        }
    }

    /// Calls the links that there are; from then on new ones are called by whoever adds them. `ending` is what they are
    /// told if no other is known.
    fn call_links(&self, ending: Ending) {
        // One at a time: a link may take back those that come after it.
        let next = || {
            self.completion.with(|view| {
                let next = view.state.next_link();
                next.map(|link| (link, *view.state.ending.get_or_insert(ending)))
            })
        };
        while let Some((link, ending)) = next() {
            // Reported by the panic hook; the other links are called all the same.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| link(ending))) {
                discard(payload);
            }
        }
    }

    /// Parks the caller until the greenlet has ended or `deadline` passes. Whether it has ended.
    #[inline]
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let waited = self
            .completion
            .wait(0, deadline, "join", |view| match view.state.ending {
                Some(_) => Ok(()),
                None => Err(()),
            });
        if matches!(waited, Waited::AtOnce(())) {
            // A loop that only joins those that have ended gives way too.
            park::spend();
        }
        matches!(waited, Waited::AtOnce(()) | Waited::Granted(()))
    }

    /// Where its end is waited for.
    pub(super) fn completion(&self) -> &WaitQueue<Completion> {
        &self.completion
    }

    /// The value, once the greenlet has returned it.
    pub(super) fn value(&self) -> Option<&T> {
        if !self.ready() {
            return None;
        }
        // SAFETY: invariant 2: `DONE`, so the outcome is the handle's, who lends it for as long as it is borrowed.
        let outcome = unsafe { &*self.outcome.get() };
        outcome.as_ref().and_then(|result| result.as_ref().ok())
    }

    /// The message of the panic that it ended with, if it had one.
    pub(super) fn panic_message(&self) -> Option<&str> {
        if !self.ready() {
            return None;
        }
        // SAFETY: as in `value`.
        let outcome = unsafe { &*self.outcome.get() };
        outcome.as_ref()?.as_ref().err()?.panic_message()
    }

    /// How it ended, once it has.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.completion.with(|view| view.state.ending)
    }

    /// Takes the outcome.
    ///
    /// # Safety
    ///
    /// The caller is the handle and gives up the right to lend the value.
    pub(super) unsafe fn take(&self) -> Option<Result<T, Exit>> {
        if !self.ready() {
            return None;
        }
        // SAFETY: invariant 2: `DONE`, so the outcome is the handle's, who has lent it to nobody.
        let outcome = unsafe { &mut *self.outcome.get() };
        outcome.take()
    }

    /// The handle is dropped: whoever comes last drops the outcome.
    ///
    /// # Safety
    ///
    /// The caller is the handle and does not use the outcome afterwards.
    pub(super) unsafe fn detach(&self) {
        // Most are done by then, and need no exchange.
        let detach = || {
            self.phase
                .compare_exchange(LIVE, DETACHED, Ordering::AcqRel, Ordering::Acquire)
        };
        if self.ready() || detach().is_err() {
            // SAFETY: the greenlet is done, and the caller is the handle.
            drop(unsafe { self.take() });
        }
    }

    /// Adds a link. If the links have been called already, gives it back with the ending.
    pub(super) fn link(&self, link: Link) -> Result<u64, (Link, Ending)> {
        self.completion.with(|view| match view.state.ending {
            Some(ending) if view.state.links_called => Err((link, ending)),
            _ => {
                let rare = view.state.rare();
                let number = rare.next_link;
                rare.next_link += 1;
                rare.links.push_back((number, link));
                Ok(number)
            }
        })
    }

    /// Takes a link back, unless it has been called.
    pub(super) fn unlink(&self, number: u64) -> Option<Link> {
        self.completion.with(|view| {
            let links = &mut view.state.rare.as_mut()?.links;
            let place = links.iter().position(|(other, _)| *other == number)?;
            links.remove(place).map(|(_, link)| link)
        })
    }
}
