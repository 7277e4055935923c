//! DEFLATE (RFC 1951), bare or in the zlib format (RFC 1950) with its Adler-32.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Engine, Step};

/// Inflates one stream; its window is 32 KiB by format. A preset dictionary is refused.
pub(super) struct Inflate(Decompress);

impl Inflate {
    /// Without header and checksum.
    pub(super) fn bare() -> Self {
        Self(Decompress::new(false))
    }

    /// Begins another bare stream.
    pub(super) fn reset(&mut self) {
        self.0.reset(false);
    }

    /// In the zlib format.
    pub(super) fn zlib() -> Self {
        Self(Decompress::new(true))
    }
}

impl Engine for Inflate {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, &'static str> {
        let (read, written) = (self.0.total_in(), self.0.total_out());
        let status = self.0.decompress(input, out, FlushDecompress::None);
        let status = status.map_err(|_| "no DEFLATE, or its checksum is wrong")?;
        Ok(Step {
            read: usize::try_from(self.0.total_in() - read).unwrap_or(usize::MAX),
            written: usize::try_from(self.0.total_out() - written).unwrap_or(usize::MAX),
            ended: status == Status::StreamEnd,
        })
    }
}
