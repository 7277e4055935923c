//! The push side: chunks in, visible bytes out. What is held back at the end of a chunk and what an error leaves behind is
//! here; the grammar is in [`walk`](super::walk).

use smallvec::SmallVec;
use std::fmt;

use super::header::{Header, Table, longest};
use super::walk::State;
use super::{CsvFault, Grammar};
use crate::masking::charset::Charset;
use crate::masking::utf8::Carry;
use crate::masking::{MAX_ROW, Mask, Unmaskable};

/// The masker of CSV.
///
/// What goes with a removed column: in each record, the header included, its field and the delimiter before it, or the one
/// after it if no column before stays. Line ends always stay, also where every column goes: how many records there
/// are, and how each ends, is the backend's own.
///
/// A record is written when it has ended and has as many fields as the header: by then it is known that no value stands
/// in the column of another. Memory is bounded by `MAX_ROW` for what stays of a record, and by `MAX_COLUMNS`.
pub(in crate::masking) struct Machine {
    pub(super) grammar: Grammar,
    pub(super) mask: Mask,
    pub(super) state: State,
    /// The header, as long as it is read.
    pub(super) header: Option<Box<Header>>,
    /// What is known once it has been read.
    pub(super) table: Table,
    /// The column whose field is being read, from 0.
    pub(super) column: usize,
    /// The field that is being read is not written.
    pub(super) cutting: bool,
    /// The field that is being read will be hashed or encrypted.
    pub(super) sealing: bool,
    /// What earlier chunks had of the name, or of the field to be sealed, that is being read.
    pub(super) name: Vec<u8>,
    /// Where in the body that name starts.
    pub(super) name_at: u64,
    /// Where in the body the record starts.
    pub(super) record_at: u64,
    /// What stays of the record as far as earlier chunks had it.
    pub(super) held: Vec<u8>,
    /// Records that ended in this chunk and are not counted yet.
    pub(super) ended: u32,
    tally: SmallVec<[u32; 8]>,
    carry: Carry,
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

/// One chunk, and how far it has been read and written.
pub(super) struct Cursor<'c> {
    pub(super) chunk: &'c [u8],
    pub(super) out: &'c mut Vec<u8>,
    /// The next byte to read.
    pub(super) at: usize,
    /// The first byte that may be written but is not yet.
    pub(super) keep: usize,
    /// The first byte of the name, or of the field to be sealed, that is being read.
    pub(super) name: usize,
    /// Where in `out` starts what is written of the record.
    pub(super) record: usize,
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
    pub(in crate::masking) fn new(mask: Mask, grammar: Grammar) -> Self {
        let fault = if mask.rows.is_some() {
            Some(CsvFault::Rows)
        } else {
            mask.columnless().map(|_| CsvFault::Columnless)
        };
        Self {
            grammar,
            state: State::Record,
            header: Some(Box::new(Header::new(&mask))),
            table: Table::default(),
            column: 0,
            cutting: false,
            sealing: false,
            name: Vec::new(),
            name_at: 0,
            record_at: 0,
            held: Vec::new(),
            ended: 0,
            tally: SmallVec::from_elem(0, mask.actions.len()),
            mask,
            carry: Carry::default(),
            offset: 0,
            over: fault.map(|fault| Unmaskable::Csv { at: 0, fault }),
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

    /// Says that the body has ended, and appends what stays of a last record that no line end follows.
    ///
    /// # Errors
    /// [`Unmaskable`] if it ended too early or has no header. A masker that has finished takes no more.
    pub(in crate::masking) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if let Some(over) = self.over {
            return Err(over);
        }
        let ended = self.close(out);
        let at = self.offset;
        let expected = "the end of the body";
        self.end(ended.err().unwrap_or(Unmaskable::Unexpected { at, expected }));
        ended
    }

    /// How many fields were masked, by class index, in records that were written. The header is none of them; a field
    /// of several hidden classes counts for each.
    pub(in crate::masking) fn tally(&self) -> &[u32] {
        &self.tally
    }

    /// Memory that holds bytes back, in bytes.
    #[cfg(test)]
    pub(in crate::masking) fn held(&self) -> usize {
        self.held.capacity() + self.name.capacity()
    }

    fn end(&mut self, fault: Unmaskable) {
        self.over = Some(fault);
        self.held = Vec::new();
        self.name = Vec::new();
    }

    /// Lets only what the charset has through to the grammar.
    fn decode(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match self.grammar.charset {
            Charset::Utf8 => self.decode_utf8(chunk, out),
            Charset::UsAscii => {
                let end = chunk.iter().position(|byte| !byte.is_ascii()).unwrap_or(chunk.len());
                self.run(chunk.get(..end).unwrap_or_default(), out)?;
                if end < chunk.len() {
                    return Err(self.fault(self.offset, CsvFault::Charset));
                }
                Ok(())
            }
            Charset::Single(_) => self.run(chunk, out),
        }
    }

    fn decode_utf8(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
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

    fn run(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        out.reserve(chunk.len());
        let mut cursor = Cursor {
            chunk,
            record: out.len(),
            out,
            at: 0,
            keep: 0,
            name: 0,
        };
        let walked = self.walk(&mut cursor);
        if !self.cutting {
            cursor.write_to(cursor.at);
        }
        let fits = self.fits(&cursor).and_then(|()| self.gather_name(&cursor));
        self.offset += cursor.at as u64;
        // What is too long is that first, whatever comes after its longest.
        if let Err(fault) = fits.and(walked) {
            cursor.out.truncate(cursor.record);
            self.count();
            return Err(fault);
        }
        let begun = cursor.out.get(cursor.record..).unwrap_or_default();
        self.held.extend_from_slice(begun);
        cursor.out.truncate(cursor.record);
        self.count();
        Ok(())
    }

    /// Counts the fields of the records that have ended.
    fn count(&mut self) {
        if self.ended > 0 {
            for (count, each) in self.tally.iter_mut().zip(&self.table.masked) {
                *count = count.saturating_add(each.saturating_mul(self.ended));
            }
            self.ended = 0;
        }
    }

    /// Keeps what this chunk has of a name that goes on in the next.
    fn gather_name(&mut self, cursor: &Cursor<'_>) -> Result<(), Unmaskable> {
        if self.sealing {
            return self.gather_value(cursor);
        }
        if self.header.is_none() || !self.state.is_in_field() {
            return Ok(());
        }
        let part = cursor.chunk.get(cursor.name..cursor.at).unwrap_or_default();
        self.name.extend_from_slice(part);
        if self.name.len() > longest(&self.name) {
            return Err(self.fault(self.name_at, CsvFault::LongName));
        }
        Ok(())
    }

    /// Whether what stays of the record may be held back.
    pub(super) fn fits(&self, cursor: &Cursor<'_>) -> Result<(), Unmaskable> {
        if self.held.len() + (cursor.out.len() - cursor.record) > MAX_ROW {
            return Err(self.fault(self.record_at, CsvFault::LongRecord));
        }
        Ok(())
    }

    /// The record is good: all that stays of it may be seen.
    pub(super) fn release(&mut self, cursor: &mut Cursor<'_>) {
        if !self.held.is_empty() {
            let tail = cursor.out.split_off(cursor.record);
            cursor.out.append(&mut self.held);
            cursor.out.extend_from_slice(&tail);
        }
        cursor.record = cursor.out.len();
    }

    fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if !self.carry.is_empty() {
            return Err(self.fault(self.offset, CsvFault::Open));
        }
        let mut cursor = Cursor {
            chunk: &[],
            record: out.len(),
            out,
            at: 0,
            keep: 0,
            name: 0,
        };
        let closed = self.end_body(&mut cursor);
        if closed.is_err() {
            cursor.out.truncate(cursor.record);
        }
        self.count();
        closed
    }

    pub(super) const fn fault(&self, at: u64, fault: CsvFault) -> Unmaskable {
        Unmaskable::Csv { at, fault }
    }

    /// Where the cursor stands in the body.
    pub(super) fn here(&self, cursor: &Cursor<'_>) -> u64 {
        self.offset + cursor.at as u64
    }
}
