//! Feeds `iora::fuzzing::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| iora::fuzzing::names(content));
