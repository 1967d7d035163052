//! Connecting without waiting for the connection: std only knows how to do both.
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A non-blocking TCP socket that is connecting to `address`. It becomes writable when that is over: with
/// [`TcpStream::take_error`] telling what went wrong, if anything did.
///
/// # Errors
///
/// Those of socket(2), and those of connect(2) that are known at once.
pub(crate) fn start(address: SocketAddr) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: takes three integers and touches no memory.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `fd` is open, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let result = match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            let length = size_of_val(&raw) as libc::socklen_t;
            // SAFETY: points to an initialised address of that length, which outlives the call.
            unsafe { libc::connect(socket.as_raw_fd(), (&raw const raw).cast(), length) }
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            };
            let length = size_of_val(&raw) as libc::socklen_t;
            // SAFETY: points to an initialised address of that length, which outlives the call.
            unsafe { libc::connect(socket.as_raw_fd(), (&raw const raw).cast(), length) }
        }
    };
    if result < 0 {
        let error = io::Error::last_os_error();
        // An interrupted connect goes on by itself.
        if !matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) {
            return Err(error);
        }
    }
    Ok(TcpStream::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll;
    use std::net::TcpListener;

    fn connects_to(listener: TcpListener) {
        let address = listener.local_addr().expect("bound");
        let stream = start(address).expect("started");
        assert!(poll::wait_writable(&stream, None).expect("waited"));
        assert!(stream.take_error().expect("asked").is_none());
        assert_eq!(stream.peer_addr().expect("connected"), address);
        assert_eq!(
            listener.accept().expect("accepted").1,
            stream.local_addr().expect("connected")
        );
    }

    #[test]
    fn it_connects_by_version_four() {
        connects_to(TcpListener::bind("127.0.0.1:0").expect("a port"));
    }

    #[test]
    fn it_connects_by_version_six() {
        // A machine without version six has nothing to connect to.
        if let Ok(listener) = TcpListener::bind("[::1]:0") {
            connects_to(listener);
        }
    }

    #[test]
    fn a_refusal_is_told() {
        let address = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("bound");
        let refusal = match start(address) {
            Err(error) => error,
            Ok(stream) => {
                assert!(poll::wait_writable(&stream, None).expect("waited"));
                stream.take_error().expect("asked").expect("nobody listens")
            }
        };
        assert_eq!(refusal.kind(), io::ErrorKind::ConnectionRefused);
    }
}
