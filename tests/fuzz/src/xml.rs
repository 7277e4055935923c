//! libFuzzer over `targets/xml.rs`.
#![no_main]

use tollgate::masking;

#[path = "../../../src/masking/tests/elements.rs"]
mod elements;
#[path = "../../../src/masking/tests/rules.rs"]
mod rules;
#[path = "../targets/runs.rs"]
mod runs;
#[path = "../targets/xml.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
