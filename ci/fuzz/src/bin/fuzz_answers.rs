//! Feeds `iora::fuzzing::answers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| iora::fuzzing::answers(content));
