//! Feeds `iora::fuzzing::hosts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| iora::fuzzing::hosts(content));
