//! Stackful green threads for Rust: plain blocking code that parks a greenlet instead of a thread.
//!
//! A *greenlet* is a function on a stack of its own. Where it would block (a socket, a sleep, a lock, a name look-up) it is
//! parked, and the *hub* of its thread runs another. There is no `async`, no runtime object and no macro on `main`: the
//! first [`spawn`] on a thread makes that thread's hub, which runs whenever the thread's own stack waits.
//!
//! ```
//! use iora::net::{Shutdown, TcpListener, TcpStream};
//! use std::io::{self, Write};
//!
//! fn main() -> io::Result<()> {
//!     // An echo server: a greenlet that accepts, and one for each connection.
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     iora::spawn(move || {
//!         for stream in listener.incoming().flatten() {
//!             iora::spawn(move || io::copy(&mut &stream, &mut &stream));
//!         }
//!     });
//!     // Three clients at the same time, on the same thread.
//!     let clients = ["one", "two", "three"].map(|word| {
//!         iora::spawn(move || {
//!             let mut stream = TcpStream::connect(address)?;
//!             stream.write_all(word.as_bytes())?;
//!             stream.shutdown(Shutdown::Write)?;
//!             io::read_to_string(stream)
//!         })
//!     });
//!     for client in clients {
//!         println!("{}", client.get().expect("did not panic")?);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Where to find what
//!
//! | for | see |
//! | --- | --- |
//! | greenlets | [`spawn`], [`Builder`], [`Greenlet`], [`joinall`], [`killall`], [`scope`], [`pool`] |
//! | time | [`sleep`], [`timeout`], [`Timeout`] |
//! | sockets and names, as in std | [`net`], [`dns`] |
//! | other descriptors, child processes | [`io::Source`], [`process::Child`] |
//! | waiting for one another | [`sync`], [`queue`]; [`sync::Select`] for the first of several, [`wait()`] for all |
//! | what has to block a thread | [`threadpool`] |
//! | several threads | [`hubs`]; [`sync`] and [`queue`] work between them |
//! | values of a greenlet's own | [`Local`], [`TreeLocal`] |
//! | functions that give values on the way | [`Generator`], [`raw`] |
//!
//! # What to know first
//!
//! * A greenlet begins when the one that spawned it parks, not before. When a thread's own stack ends, so when `main`
//!   returns, nobody waits for the greenlets that are left: join those that matter.
//! * Only calls of this crate give way. Computing, files, and the sockets, sleeps and locks of std stop the whole thread. A lock
//!   of std's that is held by a parked greenlet stops it for ever when another of the same thread wants it.
//! * [`Greenlet::kill`] and [`timeout`] unwind a greenlet from the call in which it is parked: its destructors run. With
//!   `panic = "abort"` they cannot.
//! * What runs while a greenlet unwinds must not park: the documentation of each call says what it does then.
//!
//! # Features
//!
//! * `monkey`: defines the functions of libc that block. Then `monkey::patch_all()` makes std's sockets, sleeps and locks,
//!   other crates and C libraries park the greenlet too.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
#![cfg_attr(
    loom,
    expect(dead_code, reason = "the loom build leaves out whatever switches stacks")
)]

pub(crate) mod collections;
#[cfg(not(loom))]
pub(crate) mod coroutine;
#[cfg(not(loom))]
pub mod dns;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(not(loom))]
mod greenlet;
pub mod hub;
#[cfg(not(loom))]
pub mod io;
#[cfg(all(not(loom), target_os = "linux", target_env = "gnu", feature = "monkey"))]
pub mod monkey;
#[cfg(not(loom))]
pub mod net;
pub mod pool;
pub(crate) mod primitive;
#[cfg(not(loom))]
pub mod process;
pub mod queue;
#[cfg(doctest)]
mod readme;
#[cfg(not(loom))]
pub(crate) mod stack;
pub mod sync;
#[cfg(not(loom))]
pub(crate) mod sys;
pub mod threadpool;
#[cfg(not(loom))]
mod time;
#[cfg(not(loom))]
mod wait;

#[cfg(not(loom))]
pub use greenlet::raw;
#[cfg(not(loom))]
pub use greenlet::{
    Builder, Current, Ending, Exit, Generator, Greenlet, HubGone, HubHandle, Hubs, LinkId, Local, Resumed, Scope,
    ScopedGreenlet, TreeLocal, Yielder, current, hubs, idle, joinall, killall, scope, set_default_stack_size, shield,
    spawn, spawn_later, yield_now,
};
#[cfg(not(loom))]
pub use time::{Elapsed, Timeout, sleep, timeout};
#[cfg(not(loom))]
pub use wait::{IWait, JoinError, Waitable, iwait, joinall_count, joinall_or_raise, wait, wait_count};
