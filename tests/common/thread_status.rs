//! Knowing that a thread is stopped in the kernel, without sleeping.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// What the kernel tells of a thread of this process.
#[derive(Clone)]
pub(crate) struct ThreadStatus(PathBuf);

impl ThreadStatus {
    /// Of the calling thread.
    pub(crate) fn of_current() -> ThreadStatus {
        let directory = fs::read_link("/proc/thread-self").expect("a thread has a directory");
        ThreadStatus(Path::new("/proc").join(directory).join("status"))
    }

    /// One of its lines, without the name.
    fn line(&self, name: &str) -> String {
        let text = fs::read_to_string(&self.0).expect("the thread runs");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().to_owned()
    }

    /// Whether it waits in the kernel.
    pub(crate) fn is_asleep(&self) -> bool {
        self.line("State:").starts_with('S')
    }

    /// How often it has gone to sleep there.
    fn sleeps(&self) -> u64 {
        self.line("voluntary_ctxt_switches:").parse().expect("a number")
    }

    /// Returns once it waits in the kernel.
    pub(crate) fn until_asleep(&self) {
        while !self.is_asleep() {
            thread::yield_now();
        }
    }

    /// Returns once it waits in the kernel and has woken up and gone to sleep again so many times.
    pub(crate) fn until_asleep_again(&self, times: u64) {
        self.until_asleep();
        let before = self.sleeps();
        while self.sleeps() < before + times {
            thread::yield_now();
        }
    }
}
