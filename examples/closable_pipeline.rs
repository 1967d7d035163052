//! A pipeline of stages, each with several workers, that is closed from the front.
//!
//! ```text
//! words ──▶ 3 × trim ──▶ trimmed ──▶ 2 × measure ──▶ measured ──▶ main
//! ```
//!
//! Workers iterate over their queue, which ends when the queue is closed and empty. When all workers of a stage have ended nothing
//! more can come from it, and the queue behind it is closed. So closing the first queue ends the whole, and loses nothing.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::rc::Rc;
use std::time::Duration;

use iora::pool::Group;
use iora::queue::Queue;

/// Starts a stage: `workers` greenlets that put `work` of each item of `from` on `to`, which is closed after the last.
fn stage<A, B>(name: &'static str, workers: usize, from: &Rc<Queue<A>>, to: &Rc<Queue<B>>, work: fn(A) -> B)
where
    A: 'static,
    B: 'static,
{
    let group = Group::new();
    for _ in 0..workers {
        let (from, to) = (from.clone(), to.clone());
        drop(group.spawn(move || {
            for item in from.iter() {
                iora::sleep(Duration::from_millis(1));
                if to.put(work(item)).is_err() {
                    return; // whoever took the results has enough
                }
            }
        }));
    }
    let to = to.clone();
    drop(iora::spawn(move || {
        group.join();
        println!("{name} is done");
        to.close();
    }));
}

fn main() {
    // Bounded: a stage that is slower than the one before it holds that one up.
    let words = Rc::new(Queue::bounded(2));
    let trimmed = Rc::new(Queue::bounded(2));
    let measured = Rc::new(Queue::bounded(2));
    stage("trim", 3, &words, &trimmed, |word: &str| word.trim().to_owned());
    stage("measure", 2, &trimmed, &measured, |word: String| (word.len(), word));

    let source = words.clone();
    drop(iora::spawn(move || {
        for word in [" one", "two ", " three ", "four", "  five", "six  ", "seven"] {
            source.put(word).expect("the pipeline is open");
        }
        source.close();
    }));

    let mut results: Vec<(usize, String)> = measured.iter().collect();
    results.sort();
    for (length, word) in &results {
        println!("{word}: {length}");
    }
    println!("{} words went through", results.len());
}
