//! The grammar of a document: what is text and what is markup, where each ends, and what each does to the output.

use super::XmlFault;
use super::chars::{check_name, is_reference, is_space};
use super::machine::{Cursor, Machine};
use super::tag;
use crate::masking::{MAX_REFERENCE, Unmaskable};

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Between markup, in or outside the root element.
    Text,
    /// After `&`.
    Reference,
    /// After `<`.
    Open,
    /// After `<!`.
    Bang,
    /// After `<!-`.
    Dash,
    /// In `<![CDATA[`, so many bytes from its start.
    Section(usize),
    /// In a start tag, within this quote or none.
    Start(Option<u8>),
    /// In an end tag.
    End,
    /// In the target of a processing instruction.
    Target,
    /// In the declaration.
    Declaration,
    /// After `<?target?`.
    Bare,
    /// In what comes after a target; after `?` or not.
    Instruction(bool),
    /// In a comment. `fresh`: nothing else than dashes is in it yet. `dashes`: so many come last.
    Comment { fresh: bool, dashes: u8 },
    /// In a CDATA section; so many `]` come last, 2 stands for more.
    Cdata(u8),
}

/// How a CDATA section starts.
const CDATA: &[u8] = b"<![CDATA[";

impl State {
    /// Whether nothing may be written of what is being read until all of it is judged.
    pub(super) const fn is_held(self) -> bool {
        match self {
            Self::Reference
            | Self::Open
            | Self::Bang
            | Self::Dash
            | Self::Section(_)
            | Self::Start(_)
            | Self::End
            | Self::Target
            | Self::Declaration => true,
            Self::Text | Self::Bare | Self::Instruction(_) | Self::Comment { .. } | Self::Cdata(_) => false,
        }
    }
}

type Step = Result<(), Unmaskable>;

impl Machine {
    /// Reads the chunk.
    pub(super) fn walk(&mut self, cursor: &mut Cursor<'_>) -> Step {
        while let Some(byte) = cursor.peek() {
            match self.state {
                State::Text if self.stack.is_empty() => self.outside(cursor)?,
                State::Text => self.text(cursor)?,
                State::Reference => self.reference(cursor)?,
                State::Open => self.open(cursor, byte),
                State::Bang | State::Dash | State::Section(_) => self.bang(cursor, byte)?,
                State::Start(quote) => self.start(cursor, quote)?,
                State::End => self.end_tag(cursor)?,
                State::Target => self.target(cursor)?,
                State::Declaration => self.declaration(cursor)?,
                State::Bare if byte == b'>' => self.pass_to_text(cursor),
                State::Bare => return Err(self.fault(self.here(cursor), XmlFault::Instruction)),
                State::Instruction(question) => self.instruction(cursor, question, byte),
                State::Comment { fresh, dashes } => self.comment(cursor, fresh, dashes, byte)?,
                State::Cdata(brackets) => self.cdata(cursor, brackets, byte),
            }
        }
        Ok(())
    }

    /// The byte at the cursor ends markup that is written as it is read.
    fn pass_to_text(&mut self, cursor: &mut Cursor<'_>) {
        cursor.at += 1;
        self.state = State::Text;
    }

    /// Starts what is held back at the cursor.
    fn hold(&mut self, cursor: &mut Cursor<'_>, state: State) {
        self.mark_at = self.here(cursor);
        cursor.mark = cursor.at;
        cursor.at += 1;
        self.brackets = 0;
        self.state = state;
    }

    fn outside(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let rest = cursor.rest();
        cursor.at += rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
        match cursor.peek() {
            None => Ok(()),
            Some(b'<') => {
                self.hold(cursor, State::Open);
                Ok(())
            }
            Some(_) => Err(self.fault(self.here(cursor), XmlFault::Outside)),
        }
    }

    fn text(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let rest = cursor.rest();
        let length = memchr::memchr3(b'<', b'&', b'>', rest).unwrap_or(rest.len());
        let run = rest.get(..length).unwrap_or_default();
        let last = run.iter().rev().take(2).take_while(|byte| **byte == b']').count();
        self.brackets = if last == length {
            (last + self.brackets).min(2)
        } else {
            last
        };
        cursor.at += length;
        match cursor.peek() {
            None => {}
            Some(b'<') => self.hold(cursor, State::Open),
            Some(b'&') => self.hold(cursor, State::Reference),
            Some(_) if self.brackets == 2 => return Err(self.fault(self.here(cursor), XmlFault::Brackets)),
            Some(_) => {
                self.brackets = 0;
                cursor.at += 1;
            }
        }
        Ok(())
    }

    fn reference(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let rest = cursor.rest();
        let end = rest
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'#'));
        cursor.at += end.map_or(rest.len(), |end| end + 1);
        let wrong = self.fault(self.mark_at, XmlFault::Reference);
        if end.is_none() {
            let begun = self.held.len() + (cursor.at - cursor.mark);
            return if begun > MAX_REFERENCE { Err(wrong) } else { Ok(()) };
        }
        self.whole(cursor, |machine, cursor, whole| {
            if !is_reference(whole) {
                return Err(wrong);
            }
            machine.pass(cursor, whole)
        })
    }

    fn open(&mut self, cursor: &mut Cursor<'_>, byte: u8) {
        self.state = match byte {
            b'/' => State::End,
            b'?' => State::Target,
            b'!' => State::Bang,
            _ => State::Start(None),
        };
        cursor.at += usize::from(self.state != State::Start(None));
    }

    fn bang(&mut self, cursor: &mut Cursor<'_>, byte: u8) -> Step {
        let next = match (self.state, byte) {
            (State::Bang, b'-') => State::Dash,
            (State::Bang, b'[') => State::Section(3),
            (State::Bang, b'D' | b'd') => return Err(self.fault(self.mark_at, XmlFault::Doctype)),
            (State::Dash, b'-') => State::Comment { fresh: true, dashes: 0 },
            (State::Section(place), _) if CDATA.get(place) == Some(&byte) => {
                if place + 1 == CDATA.len() {
                    State::Cdata(0)
                } else {
                    State::Section(place + 1)
                }
            }
            _ => return Err(self.fault(self.mark_at, XmlFault::Markup)),
        };
        if matches!(next, State::Cdata(_)) && self.stack.is_empty() {
            return Err(self.fault(self.mark_at, XmlFault::Outside));
        }
        cursor.at += 1;
        self.state = next;
        if !next.is_held() {
            self.release(cursor)?;
        }
        Ok(())
    }

    fn comment(&mut self, cursor: &mut Cursor<'_>, fresh: bool, dashes: u8, byte: u8) -> Step {
        let (fresh, dashes) = match (byte, dashes) {
            (b'>', 2) => {
                self.pass_to_text(cursor);
                return Ok(());
            }
            (b'>', _) if fresh => return Err(self.fault(self.here(cursor), XmlFault::Comment)),
            (_, 2) => return Err(self.fault(self.here(cursor), XmlFault::Comment)),
            (b'-', _) => (fresh, dashes + 1),
            _ => (false, 0),
        };
        self.state = State::Comment { fresh, dashes };
        cursor.at += match dashes {
            0 => memchr::memchr(b'-', cursor.rest()).unwrap_or(cursor.rest().len()),
            _ => 1,
        };
        Ok(())
    }

    fn cdata(&mut self, cursor: &mut Cursor<'_>, brackets: u8, byte: u8) {
        let brackets = match (byte, brackets) {
            (b'>', 2) => return self.pass_to_text(cursor),
            (b']', _) => (brackets + 1).min(2),
            _ => 0,
        };
        self.state = State::Cdata(brackets);
        cursor.at += match brackets {
            0 => memchr::memchr(b']', cursor.rest()).unwrap_or(cursor.rest().len()),
            _ => 1,
        };
    }

    fn instruction(&mut self, cursor: &mut Cursor<'_>, question: bool, byte: u8) {
        if question && byte == b'>' {
            return self.pass_to_text(cursor);
        }
        let rest = cursor.rest();
        let length = memchr::memchr(b'?', rest);
        self.state = State::Instruction(length.is_some());
        cursor.at += length.map_or(rest.len(), |length| length + 1);
    }

    /// Goes on in the target of a processing instruction, and in `xml` of the declaration.
    fn target(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let rest = cursor.rest();
        let ends = |byte: &u8| is_space(*byte) || *byte == b'?';
        let length = rest.iter().position(ends);
        cursor.at += length.unwrap_or(rest.len());
        let Some(end) = cursor.peek() else { return Ok(()) };
        self.whole(cursor, |machine, cursor, whole| {
            let target = whole.get(2..).unwrap_or_default();
            let named = check_name(target, machine.charset);
            named.map_err(|fault| machine.fault(machine.mark_at, fault))?;
            if target.eq_ignore_ascii_case(b"xml") {
                if target != b"xml" || machine.mark_at != machine.start || end == b'?' {
                    return Err(machine.fault(machine.mark_at, XmlFault::Declaration));
                }
                machine.state = State::Declaration;
                if whole.len() > cursor.at - cursor.mark {
                    machine.held.extend_from_slice(whole);
                    cursor.mark = cursor.at;
                    cursor.keep = cursor.at;
                }
                return Ok(());
            }
            machine.pass(cursor, whole)?;
            cursor.at += 1;
            machine.state = if end == b'?' {
                State::Bare
            } else {
                State::Instruction(false)
            };
            Ok(())
        })
    }

    fn declaration(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let rest = cursor.rest();
        let length = memchr::memchr(b'>', rest);
        cursor.at += length.map_or(rest.len(), |length| length + 1);
        if length.is_none() {
            return Ok(());
        }
        self.whole(cursor, |machine, cursor, whole| {
            let read = tag::declaration(whole, machine.charset);
            read.map_err(|fault| machine.fault_in(fault))?;
            machine.pass(cursor, whole)
        })
    }

    /// Hands over all of what was held back, now that it ends at the cursor. What follows is text, unless `then` says
    /// otherwise.
    pub(super) fn whole<'c>(
        &mut self,
        cursor: &mut Cursor<'c>,
        then: impl FnOnce(&mut Self, &mut Cursor<'c>, &[u8]) -> Step,
    ) -> Step {
        self.fits(cursor)?;
        let part = cursor.chunk.get(cursor.mark..cursor.at).unwrap_or_default();
        if self.held.is_empty() {
            let before = std::mem::replace(&mut self.state, State::Text);
            return then(self, cursor, part).inspect_err(|_| self.state = before);
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(part);
        let before = std::mem::replace(&mut self.state, State::Text);
        then(self, cursor, &held).inspect_err(|_| self.state = before)
    }

    /// What was held back stays as it is, up to the cursor.
    pub(super) fn pass(&mut self, cursor: &mut Cursor<'_>, whole: &[u8]) -> Step {
        // What earlier chunks had of it is nowhere in this one; else it is written with what is around it.
        let earlier = whole.len().saturating_sub(cursor.at - cursor.mark);
        if earlier == 0 {
            return Ok(());
        }
        self.collect_held(whole.get(..earlier).unwrap_or_default())?;
        if self.cut.is_none() {
            cursor.out.extend_from_slice(whole);
            cursor.keep = cursor.at;
        }
        Ok(())
    }

    /// A fault in what is held back.
    pub(super) const fn fault_in(&self, (at, fault): tag::Fault) -> Unmaskable {
        self.fault(self.mark_at + at as u64, fault)
    }
}
