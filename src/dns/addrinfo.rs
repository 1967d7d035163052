//! `getaddrinfo`: hosts and services to everything that a socket call needs.
//!
//! The rules, also for odd combinations, are those of getaddrinfo(3) of the GNU library.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::{Failure, LookupError};
use super::literal::{self, Address};
use super::resolver::{self, Family, Found, Resolver};
use super::services::Transport;
use super::{settings, socket};

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// A connection: `SOCK_STREAM`.
    Stream,
    /// Datagrams: `SOCK_DGRAM`.
    Datagram,
    /// Raw packets: `SOCK_RAW`.
    Raw,
}

/// What is wanted of [`getaddrinfo`](Resolver::getaddrinfo); the default wants everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The addresses wanted.
    pub family: Family,
    /// The kind of socket wanted; any if `None`.
    pub socket_type: Option<SocketType>,
    /// The number of the protocol wanted, as in an IP header (6 is TCP, 17 UDP); any if 0.
    pub protocol: i32,
    /// Without a host, the addresses to listen at instead of those of this machine (`AI_PASSIVE`).
    pub passive: bool,
    /// Also the name that aliases led to, in the first result (`AI_CANONNAME`).
    pub canonical_name: bool,
    /// The host is a number; nobody is asked (`AI_NUMERICHOST`).
    pub numeric_host: bool,
    /// The service is a number (`AI_NUMERICSERV`).
    pub numeric_service: bool,
    /// Only addresses of families that this machine can reach something with (`AI_ADDRCONFIG`).
    pub address_config: bool,
    /// With [`Family::V6`], IPv4 addresses in IPv6 form where there are no others (`AI_V4MAPPED`).
    pub v4_mapped: bool,
    /// With `v4_mapped`, those addresses in any case (`AI_ALL`).
    pub all: bool,
}

/// One way to reach what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrInfo {
    /// The kind of socket.
    pub socket_type: SocketType,
    /// The number of the protocol; 0 for raw sockets.
    pub protocol: i32,
    /// Where to connect to or listen at.
    pub address: SocketAddr,
    /// In the first result, if it was wanted.
    pub canonical_name: Option<String>,
}

/// A kind of socket, its protocol and the name of its services.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// The kind.
    socket_type: SocketType,
    /// The protocol's number.
    protocol: i32,
    /// How `/etc/services` calls the protocol.
    transport: Option<Transport>,
}

/// What there is, in the order in which it is told.
const WAYS: [Way; 3] = [
    Way {
        socket_type: SocketType::Stream,
        protocol: 6,
        transport: Some(Transport::Tcp),
    },
    Way {
        socket_type: SocketType::Datagram,
        protocol: 17,
        transport: Some(Transport::Udp),
    },
    Way {
        socket_type: SocketType::Raw,
        protocol: 0,
        transport: None,
    },
];

impl Resolver {
    /// Everything that a socket call needs to reach `service` at `host`, the most promising first.
    ///
    /// A service is a number or a name of `/etc/services`. Without a host, it is this machine; without a service, the port is 0.
    /// Parks the greenlet as [`Resolver::resolve`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Resolver::resolve`], and kind `InvalidInput` for hints that contradict each other or the arguments;
    /// [`LookupError::failure`] tells them apart.
    pub fn getaddrinfo(&self, host: Option<&str>, service: Option<&str>, hints: &Hints) -> io::Result<Vec<AddrInfo>> {
        Ok(self.try_getaddrinfo(host, service, hints)?)
    }

    /// As [`Resolver::getaddrinfo`], before its error is wrapped.
    fn try_getaddrinfo(
        &self,
        host: Option<&str>,
        service: Option<&str>,
        hints: &Hints,
    ) -> Result<Vec<AddrInfo>, LookupError> {
        if host.is_none() && service.is_none() {
            return Err(LookupError::new(
                "",
                Failure::NoName,
                "neither a host nor a service is given",
            ));
        }
        if host.is_none() && hints.canonical_name {
            return Err(LookupError::new(
                "",
                Failure::BadFlags,
                "no host, so it has no canonical name",
            ));
        }
        let ways = self.ways(service, hints)?;
        let found = match host {
            Some(host) => self.host_addresses(host, hints)?,
            None => own_addresses(hints),
        };
        let mut canonical_name = hints.canonical_name.then_some(found.canonical);
        let mut infos = Vec::with_capacity(found.addresses.len() * ways.len());
        for address in found.addresses {
            for (way, port) in &ways {
                infos.push(AddrInfo {
                    socket_type: way.socket_type,
                    protocol: if way.protocol == 0 {
                        hints.protocol
                    } else {
                        way.protocol
                    },
                    address: address.with_port(*port),
                    canonical_name: canonical_name.take(),
                });
            }
        }
        Ok(infos)
    }

    /// The kinds of sockets that suit the hints and have the service, each with its port.
    fn ways(&self, service: Option<&str>, hints: &Hints) -> Result<Vec<(Way, u16)>, LookupError> {
        let is_number = |service: &str| service.bytes().all(|byte| byte.is_ascii_digit());
        // The C library reads a number with a sign, which then is no port.
        let unsigned = |service: &str| is_number(service.strip_prefix(['-', '+']).unwrap_or(service));
        if let Some(service) = service.filter(|service| hints.numeric_service && !unsigned(service)) {
            return Err(LookupError::new(
                service,
                Failure::NoName,
                "the service is not a number",
            ));
        }
        let suits = |way: &Way| {
            let right_type = hints.socket_type.is_none_or(|wanted| wanted == way.socket_type);
            let any_protocol = hints.protocol == 0 || way.socket_type == SocketType::Raw;
            right_type && (any_protocol || hints.protocol == way.protocol)
        };
        let hinted = hints.socket_type.is_some() || hints.protocol != 0;
        // Without a hint all of them; with one the first that suits it, and raw sockets, which suit any, are last.
        let suitable = WAYS.into_iter().filter(suits).take(if hinted { 1 } else { WAYS.len() });
        let suitable: Vec<Way> = suitable.collect();
        let service_name = service.unwrap_or_default();
        if suitable.is_empty() {
            let failure = match hints.socket_type {
                Some(_) => Failure::SocketType,
                None => Failure::Service,
            };
            let cause = "socket type and protocol do not go together";
            return Err(LookupError::new(service_name, failure, cause));
        }
        let Some(service) = service else {
            return Ok(suitable.into_iter().map(|way| (way, 0)).collect());
        };
        if hinted && !service.is_empty() && suitable.iter().any(|way| way.transport.is_none()) {
            return Err(LookupError::new(
                service,
                Failure::Service,
                "raw sockets have no services",
            ));
        }
        if is_number(service) {
            // The C library reads no digits at all as 0; unlike it, we do not cut a number down to a port.
            let port = if service.is_empty() { Ok(0) } else { service.parse() };
            let port = port.map_err(|_| LookupError::new(service, Failure::Service, "there is no such port"))?;
            return Ok(suitable.into_iter().map(|way| (way, port)).collect());
        }
        let port_of = |way: Way| Some((way, self.services().port(service, way.transport?)?));
        let with_ports: Vec<(Way, u16)> = suitable.into_iter().filter_map(port_of).collect();
        if with_ports.is_empty() {
            return Err(LookupError::new(service, Failure::Service, "no such service"));
        }
        Ok(with_ports)
    }

    /// The addresses of a host that suit the hints.
    fn host_addresses(&self, host: &str, hints: &Hints) -> Result<Found, LookupError> {
        let mapped_wanted = hints.family == Family::V6 && hints.v4_mapped;
        if let Some(address) = literal::parse(host, settings::interface_index) {
            return match numeric_in_family(address, hints.family, mapped_wanted) {
                Some(address) => Ok(Found {
                    addresses: vec![address],
                    canonical: host.to_owned(),
                }),
                None => Err(LookupError::new(
                    host,
                    Failure::AddressFamily,
                    "the address is of another family",
                )),
            };
        }
        let of_unknown_scope = host
            .split_once('%')
            .is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok());
        if of_unknown_scope && hints.family == Family::V4 {
            let cause = "the address is of another family";
            return Err(LookupError::new(host, Failure::AddressFamily, cause));
        }
        if hints.numeric_host {
            return Err(LookupError::new(host, Failure::NoName, "the host is not a number"));
        }
        // As the C library has it: what looks like an IPv6 address and is none is no name either; nor, if only those are
        // wanted, what looks like an IPv4 address.
        let digits = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !host.ends_with('.');
        let v4_digits = digits && hints.family == Family::V4 && !hints.canonical_name;
        if v4_digits || host.contains(':') {
            return Err(LookupError::new(host, Failure::NoName, "neither an address nor a name"));
        }
        let mut found = if mapped_wanted {
            self.lookup_mapped(host, hints.all)?
        } else {
            self.lookup(host, hints.family)?
        };
        if hints.address_config {
            let (v4, v6) = reachable_families();
            // A machine without any network still has itself.
            if v4 || v6 {
                found.addresses.retain(|address| {
                    let ip = address.ip.to_canonical();
                    (if ip.is_ipv4() { v4 } else { v6 }) || ip.is_loopback()
                });
            }
            if found.addresses.is_empty() {
                return Err(LookupError::new(
                    host,
                    Failure::NoData,
                    "no address of a family that this machine has",
                ));
            }
        }
        Ok(found)
    }

    /// IPv6 addresses, and IPv4 ones in their form: when there are no others, or in any case if `all`.
    fn lookup_mapped(&self, host: &str, all: bool) -> Result<Found, LookupError> {
        let family = if all { Family::Any } else { Family::V6 };
        let mut found = match self.lookup(host, family) {
            // Also when nobody could be asked for the former: the latter may be in the file of hosts.
            Err(error) if !all => match self.lookup(host, Family::V4) {
                Err(other) if matches!(error.failure(), Failure::NoData | Failure::NoName) => return Err(other),
                other => other.map_err(|_| error)?,
            },
            other => other?,
        };
        for address in &mut found.addresses {
            if let IpAddr::V4(ip) = address.ip {
                address.ip = IpAddr::V6(ip.to_ipv6_mapped());
            }
        }
        Ok(found)
    }
}

/// A numeric host as an address of the wanted family, if it can be one.
fn numeric_in_family(address: Address, family: Family, mapped_wanted: bool) -> Option<Address> {
    match (family, address.ip) {
        (Family::V6, IpAddr::V4(ip)) if mapped_wanted => Some(IpAddr::V6(ip.to_ipv6_mapped()).into()),
        (Family::V4, IpAddr::V6(ip)) => ip.to_ipv4_mapped().map(|ip| IpAddr::V4(ip).into()),
        (family, ip) => family.holds(ip).then_some(address),
    }
}

/// Where to listen, or this machine itself.
fn own_addresses(hints: &Hints) -> Found {
    let addresses: [IpAddr; 2] = if hints.passive {
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
    } else {
        [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
    };
    let wanted = addresses.into_iter().filter(|address| hints.family.holds(*address));
    let mut addresses = wanted.map(Address::from).collect();
    if !hints.passive {
        // Where the machine has no IPv6, its own address of that kind comes last.
        resolver::sort(&mut addresses);
    }
    Found {
        addresses,
        canonical: String::new(),
    }
}

/// Whether this machine has a way to IPv4 and to IPv6 addresses elsewhere, asked without sending anything.
fn reachable_families() -> (bool, bool) {
    // Addresses reserved for documentation: they lie elsewhere for everybody.
    let elsewhere_v4 = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let elsewhere_v6 = SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9));
    let reachable = |address| socket::source_for(address).is_some_and(|source| !source.is_loopback());
    (reachable(elsewhere_v4), reachable(elsewhere_v6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Config;

    const SERVICES: &str = "http 80/tcp www\ndomain 53/tcp\ndomain 53/udp\ntftp 69/udp\n";

    fn resolver() -> Resolver {
        let hosts = "192.0.2.1 four.test\n2001:db8::1 six.test\n192.0.2.2 both.test alias\n2001:db8::2 both.test\n";
        Resolver::new(
            Config::empty()
                .hosts_text(hosts)
                .services_text(SERVICES)
                .nsswitch_text("hosts: files\n"),
        )
    }

    fn shown(host: Option<&str>, service: Option<&str>, hints: Hints) -> Result<Vec<String>, Failure> {
        let infos = resolver()
            .try_getaddrinfo(host, service, &hints)
            .map_err(|error| error.failure())?;
        Ok(infos
            .iter()
            .map(|info| format!("{:?}/{} {}", info.socket_type, info.protocol, info.address))
            .collect())
    }

    fn stream() -> Hints {
        Hints {
            socket_type: Some(SocketType::Stream),
            ..Hints::default()
        }
    }

    #[test]
    fn every_kind_of_socket_unless_told_otherwise() {
        let all = [
            "Stream/6 192.0.2.1:80",
            "Datagram/17 192.0.2.1:80",
            "Raw/0 192.0.2.1:80",
        ]
        .map(String::from);
        assert_eq!(
            shown(Some("four.test"), Some("80"), Hints::default()).as_deref(),
            Ok(&all[..])
        );
        assert_eq!(shown(Some("192.0.2.1"), Some("80"), stream()).as_deref(), Ok(&all[..1]));
        let udp = Hints {
            protocol: 17,
            ..Hints::default()
        };
        assert_eq!(shown(Some("four.test"), Some("80"), udp).as_deref(), Ok(&all[1..2]));
        let raw = Hints {
            socket_type: Some(SocketType::Raw),
            protocol: 1,
            ..Hints::default()
        };
        assert_eq!(
            shown(Some("four.test"), None, raw),
            Ok(vec!["Raw/1 192.0.2.1:0".to_owned()])
        );
    }

    #[test]
    fn services_by_name() {
        let shown = |service| shown(Some("four.test"), Some(service), Hints::default());
        assert_eq!(shown("www"), Ok(vec!["Stream/6 192.0.2.1:80".to_owned()]));
        assert_eq!(shown("tftp"), Ok(vec!["Datagram/17 192.0.2.1:69".to_owned()]));
        assert_eq!(shown("domain").map(|infos| infos.len()), Ok(2));
        assert_eq!(shown("").map(|infos| infos.len()), Ok(3), "no digits are the number 0");
        for absent in ["nothing", "65536", "-1", "99999999999999999999"] {
            assert_eq!(shown(absent), Err(Failure::Service), "{absent}");
        }
    }

    #[test]
    fn contradictions() {
        let plain = Hints::default();
        assert_eq!(shown(None, None, plain), Err(Failure::NoName));
        assert_eq!(
            shown(
                None,
                Some("80"),
                Hints {
                    canonical_name: true,
                    ..plain
                }
            ),
            Err(Failure::BadFlags)
        );
        assert_eq!(
            shown(
                Some("four.test"),
                Some("80"),
                Hints {
                    protocol: 17,
                    ..stream()
                }
            ),
            Err(Failure::SocketType)
        );
        assert_eq!(
            shown(Some("four.test"), Some("80"), Hints { protocol: 99, ..plain }),
            Err(Failure::Service)
        );
        assert_eq!(
            shown(
                Some("four.test"),
                Some("80"),
                Hints {
                    numeric_host: true,
                    ..plain
                }
            ),
            Err(Failure::NoName)
        );
        assert_eq!(
            shown(
                Some("1.1"),
                Some("www"),
                Hints {
                    numeric_service: true,
                    ..plain
                }
            ),
            Err(Failure::NoName)
        );
        assert_eq!(
            shown(
                Some("1.1"),
                None,
                Hints {
                    family: Family::V6,
                    ..plain
                }
            ),
            Err(Failure::AddressFamily)
        );
        assert_eq!(
            shown(
                Some("::1"),
                None,
                Hints {
                    family: Family::V4,
                    ..plain
                }
            ),
            Err(Failure::AddressFamily)
        );
    }

    #[test]
    fn raw_sockets_take_any_protocol_and_no_service() {
        let icmp = Hints {
            protocol: 1,
            ..Hints::default()
        };
        assert_eq!(shown(Some("1.2"), None, icmp), Ok(vec!["Raw/1 1.0.0.2:0".to_owned()]));
        assert_eq!(shown(Some("1.2"), Some("80"), icmp), Err(Failure::Service));
        let raw = Hints {
            socket_type: Some(SocketType::Raw),
            ..Hints::default()
        };
        assert_eq!(shown(Some("1.2"), Some("http"), raw), Err(Failure::Service));
        assert_eq!(
            shown(
                Some("1.2"),
                Some("80"),
                Hints {
                    protocol: 6,
                    ..Hints::default()
                }
            )
            .map(|i| i.len()),
            Ok(1)
        );
    }

    #[test]
    fn without_a_host() {
        let one = |hints: Hints| {
            shown(
                None,
                Some("80"),
                Hints {
                    socket_type: Some(SocketType::Stream),
                    ..hints
                },
            )
        };
        let listen = ["Stream/6 0.0.0.0:80", "Stream/6 [::]:80"].map(String::from);
        assert_eq!(
            one(Hints {
                passive: true,
                ..Hints::default()
            })
            .as_deref(),
            Ok(&listen[..])
        );
        let here = ["Stream/6 [::1]:80", "Stream/6 127.0.0.1:80"].map(String::from);
        let mut promising = here.clone();
        if std::net::UdpSocket::bind("[::1]:0").is_err() {
            promising.reverse();
        }
        assert_eq!(one(Hints::default()).as_deref(), Ok(&promising[..]));
        assert_eq!(
            one(Hints {
                family: Family::V4,
                ..Hints::default()
            })
            .as_deref(),
            Ok(&here[1..])
        );
    }

    #[test]
    fn addresses_in_the_other_family() {
        let mapped = Hints {
            family: Family::V6,
            v4_mapped: true,
            ..stream()
        };
        let first = |host, hints| shown(Some(host), None, hints).map(|infos| infos.join(" "));
        assert_eq!(
            first("four.test", mapped),
            Ok("Stream/6 [::ffff:192.0.2.1]:0".to_owned())
        );
        assert_eq!(
            first("192.0.2.9", mapped),
            Ok("Stream/6 [::ffff:192.0.2.9]:0".to_owned())
        );
        assert_eq!(
            first(
                "::ffff:192.0.2.9",
                Hints {
                    family: Family::V4,
                    ..stream()
                }
            ),
            Ok("Stream/6 192.0.2.9:0".to_owned())
        );
        assert_eq!(first("six.test", mapped), Ok("Stream/6 [2001:db8::1]:0".to_owned()));
        let both = shown(Some("both.test"), None, Hints { all: true, ..mapped }).expect("found");
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn the_canonical_name_comes_first_and_once() {
        let hints = Hints {
            canonical_name: true,
            ..Hints::default()
        };
        let infos = resolver().getaddrinfo(Some("alias"), None, &hints).expect("found");
        let names: Vec<_> = infos.iter().map(|info| info.canonical_name.as_deref()).collect();
        assert_eq!(names, [Some("both.test"), None, None]);
    }
}
