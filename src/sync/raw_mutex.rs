//! The lock itself, without what it protects.
//!
//! One word: who owns it, and whether somebody waits.
//!
//! | word | means | changed by |
//! | --- | --- | --- |
//! | 0 | free, nobody waits | any thread: lock, by one exchange |
//! | `token` | owned by the thread of this token | the owner: unlock, by one exchange |
//! | `token + WAITED` | owned, somebody waits | the owner: unlock, under the queue's lock |
//! | `WAITED` | free, and one of those who wait has been woken to try | any thread: lock, by one exchange |
//!
//! 1. `WAITED` is set, under the queue's lock, before anybody stands in line, and cleared only under it when nobody does.
//! 2. *Barging, but bounded*: an unlock frees the word and wakes the first in line to try; a thread that is running already may
//!    be faster, which is what makes short sections cheap. A waiter that lost once stands *first* in line and is *urgent*:
//!    the next unlock gives the lock to it without freeing the word. So a waiter is overtaken during one wake-up only.
//! 3. A token is an address of a thread-local: never 0, low bits clear, and two threads that live have two.
//!    It serves to tell whether the owner is on this thread: then spinning or blocking the thread would be in vain.
//! 4. A waiter that is unwound passes on what it had been given: see [`Leaving`].

#[cfg(test)]
use super::wait_queue::Waiting;
use super::wait_queue::{End, Handover, Manner, View, WaitQueue, Waited, refused};
use crate::primitive::{
    atomic::{AtomicUsize, Ordering},
    const_unless_loom,
};

/// Somebody waits: invariant 1.
const WAITED: usize = 1;

/// How often the word is looked at, if another thread owns it, before standing in line: each time after twice as many pauses.
/// Every look takes the cache line from the owner, which needs it to unlock.
const SPINS: u32 = if cfg!(loom) { 0 } else { 6 };

/// How often after that the thread gives up its time slice first: the owner may have lost its own, and to be woken out of
/// a line costs more than these.
const YIELDS: u32 = if cfg!(loom) { 0 } else { 4 };

/// A lock that parks.
///
/// The word comes last, next to what the lock protects: whoever takes the lock wants both, from one cache line.
#[repr(C)]
pub(crate) struct RawMutex {
    /// Who waits.
    queue: WaitQueue<Line>,
    /// See the table at the top.
    word: AtomicUsize,
}

/// What the queue's lock protects beside the line.
struct Line {
    /// The lock had been given to a waiter that was then unwound: nobody runs who would unlock it. See [`Leaving`].
    abandoned: bool,
}

/// A waiter.
struct Ticket {
    /// The token of its thread.
    token: usize,
    /// It lost once, or must not lose: the lock is given to it rather than freed. See invariant 2.
    urgent: bool,
    /// Set with the grant: the lock is its own.
    owns: bool,
}

impl Handover for Line {
    type Aside = ();
    type Ticket = Ticket;

    fn take_back(view: &mut View<'_, Line>, _line: usize, ticket: &mut Ticket) {
        view.state.abandoned |= ticket.owns;
    }
}

impl RawMutex {
    const_unless_loom! {
        /// A free lock.
        pub(crate) const fn new() -> RawMutex {
            RawMutex { queue: WaitQueue::new(Line { abandoned: false }), word: AtomicUsize::new(0) }
        }
    }

    /// Parks the caller until the lock is its own.
    #[inline]
    pub(crate) fn lock(&self) {
        let token = token();
        if self
            .word
            .compare_exchange(0, token, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slow(token);
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.try_take(token())
    }

    /// Frees the lock. Only the thread that took it may call this: the word is compared with its token.
    #[inline]
    pub(crate) fn unlock(&self) {
        if self
            .word
            .compare_exchange(token(), 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.unlock_slow();
        }
    }

    /// Takes the lock if it is free, past whoever waits.
    #[inline]
    fn try_take(&self, token: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & !WAITED == 0 {
            match self
                .word
                .compare_exchange_weak(word, token | word, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(present) => word = present,
            }
        }
        false
    }

    /// [`RawMutex::lock`] when the lock is not free, or is waited for.
    #[cold]
    fn lock_slow(&self, token: usize) {
        if self.spin(token) {
            return;
        }
        let leaving = Leaving { mutex: self };
        let mut urgent = false;
        loop {
            let ticket = Ticket {
                token,
                urgent,
                owns: false,
            };
            match self.wait_in_line(ticket, false) {
                Waited::AtOnce(()) => break,
                Waited::Granted(ticket) if ticket.owns => break,
                Waited::Granted(_) if self.spin(token) => break,
                Waited::Granted(_) | Waited::TimedOut(_) => urgent = true,
                Waited::Refused(_) => {
                    self.lock_blocking(token);
                    break;
                }
            }
        }
        std::mem::forget(leaving);
    }

    /// Tries for a short while, as long as the owner runs on another thread.
    fn spin(&self, token: usize) -> bool {
        for round in 0..SPINS + YIELDS {
            if self.try_take(token) {
                return true;
            }
            if self.word.load(Ordering::Relaxed) & !WAITED == token {
                return false;
            }
            if round < SPINS {
                (0..1 << round).for_each(|_| std::hint::spin_loop());
            } else {
                std::thread::yield_now();
            }
        }
        self.try_take(token)
    }

    /// Waits in line, at its head if urgent, unless the lock is free by now.
    fn wait_in_line(&self, ticket: Ticket, blocking: bool) -> Waited<(), Ticket> {
        let manner = Manner {
            end: if ticket.urgent { End::Front } else { End::Back },
            deadline: None,
            blocking,
        };
        self.queue
            .wait_so(manner, 0, "lock", |_| self.take_or_stand(ticket), || ())
    }

    /// Under the queue's lock: takes the lock or brings the ticket into line.
    fn take_or_stand(&self, ticket: Ticket) -> Result<(), Ticket> {
        if self.take_or_announce(ticket.token) {
            Ok(())
        } else {
            Err(ticket)
        }
    }

    /// Under the queue's lock: takes the lock, or says in the word that somebody waits.
    fn take_or_announce(&self, token: usize) -> bool {
        while !self.try_take(token) {
            let word = self.word.load(Ordering::Relaxed);
            let announced = word | WAITED;
            if word & !WAITED != 0
                && self
                    .word
                    .compare_exchange(word, announced, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                return false;
            }
        }
        true
    }

    /// Waits without switching, because the greenlet is unwinding: right if the owner is on another thread and will unlock.
    /// Those of this thread cannot run meanwhile, so the wait is at the head of the line.
    fn lock_blocking(&self, token: usize) {
        if self.word.load(Ordering::Relaxed) & !WAITED == token {
            refused("Mutex::lock, for which a greenlet of the same thread would have to unlock,");
        }
        let ticket = Ticket {
            token,
            urgent: true,
            owns: false,
        };
        // Without a deadline it ends by a grant, and what is granted to an urgent waiter is the lock.
        let _ = self.wait_in_line(ticket, true);
    }

    /// [`RawMutex::unlock`] when somebody waits.
    #[cold]
    fn unlock_slow(&self) {
        self.queue.with(|view| self.hand_on(view));
    }

    /// Under the queue's lock, for the owner: gives the lock to the first in line, or frees it and wakes that one to try.
    fn hand_on(&self, view: &mut View<'_, Line>) {
        let given = match view.grant(0) {
            Some(ticket) if ticket.urgent => {
                ticket.owns = true;
                ticket.token
            }
            _ => 0,
        };
        // Nobody else writes the word now: it is owned, and `WAITED` is set under this lock only.
        let waited = if view.nobody_in(0) { 0 } else { WAITED };
        self.word.store(given | waited, Ordering::Release);
    }
}

/// The guard of a wait for the lock, for when it is unwound: what the waiter had been given goes to the next one.
///
/// Its place in line is given up by the wait's own guard first. If the lock had been given to it, it is handed on; if it had been
/// woken to try and the lock is free still, the next one is woken instead.
struct Leaving<'a> {
    /// The lock.
    mutex: &'a RawMutex,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.mutex.queue.with(|view| {
            if std::mem::take(&mut view.state.abandoned) {
                self.mutex.hand_on(view);
            } else if self.mutex.try_take(token()) {
                // It was free, and the next one may have nobody else to wake it.
                self.mutex.hand_on(view);
            }
        });
    }
}

/// The calling thread's token: invariant 3.
#[cfg(not(loom))]
#[inline]
fn token() -> usize {
    #[repr(align(8))]
    struct Anchor(#[expect(dead_code, reason = "only its address is used")] u8);
    thread_local! { static ANCHOR: Anchor = const { Anchor(0) }; }
    ANCHOR.with(|anchor| std::ptr::from_ref(anchor).addr())
}

/// Loom's threads share one thread of the system: they are told apart by nothing, which no transition depends on.
#[cfg(loom)]
fn token() -> usize {
    8
}

#[cfg(test)]
impl RawMutex {
    /// Whether anybody stands in line.
    pub(super) fn is_waited_for(&self) -> bool {
        self.queue.with(|view| !view.nobody_in(0))
    }

    /// Stands in line without parking.
    fn stand(&self, urgent: bool) -> Result<(), Waiting<'_, Line>> {
        let end = if urgent { End::Front } else { End::Back };
        let ticket = Ticket {
            token: token(),
            urgent,
            owns: false,
        };
        self.queue.enter(None, 0, end, |_| self.take_or_stand(ticket))
    }

    /// Stands in line (both kinds of waiter in turn) and is unwound there.
    #[cfg(loom)]
    pub(super) fn wait_and_be_unwound(&self) {
        for urgent in [false, true] {
            let leaving = Leaving { mutex: self };
            match self.stand(urgent) {
                Ok(()) => {
                    std::mem::forget(leaving);
                    self.unlock();
                }
                Err(waiting) => {
                    drop(waiting);
                    drop(leaving);
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::rc::Rc;

    /// A waiter that stands in line but never parks.
    fn stand(mutex: &RawMutex, urgent: bool) -> (Leaving<'_>, Option<Waiting<'_, Line>>) {
        (Leaving { mutex }, mutex.stand(urgent).err())
    }

    /// Ends the wait of a waiter that was granted the lock itself.
    fn owns((leaving, waiting): (Leaving<'_>, Option<Waiting<'_, Line>>)) -> bool {
        std::mem::forget(leaving);
        let now = Some(std::time::Instant::now());
        matches!(waiting.unwrap().park::<()>(now, "lock"), Waited::Granted(ticket) if ticket.owns)
    }

    #[test]
    fn a_waiter_that_lost_once_is_given_the_lock_before_all_others() {
        let mutex = RawMutex::new();
        mutex.lock();
        let patient = stand(&mutex, false);
        let urgent = stand(&mutex, true);
        mutex.unlock();
        assert!(!mutex.try_lock(), "it belongs to the urgent one");
        assert!(owns(urgent));
        mutex.unlock();
        assert!(
            mutex.try_lock(),
            "the patient one has been woken, but a running thread may be faster"
        );
        drop(patient);
        mutex.unlock();
        assert_eq!(mutex.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_was_overtaken_once_is_not_overtaken_again() {
        let mutex = Rc::new(RawMutex::new());
        mutex.lock();
        let there = mutex.clone();
        let waiter = crate::spawn(move || {
            there.lock();
            there.unlock();
        });
        crate::yield_now();
        mutex.unlock();
        assert!(mutex.try_lock(), "it has been woken and does not run yet");
        crate::yield_now();
        mutex.unlock();
        assert!(!mutex.try_lock(), "it has been given the lock");
        waiter.get().unwrap();
        assert_eq!(mutex.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_unwinds_does_not_wait_for_an_owner_on_the_same_thread() {
        /// Locks when dropped, and says whether that was refused.
        struct Locks(Rc<RawMutex>, Rc<Cell<bool>>);
        impl Drop for Locks {
            fn drop(&mut self) {
                let locked = catch_unwind(AssertUnwindSafe(|| self.0.lock()));
                self.1.set(locked.is_err());
            }
        }
        let (mutex, refused) = (Rc::new(RawMutex::new()), Rc::new(Cell::new(false)));
        mutex.lock();
        let locks = Locks(mutex.clone(), refused.clone());
        let unwinding = crate::spawn(move || {
            let _locks = locks;
            resume_unwind(Box::new(()));
        });
        unwinding.join();
        assert!(refused.get());
        assert!(!mutex.is_waited_for());
        mutex.unlock();
        assert_eq!(mutex.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_is_unwound_passes_the_lock_on() {
        let mutex = RawMutex::new();
        mutex.lock();
        let (killed, heir) = (stand(&mutex, true), stand(&mutex, false));
        mutex.unlock();
        let (leaving, waiting) = killed;
        drop(waiting);
        drop(leaving); // owned the lock, so `heir` is woken to try
        assert!(!mutex.is_waited_for());
        drop(heir.1);
        drop(heir.0); // nobody left
        assert!(mutex.try_lock());
        mutex.unlock();
        assert_eq!(mutex.word.load(Ordering::Relaxed), 0);
    }
}
