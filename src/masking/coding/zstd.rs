//! Zstandard (RFC 8878). A checksum is verified if the frame has one; a frame that needs a dictionary is refused.

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::{Engine, Step};

/// Largest window, as a power of two in bytes: 8 MiB, which is what a content coding may use (RFC 9659, 3).
pub(super) const MAX_WINDOW_LOG: u32 = 23;

/// Decodes one frame after the other.
pub(super) struct Zstd(Decoder<'static>);

impl Zstd {
    /// `None` if there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        let mut decoder = Decoder::new().ok()?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).ok()?;
        Some(Self(decoder))
    }
}

impl Engine for Zstd {
    /// The reference decoder begins a frame by itself where one has ended.
    fn again(&mut self) -> bool {
        true
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, &'static str> {
        let status = self
            .0
            .run_on_buffers(input, out)
            .map_err(|_| "no Zstandard, a window that is too large, or a wrong checksum")?;
        Ok(Step {
            read: status.bytes_read,
            written: status.bytes_written,
            ended: status.remaining == 0,
        })
    }
}
