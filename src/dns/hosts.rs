//! The hosts file: names given to addresses by hand.
//!
//! A line holds an address and the names it goes by, the first being the canonical one; `#` starts a comment.
//! Lines that say nothing sensible are skipped, as the C library does. A name on several
//! lines has the addresses of all of them, in the file's order. Pure: bytes in, table out.

use std::collections::HashMap;

use super::literal::{self, Address};

/// What a hosts file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    /// By name, in small letters and without a final dot.
    names: HashMap<Box<str>, Entry>,
}

/// One name's share of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The first name of the first line that bears this name.
    pub(crate) canonical: Box<str>,
    /// In the order of the file, each once.
    pub(crate) addresses: Vec<Address>,
}

impl Hosts {
    /// Reads the file's content. `interface_index` finds the scope of `fe80::1%eth0`.
    pub(crate) fn parse(content: &[u8], interface_index: impl Fn(&str) -> Option<u32>) -> Hosts {
        let mut hosts = Hosts::default();
        for line in content.split(|byte| *byte == b'\n') {
            // The comment goes first: it may be in any encoding.
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let Ok(line) = str::from_utf8(line) else { continue };
            let mut words = line.split_ascii_whitespace();
            let Some(address) = words.next().and_then(|word| literal::parse(word, &interface_index)) else {
                continue;
            };
            let mut canonical: Option<&str> = None;
            for name in words {
                let name = name.strip_suffix('.').unwrap_or(name);
                if name.is_empty() {
                    continue;
                }
                hosts.add(address, name, canonical.get_or_insert(name));
            }
        }
        hosts
    }

    /// What the file says of `name`, which is in small letters and has no final dot.
    pub(crate) fn lookup(&self, name: &str) -> Option<&Entry> {
        self.names.get(name)
    }

    /// Gives `address` to `name`.
    fn add(&mut self, address: Address, name: &str, canonical: &str) {
        let entry = self
            .names
            .entry(name.to_ascii_lowercase().into())
            .or_insert_with(|| Entry {
                canonical: canonical.into(),
                addresses: Vec::with_capacity(1),
            });
        if !entry.addresses.contains(&address) {
            entry.addresses.push(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(file: &[u8], name: &str) -> Vec<String> {
        let hosts = Hosts::parse(file, |name| (name == "eth0").then_some(7));
        let entry = hosts.lookup(name);
        entry.map_or(Vec::new(), |entry| {
            entry.addresses.iter().map(|a| a.with_port(0).to_string()).collect()
        })
    }

    #[test]
    fn names_in_any_case_and_several_lines() {
        let file = b"127.0.0.1\tLocalHost loopback\n::1 localhost ip6-localhost\n127.0.0.1 localhost\n";
        assert_eq!(addresses(file, "localhost"), ["127.0.0.1:0", "[::1]:0"]);
        assert_eq!(addresses(file, "loopback"), ["127.0.0.1:0"]);
        assert_eq!(addresses(file, "nobody"), Vec::<String>::new());
    }

    #[test]
    fn the_canonical_name_is_the_lines_first() {
        let hosts = Hosts::parse(b"10.0.0.1 Big.example big\n10.0.0.2 other big", |_| None);
        assert_eq!(&*hosts.lookup("big").expect("is there").canonical, "Big.example");
    }

    #[test]
    fn comments_blanks_and_bad_lines() {
        let file = b"# all\n\n  10.0.0.1   a. # b\n10.0.0.2\nnonsense c\n10.0.0.300 d\n\xff\xfe e\n10.0.0.3 f#\xff\r\n10.0.0.4 . g";
        assert_eq!(addresses(file, "a"), ["10.0.0.1:0"]);
        for absent in ["b", "c", "d", "e", "", "."] {
            assert_eq!(addresses(file, absent), Vec::<String>::new(), "{absent:?}");
        }
        assert_eq!(addresses(file, "f"), ["10.0.0.3:0"]);
        assert_eq!(addresses(file, "g"), ["10.0.0.4:0"]);
    }

    #[test]
    fn a_scope_is_kept() {
        assert_eq!(addresses(b"fe80::1%eth0 router", "router"), ["[fe80::1%7]:0"]);
        assert_eq!(addresses(b"fe80::1%eth9 router", "router"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn no_content_panics(content: Vec<u8>) {
            let _ = Hosts::parse(&content, |_| None);
        }

        #[test]
        fn every_written_line_is_found(lines in prop::collection::vec((any::<std::net::IpAddr>(), "[a-z]{1,3}"), 0..20)) {
            let file: String = lines.iter().map(|(ip, name)| format!("{ip} {name}\n")).collect();
            let hosts = Hosts::parse(file.as_bytes(), |_| None);
            for (ip, name) in lines {
                prop_assert!(hosts.lookup(&name).expect("is there").addresses.contains(&ip.into()));
            }
        }
    }
}
