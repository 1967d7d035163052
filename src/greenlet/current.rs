//! The greenlet that runs.

use std::panic::Location;

use crate::hub::idle;
use crate::hub::interrupt::Interrupt;
use crate::hub::park::{self, Unparker};
use crate::hub::spawn;

/// The greenlet that called [`current`], by name and number.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its number.
    id: u64,
    /// Its name.
    name: Option<Box<str>>,
    /// Where it was spawned.
    spawned_at: &'static Location<'static>,
    /// Reaches it.
    unparker: Unparker,
}

impl Current {
    /// Its number, which no other greenlet of the process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// Asks it to end, from wherever this was carried to; see [`Greenlet::kill_nowait`](crate::Greenlet::kill_nowait).
    pub fn kill_nowait(&self) {
        if self.unparker.is_current() {
            spawn::interrupt_current(Interrupt::Kill);
        } else {
            self.unparker.interrupt(Interrupt::Kill);
        }
    }
}

/// The greenlet that calls; `None` on a thread's own stack.
///
/// ```
/// assert!(iora::current().is_none());
/// let job = iora::spawn(|| iora::current().unwrap().id());
/// let id = job.id();
/// assert_eq!(job.get().unwrap(), id);
/// ```
pub fn current() -> Option<Current> {
    spawn::with_info(|info, unparker| Current {
        id: info.id,
        name: info.name.as_deref().cloned(),
        spawned_at: info.spawned_at,
        unparker,
    })
}

/// Lets every other greenlet of the thread that is ready run once before the caller goes on.
///
/// A park point: a pending kill or timeout is raised here. On a thread without a hub it lets another thread run.
#[inline(always)]
pub fn yield_now() {
    park::yield_now();
}

/// Parks the caller until nothing else on the thread is ready: no greenlet, no timer, no descriptor, no wake-up from
/// another thread. For work that is to be done only when there is nothing better to do.
///
/// All who wait so go on in turn. On a thread without a hub it lets another thread run. While the thread unwinds it returns at
/// once.
///
/// ```
/// let busy = iora::spawn(|| (0..10).for_each(|_| iora::yield_now()));
/// iora::idle();
/// assert!(busy.ready());
/// ```
pub fn idle() {
    idle::wait();
}
