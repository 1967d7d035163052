//! The section under the lock of a wait queue: what a primitive sees there and does.
#![expect(
    unsafe_code,
    reason = "those who were granted something are told so at the end of the section"
)]

use super::claim::Claim;
use super::line::{Line, Waiter};
use super::manner::End;
use super::observer::Observers;
use super::wakes::Wakes;
use crate::primitive::ShortGuard;
use std::mem::ManuallyDrop;

/// What a primitive tells its wait queue: what waiters carry, and what becomes of a grant whose waiter was unwound.
pub(crate) trait Handover<const N: usize = 1>: Sized {
    /// What stands beside the state and is reached without the lock too; mostly nothing.
    type Aside;
    /// What each waiter brings and takes home; see invariant 3.
    type Ticket;

    /// A waiter of `line` was granted something and unwound before it ran: grant it to the next, or take it back.
    /// What is left in `ticket` is dropped after unlocking.
    fn take_back(view: &mut View<'_, Self, N>, line: usize, ticket: &mut Self::Ticket);

    /// A waiter left `line` without having been granted anything.
    fn left(_view: &mut View<'_, Self, N>, _line: usize) {}
}

/// The state of a primitive whose notifications go to all who wait and need not be passed on by anyone.
#[derive(Debug)]
pub(crate) struct Broadcast;

impl Handover for Broadcast {
    type Aside = ();
    type Ticket = ();

    fn take_back(_view: &mut View<'_, Broadcast>, _line: usize, _ticket: &mut ()) {}
}

/// What the lock protects.
pub(super) struct Inner<S: Handover<N>, const N: usize> {
    /// The primitive's own.
    pub(super) state: S,
    /// Who waits.
    pub(super) lines: [Line<S::Ticket>; N],
    /// Who is only told.
    pub(super) observers: Observers,
}

impl<S: Handover<N>, const N: usize> Inner<S, N> {
    /// Puts a waiter in line.
    ///
    /// # Safety
    ///
    /// The waiter is new. The caller gives it a guard, a `Hold`. It neither moves nor is dropped before that, and the guard is
    /// not forgotten while the waiter may be in line.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, line: usize, end: End, waiter: &Waiter<S::Ticket>) {
        let into = &mut self.lines[line];
        match end {
            // SAFETY: the caller's promise is that of `push_back`: the guard keeps the line's invariant 1.
            End::Back => unsafe { into.push_back(waiter) },
            // SAFETY: as above.
            End::Front => unsafe { into.push_front(waiter) },
        }
    }
}

/// What a primitive sees and does under the lock.
pub(crate) struct View<'a, S: Handover<N>, const N: usize = 1> {
    /// The primitive's own.
    pub(crate) state: &'a mut S,
    /// What is reached without the lock too.
    pub(crate) aside: &'a S::Aside,
    /// Who waits.
    lines: &'a mut [Line<S::Ticket>; N],
    /// Who is only told.
    observers: &'a mut Observers,
    /// Whom to wake after unlocking.
    wakes: &'a mut Wakes,
}

impl<S: Handover<N>, const N: usize> View<'_, S, N> {
    /// Grants the first in `line` what it waits for: it leaves the line and will be woken. `None` if nobody waits.
    #[inline(always)]
    pub(crate) fn grant(&mut self, line: usize) -> Option<&mut S::Ticket> {
        let (granted, ticket) = self.lines[line].grant()?;
        self.wakes.add(granted);
        Some(ticket)
    }

    /// Grants all of `line`, in order.
    pub(crate) fn grant_all(&mut self, line: usize) {
        while self.grant(line).is_some() {}
    }

    /// Tells all who observe; each is told once.
    #[inline]
    pub(crate) fn tell_all(&mut self) {
        while let Some(observer) = self.observers.next() {
            self.wakes.add_observer(observer);
        }
    }

    /// The ticket of the first in `line`, which must not wait under a [`Claim`].
    pub(crate) fn first(&mut self, line: usize) -> Option<&mut S::Ticket> {
        self.lines[line].first()
    }

    /// Whether somebody stands in `line` who can be granted something, other than under `claim`.
    pub(crate) fn others_in(&self, line: usize, claim: &Claim) -> bool {
        self.lines[line].iter().any(|waiter| match waiter.claim() {
            None => true,
            Some(other) => !other.is(claim) && !other.is_won(),
        })
    }

    /// How many stand in `line`; counts them.
    pub(crate) fn count_in(&self, line: usize) -> usize {
        self.lines[line].iter().count()
    }

    /// Whether nobody stands in `line`.
    #[inline]
    pub(crate) fn nobody_in(&self, line: usize) -> bool {
        self.lines[line].is_empty()
    }
}

/// The lock, held, and whom to wake after it. Its end is its drop, also when it is unwound, by an item's own code that panics:
/// who was granted something until then is told.
pub(super) struct Section<'a, S: Handover<N>, const N: usize> {
    /// What is reached without it too.
    aside: &'a S::Aside,
    /// What it protects.
    pub(super) inner: ManuallyDrop<ShortGuard<'a, Inner<S, N>>>,
    /// Whom to wake.
    pub(super) wakes: ManuallyDrop<Wakes>,
}

impl<'a, S: Handover<N>, const N: usize> Section<'a, S, N> {
    /// Under this lock.
    #[inline(always)]
    pub(super) fn new(aside: &'a S::Aside, inner: ShortGuard<'a, Inner<S, N>>) -> Section<'a, S, N> {
        Section {
            aside,
            inner: ManuallyDrop::new(inner),
            wakes: ManuallyDrop::new(Wakes::default()),
        }
    }

    /// What a primitive may do in it.
    #[inline(always)]
    pub(super) fn view(&mut self) -> View<'_, S, N> {
        let inner = &mut **self.inner;
        View {
            state: &mut inner.state,
            aside: self.aside,
            lines: &mut inner.lines,
            observers: &mut inner.observers,
            wakes: &mut self.wakes,
        }
    }

    /// Unlocks; then wakes those who were granted something.
    #[inline(always)]
    pub(super) fn end(self) {
        drop(self);
    }
}

impl<S: Handover<N>, const N: usize> Drop for Section<'_, S, N> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the lock was held all the time, and the wakes go from here.
        unsafe { self.wakes.tell() };
        // SAFETY: it is not used after this.
        unsafe { ManuallyDrop::drop(&mut self.inner) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::take(&mut self.wakes) }.wake();
    }
}

/// What tests look at.
#[cfg(test)]
mod inspection {
    use super::*;

    impl<S: Handover<N>, const N: usize> View<'_, S, N> {
        /// How many observe; counts them.
        pub(crate) fn count_observers(&self) -> usize {
            self.observers.count()
        }
    }
}
