//! Nothing is forgotten of what the C libraries of these tests ask of libc, and those that they stand on.

#[path = "../../../common/blocking.rs"]
mod blocking;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// The C library's own parts, which do not ask.
const PARTS: &[&str] = &["libc", "libm", "libresolv", "ld-linux-x86-64", "libgcc_s"];

/// The shared libraries of this program.
fn libraries() -> BTreeSet<PathBuf> {
    let mappings = fs::read_to_string("/proc/self/maps").expect("Linux tells");
    let paths = mappings.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths
        .filter(|path| path.contains(".so"))
        .map(PathBuf::from)
        .filter(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            !PARTS.contains(&name.split('.').next().expect("a word"))
        })
        .collect()
}

#[test]
fn nothing_of_c_is_forgotten() {
    #[cfg(feature = "curl")]
    curl::init();
    iora::monkey::patch_all().expect("the hooks are reached");
    let libraries = libraries();
    let mut wanted = Vec::new();
    if cfg!(feature = "curl") {
        wanted.push("libcurl.so");
    }
    if cfg!(feature = "libpq") {
        wanted.push("libpq.so");
    }
    if cfg!(feature = "openssl") {
        wanted.extend(["libssl.so", "libcrypto.so"]);
    }
    for name in wanted {
        let is_there = libraries.iter().any(|path| path.to_string_lossy().contains(name));
        assert!(is_there, "{name} is not loaded");
    }
    for library in libraries {
        let names = blocking::undefined(&library);
        assert!(!names.is_empty(), "{} was not read", library.display());
        assert_eq!(blocking::forgotten(&names), Vec::<&str>::new(), "{}", library.display());
    }
}
