//! The parsers that a stranger's bytes reach, for fuzzers; only in builds for them.

use super::hosts::Hosts;
use super::literal;
use super::message::{Kind, Question};
use super::name::HostName;
use super::nsswitch::Nsswitch;
use super::resolv_conf::ResolvConf;
use super::services::Services;

/// Reads `bytes` as each of the configuration files.
pub fn files(bytes: &[u8]) {
    let _ = Hosts::parse(bytes, |_| Some(1));
    let _ = Nsswitch::parse(bytes);
    let _ = ResolvConf::parse(bytes, None, |_| Some(1));
    let _ = Services::parse(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = literal::parse(text, |_| Some(1));
        let _ = HostName::parse(text);
    }
}

/// Reads `bytes` as an answer to a question of id 0 for `a.test`.
pub fn answer(bytes: &[u8]) {
    if let Some(name) = HostName::parse("a.test") {
        for kind in [Kind::A, Kind::Aaaa] {
            let _ = Question {
                id: 0,
                name: name.clone(),
                kind,
            }
            .read(bytes);
        }
    }
}
