//! A line of those who wait: a list through the waiters themselves. Each lies with whoever waits, mostly in the frame of its
//! wait, so standing in line allocates nothing.
//!
//! ```text
//! line:    first ─► [ waiter ] ◄─► [ waiter ] ◄─► [ waiter ] ◄─ last
//!
//! IN_LINE ── stepped out ─► GRANTED ── the section is over ─► TOLD      it may go without the lock
//!    │            └───────► PASSED_OVER                                 granted something in another line
//!    └─ removed ──────────► PASSED_OVER
//! ```
//!
//! 1. A waiter stays where it is, and is not dropped, from when it is pushed until its owner has seen it `TOLD`, or has seen under
//!    the lock that it is not in line; a waiter that is in line then is removed first.
//! 2. Its links, its ticket and its unparker are touched under the queue's lock only, until it is out of line for its owner:
//!    that is as in 1. From then on they are the owner's.
//! 3. Whoever granted it something says so, `TOLD`, at the end of that section, and does not touch it after that.
//! 4. Its ticket is taken home by its owner, also when that is unwound; a waiter that is dropped does not drop it.
#![expect(unsafe_code, reason = "a waiter lies with its owner, and the line points to it")]

use super::claim::Claim;
use crate::hub::park::Unparker;
use crate::primitive::UnsafeCell;
use crate::primitive::atomic::{AtomicU8, Ordering};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// It stands in its line.
const IN_LINE: u8 = 0;
/// It is out of line without having been granted anything there.
const PASSED_OVER: u8 = 1;
/// It was granted something; the granter may touch it still.
const GRANTED: u8 = 2;
/// It was granted something, and is its owner's alone.
const TOLD: u8 = 3;

/// One waiter, with what it brings and takes home.
pub(super) struct Waiter<T> {
    /// The one before it in line, or null.
    previous: Cell<*const Waiter<T>>,
    /// The one behind it in line, or null.
    next: Cell<*const Waiter<T>>,
    /// Where it stands; see the picture. Written under the lock.
    standing: AtomicU8,
    /// Wakes it.
    unparker: Unparker,
    /// What has to be won before it is granted anything.
    claim: Option<Claim>,
    /// What it brings and takes home. Its owner takes it, once.
    ticket: UnsafeCell<ManuallyDrop<T>>,
}

impl<T> Waiter<T> {
    /// A waiter that is about to be pushed into a line: the caller, with its ticket.
    #[inline(always)]
    pub(super) fn new(claim: Option<Claim>, ticket: T) -> Waiter<T> {
        Waiter {
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            standing: AtomicU8::new(IN_LINE),
            unparker: Unparker::current(),
            claim,
            ticket: UnsafeCell::new(ManuallyDrop::new(ticket)),
        }
    }

    /// Whether it was granted something and nobody else touches it any more. Needs no lock.
    #[inline(always)]
    pub(super) fn is_told(&self) -> bool {
        self.standing.load(Ordering::Acquire) == TOLD
    }

    /// Whether it was granted something. Under the lock.
    pub(super) fn is_granted(&self) -> bool {
        self.standing.load(Ordering::Relaxed) >= GRANTED
    }

    /// What it stands under.
    pub(super) fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// It is granted something, under the lock, and has been taken out of line: whom to tell, and its ticket.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the lock makes it exclusive, not the reference")]
    fn granted(&self) -> (Granted, &mut T) {
        self.standing.store(GRANTED, Ordering::Relaxed);
        let granted = Granted {
            standing: NonNull::from(&self.standing),
            unparker: Unparker::clone(&self.unparker),
        };
        // SAFETY: the lock is held; and it is out of line, so this is the only way to it for as long as that is so.
        (granted, unsafe { self.ticket() })
    }

    /// Its ticket.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, or is the owner and invariant 2 makes the ticket its own; and has no other reference to it.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the lock makes it exclusive, not the reference")]
    pub(super) unsafe fn ticket(&self) -> &mut T {
        self.ticket.with_mut(|ticket| {
            // SAFETY: the caller's promise.
            unsafe { &mut *ticket }
        })
    }

    /// The ticket, taken home.
    ///
    /// # Safety
    ///
    /// The caller is the owner, invariant 2 makes it the owner's, and this is the one call.
    #[inline(always)]
    pub(super) unsafe fn take_ticket(&self) -> T {
        self.ticket.with_mut(|ticket| {
            // SAFETY: the caller's promise.
            let ticket = unsafe { &mut *ticket };
            // SAFETY: the caller's promise.
            unsafe { ManuallyDrop::take(ticket) }
        })
    }
}

/// Whom to tell, at the end of a section, that it was granted something, and to wake after it.
pub(super) struct Granted {
    /// Its standing.
    standing: NonNull<AtomicU8>,
    /// Wakes it.
    unparker: Unparker,
}

impl Granted {
    /// Says so. It is not touched after this.
    ///
    /// # Safety
    ///
    /// The lock is held since it was granted something, and this is called once.
    #[inline(always)]
    pub(super) unsafe fn tell(&self) {
        // SAFETY: invariant 1: it is GRANTED and the lock is held, so its owner has not left; the store is the last access.
        unsafe { self.standing.as_ref() }.store(TOLD, Ordering::Release);
    }

    /// Wakes it. Not under the lock.
    #[inline(always)]
    pub(super) fn wake(self) {
        self.unparker.unpark();
    }
}

/// A line, first in, first out, with removal from anywhere in constant time. All of it is for who holds the lock.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// Who is served next, or null.
    first: *const Waiter<T>,
    /// Who came last, or null.
    last: *const Waiter<T>,
}

// SAFETY: it gives access to its waiters' tickets, which are `Send`, to who holds the lock; their unparkers are `Send`, and so are
// their claims.
unsafe impl<T: Send> Send for Line<T> {}

impl<T> Line<T> {
    /// Nobody.
    pub(super) const EMPTY: Line<T> = Line {
        first: ptr::null(),
        last: ptr::null(),
    };

    /// One more, behind all others.
    ///
    /// # Safety
    ///
    /// The waiter is new, and its owner keeps invariant 1.
    #[inline(always)]
    pub(super) unsafe fn push_back(&mut self, waiter: &Waiter<T>) {
        let last = std::mem::replace(&mut self.last, waiter);
        waiter.previous.set(last);
        // SAFETY: invariant 1: who stands in line is there.
        match unsafe { last.as_ref() } {
            None => self.first = waiter,
            Some(last) => last.next.set(waiter),
        }
    }

    /// One more, before all others.
    ///
    /// # Safety
    ///
    /// As [`Line::push_back`].
    pub(super) unsafe fn push_front(&mut self, waiter: &Waiter<T>) {
        let first = std::mem::replace(&mut self.first, waiter);
        waiter.next.set(first);
        // SAFETY: invariant 1: who stands in line is there.
        match unsafe { first.as_ref() } {
            None => self.last = waiter,
            Some(first) => first.previous.set(waiter),
        }
    }

    /// Lets the first in line whose claim can be won step out, and those before it too: whom to tell, and its ticket.
    #[inline(always)]
    pub(super) fn grant(&mut self) -> Option<(Granted, &mut T)> {
        loop {
            // SAFETY: invariant 1: who stands in line is there.
            let waiter = unsafe { self.first.as_ref() }?;
            self.shift(waiter);
            if waiter.claim.as_ref().is_none_or(Claim::win) {
                return Some(waiter.granted());
            }
            waiter.standing.store(PASSED_OVER, Ordering::Relaxed);
        }
    }

    /// Lets the first in line step out with what `give` makes of its ticket, and tells it: who is to be woken after the section.
    /// `None`, and nothing is done, if nobody stands there or the first stands under a claim.
    #[inline(always)]
    pub(super) fn give(&mut self, give: impl FnOnce(&mut T)) -> Option<Unparker> {
        // SAFETY: invariant 1: who stands in line is there.
        let waiter = unsafe { self.first.as_ref() }?;
        if waiter.claim.is_some() {
            return None;
        }
        self.shift(waiter);
        // SAFETY: the lock is held; and it is out of line, so this is the only way to it for as long as that is so.
        give(unsafe { waiter.ticket() });
        let unparker = Unparker::clone(&waiter.unparker);
        waiter.standing.store(TOLD, Ordering::Release);
        Some(unparker)
    }

    /// Takes out the first, which is `waiter`.
    #[inline(always)]
    fn shift(&mut self, waiter: &Waiter<T>) {
        self.first = waiter.next.get();
        // SAFETY: invariant 1: who stands in line is there.
        match unsafe { self.first.as_ref() } {
            None => self.last = ptr::null(),
            Some(next) => next.previous.set(ptr::null()),
        }
    }

    /// The ticket of the first in line.
    pub(super) fn first(&mut self) -> Option<&mut T> {
        // SAFETY: invariant 1: who stands in line is there.
        let first = unsafe { self.first.as_ref() }?;
        // SAFETY: the lock is held, and the line is borrowed exclusively.
        Some(unsafe { first.ticket() })
    }

    /// Takes a waiter out, if it is in line.
    ///
    /// # Safety
    ///
    /// It was pushed into this line, and the caller is its owner.
    pub(super) unsafe fn remove(&mut self, waiter: &Waiter<T>) {
        if waiter.standing.load(Ordering::Relaxed) != IN_LINE {
            return;
        }
        waiter.standing.store(PASSED_OVER, Ordering::Relaxed);
        let (previous, next) = (waiter.previous.get(), waiter.next.get());
        // SAFETY: invariant 1: who stands in line is there.
        match unsafe { previous.as_ref() } {
            None => self.first = next,
            Some(previous) => previous.next.set(next),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            None => self.last = previous,
            Some(next) => next.previous.set(previous),
        }
    }

    /// Whether nobody stands in line.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Those who stand in line, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter<T>> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            // SAFETY: invariant 1: who stands in line is there, and the line is borrowed, so nobody leaves it.
            let waiter = unsafe { next.as_ref() }?;
            next = waiter.next.get();
            Some(waiter)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::rc::Rc;

    #[derive(Clone, Debug)]
    enum Step {
        PushBack,
        PushFront,
        Grant,
        Remove(usize),
        Win(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::PushBack),
            Just(Step::PushFront),
            Just(Step::Grant),
            any::<usize>().prop_map(Step::Remove),
            any::<usize>().prop_map(Step::Win),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_deque(steps in prop::collection::vec(step(), 0..80)) {
            let (mut line, mut model) = (Line::EMPTY, VecDeque::new());
            for (number, step) in steps.into_iter().enumerate() {
                let waiter = || Rc::new(Waiter::new((number % 2 == 0).then(Claim::new), number));
                match step {
                    Step::PushBack => {
                        model.push_back(waiter());
                        // SAFETY: the model keeps it until it has left.
                        unsafe { line.push_back(model.back().unwrap()) };
                    }
                    Step::PushFront => {
                        model.push_front(waiter());
                        // SAFETY: the model keeps it until it has left.
                        unsafe { line.push_front(model.front().unwrap()) };
                    }
                    Step::Grant => {
                        // They stand in line still, and are kept until they do not.
                        let mut passed_over = Vec::new();
                        while model.front().is_some_and(|first| first.claim().is_some_and(Claim::is_won)) {
                            passed_over.extend(model.pop_front());
                        }
                        let expected = model.pop_front();
                        match line.grant() {
                            None => prop_assert!(expected.is_none()),
                            Some((granted, ticket)) => {
                                let expected = expected.unwrap();
                                prop_assert!(expected.is_granted() && !expected.is_told());
                                let ticket = *ticket;
                                // SAFETY: granted just now, and told once.
                                unsafe { granted.tell() };
                                prop_assert!(expected.is_told());
                                // SAFETY: it has been told.
                                prop_assert_eq!(unsafe { expected.take_ticket() }, ticket);
                            }
                        }
                        // Their owners leave as if they stood there still.
                        for gone in passed_over {
                            // SAFETY: it was pushed into this line.
                            unsafe { line.remove(&gone) };
                        }
                    }
                    Step::Remove(index) if !model.is_empty() => {
                        let gone = model.remove(index % model.len()).unwrap();
                        // SAFETY: it was pushed into this line.
                        unsafe { line.remove(&gone) };
                        // SAFETY: as above.
                        unsafe { line.remove(&gone) };
                        prop_assert!(!gone.is_granted());
                    }
                    Step::Win(index) if !model.is_empty() => {
                        model[index % model.len()].claim().map(Claim::win);
                    }
                    Step::Remove(_) | Step::Win(_) => {}
                }
                prop_assert!(line.iter().map(ptr::from_ref).eq(model.iter().map(Rc::as_ptr)));
                prop_assert_eq!(line.is_empty(), model.is_empty());
                let first = line.first().map(|ticket| *ticket);
                // SAFETY: nobody else has a reference to it.
                prop_assert_eq!(first, model.front().map(|first| unsafe { *first.ticket() }));
            }
        }
    }
}
