//! Content codings (RFC 9110, 8.4.1): what a backend compressed although it was asked not to, as the bytes that it meant,
//! and what goes out compressed because a client asked for it.
//!
//! A [`Decoder`] is given chunks of any size and hands out pieces of at most [`MAX_PIECE`] bytes, so that what a small
//! chunk expands to is masked and sent before more of it is made. Each stream is decoded to its end and its checksum.
//! Where the format lets several follow each other (gzip members by RFC 1952, 2.2, zstd frames by RFC 8878, 3) they are
//! one body, and the bounds hold for all of them together; nothing else may follow the end.

pub mod accept;
mod brotli;
mod encode;
mod gzip;
mod inflate;
#[cfg(test)]
mod tests;
mod zstd;

use std::fmt;

pub use encode::{EncodeFault, Encoder};

/// Most bytes that are handed out at a time.
pub const MAX_PIECE: usize = 64 * 1024;
/// Most bytes that one answer may decode to.
pub const MAX_DECODED: u64 = 1024 * 1024 * 1024;
/// Most decoded bytes per coded byte. Wide rows that differ only in a number come to 200 in gzip and to 600 in zstd; a
/// bomb comes to 1030 in gzip and to far more in the others.
pub const MAX_RATIO: u64 = 1000;
/// Most gzip members or zstd frames that are one body, empty ones included: those of 64 KiB, as bgzip writes them, are no
/// more in [`MAX_DECODED`].
pub const MAX_STREAMS: u32 = 16 * 1024;
/// Decoded bytes for which no ratio is asked: a list of equal rows is no bomb yet.
pub const RATIO_FREE: u64 = 8 * 1024 * 1024;

/// A content coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950, as RFC 9110, 8.4.1.2 has it. Bare DEFLATE, which some servers mean by it, is
    /// refused: it has no checksum, and its first bytes can be those of the zlib format.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with the window of RFC 9659.
    Zstd,
}

/// Why an answer cannot be decoded. Nothing of it is in the text, only a place: coded bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFault {
    /// A coding that is none of [`Coding`].
    #[error("a content coding that is not known")]
    Unknown,
    /// One coding over another.
    #[error("more than one content coding")]
    Stacked,
    /// Not in its coding's format.
    #[error("byte {at} of the coded body: {what}")]
    Malformed {
        /// Offset in bytes.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Ends too early.
    #[error("byte {at} of the coded body: it ends in the middle")]
    Truncated {
        /// Offset in bytes.
        at: u64,
    },
    /// Goes on after its end.
    #[error("byte {at} of the coded body: something follows its end")]
    Trailing {
        /// Offset in bytes.
        at: u64,
    },
    /// More than [`MAX_STREAMS`].
    #[error("byte {at} of the coded body: more than {MAX_STREAMS} members or frames")]
    Streams {
        /// Offset in bytes.
        at: u64,
    },
    /// More than [`MAX_DECODED`], or than may be held.
    #[error("the body decodes to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// More than [`MAX_RATIO`].
    #[error("byte {at} of the coded body: it expands more than {ratio} times")]
    Bomb {
        /// Offset in bytes.
        at: u64,
        /// The limit in decoded bytes per coded byte.
        ratio: u64,
    },
    /// There is no memory for a decoder.
    #[error("no memory for a decoder")]
    Memory,
}

impl Coding {
    /// The coding that the values of `Content-Encoding` name together; `None` if none, which `identity` says too.
    ///
    /// # Errors
    /// [`DecodeFault::Unknown`] or [`DecodeFault::Stacked`].
    pub fn of<'f>(fields: impl IntoIterator<Item = &'f [u8]>) -> Result<Option<Self>, DecodeFault> {
        let mut found = None;
        for name in fields.into_iter().flat_map(|field| field.split(|&byte| byte == b',')) {
            let name = name.trim_ascii();
            if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            if found.replace(Self::named(name)).is_some() {
                return Err(DecodeFault::Stacked);
            }
        }
        found.map(|coding| coding.ok_or(DecodeFault::Unknown)).transpose()
    }

    /// As `Content-Encoding` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding with this name, in any case.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Self::Gzip,
            b"deflate" => Self::Deflate,
            b"br" => Self::Brotli,
            b"zstd" => Self::Zstd,
            _ => return None,
        })
    }
}

/// Bytes by which a gzip member or a zstd frame is known.
const MAGIC: u64 = 4;

/// How far a body may expand.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most decoded bytes.
    pub decoded: u64,
    /// Most decoded bytes per coded byte, once there are more than `free`.
    pub ratio: u64,
    /// Decoded bytes for which no ratio is asked.
    pub free: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            decoded: MAX_DECODED,
            ratio: MAX_RATIO,
            free: RATIO_FREE,
        }
    }
}

/// What one step of an engine did.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// Coded bytes used.
    read: usize,
    /// Decoded bytes made.
    written: usize,
    /// The stream is whole and its checksum, if it has one, is right.
    ended: bool,
}

/// The format of one coding.
trait Engine {
    /// Decodes what fits in `out`. A step that neither reads nor writes waits for input.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, &'static str>;

    /// After the end of a stream: makes ready for another of the same body. False if the format has only one.
    fn again(&mut self) -> bool {
        false
    }
}

/// Decodes one body.
pub struct Decoder {
    engine: Box<dyn Engine + Send>,
    bounds: Bounds,
    piece: Box<[u8]>,
    read: u64,
    written: u64,
    ended: bool,
    /// Streams begun.
    streams: u32,
    /// Where the last of them began.
    began: u64,
    /// Nothing more can be made of what has come.
    hungry: bool,
    over: Option<DecodeFault>,
}

impl fmt::Debug for Decoder {
    /// Without the bytes: nobody may see them yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("read", &self.read)
            .field("written", &self.written)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder for one body.
    ///
    /// # Errors
    /// [`DecodeFault::Memory`].
    pub fn new(coding: Coding, bounds: Bounds) -> Result<Self, DecodeFault> {
        let engine: Box<dyn Engine + Send> = match coding {
            Coding::Gzip => Box::new(gzip::Gzip::new()),
            Coding::Deflate => Box::new(inflate::Inflate::zlib()),
            Coding::Brotli => Box::new(brotli::Brotli::new()),
            Coding::Zstd => Box::new(zstd::Zstd::new().ok_or(DecodeFault::Memory)?),
        };
        Ok(Self {
            engine,
            bounds,
            piece: vec![0; MAX_PIECE].into(),
            read: 0,
            written: 0,
            ended: false,
            streams: 1,
            began: 0,
            hungry: true,
            over: None,
        })
    }

    /// The next piece, never an empty one; `None` if there is none before more input comes. `input` is moved forward
    /// to what is still to be decoded.
    ///
    /// # Errors
    /// [`DecodeFault`], from then on for every call.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, DecodeFault> {
        if self.hungry && input.is_empty() {
            return Ok(None);
        }
        let written = self.advance(input).inspect_err(|fault| self.over = Some(*fault))?;
        self.hungry = written == 0;
        Ok(self.piece.get(..written).filter(|piece| !piece.is_empty()))
    }

    /// Says that the body has ended. All pieces must have been taken.
    ///
    /// # Errors
    /// [`DecodeFault`] if it ended too early.
    pub fn finish(&mut self) -> Result<(), DecodeFault> {
        match self.over {
            Some(fault) => Err(fault),
            None if self.ended => Ok(()),
            None => Err(DecodeFault::Truncated { at: self.read }),
        }
    }

    /// Steps until something is written or more input is needed.
    fn advance(&mut self, input: &mut &[u8]) -> Result<usize, DecodeFault> {
        if let Some(fault) = self.over {
            return Err(fault);
        }
        loop {
            if self.ended {
                if input.is_empty() {
                    return Ok(0);
                }
                self.go_on()?;
            }
            let step = self.engine.step(input, &mut self.piece);
            let step = step.map_err(|what| self.malformed(what))?;
            *input = input.get(step.read..).unwrap_or_default();
            self.read += step.read as u64;
            self.written += step.written as u64;
            self.ended = step.ended;
            self.within_bounds()?;
            if step.written > 0 {
                return Ok(step.written);
            }
            if step.read == 0 && !step.ended {
                return if input.is_empty() {
                    Ok(0)
                } else {
                    Err(self.malformed("it leads nowhere"))
                };
            }
        }
    }

    /// Something follows the end of a stream.
    fn go_on(&mut self) -> Result<(), DecodeFault> {
        let at = self.read;
        if !self.engine.again() {
            return Err(DecodeFault::Trailing { at });
        }
        if self.streams == MAX_STREAMS {
            return Err(DecodeFault::Streams { at });
        }
        self.streams += 1;
        self.began = at;
        self.ended = false;
        Ok(())
    }

    /// What does not even begin as another stream is something that follows the end.
    fn malformed(&self, what: &'static str) -> DecodeFault {
        let (at, began) = (self.read, self.began);
        if self.streams > 1 && at - began < MAGIC {
            DecodeFault::Trailing { at: began }
        } else {
            DecodeFault::Malformed { at, what }
        }
    }

    fn within_bounds(&self) -> Result<(), DecodeFault> {
        let Bounds { decoded, ratio, free } = self.bounds;
        if self.written > decoded {
            return Err(DecodeFault::TooLarge { limit: decoded });
        }
        if self.written > free && self.written > self.read.saturating_mul(ratio) {
            return Err(DecodeFault::Bomb { at: self.read, ratio });
        }
        Ok(())
    }
}
