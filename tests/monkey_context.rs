//! Hooked calls in odd places: signal handlers, destructors of thread-locals, unwinding, standard output, the end of a hub.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "calls functions of libc")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "several calls in a row")]

#[path = "common/child.rs"]
mod child;
#[path = "common/patched.rs"]
mod patched;
#[path = "common/thread_status.rs"]
#[expect(dead_code, reason = "nobody has to sleep again")]
mod thread_status;
#[path = "common/waiting.rs"]
mod waiting;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use iora::sync::Event;
use libc::c_int;
use patched::{in_greenlet, pair, pipe, watched};
use thread_status::ThreadStatus;
use waiting::until_parked;

/// Long enough that nothing else takes as long.
const LONG: Duration = Duration::from_secs(1000);

/// Fills a pipe.
fn fill(write: &std::fs::File) {
    let fd = write.as_raw_fd();
    // SAFETY: sets and clears a flag; writes from an array that is long enough.
    unsafe {
        libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK);
        while libc::write(fd, [0_u8; 4096].as_ptr().cast(), 4096) > 0 {}
        libc::fcntl(fd, libc::F_SETFL, 0);
    }
}

/// Installs a handler.
fn handle(signal: c_int, flags: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: an action is integers, for which zero is a value; the handler makes system calls only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn a_handler_that_blocks_stops_the_thread_and_switches_nothing() {
    /// Where the handler writes, and how long it polls afterwards.
    static INTO: AtomicI32 = AtomicI32::new(-1);
    /// Turns of another greenlet.
    static TURNS: AtomicU32 = AtomicU32::new(0);
    /// Turns of it that the handler saw pass, and calls of the handler.
    static SEEN: AtomicU32 = AtomicU32::new(0);
    static CALLS: AtomicU32 = AtomicU32::new(0);
    /// The handler is waiting, or about to.
    static INSIDE: AtomicBool = AtomicBool::new(false);

    extern "C" fn handler(_: c_int) {
        let before = TURNS.load(Ordering::SeqCst);
        INSIDE.store(true, Ordering::SeqCst);
        // SAFETY: a byte; no entries; no time left.
        unsafe {
            assert_eq!(libc::write(INTO.load(Ordering::SeqCst), b"x".as_ptr().cast(), 1), 1);
            assert_eq!(libc::poll(std::ptr::null_mut(), 0, 10), 0);
            libc::usleep(1000);
        }
        SEEN.fetch_add(TURNS.load(Ordering::SeqCst) - before, Ordering::SeqCst);
        CALLS.fetch_add(1, Ordering::SeqCst);
    }

    let test = "a_handler_that_blocks_stops_the_thread_and_switches_nothing";
    let output = child::in_child(test, "", || {
        in_greenlet(|| {
            handle(libc::SIGUSR1, libc::SA_RESTART, handler);
            let (mut read, write) = pipe();
            fill(&write);
            INTO.store(write.as_raw_fd(), Ordering::SeqCst);
            let status = ThreadStatus::of_current();
            let drained = status.clone();
            let drainer = thread::spawn(move || {
                for _ in 0..2 {
                    while !INSIDE.swap(false, Ordering::SeqCst) {
                        thread::yield_now();
                    }
                    // The thread stops, or others get turns.
                    let turns = TURNS.load(Ordering::SeqCst);
                    while !drained.is_asleep() && TURNS.load(Ordering::SeqCst) == turns {
                        thread::yield_now();
                    }
                    read.read_exact(&mut [0; 4096]).unwrap();
                }
                read
            });
            let other = iora::spawn(|| {
                loop {
                    TURNS.fetch_add(1, Ordering::SeqCst);
                    iora::yield_now();
                }
            });
            iora::yield_now();
            // While a greenlet runs.
            // SAFETY: there is a handler.
            unsafe { libc::raise(libc::SIGUSR1) };
            assert_eq!(CALLS.load(Ordering::SeqCst), 1);
            other.kill();
            // While none runs, and the hub sleeps.
            fill(&write);
            // SAFETY: the calling thread's own.
            let thread = unsafe { libc::pthread_self() };
            let handled = Arc::new(Event::new());
            let twin = handled.clone();
            let sender = thread::spawn(move || {
                status.until_asleep();
                // SAFETY: the thread waits for this one to end.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
                while CALLS.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
                twin.set();
            });
            handled.wait();
            // A handler is done, and greenlets park again.
            let sleeper = iora::spawn(|| thread::sleep(Duration::from_millis(1)));
            until_parked(&sleeper, "sleep");
            sender.join().unwrap();
            drop(drainer.join().unwrap());
        });
        assert_eq!(
            SEEN.load(Ordering::SeqCst),
            0,
            "somebody else ran in the middle of the handler"
        );
    });
    child::assert_ended(&output, None);
}

#[test]
fn signals_at_any_moment_disturb_nothing() {
    /// Sockets that greenlets wait for, and a pipe.
    static SOCKET: AtomicI32 = AtomicI32::new(-1);
    static INTO: AtomicI32 = AtomicI32::new(-1);
    static CALLS: AtomicU32 = AtomicU32::new(0);

    extern "C" fn handler(_: c_int) {
        let mut byte = 0_u8;
        let mut entry = libc::pollfd {
            fd: SOCKET.load(Ordering::SeqCst),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: room for a byte; one entry; the error is put back.
        unsafe {
            let error = *libc::__errno_location();
            libc::recv(entry.fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK);
            libc::poll(&raw mut entry, 1, 0);
            libc::write(INTO.load(Ordering::SeqCst), (&raw const byte).cast(), 1);
            *libc::__errno_location() = error;
        }
        CALLS.fetch_add(1, Ordering::SeqCst);
    }

    const ROUNDS: u32 = 2000;
    let output = child::in_child("signals_at_any_moment_disturb_nothing", "", || {
        in_greenlet(|| {
            handle(libc::SIGUSR1, libc::SA_RESTART, handler);
            let (mut read, write) = pipe();
            // It always has a byte, so the handler's peek does not wait.
            let (near, far) = pair();
            (&far).write_all(b"x").unwrap();
            SOCKET.store(near.as_raw_fd(), Ordering::SeqCst);
            INTO.store(write.as_raw_fd(), Ordering::SeqCst);
            let drainer = thread::spawn(move || io::copy(&mut read, &mut io::sink()).unwrap());
            // SAFETY: the calling thread's own.
            let thread = unsafe { libc::pthread_self() };
            let stop = Arc::new(AtomicBool::new(false));
            let sender = thread::spawn({
                let stop = stop.clone();
                move || {
                    while !stop.load(Ordering::SeqCst) {
                        // SAFETY: the thread waits for this one to end.
                        unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
                        thread::sleep(Duration::from_micros(20));
                    }
                }
            });
            let work: Vec<_> = (0..4)
                .map(|_| {
                    let (mut one, mut other) = pair();
                    let echo = iora::spawn(move || {
                        let mut room = vec![0; 64];
                        loop {
                            match other.read(&mut room).unwrap() {
                                0 => break,
                                count => other.write_all(&room[..count]).unwrap(),
                            }
                        }
                    });
                    iora::spawn(move || {
                        for round in 0..ROUNDS {
                            let word = round.to_string();
                            one.write_all(word.as_bytes()).unwrap();
                            let mut back = vec![0; word.len()];
                            one.read_exact(&mut back).unwrap();
                            assert_eq!(back, word.as_bytes());
                        }
                        drop(one);
                        echo.get().unwrap();
                    })
                })
                .collect();
            for one in work {
                one.get().unwrap();
            }
            stop.store(true, Ordering::SeqCst);
            sender.join().unwrap();
            drop(write);
            let handled = drainer.join().unwrap();
            assert_eq!(handled, u64::from(CALLS.load(Ordering::SeqCst)));
            assert!(handled > 0);
        });
    });
    child::assert_ended(&output, None);
}

/// What destructors of thread-locals have found.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Makes hooked calls of all kinds when it is dropped, and says under this name what came of them.
struct Calls(&'static str);

impl Drop for Calls {
    fn drop(&mut self) {
        let begun = Instant::now();
        thread::sleep(Duration::from_millis(5));
        assert!(begun.elapsed() >= Duration::from_millis(5));
        let (mut one, mut other) = pair();
        let status = ThreadStatus::of_current();
        let writer = thread::spawn(move || {
            status.until_asleep();
            other.write_all(b"word").unwrap();
        });
        let mut word = [0; 4];
        one.read_exact(&mut word).unwrap();
        writer.join().unwrap();
        // SAFETY: no entries.
        assert_eq!(unsafe { libc::poll(std::ptr::null_mut(), 0, 1) }, 0);
        assert!(("127.0.0.1", 80).to_socket_addrs().unwrap().next().is_some());
        unsafe extern "C" {
            fn gethostbyname(name: *const libc::c_char) -> *mut libc::hostent;
        }
        // SAFETY: a string.
        let _ = unsafe { gethostbyname(c"127.0.0.1".as_ptr()) };
        assert!(Command::new("true").status().unwrap().success());
        let text = format!("{} {}", self.0, String::from_utf8_lossy(&word));
        FOUND.lock().unwrap().push(text);
    }
}

thread_local! {
    static EARLY: RefCell<Option<Calls>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<Calls>> = const { RefCell::new(None) };
}

#[test]
fn calls_in_destructors_of_thread_locals() {
    iora::monkey::patch_all().unwrap();
    let test = |ends: bool, names: [&'static str; 2]| {
        watched(|| {
            thread::spawn(move || {
                EARLY.set(Some(Calls(names[0])));
                unsafe extern "C" {
                    fn gethostbyname(name: *const libc::c_char) -> *mut libc::hostent;
                }
                iora::spawn(|| {
                    // SAFETY: a string.
                    assert!(!unsafe { gethostbyname(c"127.0.0.1".as_ptr()) }.is_null());
                })
                .join();
                // One that stays.
                let stays = iora::spawn(|| thread::sleep(LONG));
                iora::yield_now();
                LATE.set(Some(Calls(names[1])));
                if ends {
                    iora::hub::end();
                    assert!(stays.ready());
                }
            })
            .join()
            .unwrap();
        });
        let found = FOUND.lock().unwrap();
        for name in names {
            assert!(found.contains(&format!("{name} word")), "{found:?}");
        }
    };
    test(false, ["a", "b"]);
    test(true, ["c", "d"]);
}

#[test]
fn a_killed_greenlet_makes_calls_while_it_unwinds() {
    struct Waits {
        receiver: Option<std::net::TcpStream>,
        word: Rc<Cell<[u8; 4]>>,
    }
    impl Drop for Waits {
        fn drop(&mut self) {
            assert!(thread::panicking());
            // Another thread sends it: this one cannot.
            let mut stream = self.receiver.take().unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).unwrap();
            thread::sleep(Duration::from_millis(1));
            self.word.set(word);
        }
    }
    in_greenlet(|| {
        let (one, other) = pair();
        let word = Rc::new(Cell::new([0; 4]));
        let waits = Waits {
            receiver: Some(one),
            word: word.clone(),
        };
        let victim = iora::spawn(move || {
            let _waits = waits;
            iora::sleep(LONG);
        });
        until_parked(&victim, "sleep");
        let (go, gone) = mpsc::channel();
        let status = ThreadStatus::of_current();
        let sender = thread::spawn(move || {
            gone.recv().unwrap();
            status.until_asleep();
            (&other).write_all(b"word").unwrap();
        });
        go.send(()).unwrap();
        victim.kill();
        assert!(matches!(victim.get(), Err(iora::Exit::Killed)));
        sender.join().unwrap();
        assert_eq!(&word.get(), b"word");
        // The count of panics is as it was.
        assert!(!thread::panicking());
        let mutex = Mutex::new(());
        drop(mutex.lock().unwrap());
        assert!(!mutex.is_poisoned());
        let panics = iora::spawn(|| {
            assert!(std::panic::catch_unwind(|| panic!("on purpose")).is_err());
            thread::panicking()
        });
        assert!(!panics.get().unwrap());
    });
}

/// Returns once a process that writes short lines to this pipe waits until somebody reads them.
fn until_full(pipe: &impl AsRawFd, process: u32) {
    /// Longer than any line, none of which is split between two pages.
    const LINE: c_int = 128;
    // SAFETY: asks for a number.
    let room = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETPIPE_SZ) };
    let lost = room / 4096 * LINE;
    let holds = || {
        let mut holds: c_int = 0;
        // SAFETY: writes a number.
        let asked = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut holds) };
        assert_eq!(asked, 0);
        holds
    };
    let is_asleep = || {
        let mut threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        threads.all(|thread| {
            // One that has ended meanwhile has no state.
            let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default();
            status.contains("\nState:\tS")
        })
    };
    while holds() < room - lost || !is_asleep() {
        thread::yield_now();
    }
}

#[test]
fn greenlets_that_print_into_a_full_pipe() {
    const LINES: usize = 300;
    let test = "greenlets_that_print_into_a_full_pipe";
    if std::env::var_os("IORA_TEST_PRINTS").is_some() {
        in_greenlet(|| {
            let printers: Vec<_> = (0..8)
                .map(|printer| {
                    iora::spawn(move || {
                        for line in 0..LINES {
                            let text = format!("line {printer} {line} {}\n", "x".repeat(100));
                            let mut out = io::stdout();
                            out.write_all(text.as_bytes()).unwrap();
                            iora::yield_now();
                        }
                    })
                })
                .collect();
            // One parks with the lock in its hands: others of its thread get in, and so does another thread later.
            let holder = iora::spawn(|| {
                let mut out = io::stdout().lock();
                out.write_all(b"held\n").unwrap();
                iora::sleep(Duration::from_millis(20));
                out.write_all(b"still held\n").unwrap();
            });
            let (done, is_done) = mpsc::channel();
            thread::spawn(move || {
                io::stdout().write_all(b"from another thread\n").unwrap();
                done.send(()).unwrap();
            });
            iora::joinall(&printers, None);
            holder.get().unwrap();
            is_done.recv().unwrap();
            // Another thread has it: greenlets wait for it, and others go on.
            let (taken, is_taken) = mpsc::channel();
            let (leave, left) = mpsc::channel::<()>();
            let thread = thread::spawn(move || {
                let _out = io::stdout().lock();
                taken.send(()).unwrap();
                let _ = left.recv();
            });
            is_taken.recv().unwrap();
            let printer = iora::spawn(|| io::stdout().write_all(b"after all\n").unwrap());
            until_parked(&printer, "futex");
            drop(leave);
            printer.get().unwrap();
            thread.join().unwrap();
        });
        return;
    }
    watched(|| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env("IORA_TEST_PRINTS", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        until_full(&out, child.id());
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        for printer in 0..8 {
            let start = format!("line {printer} ");
            let of_printer = lines.iter().filter(|line| line.starts_with(&start));
            let expected = (0..LINES).map(|line| format!("line {printer} {line} {}", "x".repeat(100)));
            assert!(of_printer.copied().eq(expected), "lines are whole and in order: {text}");
        }
        for line in ["held", "still held", "from another thread", "after all"] {
            assert!(lines.contains(&line), "{line}");
        }
    });
}

#[test]
fn a_hub_that_ends_leaves_no_descriptor_open() {
    let test = "a_hub_that_ends_leaves_no_descriptor_open";
    let output = child::in_child(test, "", || {
        iora::monkey::patch_all().unwrap();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let cycle = || {
            thread::spawn(|| {
                let ended = Rc::new(Cell::new(0));
                let mut greenlets = Vec::new();
                let mut start = |what: &str, f: Box<dyn FnOnce()>| {
                    let ended = ended.clone();
                    let greenlet = iora::spawn(move || {
                        f();
                        ended.set(ended.get() + 1);
                    });
                    until_parked(&greenlet, what);
                    greenlets.push(greenlet);
                };
                let (mut one, other) = pair();
                start(
                    "recv",
                    Box::new(move || {
                        let error = one.read(&mut [0; 1]).unwrap_err();
                        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
                        drop(other);
                    }),
                );
                let (mut one, other) = pair();
                start(
                    "send",
                    Box::new(move || {
                        while one.write(&[0; 65536]).is_ok() {}
                        drop(other);
                    }),
                );
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                start("accept", Box::new(move || assert!(listener.accept().is_err())));
                let (near, far) = pair();
                start(
                    "poll",
                    Box::new(move || {
                        let mut entry = libc::pollfd {
                            fd: near.as_raw_fd(),
                            events: libc::POLLIN,
                            revents: 0,
                        };
                        // SAFETY: one entry.
                        assert_eq!(unsafe { libc::poll(&raw mut entry, 1, -1) }, -1);
                        drop(far);
                    }),
                );
                start(
                    "epoll_wait",
                    Box::new(|| {
                        let mut poll = mio::Poll::new().unwrap();
                        assert!(poll.poll(&mut mio::Events::with_capacity(8), None).is_err());
                    }),
                );
                start(
                    "waitpid",
                    Box::new(|| {
                        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
                        let pid = child.id() as libc::pid_t;
                        // SAFETY: no status is wanted.
                        assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, -1);
                        drop(child.stdin.take());
                        iora::monkey::unpatched(|| child.wait().unwrap());
                    }),
                );
                let (mut read, write) = pipe();
                start(
                    "read",
                    Box::new(move || {
                        assert!(read.read(&mut [0; 1]).is_err());
                        drop(write);
                    }),
                );
                start("sleep", Box::new(|| thread::sleep(LONG)));
                iora::hub::end();
                assert_eq!(ended.get(), greenlets.len(), "each came to its end");
                assert!(greenlets.iter().all(iora::Greenlet::ready));
            })
            .join()
            .unwrap();
        };
        watched(|| {
            // What is made once is there after the first.
            cycle();
            let before = open();
            cycle();
            assert_eq!(open(), before);
        });
    });
    child::assert_ended(&output, None);
}

#[test]
fn a_program_without_standard_descriptors() {
    let output = child::in_child("a_program_without_standard_descriptors", "", || {
        in_greenlet(|| {
            // SAFETY: nobody reads from it.
            assert_eq!(unsafe { libc::close(0) }, 0);
            let (read, _write) = pipe();
            assert_eq!(read.as_raw_fd(), 0);
            let (near, far) = pair();
            // What the hook makes for its wait must not take the place of the standard input.
            drop(read);
            let polls = iora::spawn(move || {
                let mut entry = libc::pollfd {
                    fd: near.as_raw_fd(),
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: one entry.
                unsafe { libc::poll(&raw mut entry, 1, -1) }
            });
            until_parked(&polls, "poll");
            (&far).write_all(b"x").unwrap();
            assert_eq!(polls.get().unwrap(), 1);
            // A socket in that place stops the thread, and its calls do what they do.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            assert_eq!(listener.as_raw_fd(), 0);
            let address = listener.local_addr().unwrap();
            // SAFETY: shortens the queue of a listener; one connection fills it.
            assert_eq!(unsafe { libc::listen(0, 0) }, 0);
            let _first = std::net::TcpStream::connect(address).unwrap();
            // SAFETY: a listener elsewhere, whose number is free then.
            let elsewhere = unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 100) };
            drop(listener);
            assert!(elsewhere >= 100);
            // SAFETY: makes a descriptor.
            let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
            assert_eq!(fd, 0);
            let limit = libc::timeval {
                tv_sec: 0,
                tv_usec: 20_000,
            };
            // SAFETY: an address is integers, for which zero is a value; a limit of that size; an address of that length.
            let result = unsafe {
                let length = size_of_val(&limit) as libc::socklen_t;
                libc::setsockopt(
                    0,
                    libc::SOL_SOCKET,
                    libc::SO_SNDTIMEO,
                    (&raw const limit).cast(),
                    length,
                );
                let mut raw: libc::sockaddr_in = std::mem::zeroed();
                (raw.sin_family, raw.sin_port) = (libc::AF_INET as _, address.port().to_be());
                raw.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
                libc::connect(0, (&raw const raw).cast(), size_of_val(&raw) as libc::socklen_t)
            };
            let error = io::Error::last_os_error().raw_os_error();
            assert!(
                result == -1 && matches!(error, Some(libc::EINPROGRESS | libc::EALREADY)),
                "{error:?}"
            );
        });
    });
    child::assert_ended(&output, None);
}

#[test]
fn a_handler_closes_what_greenlets_wait_for() {
    const COUNT: usize = 200;
    static DESCRIPTORS: [AtomicI32; COUNT] = [const { AtomicI32::new(-1) }; COUNT];
    static NEXT: AtomicU32 = AtomicU32::new(0);

    extern "C" fn handler(_: c_int) {
        let next = NEXT.fetch_add(1, Ordering::SeqCst) as usize;
        if let Some(fd) = DESCRIPTORS.get(next) {
            // SAFETY: the test's own; the error is put back.
            unsafe {
                let error = *libc::__errno_location();
                libc::close(fd.load(Ordering::SeqCst));
                *libc::__errno_location() = error;
            }
        }
    }

    let output = child::in_child("a_handler_closes_what_greenlets_wait_for", "", || {
        in_greenlet(|| {
            handle(libc::SIGUSR1, libc::SA_RESTART, handler);
            let (readers, others): (Vec<_>, Vec<_>) = DESCRIPTORS
                .iter()
                .map(|place| {
                    let (near, far) = UnixStream::pair().unwrap();
                    place.store(near.as_raw_fd(), Ordering::SeqCst);
                    let near = std::mem::ManuallyDrop::new(near);
                    (
                        iora::spawn(move || (&*near).read(&mut [0]).map_err(|error| error.raw_os_error())),
                        far,
                    )
                })
                .unzip();
            for reader in &readers {
                until_parked(reader, "recv");
            }
            // SAFETY: the calling thread's own.
            let thread = unsafe { libc::pthread_self() };
            let sender = thread::spawn(move || {
                while (NEXT.load(Ordering::SeqCst) as usize) < COUNT {
                    // SAFETY: the thread waits for this one to end.
                    unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
                    thread::sleep(Duration::from_micros(200));
                }
            });
            // The hub is busy with whatever it does; the numbers are used again meanwhile.
            while !sender.is_finished() {
                let (mut one, other) = UnixStream::pair().unwrap();
                let reader = iora::spawn(move || (&other).read(&mut [0; 4]).unwrap());
                iora::yield_now();
                one.write_all(b"word").unwrap();
                assert_eq!(reader.get().unwrap(), 4);
            }
            sender.join().unwrap();
            // What uses a number again ends the waits for what it was.
            for place in &DESCRIPTORS {
                // SAFETY: closes nothing: by now nobody has the number.
                assert_eq!(unsafe { libc::close(place.load(Ordering::SeqCst)) }, -1);
            }
            for reader in readers {
                assert_eq!(reader.get().unwrap(), Err(Some(libc::EBADF)));
            }
            drop(others);
        });
    });
    child::assert_ended(&output, None);
}
