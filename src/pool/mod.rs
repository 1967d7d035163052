//! Greenlets kept together: a [`Group`] to spawn, join and kill them as one, and a [`Pool`] that bounds how many there are.
//!
//! ```
//! let pool = iora::pool::Pool::new(4);
//! let lengths = pool.map(|word: &str| word.len(), ["one", "three"])?;
//! assert_eq!(lengths, [3, 5]);
//! # Ok::<(), iora::Exit>(())
//! ```

#[cfg(not(loom))]
mod bounded;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod group;
#[cfg(not(loom))]
mod imap;
#[cfg(not(loom))]
mod kill;
mod roster;

#[cfg(not(loom))]
pub use bounded::Pool;
#[cfg(not(loom))]
pub use error::SpawnError;
#[cfg(not(loom))]
pub use group::Group;
#[cfg(not(loom))]
pub use imap::Imap;
