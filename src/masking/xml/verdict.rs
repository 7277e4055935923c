//! What becomes of elements and attributes, and what stands in their place.

use smallvec::SmallVec;
use std::borrow::Cow;

use super::chars::{is_char, local};
use crate::masking::charset::Charset;
use crate::masking::names::{Found, Scratch};
use crate::masking::paths::{Hits, Trail};
use crate::masking::{Action, Mask};

/// What happens to an element or an attribute, the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    /// Puts the hash, with the key of this class.
    Hash(u16),
    /// Puts the envelope, with the key of this class.
    Encrypt(u16),
    /// Puts the text of this class.
    Redact(u16),
    Null,
    Remove,
}

/// Judges names by where they are.
#[derive(Debug)]
pub(super) struct Judge {
    mask: Mask,
    charset: Charset,
    /// What a class puts in place of a value, as XML, by class index.
    texts: Box<[Box<[u8]>]>,
    trail: Trail,
    scratch: Scratch,
    hits: Hits,
    pub(super) tally: SmallVec<[u32; 8]>,
}

impl Judge {
    pub(super) fn new(mask: Mask, charset: Charset) -> Self {
        let texts = mask.actions.iter();
        let texts = texts.map(|action| escape(&action.as_ref().map(Action::text).unwrap_or_default(), charset));
        let mut trail = Trail::default();
        mask.selectors.restart(&mut trail);
        Self {
            texts: texts.collect(),
            tally: SmallVec::from_elem(0, mask.actions.len()),
            mask,
            charset,
            trail,
            scratch: Scratch::default(),
            hits: Hits::new(),
        }
    }

    /// Goes into what was judged last, or into the document; `false` if no path leads through it.
    pub(super) fn enter(&mut self) -> bool {
        self.mask.selectors.enter(&mut self.trail)
    }

    /// Leaves an element that was entered.
    pub(super) fn leave(&mut self) {
        self.trail.leave();
    }

    /// The strictest that any of the classes of an element or attribute asks for, by its name as written. `tracked`: paths lead through
    /// the element around it.
    pub(super) fn judge(&mut self, name: &[u8], tracked: bool) -> Option<Cut> {
        let local = local(name);
        let selectors = &self.mask.selectors;
        let found: Found = if local.is_ascii() {
            selectors.find(local, false, &mut self.scratch)
        } else {
            selectors.find(self.charset.decode(local).as_bytes(), false, &mut self.scratch)
        };
        self.hits.clear();
        self.hits.extend(selectors.named(found));
        if tracked {
            selectors.member(&mut self.trail, found, &mut self.hits);
        }
        self.hits.sort_unstable();
        self.hits.dedup();
        let mut strictest = None;
        for &class in &self.hits {
            let cut = match self.mask.actions.get(usize::from(class)) {
                Some(None) => continue,
                Some(Some(Action::Redact(_))) => Cut::Redact(class),
                Some(Some(Action::Null)) => Cut::Null,
                Some(Some(Action::Hash(_))) => Cut::Hash(class),
                Some(Some(Action::Encrypt(_))) => Cut::Encrypt(class),
                Some(Some(Action::Remove)) | None => Cut::Remove,
            };
            strictest = strictest.max(Some(cut));
            if let Some(count) = self.tally.get_mut(usize::from(class)) {
                *count = count.saturating_add(1);
            }
        }
        strictest
    }

    /// What is made of a value that is hashed, by what it says, or encrypted.
    pub(super) fn sealed<'v>(
        &self,
        cut: Cut,
        value: &'v [u8],
        said: impl FnOnce(&'v [u8]) -> Cow<'v, [u8]>,
        pointer: &str,
    ) -> Option<String> {
        let (Cut::Hash(class) | Cut::Encrypt(class)) = cut else {
            return None;
        };
        match self.mask.actions.get(usize::from(class))? {
            Some(Action::Hash(key)) => Some(key.hash(&said(value))),
            Some(Action::Encrypt(key)) => key.seal(value, self.mask.home.as_ref()?, pointer).ok(),
            _ => None,
        }
    }

    /// What stands in place of a value, whatever that is.
    pub(super) fn text(&self, cut: Cut) -> &[u8] {
        match cut {
            Cut::Redact(class) => self.texts.get(usize::from(class)).map_or(&[], |text| text),
            Cut::Hash(_) | Cut::Encrypt(_) | Cut::Null | Cut::Remove => &[],
        }
    }
}

/// Text that says the same in an element and between the quotes of an attribute, whichever these are: what readers would
/// take for markup or white space that does not count is a reference, and so is what the charset does not have. What XML
/// does not have is left out.
fn escape(text: &str, charset: Charset) -> Box<[u8]> {
    let mut escaped = Vec::with_capacity(text.len());
    for c in text.chars().filter(|c| is_char(*c)) {
        let plain = !matches!(c, '&' | '<' | '>' | '"' | '\'' | '\t' | '\n' | '\r');
        let mut bytes = [0; 4];
        match charset.encode(c.encode_utf8(&mut bytes)).filter(|_| plain) {
            Some(plain) => escaped.extend_from_slice(&plain),
            None => escaped.extend_from_slice(format!("&#{};", u32::from(c)).as_bytes()),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_escaped_for_elements_and_attributes() {
        let latin = Charset::named("iso-8859-1").unwrap();
        for (text, charset, wanted) in [
            ("[REDACTED]", Charset::Utf8, &b"[REDACTED]"[..]),
            ("a&b<c>d", Charset::Utf8, b"a&#38;b&#60;c&#62;d"),
            ("'\"", Charset::Utf8, b"&#39;&#34;"),
            ("a\tb\r\nc d", Charset::Utf8, b"a&#9;b&#13;&#10;c d"),
            ("a\0\u{1}\u{fffe}\u{ffff}b", Charset::Utf8, b"ab"),
            ("é😀", Charset::Utf8, "é😀".as_bytes()),
            ("éж😀", latin, b"\xe9&#1078;&#128512;"),
            ("é", Charset::UsAscii, b"&#233;"),
        ] {
            assert_eq!(&*escape(text, charset), wanted, "{text:?}");
        }
    }
}
