//! Child processes whose end parks the greenlet instead of the thread.

mod child;

pub use child::Child;
