//! A value that is read to be hashed or encrypted: its bytes are collected, and at its end stand as text in its place.

use std::fmt::Write as _;

use super::machine::{Cursor, Machine};
use super::walk::Frame;
use crate::masking::names::unescape;
use crate::masking::seal::{MAX_POINTER, MAX_SEALED};
use crate::masking::{Action, Unmaskable};

/// The value that is being read.
pub(super) struct Sealing {
    class: u16,
    /// Where it starts in the body, and in the chunk at hand.
    start: u64,
    from: usize,
    /// Its bytes from earlier chunks.
    bytes: Vec<u8>,
    /// Where it is in the document, if it is to be encrypted.
    pointer: String,
}

/// The way from the root, kept while a caller's mask encrypts: by depth, the name of the member that comes next.
#[derive(Default)]
pub(super) struct Pointer {
    names: Vec<String>,
}

impl Pointer {
    /// A name has been read in the container at this depth.
    pub(super) fn member(&mut self, depth: usize, raw: &[u8]) {
        if self.names.len() < depth {
            self.names.resize_with(depth, String::new);
        }
        if let Some(name) = depth.checked_sub(1).and_then(|at| self.names.get_mut(at)) {
            unescape(raw, name);
        }
    }

    /// The value that comes next, as a JSON pointer (RFC 6901) in which an element is `*`: a list may be put in another
    /// order, and its envelopes still open.
    fn text(&self, stack: &[Frame]) -> Option<String> {
        let mut pointer = String::new();
        let mut names = self.names.iter();
        for frame in stack {
            let name = names.next();
            if frame.array {
                pointer.push_str("/*");
            } else {
                let _ = write!(pointer, "/{}", name?.replace('~', "~0").replace('/', "~1"));
            }
            if pointer.len() > MAX_POINTER {
                return None;
            }
        }
        Some(pointer)
    }
}

impl Machine {
    /// Reads the value at the cursor, in whose place its hash or envelope will stand.
    pub(super) fn start_sealing(&mut self, cursor: &Cursor<'_>, class: u16) -> Result<(), Unmaskable> {
        let start = self.here(cursor);
        let pointer = match &self.pointer {
            None => String::new(),
            Some(pointer) => pointer.text(&self.stack).ok_or(Unmaskable::LongPath { at: start })?,
        };
        self.sealing = Some(Box::new(Sealing {
            class,
            start,
            from: cursor.at,
            bytes: Vec::new(),
            pointer,
        }));
        Ok(())
    }

    /// The chunk ends at the cursor, or the value does.
    pub(super) fn collect_sealing(&mut self, cursor: &Cursor<'_>) -> Result<(), Unmaskable> {
        let Some(sealing) = &mut self.sealing else {
            return Ok(());
        };
        let more = cursor.chunk.get(sealing.from..cursor.at).unwrap_or_default();
        if sealing.bytes.len() + more.len() > MAX_SEALED {
            return Err(Unmaskable::LongValue {
                at: sealing.start + MAX_SEALED as u64,
            });
        }
        sealing.bytes.extend_from_slice(more);
        sealing.from = 0;
        Ok(())
    }

    /// The value ends at the cursor.
    pub(super) fn end_sealing(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        self.collect_sealing(cursor)?;
        let Some(sealing) = self.sealing.take() else {
            return Ok(());
        };
        let at = sealing.start;
        let text = match self.mask.actions.get(usize::from(sealing.class)) {
            Some(Some(Action::Hash(key))) => key.hash(&text(&sealing.bytes)),
            Some(Some(Action::Encrypt(key))) => key
                .seal(&sealing.bytes, &self.mask.route, &sealing.pointer)
                .map_err(|_| Unmaskable::NotSealed { at })?,
            _ => return Err(Unmaskable::NotSealed { at }),
        };
        // Nothing in it has to be escaped.
        let _ = std::io::Write::write_fmt(cursor.out, format_args!("\"{text}\""));
        Ok(())
    }
}

/// What is hashed of a value, so that one customer is one hash however its id is written: a string is its text, anything
/// else its own bytes. A string that is no text (a lone surrogate, a byte that is not UTF-8) is its own bytes too.
fn text(value: &[u8]) -> Vec<u8> {
    let mut plain = String::new();
    match value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(raw) if std::str::from_utf8(raw).is_ok() && unescape(raw, &mut plain) => plain.into_bytes(),
        _ => value.to_vec(),
    }
}
