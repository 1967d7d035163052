//! "This operation would block forever": when it is said, and never otherwise.
//!
//! It is certain only when no thread but the hubs' is there, and a harness has threads of its own. So this has none: each
//! case is run by `main` in a process of its own.

#[path = "common/thread_status.rs"]
mod thread_status;

use std::env;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use iora::Ending;
use iora::io::Source;
use iora::sync::{Event, Mutex, Semaphore};
use iora::threadpool::ThreadPool;
use thread_status::ThreadStatus;

/// Names the case that a child is to run.
const VARIABLE: &str = "IORA_TEST_CHILD";

/// Function and name.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}

const CASES: &[(&str, fn())] = cases![
    g009_it_is_reported_with_a_line_for_each_greenlet,
    not_while_a_thread_sleeps_that_could_wake_somebody,
    not_while_a_thread_of_the_pool_works,
    a_wait_for_a_descriptor_that_is_over_does_not_count,
    not_while_a_timer_runs,
    that_of_two_hubs_is_told_to_both,
    it_unwinds_what_the_stack_held,
    g067_no_joiner_of_a_starved_greenlet_waits_for_ever,
    a_scope_unwinds_its_greenlets_first,
    threads_of_the_pool_that_are_idle_do_not_count,
    a_sleep_for_ever_is_one,
    one_that_blocks_its_thread_while_it_unwinds_is_told,
];

fn main() -> ExitCode {
    if let Ok(name) = env::var(VARIABLE) {
        let (_, case) = CASES.iter().find(|(case, _)| *case == name).expect("a case");
        case();
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut failed = 0;
    for (name, _) in CASES {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
            failed += u32::from(!passes(name));
        }
    }
    ExitCode::from(u8::from(failed > 0))
}

/// Runs a case and says what came of it.
#[expect(clippy::print_stdout, reason = "what a harness does")]
fn passes(name: &str) -> bool {
    let output = Command::new("timeout")
        .args(["-s", "KILL", "60"])
        .arg(env::current_exe().expect("a test has a file"))
        .env(VARIABLE, name)
        .output()
        .expect("a process for the case");
    let passed = output.status.success();
    if passed {
        println!("test {name} ... ok");
    } else {
        println!("test {name} ... FAILED: {}", output.status);
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    passed
}

/// The message of the panic that a deadlock on this thread ends in.
fn deadlock(blocks: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(blocks)).expect_err("it blocks for ever");
    payload.downcast_ref::<String>().expect("a report").clone()
}

fn g009_it_is_reported_with_a_line_for_each_greenlet() {
    let waits = iora::Builder::new()
        .name("waits")
        .spawn(|| Event::new().wait())
        .unwrap();
    let starves = iora::spawn(|| Semaphore::new(0).acquire());
    let message = deadlock(|| waits.join());
    assert!(message.contains("would block forever: join"), "{message}");
    assert!(message.contains("\"waits\" #"), "{message}");
    assert!(message.contains("tests/deadlock.rs:"), "{message}");
    assert_eq!(message.matches(": parked in").count(), 2, "{message}");
    // It was only told: the hub goes on, and tells again.
    waits.kill();
    assert_eq!(waits.ending(), Some(Ending::Killed));
    assert_eq!(iora::spawn(|| 3).get().unwrap(), 3);
    deadlock(|| starves.join());
}

fn not_while_a_thread_sleeps_that_could_wake_somebody() {
    let event = Arc::new(Event::new());
    let waits = iora::spawn({
        let event = event.clone();
        move || event.wait()
    });
    let status = ThreadStatus::of_current();
    let other = thread::spawn(move || {
        // A hub that nothing wakes does so itself, to ask, and sleeps again.
        status.until_asleep_again(3);
        event.set();
    });
    assert!(waits.get().is_ok());
    other.join().unwrap();
}

fn not_while_a_thread_of_the_pool_works() {
    let pool = ThreadPool::new(1);
    // Its thread has been idle before.
    pool.apply(ThreadStatus::of_current).until_asleep();
    let status = ThreadStatus::of_current();
    let waits = iora::spawn(move || pool.apply(move || status.until_asleep_again(3)));
    waits.get().expect("did not panic");
}

fn a_wait_for_a_descriptor_that_is_over_does_not_count() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut reader = Source::new(reader).expect("not a standard stream");
    let reads = iora::spawn(move || reader.read(&mut [0]).expect("reads"));
    iora::yield_now();
    writer.write_all(b"x").expect("writes");
    assert_eq!(reads.get().expect("did not panic"), 1);
    let blocked = iora::spawn(|| Event::new().wait());
    deadlock(|| blocked.join());
}

fn not_while_a_timer_runs() {
    let sleeper = iora::spawn(|| iora::sleep(Duration::from_millis(400)));
    let blocked = iora::spawn(|| Event::new().wait());
    assert!(sleeper.get().is_ok());
    let message = deadlock(|| blocked.join());
    assert!(message.contains("nothing is ready"), "{message}");
}

fn that_of_two_hubs_is_told_to_both() {
    let (sender, receiver) = mpsc::channel();
    let other = thread::spawn(move || {
        let mine = iora::spawn(|| Event::new().wait());
        sender.send(()).unwrap();
        deadlock(|| mine.join())
    });
    receiver.recv().unwrap();
    let mine = iora::spawn(|| Event::new().wait());
    deadlock(|| mine.join());
    assert!(other.join().unwrap().contains("would block forever"));
}

fn it_unwinds_what_the_stack_held() {
    let mutex = Rc::new(Mutex::new(()));
    let holder = iora::spawn({
        let mutex = mutex.clone();
        move || {
            let _guard = mutex.lock();
            Event::new().wait();
        }
    });
    iora::yield_now();
    let message = deadlock(|| drop(mutex.lock()));
    assert!(message.contains("would block forever: lock"), "{message}");
    // The place in the mutex's line is gone with the stack: nobody is handed the lock.
    holder.kill();
    assert!(!matches!(mutex.try_lock(), Err(std::sync::TryLockError::WouldBlock)));
}

fn g067_no_joiner_of_a_starved_greenlet_waits_for_ever() {
    let semaphore = Rc::new(Semaphore::new(1));
    let jobs: Vec<_> = (0..3)
        .map(|_| {
            let semaphore = semaphore.clone();
            // Takes without giving back: the first gets it, the others starve.
            iora::spawn(move || semaphore.acquire())
        })
        .collect();
    deadlock(|| drop(iora::joinall(&jobs, None)));
    let ended: Vec<bool> = jobs.iter().map(iora::Greenlet::ready).collect();
    assert_eq!(ended, [true, false, false]);
}

fn a_scope_unwinds_its_greenlets_first() {
    let (mut ended, lent) = (0, vec![1, 2, 3]);
    {
        let ended = std::cell::Cell::from_mut(&mut ended);
        struct Counts<'a>(&'a std::cell::Cell<u32>, &'a [i32]);
        impl Drop for Counts<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() + u32::from(self.1.len() == 3));
            }
        }
        let lent = &lent;
        let message = deadlock(|| {
            iora::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(move || {
                        let _counts = Counts(ended, lent);
                        Event::new().wait();
                    });
                }
            });
        });
        assert!(message.contains("would block forever: scope"), "{message}");
    }
    assert_eq!(ended, 2);
}

fn threads_of_the_pool_that_are_idle_do_not_count() {
    assert_eq!(iora::threadpool::apply(|| 3), 3);
    let blocked = iora::spawn(|| Event::new().wait());
    let message = deadlock(|| blocked.join());
    assert!(message.contains("parked in"), "{message}");
}

fn a_sleep_for_ever_is_one() {
    drop(iora::spawn(|| iora::sleep(Duration::MAX)));
    let message = deadlock(|| iora::sleep(Duration::MAX));
    assert!(message.contains("would block forever: sleep"), "{message}");
}

/// Waits for the lock as it is dropped, and says what that ended in.
struct Locks {
    mutex: Arc<Mutex<()>>,
    told: mpsc::Sender<String>,
}

impl Drop for Locks {
    fn drop(&mut self) {
        assert!(thread::panicking());
        self.told.send(deadlock(|| drop(self.mutex.lock()))).unwrap();
    }
}

fn one_that_blocks_its_thread_while_it_unwinds_is_told() {
    let mutex = Arc::new(Mutex::new(()));
    let (locked, is_locked) = mpsc::channel();
    let (over, is_over) = mpsc::channel();
    let other = thread::spawn({
        let mutex = mutex.clone();
        move || {
            let holder = iora::spawn(move || {
                let _guard = mutex.lock();
                locked.send(()).unwrap();
                Event::new().wait();
            });
            let message = deadlock(|| holder.join());
            // The lock is released only when the one that waited for it has been told too.
            is_over.recv().unwrap();
            holder.kill();
            message
        }
    });
    is_locked.recv().unwrap();
    let (told, was_told) = mpsc::channel();
    let bystander = iora::spawn(|| Event::new().wait());
    let victim = iora::spawn({
        let mutex = mutex.clone();
        move || {
            let _locks = Locks { mutex, told };
            Event::new().wait();
        }
    });
    iora::yield_now();
    victim.kill();
    assert_eq!(victim.ending(), Some(Ending::Killed));
    let message = was_told.try_recv().expect("dropped");
    assert!(message.contains("would block forever: lock"), "{message}");
    over.send(()).unwrap();
    assert!(other.join().unwrap().contains("would block forever: join"));
    // It left the line, and its hub goes on.
    drop(mutex.lock());
    bystander.kill();
    assert_eq!(iora::spawn(|| 3).get().unwrap(), 3);
}
