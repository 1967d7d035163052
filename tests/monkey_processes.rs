//! Children and forks with everything patched: children are waited for, and a fork runs nothing of its parent's.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "calls functions of libc")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "several calls in a row")]
#![expect(clippy::zombie_processes, reason = "children are waited for by their numbers")]

#[path = "common/child.rs"]
mod child;
#[path = "common/patched.rs"]
mod patched;
#[path = "common/waiting.rs"]
mod waiting;

use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use libc::{c_int, pid_t};
use patched::{in_greenlet, pair, pipe};
use waiting::until_parked;

/// A child that ends with 3 when its standard input does.
fn obedient() -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "cat > /dev/null; exit 3"]).stdin(Stdio::piped());
    command.spawn().expect("a shell")
}

/// A descriptor of a child.
fn pidfd_of(pid: pid_t) -> OwnedFd {
    // SAFETY: integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0, 0, 0, 0, 0) };
    assert!(fd >= 0);
    // SAFETY: open, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Tells a child to end, and reaps it if nobody has.
fn end(mut child: Child) {
    drop(child.stdin.take());
    let _ = iora::monkey::unpatched(|| child.wait());
}

#[test]
fn each_way_to_wait_for_a_child_parks() {
    unsafe extern "C" {
        fn wait3(status: *mut c_int, options: c_int, usage: *mut libc::rusage) -> pid_t;
    }
    type Call = fn(pid_t) -> (pid_t, c_int);
    let calls: [(&str, Call); 9] = [
        ("waitpid", |pid| {
            let mut status = 0;
            // SAFETY: a status to be written to.
            (unsafe { libc::waitpid(pid, &raw mut status, 0) }, status)
        }),
        ("waitpid", |_| {
            let mut status = 0;
            // SAFETY: a status to be written to.
            (unsafe { libc::wait(&raw mut status) }, status)
        }),
        ("waitpid", |_| {
            let mut status = 0;
            // SAFETY: as above.
            (unsafe { libc::waitpid(0, &raw mut status, libc::WUNTRACED) }, status)
        }),
        ("waitpid", |_| {
            let mut status = 0;
            // SAFETY: as above.
            (unsafe { wait3(&raw mut status, 0, ptr::null_mut()) }, status)
        }),
        ("waitpid", |pid| {
            let mut status = 0;
            // SAFETY: a use of resources is integers, for which zero is a value.
            let mut usage: libc::rusage = unsafe { mem::zeroed() };
            // SAFETY: a status and a use of resources to be written to.
            let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
            assert!(usage.ru_maxrss > 0);
            (waited, status)
        }),
        ("waitid", |pid| by_waitid(libc::P_PID, pid as libc::id_t)),
        ("waitid", |_| by_waitid(libc::P_ALL, 0)),
        ("waitid", |pid| {
            let child = pidfd_of(pid);
            by_waitid(libc::P_PIDFD, child.as_raw_fd() as libc::id_t)
        }),
        ("waitid", |pid| {
            // Not interested in how.
            // SAFETY: no information is wanted.
            let waited = unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, ptr::null_mut(), libc::WEXITED) };
            (if waited == 0 { pid } else { -1 }, 3 << 8)
        }),
    ];
    let output = child::in_child("each_way_to_wait_for_a_child_parks", "", move || {
        in_greenlet(move || {
            for (number, (name, call)) in calls.into_iter().enumerate() {
                let mut child = obedient();
                let pid = child.id() as pid_t;
                let waiter = iora::spawn(move || call(pid));
                until_parked(&waiter, name);
                drop(child.stdin.take());
                let (waited, status) = waiter.get().unwrap();
                assert_eq!((waited, libc::WEXITSTATUS(status)), (pid, 3), "{number}");
                assert!(is_reaped(pid), "{number}");
            }
        });
    });
    child::assert_ended(&output, None);
}

#[test]
fn g093_other_peoples_handlers_of_a_childs_end_go_on_working_and_bad_numbers_are_refused() {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handler(_: c_int) {
        TOLD.fetch_add(1, Ordering::SeqCst);
    }
    let name = "g093_other_peoples_handlers_of_a_childs_end_go_on_working_and_bad_numbers_are_refused";
    let output = child::in_child(name, "", || {
        in_greenlet(|| {
            // SAFETY: an action is integers and a function, for which zero is a value.
            let mut action: libc::sigaction = unsafe { mem::zeroed() };
            action.sa_sigaction = handler as extern "C" fn(c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            // SAFETY: the handler only counts.
            let installed = unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, ptr::null_mut()) };
            assert_eq!(installed, 0);
            for ended in 1..=3 {
                let mut child = obedient();
                let pid = child.id() as pid_t;
                let any = iora::spawn(|| {
                    let mut status = 0;
                    // SAFETY: a status to be written to.
                    (unsafe { libc::waitpid(-1, &raw mut status, 0) }, status)
                });
                until_parked(&any, "waitpid");
                drop(child.stdin.take());
                let (waited, status) = any.get().unwrap();
                assert_eq!((waited, libc::WEXITSTATUS(status)), (pid, 3));
                assert_eq!(TOLD.load(Ordering::SeqCst), ended);
            }
            // No child, no process, no number.
            for pid in [-1, 1, pid_t::MAX] {
                // SAFETY: no status is wanted.
                assert_eq!(unsafe { libc::waitpid(pid, ptr::null_mut(), 0) }, -1, "{pid}");
                assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::ECHILD), "{pid}");
            }
        });
    });
    child::assert_ended(&output, None);
}

/// Whether a child is gone, and was waited for.
fn is_reaped(pid: pid_t) -> bool {
    // SAFETY: no status is wanted.
    let waited = unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    waited == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD)
}

fn by_waitid(kind: libc::idtype_t, id: libc::id_t) -> (pid_t, c_int) {
    // SAFETY: information is integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // Looked at, and then reaped.
    for options in [libc::WEXITED | libc::WNOWAIT, libc::WEXITED] {
        // SAFETY: information to be written to.
        assert_eq!(unsafe { libc::waitid(kind, id, &raw mut info, options) }, 0);
        assert_eq!(info.si_code, libc::CLD_EXITED);
    }
    // SAFETY: of a child that has ended.
    unsafe { (info.si_pid(), info.si_status() << 8) }
}

#[test]
fn a_descriptor_of_a_child_that_is_non_blocking_is_the_users() {
    in_greenlet(|| {
        let child = obedient();
        let descriptor = pidfd_of(child.id() as pid_t);
        // SAFETY: sets a flag.
        let set = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(set, 0);
        // SAFETY: no information is wanted.
        let waited = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                descriptor.as_raw_fd() as libc::id_t,
                ptr::null_mut(),
                libc::WEXITED,
            )
        };
        assert_eq!(
            (waited, io::Error::last_os_error().raw_os_error()),
            (-1, Some(libc::EAGAIN))
        );
        end(child);
    });
}

#[test]
fn outputs_of_several_commands_are_awaited_at_once() {
    in_greenlet(|| {
        let mut inputs = Vec::new();
        let mut waiters = Vec::new();
        for _ in 0..5 {
            let mut command = Command::new("sh");
            command.args(["-c", "read line; echo \"got $line\"; echo complaint >&2; exit 2"]);
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            inputs.push(child.stdin.take().unwrap());
            waiters.push(iora::spawn(move || child.wait_with_output().unwrap()));
        }
        // All of them wait; the last one ends first.
        waiters.iter().for_each(|waiter| until_parked(waiter, "poll"));
        while let (Some(mut input), Some(waiter)) = (inputs.pop(), waiters.pop()) {
            writeln!(input, "{}", inputs.len()).unwrap();
            let output = waiter.get().unwrap();
            assert_eq!(output.stdout, format!("got {}\n", inputs.len()).as_bytes());
            assert_eq!(
                (output.stderr.as_slice(), output.status.code()),
                (&b"complaint\n"[..], Some(2))
            );
        }
    });
}

#[test]
fn nothing_runs_between_fork_and_exec() {
    in_greenlet(|| {
        let (mut strays, stray) = pipe();
        let parent = std::process::id();
        let other = iora::spawn(move || {
            loop {
                if std::process::id() != parent {
                    let _ = (&stray).write(b"x");
                }
                iora::yield_now();
            }
        });
        iora::yield_now();
        let (one, _other) = pair();
        one.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let lock = std::sync::Mutex::new(());
        let mut command = Command::new("true");
        let fd = one.as_raw_fd();
        // SAFETY: the closure makes calls that are allowed in a fork, in ways that block.
        unsafe {
            command.pre_exec(move || {
                thread::sleep(Duration::from_millis(20));
                let mut byte = 0_u8;
                // SAFETY: room for a byte.
                assert_eq!(libc::recv(fd, (&raw mut byte).cast(), 1, 0), -1);
                assert_eq!(libc::poll(ptr::null_mut(), 0, 5), 0);
                drop(lock.lock());
                Ok(())
            });
        }
        assert!(command.status().unwrap().success());
        other.kill();
        // Only the one that was killed has that end.
        let mut seen = Vec::new();
        strays.read_to_end(&mut seen).unwrap();
        assert_eq!(seen, b"");
    });
}

/// Forks; the child runs `child`, which makes system calls only, and exits.
fn fork(child: impl FnOnce() -> bool) -> pid_t {
    // SAFETY: as above.
    match unsafe { libc::fork() } {
        0 => {
            let fine = child();
            // SAFETY: ends the process and does nothing else.
            unsafe { libc::_exit(i32::from(!fine)) }
        }
        pid => {
            assert!(pid > 0);
            pid
        }
    }
}

fn status_of(pid: pid_t) -> c_int {
    let mut status = 0;
    // SAFETY: a status to be written to.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

#[test]
fn a_fork_closes_and_waits_without_touching_the_parents_hub() {
    in_greenlet(|| {
        let (one, other) = pair();
        let (two, four) = pair();
        let (mut news, tell) = pipe();
        let read = |stream: &TcpStream| {
            let fd = stream.as_raw_fd();
            let mut room = [0_u8; 8];
            // SAFETY: room for so much.
            let count = unsafe { libc::read(fd, room.as_mut_ptr().cast(), 8) };
            (count, room)
        };
        let fd = one.as_raw_fd();
        let reader = iora::spawn(move || read(&one));
        until_parked(&reader, "read");
        // Registered, and known to be drained.
        let sleeper = iora::spawn(move || {
            let first = read(&two);
            (first, two)
        });
        until_parked(&sleeper, "read");
        (&four).write_all(b"begin").unwrap();
        let (_, two) = sleeper.get().unwrap();
        let again = two.try_clone().unwrap();
        let waits = iora::spawn(move || read(&again));
        until_parked(&waits, "read");
        let pid = fork(|| {
            // SAFETY: the child's own copies; it waits with no greenlets, which would be seen in the parent.
            unsafe {
                libc::close(fd);
                libc::write(tell.as_raw_fd(), b"?".as_ptr().cast(), 1);
                let (count, room) = read(&two);
                let slept = libc::usleep(1000);
                let accepted = libc::accept(two.as_raw_fd(), ptr::null_mut(), ptr::null_mut());
                count == 5 && &room[..5] == b"child" && slept == 0 && accepted == -1
            }
        });
        news.read_exact(&mut [0]).unwrap();
        until_parked(&reader, "read");
        // The child may take it, or the greenlet: the other gets the second.
        waits.kill();
        (&four).write_all(b"child").unwrap();
        assert_eq!(status_of(pid), 0);
        (&other).write_all(b"parent").unwrap();
        let (count, room) = reader.get().unwrap();
        assert_eq!((count, &room[..6]), (6, &b"parent"[..]));
    });
}

#[test]
fn a_program_that_forks_before_its_first_greenlet_is_cooperative() {
    let name = "a_program_that_forks_before_its_first_greenlet_is_cooperative";
    let output = child::in_child(name, "", || {
        iora::monkey::patch_all().unwrap();
        // As a daemon does.
        let pid = fork(|| {
            in_greenlet(|| {
                let (one, other) = pair();
                let reader = iora::spawn(move || (&one).read(&mut [0; 8]).unwrap());
                until_parked(&reader, "recv");
                (&other).write_all(b"word").unwrap();
                reader.get().unwrap() == 4
            })
        });
        assert_eq!(status_of(pid), 0);
        assert!(iora::monkey::is_patched("recv"));
    });
    child::assert_ended(&output, None);
}

#[test]
fn a_fork_of_a_program_with_greenlets_is_not_patched() {
    in_greenlet(|| {
        let pid = fork(|| !iora::monkey::is_patched("recv"));
        assert_eq!(status_of(pid), 0);
        assert!(iora::monkey::is_patched("recv"));
    });
}
