//! A group of greenlets, bounded or not.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::error::SpawnError;
use super::kill::current_id;
use super::roster::{Patience, Refusal, Roster, Slot};
use crate::greenlet::{Exit, Greenlet, spawn};
use crate::time::deadline;

/// Greenlets that are joined and killed as one. A greenlet leaves the group when it ends.
///
/// A [`Pool`](super::Pool) is a group with so many places and has all of these methods; where one of them needs a place it parks
/// the caller until there is one. In a plain group there always is.
///
/// The group may be shared between threads: `spawn` spawns on the calling thread's hub, joining and killing reach all. Its
/// clones are handles of one group; dropping them leaves the greenlets alone.
///
/// ```
/// let group = iora::pool::Group::new();
/// for _ in 0..3 {
///     drop(group.spawn(|| iora::sleep(std::time::Duration::from_secs(3600))));
/// }
/// assert_eq!(group.len(), 3);
/// group.kill();
/// assert!(group.is_empty());
/// ```
#[derive(Clone)]
pub struct Group {
    /// Who belongs to it; shared with the links of its members.
    pub(super) roster: Arc<Roster>,
}

impl Group {
    /// An empty group without bound.
    pub fn new() -> Group {
        Group::bounded(usize::MAX)
    }

    /// An empty group with so many places.
    pub(super) fn bounded(limit: usize) -> Group {
        Group {
            roster: Arc::new(Roster::new(limit)),
        }
    }

    /// Spawns a greenlet in the group, on the calling thread's hub.
    ///
    /// Parks the caller until there is a place for it.
    ///
    /// # Panics
    ///
    /// As [`spawn`]; when the group is closed; when it would have to wait while its greenlet is unwinding.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        match self.start(Patience::Until(None), f) {
            Ok(job) => job,
            Err(error) => panic!("iora: nothing was spawned: {error}"),
        }
    }

    /// Spawns a greenlet when there is a place.
    #[track_caller]
    pub(super) fn start<F, T>(&self, patience: Patience, f: F) -> Result<Greenlet<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let slot = match self.roster.admit(patience) {
            Ok(slot) => slot,
            Err(Refusal::Full) => return Err(SpawnError::PoolFull(f)),
            Err(Refusal::Closed) => return Err(SpawnError::Closed(f)),
        };
        let job = spawn(f);
        self.enlist(&job, Some(slot));
        Ok(job)
    }

    /// As [`start`](Self::start) with all patience, also when the group was closed meanwhile.
    #[track_caller]
    pub(super) fn start_late<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> Option<Greenlet<T>> {
        let slot = self.roster.admit_late(Patience::Until(None)).ok()?;
        let job = spawn(f);
        self.enlist(&job, Some(slot));
        Some(job)
    }

    /// Makes a greenlet a member, until it ends.
    fn enlist<T>(&self, job: &Greenlet<T>, slot: Option<Slot<'_>>) {
        // One that is still on its way to another hub is not a member: nothing would reach it.
        let Some(unparker) = job.unparker() else { return };
        let id = job.id();
        if self.roster.enlist(id, unparker, slot) {
            let roster = self.roster.clone();
            job.link(move |_| {
                roster.leave(id);
            });
        }
    }

    /// Makes a greenlet that is running already a member of the group, until it ends.
    ///
    /// Parks the caller until there is a place for it. Does nothing if it is a member or has ended, or is still on its way to the
    /// hub of another thread.
    ///
    /// # Panics
    ///
    /// When it would have to wait while the caller's greenlet is unwinding.
    pub fn add<T>(&self, job: &Greenlet<T>) {
        assert!(
            self.admit_running(Patience::Until(None), job),
            "iora: no place in the pool for a greenlet"
        );
    }

    /// Makes a greenlet a member when there is a place; whether there was one in time.
    pub(super) fn admit_running<T>(&self, patience: Patience, job: &Greenlet<T>) -> bool {
        if self.contains(job) || job.ready() {
            return true;
        }
        match self.roster.admit_late(patience) {
            Ok(slot) => {
                self.enlist(job, Some(slot));
                true
            }
            Err(_) => false,
        }
    }

    /// Takes a greenlet out of the group without touching it: its place is free. Whether it was a member.
    pub fn discard<T>(&self, job: &Greenlet<T>) -> bool {
        self.roster.leave(job.id())
    }

    /// Runs `f` in a greenlet of the group and waits for its value. Called by a member, it runs `f` in place: it has a place
    /// already.
    ///
    /// Parks the caller until there is a place, and until `f` has ended.
    ///
    /// # Errors
    ///
    /// When `f` did not return: see [`Exit`].
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn apply<F, T>(&self, f: F) -> Result<T, Exit>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        if !self.roster.has_current() {
            return self.spawn(f).get();
        }
        catch_unwind(AssertUnwindSafe(f)).map_err(|payload| match Exit::from_panic(payload) {
            Ok(exit) => exit,
            // A kill or timeout of the caller is the caller's.
            Err(payload) => resume_unwind(payload),
        })
    }

    /// Spawns a greenlet that runs `f` in the group as soon as there is a place. Never waits.
    ///
    /// Until then the greenlet is a member without a place: it is joined and killed like the others.
    ///
    /// # Panics
    ///
    /// As [`spawn`]; when the group is closed.
    #[track_caller]
    pub fn apply_async<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        match self.start(Patience::None, f) {
            Ok(job) => job,
            Err(SpawnError::Closed(_)) => panic!("iora: nothing was spawned: the pool is closed"),
            Err(SpawnError::PoolFull(f)) => {
                let roster = self.roster.clone();
                let job = spawn(move || {
                    let slot = roster.admit_late(Patience::Until(None));
                    if let (Ok(slot), Some(id)) = (slot, current_id()) {
                        roster.place(id, slot);
                    }
                    f()
                });
                self.enlist(&job, None);
                job
            }
        }
    }

    /// Calls `f` with each of the items, each in a greenlet of the group, and gives the values in the order of the items.
    ///
    /// Parks the caller until all have ended. If one fails, or the caller is killed meanwhile, the others are killed.
    ///
    /// # Errors
    ///
    /// Of the first, in the order of the items, that did not return a value.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    pub fn map<I, F, R>(&self, f: F, items: I) -> Result<Vec<R>, Exit>
    where
        I: IntoIterator<Item: 'static>,
        F: Fn(I::Item) -> R + 'static,
        R: 'static,
    {
        let f = Rc::new(f);
        let mut jobs = KilledOnDrop(Vec::new());
        for item in items {
            let f = f.clone();
            jobs.0.push(Some(self.spawn(move || f(item))));
        }
        jobs.0
            .iter_mut()
            .filter_map(|job| {
                job.as_ref()?.join();
                job.take().map(Greenlet::get)
            })
            .collect()
    }

    /// Accepts no more greenlets: from now on `spawn` and its like panic. Those that wait for a place already, and iterators
    /// over results, go on.
    pub fn close(&self) {
        self.roster.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.roster.is_closed()
    }

    /// Parks the caller until there is no greenlet in the group, except the caller itself if it is a member.
    pub fn join(&self) {
        self.roster.wait_empty(current_id(), None);
    }

    /// As [`join`](Self::join), for `timeout` at most. Whether there is none.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.roster.wait_empty(current_id(), deadline::after(timeout))
    }

    /// Kills the greenlets of the group and parks the caller until they have ended. A caller that is a member is spared.
    ///
    /// Each is killed once: one that catches the kill and goes on is waited for. See [`Greenlet::kill`].
    pub fn kill(&self) {
        self.kill_nowait();
        self.join();
    }

    /// As [`kill`](Self::kill), waiting for `timeout` at most. Whether there is none left.
    pub fn kill_timeout(&self, timeout: Duration) -> bool {
        self.kill_nowait();
        self.join_timeout(timeout)
    }

    /// As [`kill`](Self::kill), without waiting: the greenlets leave as they end.
    pub fn kill_nowait(&self) {
        self.roster.kill_all();
    }

    /// Kills one greenlet, if it is a member and was not killed as one before, and parks the caller until it has ended.
    pub fn killone<T>(&self, job: &Greenlet<T>) {
        if self.contains(job) {
            self.roster.kill_one(job.id());
            job.join();
        }
    }

    /// Whether the greenlet is a member.
    pub fn contains<T>(&self, job: &Greenlet<T>) -> bool {
        self.roster.has(job.id())
    }

    /// How many greenlets there are, those that wait for a place included.
    pub fn len(&self) -> usize {
        self.roster.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Group {
    fn default() -> Group {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Greenlets that are killed if nobody takes them out.
struct KilledOnDrop<T>(Vec<Option<Greenlet<T>>>);

impl<T> Drop for KilledOnDrop<T> {
    fn drop(&mut self) {
        for job in self.0.iter().flatten() {
            job.kill_nowait();
        }
    }
}
