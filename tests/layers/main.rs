//! The architecture, checked against the source itself.
//!
//! * A file imports only from lower layers: the rows of [`LAYERS`], lowest first. What shares a row is a stranger to
//!   the others of that row. The longest matching path decides, so a file may be a layer of its own.
//! * Files of one layer may import each other, but not in a circle.
//! * `lib.rs` and every `mod.rs` declare and re-export, by name, and hold nothing else.
//! * Each foreign crate of [`RESERVED`] is named only where that table allows it.
//! * `unsafe` stands only in the files of [`UNSAFE`], and each of those has some.
//!
//! Code under `#[cfg(test)]` may import from anywhere; the last two rules hold for it too. `source.rs` reads Rust just
//! well enough for that, `rules.rs` judges what it read; both have tests in which a fault is planted and found.

mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::Tree;

/// The layers, lowest first. A new module needs a row, and thereby a decision.
const LAYERS: &[&[&str]] = &[
    &["primitive"],
    &["sys"],
    &["collections"],
    &["stack"],
    &["coroutine"],
    &["hub"],
    &["sync::wait_queue"],
    &["time"],
    &["greenlet"],
    &["sync"],
    &["wait"],
    &["queue"],
    &["pool", "threadpool"],
    &["io"],
    &["dns"],
    &["net", "process", "signal"],
    &["server"],
    &["monkey", "debug"],
    &["fuzzing", "readme"],
];

/// Crates with one home each, so that they can be replaced: the crate, and the paths below `src/` that may name it.
const RESERVED: &[(&str, &[&str])] = &[
    ("corosensei", &["coroutine.rs", "stack/"]),
    ("mio", &["hub/poller.rs"]),
    ("socket2", &["net/"]),
    ("libc", &["sys/", "monkey/"]),
];

/// The files below `src/` that may be unsafe.
const UNSAFE: &[&str] = &[
    "collections/inbox.rs",
    "collections/ring.rs",
    "coroutine.rs",
    "greenlet/hold.rs",
    "greenlet/scope.rs",
    "greenlet/shared.rs",
    "greenlet/unstarted.rs",
    "hub/core.rs",
    "hub/current.rs",
    "hub/job.rs",
    "hub/lend.rs",
    "hub/nested.rs",
    "hub/turn.rs",
    "monkey/children.rs",
    "monkey/connect.rs",
    "monkey/descriptors.rs",
    "monkey/fortified.rs",
    "monkey/frame.rs",
    "monkey/futex.rs",
    "monkey/futex_queue.rs",
    "monkey/hosts.rs",
    "monkey/join.rs",
    "monkey/names.rs",
    "monkey/original.rs",
    "monkey/parts.rs",
    "monkey/receive.rs",
    "monkey/report.rs",
    "monkey/select.rs",
    "monkey/send.rs",
    "monkey/table.rs",
    "monkey/thread_word.rs",
    "monkey/time.rs",
    "monkey/wait.rs",
    "net/delegate.rs",
    "net/socket.rs",
    "primitive/short_lock.rs",
    "stack/class.rs",
    "stack/overflow.rs",
    "stack/pool.rs",
    "stack/slab.rs",
    "sync/mutex.rs",
    "sync/reentrant_mutex.rs",
    "sync/rw_lock.rs",
    "sync/wait_queue.rs",
    "sync/wait_queue/line.rs",
    "sync/wait_queue/section.rs",
    "sync/wait_queue/wakes.rs",
    "sys/alternate_stack.rs",
    "sys/connect.rs",
    "sys/descriptor.rs",
    "sys/errno.rs",
    "sys/fault.rs",
    "sys/guard.rs",
    "sys/local_address.rs",
    "sys/map.rs",
    "sys/mmsg.rs",
    "sys/pidfd.rs",
    "sys/poll.rs",
    "sys/prefetch.rs",
    "sys/process.rs",
    "sys/random.rs",
    "sys/raw.rs",
    "sys/report.rs",
    "sys/signals.rs",
    "sys/socket.rs",
    "sys/timer_fd.rs",
];

/// All of `src/`, read; of the folder that `IORA_LAYERS_ROOT` names where it is set (`ci/selftest.sh` plants faults there).
fn tree() -> Tree {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = std::env::var_os("IORA_LAYERS_ROOT").map_or_else(own, PathBuf::from);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let texts = files.iter().map(|path| {
        let name = path
            .strip_prefix(&root)
            .expect("a path below src")
            .to_str()
            .expect("a path in UTF-8");
        (name.to_owned(), fs::read_to_string(path).expect("a readable file"))
    });
    Tree::new(texts)
}

/// Fails with one fault a line.
#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn imports_point_down() {
    assert_none(&rules::upward_imports(&tree(), LAYERS));
}

#[test]
fn no_circle_within_a_layer() {
    assert_none(&rules::circles(&tree(), LAYERS));
}

#[test]
fn module_files_only_declare() {
    assert_none(&rules::module_files(&tree()));
}

#[test]
fn foreign_crates_have_one_home() {
    assert_none(&rules::reserved_names(&tree(), RESERVED));
}

#[test]
fn unsafe_is_where_it_is_listed() {
    assert_none(&rules::unsafe_files(&tree(), UNSAFE));
}
