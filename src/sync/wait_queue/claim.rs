//! One grant for a waiter that stands in several lines.

use crate::primitive::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// The right to grant a waiter that stands in several lines what it waits for. Whoever wins it first has it.
#[derive(Clone)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Nobody has won it yet.
    pub(crate) fn new() -> Claim {
        Claim(Arc::new(AtomicBool::new(false)))
    }

    /// Whether the caller is the first.
    pub(crate) fn win(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Whether somebody has won it.
    pub(crate) fn is_won(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Whether both are one claim.
    pub(super) fn is(&self, other: &Claim) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
