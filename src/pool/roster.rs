//! Who belongs to a group, and how many places it has.
//!
//! ```text
//! newcomers ─ line SLOT ─► a place (`taken` of `limit`) ─► member ── ends, is discarded ─► its place to the next in line
//! ```
//!
//! 1. A place belongs to a member, or to a [`Slot`] of somebody who is about to make one. While somebody stands in the line
//!    all places are taken: one that comes free goes to the first in line and is never counted as free.
//! 2. A member without a place waits for one in that line itself (`apply_async` on a full pool).
//! 3. Members are numbers and unparkers, never handles: a group keeps no greenlet's value.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::hub::park::{self, Unparker};
use crate::sync::wait_queue::{Handover, View, WaitQueue, Waited};

/// The line of those who wait for a place.
const SLOT: usize = 0;
/// The line of those who wait for the last member to leave.
const EMPTY: usize = 1;
/// The line of members that wait for all others to leave; they look again when told.
const ALONE: usize = 2;
/// The line of those who wait for a free place without taking it.
const FREE: usize = 3;

/// A member.
struct Member {
    /// Reaches it.
    unparker: Unparker,
    /// It has a place; invariant 2.
    placed: bool,
    /// It was killed as a member: it is not killed again.
    killed: bool,
}

/// What the lock protects beside the lines.
struct State {
    /// How many places there are.
    limit: usize,
    /// How many of them are taken; invariant 1.
    taken: usize,
    /// Nobody is to be spawned any more.
    closed: bool,
    /// By the numbers of the greenlets, so in the order in which they were spawned.
    members: BTreeMap<u64, Member>,
}

/// What is seen under the lock.
type Locked<'a> = View<'a, State, 4>;

impl Handover<4> for State {
    type Aside = ();
    type Ticket = ();

    fn take_back(view: &mut Locked<'_>, line: usize, _ticket: &mut ()) {
        if line == SLOT {
            vacate(view);
        }
    }
}

/// See the top of the file.
pub(super) struct Roster {
    /// All of it.
    queue: WaitQueue<State, 4>,
}

/// Why nobody was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No place, in time.
    Full,
    /// The group is closed.
    Closed,
}

/// How long a newcomer waits for a place.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until then, or for ever.
    Until(Option<Instant>),
}

/// A place that no member has yet; given back when dropped.
pub(super) struct Slot<'a>(&'a Roster);

impl Roster {
    /// Nobody, with so many places.
    pub(super) fn new(limit: usize) -> Roster {
        Roster {
            queue: WaitQueue::new(State {
                limit,
                taken: 0,
                closed: false,
                members: BTreeMap::new(),
            }),
        }
    }

    /// Takes a place, if the group is open. Parks the caller until there is one, as its patience allows.
    pub(super) fn admit(&self, patience: Patience) -> Result<Slot<'_>, Refusal> {
        let closed = |view: &mut Locked<'_>| view.state.closed.then_some(Refusal::Closed);
        self.take(patience, closed)
    }

    /// As [`Roster::admit`], but also when the group was closed meanwhile.
    pub(super) fn admit_late(&self, patience: Patience) -> Result<Slot<'_>, Refusal> {
        self.take(patience, |_| None)
    }

    /// See [`Roster::admit`]; `refused` says first why not.
    fn take(
        &self,
        patience: Patience,
        refused: impl FnOnce(&mut Locked<'_>) -> Option<Refusal>,
    ) -> Result<Slot<'_>, Refusal> {
        let attempt = |view: &mut Locked<'_>| {
            if view.state.taken < view.state.limit {
                view.state.taken += 1;
                Ok(())
            } else {
                Err(())
            }
        };
        let attempt = |view: &mut Locked<'_>| match refused(view) {
            Some(refusal) => Ok(Err(refusal)),
            None => attempt(view).map(Ok),
        };
        let waited = match patience {
            Patience::None => match self.queue.with(attempt) {
                Ok(result) => Waited::AtOnce(result),
                Err(()) => Waited::TimedOut(()),
            },
            Patience::Until(deadline) => {
                park::spend();
                self.queue.wait(SLOT, deadline, "pool", attempt)
            }
        };
        match waited {
            Waited::AtOnce(result) => result.map(|()| Slot(self)),
            Waited::Granted(()) => Ok(Slot(self)),
            Waited::TimedOut(()) | Waited::Refused(()) => Err(Refusal::Full),
        }
    }

    /// A new member, with the place or without one. False, and nothing changes, if it is one already.
    pub(super) fn enlist(&self, id: u64, unparker: Unparker, slot: Option<Slot<'_>>) -> bool {
        let placed = slot.is_some();
        let added = self.queue.with(|view| {
            let new = !view.state.members.contains_key(&id);
            if new {
                let member = Member {
                    unparker,
                    placed,
                    killed: false,
                };
                view.state.members.insert(id, member);
            }
            new
        });
        if added {
            slot.into_iter().for_each(Slot::keep);
        }
        added
    }

    /// A member that had no place has got one. If it is no member any more the place goes back.
    pub(super) fn place(&self, id: u64, slot: Slot<'_>) {
        let placed = self.queue.with(|view| match view.state.members.get_mut(&id) {
            Some(member) => {
                member.placed = true;
                true
            }
            None => false,
        });
        if placed {
            slot.keep();
        }
    }

    /// A member has ended or is discarded: its place goes to the next. Whether it was one.
    pub(super) fn leave(&self, id: u64) -> bool {
        self.queue.with(|view| {
            let Some(member) = view.state.members.remove(&id) else {
                return false;
            };
            if member.placed {
                vacate(view);
            }
            match view.state.members.len() {
                0 => {
                    view.grant_all(EMPTY);
                    view.grant_all(ALONE);
                }
                1 => view.grant_all(ALONE),
                _ => {}
            }
            true
        })
    }

    /// Whether the greenlet of this number is a member.
    pub(super) fn has(&self, id: u64) -> bool {
        self.queue.with(|view| view.state.members.contains_key(&id))
    }

    /// Parks the caller, whose number is `me`, until there is no member (but it, if it is one) or `deadline` passes. Whether
    /// there is none.
    pub(super) fn wait_empty(&self, me: Option<u64>, deadline: Option<Instant>) -> bool {
        park::spend();
        let me = me.filter(|id| self.has(*id));
        let line = if me.is_some() { ALONE } else { EMPTY };
        loop {
            let waited = self.queue.wait(line, deadline, "pool", |view| {
                let members = &view.state.members;
                let others = members.len() - usize::from(me.is_some_and(|id| members.contains_key(&id)));
                if others == 0 { Ok(()) } else { Err(()) }
            });
            match waited {
                Waited::AtOnce(()) => return true,
                Waited::Granted(()) if line == EMPTY => return true,
                Waited::Granted(()) => {}
                Waited::TimedOut(()) | Waited::Refused(()) => return false,
            }
        }
    }

    /// Parks the caller until there is a free place or `deadline` passes. How many there are.
    pub(super) fn wait_free(&self, deadline: Option<Instant>) -> usize {
        park::spend();
        loop {
            match self.queue.wait(FREE, deadline, "pool", |view| match free(view.state) {
                0 => Err(()),
                free => Ok(free),
            }) {
                Waited::AtOnce(free) => return free,
                Waited::Granted(()) => {}
                Waited::TimedOut(()) | Waited::Refused(()) => return 0,
            }
        }
    }

    /// Nobody is to be spawned any more.
    pub(super) fn close(&self) {
        self.queue.with(|view| view.state.closed = true);
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.with(|view| view.state.closed)
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.queue.with(|view| view.state.members.len())
    }

    /// How many places there are.
    pub(super) fn limit(&self) -> usize {
        self.queue.with(|view| view.state.limit)
    }

    /// How many places are free.
    pub(super) fn free(&self) -> usize {
        self.queue.with(|view| free(view.state))
    }
}

#[cfg(not(loom))]
impl Roster {
    /// Reaches a member, if it was not killed as one before: it counts as killed from now on.
    pub(super) fn victim(&self, id: u64) -> Option<Unparker> {
        self.queue.with(|view| victim(view.state.members.get_mut(&id)?))
    }

    /// As [`Roster::victim`], all members but `me`.
    pub(super) fn victims(&self, me: Option<u64>) -> Vec<Unparker> {
        self.queue.with(|view| {
            let others = view.state.members.iter_mut().filter(|(id, _)| Some(**id) != me);
            others.filter_map(|(_, member)| victim(member)).collect()
        })
    }
}

impl Slot<'_> {
    /// A member has it now.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.queue.with(vacate);
    }
}

/// Under the lock: a place comes free, for the first in line or for whoever comes.
fn vacate(view: &mut Locked<'_>) {
    if view.grant(SLOT).is_none() {
        view.state.taken -= 1;
        view.grant_all(FREE);
    }
}

/// How many places are free.
fn free(state: &State) -> usize {
    state.limit - state.taken
}

/// Whom to kill, if it was not killed before.
#[cfg(not(loom))]
fn victim(member: &mut Member) -> Option<Unparker> {
    let before = std::mem::replace(&mut member.killed, true);
    (!before).then_some(member.unparker)
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;
    use std::time::Duration;

    /// Up to three preemptions.
    fn model(body: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(body);
    }

    /// A newcomer that waits for ever.
    const FOR_EVER: Patience = Patience::Until(None);

    #[test]
    fn loom_pool_gives_each_place_to_one_and_loses_none() {
        model(|| {
            let roster = Arc::new(Roster::new(1));
            let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let newcomer = |patience: Patience| {
                let (roster, inside) = (roster.clone(), inside.clone());
                move || {
                    let slot = roster.admit(patience);
                    if slot.is_ok() {
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        loom::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            };
            let patient = loom::thread::spawn(newcomer(FOR_EVER));
            let soon = Instant::now() + Duration::from_secs(1);
            let late = loom::thread::spawn(newcomer(Patience::Until(Some(soon))));
            newcomer(FOR_EVER)();
            patient.join().unwrap();
            late.join().unwrap();
            assert_eq!(roster.free(), 1);
        });
    }

    #[test]
    fn loom_pool_passes_on_the_place_of_who_is_unwound_in_line() {
        model(|| {
            let roster = Arc::new(Roster::new(1));
            assert!(roster.enlist(1, Unparker::current(), roster.admit(Patience::None).ok()));
            let (killed, heir) = (roster.clone(), roster.clone());
            let killed = loom::thread::spawn(move || drop(killed.queue.stand_in_line(SLOT, ())));
            let heir = loom::thread::spawn(move || drop(heir.admit(FOR_EVER)));
            assert!(roster.leave(1));
            killed.join().unwrap();
            heir.join().unwrap();
            assert_eq!((roster.free(), roster.len()), (1, 0));
        });
    }

    #[test]
    fn loom_pool_tells_of_the_last_member_and_of_a_free_place() {
        model(|| {
            let roster = Arc::new(Roster::new(2));
            for id in [1, 2] {
                let slot = roster.admit(Patience::None).ok();
                assert!(roster.enlist(id, Unparker::current(), slot));
            }
            let leaving = [1, 2].map(|id| {
                let roster = roster.clone();
                loom::thread::spawn(move || assert!(roster.leave(id)))
            });
            assert!(roster.wait_free(None) > 0);
            assert!(roster.wait_empty(None, None));
            leaving.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(roster.free(), 2);
        });
    }

    #[test]
    fn loom_pool_tells_a_member_that_the_others_have_left() {
        model(|| {
            let roster = Arc::new(Roster::new(3));
            for id in [1, 2, 3] {
                assert!(roster.enlist(id, Unparker::current(), None));
            }
            let leaving = [1, 2].map(|id| {
                let roster = roster.clone();
                loom::thread::spawn(move || assert!(roster.leave(id)))
            });
            assert!(roster.wait_empty(Some(3), None));
            leaving.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(roster.len(), 1);
        });
    }

    #[test]
    fn loom_pool_place_that_comes_too_late_goes_back() {
        model(|| {
            // A member without a place waits for one, and is discarded meanwhile.
            let roster = Arc::new(Roster::new(1));
            assert!(roster.enlist(1, Unparker::current(), None));
            let there = roster.clone();
            let waits = loom::thread::spawn(move || {
                let slot = there.admit_late(FOR_EVER).ok().expect("there is one");
                there.place(1, slot);
            });
            assert!(roster.leave(1));
            waits.join().unwrap();
            assert_eq!(roster.free(), 1);
        });
    }
}
