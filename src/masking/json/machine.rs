//! The push side of masking: chunks in, visible bytes out. What is held back at the end of a chunk, what an error
//! leaves behind and what a verdict does to the output is here; the grammar is in [`walk`](super::walk).

use smallvec::SmallVec;
use std::fmt;

use super::rows::{Filter, Way};
use super::sealing::{Pointer, Sealing};
use super::tolerance::{Tolerance, Tolerated};
use super::walk::{At, Frame};
use crate::masking::names::Scratch;
use crate::masking::paths::{Hits, Trail};
use crate::masking::unmaskable::Unmaskable;
use crate::masking::utf8::Carry;
use crate::masking::{Action, Mask};

/// No value is being cut.
pub(super) const UNCUT: usize = usize::MAX;

/// Depth up to which the stack never moves.
const USUAL_DEPTH: usize = 16;

/// Bytes that a tolerant reader looks through together for some beyond ASCII, to read the others the usual way.
const PIECE: usize = 1024;

/// How the texts of a body follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::masking) enum Texts {
    /// There is one.
    One,
    /// One per line; blank lines count for nothing.
    Lines,
    /// Each after an RS and before an LF (RFC 7464).
    Sequence,
}

/// The masker of JSON.
///
/// What goes with a removed member: its comma and the whitespace from there to its name, up to the end of its value;
/// the whitespace after its value stays. If no member before it stays, the next one that stays loses its comma.
/// `{ "a":1, "ssn":2 }` becomes `{ "a":1 }`, `{ "ssn":2, "b":3 }` becomes `{ "b":3 }`, `{ "ssn":2 }` becomes `{ }`.
/// Elements are cut out of arrays in the same way. Memory is bounded by `MAX_HELD`, `MAX_NAME` and `MAX_DEPTH`.
pub(in crate::masking) struct Machine {
    pub(super) mask: Mask,
    pub(super) lines: bool,
    /// The texts are a sequence of RFC 7464.
    pub(super) sequence: bool,
    pub(super) at: At,
    pub(super) stack: Vec<Frame>,
    /// The depth of the value that is being cut, or `UNCUT`. What it holds is read but neither judged nor written.
    pub(super) cut: usize,
    /// The depth at which a value that ends is the end of more: of what is being cut, else of a row.
    pub(super) ends: usize,
    /// What is known beforehand of the value that comes next.
    pub(super) ahead: Option<Ahead>,
    /// A member or element is not judged yet, and its bytes so far are held back.
    pub(super) holding: bool,
    /// What is held back from earlier chunks.
    pub(super) held: Vec<u8>,
    /// Where the name starts in what is held back.
    pub(super) name_at: usize,
    pub(super) trail: Trail,
    /// Boxed: few answers have rows.
    pub(super) filter: Option<Box<Filter>>,
    /// The value that is being hashed or encrypted.
    pub(super) sealing: Option<Box<Sealing>>,
    /// The way here, if something is to be encrypted on it.
    pub(super) pointer: Option<Box<Pointer>>,
    scratch: Scratch,
    hits: Hits,
    pub(super) tally: SmallVec<[u32; 8]>,
    carry: Carry,
    /// If what is not quite JSON is taken, too. Boxed: few modules ask for it.
    pub(super) tolerance: Option<Box<Tolerance>>,
    /// Bytes of the body before the chunk at hand.
    pub(super) offset: u64,
    over: Option<Unmaskable>,
}

impl fmt::Debug for Machine {
    /// Without the bytes that are held back: nobody may see them yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("offset", &self.offset)
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

/// What happens to one value, the strictest last: a hash says which values are one, an envelope opens to who has the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    /// Puts the value's hash.
    Hash(u16),
    /// Puts the value's envelope.
    Encrypt(u16),
    /// Puts the literal of this class.
    Redact(u16),
    Null,
    Remove,
}

/// What is known of a value before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Something else is written in its place.
    Replace(Cut),
    /// It is on the way to the rows, or their array.
    Toward(Way),
}

/// One chunk, and how far it has been read and written.
pub(super) struct Cursor<'c> {
    pub(super) chunk: &'c [u8],
    pub(super) out: &'c mut Vec<u8>,
    /// The next byte to read.
    pub(super) at: usize,
    /// The first byte that may be written but is not yet.
    pub(super) keep: usize,
    /// The first byte that is held back, if `holding`.
    pub(super) hold: usize,
    /// The first byte of the row that is being read.
    pub(super) row_in: usize,
    /// Where in `out` starts what is written of it.
    pub(super) row_out: usize,
}

impl Cursor<'_> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.chunk.get(self.at).copied()
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
    pub(in crate::masking) fn new(mask: Mask, texts: Texts) -> Self {
        Self {
            tally: SmallVec::from_elem(0, mask.actions.len()),
            filter: mask.rows.clone().map(|rows| Box::new(Filter::new(rows))),
            pointer: mask.encrypts().then(Box::default),
            mask,
            lines: texts == Texts::Lines,
            sequence: texts == Texts::Sequence,
            at: At::Start,
            stack: Vec::with_capacity(USUAL_DEPTH),
            cut: UNCUT,
            ends: UNCUT,
            ahead: None,
            holding: false,
            held: Vec::new(),
            name_at: 0,
            trail: Trail::default(),
            sealing: None,
            scratch: Scratch::default(),
            hits: Hits::new(),
            carry: Carry::default(),
            tolerance: None,
            offset: 0,
            over: None,
        }
    }

    /// The same, which takes what is not quite JSON, too.
    pub(in crate::masking) fn tolerant(mask: Mask, texts: Texts) -> Self {
        Self {
            tolerance: Some(Box::default()),
            ..Self::new(mask, texts)
        }
    }

    /// How often what was tolerated so far.
    pub(in crate::masking) fn tolerated(&self) -> Tolerated {
        self.tolerance
            .as_ref()
            .map(|tolerance| tolerance.tolerated)
            .unwrap_or_default()
    }

    /// Reads a chunk and appends to `out` what the caller may see of it.
    ///
    /// # Errors
    /// [`Unmaskable`], from then on for every call. What was appended is what may be seen before the fault.
    pub(in crate::masking) fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if let Some(over) = self.over {
            return Err(over);
        }
        let read = match self.tolerance {
            None => self.decode(chunk, out),
            Some(_) => self.decode_tolerant(chunk, out),
        };
        read.inspect_err(|fault| self.end(*fault))
    }

    /// Says that the body has ended.
    ///
    /// All that may be seen has been appended by then, since whatever is held back is not whole; `out` is asked for
    /// so that no caller relies on it.
    ///
    /// # Errors
    /// [`Unmaskable`] if it ended too early or did not start. A masker that has finished takes no more.
    pub(in crate::masking) fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if let Some(over) = self.over {
            return Err(over);
        }
        let at = self.offset;
        let expected = "the end of the body";
        let (result, over) = match self.at {
            _ if !self.carry.is_empty() => (false, Unmaskable::Incomplete { at }),
            // Without its LF a text may have been cut short, and a number would not show it.
            At::End | At::Number(_) if self.sequence => (false, Unmaskable::Incomplete { at }),
            At::Start if !self.lines && !self.sequence => (false, Unmaskable::Empty { at }),
            At::Start | At::End => (true, Unmaskable::Unexpected { at, expected }),
            At::Number(number) if self.stack.is_empty() && number.is_whole() => {
                (true, Unmaskable::Unexpected { at, expected })
            }
            _ => (false, Unmaskable::Incomplete { at }),
        };
        self.end(over);
        if result { Ok(()) } else { Err(over) }
    }

    /// How many values were masked, by class index. What is inside a masked value or a dropped row is not counted; a
    /// value of several hidden classes counts for each.
    pub(in crate::masking) fn tally(&self) -> &[u32] {
        &self.tally
    }

    /// How many rows were dropped.
    pub(in crate::masking) fn dropped(&self) -> u32 {
        self.filter.as_ref().map_or(0, |filter| filter.dropped())
    }

    /// Memory that holds bytes back, in bytes.
    #[cfg(test)]
    pub(in crate::masking) fn held(&self) -> usize {
        self.held.capacity()
            + self.filter.as_ref().map_or(0, |filter| filter.held())
            + self.sealing.as_ref().map_or(0, |sealing| sealing.held())
            + self.pointer.as_ref().map_or(0, |pointer| pointer.held())
    }

    fn end(&mut self, fault: Unmaskable) {
        self.over = Some(fault);
        self.held = Vec::new();
        self.sealing = None;
        if let Some(before) = self.filter.as_ref().and_then(|filter| filter.tally_before()) {
            self.tally.clone_from(before);
        }
    }

    /// Lets only whole UTF-8 characters through to the grammar.
    fn decode(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let not_utf8 = |at| Unmaskable::NotUtf8 { at };
        let whole = self.carry.complete(&mut chunk).map_err(|()| not_utf8(self.offset))?;
        if let Some((bytes, length)) = whole {
            self.run(bytes.get(..length).unwrap_or_default(), out)?;
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let sound = self.carry.split(chunk);
        self.run(sound.text, out)?;
        if sound.broken {
            Err(not_utf8(self.offset))
        } else {
            Ok(())
        }
    }

    /// Lets all bytes through: where they may stand is the grammar's to say.
    fn decode_tolerant(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let size = if chunk.is_ascii() { chunk.len() } else { PIECE };
        for piece in chunk.chunks(size.max(1)) {
            if let Some(tolerance) = &mut self.tolerance {
                tolerance.plain = piece.is_ascii();
            }
            self.run(piece, out)?;
        }
        Ok(())
    }

    fn run(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        out.reserve(chunk.len());
        let mut cursor = Cursor {
            chunk,
            row_in: 0,
            row_out: out.len(),
            out,
            at: 0,
            keep: 0,
            hold: 0,
        };
        let walked = self.walk(&mut cursor);
        if self.cut != UNCUT {
            // Nothing of a value that is being cut is written, nor kept.
        } else if self.holding {
            cursor.write_to(cursor.hold);
            self.held
                .extend_from_slice(chunk.get(cursor.hold..).unwrap_or_default());
        } else {
            cursor.write_to(cursor.at);
        }
        // What is wrong with a value's bytes is that first, whatever comes after them.
        let walked = self.collect_sealing(&cursor).and(walked);
        self.offset += cursor.at as u64;
        match &mut self.filter {
            None => walked,
            Some(filter) => first(filter.set_aside(&mut cursor), walked),
        }
    }

    /// Where the cursor stands in the body.
    pub(super) fn here(&self, cursor: &Cursor<'_>) -> u64 {
        self.offset + cursor.at as u64
    }

    /// Holds back what follows, from `from` on, until it is judged.
    pub(super) fn hold(&mut self, cursor: &mut Cursor<'_>, from: usize) {
        self.holding = true;
        cursor.hold = from;
    }

    /// Where in the body what is held back starts.
    pub(super) fn held_from(&self, cursor: &Cursor<'_>) -> u64 {
        self.here(cursor) - self.held_back(cursor) as u64
    }

    /// How many bytes are held back.
    pub(super) fn held_back(&self, cursor: &Cursor<'_>) -> usize {
        self.held.len() + (cursor.at - cursor.hold)
    }

    /// What is held back may be seen.
    pub(super) fn release(&mut self, cursor: &mut Cursor<'_>) {
        self.holding = false;
        if !self.held.is_empty() {
            cursor.out.extend_from_slice(&self.held);
            self.held.clear();
        }
    }

    /// Acts on a verdict over what is held back.
    pub(super) fn apply(&mut self, cursor: &mut Cursor<'_>, verdict: Option<Cut>) {
        if verdict == Some(Cut::Remove) {
            cursor.write_to(cursor.hold);
            self.holding = false;
            self.held.clear();
            self.begin_cut();
            return;
        }
        self.release(cursor);
        self.ahead = verdict.map(Ahead::Replace);
        if let Some(frame) = self.stack.last_mut() {
            frame.kept = true;
        }
    }

    /// Writes what stands in place of the value that starts here, and cuts that.
    pub(super) fn write_replacement(&mut self, cursor: &mut Cursor<'_>, cut: Cut) -> Result<(), Unmaskable> {
        cursor.write_to(cursor.at);
        let literal = match cut {
            Cut::Hash(class) | Cut::Encrypt(class) => {
                self.start_sealing(cursor, class)?;
                ""
            }
            Cut::Redact(class) => match self.mask.actions.get(usize::from(class)) {
                Some(Some(Action::Redact(literal))) => literal,
                _ => "null",
            },
            Cut::Null | Cut::Remove => "null",
        };
        cursor.out.extend_from_slice(literal.as_bytes());
        self.begin_cut();
        Ok(())
    }

    fn begin_cut(&mut self) {
        self.cut = self.stack.len();
        self.ends = self.cut;
    }

    /// More than a value ends at the cursor.
    pub(super) fn end_more(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        if self.cut == self.stack.len() {
            self.end_sealing(cursor)?;
            self.end_cut(cursor);
        }
        self.end_row(cursor)
    }

    /// What is being cut ends at the cursor.
    pub(super) fn end_cut(&mut self, cursor: &mut Cursor<'_>) {
        self.cut = UNCUT;
        cursor.keep = cursor.at;
        self.ends = self.row_depth();
    }

    /// Acts on the member whose name, closing quote included, has just been read.
    pub(super) fn take_member(&mut self, cursor: &mut Cursor<'_>, escaped: bool, frame: Frame) {
        let raw = if self.held.is_empty() {
            cursor.chunk.get(cursor.hold + self.name_at..cursor.at - 1)
        } else {
            let begun = cursor.chunk.get(cursor.hold..cursor.at).unwrap_or_default();
            self.held.extend_from_slice(begun);
            cursor.hold = cursor.at;
            cursor.keep = cursor.at;
            self.held.get(self.name_at..self.held.len() - 1)
        };
        let raw = raw.unwrap_or_default();
        if let Some(pointer) = &mut self.pointer {
            pointer.member(raw);
        }
        let selectors = &self.mask.selectors;
        let found = selectors.find(raw, escaped, &mut self.scratch);
        self.hits.clear();
        self.hits.extend(selectors.named(found));
        if frame.tracked {
            selectors.member(&mut self.trail, found, &mut self.hits);
        }
        let ahead = match &mut self.filter {
            Some(filter) if frame.way == Way::Leads => filter.member(self.stack.len(), raw, escaped),
            _ => None,
        };
        let verdict = self.judge();
        self.apply(cursor, verdict);
        if verdict.is_none() {
            self.ahead = ahead;
        }
    }

    /// Acts on the element that comes next, in an array that some path leads through or that holds rows.
    pub(super) fn take_element(&mut self, cursor: &mut Cursor<'_>, frame: Frame) {
        self.hits.clear();
        if frame.tracked {
            self.mask.selectors.element(&mut self.trail, &mut self.hits);
        }
        let ahead = match (&mut self.filter, frame.way) {
            (Some(filter), Way::Leads) => filter.element(self.stack.len()),
            (Some(filter), Way::Rows) => {
                filter.count_from(&self.tally);
                None
            }
            _ => None,
        };
        let verdict = self.judge();
        if frame.way == Way::Rows && verdict != Some(Cut::Remove) {
            self.start_row(cursor);
        }
        self.apply(cursor, verdict);
        if verdict.is_none() {
            self.ahead = ahead;
        }
    }

    /// The strictest that any of the classes hit asks for.
    fn judge(&mut self) -> Option<Cut> {
        if self.hits.is_empty() {
            return None;
        }
        self.hits.sort_unstable();
        self.hits.dedup();
        let mut strictest = None;
        for &class in &self.hits {
            let cut = match self.mask.actions.get(usize::from(class)) {
                Some(None) => continue,
                Some(Some(Action::Redact(_))) => Cut::Redact(class),
                Some(Some(Action::Hash(_))) => Cut::Hash(class),
                Some(Some(Action::Encrypt(_))) => Cut::Encrypt(class),
                Some(Some(Action::Null)) => Cut::Null,
                Some(Some(Action::Remove)) | None => Cut::Remove,
            };
            strictest = strictest.max(Some(cut));
            if let Some(count) = self.tally.get_mut(usize::from(class)) {
                *count = count.saturating_add(1);
            }
        }
        strictest
    }
}

/// Of two faults the one that comes first in the body.
fn first(one: Result<(), Unmaskable>, other: Result<(), Unmaskable>) -> Result<(), Unmaskable> {
    match (one, other) {
        (Err(one), Err(other)) if other.offset() < one.offset() => Err(other),
        (one, other) => one.and(other),
    }
}
