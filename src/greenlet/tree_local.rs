//! Variables that a greenlet shares with all that descend from it.
//!
//! The values hang on the tree, which its greenlets keep alive; a thread's own stack keeps its values in a thread-local.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::hub::spawn;

/// The values of one tree, by the numbers of the variables.
type Values = HashMap<usize, Rc<dyn Any>>;

thread_local! {
    /// The values of the thread's own stack.
    static ROOT: RefCell<Values> = RefCell::default();
}

/// A variable of which every tree of greenlets has its own value.
///
/// A greenlet that is spawned by a thread's own stack (so by `main`), or on the hub of another thread, is the root of a tree; what
/// a greenlet spawns on its own hub belongs to its tree. A thread's own stack has a value of its own, which it does not share. The
/// value is made at its first use anywhere in the tree and dropped with the last greenlet of the tree.
///
/// For a value that each greenlet has for itself see [`Local`](crate::Local).
///
/// ```
/// use std::cell::RefCell;
///
/// static REQUEST: iora::TreeLocal<RefCell<String>> = iora::TreeLocal::new(RefCell::default);
///
/// let serve = |name: &'static str| {
///     iora::spawn(move || {
///         REQUEST.with(|request| request.replace(name.to_owned()));
///         let helper = iora::spawn(|| REQUEST.with(|request| request.borrow().clone()));
///         helper.get().unwrap()
///     })
/// };
/// let (first, second) = (serve("first"), serve("second"));
/// assert_eq!(first.get().unwrap(), "first");
/// assert_eq!(second.get().unwrap(), "second");
/// ```
pub struct TreeLocal<T: 'static> {
    /// Names the variable in every tree; zero until its first use.
    number: AtomicUsize,
    /// Makes the value of a tree that has none.
    init: fn() -> T,
}

impl<T: 'static> TreeLocal<T> {
    /// A variable whose value in each tree is first made by `init`.
    pub const fn new(init: fn() -> T) -> TreeLocal<T> {
        TreeLocal {
            number: AtomicUsize::new(0),
            init,
        }
    }

    /// Calls `f` with the value of the calling greenlet's tree. `f` may park.
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let number = self.number();
        let value = with_values(|values| values.get(&number).cloned());
        let value = value.unwrap_or_else(|| {
            // Not under the borrow: `init` may use other variables, or park while a relative makes the value.
            let made: Rc<dyn Any> = Rc::new((self.init)());
            with_values(|values| values.entry(number).or_insert_with(|| made.clone()).clone())
        });
        f(value.downcast_ref().expect("a variable's number is its own"))
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

impl<T: 'static> fmt::Debug for TreeLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeLocal").finish_non_exhaustive()
    }
}

/// Calls `f` with the values of the caller's tree. `f` must not use variables.
fn with_values<R>(f: impl FnOnce(&mut Values) -> R) -> R {
    let Some(tree) = spawn::current_tree() else {
        return ROOT.with(|values| f(&mut values.borrow_mut()));
    };
    let mut values = tree.values.borrow_mut();
    let values = values.get_or_insert_with(|| Box::new(Values::new()));
    f(values.downcast_mut().expect("only `TreeLocal` keeps values here"))
}
