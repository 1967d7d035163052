//! The one switch between std's synchronisation types and loom's.
//!
//! Files that loom models check (`collections/inbox`, `sync`, `queue`) take their locks and
//! atomics from here and nowhere else.

#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, atomic};

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, atomic};
