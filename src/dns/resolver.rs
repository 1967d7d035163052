//! The resolver: puts the parts together.
//!
//! ```text
//!   lookup(host)
//!     ├─ a number?                          literal
//!     ├─ who answers?                       nsswitch ──> the system's getaddrinfo, on the thread pool
//!     ├─ by hand?                           hosts
//!     ├─ localhost, .onion                  known without asking (RFC 6761, RFC 7686)
//!     └─ each full name it may mean         name
//!          └─ known, or asked for           answers
//!   and the addresses in the order of RFC 6724
//! ```
//!
//! Everything is `Send + Sync`: greenlets of all hubs and plain threads share one resolver and what it knows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Instant;

use super::answers::{Answers, Trouble};
use super::config::Config;
use super::error::{Failure, LookupError};
use super::interfaces::Interfaces;
use super::literal::{self, Address};
use super::message::{Kind, Status};
use super::name::HostName;
use super::nsswitch::Order;
use super::services::Services;
use super::settings::{self, Settings, Watch};
use super::{order, socket};

/// Which addresses are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// Both IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether `address` is of this family.
    pub(crate) fn holds(self, address: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

/// Turns names into addresses, as the files of its [`Config`] say.
///
/// Answers are kept as long as their servers allow, "there is none" included. Equal look-ups at one time ask once. Any
/// number of greenlets and threads may share a resolver; [`Resolver::system`] is the one that the rest of the crate uses.
///
/// A look-up parks the greenlet, while others run. Only the small files that it goes by are read on the spot.
///
/// ```
/// use iora::dns::Resolver;
///
/// assert_eq!(Resolver::system().resolve("127.0.0.1", 80)?, ["127.0.0.1:80".parse().unwrap()]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Resolver {
    /// The settings in force.
    watch: Watch,
    /// What servers say, and said.
    answers: Answers,
    /// Read when first wanted.
    services: OnceLock<Services>,
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// At least one, the most promising first.
    pub(crate) addresses: Vec<Address>,
    /// The name that aliases and search domains led to.
    pub(crate) canonical: String,
}

impl Resolver {
    /// A resolver that goes by `config`. Reads no file yet.
    pub fn new(config: Config) -> Resolver {
        let answers = Answers::new(config.cache_entries);
        Resolver {
            watch: Watch::new(config),
            answers,
            services: OnceLock::new(),
        }
    }

    /// The resolver of the process, which goes by the system's files.
    pub fn system() -> &'static Resolver {
        static SYSTEM: OnceLock<Resolver> = OnceLock::new();
        SYSTEM.get_or_init(|| Resolver::new(Config::system()))
    }

    /// The addresses of `host`, with `port`, the most promising first.
    ///
    /// Takes numbers too, in the forms of `getaddrinfo`: `127.1`, `::1`, `fe80::1%eth0`.
    /// Parks the greenlet until the name servers have answered or their time is over.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] with a [`LookupError`] inside: of kind `NotFound` when there is no such name or it has no addresses,
    /// `TimedOut` when no server answered, `InvalidInput` when `host` is no name, `Other` when the servers failed.
    pub fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.resolve_family(host, port, Family::Any)
    }

    /// As [`Resolver::resolve`], with addresses of one family only.
    ///
    /// # Errors
    ///
    /// Those of [`Resolver::resolve`].
    pub fn resolve_family(&self, host: &str, port: u16, family: Family) -> io::Result<Vec<SocketAddr>> {
        let found = self.lookup(host, family)?;
        Ok(found
            .addresses
            .into_iter()
            .map(|address| address.with_port(port))
            .collect())
    }

    /// Forgets all answers.
    pub fn clear_cache(&self) {
        self.answers.clear();
    }

    /// The ports of services, read when first wanted.
    pub(crate) fn services(&self) -> &Services {
        self.services
            .get_or_init(|| Services::parse(&settings::content(&self.watch.config().services)))
    }

    /// The addresses of `host`, and what it is called in full.
    pub(crate) fn lookup(&self, host: &str, family: Family) -> Result<Found, LookupError> {
        if let Some(address) = literal::parse(host, settings::interface_index) {
            if !family.holds(address.ip) {
                return Err(LookupError::new(
                    host,
                    Failure::AddressFamily,
                    "the address is of another family",
                ));
            }
            return Ok(Found {
                addresses: vec![address],
                canonical: host.to_owned(),
            });
        }
        let Some(name) = HostName::parse(host) else {
            return Err(LookupError::new(host, Failure::BadName, "this is no host name"));
        };
        let settings = self.watch.current(Instant::now());
        let order = settings.nsswitch.decide(&name, &settings.facts);
        let by_hand = || lookup_by_hand(&settings, &name, family);
        let mut found = match order {
            Order::System => return lookup_by_system(host, family),
            Order::Files => by_hand().ok_or_else(|| match settings.hosts.lookup(name.as_str()) {
                Some(_) => LookupError::new(host, Failure::NoData, "the name has no such address"),
                None => LookupError::new(host, Failure::NoName, "no such name"),
            })?,
            Order::Dns => self.lookup_by_dns(&settings, host, &name, family)?,
            Order::FilesDns => match by_hand() {
                Some(found) => found,
                None => self.lookup_by_dns(&settings, host, &name, family)?,
            },
            Order::DnsFiles => match self.lookup_by_dns(&settings, host, &name, family) {
                Ok(found) => found,
                Err(error) => by_hand().ok_or(error)?,
            },
        };
        sort(&mut found.addresses);
        Ok(found)
    }

    /// Asks the name servers for each full name that `name` may mean, until one has addresses.
    fn lookup_by_dns(
        &self,
        settings: &Settings,
        host: &str,
        name: &HostName,
        family: Family,
    ) -> Result<Found, LookupError> {
        if let Some(known) = known_without_asking(host, name, family) {
            return known;
        }
        let conf = &settings.resolv_conf;
        let kinds: &'static [Kind] = match (family, conf.no_aaaa) {
            (Family::Any, false) => &[Kind::A, Kind::Aaaa],
            (Family::Any | Family::V4, _) => &[Kind::A],
            (Family::V6, false) => &[Kind::Aaaa],
            (Family::V6, true) => &[],
        };
        let mut exists = kinds.is_empty();
        let mut trouble = None;
        for full_name in name.candidates(&conf.search, conf.ndots, !conf.no_tld_query) {
            let mut found = Found {
                addresses: Vec::new(),
                canonical: String::new(),
            };
            for answer in self.answers.ask(settings, &full_name, kinds) {
                match answer {
                    Ok(answer) => {
                        exists |= answer.status != Status::NoName;
                        if answer.status == Status::Found && found.canonical.is_empty() {
                            found.canonical = answer.canonical;
                        }
                        found.addresses.extend(answer.addresses.into_iter().map(Address::from));
                    }
                    Err(new) => trouble = Some(new),
                }
            }
            if !found.addresses.is_empty() {
                return Ok(found);
            }
            // Silence says nothing of this name, and to go on would be to take another one for it.
            if trouble.as_ref().is_some_and(|trouble| trouble.timed_out) {
                break;
            }
        }
        Err(match trouble {
            Some(Trouble { timed_out: true, cause }) => LookupError::new(host, Failure::TimedOut, cause),
            Some(Trouble {
                timed_out: false,
                cause,
            }) => LookupError::new(host, Failure::Again, cause),
            None if exists => LookupError::new(host, Failure::NoData, "the name has no such address"),
            None => LookupError::new(host, Failure::NoName, "no such name"),
        })
    }
}

impl Default for Resolver {
    /// A resolver of its own that goes by the system's files.
    fn default() -> Resolver {
        Resolver::new(Config::system())
    }
}

/// The addresses of `host`, with `port`, by the process's resolver: what connecting to a name goes through.
///
/// Parks the greenlet as [`Resolver::resolve`] does, and fails as it does.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Resolver::system().resolve(host, port)
}

/// What the hosts file says, if it says anything for this family.
fn lookup_by_hand(settings: &Settings, name: &HostName, family: Family) -> Option<Found> {
    let entry = settings.hosts.lookup(name.as_str())?;
    let addresses: Vec<Address> = entry
        .addresses
        .iter()
        .copied()
        .filter(|address| family.holds(address.ip))
        .collect();
    (!addresses.is_empty()).then(|| Found {
        addresses,
        canonical: entry.canonical.to_string(),
    })
}

/// Names that no server is to be asked for: this machine (RFC 6761) and hidden services (RFC 7686).
fn known_without_asking(host: &str, name: &HostName, family: Family) -> Option<Result<Found, LookupError>> {
    if name.is_within("localhost") {
        let both = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let addresses = both
            .into_iter()
            .filter(|address| family.holds(*address))
            .map(Address::from)
            .collect();
        return Some(Ok(Found {
            addresses,
            canonical: name.as_str().to_owned(),
        }));
    }
    let unknowable = name.is_within("onion") || name.is_within("invalid");
    unknowable.then(|| Err(LookupError::new(host, Failure::NoName, "no server knows such names")))
}

/// Asks the system's `getaddrinfo` on the thread pool; it has sorted its answer already.
fn lookup_by_system(host: &str, family: Family) -> Result<Found, LookupError> {
    let addresses = match socket::ask_system(host) {
        Ok(addresses) => addresses,
        Err(error) => {
            let text = error.to_string();
            let failure = if text.contains("emporary") {
                Failure::Again
            } else {
                Failure::NoName
            };
            return Err(LookupError::new(host, failure, text));
        }
    };
    let addresses: Vec<Address> = addresses
        .into_iter()
        .filter(|address| family.holds(address.ip()))
        .map(Address::from)
        .collect();
    if addresses.is_empty() {
        return Err(LookupError::new(host, Failure::NoData, "the name has no such address"));
    }
    Ok(Found {
        addresses,
        canonical: host.to_owned(),
    })
}

/// Sorts addresses by what the system says it would send from.
pub(super) fn sort(addresses: &mut Vec<Address>) {
    if addresses.len() < 2 {
        return;
    }
    /// Any port will do: nothing is sent.
    const DISCARD: u16 = 9;
    let mut with_sources: Vec<(Address, Option<IpAddr>)> = addresses
        .drain(..)
        .map(|address| (address, socket::source_for(address.with_port(DISCARD))))
        .collect();
    // What is sent from one address differs in nothing that can be read of it.
    let (first, mut sources) = (with_sources[0].1, with_sources.iter().map(|(_, source)| *source));
    let differ = sources.any(|source| source != first);
    let interfaces = if differ {
        socket::interfaces()
    } else {
        Interfaces::default()
    };
    let traits = |source| interfaces.traits(source, socket::is_tunnel);
    order::sort(&mut with_sources, |address| address.ip, traits);
    addresses.extend(with_sources.into_iter().map(|(address, _)| address));
}
