//! Elements: where they start and end, and what a verdict over one of them or its attributes does to the output.

use std::borrow::Cow;

use super::XmlFault;
use super::machine::{Cursor, Cutting, Frame, Machine};
use super::sealing::{attribute_text, content_text};
use super::tag::{self, Tag};
use super::verdict::Cut;
use super::walk::State;
use crate::masking::{MAX_DEPTH, Unmaskable};

type Step = Result<(), Unmaskable>;

/// An attribute that declares a namespace: what it says is what other names mean, never a value.
fn declares_namespace(name: &[u8]) -> bool {
    name == b"xmlns" || name.starts_with(b"xmlns:")
}

/// Writes what stands in place of an element, as far as its end tag, which the backend wrote unless the tag is empty.
fn replace(cursor: &mut Cursor<'_>, whole: &[u8], tag: &Tag, cut: Cut, text: &[u8]) {
    let out = &mut *cursor.out;
    let mut put = |bytes: Option<&[u8]>| out.extend_from_slice(bytes.unwrap_or_default());
    let name = whole.get(tag.name.clone());
    put(whole.get(..tag.name.end));
    for attribute in &tag.attributes {
        if whole.get(attribute.name.clone()).is_some_and(declares_namespace) {
            put(whole.get(attribute.whole.clone()));
        }
    }
    if tag.empty && cut == Cut::Null {
        return put(whole.get(tag.tail..));
    }
    put(whole.get(tag.tail..whole.len() - if tag.empty { 2 } else { 1 }));
    put(Some(b">"));
    put(Some(text));
    if tag.empty {
        put(Some(b"</"));
        put(name);
        put(Some(b">"));
    }
}

impl Machine {
    /// Goes on in a start tag, within this quote or none.
    pub(super) fn start(&mut self, cursor: &mut Cursor<'_>, mut quote: Option<u8>) -> Step {
        loop {
            let rest = cursor.rest();
            let found = match quote {
                Some(quote) => memchr::memchr(quote, rest),
                None => memchr::memchr3(b'>', b'"', b'\'', rest),
            };
            let Some(place) = found else {
                cursor.at += rest.len();
                self.state = State::Start(quote);
                return Ok(());
            };
            cursor.at += place + 1;
            match (quote, rest.get(place)) {
                (None, Some(b'>')) => {
                    self.state = State::Start(None);
                    return self.whole(cursor, Self::start_tag);
                }
                (None, other) => quote = other.copied(),
                (Some(_), _) => quote = None,
            }
        }
    }

    fn start_tag(&mut self, cursor: &mut Cursor<'_>, whole: &[u8]) -> Step {
        let tag = tag::start(whole, self.charset).map_err(|fault| self.fault_in(fault))?;
        let name = whole.get(tag.name.clone()).unwrap_or_default();
        let root = self.stack.is_empty();
        if root && self.rooted {
            return Err(self.fault(self.mark_at, XmlFault::SecondRoot));
        }
        if self.stack.len() == MAX_DEPTH {
            return Err(self.fault(self.mark_at, XmlFault::TooDeep));
        }
        self.rooted = true;
        if self.cut.is_some() {
            self.pass(cursor, whole)?;
            self.open_element(&tag, name, false);
            return Ok(());
        }
        let tracked = self.stack.last().map_or(self.tracked, |frame| frame.tracked);
        match self.judge.judge(name, tracked) {
            None => {
                let tracked = tracked && self.judge.enter();
                self.attributes(cursor, whole, &tag, tracked)?;
                if tag.empty && tracked {
                    self.judge.leave();
                }
                self.open_element(&tag, name, tracked);
            }
            Some(Cut::Remove) if root => return Err(self.fault(self.mark_at, XmlFault::Root)),
            Some(cut) => {
                let pointer = self.pointer(cut, &[name], self.mark_at)?;
                let text = match cut {
                    Cut::Hash(_) | Cut::Encrypt(_) if tag.empty => {
                        let text = self.sealed(cut, &[], &pointer, content_text, self.mark_at)?;
                        Cow::Owned(text.into_bytes())
                    }
                    _ => Cow::Borrowed(self.judge.text(cut)),
                };
                cursor.write_to(cursor.mark);
                if cut != Cut::Remove {
                    replace(cursor, whole, &tag, cut, &text);
                }
                cursor.keep = cursor.at;
                self.open_element(&tag, name, false);
                if !tag.empty {
                    if matches!(cut, Cut::Hash(_) | Cut::Encrypt(_)) {
                        self.start_sealing(cursor, cut, pointer);
                    }
                    self.cut = Some(Cutting {
                        depth: self.stack.len(),
                        whole: cut == Cut::Remove,
                    });
                }
            }
        }
        Ok(())
    }

    /// Goes into an element, if anything can be in it.
    fn open_element(&mut self, tag: &Tag, name: &[u8], tracked: bool) {
        if !tag.empty {
            self.stack.push(Frame {
                name: self.names.len(),
                tracked,
            });
            self.names.extend_from_slice(name);
        }
    }

    /// Judges the attributes of an element that stays, and writes what stays of its tag.
    fn attributes(&mut self, cursor: &mut Cursor<'_>, whole: &[u8], tag: &Tag, tracked: bool) -> Step {
        let element = whole.get(tag.name.clone()).unwrap_or_default();
        let mut written = 0;
        for attribute in &tag.attributes {
            let name = whole.get(attribute.name.clone()).unwrap_or_default();
            if declares_namespace(name) {
                continue;
            }
            let Some(cut) = self.judge.judge(name, tracked) else {
                continue;
            };
            let text = match cut {
                Cut::Hash(_) | Cut::Encrypt(_) => {
                    let value = whole.get(attribute.value.clone()).unwrap_or_default();
                    let at = self.mark_at + attribute.value.start as u64;
                    let pointer = self.pointer(cut, &[element, name], at)?;
                    Cow::Owned(self.sealed(cut, value, &pointer, attribute_text, at)?.into_bytes())
                }
                _ => Cow::Borrowed(self.judge.text(cut)),
            };
            if written == 0 {
                cursor.write_to(cursor.mark);
            }
            let gone = if cut == Cut::Remove {
                &attribute.whole
            } else {
                &attribute.value
            };
            let before = whole.get(written..gone.start).unwrap_or_default();
            cursor.out.extend_from_slice(before);
            cursor.out.extend_from_slice(&text);
            written = gone.end;
        }
        if written == 0 {
            return self.pass(cursor, whole);
        }
        cursor.out.extend_from_slice(whole.get(written..).unwrap_or_default());
        cursor.keep = cursor.at;
        Ok(())
    }

    /// Goes on in an end tag.
    pub(super) fn end_tag(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let rest = cursor.rest();
        let length = memchr::memchr(b'>', rest);
        cursor.at += length.map_or(rest.len(), |length| length + 1);
        if length.is_none() {
            return Ok(());
        }
        self.whole(cursor, Self::close_element)
    }

    fn close_element(&mut self, cursor: &mut Cursor<'_>, whole: &[u8]) -> Step {
        let name = tag::end(whole).map_err(|fault| self.fault_in(fault))?;
        let open = self.stack.last().copied();
        let Some(frame) = open.filter(|frame| self.names.get(frame.name..) == Some(name)) else {
            return Err(self.fault(self.mark_at, XmlFault::Mismatch));
        };
        match self.cut.filter(|cut| cut.depth == self.stack.len()) {
            None => self.pass(cursor, whole)?,
            Some(cut) => {
                let text = self.end_sealing(cursor)?;
                self.cut = None;
                cursor.out.extend_from_slice(text.unwrap_or_default().as_bytes());
                if !cut.whole {
                    cursor.out.extend_from_slice(whole);
                }
                cursor.keep = cursor.at;
            }
        }
        if frame.tracked {
            self.judge.leave();
        }
        self.names.truncate(frame.name);
        self.stack.pop();
        Ok(())
    }
}
