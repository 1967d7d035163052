//! The low level: two greenlets that switch to each other by name, without a hub.
//!
//! The first prints 12, switches to the second, which prints 56 and switches back; the first prints 34 and returns, to its parent,
//! which is `main`. So 78 is printed only if somebody switches to the second once more.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::cell::OnceCell;
use std::rc::Rc;

use iora::raw::Greenlet;

fn main() {
    let main = Greenlet::main();
    // The first one names the second, which is made after it.
    let second: Rc<OnceCell<Greenlet<()>>> = Rc::default();
    let first = Greenlet::new(&main, {
        let second = second.clone();
        move |()| {
            println!("12");
            second.get().expect("made by now").switch(());
            println!("34");
        }
    });
    let second = second.get_or_init(|| {
        let first = first.clone();
        Greenlet::new(&main, move |()| {
            println!("56");
            first.switch(());
            println!("78");
        })
    });

    first.switch(());
    println!(
        "the first is dead: {}, the second: {}",
        first.is_dead(),
        second.is_dead()
    );

    // Values go along: what is switched to it is what its own switch returns.
    let main = Greenlet::<String>::main();
    let echo = Greenlet::new(&main, {
        let main = main.clone();
        move |mut word: String| {
            while !word.is_empty() {
                word = main.switch(format!("{word}, {word}!"));
            }
            "silence".to_owned()
        }
    });
    for word in ["hello", "echo", ""] {
        println!("{}", echo.switch(word.to_owned()));
    }
}
