//! Looks several names up at the same time, on one thread.
//!
//! ```sh
//! cargo run --example hosts -- localhost example.org example.com
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

fn main() {
    let mut hosts: Vec<String> = std::env::args().skip(1).collect();
    if hosts.is_empty() {
        hosts = ["localhost", "example.org", "example.com"].map(String::from).into();
    }
    let jobs: Vec<_> = hosts
        .iter()
        .cloned()
        .map(|host| iora::spawn(move || iora::net::gethostbyname(&host)))
        .collect();
    iora::joinall(&jobs, Duration::from_secs(5));
    for (host, job) in hosts.iter().zip(&jobs) {
        match job.value() {
            Some(Ok(address)) => println!("{host}: {address}"),
            Some(Err(error)) => println!("{host}: {error}"),
            None => println!("{host}: no answer in time"),
        }
    }
}
