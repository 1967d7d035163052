//! What all greenlets of a tree share: a greenlet and those it spawned, and those they spawned.
//!
//! The greenlet that is spawned by a thread's own stack, or arrives from another thread, is the root of a tree. The tree is made when
//! its root first spawns, or first keeps something there, and goes with its last greenlet.

use std::any::Any;
use std::cell::RefCell;

/// A place for the layer above.
#[derive(Default)]
pub(crate) struct Tree {
    /// What it keeps; made at its first use.
    pub(crate) values: RefCell<Option<Box<dyn Any>>>,
}
