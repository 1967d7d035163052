//! The `postgres` crate, against a real server. It runs a `tokio` of its own inside each call, of which a thread takes only
//! one at a time: its calls overlap with everything but each other, and with each other on the thread pool.

use std::rc::Rc;

use iora::sync::Mutex;
use iora::threadpool::ThreadPool;
use iora_monkey_programs::database::Database;
use iora_monkey_programs::overlap::{CALLS, DELAY, LEAST_TICKS, overlap, while_ticking};
use postgres::{Client, NoTls};

/// Asks the server to take its time.
fn ask(address: &str, number: u32) {
    let mut client = Client::connect(address, NoTls).expect("connects");
    let number = number as i32;
    let row = client
        .query_one("select $1::int4 from pg_sleep($2)", &[&number, &DELAY.as_secs_f64()])
        .expect("an answer");
    assert_eq!(row.get::<_, i32>(0), number);
}

#[test]
fn postgres_on_the_thread_pool() {
    let database = Database::start();
    let address = database.address();
    let pool = Rc::new(ThreadPool::new(CALLS as usize));
    overlap(move |number| {
        let address = address.clone();
        pool.apply(move || ask(&address, number));
    });
}

#[test]
fn postgres_one_call_at_a_time() {
    let database = Database::start();
    let address = database.address();
    iora::monkey::patch_all().expect("the hooks are reached");
    let alone = Rc::new(Mutex::new(()));
    let ticks = while_ticking(move || {
        let calls = [0, 1].map(|number| {
            let (alone, address) = (Rc::clone(&alone), address.clone());
            iora::spawn(move || {
                let _alone = alone.lock();
                ask(&address, number);
            })
        });
        for call in calls {
            call.get().expect("no panic");
        }
    });
    assert!(ticks >= LEAST_TICKS, "{ticks}: nothing went on meanwhile");
}
