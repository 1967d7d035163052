//! Many datagrams for one system call.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use crate::sys::mmsg::Slots;

/// Room for many datagrams and their addresses, for [`recv_many`](super::UdpSocket::recv_many) and
/// [`send_many`](super::UdpSocket::send_many).
///
/// It is made once and used again and again: neither call allocates. What was received may be sent, to where it came from.
pub struct Datagrams {
    /// The datagrams, in slots of equal size.
    slots: Slots,
    /// The slots in use.
    used: Range<usize>,
}

/// One of [`Datagrams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// What it says.
    pub bytes: &'a [u8],
    /// Its sender, or where it will be sent; `None` for the peer.
    pub address: Option<SocketAddr>,
    /// Its end was lost because it was longer than the room for it.
    pub truncated: bool,
}

impl Datagrams {
    /// Room for `capacity` datagrams of `size` bytes each.
    ///
    /// The kernel takes at most 1024 in one call.
    ///
    /// # Panics
    ///
    /// When `capacity` is zero; when all of it is more than the address space.
    pub fn new(capacity: usize, size: usize) -> Datagrams {
        assert!(capacity > 0, "there must be room for a datagram");
        Datagrams {
            slots: Slots::new(capacity, size),
            used: 0..0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// How many there can be.
    pub fn capacity(&self) -> usize {
        self.slots.count()
    }

    /// The one at `index`, from the front.
    pub fn get(&self, index: usize) -> Option<Datagram<'_>> {
        let slot = self.used.start.checked_add(index)?;
        self.used.contains(&slot).then(|| Datagram {
            bytes: self.slots.datagram(slot),
            address: self.slots.address(slot),
            truncated: self.slots.is_cut(slot),
        })
    }

    /// All of them, from the front.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Adds one for `address`, or for the peer of a connected socket. Whether there was room for it: a free place, and as
    /// many bytes.
    #[must_use = "without room it is not added"]
    pub fn push(&mut self, bytes: &[u8], address: impl Into<Option<SocketAddr>>) -> bool {
        self.push_with(address, |slot| {
            let room = slot.get_mut(..bytes.len())?;
            room.copy_from_slice(bytes);
            Some(bytes.len())
        })
    }

    /// As [`push`](Self::push), written in place: `write` gets all the room there is for it and returns the length of what it
    /// wrote, or `None` if there is nothing to add after all. Whether it was added.
    ///
    /// # Panics
    ///
    /// When `write` returns more than it got room for.
    pub fn push_with(
        &mut self,
        address: impl Into<Option<SocketAddr>>,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let slot = self.used.end;
        if slot == self.capacity() {
            return false;
        }
        let Some(length) = write(self.slots.slot_mut(slot)) else {
            return false;
        };
        self.slots.set_length(slot, length);
        self.slots.set_address(slot, address.into());
        self.used.end += 1;
        true
    }

    /// Takes the first out, unsent. Whether there was one. Its place is free only when all are gone.
    pub fn pop_front(&mut self) -> bool {
        let there_was = !self.is_empty();
        self.advance(usize::from(there_was));
        there_was
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.used = 0..0;
    }

    /// The first `count` are gone.
    fn advance(&mut self, count: usize) {
        self.used.start += count;
        if self.used.is_empty() {
            self.clear();
        }
    }

    /// Receives without waiting.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let count = self.slots.receive(fd)?;
        self.used = 0..count;
        Ok(count)
    }

    /// Sends without waiting.
    pub(super) fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let count = self.slots.send(fd, self.used.clone())?;
        self.advance(count);
        Ok(count)
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_and_as_long_ones_as_was_asked_for() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut datagrams = Datagrams::new(2, 3);
        assert!(!datagrams.push(b"four", address));
        assert!(datagrams.push(b"one", address));
        assert!(!datagrams.push_with(None, |_| None));
        assert!(datagrams.push(b"", None));
        assert!(!datagrams.push(b"x", None));
        let all: Vec<_> = datagrams.iter().map(|one| (one.bytes, one.address)).collect();
        assert_eq!(all, [(&b"one"[..], Some(address)), (b"", None)]);
        assert!(datagrams.pop_front());
        assert_eq!(datagrams.get(0).expect("one left").bytes, b"");
        assert_eq!([datagrams.get(1), datagrams.get(usize::MAX)], [None; 2]);
        assert!(datagrams.pop_front());
        assert!(!datagrams.pop_front());
        assert!(datagrams.push(b"new", None));
    }

    #[test]
    #[should_panic = "datagrams that fit in the address space"]
    fn more_room_than_there_is_of_addresses_is_not_taken_for_little() {
        // Together two bytes, as far as the lower digits go.
        drop(Datagrams::new(3, usize::MAX / 3 + 1));
    }
}
