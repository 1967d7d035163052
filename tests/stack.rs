//! Stacks as a user meets them: sizes, overflows, exhaustion, and what is left of them in memory.

#[path = "common/child.rs"]
mod child;

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::Duration;

use iora::sync::Event;
use iora::{Builder, Exit};

/// Uses up the stack.
#[expect(unconditional_recursion, reason = "that is the point")]
fn sink(depth: u64) -> u64 {
    black_box(sink(depth + 1)) + black_box(depth)
}

/// Uses about that much of the stack, and gives it.
fn dig(kibibytes: usize) -> usize {
    /// Goes on until the frames are as far from `top` as they should.
    fn down(top: usize, bytes: usize) -> usize {
        let block = black_box([0u8; 512]);
        let depth = top.abs_diff(std::ptr::from_ref(&block).addr());
        let deepest = if depth < bytes { down(top, bytes) } else { depth };
        deepest + usize::from(black_box(block)[5])
    }
    let top = black_box(0u8);
    down(std::ptr::from_ref(&top).addr(), kibibytes * 1024) / 1024
}

// Overflow.

#[test]
fn g015_an_overflow_says_who_where_how_large_and_how_to_raise_it() {
    let name = "g015_an_overflow_says_who_where_how_large_and_how_to_raise_it";
    let output = child::in_child(name, "", || {
        let deep = Builder::new().name("digger").stack_size(64 * 1024).spawn(|| sink(0));
        deep.unwrap().join();
    });
    let text = child::assert_ended(&output, Some(6));
    for part in [
        "greenlet \"digger\" (#",
        "spawned at tests/stack.rs:",
        "its stack of 65536 bytes",
        "iora::Builder::stack_size",
        "iora::set_default_stack_size",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn an_overflow_after_a_park_and_on_another_thread_is_reported_too() {
    let name = "an_overflow_after_a_park_and_on_another_thread_is_reported_too";
    let output = child::in_child(name, "", || {
        let _other = iora::spawn(|| iora::sleep(Duration::MAX));
        let thread = thread::spawn(|| {
            let others: Vec<_> = (0..10).map(|_| iora::spawn(iora::yield_now)).collect();
            let deep = iora::spawn(|| {
                iora::sleep(Duration::from_millis(1));
                sink(0)
            });
            iora::joinall(&others, None);
            deep.join();
        });
        thread.join().unwrap();
    });
    let text = child::assert_ended(&output, Some(6));
    assert!(text.contains("has overflowed its stack of 262144 bytes"), "{text}");
}

#[test]
fn an_overflow_is_told_of_who_runs_on_whose_stack_ever_the_loop_is() {
    let name = "an_overflow_is_told_of_who_runs_on_whose_stack_ever_the_loop_is";
    for culprit in ["lender", "borrower"] {
        let output = child::in_child(name, &format!("export IORA_TEST_CULPRIT={culprit}"), || {
            let culprit = std::env::var("IORA_TEST_CULPRIT").unwrap();
            let sinks = |name: &'static str| {
                let culprit = culprit == name;
                let body = move || {
                    // Each runs the other from its stack.
                    (0..4).for_each(|_| iora::yield_now());
                    if culprit { sink(0) } else { 0 }
                };
                Builder::new().name(name).spawn(body).unwrap()
            };
            let greenlets = [sinks("lender"), sinks("borrower")];
            iora::joinall(&greenlets, None);
        });
        let text = child::assert_ended(&output, Some(6));
        assert!(text.contains(&format!("greenlet \"{culprit}\" (#")), "{text}");
    }
}

#[test]
fn an_overflow_of_the_threads_own_stack_is_stds_affair() {
    let name = "an_overflow_of_the_threads_own_stack_is_stds_affair";
    let output = child::in_child(name, "", || {
        iora::spawn(|| ()).join();
        let thread = thread::Builder::new().name("plain".into()).spawn(|| sink(0)).unwrap();
        drop(thread.join());
    });
    let text = child::assert_ended(&output, Some(6));
    assert!(
        text.contains("'plain'") && text.contains("has overflowed its stack"),
        "{text}"
    );
    assert!(!text.contains("greenlet"), "{text}");
}

// Sizes.

#[test]
fn a_stack_of_its_own_size_holds_what_the_default_would_not() {
    let deep = Builder::new().stack_size(4 << 20).spawn(|| dig(2048)).unwrap();
    assert!(deep.get().unwrap() >= 2048);
}

#[test]
fn the_default_size_can_be_set() {
    let output = child::in_child("the_default_size_can_be_set", "", || {
        iora::set_default_stack_size(8 << 20);
        assert!(iora::spawn(|| dig(4096)).get().unwrap() >= 4096);
    });
    child::assert_ended(&output, None);
}

// No memory for stacks.

#[test]
fn an_impossible_size_is_an_error_and_the_closure_is_dropped() {
    let token = std::rc::Rc::new(());
    for size in [usize::MAX, usize::MAX / 2, 1 << 60] {
        let token = token.clone();
        assert!(Builder::new().stack_size(size).spawn(move || drop(token)).is_err());
    }
    assert_eq!(std::rc::Rc::strong_count(&token), 1);
    assert_eq!(iora::spawn(|| 3).get().unwrap(), 3);
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer's shadow is larger than the limit")]
fn an_exhausted_address_space_is_an_error_and_what_is_spawned_runs() {
    let name = "an_exhausted_address_space_is_an_error_and_what_is_spawned_runs";
    let output = child::in_child(name, "ulimit -v 1000000", || {
        let mut jobs = Vec::new();
        let error = loop {
            // Seldom more than a few: a limit of a gigabyte, and eight megabytes each.
            match Builder::new().stack_size(8 << 20).spawn(|| {
                iora::yield_now();
                1
            }) {
                Ok(job) => jobs.push(job),
                Err(error) => break error,
            }
            assert!(jobs.len() < 1000, "the limit holds");
        };
        assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory, "{error}");
        iora::joinall(&jobs, None);
        let sum: i32 = jobs.iter().filter_map(iora::Greenlet::value).sum();
        assert_eq!(sum as usize, jobs.len());
        // The stacks are free again.
        let again = Builder::new().stack_size(8 << 20).spawn(|| 3).unwrap();
        assert_eq!(again.get().unwrap(), 3);
    });
    child::assert_ended(&output, None);
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer's shadow is larger than the limit")]
fn a_thread_that_may_have_no_more_descriptors_gets_an_error_for_its_hub() {
    let name = "a_thread_that_may_have_no_more_descriptors_gets_an_error_for_its_hub";
    let output = child::in_child(name, "", || {
        let mut files = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            files.push(file);
            if files.len() > 1 << 20 {
                return;
            }
        }
        let result = thread::spawn(|| Builder::new().spawn(|| 3).map(drop)).join().unwrap();
        assert!(result.is_err());
        drop(files);
        let result = thread::spawn(|| Builder::new().spawn(|| 3).map(iora::Greenlet::get));
        assert_eq!(result.join().unwrap().unwrap().unwrap(), 3);
    });
    child::assert_ended(&output, None);
}

// Memory.

/// Pages of the process that are in memory.
fn resident_pages() -> usize {
    let text = fs::read_to_string("/proc/self/statm").expect("/proc");
    text.split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("a number")
}

#[test]
#[cfg_attr(
    feature = "sanitizer",
    ignore = "the sanitizer keeps what was freed for a while, and its shadow grows"
)]
fn a_hundred_cycles_of_ten_thousand_greenlets_leave_memory_as_it_was() {
    let name = "a_hundred_cycles_of_ten_thousand_greenlets_leave_memory_as_it_was";
    let output = child::in_child(name, "", || {
        let cycle = || {
            let jobs: Vec<_> = (0..10_000u32)
                .map(|n| {
                    iora::spawn(move || {
                        iora::yield_now();
                        n
                    })
                })
                .collect();
            iora::joinall(&jobs, None);
            assert!(jobs.iter().all(iora::Greenlet::successful));
        };
        let cycles = if cfg!(debug_assertions) { 20 } else { 100 };
        (0..5).for_each(|_| cycle());
        let before = resident_pages();
        (0..cycles).for_each(|_| cycle());
        let after = resident_pages();
        assert!(after < before + 1000, "{before} pages, and then {after}");
    });
    child::assert_ended(&output, None);
}

#[test]
#[cfg_attr(
    feature = "sanitizer",
    ignore = "the sanitizer keeps what was freed for a while, and its shadow grows"
)]
fn stacks_of_those_who_end_on_a_borrowed_stack_are_used_again() {
    let name = "stacks_of_those_who_end_on_a_borrowed_stack_are_used_again";
    let output = child::in_child(name, "", || {
        let cycle = || {
            // Those that end later are run from the stack of the first that is left.
            let jobs = [1, 2, 3].map(|yields| iora::spawn(move || (0..yields).for_each(|_| iora::yield_now())));
            iora::joinall(&jobs, None);
        };
        (0..100).for_each(|_| cycle());
        let before = resident_pages();
        (0..5_000).for_each(|_| cycle());
        let after = resident_pages();
        assert!(after < before + 1000, "{before} pages, and then {after}");
    });
    child::assert_ended(&output, None);
}

#[test]
fn deep_stacks_are_given_back() {
    let output = child::in_child("deep_stacks_are_given_back", "", || {
        iora::spawn(|| ()).join();
        let before = resident_pages();
        let jobs: Vec<_> = (0..2000).map(|_| iora::spawn(|| dig(128))).collect();
        iora::joinall(&jobs, None);
        drop(jobs);
        // They have used 256 MB in all; one after the other, they need not have had them at once.
        let after = resident_pages();
        assert!(after < before + 10_000, "{before} pages, and then {after}");
    });
    child::assert_ended(&output, None);
}

#[test]
#[cfg_attr(
    feature = "sanitizer",
    ignore = "the sanitizer's shadow takes more memory than there is"
)]
fn very_many_greenlets_are_parked_at_once() {
    let output = child::in_child("very_many_greenlets_are_parked_at_once", "", || {
        let count = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
        // What a greenlet costs, and something for the rest: else the machine is too small for this.
        if available_memory() < count * 10 * 1024 {
            return;
        }
        let event = std::rc::Rc::new(Event::new());
        let jobs: Vec<_> = (0..count)
            .map(|_| {
                let event = event.clone();
                iora::spawn(move || event.wait())
            })
            .collect();
        iora::yield_now();
        assert!(jobs.iter().all(|job| !job.ready()));
        event.set();
        assert_eq!(iora::joinall(&jobs, None).len(), count);
    });
    child::assert_ended(&output, None);
}

/// Bytes that could be had without swapping.
fn available_memory() -> usize {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc");
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.expect("a number") * 1024
}

#[test]
fn a_stack_left_behind_is_not_used_again() {
    thread::spawn(|| {
        let stubborn = iora::spawn(|| {
            let mut mark = black_box([7u8; 512]);
            loop {
                let _ = std::panic::catch_unwind(|| iora::sleep(Duration::MAX));
                mark = black_box(mark);
            }
        });
        iora::yield_now();
        iora::hub::end();
        let jobs: Vec<_> = (0..100).map(|_| iora::spawn(|| dig(16))).collect();
        iora::joinall(&jobs, None);
        assert!(matches!(stubborn.get(), Err::<(), _>(Exit::Abandoned)));
    })
    .join()
    .unwrap();
}
