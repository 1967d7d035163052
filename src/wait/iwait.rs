//! Waiting for things as they become ready.
//!
//! An observer is left with each of them, all at once; there is neither polling nor a greenlet for each. The guards of
//! the observers are in the iterator: dropping it, at any point, leaves no trace in any of the things.

use std::fmt;
use std::time::{Duration, Instant};

use super::waitable::Waitable;
use crate::sync::arrivals::Arrivals;
use crate::sync::wait_queue::observer::Observation;
use crate::time::deadline;

/// Gives the things as they become ready, each once, with its place in the order given. Ends when all were given or
/// `timeout` (a `Duration`, or `None`: no limit) is over.
///
/// Each `next` parks the caller until another one is ready. The time counts from this call. While the thread unwinds
/// nothing can be waited for: then it gives only what is ready.
///
/// ```
/// use iora::Waitable;
/// use iora::sync::Event;
/// use std::time::Duration;
///
/// let (job, event) = (iora::spawn(|| 7), Event::new());
/// event.set();
/// let mixture: [&dyn Waitable; 2] = [&job, &event];
/// let order: Vec<usize> = iora::iwait(mixture, Duration::from_secs(5)).map(|(index, _)| index).collect();
/// assert_eq!(order, [1, 0]);
/// ```
pub fn iwait<'a, W: Waitable + ?Sized + 'a>(
    waitables: impl IntoIterator<Item = &'a W>,
    timeout: impl Into<Option<Duration>>,
) -> IWait<'a, W> {
    let deadline = timeout.into().and_then(deadline::after);
    let waitables: Vec<&W> = waitables.into_iter().collect();
    let arrivals = Arrivals::new(waitables.len());
    let observe = |(number, waitable): (usize, &'a W)| Some(waitable.observe(arrivals.observer(number)));
    let observations = waitables.iter().copied().enumerate().map(observe).collect();
    IWait {
        left: waitables.len(),
        waitables,
        observations,
        arrivals,
        deadline,
    }
}

/// Parks the caller until all of the things are ready, or for `timeout` (a `Duration`, or `None`: no limit). Returns those
/// that are, in the order in which they became ready, each with its place in the order given.
///
/// ```
/// use iora::sync::Event;
/// use std::time::Duration;
///
/// let events = [Event::new(), Event::new()];
/// events[1].set();
/// let ready = iora::wait(&events, Duration::from_millis(1));
/// assert_eq!(ready[0].0, 1);
/// assert_eq!(ready.len(), 1);
/// ```
pub fn wait<'a, W: Waitable + ?Sized + 'a>(
    waitables: impl IntoIterator<Item = &'a W>,
    timeout: impl Into<Option<Duration>>,
) -> Vec<(usize, &'a W)> {
    iwait(waitables, timeout).collect()
}

/// As [`wait`], but only until `count` of them are ready.
pub fn wait_count<'a, W: Waitable + ?Sized + 'a>(
    waitables: impl IntoIterator<Item = &'a W>,
    count: usize,
    timeout: impl Into<Option<Duration>>,
) -> Vec<(usize, &'a W)> {
    iwait(waitables, timeout).take(count).collect()
}

/// The things as they become ready: see [`iwait`].
#[must_use = "it waits only when it is asked"]
pub struct IWait<'a, W: ?Sized> {
    /// What is waited for.
    waitables: Vec<&'a W>,
    /// Takes the observers out again; `None` where the number was given.
    observations: Vec<Option<Observation<'a>>>,
    /// Where their numbers arrive.
    arrivals: Arrivals,
    /// When it ends.
    deadline: Option<Instant>,
    /// How many were not given yet.
    left: usize,
}

impl<'a, W: ?Sized> Iterator for IWait<'a, W> {
    type Item = (usize, &'a W);

    fn next(&mut self) -> Option<(usize, &'a W)> {
        if self.left == 0 {
            return None;
        }
        let number = self.arrivals.next(self.deadline)?;
        self.left -= 1;
        self.observations[number] = None;
        Some((number, self.waitables[number]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<W: ?Sized> fmt::Debug for IWait<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<IWait: {} of {} left>", self.left, self.waitables.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Event;

    #[test]
    fn g011_a_dropped_iwait_leaves_no_observer_behind() {
        let events = [const { Event::new() }; 3];
        let observers = || events.each_ref().map(Event::observers);
        let mut iterator = iwait(&events, None);
        assert_eq!(observers(), [1, 1, 1]);
        events[1].set();
        assert_eq!(iterator.next().map(|(index, _)| index), Some(1));
        assert_eq!(observers(), [1, 0, 1]);
        drop(iterator);
        assert_eq!(observers(), [0, 0, 0]);
        assert_eq!(wait(&events, Duration::from_millis(1)).len(), 1);
        assert_eq!(observers(), [0, 0, 0], "its time was up");
        assert_eq!(wait_count(&events, 0, None).len(), 0);
        assert_eq!(observers(), [0, 0, 0]);
    }
}
