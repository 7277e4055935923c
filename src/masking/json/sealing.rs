//! A value that is read to be hashed or encrypted: its bytes are hashed or collected as they come, and what is made of all of
//! them stands as text in its place.

use std::fmt::Write as _;
use std::sync::Arc;

use super::machine::{Cursor, Machine};
use super::walk::Frame;
use crate::masking::names::unescape;
use crate::masking::seal::{FieldKey, Hasher, Home, MAX_POINTER, MAX_SEALED};
use crate::masking::utf8::Carry;
use crate::masking::{Action, Unmaskable};

/// The value that is being read.
pub(super) struct Sealing {
    key: Arc<FieldKey>,
    /// Where it starts in the body, and in the chunk at hand.
    start: u64,
    from: usize,
    way: Way,
}

#[allow(clippy::large_enum_variant)] // there is one, in a box
enum Way {
    /// Hashed as it comes.
    Hash {
        hasher: Hasher,
        /// Of a string, what is no whole character yet: where JSON is not quite JSON, it may not be UTF-8 either.
        text: Option<Carry>,
    },
    /// Collected, for its place in the document.
    Encrypt { pointer: String, bytes: Vec<u8> },
}

impl Sealing {
    fn feed(&mut self, more: &[u8]) -> Result<(), Unmaskable> {
        match &mut self.way {
            Way::Encrypt { bytes, .. } => {
                if bytes.len() + more.len() > MAX_SEALED {
                    return Err(Unmaskable::LongValue {
                        at: self.start + MAX_SEALED as u64,
                    });
                }
                bytes.extend_from_slice(more);
                Ok(())
            }
            Way::Hash { hasher, text } => match text {
                None => hash(hasher, self.start, more),
                Some(carry) => hash_text(hasher, carry, self.start, more),
            },
        }
    }

    /// What stands in place of the value, which has ended.
    fn finish(self, home: Option<&Home>) -> Option<String> {
        match self.way {
            Way::Hash { hasher, .. } => Some(hasher.finish(&self.key)),
            Way::Encrypt { pointer, bytes } => self.key.seal(&bytes, home?, &pointer).ok(),
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match &self.way {
            Way::Hash { .. } => 0,
            Way::Encrypt { pointer, bytes } => pointer.capacity() + bytes.capacity(),
        }
    }
}

fn hash(hasher: &mut Hasher, start: u64, more: &[u8]) -> Result<(), Unmaskable> {
    let lone = |at| Unmaskable::LoneSurrogate { at: start + at };
    hasher.feed(more).map_err(|fault| lone(fault.0))
}

/// Hashes whole characters of UTF-8: of other text nobody knows what it says.
fn hash_text(hasher: &mut Hasher, carry: &mut Carry, start: u64, mut more: &[u8]) -> Result<(), Unmaskable> {
    let charset = |hasher: &Hasher| Unmaskable::Charset {
        at: start + hasher.read(),
    };
    let whole = carry.complete(&mut more).map_err(|()| charset(hasher))?;
    if let Some((bytes, length)) = whole {
        hash(hasher, start, bytes.get(..length).unwrap_or_default())?;
    }
    if more.is_empty() {
        return Ok(());
    }
    let sound = carry.split(more);
    hash(hasher, start, sound.text)?;
    if sound.broken { Err(charset(hasher)) } else { Ok(()) }
}

/// The names on the way from the root, kept while a caller's mask encrypts.
#[derive(Default)]
pub(super) struct Pointer {
    /// As they are written, one after the other; of an array there is none.
    names: Vec<u8>,
    /// Where in `names` begins the one of each open container, from the outermost.
    starts: Vec<usize>,
}

impl Pointer {
    /// A container opens that the caller may see.
    pub(super) fn enter(&mut self) {
        self.starts.push(self.names.len());
    }

    /// All containers but the outermost `depth` have been closed.
    pub(super) fn leave(&mut self, depth: usize) {
        if let Some(&start) = self.starts.get(depth) {
            self.names.truncate(start);
            self.starts.truncate(depth);
        }
    }

    /// A name has been read in the innermost container.
    pub(super) fn member(&mut self, raw: &[u8]) {
        self.names.truncate(self.starts.last().copied().unwrap_or_default());
        self.names.extend_from_slice(raw);
    }

    /// The value that starts at `at`, as a JSON pointer (RFC 6901) in which an element is `*`: a list may be put in another
    /// order, and its envelopes still open.
    fn text(&self, stack: &[Frame], at: u64) -> Result<String, Unmaskable> {
        let mut pointer = String::new();
        let mut name = String::new();
        let ends = self.starts.iter().skip(1).copied().chain([self.names.len()]);
        for ((frame, &start), end) in stack.iter().zip(&self.starts).zip(ends) {
            if frame.array {
                pointer.push_str("/*");
            } else {
                let raw = self.names.get(start..end).unwrap_or_default();
                if !unescape(raw, &mut name) {
                    return Err(Unmaskable::LoneSurrogate { at });
                }
                let _ = write!(pointer, "/{}", name.replace('~', "~0").replace('/', "~1"));
            }
            if pointer.len() > MAX_POINTER {
                return Err(Unmaskable::LongPath { at });
            }
        }
        Ok(pointer)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.names.capacity()
    }
}

impl Machine {
    /// Reads the value at the cursor, in whose place its hash or envelope will stand.
    pub(super) fn start_sealing(&mut self, cursor: &Cursor<'_>, class: u16) -> Result<(), Unmaskable> {
        let start = self.here(cursor);
        let action = self.mask.actions.get(usize::from(class)).and_then(Option::as_ref);
        let (key, way) = match (action, &self.pointer) {
            (Some(Action::Hash(key)), _) => (
                key,
                Way::Hash {
                    hasher: Hasher::new(key),
                    text: (cursor.peek() == Some(b'"')).then(Carry::default),
                },
            ),
            (Some(Action::Encrypt(key)), Some(pointer)) => (
                key,
                Way::Encrypt {
                    pointer: pointer.text(&self.stack, start)?,
                    bytes: Vec::new(),
                },
            ),
            _ => return Err(Unmaskable::NotSealed { at: start }),
        };
        self.sealing = Some(Box::new(Sealing {
            key: Arc::clone(key),
            start,
            from: cursor.at,
            way,
        }));
        Ok(())
    }

    /// The chunk ends at the cursor, or the value does.
    pub(super) fn collect_sealing(&mut self, cursor: &Cursor<'_>) -> Result<(), Unmaskable> {
        let Some(sealing) = &mut self.sealing else {
            return Ok(());
        };
        sealing.feed(cursor.chunk.get(sealing.from..cursor.at).unwrap_or_default())?;
        sealing.from = 0;
        Ok(())
    }

    /// The value ends at the cursor.
    pub(super) fn end_sealing(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        let Some(mut sealing) = self.sealing.take() else {
            return Ok(());
        };
        sealing.feed(cursor.chunk.get(sealing.from..cursor.at).unwrap_or_default())?;
        let at = sealing.start;
        let text = sealing.finish(self.mask.home.as_ref());
        let text = text.ok_or(Unmaskable::NotSealed { at })?;
        // Nothing in it has to be escaped.
        let _ = std::io::Write::write_fmt(cursor.out, format_args!("\"{text}\""));
        Ok(())
    }
}
