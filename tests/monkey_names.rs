//! Names: what hooked functions say is what the C library says, over a table of names, services, families, kinds and flags.
#![cfg(all(feature = "monkey", target_os = "linux", target_env = "gnu"))]
#![expect(unsafe_code, reason = "calls functions of libc")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "several fields of one structure")]

#[path = "common/patched.rs"]
#[expect(dead_code, reason = "no descriptors are needed here")]
mod patched;

use std::ffi::{CStr, CString, c_char, c_int};
use std::iter;
use std::net::UdpSocket;
use std::process::Command;
use std::ptr;

use iora::monkey;
use patched::in_greenlet;

/// A file of hosts, with what is odd in such files.
const HOSTS: &str = "\
127.0.0.1 localhost
::1 ip6-localhost
192.0.2.1 four.test four-alias.test
2001:db8::1 six.test
192.0.2.2 both.test
2001:db8::2 both.test
192.0.2.3 many.test
192.0.2.4 many.test other-of-many.test
192.0.2.5 Mixed.Test
192.0.2.6 plain # a comment.test
not-an-address nowhere.test
";

/// Tells the child whose files it sees.
const WHOSE: &str = "IORA_TEST_NAMES";

/// Runs a test of this file again, in a process of its own that sees the files above in the place of the system's, where
/// that is possible. In the child this says `true`, and the test goes on.
fn with_files_of_our_own(test: &str) -> bool {
    if std::env::var_os(WHOSE).is_some() {
        return true;
    }
    let folder = std::env::temp_dir().join(format!("iora-names-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("hosts"), HOSTS).unwrap();
    // Nobody answers there.
    std::fs::write(
        folder.join("resolv.conf"),
        "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("nsswitch.conf"),
        "hosts: files dns\nservices: files\nprotocols: files\n",
    )
    .unwrap();
    let script = "for file in hosts resolv.conf nsswitch.conf; do mount --bind \"$0/$file\" /etc/$file || exit 99; done\n\
                  exec \"$@\"";
    let run = |command: &mut Command, whose: &str| {
        let output = command
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(WHOSE, whose)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let is_possible = Command::new("unshare")
        .args(["-rm", "sh", "-c"])
        .arg(script)
        .arg(&folder)
        .arg("true")
        .status();
    let (code, text) = if is_possible.is_ok_and(|status| status.success()) {
        let unshare = &mut Command::new("unshare");
        run(unshare.args(["-rm", "sh", "-c"]).arg(script).arg(&folder), "ours")
    } else {
        // In a container, for instance.
        run(Command::new("env").arg("--"), "the system's")
    };
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(code, Some(0), "{text}");
    false
}

/// Names that are found, and names that are not, and what is no name.
const NAMES: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "four.test",
    "four-alias.test",
    "six.test",
    "both.test",
    "many.test",
    "other-of-many.test",
    "mixed.test",
    "Mixed.Test",
    "plain",
    "comment.test",
    "nowhere.test",
    "missing.test",
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "256.0.0.1",
    "1.2.3.4.5",
    "1.2.3.",
    "::1",
    "::",
    "::ffff:192.0.2.1",
    "fe80::1%lo",
    "fe80::1%1",
    "fe80::1%none",
    "::1%lo",
    "::g",
    "1::2::3",
    "",
    "a b",
    "a..b",
    "a_b.test",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test",
];

/// Whether this process sees the files above.
fn files_are_ours() -> bool {
    std::env::var_os(WHOSE).is_some_and(|whose| whose == "ours")
}

/// The names to try: all, or, where the system's own files would send some to a server, which may answer one thing now and
/// another later, those that every system knows by itself.
fn names() -> impl Iterator<Item = &'static str> {
    let known = |name: &str| {
        let numeric = [libc::AF_UNSPEC, libc::SOCK_STREAM, 0, libc::AI_NUMERICHOST];
        let found = monkey::unpatched(|| look_up(Some(name), None, Some(numeric)));
        name.eq_ignore_ascii_case("localhost") || !found.starts_with("error")
    };
    NAMES
        .iter()
        .copied()
        .filter(move |name| files_are_ours() || known(name))
}

/// Whether this machine has a way to addresses of both kinds. Where it has not, the C library goes by the interfaces and fails
/// for whatever it is asked, hooks go by the routes and leave out what cannot be reached.
fn has_both_families() -> bool {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")]
        .iter()
        .all(|(from, to)| UdpSocket::bind(from).is_ok_and(|socket| socket.connect(to).is_ok()))
}

const FAMILIES: [c_int; 4] = [libc::AF_UNSPEC, libc::AF_INET, libc::AF_INET6, 99];

/// What `getaddrinfo` says, as text.
fn look_up(host: Option<&str>, service: Option<&str>, hints: Option<[c_int; 4]>) -> String {
    let text = |text: Option<&str>| text.map(|text| CString::new(text).unwrap());
    let (host, service) = (text(host), text(service));
    let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    // SAFETY: hints are integers and pointers, for which zero is a value.
    let mut wanted: libc::addrinfo = unsafe { std::mem::zeroed() };
    if let Some([family, kind, protocol, flags]) = hints {
        (wanted.ai_family, wanted.ai_socktype) = (family, kind);
        (wanted.ai_protocol, wanted.ai_flags) = (protocol, flags);
    }
    let given = if hints.is_some() {
        &raw const wanted
    } else {
        ptr::null()
    };
    let mut found = ptr::null_mut();
    // SAFETY: strings and hints outlive the call.
    let code = unsafe { libc::getaddrinfo(pointer(&host), pointer(&service), given, &raw mut found) };
    if code != 0 {
        return format!("error {code}");
    }
    let mut lines = Vec::new();
    let mut next = found;
    while !next.is_null() {
        // SAFETY: an entry of the list, with an address of that length.
        let (entry, address) = unsafe {
            let entry = &*next;
            (
                entry,
                std::slice::from_raw_parts(entry.ai_addr.cast::<u8>(), entry.ai_addrlen as usize),
            )
        };
        let name = string(entry.ai_canonname);
        let numbers = [entry.ai_flags, entry.ai_family, entry.ai_socktype, entry.ai_protocol];
        lines.push(format!("{numbers:?} {address:?} {name:?}"));
        next = entry.ai_next;
    }
    // SAFETY: the list is not used any more.
    unsafe { libc::freeaddrinfo(found) };
    lines.join("; ")
}

/// A string of C's, if there is one.
fn string(text: *const c_char) -> Option<String> {
    // SAFETY: null, or a string that lives as long as the call.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Calls `ask` with the hooks and without them, and wants the same.
fn same<R: PartialEq + std::fmt::Debug>(what: &str, differences: &mut Vec<String>, ask: impl Fn() -> R) {
    let expected = monkey::unpatched(&ask);
    let found = ask();
    if found != expected {
        differences.push(format!("{what}:\n  hooked {found:?}\n  libc   {expected:?}"));
    }
}

#[track_caller]
fn assert_none(differences: &[String]) {
    let count = differences.len();
    assert!(
        differences.is_empty(),
        "{count} differences\n{}",
        differences.join("\n")
    );
}

#[test]
fn getaddrinfo() {
    if !with_files_of_our_own("getaddrinfo") {
        return;
    }
    in_greenlet(|| {
        let mut differences = Vec::new();
        let has_both = has_both_families();
        let mut check = |host, service, hints: Option<[c_int; 4]>| {
            // Without hints the flag is set.
            if !has_both && hints.is_none_or(|[.., flags]| flags & libc::AI_ADDRCONFIG != 0) {
                return;
            }
            let what = format!("{host:?} {service:?} {hints:?}");
            same(&what, &mut differences, || look_up(host, service, hints));
        };
        const FLAGS: [c_int; 9] = [
            0,
            libc::AI_PASSIVE,
            libc::AI_CANONNAME,
            libc::AI_NUMERICHOST,
            libc::AI_NUMERICHOST | libc::AI_CANONNAME,
            libc::AI_NUMERICSERV,
            libc::AI_V4MAPPED,
            libc::AI_V4MAPPED | libc::AI_ALL,
            libc::AI_ADDRCONFIG,
        ];
        for name in names() {
            check(Some(name), None, None);
            for family in FAMILIES {
                // Known to iora whatever the file says.
                if name.eq_ignore_ascii_case("localhost") && family == libc::AF_INET6 {
                    continue;
                }
                for flags in FLAGS {
                    // With this flag the C library asks servers even for what is no name.
                    if flags & libc::AI_CANONNAME != 0 && name.contains([':', ' ']) {
                        continue;
                    }
                    check(Some(name), None, Some([family, libc::SOCK_STREAM, 0, flags]));
                }
            }
        }
        let both = files_are_ours().then_some("both.test");
        for host in [None, Some("127.0.0.1"), both] {
            for service in [
                None,
                Some("80"),
                Some("http"),
                Some("domain"),
                Some("no-such-service"),
                Some("-1"),
                Some(""),
            ] {
                check(host, service, None);
                for kind in [
                    0,
                    libc::SOCK_STREAM,
                    libc::SOCK_DGRAM,
                    libc::SOCK_RAW,
                    libc::SOCK_SEQPACKET,
                    99,
                ] {
                    for protocol in [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, 99] {
                        for flags in [0, libc::AI_PASSIVE, libc::AI_NUMERICSERV, libc::AI_CANONNAME, 0x8000] {
                            check(host, service, Some([libc::AF_UNSPEC, kind, protocol, flags]));
                        }
                    }
                }
            }
        }
        assert_none(&differences);
    });
}

unsafe extern "C" {
    fn gethostbyname(name: *const c_char) -> *mut libc::hostent;
    fn gethostbyname2(name: *const c_char, family: c_int) -> *mut libc::hostent;
    fn gethostbyname2_r(
        name: *const c_char,
        family: c_int,
        host: *mut libc::hostent,
        buffer: *mut c_char,
        room: usize,
        found: *mut *mut libc::hostent,
        error: *mut c_int,
    ) -> c_int;
    fn gethostbyname_r(
        name: *const c_char,
        host: *mut libc::hostent,
        buffer: *mut c_char,
        room: usize,
        found: *mut *mut libc::hostent,
        error: *mut c_int,
    ) -> c_int;
    fn __h_errno_location() -> *mut c_int;
}

/// A host: its name, kind and addresses. Its other names are not given by hooks.
type Host = (Option<String>, c_int, Vec<Vec<u8>>);

/// Reads a host.
fn host(host: *const libc::hostent) -> Option<Host> {
    // SAFETY: null, or a host; its lists end with null.
    unsafe {
        let host = host.as_ref()?;
        let list = |mut place: *mut *mut c_char| {
            let mut all = Vec::new();
            while !place.is_null() && !(*place).is_null() {
                all.push(*place);
                place = place.add(1);
            }
            all
        };
        let length = host.h_length as usize;
        assert!(!host.h_aliases.is_null());
        let addresses = list(host.h_addr_list).into_iter();
        let addresses = addresses.map(|at| std::slice::from_raw_parts(at.cast::<u8>(), length).to_vec());
        Some((string(host.h_name), host.h_addrtype, addresses.collect()))
    }
}

#[test]
fn the_older_functions() {
    if !with_files_of_our_own("the_older_functions") {
        return;
    }
    in_greenlet(|| {
        let mut differences = Vec::new();
        // These functions do not read hexadecimal addresses, where hooks do.
        for name in names().filter(|name| !name.starts_with("0x") && !name.is_empty()) {
            let text = CString::new(name).unwrap();
            for family in [libc::AF_INET, libc::AF_INET6, 99] {
                if name.eq_ignore_ascii_case("localhost") && family == libc::AF_INET6 {
                    continue;
                }
                // SAFETY: a string.
                let exists = monkey::unpatched(|| unsafe { !gethostbyname2(text.as_ptr(), family).is_null() });
                for room in if exists { vec![1024, 8] } else { vec![1024] } {
                    same(
                        &format!("gethostbyname2_r {name:?} {family} {room}"),
                        &mut differences,
                        || {
                            let mut buffer = vec![0_u64; room / 8];
                            let (mut found, mut error) = (ptr::null_mut(), 0);
                            // SAFETY: a string; a host, which is pointers and integers; so much room.
                            unsafe {
                                let mut place: libc::hostent = std::mem::zeroed();
                                let at = buffer.as_mut_ptr().cast();
                                let code = gethostbyname2_r(
                                    text.as_ptr(),
                                    family,
                                    &raw mut place,
                                    at,
                                    room,
                                    &raw mut found,
                                    &raw mut error,
                                );
                                // Without a result, the error says why not; with one it is anything.
                                let error = found.is_null().then_some(error);
                                (code, error, host(found))
                            }
                        },
                    );
                }
                same(&format!("gethostbyname2 {name:?} {family}"), &mut differences, || {
                    // SAFETY: a string; the answer stays until the next call.
                    let found = unsafe { host(gethostbyname2(text.as_ptr(), family)) };
                    // SAFETY: this thread's own.
                    (found.is_none().then(|| unsafe { *__h_errno_location() }), found)
                });
            }
            same(&format!("gethostbyname {name:?}"), &mut differences, || {
                // SAFETY: a string; the answer stays until the next call.
                unsafe { host(gethostbyname(text.as_ptr())) }
            });
            same(&format!("gethostbyname_r {name:?}"), &mut differences, || {
                let mut buffer = vec![0_u64; 128];
                let (mut found, mut error) = (ptr::null_mut(), 0);
                // SAFETY: a string; a host, which is pointers and integers; so much room.
                unsafe {
                    let mut place: libc::hostent = std::mem::zeroed();
                    let at = buffer.as_mut_ptr().cast();
                    let code = gethostbyname_r(text.as_ptr(), &raw mut place, at, 1024, &raw mut found, &raw mut error);
                    (code, host(found))
                }
            });
        }
        assert_none(&differences);
    });
}

/// What `getnameinfo` says of an IPv4 address.
fn name_of(address: [u8; 4], rooms: [usize; 2], flags: c_int) -> (c_int, Option<String>, Option<String>) {
    // SAFETY: an address is integers, for which zero is a value.
    let mut whole: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    whole.sin_family = libc::AF_INET as _;
    whole.sin_port = 80_u16.to_be();
    whole.sin_addr.s_addr = u32::from_ne_bytes(address);
    let [mut host, mut service] = rooms.map(|room| vec![0 as c_char; room]);
    let pointer = |text: &mut Vec<c_char>| {
        if text.is_empty() {
            ptr::null_mut()
        } else {
            text.as_mut_ptr()
        }
    };
    // SAFETY: an address, and so much room.
    let code = unsafe {
        libc::getnameinfo(
            (&raw const whole).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
            pointer(&mut host),
            host.len() as libc::socklen_t,
            pointer(&mut service),
            service.len() as libc::socklen_t,
            flags,
        )
    };
    let text = |text: Vec<c_char>| (code == 0 && !text.is_empty()).then(|| string(text.as_ptr()).unwrap());
    (code, text(host), text(service))
}

#[test]
fn addresses_to_names() {
    if !with_files_of_our_own("addresses_to_names") {
        return;
    }
    in_greenlet(|| {
        let mut differences = Vec::new();
        let ours = [[192, 0, 2, 1], [192, 0, 2, 4]]
            .into_iter()
            .filter(|_| files_are_ours());
        for address in iter::once([127, 0, 0, 1]).chain(ours) {
            for rooms in [[64, 32], [64, 0], [0, 32], [4, 32], [64, 2], [0, 0]] {
                for flags in [
                    0,
                    libc::NI_NUMERICHOST,
                    libc::NI_NUMERICSERV,
                    libc::NI_NAMEREQD,
                    libc::NI_DGRAM,
                    0x4000_0000,
                ] {
                    let what = format!("{address:?} {rooms:?} {flags}");
                    same(&what, &mut differences, || name_of(address, rooms, flags));
                }
            }
        }
        assert_none(&differences);
        let asker = iora::spawn(|| name_of([127, 0, 0, 1], [64, 32], 0));
        assert_eq!(asker.get().unwrap().1.as_deref(), Some("localhost"));
    });
}

#[test]
fn what_gethostbyname_gave_is_the_greenlets_until_it_asks_again() {
    unsafe extern "C" {
        fn gethostbyname(name: *const c_char) -> *mut libc::hostent;
    }
    in_greenlet(|| {
        // SAFETY: strings.
        let ask = |name: &'static CStr| unsafe { gethostbyname(name.as_ptr()) };
        let mine = ask(c"127.0.0.5");
        let before = host(mine);
        let other = iora::spawn(move || host(ask(c"127.0.0.6")));
        assert!(other.get().unwrap().is_some());
        // Memory that was given back is somebody else's by now.
        let _others: Vec<_> = (0..100).map(|size| vec![1_u8; 16 * size]).collect();
        assert!(before.is_some());
        assert!(host(mine) == before);
    });
}

#[test]
fn getnameinfo_writes_a_name_and_no_more() {
    in_greenlet(|| {
        // SAFETY: an address is integers, for which zero is a value.
        let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        (address.sin_family, address.sin_port) = (libc::AF_INET as _, 80_u16.to_be());
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let ask = |address: *const libc::sockaddr_in, host: &mut [c_char], room| {
            // SAFETY: null or an address, and so much room; nobody asks for a service.
            unsafe {
                libc::getnameinfo(
                    address.cast(),
                    size_of::<libc::sockaddr_in>() as libc::socklen_t,
                    host.as_mut_ptr(),
                    host.len() as libc::socklen_t,
                    ptr::null_mut(),
                    room,
                    0,
                )
            }
        };
        let mut host = [b'!' as c_char; 64];
        assert_eq!(
            ask(&raw const address, &mut host, 1),
            0,
            "there is no service to have room for"
        );
        let end = host.iter().position(|byte| *byte == 0).unwrap();
        assert!(host[end + 1..].iter().all(|byte| *byte == b'!' as c_char));
        assert_eq!(ask(ptr::null(), &mut host, 0), libc::EAI_FAMILY);
    });
}
