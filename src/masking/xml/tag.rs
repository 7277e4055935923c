//! What is in a tag or in the declaration, once all of it has been read.

use smallvec::SmallVec;
use std::ops::Range;

use super::XmlFault;
use super::chars::{check_name, is_reference, is_space, name_length};
use crate::masking::MAX_ATTRIBUTES;
use crate::masking::charset::Charset;

/// A start tag or an empty-element tag (XML 1.0, 3.1). All places are bytes from its `<`.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: Range<usize>,
    pub(super) attributes: SmallVec<[Attribute; 8]>,
    /// Where the last attribute, or the name if there is none, ends.
    pub(super) tail: usize,
    /// `/>` closes it.
    pub(super) empty: bool,
}

/// An attribute.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    /// The white space before it, the quotes, and all between.
    pub(super) whole: Range<usize>,
    pub(super) name: Range<usize>,
    /// What is between its quotes.
    pub(super) value: Range<usize>,
}

/// Something wrong, and where in the tag.
pub(super) type Fault = (usize, XmlFault);

/// Reads what it is given from left to right.
struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    charset: Charset,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes white space; whether there was any.
    fn space(&mut self) -> bool {
        let from = self.at;
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
        self.at > from
    }

    /// Passes some text if it comes next.
    fn takes(&mut self, text: &[u8]) -> bool {
        let comes = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(text));
        self.at += if comes { text.len() } else { 0 };
        comes
    }

    fn name(&mut self) -> Result<Range<usize>, Fault> {
        let from = self.at;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let name = rest.get(..name_length(rest)).unwrap_or_default();
        check_name(name, self.charset).map_err(|fault| (from, fault))?;
        self.at += name.len();
        Ok(from..self.at)
    }

    /// `=` and a value in quotes, the white space around `=` too. What is between the quotes.
    fn value(&mut self) -> Result<Range<usize>, Fault> {
        self.space();
        if !self.takes(b"=") {
            return Err((self.at, XmlFault::Value));
        }
        self.space();
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        let quote = quote.ok_or((self.at, XmlFault::Value))?;
        self.at += 1;
        let from = self.at;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let length = memchr::memchr(quote, rest).ok_or((from, XmlFault::Value))?;
        self.at += length + 1;
        let value = from..from + length;
        check_value(rest.get(..length).unwrap_or_default()).map_err(|(at, fault)| (from + at, fault))?;
        Ok(value)
    }
}

/// XML 1.0, 2.3: `AttValue`.
fn check_value(value: &[u8]) -> Result<(), Fault> {
    let mut at = 0;
    while let Some(more) = value.get(at..).and_then(|rest| memchr::memchr2(b'<', b'&', rest)) {
        at += more;
        let rest = value.get(at..).unwrap_or_default();
        if rest.first() == Some(&b'<') {
            return Err((at, XmlFault::Value));
        }
        let length = memchr::memchr(b';', rest).ok_or((at, XmlFault::Reference))? + 1;
        if !rest.get(..length).is_some_and(is_reference) {
            return Err((at, XmlFault::Reference));
        }
        at += length;
    }
    Ok(())
}

/// Reads all from `<` to `>` of a start tag.
pub(super) fn start(bytes: &[u8], charset: Charset) -> Result<Tag, Fault> {
    let mut reader = Reader { bytes, at: 1, charset };
    let name = reader.name()?;
    let mut attributes = SmallVec::<[Attribute; 8]>::new();
    let (tail, empty) = loop {
        let from = reader.at;
        let spaced = reader.space();
        match reader.peek() {
            Some(b'>') => break (from, false),
            Some(b'/') if bytes.get(reader.at + 1) == Some(&b'>') => break (from, true),
            Some(_) if spaced => {}
            _ => return Err((reader.at, XmlFault::Tag)),
        }
        if attributes.len() == MAX_ATTRIBUTES {
            return Err((reader.at, XmlFault::TooManyAttributes));
        }
        let name = reader.name()?;
        let value = reader.value()?;
        attributes.push(Attribute {
            whole: from..reader.at,
            name,
            value,
        });
    };
    let end = reader.at + if empty { 2 } else { 1 };
    if end != bytes.len() {
        return Err((end, XmlFault::Tag));
    }
    check_duplicates(bytes, &attributes)?;
    Ok(Tag {
        name,
        attributes,
        tail,
        empty,
    })
}

/// XML 1.0, 3.1: unique attributes. As they are written; sorted, so that many of them take little time.
fn check_duplicates(bytes: &[u8], attributes: &[Attribute]) -> Result<(), Fault> {
    if attributes.len() < 2 {
        return Ok(());
    }
    let mut names: SmallVec<[(&[u8], usize); 8]> = attributes
        .iter()
        .map(|attribute| {
            (
                bytes.get(attribute.name.clone()).unwrap_or_default(),
                attribute.name.start,
            )
        })
        .collect();
    names.sort_unstable();
    let twice = names.windows(2).filter_map(|pair| match pair {
        [(one, _), (other, at)] if one == other => Some(*at),
        _ => None,
    });
    twice.min().map_or(Ok(()), |at| Err((at, XmlFault::Duplicate)))
}

/// Reads all from `</` to `>` of an end tag: its name.
pub(super) fn end(bytes: &[u8]) -> Result<&[u8], Fault> {
    let inner = bytes.get(2..bytes.len().saturating_sub(1)).unwrap_or_default();
    let name = inner.get(..name_length(inner)).unwrap_or_default();
    let rest = inner.get(name.len()..).unwrap_or_default();
    match rest.iter().position(|byte| !is_space(*byte)) {
        None => Ok(name),
        Some(more) => Err((2 + name.len() + more, XmlFault::Tag)),
    }
}

/// Reads the declaration, all from `<?xml` to `?>` (XML 1.0, 2.8 and 4.3.3).
pub(super) fn declaration(bytes: &[u8], charset: Charset) -> Result<(), Fault> {
    let mut reader = Reader { bytes, at: 5, charset };
    let malformed = |at| (at, XmlFault::Declaration);
    let mut next = 0;
    loop {
        let spaced = reader.space();
        let from = reader.at;
        if next > 0 && reader.takes(b"?>") && reader.at == bytes.len() {
            return Ok(());
        }
        let name = reader.name().map_err(|_| malformed(from))?;
        let value = reader.value().map_err(|_| malformed(from))?;
        let value = bytes.get(value).unwrap_or_default();
        next = match bytes.get(name).unwrap_or_default() {
            b"version" if next == 0 && value == b"1.0" => 1,
            b"encoding" if next == 1 && Charset::of_label(value) == Some(charset) => 2,
            b"encoding" if next == 1 => return Err((from, XmlFault::Encoding)),
            b"standalone" if matches!(next, 1 | 2) && matches!(value, b"yes" | b"no") => 3,
            _ => return Err(malformed(from)),
        };
        if !spaced {
            return Err(malformed(from));
        }
    }
}
