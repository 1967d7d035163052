//! The machinery of raw greenlets.
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
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

use crate::coroutine::{Coroutine, Status, Suspender};
use crate::greenlet::nested::Nested;
use crate::hub::interrupt::discard;

/// Unwinds a greenlet whose last handle was dropped.
struct Dropped;

/// Unwinds a greenlet that was told to exit; the value is in its slot.
struct Exiting;

/// What a switch brings along.
pub(super) enum Message<V> {
    /// A value.
    Value(V),
    /// To be raised.
    Throw(Box<dyn Any + Send>),
    /// To end with.
    Exit(V),
}

/// What the greenlets of one family share.
pub(super) struct Family<V> {
    /// Invariant 1.
    pub(super) running: RefCell<Option<Rc<Slot<V>>>>,
    /// Invariant 3.
    message: RefCell<Option<Message<V>>>,
    /// Invariant 3; `None` for main.
    next: RefCell<Option<Rc<Member<V>>>>,
    /// Main was unwinding when it switched.
    in_unwind: Cell<bool>,
}

/// What a greenlet's own stack knows of it.
pub(super) struct Slot<V> {
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
pub(super) enum Body<V> {
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
pub(super) struct Member<V> {
    /// Whom it may switch to.
    pub(super) family: Rc<Family<V>>,
    /// Who gets what comes of it; `None` only for main.
    pub(super) parent: RefCell<Option<Rc<Member<V>>>>,
    /// What there is of it.
    pub(super) body: RefCell<Body<V>>,
    /// Shared with its stack.
    pub(super) slot: Rc<Slot<V>>,
}

impl<V: 'static> Member<V> {
    /// The main greenlet of a new family.
    pub(super) fn main() -> Rc<Member<V>> {
        let family = Rc::new(Family {
            running: RefCell::new(None),
            message: RefCell::new(None),
            next: RefCell::new(None),
            in_unwind: Cell::new(false),
        });
        Member::new(family, None, Body::Main)
    }

    /// One more of a family.
    #[track_caller]
    pub(super) fn new(family: Rc<Family<V>>, parent: Option<Rc<Member<V>>>, body: Body<V>) -> Rc<Member<V>> {
        Rc::new(Member {
            family,
            parent: RefCell::new(parent),
            body: RefCell::new(body),
            slot: Rc::new(Slot {
                suspender: Cell::new(None),
                nested: Nested::new("a raw greenlet", Location::caller()),
                exit: RefCell::new(None),
                dropped: Cell::new(false),
            }),
        })
    }

    /// Switches to it with a message.
    pub(super) fn send(self: &Rc<Self>, message: Message<V>) -> V {
        let family = &self.family;
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
    fn receiver(self: &Rc<Self>, mut message: Message<V>) -> (Option<Rc<Member<V>>>, Message<V>) {
        let mut member = self.clone();
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
            member = parent.expect("only main has no parent");
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
fn drive<V: 'static>(first: &Rc<Member<V>>, mut message: Message<V>) -> Message<V> {
    let family = first.family.clone();
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
            family.next.take()
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
        let stack = match self.slot.nested.claim() {
            Ok(stack) => stack,
            Err(error) => {
                self.body.replace(Body::Dead);
                panic!("iora: no stack for a raw greenlet: {error}");
            }
        };
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
            if cfg!(panic = "abort") {
                // It cannot be unwound.
                return coroutine.leak();
            }
            self.slot.dropped.set(true);
            // It is not the one that has control, so it cannot suspend any more: it ends.
            match self.slot.nested.resume(&mut coroutine) {
                Status::Finished => {}
                Status::Suspended => coroutine.leak(),
            }
        }
    }
}
