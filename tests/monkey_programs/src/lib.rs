//! What the tests by programs of others share: slow calls that have to overlap, and the servers that are slow.

pub mod database;
pub mod overlap;
pub mod process;
pub mod web;
