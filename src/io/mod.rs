//! Descriptors whose calls park the greenlet instead of the thread.

mod conversions;
mod read_write;
mod source;

pub use read_write::{ReadShared, WriteShared};
pub use source::Source;
pub(crate) use source::{Limit, Wait};
