//! Whom to wake after the lock.

use super::observer::Observer;
use crate::hub::park::Unparker;

/// Those to wake after unlocking: seldom more than one, which then needs no allocation.
#[derive(Default)]
pub(super) struct Wakes {
    /// The first one added who waits.
    first: Option<Unparker>,
    /// The others, if there are any.
    more: Option<Vec<Wake>>,
}

/// Somebody to wake.
enum Wake {
    /// Who waits.
    Unpark(Unparker),
    /// Who is only told.
    Tell(Observer),
}

impl Wakes {
    /// One more to wake.
    #[inline]
    pub(super) fn add(&mut self, unparker: Unparker) {
        match self.first {
            None => self.first = Some(unparker),
            Some(_) => self.more.get_or_insert_default().push(Wake::Unpark(unparker)),
        }
    }

    /// One more to tell.
    pub(super) fn add_observer(&mut self, observer: Observer) {
        self.more.get_or_insert_default().push(Wake::Tell(observer));
    }

    /// Wakes them in the order in which they were added.
    #[inline]
    pub(super) fn wake(self) {
        let Wakes { first, more } = self;
        if let Some(first) = first {
            first.unpark();
        }
        if let Some(more) = more {
            Wakes::wake_more(more);
        }
    }

    /// The rare half of [`wake`](Self::wake).
    #[cold]
    fn wake_more(more: Vec<Wake>) {
        for wake in more {
            match wake {
                Wake::Unpark(unparker) => unparker.unpark(),
                Wake::Tell(observer) => observer.tell(),
            }
        }
    }
}
