//! Whose turn it is: greenlets run in the order in which they became ready, from whichever stack the loop resumes them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use iora::queue::Queue;
use iora::sync::Event;
use iora::{Exit, Generator, Greenlet, Yielder};
use proptest::prelude::*;

/// How many queues there are.
const QUEUES: usize = 3;

/// What a greenlet does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Yield,
    Put(usize),
    Get(usize),
    /// Spawns the greenlet with the next script, as long as there is one.
    Spawn,
    /// Parks for a moment on top of its stack, in a generator.
    YieldInGenerator,
}

/// Who did which of its steps.
type Log = Vec<(usize, usize)>;

/// What the runtime has to do, in a few lines.
#[derive(Default)]
struct Model {
    /// The next step of each greenlet.
    steps: Vec<usize>,
    ready: VecDeque<usize>,
    items: [usize; QUEUES],
    getters: [VecDeque<usize>; QUEUES],
    log: Log,
}

impl Model {
    fn spawn(&mut self, scripts: usize) {
        if self.steps.len() < scripts {
            self.ready.push_back(self.steps.len());
            self.steps.push(0);
        }
    }

    /// Runs the scripts, of which so many have greenlets at once.
    fn run(scripts: &[Vec<Step>], at_once: usize) -> Log {
        let mut model = Model::default();
        (0..at_once).for_each(|_| model.spawn(scripts.len()));
        while let Some(me) = model.ready.pop_front() {
            while let Some(step) = scripts[me].get(model.steps[me]) {
                model.log.push((me, model.steps[me]));
                model.steps[me] += 1;
                match *step {
                    Step::Yield | Step::YieldInGenerator => {
                        model.ready.push_back(me);
                        break;
                    }
                    Step::Put(queue) => match model.getters[queue].pop_front() {
                        Some(getter) => model.ready.push_back(getter),
                        None => model.items[queue] += 1,
                    },
                    Step::Get(queue) if model.items[queue] > 0 => model.items[queue] -= 1,
                    Step::Get(queue) => {
                        model.getters[queue].push_back(me);
                        break;
                    }
                    Step::Spawn => model.spawn(scripts.len()),
                }
            }
        }
        model.log
    }
}

/// What the greenlets of a run share.
struct Run {
    scripts: Vec<Vec<Step>>,
    queues: [Queue<()>; QUEUES],
    greenlets: RefCell<Vec<Greenlet<()>>>,
    log: RefCell<Log>,
}

impl Run {
    fn spawn(self: &Rc<Run>) {
        let me = self.greenlets.borrow().len();
        if me < self.scripts.len() {
            let run = Rc::clone(self);
            let greenlet = iora::spawn(move || run.follow(me));
            self.greenlets.borrow_mut().push(greenlet);
        }
    }

    fn follow(self: Rc<Run>, me: usize) {
        for (number, step) in self.scripts[me].iter().enumerate() {
            self.log.borrow_mut().push((me, number));
            match *step {
                Step::Yield => iora::yield_now(),
                Step::YieldInGenerator => {
                    let mut generator = Generator::new(|hand: &Yielder<(), ()>, ()| {
                        iora::yield_now();
                        hand.give(());
                    });
                    assert_eq!(generator.next(), Some(()));
                }
                Step::Put(queue) => self.queues[queue].put(()).unwrap(),
                Step::Get(queue) => self.queues[queue].get().unwrap(),
                Step::Spawn => self.spawn(),
            }
        }
    }

    /// What was done, until nobody can do any more.
    fn result(scripts: &[Vec<Step>], at_once: usize) -> Log {
        let run = Rc::new(Run {
            scripts: scripts.to_vec(),
            queues: Default::default(),
            greenlets: RefCell::default(),
            log: RefCell::default(),
        });
        (0..at_once).for_each(|_| run.spawn());
        // Whoever is ready runs between two yields of this stack.
        let mut done = usize::MAX;
        while std::mem::replace(&mut done, run.log.borrow().len()) != run.log.borrow().len() || !run.is_quiet() {
            iora::yield_now();
        }
        let greenlets = run.greenlets.take();
        iora::killall(&greenlets, None);
        run.log.take()
    }

    /// Whether everybody has ended or waits in a queue.
    fn is_quiet(&self) -> bool {
        let waits = |greenlet: &Greenlet<()>| greenlet.ready() || format!("{greenlet:?}").contains("parked in get");
        self.greenlets.borrow().iter().all(waits)
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Yield),
        3 => (0..QUEUES).prop_map(Step::Put),
        3 => (0..QUEUES).prop_map(Step::Get),
        1 => Just(Step::Spawn),
        1 => Just(Step::YieldInGenerator),
    ]
}

proptest! {
    #[test]
    fn everybody_runs_in_the_order_of_becoming_ready(
        scripts in prop::collection::vec(prop::collection::vec(step(), 0..20), 1..12),
        at_once in 1_usize..8,
    ) {
        prop_assert_eq!(Run::result(&scripts, at_once), Model::run(&scripts, at_once));
    }
}

/// Two that wake each other, so that one runs from the other's stack.
fn pair<T: 'static>(
    one: impl FnOnce(Rc<Event>, Rc<Event>) -> T + 'static,
    other: impl FnOnce(Rc<Event>, Rc<Event>) + 'static,
) -> (Greenlet<T>, Greenlet<()>) {
    let (to, from) = (Rc::new(Event::new()), Rc::new(Event::new()));
    let (there, back) = (Rc::clone(&to), Rc::clone(&from));
    let lender = iora::spawn(move || one(to, from));
    // It has begun, so it can run from a borrowed stack.
    let borrower = iora::spawn(move || {
        iora::yield_now();
        other(there, back);
    });
    (lender, borrower)
}

#[test]
fn one_that_ends_on_a_borrowed_stack_is_cleared_away_and_the_lender_goes_on() {
    /// Says when it is dropped.
    struct Told(Rc<Cell<bool>>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let told = Told(Rc::clone(&dropped));
    let (lender, borrower) = pair(
        |_, from| {
            iora::yield_now();
            from.wait();
            7
        },
        move |_, from| {
            let _told = told;
            from.set();
        },
    );
    assert_eq!(lender.get().unwrap(), 7);
    assert!(borrower.ready() && dropped.get());
}

#[test]
fn a_panic_on_a_borrowed_stack_is_the_borrowers_alone() {
    let (lender, borrower) = pair(
        |to, from| {
            iora::yield_now();
            to.set();
            assert!(!from.wait_timeout(std::time::Duration::from_millis(5)));
            7
        },
        |to, _| {
            to.wait();
            panic!("on purpose");
        },
    );
    assert_eq!(lender.get().unwrap(), 7);
    assert!(matches!(borrower.get(), Err(Exit::Panicked(_))));
}

#[test]
fn a_lender_can_be_killed_by_who_runs_on_its_stack() {
    let lender = Rc::new(RefCell::new(None::<Greenlet<()>>));
    let victim = Rc::clone(&lender);
    let (greenlet, borrower) = pair(
        |_, from| {
            iora::yield_now();
            from.wait();
        },
        move |_, _| {
            let victim = victim.borrow_mut().take().unwrap();
            victim.kill();
            assert!(matches!(victim.get(), Err(Exit::Killed)));
        },
    );
    *lender.borrow_mut() = Some(greenlet);
    borrower.get().unwrap();
}

#[test]
fn a_lender_that_ends_leaves_who_ran_on_its_stack_parked() {
    let (lender, borrower) = pair(
        |to, from| {
            iora::yield_now();
            from.wait();
            to.set();
        },
        |to, from| {
            from.set();
            to.wait();
            iora::sleep(std::time::Duration::from_millis(1));
        },
    );
    lender.get().unwrap();
    borrower.get().unwrap();
}

#[test]
fn errno_stays_ones_own_on_whose_stack_ever_the_loop_is() {
    let greenlets = [("/a name that is not there", 2), ("/dev/null/x", 20)].map(|(name, errno)| {
        iora::spawn(move || {
            for _ in 0..4 {
                std::fs::metadata(name).unwrap_err();
                iora::yield_now();
                assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(errno));
            }
        })
    });
    for greenlet in greenlets {
        greenlet.get().unwrap();
    }
}

#[test]
fn who_only_yields_is_killed_at_its_next_turn_on_whose_stack_ever_the_loop_is() {
    for begins_first in [true, false] {
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let yields = move || {
            loop {
                counted.set(counted.get() + 1);
                iora::yield_now();
            }
        };
        let early = begins_first.then(|| iora::spawn(yields.clone()));
        let (hand, taken) = (Rc::new(RefCell::new(None::<Greenlet<()>>)), Rc::clone(&turns));
        let victim = Rc::clone(&hand);
        let killer = iora::spawn(move || {
            (0..5).for_each(|_| iora::yield_now());
            let victim = victim.borrow_mut().take().unwrap();
            let before = taken.get();
            assert!(before >= 4);
            victim.kill_nowait();
            iora::yield_now();
            assert!(victim.ready(), "it had its turn");
            assert_eq!(taken.get(), before);
        });
        *hand.borrow_mut() = Some(early.unwrap_or_else(|| iora::spawn(yields)));
        killer.get().unwrap();
    }
}
