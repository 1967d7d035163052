//! Whether the table of gevent's behaviours (`gevent.md`) is whole, and tells the truth about tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What a row says is one of these.
const KINDS: [&str; 5] = ["tested", "type", "no meaning", "with servers", "with debugging"];

/// A row of the table.
struct Row {
    /// `9b`, say.
    number: String,
    /// One of [`KINDS`].
    kind: String,
    /// Tests, types, reasons.
    here: String,
}

/// The rows that begin with a number.
fn rows(table: &str) -> Vec<Row> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, _, kind, here, _] = cells[..] else {
            return None;
        };
        number.starts_with(|first: char| first.is_ascii_digit()).then(|| Row {
            number: number.to_owned(),
            kind: kind.to_owned(),
            here: here.to_owned(),
        })
    };
    table.lines().filter_map(row).collect()
}

/// What stands between backquotes and can only be the name of a test.
fn named_tests(text: &str) -> Vec<&str> {
    let is_test = |name: &&str| {
        name.matches('_').count() >= 3
            && name
                .chars()
                .all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    text.split('`').skip(1).step_by(2).filter(is_test).collect()
}

/// The numbers that a test's name bears: `g014_g015_…` bears two, `g009b_…` bears 9b.
fn numbers_in(name: &str) -> Vec<String> {
    let number = |part: &&str| {
        let digits = part.strip_prefix('g')?;
        let (digits, letter) = (digits.get(..3)?, digits.get(3..)?);
        let number: u32 = digits.parse().ok()?;
        matches!(letter, "" | "b").then(|| format!("{number}{letter}"))
    };
    name.split('_').filter_map(|part| number(&part)).collect()
}

/// The functions without arguments that some file below `folder` defines.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            let name = |part: &str| {
                let (name, _) = part.split_once("()")?;
                let one_word = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
                one_word.then(|| name.to_owned())
            };
            found.extend(text.split("fn ").skip(1).filter_map(name));
        }
    }
}

/// One fault a line.
fn faults(table: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let rows = rows(table);
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *count.entry(&row.number).or_default() += 1;
    }
    let numbers: Vec<String> = (1..=103).map(|n| n.to_string()).chain(["9b".to_owned()]).collect();
    for number in &numbers {
        match count.remove(number.as_str()) {
            Some(1) => {}
            found => faults.push(format!("{number}: in {} rows", found.unwrap_or(0))),
        }
    }
    faults.extend(count.keys().map(|number| format!("{number}: no such behaviour")));

    let mut tests: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in functions {
        for number in numbers_in(name) {
            tests.entry(number).or_default().push(name);
        }
    }
    for Row { number, kind, here } in &rows {
        let named = named_tests(here);
        for name in &named {
            if !functions.contains(*name) {
                faults.push(format!("{number}: there is no test {name}"));
            }
        }
        let tested = tests.get(number).is_some_and(|tests| !tests.is_empty());
        match kind.as_str() {
            "tested" if named.is_empty() => faults.push(format!("{number}: tested, but by none")),
            "type" | "no meaning" if here.is_empty() => faults.push(format!("{number}: no reason")),
            kind if !KINDS.contains(&kind) => faults.push(format!("{number}: what is {kind:?}?")),
            kind if kind != "tested" && tested => faults.push(format!("{number}: {kind}, but there are tests")),
            _ => {}
        }
    }
    faults
}

#[test]
fn every_number_is_there_once_and_every_test_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/gevent.md")).expect("the table");
    let mut found = BTreeSet::new();
    functions(&root.join("tests"), &mut found);
    functions(&root.join("src"), &mut found);
    let faults = faults(&table, &found);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn faults_are_found() {
    let whole: Vec<String> = (1..=103)
        .map(|n| n.to_string())
        .chain(["9b".to_owned()])
        .map(|number| format!("| {number} | it | tested | `a_test_of_it` |"))
        .collect();
    let there = BTreeSet::from(["a_test_of_it".to_owned(), "g005_g009b_another".to_owned()]);
    let judge = |change: fn(&mut Vec<String>)| {
        let mut rows = whole.clone();
        change(&mut rows);
        faults(&rows.join("\n"), &there)
    };
    assert_eq!(judge(|_| ()), [""; 0]);
    assert_eq!(judge(|rows| drop(rows.remove(0))), ["1: in 0 rows"]);
    assert_eq!(judge(|rows| rows.push(rows[1].clone())), ["2: in 2 rows"]);
    assert_eq!(
        judge(|rows| rows.push("| 104 | it | no meaning | why |".into())),
        ["104: no such behaviour"]
    );
    assert_eq!(
        judge(|rows| rows[2] = "| 3 | it | tested | `g003_not_to_be_found` |".into()),
        ["3: there is no test g003_not_to_be_found"]
    );
    assert_eq!(
        judge(|rows| rows[3] = "| 4 | it | tested | somehow |".into()),
        ["4: tested, but by none"]
    );
    assert_eq!(
        judge(|rows| rows[4] = "| 5 | it | no meaning | why |".into()),
        ["5: no meaning, but there are tests"]
    );
    assert_eq!(
        judge(|rows| rows[103] = "| 9b | it | with servers | |".into()),
        ["9b: with servers, but there are tests"]
    );
    assert_eq!(judge(|rows| rows[5] = "| 6 | it | type | |".into()), ["6: no reason"]);
    assert_eq!(
        judge(|rows| rows[5] = "| 6 | it | later | |".into()),
        ["6: what is \"later\"?"]
    );
}
