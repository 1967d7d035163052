//! With iora's names, in greenlets.

/// Child processes.
pub(super) mod process {
    pub(crate) use iora::process::Child;
    use std::process::Command;

    pub(crate) fn start(command: &mut Command) -> std::io::Result<Child> {
        command.spawn().and_then(Child::new)
    }
}

/// Sockets of the machine.
pub(super) mod unix {
    pub(crate) use iora::net::{UnixDatagram, UnixIncoming as Incoming, UnixListener, UnixStream};
    pub(crate) use std::os::unix::net::SocketAddr;
}

/// What waits for others, and what has no part in waiting.
pub(super) mod sync {
    pub(crate) use iora::sync::{
        Barrier, BarrierWaitResult, Condvar, LazyCell as LazyLock, LockResult, Mutex, MutexGuard, OnceCell as OnceLock,
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult, WaitTimeoutResult,
    };
    pub(crate) use std::sync::Arc;
}

pub(super) use iora::net;

// Each is made of std's, and can be made std's again.
crate::traits! {
    net::TcpStream: From<std::net::TcpStream>, Into<std::net::TcpStream>;
    net::TcpListener: From<std::net::TcpListener>, Into<std::net::TcpListener>;
    net::UdpSocket: From<std::net::UdpSocket>, Into<std::net::UdpSocket>;
    unix::UnixStream: From<std::os::unix::net::UnixStream>, Into<std::os::unix::net::UnixStream>;
    unix::UnixListener: From<std::os::unix::net::UnixListener>, Into<std::os::unix::net::UnixListener>;
    unix::UnixDatagram: From<std::os::unix::net::UnixDatagram>, Into<std::os::unix::net::UnixDatagram>;
}

/// Runs `f` beside the caller; what is returned waits for its result.
pub(super) fn beside<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> impl FnOnce() -> T {
    let greenlet = iora::spawn(f);
    move || greenlet.get().expect("did not panic")
}

#[path = "child.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled with the other names too")]
mod child;
#[path = "internet.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled with the other names too")]
mod internet;
#[path = "locks.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled with the other names too")]
mod locks;
#[path = "machine.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled with the other names too")]
mod machine;

/// std has it in a trait, which nobody else can have: here it is a method.
#[test]
fn acknowledgements_may_be_hurried() {
    let listener = net::TcpListener::bind((net::Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let stream = net::TcpStream::connect(listener.local_addr().expect("bound")).expect("listens");
    for on in [false, true] {
        stream.set_quickack(on).expect("open");
        assert_eq!(stream.quickack().expect("open"), on);
    }
}
