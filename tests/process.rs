//! Children that are waited for: alone, with others, by greenlets and threads, in vain and too late.
#![expect(unsafe_code, reason = "reaps a child behind the library's back")]

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use iora::Waitable;
use iora::process::Child;
use iora::sync::Event;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A child of the shell's with a pipe to its standard input, at whose end it goes on.
fn shell(script: &str) -> Child {
    let child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn();
    Child::new(child.expect("a shell")).expect("waitable")
}

/// A child that ends with this code when its standard input is closed.
fn ends_with(code: u8) -> Child {
    shell(&format!("read line; exit {code}"))
}

#[test]
fn a_wait_parks_and_others_run_meanwhile() {
    let mut child = ends_with(3);
    let input = child.stdin.take().unwrap();
    let job = iora::spawn(move || {
        child
            .wait()
            .map(|status| (status.code(), child.try_wait(), child.wait()))
    });
    iora::yield_now();
    assert!(!job.ready());
    drop(input);
    let (code, again, once_more) = job.get().unwrap().unwrap();
    assert_eq!(code, Some(3));
    assert_eq!(again.unwrap().unwrap().code(), Some(3));
    assert_eq!(once_more.unwrap().code(), Some(3), "its status is kept");
}

#[test]
fn a_wait_closes_the_childs_input() {
    assert_eq!(ends_with(4).wait().unwrap().code(), Some(4));
}

#[test]
fn a_wait_with_a_limit_leaves_the_child_running() {
    let child = ends_with(5);
    let begin = Instant::now();
    assert!(child.wait_timeout(Duration::from_millis(3)).unwrap().is_none());
    assert!(begin.elapsed() >= Duration::from_millis(3));
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    assert_eq!(child.wait_timeout(LONG).unwrap().unwrap().signal(), Some(9));
    child.kill().expect("harmless once it was waited for");
}

#[test]
fn g092_a_child_is_waited_for_beside_other_things() {
    let (mut one, mut other) = (ends_with(1), ends_with(2));
    let inputs = [one.stdin.take(), other.stdin.take()];
    let event = Rc::new(Event::new());
    let order = Rc::new(RefCell::new(Vec::new()));
    let setter = iora::spawn({
        let event = event.clone();
        let [first, second] = inputs;
        move || {
            drop(second);
            iora::yield_now();
            event.set();
            first
        }
    });
    let mixture: [&dyn Waitable; 3] = [&one, &event, &other];
    let mut iterator = iora::iwait(mixture, None);
    for _ in 0..2 {
        order.borrow_mut().push(iterator.next().unwrap().0);
    }
    order.borrow_mut().sort_unstable();
    assert_eq!(*order.borrow(), [1, 2], "the first child's input is open still");
    drop(setter.get());
    assert_eq!(iterator.next().map(|(index, _)| index), Some(0));
    drop(iterator);
    assert_eq!(
        iora::wait([&one, &other], None).len(),
        2,
        "those that have ended are ready"
    );
    assert_eq!(one.try_wait().unwrap().unwrap().code(), Some(1));
    assert_eq!(other.wait().unwrap().code(), Some(2));
}

#[test]
fn g092_the_childs_side_of_its_pipes_stays_blocking() {
    let child = Command::new("sh")
        .args(["-c", "cat /proc/self/fdinfo/[012]"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = Child::new(child).unwrap().wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let flags: Vec<u32> = text
        .lines()
        .filter_map(|line| line.strip_prefix("flags:"))
        .map(|flags| u32::from_str_radix(flags.trim(), 8).unwrap())
        .collect();
    assert_eq!(flags.len(), 3, "{text}");
    assert!(flags.iter().all(|flags| flags & 0o4000 == 0), "{text}");
}

#[test]
fn g092_much_comes_out_of_both_pipes_and_goes_in() {
    let child = Command::new("sh")
        .args(["-c", "head -c 300000 /dev/zero >&2; cat; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Child::new(child).unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = iora::spawn(move || input.write_all(&[b'x'; 300_000]));
    let output = child.wait_with_output().unwrap();
    writer.get().unwrap().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stderr, [0; 300_000]);
    assert_eq!(output.stdout, [b'x'; 300_000]);
}

#[test]
fn a_killed_waiter_leaves_the_child_to_others() {
    let mut child = ends_with(6);
    let input = child.stdin.take().unwrap();
    let child = Rc::new(child);
    for together in [false, true] {
        let waiter = iora::spawn({
            let child = child.clone();
            move || match together {
                true => assert_eq!(iora::wait([&child], None).len(), 1),
                false => assert!(child.wait_timeout(LONG).unwrap().is_none()),
            }
        });
        iora::yield_now();
        waiter.kill();
        assert_eq!(Rc::strong_count(&child), 1);
    }
    assert!(iora::timeout(Duration::from_millis(1), || iora::wait([&child], None).len()).is_err());
    assert!(child.try_wait().unwrap().is_none());
    drop(input);
    assert_eq!(iora::wait([&child], None).len(), 1);
    assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(6));
}

#[test]
fn one_that_was_reaped_before_has_its_status() {
    let mut child = Command::new("sh").args(["-c", "exit 8"]).spawn().unwrap();
    child.wait().unwrap();
    let id = child.id();
    let mut child = Child::new(child).unwrap();
    assert_eq!(child.id(), id);
    assert_eq!(iora::wait([&child], None).len(), 1);
    assert_eq!(child.wait().unwrap().code(), Some(8));
    assert_eq!(child.wait_timeout(Duration::ZERO).unwrap().unwrap().code(), Some(8));
    child.kill().unwrap();
}

#[test]
fn one_that_somebody_else_reaps_is_an_error_and_no_endless_wait() {
    let mut child = ends_with(9);
    let input = child.stdin.take();
    let child = Rc::new(child);
    let waiter = iora::spawn({
        let child = child.clone();
        move || child.wait_timeout(LONG)
    });
    let observer = iora::spawn({
        let child = child.clone();
        move || iora::wait([&child], None).len()
    });
    iora::yield_now();
    drop(input);
    let mut status = 0;
    // SAFETY: the place for the status is ours.
    let reaped = unsafe { libc::waitpid(child.id().cast_signed(), &raw mut status, 0) };
    assert_eq!(reaped, child.id().cast_signed());
    let error = waiter.get().unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
    assert_eq!(observer.get().unwrap(), 1);
    child.try_wait().unwrap_err();
}

#[test]
fn threads_with_and_without_hubs_wait_for_one_child() {
    let mut child = ends_with(10);
    let input = child.stdin.take().unwrap();
    let child = Arc::new(child);
    let started = Arc::new(Event::new());
    let plain = thread::spawn({
        let (child, started) = (child.clone(), started.clone());
        move || {
            started.set();
            child.wait_timeout(LONG).unwrap().unwrap().code()
        }
    });
    let observers: Vec<_> = (0..2)
        .map(|_| {
            let child = child.clone();
            thread::spawn(move || iora::wait([&*child], LONG).len())
        })
        .collect();
    let here = iora::spawn({
        let child = child.clone();
        move || iora::wait([&*child], None).len()
    });
    started.wait();
    iora::yield_now();
    drop(input);
    assert_eq!(here.get().unwrap(), 1);
    assert_eq!(plain.join().unwrap(), Some(10));
    for observer in observers {
        assert_eq!(observer.join().unwrap(), 1);
    }
}

#[test]
fn a_child_that_is_dropped_runs_on() {
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = Child::new(child.unwrap()).unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    drop(child);
    input.write_all(b"still there").unwrap();
    drop(input);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still there");
}

#[test]
fn a_destructor_that_would_have_to_wait_is_refused() {
    struct Waits<'a>(&'a Child, &'a mut Option<io::Result<()>>);
    impl Drop for Waits<'_> {
        fn drop(&mut self) {
            assert_eq!(iora::wait([self.0], None).len(), 0);
            *self.1 = Some(self.0.wait_timeout(LONG).map(drop));
        }
    }
    let child = ends_with(11);
    iora::spawn(|| ()).join();
    let mut result = None;
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _waits = Waits(&child, &mut result);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    result.expect("dropped").unwrap_err();
    child.kill().unwrap();
}
