//! A caching DNS forwarder: UDP and TCP, several upstreams, one greenlet for each query that has to wait.
//!
//! `cargo run --release --example dns_forwarder`, then `dig @127.0.0.1 -p 5353 example.com`; `--help` says the rest.
//!
//! ```text
//!   main ─── config ─── listeners                    what is asked for, checked and bound before anything starts
//!     │
//!     └─ a hub a thread:   udp, tcp                  receive, answer in place, or spawn
//!                            forwarder               from a message to its answer
//!                              question, cache, stored, edns, local_names      what needs no waiting: pure code
//!                              in_flight             equal questions wait together
//!                              resolver              one question to the upstreams in turn
//!                                exchange, tcp_upstream    one query to one of them, and back
//!                                upstream_query, answer, upstreams
//! ```

mod answer;
mod cache;
mod config;
mod edns;
mod exchange;
mod forwarder;
mod in_flight;
mod listeners;
mod local_names;
mod question;
mod resolver;
mod shutdown;
mod stored;
mod tcp;
mod tcp_upstream;
mod udp;
mod upstream_query;
mod upstreams;
mod wire;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use iora::net::{TcpListener, UdpSocket};

use config::{Config, Flags};
use forwarder::{Forwarder, Shared};
use listeners::Pair;
use shutdown::Ticket;
use tcp::Connections;

/// The exit code for a command line or a file that is wrong.
const WRONG_USAGE: u8 = 2;
/// How much longer than its time a query in flight is waited for at the end.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let config = match Flags::parse().check() {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal comes and what is in flight is finished.
fn run(config: Config) -> io::Result<()> {
    let mut addresses = Vec::new();
    let mut hubs: Vec<Vec<Pair>> = (0..config.threads).map(|_| Vec::new()).collect();
    for &address in &config.listen {
        let bound = listeners::bind(address, config.threads);
        let (chosen, pairs) =
            bound.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        addresses.push(chosen);
        hubs.iter_mut().zip(pairs).for_each(|(hub, pair)| hub.push(pair));
    }
    let shared = Shared::new(config);
    shutdown::ask_on_signals(&shared.work)?;
    let connections = Arc::new(Connections::default());
    // A ticket for each hub, taken before the first can give its own back.
    let tickets: Vec<Ticket> = hubs.iter().map(|_| shared.work.begin()).collect();
    let mut served = hubs.into_iter().zip(tickets);
    let own = served.next();
    // This thread's hub is one of them.
    let others = if shared.config.threads > 1 {
        Some(iora::hubs(shared.config.threads - 1)?)
    } else {
        None
    };
    for (hub, (pairs, ticket)) in others.iter().flat_map(iora::Hubs::handles).zip(served) {
        let (shared, connections) = (Arc::clone(&shared), Arc::clone(&connections));
        let spawned = hub.spawn(move || serve(&shared, &connections, pairs, ticket));
        drop(spawned.map_err(|_| io::Error::other("a hub has ended"))?);
    }
    announce(&addresses, &shared.config);
    if let Some((pairs, ticket)) = own {
        serve(&shared, &connections, pairs, ticket);
    }
    Ok(())
}

/// Serves one hub's sockets, on the hub that calls it, until the end has come and all work is finished.
fn serve(shared: &Arc<Shared>, connections: &Arc<Connections>, pairs: Vec<Pair>, ticket: Ticket) {
    let forwarder = Forwarder::new(Arc::clone(shared));
    let mut receivers = Vec::new();
    let mut sockets = Vec::new();
    for Pair { udp, tcp } in pairs {
        let socket = Rc::new(UdpSocket::from(udp));
        if socket.local_addr().is_ok_and(|address| address.ip().is_unspecified()) {
            // Where the kernel does not tell, the answer leaves from where the route says.
            let _ = socket.set_tell_local_addr();
        }
        sockets.push(Rc::clone(&socket));
        let this = Rc::clone(&forwarder);
        receivers.push(iora::spawn(move || udp::serve(&this, &socket)));
        let (this, listener, connections) = (Rc::clone(&forwarder), TcpListener::from(tcp), Arc::clone(connections));
        receivers.push(iora::spawn(move || tcp::serve(&this, &listener, &connections)));
    }
    shared.work.until_the_end();
    iora::killall(&receivers, None);
    for socket in &sockets {
        udp::drain(&forwarder, socket);
    }
    drop(ticket);
    shared.work.until_finished(shared.config.timeout + GRACE);
}

/// Says what it does and how to try it. A line for each address begins with "listening on".
fn announce(addresses: &[SocketAddr], config: &Config) {
    let mut out = io::stdout().lock();
    let upstreams: Vec<String> = config.upstreams.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for address in addresses {
        text.push_str(&format!("listening on {address} (UDP and TCP)\n"));
    }
    let first = config::reachable(addresses[0]);
    text.push_str(&format!(
        "forwarding to {} (from {}), caching up to {} answers; try: dig @{} -p {} example.com\n",
        upstreams.join(", "),
        config.upstreams_from,
        config.cache_entries,
        first.ip(),
        first.port()
    ));
    // Nobody may be there to read it: that is no reason not to serve.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says what is wrong, for whoever started it.
fn complain(error: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "dns_forwarder: {error}");
}
