//! The push side: chunks in, visible bytes out. What is held back at the end of a chunk and what an error leaves behind is
//! here; the grammar is in [`walk`](super::walk).

use std::fmt;

use super::XmlFault;
use super::chars::sound;
use super::sealing::Sealing;
use super::verdict::Judge;
use super::walk::State;
use crate::masking::charset::Charset;
use crate::masking::utf8::Carry;
use crate::masking::{MAX_TAG, Mask, Unmaskable};

/// The masker of XML.
///
/// What goes with a removed element: all from the `<` of its start tag to the `>` of its end tag, and with a removed attribute
/// the white space before it. The tags of an element that is replaced or emptied stay, without their attributes:
/// these may say what the element said. Declarations of namespaces always stay. An element that is hashed or encrypted is
/// one that is replaced: what stands in its place is made of its content alone.
///
/// A tag is written when all of it has been read and judged. Memory is bounded by `MAX_TAG`, by `MAX_DEPTH` names of
/// `MAX_NAME`, and by `MAX_SEALED`.
pub(in crate::masking) struct Machine {
    pub(super) charset: Charset,
    pub(super) state: State,
    pub(super) judge: Judge,
    /// Paths lead through the document.
    pub(super) tracked: bool,
    /// The elements that are open.
    pub(super) stack: Vec<Frame>,
    /// Their names as written, one after the other.
    pub(super) names: Vec<u8>,
    pub(super) cut: Option<Cutting>,
    /// The element that is being hashed or encrypted. Boxed: few answers have one.
    pub(super) sealing: Option<Box<Sealing>>,
    /// The root element has started.
    pub(super) rooted: bool,
    /// Where the body starts: after its byte order mark.
    pub(super) start: u64,
    /// How many `]` come last in the text so far; 2 stands for more.
    pub(super) brackets: usize,
    /// Where in the body the markup or reference starts that is being read.
    pub(super) mark_at: u64,
    /// What earlier chunks had of it, if it is one that is held back.
    pub(super) held: Vec<u8>,
    carry: Carry,
    /// Bytes of the body before the chunk at hand.
    offset: u64,
    over: Option<Unmaskable>,
}

/// An element that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Where its name starts.
    pub(super) name: usize,
    /// Paths lead through it.
    pub(super) tracked: bool,
}

/// What is read and not written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutting {
    /// How many elements are open in the element that it belongs to, that one included.
    pub(super) depth: usize,
    /// The end tag goes too.
    pub(super) whole: bool,
}

impl fmt::Debug for Machine {
    /// Without the bytes that are held back: nobody may see them yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("offset", &self.offset)
            .field("tally", &self.judge.tally)
            .finish_non_exhaustive()
    }
}

/// One chunk, and how far it has been read and written.
pub(super) struct Cursor<'c> {
    pub(super) chunk: &'c [u8],
    pub(super) out: &'c mut Vec<u8>,
    /// The next byte to read.
    pub(super) at: usize,
    /// The first byte that may be written but is not yet.
    pub(super) keep: usize,
    /// The first byte of what is held back.
    pub(super) mark: usize,
}

impl<'c> Cursor<'c> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.chunk.get(self.at).copied()
    }

    /// What is still to be read.
    pub(super) fn rest(&self) -> &'c [u8] {
        self.chunk.get(self.at..).unwrap_or_default()
    }

    /// Writes what may be written up to `end`.
    pub(super) fn write_to(&mut self, end: usize) {
        if let Some(run) = self.chunk.get(self.keep..end) {
            self.out.extend_from_slice(run);
        }
        self.keep = end;
    }
}

impl Machine {
    /// A masker for one body.
    pub(in crate::masking) fn new(mask: Mask, charset: Charset) -> Self {
        let fault = XmlFault::Rows;
        let over = mask.rows.as_ref().map(|_| Unmaskable::Xml { at: 0, fault });
        let mut judge = Judge::new(mask, charset);
        Self {
            charset,
            state: State::Text,
            tracked: judge.enter(),
            judge,
            stack: Vec::new(),
            names: Vec::new(),
            cut: None,
            sealing: None,
            rooted: false,
            start: 0,
            brackets: 0,
            mark_at: 0,
            held: Vec::new(),
            carry: Carry::default(),
            offset: 0,
            over,
        }
    }

    /// Reads a chunk and appends to `out` what the caller may see of it.
    ///
    /// # Errors
    /// [`Unmaskable`], from then on for every call. What was appended is what may be seen before the fault.
    pub(in crate::masking) fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if let Some(over) = self.over {
            return Err(over);
        }
        self.decode(chunk, out).inspect_err(|fault| self.end(*fault))
    }

    /// Says that the body has ended. Nothing was held back then that could be seen.
    ///
    /// # Errors
    /// [`Unmaskable`] if it ended too early or did not start. A masker that has finished takes no more.
    pub(in crate::masking) fn finish(&mut self) -> Result<(), Unmaskable> {
        if let Some(over) = self.over {
            return Err(over);
        }
        let whole = self.state == State::Text && self.stack.is_empty() && self.carry.is_empty();
        let ended = match (whole, self.rooted) {
            (true, true) => Ok(()),
            (true, false) => Err(self.fault(self.offset, XmlFault::NoRoot)),
            (false, _) => Err(self.fault(self.offset, XmlFault::Open)),
        };
        let at = self.offset;
        let expected = "the end of the body";
        self.end(ended.err().unwrap_or(Unmaskable::Unexpected { at, expected }));
        ended
    }

    /// How many elements and attributes were masked, by class index. What is inside a masked element is not counted, its
    /// attributes included; what is of several hidden classes counts for each.
    pub(in crate::masking) fn tally(&self) -> &[u32] {
        &self.judge.tally
    }

    /// Memory that holds bytes back, in bytes.
    #[cfg(test)]
    pub(in crate::masking) fn held(&self) -> usize {
        self.held.capacity()
            + self.names.capacity()
            + self.stack.capacity() * size_of::<Frame>()
            + self.sealing.as_ref().map_or(0, |sealing| sealing.held())
    }

    fn end(&mut self, fault: Unmaskable) {
        self.over = Some(fault);
        self.held = Vec::new();
        self.names = Vec::new();
        self.sealing = None;
    }

    /// Lets only what the charset has through.
    fn decode(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match self.charset {
            Charset::Utf8 => self.decode_utf8(chunk, out),
            Charset::UsAscii => {
                let end = chunk.iter().position(|byte| !byte.is_ascii()).unwrap_or(chunk.len());
                self.read(chunk.get(..end).unwrap_or_default(), out)?;
                if end < chunk.len() {
                    return Err(self.fault(self.offset, XmlFault::Charset));
                }
                Ok(())
            }
            Charset::Single(_) => self.read(chunk, out),
        }
    }

    fn decode_utf8(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let not_utf8 = |at| Unmaskable::NotUtf8 { at };
        let whole = self.carry.complete(&mut chunk).map_err(|()| not_utf8(self.offset))?;
        if let Some((bytes, length)) = whole {
            self.read(bytes.get(..length).unwrap_or_default(), out)?;
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let sound = self.carry.split(chunk);
        self.read(sound.text, out)?;
        if sound.broken {
            Err(not_utf8(self.offset))
        } else {
            Ok(())
        }
    }

    /// Lets only what XML has through to the grammar.
    fn read(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let end = sound(chunk, self.charset == Charset::Utf8);
        self.run(chunk.get(..end).unwrap_or_default(), out)?;
        if end < chunk.len() {
            return Err(self.fault(self.offset, XmlFault::Character));
        }
        Ok(())
    }

    fn run(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        out.reserve(chunk.len());
        let mut cursor = Cursor {
            chunk,
            out,
            at: 0,
            keep: 0,
            mark: 0,
        };
        if self.offset == 0 && self.charset == Charset::Utf8 && chunk.starts_with(MARK) {
            // A character is never in two chunks: a mark is here whole, or is none.
            cursor.at = MARK.len();
            self.start = MARK.len() as u64;
        }
        let walked = self.walk(&mut cursor);
        let held = self.state.is_held();
        if self.cut.is_none() {
            cursor.write_to(if held { cursor.mark } else { cursor.at });
        }
        // What is wrong with an element's length is that first, whatever comes after it.
        let walked = self.collect_sealing(&cursor).and(walked);
        let fits = if held { self.fits(&cursor) } else { Ok(()) };
        if held && walked.is_ok() && fits.is_ok() {
            let begun = chunk.get(cursor.mark..).unwrap_or_default();
            self.held.extend_from_slice(begun);
        }
        self.offset += cursor.at as u64;
        walked.and(fits)
    }

    /// Whether what is held back may be.
    pub(super) fn fits(&self, cursor: &Cursor<'_>) -> Result<(), Unmaskable> {
        if self.held.len() + (cursor.at - cursor.mark) > MAX_TAG {
            return Err(self.fault(self.mark_at, XmlFault::LongTag));
        }
        Ok(())
    }

    /// What is held back may be seen, and what follows it.
    pub(super) fn release(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        let mut held = std::mem::take(&mut self.held);
        self.collect_held(&held)?;
        if self.cut.is_none() {
            cursor.out.extend_from_slice(&held);
        }
        held.clear();
        self.held = held;
        Ok(())
    }

    pub(super) const fn fault(&self, at: u64, fault: XmlFault) -> Unmaskable {
        Unmaskable::Xml { at, fault }
    }

    /// Where the cursor stands in the body.
    pub(super) fn here(&self, cursor: &Cursor<'_>) -> u64 {
        self.offset + cursor.at as u64
    }
}

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
