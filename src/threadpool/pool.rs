//! A bounded pool of threads that come when there is work and go when there has been none for a while.
//!
//! Jobs stand in line while all threads are busy; idle threads stand in line while there is no job. Never both: whoever
//! submits a job hands it to the first idle thread, starts a thread, or leaves the job in line. Jobs in line are bounded for
//! [`ThreadPool::spawn`], which waits for room; [`ThreadPool::apply`] waits for its own job anyway.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::{self, Job, JobHandle};
use super::thread;
use crate::hub::park;
use crate::sync::wait_queue::{Handover, View, WaitQueue, Waited};

/// How long a thread stays without work, unless the pool says otherwise.
const IDLE: Duration = Duration::from_secs(10);

/// The line of threads without work: a ticket is the hand that receives a job, or stays empty when the thread is to end.
const THREADS: usize = 0;
/// The line of those who submit and find no room: a ticket is the job, until it is in.
const ROOM: usize = 1;
/// The line of those who wait for all jobs to be done.
const DONE: usize = 2;

/// What the threads of a pool and those who submit share.
struct Work {
    /// Jobs that wait for a thread, first come first served.
    jobs: VecDeque<Job>,
    /// Threads there are, idle ones included.
    threads: usize,
    /// Threads there may be, and jobs that may wait before `spawn` does.
    limit: usize,
    /// Jobs that are in and not done.
    unfinished: usize,
    /// How long a thread stays without work.
    idle: Duration,
    /// The pool was dropped: threads end when there is no job left.
    closed: bool,
}

/// What is seen under the lock.
type Locked<'a> = View<'a, Work, 3>;

impl Handover<3> for Work {
    type Aside = ();
    type Ticket = Option<Job>;

    /// A thread that was handed a job and does not take it (it does not happen: threads are not killed) gives it back. A job
    /// that was let in is in.
    fn take_back(view: &mut Locked<'_>, _: usize, ticket: &mut Option<Job>) {
        view.state.jobs.extend(ticket.take());
    }
}

/// A pool of threads, `limit` at most, for work that has to block.
///
/// Threads are started as they are needed and end when they have had no work for ten seconds. Dropping the pool lets the
/// submitted work finish and then its threads end.
///
/// ```
/// let pool = iora::threadpool::ThreadPool::new(2);
/// assert_eq!(pool.apply(|| 6 * 7), 42);
/// assert_eq!(pool.map(|n: u64| n * n, [1, 2, 3]), [1, 4, 9]);
/// ```
pub struct ThreadPool {
    /// Shared with its threads.
    work: Arc<WaitQueue<Work, 3>>,
}

/// What becomes of a job that was just submitted.
enum Submitted {
    /// A thread has it or will take it.
    Taken,
    /// It waits in line, and a thread should be started for it.
    NeedsThread,
}

impl ThreadPool {
    /// A pool of `limit` threads at most.
    ///
    /// # Panics
    ///
    /// When `limit` is zero.
    pub fn new(limit: usize) -> ThreadPool {
        ThreadPool::with_idle(limit, IDLE)
    }

    /// As [`new`](Self::new), with threads that end when they have had no work for `idle`.
    ///
    /// # Panics
    ///
    /// When `limit` is zero.
    pub fn with_idle(limit: usize, idle: Duration) -> ThreadPool {
        assert!(limit > 0, "iora: a thread pool needs room for one thread");
        let work = Work {
            jobs: VecDeque::new(),
            threads: 0,
            limit,
            unfinished: 0,
            idle,
            closed: false,
        };
        ThreadPool {
            work: Arc::new(WaitQueue::new(work)),
        }
    }

    /// Runs `f` on a thread of the pool and parks the caller until it is done.
    ///
    /// A caller that is killed or timed out meanwhile unwinds at once; `f` runs to its end all the same, and its result is
    /// dropped there. If the system refuses the pool's first thread, `f` runs on the caller's, which it blocks.
    ///
    /// # Panics
    ///
    /// With the panic of `f`.
    pub fn apply<T, F>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (job, handle) = job::new(f);
        let submitted = self.work.with(|view| submit(view, job));
        self.start_if_needed(submitted);
        handle.get().unwrap_or_else(|payload| resume_unwind(payload))
    }

    /// Has `f` run on a thread of the pool.
    ///
    /// Parks the caller only while as many jobs as the pool may have threads wait for one already. If the system refuses the
    /// pool's first thread, `f` runs on the caller's, which it blocks.
    ///
    /// ```
    /// let pool = iora::threadpool::ThreadPool::new(2);
    /// let jobs = [1, 2].map(|n| pool.spawn(move || n + 1));
    /// assert_eq!(jobs.map(|job| job.get().unwrap()), [2, 3]);
    /// ```
    pub fn spawn<T, F>(&self, f: F) -> JobHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (job, handle) = job::new(f);
        park::spend();
        let waited = self.work.wait(ROOM, None, "thread pool", |view| {
            let work = &view.state;
            let room = work.jobs.len() < work.limit || work.threads < work.limit;
            if room { Ok(submit(view, job)) } else { Err(Some(job)) }
        });
        match waited {
            Waited::AtOnce(submitted) => self.start_if_needed(submitted),
            // Whoever granted it has let the job in, and there are threads as many as there may be.
            Waited::Granted(_) => {}
            Waited::TimedOut(job) | Waited::Refused(job) => {
                // Nothing can be waited for while the thread unwinds: then there is no bound.
                if let Some(job) = job {
                    let submitted = self.work.with(|view| submit(view, job));
                    self.start_if_needed(submitted);
                }
            }
        }
        handle
    }

    /// Calls `f` with each of the items on threads of the pool and gives the values in the order of the items.
    ///
    /// Parks the caller until all are done.
    ///
    /// # Panics
    ///
    /// With the first panic of `f`, in the order of the items; the others are done all the same.
    pub fn map<I, F, R>(&self, f: F, items: I) -> Vec<R>
    where
        I: IntoIterator<Item: Send + 'static>,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        let f = Arc::new(f);
        let one = |item| {
            let f = f.clone();
            self.spawn(move || f(item))
        };
        let jobs: Vec<_> = items.into_iter().map(one).collect();
        jobs.into_iter()
            .map(|job| job.get().unwrap_or_else(|payload| resume_unwind(payload)))
            .collect()
    }

    /// Parks the caller until all work that was submitted is done.
    ///
    /// While the thread unwinds nothing can be waited for: then it returns at once.
    pub fn join(&self) {
        let waited = self.work.wait(DONE, None, "thread pool", |view| {
            if view.state.unfinished == 0 { Ok(()) } else { Err(None) }
        });
        drop(waited);
    }

    /// Changes how many threads there may be. Threads that are too many end when they have done what they are at.
    ///
    /// # Panics
    ///
    /// When `limit` is zero.
    pub fn resize(&self, limit: usize) {
        assert!(limit > 0, "iora: a thread pool needs room for one thread");
        let needed = self.work.with(|view| {
            view.state.limit = limit;
            let_in(view);
            let too_many = view.state.threads.saturating_sub(limit);
            for _ in 0..too_many {
                if view.grant(THREADS).is_some() {
                    thread::is_idle(false);
                }
            }
            let needed = view.state.jobs.len().min(limit.saturating_sub(view.state.threads));
            view.state.threads += needed;
            needed
        });
        (0..needed).for_each(|_| self.start_if_needed(Submitted::NeedsThread));
    }

    /// How many threads there may be.
    pub fn limit(&self) -> usize {
        self.work.with(|view| view.state.limit)
    }

    /// How many threads there are, idle ones included.
    pub fn threads(&self) -> usize {
        self.work.with(|view| view.state.threads)
    }

    /// Starts a thread that is counted already.
    fn start_if_needed(&self, submitted: Submitted) {
        if let Submitted::NeedsThread = submitted
            && self.start_thread().is_err()
        {
            self.do_without();
        }
    }

    /// The system refused a thread that is counted already. If there is no other, does here what stands in line, also what
    /// others submitted in the belief that the thread would come.
    fn do_without(&self) {
        let mut refused = 1;
        loop {
            let orphan = self.work.with(|view| {
                view.state.threads -= std::mem::take(&mut refused);
                if view.state.threads > 0 {
                    return None;
                }
                let job = view.state.jobs.pop_front();
                let_in(view);
                job
            });
            let Some(job) = orphan else { return };
            job();
            self.work.with(one_done);
        }
    }

    /// Starts one thread, which the caller has counted.
    fn start_thread(&self) -> io::Result<()> {
        let work = self.work.clone();
        thread::start(move || run(&work))
    }
}

/// Under the lock: hands a job to an idle thread, or leaves it in line.
fn submit(view: &mut Locked<'_>, job: Job) -> Submitted {
    view.state.unfinished += 1;
    if let Some(ticket) = view.grant(THREADS) {
        // Counted as busy from here on: it must not pass for a thread that wakes nobody.
        thread::is_idle(false);
        *ticket = Some(job);
        return Submitted::Taken;
    }
    view.state.jobs.push_back(job);
    if view.state.threads < view.state.limit {
        view.state.threads += 1;
        Submitted::NeedsThread
    } else {
        Submitted::Taken
    }
}

/// Under the lock: jobs whose submitters wait come in, as far as there is room.
fn let_in(view: &mut Locked<'_>) {
    while view.state.jobs.len() < view.state.limit
        && let Some(job) = view.grant(ROOM).and_then(Option::take)
    {
        view.state.jobs.push_back(job);
        view.state.unfinished += 1;
    }
}

/// Under the lock: a job is done.
fn one_done(view: &mut Locked<'_>) {
    view.state.unfinished -= 1;
    if view.state.unfinished == 0 {
        view.grant_all(DONE);
    }
}

/// A thread's life.
fn run(work: &WaitQueue<Work, 3>) {
    loop {
        let idle = work.with(|view| view.state.idle);
        let until = Instant::now().checked_add(idle);
        let waited = work.wait(THREADS, until, "work", |view| {
            if view.state.threads > view.state.limit {
                return Ok(None);
            }
            match view.state.jobs.pop_front() {
                Some(job) => {
                    let_in(view);
                    Ok(Some(job))
                }
                None if view.state.closed => Ok(None),
                None => {
                    thread::is_idle(true);
                    Err(None)
                }
            }
        });
        let job = match waited {
            Waited::AtOnce(job) | Waited::Granted(job) => job,
            Waited::TimedOut(_) | Waited::Refused(_) => {
                thread::is_idle(false);
                None
            }
        };
        match job {
            Some(job) => {
                job();
                work.with(one_done);
            }
            None => {
                // A job that was left in line since the wait ended is not left behind.
                let end = work.with(|view| {
                    let end = view.state.jobs.is_empty() || view.state.threads > view.state.limit;
                    view.state.threads -= usize::from(end);
                    end
                });
                if end {
                    return;
                }
            }
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.work.with(|view| {
            view.state.closed = true;
            while view.grant(THREADS).is_some() {
                thread::is_idle(false);
            }
        });
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, limit) = self.work.with(|view| (view.state.threads, view.state.limit));
        f.debug_struct("ThreadPool")
            .field("threads", &threads)
            .field("limit", &limit)
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::Mutex;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn work_is_done_elsewhere_and_comes_back() {
        let pool = ThreadPool::new(1);
        let here = thread::current().id();
        assert_ne!(pool.apply(move || thread::current().id()), here);
    }

    #[test]
    fn a_panic_comes_back_and_the_thread_lives() {
        let pool = ThreadPool::new(1);
        let payload = catch_unwind(|| pool.apply(|| panic!("in the pool"))).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"in the pool"));
        assert_eq!(pool.apply(|| 1), 1);
    }

    #[test]
    fn there_are_never_more_threads_than_the_limit() {
        let pool = Arc::new(ThreadPool::new(2));
        let busy = Arc::new(Mutex::new((0, 0)));
        let jobs: Vec<_> = (0..20)
            .map(|_| {
                let (pool, busy) = (pool.clone(), busy.clone());
                crate::spawn(move || {
                    pool.apply(move || {
                        let mut at = busy.lock().unwrap();
                        at.0 += 1;
                        at.1 = at.1.max(at.0);
                        drop(at);
                        thread::yield_now();
                        busy.lock().unwrap().0 -= 1;
                    });
                })
            })
            .collect();
        assert_eq!(crate::joinall(&jobs, None).len(), 20);
        assert!(jobs.iter().all(crate::Greenlet::successful));
        let (left, most) = *busy.lock().unwrap();
        assert_eq!(left, 0);
        assert!((1..=2).contains(&most), "{most} at once");
    }

    #[test]
    fn a_killed_caller_leaves_its_work_to_finish() {
        let pool = Arc::new(ThreadPool::new(1));
        let (go, wait) = mpsc::channel::<()>();
        let (done, finished) = mpsc::channel();
        let inside = pool.clone();
        let caller = crate::spawn(move || {
            inside.apply(move || {
                wait.recv().unwrap();
                done.send(7).unwrap();
            });
        });
        crate::yield_now();
        caller.kill();
        go.send(()).unwrap();
        assert_eq!(finished.recv(), Ok(7));
        assert_eq!(pool.apply(|| 1), 1, "the thread takes other work");
    }

    #[test]
    fn a_thread_that_is_refused_leaves_no_job_behind() {
        let pool = ThreadPool::new(1);
        let jobs = [1, 2].map(|number| job::new(move || number));
        let handles = jobs.map(|(job, handle)| {
            pool.work.with(|view| {
                submit(view, job);
            });
            handle
        });
        // The first was to start a thread, and the second was submitted before that was refused.
        pool.do_without();
        assert!(handles.iter().all(JobHandle::ready));
        assert_eq!(handles.map(|handle| handle.get().unwrap()), [1, 2]);
        assert_eq!(pool.threads(), 0);
        pool.join();
        assert_eq!(pool.apply(|| 3), 3);
    }

    #[test]
    fn a_value_that_nobody_wants_may_panic_when_it_is_dropped() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("nobody wanted it");
            }
        }
        let pool = ThreadPool::new(1);
        let (go, wait) = mpsc::channel::<()>();
        drop(pool.spawn(move || {
            wait.recv().unwrap();
            Bomb
        }));
        go.send(()).unwrap();
        pool.join();
        assert_eq!((pool.apply(|| 1), pool.threads()), (1, 1));
    }

    #[test]
    fn threads_that_have_become_too_many_end_when_they_are_done() {
        let pool = ThreadPool::with_idle(2, Duration::from_secs(3600));
        let (begun, begins) = mpsc::channel();
        let jobs = [(); 2].map(|()| {
            let begun = begun.clone();
            let (go, wait) = mpsc::channel::<()>();
            (pool.spawn(move || (begun.send(()), wait.recv()).1), go)
        });
        assert_eq!(begins.iter().take(2).count(), 2);
        pool.resize(1);
        for (job, go) in jobs {
            go.send(()).unwrap();
            job.join();
        }
        while pool.threads() > 1 {
            thread::yield_now();
        }
        assert_eq!(pool.apply(|| 1), 1);
    }

    #[test]
    fn a_dropped_pool_ends_its_threads() {
        let pool = ThreadPool::with_idle(1, Duration::from_secs(3600));
        pool.apply(|| ());
        while pool.work.with(|view| view.nobody_in(THREADS)) {
            thread::yield_now();
        }
        let work = Arc::downgrade(&pool.work);
        drop(pool);
        while work.strong_count() > 0 {
            crate::yield_now();
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Up to two preemptions. A thread of the pool that waits for work may end at once: that is a time-out.
    fn model(body: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(body);
    }

    #[test]
    fn loom_threadpool_does_each_job_once_though_its_thread_may_be_about_to_end() {
        model(|| {
            let (pool, done) = (Arc::new(ThreadPool::new(1)), Arc::new(AtomicU32::new(0)));
            let submit = |pool: &ThreadPool, number: u32| {
                let done = done.clone();
                pool.spawn(move || {
                    done.fetch_add(1, Ordering::SeqCst);
                    number
                })
            };
            let (there, other) = (pool.clone(), done.clone());
            let submitter = loom::thread::spawn(move || {
                let job = there.spawn(move || other.fetch_add(1, Ordering::SeqCst));
                drop(job.get());
            });
            assert_eq!(submit(&pool, 7).get().unwrap(), 7);
            submitter.join().unwrap();
            pool.join();
            assert_eq!(done.load(Ordering::SeqCst), 2);
            assert!(pool.threads() <= 1);
        });
    }

    #[test]
    fn loom_threadpool_lets_in_who_waits_for_room() {
        model(|| {
            let pool = ThreadPool::new(1);
            // One runs, one stands in line, and the third waits until one is taken.
            let jobs = [1, 2, 3].map(|number| pool.spawn(move || number));
            assert_eq!(jobs.map(|job| job.get().unwrap()), [1, 2, 3]);
            pool.join();
        });
    }

    #[test]
    fn loom_threadpool_that_is_dropped_finishes_what_was_submitted() {
        model(|| {
            let pool = ThreadPool::new(1);
            let jobs = [1, 2].map(|number| pool.spawn(move || number));
            drop(pool);
            assert_eq!(jobs.map(|job| job.get().unwrap()), [1, 2]);
        });
    }
}
