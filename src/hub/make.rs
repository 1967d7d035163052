//! How a thread gets its hub, and what is prepared then: reports of crashes that name the greenlet.

use std::io;
use std::panic;
use std::sync::Once;

use once_cell::sync::OnceCell;

use super::core::Hub;
use super::current::{self, HubRef};
use super::{nested, report};
use crate::stack::overflow::{self, Occupant};
use crate::sys::{map, process};

/// Makes the calling thread's hub if it has none yet.
///
/// # Errors
///
/// When the system refuses an epoll set, one of its descriptors, or a stack for the fault handler.
#[inline]
pub(super) fn hub_or_new() -> io::Result<HubRef> {
    match current::hub() {
        Some(hub) => Ok(hub),
        None => new_hub(),
    }
}

/// Makes the calling thread's hub.
#[cold]
fn new_hub() -> io::Result<HubRef> {
    process::watch_forks();
    report_crashes()?;
    Ok(current::set_hub(Hub::new(current::remote())?))
}

/// Has overflows of stacks of ours reported: once for the process, and the calling thread's part of it.
///
/// # Errors
///
/// When the system refuses a signal handler, or a stack for it.
pub(super) fn report_overflows() -> io::Result<()> {
    static OVERFLOW: OnceCell<()> = OnceCell::new();
    // A thread that has a hub has its part.
    if current::hub().is_some() {
        return Ok(());
    }
    OVERFLOW.get_or_try_init(|| {
        overflow::set_describer(occupant);
        overflow::install()
    })?;
    overflow::ensure_alternate_stack()
}

/// Has crashes of greenlets reported with their names: once for the process, and the calling thread's part of it.
fn report_crashes() -> io::Result<()> {
    static HOOK: Once = Once::new();
    // A thread that panics (its destructor spawns) may not change the hook: the next hub will.
    if !std::thread::panicking() {
        HOOK.call_once(|| {
            let previous = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if let Some(who) = describe_current() {
                    name_culprit(&who);
                }
                previous(info);
            }));
        });
    }
    report_overflows()
}

/// Says in which greenlet the panic that is reported next happened.
#[expect(clippy::print_stderr, reason = "goes where the report of the panic goes")]
fn name_culprit(who: &str) {
    eprintln!("in {who}:");
}

/// Who occupies the stack that the calling thread runs on. Called by the fault handler: it only reads.
fn occupant() -> Option<Occupant> {
    let mark = current::stack_mark();
    let runner = current::hub().and_then(|hub| hub.runner());
    if let Some((guard, nested)) = nested::describe(mark) {
        return Some(Occupant {
            guard,
            runner,
            nested: Some(nested),
        });
    }
    let runner = runner?;
    Some(Occupant {
        guard: runner.stack_limit..runner.stack_limit + map::page_size(),
        runner: Some(runner),
        nested: None,
    })
}

/// Describes the greenlet that runs now, if one does.
fn describe_current() -> Option<String> {
    let hub = current::hub()?;
    let key = hub.running.get()?;
    let tasks = hub.tasks.try_borrow().ok()?;
    let job = tasks.get(key)?.job.as_ref()?;
    Some(report::describe(job.info(), &"running"))
}
