//! Students, each with a name and marks of its own: variables of which every greenlet has its own value.
//!
//! The functions that use them take no argument for them and know of no other student, however the greenlets take turns.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::cell::RefCell;

use iora::Local;

/// Who is examined in this greenlet.
static NAME: Local<RefCell<String>> = Local::new(RefCell::default);

/// The marks of whoever that is.
static MARKS: Local<RefCell<Vec<u32>>> = Local::new(RefCell::default);

/// One examination: others are examined meanwhile.
fn examine(mark: u32) {
    iora::yield_now();
    MARKS.with(|marks| marks.borrow_mut().push(mark));
    iora::yield_now();
}

/// What the examined student got.
fn report() -> String {
    let marks = MARKS.with(|marks| marks.borrow().clone());
    NAME.with(|name| format!("{}: {marks:?}", name.borrow()))
}

/// Examines a student from beginning to end.
fn student(name: &str, marks: [u32; 3]) -> String {
    NAME.with(|own| own.replace(name.to_owned()));
    marks.into_iter().for_each(examine);
    report()
}

fn main() {
    let class = [("Ada", [1, 2, 1]), ("Grace", [1, 1, 2]), ("Linus", [3, 2, 4])];
    let students = class.map(|(name, marks)| iora::spawn(move || student(name, marks)));
    for student in students {
        println!("{}", student.get().expect("nobody panics"));
    }
    // The greenlet of `main` has marks of its own as well: none.
    println!("main has {} marks", MARKS.with(|marks| marks.borrow().len()));
}
