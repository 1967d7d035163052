//! `/etc/services`: the ports that services go by.
//!
//! A line holds a name, `port/protocol` and other names of the service; `#` starts a comment. Pure: bytes in, table out.

use std::collections::HashMap;

/// The protocols that `getaddrinfo` knows services of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// `tcp`.
    Tcp,
    /// `udp`.
    Udp,
}

/// What a services file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services {
    /// By transport and name; names are told apart by case, as the C library does.
    ports: HashMap<(Transport, Box<str>), u16>,
}

impl Services {
    /// Reads the file's content; the first line for a name rules, and lines that say nothing sensible are skipped.
    pub(crate) fn parse(content: &[u8]) -> Services {
        let mut services = Services::default();
        for line in content.split(|byte| *byte == b'\n') {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let Ok(line) = str::from_utf8(line) else { continue };
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((port, transport)) = parse_port(port) else {
                continue;
            };
            for name in [name].into_iter().chain(words) {
                services.ports.entry((transport, name.into())).or_insert(port);
            }
        }
        services
    }

    /// The port of `name` over `transport`.
    pub(crate) fn port(&self, name: &str, transport: Transport) -> Option<u16> {
        self.ports.get(&(transport, name.into())).copied()
    }
}

/// Reads `80/tcp`.
fn parse_port(word: &str) -> Option<(u16, Transport)> {
    let (port, transport) = word.split_once('/')?;
    let transport = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return None,
    };
    Some((port.parse().ok()?, transport))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_aliases_and_transports() {
        let file = b"# services\nhttp\t80/tcp www # WorldWideWeb\ndomain 53/tcp\ndomain 53/udp\nbad\nworse x/tcp\nftp 21/sctp\nhttp 81/tcp\n";
        let services = Services::parse(file);
        assert_eq!(services.port("http", Transport::Tcp), Some(80));
        assert_eq!(services.port("www", Transport::Tcp), Some(80));
        assert_eq!(services.port("HTTP", Transport::Tcp), None);
        assert_eq!(services.port("http", Transport::Udp), None);
        assert_eq!(services.port("domain", Transport::Udp), Some(53));
        for absent in ["bad", "worse", "ftp", "WorldWideWeb", ""] {
            assert_eq!(services.port(absent, Transport::Tcp), None, "{absent}");
        }
    }

    proptest! {
        #[test]
        fn no_content_panics(content: Vec<u8>) {
            let _ = Services::parse(&content);
        }
    }
}
