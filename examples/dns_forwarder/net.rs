//! Interim: the runtime's sockets, by polling.
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn wait<R>(limit: Option<Duration>, mut f: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        match f() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if deadline.is_some_and(|at| Instant::now() >= at) {
                    return Err(error);
                }
                iora::sleep(Duration::from_micros(200));
            }
            other => {
                iora::yield_now();
                return other;
            }
        }
    }
}
pub(crate) struct UdpSocket(std::net::UdpSocket, Cell<bool>);
impl From<std::net::UdpSocket> for UdpSocket {
    fn from(socket: std::net::UdpSocket) -> UdpSocket {
        socket.set_nonblocking(true).unwrap();
        UdpSocket(socket, Cell::new(false))
    }
}
impl UdpSocket {
    pub(crate) fn bind(a: SocketAddr) -> io::Result<UdpSocket> {
        Ok(std::net::UdpSocket::bind(a)?.into())
    }
    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.1.set(on);
        Ok(())
    }
    fn limit(&self) -> Option<Duration> {
        self.1.get().then_some(Duration::ZERO)
    }
    pub(crate) fn connect(&self, a: SocketAddr) -> io::Result<()> {
        self.0.connect(a)
    }
    pub(crate) fn send(&self, b: &[u8]) -> io::Result<usize> {
        wait(self.limit(), || self.0.send(b))
    }
    pub(crate) fn send_to(&self, b: &[u8], a: SocketAddr) -> io::Result<usize> {
        wait(self.limit(), || self.0.send_to(b, a))
    }
    pub(crate) fn recv(&self, b: &mut [u8]) -> io::Result<usize> {
        wait(self.limit(), || self.0.recv(b))
    }
    pub(crate) fn recv_from(&self, b: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        wait(self.limit(), || self.0.recv_from(b))
    }
}
pub(crate) struct TcpListener(std::net::TcpListener);
impl From<std::net::TcpListener> for TcpListener {
    fn from(l: std::net::TcpListener) -> Self {
        l.set_nonblocking(true).unwrap();
        TcpListener(l)
    }
}
impl TcpListener {
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (s, a) = wait(None, || self.0.accept())?;
        s.set_nonblocking(true)?;
        Ok((TcpStream(s, Cell::new(None)), a))
    }
}
pub(crate) struct TcpStream(std::net::TcpStream, Cell<Option<Duration>>);
impl TcpStream {
    pub(crate) fn connect_timeout(a: &SocketAddr, d: Duration) -> io::Result<TcpStream> {
        let s = std::net::TcpStream::connect_timeout(a, d)?;
        s.set_nonblocking(true)?;
        Ok(TcpStream(s, Cell::new(None)))
    }
    pub(crate) fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.0.set_nodelay(on)
    }
    pub(crate) fn set_read_timeout(&self, d: Option<Duration>) -> io::Result<()> {
        self.1.set(d);
        Ok(())
    }
    pub(crate) fn set_write_timeout(&self, _d: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}
impl Read for &TcpStream {
    fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
        wait(self.1.get(), || (&self.0).read(b))
    }
}
impl Read for TcpStream {
    fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
        wait(self.1.get(), || (&self.0).read(b))
    }
}
impl Write for TcpStream {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        wait(None, || (&self.0).write(b))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Write for &TcpStream {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        wait(None, || (&self.0).write(b))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
pub(crate) struct UnixStream(std::os::unix::net::UnixStream);
impl From<std::os::unix::net::UnixStream> for UnixStream {
    fn from(s: std::os::unix::net::UnixStream) -> Self {
        s.set_nonblocking(true).unwrap();
        UnixStream(s)
    }
}
impl Read for UnixStream {
    fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
        wait(None, || (&self.0).read(b))
    }
}
