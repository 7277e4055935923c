//! The key that a client chose, and the name under which the store knows it.
//!
//! A client's key is never a file name, a table name or a log word: the store sees its hash, together with whose key it
//! is and for which route, so that nobody meets the record of somebody else.

use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderMap;
use std::fmt;
use std::str::FromStr;

use crate::reason::Reason;

/// Most characters of a key (interface, section 6).
pub const MAX_KEY: usize = 255;

/// The two names of the header.
const HEADERS: [&str; 2] = ["x-idempotency-key", "idempotency-key"];

/// A client's key: 1-255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(Box<str>);

/// Why a request has no usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Given twice, or by both names, equal or not: two readers could take different ones.
    #[error("the idempotency key is given more than once")]
    Repeated,
    /// Empty, too long, or with a character that is not visible ASCII.
    #[error("the idempotency key is not 1-255 visible ASCII characters")]
    Invalid,
}

impl KeyFault {
    /// What the client is told.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Repeated => Reason::AmbiguousRequest,
            Self::Invalid => Reason::IdempotencyKeyInvalid,
        }
    }
}

impl IdempotencyKey {
    /// Reads the key of a request; `None` when there is no such header, which is for the caller's policy to judge.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn parse(headers: &HeaderMap) -> Result<Option<Self>, KeyFault> {
        let mut values = HEADERS.iter().flat_map(|name| headers.get_all(*name));
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(KeyFault::Repeated);
        }
        value
            .to_str()
            .ok()
            .filter(|text| (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .map(|text| Some(Self(text.into())))
            .ok_or(KeyFault::Invalid)
    }

    /// As the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a key in the store: a hash of whose it is, for what, and what the client chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey([u8; 32]);

impl RecordKey {
    /// A key belongs to issuer, user, module and route (interface, section 6).
    #[must_use]
    pub fn new(issuer: &str, user: &str, module: &str, route: &str, key: &IdempotencyKey) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(b"tollgate idempotency key 1\n");
        for part in [issuer, user, module, route, key.as_str()] {
            feed(&mut hash, part.as_bytes());
        }
        Self(finish(hash))
    }

    /// The key that the store gave back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As the store keeps it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits, as operators name a record.
impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a record: 64 hexadecimal digits are expected")]
pub struct NotARecordKey;

impl FromStr for RecordKey {
    type Err = NotARecordKey;

    fn from_str(text: &str) -> Result<Self, NotARecordKey> {
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or(NotARecordKey)?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        if digits.len() != 64 {
            return Err(NotARecordKey);
        }
        bytes.try_into().map(Self).map_err(|_| NotARecordKey)
    }
}

/// Adds a field with its length before it, so that no two lists of fields are one text.
pub(super) fn feed(hash: &mut Context, field: &[u8]) {
    hash.update(&(field.len() as u64).to_be_bytes());
    hash.update(field);
}

pub(super) fn finish(hash: Context) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(hash.finish().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn parse(fields: &[(&'static str, &[u8])]) -> Result<Option<String>, KeyFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        IdempotencyKey::parse(&headers).map(|key| key.map(|key| key.as_str().to_owned()))
    }

    #[test]
    fn a_key_is_given_once_and_is_visible_ascii() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        let longest = "k".repeat(MAX_KEY);
        let too_long = "k".repeat(MAX_KEY + 1);
        let huge = "k".repeat(100_000);
        for (fields, expected) in [
            (&[][..], Ok(None)),
            (&[("x-idempotency-key", b"k1" as &[u8])], some("k1")),
            (&[("idempotency-key", b"\"k1\"")], some("\"k1\"")),
            (&[("idempotency-key", b"!~")], some("!~")),
            (&[("idempotency-key", longest.as_bytes())], some(&longest)),
            (&[("idempotency-key", too_long.as_bytes())], Err(KeyFault::Invalid)),
            (&[("idempotency-key", huge.as_bytes())], Err(KeyFault::Invalid)),
            (&[("idempotency-key", b"")], Err(KeyFault::Invalid)),
            (&[("x-idempotency-key", b" ")], Err(KeyFault::Invalid)),
            (&[("x-idempotency-key", b"a, b")], Err(KeyFault::Invalid)),
            (&[("x-idempotency-key", b"a b")], Err(KeyFault::Invalid)),
            (&[("x-idempotency-key", b"a\tb")], Err(KeyFault::Invalid)),
            (&[("x-idempotency-key", "é".as_bytes())], Err(KeyFault::Invalid)),
            (&[("x-idempotency-key", b"\xff")], Err(KeyFault::Invalid)),
            (
                &[("x-idempotency-key", b"a"), ("x-idempotency-key", b"a")],
                Err(KeyFault::Repeated),
            ),
            (
                &[("x-idempotency-key", b"a"), ("idempotency-key", b"a")],
                Err(KeyFault::Repeated),
            ),
            (
                &[("x-idempotency-key", b"a"), ("idempotency-key", b"b")],
                Err(KeyFault::Repeated),
            ),
            (
                &[("x-idempotency-key", b""), ("idempotency-key", b"b")],
                Err(KeyFault::Repeated),
            ),
        ] {
            assert_eq!(parse(fields), expected, "{fields:?}");
        }
        assert_eq!(KeyFault::Invalid.reason(), Reason::IdempotencyKeyInvalid);
        assert_eq!(KeyFault::Repeated.reason(), Reason::AmbiguousRequest);
    }

    #[test]
    fn every_part_makes_another_record() {
        let key = |text: &str| IdempotencyKey(text.into());
        let names = [
            RecordKey::new("i", "u", "m", "r", &key("k")),
            RecordKey::new("iu", "", "m", "r", &key("k")),
            RecordKey::new("", "iu", "m", "r", &key("k")),
            RecordKey::new("i", "um", "", "r", &key("k")),
            RecordKey::new("i", "u", "m", "rk", &key("k")),
            RecordKey::new("i", "u", "m", "r", &key("K")),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[at + 1..].contains(name));
        }
        assert_eq!(names[0], RecordKey::new("i", "u", "m", "r", &key("k")));
    }

    #[test]
    fn a_record_is_named_in_hexadecimal() {
        let name = RecordKey::from_bytes(*b"0123456789abcdefghijklmnopqrst\x00\xff");
        assert_eq!(name.to_string().parse(), Ok(name));
        let text = name.to_string();
        for wrong in [
            "",
            "00",
            text.trim_start_matches("30"),
            &format!("{text}0"),
            &format!("{text}00"),
            &text.replace('0', "g"),
        ] {
            assert_eq!(wrong.parse::<RecordKey>(), Err(NotARecordKey), "{wrong}");
        }
    }
}
