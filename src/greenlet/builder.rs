//! Spawning.

use std::io;
use std::panic::Location;
use std::time::{Duration, Instant};

use super::handle::Greenlet;
use super::hold;
use super::local::Inherited;
use crate::hub::job::Info;
use crate::hub::spawn as hub;
use crate::stack;
use crate::time::deadline;

/// Spawns a greenlet on the calling thread's hub, which is made now if the thread has none.
///
/// It runs `f` on a stack of its own when its turn comes: when the caller parks, after what is ready already. It stays on
/// this thread for its whole life, so `f` need not be `Send`.
///
/// Dropping the handle leaves the greenlet running. When the thread's own stack ends (when `main` returns), nobody waits for
/// the greenlets that are left.
///
/// # Panics
///
/// When there is no address space left for its stack, or the system refuses the hub's descriptors. [`Builder::spawn`]
/// returns these errors.
///
/// ```
/// let greeting = iora::spawn(|| "hello");
/// assert_eq!(greeting.get().unwrap(), "hello");
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    expect_spawned(spawn_at(None, stack::default_size(), None, Location::caller(), f))
}

/// As [`spawn`]; the greenlet begins after `delay` at the earliest.
///
/// # Panics
///
/// As [`spawn`].
#[track_caller]
pub fn spawn_later<F, T>(delay: Duration, f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    // A start that is further away than the clock counts never comes.
    let start = deadline::after(delay).unwrap_or_else(|| Instant::now() + deadline::FAR);
    expect_spawned(spawn_at(
        None,
        stack::default_size(),
        Some(start),
        Location::caller(),
        f,
    ))
}

/// Sets the stack size, in bytes of address space, of greenlets spawned from now on without a size of their own.
///
/// 256 KiB unless set. Memory is used only as it is touched. Sizes are rounded up to 16 KiB at least and to an odd number of pages.
pub fn set_default_stack_size(bytes: usize) {
    stack::set_default_size(bytes);
}

/// A greenlet to be spawned with a name, a stack size or a delay of its own.
///
/// ```
/// let job = iora::Builder::new().name("worker").stack_size(64 * 1024).spawn(|| 1)?;
/// assert_eq!(job.name(), Some("worker"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is spawned until `spawn` is called"]
pub struct Builder {
    /// The greenlet's name.
    name: Option<Box<str>>,
    /// The size of its stack, if not the default.
    stack_size: Option<usize>,
    /// How long it waits before it begins.
    delay: Option<Duration>,
}

impl Builder {
    /// A greenlet without a name, with a stack of the default size, that begins at its first turn.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Gives it a name, for `Debug`, reports and messages.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Sets the size of its stack in bytes of address space, rounded up to 16 KiB at least and to an odd number of pages.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Has it begin after `delay` at the earliest.
    pub fn delay(mut self, delay: Duration) -> Builder {
        self.delay = Some(delay);
        self
    }

    /// Spawns it on the calling thread's hub; see [`spawn`].
    ///
    /// # Errors
    ///
    /// When there is no address space left for its stack, the size is more than the address space holds, or the system
    /// refuses the hub's descriptors. `f` is dropped then.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let start = self
            .delay
            .map(|delay| deadline::after(delay).unwrap_or_else(|| Instant::now() + deadline::FAR));
        let stack_size = self.stack_size.unwrap_or_else(stack::default_size);
        spawn_at(self.name, stack_size, start, Location::caller(), f)
    }

    /// The parts: for those who spawn on other hubs.
    pub(super) fn into_parts(self) -> (Option<Box<str>>, usize) {
        (self.name, self.stack_size.unwrap_or_else(stack::default_size))
    }
}

/// Spawns a greenlet on the calling thread's hub.
#[inline]
pub(super) fn spawn_at<F, T>(
    name: Option<Box<str>>,
    stack_size: usize,
    start: Option<Instant>,
    spawned_at: &'static Location<'static>,
    f: F,
) -> io::Result<Greenlet<T>>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let inherited = Inherited::from_current();
    let handle = hub::spawn(stack_size, start, |unparker| {
        let info = Info {
            id: hub::next_id(),
            name: name.map(Box::new),
            spawned_at,
            stack_size,
        };
        hold::spawn(info, unparker, f, inherited)
    })?;
    Ok(Greenlet::new(handle))
}

/// The greenlet, or a panic that says why there is none.
#[track_caller]
fn expect_spawned<T>(spawned: io::Result<Greenlet<T>>) -> Greenlet<T> {
    match spawned {
        Ok(greenlet) => greenlet,
        Err(error) => panic!("iora: spawning a greenlet failed: {error}"),
    }
}
