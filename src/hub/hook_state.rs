//! What threads and tasks remember of the hooks of libc that they go through (`monkey`).

use std::cell::Cell;

/// What a task knows of the hooks it goes through.
#[derive(Default)]
pub(super) struct HookState {
    /// How many `unpatched` scopes it is in.
    pub(super) unpatched: u32,
    /// A hook returned an error instead of raising what is pending.
    pub(super) told: bool,
}

thread_local! {
    /// How many [`Inside`]s the thread holds.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, hooks that the thread reaches pass straight through: the runtime itself is calling, and
/// nothing may be parked. Whoever holds it does not park.
pub(crate) struct Inside(());

impl Inside {
    /// From here on no hook parks.
    #[inline]
    pub(crate) fn enter() -> Inside {
        INSIDE.set(INSIDE.get() + 1);
        Inside(())
    }

    /// Whether the thread holds one.
    pub(super) fn is_entered() -> bool {
        INSIDE.get() > 0
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

/// What a hook has done around the sleep of its thread's hub.
pub(crate) struct SleepWatch {
    /// The hub is about to sleep. `false`: it must not, there is somebody ready now.
    pub(crate) before: fn() -> bool,
    /// It is awake again, and nobody has run since.
    pub(crate) after: fn(),
}

thread_local! {
    /// The thread's watch.
    static WATCH: Cell<Option<&'static SleepWatch>> = const { Cell::new(None) };
}

/// Has the thread's hub watched from now on, or no more.
pub(super) fn watch_sleep(watch: Option<&'static SleepWatch>) {
    WATCH.set(watch);
}

/// The sleep of a hub, or the look at whether it might.
pub(super) struct Asleep(Option<&'static SleepWatch>);

impl Asleep {
    /// The hub goes to sleep. `None` if it must not.
    #[inline]
    pub(super) fn enter() -> Option<Asleep> {
        let watch = WATCH.get();
        watch.is_none_or(|watch| (watch.before)()).then_some(watch).map(Asleep)
    }
}

impl Drop for Asleep {
    #[inline]
    fn drop(&mut self) {
        if let Some(watch) = self.0 {
            (watch.after)();
        }
    }
}
