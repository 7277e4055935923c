//! The lexemes of RFC 8259 as resumable scanners: each goes on where the last chunk ended. Nothing is kept, nothing
//! is decoded; plain runs are passed sixteen bytes at a time, or more.

use wide::u8x16;

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

/// The place of the next quote, backslash or control byte; the end of the chunk if there is none.
#[inline]
pub(super) fn special(chunk: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = block(chunk, at) {
        let hits = specials(block).to_bitmask();
        if hits != 0 {
            return at + hits.trailing_zeros() as usize;
        }
        at += 16;
        if at - from == 32 {
            at = plain_blocks(chunk, at);
        }
    }
    let tail = chunk.get(at..).unwrap_or_default();
    tail.iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)
        .map_or(chunk.len(), |more| at + more)
}

/// Passes blocks that are plain as a whole.
fn plain_blocks(chunk: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(blocks) = chunk.get(at..).and_then(|rest| rest.first_chunk::<64>()) {
        let (blocks, _) = blocks.as_chunks::<16>();
        let marked = blocks
            .iter()
            .fold(u8x16::default(), |marked, block| marked | specials(u8x16::from(*block)));
        if marked.to_bitmask() != 0 {
            break;
        }
        at += 64;
    }
    at
}

#[inline]
fn block(chunk: &[u8], at: usize) -> Option<u8x16> {
    chunk.get(at..)?.first_chunk::<16>().copied().map(u8x16::from)
}

/// Marks quotes, backslashes and control bytes.
#[inline]
fn specials(block: u8x16) -> u8x16 {
    let last_control = u8x16::splat(0x1f);
    block.simd_eq(u8x16::splat(b'"'))
        | block.simd_eq(u8x16::splat(b'\\'))
        | block.max(last_control).simd_eq(last_control)
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

/// The end of a number that starts at `from`, if it is short and has no exponent, and its end is in sight.
#[inline]
pub(super) fn usual_number(chunk: &[u8], from: usize) -> Option<usize> {
    let bytes: &[u8; 16] = chunk.get(from..)?.first_chunk()?;
    let digits = u8x16::from(*bytes) - u8x16::splat(b'0');
    let digits = digits.min(u8x16::splat(9)).simd_eq(digits).to_bitmask();
    let run = |at: usize| (digits >> at).trailing_ones() as usize;
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = run(at);
    if whole == 0 || (whole > 1 && bytes.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = run(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    match bytes.get(at) {
        None | Some(b'.' | b'e' | b'E') => None,
        Some(_) => Some(from + at),
    }
}

/// The place of the next byte that is no whitespace. In `lines`, a line feed ends the text and is none.
pub(super) fn space(chunk: &[u8], from: usize, lines: bool) -> usize {
    let mut at = from;
    loop {
        match chunk.get(at) {
            Some(b' ' | b'\t' | b'\r') => at += 1,
            Some(b'\n') if !lines => at += 1,
            _ => return at,
        }
        // Indentation is spaces.
        while let Some(block) = block(chunk, at) {
            let spaces = block.simd_eq(u8x16::splat(b' ')).to_bitmask().trailing_ones() as usize;
            at += spaces;
            if spaces < 16 {
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
