//! `resolv.conf`: which name servers to ask, and how.
//!
//! Read as resolv.conf(5) of the GNU library says, with its limits; one spelling more is understood, OpenBSD's
//! `nameserver [192.0.2.1]:5353` for a server at another port. A keyword or an option that we do not know is not
//! guessed at: it sets [`ResolvConf::foreign`], and names are left to the system's resolver. Pure: bytes in, settings out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::literal;

/// How many servers are used (`MAXNS` of `<resolv.h>`); more are ignored.
const MOST_SERVERS: usize = 3;
/// The port of DNS (RFC 1035, 4.2).
const DNS_PORT: u16 = 53;
/// `ndots` is cut to this.
const MOST_NDOTS: u32 = 15;
/// `timeout` is cut to this many seconds.
const LONGEST_TIMEOUT: u32 = 30;
/// `attempts` is cut to this.
const MOST_ATTEMPTS: u32 = 5;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    /// At least one, at most [`MOST_SERVERS`].
    pub(crate) servers: Vec<SocketAddr>,
    /// Domains to try a short name below; without dots at their ends.
    pub(crate) search: Vec<String>,
    /// From how many dots on a name is asked as it stands first.
    pub(crate) ndots: u32,
    /// How long one server may take for one answer.
    pub(crate) timeout: Duration,
    /// How many times the list of servers is gone through.
    pub(crate) attempts: u32,
    /// Whether each look-up starts with another server.
    pub(crate) rotate: bool,
    /// Whether questions carry an EDNS record.
    pub(crate) edns0: bool,
    /// Whether TCP is used from the start.
    pub(crate) use_tcp: bool,
    /// Whether A and AAAA are asked one after the other.
    pub(crate) single_request: bool,
    /// Whether questions ask for the AD bit.
    pub(crate) trust_ad: bool,
    /// Whether AAAA is never asked.
    pub(crate) no_aaaa: bool,
    /// Whether a name without dots may not be asked as it stands.
    pub(crate) no_tld_query: bool,
    /// Whether a changed file is left unread.
    pub(crate) no_reload: bool,
    /// Whether the file holds something that only the system's resolver understands.
    pub(crate) foreign: bool,
}

impl Default for ResolvConf {
    /// What an empty file means: the server on this machine.
    fn default() -> ResolvConf {
        ResolvConf {
            servers: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT))],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            edns0: false,
            use_tcp: false,
            single_request: false,
            trust_ad: false,
            no_aaaa: false,
            no_tld_query: false,
            no_reload: false,
            foreign: false,
        }
    }
}

impl ResolvConf {
    /// Reads the file's content.
    ///
    /// `host_name` gives the search domain where the file names none: what follows its first dot.
    /// `interface_index` finds the scope of `fe80::1%eth0`.
    pub(crate) fn parse(
        content: &[u8],
        host_name: Option<&str>,
        interface_index: impl Fn(&str) -> Option<u32>,
    ) -> ResolvConf {
        let mut conf = ResolvConf::default();
        let mut servers = Vec::new();
        let mut search: Option<Vec<String>> = None;
        for line in content.split(|byte| *byte == b'\n') {
            // A comment, or a line whose keyword does not start it.
            if line
                .first()
                .is_none_or(|byte| matches!(byte, b'#' | b';') || byte.is_ascii_whitespace())
            {
                continue;
            }
            let Ok(line) = str::from_utf8(line) else { continue };
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default();
            let mut values = words.take_while(|word| !word.starts_with(['#', ';']));
            match keyword {
                "nameserver" => {
                    let server = values.next().and_then(|word| parse_server(word, &interface_index));
                    servers.extend(server.filter(|_| servers.len() < MOST_SERVERS));
                }
                "search" => search = Some(values.filter_map(parse_domain).collect()),
                "domain" => search = Some(values.take(1).filter_map(parse_domain).collect()),
                "options" => values.for_each(|option| conf.set_option(option)),
                _ => conf.foreign = true,
            }
        }
        if !servers.is_empty() {
            conf.servers = servers;
        }
        conf.search = search.unwrap_or_else(|| domain_of(host_name).into_iter().collect());
        conf
    }

    /// Takes in one word of an `options` line.
    fn set_option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        // What is no number counts as nothing, as with the C library's atoi.
        let number = || {
            value
                .parse::<u32>()
                .unwrap_or(if value.bytes().all(|b| b.is_ascii_digit()) {
                    u32::MAX
                } else {
                    0
                })
        };
        match name {
            "ndots" => self.ndots = number().min(MOST_NDOTS),
            "timeout" => self.timeout = Duration::from_secs(number().clamp(1, LONGEST_TIMEOUT).into()),
            "attempts" => self.attempts = number().clamp(1, MOST_ATTEMPTS),
            "rotate" => self.rotate = true,
            "edns0" => self.edns0 = true,
            "use-vc" | "usevc" => self.use_tcp = true,
            "single-request" => self.single_request = true,
            "trust-ad" => self.trust_ad = true,
            "no-aaaa" => self.no_aaaa = true,
            "no-tld-query" => self.no_tld_query = true,
            "no-reload" => self.no_reload = true,
            // Each question has a socket of its own here, and the others change nothing for addresses.
            "single-request-reopen"
            | "debug"
            | "no-check-names"
            | "inet6"
            | "ip6-bytestring"
            | "ip6-dotint"
            | "no-ip6-dotint"
            | "insecure1"
            | "insecure2" => {}
            _ => self.foreign = true,
        }
    }
}

/// `192.0.2.1`, `fe80::1%eth0`, `[192.0.2.1]:5353` or `[::1]:5353`.
fn parse_server(word: &str, interface_index: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let (address, port) = match word.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:")) {
        Some((address, port)) => (address, port.parse().ok().filter(|port| *port != 0)?),
        None => (word, DNS_PORT),
    };
    Some(literal::parse(address, interface_index)?.with_port(port))
}

/// A search domain without dots at its ends. The root itself adds nothing that is not tried anyway.
fn parse_domain(word: &str) -> Option<String> {
    let word = word.trim_matches('.');
    (!word.is_empty()).then(|| word.to_ascii_lowercase())
}

/// What follows the first dot of a machine's name.
fn domain_of(host_name: Option<&str>) -> Option<String> {
    host_name?.split_once('.').and_then(|(_, domain)| parse_domain(domain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> ResolvConf {
        ResolvConf::parse(text.as_bytes(), Some("box.home.test"), |name| {
            (name == "eth0").then_some(7)
        })
    }

    fn servers(text: &str) -> Vec<String> {
        parse(text).servers.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn nothing_means_this_machine() {
        let conf = parse("");
        assert_eq!(
            conf,
            ResolvConf {
                search: vec!["home.test".to_owned()],
                ..ResolvConf::default()
            }
        );
        assert_eq!(servers("# none"), ["127.0.0.1:53"]);
        assert!(ResolvConf::parse(b"", Some("box"), |_| None).search.is_empty());
        assert!(ResolvConf::parse(b"", None, |_| None).search.is_empty());
    }

    #[test]
    fn three_servers_at_most_and_bad_ones_skipped() {
        let text = "nameserver 192.0.2.1 # one\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver\nnameserver [192.0.2.3]:5353\n\
                    nameserver 192.0.2.4\n";
        assert_eq!(servers(text), ["192.0.2.1:53", "[fe80::1%7]:53", "192.0.2.3:5353"]);
        assert_eq!(
            servers("nameserver [::1]:99\nnameserver [::1]:0\nnameserver [::1]:x\nnameserver [::1]"),
            ["[::1]:99"]
        );
        assert_eq!(
            servers(" nameserver 192.0.2.1\n;nameserver 192.0.2.2\n#nameserver 192.0.2.3"),
            ["127.0.0.1:53"]
        );
    }

    #[test]
    fn the_last_search_or_domain_rules() {
        assert_eq!(
            parse("domain a.test b.test\nsearch C.test. .d.test # e.test").search,
            ["c.test", "d.test"]
        );
        assert_eq!(parse("search c.test\ndomain a.test b.test").search, ["a.test"]);
        assert_eq!(parse("search .").search, Vec::<String>::new());
        assert_eq!(parse("search").search, Vec::<String>::new());
    }

    #[test]
    fn options_and_their_limits() {
        let conf = parse(
            "options ndots:3 timeout:7 attempts:4 rotate edns0 use-vc single-request trust-ad no-aaaa no-tld-query no-reload debug",
        );
        let wanted = ResolvConf {
            search: vec!["home.test".to_owned()],
            ndots: 3,
            timeout: Duration::from_secs(7),
            attempts: 4,
            rotate: true,
            edns0: true,
            use_tcp: true,
            single_request: true,
            trust_ad: true,
            no_aaaa: true,
            no_tld_query: true,
            no_reload: true,
            ..ResolvConf::default()
        };
        assert_eq!(conf, wanted);
        let conf = parse("options ndots:99 timeout:99999999999 attempts:99");
        assert_eq!(
            (conf.ndots, conf.timeout, conf.attempts),
            (15, Duration::from_secs(30), 5)
        );
        let conf = parse("options ndots:x timeout:0 attempts:-1");
        assert_eq!(
            (conf.ndots, conf.timeout, conf.attempts),
            (0, Duration::from_secs(1), 1)
        );
    }

    #[test]
    fn what_we_do_not_know_is_foreign() {
        assert!(!parse("options rotate\nsearch x").foreign);
        assert!(parse("options something-new").foreign);
        assert!(parse("sortlist 130.155.160.0/255.255.240.0").foreign);
    }

    proptest! {
        #[test]
        fn any_content_gives_sane_settings(content: Vec<u8>) {
            let conf = ResolvConf::parse(&content, None, |_| None);
            prop_assert!((1..=MOST_SERVERS).contains(&conf.servers.len()));
        }

        #[test]
        fn any_options_give_sane_settings(options in "(options [a-z0-9:]{0,12}( (ndots|timeout|attempts):[-0-9a-z]{0,12}){0,3}\n){0,4}") {
            let conf = ResolvConf::parse(options.as_bytes(), None, |_| None);
            prop_assert!(conf.ndots <= MOST_NDOTS && (1..=MOST_ATTEMPTS).contains(&conf.attempts));
            prop_assert!((1..=30).contains(&conf.timeout.as_secs()));
        }
    }
}
