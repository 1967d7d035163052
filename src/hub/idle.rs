//! Waiting until there is nothing else to do.
//!
//! Whoever waits so is made ready when the hub would otherwise sleep: nothing is ready, no alarm is due, no descriptor has
//! an event, the inbox is empty.

use super::core::Hub;
use super::current::{self, HubRef};
use super::park;
use super::task::Reason;
use crate::collections::slab::Key;

/// Parks the caller until nothing else in its hub is ready. On a thread without a hub, lets another thread run.
pub(crate) fn wait() {
    let Some(hub) = current::hub() else {
        return std::thread::yield_now();
    };
    let Some(key) = hub.running.get() else { return };
    if std::thread::panicking() {
        return;
    }
    hub.idlers.borrow_mut().push_back(key);
    let _leave = Leave { hub, key };
    while hub.idlers.borrow().contains(&key) {
        park::park(None, "idle");
    }
}

/// Takes whoever waits out again, also when it is unwound.
struct Leave {
    /// Where it waits.
    hub: HubRef,
    /// Who.
    key: Key,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.hub.idlers.borrow_mut().retain(|other| *other != self.key);
    }
}

impl Hub {
    /// Nothing is ready: unless descriptors have something to do, makes ready all who wait for that. Whether anybody is ready
    /// now.
    pub(super) fn wake_idlers(&self) -> bool {
        if self.idlers.borrow().is_empty() {
            return false;
        }
        self.poll_now();
        if self.ready.is_empty() {
            let idlers = self.idlers.take();
            for key in idlers {
                self.wake(key, Reason::Unparked);
            }
        }
        true
    }
}
