//! The lexemes of RFC 8259 as resumable scanners: each goes on where the last chunk ended. Nothing is kept, nothing
//! is decoded; plain runs are passed eight or thirty-two bytes at a time.

/// Why a string is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadText {
    Control,
    Escape,
}

/// Where in a string the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Plain,
    /// After a backslash.
    Escape,
    /// In `\uXXXX`, with so many digits to come.
    Hex(u8),
}

/// Goes on in a string, to just after the closing quote (`true`) or to the end of the chunk. On a fault `at` is the
/// byte that is wrong. `escaped` is set if there is an escape.
pub(super) fn text(chunk: &[u8], at: &mut usize, state: &mut Text, escaped: &mut bool) -> Result<bool, BadText> {
    loop {
        if *state == Text::Plain {
            *at = special(chunk, *at);
        }
        let Some(&byte) = chunk.get(*at) else {
            return Ok(false);
        };
        *state = match (*state, byte) {
            (Text::Plain, b'"') => {
                *at += 1;
                return Ok(true);
            }
            (Text::Plain, b'\\') => {
                *escaped = true;
                Text::Escape
            }
            (Text::Plain, _) => return Err(BadText::Control),
            (Text::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Text::Plain,
            (Text::Escape, b'u') => Text::Hex(4),
            (Text::Hex(1), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Text::Plain,
            (Text::Hex(left), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Text::Hex(left - 1),
            (Text::Escape | Text::Hex(_), _) => return Err(BadText::Escape),
        };
        *at += 1;
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The place of the next quote, backslash or control byte; the end of the chunk if there is none.
fn special(chunk: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = chunk.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        // Per byte, the high bit of `(x - 1) & !x` is set if x is 0, and of `(x - 32) & !x` if x < 32. A borrow can
        // only spoil bytes after a true hit, and the first hit is all that is asked for.
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let quote = zero(word ^ (ONES * 0x22));
        let backslash = zero(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hits = (quote | backslash | control) & HIGHS;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at - from == 16 {
            at = plain_blocks(chunk, at);
        }
    }
    let tail = chunk.get(at..).unwrap_or_default();
    tail.iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)
        .map_or(chunk.len(), |more| at + more)
}

/// Passes blocks that are plain as a whole; written so that the compiler makes vector code of it.
fn plain_blocks(chunk: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = chunk.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        let marked = block.iter().fold(0_u8, |marked, &byte| {
            marked | u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < 0x20)
        });
        if marked != 0 {
            break;
        }
        at += 32;
    }
    at
}

/// Where in a number (RFC 8259, 6) the next byte stands: after which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Power,
}

impl Number {
    /// What a first byte starts.
    pub(super) fn start(byte: u8) -> Self {
        match byte {
            b'-' => Self::Minus,
            b'0' => Self::Zero,
            _ => Self::Whole,
        }
    }

    /// Whether the number may end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

/// Goes on in a number, to the first byte after it (`true`) or to the end of the chunk.
pub(super) fn number(chunk: &[u8], at: &mut usize, state: &mut Number) -> Result<bool, ()> {
    use Number::{E, Fraction, Minus, Point, Power, Sign, Whole, Zero};
    loop {
        if matches!(*state, Whole | Fraction | Power) {
            while chunk.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
        }
        let Some(&byte) = chunk.get(*at) else {
            return Ok(false);
        };
        *state = match (*state, byte) {
            (Point, b'0'..=b'9') => Fraction,
            (Zero | Whole, b'.') => Point,
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') => Whole,
            (Zero | Whole | Fraction, b'e' | b'E') => E,
            (E, b'+' | b'-') => Sign,
            (E | Sign, b'0'..=b'9') => Power,
            (state, _) if state.is_whole() => return Ok(true),
            _ => return Err(()),
        };
        *at += 1;
    }
}

/// The place of the next byte that is no whitespace. In `lines`, a line feed ends the text and is none.
pub(super) fn space(chunk: &[u8], from: usize, lines: bool) -> usize {
    const SPACES: u64 = ONES * 0x20;
    let mut at = from;
    loop {
        match chunk.get(at) {
            Some(b' ' | b'\t' | b'\r') => at += 1,
            Some(b'\n') if !lines => at += 1,
            _ => return at,
        }
        // Indentation is spaces.
        while let Some(word) = chunk.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let spaces = (u64::from_le_bytes(*word) ^ SPACES).trailing_zeros() as usize / 8;
            at += spaces;
            if spaces < 8 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_at_every_place() {
        for special_byte in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for length in 0..120_usize {
                let mut chunk = vec![b'!'; length];
                chunk.iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 0xff);
                assert_eq!(special(&chunk, 0), length);
                for place in 0..length {
                    let mut marked = chunk.clone();
                    marked[place] = special_byte;
                    assert_eq!(special(&marked, 0), place, "{special_byte} {length}");
                    assert_eq!(special(&marked, place + 1), length);
                    marked[place + 1..].fill(b'"');
                    assert_eq!(special(&marked, 0), place, "{special_byte} {length}");
                }
            }
        }
    }

    #[test]
    fn space_ends_at_the_first_other_byte() {
        for (text, lines, end) in [
            ("", false, 0),
            ("x", false, 0),
            (" x", false, 1),
            ("\r\n\t  x", false, 5),
            ("\n              x", false, 15),
            ("                         x", false, 25),
            ("        \u{1f}", false, 8),
            (" \n x", true, 1),
            ("\r\n", true, 1),
            ("        ", true, 8),
        ] {
            assert_eq!(space(text.as_bytes(), 0, lines), end, "{text:?}");
        }
    }
}
