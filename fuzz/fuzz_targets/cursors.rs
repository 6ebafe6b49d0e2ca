#![no_main]

#[path = "../bodies/cursors.rs"]
mod cursors;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cursors::body(data));
