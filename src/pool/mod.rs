//! Greenlets kept together: a [`Group`] to spawn, join and kill them as one, and a [`Pool`] that bounds how many there are.
//!
//! ```
//! let pool = iora::pool::Pool::new(4);
//! let lengths = pool.map(|word: &str| word.len(), ["one", "three"])?;
//! assert_eq!(lengths, [3, 5]);
//! # Ok::<(), iora::Exit>(())
//! ```

mod bounded;
mod error;
mod group;
mod imap;
mod roster;

pub use bounded::Pool;
pub use error::SpawnError;
pub use group::Group;
pub use imap::Imap;
