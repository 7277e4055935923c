//! The grammar of RFC 8259 as a machine that stops at any byte and goes on with the next chunk: no recursion, one
//! step per token. It says where members and elements start and end; what is written is [`machine`](super::machine)'s.

use super::lexeme::{BadText, Number, Text, number, space, text};
use super::machine::{Ahead, Cursor, Machine, UNCUT};
use super::rows::Way;
use super::tolerance::{BadString, Decides, Deviation};
use crate::masking::unmaskable::Unmaskable;
use crate::masking::{MAX_DEPTH, MAX_HELD, MAX_NAME};

/// The record separator, before each text of a sequence.
const RS: u8 = 0x1e;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A JSON text.
    Start,
    /// A value.
    Value,
    /// A name, or the end of the object if it is the first.
    Member { first: bool },
    /// An element, or the end of the array if it is the first.
    Element { first: bool },
    /// More of a name.
    Name { part: Text, escaped: bool },
    /// A colon.
    Colon,
    /// More of a string.
    Text(Text),
    /// More of a number.
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static [u8]),
    /// A comma, or the end of the container.
    After,
    /// The end of the text.
    End,
}

/// An object or array that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) array: bool,
    /// Something in it has been written, so that the next one keeps its comma.
    pub(super) kept: bool,
    /// Some path leads through it.
    pub(super) tracked: bool,
    /// What it is to the way to the rows.
    pub(super) way: Way,
}

impl Frame {
    /// Whether each element has to be looked at.
    pub(super) fn watched(self) -> bool {
        self.tracked || self.way != Way::Off
    }
}

type Step = Result<(), Unmaskable>;

impl Machine {
    /// Reads the chunk to its end. On a fault the cursor stands at the byte that is wrong.
    pub(super) fn walk(&mut self, cursor: &mut Cursor<'_>) -> Step {
        while cursor.at < cursor.chunk.len() {
            if self.may_stride() {
                self.stride(cursor);
                if cursor.at == cursor.chunk.len() {
                    break;
                }
            }
            match self.at {
                At::Start => self.start(cursor)?,
                At::Value => self.value(cursor)?,
                At::Member { first } => self.member(cursor, first)?,
                At::Element { first } => self.element(cursor, first)?,
                At::Name { part, escaped } => self.name(cursor, part, escaped)?,
                At::Colon => self.colon(cursor)?,
                At::Text(part) => self.text(cursor, part)?,
                At::Number(part) => self.number(cursor, part)?,
                At::Literal(rest) => self.literal(cursor, rest)?,
                At::After => self.after(cursor)?,
                At::End => self.end_of_text(cursor)?,
            }
        }
        Ok(())
    }

    fn unexpected(&self, cursor: &Cursor<'_>, expected: &'static str) -> Unmaskable {
        Unmaskable::Unexpected {
            at: self.here(cursor),
            expected,
        }
    }

    /// Passes whitespace; the byte after it, if it is in this chunk.
    #[inline]
    fn next_byte(&self, cursor: &mut Cursor<'_>) -> Option<u8> {
        let byte = cursor.peek()?;
        if byte > b' ' {
            return Some(byte);
        }
        cursor.at = space(cursor.chunk, cursor.at, self.lines);
        cursor.peek()
    }

    /// As `next_byte`, where what is passed is held back.
    #[inline]
    fn next_held_byte(&self, cursor: &mut Cursor<'_>) -> Result<Option<u8>, Unmaskable> {
        let byte = self.next_byte(cursor);
        if self.holding && self.held_back(cursor) > MAX_HELD {
            let at = self.held_from(cursor) + MAX_HELD as u64;
            return Err(Unmaskable::LongSpace { at });
        }
        Ok(byte)
    }

    fn start(&mut self, cursor: &mut Cursor<'_>) -> Step {
        match self.next_byte(cursor) {
            None => {}
            Some(b'\n') if self.lines => cursor.at += 1,
            Some(RS) if self.sequence => {
                cursor.at += 1;
                self.begin();
            }
            Some(_) if self.sequence => return Err(self.unexpected(cursor, "a record separator")),
            Some(0xef) if self.here(cursor) == 0 => return Err(Unmaskable::ByteOrderMark { at: 0 }),
            Some(_) => self.begin(),
        }
        Ok(())
    }

    /// A text comes next.
    fn begin(&mut self) {
        self.mask.selectors.restart(&mut self.trail);
        self.ahead = self.filter.as_ref().map(|filter| filter.root());
        self.at = At::Value;
    }

    fn end_of_text(&mut self, cursor: &mut Cursor<'_>) -> Step {
        if self.sequence {
            return self.end_in_sequence(cursor);
        }
        match self.next_byte(cursor) {
            None => Ok(()),
            Some(b'\n') if self.lines => {
                cursor.at += 1;
                self.at = At::Start;
                Ok(())
            }
            Some(_) if self.lines => Err(self.unexpected(cursor, "the end of the line")),
            Some(_) => Err(self.unexpected(cursor, "the end of the body")),
        }
    }

    /// A text of a sequence is whole once an LF follows it: a number that was cut short is a number too (RFC 7464, 2.4).
    fn end_in_sequence(&mut self, cursor: &mut Cursor<'_>) -> Step {
        cursor.at = space(cursor.chunk, cursor.at, true);
        match cursor.peek() {
            None => Ok(()),
            Some(b'\n') => {
                cursor.at += 1;
                self.at = At::Start;
                Ok(())
            }
            Some(_) => Err(self.unexpected(cursor, "a line feed")),
        }
    }

    fn value(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let Some(byte) = self.next_byte(cursor) else {
            return Ok(());
        };
        let way = match self.ahead.take() {
            None => Way::Off,
            Some(Ahead::Toward(way)) => {
                self.check_way(cursor, byte, way)?;
                way
            }
            Some(Ahead::Replace(cut)) => {
                self.write_replacement(cursor, cut)?;
                Way::Off
            }
        };
        let literal: &'static [u8] = match byte {
            b'"' => {
                cursor.at += 1;
                return self.text(cursor, Text::Plain);
            }
            b'{' => return self.open(cursor, false, way),
            b'[' => return self.open(cursor, true, way),
            b'-' | b'0'..=b'9' => {
                cursor.at += 1;
                return self.number(cursor, Number::start(byte));
            }
            b']' if self.ends_after_comma() => return self.close(cursor),
            b't' => b"rue",
            b'f' => b"alse",
            b'n' => b"ull",
            other => match self
                .tolerance
                .as_mut()
                .and_then(|tolerance| tolerance.number_start(other))
            {
                Some(part) => {
                    cursor.at += 1;
                    return self.number(cursor, part);
                }
                None => return Err(self.unexpected(cursor, "a value")),
            },
        };
        cursor.at += 1;
        self.literal(cursor, literal)
    }

    /// Whether a container may end after a comma, which is counted.
    fn tolerates_comma(&mut self) -> bool {
        if let Some(tolerance) = &mut self.tolerance {
            tolerance.count(Deviation::TrailingComma, 1);
        }
        self.tolerance.is_some()
    }

    /// Whether a bracket in place of a value ends an array. One that is empty ends elsewhere: this one has had a comma.
    fn ends_after_comma(&mut self) -> bool {
        self.stack.last().is_some_and(|frame| frame.array) && self.tolerates_comma()
    }

    fn text(&mut self, cursor: &mut Cursor<'_>, mut part: Text) -> Step {
        if self.string(cursor, &mut part, &mut false, false)? {
            return self.value_ends(cursor);
        }
        self.at = At::Text(part);
        Ok(())
    }

    #[inline]
    fn string(
        &mut self,
        cursor: &mut Cursor<'_>,
        part: &mut Text,
        escaped: &mut bool,
        is_name: bool,
    ) -> Result<bool, Unmaskable> {
        let decides = match is_name {
            true => Decides::Name,
            false if self.row_depth() != UNCUT => Decides::Row,
            false => Decides::Nothing,
        };
        let read = match &mut self.tolerance {
            None => text(cursor.chunk, &mut cursor.at, part, escaped).map_err(BadString::Text),
            Some(tolerance) => tolerance.text(cursor.chunk, &mut cursor.at, part, escaped, decides),
        };
        let at = self.here(cursor);
        read.map_err(|fault| match fault {
            BadString::Text(BadText::Control) => Unmaskable::Control { at },
            BadString::Text(BadText::Escape) => Unmaskable::Escape { at },
            BadString::Charset => Unmaskable::Charset { at },
        })
    }

    fn number(&mut self, cursor: &mut Cursor<'_>, mut part: Number) -> Step {
        let read = match &mut self.tolerance {
            None => number(cursor.chunk, &mut cursor.at, &mut part),
            Some(tolerance) => tolerance.number(cursor.chunk, &mut cursor.at, &mut part),
        };
        match read {
            Ok(true) => self.value_ends(cursor),
            Ok(false) => {
                self.at = At::Number(part);
                Ok(())
            }
            Err(()) => Err(self.unexpected(cursor, "more of a number")),
        }
    }

    fn literal(&mut self, cursor: &mut Cursor<'_>, mut rest: &'static [u8]) -> Step {
        while let Some((&wanted, left)) = rest.split_first() {
            let Some(byte) = cursor.peek() else {
                self.at = At::Literal(rest);
                return Ok(());
            };
            if byte != wanted {
                return Err(self.unexpected(cursor, "`true`, `false` or `null`"));
            }
            cursor.at += 1;
            rest = left;
        }
        self.value_ends(cursor)
    }

    /// The cursor stands just after a value.
    #[inline]
    fn value_ends(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let depth = self.stack.len();
        self.at = if depth == 0 { At::End } else { At::After };
        if depth == self.ends {
            return self.end_more(cursor);
        }
        Ok(())
    }

    fn open(&mut self, cursor: &mut Cursor<'_>, array: bool, way: Way) -> Step {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Unmaskable::TooDeep { at: self.here(cursor) });
        }
        let visible = self.cut == UNCUT;
        let tracked = visible
            && self.stack.last().is_none_or(|outer| outer.tracked)
            && self.mask.selectors.enter(&mut self.trail);
        let frame = Frame {
            array,
            kept: false,
            tracked,
            way,
        };
        self.stack.push(frame);
        if visible && let Some(pointer) = &mut self.pointer {
            pointer.enter();
        }
        if way == Way::Leads
            && let Some(filter) = &mut self.filter
        {
            filter.enter(self.stack.len());
        }
        cursor.at += 1;
        if visible && (frame.watched() || !array) {
            self.hold(cursor, cursor.at);
        }
        self.at = if array {
            At::Element { first: true }
        } else {
            At::Member { first: true }
        };
        Ok(())
    }

    fn close(&mut self, cursor: &mut Cursor<'_>) -> Step {
        if self.stack.pop().is_some_and(|frame| frame.tracked) {
            self.trail.leave();
        }
        if let Some(pointer) = &mut self.pointer {
            pointer.leave(self.stack.len());
        }
        cursor.at += 1;
        self.value_ends(cursor)
    }

    fn after(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let Some(byte) = self.next_byte(cursor) else {
            return Ok(());
        };
        let Some(&frame) = self.stack.last() else {
            self.at = At::End;
            return Ok(());
        };
        match (byte, frame.array) {
            (b',', false) => {
                self.comma(cursor, frame.kept);
                self.at = At::Member { first: false };
                return self.member(cursor, false);
            }
            (b',', true) if frame.watched() => {
                self.comma(cursor, frame.kept);
                self.at = At::Element { first: false };
            }
            (b',', true) => {
                cursor.at += 1;
                self.at = At::Value;
                return self.value(cursor);
            }
            (b'}', false) | (b']', true) => return self.close(cursor),
            (_, false) => return Err(self.unexpected(cursor, "`,` or `}`")),
            (_, true) => return Err(self.unexpected(cursor, "`,` or `]`")),
        }
        Ok(())
    }

    /// A comma is held back with what it leads to, or goes at once if nothing stays before it.
    fn comma(&mut self, cursor: &mut Cursor<'_>, kept: bool) {
        let comma = cursor.at;
        cursor.at += 1;
        if self.cut != UNCUT {
            return;
        }
        if kept {
            self.hold(cursor, comma);
        } else {
            cursor.write_to(comma);
            cursor.keep = cursor.at;
            self.hold(cursor, cursor.at);
        }
    }

    fn member(&mut self, cursor: &mut Cursor<'_>, first: bool) -> Step {
        match self.next_held_byte(cursor)? {
            None => Ok(()),
            Some(b'"') => {
                cursor.at += 1;
                if self.holding {
                    self.name_at = self.held_back(cursor);
                }
                self.name(cursor, Text::Plain, false)
            }
            Some(b'}') if first || self.tolerates_comma() => {
                self.release(cursor);
                self.close(cursor)
            }
            Some(_) if first => Err(self.unexpected(cursor, "a member name or `}`")),
            Some(_) => Err(self.unexpected(cursor, "a member name")),
        }
    }

    fn name(&mut self, cursor: &mut Cursor<'_>, mut part: Text, mut escaped: bool) -> Step {
        let closed = self.string(cursor, &mut part, &mut escaped, true);
        if self.holding {
            let length = self.held_back(cursor) - self.name_at - usize::from(closed == Ok(true));
            if length > MAX_NAME {
                let at = self.held_from(cursor) + (self.name_at + MAX_NAME) as u64;
                return Err(Unmaskable::LongName { at });
            }
        }
        if !closed? {
            self.at = At::Name { part, escaped };
            return Ok(());
        }
        if self.holding
            && let Some(&frame) = self.stack.last()
        {
            self.take_member(cursor, escaped, frame);
        }
        self.at = At::Colon;
        self.colon(cursor)
    }

    fn colon(&mut self, cursor: &mut Cursor<'_>) -> Step {
        match self.next_byte(cursor) {
            None => Ok(()),
            Some(b':') => {
                cursor.at += 1;
                self.at = At::Value;
                self.value(cursor)
            }
            Some(_) => Err(self.unexpected(cursor, "`:`")),
        }
    }

    fn element(&mut self, cursor: &mut Cursor<'_>, first: bool) -> Step {
        match self.next_held_byte(cursor)? {
            None => {}
            Some(b']') if first || self.tolerates_comma() => {
                self.release(cursor);
                return self.close(cursor);
            }
            Some(_) => {
                if self.holding
                    && let Some(&frame) = self.stack.last()
                {
                    self.take_element(cursor, frame);
                }
                self.at = At::Value;
            }
        }
        Ok(())
    }
}
