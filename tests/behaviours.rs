//! Whether every numbered behaviour has a test that bears its number, or a reason in the table of those that have none.

use std::fs;
use std::path::Path;

/// Numbers in the table beside this file and in the names of test functions.
#[test]
fn every_number_has_a_test_or_a_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = fs::read_to_string(folder.join("behaviours.md")).expect("the table");
    let mut tests = String::new();
    for entry in fs::read_dir(&folder).expect("this folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            tests.push_str(&fs::read_to_string(path).expect("a file"));
        }
    }
    for number in 1..=77 {
        let tested = tests.contains(&format!("fn g{number:03}_")) || tests.contains(&format!("_g{number:03}_"));
        let excused = table.contains(&format!("\n| {number} |"));
        assert!(tested || excused, "{number} has neither");
        assert!(!(tested && excused), "{number} has both");
    }
}
