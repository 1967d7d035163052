//! How other threads reach a thread that parks: an inbox and a way to wake it.
//!
//! A [`Remote`] belongs to one thread at a time. It is never freed, so that an [`Unparker`](super::park::Unparker) may
//! hold a plain reference; when its thread ends it goes to a pool, and the next thread that needs one takes it. Keys of
//! its former owner find nothing then, because the new owner's generations begin where the old one's ended. One that has used
//! up half of them is left alone for ever.
//!
//! ```text
//!   waker's thread                          owner's thread
//!   push(message)                           sleep.store(how it sleeps)
//!   if sleep.swap(AWAKE) != AWAKE: wake     if the inbox is empty: sleep
//!                                           sleep.store(AWAKE)
//! ```
//!
//! Either the waker sees the flag or the owner sees the message (both sides use sequentially consistent accesses). A
//! busy owner is never woken by a system call, and of a burst of wakers only the first makes one.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use super::interrupt::{self, Interrupt};
use super::poller::Waker;
use crate::collections::inbox::Inbox;
use crate::collections::slab::Key;

/// What one thread asks of another.
pub(super) enum Message {
    /// Make this task ready.
    Wake(Key),
    /// Raise this in that task.
    Interrupt(Key, Interrupt),
    /// Run this in the hub's loop. It must not park.
    Run(Box<dyn FnOnce() + Send>),
    /// A source was closed (`true`) or dropped (`false`) on another thread.
    EndSource(Key, bool),
    /// Nobody can wake anybody any more: tell the thread's own stack.
    Deadlock,
}

/// The owner runs.
const AWAKE: u8 = 0;
/// The owner sleeps, or is about to, in `std::thread::park`: it has no hub.
const IN_PARK: u8 = 1;
/// The owner sleeps, or is about to, in its hub's poller.
const IN_POLL: u8 = 2;

/// A remote whose owners have come so far gets no other, nor another hub. Who owns it has as many generations before it, at least.
const USED_UP: u32 = 1 << 31;

/// See the top of the file.
pub(crate) struct Remote {
    /// What others ask of the owner.
    inbox: Inbox<Message>,
    /// [`AWAKE`], [`IN_PARK`] or [`IN_POLL`]. Set by the owner, reset by either side.
    sleep: AtomicU8,
    /// What changes when the owner or its hub changes. Touched only where somebody really sleeps or a life ends.
    life: Mutex<Life>,
}

/// The owner of a remote, and how to wake it.
struct Life {
    /// Counts owners and their hubs: `Run` messages are only taken by the hub that they were meant for.
    epoch: u64,
    /// The first generation of keys that no former owner used.
    generation: u32,
    /// Wakes the owner in `std::thread::park`.
    thread: Option<Thread>,
    /// Wakes the owner's hub in its poller. While it is here the hub takes `Run` messages.
    waker: Option<Waker>,
}

/// Remotes whose threads have ended.
static POOL: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

/// Locks, whatever became of whoever panicked inside: nothing here is left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // To be parked here would be to be parked in the middle of waking somebody.
    #[cfg(feature = "monkey")]
    let _inside = super::hook_state::Inside::enter();
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// A remote for the calling thread.
    pub(super) fn adopt() -> &'static Remote {
        let pooled = lock(&POOL).pop();
        let remote: &'static Remote = pooled.unwrap_or_else(|| {
            Box::leak(Box::new(Remote {
                inbox: Inbox::new(),
                sleep: AtomicU8::new(AWAKE),
                life: Mutex::new(Life {
                    epoch: 0,
                    generation: 0,
                    thread: None,
                    waker: None,
                }),
            }))
        });
        lock(&remote.life).thread = Some(std::thread::current());
        remote
    }

    /// Gives the remote back when its thread ends, or goes on with another one.
    pub(super) fn retire(&'static self) {
        let used_up = {
            let mut life = lock(&self.life);
            life.epoch += 1;
            life.generation = life.generation.saturating_add(1);
            life.thread = None;
            life.generation >= USED_UP
        };
        self.drop_messages();
        if !used_up {
            lock(&POOL).push(self);
        }
    }

    /// Whether its owner has to go on with another one.
    pub(super) fn is_used_up(&self) -> bool {
        self.generation() >= USED_UP
    }

    /// The generation that the owner's keys begin with.
    pub(super) fn generation(&self) -> u32 {
        lock(&self.life).generation
    }

    /// The owner has a hub now. The number returned names that hub in [`post_run`](Self::post_run).
    pub(super) fn open_hub(&self, waker: Waker) -> u64 {
        let mut life = lock(&self.life);
        life.waker = Some(waker);
        life.epoch += 1;
        life.epoch
    }

    /// The owner's hub is gone; `generation` is the first that its keys did not use.
    pub(super) fn close_hub(&self, generation: u32) {
        {
            let mut life = lock(&self.life);
            life.waker = None;
            life.epoch += 1;
            life.generation = generation;
        }
        self.drop_messages();
    }

    /// Sends a message to whoever owns the remote now. Wakes it if it sleeps.
    pub(super) fn post(&self, message: Message) {
        self.inbox.push(message);
        self.wake();
    }

    /// Has the hub named `epoch` call `run` with `value`; gives it back when that hub is gone.
    pub(super) fn post_run<V: Send + 'static>(&self, epoch: u64, value: V, run: fn(V)) -> Result<(), V> {
        {
            let life = lock(&self.life);
            if life.epoch != epoch {
                return Err(value);
            }
            // Pushed under the lock: `close_hub` drops what is in the inbox only after it has changed the epoch.
            self.inbox.push(Message::Run(Box::new(move || run(value))));
        }
        self.wake();
        Ok(())
    }

    /// Ends the owner's sleep, if it sleeps.
    fn wake(&self) {
        if self.sleep.load(Ordering::SeqCst) == AWAKE {
            return;
        }
        match self.sleep.swap(AWAKE, Ordering::SeqCst) {
            IN_PARK => {
                let thread = lock(&self.life).thread.clone();
                if let Some(thread) = thread {
                    thread.unpark();
                }
            }
            IN_POLL => {
                if let Some(waker) = &lock(&self.life).waker {
                    waker.wake();
                }
            }
            _ => {}
        }
    }

    /// The owner is about to sleep in its poller (`true`) or in `std::thread::park`. Returns whether it may: nothing
    /// has come in.
    pub(super) fn prepare_sleep(&self, in_poller: bool) -> bool {
        self.sleep
            .store(if in_poller { IN_POLL } else { IN_PARK }, Ordering::SeqCst);
        if self.inbox.is_empty() {
            return true;
        }
        self.awake();
        false
    }

    /// The owner sleeps no more.
    pub(super) fn awake(&self) {
        self.sleep.store(AWAKE, Ordering::SeqCst);
    }

    /// Whether the owner sleeps in its poller and nothing waits in its inbox.
    pub(super) fn is_quiet(&self) -> bool {
        self.sleep.load(Ordering::SeqCst) == IN_POLL && self.inbox.is_empty()
    }

    /// Whether a message waits.
    #[inline]
    pub(super) fn has_messages(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// All messages there are, oldest first. Only the owner calls it.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message> + use<> {
        self.inbox.drain()
    }

    /// Drops what nobody will read. A destructor in a message may do anything but park.
    fn drop_messages(&self) {
        self.inbox.drain().for_each(interrupt::discard);
    }
}

#[cfg(test)]
mod tests {
    use super::super::park::Unparker;
    use super::super::{current, make};
    use super::*;

    /// Whether the pool has it.
    fn is_pooled(remote: &'static Remote) -> bool {
        lock(&POOL).iter().any(|other| std::ptr::eq(*other, remote))
    }

    #[test]
    fn a_remote_that_is_used_up_gets_no_other_hub_and_no_other_thread() {
        let ended = std::thread::spawn(|| {
            let remote = current::remote();
            lock(&remote.life).generation = USED_UP - 1;
            make::hub_or_new().expect("descriptors");
            let former = Unparker::current();
            assert!(former.is_local());
            // The next hub's keys would begin with `USED_UP`.
            crate::hub::end();
            make::hub_or_new().expect("descriptors");
            assert!(!former.is_local(), "it is the next hub's too");
            crate::hub::end();
            let next = current::remote();
            lock(&next.life).generation = USED_UP - 1;
            (remote, next)
        });
        let (former, next) = ended.join().expect("did not panic");
        assert!(!is_pooled(former), "after the hub");
        assert!(!is_pooled(next), "after the thread");
    }
}
