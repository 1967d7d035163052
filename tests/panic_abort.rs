//! Programs that are built with `panic = "abort"`: all works that needs no unwinding, and what does says so.
//!
//! Each case is run in a process of a program that is built here, for the library's own build must know of the setting.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use directory::Directory;

#[path = "common/directory.rs"]
mod directory;

/// SIGABRT.
const ABORTED: Option<i32> = Some(6);

/// The program: its argument names the case.
const PROGRAM: &str = r#"
use std::process::{Command, Stdio};
use std::time::Duration;

use iora::process::Child;
use iora::queue::Queue;
use iora::sync::Event;

const MOMENT: Duration = Duration::from_millis(1);

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("works") => works(),
        Some("panic") => {
            let unlucky = iora::Builder::new().name("unlucky").spawn(|| panic!("out of luck"));
            unlucky.unwrap().join();
        }
        Some("kill") => {
            let victim = iora::spawn(|| Event::new().wait());
            iora::yield_now();
            victim.kill();
        }
        Some("timeout") => drop(iora::timeout(MOMENT, || Event::new().wait())),
        case => panic!("no such case: {case:?}"),
    }
}

fn works() {
    let queue = std::rc::Rc::new(Queue::bounded(1));
    let consumer = iora::spawn({
        let queue = queue.clone();
        move || queue.iter().sum::<u32>()
    });
    let jobs: Vec<_> = (0..10)
        .map(|number| {
            let queue = queue.clone();
            iora::spawn(move || {
                iora::sleep(MOMENT);
                queue.put(number).unwrap();
            })
        })
        .collect();
    assert_eq!(iora::joinall(&jobs, None).len(), 10);
    queue.close();
    assert_eq!(consumer.get().unwrap(), 45);
    assert!(!Event::new().wait_timeout(MOMENT));
    assert_eq!(iora::threadpool::apply(|| 3), 3);
    let mut lent = [1, 2, 3];
    iora::scope(|scope| {
        for number in &mut lent {
            scope.spawn(move || *number *= 2);
        }
    });
    assert_eq!(lent, [2, 4, 6]);
    // One that has not begun need not unwind.
    let unstarted = iora::spawn(|| unreachable!());
    unstarted.kill();
    // Neither is a generator that is dropped on the way, nor a child that is waited for in vain.
    let endless = iora::Generator::new(|hand: &iora::Yielder<(), u32>, ()| {
        for number in 0.. {
            hand.give(number);
        }
    });
    assert_eq!(endless.take(3).collect::<Vec<_>>(), [0, 1, 2]);
    let main = iora::raw::Greenlet::main();
    let suspended = iora::raw::Greenlet::new(&main, {
        let main = main.clone();
        move |number| main.switch(number)
    });
    assert_eq!(suspended.switch(7), 7);
    drop(suspended);
    let mut cat = Child::new(Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()).unwrap();
    assert!(iora::wait([&cat], MOMENT).is_empty());
    iora::yield_now();
    assert!(cat.wait().unwrap().success());
    println!("all works");
}
"#;

/// Builds the program, out of a package in this directory, and says where it is.
fn build(directory: &Directory) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = format!(
        "[package]\nname = \"aborting\"\nedition = \"2024\"\n[dependencies]\niora.path = {root:?}\n\
         [profile.dev]\npanic = \"abort\"\ndebug = 0\nincremental = false\n[workspace]\n"
    );
    let manifest = directory.write("Cargo.toml", &manifest);
    let package = manifest.parent().expect("a directory");
    std::fs::create_dir(package.join("src")).expect("a directory of our own");
    std::fs::write(package.join("src/main.rs"), PROGRAM).expect("written");
    // The versions that are there: nothing is fetched.
    std::fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).expect("a lock file");
    // Kept between runs, beside what else is built for tests.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic-abort");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (variable, _) in env::vars_os() {
        // What was set for the build of this test (a sanitizer, say) is not meant for that one.
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO") && name != "CARGO_HOME" || name.starts_with("RUSTC") || name == "RUSTFLAGS" {
            cargo.env_remove(variable);
        }
    }
    let output = cargo
        .args(["build", "--offline", "--quiet"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("cargo");
    assert!(
        output.status.success(),
        "the program is not built: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    target.join("debug/aborting")
}

/// Runs a case; what came of it, and what it wrote to its standard error.
fn run(program: &Path, case: &str) -> (Output, String) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -c 0; exec timeout -s KILL 60 \"$@\"", "sh"])
        .arg(program)
        .arg(case)
        .output()
        .expect("a shell");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, errors)
}

#[test]
fn all_works_that_needs_no_unwinding_and_what_does_says_so() {
    let program = build(&Directory::new());

    let (output, errors) = run(&program, "works");
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert_eq!(output.stdout, b"all works\n");

    let (output, errors) = run(&program, "panic");
    assert_eq!(output.status.signal(), ABORTED, "{errors}");
    assert!(errors.contains("in <Greenlet \"unlucky\" #"), "{errors}");
    assert!(
        errors.contains("at src/main.rs:") && errors.contains("out of luck"),
        "{errors}"
    );

    for case in ["kill", "timeout"] {
        let (output, errors) = run(&program, case);
        assert_eq!(output.status.signal(), ABORTED, "{case}: {errors}");
        assert!(
            errors.contains("panic = \"abort\": it cannot unwind"),
            "{case}: {errors}"
        );
    }
}
