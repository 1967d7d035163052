//! Queues between greenlets of one hub, of several hubs, and plain threads.
//!
//! Getters and putters are served first come, first served. An item belongs to the getter that it was handed to, even before that one
//! runs; if the getter is killed first, the item goes to the next one or back to the front. Where a greenlet would park, a
//! thread without a hub is blocked instead.
//!
//! To wait for several of them at once, or for one and an event, see [`Select`](crate::sync::Select).

mod channel;
mod core;
mod error;
mod facade;
mod front;
mod locked;
#[expect(clippy::module_inception, reason = "the queue among the queues")]
mod queue;
mod select;
mod store;

pub use channel::Channel;
pub use error::{GetError, GetTimeoutError, PutError, PutTimeoutError, TryGetError, TryPutError};
pub use facade::Iter;
pub use queue::{LifoQueue, PriorityQueue, Queue, SimpleQueue};
