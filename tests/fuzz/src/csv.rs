//! libFuzzer over `targets/csv.rs`.
#![no_main]

#[path = "../targets/csv.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
