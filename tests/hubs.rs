//! Several hubs in a process.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iora::Exit;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_group_runs_what_it_is_given() {
    let hubs = iora::hubs(2).unwrap();
    let jobs: Vec<_> = (0..1000u64)
        .map(|n| {
            hubs.spawn(move || {
                iora::yield_now();
                n
            })
        })
        .collect();
    let sum: u64 = jobs.into_iter().map(|job| job.get().unwrap()).sum();
    assert_eq!(sum, 499_500);
}

#[test]
fn an_idle_hub_takes_over_what_has_not_begun() {
    let hubs = iora::hubs(2).unwrap();
    let stop = Arc::new(AtomicUsize::new(0));
    let blocking = stop.clone();
    // Keeps one of the hubs from running anything else.
    let greedy = hubs.spawn(move || {
        while blocking.load(Ordering::SeqCst) < 100 {
            thread::yield_now();
        }
        thread::current().id()
    });
    let jobs: Vec<_> = (0..100)
        .map(|_| {
            let stop = stop.clone();
            hubs.spawn(move || {
                stop.fetch_add(1, Ordering::SeqCst);
                thread::current().id()
            })
        })
        .collect();
    let threads: HashSet<_> = jobs.into_iter().map(|job| job.get().unwrap()).collect();
    assert!(!threads.contains(&greedy.get().unwrap()));
}

#[test]
fn a_chosen_hub_runs_it_on_its_thread() {
    let hubs = iora::hubs(3).unwrap();
    assert_eq!(hubs.len(), 3);
    let threads: HashSet<_> = hubs
        .handles()
        .iter()
        .map(|hub| hub.spawn(|| thread::current().id()).unwrap().get().unwrap())
        .collect();
    assert_eq!(threads.len(), 3);
}

#[test]
fn dropping_a_group_ends_its_greenlets() {
    let hubs = iora::hubs(2).unwrap();
    let handle = hubs.handles()[0].clone();
    let jobs: Vec<_> = (0..10).map(|_| hubs.spawn(|| iora::sleep(LONG))).collect();
    let started = hubs.spawn(|| ());
    started.join();
    drop(hubs);
    for job in jobs {
        assert!(matches!(job.get(), Err(Exit::Killed | Exit::Abandoned)));
    }
    let gone = handle.spawn(|| 7).unwrap_err();
    assert_eq!((gone.0)(), 7, "the closure is handed back");
}

#[test]
fn a_kill_reaches_a_greenlet_on_its_way() {
    let hubs = iora::hubs(1).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let ran = ran.clone();
        let job = hubs.handles()[0].spawn(move || {
            iora::sleep(LONG);
            ran.fetch_add(1, Ordering::SeqCst);
        });
        let job = job.unwrap();
        job.kill();
        assert!(matches!(job.get(), Err(Exit::Killed)));
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn a_group_may_be_dropped_by_a_greenlet() {
    let job = iora::spawn(|| {
        let hubs = iora::hubs(1).unwrap();
        hubs.spawn(|| 5).get().unwrap()
    });
    assert_eq!(job.get().unwrap(), 5);
}
