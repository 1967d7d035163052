//! The least number so far: a generator that is sent numbers and answers each.
//!
//! In Python:
//!
//! ```python
//! def running_minimum():
//!     least = yield
//!     while True:
//!         least = min(least, (yield least))
//! ```
//!
//! ```sh
//! cargo run --example running_minimum -- 7 3 9 1
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use iora::{Generator, Resumed, Yielder};

/// Answers each number that it is sent with the least one so far. It never returns.
fn running_minimum() -> Generator<i64, i64> {
    Generator::new(|hand: &Yielder<i64, i64>, first| {
        let mut least = first;
        loop {
            least = least.min(hand.give(least));
        }
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|word| word.parse())
        .collect::<Result<Vec<i64>, _>>()?;
    if numbers.is_empty() {
        numbers = vec![78, 23, 91, 12, 45, 3, 88];
    }
    let mut minimum = running_minimum();
    for number in numbers {
        if let Resumed::Yielded(least) = minimum.send(number) {
            println!("after {number} the least is {least}");
        }
    }
    // Dropping the generator unwinds it from where it waits.
    Ok(())
}
