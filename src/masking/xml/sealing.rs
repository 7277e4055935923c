//! Elements and attributes that are hashed or encrypted: what is between the tags or the quotes is collected, and what is
//! made of all of it stands as text in its place.
//!
//! An envelope opens to the backend's own bytes. A hash is of what these say, so that it is the one that JSON and CSV have:
//! of an attribute or an element without elements in it its text, in UTF-8 and with line ends and references as every reader
//! of XML has them, comments and processing instructions left out. What has elements in it says no one text, and
//! is its own bytes, as an object of JSON is: two are alike if they are written alike.

use memchr::memmem;
use std::borrow::Cow;
use std::fmt::Write as _;

use super::chars::{local, referenced};
use super::machine::{Cursor, Machine};
use super::verdict::Cut;
use crate::masking::Unmaskable;
use crate::masking::charset::Charset;
use crate::masking::seal::{MAX_POINTER, MAX_SEALED};

/// The element whose content is being read.
pub(super) struct Sealing {
    cut: Cut,
    /// Its place, if it is encrypted.
    pointer: String,
    /// Where its content starts in the body.
    start: u64,
    /// The first byte of the chunk at hand that may belong to it and is not collected.
    from: usize,
    content: Vec<u8>,
}

impl Sealing {
    fn collect(&mut self, more: &[u8]) -> Result<(), Unmaskable> {
        if self.content.len() + more.len() > MAX_SEALED {
            let at = self.start + MAX_SEALED as u64;
            return Err(Unmaskable::LongValue { at });
        }
        self.content.extend_from_slice(more);
        Ok(())
    }

    /// Collects what the chunk has as far as `end`.
    fn collect_to(&mut self, end: usize, chunk: &[u8]) -> Result<(), Unmaskable> {
        self.collect(chunk.get(self.from..end).unwrap_or_default())?;
        self.from = end;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.content.capacity() + self.pointer.capacity()
    }
}

impl Machine {
    /// The content of the element starts at the cursor, unless its tag is empty.
    pub(super) fn start_sealing(&mut self, cursor: &Cursor<'_>, cut: Cut, pointer: String) {
        self.sealing = Some(Box::new(Sealing {
            cut,
            pointer,
            start: self.here(cursor),
            from: cursor.at,
            content: Vec::new(),
        }));
    }

    /// Collects what was held back by earlier chunks and turns out to be content; the chunk at hand goes on with it.
    pub(super) fn collect_held(&mut self, held: &[u8]) -> Result<(), Unmaskable> {
        match &mut self.sealing {
            Some(sealing) => sealing.collect(held),
            None => Ok(()),
        }
    }

    /// The chunk ends at the cursor.
    pub(super) fn collect_sealing(&mut self, cursor: &Cursor<'_>) -> Result<(), Unmaskable> {
        let end = if self.state.is_held() { cursor.mark } else { cursor.at };
        let Some(sealing) = &mut self.sealing else {
            return Ok(());
        };
        sealing.collect_to(end, cursor.chunk)?;
        sealing.from = 0;
        Ok(())
    }

    /// The content ends before the tag that is held back: what stands in its place.
    pub(super) fn end_sealing(&mut self, cursor: &Cursor<'_>) -> Result<Option<String>, Unmaskable> {
        let Some(mut sealing) = self.sealing.take() else {
            return Ok(None);
        };
        // If an earlier chunk had the start of the tag, the mark is at the start of this one, and so is `from`.
        sealing.collect_to(cursor.mark, cursor.chunk)?;
        let Sealing { cut, content, .. } = &*sealing;
        self.sealed(*cut, content, &sealing.pointer, content_text, sealing.start)
            .map(Some)
    }

    /// What stands in place of a value that begins at `at`. `text` is what it says.
    pub(super) fn sealed(
        &self,
        cut: Cut,
        value: &[u8],
        pointer: &str,
        text: fn(&[u8], Charset) -> Option<String>,
        at: u64,
    ) -> Result<String, Unmaskable> {
        let said = |value| match text(value, self.charset) {
            Some(text) => Cow::Owned(text.into_bytes()),
            None => Cow::Borrowed(value),
        };
        let sealed = self.judge.sealed(cut, value, said, pointer);
        sealed.ok_or(Unmaskable::NotSealed { at })
    }

    /// What an element or an attribute is found by, as a JSON pointer (RFC 6901) from the root: `last` are its own name and those
    /// around it that are not open yet. Without prefixes, as paths of a policy are. Empty for what is not encrypted.
    pub(super) fn pointer(&self, cut: Cut, last: &[&[u8]], at: u64) -> Result<String, Unmaskable> {
        let mut pointer = String::new();
        if !matches!(cut, Cut::Encrypt(_)) {
            return Ok(pointer);
        }
        let ends = self.stack.iter().skip(1).map(|frame| frame.name);
        let open = self.stack.iter().zip(ends.chain([self.names.len()]));
        let open = open.map(|(frame, end)| self.names.get(frame.name..end).unwrap_or_default());
        for name in open.chain(last.iter().copied()) {
            // In no name is `~` or `/`.
            let _ = write!(pointer, "/{}", self.charset.decode(local(name)));
            if pointer.len() > MAX_POINTER {
                return Err(Unmaskable::LongPath { at });
            }
        }
        Ok(pointer)
    }
}

/// What the content of an element says; none if there are elements in it.
pub(super) fn content_text(content: &[u8], charset: Charset) -> Option<String> {
    let mut text = String::new();
    let mut rest = content;
    loop {
        let length = memchr::memchr(b'<', rest).unwrap_or(rest.len());
        let (plain, markup) = rest.split_at_checked(length)?;
        read(plain, charset, &mut text, line_ends);
        if markup.is_empty() {
            return Some(text);
        }
        rest = if let Some(comment) = markup.strip_prefix(b"<!--") {
            split(comment, b"-->")?.1
        } else if let Some(section) = markup.strip_prefix(b"<![CDATA[") {
            let (inner, after) = split(section, b"]]>")?;
            text.push_str(&line_ends(&charset.decode(inner)));
            after
        } else {
            split(markup.strip_prefix(b"<?")?, b"?>")?.1
        };
    }
}

/// What the value of an attribute says (XML 1.0, 3.3.3): without a document type all of them are `CDATA`.
pub(super) fn attribute_text(value: &[u8], charset: Charset) -> Option<String> {
    let mut text = String::new();
    read(value, charset, &mut text, |plain| {
        line_ends(plain).replace(['\t', '\n'], " ")
    });
    Some(text)
}

/// XML 1.0, 2.11.
fn line_ends(plain: &str) -> String {
    plain.replace("\r\n", "\n").replace('\r', "\n")
}

/// Reads text and references; `plain` makes of text what it says.
fn read(raw: &[u8], charset: Charset, text: &mut String, plain: fn(&str) -> String) {
    let mut pieces = raw.split(|byte| *byte == b'&');
    text.push_str(&plain(&charset.decode(pieces.next().unwrap_or_default())));
    for piece in pieces {
        let length = memchr::memchr(b';', piece).map_or(piece.len(), |place| place + 1);
        let (reference, after) = piece.split_at_checked(length).unwrap_or_default();
        text.extend(referenced(reference));
        text.push_str(&plain(&charset.decode(after)));
    }
}

/// What is before and after a mark, which is there: the grammar has seen it.
fn split<'b>(bytes: &'b [u8], mark: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let place = memmem::find(bytes, mark)?;
    Some((bytes.get(..place)?, bytes.get(place + mark.len()..)?))
}
