//! At which of the machine's addresses a datagram arrived, and from which one is sent (ip(7) and ipv6(7), "PKTINFO").
//!
//! A socket that is bound to no address in particular hears at all of them. The kernel chooses the address of what it sends
//! by the route, which need not be the one that was asked: so the one is told, and the other is said, beside each datagram.
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use super::mmsg::{from_raw_address, length_of, to_raw_address};
use super::socket::SEND_FLAGS;

/// Room for what goes beside a datagram, aligned for its header.
type Control = [u64; 8];

/// Has the kernel tell, from now on, at which address each datagram arrives. `ipv6` is the socket's family.
pub(crate) fn tell(fd: impl AsFd, ipv6: bool) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the value is an int that lives through the call, and the length is its own.
    let result = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Receives a datagram, without waiting: its length, its sender, and where it arrived, if the kernel tells that.
pub(crate) fn receive(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
    let mut control: Control = [0; 8];
    // SAFETY: all zero is a valid address, if one of no family.
    let mut address: libc::sockaddr_in6 = unsafe { mem::zeroed() };
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = size_of_val(&address) as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the message points to an address, a buffer and a room for control messages, each with its length, which all
    // outlive the call and may be written.
    let received = unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let sender = from_raw_address(&address).ok_or(io::ErrorKind::InvalidData)?;
    Ok((length, sender, arrived_at(&message)))
}

/// What the control messages of a message that was received tell.
fn arrived_at(message: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the kernel has filled the message in, so its control messages are where it says.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a whole header within the room.
    while let Some(control) = unsafe { header.as_ref() } {
        // SAFETY: a header of this message.
        let data = unsafe { libc::CMSG_DATA(header) };
        match (control.cmsg_level, control.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if is_whole::<libc::in_pktinfo>(control) => {
                // SAFETY: what such a header is followed by, all of it; it may be unaligned.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                // The local address, also of a datagram that was sent to many.
                return Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if is_whole::<libc::in6_pktinfo>(control) => {
                // SAFETY: as above.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                return (!address.is_multicast()).then_some(address.into());
            }
            _ => {}
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

/// Whether a control message has a whole `T`. The kernel cuts the last one off where the room ends: other options of the socket
/// may have filled it.
fn is_whole<T>(control: &libc::cmsghdr) -> bool {
    // SAFETY: it computes a number from a number.
    let length = unsafe { libc::CMSG_LEN(size_of::<T>() as u32) };
    control.cmsg_len >= length as usize
}

/// Sends a datagram, without waiting, from this address of the machine.
pub(crate) fn send(fd: impl AsFd, bytes: &[u8], to: SocketAddr, from: IpAddr) -> io::Result<usize> {
    let mut control: Control = [0; 8];
    let mut address = to_raw_address(to);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = length_of(&address);
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    match from {
        IpAddr::V4(from) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(from.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            put(&mut message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        IpAddr::V6(from) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: from.octets() },
                ipi6_ifindex: 0,
            };
            put(&mut message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
    // SAFETY: the message points to an address, the bytes and a control message, which the call reads.
    let sent = unsafe { libc::sendmsg(fd.as_fd().as_raw_fd(), &raw const message, SEND_FLAGS) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Makes `value` the only control message of a message whose room for them is a [`Control`].
fn put<T>(message: &mut libc::msghdr, level: i32, kind: i32, value: T) {
    let size = size_of::<T>() as u32;
    // SAFETY: arithmetic.
    let space = unsafe { libc::CMSG_SPACE(size) };
    assert!(space as usize <= size_of::<Control>(), "room for one message");
    message.msg_controllen = space as _;
    // SAFETY: the room is larger than a header.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: the first header is at the beginning of the room, which is aligned for it, zeroed, and borrowed by nobody.
    let control = unsafe { &mut *header };
    control.cmsg_level = level;
    control.cmsg_type = kind;
    // SAFETY: arithmetic.
    control.cmsg_len = unsafe { libc::CMSG_LEN(size) } as _;
    // SAFETY: what follows the header is within the room, as asserted.
    let data = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: as above; it need not be aligned.
    unsafe { data.cast::<T>().write_unaligned(value) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_message_that_was_cut_off_tells_nothing() {
        let mut control: Control = [0; 8];
        // SAFETY: all zero is a valid message, of nothing.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_control = control.as_mut_ptr().cast();
        let info = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr { s_addr: 1 },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        put(&mut message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        assert!(arrived_at(&message).is_some());
        // SAFETY: the message is whole.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: `put` has made it, and nothing else refers to it.
        unsafe { (*header).cmsg_len -= 1 };
        assert_eq!(arrived_at(&message), None);
    }

    #[test]
    fn the_address_is_told_and_can_be_said() {
        for (any, local, ipv6) in [("0.0.0.0:0", "127.0.0.2", false), ("[::]:0", "::1", true)] {
            // Where the machine has no IPv6 there is nothing to be told.
            let Ok(server) = UdpSocket::bind(any) else { continue };
            tell(&server, ipv6).expect("tells");
            let port = server.local_addr().expect("bound").port();
            let local: IpAddr = local.parse().expect("an address");
            let client = UdpSocket::bind(any).expect("a port");
            if client.connect((local, port)).is_err() {
                continue;
            }
            client.send(b"there?").expect("sends");
            crate::sys::poll::wait_readable(&server, None).expect("polls");
            let mut buffer = [0; 16];
            let (length, sender, arrived) = receive(&server, &mut buffer).expect("receives");
            assert_eq!((&buffer[..length], arrived), (&b"there?"[..], Some(local)));
            assert_eq!(send(&server, b"here", sender, local).expect("sends"), 4);
            // It is connected: from elsewhere nothing would come.
            assert_eq!(client.recv(&mut buffer).expect("receives"), 4);
            let error = receive(&server, &mut buffer).expect_err("nothing left");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }
}
