//! With std's names, in threads.

/// Child processes.
pub(super) mod process {
    pub(crate) use std::process::Child;
    use std::process::Command;

    pub(crate) fn start(command: &mut Command) -> std::io::Result<Child> {
        command.spawn()
    }
}

pub(super) use std::net;
pub(super) use std::os::unix::net as unix;
pub(super) use std::sync;

/// Runs `f` beside the caller; what is returned waits for its result.
pub(super) fn beside<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> impl FnOnce() -> T {
    let thread = std::thread::spawn(f);
    || thread.join().expect("did not panic")
}

#[path = "child.rs"]
mod child;
#[path = "internet.rs"]
mod internet;
#[path = "locks.rs"]
mod locks;
#[path = "machine.rs"]
mod machine;
