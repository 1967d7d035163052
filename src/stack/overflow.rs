//! What is said when a greenlet runs into the guard of its stack.
//!
//! The processor faults, the kernel runs the handler on the thread's alternate stack (the greenlet's has no room
//! left), and the handler asks the hub who is running. If the fault lies in that greenlet's guard, it says so and
//! aborts; any other fault goes to whoever handled faults before, std's own report of a thread's overflow included.
//!
//! In the handler nothing is allocated, locked or freed: the hub's answer is loads of thread-locals, the text goes through a
//! buffer on the stack to `write`.
#![expect(unsafe_code, reason = "reads the name of the greenlet that runs")]

use std::cell::RefCell;
use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::panic::Location;
use std::process;
use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::sys::alternate_stack::AlternateStack;
use crate::sys::fault;
use crate::sys::report::Report;

/// Who runs on a stack of ours: what the report says. Plain loads make it and plain loads read it.
#[derive(Clone, Debug)]
pub(crate) struct Occupant {
    /// The guard of the stack.
    pub(crate) guard: Range<usize>,
    /// The size of the stack.
    pub(crate) stack_size: usize,
    /// The greenlet's number.
    pub(crate) id: u64,
    /// The greenlet's name, if it has one. Not a reference: it lives as long as the greenlet, which is long enough.
    pub(crate) name: Option<NonNull<str>>,
    /// Where the greenlet was spawned.
    pub(crate) spawned_at: &'static Location<'static>,
}

/// Says who is running on the calling thread, if it is a greenlet. Called in a signal handler: it may load, no more.
/// The name it answers with must be valid for as long as the greenlet is the one that runs.
pub(crate) type Describer = fn() -> Option<Occupant>;

/// How the hub is asked.
static DESCRIBER: OnceLock<Describer> = OnceLock::new();

thread_local! {
    /// The alternate stack that this thread got from us, taken away when the thread ends.
    static ALTERNATE_STACK: RefCell<Option<AlternateStack>> = const { RefCell::new(None) };
}

/// Says how the hub is asked who is running. Only the first call counts.
pub(crate) fn set_describer(describer: Describer) {
    let _ = DESCRIBER.set(describer);
}

/// Has overflows of greenlets reported, in the whole process from now on. Later calls change nothing.
///
/// # Errors
///
/// When the system refuses a signal handler.
pub(crate) fn install() -> io::Result<()> {
    fault::watch(report_overflow)
}

/// Makes sure that the report has a stack to run on when the calling thread has none to spare.
///
/// # Errors
///
/// When there is no memory for it.
pub(crate) fn ensure_alternate_stack() -> io::Result<()> {
    let made = AlternateStack::ensure()?;
    if made.is_some() {
        // While the thread's destructors run there is no place to keep it: it goes again at once.
        let _ = ALTERNATE_STACK.try_with(|place| place.replace(made));
    }
    Ok(())
}

/// Ends the process with a report if the running greenlet's guard was hit at `address`.
fn report_overflow(address: usize) {
    let Some(occupant) = DESCRIBER.get().and_then(|describe| describe()) else {
        return;
    };
    if occupant.guard.contains(&address) {
        write_report(&mut Report::new(), &occupant);
        process::abort();
    }
}

/// Writes what is to be said. An error of the writer leaves it incomplete.
fn write_report(report: &mut impl Write, occupant: &Occupant) {
    let Occupant {
        stack_size,
        id,
        name,
        spawned_at,
        ..
    } = occupant;
    let _ = match name_of(name) {
        Some(name) => write!(report, "\ngreenlet \"{name}\" (#{id})"),
        None => write!(report, "\ngreenlet #{id}"),
    };
    let (file, line) = (spawned_at.file(), spawned_at.line());
    let _ = writeln!(
        report,
        ", spawned at {file}:{line}, has overflowed its stack of {stack_size} bytes"
    );
    let _ = writeln!(
        report,
        "give it more with `iora::Builder::stack_size`, or every greenlet with `iora::set_default_stack_size`"
    );
}

/// The name as text.
fn name_of(name: &Option<NonNull<str>>) -> Option<&str> {
    // SAFETY: the describer answers with the name of the greenlet that runs, which is stuck in the fault being reported.
    name.map(|name| unsafe { name.as_ref() })
}
