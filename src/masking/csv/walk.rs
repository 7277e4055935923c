//! The grammar of records and fields, and what each of its steps does to the output.

use super::CsvFault;
use super::header::Way;
use super::machine::{Cursor, Machine};
use super::scan::special;
use crate::masking::Unmaskable;
use crate::masking::charset::Charset;

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A record starts, if anything comes.
    Record,
    /// A field starts.
    Field,
    /// In a field without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// After a quote between quotes: the first of two, or the end.
    Quote,
    /// After the carriage return that ends a record.
    Return,
}

impl State {
    /// Whether a field is being read, be it that its first byte is still to come.
    pub(super) const fn is_in_field(self) -> bool {
        matches!(self, Self::Field | Self::Plain | Self::Quoted | Self::Quote)
    }
}

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Machine {
    /// Reads the chunk.
    pub(super) fn walk(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        // A character is never in two chunks: a mark is here whole, or is none.
        let marked = self.offset == 0 && self.grammar.charset == Charset::Utf8 && cursor.chunk.starts_with(MARK);
        if marked {
            cursor.at = MARK.len();
        }
        while let Some(byte) = cursor.peek() {
            match self.state {
                State::Record => self.start_record(cursor),
                State::Field if byte == b'"' => {
                    cursor.at += 1;
                    self.state = State::Quoted;
                }
                State::Field | State::Plain => self.plain(cursor)?,
                State::Quoted => self.quoted(cursor)?,
                State::Quote => self.after_quote(cursor, byte)?,
                State::Return if byte == b'\n' => self.end_record(cursor)?,
                State::Return => return Err(self.fault(self.here(cursor), CsvFault::Return)),
            }
        }
        Ok(())
    }

    fn start_record(&mut self, cursor: &mut Cursor<'_>) {
        self.state = State::Field;
        self.column = 0;
        self.record_at = self.here(cursor);
        if self.header.is_some() {
            // A name is written once it is judged.
            cursor.write_to(cursor.at);
            self.cutting = true;
            self.start_name(cursor);
            return;
        }
        match self.table.columns.first().map(|column| &column.way) {
            Some(Way::Keep) => {}
            Some(Way::Put(text)) => {
                cursor.write_to(cursor.at);
                cursor.out.extend_from_slice(text);
                self.cutting = true;
            }
            Some(Way::Seal(_)) => {
                cursor.write_to(cursor.at);
                self.cutting = true;
                self.start_value(cursor);
            }
            Some(Way::Remove) | None => {
                cursor.write_to(cursor.at);
                self.cutting = true;
            }
        }
    }

    /// Goes on in a field without quotes.
    fn plain(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        cursor.at = special(cursor.chunk, cursor.at, self.grammar.delimiter);
        self.state = State::Plain;
        match cursor.peek() {
            None => Ok(()),
            Some(byte) if byte == self.grammar.delimiter => self.end_field(cursor),
            Some(b'\n' | b'\r') => self.end_line(cursor),
            Some(b'\t') => {
                cursor.at += 1;
                Ok(())
            }
            Some(b'"') => Err(self.fault(self.here(cursor), CsvFault::Quote)),
            Some(_) => Err(self.fault(self.here(cursor), CsvFault::Control)),
        }
    }

    /// Goes on between quotes.
    fn quoted(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        let rest = cursor.chunk.get(cursor.at..).unwrap_or_default();
        let found = memchr::memchr2(b'"', 0, rest);
        let run = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
        if self.grammar.one_way
            && let Some(place) = memchr::memchr3(b'\t', b'\n', b'\r', run)
        {
            cursor.at += place;
            return Err(self.fault(self.here(cursor), CsvFault::QuotedBreak));
        }
        cursor.at += run.len();
        match cursor.peek() {
            None => Ok(()),
            Some(b'"') => {
                cursor.at += 1;
                self.state = State::Quote;
                Ok(())
            }
            Some(_) => Err(self.fault(self.here(cursor), CsvFault::Control)),
        }
    }

    fn after_quote(&mut self, cursor: &mut Cursor<'_>, byte: u8) -> Result<(), Unmaskable> {
        match byte {
            b'"' => {
                cursor.at += 1;
                self.state = State::Quoted;
                Ok(())
            }
            b'\n' | b'\r' => self.end_line(cursor),
            _ if byte == self.grammar.delimiter => self.end_field(cursor),
            _ => Err(self.fault(self.here(cursor), CsvFault::AfterQuote)),
        }
    }

    /// A field ends at the delimiter that the cursor is on, and another one starts.
    fn end_field(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        let delimiter = cursor.at;
        if self.header.is_some() {
            self.take_name(cursor)?;
            cursor.at += 1;
            self.state = State::Field;
            self.start_name(cursor);
            return Ok(());
        }
        self.end_value(cursor, self.column)?;
        let Some(column) = self.table.columns.get(self.column + 1) else {
            return Err(self.fault(self.here(cursor), CsvFault::Ragged));
        };
        self.column += 1;
        cursor.at += 1;
        self.state = State::Field;
        let before = std::mem::replace(&mut self.cutting, !matches!(column.way, Way::Keep));
        match (&column.way, before) {
            (Way::Keep, false) | (Way::Remove, true) => {}
            (Way::Keep, true) => cursor.keep = delimiter + usize::from(!column.lead),
            (Way::Remove, false) => cursor.write_to(delimiter),
            (Way::Put(text), false) => {
                cursor.write_to(cursor.at);
                cursor.out.extend_from_slice(text);
            }
            (Way::Put(text), true) => {
                if column.lead {
                    cursor.out.push(self.grammar.delimiter);
                }
                cursor.out.extend_from_slice(text);
            }
            (Way::Seal(_), written) => {
                match written {
                    false => cursor.write_to(cursor.at),
                    true if column.lead => cursor.out.push(self.grammar.delimiter),
                    true => {}
                }
                self.start_value(cursor);
            }
        }
        Ok(())
    }

    /// The last field of a record ends at the line end that the cursor is on.
    fn end_line(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        self.check_record(cursor)?;
        if self.cutting {
            self.cutting = false;
            cursor.keep = cursor.at;
        }
        if cursor.peek() == Some(b'\r') {
            cursor.at += 1;
            self.state = State::Return;
            return Ok(());
        }
        self.end_record(cursor)
    }

    /// The record that ends at the cursor has as many fields as the header, or is that.
    fn check_record(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        if self.header.is_none() {
            self.end_value(cursor, self.column)?;
            return if self.column + 1 == self.table.columns.len() {
                Ok(())
            } else {
                Err(self.fault(self.here(cursor), CsvFault::Ragged))
            };
        }
        if self.column == 0 && self.name.is_empty() && cursor.name == cursor.at {
            return Err(self.fault(self.here(cursor), CsvFault::NoHeader));
        }
        self.take_name(cursor)
    }

    /// A record ends with the line feed that the cursor is on.
    fn end_record(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        cursor.at += 1;
        cursor.write_to(cursor.at);
        self.state = State::Record;
        self.accept_record(cursor)
    }

    fn accept_record(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        self.fits(cursor)?;
        self.release(cursor);
        match self.header.take() {
            Some(header) => self.table = header.close(self.grammar, &self.mask),
            None => self.ended += 1,
        }
        Ok(())
    }

    fn start_name(&mut self, cursor: &mut Cursor<'_>) {
        self.name.clear();
        self.name_at = self.here(cursor);
        cursor.name = cursor.at;
    }

    /// Judges the column whose name ends at the cursor, and writes that if it stays.
    fn take_name(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        let part = cursor.chunk.get(cursor.name..cursor.at).unwrap_or_default();
        self.name.extend_from_slice(part);
        cursor.name = cursor.at;
        let Some(header) = &mut self.header else { return Ok(()) };
        let taken = header.take(&self.name, self.grammar, &self.mask);
        if let Some(lead) = taken.map_err(|fault| self.fault(self.name_at, fault))? {
            if lead {
                cursor.out.push(self.grammar.delimiter);
            }
            cursor.out.extend_from_slice(&self.name);
        }
        self.column += 1;
        Ok(())
    }

    /// The body ends.
    pub(super) fn end_body(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Unmaskable> {
        match self.state {
            State::Record if self.header.is_some() => Err(Unmaskable::Empty { at: self.offset }),
            State::Record => Ok(()),
            State::Return => Err(self.fault(self.offset, CsvFault::Return)),
            State::Quoted => Err(self.fault(self.offset, CsvFault::Open)),
            State::Field | State::Plain | State::Quote => {
                self.check_record(cursor)?;
                self.state = State::Record;
                self.accept_record(cursor)
            }
        }
    }
}
