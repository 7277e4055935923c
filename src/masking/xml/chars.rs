//! Which characters XML has, which of them make names, and which references say one.

use super::XmlFault;
use crate::masking::charset::Charset;
use crate::masking::{MAX_NAME, MAX_REFERENCE};

/// XML 1.0, 2.3: `S`.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// XML 1.0, 2.2: `Char`.
pub(super) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// How many bytes come before the first character that XML does not have. `chunk` is sound in its charset; `utf8`: that
/// is UTF-8, in which U+FFFE and U+FFFF can be written.
pub(super) fn sound(chunk: &[u8], utf8: bool) -> usize {
    let mut at = 0;
    while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(block) = rest.first_chunk::<32>() else {
            let bad = (0..rest.len()).find(|&place| is_bad(rest, place, utf8));
            return bad.map_or(chunk.len(), |bad| at + bad);
        };
        // Written so that the compiler makes vector code of it. No byte of a character beyond ASCII is below 0x80.
        let marked = block.iter().fold(0_u8, |marked, &byte| {
            let control = u8::from(byte < 0x20) & u8::from(byte != 9) & u8::from(byte != 10) & u8::from(byte != 13);
            marked | control | u8::from(byte == 0xef)
        });
        if marked != 0
            && let Some(bad) = (0..block.len()).find(|&place| is_bad(rest, place, utf8))
        {
            return at + bad;
        }
        at += block.len();
    }
    chunk.len()
}

fn is_bad(bytes: &[u8], place: usize, utf8: bool) -> bool {
    match bytes.get(place) {
        Some(b'\t' | b'\n' | b'\r') | None => false,
        Some(0..0x20) => true,
        Some(0xef) if utf8 => matches!(bytes.get(place..place + 3), Some([0xef, 0xbf, 0xbe | 0xbf])),
        Some(_) => false,
    }
}

/// How many bytes at the start may be a name. Whether those beyond ASCII are letters, [`check_name`] says.
pub(super) fn name_length(bytes: &[u8]) -> usize {
    let is_part =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':') || *byte >= 0x80;
    bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len())
}

/// Whether some bytes are a qualified name (Namespaces in XML 1.0, 4): one colon at most, a name on either side.
pub(super) fn check_name(raw: &[u8], charset: Charset) -> Result<(), XmlFault> {
    if raw.len() > MAX_NAME {
        return Err(XmlFault::LongName);
    }
    let sound = if raw.is_ascii() {
        let plain = |part: &[u8]| {
            part.first()
                .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        };
        let mut parts = raw.split(|byte| *byte == b':');
        parts.by_ref().take(2).all(plain) && parts.next().is_none()
    } else {
        // In no charset of one byte each is a name made of what UTF-8 makes of letters.
        if matches!(charset, Charset::Single(_)) && std::str::from_utf8(raw).is_ok() {
            return Err(XmlFault::Charset);
        }
        let name = charset.decode(raw);
        let mut parts = name.split(':');
        parts.by_ref().take(2).all(is_simple) && parts.next().is_none()
    };
    if sound { Ok(()) } else { Err(XmlFault::Name) }
}

fn is_simple(name: &str) -> bool {
    name.chars().next().is_some_and(is_name_start) && name.chars().all(is_name_char)
}

/// XML 1.0, 2.3: `NameStartChar` without the colon.
const fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}' | '\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// XML 1.0, 2.3: `NameChar` without the colon.
const fn is_name_char(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}')
}

/// What is after the last colon of a name.
pub(super) fn local(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b':').next().unwrap_or(name)
}

/// Whether bytes from `&` to `;` are a reference that XML 1.0 knows without a document type (4.1, 4.6).
pub(super) fn is_reference(raw: &[u8]) -> bool {
    raw.len() <= MAX_REFERENCE && raw.strip_prefix(b"&").and_then(referenced).is_some()
}

/// The character that a reference stands for, by what follows its `&`.
pub(super) fn referenced(raw: &[u8]) -> Option<char> {
    let (digits, radix) = match raw.strip_suffix(b";")? {
        b"amp" => return Some('&'),
        b"lt" => return Some('<'),
        b"gt" => return Some('>'),
        b"quot" => return Some('"'),
        b"apos" => return Some('\''),
        [b'#', b'x', digits @ ..] => (digits, 16),
        [b'#', digits @ ..] => (digits, 10),
        _ => return None,
    };
    let number = digits.iter().try_fold(0_u32, |number, &byte| {
        let digit = char::from(byte).to_digit(radix)?;
        number.checked_mul(radix)?.checked_add(digit)
    });
    let number = number.filter(|_| !digits.is_empty())?;
    char::from_u32(number).filter(|c| is_char(*c))
}
