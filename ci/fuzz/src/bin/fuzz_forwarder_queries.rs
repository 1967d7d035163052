//! Feeds `iora_fuzz::forwarder::queries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| iora_fuzz::forwarder::queries(content));
