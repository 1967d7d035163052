//! Guarded stacks out of slabs, a cache for each thread, and the report of an overflow.
//!
//! A stack goes through four hands:
//!
//! ```text
//!            reserve()              claim()                drop              too many, or thread's end
//!   nothing ──────────▶ Reservation ────────▶ Stack ──────────────▶ warm ──────────────────▶ slab (cold)
//!                       (a counter)   ▲    ▲                     cache, LIFO                 no memory, guard stays
//!                                     │    └────────────────────────┘                              │
//!                                     └────────────────────────────────────────────────────────────┘
//! ```
//!
//! * [`pool`]: what a thread has, and the two handles that others hold, [`Reservation`] and [`Stack`].
//! * [`class`]: the stacks of one size on one thread: the promises, the warm cache, the slabs below.
//! * [`slab`]: large mappings, each cut into stacks of one size.
//! * [`size`]: the default size, and what sizes are possible.
//! * [`overflow`]: what is said when a greenlet runs into its guard.
//!
//! A stack never changes thread, so nothing here is shared or locked.

mod class;
pub(crate) mod overflow;
mod pool;
mod size;
mod slab;

pub(crate) use pool::{Reservation, Stack, reserve};
pub(crate) use size::{default_size, limit, set_default_size};
