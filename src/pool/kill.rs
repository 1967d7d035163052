//! Members of a group and who calls: which of them that is, and killing the others.

use super::roster::Roster;
use crate::hub::interrupt::Interrupt;
use crate::hub::spawn;

/// The number of the greenlet that calls.
pub(super) fn current_id() -> Option<u64> {
    spawn::with_info(|info, _| info.id)
}

impl Roster {
    /// Whether whoever calls is a member.
    pub(super) fn has_current(&self) -> bool {
        current_id().is_some_and(|id| self.has(id))
    }

    /// Kills a member, unless it was killed as one before.
    pub(super) fn kill_one(&self, id: u64) {
        if let Some(victim) = self.victim(id) {
            victim.interrupt(Interrupt::Kill);
        }
    }

    /// Kills all members but the caller and those that were killed before.
    pub(super) fn kill_all(&self) {
        for victim in self.victims(current_id()) {
            victim.interrupt(Interrupt::Kill);
        }
    }
}
