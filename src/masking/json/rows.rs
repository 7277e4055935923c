//! Rows: elements of arrays that stay or go as a judge says, who is shown each as the backend wrote it.
//!
//! The judge may need what the caller may not see, so that masking comes second in what it is shown and first in what
//! is written: a row's masked bytes are made as it is read and held back, its own bytes are kept beside them, and at
//! its end one of them goes. Nothing of a row is written before the verdict, and no more than one row is held.

use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

use super::machine::{Ahead, Cursor, Machine, UNCUT};
use crate::masking::names::{Names, Scratch};
use crate::masking::paths::{BadPath, Step};
use crate::masking::selectors::explain;
use crate::masking::unmaskable::Unmaskable;
use crate::masking::{MAX_PATH_STEPS, MAX_ROW};

/// Says which rows stay.
pub trait RowJudge: Send + Sync {
    /// Whether the caller may see the row, which is one JSON value, written as the backend wrote it.
    fn stays(&self, row: &[u8]) -> bool;
}

/// Which arrays hold rows, and who judges them.
#[derive(Clone)]
pub struct Rows {
    /// Where the arrays are.
    pub at: Arc<RowPath>,
    /// Who judges.
    pub judge: Arc<dyn RowJudge>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A JSON pointer (RFC 6901) to arrays, in which `*` is one step; empty for the root. Names are compared folded.
#[derive(Debug, Default)]
pub struct RowPath {
    text: Box<str>,
    names: Names,
    steps: Vec<Step>,
}

impl fmt::Display for RowPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl RowPath {
    /// Reads a pointer.
    ///
    /// # Errors
    /// What is wrong with it, in words for its author.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut path = Self {
            text: text.into(),
            ..Self::default()
        };
        if !text.is_empty() {
            path.read(text).map_err(|fault| match fault {
                BadPath::EmptyStep => {
                    format!("path `{text}` has a step with nothing to compare: `_`, `-` and case do not count")
                }
                fault => explain(text, fault),
            })?;
        }
        // One array would lie in another, and a row in a row.
        if path.steps.contains(&Step::Many) {
            return Err(format!("path `{text}`: rows have no `**`; name each step"));
        }
        Ok(path)
    }

    fn read(&mut self, text: &str) -> Result<(), BadPath> {
        let steps = text.strip_prefix('/').ok_or(BadPath::NoSlash)?;
        for written in steps.split('/') {
            if self.steps.len() >= MAX_PATH_STEPS {
                return Err(BadPath::TooMany);
            }
            self.steps.push(Step::read(written, false, &mut self.names)?);
        }
        Ok(())
    }

    /// Where a value is after `steps` steps that all fitted.
    fn after(&self, steps: usize) -> Way {
        if steps == self.steps.len() {
            Way::Rows
        } else {
            Way::Leads
        }
    }
}

/// What a container is to the way to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing.
    Off,
    /// The way leads through it.
    Leads,
    /// Its elements are rows.
    Rows,
}

/// The rows of one body.
pub(super) struct Filter {
    rows: Rows,
    /// The index of the next element, by depth, of the containers that the way leads through.
    indexes: SmallVec<[u64; 4]>,
    scratch: Scratch,
    dropped: u32,
    /// The depth of the row that is being read, or `UNCUT`.
    depth: usize,
    /// Where it starts in the body.
    start: u64,
    /// What its array had of rows that stayed, and the masker's tally, when it began.
    kept: bool,
    tally: SmallVec<[u32; 8]>,
    /// Its bytes from earlier chunks, as the backend wrote them.
    own: Vec<u8>,
    /// What is to be written of these if it stays, its comma first.
    masked: Vec<u8>,
}

impl Filter {
    pub(super) fn new(rows: Rows) -> Self {
        Self {
            rows,
            indexes: SmallVec::new(),
            scratch: Scratch::default(),
            dropped: 0,
            depth: UNCUT,
            start: 0,
            kept: false,
            tally: SmallVec::new(),
            own: Vec::new(),
            masked: Vec::new(),
        }
    }

    /// How many rows have gone.
    pub(super) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// How many bytes there is room for.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.own.capacity() + self.masked.capacity()
    }

    /// What was counted before the row that is being read, if one is.
    pub(super) fn tally_before(&self) -> Option<&SmallVec<[u32; 8]>> {
        (self.depth != UNCUT).then_some(&self.tally)
    }

    /// The root is the first value on the way.
    pub(super) fn root(&self) -> Ahead {
        Ahead::Toward(self.rows.at.after(0))
    }

    /// Goes into a container at `depth`, counted from 1, that the way leads through.
    pub(super) fn enter(&mut self, depth: usize) {
        self.indexes.truncate(depth.saturating_sub(1));
        self.indexes.push(0);
    }

    /// A row may start: what has been counted before it.
    pub(super) fn count_from(&mut self, tally: &SmallVec<[u32; 8]>) {
        self.tally.clone_from(tally);
    }

    /// What the value of a member in a container at `depth` is to the way.
    pub(super) fn member(&mut self, depth: usize, raw: &[u8], escaped: bool) -> Option<Ahead> {
        let fits = match self.rows.at.steps.get(depth.checked_sub(1)?)? {
            Step::One => true,
            Step::Name { entry, .. } => self.rows.at.names.find(raw, escaped, &mut self.scratch).folded == Some(*entry),
            Step::Many | Step::End(_) => false,
        };
        fits.then(|| Ahead::Toward(self.rows.at.after(depth)))
    }

    /// What the next element of a container at `depth` is to the way.
    pub(super) fn element(&mut self, depth: usize) -> Option<Ahead> {
        let next = self.indexes.get_mut(depth.checked_sub(1)?)?;
        let this = *next;
        *next += 1;
        let fits = match self.rows.at.steps.get(depth.checked_sub(1)?)? {
            Step::One => true,
            Step::Name { index, .. } => *index == Some(this),
            Step::Many | Step::End(_) => false,
        };
        fits.then(|| Ahead::Toward(self.rows.at.after(depth)))
    }

    /// Whether a value that starts with `byte`, `depth` containers deep, can be what the way says it is. Rows stand in
    /// an array, or `null` says that there are none; and an array where the way has a name would be passed unread.
    fn fits(&self, byte: u8, depth: usize, way: Way) -> bool {
        match way {
            Way::Off => true,
            Way::Rows => matches!(byte, b'[' | b'n'),
            Way::Leads => {
                let named = matches!(self.rows.at.steps.get(depth), Some(Step::Name { index: None, .. }));
                !(named && byte == b'[')
            }
        }
    }

    fn size(&self, cursor: &Cursor<'_>) -> usize {
        self.own.len() + (cursor.at - cursor.row_in)
    }

    /// The row goes on in the next chunk, or never: what there is of it is taken back from what was written.
    pub(super) fn set_aside(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        if self.depth == UNCUT {
            return Ok(());
        }
        let written = cursor.out.get(cursor.row_out..).unwrap_or_default();
        if self.size(cursor) > MAX_ROW {
            cursor.out.truncate(cursor.row_out);
            return Err(Unmaskable::LongRow {
                at: self.start + MAX_ROW as u64,
            });
        }
        self.masked.extend_from_slice(written);
        cursor.out.truncate(cursor.row_out);
        let read = cursor.chunk.get(cursor.row_in..cursor.at).unwrap_or_default();
        self.own.extend_from_slice(read);
        Ok(())
    }

    /// Whether the row that ends at the cursor stays.
    fn verdict(&mut self, cursor: &Cursor<'_>) -> bool {
        let read = cursor.chunk.get(cursor.row_in..cursor.at).unwrap_or_default();
        if self.own.is_empty() {
            return self.rows.judge.stays(read);
        }
        self.own.extend_from_slice(read);
        let stays = self.rows.judge.stays(&self.own);
        self.own.clear();
        stays
    }

    /// Puts what earlier chunks had of the row before what this one has.
    fn restore(&mut self, out: &mut Vec<u8>, at: usize) {
        if !self.masked.is_empty() {
            let tail = out.split_off(at);
            out.append(&mut self.masked);
            out.extend_from_slice(&tail);
        }
    }
}

impl Machine {
    /// Whether the value that starts here can be what is expected on the way to the rows.
    pub(super) fn check_way(&self, cursor: &Cursor<'_>, byte: u8, way: Way) -> Result<(), Unmaskable> {
        match &self.filter {
            Some(filter) if !filter.fits(byte, self.stack.len(), way) => {
                Err(Unmaskable::NotRows { at: self.here(cursor) })
            }
            _ => Ok(()),
        }
    }

    /// A row starts at the cursor; what is held back goes with it.
    pub(super) fn start_row(&mut self, cursor: &mut Cursor<'_>) {
        let start = self.here(cursor);
        let Some(filter) = &mut self.filter else { return };
        cursor.write_to(cursor.hold);
        cursor.row_out = cursor.out.len();
        cursor.row_in = cursor.at;
        filter.start = start;
        filter.depth = self.stack.len();
        filter.kept = self.stack.last().is_some_and(|frame| frame.kept);
        self.ends = filter.depth;
    }

    /// The value that ends at the cursor may be the row that is being read.
    pub(super) fn end_row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        let Some(filter) = &mut self.filter else { return Ok(()) };
        if filter.depth != self.stack.len() {
            return Ok(());
        }
        if filter.size(cursor) > MAX_ROW {
            return Err(Unmaskable::LongRow {
                at: filter.start + MAX_ROW as u64,
            });
        }
        cursor.write_to(cursor.at);
        if filter.verdict(cursor) {
            filter.restore(cursor.out, cursor.row_out);
        } else {
            filter.dropped = filter.dropped.saturating_add(1);
            filter.masked.clear();
            cursor.out.truncate(cursor.row_out);
            self.tally.clone_from(&filter.tally);
            if let Some(frame) = self.stack.last_mut() {
                frame.kept = filter.kept;
            }
        }
        filter.depth = UNCUT;
        self.ends = UNCUT;
        Ok(())
    }

    /// The depth of the row that is being read, or `UNCUT`.
    pub(super) fn row_depth(&self) -> usize {
        self.filter.as_ref().map_or(UNCUT, |filter| filter.depth)
    }
}
