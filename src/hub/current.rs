//! Which hub, and which remote, the calling thread has.
//!
//! Both are plain thread-local words without a destructor, so reading them is one instruction, also while the thread
//! ends. A third thread-local has the destructor that takes leave: whatever is still parked then is leaked, stack and
//! all, because the thread's other locals are going and nothing may be resumed any more.
#![expect(unsafe_code, reason = "the hub is reached through a thread-local pointer")]

use std::cell::Cell;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::core::Hub;
use super::remote::Remote;
use crate::collections::slab::{Key, Slab};

thread_local! {
    /// The thread's hub, from its first spawn to its end.
    static HUB: Cell<Option<NonNull<Hub>>> = const { Cell::new(None) };
    /// The word for the stack on top of a greenlet's or the thread's own that the thread is on (see `nested`), or zero. Not in the
    /// hub, because a generator may run on a thread that has none.
    static STACK_MARK: Cell<usize> = const { Cell::new(0) };
    /// The thread's remote, from its first park or spawn to its end.
    static REMOTE: Cell<Option<&'static Remote>> = const { Cell::new(None) };
    /// Takes leave when the thread ends.
    static END: ThreadEnd = const { ThreadEnd };
}

thread_local! {
    /// The thread's next greenlet numbers: the next one, and where its block ends.
    static IDS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

thread_local! {
    /// The number of the thread's own stack; 0 until somebody asks for it.
    static OWN_ID: Cell<u64> = const { Cell::new(0) };
}

/// Numbers taken from the process's counter at a time.
const BLOCK: u64 = 1024;

/// A number that no other greenlet or thread's own stack of the process has.
#[inline]
pub(super) fn next_id() -> u64 {
    static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
    let (mut next, mut end) = IDS.get();
    if next == end {
        next = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
        end = next + BLOCK;
    }
    IDS.set((next + 1, end));
    next
}

/// The number of the thread's own stack, which nothing else in the process has.
pub(super) fn own_id() -> u64 {
    if OWN_ID.get() == 0 {
        OWN_ID.set(next_id());
    }
    OWN_ID.get()
}

/// Its destructor runs when the thread ends.
struct ThreadEnd;

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        // A link of an abandoned greenlet may spawn, which makes another hub. One that always does is left its last.
        for _ in 0..16 {
            let Some(hub) = take_hub() else { break };
            hub.abandon_all(renew_remote);
        }
        // A hub that is left has the remote still: it is not for another thread then.
        if let Some(remote) = REMOTE.take()
            && HUB.get().is_none()
        {
            remote.retire();
        }
    }
}

/// The calling thread's hub. Lives until the thread ends or ends it by [`take_hub`], and neither happens while a frame
/// that runs holds one.
#[derive(Clone, Copy)]
pub(super) struct HubRef(NonNull<Hub>);

impl Deref for HubRef {
    type Target = Hub;

    #[inline]
    fn deref(&self) -> &Hub {
        // SAFETY: made from the thread-local, which points to a live hub; the hub is freed only by `take_hub`'s callers,
        // from the bottom of the thread's own stack, when no greenlet of it will run again.
        unsafe { self.0.as_ref() }
    }
}

/// The word for the stack on top of whoever runs, or zero.
#[inline]
pub(super) fn stack_mark() -> usize {
    STACK_MARK.get()
}

/// The thread goes on to the stack with this word; returns the former one.
#[inline]
pub(super) fn replace_stack_mark(mark: usize) -> usize {
    STACK_MARK.replace(mark)
}

/// The calling thread's hub, if it has one.
#[inline]
pub(super) fn hub() -> Option<HubRef> {
    HUB.get().map(HubRef)
}

/// Gives the calling thread its hub. It has none yet.
pub(super) fn set_hub(hub: Hub) -> HubRef {
    let hub = NonNull::from(Box::leak(Box::new(hub)));
    HUB.set(Some(hub));
    HubRef(hub)
}

/// Takes the hub from the thread. The caller is at the bottom of the thread's own stack.
pub(super) fn take_hub() -> Option<Box<Hub>> {
    let hub = HUB.take()?;
    // SAFETY: the pointer came from a leaked box, and the thread-local, now empty, was the only owner.
    Some(unsafe { Box::from_raw(hub.as_ptr()) })
}

/// The calling thread's remote.
#[inline]
pub(super) fn remote() -> &'static Remote {
    REMOTE.get().unwrap_or_else(adopt)
}

/// Gives the calling thread a remote.
#[cold]
fn adopt() -> &'static Remote {
    let remote = Remote::adopt();
    REMOTE.set(Some(remote));
    // Fails when the thread is ending and the destructor has run: then this remote stays with a thread that is gone,
    // which costs its memory and nothing else.
    let _ = END.try_with(|_| ());
    remote
}

/// The thread's hub is gone. If its remote is used up, the thread goes on with another one.
pub(super) fn renew_remote() {
    if let Some(remote) = REMOTE.get().filter(|remote| remote.is_used_up()) {
        REMOTE.set(None);
        remote.retire();
    }
}

/// The key of the thread's own stack when the thread has no hub; equal to the one its hub will give it.
pub(super) fn root_key(remote: &Remote) -> Key {
    Slab::<()>::with_first_generation(remote.generation()).next_key()
}
