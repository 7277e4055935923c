//! Which version of a resource a write was made for (S1.9; interface, section 7; RFC 9110, 13.1.1).
//!
//! `If-Match` is read as RFC 9110 has it, and bare too: S1's clients write the version's text without quotes. A weak tag
//! never matches, whichever side it stands on.

use http::HeaderMap;
use http::header;
use std::fmt::Write as _;

/// Longest version, in bytes as it stands between the quotes of a tag.
pub const MAX_VERSION: usize = 256;

/// Most tags in one `If-Match`.
pub const MAX_TAGS: usize = 64;

/// What a resource's version is called: the text between the quotes of an entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    weak: bool,
    opaque: Box<str>,
}

/// What a request says in `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: any version, as long as there is one.
    Any,
    /// One of these versions.
    OneOf(Vec<Version>),
}

/// `If-Match` is no list of entity tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`If-Match` is no list of entity tags")]
pub struct NoTags;

impl Version {
    /// The version that a text of the backend's is: a number, a hash, a time. What cannot stand in a tag is written as in a
    /// URL, so that two texts are never one version. None for an empty text, or one longer than [`MAX_VERSION`] then.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let mut opaque = String::with_capacity(text.len());
        for byte in text.bytes() {
            if is_plain(byte) {
                opaque.push(char::from(byte));
            } else {
                let _ = write!(opaque, "%{byte:02X}");
            }
        }
        Self::named(false, &opaque)
    }

    /// The version that a backend's own `ETag` is.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let (weak, quoted) = match tag.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, tag),
        };
        let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
        opaque.bytes().all(is_etagc).then_some(())?;
        Self::named(weak, opaque)
    }

    fn named(weak: bool, opaque: &str) -> Option<Self> {
        (1..=MAX_VERSION).contains(&opaque.len()).then(|| Self {
            weak,
            opaque: opaque.into(),
        })
    }

    /// What stands between the quotes.
    #[must_use]
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// A weak tag says that a body means the same, not that it is the same: nothing can be written by it.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    /// The entity tag.
    #[must_use]
    pub fn tag(&self) -> String {
        let weak = if self.weak { "W/" } else { "" };
        format!("{weak}\"{}\"", self.opaque)
    }
}

impl IfMatch {
    /// Reads the field; none if there is none, or nothing in it.
    ///
    /// # Errors
    /// [`NoTags`].
    pub fn parse(fields: &HeaderMap) -> Result<Option<Self>, NoTags> {
        let mut values = fields.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(NoTags);
        }
        let text = value.to_str().map_err(|_| NoTags)?;
        if text.trim_ascii() == "*" {
            return Ok(Some(Self::Any));
        }
        let mut tags = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (tag, after) = first(rest)?;
            if tags.len() == MAX_TAGS {
                return Err(NoTags);
            }
            tags.push(tag);
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(NoTags);
            }
        }
        Ok((!tags.is_empty()).then_some(Self::OneOf(tags)))
    }

    /// Whether a resource that has this version now, or none, may be written. `read` gives what else a client's tag may
    /// stand for: the version in it without what was added for the client's view.
    #[must_use]
    pub fn admits<'t>(&'t self, current: Option<&Version>, read: impl Fn(&'t str) -> Option<&'t str>) -> bool {
        let Some(current) = current else { return false };
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|tag| {
                let is_current = |opaque: &str| opaque == &*current.opaque;
                !tag.weak && !current.weak && (is_current(&tag.opaque) || read(&tag.opaque).is_some_and(is_current))
            }),
        }
    }
}

/// The first tag of a list and what follows it.
fn first(list: &str) -> Result<(Version, &str), NoTags> {
    let (weak, quoted) = match list.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, list),
    };
    let bare = quoted.split_at(quoted.find([',', ' ', '\t']).unwrap_or(quoted.len()));
    let (opaque, rest) = match quoted.strip_prefix('"') {
        Some(inner) => inner.split_once('"').ok_or(NoTags)?,
        // Every version beside another one: nobody means that.
        None if bare.0 == "*" => return Err(NoTags),
        None => bare,
    };
    let good = opaque.bytes().all(is_etagc);
    let version = Version::named(weak, opaque).filter(|_| good).ok_or(NoTags)?;
    Ok((version, rest))
}

/// What may stand in a tag (RFC 9110, 8.8.3), bytes above ASCII left out: nobody agrees on them.
const fn is_etagc(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"'
}

/// What of a text may stand in a tag as it is, and in a bare one.
const fn is_plain(byte: u8) -> bool {
    is_etagc(byte) && !matches!(byte, b'%' | b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Option<IfMatch>, NoTags> {
        let mut fields = HeaderMap::new();
        fields.insert(header::IF_MATCH, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        IfMatch::parse(&fields)
    }

    fn unmarked(tag: &str) -> Option<&str> {
        tag.strip_prefix("view.")
    }

    fn admits(text: &str, current: Option<&str>) -> Result<bool, NoTags> {
        let current = current.and_then(Version::of_tag);
        Ok(parse(text)?.is_some_and(|wanted| wanted.admits(current.as_ref(), unmarked)))
    }

    #[test]
    fn a_write_is_admitted_to_the_version_that_it_was_made_for() {
        for (text, current, expected) in [
            ("\"7\"", Some("\"7\""), Ok(true)),
            ("7", Some("\"7\""), Ok(true)),
            ("\"8\"", Some("\"7\""), Ok(false)),
            ("\"8\", \"7\"", Some("\"7\""), Ok(true)),
            ("8,7", Some("\"7\""), Ok(true)),
            (" , 8 ,\t\"7\" ,,", Some("\"7\""), Ok(true)),
            ("\"view.7\"", Some("\"7\""), Ok(true)),
            ("view.7", Some("\"7\""), Ok(true)),
            ("\"other.7\"", Some("\"7\""), Ok(false)),
            ("\"view.view.7\"", Some("\"7\""), Ok(false)),
            ("\"a,b\"", Some("\"a,b\""), Ok(true)),
            ("a,b", Some("\"a,b\""), Ok(false)),
            ("*", Some("\"7\""), Ok(true)),
            (" * ", Some("\"7\""), Ok(true)),
            ("*", None, Ok(false)),
            ("\"7\"", None, Ok(false)),
            // Weak on either side.
            ("W/\"7\"", Some("\"7\""), Ok(false)),
            ("W/7", Some("\"7\""), Ok(false)),
            ("W/\"7\"", Some("W/\"7\""), Ok(false)),
            ("\"7\"", Some("W/\"7\""), Ok(false)),
            ("W/\"7\", \"7\"", Some("\"7\""), Ok(true)),
            ("\"*\"", Some("\"7\""), Ok(false)),
            ("\"*\"", Some("\"*\""), Ok(true)),
            // Nothing is no condition.
            ("", Some("\"7\""), Ok(false)),
            (" , ,", Some("\"7\""), Ok(false)),
            // What cannot be read is refused.
            ("\"7", Some("\"7\""), Err(NoTags)),
            ("7\"", Some("\"7\""), Err(NoTags)),
            ("\"7\"\"7\"", Some("\"7\""), Err(NoTags)),
            ("\"7\" \"7\"", Some("\"7\""), Err(NoTags)),
            ("7 7", Some("\"7\""), Err(NoTags)),
            ("*, \"7\"", Some("\"7\""), Err(NoTags)),
            ("\"7\", *", Some("\"7\""), Err(NoTags)),
            ("\"\"", Some("\"7\""), Err(NoTags)),
            ("W/", Some("\"7\""), Err(NoTags)),
            ("\"a b\"", Some("\"7\""), Err(NoTags)),
            ("\"é\"", Some("\"7\""), Err(NoTags)),
        ] {
            assert_eq!(admits(text, current), expected, "{text:?} {current:?}");
        }
        assert_eq!(parse(""), Ok(None));
        assert_eq!(IfMatch::parse(&HeaderMap::new()), Ok(None));
        let mut twice = HeaderMap::new();
        twice.append(header::IF_MATCH, HeaderValue::from_static("\"7\""));
        twice.append(header::IF_MATCH, HeaderValue::from_static("\"7\""));
        assert_eq!(IfMatch::parse(&twice), Err(NoTags));
    }

    #[test]
    fn lists_and_versions_have_their_limits() {
        let tags = |count: usize| vec!["7"; count].join(",");
        assert!(parse(&tags(MAX_TAGS)).is_ok());
        assert_eq!(parse(&tags(MAX_TAGS + 1)), Err(NoTags));
        let longest = "v".repeat(MAX_VERSION);
        assert!(parse(&longest).is_ok() && Version::of_text(&longest).is_some());
        let longer = "v".repeat(MAX_VERSION + 1);
        assert!(parse(&longer).is_err() && Version::of_text(&longer).is_none());
        assert!(Version::of_text(&" ".repeat(MAX_VERSION / 3 + 1)).is_none());
        for no_tag in ["", "7", "\"", "\"\"", "W/7", "\"a\"b\"", "\"a b\"", "w/\"7\""] {
            assert_eq!(Version::of_tag(no_tag), None, "{no_tag}");
        }
    }

    proptest! {
        #[test]
        fn a_version_comes_back_from_its_tag(text in ".{1,60}", other in ".{1,60}") {
            if let (Some(version), Some(other_version)) = (Version::of_text(&text), Version::of_text(&other)) {
                let nothing = |_: &str| None;
                let wanted = parse(&version.tag()).unwrap().unwrap();
                prop_assert!(wanted.admits(Some(&version), nothing));
                prop_assert_eq!(Version::of_tag(&version.tag()), Some(version));
                prop_assert_eq!(wanted.admits(Some(&other_version), nothing), text == other);
            }
        }

        #[test]
        fn any_field_is_read_or_refused(text in "[ -~\\t\\x80-\\xff]{0,40}") {
            let _ = parse(&text);
        }
    }
}
