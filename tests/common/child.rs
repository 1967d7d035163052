//! For tests of what ends, blocks or limits a process: runs one test of this file again, in a process of its own.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// Names the test that a child is to run.
const VARIABLE: &str = "IORA_TEST_CHILD";

/// Runs `body` in a process of its own, where no other test disturbs, and gives what came of it. `name` is the calling
/// test's; in the child this does not return. `limits` are commands of the shell that come first, such as `ulimit`.
///
/// A child that takes longer than five minutes is killed: the output says so by its signal.
pub(crate) fn in_child(name: &str, limits: &str, body: impl FnOnce()) -> Output {
    if env::var(VARIABLE).is_ok_and(|test| test == name) {
        body();
        std::process::exit(0);
    }
    Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -c 0; {limits}\nexec timeout -s KILL 300 \"$@\""),
            "sh",
        ])
        .arg(env::current_exe().expect("a test has a file"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .expect("a shell to run the test in")
}

/// Fails, and shows what the child wrote to its standard error, unless it ended so: by that signal
/// (6 when it aborts), or, with `None`, by an exit that tells
/// of success. Gives what it wrote.
#[track_caller]
pub(crate) fn assert_ended(output: &Output, signal: Option<i32>) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let fine = output.status.success() || signal.is_some();
    assert!(fine && output.status.signal() == signal, "{}: {text}", output.status);
    text
}
