//! Nothing that can block is forgotten: what std asks of libc, compared with what is hooked.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// Functions of libc that can block, by the manual's words.
const CAN_BLOCK: &[&str] = &[
    "accept accept4 connect recv recvfrom recvmsg recvmmsg send sendto sendmsg sendmmsg read readv write writev",
    "pread pread64 pwrite pwrite64 preadv preadv64 pwritev pwritev64 sendfile sendfile64 splice tee vmsplice",
    "copy_file_range poll ppoll select pselect epoll_wait epoll_pwait epoll_pwait2 nanosleep clock_nanosleep usleep",
    "sleep pause sigsuspend sigwait sigwaitinfo sigtimedwait getaddrinfo freeaddrinfo getnameinfo gethostbyname gethostbyname2",
    "gethostbyname_r gethostbyname2_r gethostbyaddr gethostbyaddr_r wait waitpid wait3 wait4 waitid syscall",
    "pthread_join pthread_mutex_lock pthread_cond_wait pthread_cond_timedwait pthread_rwlock_rdlock",
    "pthread_rwlock_wrlock pthread_barrier_wait sem_wait sem_timedwait flock fcntl fcntl64 lockf ioctl fsync",
    "fdatasync sync syncfs msync close close_range dup2 dup3 open open64 openat openat64 fread fwrite fgets getline",
    "popen pclose system msgrcv msgsnd semop mq_receive mq_send __recv_chk __recvfrom_chk __read_chk __poll_chk __ppoll_chk",
    "__pread_chk __pread64_chk",
];

/// Those that are left alone, and why.
const LEFT_ALONE: &[(&str, &str)] = &[
    (
        "pread pread64 pwrite pwrite64 preadv preadv64 pwritev pwritev64 __pread_chk __pread64_chk",
        "for what has positions: files",
    ),
    (
        "copy_file_range fsync fdatasync sync syncfs msync",
        "disks give no events: the thread pool",
    ),
    (
        "open open64 openat openat64",
        "disks; a named pipe waits for its other end: the thread pool",
    ),
    ("pause sigsuspend", "wait for a signal, which is the thread's"),
    (
        "pthread_join pthread_mutex_lock pthread_cond_wait pthread_cond_timedwait",
        "owners and queues belong to the thread",
    ),
];

fn words<'a>(lines: impl IntoIterator<Item = &'a &'a str>) -> BTreeSet<&'a str> {
    lines.into_iter().flat_map(|line| line.split_whitespace()).collect()
}

/// The names that the shared library leaves to others.
fn undefined(file: &PathBuf) -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(["-D", "-u"])
        .arg(file)
        .output()
        .expect("nm is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split_whitespace().last());
    names
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect()
}

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

/// What can block in `names` and is neither hooked nor left alone.
fn forgotten(names: &BTreeSet<String>) -> Vec<&str> {
    let can_block = words(CAN_BLOCK);
    let left_alone: BTreeSet<&str> = LEFT_ALONE
        .iter()
        .flat_map(|(names, _)| names.split_whitespace())
        .collect();
    let covered = |name: &str| left_alone.contains(name) || iora::monkey::is_patched(name);
    names
        .iter()
        .map(String::as_str)
        .filter(|name| can_block.contains(name) && !covered(name))
        .collect()
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
    for (names, reason) in LEFT_ALONE {
        for name in names.split_whitespace() {
            assert!(!iora::monkey::is_patched(name), "{name}: {reason}");
        }
    }
}
