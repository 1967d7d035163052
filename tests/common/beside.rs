//! For tests of hooks: that others have their turns while one waits.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::patched::in_greenlet;

/// As [`in_greenlet`], while another greenlet takes short naps. It has to have had a turn while `f` waited: its alarm rings
/// before what `f` waits for.
#[track_caller]
pub(crate) fn beside_another<R: 'static>(f: impl FnOnce() -> R + 'static) -> R {
    in_greenlet(|| {
        let turns = Rc::new(Cell::new(0));
        let counted = turns.clone();
        let other = iora::spawn(move || {
            loop {
                counted.set(counted.get() + 1);
                iora::sleep(Duration::from_millis(1));
            }
        });
        iora::yield_now();
        let before = turns.get();
        let value = f();
        assert!(turns.get() > before, "nobody else had a turn");
        other.kill();
        value
    })
}
