//! Monkey patching: unmodified blocking code parks the greenlet instead of blocking the thread.
//!
//! With the feature `monkey` this crate defines the functions of libc through which `std::net`, `std::thread::sleep`,
//! `ToSocketAddrs`, std's locks, other crates and C libraries block. Until [`patch_all`] is called, and on any thread without a
//! hub, they are the system calls that they stand for.
//!
//! # What becomes cooperative
//!
//! * **Sockets, pipes, terminals, events** ([`patch_socket`]): `recv send read write connect accept` and all variants,
//!   `sendfile`, `splice`, waiting for file locks. What blocks keeps blocking semantics: a `send` sends everything,
//!   `MSG_WAITALL` waits for everything, `SO_RCVTIMEO` and `SO_SNDTIMEO` hold. A descriptor that you made non-blocking stays as it is. Closing one wakes
//!   who waits for it with `EBADF`.
//! * **Sleeping** ([`patch_time`]).
//! * **Names** ([`patch_dns`]): `getaddrinfo`, `gethostbyname` and variants, by [`dns`](crate::dns); `getnameinfo` on the
//!   thread pool.
//! * **Waiting for many** ([`patch_select`]): `poll`, `select`, `epoll_wait` and variants. An event loop such as mio's, and
//!   tokio's `current_thread` runtime, run inside one greenlet.
//! * **Locks** ([`patch_thread`]): `std::sync::{Mutex, RwLock, Condvar, Once, OnceLock, Barrier}`, `std::thread::park`, and
//!   `std::sync::mpsc` between threads, any number of greenlets of each. Unlocking a `Mutex` that a greenlet of the same thread
//!   waits for lets that one run first, and a `RwLock` its readers; of writers see below. `JoinHandle::join` and `pthread_join`
//!   look at the thread now and then.
//! * **Child processes** ([`patch_subprocess`]): `waitpid` and variants. One that is named, by its number or a descriptor, is
//!   noticed at once; any child, or one that stops, within 20 ms.
//!
//! C libraries, linked into the program or shared, come to the same functions: the linker exports the hooks to them. The
//! first `patch_*` looks whether they are reached, and its error says how to link if they are not.
//!
//! # Tried with
//!
//! Unmodified, with ten slow calls at once in greenlets of one thread that also ran others meanwhile, against real servers:
//! `ureq` (HTTP, and HTTPS by rustls), `redis`, `mysql`, `tungstenite`, `lettre`, `native-tls`; the `curl` crate on the shared
//! libcurl and libpq, both with all that they stand on; `tiny_http` as a server, whose requests greenlets take and answer;
//! in one greenlet, a loop of `mio`'s, and `hyper` on tokio's `current_thread` runtime as server and client. `postgres`
//! has a tokio of its own in each call: see below.
//!
//! # What does not, and what to do then
//!
//! | what | why | what you see | do |
//! | --- | --- | --- | --- |
//! | parking_lot, `pthread_mutex_t`, glibc's condition variables | their queues, owners or calls belong to the thread | a contended lock stops the thread; for ever, if its holder is a parked greenlet of the same thread | do not hold it over a blocking call |
//! | two runtimes of tokio on one thread, also inside blocking crates (`postgres`) | tokio keeps the current one in a thread-local | the second panics: "Cannot start a runtime from within a runtime" | a [`Mutex`](crate::sync::Mutex) around the calls; [`ThreadPool::apply`](crate::threadpool::ThreadPool::apply), where they overlap |
//! | `ReentrantLock`, recursive mutexes, whatever knows its owner by thread | all greenlets of a thread are one owner | a second greenlet gets in | do not hold it over a blocking call |
//! | a global allocator of your own that stands on std's locks | iora allocates too, in the midst of parking somebody | the thread stops for ever where the lock is contended | a lock that spins, or all but [`patch_thread`] |
//! | OpenSSL's queue of errors | belongs to the thread | what one greenlet leaves in it, another that was parked inside OpenSSL takes for the reason of its own end of stream | take every error out, as the `openssl` crate does, or `ERR_clear_error` |
//! | `std::sync::mpsc` and crossbeam's channels between greenlets of one thread | a sender wakes only receivers of other threads | the receiver parks for ever | [`queue`](crate::queue) |
//! | `std::sync::RwLock` that writers of one thread wait for | to wake a writer looks like notifying a condition | whoever unlocks it and locks it again at once is faster than the woken writer, 16 times or for 10 ms, whichever is longer; that one looks at it a hundred times, some microseconds, before it parks again | [`RwLock`](crate::sync::RwLock) |
//! | `std::thread::park` by several greenlets of one thread | the thread has one token for all of them | whoever is told may come up to 50 ms late; while no two have been parked at once yet, a token that a neighbour uses up without parking is lost | [`Event`](crate::sync::Event) |
//! | files on disks, `fsync` | the kernel tells nobody when a disk is ready | stops the thread for the length of the disk access | the thread pool |
//! | `rustix` and Go code | they make system calls without libc | stops the thread | rustix: its feature `use-libc`; else the thread pool |
//! | `fread`, `popen`, `system` | glibc calls itself without passing by us | stops the thread | the thread pool |
//! | standard input, output and error | std holds a lock around them that knows its owner by thread | a full pipe stops the thread; of two greenlets that print, the second gets in if the first is parked with `stdout().lock()` in its hands | a thread that prints what comes out of a [`queue`](crate::queue) |
//! | libraries opened with `RTLD_DEEPBIND`, or with a libc of their own inside | they do not look for the program's functions | stops the thread | the thread pool |
//! | the kernel's look for deadlocks between locks of files (`EDEADLK`) | the lock is asked for now and then, not waited for | the greenlets wait for ever | |
//! | calls that change the signal mask while they wait | the mask belongs to the thread | stops the thread | |
//! | `accept` on a listener that other processes share | no flag makes it non-blocking for one caller alone | another process may take the connection that was seen, then it stops the thread until the next | make it non-blocking, or `SO_REUSEPORT` |
//! | a descriptor closed without libc's `close` or `fclose` (`freopen`, `closefrom`, a system call of one's own) | nobody tells us | who waits for that number goes on waiting, and whatever gets it next may | `shutdown` it first |
//! | `getaddrinfo` with `AI_ADDRCONFIG`, or without hints | the C library goes by the addresses of interfaces, iora by routes | where a machine has one kind of addresses only, others are left out instead of refused | [`unpatched`] |
//! | host names in odd forms | iora's resolver reads them | `gethostbyname` gives no aliases; addresses in hexadecimal, and `localhost.`, are understood; ports above 65535 are refused | [`unpatched`] |
//! | `recvmmsg` with a time limit | the kernel looks at the limit after each datagram, and waits for the next without one | stops the thread | `SO_RCVTIMEO` |
//! | `waitpid` without `WUNTRACED` for a child that one traces (`ptrace`) | its stops make no event | it waits for the child's end | `WUNTRACED` as well |
//! | `pthread_cancel` | hooks are no cancellation points | it comes later | |
//!
//! # Kill and timeout
//!
//! Nothing unwinds through C. A greenlet that is killed, or whose [`timeout`](crate::timeout) expires, in a hooked call gets
//! `ECANCELED` from it and from every such call after it, until it comes to a call of iora's own, which raises it, or ends:
//! then it has been killed, and the timeout has elapsed, whatever it returned. A sleep ends early. A lock, and the join of a
//! thread, go on waiting. tokio panics when its `epoll_wait` fails: that is then how the greenlet ends.
//!
//! # Signal handlers, destructors, forks
//!
//! A signal handler runs in the middle of whatever the greenlet was doing, so nothing may be switched there: a hooked call in
//! it that blocks stops the thread, as it would without hooks. A handler is known by its signal, which is blocked while it
//! runs: so calls also stop the thread where a program itself blocks a signal that has a handler, and one that was
//! installed with `SA_NODEFER` is not known: it must not block. Who waits for a descriptor that a handler closes is told when
//! its number is used again.
//!
//! Calls in destructors stop the thread while it unwinds, also for a kill, and when it ends after its hub.
//!
//! A fork of a program with hubs has none and is not patched: its calls are the system's. A program that forks before its
//! first greenlet, as daemons do, stays patched.

mod children;
mod connect;
mod descriptors;
mod fortified;
mod frame;
mod futex;
mod futex_queue;
mod hosts;
mod join;
mod names;
mod original;
mod parts;
mod patch;
mod receive;
mod report;
mod select;
mod send;
mod table;
mod thread_word;
mod time;
mod wait;

pub use patch::{
    is_patched, patch_all, patch_dns, patch_select, patch_socket, patch_subprocess, patch_thread, patch_time, unpatched,
};
pub use report::Report;
