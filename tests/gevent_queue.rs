//! gevent's behaviours of queues and channels, by their numbers.

use iora::Greenlet;
use iora::queue::{
    Channel, GetError, GetTimeoutError, LifoQueue, PriorityQueue, PutError, PutTimeoutError, Queue, SimpleQueue,
    TryGetError, TryPutError,
};
use iora::sync::{AsyncResult, Event, Select, Semaphore};
use iora::threadpool::{JobHandle, ThreadPool};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn g054_try_put_beyond_the_bound_is_full() {
    let queue = Queue::bounded(1);
    assert_eq!(queue.try_put(1), Ok(()));
    assert_eq!(queue.try_put(2), Err(TryPutError::Full(2)));
}

#[test]
fn g055_try_put_and_try_get_let_waiting_peers_go() {
    let queue = Rc::new(Queue::bounded(1));
    let there = queue.clone();
    let getter = iora::spawn(move || there.get());
    iora::yield_now();
    queue.try_put(1).unwrap();
    assert_eq!(getter.get().unwrap(), Ok(1));
    queue.put(2).unwrap();
    let there = queue.clone();
    let putter = iora::spawn(move || there.put(3));
    iora::yield_now();
    assert_eq!(queue.try_get(), Ok(2));
    assert_eq!(putter.get().unwrap(), Ok(()));
    assert_eq!(queue.try_get(), Ok(3));
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
}

#[test]
fn g056_getters_and_putters_are_served_in_order_and_the_third_put_waits() {
    let (queue, log) = (Rc::new(Queue::bounded(2)), Rc::new(RefCell::new(Vec::new())));
    let (there, logged) = (queue.clone(), log.clone());
    let putter = iora::spawn(move || {
        for item in 1..=3 {
            there.put(item).unwrap();
            logged.borrow_mut().push(item);
        }
    });
    iora::yield_now();
    assert_eq!(*log.borrow(), [1, 2]);
    assert_eq!(queue.get(), Ok(1));
    putter.get().unwrap();
    assert_eq!(*log.borrow(), [1, 2, 3]);
    assert_eq!((queue.get(), queue.get()), (Ok(2), Ok(3)));

    let getters: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            iora::spawn(move || queue.get())
        })
        .collect();
    iora::yield_now();
    (0..4).for_each(|item| queue.put(item).unwrap());
    for (item, getter) in getters.into_iter().enumerate() {
        assert_eq!(getter.get().unwrap(), Ok(item));
    }
}

#[test]
fn g057_a_getter_that_times_out_or_is_killed_loses_no_item() {
    let queue = Rc::new(Queue::new());
    let getter = |queue: &Rc<Queue<u32>>| {
        let queue = queue.clone();
        iora::spawn(move || queue.get())
    };
    assert_eq!(
        queue.get_timeout(Duration::from_millis(1)),
        Err(GetTimeoutError::TimedOut)
    );
    iora::timeout(Duration::from_millis(1), || queue.get()).unwrap_err();
    let (killed, heir) = (getter(&queue), getter(&queue));
    iora::yield_now();
    queue.put(1).unwrap(); // in the hand of the first one, which never runs again
    killed.kill();
    assert_eq!(heir.get().unwrap(), Ok(1));
    let killed = getter(&queue);
    iora::yield_now();
    queue.put(2).unwrap();
    queue.put(3).unwrap();
    killed.kill();
    assert_eq!((queue.get(), queue.get()), (Ok(2), Ok(3)));
}

#[test]
fn g057_a_putter_that_is_killed_leaves_nothing_behind() {
    let queue = Rc::new(Queue::bounded(1));
    queue.put(1).unwrap();
    let there = queue.clone();
    let killed = iora::spawn(move || there.put(2));
    iora::yield_now();
    killed.kill();
    assert_eq!(queue.get(), Ok(1));
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
}

#[test]
fn g058_a_peek_waits_and_takes_nothing_away() {
    let queue = Rc::new(Queue::new());
    assert_eq!(queue.try_peek(), Err(TryGetError::Empty));
    assert_eq!(
        queue.peek_timeout(Duration::from_millis(1)),
        Err(GetTimeoutError::TimedOut)
    );
    iora::timeout(Duration::from_millis(1), || queue.peek()).unwrap_err();
    let peeker = |queue: &Rc<Queue<u32>>| {
        let queue = queue.clone();
        iora::spawn(move || queue.peek())
    };
    let (first, killed, second) = (peeker(&queue), peeker(&queue), peeker(&queue));
    let there = queue.clone();
    let getter = iora::spawn(move || there.get());
    iora::yield_now();
    queue.put(1).unwrap();
    killed.kill();
    assert_eq!((first.get().unwrap(), second.get().unwrap()), (Ok(1), Ok(1)));
    assert_eq!(getter.get().unwrap(), Ok(1));
    queue.put(2).unwrap();
    assert_eq!((queue.peek(), queue.try_peek(), queue.len()), (Ok(2), Ok(2), 1));
    queue.close();
    assert_eq!((queue.peek(), queue.get(), queue.peek()), (Ok(2), Ok(2), Err(GetError)));
}

#[test]
fn g059_iteration_ends_when_the_queue_is_closed() {
    let queue = Rc::new(Queue::new());
    let there = queue.clone();
    let reader = iora::spawn(move || there.iter().sum::<u32>());
    (1..=4).for_each(|item| queue.put(item).unwrap());
    queue.close();
    assert_eq!(reader.get().unwrap(), 10);
}

#[test]
fn g060_a_bounded_queue_has_room() {
    catch_unwind(|| Queue::<u8>::bounded(0)).unwrap_err();
    catch_unwind(|| SimpleQueue::<u8>::bounded(0)).unwrap_err();
}

#[test]
fn g061_a_put_into_a_channel_waits_until_it_is_got() {
    let (channel, log) = (Rc::new(Channel::new()), Rc::new(RefCell::new(Vec::new())));
    let (there, logged) = (channel.clone(), log.clone());
    let putter = iora::spawn(move || {
        logged.borrow_mut().push("sending");
        there.put("hello").unwrap();
        logged.borrow_mut().push("sent hello");
        there.put("world").unwrap();
        logged.borrow_mut().push("sent world");
    });
    iora::yield_now();
    assert!(channel.is_empty() && channel.is_full());
    for _ in 0..2 {
        let item = channel.get().unwrap();
        log.borrow_mut().push(item);
        iora::yield_now();
    }
    putter.get().unwrap();
    assert_eq!(*log.borrow(), ["sending", "hello", "sent hello", "world", "sent world"]);
}

#[test]
fn g062_task_done_too_often_panics_and_join_waits_for_all() {
    let queue = Rc::new(Queue::new());
    queue.join();
    let joiners: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            queue.put(()).unwrap();
            iora::spawn(move || queue.join())
        })
        .collect();
    iora::yield_now();
    for _ in 0..2 {
        assert!(joiners.iter().all(|joiner| !joiner.ready()));
        queue.get().unwrap();
        queue.task_done();
    }
    iora::joinall(&joiners, None);
    catch_unwind(AssertUnwindSafe(|| queue.task_done())).unwrap_err();
}

#[test]
fn g063_close_drains_and_close_now_drops() {
    let queue = Rc::new(Queue::bounded(1));
    queue.put(1).unwrap();
    let there = queue.clone();
    let putter = iora::spawn(move || there.put(2));
    iora::yield_now();
    queue.close();
    assert_eq!(putter.get().unwrap(), Err(PutError(2)));
    assert_eq!(queue.put(3), Err(PutError(3)));
    assert_eq!(queue.get(), Ok(1));
    assert_eq!(queue.get(), Err(GetError));

    let queue = Rc::new(Queue::new());
    queue.put(1).unwrap();
    let there = queue.clone();
    let joiner = iora::spawn(move || there.join());
    iora::yield_now();
    assert!(!joiner.ready());
    queue.close_now();
    joiner.get().unwrap();
    assert_eq!(queue.get(), Err(GetError));
}

#[test]
fn g063_shutdown_is_gevents_word_for_both() {
    let queue = Rc::new(LifoQueue::new());
    (1..=2).for_each(|item| queue.put(item).unwrap());
    queue.shutdown(false);
    assert_eq!(queue.put(3), Err(PutError(3)));
    assert_eq!((queue.get(), queue.get(), queue.get()), (Ok(2), Ok(1), Err(GetError)));

    let queue = Rc::new(PriorityQueue::bounded(1));
    queue.put(1).unwrap();
    let (putting, joining) = (queue.clone(), queue.clone());
    let putter = iora::spawn(move || putting.put(2));
    let joiner = iora::spawn(move || joining.join());
    iora::yield_now();
    queue.shutdown(true);
    assert_eq!(putter.get().unwrap(), Err(PutError(2)));
    joiner.get().unwrap();
    assert_eq!((queue.get(), queue.is_empty()), (Err(GetError), true));
}

#[test]
fn g064_own_timeouts_are_errors_and_a_surrounding_one_is_not_converted() {
    let queue = Queue::bounded(1);
    assert_eq!(queue.get_timeout(Duration::ZERO), Err(GetTimeoutError::TimedOut));
    iora::timeout(Duration::from_millis(1), || queue.get_timeout(LONG)).unwrap_err();
    queue.put(1).unwrap();
    assert_eq!(queue.put_timeout(2, Duration::ZERO), Err(PutTimeoutError::TimedOut(2)));
    iora::timeout(Duration::from_millis(1), || queue.put_timeout(2, LONG)).unwrap_err();
    assert_eq!(queue.len(), 1);
}

/// Which of two queues an item comes from.
fn one_of(first: &Queue<u32>, second: &Queue<u32>) -> u32 {
    Select::new()
        .case(first.getting(), |item| item.unwrap())
        .case(second.getting(), |item| item.unwrap())
        .wait()
}

#[test]
fn a_selection_takes_one_of_what_is_there_and_is_fair_or_biased_by_choice() {
    let (first, second) = (Queue::new(), Queue::new());
    for _ in 0..100 {
        first.put(1).unwrap();
        second.put(2).unwrap();
    }
    let taken: Vec<_> = (0..100).map(|_| one_of(&first, &second)).collect();
    assert_eq!(first.len() + second.len(), 100);
    let from_first = taken.iter().filter(|item| **item == 1).count();
    assert!((20..=80).contains(&from_first), "{from_first} of 100");
    let biased = || {
        Select::new()
            .case(second.getting(), |item| item.unwrap())
            .case(first.getting(), |item| item.unwrap())
            .biased()
            .try_wait()
    };
    let left = second.len();
    assert!((0..left).all(|_| biased() == Some(2)));
    assert_eq!(biased(), Some(1));
}

#[test]
fn a_selection_waits_for_the_first_and_leaves_the_other_lines() {
    let (first, second) = (Rc::new(Queue::new()), Rc::new(Queue::new()));
    let (here, there) = (first.clone(), second.clone());
    let selection = iora::spawn(move || one_of(&here, &there));
    iora::yield_now();
    second.put(2).unwrap();
    first.put(1).unwrap(); // comes too late: it is still there afterwards
    assert_eq!(selection.get().unwrap(), 2);
    assert_eq!((first.try_get(), second.try_get()), (Ok(1), Err(TryGetError::Empty)));
}

#[test]
fn a_selection_that_is_killed_or_times_out_loses_no_item() {
    let (first, second) = (Rc::new(Queue::new()), Rc::new(Queue::new()));
    let selection = |first: &Rc<Queue<u32>>, second: &Rc<Queue<u32>>| {
        let (first, second) = (first.clone(), second.clone());
        iora::spawn(move || one_of(&first, &second))
    };
    let killed = selection(&first, &second);
    iora::yield_now();
    first.put(1).unwrap(); // granted, but it never runs
    killed.kill();
    assert_eq!(first.try_get(), Ok(1));
    let (killed, heir) = (selection(&first, &second), selection(&first, &second));
    iora::yield_now();
    second.put(2).unwrap();
    killed.kill();
    assert_eq!(heir.get().unwrap(), 2);
    let waited = Select::new()
        .case(first.getting(), |_| ())
        .wait_timeout(Duration::from_millis(1));
    assert_eq!(waited, None);
    iora::timeout(Duration::from_millis(1), || one_of(&first, &second)).unwrap_err();
    first.put(3).unwrap();
    assert_eq!((first.len(), second.len()), (1, 0));
}

#[test]
fn a_selection_puts_one_item_in_all_and_does_not_deal_with_itself() {
    let (first, second) = (Rc::new(Channel::new()), Rc::new(Channel::new()));
    let waited = Select::new()
        .case(first.putting(1), |_| "put")
        .case(first.getting(), |_| "got")
        .wait_timeout(Duration::from_millis(1));
    assert_eq!(waited, None);
    let (here, there) = (first.clone(), second.clone());
    let putter = iora::spawn(move || {
        Select::new()
            .case(here.putting(1), |put| put.map(|()| 1))
            .case(there.putting(2), |put| put.map(|()| 2))
            .wait()
    });
    iora::yield_now();
    assert_eq!(second.get(), Ok(2));
    assert_eq!(first.try_get(), Err(TryGetError::Empty));
    assert_eq!(putter.get().unwrap(), Ok(2));
    let there = first.clone();
    let closed = iora::spawn(move || Select::new().case(there.putting(3), |put| put).wait());
    iora::yield_now();
    first.close();
    assert_eq!(closed.get().unwrap(), Err(PutError(3)));
}

#[test]
fn a_selection_waits_for_events_and_permits_too() {
    let (event, semaphore) = (Rc::new(Event::new()), Rc::new(Semaphore::new(0)));
    let selection = || {
        let (event, semaphore) = (event.clone(), semaphore.clone());
        iora::spawn(move || {
            Select::new()
                .case(event.waiting(), |()| "event")
                .case(semaphore.acquiring(), |()| "permit")
                .wait()
        })
    };
    let (first, second) = (selection(), selection());
    iora::yield_now();
    semaphore.release();
    event.set();
    assert_eq!((first.get().unwrap(), second.get().unwrap()), ("permit", "event"));
    assert_eq!(semaphore.permits(), 0);
}

#[test]
fn a_selection_waits_for_results_and_the_ends_of_greenlets_and_jobs_too() {
    let (queue, result) = (Rc::new(Queue::<u32>::new()), AsyncResult::new());
    let select = |queue: &Queue<u32>, result: &AsyncResult<u32>, job: &Greenlet<()>, work: &JobHandle<()>| {
        Select::new()
            .case(queue.getting(), |item| item.unwrap())
            .case(result.waiting(), |value| *value)
            .case(job.joining(), |()| 100)
            .case(work.joining(), |()| 200)
            .wait()
    };
    let (job, go) = (iora::spawn(|| iora::sleep(LONG)), Arc::new(Event::new()));
    let (pool, gate) = (ThreadPool::new(1), go.clone());
    let work = Rc::new(pool.spawn(move || gate.wait()));
    let job = Rc::new(job);
    let selections: Vec<_> = (0..2)
        .map(|_| {
            let (queue, result, job, work) = (queue.clone(), result.clone(), job.clone(), work.clone());
            iora::spawn(move || select(&queue, &result, &job, &work))
        })
        .collect();
    iora::yield_now();
    result.set(7).unwrap();
    for selection in selections {
        assert_eq!(selection.get().unwrap(), 7, "each is told");
    }
    assert_eq!(select(&queue, &result, &job, &work), 7, "it stays");
    // Whichever is there wins over those that are not.
    let pending = AsyncResult::new();
    let selection = iora::spawn({
        let (queue, pending, job, work) = (queue.clone(), pending.clone(), job.clone(), work.clone());
        move || select(&queue, &pending, &job, &work)
    });
    iora::yield_now();
    job.kill();
    assert_eq!(selection.get().unwrap(), 100);
    let other = iora::spawn(|| iora::sleep(LONG));
    let waited = Select::new()
        .case(other.joining(), |()| ())
        .case(pending.waiting(), |_| ())
        .wait_timeout(Duration::from_millis(1));
    assert_eq!(waited, None);
    go.set();
    assert_eq!(select(&queue, &pending, &other, &work), 200);
    queue.put(8).unwrap();
    other.kill();
}

#[test]
fn two_that_always_succeed_starve_nobody() {
    let queue = Rc::new(Queue::bounded(1));
    let result = iora::timeout(Duration::from_millis(5), || {
        loop {
            queue.put(()).unwrap();
            queue.get().unwrap();
        }
    });
    result.unwrap_err();
}

/// Greenlets of two hubs and a plain thread pass items while greenlets are killed and time out: none is lost.
#[test]
fn nothing_is_lost_between_hubs_under_kills_and_timeouts() {
    const ITEMS: usize = 3_000;
    let queue = Arc::new(Queue::bounded(4));
    let got = Arc::new(Queue::new());
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (queue, got) = (queue.clone(), got.clone());
            std::thread::spawn(move || {
                while !(queue.is_closed() && queue.is_empty()) {
                    let jobs: Vec<_> = (0..3)
                        .map(|number| {
                            let (queue, got) = (queue.clone(), got.clone());
                            iora::spawn(move || {
                                for _ in 0..20 {
                                    let item = match number {
                                        0 => queue.get_timeout(Duration::from_micros(100)).ok(),
                                        _ => queue.get().ok(),
                                    };
                                    // Nothing here parks between the get and the put: no kill comes in between.
                                    if let Some(item) = item {
                                        got.try_put(item).unwrap();
                                    }
                                }
                            })
                        })
                        .collect();
                    iora::yield_now();
                    jobs[1].kill();
                    iora::joinall(&jobs, None);
                }
            })
        })
        .collect();
    let there = queue.clone();
    let plain = std::thread::spawn(move || (0..ITEMS).for_each(|item| there.put(item).unwrap()));
    let there = queue.clone();
    let green = iora::spawn(move || (ITEMS..2 * ITEMS).for_each(|item| there.put(item).unwrap()));
    green.get().unwrap();
    plain.join().unwrap();
    queue.close();
    consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
    got.close();
    let mut all: Vec<_> = got.iter().collect();
    all.sort();
    assert_eq!(all, (0..2 * ITEMS).collect::<Vec<_>>());
}
