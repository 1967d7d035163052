//! Feeds `iora::fuzzing::name_services`.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| iora::fuzzing::name_services(content));
