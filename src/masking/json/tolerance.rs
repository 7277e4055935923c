//! What `json: tolerant` takes beside RFC 8259 (interface, section 5): a closed list, passed on as it came and counted.
//!
//! Nothing on the list lets two readers differ in where a string, a member or an element ends. Two things could, and are
//! refused though their bytes are on the list:
//!
//! - A tab in a name: a reader that skips it reads another name. Names are read as strictly as ever.
//! - Bytes that are no UTF-8 are in a charset that nobody names. Whatever it is, as long as it is one of those that have
//!   ASCII in them, a quote is a quote: none (ISO 8859, Windows-125x, Shift JIS, GBK, GB 18030, Big5, UHC, Johab, EUC) has
//!   0x22 inside a character. A backslash may be the second half of one, and a name beyond ASCII is another name in another
//!   charset, as is what a row is judged by. So a body with such bytes may have neither a byte beyond ASCII right before a
//!   backslash, nor a name beyond ASCII, nor a row with UTF-8 beyond ASCII, before them or after:
//!   [`Unmaskable::Charset`](crate::masking::Unmaskable::Charset). Charsets that switch by control bytes (ISO 2022) or that
//!   are not ASCII to begin with (EBCDIC, UTF-16) end at the grammar.

use super::lexeme::{BadText, Number, Text, number, text};

/// A way in which JSON that is taken is not quite JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deviation {
    /// `007`, `-00.5`: one for each number.
    LeadingZeros,
    /// `.5`, `-.5`: one for each number.
    NoLeadingDigit,
    /// `+1`: one for each number.
    PlusSign,
    /// A tab in a string that is no name, by bytes.
    RawTab,
    /// What is no UTF-8 in a string that is no name, by bytes.
    RawByte,
    /// `[1,]`, `{"a":1,}`: one for each container.
    TrailingComma,
}

impl Deviation {
    /// All there are, in the order in which they are counted.
    pub const ALL: [Self; 6] = [
        Self::LeadingZeros,
        Self::NoLeadingDigit,
        Self::PlusSign,
        Self::RawTab,
        Self::RawByte,
        Self::TrailingComma,
    ];

    /// What metrics call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeadingZeros => "leading_zeros",
            Self::NoLeadingDigit => "no_leading_digit",
            Self::PlusSign => "plus_sign",
            Self::RawTab => "raw_tab",
            Self::RawByte => "raw_byte",
            Self::TrailingComma => "trailing_comma",
        }
    }
}

/// How often what was tolerated in one body, in the order of [`Deviation::ALL`]. What is masked counts, too.
pub type Tolerated = [u32; Deviation::ALL.len()];

/// What a tolerant reader remembers of a body.
#[derive(Debug, Default)]
pub(super) struct Tolerance {
    pub(super) tolerated: Tolerated,
    /// What is being read has ASCII only, so that it may be read the usual way.
    pub(super) plain: bool,
    character: Character,
    /// The last byte of a string was beyond ASCII.
    beyond: bool,
    /// There was a byte that is no UTF-8.
    foreign: bool,
    /// There was something that is another thing in another charset.
    depends: bool,
}

/// What depends on what a string says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decides {
    Nothing,
    /// Whether a row stays.
    Row,
    /// What is masked.
    Name,
}

/// Why a string is none.
pub(super) enum BadString {
    Text(BadText),
    Charset,
}

impl Tolerance {
    /// Counts.
    pub(super) fn count(&mut self, deviation: Deviation, times: u32) {
        if let Some(count) = self.tolerated.get_mut(deviation as usize) {
            *count = count.saturating_add(times);
        }
    }

    /// As [`text`].
    pub(super) fn text(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        state: &mut Text,
        escaped: &mut bool,
        decides: Decides,
    ) -> Result<bool, BadString> {
        let start = *at;
        let mut tabs = false;
        let read = loop {
            match text(chunk, at, state, escaped) {
                Err(BadText::Control) if decides != Decides::Name && chunk.get(*at) == Some(&b'\t') => {
                    tabs = true;
                    *at += 1;
                }
                read => break read,
            }
        };
        let read_bytes = chunk.get(start..*at).unwrap_or_default();
        if tabs || self.beyond || !read_bytes.is_ascii() {
            for (place, &byte) in read_bytes.iter().enumerate() {
                self.look_at(byte, decides);
                if self.foreign && self.depends {
                    *at = start + place;
                    return Err(BadString::Charset);
                }
            }
        }
        read.map_err(BadString::Text)
    }

    /// The next byte of a string, its closing quote included.
    fn look_at(&mut self, byte: u8, decides: Decides) {
        if byte == b'\t' {
            self.count(Deviation::RawTab, 1);
        }
        self.depends |= byte == b'\\' && self.beyond;
        self.beyond = !byte.is_ascii();
        let foreign = self.character.next(byte);
        self.depends |= match decides {
            Decides::Nothing => false,
            // What is no UTF-8 is dropped by the judge, who reads nothing else.
            Decides::Row => self.beyond && foreign == 0 && self.character.lacks == 0,
            Decides::Name => self.beyond,
        };
        if foreign > 0 {
            self.foreign = true;
            self.count(Deviation::RawByte, foreign);
        }
    }

    /// What a byte starts that starts no number of RFC 8259.
    pub(super) fn number_start(&mut self, byte: u8) -> Option<Number> {
        match byte {
            b'+' => {
                self.count(Deviation::PlusSign, 1);
                Some(Number::Minus)
            }
            b'.' => {
                self.count(Deviation::NoLeadingDigit, 1);
                Some(Number::Point)
            }
            _ => None,
        }
    }

    /// As [`number`]. A sign is as good as another there.
    pub(super) fn number(&mut self, chunk: &[u8], at: &mut usize, state: &mut Number) -> Result<bool, ()> {
        loop {
            let read = number(chunk, at, state);
            *state = match (*state, chunk.get(*at)) {
                (Number::Zero, Some(b'0'..=b'9')) if read == Ok(true) => {
                    self.count(Deviation::LeadingZeros, 1);
                    Number::Whole
                }
                (Number::Minus, Some(b'.')) if read == Err(()) => {
                    self.count(Deviation::NoLeadingDigit, 1);
                    Number::Point
                }
                _ => return read,
            };
            *at += 1;
        }
    }
}

/// A character of UTF-8 (RFC 3629, 4) that is not whole yet.
#[derive(Debug, Default)]
struct Character {
    /// Bytes that it has.
    has: u32,
    /// Bytes that it lacks; none between characters.
    lacks: u32,
    /// The range of the next one.
    least: u8,
    most: u8,
}

impl Character {
    /// Takes the next byte: how many turn out to be no UTF-8.
    fn next(&mut self, byte: u8) -> u32 {
        if self.lacks == 0 {
            return self.start(byte);
        }
        if (self.least..=self.most).contains(&byte) {
            self.has += 1;
            self.lacks -= 1;
            (self.least, self.most) = (0x80, 0xbf);
            return 0;
        }
        self.has + self.start(byte)
    }

    fn start(&mut self, byte: u8) -> u32 {
        (self.lacks, self.least, self.most) = match byte {
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => (0, 0, 0),
        };
        self.has = 1;
        u32::from(self.lacks == 0 && !byte.is_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes the standard library finds to be no UTF-8.
    fn foreign(bytes: &[u8]) -> u32 {
        bytes
            .utf8_chunks()
            .map(|chunk| u32::try_from(chunk.invalid().len()).unwrap())
            .sum()
    }

    #[test]
    fn foreign_bytes_are_those_of_the_standard_library() {
        let telling = [
            0, b'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
            0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        let mut bytes = [0; 5];
        for a in telling {
            for b in telling {
                for c in telling {
                    for d in telling {
                        bytes[..4].copy_from_slice(&[a, b, c, d]);
                        let mut character = Character::default();
                        let found: u32 = bytes.iter().map(|&byte| character.next(byte)).sum();
                        assert_eq!(found, foreign(&bytes), "{bytes:x?}");
                    }
                }
            }
        }
    }
}
