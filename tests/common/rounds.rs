//! Greenlets that come in rounds, of which some are killed and some time out.

use std::sync::Arc;
use std::time::Duration;

/// How many greenlets a hub spawns at a time: the first of them times out, the second is killed.
pub(crate) const GREENLETS: usize = 5;
/// So soon that it expires in all places.
pub(crate) const SOON: Duration = Duration::from_micros(60);

/// So many rounds of greenlets that call `job`.
pub(crate) fn rounds(count: usize, job: &Arc<impl Fn() + 'static>) {
    for round in 0..count {
        let jobs: Vec<_> = (0..GREENLETS)
            .map(|number| {
                let job = job.clone();
                iora::spawn(move || match number {
                    0 => iora::timeout(SOON, || job()).unwrap_or(()),
                    _ => job(),
                })
            })
            .collect();
        (0..round % 4).for_each(|_| iora::yield_now());
        jobs[1].kill();
        iora::joinall(&jobs, None);
    }
}
