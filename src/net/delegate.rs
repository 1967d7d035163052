//! What every socket type forwards to its `Socket` in the same words: conversions and common methods.

/// Conversions from and to descriptors and std's type, `Debug`'s descriptor, and the methods that all types have.
///
/// The type is a tuple struct around a `Socket`.
macro_rules! socket_type {
    ($type:ident, $standard:ty) => {
        impl $type {
            /// A second handle of the same socket. Options, the non-blocking mode and time-outs are common to both.
            ///
            /// # Errors
            ///
            /// When the descriptors have run out.
            pub fn try_clone(&self) -> io::Result<$type> {
                self.0.try_clone().map($type)
            }

            /// The error that came in since this was last asked, if there was one, and clears it.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.0.options().take_error()
            }

            /// Chooses whether calls that cannot be done at once fail with `WouldBlock` (`true`) or park the caller (`false`,
            /// as at first).
            ///
            /// # Errors
            ///
            /// None; std's signature.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.set_nonblocking(nonblocking);
                Ok(())
            }

            /// Closes the socket under whoever uses it: waiting calls in any greenlet or thread end with EBADF, and so does
            /// every later call. A connection is shut down, for clones of the handle too.
            ///
            /// The descriptor itself is given back when the value is dropped, so that nobody gets the same number meanwhile.
            pub fn close(&self) {
                self.0.close();
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl IntoRawFd for $type {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        #[expect(
            unsafe_code,
            reason = "the trait is unsafe: whoever has a number says that it is his"
        )]
        impl FromRawFd for $type {
            unsafe fn from_raw_fd(fd: RawFd) -> $type {
                // SAFETY: the caller owns `fd`, as the trait demands.
                $type::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        /// Calls on it park the caller, whatever the descriptor's mode was.
        impl From<OwnedFd> for $type {
            fn from(fd: OwnedFd) -> $type {
                $type(Socket::from_outside(fd))
            }
        }

        /// The descriptor blocks, unless `set_nonblocking(true)` was called.
        impl From<$type> for OwnedFd {
            fn from(socket: $type) -> OwnedFd {
                socket.0.into_outside()
            }
        }

        /// Calls on it park the caller, whatever the socket's mode was.
        impl From<$standard> for $type {
            fn from(socket: $standard) -> $type {
                $type::from(OwnedFd::from(socket))
            }
        }

        /// The socket blocks, unless `set_nonblocking(true)` was called.
        impl From<$type> for $standard {
            fn from(socket: $type) -> $standard {
                <$standard>::from(OwnedFd::from(socket))
            }
        }
    };
}
pub(super) use socket_type;

/// The time-outs, which all types but listeners have.
macro_rules! timeouts {
    ($type:ident) => {
        impl $type {
            /// Has a read that waits longer than `timeout` fail with `WouldBlock`, as std's does on Linux. `None`: it waits for ever.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a zero `timeout`.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.set_timeout(Direction::Read, timeout)
            }

            /// Has a write that waits longer than `timeout` fail with `WouldBlock`, as std's does on Linux. `None`: it waits for ever.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a zero `timeout`.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.set_timeout(Direction::Write, timeout)
            }

            /// How long a read waits.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                self.0.timeout(Direction::Read)
            }

            /// How long a write waits.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                self.0.timeout(Direction::Write)
            }
        }
    };
}
pub(super) use timeouts;

/// `Read` and `Write` of a stream, on the value and on a shared reference. `$short` is what a short read tells.
macro_rules! stream {
    ($type:ident, $short:expr) => {
        impl Read for &$type {
            /// Parks the caller until there is something to read, the peer has ended the stream, or the time is out: as with std's,
            /// also when the buffer is empty.
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer, $short)
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(buffers, $short)
            }
        }

        impl Write for &$type {
            /// Parks the caller until there is room for at least some of `bytes`, or the time is out.
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }

            fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.write_vectored(buffers)
            }

            /// Does nothing: nothing is kept back.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $type {
            /// Parks the caller until there is something to read, the peer has ended the stream, or the time is out: as with std's,
            /// also when the buffer is empty.
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buffer)
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(buffers)
            }
        }

        impl Write for $type {
            /// Parks the caller until there is room for at least some of `bytes`, or the time is out.
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                (&*self).write(bytes)
            }

            fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(buffers)
            }

            /// Does nothing: nothing is kept back.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl $type {
            /// Ends reading, writing or both. Calls that wait in an ended direction return.
            ///
            /// # Errors
            ///
            /// `NotConnected` when there is no connection any more.
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.0.shutdown(how)
            }
        }
    };
}
pub(super) use stream;

/// The iterator over a listener's connections, and the method that makes it.
macro_rules! incoming {
    ($listener:ident, $stream:ident) => {
        impl $listener {
            /// The connections, one after the other, for ever: as [`accept`](Self::accept) in a loop.
            ///
            /// When descriptors or memory have run out it pauses, up to a second, and goes on.
            pub fn incoming(&self) -> Incoming<'_> {
                Incoming {
                    listener: self,
                    pause: Pause::new(),
                }
            }
        }

        impl<'a> IntoIterator for &'a $listener {
            type Item = io::Result<$stream>;
            type IntoIter = Incoming<'a>;

            fn into_iter(self) -> Incoming<'a> {
                self.incoming()
            }
        }

        /// The connections of a listener: see its `incoming`.
        #[derive(Debug)]
        pub struct Incoming<'a> {
            /// Accepts them.
            listener: &'a $listener,
            /// How long it pauses when something has run out.
            pause: Pause,
        }

        impl Iterator for Incoming<'_> {
            type Item = io::Result<$stream>;

            /// Parks the caller until there is a connection.
            fn next(&mut self) -> Option<io::Result<$stream>> {
                let accepted = self.pause.over_shortages(|| self.listener.accept());
                Some(accepted.map(|(stream, _)| stream))
            }
        }

        impl FusedIterator for Incoming<'_> {}
    };
}
pub(super) use incoming;
