//! What the kernel says of this machine's own IPv6 addresses: the table of `/proc/net/if_inet6`. Pure: bytes in, table out.
//!
//! ```text
//! fe8000000000000000fc00fffe000001 04 40 20 80     eth0
//! address                          index, bits, scope, flags, interface
//! ```

use std::net::{IpAddr, Ipv6Addr};

/// `IFA_F_HOMEADDRESS`: where a mobile machine is at home.
const HOME: u8 = 0x10;

/// `IFA_F_DEPRECATED`: not for new connections.
const DEPRECATED: u8 = 0x20;

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interfaces(Vec<Line>);

/// One line of it.
#[derive(Clone, Debug)]
struct Line {
    /// The address.
    address: Ipv6Addr,
    /// What the kernel says of it.
    flags: u8,
    /// The name of the interface that has it.
    interface: Box<str>,
}

/// What matters in a source address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// It is not for new connections.
    pub(crate) deprecated: bool,
    /// It is the home address of a mobile machine.
    pub(crate) home: bool,
    /// What is sent from it goes in packets of another kind.
    pub(crate) tunnelled: bool,
}

impl Interfaces {
    /// Reads the table's text. Lines that say nothing sensible are skipped.
    pub(crate) fn parse(content: &[u8]) -> Interfaces {
        let lines = content.split(|byte| *byte == b'\n');
        Interfaces(
            lines
                .filter_map(|line| Line::parse(str::from_utf8(line).ok()?))
                .collect(),
        )
    }

    /// What matters in `source`. `is_tunnel` says of an interface's name what kind it is.
    pub(crate) fn traits(&self, source: IpAddr, is_tunnel: impl Fn(&str) -> bool) -> Traits {
        let line = self.0.iter().find(|line| line.address == source);
        line.map_or_else(Traits::default, |line| Traits {
            deprecated: line.flags & DEPRECATED != 0,
            home: line.flags & HOME != 0,
            tunnelled: is_tunnel(&line.interface),
        })
    }
}

impl Line {
    /// Reads one line.
    fn parse(line: &str) -> Option<Line> {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| word.len() == 32)?;
        let address = u128::from_str_radix(address, 16).ok()?;
        // The index, the length of the prefix and the scope come first. Flags beyond the eighth are not shown.
        let flags = u8::from_str_radix(words.nth(3)?, 16).ok()?;
        Some(Line {
            address: Ipv6Addr::from_bits(address),
            flags,
            interface: words.next()?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_by_address() {
        let table = b"20010db8000000000000000000000001 02 40 00 a0     eth0\n\
                      20010db8000000000000000000000002 02 40 00 90     eth0\n\
                      20020db8000000000000000000000003 05 40 00 80 tun6to4\n\
                      short 02 40 00 80 eth0\n\
                      20010db80000000000000000000000zz 02 40 00 80 eth0\n\
                      20010db8000000000000000000000004 02 40\n\xff\n";
        let interfaces = Interfaces::parse(table);
        assert_eq!(interfaces.0.len(), 3);
        let traits = |address: &str| interfaces.traits(address.parse().unwrap(), |name| name == "tun6to4");
        let usual = Traits::default();
        assert_eq!(
            traits("2001:db8::1"),
            Traits {
                deprecated: true,
                ..usual
            }
        );
        assert_eq!(traits("2001:db8::2"), Traits { home: true, ..usual });
        assert_eq!(
            traits("2002:db8::3"),
            Traits {
                tunnelled: true,
                ..usual
            }
        );
        assert_eq!(traits("2001:db8::4"), usual);
        assert_eq!(traits("192.0.2.1"), usual);
    }

    #[test]
    fn the_kernels_own_table_is_understood() {
        // Not there where IPv6 is switched off.
        if let Ok(content) = std::fs::read("/proc/net/if_inet6") {
            let lines = content.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(Interfaces::parse(&content).0.len(), lines);
        }
    }
}
