//! What stands for a type of std's has its methods, its traits and its manners.
//!
//! The same source is compiled twice, once with std's names and once with iora's, and run both times: what is written there
//! is true of std, and so it has to be true of iora. It names every method and trait of those types that is stable.
#![expect(clippy::type_complexity, reason = "the types of methods, written out")]

mod with_iora;
mod with_std;

/// Each method has just this type.
macro_rules! methods {
    ($($method:path: $signature:ty;)*) => {
        $(const _: $signature = $method;)*
    };
}
use methods;

/// Each type has all these traits.
macro_rules! traits {
    ($($type:ty: $($bound:path),*;)*) => {
        const _: () = {
            $({
                const fn has<T: ?Sized $(+ $bound)*>() {}
                has::<$type>();
            })*
        };
    };
}
use traits;

/// A folder for sockets, which is gone at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Folder {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("iora-drop-in-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder of our own");
        Folder(path)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
