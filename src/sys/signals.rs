//! Whether the calling code is, or may be, a signal handler's.
//!
//! A handler runs in the middle of whatever the thread was doing, an allocation for one, so nobody else may run on the
//! thread before it returns. While it runs its signal is blocked (if it was not installed with `SA_NODEFER`), and
//! that can be seen: a blocked signal that has a handler. Whoever blocks such a signal for other reasons looks the same, and
//! is no worse off for being taken at his word: a mask belongs to the thread, not to one greenlet of it.
#![expect(unsafe_code, reason = "makes system calls")]

use std::cell::Cell;

use super::raw;

/// Bytes in a set of the kernel's.
const SET: usize = size_of::<u64>();

/// A signal's bit in a set.
const fn bit(signal: libc::c_int) -> u64 {
    1 << (signal - 1)
}

/// Signals of faults. They have handlers in every program (std's, this crate's), and a program that blocks all signals
/// blocks them with the rest, to no effect: they do not count.
const FAULTS: u64 = bit(libc::SIGSEGV) | bit(libc::SIGBUS) | bit(libc::SIGFPE) | bit(libc::SIGILL) | bit(libc::SIGTRAP);

thread_local! {
    /// Blocked signals that were found to have no handlers. A handler that is installed later is not seen here; but while its
    /// own signal is blocked as well it cannot be running, unless the set is another one.
    static HARMLESS: Cell<u64> = const { Cell::new(0) };
}

/// Whether a signal is blocked that has a handler.
pub(crate) fn in_handler() -> bool {
    let mut blocked = 0_u64;
    let arguments = [libc::SIG_BLOCK as usize, 0, (&raw mut blocked) as usize, SET, 0, 0];
    // SAFETY: no set to change to, and room for the present one.
    unsafe { raw::call(libc::SYS_rt_sigprocmask, arguments) };
    let blocked = blocked & !FAULTS;
    blocked != 0 && blocked != HARMLESS.get() && has_handler(blocked)
}

/// Whether one of these signals has a handler.
#[cold]
fn has_handler(signals: u64) -> bool {
    let is_handled = |signal: libc::c_int| {
        // An action of the kernel's: its handler, and three more words.
        let mut action = [0_usize; 4];
        let arguments = [signal as usize, 0, action.as_mut_ptr() as usize, SET, 0, 0];
        // SAFETY: no action to change to, and room for the present one.
        unsafe { raw::call(libc::SYS_rt_sigaction, arguments) };
        action[0] != libc::SIG_DFL && action[0] != libc::SIG_IGN
    };
    let found = (1..=64).any(|signal| signals & bit(signal) != 0 && is_handled(signal));
    if !found {
        HARMLESS.set(signals);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks or unblocks a signal on this thread.
    fn mask(how: libc::c_int, signal: libc::c_int) {
        let set = bit(signal);
        let arguments = [how as usize, (&raw const set) as usize, 0, SET, 0, 0];
        // SAFETY: a set, and no room for the former one.
        unsafe { raw::call(libc::SYS_rt_sigprocmask, arguments) };
    }

    #[test]
    fn a_blocked_signal_counts_if_it_has_a_handler() {
        extern "C" fn handler(_: libc::c_int) {}
        assert!(!in_handler());
        mask(libc::SIG_BLOCK, libc::SIGWINCH);
        assert!(!in_handler(), "nobody handles it");
        mask(libc::SIG_BLOCK, libc::SIGSEGV);
        assert!(!in_handler(), "a fault does not count");
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGURG, handler as *const () as usize) };
        assert!(!in_handler(), "it is not blocked");
        mask(libc::SIG_BLOCK, libc::SIGURG);
        assert!(in_handler());
        mask(libc::SIG_UNBLOCK, libc::SIGURG);
        assert!(!in_handler());
    }
}
