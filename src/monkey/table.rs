//! What is known of each descriptor of the process, by its number.
//!
//! A slot says of what kind the descriptor is, whether it is non-blocking and has time limits (asked of the kernel once and
//! remembered until somebody sets them), and with which hubs it is registered. Whatever closes the descriptor through
//! libc empties its slot and wakes who waits for it, so a number that is used again begins anew.
//!
//! Options belong to the open file, which several numbers may share. [`EPOCH`] counts the changes made through
//! numbers that do (they were duplicated); what was remembered before the last of them is asked again.
#![expect(
    unsafe_code,
    reason = "borrows descriptors by number, and slots from a table that is never freed"
)]

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, Ordering};

use super::frame::system;
use crate::hub::source::{self, Direction, Registration};
use crate::primitive::ShortLock;
use crate::sys::{errno, signals};

/// Slots in a chunk.
const CHUNK: usize = 256;
/// Chunks there may be: descriptors beyond their slots pass all hooks by.
const CHUNKS: usize = 8192;

/// What kind of descriptor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Never blocks in a way that can be waited for: files, directories, disks, what is not open.
    File,
    /// A socket whose bytes are a stream.
    StreamSocket,
    /// Any other socket.
    OtherSocket,
    /// A pipe, with or without a name.
    Pipe,
    /// A terminal, or either end of one that a program plays.
    Terminal,
    /// Whatever else can be polled: events, timers, devices. What is written to some is a message, not to be split.
    Other,
}

impl Kind {
    /// All of them, in their order.
    const ALL: [Kind; 6] = [
        Kind::File,
        Kind::StreamSocket,
        Kind::OtherSocket,
        Kind::Pipe,
        Kind::Terminal,
        Kind::Other,
    ];

    /// Whether it is a socket.
    #[inline]
    pub(super) fn is_socket(self) -> bool {
        matches!(self, Kind::StreamSocket | Kind::OtherSocket)
    }
}

/// Not known yet.
const UNKNOWN: u8 = 0;

/// It is non-blocking: the user deals with that.
pub(super) const NONBLOCKING: u8 = 1;
/// It is a socket with a time limit for receiving or sending.
pub(super) const TIMED: u8 = 2;

/// A descriptor's number and what is known of it.
pub(super) struct Slot {
    /// A [`Kind`] plus one, or [`UNKNOWN`].
    kind: AtomicU8,
    /// [`NONBLOCKING`] and [`TIMED`], as of `asked`.
    options: AtomicU8,
    /// The [`EPOCH`] in which the kernel was asked for the options; 0 if it has to be.
    asked: AtomicU32,
    /// Other numbers may stand for the same open file.
    shared: AtomicBool,
    /// Somebody comes back to this number without being registered: see [`Followed`].
    followed: AtomicBool,
    /// A signal handler has closed it, in the midst of who knows what: the registrations are still to be ended.
    orphaned: AtomicBool,
    /// How often it was closed while it was followed.
    closes: AtomicU32,
    /// Whether there are registrations, so that most operations need no lock.
    registered: AtomicBool,
    /// With which hubs it is registered.
    registrations: ShortLock<Vec<Registration>>,
}

/// Changes of options through descriptors that are shared.
static EPOCH: AtomicU32 = AtomicU32::new(1);

/// The slots, made as they are needed and never freed.
static TABLE: [AtomicPtr<[Slot; CHUNK]>; CHUNKS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS];

/// The slot of `fd` if there is one.
#[inline]
pub(super) fn find(fd: RawFd) -> Option<&'static Slot> {
    let index = usize::try_from(fd).ok()?;
    let chunk = TABLE.get(index / CHUNK)?.load(Ordering::Acquire);
    // SAFETY: a chunk is published whole, once, and never freed.
    let chunk = unsafe { chunk.as_ref() }?;
    Some(&chunk[index % CHUNK])
}

/// The slot of `fd`, made if need be; `None` if it is no descriptor's number, or too high a one.
#[inline]
pub(super) fn slot(fd: RawFd) -> Option<&'static Slot> {
    find(fd).or_else(|| make(fd))
}

/// Makes the chunk that `fd` belongs to. Of pages of its own: a signal handler must not allocate.
#[cold]
fn make(fd: RawFd) -> Option<&'static Slot> {
    let place = TABLE.get(usize::try_from(fd).ok()? / CHUNK)?;
    let size = size_of::<[Slot; CHUNK]>();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let mapped = system!(SYS_mmap, 0, size, access, kind, -1_isize, 0);
    if mapped < 0 {
        return None;
    }
    let chunk = std::ptr::with_exposed_provenance_mut::<[Slot; CHUNK]>(mapped as usize);
    // SAFETY: new memory of that size, at the beginning of a page.
    unsafe { chunk.write([const { Slot::new() }; CHUNK]) };
    let made = place.compare_exchange(std::ptr::null_mut(), chunk, Ordering::AcqRel, Ordering::Acquire);
    if made.is_err() {
        // Another thread was first, so this one was never published. It owns nothing.
        system!(SYS_munmap, mapped, size);
    }
    find(fd)
}

impl Slot {
    /// Nothing is known.
    const fn new() -> Slot {
        Slot {
            kind: AtomicU8::new(UNKNOWN),
            options: AtomicU8::new(0),
            asked: AtomicU32::new(0),
            shared: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
            closes: AtomicU32::new(0),
            registered: AtomicBool::new(false),
            registrations: ShortLock::new(Vec::new()),
        }
    }

    /// Of what kind the descriptor is.
    #[inline]
    pub(super) fn kind(&self, fd: RawFd) -> Kind {
        let known = usize::from(self.kind.load(Ordering::Relaxed));
        match Kind::ALL.get(known.wrapping_sub(1)) {
            Some(kind) => *kind,
            None => self.ask_kind(fd),
        }
    }

    /// Asks the kernel.
    #[cold]
    fn ask_kind(&self, fd: RawFd) -> Kind {
        // SAFETY: a status is plain integers, for which zero is a value.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        if system!(SYS_fstat, fd, &raw mut status) < 0 {
            return Kind::File;
        }
        let kind = match status.st_mode & libc::S_IFMT {
            libc::S_IFSOCK => match option_of(fd, libc::SO_TYPE) {
                Some(libc::SOCK_STREAM) => Kind::StreamSocket,
                _ => Kind::OtherSocket,
            },
            libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => Kind::File,
            libc::S_IFIFO => Kind::Pipe,
            libc::S_IFCHR if is_terminal(fd) => Kind::Terminal,
            _ => Kind::Other,
        };
        self.kind.store(kind as u8 + 1, Ordering::Relaxed);
        kind
    }

    /// [`NONBLOCKING`] and [`TIMED`].
    pub(super) fn options(&self, fd: RawFd) -> u8 {
        let epoch = EPOCH.load(Ordering::Acquire);
        if self.asked.load(Ordering::Acquire) == epoch {
            return self.options.load(Ordering::Relaxed);
        }
        let flags = system!(SYS_fcntl, fd, libc::F_GETFL);
        let mut options = 0;
        if flags >= 0 && flags & libc::O_NONBLOCK as isize != 0 {
            options |= NONBLOCKING;
        }
        if self.kind(fd).is_socket()
            && [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO]
                .iter()
                .any(|which| limit_of(fd, *which).is_some())
        {
            options |= TIMED;
        }
        self.options.store(options, Ordering::Relaxed);
        self.asked.store(epoch, Ordering::Release);
        options
    }

    /// Somebody is about to set an option, or has: ask again.
    pub(super) fn options_changed(&self) {
        self.asked.store(0, Ordering::Release);
        if self.shared.load(Ordering::Relaxed) {
            EPOCH.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The registration with the calling thread's hub.
    #[inline]
    pub(super) fn registration(&self) -> Option<Registration> {
        if !self.registered.load(Ordering::Acquire) {
            return None;
        }
        let is_local = |registration: &&Registration| registration.may_try(Direction::Read).is_some();
        self.registrations.lock().iter().find(is_local).copied()
    }

    /// As [`Slot::registration`], without waiting for others who look: a signal handler may have interrupted one of them.
    #[inline]
    pub(super) fn glance(&self) -> Option<Registration> {
        if !self.registered.load(Ordering::Acquire) {
            return None;
        }
        let is_local = |registration: &&Registration| registration.may_try(Direction::Read).is_some();
        self.registrations.try_lock()?.iter().find(is_local).copied()
    }

    /// Remembers a registration with the calling thread's hub.
    pub(super) fn add(&self, registration: Registration) {
        self.registrations.lock().push(registration);
        self.registered.store(true, Ordering::Release);
    }

    /// The descriptor is about to be closed: wakes who waits for it, and forgets all.
    #[inline]
    fn clear(&self, fd: RawFd) {
        if [&self.registered, &self.shared, &self.followed, &self.orphaned]
            .iter()
            .any(|mark| mark.load(Ordering::Relaxed))
        {
            if is_borrowed() {
                return;
            }
            if self.followed.swap(false, Ordering::AcqRel) {
                self.closes.fetch_add(1, Ordering::Release);
            }
            if self.registered.swap(false, Ordering::AcqRel) {
                self.orphaned.store(true, Ordering::Release);
            }
            if !(source::has_hub() && signals::in_handler()) {
                self.end_orphans(fd);
            }
        }
        self.kind.store(UNKNOWN, Ordering::Relaxed);
        self.asked.store(0, Ordering::Relaxed);
        self.shared.store(false, Ordering::Relaxed);
    }

    /// Ends what the number was registered for before it was closed: wakes who waits.
    pub(super) fn end_orphans(&self, fd: RawFd) {
        if self.orphaned.load(Ordering::Acquire) && self.orphaned.swap(false, Ordering::AcqRel) {
            self.end_registrations(fd);
        }
    }

    /// Tells the hubs.
    #[cold]
    fn end_registrations(&self, fd: RawFd) {
        // A close that succeeds leaves it as it was.
        let _saved = errno::Saved::new();
        let registrations = std::mem::take(&mut *self.registrations.lock());
        // SAFETY: open until the caller closes it, later than this borrow ends; or it was closed: then to take it out of a set fails.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        for registration in registrations {
            registration.end(borrowed, true);
            registration.end(borrowed, false);
        }
    }
}

/// A descriptor to which a call comes back that others run in the midst of: when it was closed meanwhile, its number stands for
/// something else, or will.
pub(super) struct Followed {
    /// Its slot; without one nothing is known.
    slot: Option<&'static Slot>,
    /// How often it had been closed.
    closes: u32,
}

impl Followed {
    /// From now on.
    pub(super) fn new(fd: RawFd) -> Followed {
        let slot = slot(fd);
        let closes = slot.map_or(0, |slot| {
            slot.followed.store(true, Ordering::Release);
            slot.closes.load(Ordering::Acquire)
        });
        Followed { slot, closes }
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.slot
            .is_some_and(|slot| slot.closes.load(Ordering::Acquire) != self.closes)
    }
}

/// The process that the table belongs to.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// The table is the calling process's: at the first patch, and in a fork.
pub(super) fn owned_by_this_process() {
    OWNER.store(system!(SYS_getpid) as u32, Ordering::Relaxed);
}

/// Whether the caller has the table on loan: between vfork(2) and the new program, a child has descriptors of its own in its
/// parent's memory.
#[cold]
fn is_borrowed() -> bool {
    system!(SYS_getpid) as u32 != OWNER.load(Ordering::Relaxed)
}

/// `fd` is about to be closed.
#[inline]
pub(super) fn closing(fd: RawFd) {
    if let Some(slot) = find(fd) {
        slot.clear(fd);
    }
}

/// The descriptors from `first` to `last` are about to be closed.
pub(super) fn closing_range(first: u32, last: u32) {
    let last = (last as usize).min(CHUNK * CHUNKS - 1);
    let mut fd = first as usize;
    while fd <= last {
        if TABLE[fd / CHUNK].load(Ordering::Acquire).is_null() {
            fd = (fd / CHUNK + 1) * CHUNK;
        } else {
            closing(fd as RawFd);
            fd += 1;
        }
    }
}

/// `old` and `new` stand for one open file from now on.
pub(super) fn duplicated(old: RawFd, new: RawFd) {
    for fd in [old, new] {
        if let Some(slot) = slot(fd) {
            slot.shared.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether a device is a terminal.
fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: settings are plain integers, for which zero is a value.
    let mut settings: libc::termios2 = unsafe { std::mem::zeroed() };
    system!(SYS_ioctl, fd, libc::TCGETS2, &raw mut settings) >= 0
}

/// An option of a socket that is an integer.
pub(super) fn option_of(fd: RawFd, option: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    let result = system!(
        SYS_getsockopt,
        fd,
        libc::SOL_SOCKET,
        option,
        &raw mut value,
        &raw mut length
    );
    (result >= 0).then_some(value)
}

/// A time limit of a socket.
pub(super) fn limit_of(fd: RawFd, option: libc::c_int) -> Option<std::time::Duration> {
    let mut value = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut length = size_of_val(&value) as libc::socklen_t;
    let result = system!(
        SYS_getsockopt,
        fd,
        libc::SOL_SOCKET,
        option,
        &raw mut value,
        &raw mut length
    );
    let limit = std::time::Duration::new(
        u64::try_from(value.tv_sec).unwrap_or(0),
        u32::try_from(value.tv_usec).unwrap_or(0) * 1000,
    );
    (result >= 0 && !limit.is_zero()).then_some(limit)
}
