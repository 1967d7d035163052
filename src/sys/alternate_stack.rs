//! The stack on which a thread's signal handlers run when its ordinary stack is used up.
//!
//! Threads that std starts have one already (when std reports their overflows); others, such as those of a C library,
//! get one here.
#![expect(unsafe_code, reason = "sigaltstack")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use super::guard;
use super::map::{Mapping, page_size};

/// How much a handler may use beside what the kernel stores there.
const ROOM: usize = 32 * 1024;

/// An alternate stack of ours, in force on the thread that made it until dropped.
#[derive(Debug)]
pub(crate) struct AlternateStack {
    /// The memory: a guard page, then the stack.
    mapping: Mapping,
}

impl AlternateStack {
    /// Gives the calling thread an alternate stack, or `None` if it has one.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(crate) fn ensure() -> io::Result<Option<AlternateStack>> {
        if current()?.ss_flags & libc::SS_DISABLE == 0 {
            return Ok(None);
        }
        // SAFETY: `getauxval` has no precondition; it answers zero where it does not know.
        let kernel_needs = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
        let kernel_needs = usize::try_from(kernel_needs).unwrap_or(0).max(libc::MINSIGSTKSZ);
        let page = page_size();
        let size = (ROOM + kernel_needs).next_multiple_of(page);
        let mapping = Mapping::new(page + size)?;
        let start = mapping.range().start;
        // SAFETY: the page belongs to the mapping just made, which nobody uses yet.
        unsafe { guard::install(start..start + page) }?;
        let stack = libc::stack_t {
            ss_sp: ptr::without_provenance_mut(start + page),
            ss_flags: 0,
            ss_size: size,
        };
        // SAFETY: the memory stays mapped for as long as it is in force: the destructor takes it out of force first.
        let result = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Some(AlternateStack { mapping }))
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        let ours = self.mapping.range();
        let still_ours = current().is_ok_and(|stack| ours.contains(&stack.ss_sp.addr()));
        if still_ours {
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            };
            // SAFETY: taking an alternate stack out of force needs no memory.
            unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
        }
    }
}

/// The calling thread's alternate stack.
fn current() -> io::Result<libc::stack_t> {
    let mut stack = MaybeUninit::uninit();
    // SAFETY: the place is valid for a `stack_t`; without a new one the call changes nothing.
    let result = unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a successful call has filled it.
    Ok(unsafe { stack.assume_init() })
}

/// Takes the calling thread's alternate stack out of force and says which it was: for tests of a thread without one.
#[cfg(test)]
pub(crate) fn remove() -> libc::stack_t {
    let before = current().unwrap();
    let none = libc::stack_t {
        ss_sp: ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    };
    // SAFETY: taking an alternate stack out of force needs no memory.
    unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_std_keeps_its_own() {
        let before = current().unwrap();
        assert_eq!(before.ss_flags & libc::SS_DISABLE, 0, "std gave this thread one");
        assert!(AlternateStack::ensure().unwrap().is_none());
        assert_eq!(current().unwrap().ss_sp, before.ss_sp);
    }

    #[test]
    fn a_thread_without_one_gets_one_until_it_is_dropped() {
        let theirs = remove();
        let ours = AlternateStack::ensure().unwrap().expect("the thread had none");
        assert!(ours.mapping.range().contains(&current().unwrap().ss_sp.addr()));
        assert!(
            AlternateStack::ensure().unwrap().is_none(),
            "a second one is not needed"
        );
        drop(ours);
        assert_ne!(current().unwrap().ss_flags & libc::SS_DISABLE, 0);
        // SAFETY: it is std's, which keeps it mapped until the thread ends.
        unsafe { libc::sigaltstack(&raw const theirs, ptr::null_mut()) };
    }
}
