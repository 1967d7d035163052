//! Sleeping and time-outs.

pub(crate) mod deadline;
mod sleep;
mod timeout;

pub use sleep::sleep;
pub use timeout::{Elapsed, Timeout, timeout};
