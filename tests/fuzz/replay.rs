//! The fuzz targets without a fuzzer: every input that one has kept, and as many small changes to these as a test has
//! time for. What a fuzzer finds goes into `corpus/`, and is asked here from then on.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use tollgate::masking;

#[path = "../../src/masking/tests/elements.rs"]
mod elements;
#[path = "targets/escapes.rs"]
mod escapes;
#[path = "targets/headers.rs"]
mod headers;
#[path = "targets/json.rs"]
mod json;
#[path = "targets/path.rs"]
mod path;
#[path = "targets/pipeline.rs"]
mod pipeline;
#[path = "targets/query.rs"]
mod query;
#[path = "../../src/masking/tests/rules.rs"]
mod rules;
#[path = "targets/runs.rs"]
mod runs;
#[path = "targets/csv.rs"]
mod tables;
#[path = "targets/token.rs"]
mod token;

#[path = "targets/xml.rs"]
mod documents;

/// Changed inputs for each target.
const CHANGES: usize = 20_000;

#[test]
fn csv() {
    replay("csv", tables::run);
}

#[test]
fn headers() {
    replay("headers", headers::run);
}

#[test]
fn json() {
    replay("json", json::run);
}

#[test]
fn path() {
    replay("path", path::run);
}

#[test]
fn pipeline() {
    replay("pipeline", pipeline::run);
}

#[test]
fn query() {
    replay("query", query::run);
}

#[test]
fn token() {
    replay("token", token::run);
}

#[test]
fn xml() {
    replay("xml", documents::run);
}

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let mut inputs: Vec<Vec<u8>> = fs::read_dir(&folder)
        .unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()))
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "{} has hardly any inputs", folder.display());
    for input in &inputs {
        run(input);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..CHANGES {
        run(&random.changed(&inputs));
    }
}

/// Xorshift: the same changes each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end.max(1)
    }

    /// One input with a few bytes replaced, taken out, or put in from another.
    fn changed(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(3) {
            let at = self.below(input.len());
            let other = &inputs[self.below(inputs.len())];
            let from = self.below(other.len());
            let piece = &other[from..other.len().min(from + 1 + self.below(8))];
            match self.below(3) {
                0 => drop(input.splice(at..at, piece.iter().copied())),
                1 => drop(input.splice(at..input.len().min(at + 1 + self.below(4)), [])),
                _ => {
                    if let Some(byte) = input.get_mut(at) {
                        *byte = piece.first().copied().unwrap_or_default();
                    }
                }
            }
        }
        input
    }
}
