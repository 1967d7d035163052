//! Threads for what has to block: work that no descriptor tells the end of (files, foreign libraries, heavy computation).
//!
//! [`apply()`] runs a closure on a thread of the process's pool and parks the greenlet meanwhile. [`ThreadPool`] is a pool of
//! one's own. (gevent: `gevent.threadpool`.)

#[cfg(not(loom))]
mod apply;
mod job;
mod pool;
#[cfg_attr(loom, path = "thread_loom.rs")]
mod thread;

#[cfg(not(loom))]
pub use apply::apply;
pub use job::JobHandle;
pub use pool::ThreadPool;
