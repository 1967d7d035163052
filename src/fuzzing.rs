//! What `ci/fuzz` feeds with bytes. Built with `--cfg fuzzing` only, and no part of the API.
//!
//! Each function takes anything, must return, and checks what holds of every input.

use crate::dns::hosts::Hosts;
use crate::dns::literal;
use crate::dns::message::{Kind, Question, Reading, Status};
use crate::dns::name::HostName;
use crate::dns::nsswitch::{Facts, Nsswitch};
use crate::dns::resolv_conf::ResolvConf;
use crate::dns::services::{Services, Transport};

/// Stands for the system's table of interfaces: a name's length is its index.
fn interface_index(name: &str) -> Option<u32> {
    u32::try_from(name.len()).ok()
}

/// `/etc/hosts`: a name in small letters that stands behind a readable address is found.
pub fn hosts(content: &[u8]) {
    let hosts = Hosts::parse(content, interface_index);
    for line in content
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.contains(&b'#'))
    {
        let Ok(line) = str::from_utf8(line) else { continue };
        let mut words = line.split_ascii_whitespace();
        if words
            .next()
            .and_then(|word| literal::parse(word, interface_index))
            .is_some()
            && let Some(name) = words.next().map(|name| name.strip_suffix('.').unwrap_or(name))
            && !name.is_empty()
        {
            let entry = hosts.lookup(&name.to_ascii_lowercase()).expect("a name of the file");
            assert!(!entry.addresses.is_empty());
        }
    }
}

/// `/etc/resolv.conf`.
pub fn resolv_conf(content: &[u8]) {
    let _ = ResolvConf::parse(content, Some("host.example.org"), interface_index);
    let _ = ResolvConf::parse(content, None, interface_index);
}

/// `/etc/nsswitch.conf` and `/etc/services`.
pub fn name_services(content: &[u8]) {
    let switch = Nsswitch::parse(content);
    let host = HostName::parse("www.example.org").expect("a name");
    let _ = switch.decide(&host, &Facts::default());
    let _ = Services::parse(content).port("http", Transport::Tcp);
}

/// Names and numeric addresses, as a user types them. What is an address and printed is the same address again.
pub fn names(content: &[u8]) {
    let Ok(text) = str::from_utf8(content) else { return };
    if let Some(address) = literal::parse(text, interface_index) {
        let again = literal::parse(&address.ip.to_string(), interface_index).expect("an address");
        assert_eq!(again.ip, address.ip);
    }
    if let Some(name) = HostName::parse(text) {
        let search = [String::from("example.org"), String::from(".")];
        assert!(!name.candidates(&search, 1, false).is_empty());
    }
}

/// What a name server sends: an answer to one of two questions, whose id are the first two bytes.
pub fn answers(content: &[u8]) {
    let &[high, low, ..] = content else { return };
    for kind in [Kind::A, Kind::Aaaa] {
        let name = HostName::parse("www.example.org").expect("a name");
        let question = Question {
            id: u16::from_be_bytes([high, low]),
            name,
            kind,
        };
        if let Reading::Answer(answer) = question.read(content) {
            assert_eq!(answer.addresses.is_empty(), answer.status != Status::Found);
            assert!(
                answer
                    .addresses
                    .iter()
                    .all(|address| address.is_ipv4() == (kind == Kind::A))
            );
        }
    }
}
