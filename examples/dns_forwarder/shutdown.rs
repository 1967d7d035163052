//! The end: the signals that ask for it, and the work that is finished before.
//!
//! ```text
//!   a signal ─► asked for ─► every hub stops receiving, and gives back its ticket
//!                            every query in flight ends, and gives back its ticket
//!                                                    └─► the last ticket: finished
//! ```
//!
//! A hub holds a ticket for as long as it receives, so the work is not finished before the end was asked for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iora::sync::Event;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// How many queries may wait at the same time, all together.
const MOST_TICKETS: usize = 10_000;

/// The work that there is.
#[derive(Default)]
pub(crate) struct Work {
    /// How many tickets are out.
    tickets: AtomicUsize,
    /// Set when the end was asked for.
    end: Event,
    /// Set when the last ticket was given back.
    finished: Event,
}

/// A piece of work; it is finished when this is dropped.
pub(crate) struct Ticket(Arc<Work>);

impl Work {
    /// A ticket for what was there before, or is short: never refused.
    pub(crate) fn begin(self: &Arc<Work>) -> Ticket {
        self.tickets.fetch_add(1, Ordering::AcqRel);
        Ticket(Arc::clone(self))
    }

    /// A ticket for one more query that has to wait, or `None` if there are too many.
    pub(crate) fn begin_waiting(self: &Arc<Work>) -> Option<Ticket> {
        let ticket = self.begin();
        (self.tickets.load(Ordering::Acquire) <= MOST_TICKETS).then_some(ticket)
    }

    /// Asks for the end.
    pub(crate) fn ask_for_the_end(&self) {
        self.end.set();
    }

    /// Whether the end was asked for.
    pub(crate) fn is_to_end(&self) -> bool {
        self.end.is_set()
    }

    /// Parks until the end is asked for.
    pub(crate) fn until_the_end(&self) {
        self.end.wait();
    }

    /// Parks until all work is finished, or the time is over.
    pub(crate) fn until_finished(&self, longest: Duration) {
        self.finished.wait_timeout(longest);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.tickets.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.finished.set();
        }
    }
}

/// Asks for the end when SIGTERM or SIGINT comes, from now on. A second one ends the program as it does others.
pub(crate) fn ask_on_signals(work: &Arc<Work>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let work = Arc::clone(work);
    // A thread of its own waits for them: whatever thread it is, it may wake greenlets.
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut signals = signals.forever();
        signals.next();
        work.ask_for_the_end();
        // Whoever asks again does not want to wait.
        if let Some(signal) = signals.next() {
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_bounded_and_the_last_one_is_noticed() {
        let work = Arc::new(Work::default());
        let hub = work.begin();
        let tickets: Vec<_> = std::iter::from_fn(|| work.begin_waiting()).collect();
        assert_eq!(tickets.len(), MOST_TICKETS - 1);
        drop(tickets);
        assert!(!work.finished.is_set(), "the hub still receives");
        assert!(work.begin_waiting().is_some(), "refused tickets are not counted");
        drop(hub);
        assert!(work.finished.is_set());
    }
}
