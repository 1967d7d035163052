//! The forwarder's parsers, for fuzzing: the example's own modules, and in `forwarder` what holds of every input.
//!
//! The example is a program, so its modules cannot be named from here: they are compiled again.
#![expect(dead_code, reason = "of the example's modules not everything is fuzzed")]

#[path = "../../../examples/dns_forwarder/answer.rs"]
mod answer;
#[path = "../../../examples/dns_forwarder/cache.rs"]
mod cache;
#[path = "../../../examples/dns_forwarder/edns.rs"]
mod edns;
pub mod forwarder;
#[path = "../../../examples/dns_forwarder/local_names.rs"]
mod local_names;
#[path = "../../../examples/dns_forwarder/question.rs"]
mod question;
#[path = "../../../examples/dns_forwarder/stored.rs"]
mod stored;
#[path = "../../../examples/dns_forwarder/upstream_query.rs"]
mod upstream_query;
#[path = "../../../examples/dns_forwarder/wire.rs"]
mod wire;
