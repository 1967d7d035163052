//! A directory of a test's own, gone when the test is over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A new directory, removed on drop.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Below the system's directory for temporary files.
    pub(crate) fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("iora-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory of our own");
        Directory(path)
    }

    /// Writes a file in it, by way of another one so that it changes at once, and says where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, draft) = (self.0.join(name), self.0.join("draft"));
        std::fs::write(&draft, text).expect("written");
        std::fs::rename(&draft, &path).expect("renamed");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
