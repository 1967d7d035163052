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
