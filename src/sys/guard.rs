//! Guard pages: whoever touches one dies by SIGSEGV.
//!
//! Two kinds, one choice for the process, made at the first guard:
//!
//! * *light*: `MADV_GUARD_INSTALL` (Linux 6.13 and newer) marks the page-table entry. It makes no further mapping, so
//!   the number of guards is bounded by memory alone.
//! * *split*: `mprotect` works on every kernel, but cuts the mapping in two: with the default `vm.max_map_count` of
//!   65,530 a process has about 32,700 of them, and the next one is an error.
//!
//! Both stay when the memory around them (or even they themselves) is discarded. With `IORA_STACK_GUARD=mprotect` in
//! the environment the split kind is used even where the light one works: that is how the fallback is tested.
#![expect(unsafe_code, reason = "guards are set by system calls")]

use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use super::map::{Mapping, page_size};

/// The advice that makes a page a guard; the libc crate does not have it yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Forces the split kind when it is `mprotect`.
const VARIABLE: &str = "IORA_STACK_GUARD";

/// How guards are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// By a mark in the page table.
    Light = 1,
    /// By a mapping of its own without any access right.
    Split = 2,
}

/// The kind that this process uses.
pub(crate) fn kind() -> Kind {
    /// The choice as a number, or zero before it was made. Two threads may both make it: they agree.
    static KIND: AtomicU8 = AtomicU8::new(0);
    match KIND.load(Ordering::Relaxed) {
        1 => Kind::Light,
        2 => Kind::Split,
        _ => {
            let chosen = choose();
            KIND.store(chosen as u8, Ordering::Relaxed);
            chosen
        }
    }
}

/// Makes the choice: what the environment demands, else what works.
#[cold]
fn choose() -> Kind {
    if std::env::var_os(VARIABLE).is_some_and(|value| value == "mprotect") {
        return Kind::Split;
    }
    let Ok(probe) = Mapping::new(page_size()) else {
        return Kind::Split;
    };
    // SAFETY: the page is the probe's own, and nothing is in it.
    let installed = unsafe { install_light(probe.range()) };
    if installed.is_ok() { Kind::Light } else { Kind::Split }
}

/// Makes `range` a guard.
///
/// # Errors
///
/// When memory for the page table or, with the split kind, the number of mappings is used up.
///
/// # Safety
///
/// `range` is whole pages of a live [`Mapping`], and nobody needs what they hold.
pub(crate) unsafe fn install(range: Range<usize>) -> io::Result<()> {
    if kind() == Kind::Light {
        // SAFETY: the caller's promise is the same.
        let installed = unsafe { install_light(range.clone()) };
        match installed {
            // Memory locked by `mlockall` takes no light guard before Linux 6.15.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            other => return other,
        }
    }
    let start = ptr::without_provenance_mut(range.start);
    // SAFETY: the caller owns the pages and nobody uses what they hold.
    let result = unsafe { libc::mprotect(start, range.end - range.start, libc::PROT_NONE) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Marks `range` in the page table.
///
/// # Safety
///
/// As [`install`].
unsafe fn install_light(range: Range<usize>) -> io::Result<()> {
    let start = ptr::without_provenance_mut(range.start);
    // SAFETY: the caller owns the pages and nobody uses what they hold.
    let result = unsafe { libc::madvise(start, range.end - range.start, MADV_GUARD_INSTALL) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::sys::{child, map};

    /// Runs the test `name` with both kinds of guard: it must die by SIGSEGV after having said "so far".
    fn dies_at_the_guard(name: &str) {
        for environment in [&[][..], &[(VARIABLE, "mprotect")]] {
            let output = child::run(module_path!(), name, "", environment);
            assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
            assert!(child::errors(&output).contains("so far"), "{output:?}");
        }
    }

    /// Writes to `address`.
    fn write(address: usize) {
        // SAFETY: the tests pass addresses inside their mapping, or of its guard, where the process is to die.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
    }

    /// Says in a child that it lives.
    fn so_far() {
        use std::io::Write;
        io::stderr().write_all(b"so far\n").unwrap();
    }

    #[test]
    fn a_guard_ends_whoever_touches_it_and_nobody_else() {
        let name = "a_guard_ends_whoever_touches_it_and_nobody_else";
        if !child::is_this(module_path!(), name) {
            return dies_at_the_guard(name);
        }
        let page = page_size();
        let mapping = Mapping::new(3 * page).unwrap();
        let start = mapping.range().start;
        // SAFETY: the page is the mapping's and nothing is in it.
        unsafe { install(start + page..start + 2 * page) }.unwrap();
        write(start + page - 1);
        write(start + 2 * page);
        so_far();
        write(start + 2 * page - 1);
    }

    #[test]
    fn a_guard_stays_when_its_memory_is_discarded() {
        let name = "a_guard_stays_when_its_memory_is_discarded";
        if !child::is_this(module_path!(), name) {
            return dies_at_the_guard(name);
        }
        let page = page_size();
        let mapping = Mapping::new(2 * page).unwrap();
        let start = mapping.range().start;
        // SAFETY: the page is the mapping's and nothing is in it.
        unsafe { install(start..start + page) }.unwrap();
        write(start + page);
        // SAFETY: the mapping is the test's, which has no use for its content.
        unsafe { map::discard(mapping.range()) };
        write(start + page);
        so_far();
        write(start);
    }

    #[test]
    fn the_environment_forces_the_fallback() {
        let name = "the_environment_forces_the_fallback";
        if child::is_this(module_path!(), name) {
            assert_eq!(kind(), Kind::Split);
        } else {
            let output = child::run(module_path!(), name, "", &[(VARIABLE, "mprotect")]);
            assert!(output.status.success(), "{output:?}");
            let report = String::from_utf8_lossy(&output.stdout);
            assert!(report.contains("1 passed"), "the child ran the test: {report}");
        }
    }
}
