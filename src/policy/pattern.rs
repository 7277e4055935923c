//! Patterns that authors write: scopes with `*`, paths with `{name}`.

use std::fmt;
use std::sync::Arc;

/// The part of a granted scope that stands for any one part.
pub(super) const ANY_PART: &str = "*";

/// Most segments a path pattern may have.
pub const MAX_SEGMENTS: usize = 64;

/// A granted scope: `:`-separated parts, of which `*` stands for any one (section 3).
///
/// ```
/// use tollgate::policy::ScopePattern;
///
/// let reading = ScopePattern::parse("*:read")?;
/// assert!(reading.covers("ledger:read"));
/// assert!(!reading.covers("ledger:entries:read"), "one part, not any number");
/// # Ok::<(), tollgate::policy::pattern::PatternFault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePattern(Arc<str>);

impl ScopePattern {
    /// Reads a scope: non-empty parts of visible ASCII without `"` and `\` (RFC 6749, 3.3), `*` only as a whole part.
    ///
    /// # Errors
    /// What is wrong with the text, in the author's terms.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        if text.is_empty() {
            return Err(PatternFault::Empty);
        }
        for part in text.split(':') {
            if part.is_empty() {
                return Err(PatternFault::EmptyPart);
            }
            if part != ANY_PART && part.contains('*') {
                return Err(PatternFault::PartialWildcard);
            }
            if let Some(odd) = part.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '\\')) {
                return Err(PatternFault::Character(odd));
            }
        }
        Ok(Self(text.into()))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a part is `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.split(':').any(|part| part == ANY_PART)
    }

    /// Whether the concrete `scope` is one of those that the pattern stands for.
    #[must_use]
    pub fn covers(&self, scope: &str) -> bool {
        let mut ours = self.0.split(':');
        let mut theirs = scope.split(':');
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b || (a == ANY_PART && !b.is_empty()) => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Exactly this, after decoding.
    Literal(Box<str>),
    /// `{name}`: any one segment that is not empty.
    Parameter(Box<str>),
}

/// A path of literal segments and `{name}`s. It matches itself and everything below (a prefix that ends at a segment).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PathPattern(Vec<Segment>);

impl PathPattern {
    /// Reads `/a/{b}/c`; `/` is the empty pattern. A trailing `/` is refused: it would suggest a difference that there is not.
    ///
    /// # Errors
    /// What is wrong with the text, in the author's terms. A path that no request could have (section 5: dot segments,
    /// `//`, `%`, `;`, `?`, control characters) is refused, because its rule would be dead.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(if text.is_empty() {
                PatternFault::Empty
            } else {
                PatternFault::NoSlash
            });
        };
        if rest.is_empty() {
            return Ok(Self::default());
        }
        if rest.ends_with('/') {
            return Err(PatternFault::TrailingSlash);
        }
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            segments.push(Self::segment(segment)?);
            if segments.len() > MAX_SEGMENTS {
                return Err(PatternFault::TooManySegments);
            }
        }
        for (at, segment) in segments.iter().enumerate() {
            if let Segment::Parameter(name) = segment
                && segments.iter().take(at).any(|other| other == segment)
            {
                return Err(PatternFault::RepeatedParameter(name.to_string()));
            }
        }
        Ok(Self(segments))
    }

    fn segment(text: &str) -> Result<Segment, PatternFault> {
        if text.is_empty() {
            return Err(PatternFault::EmptySegment);
        }
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let mut chars = name.chars();
            let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !starts || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(PatternFault::ParameterName(name.to_owned()));
            }
            return Ok(Segment::Parameter(name.into()));
        }
        if let Some(odd) = text
            .chars()
            .find(|c| c.is_control() || matches!(c, '{' | '}' | '%' | '?' | '#' | ';' | '\\'))
        {
            return Err(PatternFault::Character(odd));
        }
        if text.ends_with(['.', ' ']) {
            return Err(PatternFault::DeadSegment(text.to_owned()));
        }
        Ok(Segment::Literal(text.into()))
    }

    /// Its steps.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Where the parameter `name` stands, counted in segments from the pattern's start.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|segment| matches!(segment, Segment::Parameter(own) if **own == *name))
    }

    /// Whether a `{name}` is in it.
    #[must_use]
    pub fn has_parameters(&self) -> bool {
        self.0.iter().any(|segment| matches!(segment, Segment::Parameter(_)))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        Ok(())
    }
}

/// Why a pattern cannot be read; worded for the policy's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// `a::b`, `:a`.
    #[error("has an empty part between `:`")]
    EmptyPart,
    /// `lea*`.
    #[error("has a `*` inside a part; `*` stands for one whole part, as in `*:read`")]
    PartialWildcard,
    /// A character that cannot occur.
    #[error("has the character {0:?}, which cannot occur in it")]
    Character(char),
    /// `api/x`.
    #[error("must start with `/`")]
    NoSlash,
    /// `/api/`.
    #[error("ends in `/`; a prefix ends at a segment by itself")]
    TrailingSlash,
    /// `/a//b`.
    #[error("has an empty segment (`//`)")]
    EmptySegment,
    /// `/a/..`.
    #[error(
        "has the segment `{0}`: requests whose segments end in a dot or a space are refused, so this could never match"
    )]
    DeadSegment(String),
    /// `/{a-b}`.
    #[error("has the parameter name `{0}`; a name is letters, digits and `_`")]
    ParameterName(String),
    /// `/{a}/{a}`.
    #[error("has the parameter `{0}` twice")]
    RepeatedParameter(String),
    /// More than [`MAX_SEGMENTS`].
    #[error("has more than {MAX_SEGMENTS} segments")]
    TooManySegments,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_part() {
        for (pattern, scope, expected) in [
            ("ledger:read", "ledger:read", true),
            ("ledger:read", "ledger:write", false),
            ("*:read", "ledger:read", true),
            ("*:read", "read", false),
            ("*:read", "a:b:read", false),
            ("tariffs:*", "tariffs:write", true),
            ("tariffs:*", "tariffs", false),
            ("tariffs:*", "tariffs:a:b", false),
            ("*:*", "a:b", true),
            ("*", "view", true),
            ("*", "a:b", false),
        ] {
            let parsed = ScopePattern::parse(pattern).unwrap();
            assert_eq!(parsed.covers(scope), expected, "{pattern} covers {scope}");
        }
    }

    #[test]
    fn odd_scopes_are_refused() {
        for text in ["", ":", "a:", ":a", "a b", "le*", "a\"b", "é", "a\u{0}"] {
            assert!(ScopePattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_round_trip_and_dead_ones_are_refused() {
        for text in ["/", "/a", "/a/{b}/c", "/a.b", "/a b", "/é", "/a+b", "/cgi-bin/BILL.cbl"] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "", "a", "/a/", "//", "/a//b", "/..", "/a/.", "/a;b", "/a?b", "/a#b", "/a%20b", "/{}", "/{a-b}", "/x{a}",
            "/{a}/{a}", "/a\n", "/a\\b", "/a ",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text:?}");
        }
        assert!(PathPattern::parse(&"/a".repeat(MAX_SEGMENTS)).is_ok());
        assert_eq!(
            PathPattern::parse(&"/a".repeat(MAX_SEGMENTS + 1)),
            Err(PatternFault::TooManySegments)
        );
    }
}
