//! Pure data structures: no system call, no coroutine, no clock.
