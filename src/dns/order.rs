//! The order in which a host's addresses are tried: RFC 6724, section 6.
//!
//! Each destination is judged together with the source address that the system would use for it, which the caller
//! finds out (by connecting a datagram socket, which sends nothing) and passes in with what matters in it: this file is pure.
//! The rules compare pairs, but each of them compares one property of a destination and its source, so that all together
//! are one sort key.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use super::interfaces::Traits;

/// The longest part of a source address that names its network: longer matches say nothing about nearness.
const NETWORK_BITS: u32 = 64;

/// Sorts `destinations` so that the most promising comes first. Those that are equally good keep their order.
///
/// Each comes with the source address for it, `None` when it cannot be reached at all; `traits` says what matters in that.
pub(crate) fn sort<T>(
    destinations: &mut [(T, Option<IpAddr>)],
    address: impl Fn(&T) -> IpAddr,
    traits: impl Fn(IpAddr) -> Traits,
) {
    destinations.sort_by_cached_key(|(destination, source)| Rank::of(address(destination), *source, &traits));
}

/// The rules in their order; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Rule 1: avoid what cannot be reached.
    unusable: bool,
    /// Rule 2: prefer a source of the same scope.
    scope_differs: bool,
    /// Rule 3: avoid a deprecated source.
    deprecated: bool,
    /// Rule 4: prefer a home address as the source.
    away: bool,
    /// Rule 5: prefer a source of the same label.
    label_differs: bool,
    /// Rule 6: prefer the higher precedence.
    precedence: Reverse<u8>,
    /// Rule 7: prefer what is not reached through a tunnel.
    tunnelled: bool,
    /// Rule 8: prefer the smaller scope.
    scope: u8,
    /// Rule 9: prefer the longest prefix in common with the source; told for IPv6 alone.
    common_bits: Reverse<u32>,
}

impl Rank {
    /// How good `destination` is, reached from `source`.
    fn of(destination: IpAddr, source: Option<IpAddr>, traits: impl Fn(IpAddr) -> Traits) -> Rank {
        let policy = Policy::of(destination);
        let scope = scope(destination);
        let traits = source.map(traits).unwrap_or_default();
        Rank {
            unusable: source.is_none(),
            scope_differs: source.is_none_or(|source| self::scope(source) != scope),
            deprecated: traits.deprecated,
            away: !traits.home,
            label_differs: source.is_none_or(|source| Policy::of(source).label != policy.label),
            precedence: Reverse(policy.precedence),
            tunnelled: traits.tunnelled,
            scope,
            common_bits: Reverse(source.map_or(0, |source| common_bits(destination, source))),
        }
    }
}

/// One line of the policy table.
#[derive(Clone, Copy, Debug)]
struct Policy {
    /// The network's address.
    prefix: Ipv6Addr,
    /// How many bits of it count.
    bits: u32,
    /// How much this kind of address is preferred.
    precedence: u8,
    /// Addresses of one label belong together.
    label: u8,
}

/// RFC 6724, section 2.1; the longest prefix first.
const POLICIES: [Policy; 9] = [
    Policy {
        prefix: Ipv6Addr::LOCALHOST,
        bits: 128,
        precedence: 50,
        label: 0,
    },
    Policy {
        prefix: Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0),
        bits: 96,
        precedence: 35,
        label: 4,
    },
    Policy {
        prefix: Ipv6Addr::UNSPECIFIED,
        bits: 96,
        precedence: 1,
        label: 3,
    },
    Policy {
        prefix: Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        bits: 32,
        precedence: 5,
        label: 5,
    },
    Policy {
        prefix: Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        bits: 16,
        precedence: 30,
        label: 2,
    },
    Policy {
        prefix: Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0),
        bits: 16,
        precedence: 1,
        label: 12,
    },
    Policy {
        prefix: Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0),
        bits: 10,
        precedence: 1,
        label: 11,
    },
    Policy {
        prefix: Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        bits: 7,
        precedence: 3,
        label: 13,
    },
    Policy {
        prefix: Ipv6Addr::UNSPECIFIED,
        bits: 0,
        precedence: 40,
        label: 1,
    },
];

impl Policy {
    /// The line that `address` falls under.
    fn of(address: IpAddr) -> Policy {
        let address = mapped(address);
        let matches = |policy: &&Policy| (address.to_bits() ^ policy.prefix.to_bits()).leading_zeros() >= policy.bits;
        *POLICIES.iter().find(matches).unwrap_or(&POLICIES[POLICIES.len() - 1])
    }
}

/// The address as IPv6, an IPv4 one mapped.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The scope of an address (RFC 6724, sections 3.1 and 3.2; values of RFC 4291, 2.7).
fn scope(address: IpAddr) -> u8 {
    const LINK_LOCAL: u8 = 2;
    const SITE_LOCAL: u8 = 5;
    const GLOBAL: u8 = 14;
    match address.to_canonical() {
        IpAddr::V4(address) if address.is_loopback() || address.is_link_local() => LINK_LOCAL,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(address) if address.is_multicast() => address.octets()[1] & 0x0f,
        IpAddr::V6(address) if address.is_loopback() || address.is_unicast_link_local() => LINK_LOCAL,
        IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfec0 => SITE_LOCAL,
        IpAddr::V6(_) => GLOBAL,
    }
}

/// How many leading bits two IPv6 addresses share, up to the length of a network's prefix.
fn common_bits(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros().min(NETWORK_BITS),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(pairs: &[(&str, &str)]) -> Vec<String> {
        sorted_with(pairs, |_| Traits::default())
    }

    fn sorted_with(pairs: &[(&str, &str)], traits: impl Fn(IpAddr) -> Traits) -> Vec<String> {
        let mut pairs: Vec<(IpAddr, Option<IpAddr>)> = pairs
            .iter()
            .map(|(to, from)| (to.parse().expect("an address"), from.parse().ok()))
            .collect();
        sort(&mut pairs, |address| *address, traits);
        pairs.iter().map(|(address, _)| address.to_string()).collect()
    }

    /// Examples of RFC 6724, section 10.2.
    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(
            sorted(&[("2001:db8:1::1", "2001:db8:1::2"), ("198.51.100.121", "169.254.13.78")]),
            ["2001:db8:1::1", "198.51.100.121"]
        );
        assert_eq!(
            sorted(&[("2001:db8:1::1", "fe80::1"), ("198.51.100.121", "198.51.100.117")]),
            ["198.51.100.121", "2001:db8:1::1"]
        );
        assert_eq!(
            sorted(&[("2001:db8:1::1", "2001:db8:1::2"), ("10.1.2.3", "10.1.2.4")]),
            ["2001:db8:1::1", "10.1.2.3"]
        );
        assert_eq!(
            sorted(&[("2001:db8:1::1", "2001:db8:1::2"), ("fe80::1", "fe80::2")]),
            ["fe80::1", "2001:db8:1::1"]
        );
        assert_eq!(
            sorted(&[("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "fe80::2")]),
            ["2002:c633:6401::1", "2001:db8:1::1"]
        );
    }

    #[test]
    fn a_deprecated_source_a_home_address_and_a_tunnel() {
        let pairs = [("2001:db8:1::1", "2001:db8:1::2"), ("198.51.100.121", "198.51.100.117")];
        let usual = Traits::default();
        let turned = ["198.51.100.121", "2001:db8:1::1"];
        let of_ipv6 = |traits: Traits| sorted_with(&pairs, |source| if source.is_ipv6() { traits } else { usual });
        assert_eq!(
            of_ipv6(Traits {
                deprecated: true,
                ..usual
            }),
            turned
        );
        let six_to_four = [("2002:c633:6401::1", "2002:c633:6401::2"), ("192.0.2.1", "192.0.2.2")];
        assert_eq!(sorted(&six_to_four)[0], "192.0.2.1");
        let home = |source: IpAddr| Traits {
            home: source.is_ipv6(),
            ..usual
        };
        assert_eq!(
            sorted_with(&six_to_four, home)[0],
            "2002:c633:6401::1",
            "rule 4 comes before rule 6"
        );
        // Equal in all that comes before rule 7, and the tunnel's the nearer one.
        let two = [
            ("2001:db8:1::1", "2001:db8:1::2"),
            ("2001:db8:ffff::1", "2001:db8:9::2"),
        ];
        let tunnel = |source: IpAddr| Traits {
            tunnelled: source == IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, 2]),
            ..usual
        };
        assert_eq!(sorted(&two)[0], "2001:db8:1::1");
        assert_eq!(sorted_with(&two, tunnel)[0], "2001:db8:ffff::1");
        assert_eq!(
            of_ipv6(Traits {
                tunnelled: true,
                ..usual
            })[0],
            "2001:db8:1::1",
            "rule 6 comes before rule 7"
        );
    }

    #[test]
    fn the_unreachable_come_last() {
        assert_eq!(
            sorted(&[("2001:db8::1", "none"), ("192.0.2.1", "192.0.2.2")]),
            ["192.0.2.1", "2001:db8::1"]
        );
        assert_eq!(
            sorted(&[("2001:db8::1", "none"), ("192.0.2.1", "none")]),
            ["2001:db8::1", "192.0.2.1"]
        );
    }

    #[test]
    fn the_nearer_network_comes_first() {
        assert_eq!(
            sorted(&[
                ("2001:db8:ffff::1", "2001:db8:1::9"),
                ("2001:db8:1::1", "2001:db8:1::9")
            ]),
            ["2001:db8:1::1", "2001:db8:ffff::1"]
        );
    }

    #[test]
    fn machines_of_one_network_keep_their_order() {
        let pairs = [("2001:db8::1", "2001:db8::ff00"), ("2001:db8::ff01", "2001:db8::ff00")];
        assert_eq!(sorted(&pairs), ["2001:db8::1", "2001:db8::ff01"]);
    }

    #[test]
    fn servers_that_rotate_their_ipv4_answers_are_left_alone() {
        let pairs = [
            ("203.0.113.9", "192.0.2.1"),
            ("192.0.2.7", "192.0.2.1"),
            ("198.51.100.1", "192.0.2.1"),
        ];
        assert_eq!(sorted(&pairs), ["203.0.113.9", "192.0.2.7", "198.51.100.1"]);
    }

    #[test]
    fn loopback_before_the_rest() {
        assert_eq!(
            sorted(&[("127.0.0.1", "127.0.0.1"), ("::1", "::1")]),
            ["::1", "127.0.0.1"]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_sorting_again_changes_nothing(pairs: Vec<(IpAddr, Option<IpAddr>)>) {
            let traits = |source: IpAddr| Traits {
                deprecated: source.is_ipv6(),
                ..Traits::default()
            };
            let mut once = pairs.clone();
            sort(&mut once, |address| *address, traits);
            let mut twice = once.clone();
            sort(&mut twice, |address| *address, traits);
            prop_assert_eq!(&once, &twice);
            let (mut before, mut after) = (pairs, once);
            before.sort();
            after.sort();
            prop_assert_eq!(before, after);
        }
    }
}
