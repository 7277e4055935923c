//! The gzip format (RFC 1952): a header, DEFLATE, a checksum and a length. All of it is checked, the optional checksum
//! of the header too; what the header says of a file is skipped.

use flate2::Crc;

use super::inflate::Inflate;
use super::{Engine, Step};

/// Longest header in bytes: one full extra field, and room for a name and a comment.
pub(super) const MAX_HEADER: usize = 80 * 1024;

const FIXED: usize = 10;
const TRAILER: usize = 8;

const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The ten bytes that every header has, from the one at this place.
    Fixed(usize),
    ExtraLength,
    Extra(usize),
    Name,
    Comment,
    HeaderCrc,
    Body,
    Trailer,
}

/// Reads one member after the other.
pub(super) struct Gzip {
    stage: Stage,
    flags: u8,
    /// Bytes of the header so far.
    header: usize,
    /// A number whose bytes come one by one, the lowest first.
    number: u64,
    digits: usize,
    /// Over the header, then over what it decodes to.
    crc: Crc,
    inflate: Inflate,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Fixed(0),
            flags: 0,
            header: 0,
            number: 0,
            digits: 0,
            crc: Crc::new(),
            inflate: Inflate::bare(),
        }
    }

    /// Begins a member.
    fn reset(&mut self) {
        self.stage = Stage::Fixed(0);
        self.flags = 0;
        self.header = 0;
        self.crc.reset();
        self.inflate.reset();
    }

    /// Adds a byte to the number; gives it back once it has so many.
    fn number(&mut self, byte: u8, bytes: usize) -> Option<u64> {
        self.number |= u64::from(byte) << (8 * self.digits);
        self.digits += 1;
        (self.digits == bytes).then(|| {
            self.digits = 0;
            std::mem::take(&mut self.number)
        })
    }

    /// Takes a byte of the header.
    fn header(&mut self, byte: u8) -> Result<(), &'static str> {
        self.header += 1;
        if self.header > MAX_HEADER {
            return Err("a gzip header that is too long");
        }
        let crc = self.crc.sum() & 0xffff;
        if self.stage != Stage::HeaderCrc {
            self.crc.update(&[byte]);
        }
        match self.stage {
            Stage::Fixed(at) => return self.fixed(at, byte),
            Stage::ExtraLength => match self.number(byte, 2) {
                None => {}
                Some(0) => self.skip_to(HAS_NAME),
                Some(length) => self.stage = Stage::Extra(usize::try_from(length).unwrap_or(MAX_HEADER)),
            },
            Stage::Extra(1) => self.skip_to(HAS_NAME),
            Stage::Extra(left) => self.stage = Stage::Extra(left - 1),
            Stage::Name if byte == 0 => self.skip_to(HAS_COMMENT),
            Stage::Comment if byte == 0 => self.skip_to(HAS_HEADER_CRC),
            Stage::HeaderCrc => match self.number(byte, 2) {
                None => {}
                Some(said) if said == u64::from(crc) => self.body(),
                Some(_) => return Err("the checksum of the gzip header is wrong"),
            },
            Stage::Name | Stage::Comment | Stage::Body | Stage::Trailer => {}
        }
        Ok(())
    }

    fn fixed(&mut self, at: usize, byte: u8) -> Result<(), &'static str> {
        let good = match at {
            0 => byte == 0x1f,
            1 => byte == 0x8b,
            2 => byte == 8,
            3 => {
                self.flags = byte;
                byte & RESERVED == 0
            }
            _ => true,
        };
        if !good {
            return Err("no gzip header");
        }
        if at + 1 < FIXED {
            self.stage = Stage::Fixed(at + 1);
        } else {
            self.skip_to(HAS_EXTRA);
        }
        Ok(())
    }

    /// Goes to the first optional part that there is, from this one on.
    fn skip_to(&mut self, part: u8) {
        let order = [
            (HAS_EXTRA, Stage::ExtraLength),
            (HAS_NAME, Stage::Name),
            (HAS_COMMENT, Stage::Comment),
            (HAS_HEADER_CRC, Stage::HeaderCrc),
        ];
        let mut rest = order.into_iter().skip_while(|(flag, _)| *flag != part);
        match rest.find(|(flag, _)| self.flags & flag != 0) {
            Some((_, stage)) => self.stage = stage,
            None => self.body(),
        }
    }

    fn body(&mut self) {
        self.crc.reset();
        self.stage = Stage::Body;
    }

    /// Takes a byte of the trailer; true at the last.
    fn trailer(&mut self, byte: u8) -> Result<bool, &'static str> {
        let right = u64::from(self.crc.sum()) | u64::from(self.crc.amount()) << 32;
        match self.number(byte, TRAILER) {
            None => Ok(false),
            Some(said) if said == right => Ok(true),
            Some(_) => Err("the checksum or the length at the end is wrong"),
        }
    }
}

impl Engine for Gzip {
    fn again(&mut self) -> bool {
        self.reset();
        true
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, &'static str> {
        let mut step = Step::default();
        loop {
            let rest = input.get(step.read..).unwrap_or_default();
            if self.stage == Stage::Body {
                let body = self.inflate.step(rest, out)?;
                self.crc.update(out.get(..body.written).unwrap_or_default());
                step.read += body.read;
                step.written = body.written;
                if body.ended {
                    self.stage = Stage::Trailer;
                }
                // What has been written goes out before `out` is written to again.
                if body.ended && body.written == 0 {
                    continue;
                }
                return Ok(step);
            }
            let Some(&byte) = rest.first() else { return Ok(step) };
            step.read += 1;
            if self.stage == Stage::Trailer {
                step.ended = self.trailer(byte)?;
                if step.ended {
                    return Ok(step);
                }
            } else {
                self.header(byte)?;
            }
        }
    }
}
