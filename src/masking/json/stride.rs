//! The usual way through a body, in one tight loop: whole tokens of sound JSON that the caller may see.
//!
//! A stride decides nothing that [`walk`](super::walk) does not. Wherever anything is out of the ordinary (a token
//! that the chunk cuts, a fault, a value to mask, elements that have to be looked at one by one) it stops before the
//! token and leaves the machine as `walk` would have, and `walk` goes on. What both make of a body is the same.

use super::lexeme::{Number, Text, number, space, special, text, usual_number};
use super::machine::{Cursor, Machine, UNCUT};
use super::rows::Way;
use super::walk::{At, Frame};
use crate::masking::{MAX_DEPTH, MAX_HELD, MAX_NAME};

/// What a stride comes to next.
#[derive(PartialEq)]
enum Next {
    Value,
    /// A comma, or the end of the container.
    After,
    /// The first name of an object, or its end.
    FirstName,
    /// The first element of an array, or its end.
    FirstElement,
}

/// What stands where a value should.
enum Value {
    /// A string, number or literal that ends before this place.
    Ends(usize),
    Opens {
        array: bool,
    },
    Odd,
}

/// Where a stride goes on and with what, or what `walk` finds the machine at.
type Step = Result<(usize, Next), At>;

impl Machine {
    /// Whether the usual way may be taken from here. Nothing is held back then. What is being sealed ends in
    /// more than a cut.
    #[inline]
    pub(super) fn may_stride(&self) -> bool {
        matches!(self.at, At::Value | At::After)
            && self.ahead.is_none()
            && self.filter.is_none()
            && self.sealing.is_none()
            && self.is_plain()
    }

    /// A tolerant reader looks at every byte beyond ASCII.
    #[inline]
    fn is_plain(&self) -> bool {
        self.tolerance.as_ref().is_none_or(|tolerance| tolerance.plain)
    }

    /// Goes as far as the body is ordinary.
    pub(super) fn stride(&mut self, cursor: &mut Cursor<'_>) {
        let Some(&frame) = self.stack.last() else { return };
        let next = if self.at == At::Value { Next::Value } else { Next::After };
        self.at = self.go(cursor, frame, next);
    }

    /// Leaves the cursor where the state that is returned goes on.
    fn go(&mut self, cursor: &mut Cursor<'_>, mut frame: Frame, mut next: Next) -> At {
        let chunk = cursor.chunk;
        let mut at = cursor.at;
        loop {
            cursor.at = at;
            let step = match next {
                Next::Value => match value(chunk, &mut at, self.lines) {
                    Value::Ends(end) => {
                        self.value_passed(cursor, end);
                        Ok((end, Next::After))
                    }
                    Value::Opens { array } if self.stack.len() < MAX_DEPTH => {
                        frame = self.enter(array, frame);
                        Ok((at + 1, if array { Next::FirstElement } else { Next::FirstName }))
                    }
                    Value::Opens { .. } | Value::Odd => Err(At::Value),
                },
                Next::After => match (token(chunk, &mut at, self.lines), frame.array) {
                    // While nothing stays, a comma goes at once: `walk` sees to that.
                    (Some(b','), false) if frame.kept || self.cut != UNCUT => {
                        self.usual_name(cursor, at, at + 1, &mut frame, At::After)
                    }
                    (Some(b','), true) if !frame.tracked || (frame.kept && self.other_element(cursor, at + 1)) => {
                        Ok((at + 1, Next::Value))
                    }
                    (Some(b'}'), false) | (Some(b']'), true) => self.leave(cursor, at + 1, &mut frame),
                    _ => Err(At::After),
                },
                Next::FirstName => self.first_name(cursor, &mut frame),
                Next::FirstElement => self.first_element(cursor, &mut frame),
            };
            match step {
                Ok(step) => (at, next) = step,
                Err(state) => return state,
            }
        }
    }

    /// Goes into a container in `outer`.
    fn enter(&mut self, array: bool, outer: Frame) -> Frame {
        let frame = Frame {
            array,
            kept: false,
            tracked: self.cut == UNCUT && outer.tracked && self.mask.selectors.enter(&mut self.trail),
            way: Way::Off,
        };
        self.stack.push(frame);
        if self.cut == UNCUT
            && let Some(pointer) = &mut self.pointer
        {
            pointer.enter();
        }
        frame
    }

    /// Leaves a container that ends before `at`.
    #[inline(always)]
    fn leave(&mut self, cursor: &mut Cursor<'_>, at: usize, frame: &mut Frame) -> Step {
        if self.stack.pop().is_some_and(|frame| frame.tracked) {
            self.trail.leave();
        }
        if let Some(pointer) = &mut self.pointer {
            pointer.leave(self.stack.len());
        }
        self.value_passed(cursor, at);
        match self.stack.last() {
            Some(outer) => {
                *frame = *outer;
                Ok((at, Next::After))
            }
            None => {
                cursor.at = at;
                Err(At::End)
            }
        }
    }

    /// A value ends at `at`, and may end what is being cut.
    #[inline]
    fn value_passed(&mut self, cursor: &mut Cursor<'_>, at: usize) {
        if self.cut == self.stack.len() {
            cursor.at = at;
            self.end_cut(cursor);
        }
    }

    /// Something stays of the container.
    fn keep(&mut self, frame: &mut Frame) {
        frame.kept = true;
        if let Some(frame) = self.stack.last_mut() {
            frame.kept = true;
        }
    }

    /// The cursor stands after the brace of an object.
    #[inline]
    fn first_name(&mut self, cursor: &mut Cursor<'_>, frame: &mut Frame) -> Step {
        let start = cursor.at;
        let mut at = start;
        let closes = token(cursor.chunk, &mut at, self.lines) == Some(b'}');
        if closes && (at - start <= MAX_HELD || self.cut != UNCUT) {
            return Ok((at, Next::After));
        }
        let odd = At::Member { first: true };
        let step = self.usual_name(cursor, start, start, frame, odd);
        if step == Err(odd) && self.cut == UNCUT {
            self.hold(cursor, start);
        }
        step
    }

    /// The cursor stands after the bracket of an array.
    #[inline]
    fn first_element(&mut self, cursor: &mut Cursor<'_>, frame: &mut Frame) -> Step {
        let mut at = cursor.at;
        let odd = At::Element { first: true };
        if !frame.tracked {
            return match token(cursor.chunk, &mut at, self.lines) {
                Some(b']') => Ok((at, Next::After)),
                Some(_) => Ok((at, Next::Value)),
                None => Err(odd),
            };
        }
        if !self.other_element(cursor, at) {
            self.hold(cursor, at);
            return Err(odd);
        }
        self.keep(frame);
        Ok((at, Next::Value))
    }

    /// Steps to the element that starts after `at`, in an array that some path leads through; `false` if it has to be
    /// looked at, or is not there.
    fn other_element(&mut self, cursor: &Cursor<'_>, mut at: usize) -> bool {
        !matches!(token(cursor.chunk, &mut at, self.lines), None | Some(b']'))
            && at - cursor.at <= MAX_HELD
            && self.trail.other_element()
    }

    /// Reads a name, which starts after `at` and may be held back from `hold` on, judges it and passes its colon. If it is
    /// not to be read here, nothing has changed and `odd` is what the machine is at.
    #[inline(always)]
    fn usual_name(&mut self, cursor: &mut Cursor<'_>, hold: usize, mut at: usize, frame: &mut Frame, odd: At) -> Step {
        let chunk = cursor.chunk;
        let Some(b'"') = token(chunk, &mut at, self.lines) else {
            return Err(odd);
        };
        let start = at + 1;
        let end = special(chunk, start);
        let (Some(b'"'), Some(raw)) = (chunk.get(end), chunk.get(start..end)) else {
            return Err(odd);
        };
        let visible = self.cut == UNCUT;
        if visible && (raw.len() > MAX_NAME || at - hold > MAX_HELD) {
            return Err(odd);
        }
        cursor.at = end + 1;
        if visible && (self.mask.selectors.may_name(raw) || (frame.tracked && !self.trail.other_member())) {
            self.hold(cursor, hold);
            self.name_at = start - hold;
            self.take_member(cursor, false, *frame);
            if self.ahead.is_some() {
                return Err(At::Colon);
            }
        } else if visible && let Some(pointer) = &mut self.pointer {
            pointer.member(raw);
        }
        if self.cut == UNCUT && !frame.kept {
            self.keep(frame);
        }
        at = cursor.at;
        match token(chunk, &mut at, self.lines) {
            Some(b':') => Ok((at + 1, Next::Value)),
            _ => Err(At::Colon),
        }
    }
}

/// Passes whitespace; the byte after it, if it is in the chunk.
#[inline(always)]
fn token(chunk: &[u8], at: &mut usize, lines: bool) -> Option<u8> {
    let byte = *chunk.get(*at)?;
    if byte > b' ' {
        return Some(byte);
    }
    *at = space(chunk, *at, lines);
    chunk.get(*at).copied()
}

/// Reads a value that the chunk holds whole, or up to where it opens.
#[inline(always)]
fn value(chunk: &[u8], at: &mut usize, lines: bool) -> Value {
    let Some(byte) = token(chunk, at, lines) else {
        return Value::Odd;
    };
    let mut end = *at + 1;
    let whole = match byte {
        b'"' => {
            end = special(chunk, end);
            match chunk.get(end) {
                Some(b'"') => {
                    end += 1;
                    true
                }
                _ => text(chunk, &mut end, &mut Text::Plain, &mut false) == Ok(true),
            }
        }
        b'-' | b'0'..=b'9' => match usual_number(chunk, *at) {
            Some(end) => return Value::Ends(end),
            // More digits after a zero are a fault, or tolerated: `walk` knows.
            None => {
                let whole = number(chunk, &mut end, &mut Number::start(byte)) == Ok(true);
                whole && !chunk.get(end).is_some_and(u8::is_ascii_digit)
            }
        },
        b'{' => return Value::Opens { array: false },
        b'[' => return Value::Opens { array: true },
        b't' => literal(chunk, &mut end, b"rue"),
        b'f' => literal(chunk, &mut end, b"alse"),
        b'n' => literal(chunk, &mut end, b"ull"),
        _ => false,
    };
    if whole { Value::Ends(end) } else { Value::Odd }
}

#[inline]
fn literal(chunk: &[u8], end: &mut usize, rest: &[u8]) -> bool {
    let start = *end;
    *end += rest.len();
    chunk.get(start..*end) == Some(rest)
}
