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
    let mut done = DONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
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
    let code = unsafe { (*info).si_code };
    let sent = code <= 0;
    let watcher = WATCHER.load(Ordering::Acquire);
    if !sent && !watcher.is_null() {
        // SAFETY: only `watch` stores there, and only a `Watcher`.
        let watcher = unsafe { mem::transmute::<*mut (), Watcher>(watcher) };
        // SAFETY: both signals carry an address when the kernel raised them.
        let address = unsafe { (*info).si_addr() };
        watcher(address.addr());
    }
    pass_on(signal, info, context, sent);
}

/// Does what would have been done without us.
fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    sent: bool,
) {
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
                // SAFETY: an action with SA_SIGINFO that is neither default nor ignore holds a handler of three arguments.
                let handler = unsafe { mem::transmute::<usize, FullHandler>(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: an action without SA_SIGINFO that is neither default nor ignore holds a handler of one argument.
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
