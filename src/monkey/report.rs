//! Which functions are hooked, and whether the program and the libraries it loads reach the hooks.
#![expect(unsafe_code, reason = "asks the dynamic linker")]

use std::ffi::{CString, c_char, c_void};
use std::fmt;
use std::io;
use std::ptr;

use super::frame::{DNS, SELECT, SOCKET, SUBPROCESS, THREAD, TIME};
use super::{children, connect, descriptors, fortified, futex, hosts, join, names, receive, select, send, time};

/// A function of libc and what stands in for it.
struct Hook {
    /// The function's name.
    name: &'static str,
    /// The group that it belongs to.
    group: u32,
    /// Where our definition is.
    address: *const c_void,
}

/// Names hooks by their group and file.
macro_rules! hooks {
    ($($group:ident $module:ident: $($name:ident)*;)*) => {
        [$($(Hook { name: stringify!($name), group: $group, address: $module::$name as *const c_void },)*)*]
    };
}

/// All of them. To name them here also keeps the linker from leaving any of them out.
fn hooks() -> impl Iterator<Item = Hook> {
    hooks! {
        SOCKET receive: recv recvfrom recvmsg recvmmsg read readv;
        SOCKET send: send sendto sendmsg sendmmsg write writev sendfile sendfile64 splice;
        SOCKET connect: connect accept accept4;
        SOCKET descriptors: close fclose pclose close_range shutdown dup dup2 dup3 fcntl fcntl64 flock ioctl setsockopt;
        SOCKET fortified: __recv_chk __recvfrom_chk __read_chk;
        TIME time: nanosleep clock_nanosleep usleep sleep;
        DNS names: getaddrinfo freeaddrinfo getnameinfo;
        DNS hosts: gethostbyname gethostbyname2 gethostbyname_r gethostbyname2_r;
        SELECT select: poll ppoll select pselect epoll_wait epoll_pwait epoll_pwait2;
        SELECT fortified: __poll_chk __ppoll_chk;
        THREAD futex: syscall;
        THREAD join: pthread_join;
        SUBPROCESS children: wait waitpid wait3 wait4 waitid;
    }
    .into_iter()
}

/// What is patched: the functions of libc that now park a greenlet instead of blocking its thread.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// Bits of the patched groups.
    groups: u32,
}

impl Report {
    /// What is patched in these groups.
    pub(super) fn of(groups: u32) -> Report {
        Report { groups }
    }

    /// The names of the functions.
    ///
    /// ```
    /// let report = iora::monkey::patch_time().unwrap();
    /// assert!(report.functions().any(|name| name == "clock_nanosleep"));
    /// ```
    pub fn functions(&self) -> impl Iterator<Item = &'static str> + use<> {
        let groups = self.groups;
        hooks()
            .filter(move |hook| hook.group & groups != 0)
            .map(|hook| hook.name)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.functions()).finish()
    }
}

/// Whether the hooks of these groups are what the program's libraries find under their names.
///
/// # Errors
///
/// Which are not, and how to link.
pub(super) fn check(groups: u32) -> io::Result<()> {
    let missed: Vec<&str> = hooks()
        .filter(|hook| hook.group & groups != 0 && !is_found(hook))
        .map(|hook| hook.name)
        .collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "iora: shared libraries do not reach the hooks of {}: export the program's symbols with \
         RUSTFLAGS=\"-C link-arg=-rdynamic\", or with `println!(\"cargo::rustc-link-arg=-rdynamic\")` in build.rs; do not \
         preload another library that defines them",
        missed.join(", ")
    )))
}

/// Whether the dynamic linker finds our definition before any other.
fn is_found(hook: &Hook) -> bool {
    let Ok(name) = CString::new(hook.name) else {
        return false;
    };
    let name: *const c_char = name.as_ptr();
    // SAFETY: the name is a string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name) };
    ptr::eq(found, hook.address)
}
