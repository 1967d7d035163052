//! The lock of many readers or one writer, without what it protects.
//!
//! One word: who holds the lock, and whether somebody waits.
//!
//! | bits | mean | changed by |
//! | --- | --- | --- |
//! | `WRITER` | a writer holds it | any thread, if `WAITED` is clear: one exchange; else under the queue's lock |
//! | `WAITED` | somebody stands in line | under the queue's lock only |
//! | the rest | how many readers hold it | more: as `WRITER`; fewer: the reader itself, by one subtraction |
//!
//! 1. `WAITED` is set exactly while somebody stands in line (as seen under the queue's lock). While it is set nobody takes
//!    the lock but by a grant: readers and writers are served in the order of their coming, so neither starve.
//! 2. Whoever gives up the lock, and leaves it free with `WAITED` set, serves the line; so does whoever leaves the line. To
//!    serve is to grant the first in line what it waits for, as long as that is possible: a writer alone, readers together.
//! 3. A waiter that is unwound after it was granted the lock gives it back: see [`Leaving`].

use super::wait_queue::{Handover, View, WaitQueue, Waited, refused};
use crate::primitive::{
    atomic::{AtomicUsize, Ordering},
    const_unless_loom,
};

/// A writer holds the lock.
const WRITER: usize = 1;
/// Somebody waits: invariant 1.
const WAITED: usize = 2;
/// One reader.
const READER: usize = 4;

/// How often the word is looked at before standing in line.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

/// How the lock is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Together with other readers.
    Read,
    /// Alone.
    Write,
}

impl Mode {
    /// What the word grows by when the lock is taken.
    fn share(self) -> usize {
        match self {
            Mode::Read => READER,
            Mode::Write => WRITER,
        }
    }

    /// Whether it can be taken, apart from those who wait.
    fn fits(self, word: usize) -> bool {
        match self {
            Mode::Read => word & WRITER == 0,
            Mode::Write => word & !WAITED == 0,
        }
    }
}

/// A lock that parks.
pub(super) struct RawRwLock {
    /// See the table at the top.
    word: AtomicUsize,
    /// Who waits, in one line; a ticket says for what.
    queue: WaitQueue<Line>,
}

/// What the queue's lock protects beside the line.
struct Line {
    /// What had been granted to waiters that were then unwound, as in the word. See [`Leaving`].
    abandoned: usize,
}

impl Handover for Line {
    type Aside = ();
    type Ticket = Mode;

    fn take_back(view: &mut View<'_, Line>, _line: usize, mode: &mut Mode) {
        view.state.abandoned += mode.share();
    }
}

impl RawRwLock {
    const_unless_loom! {
        /// A free lock.
        pub(super) const fn new() -> RawRwLock {
            RawRwLock { word: AtomicUsize::new(0), queue: WaitQueue::new(Line { abandoned: 0 }) }
        }
    }

    /// Parks the caller until it holds the lock.
    #[inline]
    pub(super) fn lock(&self, mode: Mode) {
        if !self.try_lock(mode) {
            self.lock_slow(mode);
        }
    }

    /// Takes the lock if that is possible at once and nobody waits.
    #[inline]
    pub(super) fn try_lock(&self, mode: Mode) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & WAITED == 0 && mode.fits(word) {
            let taken = word.checked_add(mode.share()).expect("fewer readers than that");
            match self
                .word
                .compare_exchange_weak(word, taken, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(present) => word = present,
            }
        }
        false
    }

    /// Gives up the lock, which the caller holds in this mode.
    #[inline]
    pub(super) fn unlock(&self, mode: Mode) {
        let word = self.word.fetch_sub(mode.share(), Ordering::Release) - mode.share();
        if word == WAITED {
            self.serve_slow();
        }
    }

    /// Lets the writer, which the caller is, be a reader from now on.
    pub(super) fn downgrade(&self) {
        let word = self.word.fetch_add(READER - WRITER, Ordering::Release);
        if word & WAITED != 0 {
            self.serve_slow();
        }
    }

    /// [`RawRwLock::lock`] when it is held otherwise, or waited for.
    #[cold]
    fn lock_slow(&self, mode: Mode) {
        for _ in 0..SPINS {
            if self.try_lock(mode) {
                return;
            }
            // Where somebody waits already, the lock will not be free for a newcomer.
            if self.word.load(Ordering::Relaxed) & WAITED != 0 {
                break;
            }
            std::hint::spin_loop();
        }
        let leaving = Leaving { lock: self };
        match self.queue.wait(0, None, "lock", |_| self.take_or_announce(mode)) {
            Waited::AtOnce(()) | Waited::Granted(_) => std::mem::forget(leaving),
            Waited::TimedOut(_) | Waited::Refused(_) => refused("RwLock::read or write"),
        }
    }

    /// Under the queue's lock: takes the lock if nobody waits, or says in the word that somebody does.
    fn take_or_announce(&self, mode: Mode) -> Result<(), Mode> {
        loop {
            if self.try_lock(mode) {
                return Ok(());
            }
            let word = self.word.load(Ordering::Relaxed);
            // Somebody waits already; or the lock is held, and will be served when it is given up.
            let announced = word | WAITED;
            if word & WAITED != 0
                || !mode.fits(word)
                    && self
                        .word
                        .compare_exchange(word, announced, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
            {
                return Err(mode);
            }
        }
    }

    /// Serves the line.
    #[cold]
    fn serve_slow(&self) {
        self.queue.with(|view| self.serve(view));
    }

    /// Under the queue's lock: invariant 2. Nobody else takes the lock meanwhile if somebody waits; readers may give it up, and the
    /// last of them comes here after this.
    fn serve(&self, view: &mut View<'_, Line>) {
        while let Some(mode) = view.first(0).copied() {
            if !mode.fits(self.word.load(Ordering::Acquire)) {
                return;
            }
            self.word.fetch_add(mode.share(), Ordering::Acquire);
            let _ = view.grant(0);
        }
        self.word.fetch_and(!WAITED, Ordering::Relaxed);
    }
}

/// The guard of a wait for the lock, for when it is unwound. Its place in line is given up by the wait's own guard first.
struct Leaving<'a> {
    /// The lock.
    lock: &'a RawRwLock,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.lock.queue.with(|view| {
            let abandoned = std::mem::take(&mut view.state.abandoned);
            self.lock.word.fetch_sub(abandoned, Ordering::Release);
            self.lock.serve(view);
        });
    }
}

#[cfg(test)]
impl RawRwLock {
    /// How many stand in line.
    pub(super) fn waiting(&self) -> usize {
        self.queue.with(|view| view.count_in(0))
    }

    /// Stands in line, or takes the lock.
    fn stand(&self, mode: Mode) -> Option<crate::sync::wait_queue::Waiting<'_, Line>> {
        let end = crate::sync::wait_queue::End::Back;
        self.queue.enter(None, 0, end, |_| self.take_or_announce(mode)).err()
    }

    /// Stands in line and is unwound there.
    fn stand_and_be_unwound(&self, mode: Mode) {
        let leaving = Leaving { lock: self };
        match self.stand(mode) {
            Some(waiting) => drop(waiting),
            None => {
                std::mem::forget(leaving);
                self.unlock(mode);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn readers_share_writers_do_not_and_nobody_gets_past_a_waiter() {
        let lock = RawRwLock::new();
        lock.lock(Mode::Read);
        assert!(lock.try_lock(Mode::Read));
        let writer = lock.stand(Mode::Write);
        assert!(writer.is_some());
        assert!(!lock.try_lock(Mode::Read), "the writer came first");
        let reader = lock.stand(Mode::Read);
        lock.unlock(Mode::Read);
        lock.unlock(Mode::Read);
        assert!(matches!(writer.unwrap().end(), (Mode::Write, true)));
        assert!(!lock.try_lock(Mode::Read) && !lock.try_lock(Mode::Write));
        lock.downgrade();
        assert!(matches!(reader.unwrap().end(), (Mode::Read, true)));
        lock.unlock(Mode::Read);
        lock.unlock(Mode::Read);
        assert_eq!(lock.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_writer_that_is_unwound_lets_the_readers_behind_it_in() {
        let lock = RawRwLock::new();
        lock.lock(Mode::Read);
        let leaving = Leaving { lock: &lock };
        let (writer, reader) = (lock.stand(Mode::Write), lock.stand(Mode::Read));
        drop(writer);
        drop(leaving);
        assert!(matches!(reader.unwrap().end(), (Mode::Read, true)));
        // One that is unwound with the lock granted gives it back.
        let leaving = Leaving { lock: &lock };
        let writer = lock.stand(Mode::Write);
        lock.unlock(Mode::Read);
        lock.unlock(Mode::Read);
        assert_eq!(lock.word.load(Ordering::Relaxed), WRITER);
        drop(writer);
        drop(leaving);
        assert_eq!(lock.word.load(Ordering::Relaxed), 0);
        lock.stand_and_be_unwound(Mode::Write);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::primitive::Arc;

    /// Threads take and give up the lock in these modes; in the end it is free and nobody waits.
    fn model(modes: &'static [Mode], killed: Option<Mode>) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let lock = Arc::new(RawRwLock::new());
            let inside = Arc::new(loom::cell::UnsafeCell::new(0));
            let mut threads: Vec<_> = modes
                .iter()
                .map(|mode| {
                    let (lock, inside) = (lock.clone(), inside.clone());
                    loom::thread::spawn(move || {
                        lock.lock(*mode);
                        // Loom fails the model if a write is concurrent with any other access.
                        match mode {
                            Mode::Read => inside.with(|_| ()),
                            Mode::Write => inside.with_mut(|_| ()),
                        }
                        lock.unlock(*mode);
                    })
                })
                .collect();
            if let Some(mode) = killed {
                let lock = lock.clone();
                threads.push(loom::thread::spawn(move || lock.stand_and_be_unwound(mode)));
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!((lock.word.load(Ordering::Relaxed), lock.waiting()), (0, 0));
        });
    }

    #[test]
    fn loom_rw_lock_excludes_writers() {
        model(&[Mode::Write, Mode::Write], None);
        model(&[Mode::Write, Mode::Read, Mode::Read], None);
    }

    #[test]
    fn loom_rw_lock_is_passed_on_by_who_is_unwound_in_line() {
        model(&[Mode::Read, Mode::Write], Some(Mode::Write));
        model(&[Mode::Write, Mode::Read], Some(Mode::Read));
    }

    #[test]
    fn loom_rw_lock_downgrade_lets_readers_in() {
        loom::model(|| {
            let lock = Arc::new(RawRwLock::new());
            let there = lock.clone();
            let reader = loom::thread::spawn(move || {
                there.lock(Mode::Read);
                there.unlock(Mode::Read);
            });
            lock.lock(Mode::Write);
            lock.downgrade();
            reader.join().unwrap();
            lock.unlock(Mode::Read);
            assert_eq!(lock.word.load(Ordering::Relaxed), 0);
        });
    }
}
