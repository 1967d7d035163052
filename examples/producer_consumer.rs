//! A producer and a consumer that take turns, told twice: by a generator that the producer sends its items to, and by two
//! greenlets with a queue between them.
//!
//! The first in Python:
//!
//! ```python
//! def consumer():
//!     answer = ""
//!     while True:
//!         item = yield answer
//!         print(f"consuming {item}")
//!         answer = "ok"
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::rc::Rc;

use iora::queue::{PutError, Queue};
use iora::{Generator, Resumed, Yielder};

/// How many items are made.
const ITEMS: u32 = 3;

/// Consumes each item that it is sent and says so. It never returns.
fn consumer() -> Generator<u32, &'static str> {
    Generator::new(|hand: &Yielder<u32, &'static str>, first| {
        let mut item = first;
        loop {
            println!("consuming {item}");
            item = hand.give("ok");
        }
    })
}

/// One stack calls the other: each item is consumed before the next is made.
fn with_a_generator() {
    let mut consumer = consumer();
    for item in 1..=ITEMS {
        println!("producing {item}");
        if let Resumed::Yielded(answer) = consumer.send(item) {
            println!("consumer says {answer}");
        }
    }
}

/// Two greenlets: the producer is parked while the queue is full, the consumer while it is empty.
fn with_a_queue() -> Result<(), PutError<u32>> {
    let queue = Rc::new(Queue::bounded(1));
    let consumer = iora::spawn({
        let queue = queue.clone();
        move || queue.iter().inspect(|item| println!("got {item}")).sum::<u32>()
    });
    for item in 1..=ITEMS {
        println!("put {item}");
        queue.put(item)?;
    }
    // The iteration ends when the queue is closed and empty.
    queue.close();
    if let Ok(sum) = consumer.get() {
        println!("the sum is {sum}");
    }
    Ok(())
}

fn main() -> Result<(), PutError<u32>> {
    with_a_generator();
    with_a_queue()
}
