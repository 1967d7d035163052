//! Several hubs in a process, and spawning on the hub of another thread.
//!
//! A [`Hubs`] is a group of threads with a hub each. What is spawned on the group waits, unstarted, in one queue; a hub
//! takes from it when it has nothing else to do (and now and then when it has), so the least loaded takes most. Once
//! started, a greenlet never moves. The own stack of each thread does the taking: it takes one, lets everything else
//! that is ready run, and takes the next; when the queue is empty it parks.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::builder::Builder;
use super::handle::Greenlet;
use super::shield::shield;
use super::unstarted::Unstarted;
use crate::hub;
use crate::hub::job::Info;
use crate::hub::park;
use crate::hub::spawn::{self, RemoteHub};
use crate::sync::wait_queue::{Handover, Manner, View, WaitQueue, Waited};

/// The hub of one thread, as all threads see it.
///
/// ```
/// let here = iora::HubHandle::current()?;
/// let there = std::thread::spawn(move || here.spawn(|| "spawned from afar").map_err(|_| ()));
/// # let greenlet = iora::threadpool::apply(move || there.join()).unwrap().unwrap();
/// # assert_eq!(greenlet.get().unwrap(), "spawned from afar");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct HubHandle {
    /// Reaches it.
    remote: RemoteHub,
}

/// The hub has ended: the error of [`HubHandle::spawn`], which hands the closure back.
pub struct HubGone<F>(pub F);

impl HubHandle {
    /// The calling thread's hub, which is made now if the thread has none.
    ///
    /// # Errors
    ///
    /// When the system refuses the hub's descriptors.
    pub fn current() -> io::Result<HubHandle> {
        Ok(HubHandle {
            remote: RemoteHub::current()?,
        })
    }

    /// Spawns a greenlet on this hub, from any thread; see [`spawn`](crate::spawn).
    ///
    /// If the hub ends before it begins, or has no memory for its stack, it ends as
    /// [`Exit::Abandoned`](crate::Exit::Abandoned).
    ///
    /// # Errors
    ///
    /// When the hub has ended.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Result<Greenlet<T>, HubGone<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(Builder::new(), f)
    }

    /// As [`spawn`](Self::spawn), with a name and a stack size of its own.
    ///
    /// # Errors
    ///
    /// When the hub has ended.
    #[track_caller]
    pub fn spawn_with<F, T>(&self, builder: Builder, f: F) -> Result<Greenlet<T>, HubGone<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (greenlet, traveller) = travel(builder, Location::caller(), f);
        match self.remote.run(traveller, Unstarted::arrive) {
            Ok(()) => Ok(greenlet),
            Err(mut traveller) => Err(HubGone(traveller.reclaim().expect("it was not begun"))),
        }
    }
}

/// Makes a greenlet that has no hub yet.
fn travel<F, T>(builder: Builder, spawned_at: &'static Location<'static>, f: F) -> (Greenlet<T>, Unstarted<T, F>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (name, stack_size) = builder.into_parts();
    let info = Info {
        id: spawn::next_id(),
        name: name.map(Box::new),
        spawned_at,
        stack_size,
    };
    let (traveller, handle) = Unstarted::new(info, f);
    (Greenlet::new(handle), traveller)
}

/// Something unstarted, to be taken by a hub.
type Start = Box<dyn FnOnce() + Send>;

/// What the hubs of a group share.
struct Group {
    /// Unstarted greenlets.
    queue: Mutex<VecDeque<Start>>,
    /// The hubs end.
    stopped: AtomicBool,
    /// The hubs that there are.
    running: WaitQueue<Running>,
}

/// What whoever starts and ends a group waits for.
struct Running {
    /// Threads that have not ended.
    threads: usize,
    /// What the thread that was started last made: its hub, or an error.
    made: Option<io::Result<RemoteHub>>,
}

impl Handover for Running {
    type Aside = ();
    type Ticket = ();

    /// Nothing is handed over.
    fn take_back(_: &mut View<'_, Self>, _: usize, _: &mut ()) {}
}

impl Group {
    /// Unstarted greenlets.
    fn queue(&self) -> MutexGuard<'_, VecDeque<Start>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a hub has something to do for the group.
    fn has_work(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) || !self.queue().is_empty()
    }

    /// Parks the caller until `there` finds what it looks for. While the thread unwinds, blocks it: the hubs' threads end
    /// the wait.
    fn wait_for<R>(&self, there: impl Fn(&mut Running) -> Option<R>) -> R {
        loop {
            let look = |view: &mut View<'_, Running>| there(view.state).ok_or(());
            let waited = match self.running.wait(0, None, "hubs", look) {
                Waited::Refused(()) => self.running.wait_so(Manner::BLOCKING, 0, "hubs", look, || ()),
                waited => waited,
            };
            if let Waited::AtOnce(found) = waited {
                return found;
            }
        }
    }

    /// Makes the calling thread's hub one of the group.
    fn serve(self: &Arc<Self>) -> io::Result<RemoteHub> {
        let group = self.clone();
        spawn::take_work_when_idle(Arc::new(move || group.has_work()))?;
        RemoteHub::current()
    }

    /// Takes from the queue until the group ends.
    fn work(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            let start = self.queue().pop_front();
            match start {
                Some(start) => {
                    start();
                    park::yield_now();
                }
                None => {
                    park::park(None, "work");
                }
            }
        }
        hub::end();
    }
}

/// Hubs on threads of their own: see [`hubs`].
///
/// Dropping it ends the hubs: their greenlets are killed as by [`hub::end`], what waited in the queue
/// never begins, and the caller is parked until the threads are done.
#[must_use = "the hubs end when this is dropped"]
pub struct Hubs {
    /// Shared with the threads.
    group: Arc<Group>,
    /// One for each.
    members: Vec<HubHandle>,
}

/// Starts `count` threads with a hub each.
///
/// # Errors
///
/// When the system refuses a thread or a hub's descriptors.
///
/// # Panics
///
/// When `count` is zero.
///
/// ```
/// let hubs = iora::hubs(2)?;
/// let squares: Vec<_> = (0..10u32).map(|n| hubs.spawn(move || n * n)).collect();
/// assert_eq!(squares.into_iter().map(|job| job.get().unwrap()).sum::<u32>(), 285);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn hubs(count: usize) -> io::Result<Hubs> {
    assert!(count > 0, "iora: a group of no hubs");
    let group = Arc::new(Group {
        queue: Mutex::default(),
        stopped: AtomicBool::new(false),
        running: WaitQueue::new(Running { threads: 0, made: None }),
    });
    // Dropped, and the hubs with it, if one of them fails.
    let mut hubs = Hubs {
        group,
        members: Vec::with_capacity(count),
    };
    for number in 0..count {
        hubs.add(number)?;
    }
    Ok(hubs)
}

impl Hubs {
    /// Starts one more thread and waits for its hub.
    fn add(&mut self, number: usize) -> io::Result<()> {
        let group = self.group.clone();
        let ended = Ended(group.clone());
        group.running.with(|view| view.state.threads += 1);
        thread::Builder::new()
            .name(format!("iora-hub-{number}"))
            .spawn(move || {
                let group = &ended.0;
                let made = group.serve();
                let serves = made.is_ok();
                group.running.with(|view| {
                    view.state.made = Some(made);
                    view.grant_all(0);
                });
                if serves {
                    group.work();
                }
            })?;
        // A new thread is there in microseconds: not worth leaving half a group behind for a kill.
        let remote = shield(|| self.group.wait_for(|running| running.made.take()))?;
        self.members.push(HubHandle { remote });
        Ok(())
    }

    /// How many hubs there are.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The hubs, to spawn on a chosen one.
    pub fn handles(&self) -> &[HubHandle] {
        &self.members
    }

    /// Spawns a greenlet on whichever hub has time for it first.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(Builder::new(), f)
    }

    /// As [`spawn`](Self::spawn), with a name and a stack size of its own.
    #[track_caller]
    pub fn spawn_with<F, T>(&self, builder: Builder, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (greenlet, traveller) = travel(builder, Location::caller(), f);
        self.group.queue().push_back(Box::new(move || traveller.arrive()));
        // A hub that is not idle now will look before it is.
        if let Some(idle) = self.members.iter().find(|member| member.remote.is_idle()) {
            idle.remote.nudge();
        }
        greenlet
    }
}

/// Counts a hub as ended when dropped.
struct Ended(Arc<Group>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.running.with(|view| {
            view.state.threads -= 1;
            view.grant_all(0);
        });
    }
}

impl Drop for Hubs {
    fn drop(&mut self) {
        self.group.stopped.store(true, Ordering::SeqCst);
        for member in &self.members {
            member.remote.nudge();
        }
        shield(|| self.group.wait_for(|running| (running.threads == 0).then_some(())));
        let unstarted: Vec<Start> = self.group.queue().drain(..).collect();
        drop(unstarted);
    }
}

impl fmt::Debug for HubHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHandle").finish_non_exhaustive()
    }
}

impl fmt::Debug for Hubs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hubs").field("len", &self.len()).finish()
    }
}

impl<F> fmt::Debug for HubGone<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubGone(..)")
    }
}

impl<F> fmt::Display for HubGone<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hub has ended")
    }
}

impl<F> Error for HubGone<F> {}
