//! Generators: functions that give values on the way (Python's `yield` and `send`), on stacks of their own.
//!
//! A generator runs on top of whoever resumes it: while it runs, it is part of that greenlet (or thread). If it parks, the
//! whole greenlet parks; a kill of the greenlet unwinds through both stacks.
//!
//! ```text
//!   greenlet's stack ── send(value) ──▶ generator's stack
//!                    ◀── give(value) ──
//! ```
//!
//! Dropping a generator that has begun and not returned unwinds its stack with a private payload. One that catches that
//! and goes on is asked again a few times and then leaked. So is any where nothing can unwind (`panic = "abort"`).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::nested::Nested;
use crate::coroutine::{Coroutine, Status, Suspender};

/// How often a generator that catches its end and goes on is told again before it is leaked.
const PATIENCE: u32 = 16;

/// Unwinds a generator that is dropped.
struct Dropped;

/// What a resumed generator answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed<Y, R> {
    /// It gave a value and waits to be resumed.
    Yielded(Y),
    /// It returned.
    Returned(R),
}

/// Where resumer and generator leave values for each other. Both run on one thread, in turn.
struct Exchange<S, Y, R> {
    /// What belongs to the generator's stack.
    nested: Nested,
    /// For the generator.
    sent: RefCell<Option<S>>,
    /// For the resumer.
    given: RefCell<Option<Y>>,
    /// For the resumer, at the end: the value, or the payload of an unwind.
    returned: RefCell<Option<Result<R, Box<dyn Any + Send>>>>,
    /// The generator is being dropped.
    dropped: Cell<bool>,
    /// Whoever resumed the generator last was unwinding.
    in_unwind: Cell<bool>,
}

/// A function that gives values of type `Y` on the way, is sent values of type `S`, and returns an `R`.
///
/// With `S = ()` it is an iterator over what it gives.
///
/// ```
/// use iora::{Generator, Resumed};
///
/// // The least number so far.
/// let mut minimum = Generator::new(|hand: &iora::Yielder<i32, i32>, first: i32| {
///     let mut least = first;
///     loop {
///         least = least.min(hand.give(least));
///     }
/// });
/// # let _: &Generator<i32, i32, ()> = &minimum;
/// let answers: Vec<_> = [5, 3, 8, 1].map(|n| minimum.send(n)).into();
/// assert_eq!(answers, [5, 3, 3, 1].map(Resumed::Yielded));
///
/// let squares = Generator::new(|hand: &iora::Yielder<(), u32>, ()| (1..4).for_each(|n| hand.give(n * n)));
/// assert_eq!(squares.collect::<Vec<_>>(), [1, 4, 9]);
/// ```
#[must_use = "a generator does nothing before it is resumed"]
pub struct Generator<S, Y, R = ()> {
    /// Its stack; `None` once it has returned.
    coroutine: Option<Coroutine>,
    /// It has been resumed at least once.
    begun: bool,
    /// Values on their way.
    exchange: Rc<Exchange<S, Y, R>>,
}

/// A generator's way to give values: an argument of its function.
pub struct Yielder<S, Y> {
    /// Gives a value and returns what is sent.
    give: Box<dyn Fn(Y) -> S>,
}

impl<S, Y> Yielder<S, Y> {
    /// Gives `value` to whoever resumed the generator, which waits until it is resumed again; returns what is sent then.
    ///
    /// # Panics
    ///
    /// When called from another stack than the generator's own (that of a greenlet of a scope inside it, or of a generator
    /// inside it), or by a destructor while the generator unwinds.
    ///
    /// The last is not noticed when a destructor resumed the generator while it unwinds itself, because std does not tell whose
    /// panic it is. The thread then seems to be unwinding until the generator has been resumed to its end.
    pub fn give(&self, value: Y) -> S {
        (self.give)(value)
    }
}

impl<S: 'static, Y: 'static, R: 'static> Generator<S, Y, R> {
    /// A generator that has not begun. `body` is called with the first value that is sent.
    ///
    /// # Panics
    ///
    /// When there is no memory for its stack, which is as large as a greenlet's.
    #[track_caller]
    pub fn new(body: impl FnOnce(&Yielder<S, Y>, S) -> R + 'static) -> Generator<S, Y, R> {
        let exchange = Rc::new(Exchange {
            sent: RefCell::new(None),
            given: RefCell::new(None),
            returned: RefCell::new(None),
            dropped: Cell::new(false),
            in_unwind: Cell::new(false),
            nested: Nested::new("a generator", Location::caller()),
        });
        let stack = match exchange.nested.claim() {
            Ok(stack) => stack,
            Err(error) => panic!("iora: no stack for a generator: {error}"),
        };
        let inside = exchange.clone();
        let body = Box::new(body);
        let coroutine = Coroutine::new(stack, move |suspender| {
            let result = catch_unwind(AssertUnwindSafe(|| {
                let first = inside.take_sent();
                let yielder = Yielder {
                    give: Exchange::giver(inside.clone(), suspender),
                };
                body(&yielder, first)
            }));
            inside.returned.replace(Some(result));
        });
        Generator {
            coroutine: Some(coroutine),
            begun: false,
            exchange,
        }
    }

    /// Sends `value` into the generator and runs it until it gives or returns one.
    ///
    /// A panic of the generator, or a kill that reached it, goes on here.
    ///
    /// # Panics
    ///
    /// When the generator has returned already.
    pub fn send(&mut self, value: S) -> Resumed<Y, R> {
        assert!(self.coroutine.is_some(), "iora: this generator has returned");
        self.exchange.sent.replace(Some(value));
        if !self.run() {
            let given = self.exchange.given.take();
            return Resumed::Yielded(given.expect("a generator suspends only to give"));
        }
        let returned = self.exchange.returned.take();
        match returned.expect("a generator ends with a result") {
            Ok(value) => Resumed::Returned(value),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Whether the generator has returned.
    pub fn is_done(&self) -> bool {
        self.coroutine.is_none()
    }
}

impl<Y: 'static, R: 'static> Generator<(), Y, R> {
    /// Runs the generator until it gives or returns a value; see [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// When the generator has returned already.
    pub fn resume(&mut self) -> Resumed<Y, R> {
        self.send(())
    }
}

impl<S, Y, R> Generator<S, Y, R> {
    /// Switches to the generator. Whether its function has ended.
    fn run(&mut self) -> bool {
        let Some(coroutine) = &mut self.coroutine else {
            return true;
        };
        self.begun = true;
        self.exchange.in_unwind.set(std::thread::panicking());
        let finished = self.exchange.nested.resume(coroutine) == Status::Finished;
        if finished {
            self.coroutine = None;
        }
        finished
    }
}

impl<S: 'static, Y: 'static, R: 'static> Exchange<S, Y, R> {
    /// What was sent; or the unwind of a generator that is being dropped.
    fn take_sent(&self) -> S {
        if self.dropped.get() {
            resume_unwind(Box::new(Dropped));
        }
        self.sent.take().expect("a generator is resumed with a value")
    }

    /// The function behind [`Yielder::give`].
    fn giver(exchange: Rc<Self>, suspender: Suspender) -> Box<dyn Fn(Y) -> S> {
        Box::new(move |value| {
            // A greenlet of a scope, or a generator inside this one, may have been lent the yielder.
            assert!(
                exchange.nested.is_current(),
                "iora: a generator gives on its own stack only"
            );
            // The panic count belongs to the thread: the resumer would seem to be unwinding.
            assert!(
                exchange.in_unwind.get() || !std::thread::panicking(),
                "iora: a generator cannot give while it unwinds"
            );
            exchange.given.replace(Some(value));
            suspender.suspend();
            exchange.take_sent()
        })
    }
}

impl<Y: 'static> Iterator for Generator<(), Y, ()> {
    type Item = Y;

    fn next(&mut self) -> Option<Y> {
        if self.is_done() {
            return None;
        }
        match self.send(()) {
            Resumed::Yielded(value) => Some(value),
            Resumed::Returned(()) => None,
        }
    }
}

impl<S, Y, R> Drop for Generator<S, Y, R> {
    fn drop(&mut self) {
        if !self.begun {
            return;
        }
        self.exchange.dropped.set(true);
        let patience = if cfg!(panic = "abort") { 0 } else { PATIENCE };
        for _ in 0..patience {
            if self.run() {
                return;
            }
        }
        if let Some(coroutine) = self.coroutine.take() {
            coroutine.leak();
        }
    }
}

impl<S, Y, R> fmt::Debug for Generator<S, Y, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.begun, self.coroutine.is_some()) {
            (false, _) => "not begun",
            (true, true) => "suspended",
            (true, false) => "returned",
        };
        write!(f, "<Generator: {state}>")
    }
}

impl<S, Y> fmt::Debug for Yielder<S, Y> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Yielder>")
    }
}
