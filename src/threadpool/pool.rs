//! A bounded pool of threads that come when there is work and go when there has been none for a while.
//!
//! Jobs stand in line while all threads are busy; idle threads stand in line while there is no job. Never both: whoever
//! submits a job hands it to the first idle thread, starts a thread, or leaves the job in line.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::job::{self, Job};
use crate::hub::deadlock;
use crate::sync::wait_queue::{Handover, View, WaitQueue, Waited};

/// How long a thread stays without work.
const IDLE: Duration = Duration::from_secs(10);

/// What the threads of a pool and those who submit share.
struct Work {
    /// Jobs that wait for a thread, first come first served.
    jobs: VecDeque<Job>,
    /// Threads there are, idle ones included.
    threads: usize,
    /// Threads there may be.
    limit: usize,
    /// The pool was dropped: threads end when there is no job left.
    closed: bool,
}

impl Handover for Work {
    /// Where an idle thread is handed its job.
    type Ticket = Option<Job>;

    /// A thread that was handed a job and does not take it (it does not happen: threads are not killed) gives it back.
    fn take_back(view: &mut View<'_, Self>, _: usize, ticket: &mut Option<Job>) {
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
/// ```
pub struct ThreadPool {
    /// Shared with its threads.
    work: Arc<WaitQueue<Work>>,
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
        assert!(limit > 0, "iora: a thread pool needs room for one thread");
        let work = Work {
            jobs: VecDeque::new(),
            threads: 0,
            limit,
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
        let (job, pending) = job::new(f);
        self.submit(job);
        match pending.wait() {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Hands `job` to a thread.
    fn submit(&self, job: Job) {
        let submitted = self.work.with(|view| {
            if let Some(ticket) = view.grant(0) {
                // Counted as busy from here on: it must not pass for a thread that wakes nobody.
                deadlock::worker_is_idle(false);
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
        });
        if let Submitted::NeedsThread = submitted
            && self.start_thread().is_err()
        {
            let orphan = self.work.with(|view| {
                view.state.threads -= 1;
                if view.state.threads == 0 {
                    view.state.jobs.pop_back()
                } else {
                    None
                }
            });
            if let Some(job) = orphan {
                job();
            }
        }
    }

    /// Starts one thread, which the caller has counted.
    fn start_thread(&self) -> io::Result<()> {
        let work = self.work.clone();
        thread::Builder::new()
            .name("iora-pool".to_owned())
            .spawn(move || run(&work))
            .map(drop)
    }
}

/// A thread's life.
fn run(work: &WaitQueue<Work>) {
    loop {
        let until = Instant::now().checked_add(IDLE);
        let waited = work.wait(0, until, "work", |view| match view.state.jobs.pop_front() {
            Some(job) => Ok(Some(job)),
            None if view.state.closed => Ok(None),
            None => {
                deadlock::worker_is_idle(true);
                Err(None)
            }
        });
        let job = match waited {
            Waited::AtOnce(job) | Waited::Granted(job) => job,
            Waited::TimedOut(_) | Waited::Refused(_) => {
                deadlock::worker_is_idle(false);
                None
            }
        };
        match job {
            Some(job) => job(),
            None => {
                // A job that was left in line since the wait ended is not left behind.
                let end = work.with(|view| {
                    let end = view.state.jobs.is_empty();
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
            while view.grant(0).is_some() {
                deadlock::worker_is_idle(false);
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

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::Mutex;
    use std::sync::mpsc;

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
    fn a_dropped_pool_ends_its_threads() {
        let pool = ThreadPool::new(1);
        pool.apply(|| ());
        let work = Arc::downgrade(&pool.work);
        drop(pool);
        while work.strong_count() > 0 {
            crate::yield_now();
        }
    }
}
