//! gevent's behaviours of waiting for many things, by their numbers, and promises of `wait` that have none.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iora::sync::{AsyncResult, Event, Semaphore};
use iora::{Ending, Waitable};

const LONG: Duration = Duration::from_secs(3600);

/// The places of what was ready.
fn places<W: ?Sized>(ready: Vec<(usize, &W)>) -> Vec<usize> {
    ready.into_iter().map(|(index, _)| index).collect()
}

#[test]
fn g011_an_iwait_may_be_dropped_half_consumed_and_leaves_no_trace() {
    let events = [const { Event::new() }; 3].map(Rc::new);
    let mut iterator = iora::iwait(&events, None);
    events[2].set();
    assert_eq!(iterator.next().map(|(index, _)| index), Some(2));
    drop(iterator);
    // What is left behind would be woken here, and the event would be kept alive by it.
    events[0].set();
    assert!(events.iter().all(|event| Rc::strong_count(event) == 1));
    assert_eq!(places(iora::wait(&events[..1], None)), [0]);
    // It is an iterator already, and one that is never asked waits for nothing.
    drop(iora::iwait(&events, LONG));
    // A killed one leaves no trace either: the permit is neither taken nor promised.
    let semaphore = Rc::new(Semaphore::new(0));
    let waiter = iora::spawn({
        let semaphore = semaphore.clone();
        move || iora::wait([&semaphore], None).len()
    });
    iora::yield_now();
    waiter.kill();
    assert_eq!(Rc::strong_count(&semaphore), 1);
    semaphore.release();
    assert!(semaphore.try_acquire());
}

#[test]
fn g018_joinall_or_raise_tells_the_earliest_failure_and_can_be_repeated() {
    let early = iora::spawn(|| panic!("early"));
    let late = iora::spawn_later(Duration::from_millis(2), || panic!("late"));
    let never = iora::spawn(|| iora::sleep(LONG));
    let jobs = [never, late, early];
    let error = iora::joinall_or_raise(&jobs, None).unwrap_err();
    assert_eq!((error.index(), error.panic_message()), (2, Some("early")));
    assert!(!jobs[0].ready() && !jobs[1].ready(), "it did not wait for the others");
    let again = iora::joinall_or_raise(&jobs[1..], None).unwrap_err();
    assert_eq!((again.index(), again.ending()), (1, Ending::Panicked));
    jobs[1].join();
    let error = iora::joinall_or_raise([&jobs[1]], None).unwrap_err();
    assert!(error.to_string().ends_with(": late"), "{error}");
    jobs[0].kill();
}

#[test]
fn g019_joinall_count_returns_after_the_first_even_if_it_failed() {
    let never = iora::spawn(|| iora::sleep(LONG));
    let broken = iora::spawn(|| panic!("broken"));
    let jobs = [never, broken];
    let first = iora::joinall_count(&jobs, 1, None);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].ending(), Some(Ending::Panicked));
    assert!(!jobs[0].ready());
    jobs[0].kill();
}

#[test]
fn g020_a_joinall_that_times_out_returns_those_that_ended() {
    let jobs = [LONG, Duration::ZERO].map(|time| iora::spawn(move || iora::sleep(time)));
    let ended = iora::joinall(&jobs, Duration::from_millis(2));
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].id(), jobs[1].id());
    let none: [iora::Greenlet<()>; 0] = [];
    assert!(iora::joinall(&none, None).is_empty());
    assert!(iora::joinall_count(&jobs, 0, None).is_empty());
    jobs[0].kill();
}

#[test]
fn g050_a_set_event_can_be_waited_for_twice() {
    let event = Event::new();
    event.set();
    for _ in 0..2 {
        assert_eq!(places(iora::wait([&event], None)), [0]);
    }
    assert_eq!(places(iora::wait([&event, &event], None)), [0, 1]);
}

#[test]
fn g052_a_wait_counts_what_is_ready_in_the_order_in_which_it_became_so() {
    let events: [Rc<Event>; 3] = std::array::from_fn(|_| Rc::default());
    let setter = iora::spawn({
        let events = events.clone();
        move || {
            for event in [&events[1], &events[0], &events[2]] {
                event.set();
                iora::sleep(Duration::from_millis(1));
            }
        }
    });
    assert_eq!(places(iora::wait_count(&events, 1, None)), [1]);
    assert_eq!(places(iora::wait_count(&events, 2, None)), [1, 0]);
    let mut all = places(iora::wait(&events, None));
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
    setter.join();
    assert!(iora::wait(&[] as &[Event], None).is_empty());
}

#[test]
fn g052_a_wait_that_times_out_returns_what_was_ready() {
    let (set, clear) = (Event::new(), Event::new());
    set.set();
    let start = Instant::now();
    assert_eq!(places(iora::wait([&clear, &set], Duration::from_millis(3))), [1]);
    assert!(start.elapsed() >= Duration::from_millis(3));
    let outer = iora::timeout(Duration::from_millis(1), || iora::wait([&clear], LONG).len());
    outer.unwrap_err();
}

#[test]
fn g066_a_semaphore_can_be_waited_for_and_is_not_acquired() {
    let semaphore = Rc::new(Semaphore::new(0));
    assert!(iora::wait([&semaphore], Duration::from_millis(1)).is_empty());
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let semaphore = semaphore.clone();
            iora::spawn(move || iora::wait([&semaphore], None).len())
        })
        .collect();
    iora::yield_now();
    semaphore.release();
    for waiter in waiters {
        assert_eq!(waiter.get().unwrap(), 1);
    }
    assert_eq!(semaphore.permits(), 1);
}

#[test]
fn a_permit_that_belongs_to_somebody_tells_nobody() {
    let semaphore = Rc::new(Semaphore::new(0));
    let owner = iora::spawn({
        let semaphore = semaphore.clone();
        move || semaphore.acquire()
    });
    let watcher = iora::spawn({
        let semaphore = semaphore.clone();
        move || iora::wait([&semaphore], Duration::from_millis(2)).len()
    });
    iora::yield_now();
    semaphore.release();
    owner.join();
    assert_eq!(watcher.get().unwrap(), 0);
}

#[test]
fn a_mixture_comes_in_the_order_of_readiness() {
    let (event, result, semaphore) = (Rc::new(Event::new()), AsyncResult::new(), Rc::new(Semaphore::new(0)));
    let order = Rc::new(RefCell::new(Vec::new()));
    let job = iora::spawn({
        let (event, result, semaphore) = (event.clone(), result.clone(), semaphore.clone());
        move || {
            semaphore.release();
            iora::yield_now();
            result.set(7).unwrap();
            iora::yield_now();
            event.set();
            event.clear(); // it was set while it was waited for
        }
    });
    let mixture: [&dyn Waitable; 4] = [&job, &event, &result, &semaphore];
    for (index, _) in iora::iwait(mixture, LONG) {
        order.borrow_mut().push(index);
    }
    assert_eq!(*order.borrow(), [3, 2, 1, 0]);
}

#[test]
fn threads_without_and_with_hubs_make_things_ready() {
    const EACH: usize = 200;
    let events: Vec<Arc<Event>> = (0..EACH).map(|_| Arc::default()).collect();
    let results: Vec<AsyncResult<usize>> = (0..EACH).map(|_| AsyncResult::new()).collect();
    let plain = std::thread::spawn({
        let events = events.clone();
        move || events.iter().for_each(|event| event.set())
    });
    let hub = std::thread::spawn({
        let results = results.clone();
        move || {
            let setter = iora::spawn(move || {
                for (number, result) in results.iter().enumerate() {
                    result.set(number).unwrap();
                    iora::yield_now();
                }
            });
            setter.join();
        }
    });
    let waiter = iora::spawn(move || {
        let mixture = (events.iter().map(|event| event as &dyn Waitable))
            .chain(results.iter().map(|result| result as &dyn Waitable));
        iora::wait(mixture, None).len()
    });
    assert_eq!(waiter.get().unwrap(), 2 * EACH);
    plain.join().unwrap();
    hub.join().unwrap();
}
