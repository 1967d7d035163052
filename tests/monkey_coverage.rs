//! Nothing that can block is forgotten: what std, this program and a library in C ask of libc, compared with what is hooked.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]

#[path = "common/blocking.rs"]
mod blocking;
#[path = "common/c_library.rs"]
mod c_library;

use std::path::{Path, PathBuf};
use std::process::Command;

use blocking::{forgotten, left_alone, undefined};

fn std_library() -> PathBuf {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .expect("rustc is there");
    let folder = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut files = files.map(|file| file.expect("a file").path());
    files
        .find(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".so")
        })
        .expect("std is there")
}

/// Wants nothing forgotten of what a file leaves to others, which are these among others.
#[track_caller]
fn assert_covered(file: &Path, read: &[&str]) {
    iora::monkey::patch_all().expect("the hooks are reached");
    let names = undefined(file);
    for name in read {
        assert!(names.contains(*name), "{} was read: {name}", file.display());
    }
    assert_eq!(forgotten(&names), Vec::<&str>::new());
}

#[test]
fn nothing_of_std_is_forgotten() {
    assert_covered(&std_library(), &["recv", "syscall"]);
}

#[test]
fn nothing_of_this_program_is_forgotten() {
    assert_covered(&std::env::current_exe().expect("a test has a file"), &["malloc"]);
}

#[test]
fn nothing_of_a_library_in_c_is_forgotten() {
    let file = c_library::compile("coverage");
    let fortified = [
        "__recv_chk",
        "__recvfrom_chk",
        "__read_chk",
        "__poll_chk",
        "__ppoll_chk",
    ];
    assert_covered(&file, &fortified);
    assert_covered(
        &file,
        &["select", "nanosleep", "getaddrinfo", "waitpid", "dup2", "close"],
    );
    std::fs::remove_file(file).expect("it is there");
}

#[test]
fn what_is_forgotten_is_found() {
    iora::monkey::patch_all().expect("the hooks are reached");
    let names = ["recv", "sem_wait", "malloc"].map(String::from).into();
    assert_eq!(forgotten(&names), ["sem_wait"]);
}

#[test]
fn no_function_is_both() {
    iora::monkey::patch_all().expect("the hooks are reached");
    for (name, reason) in left_alone() {
        assert!(!iora::monkey::is_patched(name), "{name}: {reason}");
    }
}
