//! Who answers for host names: this resolver, or the system's.
//!
//! `/etc/nsswitch.conf` lists the sources of host names. We know two of them, `files` and `dns`. Like Go's resolver, we
//! answer ourselves where these two are all that matters for the name at hand, and leave the name to
//! the system's `getaddrinfo` where another source might know better. Pure: text and facts in, decision out.

use super::name::HostName;

/// Which sources to ask, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The hosts file, then DNS.
    FilesDns,
    /// DNS, then the hosts file.
    DnsFiles,
    /// The hosts file alone.
    Files,
    /// DNS alone.
    Dns,
    /// The system's own `getaddrinfo`.
    System,
}

/// What else the decision depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// This machine's name, if known.
    pub(crate) host_name: Option<String>,
    /// Whether `/etc/mdns.allow` exists: then names beyond `.local` may be known by multicast.
    pub(crate) mdns_allow: bool,
    /// Whether the environment or `resolv.conf` asks for something that only the system's resolver does.
    pub(crate) system_wanted: bool,
}

/// The `hosts:` line of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nsswitch {
    /// In the file's order; empty when the file has no such line.
    sources: Vec<Source>,
}

/// One source of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// In small letters: `files`, `dns`, `mdns4_minimal` and so on.
    name: String,
    /// Whether the actions behind it in brackets, if any, only repeat what happens without them.
    ordinary: bool,
}

impl Nsswitch {
    /// Reads the file's content; the last `hosts:` line rules.
    pub(crate) fn parse(content: &[u8]) -> Nsswitch {
        let mut found = Nsswitch::default();
        for line in content.split(|byte| *byte == b'\n') {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let Ok(line) = str::from_utf8(line) else { continue };
            if let Some((database, rest)) = line.split_once(':')
                && database.trim().eq_ignore_ascii_case("hosts")
            {
                found.sources = parse_sources(rest);
            }
        }
        found
    }

    /// Who answers for `host`.
    pub(crate) fn decide(&self, host: &HostName, facts: &Facts) -> Order {
        // Multicast names belong to whoever speaks multicast (RFC 6762).
        if facts.system_wanted || host.is_within("local") {
            return Order::System;
        }
        if self.sources.is_empty() {
            return Order::FilesDns;
        }
        let (mut files, mut dns) = (None, None);
        for (position, source) in self.sources.iter().enumerate() {
            match source.name.as_str() {
                "files" | "dns" if !source.ordinary => return Order::System,
                "files" => files = files.or(Some(position)),
                "dns" => dns = dns.or(Some(position)),
                "myhostname" if known_to_myhostname(host, facts) => return Order::System,
                "myhostname" => {}
                // Multicast would not know this name, which is not below `.local`; whatever follows decides.
                name if name.starts_with("mdns") && !facts.mdns_allow => {}
                _ => return Order::System,
            }
        }
        match (files, dns) {
            (Some(files), Some(dns)) if files < dns => Order::FilesDns,
            (Some(_), Some(_)) => Order::DnsFiles,
            (Some(_), None) => Order::Files,
            (None, Some(_)) => Order::Dns,
            (None, None) => Order::System,
        }
    }
}

/// Whether systemd's `myhostname` source has an answer of its own for `host`.
fn known_to_myhostname(host: &HostName, facts: &Facts) -> bool {
    let gateway = matches!(host.as_str(), "gateway" | "_gateway" | "_outbound");
    let local = host.is_within("localhost") || host.is_within("localhost.localdomain");
    match &facts.host_name {
        Some(own) => gateway || local || host.as_str().eq_ignore_ascii_case(own),
        None => true,
    }
}

/// Splits `files mdns4_minimal [NOTFOUND=return] dns` into its sources.
fn parse_sources(text: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (actions, after) = inner.split_once(']').unwrap_or((inner, ""));
            if let Some(source) = sources.last_mut() {
                source.ordinary &= actions.split_ascii_whitespace().all(is_ordinary);
            }
            rest = after.trim_start();
        } else {
            let end = rest
                .find(|letter: char| letter == '[' || letter.is_ascii_whitespace())
                .unwrap_or(rest.len());
            sources.push(Source {
                name: rest[..end].to_ascii_lowercase(),
                ordinary: true,
            });
            rest = rest[end..].trim_start();
        }
    }
    sources
}

/// Whether `STATUS=action` is what happens anyway: return on success, go on after anything else.
fn is_ordinary(action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    matches!(
        action.as_str(),
        "success=return" | "notfound=continue" | "unavail=continue" | "tryagain=continue" | "!success=continue"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decide(file: &str, host: &str) -> Order {
        let facts = Facts {
            host_name: Some("Me".to_owned()),
            ..Facts::default()
        };
        Nsswitch::parse(file.as_bytes()).decide(&HostName::parse(host).expect("a good name"), &facts)
    }

    #[test]
    fn files_and_dns_are_ours() {
        for (file, order) in [
            ("", Order::FilesDns),
            ("passwd: files\n", Order::FilesDns),
            ("hosts:\n", Order::FilesDns),
            ("hosts: files dns", Order::FilesDns),
            ("hosts:dns files # and nothing else", Order::DnsFiles),
            ("  Hosts : FILES\n", Order::Files),
            ("hosts: dns\n", Order::Dns),
            ("hosts: files [NOTFOUND=continue success=RETURN] dns", Order::FilesDns),
            (
                "hosts: files mdns4_minimal [NOTFOUND=return] dns mdns4",
                Order::FilesDns,
            ),
            ("hosts: files myhostname dns", Order::FilesDns),
            ("hosts: nis\nhosts: dns", Order::Dns),
        ] {
            assert_eq!(decide(file, "example.test"), order, "{file}");
        }
    }

    #[test]
    fn the_rest_is_the_systems() {
        for file in [
            "hosts: files resolve [!UNAVAIL=return] dns",
            "hosts: mymachines files dns",
            "hosts: files [NOTFOUND=return] dns",
            "hosts: files dns [!UNAVAIL=return]",
            "hosts: files[notfound=return]dns",
            "hosts: files ldap",
            "hosts: myhostname",
            "hosts: mdns4",
        ] {
            assert_eq!(decide(file, "example.test"), Order::System, "{file}");
        }
    }

    #[test]
    fn names_that_others_may_know() {
        assert_eq!(decide("hosts: files dns", "printer.LOCAL"), Order::System);
        for name in ["me", "gateway", "_gateway", "localhost", "x.localhost"] {
            assert_eq!(decide("hosts: files myhostname dns", name), Order::System, "{name}");
            assert_eq!(decide("hosts: files dns", name), Order::FilesDns, "{name}");
        }
    }

    #[test]
    fn facts_overrule_the_file() {
        let host = HostName::parse("example.test").expect("a good name");
        let file = Nsswitch::parse(b"hosts: files mdns dns");
        assert_eq!(file.decide(&host, &Facts::default()), Order::FilesDns);
        assert_eq!(
            file.decide(
                &host,
                &Facts {
                    mdns_allow: true,
                    ..Facts::default()
                }
            ),
            Order::System
        );
        assert_eq!(
            file.decide(
                &host,
                &Facts {
                    system_wanted: true,
                    ..Facts::default()
                }
            ),
            Order::System
        );
    }

    proptest! {
        #[test]
        fn no_content_panics(content: Vec<u8>) {
            let _ = Nsswitch::parse(&content);
        }

        #[test]
        fn brackets_never_panic(line in r"hosts:[a-z\[\]!= ]{0,40}") {
            let _ = Nsswitch::parse(line.as_bytes());
        }
    }
}
