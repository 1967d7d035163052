//! Which functions of libc can block, and which of those are left alone: compared with what a library asks for.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Functions of libc that can block, by the manual's words.
const CAN_BLOCK: &[&str] = &[
    "accept accept4 connect recv recvfrom recvmsg recvmmsg send sendto sendmsg sendmmsg read readv write writev",
    "pread pread64 pwrite pwrite64 preadv preadv64 pwritev pwritev64 preadv2 preadv64v2 pwritev2 pwritev64v2 sendfile",
    "sendfile64 splice tee vmsplice copy_file_range poll ppoll select pselect epoll_wait epoll_pwait epoll_pwait2",
    "nanosleep clock_nanosleep usleep sleep pause sigsuspend sigwait sigwaitinfo sigtimedwait getaddrinfo freeaddrinfo",
    "getaddrinfo_a gai_suspend getnameinfo gethostbyname gethostbyname2 gethostbyname_r gethostbyname2_r gethostbyaddr",
    "gethostbyaddr_r res_query res_search res_send res_nquery res_nsearch res_nsend getpwnam getpwnam_r getpwuid",
    "getpwuid_r getgrnam getgrnam_r getgrgid getgrgid_r getservbyname getservbyname_r getservbyport getservbyport_r",
    "wait waitpid wait3 wait4 waitid syscall pthread_join pthread_timedjoin_np pthread_clockjoin_np pthread_mutex_lock",
    "pthread_mutex_timedlock pthread_mutex_clocklock pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait",
    "pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock",
    "pthread_barrier_wait sem_wait sem_timedwait sem_clockwait mtx_lock mtx_timedlock cnd_wait cnd_timedwait thrd_join",
    "thrd_sleep flock fcntl fcntl64 lockf lockf64 ioctl fsync fdatasync sync syncfs msync sync_file_range close",
    "close_range closefrom dup2 dup3 open open64 openat openat64 fopen fopen64 freopen freopen64 fclose fread fwrite",
    "fgets fgetc getc fputs fputc putc fflush getline getdelim __getdelim fprintf vfprintf __fprintf_chk __vfprintf_chk",
    "__fread_chk __fgets_chk opendir readdir readdir64 closedir popen pclose system eventfd_read eventfd_write msgrcv",
    "msgsnd semop semtimedop mq_receive mq_timedreceive mq_send mq_timedsend aio_suspend tcdrain __recv_chk",
    "__recvfrom_chk __read_chk __poll_chk __ppoll_chk __pread_chk __pread64_chk __open_2 __open64_2 __openat_2",
    "__openat64_2",
];

/// Those that are left alone, and why.
const LEFT_ALONE: &[(&str, &str)] = &[
    (
        "pread pread64 pwrite pwrite64 preadv preadv64 pwritev pwritev64 __pread_chk __pread64_chk",
        "for what has positions: files",
    ),
    (
        "copy_file_range fsync fdatasync sync syncfs msync opendir readdir readdir64 closedir",
        "disks give no events: the thread pool",
    ),
    (
        "open open64 openat openat64 __open_2 __open64_2",
        "disks; a named pipe waits for its other end: the thread pool",
    ),
    (
        "fopen fopen64 fread fwrite fgets fgetc getc fputs fputc putc fflush getline getdelim __getdelim fprintf \
         __fprintf_chk vfprintf __vfprintf_chk __fread_chk __fgets_chk popen",
        "glibc reads and writes without passing by us: files; on a pipe, the thread pool",
    ),
    (
        "getpwnam getpwnam_r getpwuid getpwuid_r getgrnam_r getgrgid_r getservbyname getservbyname_r getservbyport_r \
         gethostbyaddr_r res_query res_search res_nquery res_nsearch",
        "glibc reads files or asks servers without passing by us: the thread pool",
    ),
    ("pause sigsuspend", "wait for a signal, which is the thread's"),
    ("sigwait", "libpq, for a SIGPIPE that is there already"),
    (
        "pthread_mutex_lock pthread_cond_wait pthread_cond_timedwait pthread_rwlock_rdlock \
         pthread_rwlock_wrlock",
        "owners and queues belong to the thread",
    ),
];

fn words<'a>(lines: impl IntoIterator<Item = &'a &'a str>) -> BTreeSet<&'a str> {
    lines.into_iter().flat_map(|line| line.split_whitespace()).collect()
}

/// The functions that are left alone, each with the reason.
pub(crate) fn left_alone() -> impl Iterator<Item = (&'static str, &'static str)> {
    LEFT_ALONE
        .iter()
        .flat_map(|(names, reason)| names.split_whitespace().map(move |name| (name, *reason)))
}

/// The names that a shared library leaves to others.
pub(crate) fn undefined(library: &Path) -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(["-D", "-u"])
        .arg(library)
        .output()
        .expect("nm is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split_whitespace().last());
    names
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect()
}

/// What can block in `names` and is neither hooked nor left alone.
pub(crate) fn forgotten(names: &BTreeSet<String>) -> Vec<&str> {
    let can_block = words(CAN_BLOCK);
    let left_alone: BTreeSet<&str> = left_alone().map(|(name, _)| name).collect();
    let covered = |name: &str| left_alone.contains(name) || iora::monkey::is_patched(name);
    names
        .iter()
        .map(String::as_str)
        .filter(|name| can_block.contains(name) && !covered(name))
        .collect()
}
