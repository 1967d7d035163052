//! Synchronisation between greenlets of any hub and plain threads.

pub(crate) mod wait_queue;
