//! libFuzzer over `targets/path.rs`.
#![no_main]

#[path = "../targets/escapes.rs"]
mod escapes;
#[path = "../targets/path.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
