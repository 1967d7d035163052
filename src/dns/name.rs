//! Host names, and the list of full names that a short one is tried as.
//!
//! A [`HostName`] is kept in small letters, without its final dot, and is known to fit into a DNS question:
//! at most 253 bytes, labels of 1 to 63 bytes, printable ASCII. Underscores and the like are let through:
//! they are in use, and the server knows best.

/// The most bytes that a written name may have (RFC 1035, 2.3.4: 255 in wire form).
const LONGEST_NAME: usize = 253;

/// The most bytes that one label may have (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A name that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostName {
    /// In small letters, without the final dot.
    text: String,
    /// Whether it was written with a final dot: then no search domain is ever added.
    absolute: bool,
}

impl HostName {
    /// Reads a name as a user writes it; `None` when no DNS question could hold it.
    pub(crate) fn parse(text: &str) -> Option<HostName> {
        let (stem, absolute) = match text.strip_suffix('.') {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        if stem.len() > LONGEST_NAME {
            return None;
        }
        let good = stem.split('.').all(|label| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'%')
        });
        good.then(|| HostName {
            text: stem.to_ascii_lowercase(),
            absolute,
        })
    }

    /// The name in small letters, without a final dot.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the name is `suffix` or lies below it. `suffix` in small letters, without dots at its ends.
    pub(crate) fn is_within(&self, suffix: &str) -> bool {
        match self.text.strip_suffix(suffix) {
            Some(front) => front.is_empty() || front.ends_with('.'),
            None => false,
        }
    }

    /// The full names to ask for, in order, as resolv.conf(5) says under `search` and `ndots`.
    ///
    /// A name with a final dot is asked as it stands. One with at least `ndots` dots is asked as it stands first and
    /// below the search domains afterwards, any other the other way round. `bare_alone` says
    /// whether a name without any dot may be asked as it stands (option `no-tld-query` forbids it).
    /// Names that would grow too long are left out.
    pub(crate) fn candidates(&self, search: &[String], ndots: u32, bare_alone: bool) -> Vec<HostName> {
        let itself = HostName {
            text: self.text.clone(),
            absolute: true,
        };
        if self.absolute {
            return vec![itself];
        }
        let dots = self.text.bytes().filter(|byte| *byte == b'.').count();
        let below = search
            .iter()
            .filter_map(|domain| HostName::parse(&format!("{}.{domain}.", self.text)));
        let mut names: Vec<HostName> = Vec::with_capacity(search.len() + 1);
        if dots >= ndots as usize {
            names.push(itself);
            names.extend(below);
        } else {
            names.extend(below);
            names.push(itself);
        }
        if dots == 0 && !bare_alone {
            names.retain(|name| name.text != self.text);
        }
        let mut kept: Vec<HostName> = Vec::with_capacity(names.len());
        for name in names {
            if !kept.contains(&name) {
                kept.push(name);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tried(name: &str, search: &[&str], ndots: u32) -> Vec<String> {
        let search: Vec<String> = search.iter().map(|domain| domain.to_string()).collect();
        let name = HostName::parse(name).expect("a good name");
        name.candidates(&search, ndots, true)
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect()
    }

    #[test]
    fn a_short_name_goes_below_the_domains_first() {
        assert_eq!(
            tried("www", &["a.test", "b.test"], 1),
            ["www.a.test", "www.b.test", "www"]
        );
    }

    #[test]
    fn enough_dots_go_alone_first() {
        assert_eq!(tried("www.x", &["a.test"], 1), ["www.x", "www.x.a.test"]);
        assert_eq!(tried("www.x", &["a.test"], 2), ["www.x.a.test", "www.x"]);
        assert_eq!(tried("www", &["a.test"], 0), ["www", "www.a.test"]);
    }

    #[test]
    fn a_final_dot_ends_the_search() {
        assert_eq!(tried("WWW.", &["a.test"], 15), ["www"]);
    }

    #[test]
    fn too_long_and_doubled_names_are_left_out() {
        let long = "a.".repeat(120);
        assert_eq!(
            tried("www", &[long.trim_end_matches('.'), "b", "b", &"c".repeat(64)], 1).len(),
            3
        );
    }

    #[test]
    fn a_bare_name_may_be_kept_from_the_root() {
        let name = HostName::parse("www").expect("a good name");
        let tried = name.candidates(&["a.test".to_owned()], 1, false);
        assert_eq!(tried.iter().map(HostName::as_str).collect::<Vec<_>>(), ["www.a.test"]);
    }

    #[test]
    fn bad_names() {
        for bad in ["", ".", "..", "a..b", ".a", "a b", "a\0b", "ü.de", "a\\b", "a%b", "a\n"] {
            assert_eq!(HostName::parse(bad), None, "{bad:?}");
        }
        assert!(HostName::parse(&"a".repeat(63)).is_some());
        assert!(HostName::parse(&"a".repeat(64)).is_none());
        let longest = format!("{}a", "ab.".repeat(84));
        assert_eq!(longest.len(), LONGEST_NAME);
        assert!(HostName::parse(&longest).is_some());
        assert!(HostName::parse(&format!("{longest}.")).is_some());
        assert!(HostName::parse(&format!("{longest}b")).is_none());
    }

    #[test]
    fn within() {
        let name = HostName::parse("a.LOCAL").expect("a good name");
        assert!(name.is_within("local"));
        assert!(!name.is_within("cal"));
        assert!(HostName::parse("local").expect("a good name").is_within("local"));
    }

    proptest! {
        #[test]
        fn candidates_hold_the_name_once_and_fit(
            name in "[a-z.]{1,20}", search in prop::collection::vec("[a-z.]{0,250}", 0..8), ndots in 0u32..16,
        ) {
            if let Some(name) = HostName::parse(&name) {
                let tried = name.candidates(&search, ndots, true);
                prop_assert_eq!(tried.iter().filter(|tried| tried.as_str() == name.as_str()).count(), 1);
                for tried in tried {
                    prop_assert!(tried.as_str().len() <= LONGEST_NAME && tried.absolute);
                }
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,300}") {
            let _ = HostName::parse(&text);
        }
    }
}
