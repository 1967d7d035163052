//! The last words of a process: text to the standard error from where nothing may be allocated or locked.
//!
//! [`Report`] formats into a buffer of its own and writes by the bare system call, so a signal handler may use it.
#![expect(unsafe_code, reason = "the write system call")]

use std::fmt;

/// Collects text and writes it to descriptor 2 when its buffer is full and when it is dropped.
pub(crate) struct Report {
    /// The text not yet written: the first `length` bytes.
    buffer: [u8; Report::CAPACITY],
    /// How many bytes of the buffer are in use.
    length: usize,
}

impl Report {
    /// Small, for it lies on a signal stack of perhaps 8 KiB; long enough for a line.
    const CAPACITY: usize = 256;

    /// An empty report.
    pub(crate) fn new() -> Report {
        Report {
            buffer: [0; Report::CAPACITY],
            length: 0,
        }
    }

    /// Writes out what the buffer holds. What cannot be written is dropped: there is nobody to tell.
    fn flush(&mut self) {
        let mut rest = &self.buffer[..self.length];
        while !rest.is_empty() {
            // The system call itself and not C's `write`, which a program may have replaced.
            // SAFETY: the pointer and the length are those of a live slice.
            let written = unsafe { libc::syscall(libc::SYS_write, 2, rest.as_ptr(), rest.len()) };
            match usize::try_from(written) {
                Ok(count) if count > 0 => rest = &rest[count..],
                Err(_) if super::errno::get() == libc::EINTR => {}
                _ => break,
            }
        }
        self.length = 0;
    }
}

impl fmt::Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.flush();
    }
}
