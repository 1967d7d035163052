//! The end of a greenlet as what a [`Select`](super::Select) waits for.

use super::select::Choice;
use crate::greenlet::Greenlet;

impl<T> Greenlet<T> {
    /// Waiting for its end, for a [`Select`](crate::sync::Select).
    ///
    /// ```
    /// use iora::sync::{Event, Select};
    ///
    /// let (job, stop) = (iora::spawn(|| 7), Event::new());
    /// let ended = Select::new()
    ///     .case(job.joining(), |()| true)
    ///     .case(stop.waiting(), |()| false)
    ///     .wait();
    /// assert!(ended);
    /// assert_eq!(job.value(), Some(&7));
    /// ```
    pub fn joining(&self) -> Choice<'_, ()> {
        Choice::told(self.completion(), |completion| completion.ended(), || ())
    }
}
