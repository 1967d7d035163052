//! The one switch between std's synchronisation types and loom's.
//!
//! Files that loom models check (`collections/inbox`, `sync`, `queue`) take their locks and
//! atomics from here and nowhere else.

#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::Arc;

/// Defines a `const fn` that is a plain `fn` in the loom build, where locks and atomics have no `const` constructor.
macro_rules! const_unless_loom {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visibility const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}
pub(crate) use const_unless_loom;
