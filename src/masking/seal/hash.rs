//! The hash of a value, made as its bytes come: memory does not depend on how long it is.
//!
//! What is hashed is what the value says, so that one customer is the same in every report: a string's text, without quotes
//! and escapes, in UTF-8; a number, `true`, `false` or `null` as it is written. `"123"` and `123` are alike; `1` and
//! `1.0` are not. An object or an array is its own bytes: two are alike if they are written alike.

use aws_lc_rs::hmac;

use super::FieldKey;

/// Half a character that UTF-16 writes in two: no text says it, so that there is nothing to hash. Holds how many bytes of
/// the value come before the one that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::masking) struct LoneSurrogate(pub(in crate::masking) u64);

/// Where in the value the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    /// In a number, a literal or a container.
    Bytes,
    /// In a string.
    Text,
    Escape,
    /// In `\uXXXX`: how many digits are to come, and what those before say.
    Hex(u8, u16),
    /// After the closing quote.
    End,
}

/// A hash in the making of a value in JSON that is known to be sound.
#[derive(Clone)]
pub(in crate::masking) struct Hasher {
    context: hmac::Context,
    at: At,
    /// The first half of a character, if one stands before.
    high: Option<u16>,
    read: u64,
}

impl Hasher {
    pub(in crate::masking) fn new(key: &FieldKey) -> Self {
        Self {
            context: hmac::Context::with_key(&key.mac),
            at: At::Start,
            high: None,
            read: 0,
        }
    }

    /// Takes more of the value.
    pub(in crate::masking) fn feed(&mut self, bytes: &[u8]) -> Result<(), LoneSurrogate> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            let run = match self.at {
                At::Start if byte == b'"' => {
                    self.at = At::Text;
                    1
                }
                At::Start | At::Bytes => {
                    self.at = At::Bytes;
                    self.context.update(rest);
                    rest.len()
                }
                At::Text => self.text(rest)?,
                At::Escape | At::Hex(..) => {
                    self.escape(byte)?;
                    1
                }
                At::End => rest.len(),
            };
            self.read += run as u64;
            rest = rest.get(run..).unwrap_or(after);
        }
        Ok(())
    }

    /// Goes on in a string's text; how many bytes of it that were.
    fn text(&mut self, rest: &[u8]) -> Result<usize, LoneSurrogate> {
        let run = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let (plain, odd) = rest.split_at_checked(run).unwrap_or_default();
        if self.high.is_some() && (odd.first() != Some(&b'\\') || !plain.is_empty()) {
            return Err(LoneSurrogate(self.read));
        }
        self.context.update(plain);
        match odd.first() {
            None => return Ok(run),
            Some(b'"') => self.at = At::End,
            Some(_) => self.at = At::Escape,
        }
        Ok(run + 1)
    }

    /// Goes on in an escape, which the grammar has checked.
    fn escape(&mut self, byte: u8) -> Result<(), LoneSurrogate> {
        let plain = match (self.at, byte) {
            (At::Hex(left, digits), byte) => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let digits = digits << 4 | u16::try_from(digit).unwrap_or_default();
                return match left {
                    1 => self.unit(digits),
                    _ => {
                        self.at = At::Hex(left - 1, digits);
                        Ok(())
                    }
                };
            }
            (_, b'u') => {
                self.at = At::Hex(4, 0);
                return Ok(());
            }
            (_, b'b') => 8,
            (_, b'f') => 0xc,
            (_, b'n') => b'\n',
            (_, b'r') => b'\r',
            (_, b't') => b'\t',
            (_, byte) => byte,
        };
        if self.high.is_some() {
            return Err(LoneSurrogate(self.read));
        }
        self.at = At::Text;
        self.context.update(&[plain]);
        Ok(())
    }

    /// Takes what one `\uXXXX` says.
    fn unit(&mut self, unit: u16) -> Result<(), LoneSurrogate> {
        let lone = LoneSurrogate(self.read);
        self.at = At::Text;
        let code = match (self.high.take(), unit) {
            (None, 0xd800..=0xdbff) => {
                self.high = Some(unit);
                return Ok(());
            }
            (Some(high), 0xdc00..=0xdfff) => 0x1_0000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00),
            (Some(_), _) => return Err(lone),
            (None, unit) => u32::from(unit),
        };
        let c = char::from_u32(code).ok_or(lone)?;
        self.context.update(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// How many bytes of the value have been read.
    pub(in crate::masking) fn read(&self) -> u64 {
        self.read
    }

    /// The hash, when the value has ended.
    pub(in crate::masking) fn finish(self, key: &FieldKey) -> String {
        key.written(self.context.sign().as_ref())
    }
}
