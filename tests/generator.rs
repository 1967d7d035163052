//! Generators.

#[path = "common/child.rs"]
mod child;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use iora::{Ending, Generator, Resumed, Yielder};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A counter and what counts in it.
fn counted() -> (Rc<Cell<u32>>, Counted) {
    let count = Rc::new(Cell::new(0));
    (count.clone(), Counted(count))
}

/// One that gives the numbers from one on, and holds `held` meanwhile.
fn endless(held: Counted) -> Generator<(), u32> {
    Generator::new(move |hand: &Yielder<(), u32>, ()| {
        let _held = held;
        (1..=u32::MAX).for_each(|n| hand.give(n));
    })
}

#[test]
fn values_go_both_ways() {
    let mut echo = Generator::new(|hand: &Yielder<String, usize>, first: String| {
        let mut word = first;
        while !word.is_empty() {
            word = hand.give(word.len());
        }
        "over"
    });
    assert_eq!(format!("{echo:?}"), "<Generator: not begun>");
    assert_eq!(echo.send("one".into()), Resumed::Yielded(3));
    assert_eq!(echo.send("three".into()), Resumed::Yielded(5));
    assert_eq!(format!("{echo:?}"), "<Generator: suspended>");
    assert_eq!(echo.send(String::new()), Resumed::Returned("over"));
    assert!(echo.is_done());
    assert_eq!(format!("{echo:?}"), "<Generator: returned>");
    assert!(catch_unwind(AssertUnwindSafe(|| echo.send("more".into()))).is_err());
}

#[test]
fn it_iterates_and_stays_at_its_end() {
    let mut three = Generator::new(|hand: &Yielder<(), u32>, ()| (0..3).for_each(|n| hand.give(n)));
    assert_eq!(three.by_ref().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((three.next(), three.next()), (None, None));
}

#[test]
fn it_runs_on_a_thread_without_a_hub() {
    let sum = thread::spawn(|| {
        let (count, held) = counted();
        let sum: u32 = endless(held).take(4).sum();
        assert_eq!(count.get(), 1);
        sum
    });
    assert_eq!(sum.join().unwrap(), 10);
}

#[test]
fn it_may_make_the_hub_of_its_thread() {
    thread::spawn(|| {
        let mut generator = Generator::new(|hand: &Yielder<(), u32>, ()| {
            let inside = iora::spawn(|| {
                iora::sleep(SHORT);
                1
            });
            hand.give(inside.get().unwrap());
            hand.give(2);
            iora::hub::end();
            hand.give(3);
        });
        assert_eq!(generator.by_ref().collect::<Vec<_>>(), [1, 2, 3]);
    })
    .join()
    .unwrap();
}

#[test]
fn one_that_parks_parks_who_resumed_it() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let note = |word: &'static str| {
        let log = log.clone();
        move || log.borrow_mut().push(word)
    };
    let (parks, resumes, other) = (note("inside"), note("resumed"), note("other"));
    let job = iora::spawn(move || {
        let mut generator = Generator::new(move |hand: &Yielder<(), ()>, ()| {
            iora::sleep(SHORT);
            parks();
            hand.give(());
            iora::sleep(SHORT);
        });
        generator.resume();
        resumes();
        generator.resume();
    });
    iora::yield_now();
    iora::spawn(other).join();
    job.join();
    assert_eq!(*log.borrow(), ["other", "inside", "resumed"]);
    // On the thread's own stack the loop runs on top of the generator.
    let mut here = Generator::new(|hand: &Yielder<(), u32>, ()| {
        hand.give(iora::spawn(|| 1).get().unwrap());
        hand.give(iora::spawn(|| 2).get().unwrap());
    });
    assert_eq!(here.by_ref().sum::<u32>(), 3);
}

#[test]
fn a_kill_unwinds_both_stacks() {
    let ((inside, held_inside), (outside, held_outside)) = (counted(), counted());
    let job = iora::spawn(move || {
        let _held = held_outside;
        let mut generator = Generator::new(move |_: &Yielder<(), ()>, ()| {
            let _held = held_inside;
            iora::sleep(LONG);
        });
        generator.resume();
    });
    iora::yield_now();
    job.kill();
    assert_eq!(
        (job.ending(), inside.get(), outside.get()),
        (Some(Ending::Killed), 1, 1)
    );
}

#[test]
fn a_time_out_around_it_unwinds_it() {
    let (count, held) = counted();
    let mut generator = Generator::new(move |_: &Yielder<(), ()>, ()| {
        let _held = held;
        iora::sleep(LONG);
    });
    assert!(iora::timeout(SHORT, || generator.resume()).is_err());
    assert!(count.get() == 1 && generator.is_done());
}

#[test]
fn a_panic_passes_to_who_resumed_it() {
    let mut generator = Generator::new(|hand: &Yielder<(), ()>, ()| {
        hand.give(());
        panic!("expected");
    });
    generator.resume();
    let payload = catch_unwind(AssertUnwindSafe(|| generator.resume())).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"expected"));
    assert!(generator.is_done());
}

#[test]
fn one_that_is_dropped_drops_what_it_holds() {
    let (count, held) = counted();
    drop(endless(held));
    assert_eq!(count.get(), 1, "not begun");
    let (count, held) = counted();
    let mut generator = endless(held);
    generator.next();
    drop(generator);
    assert_eq!(count.get(), 1, "suspended");
    let (count, held) = counted();
    let mut generator = Generator::new(move |_: &Yielder<(), ()>, ()| drop(held));
    generator.next();
    drop(generator);
    assert_eq!(count.get(), 1, "returned");
}

#[test]
fn one_that_ignores_its_end_is_leaked() {
    let (count, held) = counted();
    let rounds = Rc::new(Cell::new(0));
    let told = rounds.clone();
    let mut stubborn = Generator::new(move |hand: &Yielder<(), ()>, ()| {
        let _held = held;
        loop {
            told.set(told.get() + 1);
            let _ = catch_unwind(AssertUnwindSafe(|| hand.give(())));
        }
    });
    stubborn.resume();
    drop(stubborn);
    assert!(rounds.get() > 2, "it was told several times");
    assert_eq!(count.get(), 0, "leaked with its stack");
}

#[test]
fn one_that_catches_its_end_may_return() {
    let (count, held) = counted();
    let mut generator = Generator::new(move |hand: &Yielder<(), ()>, ()| {
        let _held = held;
        let _ = catch_unwind(AssertUnwindSafe(|| hand.give(())));
    });
    generator.resume();
    drop(generator);
    assert_eq!(count.get(), 1);
}

#[test]
fn one_may_be_dropped_while_the_thread_panics_and_by_a_kill() {
    let (count, held) = counted();
    let mut generator = endless(held);
    generator.next();
    let result = catch_unwind(AssertUnwindSafe(move || {
        let _generator = generator;
        panic!("expected");
    }));
    assert!(result.is_err());
    assert_eq!(count.get(), 1);
    let (count, held) = counted();
    let job = iora::spawn(move || {
        let mut generator = endless(held);
        generator.next();
        iora::sleep(LONG);
    });
    iora::yield_now();
    job.kill();
    assert_eq!(count.get(), 1);
}

#[test]
fn one_may_be_used_in_a_destructor_while_the_thread_panics() {
    struct Sums(Rc<Cell<u32>>);
    impl Drop for Sums {
        fn drop(&mut self) {
            let (_, held) = counted();
            self.0.set(endless(held).take(3).sum());
        }
    }
    let sum = Rc::new(Cell::new(0));
    let sums = Sums(sum.clone());
    let result = catch_unwind(AssertUnwindSafe(move || {
        let _sums = sums;
        panic!("expected");
    }));
    assert!(result.is_err());
    assert_eq!(sum.get(), 6);
}

#[test]
fn one_that_unwinds_cannot_give() {
    struct Gives<'a>(&'a Yielder<(), u32>, Rc<RefCell<String>>);
    impl Drop for Gives<'_> {
        fn drop(&mut self) {
            let refused = catch_unwind(AssertUnwindSafe(|| self.0.give(7))).unwrap_err();
            *self.1.borrow_mut() = refused.downcast_ref::<&str>().unwrap().to_string();
        }
    }
    let message = Rc::new(RefCell::new(String::new()));
    let said = message.clone();
    let mut generator = Generator::new(move |hand: &Yielder<(), u32>, ()| {
        let _gives = Gives(hand, said);
        panic!("expected");
    });
    let result = catch_unwind(AssertUnwindSafe(|| generator.resume()));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"expected"));
    assert!(!thread::panicking());
    assert!(message.borrow().contains("while it unwinds"), "{}", message.borrow());
}

#[test]
fn only_its_own_stack_gives() {
    // A greenlet of a scope inside borrows the yielder.
    let refused = Rc::new(RefCell::new(Vec::new()));
    let notes = refused.clone();
    let mut generator = Generator::new(move |hand: &Yielder<(), u32>, ()| {
        iora::scope(|scope| {
            let job = scope.spawn(|| hand.give(1));
            notes
                .borrow_mut()
                .push(job.join().unwrap_err().panic_message().unwrap().to_owned());
        });
        hand.give(2);
    });
    assert_eq!(generator.resume(), Resumed::Yielded(2));
    assert!(refused.borrow()[0].contains("on its own stack only"), "{refused:?}");
}

#[test]
fn a_greenlet_that_resumed_it_cannot_give_in_its_place() {
    // The greenlet borrows the yielder, gets hold of the generator, resumes it, and then gives itself.
    let shared = Rc::new(RefCell::new(None::<Generator<(), u32>>));
    let own = shared.clone();
    let answers = Rc::new(RefCell::new(Vec::new()));
    let notes = answers.clone();
    let generator = Generator::new(move |hand: &Yielder<(), u32>, ()| {
        iora::scope(|scope| {
            scope.spawn(|| {
                let given = own.borrow_mut().as_mut().map(Generator::resume);
                notes.borrow_mut().push(given);
                assert!(catch_unwind(AssertUnwindSafe(|| hand.give(9))).is_err());
            });
            hand.give(1);
            hand.give(2);
        });
        hand.give(3);
    });
    shared.replace(Some(generator));
    let first = shared.borrow_mut().as_mut().map(Generator::resume);
    assert_eq!(first, Some(Resumed::Yielded(1)));
    iora::yield_now();
    iora::yield_now();
    assert_eq!(*answers.borrow(), [Some(Resumed::Yielded(2))]);
    let last = shared.borrow_mut().as_mut().map(Generator::resume);
    assert_eq!(last, Some(Resumed::Yielded(3)));
}

#[test]
fn it_may_change_greenlets_between_its_values() {
    let (count, held) = counted();
    let generator = Rc::new(RefCell::new(endless(held)));
    let jobs: Vec<_> = (0..3)
        .map(|_| {
            let generator = generator.clone();
            iora::spawn(move || generator.borrow_mut().next().unwrap())
        })
        .collect();
    iora::joinall(&jobs, None);
    assert_eq!(jobs.iter().filter_map(iora::Greenlet::value).sum::<u32>(), 6);
    assert_eq!(generator.borrow_mut().next(), Some(4));
    drop((generator, jobs));
    assert_eq!(count.get(), 1);
}

#[test]
fn they_nest() {
    /// The numbers below `n`, each by a generator in a generator.
    fn below(n: u32) -> Generator<(), u32> {
        Generator::new(move |hand: &Yielder<(), u32>, ()| {
            if n > 0 {
                below(n - 1).for_each(|inner| hand.give(inner));
                iora::yield_now();
                hand.give(n - 1);
            }
        })
    }
    assert_eq!(below(5).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let inside = iora::spawn(|| below(5).sum::<u32>());
    assert_eq!(inside.get().unwrap(), 10);
    let mut partly = below(5);
    partly.next();
    drop(partly);
}

#[test]
fn a_shield_inside_is_its_own_also_when_it_changes_greenlets() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let logs = log.clone();
    let generator = Rc::new(RefCell::new(Generator::new(move |hand: &Yielder<(), ()>, ()| {
        iora::shield(|| {
            hand.give(());
            iora::sleep(SHORT);
            logs.borrow_mut().push("shielded");
            hand.give(());
        });
        iora::sleep(LONG);
        logs.borrow_mut().push("never");
    })));
    let first = generator.clone();
    let resumes = iora::spawn(move || {
        first.borrow_mut().resume();
        iora::sleep(LONG);
    });
    iora::yield_now();
    assert!(
        resumes.kill_timeout(Duration::from_secs(60)),
        "it is not shielded outside of the generator"
    );
    let second = generator.clone();
    let resumes = iora::spawn(move || {
        let mut generator = second.borrow_mut();
        generator.resume();
        generator.resume();
    });
    iora::yield_now();
    resumes.kill();
    assert_eq!(
        (resumes.ending(), &*log.borrow()),
        (Some(Ending::Killed), &vec!["shielded"])
    );
}

#[test]
fn one_left_in_a_greenlet_that_its_thread_leaves_behind_harms_nobody() {
    thread::spawn(|| {
        drop(iora::spawn(|| {
            let mut generator = Generator::new(|_: &Yielder<(), ()>, ()| iora::sleep(LONG));
            generator.resume();
        }));
        iora::yield_now();
    })
    .join()
    .unwrap();
}

/// Uses up the stack.
#[expect(unconditional_recursion, reason = "that is the point")]
fn sink(depth: u64) -> u64 {
    std::hint::black_box(sink(depth + 1)) + std::hint::black_box(depth)
}

/// Fails unless the text says this of a generator.
#[track_caller]
fn assert_reported(text: &str, parts: &[&str]) {
    for part in [
        "a generator, made at tests/generator.rs:",
        "iora::set_default_stack_size",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn an_overflow_of_its_stack_is_reported() {
    let output = child::in_child("an_overflow_of_its_stack_is_reported", "", || {
        let deep = iora::Builder::new().name("digger").stack_size(1 << 20).spawn(|| {
            Generator::new(|hand: &Yielder<(), u64>, ()| hand.give(sink(0))).for_each(drop);
        });
        deep.unwrap().join();
    });
    let text = child::assert_ended(&output, Some(6));
    let parts = [
        ", on top of greenlet \"digger\" (#",
        ", has overflowed its stack of 262144 bytes",
    ];
    assert_reported(&text, &parts);
}

#[test]
fn an_overflow_on_a_thread_that_has_no_greenlet_is_reported_too() {
    let name = "an_overflow_on_a_thread_that_has_no_greenlet_is_reported_too";
    let output = child::in_child(name, "", || {
        iora::set_default_stack_size(64 * 1024);
        let thread = thread::spawn(|| {
            let mut first = Generator::new(|hand: &Yielder<(), ()>, ()| hand.give(()));
            assert_eq!(first.next(), Some(()));
            // On top of another one, and when it has given something.
            Generator::new(move |outer: &Yielder<(), u64>, ()| {
                outer.give(0);
                let inner = Generator::new(|hand: &Yielder<(), u64>, ()| {
                    hand.give(1);
                    hand.give(sink(0));
                });
                inner.for_each(|value| outer.give(value));
                drop(first);
            })
            .for_each(drop);
        });
        thread.join().unwrap();
    });
    let text = child::assert_ended(&output, Some(6));
    assert_reported(&text, &[", has overflowed its stack of 65536 bytes"]);
    assert!(!text.contains("greenlet #") && !text.contains("greenlet \""), "{text}");
}

#[test]
fn an_overflow_on_a_hubs_own_stack_is_reported_after_greenlets_have_run() {
    let name = "an_overflow_on_a_hubs_own_stack_is_reported_after_greenlets_have_run";
    let output = child::in_child(name, "", || {
        iora::spawn(|| ()).join();
        let mut deep = Generator::new(|hand: &Yielder<(), u64>, ()| {
            // It parks, others run, and it is the one that goes on.
            let other = iora::spawn(|| iora::sleep(Duration::from_millis(1)));
            other.join();
            hand.give(sink(0));
        });
        deep.next();
    });
    let text = child::assert_ended(&output, Some(6));
    assert_reported(&text, &[", has overflowed its stack of 262144 bytes"]);
    assert!(!text.contains("on top of"), "{text}");
}
