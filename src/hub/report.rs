//! How a greenlet is named to people: in `Debug`, in a panic's message, in the report of an overflow or a deadlock.

use std::fmt::{self, Display};

use super::job::Info;

/// `<Greenlet "name" #7 at src/main.rs:12: parked in recv>`.
pub(crate) fn describe(info: &Info, state: &dyn Display) -> String {
    Line(info, state).to_string()
}

/// Formats [`describe`]'s line.
struct Line<'a>(&'a Info, &'a dyn Display);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line(info, state) = self;
        f.write_str("<Greenlet ")?;
        if let Some(name) = &info.name {
            write!(f, "{name:?} ")?;
        }
        write!(
            f,
            "#{} at {}:{}: {state}>",
            info.id,
            info.spawned_at.file(),
            info.spawned_at.line()
        )
    }
}
