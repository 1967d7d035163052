//! Receiving, sending and accepting without ever blocking, whatever the flags of the descriptor are.
//!
//! `MSG_DONTWAIT` goes with each call, because the `O_NONBLOCK` flag belongs to the open file description, and a
//! duplicate of the descriptor, in this process or in another, may have taken it away.
#![expect(unsafe_code, reason = "calls libc")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Leave what was received in the socket.
pub(crate) const PEEK: i32 = libc::MSG_PEEK;

/// What goes with every send: it neither waits nor raises SIGPIPE.
pub(crate) const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Bytes that one system call moves at most.
pub(crate) const MOST_BYTES: usize = 0x7fff_f000;

/// Slices that one system call takes at most.
pub(crate) const MOST_SLICES: usize = 1024;

/// Whether `error` says that descriptors or memory have run out, which passes when others give some back.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Whether `error` says that the connection was aborted before it could be accepted.
pub(crate) fn is_aborted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECONNABORTED)
}

/// Whether `error`, of a `connect`, says that the connection is under way.
pub(crate) fn is_in_progress(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR)
    )
}

/// Whether `error`, of a `connect`, says that the socket is connected already.
pub(crate) fn is_connected(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EISCONN)
}

/// The error of whoever uses a descriptor that was closed.
pub(crate) fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

/// The error of whoever would have to wait longer than allowed.
pub(crate) fn would_block() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// What a system call that counts bytes returned.
fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Receives into `buffer`. `flags` besides "do not wait".
#[inline]
pub(crate) fn receive(fd: impl AsFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: pointer and length are those of a slice that may be written.
    count(unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags | libc::MSG_DONTWAIT) })
}

/// Sends `bytes`, or the first part of them.
#[inline]
pub(crate) fn send(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: pointer and length are those of a slice.
    count(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), SEND_FLAGS) })
}

/// Receives into several buffers, the first [`MOST_SLICES`] of them.
pub(crate) fn receive_vectored(fd: impl AsFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: all zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // An `IoSliceMut` has the layout of an `iovec`, as std promises.
    message.msg_iov = buffers.as_mut_ptr().cast();
    message.msg_iovlen = buffers.len().min(MOST_SLICES) as _;
    // SAFETY: the message points to as many `iovec`s as it says, each of a slice that may be written.
    count(unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) })
}

/// Sends from several buffers, the first [`MOST_SLICES`] of them.
pub(crate) fn send_vectored(fd: impl AsFd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // An `IoSlice` has the layout of an `iovec`, as std promises; the call only reads.
    message.msg_iov = buffers.as_ptr().cast_mut().cast();
    message.msg_iovlen = buffers.len().min(MOST_SLICES) as _;
    // SAFETY: the message points to as many `iovec`s as it says, each of a slice.
    count(unsafe { libc::sendmsg(fd.as_fd().as_raw_fd(), &raw const message, SEND_FLAGS) })
}

/// Receives into `buffer` and stores the sender's address.
///
/// # Safety
///
/// `address` points to `*length` writable bytes, aligned for any address; `length` to an initialised number.
pub(crate) unsafe fn receive_from(
    fd: impl AsFd,
    buffer: &mut [u8],
    flags: i32,
    address: *mut libc::c_void,
    length: *mut u32,
) -> io::Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: pointer and length of the buffer are those of a slice that may be written; the caller promises the rest.
    count(unsafe {
        libc::recvfrom(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags,
            address.cast(),
            length,
        )
    })
}

/// Accepts a connection and stores the peer's address. The new descriptor is non-blocking and not inherited by
/// programs. The listener must be non-blocking: there is no flag for this call.
///
/// # Safety
///
/// As [`receive_from`].
pub(crate) unsafe fn accept(fd: impl AsFd, address: *mut libc::c_void, length: *mut u32) -> io::Result<OwnedFd> {
    let fd = fd.as_fd().as_raw_fd();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the caller promises that the pointers are what the call needs.
    let new = unsafe { libc::accept4(fd, address.cast(), length, flags) };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made the descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_blocking_descriptor_does_not_block() {
        let (one, two) = UnixStream::pair().expect("a pair");
        let error = receive(&one, &mut [0; 4], 0).expect_err("nothing to read");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(send(&two, b"four").expect("sends"), 4);
        let mut bytes = [0; 4];
        assert_eq!(receive(&one, &mut bytes, PEEK).expect("peeks"), 4);
        assert_eq!(receive(&one, &mut bytes, 0).expect("receives"), 4);
        assert_eq!(&bytes, b"four");
    }

    #[test]
    fn slices_beyond_the_limit_are_left_out() {
        let (one, two) = UnixStream::pair().expect("a pair");
        let slices = [IoSlice::new(b"a"); MOST_SLICES + 1];
        assert_eq!(send_vectored(&one, &slices).expect("sends"), MOST_SLICES);
        let mut first = [0; 2];
        let mut second = [0; 3];
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(receive_vectored(&two, &mut buffers).expect("receives"), 5);
        assert_eq!((&first, &second), (b"aa", b"aaa"));
    }
}
