//! Feeds `iora::fuzzing::resolv_conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| iora::fuzzing::resolv_conf(content));
