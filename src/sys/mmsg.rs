//! Many datagrams in one system call (recvmmsg, sendmmsg), from a store that is made once and used again.
//!
//! ```text
//!   slot      0          1          2     …
//!   bytes     |..........|..........|..........|    `size` bytes each, one after the other
//!   lengths   of the datagram in each slot
//!   addresses of its sender or receiver
//!   headers, vectors: what the kernel reads; their pointers are set before each call, never kept
//! ```
#![expect(unsafe_code, reason = "calls libc")]

use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use super::socket::SEND_FLAGS;

/// See the top of the file.
pub(crate) struct Slots {
    /// Bytes of a slot.
    size: usize,
    /// The datagrams.
    bytes: Box<[u8]>,
    /// Their lengths; what came longer than a slot is marked by [`CUT`].
    lengths: Box<[usize]>,
    /// Senders or receivers. An IPv6 address is the largest that a socket of the internet knows.
    addresses: Box<[libc::sockaddr_in6]>,
    /// A vector of one element for each header.
    vectors: Box<[libc::iovec]>,
    /// For the kernel.
    headers: Box<[libc::mmsghdr]>,
}

/// Added to the length of a datagram whose end was lost.
const CUT: usize = 1 << (usize::BITS - 1);

/// Receiving never waits, whatever the descriptor's mode.
const FLAGS: i32 = libc::MSG_DONTWAIT;

// SAFETY: the raw pointers are those in headers and vectors; they are set from the other fields at the beginning of a call,
// used by it alone, and mean nothing afterwards.
unsafe impl Send for Slots {}

// SAFETY: as above, and a shared reference reaches neither headers nor vectors.
unsafe impl Sync for Slots {}

impl Slots {
    /// `count` slots of `size` bytes.
    ///
    /// # Panics
    ///
    /// When these are more than the address space.
    pub(crate) fn new(count: usize, size: usize) -> Slots {
        // What the kernel is told of each slot rests on it.
        let all = count
            .checked_mul(size)
            .expect("datagrams that fit in the address space");
        // SAFETY: all zero is a valid address, if one of no family.
        let address: libc::sockaddr_in6 = unsafe { mem::zeroed() };
        // SAFETY: all zero is a valid vector, of nothing.
        let vector: libc::iovec = unsafe { mem::zeroed() };
        // SAFETY: all zero is a valid header, of nothing.
        let header: libc::mmsghdr = unsafe { mem::zeroed() };
        Slots {
            size,
            bytes: vec![0; all].into(),
            lengths: vec![0; count].into(),
            addresses: vec![address; count].into(),
            vectors: vec![vector; count].into(),
            headers: vec![header; count].into(),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lengths.len()
    }

    /// The datagram in a slot.
    pub(crate) fn datagram(&self, slot: usize) -> &[u8] {
        &self.bytes[slot * self.size..][..self.lengths[slot] & !CUT]
    }

    /// The whole slot, to be changed.
    pub(crate) fn slot_mut(&mut self, slot: usize) -> &mut [u8] {
        &mut self.bytes[slot * self.size..][..self.size]
    }

    /// Says how long the datagram in a slot is.
    pub(crate) fn set_length(&mut self, slot: usize, length: usize) {
        assert!(length <= self.size, "a datagram is no longer than its slot");
        self.lengths[slot] = length;
    }

    /// Whether the end of the datagram was lost because the slot is too small.
    pub(crate) fn is_cut(&self, slot: usize) -> bool {
        self.lengths[slot] & CUT != 0
    }

    /// The sender or receiver, if there is one.
    pub(crate) fn address(&self, slot: usize) -> Option<SocketAddr> {
        from_raw_address(&self.addresses[slot])
    }

    /// Sets the receiver.
    pub(crate) fn set_address(&mut self, slot: usize, address: Option<SocketAddr>) {
        match address {
            Some(address) => self.addresses[slot] = to_raw_address(address),
            None => self.addresses[slot].sin6_family = libc::AF_UNSPEC as libc::sa_family_t,
        }
    }

    /// Receives into the slots from the first on, without waiting. Returns how many datagrams there were.
    pub(crate) fn receive(&mut self, fd: impl AsFd) -> io::Result<usize> {
        self.lengths.fill(self.size);
        for address in &mut self.addresses {
            address.sin6_family = libc::AF_UNSPEC as libc::sa_family_t;
        }
        self.point(0..self.count());
        let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len());
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: that many headers were just pointed to slots and addresses, each a part of its own that may be written.
        let result = unsafe { libc::recvmmsg(fd, headers, as_count(count), FLAGS, ptr::null_mut()) };
        let received = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&self.headers[..received]) {
            let cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            *length = header.msg_len as usize | if cut { CUT } else { 0 };
        }
        Ok(received)
    }

    /// Sends the datagrams in `slots`, without waiting: to their addresses, or where the socket is connected to if they
    /// have none. Returns how many the kernel took, from the first on.
    pub(crate) fn send(&mut self, fd: impl AsFd, slots: Range<usize>) -> io::Result<usize> {
        self.point(slots.clone());
        let headers = &mut self.headers[slots.clone()];
        for (header, address) in headers.iter_mut().zip(&self.addresses[slots]) {
            if i32::from(address.sin6_family) == libc::AF_UNSPEC {
                header.msg_hdr.msg_name = ptr::null_mut();
                header.msg_hdr.msg_namelen = 0;
            }
        }
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: the headers were just pointed to slots and addresses, which the call reads.
        let result = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), as_count(headers.len()), SEND_FLAGS) };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// Points the headers of `slots` to their bytes, as long as their lengths say, and to their addresses.
    fn point(&mut self, slots: Range<usize>) {
        let bytes = self.bytes.as_mut_ptr();
        for slot in slots {
            let address = &mut self.addresses[slot];
            let vector = &mut self.vectors[slot];
            vector.iov_base = bytes.wrapping_add(slot * self.size).cast();
            vector.iov_len = self.lengths[slot] & !CUT;
            let header = &mut self.headers[slot].msg_hdr;
            header.msg_namelen = length_of(address);
            header.msg_name = (&raw mut *address).cast();
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_flags = 0;
        }
    }
}

/// An address as std has it, if it is one of the internet. The place is that of the largest.
pub(super) fn from_raw_address(raw: &libc::sockaddr_in6) -> Option<SocketAddr> {
    let port = u16::from_be(raw.sin6_port);
    match i32::from(raw.sin6_family) {
        // The larger address has its flow information where the smaller one has its address.
        libc::AF_INET => Some(SocketAddr::from((raw.sin6_flowinfo.to_ne_bytes(), port))),
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// An address as the kernel has it.
pub(super) fn to_raw_address(address: SocketAddr) -> libc::sockaddr_in6 {
    let (family, flow, ip, scope) = match address {
        SocketAddr::V4(address) => (libc::AF_INET, u32::from_ne_bytes(address.ip().octets()), [0; 16], 0),
        SocketAddr::V6(address) => (
            libc::AF_INET6,
            address.flowinfo(),
            address.ip().octets(),
            address.scope_id(),
        ),
    };
    libc::sockaddr_in6 {
        sin6_family: family as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: flow,
        sin6_addr: libc::in6_addr { s6_addr: ip },
        sin6_scope_id: scope,
    }
}

/// How long an address is.
pub(super) fn length_of(address: &libc::sockaddr_in6) -> libc::socklen_t {
    let length = match i32::from(address.sin6_family) {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        _ => size_of::<libc::sockaddr_in6>(),
    };
    length as libc::socklen_t
}

/// A number of headers as the kernel wants it, which takes no more than 1024 at once anyway.
fn as_count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, UdpSocket};

    #[test]
    fn addresses_of_both_families_are_kept() {
        let mut slots = Slots::new(2, 0);
        let four = SocketAddr::from((Ipv4Addr::new(1, 2, 3, 4), 567));
        let six = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 89, 0, 3));
        slots.set_address(0, Some(six));
        slots.set_address(0, Some(four));
        slots.set_address(1, Some(six));
        assert_eq!((slots.address(0), slots.address(1)), (Some(four), Some(six)));
    }

    #[test]
    fn datagrams_go_out_and_come_in_with_addresses_and_lengths() {
        let (one, two) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
        let (one, two) = (one.expect("a free port"), two.expect("a free port"));
        let mut out = Slots::new(3, 8);
        for slot in 0..3 {
            out.set_address(slot, two.local_addr().ok());
            out.slot_mut(slot)[0] = slot as u8;
            out.set_length(slot, slot + 1);
        }
        assert_eq!(out.send(&one, 1..3).expect("sends"), 2);
        let mut into = Slots::new(4, 2);
        // An address of the other family from an earlier use must not matter.
        into.set_address(0, Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 1))));
        assert_eq!(into.receive(&two).expect("receives"), 2);
        assert_eq!(into.datagram(0), [1, 0]);
        assert_eq!(into.datagram(1), [2, 0]);
        assert!(!into.is_cut(0));
        assert!(into.is_cut(1));
        assert_eq!(into.address(1), one.local_addr().ok());
        let error = into.receive(&two).expect_err("nothing left");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
