//! One canonical path, or none (interface, section 5: refuse, don't normalise).
//!
//! The path is decoded once, for matching and audit, and forwarded byte for byte as it came. A path that
//! another reader could understand differently (a CGI program, a servlet container, a file system) is refused:
//! whatever decoding, `;` stripping, slash merging or dot removal a backend does, it ends where we ended.

use super::hex;
use memchr::memchr;
use smallvec::SmallVec;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Most segments of a path; more is refused.
pub const MAX_SEGMENTS: usize = 256;

/// A path that everybody reads in the same way.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    raw: Arc<str>,
    /// Absent when decoding changes nothing.
    decoded: Option<Arc<str>>,
    /// Byte ranges of the segments in the decoded text, without the empty one that a trailing `/` makes.
    segments: SmallVec<[Range<u32>; 8]>,
    parameters: bool,
}

impl Path {
    /// Reads the path of a request target, without its query.
    ///
    /// # Errors
    /// What makes the path ambiguous.
    pub fn parse(raw: &str) -> Result<Self, PathFault> {
        if !raw.starts_with('/') {
            return Err(PathFault::NotOriginForm);
        }
        let decoded = if raw.contains('%') { Some(decode(raw)?) } else { None };
        let text = decoded.as_deref().unwrap_or(raw);
        refuse_bytes(raw, text)?;
        let mut parameters = false;
        let mut segments = SmallVec::new();
        let mut at = 1;
        let mut rest = text.get(1..).unwrap_or_default();
        loop {
            let (segment, more) = match memchr(b'/', rest.as_bytes()).and_then(|slash| rest.split_at_checked(slash)) {
                Some((head, tail)) => (head, tail.get(1..)),
                None => (rest, None),
            };
            if segment.is_empty() && more.is_some() {
                return Err(PathFault::EmptySegment);
            }
            parameters |= check_segment(segment)?;
            let end = at + segment.len();
            if !segment.is_empty() {
                segments.push(offset(at)..offset(end));
            }
            if segments.len() > MAX_SEGMENTS {
                return Err(PathFault::TooManySegments);
            }
            let Some(tail) = more else { break };
            rest = tail;
            at = end + 1;
        }
        Ok(Self {
            raw: raw.into(),
            decoded: decoded.map(Arc::from),
            segments,
            parameters,
        })
    }

    /// As it came, for the backend.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Decoded once, for matching and audit.
    #[must_use]
    pub fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.raw)
    }

    /// As [`Self::decoded`], to be kept.
    #[must_use]
    pub fn shared(&self) -> &Arc<str> {
        self.decoded.as_ref().unwrap_or(&self.raw)
    }

    /// The decoded segments. `/a/` has one, like `/a`; `/` has none.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        let text = self.decoded();
        self.segments
            .iter()
            .filter_map(move |range| text.get(range.start as usize..range.end as usize))
    }

    /// The decoded segment at an index.
    #[must_use]
    pub fn segment(&self, index: usize) -> Option<&str> {
        let range = self.segments.get(index)?;
        self.decoded().get(range.start as usize..range.end as usize)
    }

    /// The decoded segment at an index, if all readers take it for the same: one with a `;` is another to those that cut off
    /// what follows.
    ///
    /// # Errors
    /// It has a `;`.
    pub fn settled_segment(&self, index: usize) -> Result<Option<&str>, Unsettled> {
        match self.segment(index) {
            Some(text) if text.contains(';') => Err(Unsettled),
            segment => Ok(segment),
        }
    }

    /// The path as [`Self::decoded`], if no segment has a `;`.
    ///
    /// # Errors
    /// One has.
    pub fn settled(&self) -> Result<&str, Unsettled> {
        if self.parameters {
            return Err(Unsettled);
        }
        Ok(self.decoded())
    }

    /// How many segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether a segment has a `;`, which a servlet container would cut off with what follows. Refused unless the module allows it.
    #[must_use]
    pub fn has_parameters(&self) -> bool {
        self.parameters
    }
}

/// What is read has `;` parameters: some backends act on it without them, others with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has `;` parameters, which some backends cut off")]
pub struct Unsettled;

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.raw)
    }
}

/// A path is far shorter than 4 GiB (`uri_bytes`); a longer one saturates and its segments are never found.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Decodes each `%XX` once.
fn decode(raw: &str) -> Result<String, PathFault> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
            return Err(PathFault::MalformedEscape);
        };
        let value = high << 4 | low;
        if matches!(value, b'/' | b'\\') {
            return Err(PathFault::EncodedSlash);
        }
        out.push(value);
    }
    String::from_utf8(out).map_err(|_| PathFault::NotUtf8)
}

fn refuse_bytes(raw: &str, text: &str) -> Result<(), PathFault> {
    // The usual path, all bytes of which are looked at together.
    let plain = text.bytes().fold(true, |plain, byte| {
        plain & (b' '..=b'~').contains(&byte) & !matches!(byte, b'\\' | b'%')
    });
    if plain && raw.len() == text.len() {
        return Ok(());
    }
    if !raw.is_ascii() {
        return Err(PathFault::RawNonAscii);
    }
    if text.contains('\\') {
        return Err(PathFault::Backslash);
    }
    if text.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    decodes_again(text)
}

/// Refuses a decoded text in which a second decoding would bring up a separator, a dot, an escape or a control byte.
fn decodes_again(text: &str) -> Result<(), PathFault> {
    for (at, _) in text.match_indices('%') {
        let mut following = text.bytes().skip(at + 1);
        let (Some(high), Some(low)) = (following.next().and_then(hex), following.next().and_then(hex)) else {
            continue;
        };
        let value = high << 4 | low;
        if matches!(value, b'.' | b'/' | b'\\' | b';' | b'%' | b' ') || !(0x20..0x7f).contains(&value) {
            return Err(PathFault::DoubleEncoding);
        }
    }
    Ok(())
}

/// Refuses segments that a backend may take for another; tells whether this one has path parameters.
fn check_segment(segment: &str) -> Result<bool, PathFault> {
    let parameters = memchr(b';', segment.as_bytes());
    let name = parameters.and_then(|at| segment.get(..at)).unwrap_or(segment);
    if matches!(name, "." | "..") {
        return Err(PathFault::DotSegment);
    }
    let ends_badly = |text: &str| matches!(text.as_bytes().last(), Some(b'.' | b' '));
    if ends_badly(segment) || ends_badly(name) {
        return Err(PathFault::TrailingDotOrSpace);
    }
    let parameters = parameters.is_some();
    if parameters && name.is_empty() {
        return Err(PathFault::EmptySegment);
    }
    Ok(parameters)
}

/// What makes a path ambiguous; worded for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// Not a path at all (`*`, an authority).
    #[error("the target is not a path")]
    NotOriginForm,
    /// `%`, `%2`, `%zz`, `%u002e`.
    #[error("the path has a malformed `%` escape")]
    MalformedEscape,
    /// `%2f`, `%5c`.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `\`.
    #[error("the path has a backslash")]
    Backslash,
    /// Control bytes, encoded or not.
    #[error("the path has a control character")]
    Control,
    /// Bytes from 0x80 that are not percent-encoded.
    #[error("the path has bytes that are not ASCII")]
    RawNonAscii,
    /// Bytes that decode to no text, overlong forms among them.
    #[error("the path does not decode to UTF-8")]
    NotUtf8,
    /// `%252e`, `%25252f`.
    #[error("the path would decode again to something else")]
    DoubleEncoding,
    /// `.`, `..`, also encoded or before a `;`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `a.`, `a%20`, which Windows and some containers strip.
    #[error("the path has a segment that ends in a dot or a space")]
    TrailingDotOrSpace,
    /// More than [`MAX_SEGMENTS`].
    #[error("the path has more than {MAX_SEGMENTS} segments")]
    TooManySegments,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_keeps_its_bytes_and_is_decoded_once() {
        for (raw, decoded, segments) in [
            ("/", "/", vec![]),
            ("/a", "/a", vec!["a"]),
            ("/a/", "/a/", vec!["a"]),
            ("/a/b.c/d", "/a/b.c/d", vec!["a", "b.c", "d"]),
            ("/a%20b", "/a b", vec!["a b"]),
            ("/a+b", "/a+b", vec!["a+b"]),
            ("/a..b", "/a..b", vec!["a..b"]),
            ("/..a", "/..a", vec!["..a"]),
            ("/%C3%A9/%c3%a9", "/é/é", vec!["é", "é"]),
            ("/%61dmin", "/admin", vec!["admin"]),
            ("/100%25", "/100%", vec!["100%"]),
            ("/%2541", "/%41", vec!["%41"]),
            ("/[a]/*/{x}|^", "/[a]/*/{x}|^", vec!["[a]", "*", "{x}|^"]),
            ("/%ef%bc%8e%ef%bc%8e", "/．．", vec!["．．"]),
        ] {
            let path = Path::parse(raw).unwrap_or_else(|fault| panic!("{raw}: {fault}"));
            assert_eq!(path.raw(), raw);
            assert_eq!(path.decoded(), decoded);
            assert_eq!(path.segments().collect::<Vec<_>>(), segments);
            assert!(!path.has_parameters());
        }
    }

    #[test]
    fn a_segment_with_parameters_is_unsettled_however_the_sign_is_written() {
        let path = Path::parse("/a/A-1;x/b%3By/c").unwrap();
        for (index, expected) in [
            (0, Ok(Some("a"))),
            (1, Err(Unsettled)),
            (2, Err(Unsettled)),
            (3, Ok(Some("c"))),
            (4, Ok(None)),
        ] {
            assert_eq!(path.settled_segment(index), expected, "{index}");
        }
        assert_eq!(path.settled(), Err(Unsettled));
        assert_eq!(Path::parse("/a/%41").unwrap().settled(), Ok("/a/A"));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        use PathFault::*;
        for (raw, fault) in [
            ("", NotOriginForm),
            ("*", NotOriginForm),
            ("a/b", NotOriginForm),
            ("/public/../admin", DotSegment),
            ("/public/..", DotSegment),
            ("/.", DotSegment),
            ("/a/./b", DotSegment),
            ("/public/%2e%2e/admin", DotSegment),
            ("/public/.%2E/admin", DotSegment),
            ("/public/..%2fadmin", EncodedSlash),
            ("/public%2Fecho", EncodedSlash),
            ("/public/..%5cadmin", EncodedSlash),
            ("/public/..\\admin", Backslash),
            ("/public/%252e%252e/admin", DoubleEncoding),
            ("/public/..%252fadmin", DoubleEncoding),
            ("/a%25252e", DoubleEncoding),
            ("/a%25%32%65", DoubleEncoding),
            ("/a%2500", DoubleEncoding),
            ("/a%253bx", DoubleEncoding),
            ("/a%25c0%25ae", DoubleEncoding),
            ("/public/..;/admin", DotSegment),
            ("/public/.;a=b/admin", DotSegment),
            ("/public/..%3b/admin", DotSegment),
            ("/;/admin", EmptySegment),
            ("/;a=b/admin", EmptySegment),
            ("//admin", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/a%00", Control),
            ("/a%0a", Control),
            ("/a%0d", Control),
            ("/a%09b", Control),
            ("/a%7f", Control),
            ("/a%c2%85b", Control),
            ("/a%20", TrailingDotOrSpace),
            ("/a%20/b", TrailingDotOrSpace),
            ("/public../admin", TrailingDotOrSpace),
            ("/public.;x/admin", TrailingDotOrSpace),
            ("/a...", TrailingDotOrSpace),
            ("/%c0%ae%c0%ae/x", NotUtf8),
            ("/%e0%80%ae", NotUtf8),
            ("/%ff", NotUtf8),
            ("/é", RawNonAscii),
            ("/%", MalformedEscape),
            ("/%2", MalformedEscape),
            ("/%zz", MalformedEscape),
            ("/%%32%65", MalformedEscape),
            ("/%u002e", MalformedEscape),
            ("/%+1", MalformedEscape),
        ] {
            assert_eq!(Path::parse(raw), Err(fault), "{raw}");
        }
        assert!(Path::parse(&"/a".repeat(MAX_SEGMENTS)).is_ok());
        assert_eq!(Path::parse(&"/a".repeat(MAX_SEGMENTS + 1)), Err(TooManySegments));
    }

    #[test]
    fn path_parameters_are_seen_encoded_or_not() {
        for raw in ["/a;x=1/b", "/a%3bx", "/a%3Bx/b"] {
            assert!(Path::parse(raw).unwrap().has_parameters(), "{raw}");
        }
    }

    /// What the laxest backend might make of a path: decode, cut parameters, merge slashes, remove dot segments.
    fn lax(path: &str) -> String {
        let text = path.replace('\\', "/");
        let mut out: Vec<&str> = Vec::new();
        for segment in text.split('/') {
            match segment.split(';').next().unwrap_or_default() {
                "" | "." => {}
                ".." => {
                    out.pop();
                }
                name => out.push(name),
            }
        }
        format!("/{}", out.join("/"))
    }

    fn decode_lossy(path: &str) -> String {
        let bytes = path.as_bytes();
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let pair = bytes
                .get(at + 1)
                .copied()
                .and_then(hex)
                .zip(bytes.get(at + 2).copied().and_then(hex));
            if let (b'%', Some((high, low))) = (bytes[at], pair) {
                out.push(high << 4 | low);
                at += 3;
            } else {
                out.push(bytes[at]);
                at += 1;
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    proptest! {
        #[test]
        fn no_amount_of_decoding_moves_an_accepted_path(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("/"), Just("."), Just(".."), Just("%2e"), Just("%2f"), Just("%5c"), Just("%25"), Just("2e"), Just("2f"),
                    Just(";"), Just("%3b"), Just("a"), Just("admin"), Just("\\"), Just("%00"), Just("%20"), Just("%c0%ae"), Just("é"), Just("%C3%A9"),
                ], 0..12)
        ) {
            let raw = format!("/{}", parts.concat());
            if let Ok(path) = Path::parse(&raw)
                && !path.has_parameters() {
                let ours = lax(path.decoded());
                prop_assert_eq!(&ours, &format!("/{}", path.decoded().trim_matches('/')));
                // A second and a third decoding may change letters, never the structure.
                let twice = decode_lossy(path.decoded());
                prop_assert_eq!(lax(&twice).matches('/').count(), ours.matches('/').count());
            }
        }

        #[test]
        fn any_bytes_are_answered(raw in ".{0,64}") {
            let _ = Path::parse(&raw);
        }
    }
}
