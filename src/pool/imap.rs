//! Results as they come.
//!
//! ```text
//! items ──► feeder (a greenlet) ── room, a place in the group ──► worker each ──► results ──► consumer ──► room
//! ```
//!
//! 1. The feeder takes a unit of room before it takes an item; the consumer gives it back with the result.
//! 2. Each worker's closure holds a [`Delivery`], which delivers something in any case: also when the worker is killed before
//!    it begins. So a result comes for every item that was taken.
//! 3. The queue of results is closed when the feeder is done and no delivery is outstanding.
//!
//! All of it is on one thread: the consumer cannot be sent, and items and results need not be.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::group::Group;
use crate::greenlet::{Exit, Greenlet, spawn};
use crate::hub::interrupt::Interrupt;
use crate::hub::park::Unparker;
use crate::queue::Queue;
use crate::sync::Semaphore;

/// What feeder, workers and consumer share.
struct Shared<R> {
    /// Results, each with its item's number.
    results: Queue<(usize, Result<R, Exit>)>,
    /// How far the feeder may be ahead; invariant 1.
    room: Option<Semaphore>,
    /// Workers that have not delivered, by their items' numbers; `None` while one is being spawned.
    workers: RefCell<BTreeMap<usize, Option<Unparker>>>,
    /// The feeder is done.
    fed: Cell<bool>,
}

impl<R> Shared<R> {
    /// A result has come, or the feeder will not go on: see invariant 3.
    fn check(&self) {
        if self.fed.get() && self.workers.borrow().is_empty() {
            self.results.close();
        }
    }

    /// One result. The queue has no bound, so that this never waits.
    fn deliver(&self, number: usize, result: Result<R, Exit>) {
        let refused = self.results.try_put((number, result));
        drop(refused);
    }
}

/// One item's result, to be delivered.
struct Delivery<R> {
    /// Where to.
    shared: Rc<Shared<R>>,
    /// The item's number.
    number: usize,
    /// What came of it; a worker that never ran was killed.
    result: Option<Result<R, Exit>>,
}

impl<R> Delivery<R> {
    /// The worker has ended.
    fn fill(&mut self, result: Result<R, Exit>) {
        self.result = Some(result);
    }
}

impl<R> Drop for Delivery<R> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or(Err(Exit::Killed));
        self.shared.deliver(self.number, result);
        self.shared.workers.borrow_mut().remove(&self.number);
        self.shared.check();
    }
}

/// Says in any case that the feeder is done.
struct Feeding<R>(Rc<Shared<R>>);

impl<R> Drop for Feeding<R> {
    fn drop(&mut self) {
        self.0.fed.set(true);
        self.0.check();
    }
}

/// The results of [`Group::imap`] and [`Group::imap_unordered`].
///
/// `next` parks the caller until there is one. Dropping it kills the greenlets that are still at work for it.
#[must_use = "dropping it kills the greenlets that work for it"]
pub struct Imap<R> {
    /// Where results come from.
    shared: Rc<Shared<R>>,
    /// Takes the items.
    feeder: Greenlet<()>,
    /// Results that came before their turn; `None` if they are given as they come.
    early: Option<BTreeMap<usize, Result<R, Exit>>>,
    /// How many were given.
    given: usize,
}

impl Group {
    /// Calls `f` with each of the items, each in a greenlet of the group, and gives the values one after the other in the
    /// order of the items.
    ///
    /// Items are taken, and greenlets spawned, from now on, as places come free, whether or not the values are asked for; but no
    /// more than `maxsize` (a number, or `None`: no limit) ahead of the consumer. A greenlet that fails gives its
    /// [`Exit`] in its place, and the iterator goes on; if the items' own iterator panics, that is the last thing it gives.
    /// Dropping the iterator kills what is still running of it.
    ///
    /// ```
    /// let pool = iora::pool::Pool::new(2);
    /// let quotients: Vec<_> = pool.imap(|n: i32| 6 / n, [1, 0, 2], None).map(Result::ok).collect();
    /// assert_eq!(quotients, [Some(6), None, Some(3)]);
    /// ```
    pub fn imap<I, F, R>(&self, f: F, items: I, maxsize: impl Into<Option<usize>>) -> Imap<R>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        F: Fn(I::Item) -> R + 'static,
        R: 'static,
    {
        Imap::new(self.clone(), f, items.into_iter(), maxsize.into(), true)
    }

    /// As [`imap`](Self::imap), but gives the values in the order in which they come.
    pub fn imap_unordered<I, F, R>(&self, f: F, items: I, maxsize: impl Into<Option<usize>>) -> Imap<R>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        F: Fn(I::Item) -> R + 'static,
        R: 'static,
    {
        Imap::new(self.clone(), f, items.into_iter(), maxsize.into(), false)
    }
}

impl<R: 'static> Imap<R> {
    /// Begins to take items.
    fn new<T, F>(
        group: Group,
        f: F,
        items: impl Iterator<Item = T> + 'static,
        maxsize: Option<usize>,
        ordered: bool,
    ) -> Imap<R>
    where
        T: 'static,
        F: Fn(T) -> R + 'static,
    {
        let shared = Rc::new(Shared {
            results: Queue::new(),
            room: maxsize.map(Semaphore::new),
            workers: RefCell::default(),
            fed: Cell::new(false),
        });
        let feeding = Feeding(shared.clone());
        Imap {
            feeder: spawn(move || feed(&group, &Rc::new(f), items, &feeding.0)),
            shared,
            early: ordered.then(BTreeMap::new),
            given: 0,
        }
    }
}

/// The feeder's life.
fn feed<T: 'static, R: 'static>(
    group: &Group,
    f: &Rc<impl Fn(T) -> R + 'static>,
    mut items: impl Iterator<Item = T>,
    shared: &Rc<Shared<R>>,
) {
    for number in 0.. {
        if let Some(room) = &shared.room {
            room.acquire();
        }
        let item = match catch_unwind(AssertUnwindSafe(|| items.next())) {
            Ok(Some(item)) => item,
            Ok(None) => return,
            Err(payload) => match Exit::from_panic(payload) {
                Ok(exit) => return shared.deliver(number, Err(exit)),
                Err(payload) => resume_unwind(payload),
            },
        };
        shared.workers.borrow_mut().insert(number, None);
        let (f, mut delivery) = (
            f.clone(),
            Delivery {
                shared: shared.clone(),
                number,
                result: None,
            },
        );
        let worker = group.start_late(move || {
            let result = catch_unwind(AssertUnwindSafe(|| f(item)));
            delivery.fill(result.map_err(Exit::from_payload));
        });
        if let Some(worker) = worker
            && let Some(place) = shared.workers.borrow_mut().get_mut(&number)
        {
            *place = worker.unparker();
        }
    }
}

impl<R> Iterator for Imap<R> {
    type Item = Result<R, Exit>;

    fn next(&mut self) -> Option<Result<R, Exit>> {
        let result = loop {
            if let Some(result) = self.early.as_mut().and_then(|early| early.remove(&self.given)) {
                break result;
            }
            let (number, result) = self.shared.results.get().ok()?;
            match &mut self.early {
                Some(early) => drop(early.insert(number, result)),
                None => break result,
            }
        };
        self.given += 1;
        if let Some(room) = &self.shared.room {
            room.release();
        }
        Some(result)
    }
}

impl<R> Drop for Imap<R> {
    fn drop(&mut self) {
        self.feeder.kill_nowait();
        let workers: Vec<Unparker> = self.shared.workers.borrow().values().copied().flatten().collect();
        for worker in workers {
            if !worker.is_current() {
                worker.interrupt(Interrupt::Kill);
            }
        }
    }
}

impl<R> fmt::Debug for Imap<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Imap: {} given>", self.given)
    }
}
