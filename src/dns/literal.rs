//! Addresses written as numbers: what `getaddrinfo` takes without asking anybody.
//!
//! IPv4 in the four forms of `inet_aton` (`127.0.0.1`, `127.0.1`, `127.1`, `2130706433`; each part decimal,
//! octal with a leading `0`, or hexadecimal with a leading `0x`), and IPv6 with an optional scope
//! (`fe80::1%2`, `fe80::1%eth0`). Pure: the index of a named interface is asked of the caller.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address with the scope that a link-local one needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// The address itself.
    pub(crate) ip: IpAddr,
    /// The interface's index for a link-local IPv6 address, otherwise 0.
    pub(crate) scope: u32,
}

impl Address {
    /// The socket address of `port` at this address.
    pub(crate) fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.scope)),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Address {
        Address { ip, scope: 0 }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let scope = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Address {
            ip: address.ip(),
            scope,
        }
    }
}

/// Reads `text` as an address, or says `None`: then it is a name.
///
/// `interface_index` finds the index of a named interface; it is asked only for link-local addresses.
pub(crate) fn parse(text: &str, interface_index: impl FnOnce(&str) -> Option<u32>) -> Option<Address> {
    if let Some(ip) = parse_v4(text) {
        return Some(IpAddr::V4(ip).into());
    }
    let (digits, zone) = match text.split_once('%') {
        Some((digits, zone)) => (digits, Some(zone)),
        None => (text, None),
    };
    let ip: Ipv6Addr = digits.parse().ok()?;
    let scope = match zone {
        None => 0,
        Some(zone) => parse_zone(ip, zone, interface_index)?,
    };
    Some(Address {
        ip: IpAddr::V6(ip),
        scope,
    })
}

/// The scope named by `zone`: a number for any address, an interface's name for a link-local one.
fn parse_zone(ip: Ipv6Addr, zone: &str, interface_index: impl FnOnce(&str) -> Option<u32>) -> Option<u32> {
    let link_multicast = ip.is_multicast() && ip.octets()[1] & 0x0f == 2;
    if (ip.is_unicast_link_local() || link_multicast)
        && let Some(index) = interface_index(zone)
    {
        return Some(index);
    }
    let all_digits = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| zone.parse().ok()).flatten()
}

/// Reads the four forms of `inet_aton`: the last part fills all the bytes that the others left.
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut address: u32 = 0;
    let mut parts = text.split('.');
    for position in 0..4 {
        let value = parse_v4_part(parts.next()?)?;
        // How many bits are left for this part, if it is the last one: 32, 24, 16, 8.
        let bits_left = 32 - 8 * position;
        if parts.clone().next().is_none() {
            let most = u32::MAX >> (32 - bits_left);
            return (value <= most).then(|| Ipv4Addr::from(address | value));
        }
        if value > 0xff {
            return None;
        }
        address |= value << (bits_left - 8);
    }
    None
}

/// One part: decimal, octal or hexadecimal as C writes numbers; no sign, no blank.
fn parse_v4_part(text: &str) -> Option<u32> {
    let (digits, radix) = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        (hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        (&text[1..], 8)
    } else {
        (text, 10)
    };
    // `from_str_radix` would take a leading plus sign.
    let only_digits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    only_digits.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interfaces(name: &str) -> Option<u32> {
        (name == "eth0").then_some(7)
    }

    fn shown(text: &str) -> Option<String> {
        parse(text, interfaces).map(|address| address.with_port(1).to_string())
    }

    #[test]
    fn the_forms_of_inet_aton() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1:1"),
            ("127.1", "127.0.0.1:1"),
            ("127.0.257", "127.0.1.1:1"),
            ("2130706433", "127.0.0.1:1"),
            ("0x7f.1", "127.0.0.1:1"),
            ("0177.0.0.01", "127.0.0.1:1"),
            ("0", "0.0.0.0:1"),
            ("4294967295", "255.255.255.255:1"),
            ("1.16777215", "1.255.255.255:1"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            ".",
            "1.",
            ".1",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "1.16777216",
            "4294967296",
            "08",
            "0x",
            "+1",
            "1.2.3.4 ",
            "1.2.3.4%1",
            "::1%",
            "fe80::1%nothing",
            "2001:db8::1%eth0",
            "fe80::1%+1",
            "host",
            "1e3",
            "[::1]",
        ] {
            assert_eq!(shown(text), None, "{text:?}");
        }
    }

    #[test]
    fn version_six_with_scopes() {
        for (text, address) in [
            ("::1", "[::1]:1"),
            ("::ffff:1.2.3.4", "[::ffff:1.2.3.4]:1"),
            ("fe80::1%3", "[fe80::1%3]:1"),
            ("fe80::1%eth0", "[fe80::1%7]:1"),
            ("ff02::1%eth0", "[ff02::1%7]:1"),
            ("2001:db8::1%3", "[2001:db8::1%3]:1"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(address), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_written_address_is_read(ip: IpAddr) {
            prop_assert_eq!(parse(&ip.to_string(), interfaces), Some(ip.into()));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text, interfaces);
        }

        #[test]
        fn one_number_is_the_whole_address(number: u32) {
            prop_assert_eq!(parse_v4(&number.to_string()), Some(Ipv4Addr::from(number)));
            prop_assert_eq!(parse_v4(&format!("{number:#x}")), Some(Ipv4Addr::from(number)));
        }
    }
}
