//! Slow calls in greenlets of one thread.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// How many calls are made at once.
pub const CALLS: u32 = 10;
/// How long each of them takes at least.
pub const DELAY: Duration = Duration::from_millis(300);

/// Time after which calls that have not come back are lost.
const LIMIT: Duration = Duration::from_secs(60);
/// Turns that others have at least meanwhile, of about one each five milliseconds.
pub const LEAST_TICKS: u32 = 5;

/// Makes `call` in greenlets of this thread, each of which takes [`DELAY`]. All together have to take less than half of
/// what they take one after the other, and another greenlet has to go on meanwhile.
///
/// # Panics
///
/// If they do not, or a call panics.
pub fn overlap(call: impl Fn(u32) + Clone + 'static) {
    iora::monkey::patch_all().expect("the hooks are reached");
    let begun = Instant::now();
    let ticks = while_ticking(move || {
        let calls: Vec<_> = (0..CALLS)
            .map(|number| {
                let call = call.clone();
                iora::spawn(move || call(number))
            })
            .collect();
        iora::joinall(&calls, LIMIT);
        for call in &calls {
            assert!(call.ready(), "{call:?} is lost");
        }
        for call in calls {
            call.get().expect("no panic");
        }
    });
    let taken = begun.elapsed();
    println!("{CALLS} calls took {taken:?}, {ticks} ticks");
    assert!(taken >= DELAY, "{taken:?}: they were not slow");
    assert!(taken < DELAY * CALLS / 2, "{taken:?}: one after the other");
    assert!(ticks >= LEAST_TICKS, "{ticks}: nothing went on meanwhile");
}

/// Runs `f` in a greenlet, and says how many turns of about five milliseconds another one had meanwhile.
///
/// # Panics
///
/// If `f` does.
pub fn while_ticking(f: impl FnOnce() + 'static) -> u32 {
    let ticks = Rc::new(Cell::new(0));
    let ticker = iora::spawn({
        let ticks = Rc::clone(&ticks);
        move || {
            loop {
                thread::sleep(Duration::from_millis(5));
                ticks.set(ticks.get() + 1);
                iora::yield_now();
            }
        }
    });
    iora::spawn(f).get().expect("no panic");
    ticker.kill();
    ticks.get()
}
