//! A list of jobs worked off by a pool of four, as with multiprocessing's `Pool(4)`: `apply_async`, `close`, `join`.
//!
//! `apply_async` never waits: what finds no place begins when there is one. `close` says that no more will come, `join` waits
//! until all is done; each job's handle has its result.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use iora::Greenlet;
use iora::pool::Pool;

/// What there is to do.
const JOBS: [&str; 7] = ["spring", "summer", "autumn", "winter", "", "noon", "midnight"];

/// Work that waits for something and may fail.
fn measure(word: &str) -> Result<usize, &'static str> {
    iora::sleep(Duration::from_millis(2));
    match word.len() {
        0 => Err("there is nothing to measure"),
        length => Ok(length),
    }
}

fn main() {
    let pool = Pool::new(4);
    let jobs: Vec<Greenlet<Result<usize, &str>>> = JOBS.map(|word| pool.apply_async(move || measure(word))).into();
    println!("{} jobs, {} places", pool.len(), pool.size());
    pool.close();
    pool.join();

    let mut total = 0;
    for (word, job) in JOBS.iter().zip(jobs) {
        match job.get().expect("nobody panics, nobody is killed") {
            Ok(length) => {
                total += length;
                println!("{word}: {length}");
            }
            Err(error) => println!("{word:?}: {error}"),
        }
    }
    println!("total: {total}");
    println!("left in the pool: {}", pool.len());
}
