//! The low level: coroutines that switch to each other by name, as in Python's greenlet library.
//!
//! A [`Greenlet`] here is a stack and a function on it, no more: no hub runs it. Whoever has one switches to it, and it
//! switches to another, or back. All of one family ([`Greenlet::main`] and what descends from it) exchange values of one type.
//!
//! ```text
//!   main (whoever switches from outside)      first's stack            second's stack
//!   ────────────────────────────────────      ─────────────            ──────────────
//!   first.switch(1) ─────────────────────────▶ begins with 1
//!                                              second.switch(2) ──────▶ begins with 2
//!                                              … returns 3 ◀─────────── first.switch(3)
//!   … returns 4 ◀───────────────────────────── main.switch(4), or returns 4
//! ```
//!
//! The stacks are coroutines that suspend to the one loop in `drive`, which runs on main's stack and resumes the next: a
//! switch is two switches of stacks.
//!
//! 1. `running` is the greenlet that has control, `None` if main has. Only on its stack may the family be switched; anybody else
//!    (a generator on top of it, another of the hub's greenlets while this one is parked) is refused by a panic.
//! 2. A suspender is kept only while its stack has frames, and used only on that stack, by invariant 1.
//! 3. A value or a payload on its way is in `message`; who is to get it is in `next`. Both are taken at once.
//! 4. Handles keep a greenlet, and a greenlet its parent. A greenlet's stack keeps no handle of itself. When the last handle goes
//!    its stack is unwound, on top of whoever drops it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::nested::Nested;
use crate::coroutine::{Coroutine, Status, Suspender};
use crate::hub::interrupt::discard;
use crate::stack;

/// Unwinds a greenlet whose last handle was dropped.
struct Dropped;

/// Unwinds a greenlet that was told to exit; the value is in its slot.
struct Exiting;

/// What a switch brings along.
enum Message<V> {
    /// A value.
    Value(V),
    /// To be raised.
    Throw(Box<dyn Any + Send>),
    /// To end with.
    Exit(V),
}

/// What the greenlets of one family share.
struct Family<V> {
    /// Invariant 1.
    running: RefCell<Option<Rc<Slot<V>>>>,
    /// Invariant 3.
    message: RefCell<Option<Message<V>>>,
    /// Invariant 3; `None` for main.
    next: RefCell<Option<Rc<Member<V>>>>,
    /// Main was unwinding when it switched.
    in_unwind: Cell<bool>,
}

/// What a greenlet's own stack knows of it.
struct Slot<V> {
    /// Leaves the stack; invariant 2.
    suspender: Cell<Option<Suspender>>,
    /// What belongs to the stack.
    nested: Nested,
    /// What it ends with, while it is told to exit.
    exit: RefCell<Option<V>>,
    /// Its last handle was dropped.
    dropped: Cell<bool>,
}

/// What there is of a greenlet.
enum Body<V> {
    /// It is main: no stack of its own.
    Main,
    /// Not begun.
    Unstarted(Box<dyn FnOnce(V) -> V>),
    /// Suspended.
    Suspended(Coroutine),
    /// It has control.
    Running,
    /// It has ended.
    Dead,
}

/// A greenlet.
struct Member<V> {
    /// Whom it may switch to.
    family: Rc<Family<V>>,
    /// Who gets what comes of it; `None` only for main.
    parent: RefCell<Option<Greenlet<V>>>,
    /// What there is of it.
    body: RefCell<Body<V>>,
    /// Shared with its stack.
    slot: Rc<Slot<V>>,
}

/// A coroutine that is switched to by name. A value of type `V` goes along with each switch.
///
/// Its clones are handles of one greenlet. It belongs to a thread; while it runs it is part of whichever of the hub's
/// greenlets (or thread) switched to its family from outside: if it parks, that one parks.
///
/// When its function returns, the value goes to its parent, as if it had switched there; a panic goes on in the parent. Switching to
/// one that is dead switches to its parent. Dropping the last handle of one that is suspended unwinds its stack.
///
/// ```
/// use iora::raw::Greenlet;
/// use std::cell::OnceCell;
/// use std::rc::Rc;
///
/// let main = Greenlet::main();
/// let second = Rc::new(OnceCell::<Greenlet<Vec<i32>>>::new());
/// let first = Greenlet::new(&main, {
///     let second = second.clone();
///     move |mut log: Vec<i32>| {
///         log.push(12);
///         log = second.get().unwrap().switch(log);
///         log.push(34);
///         log
///     }
/// });
/// let _ = second.set(Greenlet::new(&main, {
///     let first = first.clone();
///     move |mut log: Vec<i32>| {
///         log.push(56);
///         log = first.switch(log);
///         log.push(78); // never: nobody switches back
///         log
///     }
/// }));
/// assert_eq!(first.switch(Vec::new()), [12, 56, 34]);
/// assert!(first.is_dead() && !second.get().unwrap().is_dead());
/// ```
pub struct Greenlet<V>(Rc<Member<V>>);

/// The parent would make a circle, or is of another family, or main was to be given one: the error of
/// [`Greenlet::set_parent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentError(());

impl<V: 'static> Greenlet<V> {
    /// A new family: the greenlet that stands for whoever switches to it from outside. It never ends and has no parent.
    pub fn main() -> Greenlet<V> {
        let family = Rc::new(Family {
            running: RefCell::new(None),
            message: RefCell::new(None),
            next: RefCell::new(None),
            in_unwind: Cell::new(false),
        });
        Greenlet::member(family, None, Body::Main)
    }

    /// A greenlet that will call `run` with the first value that is switched to it; `parent` gets what comes of it.
    pub fn new(parent: &Greenlet<V>, run: impl FnOnce(V) -> V + 'static) -> Greenlet<V> {
        let family = parent.0.family.clone();
        Greenlet::member(family, Some(parent.clone()), Body::Unstarted(Box::new(run)))
    }

    /// One more of a family.
    fn member(family: Rc<Family<V>>, parent: Option<Greenlet<V>>, body: Body<V>) -> Greenlet<V> {
        Greenlet(Rc::new(Member {
            family,
            parent: RefCell::new(parent),
            body: RefCell::new(body),
            slot: Rc::new(Slot {
                suspender: Cell::new(None),
                nested: Nested::default(),
                exit: RefCell::new(None),
                dropped: Cell::new(false),
            }),
        }))
    }

    /// Switches to this greenlet, which gets `value`: from its own `switch`, or as its function's argument. Returns when
    /// somebody switches to the caller, with the value that comes along.
    ///
    /// # Panics
    ///
    /// With the panic of a greenlet whose parent is the caller. When it is called on another stack than that of the greenlet that
    /// has control of the family, or by a destructor while that one unwinds. When there is no memory for the stack of one that
    /// begins.
    pub fn switch(&self, value: V) -> V {
        self.send(Message::Value(value))
    }

    /// As [`switch`](Self::switch), but raises `payload` in this greenlet, from its `switch`, as an unwind. One that has not begun
    /// dies of it: it goes to the parent.
    ///
    /// # Panics
    ///
    /// As [`switch`](Self::switch).
    pub fn throw(&self, payload: Box<dyn Any + Send>) -> V {
        self.send(Message::Throw(payload))
    }

    /// As [`switch`](Self::switch), but unwinds this greenlet from its `switch`: if it does not catch that, it ends as if it had
    /// returned `value`. One that has not begun, or is dead, gives `value` to its parent at once.
    ///
    /// # Panics
    ///
    /// As [`switch`](Self::switch).
    pub fn exit(&self, value: V) -> V {
        self.send(Message::Exit(value))
    }

    /// Who gets what comes of it; `None` for main.
    pub fn parent(&self) -> Option<Greenlet<V>> {
        self.0.parent.borrow().clone()
    }

    /// Gives it another parent, of the same family.
    ///
    /// # Errors
    ///
    /// If it is main, or `parent` is of another family, or descends from this greenlet or is the same.
    pub fn set_parent(&self, parent: &Greenlet<V>) -> Result<(), ParentError> {
        let mut ancestor = Some(parent.clone());
        while let Some(one) = ancestor {
            if one == *self {
                return Err(ParentError(()));
            }
            ancestor = one.parent();
        }
        if self.parent().is_none() || !Rc::ptr_eq(&self.0.family, &parent.0.family) {
            return Err(ParentError(()));
        }
        let former = self.0.parent.replace(Some(parent.clone()));
        drop(former);
        Ok(())
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        matches!(*self.0.body.borrow(), Body::Dead)
    }

    /// Whether it has begun and not ended. Main has.
    pub fn is_active(&self) -> bool {
        !matches!(*self.0.body.borrow(), Body::Dead | Body::Unstarted(_))
    }

    /// Whether it has control of its family.
    pub fn is_current(&self) -> bool {
        match &*self.0.family.running.borrow() {
            Some(running) => Rc::ptr_eq(running, &self.0.slot),
            None => matches!(*self.0.body.borrow(), Body::Main),
        }
    }

    /// Switches to it with a message.
    fn send(&self, message: Message<V>) -> V {
        let family = &self.0.family;
        let caller = family.running.borrow().clone();
        let Some(caller) = caller else {
            return open(drive(self, message), None);
        };
        assert!(
            caller.nested.is_current(),
            "iora: a raw greenlet's family is switched only on the stack of the one that has control"
        );
        // The panic count belongs to the thread: whoever is switched to would seem to be unwinding.
        assert!(
            family.in_unwind.get() || !std::thread::panicking(),
            "iora: a raw greenlet cannot switch while it unwinds"
        );
        let (receiver, message) = self.receiver(message);
        if receiver
            .as_ref()
            .is_some_and(|receiver| Rc::ptr_eq(&receiver.slot, &caller))
        {
            return open(message, Some(&caller));
        }
        family.message.replace(Some(message));
        family.next.replace(receiver);
        caller
            .suspender
            .get()
            .expect("a greenlet that runs can be suspended")
            .suspend();
        caller.receive(family)
    }

    /// Who gets a message that is sent here, `None` if main does: not the dead, nor one that dies of it.
    fn receiver(&self, mut message: Message<V>) -> (Option<Rc<Member<V>>>, Message<V>) {
        let mut member = self.0.clone();
        loop {
            let unstarted = match &*member.body.borrow() {
                Body::Main => None,
                Body::Unstarted(_) => Some(true),
                Body::Suspended(_) | Body::Running => Some(false),
                Body::Dead => Some(true),
            };
            match unstarted {
                None => return (None, message.without_exit()),
                Some(false) => return (Some(member), message),
                Some(true) => {}
            }
            let begins = matches!(*member.body.borrow(), Body::Unstarted(_)) && matches!(message, Message::Value(_));
            if begins {
                return (Some(member), message);
            }
            // Its function is dropped here, outside of any borrow.
            drop(member.body.replace(Body::Dead));
            message = message.without_exit();
            let parent = member.parent.borrow().clone();
            member = parent.expect("only main has no parent").0;
        }
    }
}

impl<V> Message<V> {
    /// The same, for whom an exit is over.
    fn without_exit(self) -> Message<V> {
        match self {
            Message::Exit(value) => Message::Value(value),
            other => other,
        }
    }
}

/// The value of a message that has arrived, or its unwind. `slot` is that of the greenlet at which it did, unless that is main.
fn open<V>(message: Message<V>, slot: Option<&Slot<V>>) -> V {
    match (message, slot) {
        (Message::Value(value), _) | (Message::Exit(value), None) => value,
        (Message::Throw(payload), _) => resume_unwind(payload),
        (Message::Exit(value), Some(slot)) => {
            slot.exit.replace(Some(value));
            resume_unwind(Box::new(Exiting));
        }
    }
}

impl<V> Slot<V> {
    /// What was sent to the greenlet that runs.
    fn receive(&self, family: &Family<V>) -> V {
        if self.dropped.get() {
            resume_unwind(Box::new(Dropped));
        }
        let message = family.message.take();
        open(message.expect("a switch brings a message"), Some(self))
    }

    /// What becomes of the result of the greenlet's function: a message for its parent.
    fn conclude(&self, result: Result<V, Box<dyn Any + Send>>) -> Message<V> {
        let exit = self.exit.take();
        match result {
            Ok(value) => Message::Value(value),
            Err(payload) => match exit {
                Some(value) if payload.is::<Exiting>() => Message::Value(value),
                _ => Message::Throw(payload),
            },
        }
    }
}

/// Main's part: resumes one greenlet after the other, until one sends a message to main.
fn drive<V: 'static>(first: &Greenlet<V>, mut message: Message<V>) -> Message<V> {
    let family = first.0.family.clone();
    family.in_unwind.set(std::thread::panicking());
    let mut target = first.clone();
    loop {
        // Anew for each: the last handle of the former may have gone, and its destructors may have done anything.
        let (member, sent) = match target.receiver(message) {
            (None, message) => return message,
            (Some(member), message) => (member, message),
        };
        family.message.replace(Some(sent));
        let finished = member.resume();
        message = family.message.take().expect("a switch brings a message");
        let next = if finished {
            member.parent.borrow().clone()
        } else {
            family.next.take().map(Greenlet)
        };
        match next {
            Some(next) => target = next,
            None => return message.without_exit(),
        }
    }
}

impl<V: 'static> Member<V> {
    /// Gives it control, on top of main's stack, until it switches to another or ends. Whether it has ended.
    fn resume(&self) -> bool {
        let mut coroutine = match self.body.replace(Body::Running) {
            Body::Suspended(coroutine) => coroutine,
            Body::Unstarted(run) => self.begin(run),
            Body::Main | Body::Running | Body::Dead => {
                unreachable!("only suspended and unstarted greenlets are resumed")
            }
        };
        self.family.running.replace(Some(self.slot.clone()));
        let status = self.slot.nested.resume(&mut coroutine);
        self.family.running.replace(None);
        let finished = status == Status::Finished;
        let body = if finished {
            Body::Dead
        } else {
            Body::Suspended(coroutine)
        };
        drop(self.body.replace(body));
        finished
    }

    /// Gives it a stack.
    fn begin(&self, run: Box<dyn FnOnce(V) -> V>) -> Coroutine {
        let stack = match stack::reserve(stack::default_size()).and_then(stack::Reservation::claim) {
            Ok(stack) => stack,
            Err(error) => {
                self.body.replace(Body::Dead);
                panic!("iora: no stack for a raw greenlet: {error}");
            }
        };
        self.slot.nested.set_limit(stack.limit().get());
        let (family, slot) = (self.family.clone(), self.slot.clone());
        Coroutine::new(stack, move |suspender| {
            slot.suspender.set(Some(suspender));
            let result = catch_unwind(AssertUnwindSafe(|| run(slot.receive(&family))));
            slot.suspender.set(None);
            let message = slot.conclude(result);
            if slot.dropped.get() {
                // Nobody is there to be told.
                discard(message);
            } else {
                family.message.replace(Some(message));
            }
        })
    }
}

impl<V> Drop for Member<V> {
    fn drop(&mut self) {
        if let Body::Suspended(mut coroutine) = mem::replace(self.body.get_mut(), Body::Dead) {
            self.slot.dropped.set(true);
            // It is not the one that has control, so it cannot suspend any more: it ends.
            match self.slot.nested.resume(&mut coroutine) {
                Status::Finished => {}
                Status::Suspended => coroutine.leak(),
            }
        }
    }
}

impl<V> Clone for Greenlet<V> {
    fn clone(&self) -> Greenlet<V> {
        Greenlet(self.0.clone())
    }
}

impl<V> PartialEq for Greenlet<V> {
    fn eq(&self, other: &Greenlet<V>) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<V> Eq for Greenlet<V> {}

impl<V> fmt::Debug for Greenlet<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0.body.try_borrow().as_deref() {
            Ok(Body::Main) => "main",
            Ok(Body::Unstarted(_)) => "not begun",
            Ok(Body::Suspended(_)) => "suspended",
            Ok(Body::Running) | Err(_) => "running",
            Ok(Body::Dead) => "dead",
        };
        write!(f, "<raw::Greenlet: {state}>")
    }
}

impl fmt::Display for ParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a greenlet's parent is another one of its family that does not descend from it")
    }
}

impl Error for ParentError {}
