//! Whose key it is and for what, in words: the store finds a record by its hash, an operator reads this.

use super::key::IdempotencyKey;
use super::record::{Reader, RecordFault};

/// Longest part that is kept, in bytes; what is longer is cut. A client's key is never longer, so it is always whole.
pub const MAX_OWNER_TEXT: usize = 255;

/// Who sent a keyed write, where to, and under which key. For people to read; a record is known by its
/// [`RecordKey`](super::RecordKey).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The issuer of the caller's token.
    pub issuer: Box<str>,
    /// The caller.
    pub user: Box<str>,
    /// The module.
    pub module: Box<str>,
    /// The route.
    pub route: Box<str>,
    /// The key as the client wrote it.
    pub key: Box<str>,
}

impl Owner {
    /// The parts, each cut to [`MAX_OWNER_TEXT`].
    #[must_use]
    pub fn new(issuer: &str, user: &str, module: &str, route: &str, key: &IdempotencyKey) -> Self {
        Self {
            issuer: cut(issuer),
            user: cut(user),
            module: cut(module),
            route: cut(route),
            key: cut(key.as_str()),
        }
    }

    /// Appends each part, its length before it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for part in [&self.issuer, &self.user, &self.module, &self.route, &self.key] {
            // The parts are public, so one of them may be longer than `new` would leave it.
            let part = cut(part);
            out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            out.extend(part.as_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, RecordFault> {
        let mut part = || {
            let [length] = reader.take()?;
            reader.text(usize::from(length))
        };
        Ok(Self {
            issuer: part()?,
            user: part()?,
            module: part()?,
            route: part()?,
            key: part()?,
        })
    }
}

fn cut(text: &str) -> Box<str> {
    let end = text.floor_char_boundary(MAX_OWNER_TEXT);
    text.get(..end).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_at_its_limit_and_never_within_a_character() {
        for (text, kept) in [
            ("u".repeat(MAX_OWNER_TEXT), MAX_OWNER_TEXT),
            ("u".repeat(MAX_OWNER_TEXT + 1), MAX_OWNER_TEXT),
            ("é".repeat(200), MAX_OWNER_TEXT - 1),
            (String::new(), 0),
        ] {
            assert_eq!(cut(&text).len(), kept);
        }
    }
}
