//! libFuzzer over `targets/query.rs`.
#![no_main]

#[path = "../targets/escapes.rs"]
mod escapes;
#[path = "../targets/query.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
