//! Addresses of sockets of this machine.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::SockAddr;

/// The address of a path, as std checks it.
pub(super) fn of_path(path: impl AsRef<Path>) -> io::Result<SockAddr> {
    SocketAddr::from_pathname(path).and_then(|address| from_std(&address))
}

/// As socket2 wants it.
pub(super) fn from_std(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    let abstract_name = address.as_abstract_name().map(|name| [b"\0", name].concat());
    SockAddr::unix(Path::new(std::ffi::OsStr::from_bytes(
        &abstract_name.unwrap_or_default(),
    )))
}

/// As std has it. What has neither path nor name has no address.
pub(super) fn to_std(address: &SockAddr) -> io::Result<SocketAddr> {
    match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => SocketAddr::from_pathname(path),
        (_, Some(name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(""),
    }
}

/// The addresses of both ends.
macro_rules! unix_socket {
    ($type:ident) => {
        impl $type {
            /// The address of this end.
            ///
            /// # Errors
            ///
            /// Those of getsockname(2).
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.0.options().local_addr().and_then(|address| to_std(&address))
            }
        }
    };
    ($type:ident with peer) => {
        unix_socket!($type);

        impl $type {
            /// The address of the other end.
            ///
            /// # Errors
            ///
            /// `NotConnected` when there is none.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.0.options().peer_addr().and_then(|address| to_std(&address))
            }
        }
    };
}
pub(super) use unix_socket;

/// `Debug`: the fields that std's has.
macro_rules! unix_debug {
    ($type:ident, $($field:literal: $address:ident),*) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut fields = f.debug_struct(stringify!($type));
                fields.field("fd", &self.as_raw_fd());
                $(
                    if let Ok(address) = self.$address() {
                        fields.field($field, &address);
                    }
                )*
                fields.finish()
            }
        }
    };
}
pub(super) use unix_debug;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        let path = SocketAddr::from_pathname("/tmp/some where").expect("a path");
        let name = SocketAddr::from_abstract_name(b"a \0 name").expect("a name");
        let none = SocketAddr::from_pathname("").expect("no path");
        for address in [path, name, none] {
            let back = to_std(&from_std(&address).expect("fits")).expect("fits");
            assert_eq!(format!("{back:?}"), format!("{address:?}"));
            assert_eq!(back.as_pathname(), address.as_pathname());
            assert_eq!(back.as_abstract_name(), address.as_abstract_name());
        }
        assert!(of_path("with\0inside").is_err());
    }
}
