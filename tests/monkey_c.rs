//! C code in a shared library that is loaded into a patched program, and programs that are linked in the wrong way.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "calls functions of a library in C")]

#[path = "common/c_library.rs"]
mod c_library;
#[path = "common/child.rs"]
mod child;
#[path = "common/patched.rs"]
#[expect(dead_code, reason = "no pipes are needed here")]
mod patched;
#[path = "common/waiting.rs"]
mod waiting;

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use patched::{in_greenlet, pair};
use waiting::until_parked;

/// A library in C, loaded.
#[derive(Clone, Copy)]
struct Library(*mut c_void);

/// Waits for a descriptor, and reads from it.
type Wait = unsafe extern "C" fn(c_int, *mut c_char, usize) -> c_long;

impl Library {
    fn load(name: &str) -> Library {
        let file = c_library::compile(name);
        let path = CString::new(file.as_os_str().as_bytes()).unwrap();
        // SAFETY: the library's making and end run nothing.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null());
        std::fs::remove_file(file).unwrap();
        Library(library)
    }

    fn find(self, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        // SAFETY: the library is never closed.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null());
        function
    }

    fn wait(self, name: &str) -> Wait {
        // SAFETY: all functions that are asked for here are of this type.
        unsafe { std::mem::transmute::<*mut c_void, Wait>(self.find(name)) }
    }
}

#[test]
fn calls_of_a_shared_library_park() {
    in_greenlet(|| {
        let library = Library::load("park");
        for (function, name, length) in [
            ("by_recv", "recv", 8),
            ("by_recvfrom", "recvfrom", 8),
            ("by_read", "read", 8),
            ("by_poll", "poll", 2),
            ("by_ppoll", "poll", 2),
            ("by_select", "select", 8),
        ] {
            let wait = library.wait(function);
            let (one, other) = pair();
            let waiter = iora::spawn(move || {
                let mut room = [0; 16];
                // SAFETY: there is room for more than it reads.
                let count = unsafe { wait(one.as_raw_fd(), room.as_mut_ptr().cast(), length) };
                (count, room)
            });
            until_parked(&waiter, name);
            (&other).write_all(b"word").unwrap();
            let (count, room) = waiter.get().unwrap();
            assert_eq!((count, &room[..4]), (4, &b"word"[..]), "{function}");
        }
        type Sleep = unsafe extern "C" fn(c_long) -> c_int;
        // SAFETY: of this type.
        let sleep = unsafe { std::mem::transmute::<*mut c_void, Sleep>(library.find("by_sleep")) };
        // SAFETY: any length will do.
        let sleeper = iora::spawn(move || unsafe { sleep(1_000_000) });
        until_parked(&sleeper, "sleep");
        assert_eq!(sleeper.get().unwrap(), 0);
        type Name = unsafe extern "C" fn(*const c_char) -> c_int;
        // SAFETY: of this type.
        let name = unsafe { std::mem::transmute::<*mut c_void, Name>(library.find("by_name")) };
        // SAFETY: a string.
        assert_eq!(unsafe { name(c"localhost".as_ptr()) }, 0);
    });
}

#[test]
fn a_checked_call_beyond_its_buffer_ends_the_program() {
    for (function, length) in [
        ("by_recv", 17),
        ("by_recvfrom", 17),
        ("by_read", 17),
        ("by_poll", 3),
        ("by_ppoll", 3),
    ] {
        let test = "a_checked_call_beyond_its_buffer_ends_the_program";
        if std::env::var("IORA_TEST_FUNCTION").is_ok_and(|name| name != function) {
            continue;
        }
        let output = child::in_child(test, &format!("export IORA_TEST_FUNCTION={function}"), || {
            in_greenlet(move || {
                let wait = Library::load(function).wait(function);
                let (one, other) = pair();
                (&other).write_all(&[1; 20]).unwrap();
                let mut room = [0; 32];
                // SAFETY: it ends the program instead of writing beyond its buffer.
                unsafe { wait(one.as_raw_fd(), room.as_mut_ptr().cast(), length) };
            });
        });
        child::assert_ended(&output, Some(libc::SIGABRT));
    }
}

#[test]
fn a_child_that_borrows_its_parents_memory_wakes_nobody() {
    in_greenlet(|| {
        type Fork = unsafe extern "C" fn(c_int) -> c_int;
        let library = Library::load("vfork");
        // SAFETY: of this type.
        let fork = unsafe { std::mem::transmute::<*mut c_void, Fork>(library.find("by_vfork")) };
        let (one, other) = pair();
        let fd = one.as_raw_fd();
        let reader = iora::spawn(move || (&one).read(&mut [0; 8]).unwrap());
        until_parked(&reader, "recv");
        // SAFETY: the child closes its own descriptor.
        assert_eq!(unsafe { fork(fd) }, 7);
        (0..3).for_each(|_| iora::yield_now());
        until_parked(&reader, "recv");
        (&other).write_all(b"word").unwrap();
        assert_eq!(reader.get().unwrap(), 4);
    });
}

/// A number in a file.
fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    bytes[at..at + length]
        .iter()
        .rev()
        .fold(0, |all, byte| all << 8 | usize::from(*byte))
}

/// Takes a name out of the symbols that a program exports.
fn hide(program: &mut [u8], name: &str) {
    // ELF: the section headers lie at 0x28, are 0x40 bytes long, and say where a section is, how long, and what it refers to.
    let (headers, count) = (number(program, 0x28, 8), number(program, 0x3C, 2));
    let header = |index: usize| headers + index * 0x40;
    let symbols = (0..count)
        .map(header)
        .find(|at| number(program, at + 4, 4) == 11)
        .unwrap();
    let names = number(program, header(number(program, symbols + 0x28, 4)) + 0x18, 8);
    let (start, length) = (number(program, symbols + 0x18, 8), number(program, symbols + 0x20, 8));
    let mut hidden = 0;
    for symbol in (start..start + length).step_by(24) {
        let at = names + number(program, symbol, 4);
        let is_defined = number(program, symbol + 6, 2) != 0;
        if is_defined && program[at..].starts_with(name.as_bytes()) && program[at + name.len()] == 0 {
            // Its name becomes the empty one.
            program[symbol..symbol + 4].fill(0);
            hidden += 1;
        }
    }
    assert_eq!(hidden, 1, "{name}");
}

#[test]
fn a_program_that_does_not_export_a_hook_is_told_how_to_link() {
    const TEST: &str = "a_program_that_does_not_export_a_hook_is_told_how_to_link";
    if std::env::var_os("IORA_TEST_HIDDEN").is_some() {
        let error = iora::monkey::patch_all().unwrap_err().to_string();
        assert!(error.contains(" recvfrom:") && error.contains("-rdynamic"), "{error}");
        assert!(!iora::monkey::is_patched("recvfrom") && !iora::monkey::is_patched("nanosleep"));
        assert!(iora::monkey::patch_socket().is_err());
        iora::monkey::patch_time().expect("what is not hidden");
        return;
    }
    let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    hide(&mut program, "recvfrom");
    let file = std::env::temp_dir().join(format!("iora-hidden-{}", std::process::id()));
    std::fs::write(&file, program).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o700)).unwrap();
    let output = Command::new(&file)
        .args([TEST, "--exact", "--nocapture"])
        .env("IORA_TEST_HIDDEN", "1")
        .output()
        .unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
