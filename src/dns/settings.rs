//! The settings in force: files read once, and again when they have changed.
//!
//! Whoever needs settings gets a snapshot behind an `Arc`, which stays as it is. At most every few
//! seconds the files' stamps (time of change, length, inode) are compared; a file that differs is read again
//! and a new snapshot takes the old one's place, under a new generation number. One caller does this, the others go on with
//! the old snapshot. No lock is held while files are touched.
//!
//! These files are small and local, and reading them blocks the thread as any read of the page cache does. A hosts
//! file that is large (a block list) is read and parsed on the thread pool.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use super::config::{Config, Origin};
use super::hosts::Hosts;
use super::nsswitch::{Facts, Nsswitch};
use super::resolv_conf::ResolvConf;
use crate::threadpool;

/// From this many bytes on a hosts file is read on the thread pool.
const LARGE_FILE: u64 = 256 * 1024;

/// One snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Counts the snapshots: answers kept under one are not told under the next.
    pub(crate) generation: u64,
    /// Names given by hand.
    pub(crate) hosts: Arc<Hosts>,
    /// Name servers and options.
    pub(crate) resolv_conf: Arc<ResolvConf>,
    /// Who answers.
    pub(crate) nsswitch: Arc<Nsswitch>,
    /// What else decides who answers.
    pub(crate) facts: Arc<Facts>,
}

/// Keeps the snapshot fresh.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Where the settings come from.
    config: Config,
    /// Never held across a system call.
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
struct State {
    /// `None` until first asked for.
    settings: Option<Arc<Settings>>,
    /// What the files looked like when the snapshot was taken.
    stamps: Stamps,
    /// When they are to be looked at again.
    next_look: Instant,
}

/// What the three files looked like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stamps {
    /// Of the hosts file.
    hosts: Option<Stamp>,
    /// Of `resolv.conf`.
    resolv_conf: Option<Stamp>,
    /// Of `nsswitch.conf`.
    nsswitch: Option<Stamp>,
}

/// What a file looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// When its content last changed.
    modified: Option<SystemTime>,
    /// Its length.
    length: u64,
    /// Another one when the file was replaced.
    inode: u64,
}

impl Watch {
    /// Reads nothing yet.
    pub(crate) fn new(config: Config) -> Watch {
        let state = State {
            settings: None,
            stamps: Stamps::default(),
            next_look: Instant::now(),
        };
        Watch {
            config,
            state: Mutex::new(state),
        }
    }

    /// Where the settings come from.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The settings in force at `now`. Reads files where that is due; may park for a large one.
    pub(crate) fn current(&self, now: Instant) -> Arc<Settings> {
        let (old, old_stamps) = {
            let mut state = self.lock();
            if let Some(settings) = &state.settings {
                let settled = settings.resolv_conf.no_reload;
                if settled || now < state.next_look {
                    return settings.clone();
                }
            }
            state.next_look = now + self.config.recheck;
            (state.settings.clone(), state.stamps.clone())
        };

        // Stamps first: a change that comes while we read is then seen the next time.
        let stamps = Stamps {
            hosts: stamp(&self.config.hosts),
            resolv_conf: stamp(&self.config.resolv_conf),
            nsswitch: stamp(&self.config.nsswitch),
        };
        if let Some(old) = &old
            && stamps == old_stamps
        {
            return old.clone();
        }
        let new = Arc::new(self.load(old.as_deref(), &old_stamps, &stamps));

        let mut state = self.lock();
        // Somebody else may have been faster with a later look.
        match &state.settings {
            Some(present) if present.generation >= new.generation => present.clone(),
            _ => {
                state.stamps = stamps;
                state.settings = Some(new.clone());
                new
            }
        }
    }

    /// Reads what differs from `old`.
    fn load(&self, old: Option<&Settings>, old_stamps: &Stamps, stamps: &Stamps) -> Settings {
        let host_name = read_host_name();
        let hosts = match old {
            Some(old) if old_stamps.hosts == stamps.hosts => old.hosts.clone(),
            _ => Arc::new(self.load_hosts(stamps.hosts)),
        };
        let resolv_conf = match old {
            Some(old) if old_stamps.resolv_conf == stamps.resolv_conf => old.resolv_conf.clone(),
            _ => {
                let content = content(&self.config.resolv_conf);
                Arc::new(ResolvConf::parse(&content, host_name.as_deref(), interface_index))
            }
        };
        let nsswitch = match old {
            Some(old) if old_stamps.nsswitch == stamps.nsswitch => old.nsswitch.clone(),
            _ => Arc::new(Nsswitch::parse(&content(&self.config.nsswitch))),
        };
        let facts = Facts {
            host_name,
            mdns_allow: Path::new("/etc/mdns.allow").exists(),
            system_wanted: resolv_conf.foreign || (self.config.environment && environment_wants_system()),
        };
        let generation = old.map_or(0, |old| old.generation + 1);
        Settings {
            generation,
            hosts,
            resolv_conf,
            nsswitch,
            facts: Arc::new(facts),
        }
    }

    /// Reads the hosts file, on the thread pool if it is large.
    fn load_hosts(&self, stamp: Option<Stamp>) -> Hosts {
        let origin = self.config.hosts.clone();
        let work = move || Hosts::parse(&content(&origin), interface_index);
        if stamp.is_some_and(|stamp| stamp.length >= LARGE_FILE) {
            threadpool::apply(work)
        } else {
            work()
        }
    }

    /// The state; a panic elsewhere leaves it whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file looks like now; nothing for a text or a missing file.
fn stamp(origin: &Origin) -> Option<Stamp> {
    match origin {
        Origin::Text(_) => None,
        Origin::File(path) => {
            let metadata = fs::metadata(path).ok()?;
            Some(Stamp {
                modified: metadata.modified().ok(),
                length: metadata.len(),
                inode: metadata.ino(),
            })
        }
    }
}

/// The text of a setting. A file that cannot be read counts as empty, as it does for the C library.
pub(crate) fn content(origin: &Origin) -> Vec<u8> {
    match origin {
        Origin::Text(text) => text.clone().into_bytes(),
        Origin::File(path) => fs::read(path).unwrap_or_default(),
    }
}

/// This machine's name.
fn read_host_name() -> Option<String> {
    let name: io::Result<String> = fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.or_else(|_| fs::read_to_string("/etc/hostname")).ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The index of a network interface, from `/sys`: no name that could be another path, no longer than the kernel allows.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let plain = (1..16).contains(&name.len()) && name != "." && name != ".." && !name.contains(['/', '\0']);
    if !plain {
        return None;
    }
    fs::read_to_string(Path::new("/sys/class/net").join(name).join("ifindex"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Whether the environment asks for what only the system's resolver does. `LOCALDOMAIN` counts even when empty.
fn environment_wants_system() -> bool {
    let filled = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::env::var_os("LOCALDOMAIN").is_some() || filled("RES_OPTIONS") || filled("HOSTALIASES")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A directory that goes with the test.
    struct Directory(std::path::PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("iora-settings-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory of our own");
            Directory(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_changed_file_is_read_when_it_is_due_and_not_before() {
        let directory = Directory::new("change");
        let hosts = directory.0.join("hosts");
        fs::write(&hosts, "10.0.0.1 a\n").expect("written");
        let watch = Watch::new(Config::empty().hosts_file(&hosts).recheck(Duration::from_secs(5)));
        let start = Instant::now();
        let first = watch.current(start);
        assert!(first.hosts.lookup("a").is_some());

        fs::write(&hosts, "10.0.0.1 a\n10.0.0.2 bb\n").expect("written");
        let soon = watch.current(start + Duration::from_secs(4));
        assert_eq!((soon.generation, soon.hosts.lookup("bb").is_some()), (0, false));
        let later = watch.current(start + Duration::from_secs(5));
        assert_eq!((later.generation, later.hosts.lookup("bb").is_some()), (1, true));
        assert!(
            Arc::ptr_eq(&later.resolv_conf, &first.resolv_conf),
            "what did not change is kept"
        );

        fs::remove_file(&hosts).expect("removed");
        let gone = watch.current(start + Duration::from_secs(10));
        assert_eq!((gone.generation, gone.hosts.lookup("a").is_some()), (2, false));
        let still = watch.current(start + Duration::from_secs(15));
        assert_eq!(still.generation, 2);
    }

    #[test]
    fn no_reload_means_it() {
        let directory = Directory::new("no-reload");
        let path = directory.0.join("resolv.conf");
        fs::write(&path, "options no-reload\n").expect("written");
        let watch = Watch::new(Config::empty().resolv_conf_file(&path).recheck(Duration::ZERO));
        let start = Instant::now();
        assert_eq!(watch.current(start).resolv_conf.ndots, 1);
        fs::write(&path, "options ndots:7\n").expect("written");
        assert_eq!(watch.current(start + Duration::from_secs(60)).resolv_conf.ndots, 1);
    }

    #[test]
    fn the_loopback_interface_has_an_index_and_paths_have_none() {
        for bad in ["", ".", "..", "../lo", "lo/", "a-name-that-is-too-long", "no-such"] {
            assert_eq!(interface_index(bad), None, "{bad:?}");
        }
        if Path::new("/sys/class/net/lo/ifindex").exists() {
            assert!(interface_index("lo").is_some());
        }
    }
}
