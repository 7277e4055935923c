//! The way out: bytes that a client asked to have compressed.
//!
//! An [`Encoder`] is fed chunks and gives out what its coding makes of them so far, on [`Encoder::flush`] all of it. Only
//! [`Encoder::finish`] ends the stream: whoever is given less sees that it is cut. Its memory is its window and tables,
//! whatever goes through it.

use std::fmt;
use std::io::{self, Write};
use std::mem::take;

use super::Coding;

/// As much as one CPU compresses while others wait: the levels at which each coding is known to be fast.
const GZIP_LEVEL: u32 = 5;
const BROTLI_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// Windows of brotli and zstd, as powers of two in bytes: 256 KiB. With its tables an encoder has 2 MiB at most.
const WINDOW_LOG: u32 = 18;
/// Bytes that brotli makes at a time.
const BROTLI_PIECE: usize = 16 * 1024;

/// Compresses one body.
pub struct Encoder {
    engine: Engine,
    /// Something was fed that has not been flushed.
    held: bool,
}

enum Engine {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// There is no memory for an encoder; nothing else can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for an encoder")]
pub struct EncodeFault;

impl From<io::Error> for EncodeFault {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl fmt::Debug for Encoder {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for one body.
    ///
    /// # Errors
    /// [`EncodeFault`].
    pub fn new(coding: Coding) -> Result<Self, EncodeFault> {
        let level = flate2::Compression::new(GZIP_LEVEL);
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            Coding::Deflate => Engine::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level)),
            Coding::Brotli => Engine::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_PIECE,
                BROTLI_LEVEL,
                WINDOW_LOG,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                encoder.window_log(WINDOW_LOG)?;
                Engine::Zstd(encoder)
            }
        };
        Ok(Self { engine, held: false })
    }

    /// Takes a chunk and appends to `out` what there is already of the coded stream.
    ///
    /// # Errors
    /// [`EncodeFault`]; the stream cannot be completed then.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.held = true;
        self.engine.writer().write_all(chunk)?;
        self.engine.give(out);
        Ok(())
    }

    /// Appends to `out` all that is needed to decode what was fed; nothing if that has been given out before.
    ///
    /// # Errors
    /// [`EncodeFault`]; the stream cannot be completed then.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        if !take(&mut self.held) {
            return Ok(());
        }
        self.engine.writer().flush()?;
        self.engine.give(out);
        Ok(())
    }

    /// Appends the end of the stream to `out`.
    ///
    /// # Errors
    /// [`EncodeFault`]; `out` has no end of the stream then.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        let rest = match self.engine {
            Engine::Gzip(encoder) => encoder.finish()?,
            Engine::Deflate(encoder) => encoder.finish()?,
            Engine::Brotli(encoder) => encoder.into_inner(),
            Engine::Zstd(encoder) => encoder.finish()?,
        };
        out.extend_from_slice(&rest);
        Ok(())
    }
}

impl Engine {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Deflate(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    /// Hands over what has been made.
    fn give(&mut self, out: &mut Vec<u8>) {
        let made = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        };
        out.append(made);
    }
}
