//! Whom to wake after the lock.
#![expect(unsafe_code, reason = "those who were granted something are told so under the lock")]

use super::line::Granted;
use super::observer::Observer;

/// Those to wake after unlocking: seldom more than one, which then needs no allocation.
#[derive(Default)]
pub(super) struct Wakes {
    /// The first one added who waits.
    first: Option<Granted>,
    /// The others, if there are any.
    #[expect(clippy::box_collection, reason = "small to move")]
    more: Option<Box<Vec<Wake>>>,
}

/// Somebody to wake.
enum Wake {
    /// Who waits.
    Granted(Granted),
    /// Who is only told.
    Tell(Observer),
}

impl Wakes {
    /// One more to wake.
    #[inline(always)]
    pub(super) fn add(&mut self, granted: Granted) {
        match self.first {
            None => self.first = Some(granted),
            Some(_) => self.add_more(Wake::Granted(granted)),
        }
    }

    /// One more to tell.
    pub(super) fn add_observer(&mut self, observer: Observer) {
        self.add_more(Wake::Tell(observer));
    }

    /// The rare half of [`Wakes::add`].
    #[cold]
    fn add_more(&mut self, wake: Wake) {
        self.more.get_or_insert_default().push(wake);
    }

    /// Tells those who were granted something that they may go.
    ///
    /// # Safety
    ///
    /// The lock is held since the first was added, and this is called once.
    #[inline(always)]
    pub(super) unsafe fn tell(&self) {
        if let Some(first) = &self.first {
            // SAFETY: the caller's promise.
            unsafe { first.tell() };
        }
        if let Some(more) = &self.more {
            // SAFETY: the caller's promise.
            unsafe { Wakes::tell_more(more) };
        }
    }

    /// The rare half of [`Wakes::tell`].
    ///
    /// # Safety
    ///
    /// As there.
    #[cold]
    unsafe fn tell_more(more: &[Wake]) {
        for wake in more {
            if let Wake::Granted(granted) = wake {
                // SAFETY: the caller's promise.
                unsafe { granted.tell() };
            }
        }
    }

    /// Wakes them in the order in which they were added.
    #[inline(always)]
    pub(super) fn wake(self) {
        let Wakes { first, more } = self;
        if let Some(first) = first {
            first.wake();
        }
        if let Some(more) = more {
            Wakes::wake_more(*more);
        }
    }

    /// The rare half of [`wake`](Self::wake).
    #[cold]
    fn wake_more(more: Vec<Wake>) {
        for wake in more {
            match wake {
                Wake::Granted(granted) => granted.wake(),
                Wake::Tell(observer) => observer.tell(),
            }
        }
    }
}
