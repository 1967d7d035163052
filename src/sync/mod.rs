//! Synchronisation between greenlets of one hub, of several hubs, and plain threads.
//!
//! All of it stands on one waiting structure and keeps its promises: who waits is served first come, first served; what a
//! waiter was notified of is its own, even before it runs; a waiter that is killed or times out leaves no trace, and
//! what it had been given goes to the next. Where a greenlet would park, a thread without a hub is blocked instead.
//!
//! Nothing here waits while its greenlet is unwinding (in a destructor, during a panic or a kill), because no greenlet may
//! be switched then: waits with a timeout say at once that it passed, the others panic (so the process aborts), except
//! [`Mutex::lock`] (and [`ReentrantMutex::lock`]), which blocks the thread if another thread holds the lock.

pub(crate) mod arrivals;
mod async_result;
mod barrier;
mod condvar;
mod event;
#[cfg(not(loom))]
mod joining;
mod mutex;
mod once_cell;
mod poison;
mod raw_mutex;
mod raw_rw_lock;
mod reentrant_mutex;
mod rw_lock;
mod select;
mod semaphore;
pub(crate) mod wait_queue;

pub use async_result::AsyncResult;
pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use once_cell::{LazyCell, OnceCell};
pub use reentrant_mutex::{ReentrantMutex, ReentrantMutexGuard};
pub use rw_lock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use select::Deed;
pub use select::{Choice, Select};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
