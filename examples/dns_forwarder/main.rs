//! A caching DNS forwarder.
#![expect(dead_code, reason = "the parts are put together next")]
mod answer;
mod cache;
mod config;
mod edns;
mod local_names;
mod question;
mod stored;
mod upstreams;
mod wire;

fn main() {}
