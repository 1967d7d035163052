//! Unmodified code of std's in greenlets of one thread, with everything patched.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "some descriptors are made by libc's functions")]

#[path = "common/beside.rs"]
mod beside;
#[path = "common/patched.rs"]
mod patched;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use beside::beside_another;
use iora::monkey;
use patched::{in_greenlet, pair, pipe};

/// Long enough that nothing else takes as long.
const LONG: Duration = Duration::from_secs(30);

fn patched() {
    monkey::patch_all().expect("the hooks are reached");
}

#[test]
fn sleeps_overlap() {
    patched();
    let begun = Instant::now();
    let sleepers: Vec<_> = (0..50)
        .map(|_| iora::spawn(|| thread::sleep(Duration::from_millis(50))))
        .collect();
    iora::joinall(&sleepers, None);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert!(begun.elapsed() < Duration::from_millis(2400), "one after the other");
}

#[test]
fn a_read_parks() {
    let (mut one, mut other) = pair();
    let got = beside_another(move || {
        let writer = iora::spawn(move || {
            iora::sleep(Duration::from_millis(30));
            other.write_all(b"hello").unwrap();
            other
        });
        let mut buffer = [0; 5];
        one.read_exact(&mut buffer).unwrap();
        drop(writer.get());
        buffer
    });
    assert_eq!(&got, b"hello");
}

#[test]
fn echo_by_unmodified_code() {
    patched();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    const CLIENTS: usize = 50;
    let server = iora::spawn(move || {
        for _ in 0..CLIENTS {
            let (mut stream, _) = listener.accept().unwrap();
            iora::spawn(move || {
                let mut buffer = [0; 64];
                loop {
                    let count = stream.read(&mut buffer).unwrap();
                    if count == 0 {
                        break;
                    }
                    stream.write_all(&buffer[..count]).unwrap();
                }
            });
        }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            iora::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for round in 0..20 {
                    let text = format!("{number} {round}");
                    stream.write_all(text.as_bytes()).unwrap();
                    let mut buffer = vec![0; text.len()];
                    stream.read_exact(&mut buffer).unwrap();
                    assert_eq!(buffer, text.as_bytes());
                }
            })
        })
        .collect();
    for client in clients {
        client.get().expect("all was echoed");
    }
    server.get().expect("all were accepted");
}

#[test]
fn a_blocking_send_sends_everything() {
    let (mut one, mut other) = pair();
    const SIZE: usize = 20_000_000;
    let received = beside_another(move || {
        let sender = iora::spawn(move || {
            let data = vec![7_u8; SIZE];
            // One call, not `write_all`.
            one.write(&data).unwrap()
        });
        let mut buffer = vec![0; 1 << 16];
        let mut received = 0;
        loop {
            let count = other.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            received += count;
        }
        assert_eq!(sender.get().unwrap(), SIZE);
        received
    });
    assert_eq!(received, SIZE);
}

#[test]
fn waitall_fills_the_buffer() {
    let (one, mut other) = pair();
    let count = in_greenlet(move || {
        let writer = iora::spawn(move || {
            for _ in 0..10 {
                other.write_all(&[1; 10]).unwrap();
                iora::sleep(Duration::from_millis(1));
            }
            other
        });
        let mut buffer = [0_u8; 100];
        // SAFETY: the buffer has room for what is asked for.
        let count = unsafe { libc::recv(one.as_raw_fd(), buffer.as_mut_ptr().cast(), 100, libc::MSG_WAITALL) };
        drop(writer.get());
        count
    });
    assert_eq!(count, 100);
}

#[test]
fn time_limits_of_sockets() {
    let (mut one, other) = pair();
    let error = beside_another(move || {
        one.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        let begun = Instant::now();
        let error = one.read(&mut [0; 1]).unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(30));
        // Set through a duplicate, which shares the open file.
        let twin = one.try_clone().unwrap();
        twin.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(one.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        twin.set_nonblocking(true).unwrap();
        let begun = Instant::now();
        twin.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(one.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(begun.elapsed() < LONG);
        drop(other);
        error
    });
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
}

#[test]
fn a_descriptor_made_non_blocking_is_the_users() {
    let (mut one, mut other) = pair();
    patched();
    iora::spawn(move || {
        let reader = iora::spawn({
            let mut one = one.try_clone().unwrap();
            move || one.read(&mut [0; 8]).unwrap()
        });
        iora::yield_now();
        other.write_all(b"abc").unwrap();
        assert_eq!(reader.get().unwrap(), 3);
        one.set_nonblocking(true).unwrap();
        assert_eq!(one.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        other.write_all(b"de").unwrap();
        // The hub has not looked since, and must not have to.
        assert_eq!(one.read(&mut [0; 8]).unwrap(), 2);
    })
    .get()
    .unwrap();
}

#[test]
fn no_flag_of_the_descriptor_is_touched() {
    let (mut one, other) = pair();
    let flags = in_greenlet(move || {
        // SAFETY: asks for flags.
        let flags = |fd: i32| unsafe { libc::fcntl(fd, libc::F_GETFL) };
        let fd = one.as_raw_fd();
        let before = flags(fd);
        let reader = iora::spawn(move || one.read(&mut [0; 1]).unwrap());
        iora::yield_now();
        let during = flags(fd);
        drop(other);
        assert_eq!(reader.get().unwrap(), 0);
        (before, during)
    });
    assert_eq!(flags.0, flags.1);
}

#[test]
fn closing_wakes_who_waits() {
    let (one, _other) = pair();
    let error = in_greenlet(move || {
        let fd = one.as_raw_fd();
        let reader = iora::spawn(move || {
            let mut buffer = [0_u8; 1];
            // SAFETY: the buffer has room for a byte.
            let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), 1, 0) };
            (count, io::Error::last_os_error())
        });
        iora::sleep(Duration::from_millis(5));
        drop(one);
        reader.get().unwrap()
    });
    assert_eq!((error.0, error.1.raw_os_error()), (-1, Some(libc::EBADF)));
}

#[test]
fn a_number_that_is_used_again_begins_anew() {
    patched();
    iora::spawn(|| {
        for round in 0..50_u8 {
            let (mut one, mut other) = pair();
            let reader = iora::spawn(move || {
                let mut buffer = [0; 1];
                one.read_exact(&mut buffer).unwrap();
                buffer[0]
            });
            iora::yield_now();
            other.write_all(&[round]).unwrap();
            assert_eq!(reader.get().unwrap(), round);
        }
    })
    .get()
    .unwrap();
}

#[test]
fn pipes_park_too() {
    let (mut read, mut write) = pipe();
    let count = beside_another(move || {
        let writer = iora::spawn(move || {
            iora::sleep(Duration::from_millis(20));
            write.write(&vec![1; 1_000_000]).unwrap()
        });
        let mut all = Vec::new();
        read.read_to_end(&mut all).unwrap();
        assert_eq!(writer.get().unwrap(), 1_000_000);
        all.len()
    });
    assert_eq!(count, 1_000_000);
}

#[test]
fn datagrams_and_unix_sockets() {
    let text = beside_another(|| {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = one.local_addr().unwrap();
        let receiver = iora::spawn(move || {
            let mut buffer = [0; 16];
            let (count, _) = one.recv_from(&mut buffer).unwrap();
            buffer[..count].to_vec()
        });
        iora::sleep(Duration::from_millis(10));
        other.send_to(b"datagram", to).unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let reader = iora::spawn(move || {
            let mut text = String::new();
            near.read_to_string(&mut text).unwrap();
            text
        });
        iora::sleep(Duration::from_millis(10));
        far.write_all(b"stream").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        (receiver.get().unwrap(), reader.get().unwrap())
    });
    assert_eq!(text, (b"datagram".to_vec(), "stream".to_owned()));
}

#[test]
fn a_full_unix_listener_is_waited_for() {
    let folder = std::env::temp_dir().join(format!("iora-monkey-{}", std::process::id()));
    let count = in_greenlet(move || {
        let _ = std::fs::remove_file(&folder);
        let listener = UnixListener::bind(&folder).unwrap();
        // SAFETY: changes the queue's length.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let clients: Vec<_> = (0..5)
            .map(|_| {
                let path = folder.clone();
                iora::spawn(move || UnixStream::connect(path).unwrap())
            })
            .collect();
        iora::sleep(Duration::from_millis(5));
        let mut accepted = Vec::new();
        for _ in 0..5 {
            accepted.push(listener.accept().unwrap());
        }
        let connected: Vec<_> = clients.into_iter().map(|client| client.get().unwrap()).collect();
        let count = connected.len();
        let _ = std::fs::remove_file(&folder);
        count
    });
    assert_eq!(count, 5);
}

#[test]
fn refusals_are_told() {
    let error = in_greenlet(|| {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        TcpStream::connect(address).unwrap_err()
    });
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn names_are_looked_up() {
    let addresses = in_greenlet(|| ("localhost", 80).to_socket_addrs().unwrap().collect::<Vec<_>>());
    assert!(addresses.iter().any(|address| address.ip().is_loopback()));
}

#[test]
fn processes_are_waited_for() {
    let status = beside_another(|| {
        let output = Command::new("sh")
            .args(["-c", "sleep 0.05; echo done"])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"done\n");
        Command::new("sh").args(["-c", "sleep 0.05; exit 3"]).status().unwrap()
    });
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_contended_mutex_lets_its_holder_go_on() {
    let total = in_greenlet(|| {
        let total = Rc::new(Mutex::new(0));
        let workers: Vec<_> = (0..100)
            .map(|_| {
                let total = total.clone();
                iora::spawn(move || {
                    for _ in 0..10 {
                        let mut total = total.lock().unwrap();
                        let seen = *total;
                        iora::yield_now();
                        *total = seen + 1;
                    }
                })
            })
            .collect();
        iora::joinall(&workers, None);
        *total.lock().unwrap()
    });
    assert_eq!(total, 1000);
}

#[test]
fn a_freed_mutex_goes_to_the_greenlet_that_waited_for_it() {
    patched();
    let order = Rc::new(Mutex::new(Vec::new()));
    let (first, second) = (order.clone(), order.clone());
    let first = iora::spawn(move || {
        let mut order = first.lock().unwrap();
        iora::yield_now();
        order.push("first");
        drop(order);
        first.lock().unwrap().push("first again");
    });
    let second = iora::spawn(move || second.lock().unwrap().push("second"));
    iora::joinall(&[first, second], None);
    assert_eq!(*order.lock().unwrap(), ["first", "second", "first again"]);
}

#[test]
fn a_mutex_freed_by_a_panic_switches_to_nobody() {
    patched();
    let lock = Arc::new(Mutex::new(()));
    let (held, waited) = (lock.clone(), lock);
    let holder = iora::spawn(move || {
        let _held = held.lock().unwrap();
        iora::yield_now();
        panic!("with the lock held");
    });
    let waiter = iora::spawn(move || (waited.lock().is_err(), thread::panicking()));
    assert_eq!(waiter.get().unwrap(), (true, false));
    assert!(!holder.successful());
}

#[test]
fn g096_locks_between_hubs_and_threads() {
    patched();
    let total = Arc::new(Mutex::new(0_u32));
    let ready = Arc::new(RwLock::new(0_u32));
    let work = |total: Arc<Mutex<u32>>, ready: Arc<RwLock<u32>>| {
        move || {
            for _ in 0..300 {
                *total.lock().unwrap() += 1;
                if ready.read().unwrap().is_multiple_of(7) {
                    *ready.write().unwrap() += 1;
                }
                *ready.write().unwrap() += 1;
            }
        }
    };
    let plain: Vec<_> = (0..2)
        .map(|_| thread::spawn(work(total.clone(), ready.clone())))
        .collect();
    let hubs = iora::hubs(2).expect("hubs");
    let greenlets: Vec<_> = (0..40)
        .map(|number| {
            hubs.handles()[number % 2]
                .spawn(work(total.clone(), ready.clone()))
                .expect("alive")
        })
        .collect();
    for greenlet in greenlets {
        greenlet.get().unwrap();
    }
    for thread in plain {
        thread.join().unwrap();
    }
    assert_eq!(*total.lock().unwrap(), 42 * 300);
}

#[test]
fn g096_conditions_barriers_and_once() {
    let value = beside_another(|| {
        let pair = Rc::new((Mutex::new(false), Condvar::new()));
        let waiter = iora::spawn({
            let pair = pair.clone();
            move || {
                let guard = pair.0.lock().unwrap();
                let (guard, late) = pair.1.wait_timeout(guard, Duration::from_millis(10)).unwrap();
                assert!(late.timed_out());
                let guard = pair.1.wait_while(guard, |done| !*done).unwrap();
                assert!(*guard);
            }
        });
        iora::sleep(Duration::from_millis(30));
        *pair.0.lock().unwrap() = true;
        pair.1.notify_all();
        waiter.get().unwrap();
        let barrier = Rc::new(Barrier::new(5));
        let cell = Rc::new(OnceLock::new());
        let all: Vec<_> = (0..5)
            .map(|number| {
                let (barrier, cell) = (barrier.clone(), cell.clone());
                iora::spawn(move || {
                    let value = *cell.get_or_init(|| {
                        iora::sleep(Duration::from_millis(5));
                        number
                    });
                    barrier.wait();
                    value
                })
            })
            .collect();
        let values: Vec<i32> = all.into_iter().map(|one| one.get().unwrap()).collect();
        values.windows(2).all(|two| two[0] == two[1])
    });
    assert!(value);
}

#[test]
fn channels_from_other_threads() {
    let sums = in_greenlet(|| {
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let (sender, receiver) = mpsc::sync_channel::<u32>(1);
                thread::spawn(move || {
                    for number in 0..200 {
                        sender.send(number).unwrap();
                    }
                });
                iora::spawn(move || receiver.iter().sum::<u32>())
            })
            .collect();
        receivers.into_iter().map(|one| one.get().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(sums, [19900; 4]);
}

#[test]
fn joining_a_thread_parks() {
    patched();
    let (sender, receiver) = mpsc::channel();
    let joiner = iora::spawn(move || thread::spawn(move || receiver.recv().unwrap()).join().unwrap());
    // The thread cannot end before this greenlet, of the same thread as the joiner, goes on.
    let teller = iora::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        sender.send(7).unwrap();
    });
    teller.join();
    assert_eq!(joiner.get().unwrap(), 7);
}

#[test]
fn a_kill_leaves_a_join_waiting() {
    patched();
    let (sender, receiver) = mpsc::channel();
    let seen = Rc::new(Cell::new(0));
    let joiner = iora::spawn({
        let seen = seen.clone();
        move || {
            let value = thread::spawn(move || receiver.recv().unwrap()).join().unwrap();
            seen.set(value);
            iora::sleep(LONG);
        }
    });
    iora::sleep(Duration::from_millis(5));
    let killer = iora::spawn(move || {
        joiner.kill();
        assert!(matches!(joiner.get(), Err(iora::Exit::Killed)));
    });
    iora::sleep(Duration::from_millis(5));
    assert_eq!(seen.get(), 0);
    sender.send(7).unwrap();
    killer.get().unwrap();
    assert_eq!(seen.get(), 7);
}

#[test]
fn a_kill_in_a_hook_is_an_error_and_then_the_end() {
    patched();
    let (mut one, _other) = pair();
    let seen = Rc::new(Cell::new(None));
    let reader = iora::spawn({
        let seen = seen.clone();
        move || {
            let error = one.read(&mut [0; 1]).unwrap_err();
            seen.set(error.raw_os_error());
            // Every later call that would block fails, too.
            assert_eq!(one.read(&mut [0; 1]).unwrap_err().raw_os_error(), Some(libc::ECANCELED));
            thread::sleep(LONG);
            "went on to its end"
        }
    });
    iora::sleep(Duration::from_millis(5));
    let begun = Instant::now();
    reader.kill();
    assert!(matches!(reader.get(), Err(iora::Exit::Killed)));
    assert_eq!(seen.get(), Some(libc::ECANCELED));
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_timeout_over_hooked_calls_elapses() {
    patched();
    let (mut one, _other) = pair();
    let result = iora::timeout(Duration::from_millis(20), || {
        one.read(&mut [0; 1]).map_err(|error| error.kind())
    });
    assert!(result.is_err(), "{result:?}");
    let result = iora::timeout(Duration::from_millis(20), || thread::sleep(LONG));
    assert!(result.is_err());
}

#[test]
fn a_kill_leaves_a_lock_waiting() {
    patched();
    let lock = Rc::new(Mutex::new(0));
    let held = lock.lock().unwrap();
    let waiter = iora::spawn({
        let lock = lock.clone();
        move || {
            *lock.lock().unwrap() += 1;
        }
    });
    iora::sleep(Duration::from_millis(5));
    assert!(!waiter.ready());
    let killer = iora::spawn(move || waiter.kill());
    iora::sleep(Duration::from_millis(5));
    drop(held);
    killer.join();
    assert_eq!(*lock.lock().unwrap(), 1);
}

#[test]
fn the_end_of_a_hub_with_greenlets_in_hooks() {
    patched();
    thread::spawn(|| {
        let (mut one, _other) = pair();
        let obstinate = iora::spawn(move || {
            loop {
                let _ = one.read(&mut [0; 1]);
            }
        });
        let sleeper = iora::spawn(|| thread::sleep(LONG));
        iora::yield_now();
        iora::hub::end();
        assert!(sleeper.ready());
        drop(obstinate);
    })
    .join()
    .unwrap();
}

#[test]
fn a_thread_that_unwinds_does_not_switch() {
    patched();
    struct Sleeps;
    impl Drop for Sleeps {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    let other = Rc::new(Cell::new(false));
    let panics = iora::spawn(|| {
        let _sleeps = Sleeps;
        panic!("on purpose");
    });
    let looks = iora::spawn({
        let other = other.clone();
        move || other.set(thread::panicking())
    });
    assert!(panics.get().is_err());
    looks.join();
    assert!(!other.get());
}

#[test]
fn unpatched_code_blocks_the_thread() {
    patched();
    let ran = Rc::new(Cell::new(false));
    let sleeper = iora::spawn({
        let ran = ran.clone();
        move || {
            monkey::unpatched(|| thread::sleep(Duration::from_millis(20)));
            ran.get()
        }
    });
    iora::spawn(move || ran.set(true));
    assert!(!sleeper.get().unwrap());
}

#[test]
fn g102_patching_twice_changes_nothing_and_what_was_there_is_within_reach() {
    let first = monkey::patch_all().expect("the hooks are reached");
    let again = monkey::patch_all().expect("the hooks are reached");
    assert!(first == again && again.functions().count() > 50);
    // A part of what is patched already takes nothing back.
    assert!(monkey::patch_time().expect("the hooks are reached") == first);
    assert!(monkey::is_patched("recv") && !monkey::is_patched("recieve"));
    let others = Rc::new(Cell::new(0));
    let sleeper = iora::spawn({
        let others = others.clone();
        move || {
            monkey::unpatched(|| monkey::unpatched(|| thread::sleep(Duration::from_millis(1))));
            let before = others.get();
            thread::sleep(Duration::from_millis(1));
            (before, others.get())
        }
    });
    iora::spawn(move || others.set(1));
    assert_eq!(sleeper.get().unwrap(), (0, 1));
}
