//! Where a resolver finds its settings, and how much it keeps.

use std::path::PathBuf;
use std::time::Duration;

/// Where a setting's text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file, read again when it has changed. A missing file counts as an empty one.
    File(PathBuf),
    /// The text itself.
    Text(String),
}

/// What a [`Resolver`](super::Resolver) goes by.
///
/// ```
/// use iora::dns::{Config, Resolver};
///
/// let resolver = Resolver::new(Config::empty().hosts_text("192.0.2.7 printer.example printer"));
/// assert_eq!(resolver.resolve("printer", 631)?, ["192.0.2.7:631".parse().unwrap()]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "each method gives the configuration back, changed"]
pub struct Config {
    /// Of the form of `/etc/hosts`.
    pub(crate) hosts: Origin,
    /// Of the form of `/etc/resolv.conf`.
    pub(crate) resolv_conf: Origin,
    /// Of the form of `/etc/nsswitch.conf`.
    pub(crate) nsswitch: Origin,
    /// Of the form of `/etc/services`.
    pub(crate) services: Origin,
    /// Whether `LOCALDOMAIN`, `RES_OPTIONS` and `HOSTALIASES` in the environment hand names to the system's resolver.
    pub(crate) environment: bool,
    /// The most answers that are kept.
    pub(crate) cache_entries: usize,
    /// How often files are looked at for changes, at most.
    pub(crate) recheck: Duration,
}

impl Config {
    /// The system's own files in `/etc`, 1024 answers kept, files looked at every five seconds at most.
    pub fn system() -> Config {
        Config {
            hosts: Origin::File("/etc/hosts".into()),
            resolv_conf: Origin::File("/etc/resolv.conf".into()),
            nsswitch: Origin::File("/etc/nsswitch.conf".into()),
            services: Origin::File("/etc/services".into()),
            environment: true,
            cache_entries: 1024,
            recheck: Duration::from_secs(5),
        }
    }

    /// No files and no environment: an empty hosts file, and the name server on this machine.
    pub fn empty() -> Config {
        let nothing = Origin::Text(String::new());
        Config {
            hosts: nothing.clone(),
            resolv_conf: nothing.clone(),
            nsswitch: nothing.clone(),
            services: nothing,
            environment: false,
            ..Config::system()
        }
    }

    /// Takes names from this file, of the form of `/etc/hosts`.
    pub fn hosts_file(mut self, path: impl Into<PathBuf>) -> Config {
        self.hosts = Origin::File(path.into());
        self
    }

    /// Takes names from this text, of the form of `/etc/hosts`.
    pub fn hosts_text(mut self, text: impl Into<String>) -> Config {
        self.hosts = Origin::Text(text.into());
        self
    }

    /// Takes name servers and options from this file, of the form of `/etc/resolv.conf`.
    ///
    /// A server at another port than 53 is written as `nameserver [192.0.2.1]:5353`.
    pub fn resolv_conf_file(mut self, path: impl Into<PathBuf>) -> Config {
        self.resolv_conf = Origin::File(path.into());
        self
    }

    /// Takes name servers and options from this text, as [`Config::resolv_conf_file`] does from a file.
    pub fn resolv_conf_text(mut self, text: impl Into<String>) -> Config {
        self.resolv_conf = Origin::Text(text.into());
        self
    }

    /// Takes the sources to ask, and their order, from this text, of the form of `/etc/nsswitch.conf`.
    ///
    /// Sources other than `files` and `dns` hand names to the system's resolver, which has its own files.
    pub fn nsswitch_text(mut self, text: impl Into<String>) -> Config {
        self.nsswitch = Origin::Text(text.into());
        self
    }

    /// Takes the ports of services from this text, of the form of `/etc/services`.
    pub fn services_text(mut self, text: impl Into<String>) -> Config {
        self.services = Origin::Text(text.into());
        self
    }

    /// Keeps at most this many answers; 0 keeps none.
    pub fn cache_entries(mut self, most: usize) -> Config {
        self.cache_entries = most;
        self
    }

    /// Looks at files for changes at most this often; zero means at every look-up.
    pub fn recheck(mut self, every: Duration) -> Config {
        self.recheck = every;
        self
    }
}

impl Default for Config {
    /// The system's: [`Config::system`].
    fn default() -> Config {
        Config::system()
    }
}
