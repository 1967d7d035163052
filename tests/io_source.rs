//! Descriptors of any kind, made waitable.

use std::cell::Cell;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use iora::Greenlet;
use iora::io::Source;

#[path = "common/waiting.rs"]
mod waiting;
use waiting::until_parked;

/// Both ends of a pipe.
fn sources() -> (Source<PipeReader>, Source<PipeWriter>) {
    let (reader, writer) = pipe().expect("a pipe");
    (
        Source::new(reader).expect("not a standard stream"),
        Source::new(writer).expect("not a standard stream"),
    )
}

#[test]
fn a_pipe_carries_more_than_it_holds_between_greenlets() {
    const SIZE: usize = 1 << 20;
    let (mut reader, mut writer) = sources();
    let writing = iora::spawn(move || writer.write_all(&vec![5; SIZE]).expect("writes"));
    until_parked(&writing, "write");
    let reading = iora::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("reads");
        all
    });
    assert_eq!(reading.get().expect("did not panic"), vec![5; SIZE]);
    writing.get().expect("did not panic");
}

#[test]
fn a_pipe_between_a_hub_and_a_thread_without_one() {
    let (mut reader, mut writer) = sources();
    let thread = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("reads");
        text
    });
    iora::spawn(move || writer.write_all(b"hello").expect("writes"))
        .get()
        .expect("did not panic");
    assert_eq!(thread.join().expect("did not panic"), "hello");
}

#[test]
fn the_standard_streams_are_left_alone() {
    let error = Source::new(io::stderr()).expect_err("shared with others");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn closing_ends_waits_and_later_calls() {
    let (reader, _writer) = sources();
    let reader = Arc::new(reader);
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let reader = Arc::clone(&reader);
            let waiter = iora::spawn(move || (&*reader).read(&mut [0]).expect_err("closed"));
            until_parked(&waiter, "read");
            waiter
        })
        .collect();
    let closer = Arc::clone(&reader);
    thread::spawn(move || closer.close()).join().expect("did not panic");
    for waiter in waiters {
        assert_eq!(waiter.get().expect("did not panic").raw_os_error(), Some(9), "EBADF");
    }
    assert_eq!((&*reader).read(&mut [0]).expect_err("closed").raw_os_error(), Some(9));
}

#[test]
fn what_is_inside_comes_back_and_may_be_made_waitable_again() {
    let (reader, mut writer) = sources();
    let reading = iora::spawn(move || {
        (&reader).read_exact(&mut [0]).expect("reads");
        reader.into_inner()
    });
    until_parked(&reading, "read");
    writer.write_all(b"x").expect("writes");
    let inner = reading.get().expect("did not panic");
    let mut again = Source::new(OwnedFd::from(inner)).map(|source| PipeReader::from(source.into_inner()));
    let reader = Source::new(again.as_mut().expect("waitable").try_clone().expect("clones")).expect("waitable");
    let reading = iora::spawn(move || (&reader).read(&mut [0; 2]).expect("reads"));
    until_parked(&reading, "read");
    writer.write_all(b"yz").expect("writes");
    assert_eq!(reading.get().expect("did not panic"), 2);
}

#[test]
fn an_operation_of_the_users_waits_as_ours_do() {
    let (reader, mut writer) = sources();
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let waiter = iora::spawn(move || {
        reader.read_with(|mut pipe| {
            assert!(pipe.as_fd().try_clone_to_owned().is_ok());
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            pipe.read(&mut [0; 8])
        })
    });
    until_parked(&waiter, "read");
    writer.write_all(b"abc").expect("writes");
    assert_eq!(waiter.get().expect("did not panic").expect("reads"), 3);
    // Once before the wait and once after it.
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 2);
}

/// A greenlet that reads a byte.
fn reading(reader: &Rc<Source<PipeReader>>) -> Greenlet<u8> {
    let reader = reader.clone();
    iora::spawn(move || {
        let mut byte = [0];
        (&*reader).read_exact(&mut byte).expect("reads");
        byte[0]
    })
}

#[test]
fn who_leaves_the_line_is_not_waited_for() {
    let (reader, mut writer) = sources();
    let reader = Rc::new(reader);
    let readers = [(); 3].map(|()| {
        let job = reading(&reader);
        until_parked(&job, "read");
        job
    });
    readers[1].kill();
    writer.write_all(&[1, 2]).expect("writes");
    assert_eq!(readers.map(|job| job.get().ok()), [Some(1), None, Some(2)]);
}

#[test]
fn a_newcomer_does_not_overtake_who_has_been_woken() {
    let (reader, mut writer) = sources();
    let reader = Rc::new(reader);
    let first = Rc::new(reading(&reader));
    until_parked(&*first, "read");
    let newcomer = iora::spawn({
        let (reader, first) = (reader.clone(), first.clone());
        move || {
            while format!("{first:?}").contains("parked") {
                iora::yield_now();
            }
            let mut byte = [0];
            (&*reader).read_exact(&mut byte).expect("reads");
            byte[0]
        }
    });
    iora::yield_now();
    writer.write_all(&[1, 2]).expect("writes");
    assert_eq!(newcomer.get().expect("did not panic"), 2);
    first.join();
    assert_eq!(first.value(), Some(&1));
}

#[test]
fn who_is_woken_for_nothing_does_not_overtake_who_came_first() {
    let (reader, mut writer) = sources();
    let reader = Rc::new(reader);
    let first = reading(&reader);
    until_parked(&first, "read");
    let read = Rc::new(Cell::new(0));
    let second = iora::spawn({
        let (reader, read) = (reader.clone(), read.clone());
        move || {
            iora::shield(|| {
                let mut byte = [0];
                (&*reader).read_exact(&mut byte).expect("reads");
                read.set(byte[0]);
            });
        }
    });
    until_parked(&second, "read");
    // Its turn comes before the hub hears of what is written.
    second.kill_nowait();
    writer.write_all(&[1, 2]).expect("writes");
    assert_eq!(first.get().expect("did not panic"), 1);
    second.join();
    assert_eq!(read.get(), 2);
}

#[test]
fn several_sources_of_one_descriptor_do_not_take_each_others_events() {
    const LATE: Duration = Duration::from_secs(60);
    const SIZE: usize = 1 << 20;
    let (here, mut there) = UnixStream::pair().expect("a pair");
    let here = Arc::new(here);
    let source = || Source::new(here.clone()).expect("not a standard stream");
    let (reader, writer) = (source(), source());
    let reading = iora::spawn(move || reader.read_with(|stream| (&mut &**stream).read(&mut [0])));
    until_parked(&reading, "read");
    let writing = iora::spawn(move || {
        let mut left = SIZE;
        while left > 0 {
            left -= writer
                .write_with(|stream| (&mut &**stream).write(&vec![5; left]))
                .expect("writes");
        }
    });
    until_parked(&writing, "write");
    let draining = thread::spawn(move || there.read_exact(&mut vec![0; SIZE]).map(|()| there));
    assert!(writing.join_timeout(LATE), "the second has no events");
    let mut there = draining.join().expect("did not panic").expect("reads");
    there.write_all(&[3]).expect("writes");
    assert!(reading.join_timeout(LATE), "the first has no events");
    assert_eq!(reading.get().expect("did not panic").expect("reads"), 1);
}

#[test]
fn a_writer_is_told_that_nobody_will_read() {
    let (reader, mut writer) = sources();
    let writing = iora::spawn(move || writer.write_all(&vec![5; 1 << 20]).expect_err("nobody reads"));
    until_parked(&writing, "write");
    // The pipe is full and stays so: this is an error and no room.
    drop(reader);
    assert!(writing.join_timeout(Duration::from_secs(60)), "it is not told");
    assert_eq!(writing.get().expect("did not panic").kind(), io::ErrorKind::BrokenPipe);

    // This is neither an error nor room.
    let (here, there) = UnixStream::pair().expect("a pair");
    let mut here = Source::new(here).expect("not a standard stream");
    let writing = iora::spawn(move || here.write_all(&vec![5; 1 << 24]).expect_err("nobody reads"));
    until_parked(&writing, "write");
    there.shutdown(std::net::Shutdown::Both).expect("connected");
    assert!(writing.join_timeout(Duration::from_secs(60)), "it is not told");
    assert_eq!(writing.get().expect("did not panic").kind(), io::ErrorKind::BrokenPipe);
}

/// What an operation says that has to be called again.
fn would_block<T>() -> io::Result<T> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[test]
fn an_operation_that_waits_on_its_own_source_keeps_its_place() {
    let (reader, mut writer) = sources();
    let reader = Rc::new(reader);
    let own = reader.clone();
    let outer = iora::spawn(move || {
        let mut calls = 0;
        let mut byte = [0];
        own.read_with(|mut pipe| {
            calls += 1;
            match calls {
                1 => would_block(),
                2 => {
                    (&*own).read_exact(&mut byte)?;
                    // It stands in line twice now, behind the other reader.
                    let waits = iora::timeout(Duration::from_millis(1), || (&*own).read(&mut [0]));
                    assert!(waits.is_err(), "there is nothing to read");
                    would_block()
                }
                _ => pipe.read(&mut byte),
            }
        })
        .map(|_| byte[0])
    });
    until_parked(&outer, "read");
    let other = reading(&reader);
    until_parked(&other, "read");
    writer.write_all(&[1]).expect("writes");
    // The other one is first now.
    iora::sleep(Duration::from_millis(20));
    writer.write_all(&[2]).expect("writes");
    assert_eq!(other.get().expect("did not panic"), 2);
    writer.write_all(&[3]).expect("writes");
    assert!(outer.join_timeout(Duration::from_secs(60)), "it has lost its place");
    assert_eq!(outer.get().expect("did not panic").expect("reads"), 3);
}

#[test]
fn an_operation_that_changes_greenlets_waits_as_who_runs_it() {
    let (reader, mut writer) = sources();
    let mut generator = iora::Generator::new(move |hand: &iora::Yielder<(), ()>, ()| {
        let mut calls = 0;
        let result = reader.read_with(|mut pipe| {
            calls += 1;
            if calls == 2 {
                pipe.read_exact(&mut [0])?;
                hand.give(());
                return would_block();
            }
            pipe.read(&mut [0])
        });
        result.expect("reads");
    });
    let first = iora::spawn(move || {
        generator.resume();
        generator
    });
    until_parked(&first, "read");
    writer.write_all(&[1]).expect("writes");
    let mut generator = first.get().expect("did not panic");
    let second = iora::spawn(move || generator.resume());
    until_parked(&second, "read");
    writer.write_all(&[2]).expect("writes");
    assert!(
        second.join_timeout(Duration::from_secs(60)),
        "the one that is gone is woken in its place"
    );
    assert_eq!(second.get().expect("did not panic"), iora::Resumed::Returned(()));
}

#[test]
fn an_operation_may_end_the_hub() {
    let thread = thread::spawn(|| {
        let (reader, mut writer) = sources();
        iora::spawn(move || writer.write_all(&[1]).expect("writes"));
        let mut calls = 0;
        reader.read_with(|mut pipe| {
            calls += 1;
            if calls == 2 {
                iora::hub::end();
                iora::spawn(|| ()).join();
            }
            pipe.read(&mut [0])
        })
    });
    assert_eq!(thread.join().expect("did not panic").expect("reads"), 1);
}

#[test]
fn a_descriptor_that_is_asked_for_may_close_its_source() {
    thread_local! {
        static SOURCE: std::cell::OnceCell<Source<Closing>> = const { std::cell::OnceCell::new() };
    }
    /// Closes its source when it is asked for its descriptor, once there is one.
    struct Closing(PipeReader);
    impl AsFd for Closing {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            SOURCE.with(|source| source.get().map(Source::close));
            self.0.as_fd()
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (reader, _writer) = pipe().expect("a pipe");
        iora::spawn(|| ()).join();
        let source = Source::new(Closing(reader)).expect("not a standard stream");
        SOURCE.with(|place| {
            let source = place.get_or_init(|| source);
            let result = source.read_with(|_| would_block::<()>());
            sender.send(result.expect_err("closed").raw_os_error())
        })
    });
    assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(Some(9)), "EBADF");
}
