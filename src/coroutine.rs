//! The only place that switches stacks.
//!
//! A [`Coroutine`] owns a stack and what runs on it. Its hub *resumes* it, from the thread's own stack or another
//! coroutine's; what runs on it *suspends* through the [`Suspender`] it was started with. Nothing here knows greenlets,
//! wake-ups or the hub.
//!
//! ```text
//!   thread's own stack             coroutine's stack
//!   ──────────────────             ─────────────────
//!   resume() ────────────────────▶ body starts, or suspend() returns
//!   Status::Suspended ◀─────────── Suspender::suspend()
//!   Status::Finished  ◀─────────── body returns
//! ```
//!
//! The record of a coroutine lies at the top of its own stack, above the first frame: it costs no allocation, never moves,
//! and shares the one page that a shallow greenlet touches.
//!
//! ```text
//!   base ─▶ ┌────────────────┐
//!           │ record         │  where the frames are suspended, and the stack itself
//!           ├────────────────┤  what the switch takes for the base
//!           │ frames         │
//!           ~                ~
//!  limit ─▶ └─ guard ────────┘
//! ```
//!
//! Invariants:
//!
//! 1. A started coroutine is never dropped before its body has returned: dropping would unwind its frames from the
//!    outside. Its owner resumes it to its end or [`leak`](Coroutine::leak)s it, stack and all.
//! 2. The body never unwinds out: whoever builds a coroutine gives it a body that catches.
//! 3. A `Suspender` is used only on the thread, and on the stack or on top of the stack, that it was handed to.
//! 4. A coroutine that is being resumed is neither resumed again nor dropped before that returns.
//! 5. `errno` belongs to what runs on a stack, not to the thread: it is saved over each suspension.
#![expect(
    unsafe_code,
    reason = "a coroutine's record and its way back lie at the top of its own stack"
)]

use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

use crate::stack::Stack;
use crate::sys::errno;
use crate::sys::prefetch::prefetch;

/// How far a resumed coroutine came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It called [`Suspender::suspend`] and can be resumed.
    Suspended,
    /// Its body returned; only its stack is left.
    Finished,
}

/// The switch itself. Carries no values: hub and greenlet share memory on one thread.
type Record = corosensei::Coroutine<(), (), (), Lower>;

/// The switch's own way back.
type Yielder = corosensei::Yielder<(), ()>;

/// What lies at the top of a coroutine's stack, in this order.
#[repr(C)]
struct Head {
    /// Where its frames are suspended, and the stack itself.
    record: Record,
    /// The way back, once it has begun. What runs on the stack reads it while the record is in use.
    back: MaybeUninit<NonNull<Yielder>>,
    /// A word of the owner's, which no switch touches.
    tag: Cell<Option<NonNull<()>>>,
}

/// What the switch keeps just below what it takes for the base.
const LINK: usize = 16;

/// Room for the head: all that a switch touches of it shares a cache line with the link.
const HEAD: usize = (LINK + size_of::<Head>()).next_multiple_of(64) - LINK;

/// The most cache lines of frames that [`Entrance::fetch`] fetches.
const FETCHED: usize = 11;

/// How many bytes of frames are fetched where it is not known how many there are.
const SHALLOW: usize = 256;

/// What is left of a stack below its coroutine's record.
struct Lower(Stack);

// SAFETY: as the whole stack, which is 16 KiB at least and whose base is a page address: the part above is a few lines.
unsafe impl corosensei::stack::Stack for Lower {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.base().get() - HEAD).expect("nothing is mapped at zero")
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.0.limit()
    }
}

/// A stack and what runs on it. Not `Send`: what is on the stack need not be.
pub(crate) struct Coroutine {
    /// At the top of the stack, which it owns; read for the last time when this is dropped.
    head: NonNull<Head>,
}

/// The way into a coroutine, for who leaves the coroutine itself where it is, and the way out of it again.
#[derive(Clone, Copy)]
pub(crate) struct Entrance(NonNull<Head>);

/// The way back from a coroutine's stack to whoever resumed it.
#[derive(Clone, Copy)]
pub(crate) struct Suspender {
    /// Lives at the top of the coroutine's stack, at one address for as long as its body runs.
    yielder: NonNull<Yielder>,
    /// The `errno` of the thread, which it never leaves.
    errno: errno::Place,
}

/// About where the frames of whoever calls end, on whatever stack, for [`Entrance::fetch`]: the lower half of the address.
#[inline(always)]
pub(crate) fn low() -> u32 {
    let here = 0_u8;
    (&raw const here).addr() as u32
}

impl Coroutine {
    /// Makes a coroutine that will run `body` on `stack` at its first [`resume`](Self::resume).
    ///
    /// `body` is moved onto the new stack, so it should be small (a pointer or two).
    #[inline]
    pub(crate) fn new(stack: Stack, body: impl FnOnce(Suspender) + 'static) -> Coroutine {
        let head: *mut Head = ptr::with_exposed_provenance_mut(stack.base().get() - HEAD);
        let record = Record::with_stack(Lower(stack), move |yielder: &Yielder, ()| {
            let yielder = NonNull::from(yielder);
            // SAFETY: the head is there as long as this runs.
            let place = unsafe { &raw mut (*head).back };
            // SAFETY: nobody reads it before what runs on this stack does.
            unsafe { place.write(MaybeUninit::new(yielder)) };
            body(Suspender {
                yielder,
                errno: errno::Place::here(),
            });
        });
        // SAFETY: `HEAD` bytes below the base are mapped, aligned, and not a part of what the switch uses.
        let place = unsafe { &raw mut (*head).record };
        // SAFETY: as above.
        unsafe { place.write(record) };
        // SAFETY: as above.
        let place = unsafe { &raw mut (*head).tag };
        // SAFETY: as above.
        unsafe { place.write(Cell::new(None)) };
        Coroutine {
            head: NonNull::new(head).expect("nothing is mapped at zero"),
        }
    }

    /// Switches to the coroutine's stack until it suspends or finishes.
    #[inline]
    pub(crate) fn resume(&mut self) -> Status {
        // SAFETY: the exclusive borrow lasts until it returns.
        unsafe { self.entrance().resume() }
    }

    /// The way into it.
    #[inline]
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(self.head)
    }

    /// Gives the stack back.
    ///
    /// # Panics
    ///
    /// If it has not finished.
    #[inline]
    pub(crate) fn finish(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: this is the owner's end, and it is not dropped.
        let record = unsafe { this.take_record() };
        drop(record.into_stack());
    }

    /// Moves the record off the stack, because that goes back to the cache with it.
    ///
    /// # Safety
    ///
    /// The caller is the owner, at its end.
    #[inline]
    unsafe fn take_record(&self) -> Record {
        // SAFETY: the head is there as long as its owner.
        let place = unsafe { &raw const (*self.head.as_ptr()).record };
        // SAFETY: written by `new`, and nobody reads it again.
        unsafe { place.read() }
    }

    /// Forgets the coroutine with all that is on its stack: no destructor runs, the stack stays mapped for ever.
    pub(crate) fn leak(self) {
        std::mem::forget(self);
    }
}

impl Drop for Coroutine {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is the owner's end.
        drop(unsafe { self.take_record() });
    }
}

impl Entrance {
    /// Has the processor fetch the head, and the frames that end at `low`; if that is zero, those of a coroutine that has never waited
    /// deep. The coroutine need not be there any more.
    #[inline]
    pub(crate) fn fetch(self, low: u32) {
        let head = self.0.addr().get();
        prefetch(self.0.as_ptr());
        // No stack is so large that its addresses have the same lower half twice.
        let depth = match low {
            0 => SHALLOW,
            low => (head as u32).wrapping_sub(low) as usize,
        };
        // What the switch left is a little below.
        let lowest = head.wrapping_sub(depth + 64);
        for above in (0..depth + 64).step_by(64).take(FETCHED) {
            prefetch(ptr::without_provenance::<u8>(lowest.wrapping_add(above)));
        }
    }

    /// Switches to the coroutine's stack until it suspends or finishes.
    ///
    /// # Safety
    ///
    /// The coroutine is there, and invariant 4: it is not being resumed, and will be there until this returns.
    #[inline]
    pub(crate) unsafe fn resume(self) -> Status {
        // SAFETY: the caller says that the coroutine, hence its head, is there.
        let record = unsafe { &raw mut (*self.0.as_ptr()).record };
        // SAFETY: the caller says that nobody else resumes or drops it, and nobody does anything else with the record.
        let record = unsafe { &mut *record };
        match record.resume(()) {
            corosensei::CoroutineResult::Yield(()) => Status::Suspended,
            corosensei::CoroutineResult::Return(()) => Status::Finished,
        }
    }

    /// The owner's word.
    ///
    /// # Safety
    ///
    /// The coroutine is there.
    #[inline]
    pub(crate) unsafe fn tag(self) -> Option<NonNull<()>> {
        // SAFETY: the caller says that the coroutine, hence its head, is there; this field was written by `new`.
        unsafe { &(*self.0.as_ptr()).tag }.get()
    }

    /// Changes the owner's word.
    ///
    /// # Safety
    ///
    /// The coroutine is there.
    #[inline]
    pub(crate) unsafe fn set_tag(self, tag: Option<NonNull<()>>) {
        // SAFETY: as in `tag`.
        unsafe { &(*self.0.as_ptr()).tag }.set(tag);
    }

    /// Where its stack begins. The coroutine need not be there any more.
    pub(crate) fn base(self) -> usize {
        self.0.addr().get() + HEAD
    }

    /// Switches back to whoever resumed the coroutine; returns when it is resumed again. `errno` is the calling thread's.
    ///
    /// # Safety
    ///
    /// What calls runs on the coroutine's stack, or on top of it.
    #[inline]
    pub(crate) unsafe fn suspend(self, errno: errno::Place) {
        // SAFETY: the caller runs on its stack, so it is there.
        let place = unsafe { &raw const (*self.0.as_ptr()).back };
        // SAFETY: as above.
        let back = unsafe { place.read() };
        // SAFETY: written when the coroutine began, and the caller runs on its stack, so it has.
        let yielder = unsafe { back.assume_init() };
        Suspender { yielder, errno }.suspend();
    }
}

impl Suspender {
    /// Switches back to whoever resumed this coroutine; returns when it is resumed again.
    #[inline]
    pub(crate) fn suspend(self) {
        let _errno = self.errno.save();
        // SAFETY: invariant 3: the caller runs on this coroutine's stack, so its body has not returned, and the yielder,
        // which lives until it does, is there.
        let yielder = unsafe { self.yielder.as_ref() };
        yielder.suspend(());
    }
}
