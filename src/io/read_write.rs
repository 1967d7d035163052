//! `Read` and `Write` of a [`Source`], on the value and on a shared reference.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;

use super::source::Source;

/// What can be read through a shared reference: all for which `for<'a> &'a T: Read` holds.
///
/// It has a name of its own because, said in those words, the bound of an implementation of `Read` for a reference
/// would ask the compiler, whenever it does not know yet which reference it looks for, the same question again, for ever.
pub trait ReadShared {
    /// [`Read::read`].
    fn read_shared(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// [`Read::read_vectored`].
    fn read_vectored_shared(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
}

impl<T> ReadShared for T
where
    for<'a> &'a T: Read,
{
    fn read_shared(&self, buffer: &mut [u8]) -> io::Result<usize> {
        { self }.read(buffer)
    }

    fn read_vectored_shared(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        { self }.read_vectored(buffers)
    }
}

/// What can be written through a shared reference: all for which `for<'a> &'a T: Write` holds, as [`ReadShared`].
pub trait WriteShared {
    /// [`Write::write`].
    fn write_shared(&self, bytes: &[u8]) -> io::Result<usize>;
    /// [`Write::write_vectored`].
    fn write_vectored_shared(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;
    /// [`Write::flush`].
    fn flush_shared(&self) -> io::Result<()>;
}

impl<T> WriteShared for T
where
    for<'a> &'a T: Write,
{
    fn write_shared(&self, bytes: &[u8]) -> io::Result<usize> {
        { self }.write(bytes)
    }

    fn write_vectored_shared(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        { self }.write_vectored(buffers)
    }

    fn flush_shared(&self) -> io::Result<()> {
        { self }.flush()
    }
}

impl<T: AsFd + ReadShared> Read for &Source<T> {
    /// Parks the caller until there is something to read.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|inner| inner.read_shared(buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_with(|inner| inner.read_vectored_shared(buffers))
    }
}

impl<T: AsFd + WriteShared> Write for &Source<T> {
    /// Parks the caller until something can be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|inner| inner.write_shared(bytes))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|inner| inner.write_vectored_shared(buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_with(T::flush_shared)
    }
}

impl<T: AsFd + ReadShared> Read for Source<T> {
    /// Parks the caller until there is something to read.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl<T: AsFd + WriteShared> Write for Source<T> {
    /// Parks the caller until something can be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
