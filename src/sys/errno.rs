//! The calling thread's `errno`: a thread-local of C's, which every greenlet of the thread shares.
//!
//! Whoever may run between a system call and the look at its `errno` (a switch to another greenlet, a signal
//! handler) holds a [`Saved`] meanwhile.
#![expect(unsafe_code, reason = "errno is reached through a C function")]

/// What `errno` is now.
#[inline]
pub(crate) fn get() -> i32 {
    // SAFETY: the function has no precondition.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is the calling thread's own `errno`, valid for as long as the thread runs.
    unsafe { *place }
}

/// Sets `errno`.
#[cfg(any(test, feature = "monkey"))]
pub(crate) fn set(value: i32) {
    // SAFETY: the function has no precondition.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is the calling thread's own `errno`, and no other thread reaches it.
    unsafe { *place = value };
}

/// Where the `errno` of a thread is, looked up once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(
    /// A pointer, so that this stays on its thread.
    *mut i32,
);

impl Place {
    /// The calling thread's.
    #[inline]
    pub(crate) fn here() -> Place {
        // SAFETY: the function has no precondition.
        Place(unsafe { libc::__errno_location() })
    }

    /// What `errno` is now.
    #[inline]
    fn get(self) -> i32 {
        // SAFETY: this has not left its thread, because it is not `Send`; so the place is that thread's own `errno`, valid for as
        // long as the thread runs.
        unsafe { *self.0 }
    }

    /// Remembers what `errno` is now.
    #[inline]
    pub(crate) fn save(self) -> Saved {
        let value = self.get();
        Saved { place: self, value }
    }
}

/// Remembers `errno` and puts it back when dropped.
#[derive(Debug)]
#[must_use = "errno is put back when this is dropped"]
pub(crate) struct Saved {
    /// Where the thread's `errno` is.
    place: Place,
    /// What `errno` was.
    value: i32,
}

impl Saved {
    /// Remembers what `errno` is now.
    #[inline]
    pub(crate) fn new() -> Saved {
        Place::here().save()
    }
}

impl Drop for Saved {
    #[inline]
    fn drop(&mut self) {
        // It is seldom another, and to look costs less than to write.
        if self.place.get() != self.value {
            // SAFETY: this has not left its thread, because it is not `Send`; so the place is that thread's own `errno`.
            unsafe { *self.place.0 = self.value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_read_back() {
        set(libc::EAGAIN);
        assert_eq!(get(), libc::EAGAIN);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN));
    }

    #[test]
    fn a_saved_errno_survives_what_comes_between() {
        set(libc::EAGAIN);
        {
            let _saved = Saved::new();
            set(libc::EINTR);
        }
        assert_eq!(get(), libc::EAGAIN);
    }
}
