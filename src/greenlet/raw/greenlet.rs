//! Handles of raw greenlets.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use super::member::{Body, Member, Message};

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
        Greenlet(Member::main())
    }

    /// A greenlet that will call `run` with the first value that is switched to it; `parent` gets what comes of it.
    #[track_caller]
    pub fn new(parent: &Greenlet<V>, run: impl FnOnce(V) -> V + 'static) -> Greenlet<V> {
        let family = parent.0.family.clone();
        Greenlet(Member::new(
            family,
            Some(parent.0.clone()),
            Body::Unstarted(Box::new(run)),
        ))
    }

    /// Switches to this greenlet, which gets `value`: from its own `switch`, or as its function's argument. Returns when
    /// somebody switches to the caller, with the value that comes along.
    ///
    /// # Panics
    ///
    /// With the panic of a greenlet whose parent is the caller. When it is called on another stack than that of the greenlet that
    /// has control of the family, or by a destructor while that one unwinds (which is not noticed if main unwinds too, as with
    /// [`Yielder::give`](crate::Yielder::give)). When there is no memory for the stack of one that begins.
    pub fn switch(&self, value: V) -> V {
        self.0.send(Message::Value(value))
    }

    /// As [`switch`](Self::switch), but raises `payload` in this greenlet, from its `switch`, as an unwind. One that has not begun
    /// dies of it: it goes to the parent.
    ///
    /// # Panics
    ///
    /// As [`switch`](Self::switch).
    pub fn throw(&self, payload: Box<dyn Any + Send>) -> V {
        self.0.send(Message::Throw(payload))
    }

    /// As [`switch`](Self::switch), but unwinds this greenlet from its `switch`: if it does not catch that, it ends as if it had
    /// returned `value`. One that has not begun, or is dead, gives `value` to its parent at once.
    ///
    /// # Panics
    ///
    /// As [`switch`](Self::switch).
    pub fn exit(&self, value: V) -> V {
        self.0.send(Message::Exit(value))
    }

    /// Who gets what comes of it; `None` for main.
    pub fn parent(&self) -> Option<Greenlet<V>> {
        self.0.parent.borrow().clone().map(Greenlet)
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
        let former = self.0.parent.replace(Some(parent.0.clone()));
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
