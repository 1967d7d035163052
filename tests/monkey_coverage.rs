//! Nothing that can block is forgotten: what std asks of libc, compared with what is hooked.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]

#[path = "common/blocking.rs"]
mod blocking;

use std::path::PathBuf;
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

#[test]
fn nothing_of_std_is_forgotten() {
    iora::monkey::patch_all().expect("the hooks are reached");
    let names = undefined(&std_library());
    assert!(names.contains("recv") && names.contains("syscall"), "std was read");
    assert_eq!(forgotten(&names), Vec::<&str>::new());
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
