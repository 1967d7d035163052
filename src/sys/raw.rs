//! System calls made directly, past the C library and whatever stands in for its functions.
//!
//! The hooks of `monkey` define `recv`, `syscall` and their like; to get at the kernel they need a way that does not lead
//! back to themselves. There is no cancellation point in it (pthread_cancel(3)).
#![expect(unsafe_code, reason = "system calls are machine instructions")]

use std::arch::asm;

/// Makes the system call `number`; returns what the kernel does: a result, or an error's number negated.
///
/// # Safety
///
/// The arguments must be what the call demands, as for the C library's function of its name.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    // SAFETY: the kernel's calling convention: it clobbers rcx and r11 and nothing else; the arguments are the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") fourth, in("r8") fifth, in("r9") sixth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes the system call `number`; returns what the kernel does: a result, or an error's number negated.
///
/// # Safety
///
/// The arguments must be what the call demands, as for the C library's function of its name.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    // SAFETY: the kernel's calling convention: it clobbers x0 and nothing else; the arguments are the caller's.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number as isize,
            inlateout("x0") first as isize => result,
            in("x1") second, in("x2") third, in("x3") fourth, in("x4") fifth, in("x5") sixth,
            options(nostack),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors() {
        // SAFETY: takes no arguments.
        let id = unsafe { call(libc::SYS_getpid, [0; 6]) };
        assert_eq!(id, std::process::id() as isize);
        // SAFETY: takes an integer; no descriptor has the number -1.
        let result = unsafe { call(libc::SYS_close, [usize::MAX, 0, 0, 0, 0, 0]) };
        assert_eq!(result, -(libc::EBADF as isize));
    }
}
