//! The first look at memory faults (SIGSEGV and SIGBUS), before whoever handled them so far.
//!
//! [`watch`] puts one handler in front of those that were there, for the whole process and for ever. A fault that the
//! watcher returns from goes on to them as if nothing had been between:
//!
//! * a handler is called with the signal's own arguments; its mask and its flags are ours;
//! * the default action is put back, and the instruction faults again on return (a signal that was *sent* does not
//!   come again by itself: it is raised once more);
//! * "ignore" counts only for a signal that was sent: the kernel never ignores a fault, so it ends the process.
#![expect(unsafe_code, reason = "signal handlers")]

use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::errno;

/// Looks at a fault at an address: in a signal handler, so only what is async-signal-safe may happen there.
pub(crate) type Watcher = fn(address: usize);

/// A handler with one argument.
type PlainHandler = extern "C" fn(libc::c_int);

/// A handler with three arguments (`SA_SIGINFO`).
type FullHandler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// One watched signal.
struct Watched {
    /// Which one.
    signal: libc::c_int,
    /// What was done about it before. Null until [`watch`], set before our handler is in force, never freed.
    previous: AtomicPtr<libc::sigaction>,
}

/// The two signals by which the system reports a bad access.
static WATCHED: [Watched; 2] = [
    Watched {
        signal: libc::SIGSEGV,
        previous: AtomicPtr::new(ptr::null_mut()),
    },
    Watched {
        signal: libc::SIGBUS,
        previous: AtomicPtr::new(ptr::null_mut()),
    },
];

/// The watcher, as a pointer to the function; null until [`watch`].
static WATCHER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Shows every memory fault of the process to `watcher` first. Later calls change nothing.
///
/// # Errors
///
/// When the system refuses a handler.
pub(crate) fn watch(watcher: Watcher) -> io::Result<()> {
    /// One thread at a time. True when a former call has done it all.
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = DONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *done {
        return Ok(());
    }
    WATCHER.store(watcher as *mut (), Ordering::Release);
    for watched in &WATCHED {
        if watched.previous.load(Ordering::Acquire).is_null() {
            let previous = action(watched.signal, None)?;
            let mut ours = previous;
            let handler: FullHandler = handle;
            ours.sa_sigaction = handler as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            ours.sa_flags |= previous.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART);
            // A fault on another thread may find our handler at any moment: it must then find this.
            let kept = Box::into_raw(Box::new(previous));
            watched.previous.store(kept, Ordering::Release);
            action(watched.signal, Some(&ours))?;
        }
    }
    *done = true;
    Ok(())
}

/// What is done about `signal`; changes it when there is something `new`.
fn action(signal: libc::c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::uninit();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a whole action whose handler is `handle` below or none, both of which may run at any
    // time; `old` is valid for writing.
    let result = unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a successful call has filled it.
    Ok(unsafe { old.assume_init() })
}

/// The handler: shows the fault to the watcher, then passes it on.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let _errno = errno::Saved::new();
    // SAFETY: the kernel passes a valid description to a handler that was set with SA_SIGINFO.
    let description = unsafe { &*info };
    let sent = description.si_code <= 0;
    let watcher = WATCHER.load(Ordering::Acquire);
    if !sent && !watcher.is_null() {
        // SAFETY: only `watch` stores there, and only a `Watcher`.
        let watcher = unsafe { mem::transmute::<*mut (), Watcher>(watcher) };
        // SAFETY: both signals carry an address when the kernel raised them.
        let address = unsafe { description.si_addr() };
        watcher(address.addr());
    }
    pass_on(signal, info, context, sent);
}

/// Does what would have been done without us.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, sent: bool) {
    let Some(watched) = WATCHED.iter().find(|watched| watched.signal == signal) else {
        return;
    };
    let previous = watched.previous.load(Ordering::Acquire);
    // SAFETY: it was set before the handler was in force and is never freed or changed.
    let Some(previous) = (unsafe { previous.as_ref() }) else {
        return;
    };
    match previous.sa_sigaction {
        libc::SIG_IGN if sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            restore_default(signal);
            if sent {
                // Blocked while this handler runs, so it arrives when it returns.
                // SAFETY: `raise` may be called from a handler and takes any signal.
                unsafe { libc::raise(signal) };
            }
        }
        handler => {
            if previous.sa_flags & libc::SA_RESETHAND != 0 {
                restore_default(signal);
            }
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: with SA_SIGINFO, what is neither default nor ignore is a handler of three arguments.
                let handler = unsafe { mem::transmute::<usize, FullHandler>(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: without SA_SIGINFO, what is neither default nor ignore is a handler of one argument.
                let handler = unsafe { mem::transmute::<usize, PlainHandler>(handler) };
                handler(signal);
            }
        }
    }
}

/// Makes the default action, which ends the process, the one for `signal`.
fn restore_default(signal: libc::c_int) {
    // SAFETY: an action of zeroes is the default action with an empty mask and no flags.
    let default = unsafe { mem::zeroed::<libc::sigaction>() };
    let _ = action(signal, Some(&default));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Output;

    use super::*;
    use crate::sys::child;
    use crate::sys::guard;
    use crate::sys::map::{Mapping, page_size};

    /// The exit code by which a handler of these tests shows that it ran as it should.
    const HANDLED: i32 = 42;

    /// A watcher that has nothing to say.
    fn silent(_: usize) {}

    /// Ends the process with [`HANDLED`], from a handler.
    fn handled() -> ! {
        // SAFETY: `_exit` may be called at any time.
        unsafe { libc::_exit(HANDLED) }
    }

    extern "C" fn plain(signal: libc::c_int) {
        assert_eq!(signal, libc::SIGSEGV);
        handled();
    }

    extern "C" fn full(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        assert_eq!(signal, libc::SIGSEGV);
        assert!(!context.is_null());
        // SAFETY: the kernel's description is valid in a handler.
        let info = unsafe { &*info };
        assert!(info.si_code > 0);
        handled();
    }

    /// Sets the handler that is there before `watch`, in a child.
    fn before(handler: usize, flags: libc::c_int) {
        // SAFETY: zeroes are a valid action.
        let mut new = unsafe { mem::zeroed::<libc::sigaction>() };
        new.sa_sigaction = handler;
        new.sa_flags = flags;
        action(libc::SIGSEGV, Some(&new)).unwrap();
    }

    /// Touches a guard.
    fn fault() {
        let mapping = Mapping::new(page_size()).unwrap();
        // SAFETY: the page is the mapping's and nothing is in it.
        unsafe { guard::install(mapping.range()) }.unwrap();
        // SAFETY: the page is mapped; that the access is refused is the point.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(mapping.range().start).write_volatile(1) };
    }

    /// Sends SIGSEGV to the calling thread.
    fn send() {
        // SAFETY: `raise` takes any signal.
        unsafe { libc::raise(libc::SIGSEGV) };
    }

    /// Runs `body` in a child, as the test `name`, and gives the parent what came of it.
    fn in_child(name: &str, body: fn()) -> Option<Output> {
        if child::is_this(module_path!(), name) {
            body();
            return None;
        }
        Some(child::run(module_path!(), name, "", &[]))
    }

    #[test]
    fn a_plain_handler_that_was_there_gets_the_fault() {
        let output = in_child("a_plain_handler_that_was_there_gets_the_fault", || {
            let handler: PlainHandler = plain;
            before(handler as usize, 0);
            watch(silent).unwrap();
            fault();
        });
        if let Some(output) = output {
            assert_eq!(output.status.code(), Some(HANDLED), "{output:?}");
        }
    }

    #[test]
    fn a_full_handler_that_was_there_gets_the_fault_with_all_arguments() {
        let output = in_child(
            "a_full_handler_that_was_there_gets_the_fault_with_all_arguments",
            || {
                let handler: FullHandler = full;
                before(handler as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
                watch(silent).unwrap();
                fault();
            },
        );
        if let Some(output) = output {
            assert_eq!(output.status.code(), Some(HANDLED), "{output:?}");
        }
    }

    #[test]
    fn the_watcher_is_shown_the_address_first() {
        let output = in_child("the_watcher_is_shown_the_address_first", || {
            watch(|address| {
                if address == 8 {
                    handled();
                }
            })
            .unwrap();
            // SAFETY: nothing is mapped there; that the access is refused is the point.
            unsafe { ptr::without_provenance_mut::<u64>(8).write_volatile(1) };
        });
        if let Some(output) = output {
            assert_eq!(output.status.code(), Some(HANDLED), "{output:?}");
        }
    }

    #[test]
    fn the_default_action_still_ends_the_process_by_a_fault() {
        let output = in_child("the_default_action_still_ends_the_process_by_a_fault", || {
            before(libc::SIG_DFL, 0);
            watch(silent).unwrap();
            fault();
        });
        if let Some(output) = output {
            assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
        }
    }

    #[test]
    fn the_default_action_still_ends_the_process_by_a_signal_sent() {
        let output = in_child("the_default_action_still_ends_the_process_by_a_signal_sent", || {
            before(libc::SIG_DFL, 0);
            watch(silent).unwrap();
            send();
        });
        if let Some(output) = output {
            assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
        }
    }

    #[test]
    fn an_ignored_signal_stays_ignored_when_sent_but_not_when_it_is_a_fault() {
        let name = "an_ignored_signal_stays_ignored_when_sent_but_not_when_it_is_a_fault";
        let output = in_child(name, || {
            before(libc::SIG_IGN, 0);
            watch(silent).unwrap();
            send();
            io::Write::write_all(&mut io::stderr(), b"survived").unwrap();
            fault();
        });
        if let Some(output) = output {
            assert!(child::errors(&output).contains("survived"), "{output:?}");
            assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
        }
    }
}
