//! gevent's behaviours of links by kind and spawn-tree locals, by their numbers, and of `idle`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use iora::queue::{Channel, Queue};
use iora::sync::AsyncResult;
use iora::{Ending, TreeLocal};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn g025_links_are_called_for_their_kind_of_end() {
    let (good, bad) = (iora::spawn(|| 1), iora::spawn(|| -> u32 { panic!("broken") }));
    let killed = iora::spawn(|| -> u32 {
        iora::sleep(LONG);
        1
    });
    let (sender, receiver) = channel();
    for (name, job) in [("good", &good), ("bad", &bad), ("killed", &killed)] {
        let value = sender.clone();
        job.link_value(move || value.send((name, Ending::Returned)).unwrap());
        let exception = sender.clone();
        job.link_exception(move |ending| exception.send((name, ending)).unwrap());
    }
    let gone = good.link_value({
        let sender = sender.clone();
        move || sender.send(("unlinked", Ending::Returned)).unwrap()
    });
    assert!(good.unlink(gone));
    iora::yield_now();
    killed.kill();
    let told: Vec<_> = receiver.try_iter().collect();
    let expected = [
        ("good", Ending::Returned),
        ("bad", Ending::Panicked),
        ("killed", Ending::Killed),
    ];
    assert_eq!(told, expected);
    // Of one that has ended already too.
    let late = sender.clone();
    good.link_value(move || late.send(("late", Ending::Returned)).unwrap());
    good.link_exception(move |ending| sender.send(("never", ending)).unwrap());
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [("late", Ending::Returned)]);
}

#[test]
fn g025_a_result_a_queue_and_a_channel_are_told_of_the_end() {
    let (result, queue, channel) = (
        AsyncResult::new(),
        std::sync::Arc::new(Queue::new()),
        std::sync::Arc::new(Channel::new()),
    );
    let job = iora::spawn(|| ());
    let (to_result, to_queue, to_channel) = (result.clone(), queue.clone(), channel.clone());
    job.link(move |ending| to_result.set(ending).unwrap());
    job.link(move |ending| to_queue.put(ending).unwrap());
    job.link(move |ending| to_channel.put(ending).unwrap());
    assert_eq!(result.get(), Ending::Returned);
    assert_eq!(queue.get(), Ok(Ending::Returned));
    assert_eq!(channel.get(), Ok(Ending::Returned), "a link may wait");
}

#[test]
fn g035_tree_locals_are_shared_by_descendants_and_independent_across_roots() {
    static NAME: TreeLocal<RefCell<Vec<&'static str>>> = TreeLocal::new(RefCell::default);
    let push = |name| NAME.with(|names| names.borrow_mut().push(name));
    let seen = || NAME.with(|names| names.borrow().clone());
    push("main");
    let root = |names: [&'static str; 3]| {
        iora::spawn(move || {
            // The children are there before the first use: they share it all the same.
            let child = iora::spawn(move || {
                push(names[0]);
                let grandchild = iora::spawn(move || push(names[1]));
                grandchild.join();
            });
            child.join();
            push(names[2]);
            let late = iora::spawn(seen);
            (late.get().unwrap(), seen())
        })
    };
    let (first, second) = (root(["a", "b", "c"]), root(["d", "e", "f"]));
    assert_eq!(first.get().unwrap(), (vec!["a", "b", "c"], vec!["a", "b", "c"]));
    assert_eq!(second.get().unwrap(), (vec!["d", "e", "f"], vec!["d", "e", "f"]));
    assert_eq!(seen(), ["main"]);
}

#[test]
fn g035_a_tree_keeps_its_values_as_long_as_it_has_greenlets() {
    struct Noted(Cell<Option<Rc<Cell<u32>>>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            let dropped = self.0.take().unwrap();
            dropped.set(dropped.get() + 1);
            assert!(iora::current().is_some(), "on the stack of its last greenlet");
        }
    }
    static NOTED: TreeLocal<Noted> = TreeLocal::new(|| Noted(Cell::new(None)));
    let dropped = Rc::new(Cell::new(0));
    let note = dropped.clone();
    let root = iora::spawn(move || {
        let last = iora::spawn(|| iora::sleep(Duration::from_millis(2)));
        let maker = iora::spawn(move || NOTED.with(|noted| noted.0.set(Some(note))));
        maker.join();
        last
    });
    let last = root.get().unwrap();
    iora::yield_now();
    assert_eq!(dropped.get(), 0, "one is left");
    last.join();
    assert_eq!(dropped.get(), 1);
}

#[test]
fn idle_runs_when_nothing_else_is_ready() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let note = |what: &'static str| {
        let log = log.clone();
        move || log.borrow_mut().push(what)
    };
    let (first, second, busy, late) = (note("idle 1"), note("idle 2"), note("busy"), note("late"));
    let jobs = [
        iora::spawn(move || {
            iora::idle();
            first();
        }),
        iora::spawn(move || {
            iora::idle();
            second();
        }),
        iora::spawn(move || {
            (0..300).for_each(|_| iora::yield_now());
            busy();
        }),
        iora::spawn_later(Duration::from_millis(5), late),
    ];
    iora::joinall(&jobs, None);
    assert_eq!(*log.borrow(), ["busy", "idle 1", "idle 2", "late"]);
}

#[test]
fn idle_returns_at_once_when_nothing_is_there_and_leaves_no_trace_when_killed() {
    iora::spawn(|| ()).join();
    iora::idle();
    std::thread::spawn(iora::idle).join().unwrap();
    let idle = iora::spawn(iora::idle);
    let busy = iora::spawn(|| (0..10).for_each(|_| iora::yield_now()));
    iora::yield_now();
    idle.kill();
    assert_eq!(idle.ending(), Some(Ending::Killed));
    busy.join();
    let timed_out = iora::timeout(Duration::from_millis(1), || {
        let _spinner = iora::spawn(|| {
            let end = std::time::Instant::now() + Duration::from_millis(5);
            while std::time::Instant::now() < end {
                iora::yield_now();
            }
        });
        iora::idle();
    });
    timed_out.unwrap_err();
    // In a loop it starves nobody: timers, greenlets and other threads come first.
    let looping = iora::spawn(|| {
        loop {
            iora::idle();
        }
    });
    iora::sleep(Duration::from_millis(2));
    assert_eq!(iora::threadpool::apply(|| 7), 7);
    looping.kill();
    let refused = catch_unwind(AssertUnwindSafe(|| {
        struct Idles;
        impl Drop for Idles {
            fn drop(&mut self) {
                iora::idle();
            }
        }
        let _idles = Idles;
        panic!("unwinding");
    }));
    assert!(refused.is_err());
}
