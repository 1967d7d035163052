//! The hub: what runs the greenlets of a thread and parks them.

pub(crate) mod park;
