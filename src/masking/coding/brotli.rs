//! Brotli (RFC 7932). It has no checksum: a wrong bit may give other text, which is masked as what it is.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Engine, Step};

/// Decodes one stream. Its window is at most 16 MiB by format; the larger ones of an extension to it are refused.
pub(super) struct Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>);

impl Brotli {
    pub(super) fn new() -> Self {
        let memory = StandardAlloc::default;
        Self(Box::new(BrotliState::new_strict(memory(), memory(), memory())))
    }
}

impl Engine for Brotli {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, &'static str> {
        let mut step = Step::default();
        let (mut left, mut room, mut total) = (input.len(), out.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut step.read,
            input,
            &mut room,
            &mut step.written,
            out,
            &mut total,
            &mut self.0,
        );
        match result {
            BrotliResult::ResultFailure => Err("no Brotli"),
            BrotliResult::ResultSuccess => Ok(Step { ended: true, ..step }),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(step),
        }
    }
}
