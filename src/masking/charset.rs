//! Charsets of text bodies: a closed list of those in which every ASCII character is one byte of its own, so that what
//! separates fields and what quotes them is found without decoding anything.

use encoding_rs::Encoding;
use std::borrow::Cow;

/// The charset of a text body (RFC 2978), by its preferred name in the registry of IANA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// `utf-8`, the charset of what does not say.
    #[default]
    Utf8,
    /// `us-ascii`: a byte of 0x80 or more is a fault.
    UsAscii,
    /// One byte for each character, by its place in [`SINGLE`].
    Single(SingleByte),
}

/// A charset of the list that has one byte for each character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleByte(u8);

/// A charset that has one byte for each character.
struct Known {
    name: &'static str,
    /// Other names in headers, lower case.
    aliases: &'static [&'static str],
    encoding: &'static Encoding,
}

/// Every byte of these is some character, for the Encoding Standard at least.
///
/// That reads `iso-8859-1` as `windows-1252`. They differ in 0x80 to 0x9f only: control characters there, letters like
/// `Š` here. No name of a policy has those control characters, and many who say the one write the other, so that
/// this finds more names and misses none.
static SINGLE: [Known; 11] = [
    Known {
        name: "iso-8859-1",
        aliases: &["iso_8859-1", "iso8859-1", "latin1", "l1"],
        encoding: encoding_rs::WINDOWS_1252,
    },
    Known {
        name: "iso-8859-15",
        aliases: &["iso_8859-15", "iso8859-15", "latin-9", "latin9"],
        encoding: encoding_rs::ISO_8859_15,
    },
    windows("windows-1250", &["cp1250", "x-cp1250"], encoding_rs::WINDOWS_1250),
    windows("windows-1251", &["cp1251", "x-cp1251"], encoding_rs::WINDOWS_1251),
    windows("windows-1252", &["cp1252", "x-cp1252"], encoding_rs::WINDOWS_1252),
    windows("windows-1253", &["cp1253", "x-cp1253"], encoding_rs::WINDOWS_1253),
    windows("windows-1254", &["cp1254", "x-cp1254"], encoding_rs::WINDOWS_1254),
    windows("windows-1255", &["cp1255", "x-cp1255"], encoding_rs::WINDOWS_1255),
    windows("windows-1256", &["cp1256", "x-cp1256"], encoding_rs::WINDOWS_1256),
    windows("windows-1257", &["cp1257", "x-cp1257"], encoding_rs::WINDOWS_1257),
    windows("windows-1258", &["cp1258", "x-cp1258"], encoding_rs::WINDOWS_1258),
];

const fn windows(name: &'static str, aliases: &'static [&'static str], encoding: &'static Encoding) -> Known {
    Known {
        name,
        aliases,
        encoding,
    }
}

impl Charset {
    /// Every name by which an author may ask for one.
    pub const NAMES: &'static [&'static str] = &[
        "utf-8",
        "us-ascii",
        "iso-8859-1",
        "iso-8859-15",
        "windows-1250",
        "windows-1251",
        "windows-1252",
        "windows-1253",
        "windows-1254",
        "windows-1255",
        "windows-1256",
        "windows-1257",
        "windows-1258",
    ];

    /// The charset with a name of [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "utf-8" => Some(Self::Utf8),
            "us-ascii" => Some(Self::UsAscii),
            _ => Self::single(|known| known.name == name),
        }
    }

    fn single(is: impl Fn(&Known) -> bool) -> Option<Self> {
        let at = SINGLE.iter().position(is)?;
        Some(Self::Single(SingleByte(u8::try_from(at).ok()?)))
    }

    /// The charset that a `charset` parameter means, by its name or one of its usual aliases, whatever their case.
    #[must_use]
    pub fn of_label(label: &[u8]) -> Option<Self> {
        let label = std::str::from_utf8(label).ok()?.to_ascii_lowercase();
        match label.as_str() {
            "ascii" => Some(Self::UsAscii),
            other => Self::named(other).or_else(|| Self::single(|known| known.aliases.contains(&other))),
        }
    }

    /// The name, as an author writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::UsAscii => "us-ascii",
            Self::Single(SingleByte(at)) => SINGLE.get(usize::from(at)).map_or("", |known| known.name),
        }
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            Self::Utf8 | Self::UsAscii => encoding_rs::UTF_8,
            Self::Single(SingleByte(at)) => SINGLE
                .get(usize::from(at))
                .map_or(encoding_rs::UTF_8, |known| known.encoding),
        }
    }

    /// What some bytes say. They are sound; if they were not, what is wrong would be U+FFFD.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        self.encoding().decode_without_bom_handling(bytes).0
    }

    /// Text in this charset; none if it has not all of the characters.
    #[must_use]
    pub fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        if self == Self::UsAscii && !text.is_ascii() {
            return None;
        }
        let (bytes, _, unmappable) = self.encoding().encode(text);
        (!unmappable).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_a_charset_and_its_aliases_are_the_same() {
        for name in Charset::NAMES {
            let charset = Charset::named(name).unwrap();
            assert_eq!(charset.name(), *name);
            assert_eq!(Charset::of_label(name.to_ascii_uppercase().as_bytes()), Some(charset));
            assert_eq!(charset.decode(b"ssn,\";|\t\r\n"), "ssn,\";|\t\r\n");
            assert_eq!(charset.encode("[REDACTED]").as_deref(), Some(&b"[REDACTED]"[..]));
        }
        for (label, name) in [
            ("latin1", "iso-8859-1"),
            ("Latin1", "iso-8859-1"),
            ("ISO_8859-1", "iso-8859-1"),
            ("latin9", "iso-8859-15"),
            ("CP1252", "windows-1252"),
            ("ascii", "us-ascii"),
        ] {
            assert_eq!(
                Charset::of_label(label.as_bytes()).map(Charset::name),
                Some(name),
                "{label}"
            );
        }
        for label in [
            "",
            "utf8",
            "utf-16",
            "utf-7",
            "iso-2022-jp",
            "shift_jis",
            "gb18030",
            "cp037",
            "\u{e9}",
        ] {
            assert_eq!(Charset::of_label(label.as_bytes()), None, "{label}");
        }
        assert_eq!(SINGLE.len() + 2, Charset::NAMES.len());
    }

    #[test]
    fn ascii_stays_ascii_in_every_charset() {
        for charset in Charset::NAMES.iter().filter_map(|name| Charset::named(name)) {
            for byte in 0..0x80_u8 {
                assert_eq!(charset.decode(&[byte]), char::from(byte).to_string(), "{charset:?}");
            }
            if matches!(charset, Charset::Single(_)) {
                for byte in 0x80..=0xff_u8 {
                    assert!(!charset.decode(&[byte]).is_ascii(), "{charset:?} {byte}");
                }
            }
        }
    }

    #[test]
    fn text_that_a_charset_does_not_have_is_none() {
        let charset = |name| Charset::named(name).unwrap();
        assert_eq!(charset("windows-1252").encode("é€").as_deref(), Some(&b"\xe9\x80"[..]));
        assert_eq!(charset("windows-1252").encode("ж"), None);
        assert_eq!(charset("us-ascii").encode("é"), None);
        assert_eq!(charset("windows-1251").decode(b"\xd1\xcd\xc8\xcb\xd1"), "СНИЛС");
    }
}
