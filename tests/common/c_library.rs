//! A shared library in C for tests of hooks.

use std::path::PathBuf;
use std::process::Command;

/// Compiles `tests/c/library.c`; gives the library, which the caller removes.
pub(crate) fn compile(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("libiora-{name}-{}.so", std::process::id()));
    let output = Command::new("cc")
        .args(["-O2", "-D_FORTIFY_SOURCE=2", "-shared", "-fPIC", "-o"])
        .arg(&file)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/library.c"))
        .output()
        .expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}
