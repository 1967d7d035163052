//! The rules. Each returns its faults, `file:line: what is wrong`.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{self, Named, Token};

/// A source file.
struct File {
    /// Its path below `src/`.
    name: String,
    /// The module it holds, from the root of the crate.
    module: Vec<String>,
    /// All of it.
    all: Vec<Token>,
    /// All but test code: empty in a file that belongs to the tests as a whole.
    kept: Vec<Token>,
}

impl File {
    /// Whether it is `lib.rs` or a `mod.rs`.
    fn is_module_file(&self) -> bool {
        self.name == "lib.rs" || self.name == "mod.rs" || self.name.ends_with("/mod.rs")
    }

    /// The paths that it names outside of test code.
    fn named(&self) -> Vec<Named> {
        source::named(&self.kept, &self.module)
    }
}

/// The source of a crate.
pub(crate) struct Tree {
    /// In the order in which they were given.
    files: Vec<File>,
}

/// The module that the file `name` (below `src/`) holds.
fn module_of(name: &str) -> Vec<String> {
    let mut module: Vec<String> = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

impl Tree {
    /// A crate of the files given as path below `src/` and text.
    pub(crate) fn new(texts: impl IntoIterator<Item = (String, String)>) -> Tree {
        let (mut files, mut for_tests) = (Vec::new(), Vec::new());
        for (name, text) in texts {
            let all = source::tokens(&text);
            let module = module_of(&name);
            let (kept, declared) = source::without_tests(&all);
            for_tests.extend(declared.into_iter().map(|child| [module.as_slice(), &[child]].concat()));
            files.push(File {
                name,
                module,
                all,
                kept,
            });
        }
        for file in &mut files {
            if for_tests.iter().any(|module| file.module.starts_with(module)) {
                file.kept.clear();
            }
        }
        Tree { files }
    }

    /// The file that `path` leads to, through re-exports where a `mod.rs` has some.
    fn file_of(&self, path: &[String]) -> Option<usize> {
        let mut path = path.to_vec();
        // As many steps as anyone would nest re-exports.
        for _ in 0..8 {
            let (index, file) = self
                .files
                .iter()
                .enumerate()
                .filter(|(_, file)| path.starts_with(&file.module))
                .max_by_key(|(_, file)| file.module.len())?;
            if !file.is_module_file() {
                return Some(index);
            }
            let name = path.get(file.module.len())?;
            let target = source::used(&file.kept, &file.module)
                .into_iter()
                .find(|used| used.path.last() == Some(name))?;
            if target.path == path {
                return None;
            }
            path = target.path;
        }
        None
    }
}

/// The row of `layers` that `path` belongs to, and the entry in it: the longest prefix wins.
fn layer_of<'a>(path: &[String], layers: &[&[&'a str]]) -> Option<(usize, &'a str)> {
    let path = path.join("::");
    let holds = |entry: &str| {
        path.strip_prefix(entry)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let entries = layers
        .iter()
        .enumerate()
        .flat_map(|(row, entries)| entries.iter().map(move |entry| (row, *entry)));
    entries
        .filter(|(_, entry)| holds(entry))
        .max_by_key(|(_, entry)| entry.len())
}

/// Imports that do not point down.
pub(crate) fn upward_imports(tree: &Tree, layers: &[&[&str]]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.files.iter().filter(|file| file.name != "lib.rs") {
        let Some((row, entry)) = layer_of(&file.module, layers) else {
            faults.push(format!("{}: belongs to no layer", file.name));
            continue;
        };
        for Named { path, line } in file.named() {
            let path_text = path.join("::");
            match layer_of(&path, layers) {
                None => faults.push(format!(
                    "{}:{line}: `crate::{path_text}` is in no layer: name its module",
                    file.name
                )),
                Some((to_row, to_entry)) if to_row >= row && to_entry != entry => {
                    faults.push(format!(
                        "{}:{line}: {entry} may not import `{path_text}` of {to_entry}",
                        file.name
                    ));
                }
                Some(_) => {}
            }
        }
    }
    faults
}

/// Circles of imports between the files of one layer.
pub(crate) fn circles(tree: &Tree, layers: &[&[&str]]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut edges: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (index, file) in tree.files.iter().enumerate().filter(|(_, file)| !file.is_module_file()) {
        let own = layer_of(&file.module, layers);
        for Named { path, line } in file.named() {
            if layer_of(&path, layers) != own {
                continue;
            }
            match tree.file_of(&path) {
                Some(to) if to != index => drop(edges.entry(index).or_default().insert(to)),
                Some(_) => {}
                None => faults.push(format!(
                    "{}:{line}: `{}` leads to no file of its layer",
                    file.name,
                    path.join("::")
                )),
            }
        }
    }
    let mut finished = BTreeSet::new();
    for &start in edges.keys() {
        visit(start, tree, &edges, &mut Vec::new(), &mut finished, &mut faults);
    }
    faults
}

/// Walks all ways on from `at`; a file that is on the `way` already closes a circle.
fn visit(
    at: usize,
    tree: &Tree,
    edges: &BTreeMap<usize, BTreeSet<usize>>,
    way: &mut Vec<usize>,
    finished: &mut BTreeSet<usize>,
    faults: &mut Vec<String>,
) {
    if finished.contains(&at) {
        return;
    }
    if let Some(began) = way.iter().position(|&passed| passed == at) {
        let names = way[began..]
            .iter()
            .chain([&at])
            .map(|&index| tree.files[index].name.as_str());
        faults.push(format!("a circle: {}", names.collect::<Vec<_>>().join(" -> ")));
        return;
    }
    way.push(at);
    for &next in edges.get(&at).into_iter().flatten() {
        visit(next, tree, edges, way, finished, faults);
    }
    way.pop();
    finished.insert(at);
}

/// What `lib.rs` and `mod.rs` hold besides declarations and re-exports by name.
pub(crate) fn module_files(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.files.iter().filter(|file| file.is_module_file()) {
        for item in source::items(&file.kept) {
            let words: Vec<&str> = item.iter().map(|token| token.text.as_str()).collect();
            let public = words[0] == "pub";
            let (_, rest) = words.split_at(match words.as_slice() {
                ["pub", "(", ..] => words.iter().position(|&word| word == ")").map_or(1, |at| at + 1),
                ["pub", ..] => 1,
                _ => 0,
            });
            let fault = match rest {
                ["mod", _, ";"] => continue,
                ["use", ..] if !public => "an import that it does not re-export",
                ["use", .., ";"] if rest.contains(&"*") => "a re-export of everything: name what is meant",
                ["use", .., ";"] => continue,
                _ => "more than declarations and re-exports",
            };
            faults.push(format!("{}:{}: {fault}", file.name, item[0].line));
        }
    }
    faults
}

/// Crates that are named outside of their home.
pub(crate) fn reserved_names(tree: &Tree, reserved: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in &tree.files {
        for (name, homes) in reserved {
            let at_home = homes
                .iter()
                .any(|home| file.name == *home || (home.ends_with('/') && file.name.starts_with(home)));
            if let Some(token) = file.all.iter().find(|token| token.text == *name).filter(|_| !at_home) {
                faults.push(format!(
                    "{}:{}: names {name}, which only {homes:?} may",
                    file.name, token.line
                ));
            }
        }
    }
    faults
}

/// Files that are unsafe and not in the list, or in the list and not unsafe.
pub(crate) fn unsafe_files(tree: &Tree, listed: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expected: BTreeSet<&str> = listed.iter().copied().collect();
    for file in &tree.files {
        if let Some(token) = file.all.iter().find(|token| token.text == "unsafe")
            && !expected.remove(file.name.as_str())
        {
            faults.push(format!("{}:{}: unsafe, and not in the list", file.name, token.line));
        }
    }
    faults.extend(
        expected
            .into_iter()
            .map(|name| format!("{name}: in the list, and not unsafe")),
    );
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers to plant faults in.
    const LAYERS: &[&[&str]] = &[&["low", "strange"], &["hub"], &["sync::wait"], &["green"], &["sync"]];

    /// A crate of the given files.
    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::new(
            files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
        )
    }

    /// Whether exactly one fault was found, and it contains `words`.
    #[track_caller]
    fn assert_one(faults: &[String], words: &str) {
        assert!(
            faults.len() == 1 && faults[0].contains(words),
            "{faults:?} should be one fault with {words:?}"
        );
    }

    #[test]
    fn an_import_that_points_down_is_right() {
        let files = [
            ("lib.rs", "pub use sync::event::Event;"),
            ("low.rs", "use std::fmt; // crate::hub"),
            ("hub/mod.rs", "pub(crate) mod park;"),
            (
                "hub/park.rs",
                "use crate::low::x; use super::turn::y; #[cfg(test)] mod tests { use crate::green::z; }",
            ),
            ("sync/wait.rs", "use crate::hub::park;"),
            ("green.rs", "use crate::sync::wait::Queue;"),
            (
                "sync/event.rs",
                "use crate::{green, hub::park, sync::wait}; use super::other::o;",
            ),
        ];
        assert_eq!(upward_imports(&tree(&files), LAYERS), Vec::<String>::new());
    }

    #[test]
    fn an_upward_import_is_found() {
        assert_one(
            &upward_imports(&tree(&[("hub/park.rs", "\nuse crate::green::spawn;")]), LAYERS),
            "park.rs:2: hub may not",
        );
        assert_one(
            &upward_imports(&tree(&[("hub/park.rs", "fn f() { crate::green::spawn() }")]), LAYERS),
            "of green",
        );
        assert_one(
            &upward_imports(&tree(&[("hub/park.rs", "use super::super::{low, green};")]), LAYERS),
            "of green",
        );
        assert_one(
            &upward_imports(&tree(&[("green.rs", "use crate::sync::event;")]), LAYERS),
            "of sync",
        );
        assert_one(
            &upward_imports(&tree(&[("sync/wait.rs", "use super::event;")]), LAYERS),
            "of sync",
        );
        assert_one(
            &upward_imports(&tree(&[("sync/wait.rs", "use crate::green;")]), LAYERS),
            "of green",
        );
        assert_one(
            &upward_imports(&tree(&[("low.rs", "use crate::strange::x;")]), LAYERS),
            "of strange",
        );
    }

    #[test]
    fn what_is_in_no_layer_is_found() {
        assert_one(
            &upward_imports(&tree(&[("new.rs", "")]), LAYERS),
            "new.rs: belongs to no layer",
        );
        assert_one(
            &upward_imports(&tree(&[("hub/a.rs", "use crate::spawn;")]), LAYERS),
            "in no layer",
        );
        assert_one(&upward_imports(&tree(&[("hubs.rs", "")]), LAYERS), "hubs.rs");
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_exempt() {
        let text = "use crate::green::z;";
        assert_eq!(
            upward_imports(
                &tree(&[("hub/a.rs", "#[cfg(test)] mod tests;"), ("hub/a/tests.rs", text)]),
                LAYERS
            )
            .len(),
            0
        );
        assert_one(
            &upward_imports(&tree(&[("hub/a.rs", "mod tests;"), ("hub/a/tests.rs", text)]), LAYERS),
            "of green",
        );
    }

    #[test]
    fn a_circle_is_found() {
        let circle = [
            ("hub/a.rs", "use super::b::B;"),
            ("hub/b.rs", "use crate::hub::c::C;"),
            ("hub/c.rs", "fn f() { super::a::f() }"),
        ];
        assert_one(
            &circles(&tree(&circle), LAYERS),
            "hub/a.rs -> hub/b.rs -> hub/c.rs -> hub/a.rs",
        );
        assert_eq!(
            circles(&tree(&circle[..2]), LAYERS),
            ["hub/b.rs:1: `hub::c::C` leads to no file of its layer"]
        );
        let line = [
            ("hub/a.rs", "use super::{b::B, c::C};"),
            ("hub/b.rs", "use crate::hub::c::C;"),
            ("hub/c.rs", ""),
        ];
        assert_eq!(circles(&tree(&line), LAYERS), Vec::<String>::new());
    }

    #[test]
    fn a_circle_by_way_of_a_re_export_is_found() {
        let files = [
            ("hub/mod.rs", "mod a; mod b; pub(crate) use a::{A, other};"),
            ("hub/a.rs", "use super::b::B;"),
            ("hub/b.rs", "use crate::hub::A;"),
        ];
        assert_one(&circles(&tree(&files), LAYERS), "hub/a.rs -> hub/b.rs -> hub/a.rs");
    }

    #[test]
    fn a_module_file_with_more_is_found() {
        let right = "//! d\n#![cfg_attr(a, b)]\npub mod a; mod b;\n/// d\n#[cfg(c)] pub(crate) mod d; pub use a::{A, B}; pub(in x) use b::b;
            #[cfg(test)] mod tests { fn f() {} }";
        assert_eq!(
            module_files(&tree(&[("lib.rs", right), ("a/mod.rs", right)])),
            Vec::<String>::new()
        );
        for wrong in [
            "fn f() {}",
            "mod a { }",
            "use a::A;",
            "pub struct A;",
            "pub use a::*;",
            "thread_local! { }",
            "const A: u8 = 1;",
        ] {
            assert_one(
                &module_files(&tree(&[("a/mod.rs", &format!("mod a;\n{wrong}\nmod b;"))])),
                "a/mod.rs:2",
            );
        }
        assert_eq!(module_files(&tree(&[("a/b.rs", "fn f() {}")])), Vec::<String>::new());
    }

    #[test]
    fn a_crate_outside_of_its_home_is_found() {
        let reserved: &[(&str, &[&str])] = &[("mio", &["hub/poller.rs"]), ("libc", &["sys/"])];
        let faults = |name: &str, text: &str| reserved_names(&tree(&[(name, text)]), reserved);
        assert_one(
            &faults("hub/turn.rs", "//! mio\n\nuse mio::Poll;"),
            "hub/turn.rs:3: names mio",
        );
        assert_one(
            &faults("net/tcp.rs", "fn f() { unsafe { libc::close(1) } }"),
            "names libc",
        );
        assert_one(&faults("hub/sys/a.rs", "libc::close(1)"), "names libc");
        assert!(faults("hub/poller.rs", "use mio::Poll;").is_empty() && faults("sys/fd.rs", "libc::close").is_empty());
        assert!(faults("a.rs", "// mio\nconst A: &str = \"libc\";").is_empty());
    }

    #[test]
    fn unsafe_outside_of_the_list_is_found() {
        let files = [
            ("sys/a.rs", "fn f() { unsafe { g() } }"),
            (
                "sys/b.rs",
                "#![deny(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";",
            ),
        ];
        assert_eq!(unsafe_files(&tree(&files), &["sys/a.rs"]), Vec::<String>::new());
        assert_one(
            &unsafe_files(&tree(&files), &[]),
            "sys/a.rs:1: unsafe, and not in the list",
        );
        assert_one(
            &unsafe_files(&tree(&files), &["sys/a.rs", "sys/b.rs"]),
            "sys/b.rs: in the list",
        );
    }
}
