//! The resolver against a name server in this process that is slow, silent, lying, cut short or dead.

#[path = "common/directory.rs"]
mod directory;
#[path = "common/dns_server.rs"]
mod dns_server;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use directory::Directory;
use dns_server::{Asked, Deed, DnsServer, Way, dead_server_line};
use domain::base::iana::{Rcode, Rtype};
use iora::dns::{Config, Failure, Family, Hints, LookupError, Resolver, SocketType};

/// A resolver that asks `server`, with these options (each its own line of `resolv.conf`).
fn asking(servers: &[&DnsServer], lines: &str) -> Resolver {
    let servers: String = servers.iter().map(|server| server.line()).collect();
    Resolver::new(Config::empty().resolv_conf_text(format!("search .\n{servers}{lines}")))
}

/// A server that answers every A question with `address` and says that there are no others.
fn honest(address: &'static str) -> DnsServer {
    DnsServer::start(move |asked| vec![Deed::Send(asked.answer_kind(&[&format!("60 A {address}")]))])
}

/// The addresses in text, sorted, so that the machine's own networks do not matter.
fn found(result: std::io::Result<Vec<SocketAddr>>) -> Vec<String> {
    let mut addresses: Vec<String> = result.expect("found").iter().map(SocketAddr::to_string).collect();
    addresses.sort();
    addresses
}

/// The error, its reason and its text.
fn failed(result: std::io::Result<Vec<SocketAddr>>) -> (ErrorKind, Failure, String) {
    let error = result.expect_err("not found");
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<LookupError>())
        .expect("an error of ours");
    (error.kind(), inner.failure(), error.to_string())
}

#[test]
fn both_families_from_ids_and_ports_of_their_own() {
    let server = DnsServer::start(|asked| {
        vec![Deed::Send(asked.answer_kind(&[
            "60 A 192.0.2.1",
            "60 A 192.0.2.2",
            "60 AAAA 2001:db8::1",
        ]))]
    });
    let resolver = asking(&[&server], "");
    let all = ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"];
    assert_eq!(found(resolver.resolve("Www.Test", 80)), all);
    let log = server.log();
    assert_eq!(server.questions(), ["www.test A", "www.test AAAA"]);
    assert_ne!(log[0].from.port(), log[1].from.port());
    for host in ["a.test", "b.test", "c.test"] {
        resolver.resolve(host, 80).expect("found");
    }
    let log = server.log();
    let ids: std::collections::HashSet<u16> = log.iter().map(|asked| asked.id).collect();
    // Eight equal numbers of sixteen bits do not happen.
    assert!(ids.len() > 1, "{ids:?}");
}

#[test]
fn one_family_asks_one_question() {
    let server = honest("192.0.2.1");
    let resolver = asking(&[&server], "");
    assert_eq!(found(resolver.resolve_family("a.test", 1, Family::V4)), ["192.0.2.1:1"]);
    assert_eq!(server.questions(), ["a.test A"]);
    let (kind, failure, _) = failed(resolver.resolve_family("a.test", 1, Family::V6));
    assert_eq!((kind, failure), (ErrorKind::NotFound, Failure::NoData));
}

#[test]
fn the_hosts_file_comes_first() {
    let server = honest("192.0.2.1");
    let directory = Directory::new();
    let hosts = directory.write("hosts", "10.0.0.1 Printer.test printer # upstairs\n");
    let conf = directory.write("resolv.conf", &server.line());
    let config = Config::empty().hosts_file(hosts).resolv_conf_file(conf);
    let resolver = Resolver::new(config.clone());
    assert_eq!(found(resolver.resolve("PRINTER", 9)), ["10.0.0.1:9"]);
    assert_eq!(found(resolver.resolve("printer.test.", 9)), ["10.0.0.1:9"]);
    assert!(server.log().is_empty());
    let resolver = Resolver::new(config.nsswitch_text("hosts: dns files"));
    assert_eq!(found(resolver.resolve("printer.test", 9)), ["192.0.2.1:9"]);
}

#[test]
fn changed_files_are_read_again() {
    let (one, other) = (honest("192.0.2.1"), honest("192.0.2.2"));
    let directory = Directory::new();
    let hosts = directory.write("hosts", "");
    let conf = directory.write("resolv.conf", &one.line());
    let config = Config::empty().hosts_file(hosts).resolv_conf_file(conf);
    let resolver = Resolver::new(config.recheck(Duration::ZERO));
    for name in ["a.test", "b.test"] {
        assert_eq!(found(resolver.resolve(name, 1)), ["192.0.2.1:1"]);
    }
    directory.write("resolv.conf", &other.line());
    for name in ["a.test", "b.test"] {
        let again = found(resolver.resolve(name, 1));
        assert_eq!(again, ["192.0.2.2:1"], "the old answer is forgotten too");
    }
    directory.write("hosts", "10.0.0.1 a.test\n");
    assert_eq!(found(resolver.resolve("a.test", 1)), ["10.0.0.1:1"]);
}

#[test]
fn short_names_go_through_the_search_list() {
    let server = DnsServer::start(|asked| {
        let known = asked.name == "www.b.test";
        vec![Deed::Send(if known {
            asked.answer_kind(&["60 A 192.0.2.1"])
        } else {
            asked.nothing(Rcode::NXDOMAIN, 60)
        })]
    });
    let resolver = asking(&[&server], "search a.test b.test c.test\noptions no-aaaa\n");
    assert_eq!(found(resolver.resolve("www", 1)), ["192.0.2.1:1"]);
    assert_eq!(server.questions(), ["www.a.test A", "www.b.test A"]);
    assert_eq!(failed(resolver.resolve("www.", 1)).1, Failure::NoName);
    assert_eq!(server.questions()[2..], ["www A"]);
    assert_eq!(failed(resolver.resolve("x.y", 1)).1, Failure::NoName);
    assert_eq!(
        server.questions()[3..],
        ["x.y A", "x.y.a.test A", "x.y.b.test A", "x.y.c.test A"]
    );
}

#[test]
fn lies_are_dropped_and_the_truth_is_waited_for() {
    let server = DnsServer::start(|asked| {
        let lie = ["60 A 6.6.6.6", "60 AAAA 666::6"];
        let wrong_id = Asked {
            bytes: [&[!asked.bytes[0]], &asked.bytes[1..]].concat(),
            ..asked.clone()
        };
        let mut other_name = asked.bytes.clone();
        // The question starts behind the header, with the length of its first label.
        other_name[13] ^= 1;
        let wrong_name = Asked {
            bytes: other_name,
            ..asked.clone()
        };
        vec![
            Deed::Send(wrong_id.answer_kind(&lie)),
            Deed::Send(wrong_name.answer_kind(&lie)),
            Deed::SendFromElsewhere(asked.answer_kind(&lie)),
            Deed::Send(asked.bytes.clone()),
            Deed::Send(b"nonsense".to_vec()),
            Deed::Send(Vec::new()),
            Deed::Send(asked.answer_kind(&["60 A 192.0.2.1", "other.test 60 A 6.6.6.6"])),
        ]
    });
    let resolver = asking(&[&server], "");
    assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"]);
}

#[test]
fn a_truncated_answer_is_asked_for_by_tcp() {
    let many: Vec<String> = (1..=200).map(|last| format!("60 A 192.0.2.{last}")).collect();
    let server = DnsServer::start(move |asked| {
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        match asked.way {
            Way::Udp => vec![Deed::Send(asked.truncated())],
            Way::Tcp => vec![Deed::Trickle(asked.answer_kind(&many))],
        }
    });
    let resolver = asking(&[&server], "");
    assert_eq!(found(resolver.resolve("a.test", 1)).len(), 200);
    let ways: Vec<Way> = server.log().iter().map(|asked| asked.way).collect();
    assert_eq!(ways.iter().filter(|way| **way == Way::Tcp).count(), 2);
    assert_eq!(ways.len(), 4);
}

#[test]
fn a_connection_that_breaks_goes_on_to_the_next_server() {
    for broken in [Vec::new(), vec![0], vec![0, 200, 1, 2, 3], vec![255; 40]] {
        let breaking = DnsServer::start(move |asked| match asked.way {
            Way::Udp => vec![Deed::Send(asked.truncated())],
            Way::Tcp => vec![Deed::SendRawAndClose(broken.clone())],
        });
        let good = honest("192.0.2.1");
        let resolver = asking(&[&breaking, &good], "");
        assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"]);
    }
}

#[test]
fn use_vc_means_tcp_alone() {
    let server = honest("192.0.2.1");
    let resolver = asking(&[&server], "options use-vc\n");
    assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"]);
    assert!(server.log().iter().all(|asked| asked.way == Way::Tcp));
}

#[test]
fn what_does_not_exist_is_remembered() {
    let server = DnsServer::start(|asked| {
        let rcode = if asked.name == "gone.test" {
            Rcode::NXDOMAIN
        } else {
            Rcode::NOERROR
        };
        vec![Deed::Send(asked.nothing(rcode, 60))]
    });
    let resolver = asking(&[&server], "");
    for _ in 0..3 {
        let (kind, failure, text) = failed(resolver.resolve("gone.test", 1));
        assert_eq!((kind, failure), (ErrorKind::NotFound, Failure::NoName));
        assert_eq!(text, "cannot look up \"gone.test\": no such name");
        assert_eq!(failed(resolver.resolve("empty.test", 1)).1, Failure::NoData);
    }
    assert_eq!(server.log().len(), 4);
    resolver.clear_cache();
    assert_eq!(failed(resolver.resolve("gone.test", 1)).1, Failure::NoName);
    assert_eq!(server.log().len(), 6);
}

#[test]
fn answers_are_kept_as_long_as_the_server_allows() {
    let server = DnsServer::start(|asked| {
        let ttl = if asked.name == "kept.test" { 60 } else { 0 };
        vec![Deed::Send(asked.answer(&[&format!("{ttl} A 192.0.2.1")]))]
    });
    let resolver = asking(&[&server], "options no-aaaa\n");
    for _ in 0..2 {
        assert_eq!(found(resolver.resolve("kept.test", 1)), ["192.0.2.1:1"]);
        assert_eq!(found(resolver.resolve("Fleeting.test", 1)), ["192.0.2.1:1"]);
    }
    assert_eq!(
        server.questions(),
        ["kept.test A", "fleeting.test A", "fleeting.test A"]
    );
}

#[test]
fn servers_that_cannot_say_are_passed_over() {
    for rcode in [
        Rcode::SERVFAIL,
        Rcode::REFUSED,
        Rcode::NOTIMP,
        Rcode::FORMERR,
        Rcode::NOTAUTH,
    ] {
        let (bad, good) = (
            DnsServer::start(move |asked| vec![Deed::Send(asked.fail(rcode))]),
            honest("192.0.2.1"),
        );
        let resolver = asking(&[&bad, &good], "options no-aaaa\n");
        assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"], "{rcode}");
        assert_eq!((bad.log().len(), good.log().len()), (1, 1), "{rcode}");
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_no_answer() {
    let bad = DnsServer::start(|asked| {
        let mut answer = asked.answer(&["60 A 192.0.2.9"]);
        answer.pop();
        vec![Deed::Send(answer)]
    });
    let good = honest("192.0.2.1");
    let resolver = asking(&[&bad, &good], "options no-aaaa\n");
    assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"]);
}

#[test]
fn when_all_servers_fail_the_error_says_which_and_how() {
    let server = DnsServer::start(|asked| vec![Deed::Send(asked.fail(Rcode::SERVFAIL))]);
    let resolver = asking(&[&server], "options attempts:3 no-aaaa\n");
    let (kind, failure, text) = failed(resolver.resolve("a.test", 1));
    assert_eq!((kind, failure), (ErrorKind::Other, Failure::Again));
    assert!(
        text.contains("\"a.test\"") && text.contains("127.0.0.1:") && text.contains("SERVFAIL"),
        "{text}"
    );
    assert_eq!(server.log().len(), 3, "as many attempts as the settings allow");
}

#[test]
fn a_dead_server_costs_no_time() {
    let good = honest("192.0.2.1");
    let text = format!("{}{}options timeout:30\n", dead_server_line(), good.line());
    let resolver = Resolver::new(Config::empty().resolv_conf_text(text));
    // Its machine says at once that nobody is there; with a wait of thirty seconds this test would be noticed.
    assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"]);
    let resolver = Resolver::new(Config::empty().resolv_conf_text(dead_server_line()));
    let (_, failure, text) = failed(resolver.resolve("a.test", 1));
    assert!(failure == Failure::Again && text.contains("refused"), "{text}");
}

#[test]
fn a_dropped_question_is_asked_again() {
    let server = DnsServer::start(|asked| match asked.number {
        0 => Vec::new(),
        _ => vec![Deed::Send(asked.answer(&["60 A 192.0.2.1"]))],
    });
    let resolver = asking(&[&server], "options timeout:1 no-aaaa\n");
    assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"]);
    let log = server.log();
    assert_eq!(log.len(), 2);
    assert_ne!(log[0].from.port(), log[1].from.port());
}

#[test]
fn silence_is_a_time_out() {
    let server = DnsServer::start(|_| Vec::new());
    let resolver = asking(&[&server], "search x.test\noptions timeout:1 attempts:1\n");
    let start = Instant::now();
    let (kind, failure, text) = failed(resolver.resolve("a.test", 1));
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!((kind, failure), (ErrorKind::TimedOut, Failure::TimedOut));
    assert!(text.contains("a.test") && text.contains("127.0.0.1:"), "{text}");
    assert_eq!(
        server.questions(),
        ["a.test A", "a.test AAAA"],
        "both at once, and no other name instead"
    );
}

#[test]
fn one_family_is_better_than_none() {
    for (kind, address) in [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")] {
        let server = DnsServer::start(move |asked| match asked.kind.to_string() == kind {
            true => vec![Deed::Send(asked.answer(&[&format!("60 {kind} {address}")]))],
            false => Vec::new(),
        });
        let resolver = asking(&[&server], "options timeout:1 attempts:1\n");
        let addresses = resolver.resolve("a.test", 1).expect("found");
        assert_eq!(addresses.len(), 1);
        assert_eq!(addresses[0].ip().to_string(), address);
    }
}

#[test]
fn what_is_found_when_time_is_over_may_still_lead_to_tcp() {
    let server = DnsServer::start(|asked| match (asked.way, asked.kind) {
        (_, Rtype::A) => Vec::new(),
        (Way::Udp, _) => vec![Deed::Send(asked.truncated())],
        (Way::Tcp, _) => vec![Deed::Send(asked.answer(&["60 AAAA 2001:db8::1"]))],
    });
    let resolver = asking(&[&server], "options timeout:1 attempts:1\n");
    assert_eq!(found(resolver.resolve("a.test", 1)), ["[2001:db8::1]:1"]);
}

#[test]
fn nobody_keeps_a_look_up_by_sending_without_end() {
    let server = DnsServer::start(|asked| match asked.kind {
        Rtype::A => Vec::new(),
        _ => {
            let mut deeds: Vec<Deed> = (0..100).map(|_| Deed::Send(b"nonsense".to_vec())).collect();
            deeds.push(Deed::Send(asked.answer(&["60 AAAA 2001:db8::1"])));
            deeds
        }
    });
    // They are heard when the time for the other question is over.
    let resolver = asking(&[&server], "options timeout:1 attempts:1\n");
    let (kind, failure, _) = failed(resolver.resolve("a.test", 1));
    assert_eq!((kind, failure), (ErrorKind::TimedOut, Failure::TimedOut));
}

#[test]
fn edns_is_asked_for_and_done_without() {
    let server = DnsServer::start(|asked| {
        let answer = if asked.edns {
            asked.fail(Rcode::FORMERR)
        } else {
            asked.answer(&["60 A 192.0.2.1"])
        };
        vec![Deed::Send(answer)]
    });
    let resolver = asking(&[&server], "options edns0 no-aaaa attempts:1\n");
    assert_eq!(found(resolver.resolve("a.test", 1)), ["192.0.2.1:1"]);
    assert_eq!(
        server.log().iter().map(|asked| asked.edns).collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn rotated_servers_take_turns() {
    let servers = [honest("192.0.2.1"), honest("192.0.2.2"), honest("192.0.2.3")];
    let resolver = asking(&[&servers[0], &servers[1], &servers[2]], "options rotate no-aaaa\n");
    for number in 0..6 {
        resolver.resolve(&format!("a{number}.test"), 1).expect("found");
    }
    assert_eq!(servers.each_ref().map(|server| server.log().len()), [2, 2, 2]);
}

#[test]
fn single_requests_go_one_after_the_other() {
    // The first question is dropped: had the second been sent beside it, it would stand in the log before the repetition.
    let server = DnsServer::start(|asked| match asked.number {
        0 => Vec::new(),
        _ => vec![Deed::Send(asked.answer_kind(&["0 A 192.0.2.1", "0 AAAA 2001:db8::1"]))],
    });
    let resolver = asking(&[&server], "options single-request timeout:1\n");
    assert_eq!(found(resolver.resolve("a.test", 1)).len(), 2);
    assert_eq!(server.questions(), ["a.test A", "a.test A", "a.test AAAA"]);
}

#[test]
fn aliases_lead_to_the_canonical_name() {
    let server = DnsServer::start(|asked| {
        vec![Deed::Send(asked.answer(&[
            "60 CNAME b.test",
            "b.test 60 CNAME c.test",
            "c.test 60 A 192.0.2.1",
        ]))]
    });
    let resolver = asking(&[&server], "");
    let hints = Hints {
        socket_type: Some(SocketType::Stream),
        family: Family::V4,
        canonical_name: true,
        ..Hints::default()
    };
    let infos = resolver
        .getaddrinfo(Some("a.test"), Some("443"), &hints)
        .expect("found");
    assert_eq!(infos.len(), 1);
    assert_eq!(infos[0].canonical_name.as_deref(), Some("c.test"));
    assert_eq!(infos[0].address, "192.0.2.1:443".parse().expect("an address"));
}

#[test]
fn some_names_are_never_asked_for() {
    let server = honest("192.0.2.1");
    let resolver = asking(&[&server], "");
    assert_eq!(found(resolver.resolve("localhost", 1)), ["127.0.0.1:1", "[::1]:1"]);
    assert_eq!(found(resolver.resolve("x.LOCALHOST.", 1)), ["127.0.0.1:1", "[::1]:1"]);
    assert_eq!(failed(resolver.resolve("x.onion", 1)).1, Failure::NoName);
    for bad in ["", ".", "a b", "a..b", "ü.test", "a\0.test"] {
        assert_eq!(failed(resolver.resolve(bad, 1)).1, Failure::BadName, "{bad:?}");
    }
    assert_eq!(found(resolver.resolve("127.1", 1)), ["127.0.0.1:1"]);
    assert!(server.log().is_empty());
}

#[test]
fn a_large_hosts_file_is_read_off_the_thread() {
    let directory = Directory::new();
    let lines: String = (0..40_000)
        .map(|number| format!("10.0.0.1 blocked{number}.test\n"))
        .collect();
    let hosts = directory.write("hosts", &lines);
    let resolver = Rc::new(Resolver::new(
        Config::empty().hosts_file(hosts).nsswitch_text("hosts: files"),
    ));
    let greenlets = [0, 39_999].map(|number| {
        let resolver = resolver.clone();
        iora::spawn(move || found(resolver.resolve(&format!("blocked{number}.test"), 1)))
    });
    for greenlet in greenlets {
        assert_eq!(greenlet.get().expect("no panic"), ["10.0.0.1:1"]);
    }
}

#[test]
fn other_sources_are_left_to_the_system() {
    let server = honest("192.0.2.1");
    let text = format!("{}options some-new-option\n", server.line());
    for config in [
        Config::empty()
            .resolv_conf_text(server.line())
            .nsswitch_text("hosts: files ldap dns"),
        Config::empty().resolv_conf_text(text),
    ] {
        let resolver = Resolver::new(config);
        let look_up = move || found(resolver.resolve_family("localhost", 1, Family::V4));
        assert!(look_up().contains(&"127.0.0.1:1".to_owned()));
        assert!(
            iora::spawn(look_up)
                .get()
                .expect("no panic")
                .contains(&"127.0.0.1:1".to_owned())
        );
        assert!(server.log().is_empty());
    }
}

#[test]
fn threads_share_a_resolver() {
    let server = honest("192.0.2.1");
    let resolver = asking(&[&server], "options no-aaaa\n");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 0..4 {
                    assert_eq!(found(resolver.resolve(&format!("a{number}.test"), 1)), ["192.0.2.1:1"]);
                }
            });
        }
    });
    assert_eq!(server.log().len(), 4, "what is in flight or known is not asked again");
}

/// Only texts that are numbers to both: the system would ask its name server for others.
#[test]
fn numbers_are_read_as_the_system_reads_them() {
    let resolver = Resolver::new(Config::empty().nsswitch_text("hosts: files"));
    let four = "127.0.0.1 127.1 127.0.257 2130706433 0x7f.1 0X7F.0.0.1 0177.1 1.2.3 0 00 1.16777215 4294967295";
    let six = ":: ::1 ::ffff:1.2.3.4 ::1.2.3.4 fe80::1 fe80::1%1 fe80::1%lo 2001:db8::1%1 ff02::1%lo ff02::1%1";
    for text in four.split(' ').chain(six.split(' ')) {
        let system = std::net::ToSocketAddrs::to_socket_addrs(&(text, 80)).expect("a number");
        assert_eq!(
            resolver.resolve(text, 80).expect(text),
            system.collect::<Vec<_>>(),
            "{text}"
        );
    }
}

#[test]
fn other_greenlets_run_while_one_looks_up() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let server = DnsServer::start(move |asked| {
        if asked.way == Way::Udp {
            return vec![Deed::Send(asked.truncated())];
        }
        gate.lock().expect("one question").recv().expect("opened");
        vec![Deed::Send(asked.answer(&["60 A 192.0.2.1"]))]
    });
    let resolver = Rc::new(asking(&[&server], "options timeout:30 no-aaaa\n"));
    let asking = iora::spawn(move || found(resolver.resolve("a.test", 1)));
    // Runs only when the first one has parked, and only then there is an answer.
    let opening = iora::spawn(move || open.send(()).expect("waited for"));
    opening.join();
    assert_eq!(asking.get().expect("no panic"), ["192.0.2.1:1"]);
}

#[test]
fn equal_look_ups_of_many_greenlets_ask_once() {
    // An answer that is there at once would end the first look-up before the second begins.
    let (all_ask, do_all_ask) = std::sync::mpsc::channel();
    let do_all_ask = std::sync::Mutex::new(do_all_ask);
    let server = DnsServer::start(move |asked| {
        if asked.number == 0 {
            do_all_ask.lock().expect("unharmed").recv().expect("the test tells");
        }
        vec![Deed::Send(asked.answer(&["60 A 192.0.2.1"]))]
    });
    let text = format!("{}options no-aaaa\n", server.line());
    let resolver = Rc::new(Resolver::new(Config::empty().resolv_conf_text(text).cache_entries(0)));
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let resolver = resolver.clone();
            iora::spawn(move || found(resolver.resolve("a.test.", 1)))
        })
        .collect();
    iora::yield_now();
    all_ask.send(()).expect("the server waits for it");
    for greenlet in asking {
        assert_eq!(greenlet.get().expect("no panic"), ["192.0.2.1:1"]);
    }
    assert_eq!(server.log().len(), 1);
    assert_eq!(found(resolver.resolve("a.test.", 1)), ["192.0.2.1:1"]);
    assert_eq!(server.log().len(), 2, "nothing is kept where nothing may be");
}

#[test]
fn a_killed_look_up_leaves_those_who_wait_with_it_unharmed() {
    let (seen, saw) = std::sync::mpsc::channel();
    let server = DnsServer::start(move |asked| match asked.number {
        0 => {
            seen.send(()).expect("waited for");
            Vec::new()
        }
        _ => vec![Deed::Send(asked.answer(&["60 A 192.0.2.1"]))],
    });
    let resolver = Rc::new(asking(&[&server], "options timeout:30 no-aaaa\n"));
    let look_up = || {
        let resolver = resolver.clone();
        iora::spawn(move || found(resolver.resolve("a.test", 1)))
    };
    let (first, second) = (look_up(), look_up());
    iora::yield_now();
    saw.recv().expect("the first one has asked");
    first.kill();
    assert!(first.get().is_err());
    assert_eq!(second.get().expect("no panic"), ["192.0.2.1:1"]);
    assert_eq!(server.log().len(), 2);
}
