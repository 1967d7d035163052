//! What the command line says, checked as a whole before anything is started.
//!
//! A wrong value names itself and the reason; a wrong file, its line too.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use iora::net::{Hints, getaddrinfo};

use crate::answer::TtlRules;

/// The port of the DNS.
const DNS_PORT: u16 = 53;
/// Where the system says which name servers it uses.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The longest that a client can be made to wait.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A caching DNS forwarder: one greenlet for each query that has to wait.
///
/// Without any argument it listens on 127.0.0.1:5353 (UDP and TCP) and asks the name servers of /etc/resolv.conf.
/// SIGTERM and SIGINT let it finish what is in flight, then it exits; a second one ends it at once.
#[derive(Debug, Parser)]
#[command(name = "dns_forwarder", version)]
#[command(
    after_help = "An ADDR is an IP address with or without a port: 192.0.2.1, 192.0.2.1:53, 2001:db8::1, [2001:db8::1]:53\n\
                        A DURATION is a number with a unit: 500ms, 5s, 10m, 1h or 1d"
)]
pub(crate) struct Flags {
    /// Addresses to listen on, UDP and TCP [port: 53 if none is given; 0 takes a free one]
    #[arg(long, value_name = "ADDR", num_args = 1.., value_parser = address_with_port, default_value = "127.0.0.1:5353")]
    listen: Vec<SocketAddr>,

    /// Name servers to ask, in turn [port: 53 if none is given]
    #[arg(long, value_name = "ADDR", num_args = 1.., value_parser = upstream_address)]
    upstream: Vec<SocketAddr>,

    /// A file of name servers to ask: an address a line, # begins a comment
    #[arg(long, value_name = "FILE")]
    upstream_file: Option<PathBuf>,

    /// Threads, each with a hub and sockets of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// The most answers to keep; 0 keeps none
    #[arg(long, value_name = "N", default_value_t = 150_000, value_parser = entries)]
    cache_entries: usize,

    /// Raise shorter TTLs to this
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = ttl)]
    min_ttl: u32,

    /// Lower longer TTLs to this
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = ttl)]
    max_ttl: u32,

    /// Keep it no longer than this that a name or a record does not exist
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = ttl)]
    negative_ttl_max: u32,

    /// Answer every query within this time, with a failure at worst
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = timeout)]
    timeout: Duration,
}

/// All that the forwarder needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) listen: Vec<SocketAddr>,
    /// Whom to ask.
    pub(crate) upstreams: Vec<SocketAddr>,
    /// Where the upstreams were found, for whoever starts it.
    pub(crate) upstreams_from: String,
    /// How many hubs.
    pub(crate) threads: usize,
    /// How many answers to keep.
    pub(crate) cache_entries: usize,
    /// The bounds of TTLs.
    pub(crate) ttl_rules: TtlRules,
    /// How long a query may take.
    pub(crate) timeout: Duration,
}

/// What is wrong with the command line or a file, in words for whoever wrote it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadConfig(String);

impl fmt::Display for BadConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Flags {
    /// Reads the files that the flags name, and checks what only the whole can show.
    pub(crate) fn check(self) -> Result<Config, BadConfig> {
        if self.min_ttl > self.max_ttl {
            let (least, most) = (self.min_ttl, self.max_ttl);
            return Err(BadConfig(format!(
                "--min-ttl ({least}s) is longer than --max-ttl ({most}s)"
            )));
        }
        let (upstreams, upstreams_from) = self.upstreams()?;
        for address in &upstreams {
            if self.listen.iter().any(|own| is_same_place(own, address)) {
                return Err(BadConfig(format!("upstream {address}: it would forward to itself")));
            }
        }
        Ok(Config {
            listen: self.listen,
            upstreams,
            upstreams_from,
            threads: usize::from(self.threads),
            cache_entries: self.cache_entries,
            ttl_rules: TtlRules {
                least: self.min_ttl,
                most: self.max_ttl,
                negative_most: self.negative_ttl_max,
            },
            timeout: self.timeout,
        })
    }

    /// Whom to ask, and where that was found: the flags and the file if either is given, or else the system's.
    fn upstreams(&self) -> Result<(Vec<SocketAddr>, String), BadConfig> {
        let mut found = self.upstream.clone();
        let mut from = vec!["--upstream".to_owned()];
        if found.is_empty() {
            from.clear();
        }
        if let Some(path) = &self.upstream_file {
            found.extend(parse_upstream_file(path, &read(path)?)?);
            from.push(path.display().to_string());
        }
        if from.is_empty() {
            let path = Path::new(RESOLV_CONF);
            found = parse_resolv_conf(&read(path)?);
            from.push(RESOLV_CONF.to_owned());
            if found.is_empty() {
                return Err(BadConfig(format!(
                    "{RESOLV_CONF}: no usable nameserver line; name one with --upstream"
                )));
            }
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|address| seen.insert(*address));
        Ok((found, from.join(" and ")))
    }
}

/// Whether whatever is sent to `address` arrives at a socket bound to `own`.
fn is_same_place(own: &SocketAddr, address: &SocketAddr) -> bool {
    // The system takes "anywhere" for itself.
    let reached = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let everywhere = own.ip().is_unspecified() && reached.is_loopback() && own.is_ipv4() == reached.is_ipv4();
    own.port() != 0 && own.port() == address.port() && (everywhere || own.ip().to_canonical() == reached)
}

/// The whole of a file. What is not UTF-8 is no address, but may well be a comment.
fn read(path: &Path) -> Result<String, BadConfig> {
    let bytes = fs::read(path).map_err(|error| BadConfig(format!("{}: {error}", path.display())))?;
    let text = String::from_utf8_lossy(&bytes);
    // Some editors begin a file with a mark that says only that it is UTF-8.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// The addresses of an upstream file: one a line, `#` begins a comment, empty lines say nothing.
fn parse_upstream_file(path: &Path, text: &str) -> Result<Vec<SocketAddr>, BadConfig> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let address = upstream_address(line)
            .map_err(|reason| BadConfig(format!("{}:{}: {line:?}: {reason}", path.display(), index + 1)))?;
        found.push(address);
    }
    if found.is_empty() {
        return Err(BadConfig(format!("{}: no address in it", path.display())));
    }
    Ok(found)
}

/// The name servers of a `resolv.conf`; what cannot be read is skipped there, as every resolver does.
fn parse_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    addresses.filter_map(|address| upstream_address(address).ok()).collect()
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:5300`, `2001:db8::1`, `[2001:db8::1]:5300`.
fn address_with_port(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DNS_PORT));
    }
    if let Some(address) = of_interface(text) {
        return Ok(address);
    }
    text.parse()
        .map_err(|_| "not an IP address, or one with a port such as 192.0.2.1:53 or [2001:db8::1]:53".to_owned())
}

/// An address that means something on one interface only, with or without a port: `fe80::1%eth0`, `[fe80::1%eth0]:5300`.
fn of_interface(text: &str) -> Option<SocketAddr> {
    let (ip, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((ip, ""))) => (ip, DNS_PORT),
        Some(Some((ip, port))) => (ip, port.strip_prefix(':')?.parse().ok()?),
        Some(None) => return None,
        None => (text, DNS_PORT),
    };
    let hints = Hints {
        numeric_host: true,
        ..Hints::default()
    };
    let found = ip.contains('%').then(|| getaddrinfo(Some(ip), None, &hints))?.ok()?;
    let mut address = found.first()?.address;
    address.set_port(port);
    Some(address)
}

/// As [`address_with_port`], one at which a name server can be.
fn upstream_address(text: &str) -> Result<SocketAddr, String> {
    let address = address_with_port(text)?;
    let to_many = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    };
    match (to_many, address.port()) {
        (true, _) => Err("no name server can have such an address: it stands for many".to_owned()),
        (false, 0) => Err("nobody can be asked at port 0".to_owned()),
        (false, _) => Ok(address),
    }
}

/// A duration: a number with `ms`, `s`, `m`, `h` or `d`; seconds if it has none.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "not a duration such as 500ms, 5s, 10m, 1h or 1d".to_owned())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("unknown unit {unit:?}: use ms, s, m, h or d")),
    };
    Ok(Duration::from_millis(number.checked_mul(millis).ok_or("too long")?))
}

/// A TTL: a duration of whole seconds that fits the wire.
fn ttl(text: &str) -> Result<u32, String> {
    let given = duration(text)?;
    if given.subsec_nanos() > 0 {
        return Err("a TTL is counted in whole seconds".to_owned());
    }
    i32::try_from(given.as_secs())
        .map(i32::cast_unsigned)
        .map_err(|_| "longer than any TTL can be".to_owned())
}

/// How long a query may take.
fn timeout(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    if given.is_zero() || given > LONGEST_TIMEOUT {
        return Err(format!(
            "must be more than 0 and at most {}s",
            LONGEST_TIMEOUT.as_secs()
        ));
    }
    Ok(given)
}

/// How many answers to keep.
fn entries(text: &str) -> Result<usize, String> {
    let given: u32 = text.parse().map_err(|_| "not a number of entries".to_owned())?;
    if given > 1_000_000_000 {
        Err("more than a thousand million".to_owned())
    } else {
        Ok(given as usize)
    }
}

/// The address under which whoever started it reaches a listener.
pub(crate) fn reachable(listening: SocketAddr) -> SocketAddr {
    match listening.ip() {
        ip if !ip.is_unspecified() => listening,
        IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listening.port()),
        IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listening.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_go_without_a_port() {
        assert_eq!(address_with_port("192.0.2.1"), Ok(address("192.0.2.1:53")));
        assert_eq!(address_with_port("192.0.2.1:5300"), Ok(address("192.0.2.1:5300")));
        assert_eq!(address_with_port("2001:db8::1"), Ok(address("[2001:db8::1]:53")));
        assert_eq!(address_with_port("[2001:db8::1]"), Ok(address("[2001:db8::1]:53")));
        assert_eq!(
            address_with_port("[2001:db8::1]:5300"),
            Ok(address("[2001:db8::1]:5300"))
        );
        let loopback = address_with_port("fe80::1%lo").unwrap();
        assert_eq!((loopback.to_string().as_str(), loopback.port()), ("[fe80::1%1]:53", 53));
        assert_eq!(address_with_port("[fe80::1%lo]"), Ok(loopback));
        assert_eq!(address_with_port("[fe80::1%lo]:5300").unwrap().port(), 5300);
        for wrong in [
            "",
            "dns.example",
            "192.0.2.1:",
            "192.0.2.1:66000",
            "192.0.2",
            "fe80::1%none-such",
            "[fe80::1%lo",
            "[fe80::1%lo]x",
            "[fe80::1%lo]:",
            "192.0.2.1%lo",
        ] {
            assert!(address_with_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_upstream_is_one_that_can_be_asked() {
        assert_eq!(upstream_address("192.0.2.1"), Ok(address("192.0.2.1:53")));
        for wrong in [
            "192.0.2.1:0",
            "224.0.0.251",
            "255.255.255.255",
            "ff02::fb",
            "::ffff:224.0.0.1",
        ] {
            assert!(upstream_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_does_not_forward_to_itself() {
        let is_same = |own: &str, other: &str| is_same_place(&address(own), &address(other));
        assert!(is_same("127.0.0.1:5353", "127.0.0.1:5353"));
        assert!(is_same("127.0.0.1:5353", "0.0.0.0:5353"));
        assert!(is_same("0.0.0.0:5353", "127.0.0.9:5353"));
        assert!(is_same("127.0.0.1:5353", "[::ffff:127.0.0.1]:5353"));
        assert!(is_same("[::]:5353", "[::1]:5353"));
        assert!(is_same("[::1]:5353", "[::]:5353"));
        assert!(!is_same("127.0.0.1:5353", "127.0.0.2:5353"));
        assert!(!is_same("127.0.0.1:5353", "127.0.0.1:53"));
        assert!(!is_same("[::]:5353", "127.0.0.1:5353"), "it hears version 6 alone");
    }

    #[test]
    fn a_files_comments_need_not_be_utf8() {
        let path = std::env::temp_dir().join(format!("iora-upstreams-{}", std::process::id()));
        fs::write(&path, b"\xef\xbb\xbf192.0.2.1\r\n# M\xfcnchen\r\n192.0.2.2\r\n").unwrap();
        let found = read(&path).and_then(|text| parse_upstream_file(&path, &text));
        fs::remove_file(&path).unwrap();
        assert_eq!(found, Ok(vec![address("192.0.2.1:53"), address("192.0.2.2:53")]));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in [
            "",
            "s",
            "-1s",
            "1.5s",
            "5 s",
            "5w",
            "99999999999999999999",
            "18446744073709551615d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ttl("1h"), Ok(3600));
        assert!(ttl("500ms").is_err());
        assert!(ttl("3000000000").is_err());
        assert!(timeout("0s").is_err());
        assert!(timeout("61s").is_err());
    }

    #[test]
    fn an_upstream_file_names_its_wrong_line() {
        let path = Path::new("list");
        let good = "# ours\n192.0.2.1\n\n  192.0.2.2:5300 # second\n2001:db8::1\n";
        let found = parse_upstream_file(path, good).unwrap();
        assert_eq!(
            found,
            [
                address("192.0.2.1:53"),
                address("192.0.2.2:5300"),
                address("[2001:db8::1]:53")
            ]
        );
        let BadConfig(text) = parse_upstream_file(path, "192.0.2.1\nnonsense # here\n").unwrap_err();
        assert!(text.starts_with("list:2: \"nonsense\": not an IP address"), "{text}");
        assert!(parse_upstream_file(path, "# nothing\n").is_err());
    }

    #[test]
    fn resolv_conf_gives_its_name_servers() {
        let text = "search example.com\nnameserver 192.0.2.1\n#nameserver 192.0.2.9\nnameserver fe80::1%none-such\nnameserver ::1\n";
        assert_eq!(parse_resolv_conf(text), [address("192.0.2.1:53"), address("[::1]:53")]);
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let text = String::from_utf8_lossy(&bytes);
            let lines = text.lines().count();
            match parse_upstream_file(Path::new("list"), &text) {
                Ok(found) => assert!((1..=lines).contains(&found.len())),
                Err(BadConfig(reason)) => assert!(reason.starts_with("list:")),
            }
            assert!(parse_resolv_conf(&text).len() <= lines);
        }

        #[test]
        fn an_address_that_is_written_is_read_again(
            four in proptest::arbitrary::any::<bool>(),
            bits in proptest::num::u128::ANY,
            port in 1..=u16::MAX,
        ) {
            let ip = if four { IpAddr::from((bits as u32).to_be_bytes()) } else { IpAddr::from(bits.to_be_bytes()) };
            let written = SocketAddr::new(ip, port);
            assert_eq!(address_with_port(&written.to_string()), Ok(written));
            assert_eq!(address_with_port(&ip.to_string()), Ok(SocketAddr::new(ip, DNS_PORT)));
        }
    }

    fn checked(arguments: &[&str]) -> Result<Config, BadConfig> {
        Flags::try_parse_from([&["dns_forwarder"], arguments].concat())
            .unwrap()
            .check()
    }

    #[test]
    fn what_only_the_whole_can_show_is_checked() {
        let config = checked(&["--upstream", "192.0.2.1", "192.0.2.1:53", "--threads", "2"]).unwrap();
        assert_eq!((config.upstreams.len(), config.threads), (1, 2));
        assert_eq!(config.listen, [address("127.0.0.1:5353")]);
        assert!(checked(&["--upstream", "192.0.2.1", "--min-ttl", "2h", "--max-ttl", "1h"]).is_err());
        assert!(
            checked(&["--upstream", "127.0.0.1:5353"]).is_err(),
            "it would forward to itself"
        );
        assert!(checked(&["--listen", "0.0.0.0:5353", "--upstream", "127.0.0.1:5353"]).is_err());
        assert!(checked(&["--upstream-file", "/no/such/file"]).is_err());
    }

    #[test]
    fn the_help_can_be_built() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
    }
}
