//! What a greenlet runs and how it is described: the record that the greenlet layer makes and the hub's task holds.
//!
//! ```text
//!   task ── JobRef ──▶ ┌ Job: calls, info ┐ ◀── the handle, on any thread
//!                      │ the rest is the   │
//!                      │ greenlet layer's  │
//!                      └───────────────────┘
//! ```
//!
//! Invariant: a record is there as long as a `JobRef` to it has not been given back, by [`JobRef::release`] or by the
//! greenlet layer at the end of `run`.
#![expect(unsafe_code, reason = "records of many types, of which the hub knows the head")]

use std::panic::Location;
use std::ptr::NonNull;

/// The head of a record: what the hub knows of it.
#[derive(Debug)]
pub(crate) struct Job {
    /// What can be done with it.
    pub(crate) calls: &'static Calls,
    /// Who it is.
    pub(crate) info: Info,
}

/// What is known of a greenlet for its whole life.
#[derive(Debug)]
pub(crate) struct Info {
    /// Unique in the process.
    pub(crate) id: u64,
    /// The name it was given, if any; behind a thin pointer, because few have one.
    pub(crate) name: Option<Box<Box<str>>>,
    /// Where it was spawned.
    pub(crate) spawned_at: &'static Location<'static>,
    /// Size of its stack in bytes of address space.
    pub(crate) stack_size: usize,
}

/// The greenlet layer's part. Each is called with the head of a record of its own type that is there.
#[derive(Debug)]
pub(crate) struct Calls {
    /// Runs the greenlet from start to end, on its own stack, and gives the task's hold back. Does not unwind.
    pub(crate) run: unsafe fn(NonNull<Job>),
    /// Tells whoever waits for it that it will never run (again).
    pub(crate) abandon: unsafe fn(NonNull<Job>),
    /// Gives the task's hold back: it never begins.
    pub(crate) release: unsafe fn(NonNull<Job>),
    /// Frees the record, on which nobody has a hold any more.
    pub(crate) free: unsafe fn(NonNull<Job>),
}

/// A task's hold on its record. Dropping it leaks the record.
#[must_use = "a hold that is dropped is never given back"]
pub(crate) struct JobRef(NonNull<Job>);

impl JobRef {
    /// Takes hold of a record.
    ///
    /// # Safety
    ///
    /// It is there until this hold is given back, and its `calls` are those of its type.
    #[inline]
    pub(crate) unsafe fn new(job: NonNull<Job>) -> JobRef {
        JobRef(job)
    }

    /// The record, for whoever knows that the hold is not given back meanwhile.
    #[inline]
    pub(crate) fn as_ptr(&self) -> NonNull<Job> {
        self.0
    }

    /// Its name, number and birthplace.
    pub(crate) fn info(&self) -> &Info {
        // SAFETY: the invariant; nobody changes `info`.
        &unsafe { self.0.as_ref() }.info
    }

    /// What can be done with it.
    fn calls(&self) -> &'static Calls {
        // SAFETY: the invariant; nobody changes `calls`.
        unsafe { self.0.as_ref() }.calls
    }

    /// Tells whoever waits for it that it will never run (again).
    pub(crate) fn abandon(&self) {
        // SAFETY: the record is there (the invariant) and of the type of its calls (`new`).
        unsafe { (self.calls().abandon)(self.0) };
    }

    /// Gives the hold back. The greenlet has not begun, and never will.
    pub(crate) fn release(self) {
        // SAFETY: as in `abandon`; the hold is consumed.
        unsafe { (self.calls().release)(self.0) };
    }
}

/// Runs a greenlet from start to end, on its own stack.
///
/// # Safety
///
/// The record's hold is the running task's. It is given back meanwhile.
#[inline]
pub(super) unsafe fn run(job: NonNull<Job>) {
    // SAFETY: the caller says that the record is there.
    let calls = unsafe { job.as_ref() }.calls;
    // SAFETY: it is of the type of its calls (`JobRef::new`).
    unsafe { (calls.run)(job) };
}
