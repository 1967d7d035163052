//! Greenlet-local storage: a variable of which every greenlet has its own value.
//!
//! The values live in a map that hangs on the greenlet's task and end with the greenlet, on its own stack. A thread's own
//! stack keeps its values in a thread-local, so they outlast its hub.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::hub::interrupt::discard;
use crate::hub::spawn;

/// A value of any type, shared with whoever is using it at the moment.
type Value = Rc<dyn Any>;

/// Makes a child's value from its parent's.
type Inherit = fn(&dyn Any) -> Value;

/// The values of one greenlet.
#[derive(Default)]
struct Values {
    /// By the number of the variable.
    values: HashMap<usize, Value>,
    /// Which of them a child gets, and how.
    inheritable: Vec<(usize, Inherit)>,
}

thread_local! {
    /// The values of the thread's own stack.
    static ROOT: RefCell<Values> = RefCell::default();
}

/// Somebody has had a value that children inherit. Set on the thread of whoever has one, so before any child of its is spawned.
static INHERITANCE: AtomicBool = AtomicBool::new(false);

/// A variable of which every greenlet, and every thread's own stack, has its own value.
///
/// Made with [`new`](Self::new), usually in a `static`. Each greenlet's value is made at its first use there and dropped
/// when the greenlet ends.
///
/// ```
/// use std::cell::Cell;
///
/// static DEPTH: iora::Local<Cell<u32>> = iora::Local::new(|| Cell::new(0));
///
/// DEPTH.with(|depth| depth.set(7));
/// let other = iora::spawn(|| DEPTH.with(|depth| depth.get()));
/// assert_eq!(other.get().unwrap(), 0);
/// assert_eq!(DEPTH.with(|depth| depth.get()), 7);
/// ```
pub struct Local<T: 'static> {
    /// Names the variable in every greenlet's map; zero until its first use.
    number: AtomicUsize,
    /// Makes the value of a greenlet that has none.
    init: fn() -> T,
    /// Makes the value of a child from its parent's, if children inherit.
    inherit: Option<Inherit>,
}

impl<T: 'static> Local<T> {
    /// A variable whose value in each greenlet is first made by `init`.
    pub const fn new(init: fn() -> T) -> Local<T> {
        Local {
            number: AtomicUsize::new(0),
            init,
            inherit: None,
        }
    }

    /// A variable whose value a spawned greenlet gets from a clone of its parent's, if that has one.
    pub const fn inherited(init: fn() -> T) -> Local<T>
    where
        T: Clone,
    {
        Local {
            number: AtomicUsize::new(0),
            init,
            inherit: Some(inherit::<T>),
        }
    }

    /// Calls `f` with the calling greenlet's value. `f` may park.
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let number = self.number();
        let value = with_values(|values| values.values.get(&number).cloned());
        let value = value.unwrap_or_else(|| {
            // Not under the borrow: `init` may use other variables.
            let made: Value = Rc::new((self.init)());
            // `init` may have used this very variable: the value that it made there goes, outside of the borrow.
            let former = with_values(|values| {
                let former = values.values.insert(number, made.clone());
                if let Some(inherit) = self.inherit.filter(|_| former.is_none()) {
                    INHERITANCE.store(true, Ordering::Relaxed);
                    values.inheritable.push((number, inherit));
                }
                former
            });
            drop(former);
            made
        });
        f(value.downcast_ref().expect("a variable's number is its own"))
    }

    /// Takes the calling greenlet's value away; the next use makes a new one. `None` if it has none, or if it is being
    /// used further up the stack.
    pub fn take(&self) -> Option<T> {
        let number = self.number();
        let value = with_values(|values| {
            values.inheritable.retain(|(other, _)| *other != number);
            values.values.remove(&number)
        })?;
        let value = value.downcast::<T>().ok()?;
        Rc::try_unwrap(value).ok()
    }

    /// The variable's number, given at its first use.
    fn number(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = self.number.load(Ordering::Relaxed);
        if number != 0 {
            return number;
        }
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        match self
            .number
            .compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => fresh,
            Err(number) => number,
        }
    }
}

impl<T: 'static> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// How a `Clone` value is inherited.
fn inherit<T: Clone + 'static>(value: &dyn Any) -> Value {
    let value: &T = value.downcast_ref().expect("a variable's number is its own");
    Rc::new(value.clone())
}

/// Calls `f` with the values of whoever runs.
fn with_values<R>(f: impl FnOnce(&mut Values) -> R) -> R {
    if spawn::in_greenlet() {
        let made = || -> Box<dyn Any> { Box::new(Values::default()) };
        let result = spawn::with_locals(made, |values| {
            f(values.downcast_mut().expect("only `Local` keeps values here"))
        });
        result.expect("a greenlet that runs has a task")
    } else {
        ROOT.with(|values| f(&mut values.borrow_mut()))
    }
}

/// Values that a child takes over from its parent.
pub(super) struct Inherited(Values);

impl Inherited {
    /// What a child of whoever runs inherits; `None`, at the cost of a look, if nothing.
    #[inline]
    pub(super) fn from_current() -> Option<Box<Inherited>> {
        if INHERITANCE.load(Ordering::Relaxed) {
            Inherited::list_of_current()
        } else {
            None
        }
    }

    /// The work of [`from_current`](Self::from_current).
    #[cold]
    fn list_of_current() -> Option<Box<Inherited>> {
        let list: Vec<(usize, Inherit, Value)> = if spawn::in_greenlet() {
            if !spawn::has_locals() {
                return None;
            }
            with_values(|values| values.inheritable())
        } else {
            ROOT.try_with(|values| values.borrow().inheritable()).ok()?
        };
        if list.is_empty() {
            return None;
        }
        let mut values = Values::default();
        for (number, inherit, value) in list {
            values.values.insert(number, inherit(&*value));
            values.inheritable.push((number, inherit));
        }
        Some(Box::new(Inherited(values)))
    }

    /// Makes them the values of the greenlet that runs.
    pub(super) fn install(self) {
        with_values(|values| *values = self.0);
    }
}

impl Values {
    /// The values that a child gets.
    fn inheritable(&self) -> Vec<(usize, Inherit, Value)> {
        let one = |(number, inherit): &(usize, Inherit)| Some((*number, *inherit, self.values.get(number)?.clone()));
        self.inheritable.iter().filter_map(one).collect()
    }
}

/// How often values of local variables are dropped that were made by the destructors of others.
const LOCAL_ROUNDS: u32 = 16;

/// Ends the values of local variables, on the greenlet's stack, whatever their destructors do. Returns the payload of the
/// first that unwound.
pub(super) fn drop_locals() -> Option<Box<dyn Any + Send>> {
    let mut first = None;
    for _ in 0..LOCAL_ROUNDS {
        let Some(locals) = spawn::take_locals() else {
            return first;
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(locals))) {
            match first {
                None => first = Some(payload),
                Some(_) => discard(payload),
            }
        }
    }
    // Each makes another one: the last is leaked.
    std::mem::forget(spawn::take_locals());
    first
}
