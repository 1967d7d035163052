//! A kitchen: washers, dryers and a shelf, with a queue between each two.
//!
//! ```text
//! dirty ──▶ washers ──▶ wet ──▶ dryers ──▶ dry ──▶ shelf
//! ```
//!
//! `Queue::join` returns when `task_done` has been called for each dish that was put in, so joining the queues in order
//! means that every dish has gone all the way.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use iora::queue::Queue;

/// A dish, by its number.
type Dish = u32;

/// Takes dishes from `from`, spends `work` on each, and puts them on `to`, for ever.
fn hand_on(doing: &str, work: Duration, from: &Queue<Dish>, to: &Queue<Dish>) {
    for dish in from.iter() {
        iora::sleep(work);
        println!("{doing} dish {dish}");
        // Before it is done here it is counted there: no join in between sees it nowhere.
        if to.put(dish).is_err() {
            return;
        }
        from.task_done();
    }
}

fn main() {
    let dirty = Rc::new(Queue::new());
    let [wet, dry] = [(); 2].map(|()| Rc::new(Queue::bounded(2)));
    let shelf = Rc::new(RefCell::new(Vec::new()));

    let mut kitchen = Vec::new();
    for _ in 0..2 {
        let (from, to) = (dirty.clone(), wet.clone());
        kitchen.push(iora::spawn(move || {
            hand_on("washed", Duration::from_millis(2), &from, &to)
        }));
        let (from, to) = (wet.clone(), dry.clone());
        kitchen.push(iora::spawn(move || {
            hand_on("dried", Duration::from_millis(3), &from, &to)
        }));
    }
    let (from, onto) = (dry.clone(), shelf.clone());
    kitchen.push(iora::spawn(move || {
        for dish in from.iter() {
            onto.borrow_mut().push(dish);
            from.task_done();
        }
    }));

    for dish in 1..=6 {
        dirty.put(dish).expect("the kitchen is open");
    }
    for queue in [&dirty, &wet, &dry] {
        queue.join();
    }
    shelf.borrow_mut().sort_unstable();
    println!("on the shelf: {:?}", shelf.borrow());

    // Everybody waits for another dish: that wait is where they go home.
    iora::killall(&kitchen, None);
}
