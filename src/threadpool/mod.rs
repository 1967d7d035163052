//! Threads for what has to block: work that no descriptor tells the end of (files, foreign libraries, heavy computation).
//!
//! [`apply()`] runs a closure on a thread of the process's pool and parks the greenlet meanwhile. [`ThreadPool`] is a pool of
//! one's own. (gevent: `gevent.threadpool`.)

mod apply;
mod job;
mod pool;

pub use apply::apply;
pub use job::JobHandle;
pub use pool::ThreadPool;
