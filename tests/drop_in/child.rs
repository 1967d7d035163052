//! Child processes. std starts them; what waits for them is this `Child`.

use std::fmt::Debug;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::{Command, ExitStatus, Output, Stdio};

use super::beside;
use super::process::{Child, start};
use crate::{methods, traits};

methods! {
    Child::id: fn(&Child) -> u32;
    Child::wait: fn(&mut Child) -> io::Result<ExitStatus>;
    Child::wait_with_output: fn(Child) -> io::Result<Output>;
}

traits! {
    Child: Debug, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
}

/// A shell that runs `script`, with pipes to all its streams.
fn shell(script: &str) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start(&mut command).expect("a child")
}

/// What a pipe to a child can do.
fn check_writer<T>(_: &T)
where
    T: Write
        + AsFd
        + AsRawFd
        + IntoRawFd
        + Into<OwnedFd>
        + Into<Stdio>
        + Debug
        + Send
        + Sync
        + UnwindSafe
        + RefUnwindSafe,
    for<'a> &'a T: Write,
{
}

/// What a pipe from a child can do.
fn check_reader<T>(_: &T)
where
    T: Read
        + AsFd
        + AsRawFd
        + IntoRawFd
        + Into<OwnedFd>
        + Into<Stdio>
        + Debug
        + Send
        + Sync
        + UnwindSafe
        + RefUnwindSafe,
{
}

#[test]
fn a_child_is_talked_to_and_waited_for() {
    let mut child = shell("cat; echo done >&2; exit 3");
    assert!(child.id() > 0);
    assert!(child.try_wait().expect("ours").is_none());
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    let mut errors = child.stderr.take().expect("a pipe");
    check_writer(&input);
    check_reader(&output);
    check_reader(&errors);
    let copied = beside(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(input.write_vectored(&[IoSlice::new(b"one ")]).expect("a reader"), 4);
    input.write_all(b"two").expect("a reader");
    input.flush().expect("nothing to do");
    drop(input);
    let mut text = String::new();
    errors.read_to_string(&mut text).expect("a writer");
    assert_eq!(text, "done\n");
    assert_eq!(copied().expect("a writer"), "one two");
    assert_eq!(child.wait().expect("ours").code(), Some(3));
    assert_eq!(child.wait().expect("ours, again").code(), Some(3));
    assert_eq!(
        child.try_wait().expect("ours").and_then(|status| status.code()),
        Some(3)
    );
    child.kill().expect("nothing to kill any more");
}

#[test]
fn a_wait_closes_the_input() {
    assert!(shell("cat").wait().expect("ours").success());
}

#[test]
fn a_killed_child_says_so() {
    let mut child = shell("exec cat");
    child.kill().expect("ours");
    assert_eq!(child.wait().expect("ours").signal(), Some(9));
}

#[test]
fn all_that_it_wrote_comes_with_its_end() {
    let output = shell("printf out; printf err >&2; exit 5")
        .wait_with_output()
        .expect("ours");
    assert_eq!(output.status.code(), Some(5));
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out"[..], &b"err"[..]));
}

#[test]
fn one_childs_output_is_anothers_input() {
    let mut first = shell("sleep 0.05; echo one two three");
    let words = first.stdout.take().expect("a pipe");
    // It waits for its input: if the pipe did not block, it would fail.
    let mut count = Command::new("wc");
    let second = start(count.arg("-w").stdin(words).stdout(Stdio::piped())).expect("a child");
    let output = second.wait_with_output().expect("ours");
    assert!(output.status.success());
    assert_eq!(output.stdout.trim_ascii(), b"3");
    assert!(first.wait().expect("ours").success());
}
