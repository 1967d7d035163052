//! Runs the examples and looks at what they print.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The built example: cargo puts it beside the folder of the test's own binary.
fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a file");
    let profile = test
        .parent()
        .and_then(|folder| folder.parent())
        .expect("target/profile/deps");
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: `cargo build --examples`",
        path.display()
    );
    path
}

/// Runs an example for a minute at most.
fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["-s", "KILL", "60"])
        .arg(example(name))
        .args(arguments)
        .output()
        .expect("a process for the example")
}

/// What an example that ends well prints.
#[track_caller]
fn lines(name: &str, arguments: &[&str]) -> Vec<String> {
    let output = run(name, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert!(errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn hosts() {
    // Names that need no server: one of the hosts file's, a literal, and one that is reserved for not being there.
    let lines = lines("hosts", &["localhost", "192.0.2.7", "nothing here"]);
    assert_eq!(lines[..2], ["localhost: 127.0.0.1", "192.0.2.7: 192.0.2.7"]);
    assert!(lines.len() == 3 && lines[2].starts_with("nothing here: "), "{lines:?}");
}

#[test]
fn running_minimum() {
    assert_eq!(
        lines("running_minimum", &["7", "3", "9", "-1"]),
        [
            "after 7 the least is 7",
            "after 3 the least is 3",
            "after 9 the least is 3",
            "after -1 the least is -1"
        ]
    );
    assert_eq!(lines("running_minimum", &[]).len(), 7);
    assert!(!run("running_minimum", &["seven"]).status.success());
}

#[test]
fn producer_consumer() {
    let lines = lines("producer_consumer", &[]);
    let turns = lines[..9].chunks(3).zip(1..);
    for (turn, n) in turns {
        assert_eq!(
            turn,
            [
                format!("producing {n}"),
                format!("consuming {n}"),
                "consumer says ok".to_owned()
            ]
        );
    }
    let (puts, gets): (Vec<&String>, Vec<&String>) = lines[9..15].iter().partition(|line| line.starts_with("put"));
    assert_eq!(puts, ["put 1", "put 2", "put 3"]);
    assert_eq!(gets, ["got 1", "got 2", "got 3"]);
    assert_eq!(lines[15..], ["the sum is 6"]);
}

#[test]
fn dish_washers() {
    let lines = lines("dish_washers", &[]);
    assert_eq!(
        lines.last().map(String::as_str),
        Some("on the shelf: [1, 2, 3, 4, 5, 6]")
    );
    for dish in 1..=6 {
        let place = |doing: &str| {
            let line = format!("{doing} dish {dish}");
            lines
                .iter()
                .position(|other| *other == line)
                .expect("every dish is seen")
        };
        assert!(place("washed") < place("dried"));
    }
    assert_eq!(lines.len(), 13);
}

#[test]
fn tcp_echo() {
    let lines = lines("tcp_echo", &["20", "5"]);
    // Ten of the clients have numbers of two digits.
    let bytes = 20 * 5 * "message 0 of client 0\n".len() + 10 * 5;
    assert_eq!(
        lines[0],
        format!("20 clients sent 100 messages and got all of their {bytes} bytes back")
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn crawler() {
    let lines = lines("crawler", &[]);
    // Of the pages behind the one that never answers nobody hears.
    assert!(lines[0].starts_with("crawled 371 pages in "), "{lines:?}");
    assert!(
        lines[1..].contains(&"    1  /page/13: the time was up".to_owned()),
        "{lines:?}"
    );
    assert!(lines[1..].contains(&"  185  200 OK".to_owned()), "{lines:?}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn process_pool() {
    assert_eq!(
        lines("process_pool", &[]),
        [
            "7 jobs, 4 places",
            "spring: 6",
            "summer: 6",
            "autumn: 6",
            "winter: 6",
            "\"\": there is nothing to measure",
            "noon: 4",
            "midnight: 8",
            "total: 36",
            "left in the pool: 0"
        ]
    );
}

#[test]
fn students() {
    assert_eq!(
        lines("students", &[]),
        [
            "Ada: [1, 2, 1]",
            "Grace: [1, 1, 2]",
            "Linus: [3, 2, 4]",
            "main has 0 marks"
        ]
    );
}

#[test]
fn closable_pipeline() {
    assert_eq!(
        lines("closable_pipeline", &[]),
        [
            "trim is done",
            "measure is done",
            "one: 3",
            "six: 3",
            "two: 3",
            "five: 4",
            "four: 4",
            "seven: 5",
            "three: 5",
            "7 words went through"
        ]
    );
}

#[test]
fn switch() {
    assert_eq!(
        lines("switch", &[]),
        [
            "12",
            "56",
            "34",
            "the first is dead: true, the second: false",
            "hello, hello!",
            "echo, echo!",
            "silence"
        ]
    );
}
