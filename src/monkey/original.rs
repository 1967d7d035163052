//! The C library's own functions, where a system call does not replace them: names, joining threads, and closing streams. Found
//! when first wanted, far from any path that has to be fast.
#![expect(unsafe_code, reason = "calls functions that the dynamic linker finds")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{FILE, addrinfo, hostent, pthread_t, size_t, sockaddr, socklen_t};

/// A function of the C library.
struct Original {
    /// Its name.
    name: &'static CStr,
    /// Its address, once it was wanted.
    address: AtomicPtr<c_void>,
}

impl Original {
    /// Not looked for yet.
    const fn new(name: &'static CStr) -> Original {
        Original {
            name,
            address: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Its address: the next definition after the program's own.
    fn find(&self) -> Option<*mut c_void> {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return Some(known);
        }
        // SAFETY: the name is a string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(found, Ordering::Relaxed);
        (!found.is_null()).then_some(found)
    }
}

/// As the function of that name.
pub(super) fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    wanted: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    type Function = unsafe extern "C" fn(*const c_char, *const c_char, *const addrinfo, *mut *mut addrinfo) -> c_int;
    static ORIGINAL: Original = Original::new(c"getaddrinfo");
    let Some(address) = ORIGINAL.find() else {
        return libc::EAI_FAIL;
    };
    // SAFETY: the C library's function of that name has this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: the arguments are those of the hook, whose caller vouches for them.
    unsafe { function(node, service, wanted, found) }
}

/// As the function of that name.
pub(super) fn getnameinfo(
    address: *const sockaddr,
    length: socklen_t,
    host: *mut c_char,
    host_room: socklen_t,
    service: *mut c_char,
    service_room: socklen_t,
    flags: c_int,
) -> c_int {
    type Function = unsafe extern "C" fn(
        *const sockaddr,
        socklen_t,
        *mut c_char,
        socklen_t,
        *mut c_char,
        socklen_t,
        c_int,
    ) -> c_int;
    static ORIGINAL: Original = Original::new(c"getnameinfo");
    let Some(original) = ORIGINAL.find() else {
        return libc::EAI_FAIL;
    };
    // SAFETY: the C library's function of that name has this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(original) };
    // SAFETY: the arguments are those of the hook, whose caller vouches for them.
    unsafe { function(address, length, host, host_room, service, service_room, flags) }
}

/// As the function of that name.
pub(super) fn gethostbyname2_r(
    name: *const c_char,
    family: c_int,
    host: *mut hostent,
    buffer: *mut c_char,
    room: size_t,
    found: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    type Function = unsafe extern "C" fn(
        *const c_char,
        c_int,
        *mut hostent,
        *mut c_char,
        size_t,
        *mut *mut hostent,
        *mut c_int,
    ) -> c_int;
    static ORIGINAL: Original = Original::new(c"gethostbyname2_r");
    let Some(address) = ORIGINAL.find() else {
        return libc::ENOSYS;
    };
    // SAFETY: the C library's function of that name has this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: the arguments are those of the hook, whose caller vouches for them.
    unsafe { function(name, family, host, buffer, room, found, error) }
}

/// As the function of that name.
pub(super) fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int {
    type Function = unsafe extern "C" fn(pthread_t, *mut *mut c_void) -> c_int;
    static ORIGINAL: Original = Original::new(c"pthread_join");
    let Some(address) = ORIGINAL.find() else {
        return libc::ENOSYS;
    };
    // SAFETY: the C library's function of that name has this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: the arguments are those of the hook, whose caller vouches for them.
    unsafe { function(thread, value) }
}

/// As the function of that name.
pub(super) fn fclose(stream: *mut FILE) -> c_int {
    static ORIGINAL: Original = Original::new(c"fclose");
    close_stream(&ORIGINAL, stream)
}

/// As the function of that name.
pub(super) fn pclose(stream: *mut FILE) -> c_int {
    static ORIGINAL: Original = Original::new(c"pclose");
    close_stream(&ORIGINAL, stream)
}

/// Calls one of the two.
fn close_stream(original: &Original, stream: *mut FILE) -> c_int {
    type Function = unsafe extern "C" fn(*mut FILE) -> c_int;
    let Some(address) = original.find() else { return -1 };
    // SAFETY: the C library's functions of these names have this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: the argument is the hook's, whose caller vouches for it.
    unsafe { function(stream) }
}

/// Sets the thread's `h_errno`.
pub(super) fn set_h_errno(number: c_int) {
    type Function = unsafe extern "C" fn() -> *mut c_int;
    static ORIGINAL: Original = Original::new(c"__h_errno_location");
    let Some(address) = ORIGINAL.find() else { return };
    // SAFETY: the C library's function of that name has this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: takes nothing.
    let place = unsafe { function() };
    // SAFETY: the calling thread's own, valid for as long as it runs.
    unsafe { *place = number };
}
