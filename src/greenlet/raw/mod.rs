//! The low level: coroutines that switch to each other by name, as in Python's greenlet library.
//!
//! A [`Greenlet`] here is a stack and a function on it, no more: no hub runs it. Whoever has one switches to it, and it
//! switches to another, or back. All of one family ([`Greenlet::main`] and what descends from it) exchange values of one type.
//!
//! ```text
//!   main (whoever switches from outside)      first's stack            second's stack
//!   ────────────────────────────────────      ─────────────            ──────────────
//!   first.switch(1) ─────────────────────────▶ begins with 1
//!                                              second.switch(2) ──────▶ begins with 2
//!                                              … returns 3 ◀─────────── first.switch(3)
//!   … returns 4 ◀───────────────────────────── main.switch(4), or returns 4
//! ```

mod greenlet;
mod member;

pub use greenlet::{Greenlet, ParentError};
