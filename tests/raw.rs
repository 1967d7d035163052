//! Raw greenlets: the greenlet library's documented examples, and who may switch where.

#[path = "common/child.rs"]
mod child;

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use iora::Generator;
use iora::raw::{Greenlet, ParentError};

/// A greenlet that is made after those that switch to it.
type Later<V> = Rc<OnceCell<Greenlet<V>>>;

/// The text of a panic.
fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("")
}

#[test]
fn two_switch_to_each_other() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let (main, second) = (Greenlet::<()>::main(), Later::default());
    let first = Greenlet::new(&main, {
        let (log, second) = (log.clone(), second.clone());
        move |()| {
            log.borrow_mut().push(12);
            Later::<()>::clone(&second).get().unwrap().switch(());
            log.borrow_mut().push(34);
        }
    });
    let _ = second.set(Greenlet::new(&main, {
        let (log, first) = (log.clone(), first.clone());
        move |()| {
            log.borrow_mut().push(56);
            first.switch(());
            log.borrow_mut().push(78);
        }
    }));
    first.switch(());
    assert_eq!(*log.borrow(), [12, 56, 34]);
    assert!(first.is_dead());
    let second = second.get().unwrap();
    assert!(second.is_active() && !second.is_dead());
    second.switch(());
    assert_eq!(*log.borrow(), [12, 56, 34, 78]);
}

#[test]
fn values_go_along() {
    #[derive(Debug, PartialEq)]
    enum Value {
        Two(&'static str, &'static str),
        Text(String),
        Number(i32),
    }
    let (main, second) = (Greenlet::<Value>::main(), Later::default());
    let printed = Rc::new(RefCell::new(Vec::new()));
    let first = Greenlet::new(&main, {
        let (second, printed): (Later<Value>, _) = (second.clone(), printed.clone());
        move |value| {
            let Value::Two(x, y) = value else { unreachable!() };
            let z = second.get().unwrap().switch(Value::Text(format!("{x}{y}")));
            printed.borrow_mut().push(z);
            Value::Number(0)
        }
    });
    let _ = second.set(Greenlet::new(&main, {
        let (first, printed) = (first.clone(), printed.clone());
        move |u| {
            printed.borrow_mut().push(u);
            first.switch(Value::Number(42))
        }
    }));
    assert_eq!(first.switch(Value::Two("hello", " world")), Value::Number(0));
    assert_eq!(
        *printed.borrow(),
        [Value::Text("hello world".into()), Value::Number(42)]
    );
}

#[test]
fn a_panic_goes_on_in_the_parent() {
    let main = Greenlet::<i32>::main();
    let caught = Rc::new(Cell::new(false));
    let parent_caught = caught.clone();
    let parent = Greenlet::new(&main, {
        let main = main.clone();
        move |child_wanted| {
            // It waits here for its child, which main will start.
            let result = catch_unwind(AssertUnwindSafe(|| main.switch(child_wanted)));
            parent_caught.set(text(&*result.unwrap_err()) == "in the child");
            7
        }
    });
    parent.switch(0);
    let child = Greenlet::new(&parent, |_| panic!("in the child"));
    assert_eq!(child.switch(1), 7, "and the parent's value to its own parent");
    assert!(caught.get());
    let lonely = Greenlet::new(&main, |_| panic!("nobody catches"));
    let result = catch_unwind(AssertUnwindSafe(|| lonely.switch(1)));
    assert_eq!(text(&*result.unwrap_err()), "nobody catches");
    assert!(lonely.is_dead());
    assert_eq!(lonely.switch(5), 5, "to its parent, which is the caller");
}

#[test]
fn throw_raises_where_it_waits_and_exit_ends_it_with_a_value() {
    let main = Greenlet::<&'static str>::main();
    let waiting = |log: &Rc<Cell<u32>>| {
        struct Note(Rc<Cell<u32>>);
        impl Drop for Note {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let (main, note) = (main.clone(), Note(log.clone()));
        move |_| {
            let _note = note;
            main.switch("waits");
            "returned"
        }
    };
    let log = Rc::new(Cell::new(0));
    let thrown = Greenlet::new(&main, waiting(&log));
    assert_eq!(thrown.switch("begin"), "waits");
    let result = catch_unwind(AssertUnwindSafe(|| thrown.throw(Box::new(42))));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&42));
    assert!(thrown.is_dead());
    assert_eq!(log.get(), 1);
    let exited = Greenlet::new(&main, waiting(&log));
    exited.switch("begin");
    assert_eq!(exited.exit("ciao"), "ciao");
    assert!(exited.is_dead());
    assert_eq!(log.get(), 2);
    let returned = Greenlet::new(&main, waiting(&log));
    returned.switch("begin");
    assert_eq!(returned.switch("on"), "returned");
    assert_eq!(log.get(), 3);
    // Those that have not begun never do.
    let never = Greenlet::new(&main, |_| unreachable!("never begins"));
    assert!(!never.is_active() && !never.is_dead());
    assert_eq!(never.exit("at once"), "at once");
    assert!(never.is_dead());
    let never = Greenlet::new(&main, |_| unreachable!("never begins"));
    let result = catch_unwind(AssertUnwindSafe(|| never.throw(Box::new("raised"))));
    assert_eq!(text(&*result.unwrap_err()), "raised");
    // An exit may be caught, and is over then.
    let stubborn = Greenlet::new(&main, {
        let main = main.clone();
        move |_| {
            catch_unwind(AssertUnwindSafe(|| main.switch("waits"))).unwrap_err();
            main.switch("goes on")
        }
    });
    stubborn.switch("begin");
    assert_eq!(stubborn.exit("please"), "goes on");
    assert!(!stubborn.is_dead());
    assert_eq!(stubborn.switch("end"), "end");
}

#[test]
fn parents_get_what_comes_and_make_no_circle() {
    let main = Greenlet::<i32>::main();
    assert!(main.parent().is_none() && main.is_current() && main.is_active());
    let parent = Greenlet::new(&main, |n| n + 1);
    let child = Greenlet::new(&parent, |n| n * 10);
    let grandchild = Greenlet::new(&child, |n| n * 10);
    let error: ParentError = parent.set_parent(&parent).unwrap_err();
    assert!(error.to_string().contains("descend"));
    assert!(parent.set_parent(&grandchild).is_err());
    assert!(main.set_parent(&parent).is_err());
    assert!(child.set_parent(&Greenlet::main()).is_err(), "of another family");
    assert_eq!(
        grandchild.switch(1),
        101,
        "its value begins its parent, and that one's the next"
    );
    assert!(parent.is_dead() && child.is_dead() && grandchild.is_dead());
    let (one, other) = (Greenlet::new(&main, |n| n + 1), Greenlet::new(&main, |n| n * 2));
    other.set_parent(&one).unwrap();
    assert_eq!(other.parent(), Some(one));
    assert_eq!(other.switch(4), 9);
}

#[test]
fn a_greenlet_may_switch_to_itself() {
    let main = Greenlet::<i32>::main();
    assert_eq!(main.switch(3), 3);
    let me = Rc::new(OnceCell::<Greenlet<i32>>::new());
    let own = me.clone();
    let _ = me.set(Greenlet::new(&main, move |n| {
        let me = own.get().unwrap();
        assert!(me.is_current());
        let result = catch_unwind(AssertUnwindSafe(|| me.throw(Box::new(n))));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&n));
        me.switch(n + 1) + 1
    }));
    assert_eq!(me.get().unwrap().switch(1), 3);
}

#[test]
fn the_last_handle_unwinds_the_stack() {
    let main = Greenlet::<i32>::main();
    let token = Rc::new(());
    let suspended = |token: Rc<()>| {
        let waiting = Greenlet::new(&main, {
            let main = main.clone();
            move |n| {
                let _token = token;
                main.switch(n)
            }
        });
        waiting.switch(1);
        waiting
    };
    drop(suspended(token.clone()));
    assert_eq!(Rc::strong_count(&token), 1);
    // On another's stack.
    let victim = suspended(token.clone());
    let murderer = Greenlet::new(&main, move |n| {
        drop(victim);
        n
    });
    assert_eq!(murderer.switch(2), 2);
    assert_eq!(Rc::strong_count(&token), 1);
    // One that catches it cannot switch as if nothing had happened, and ends.
    let catching = Greenlet::new(&main, {
        let (main, token) = (main.clone(), token.clone());
        move |n| {
            let _token = token;
            while catch_unwind(AssertUnwindSafe(|| main.switch(n))).is_ok() {}
            main.switch(n) // main has control: it answers itself
        }
    });
    catching.switch(1);
    drop(catching);
    assert_eq!(Rc::strong_count(&token), 1);
    // Unstarted ones drop their function.
    let unstarted = Greenlet::new(&main, {
        let token = token.clone();
        move |n| {
            drop(token);
            n
        }
    });
    drop(unstarted);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn only_the_stack_that_has_control_switches() {
    let main = Greenlet::<i32>::main();
    // Not a generator on top of it.
    let inner = main.clone();
    let outer = Greenlet::new(&main, move |n| {
        let main = inner.clone();
        let mut generator = Generator::new(move |_: &iora::Yielder<(), ()>, ()| {
            catch_unwind(AssertUnwindSafe(|| main.switch(1))).is_err()
        });
        assert_eq!(generator.resume(), iora::Resumed::Returned(true));
        n
    });
    assert_eq!(outer.switch(5), 5);
    // Not another of the hub's greenlets, while the one that drives the family is parked in it.
    let parking = Greenlet::new(&main, |n| {
        iora::sleep(Duration::from_millis(2));
        n
    });
    let other = Greenlet::new(&main, |n| n);
    let driver = iora::spawn({
        let parking = parking.clone();
        move || parking.switch(1)
    });
    let intruder = iora::spawn({
        let other = other.clone();
        move || catch_unwind(AssertUnwindSafe(|| other.switch(1))).is_err()
    });
    assert!(intruder.get().unwrap());
    assert_eq!(driver.get().unwrap(), 1);
    assert_eq!(other.switch(3), 3, "the family is free again");
    // Not a destructor that runs while its stack unwinds: the refusal is a panic that it may catch.
    struct Switches(Greenlet<i32>, Rc<Cell<bool>>);
    impl Drop for Switches {
        fn drop(&mut self) {
            let refused = catch_unwind(AssertUnwindSafe(|| self.0.switch(1))).is_err();
            self.1.set(refused);
        }
    }
    let refused = Rc::new(Cell::new(false));
    let switches = Switches(main.clone(), refused.clone());
    let unwinding = Greenlet::new(&main, move |_| {
        let _switches = switches;
        panic!("unwinds");
    });
    catch_unwind(AssertUnwindSafe(|| unwinding.switch(1))).unwrap_err();
    assert!(refused.get());
}

#[test]
fn a_kill_of_the_hubs_greenlet_unwinds_both_stacks() {
    let token = Rc::new(());
    let job = iora::spawn({
        let token = token.clone();
        move || {
            let main = Greenlet::<Rc<()>>::main();
            let inside = Greenlet::new(&main, |token| {
                let _token = token.clone();
                iora::sleep(Duration::from_secs(3600));
                token
            });
            inside.switch(token);
        }
    });
    iora::yield_now();
    assert!(Rc::strong_count(&token) > 1);
    job.kill();
    assert_eq!(job.ending(), Some(iora::Ending::Killed));
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn destructors_may_switch_while_others_are_on_their_way() {
    // The function of one that dies unbegun, and the stack of one whose last handle goes, switch from their destructors.
    struct Switches(Greenlet<i32>, Rc<Cell<i32>>);
    impl Drop for Switches {
        fn drop(&mut self) {
            self.1.set(self.0.switch(40));
        }
    }
    let main = Greenlet::<i32>::main();
    let got = Rc::new(Cell::new(0));
    let switches = Switches(Greenlet::new(&main, |n| n + 2), got.clone());
    let never = Greenlet::new(&main, move |n| {
        drop(switches);
        n
    });
    assert_eq!(never.exit(1), 1);
    assert_eq!(got.get(), 42);
    let switches = Switches(Greenlet::new(&main, |n| n + 3), got.clone());
    let last = Greenlet::new(&main, {
        let main = main.clone();
        move |n| {
            let _switches = switches;
            main.switch(n)
        }
    });
    last.switch(1);
    drop(last);
    assert_eq!(got.get(), 43);
}

#[test]
fn many_in_a_ring() {
    const COUNT: usize = 100;
    let main = Greenlet::<usize>::main();
    let ring: Rc<RefCell<Vec<Greenlet<usize>>>> = Rc::default();
    for number in 0..COUNT {
        let there = ring.clone();
        let one = Greenlet::new(&main, move |mut n| {
            loop {
                let next = there.borrow()[(number + 1) % COUNT].clone();
                n = next.switch(n + 1);
                if n >= 10 * COUNT {
                    return n;
                }
            }
        });
        ring.borrow_mut().push(one);
    }
    let first = ring.borrow()[0].clone();
    assert_eq!(first.switch(0), 10 * COUNT);
    let all = ring.take();
    assert_eq!(all.iter().filter(|one| one.is_dead()).count(), 1);
    drop(all);
}

#[test]
fn a_shield_covers_the_stack_that_entered_it() {
    let job = iora::spawn(|| {
        let main = Greenlet::<i32>::main();
        let shielded = Greenlet::new(&main, {
            let main = main.clone();
            move |n| iora::shield(|| main.switch(n))
        });
        assert_eq!(shielded.switch(1), 1);
        iora::sleep(Duration::from_secs(3600)); // outside of the shield
    });
    iora::yield_now();
    assert!(job.kill_timeout(Duration::from_secs(60)));
}

#[test]
fn an_overflow_says_where_the_greenlet_was_made() {
    /// Uses up the stack.
    #[expect(unconditional_recursion, reason = "that is the point")]
    fn sink(depth: u64) -> u64 {
        std::hint::black_box(sink(depth + 1)) + std::hint::black_box(depth)
    }
    let output = child::in_child("an_overflow_says_where_the_greenlet_was_made", "", || {
        Greenlet::new(&Greenlet::main(), sink).switch(0);
    });
    let report = child::assert_ended(&output, Some(6));
    assert!(report.contains("a raw greenlet, made at tests/raw.rs:"), "{report}");
    assert!(report.contains("has overflowed its stack of 262144 bytes"), "{report}");
}
