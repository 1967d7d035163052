//! Hooks of the older functions for names: `gethostbyname` and variants, answered as `getaddrinfo` is: without other names
//! (aliases), and hexadecimal addresses are understood.
#![expect(
    unsafe_code,
    reason = "defines functions of libc, and builds their results in raw memory"
)]

use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::net::IpAddr;
use std::{mem, ptr};

use libc::{hostent, size_t};

use super::names::{EAI_ADDRFAMILY, code, may_ask, text};
use super::original;
use crate::dns::{AddrInfo, Family, Hints, Resolver, SocketType};
use crate::greenlet::Local;
use crate::hub::{hooks, spawn};

/// `h_errno`: no such host.
const HOST_NOT_FOUND: c_int = 1;
/// `h_errno`: try again.
const TRY_AGAIN: c_int = 2;
/// `h_errno`: the servers failed for good.
const NO_RECOVERY: c_int = 3;
/// `h_errno`: no such address.
const NO_DATA: c_int = 4;

/// gethostbyname_r(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gethostbyname_r(
    name: *const c_char,
    host: *mut hostent,
    buffer: *mut c_char,
    room: size_t,
    found: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: as the caller of this function.
    unsafe { gethostbyname2_r(name, libc::AF_INET, host, buffer, room, found, error) }
}

/// gethostbyname2_r(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gethostbyname2_r(
    name: *const c_char,
    family: c_int,
    host: *mut hostent,
    buffer: *mut c_char,
    room: size_t,
    found: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    let wanted = match family {
        libc::AF_INET => Some(Family::V4),
        libc::AF_INET6 => Some(Family::V6),
        _ => None,
    };
    let (Some(wanted), Some(Ok(asked)), true) = (wanted, text(name), may_ask()) else {
        return original::gethostbyname2_r(name, family, host, buffer, room, found, error);
    };
    // SAFETY: the caller's to be written to.
    unsafe { *found = ptr::null_mut() };
    // What looks like an address is no name.
    let digits = asked.starts_with(|first: char| first.is_ascii_digit())
        && asked.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && !asked.ends_with('.');
    let is_v6 = asked.contains(':');
    let hints = Hints {
        family: wanted,
        socket_type: Some(SocketType::Stream),
        canonical_name: true,
        numeric_host: digits || is_v6,
        ..Hints::default()
    };
    let of_other_kind = is_v6 && (wanted == Family::V4 || asked.contains('%'));
    let answer = if of_other_kind {
        Some(Ok(Vec::new()))
    } else {
        hooks::quietly(|| Resolver::system().getaddrinfo(Some(asked), None, &hints))
    };
    let (number, host_error) = match answer {
        None => (libc::ECANCELED, TRY_AGAIN),
        Some(Err(failure)) => match code(&failure) {
            libc::EAI_AGAIN => (libc::EAGAIN, TRY_AGAIN),
            libc::EAI_NODATA => (0, NO_DATA),
            libc::EAI_NONAME | EAI_ADDRFAMILY => (0, HOST_NOT_FOUND),
            _ => (0, NO_RECOVERY),
        },
        Some(Ok(infos)) if infos.is_empty() => (0, HOST_NOT_FOUND),
        Some(Ok(infos)) => match pack(&infos, asked, family, buffer, room) {
            None => (libc::ERANGE, -1),
            Some(packed) => {
                // SAFETY: the caller's to be written to.
                unsafe { *host = packed };
                // SAFETY: as above.
                unsafe { *found = host };
                (0, 0)
            }
        },
    };
    // SAFETY: the caller's to be written to.
    unsafe { *error = host_error };
    number
}

/// Puts a host with its addresses into the caller's buffer; `None` if there is no room.
fn pack(infos: &[AddrInfo], asked: &str, family: c_int, buffer: *mut c_char, room: usize) -> Option<hostent> {
    let canonical = infos
        .first()
        .and_then(|info| info.canonical_name.as_deref())
        .unwrap_or(asked);
    let size = if family == libc::AF_INET { 4 } else { 16 };
    let skip = buffer.align_offset(align_of::<*mut c_char>());
    // Pointers (aliases: none; addresses; an end for each), then addresses, then the name.
    let pointers = infos.len() + 2;
    let needed = skip + pointers * size_of::<*mut c_char>() + infos.len() * size + canonical.len() + 1;
    if needed > room {
        return None;
    }
    let table = buffer.wrapping_add(skip).cast::<*mut c_char>();
    let mut place = table.wrapping_add(pointers).cast::<u8>();
    // SAFETY: within the buffer and aligned, as counted above.
    unsafe { table.write(ptr::null_mut()) };
    for (index, info) in infos.iter().enumerate() {
        let octets: Vec<u8> = match info.address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        // SAFETY: within the buffer, as counted above.
        unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), place, size.min(octets.len())) };
        // SAFETY: as above, and aligned.
        unsafe { table.wrapping_add(1 + index).write(place.cast()) };
        place = place.wrapping_add(size);
    }
    // SAFETY: as above.
    unsafe { table.wrapping_add(pointers - 1).write(ptr::null_mut()) };
    // SAFETY: as above.
    unsafe { ptr::copy_nonoverlapping(canonical.as_ptr(), place, canonical.len()) };
    // SAFETY: as above: one more byte was counted.
    unsafe { place.wrapping_add(canonical.len()).write(0) };
    Some(hostent {
        h_name: place.cast(),
        h_aliases: table,
        h_addrtype: family,
        h_length: size as c_int,
        h_addr_list: table.wrapping_add(1),
    })
}

/// A host and the memory behind it: what `gethostbyname` gives, until whoever called it calls it again.
struct Static {
    /// Points into `buffer`.
    host: hostent,
    /// Grows as needed.
    buffer: Vec<c_char>,
}

thread_local! {
    /// The last answer of `gethostbyname` on this thread's own stack.
    static OF_THREAD: Cell<Option<Box<Static>>> = const { Cell::new(None) };
}

/// The last answer of `gethostbyname` in this greenlet: a neighbour's question does not take it away.
static OF_GREENLET: Local<Cell<Option<Box<Static>>>> = Local::new(|| Cell::new(None));

/// Keeps an answer in place of the former one; `false` where there is no place for it.
fn keep(answer: Box<Static>) -> bool {
    if spawn::in_greenlet() {
        OF_GREENLET.with(|last| last.set(Some(answer)));
        return true;
    }
    OF_THREAD.try_with(|last| last.set(Some(answer))).is_ok()
}

/// gethostbyname(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gethostbyname(name: *const c_char) -> *mut hostent {
    // SAFETY: as the caller of this function.
    unsafe { gethostbyname2(name, libc::AF_INET) }
}

/// gethostbyname2(3)
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent {
    let mut room = 1024;
    loop {
        // SAFETY: a host is pointers and integers, for which zero is a value.
        let host = unsafe { mem::zeroed() };
        let mut answer = Box::new(Static {
            host,
            buffer: vec![0; room],
        });
        let mut found = ptr::null_mut();
        let mut error = 0;
        let (host, buffer) = (&raw mut answer.host, answer.buffer.as_mut_ptr());
        // SAFETY: the name is the caller's, all else lives in this frame or in the box.
        let result = unsafe { gethostbyname2_r(name, family, host, buffer, room, &raw mut found, &raw mut error) };
        if result == libc::ERANGE && room < 1 << 20 {
            room *= 4;
            continue;
        }
        original::set_h_errno(error);
        if found.is_null() {
            return ptr::null_mut();
        }
        if !keep(answer) {
            // The thread is ending: there is no place for an answer any more.
            original::set_h_errno(NO_RECOVERY);
            return ptr::null_mut();
        }
        return found;
    }
}
