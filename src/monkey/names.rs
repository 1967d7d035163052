//! Hooks of what looks names up: the process's resolver answers, in the structures of the C library.
//!
//! Each result is made with `malloc`, an entry and its address in one piece and the name in another, as the GNU library does:
//! so its `freeaddrinfo` and ours can each free what the other made.
#![expect(
    unsafe_code,
    reason = "defines functions of libc, and builds their results in raw memory"
)]

use std::ffi::{CStr, c_char, c_int};
use std::net::SocketAddr;
use std::ptr;

use libc::{addrinfo, sockaddr, socklen_t};

use super::frame::{DNS, is_on};
use super::original;
use crate::dns::{AddrInfo, Failure, Family, Hints, LookupError, Resolver, SocketType};
use crate::hub::hooks;
use crate::sys::errno;
use crate::threadpool;

/// The flags that are understood; with any other one the C library is asked.
const FLAGS: c_int = libc::AI_PASSIVE
    | libc::AI_CANONNAME
    | libc::AI_NUMERICHOST
    | libc::AI_NUMERICSERV
    | libc::AI_ADDRCONFIG
    | libc::AI_V4MAPPED
    | libc::AI_ALL;

/// Whether the resolver is to be asked.
pub(super) fn may_ask() -> bool {
    is_on(DNS) && hooks::may_wait()
}

/// Text that C points to; `None` for null, `Err` for what is no UTF-8.
pub(super) fn text<'a>(pointer: *const c_char) -> Option<Result<&'a str, std::str::Utf8Error>> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null; the caller of the hook vouches for a string that lives during the call.
    Some(unsafe { CStr::from_ptr(pointer) }.to_str())
}

/// getaddrinfo(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    wanted: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    let real = || original::getaddrinfo(node, service, wanted, found);
    if !may_ask() {
        return real();
    }
    // SAFETY: null, or hints that the caller vouches for.
    let wanted = unsafe { wanted.as_ref() };
    let (Some(hints), Ok(host), Ok(port)) = (hints(wanted), text(node).transpose(), text(service).transpose()) else {
        return real();
    };
    let asked = hooks::quietly(|| Resolver::system().getaddrinfo(host, port, &hints));
    match asked {
        None => {
            errno::set(libc::ECANCELED);
            libc::EAI_SYSTEM
        }
        Some(Ok(infos)) => {
            let flags = wanted.map_or(libc::AI_V4MAPPED | libc::AI_ADDRCONFIG, |wanted| wanted.ai_flags);
            match build(&infos, flags) {
                Some(first) => {
                    // SAFETY: the caller's to be written to.
                    unsafe { *found = first };
                    0
                }
                None => libc::EAI_MEMORY,
            }
        }
        Some(Err(error)) => code(&error),
    }
}

/// What is wanted; `None` for what only the C library understands, or refuses.
fn hints(wanted: Option<&addrinfo>) -> Option<Hints> {
    let Some(wanted) = wanted else {
        // As the C library does without hints.
        return Some(Hints {
            address_config: true,
            v4_mapped: true,
            ..Hints::default()
        });
    };
    if wanted.ai_flags & !FLAGS != 0 {
        return None;
    }
    let has = |flag| wanted.ai_flags & flag != 0;
    Some(Hints {
        family: match wanted.ai_family {
            libc::AF_UNSPEC => Family::Any,
            libc::AF_INET => Family::V4,
            libc::AF_INET6 => Family::V6,
            _ => return None,
        },
        socket_type: match wanted.ai_socktype {
            0 => None,
            libc::SOCK_STREAM => Some(SocketType::Stream),
            libc::SOCK_DGRAM => Some(SocketType::Datagram),
            libc::SOCK_RAW => Some(SocketType::Raw),
            _ => return None,
        },
        protocol: wanted.ai_protocol,
        passive: has(libc::AI_PASSIVE),
        canonical_name: has(libc::AI_CANONNAME),
        numeric_host: has(libc::AI_NUMERICHOST),
        numeric_service: has(libc::AI_NUMERICSERV),
        address_config: has(libc::AI_ADDRCONFIG),
        v4_mapped: has(libc::AI_V4MAPPED),
        all: has(libc::AI_ALL),
    })
}

/// An error's `EAI_` code.
pub(super) fn code(error: &std::io::Error) -> c_int {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<LookupError>());
    match inner.map(LookupError::failure) {
        Some(Failure::NoName | Failure::BadName) => libc::EAI_NONAME,
        Some(Failure::NoData) => libc::EAI_NODATA,
        Some(Failure::TimedOut | Failure::Again) => libc::EAI_AGAIN,
        Some(Failure::Service) => libc::EAI_SERVICE,
        Some(Failure::AddressFamily) => EAI_ADDRFAMILY,
        Some(Failure::SocketType) => libc::EAI_SOCKTYPE,
        Some(Failure::BadFlags) => libc::EAI_BADFLAGS,
        None => libc::EAI_FAIL,
    }
}

/// The address is of another family than the wanted one.
pub(super) const EAI_ADDRFAMILY: c_int = -9;

/// A list in the form of C; `None` without memory.
fn build(infos: &[AddrInfo], flags: c_int) -> Option<*mut addrinfo> {
    let mut first = ptr::null_mut();
    for info in infos.iter().rev() {
        let Some(entry) = entry(info, flags, first) else {
            free(first);
            return None;
        };
        first = entry;
    }
    Some(first)
}

/// One entry of the list.
fn entry(info: &AddrInfo, flags: c_int, next: *mut addrinfo) -> Option<*mut addrinfo> {
    let (length, family) = match info.address {
        SocketAddr::V4(_) => (size_of::<libc::sockaddr_in>(), libc::AF_INET),
        SocketAddr::V6(_) => (size_of::<libc::sockaddr_in6>(), libc::AF_INET6),
    };
    // SAFETY: takes sizes. An entry's alignment is that of any allocation, and its size a multiple of an address's.
    let memory = unsafe { libc::calloc(1, size_of::<addrinfo>() + length) }.cast::<addrinfo>();
    if memory.is_null() {
        return None;
    }
    let address = memory.wrapping_add(1).cast::<sockaddr>();
    match info.address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: family as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: behind the entry there is room for it, suitably aligned.
            unsafe { address.cast::<libc::sockaddr_in>().write(raw) };
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: family as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: behind the entry there is room for it, suitably aligned.
            unsafe { address.cast::<libc::sockaddr_in6>().write(raw) };
        }
    }
    let name = match &info.canonical_name {
        Some(name) => copy_text(name).or_else(|| {
            // All zeros: a list of one, without a name.
            free(memory);
            None
        })?,
        None => ptr::null_mut(),
    };
    let whole = addrinfo {
        ai_flags: flags,
        ai_family: family,
        ai_socktype: match info.socket_type {
            SocketType::Stream => libc::SOCK_STREAM,
            SocketType::Datagram => libc::SOCK_DGRAM,
            SocketType::Raw => libc::SOCK_RAW,
        },
        ai_protocol: info.protocol,
        ai_addrlen: length as socklen_t,
        ai_addr: address,
        ai_canonname: name,
        ai_next: next,
    };
    // SAFETY: the memory is there, for an entry and more.
    unsafe { memory.write(whole) };
    Some(memory)
}

/// A string of C's own.
fn copy_text(text: &str) -> Option<*mut c_char> {
    // SAFETY: the pointer is to so many bytes; what is copied is followed by a zero.
    let copy = unsafe { libc::strndup(text.as_ptr().cast(), text.len()) };
    (!copy.is_null()).then_some(copy)
}

/// freeaddrinfo(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn freeaddrinfo(first: *mut addrinfo) {
    free(first);
}

/// Frees a list, whoever made it.
fn free(mut entry: *mut addrinfo) {
    while !entry.is_null() {
        // SAFETY: an entry of the list that the caller owns.
        let addrinfo {
            ai_canonname: name,
            ai_next: next,
            ..
        } = unsafe { *entry };
        // SAFETY: made by malloc, or null.
        unsafe { libc::free(name.cast()) };
        // SAFETY: made by malloc, and nobody uses it any more.
        unsafe { libc::free(entry.cast()) };
        entry = next;
    }
}

/// No name takes more room.
const LONGEST_NAME: socklen_t = 1 << 14;

/// getnameinfo(3): numbers are written here, names are asked for on the thread pool.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getnameinfo(
    address: *const sockaddr,
    length: socklen_t,
    host: *mut c_char,
    host_room: socklen_t,
    service: *mut c_char,
    service_room: socklen_t,
    flags: c_int,
) -> c_int {
    let numeric = flags & libc::NI_NUMERICHOST != 0 || host.is_null() || host_room == 0;
    if numeric || address.is_null() || !may_ask() {
        return original::getnameinfo(address, length, host, host_room, service, service_room, flags);
    }
    let length = length.min(size_of::<libc::sockaddr_storage>() as socklen_t);
    let host_room = host_room.min(LONGEST_NAME);
    let service_room = if service.is_null() {
        0
    } else {
        service_room.min(LONGEST_NAME)
    };
    let mut bytes = vec![0_u64; (length as usize).div_ceil(8)];
    // SAFETY: the caller vouches for so many bytes; there is room for them.
    unsafe { ptr::copy_nonoverlapping(address.cast::<u8>(), bytes.as_mut_ptr().cast(), length as usize) };
    let asked = hooks::quietly(|| {
        threadpool::apply(move || {
            let mut host = vec![0_u8; host_room as usize];
            let mut service = vec![0_u8; service_room as usize];
            let result = original::getnameinfo(
                bytes.as_ptr().cast(),
                length,
                host.as_mut_ptr().cast(),
                host_room,
                service.as_mut_ptr().cast(),
                service_room,
                flags,
            );
            (result, errno::get(), host, service)
        })
    });
    let Some((result, number, host_name, service_name)) = asked else {
        errno::set(libc::ECANCELED);
        return libc::EAI_SYSTEM;
    };
    if result == libc::EAI_SYSTEM {
        errno::set(number);
    }
    if result == 0 {
        for (to, from) in [(host, host_name), (service, service_name)] {
            // Where there was no room, nothing was written.
            let length = from.iter().position(|byte| *byte == 0).map_or(0, |end| end + 1);
            if !to.is_null() {
                // SAFETY: not longer than the buffer that the caller gave.
                unsafe { ptr::copy_nonoverlapping(from.as_ptr().cast(), to, length) };
            }
        }
    }
    result
}
