//! What is said when a greenlet runs into the guard of its stack.
//!
//! The processor faults, the kernel runs the handler on the thread's alternate stack (the greenlet's has no room
//! left), and the handler asks the hub who is running. If the fault lies in that greenlet's guard, it says so and
//! aborts; any other fault goes to whoever handled faults before, std's own report of a thread's overflow included.
//!
//! In the handler nothing is allocated, locked or freed: the hub's answer is loads of thread-locals, the text goes
//! through a buffer on the stack to `write`.
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
    /// The greenlet that runs, if one does.
    pub(crate) runner: Option<Runner>,
    /// What is on top of it, or of the thread, if the stack is not its own.
    pub(crate) nested: Option<Nested>,
}

/// What has a stack on top of whoever runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nested {
    /// In a word or two.
    pub(crate) what: &'static str,
    /// Where it was made.
    pub(crate) made_at: &'static Location<'static>,
    /// The size of its stack.
    pub(crate) size: usize,
}

/// A greenlet.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    /// Where the guard of its own stack begins.
    pub(crate) stack_limit: usize,
    /// The size of its own stack.
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
    let Occupant { runner, nested, .. } = occupant;
    let own = runner.as_ref().map_or(0, |runner| runner.stack_size);
    let size = nested.map_or(own, |nested| nested.size);
    let _ = writeln!(report);
    if let Some(Nested { what, made_at, .. }) = nested {
        let _ = write!(report, "{what}, made at {}:{}", made_at.file(), made_at.line());
    }
    if let Some(Runner {
        id, name, spawned_at, ..
    }) = runner
    {
        let on_top = if nested.is_some() { ", on top of " } else { "" };
        let _ = match name_of(name) {
            Some(name) => write!(report, "{on_top}greenlet \"{name}\" (#{id})"),
            None => write!(report, "{on_top}greenlet #{id}"),
        };
        let _ = write!(report, ", spawned at {}:{}", spawned_at.file(), spawned_at.line());
    }
    let _ = writeln!(report, ", has overflowed its stack of {size} bytes");
    let _ = match nested {
        Some(_) => writeln!(report, "give every new one more with `iora::set_default_stack_size`"),
        None => writeln!(
            report,
            "give it more with `iora::Builder::stack_size`, or every greenlet with `iora::set_default_stack_size`"
        ),
    };
}

/// The name as text.
fn name_of(name: &Option<NonNull<str>>) -> Option<&str> {
    // SAFETY: the describer answers with the name of the greenlet that runs, which is stuck in the very fault.
    name.map(|name| unsafe { name.as_ref() })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hint::black_box;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Output;

    use super::*;
    use crate::stack::reserve;
    use crate::sys::{alternate_stack, child};

    /// SIGABRT.
    const ABORTED: Option<i32> = Some(6);

    /// SIGSEGV.
    const FAULTED: Option<i32> = Some(11);

    thread_local! {
        /// Where the guard of the running test coroutine begins, or zero outside of one.
        static RUNNING: Cell<usize> = const { Cell::new(0) };
    }

    /// Describes the coroutine of [`overflow`].
    fn describe() -> Option<Occupant> {
        let guard = RUNNING.get();
        let runner = || Runner {
            stack_limit: 0,
            stack_size: 65536,
            id: 7,
            name: Some(NonNull::from("greedy")),
            spawned_at: Location::caller(),
        };
        (guard != 0).then(|| Occupant {
            guard: guard..guard + 4096,
            runner: Some(runner()),
            nested: None,
        })
    }

    /// Uses stack without end.
    #[expect(unconditional_recursion, reason = "that is the fault to be reported")]
    fn recurse(depth: usize) -> usize {
        let frame = black_box([depth; 64]);
        recurse(depth + 1) + frame[0]
    }

    /// Runs `body` in a coroutine on a stack of ours.
    fn on_a_stack(body: fn()) {
        let stack = reserve(65536).unwrap().claim().unwrap();
        RUNNING.set(stack.guard().start);
        let mut coroutine = corosensei::Coroutine::with_stack(stack, move |_: &corosensei::Yielder<(), ()>, ()| {
            body();
        });
        coroutine.resume(());
        RUNNING.set(0);
    }

    /// Gets all ready for a report.
    fn prepare() {
        install().unwrap();
        ensure_alternate_stack().unwrap();
        set_describer(describe);
    }

    /// Runs `body` in a child, as the test `name`, and gives the parent what came of it.
    fn in_child(name: &str, environment: &[(&str, &str)], body: fn()) -> Option<Output> {
        if child::is_this(module_path!(), name) {
            body();
            return None;
        }
        Some(child::run(module_path!(), name, "", environment))
    }

    /// Checks that a child reported the overflow of [`describe`]'s greenlet and aborted.
    fn assert_reported(output: &Output) {
        let errors = child::errors(output);
        assert_eq!(output.status.signal(), ABORTED, "{output:?}");
        for part in ["\"greedy\"", "#7", file!(), "65536 bytes", "iora::Builder::stack_size"] {
            assert!(errors.contains(part), "{part:?} is missing: {errors}");
        }
    }

    #[test]
    fn an_overflow_is_reported_by_name_and_aborts() {
        let name = "an_overflow_is_reported_by_name_and_aborts";
        for environment in [&[][..], &[("IORA_STACK_GUARD", "mprotect")]] {
            let output = in_child(name, environment, || {
                prepare();
                on_a_stack(|| {
                    recurse(0);
                });
            });
            match output {
                Some(output) => assert_reported(&output),
                None => return,
            }
        }
    }

    #[test]
    fn a_thread_without_an_alternate_stack_reports_too() {
        let name = "a_thread_without_an_alternate_stack_reports_too";
        let output = in_child(name, &[], || {
            alternate_stack::remove();
            prepare();
            on_a_stack(|| {
                recurse(0);
            });
        });
        if let Some(output) = output {
            assert_reported(&output);
        }
    }

    #[test]
    fn another_fault_of_a_greenlet_is_not_called_an_overflow() {
        let name = "another_fault_of_a_greenlet_is_not_called_an_overflow";
        let output = in_child(name, &[], || {
            prepare();
            on_a_stack(|| {
                // SAFETY: nothing is mapped there; that the access is refused is the point.
                unsafe { std::ptr::without_provenance_mut::<u64>(8).write_volatile(1) };
            });
        });
        if let Some(output) = output {
            assert_eq!(output.status.signal(), FAULTED, "{output:?}");
            assert!(!child::errors(&output).contains("greenlet #"), "{output:?}");
        }
    }

    #[test]
    fn the_overflow_of_a_thread_is_still_reported_by_std() {
        let name = "the_overflow_of_a_thread_is_still_reported_by_std";
        let output = in_child(name, &[], || {
            prepare();
            let builder = std::thread::Builder::new().name("deep-diver".into());
            let _ = builder.spawn(|| recurse(0)).unwrap().join();
        });
        if let Some(output) = output {
            assert_eq!(output.status.signal(), ABORTED, "{output:?}");
            let errors = child::errors(&output);
            assert!(errors.contains("deep-diver") && errors.contains("overflow"), "{errors}");
            assert!(!errors.contains("greenlet"), "{errors}");
        }
    }

    #[test]
    fn a_greenlet_without_a_name_is_reported_by_its_number() {
        RUNNING.set(4096);
        let mut occupant = describe().unwrap();
        RUNNING.set(0);
        occupant.runner.as_mut().unwrap().name = None;
        let mut text = String::new();
        write_report(&mut text, &occupant);
        assert!(text.contains("greenlet #7, spawned at "), "{text}");
    }
}
