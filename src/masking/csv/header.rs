//! The first record: which columns are hidden from this caller, and what stands in the place of their fields.

use smallvec::SmallVec;
use std::collections::VecDeque;

use super::sealing::Seal;
use super::{CsvFault, Grammar};
use crate::masking::charset::Charset;
use crate::masking::selectors::trim;
use crate::masking::{Action, MAX_COLUMNS, MAX_NAME, Mask};

/// The byte order mark, as a character.
const MARK: char = '\u{feff}';

/// What may well be a delimiter where a name is not quoted: those that can be asked for, and the usual ones besides.
const DELIMITERS: [char; 6] = [',', ';', '|', '\t', '^', '~'];

/// What stands for a field of which nothing may be seen, where a masked class has no text that could.
const REDACTED: &str = "[REDACTED]";

/// What is written of a column in each record.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) way: Way,
    /// Something before it stays, so that a delimiter stands between.
    pub(super) lead: bool,
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) enum Way {
    /// It stays as it is.
    Keep,
    /// It goes, and one delimiter with it.
    Remove,
    /// This stands in its place.
    Put(Box<[u8]>),
    /// Its hash or envelope stands in its place.
    Seal(Seal),
}

/// What happens to a column, the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Keep,
    /// Puts the field's hash.
    Hash(u16),
    /// Puts the field's envelope.
    Encrypt(u16),
    /// Puts the text of this class.
    Redact(u16),
    Null,
    Remove,
}

/// The columns that have been read so far.
#[derive(Debug, Default)]
pub(super) struct Header {
    fates: Vec<Fate>,
    /// The names of columns that are sealed, in their order.
    sealed: VecDeque<String>,
    /// How many fields of each record are masked, by class index.
    masked: SmallVec<[u32; 8]>,
    hits: SmallVec<[u16; 8]>,
}

/// A table whose header has been read.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// How many fields of each record are masked, by class index.
    pub(super) masked: SmallVec<[u32; 8]>,
}

impl Table {
    /// What seals a column, if anything does.
    pub(super) fn seal(&self, column: usize) -> Option<&Seal> {
        match &self.columns.get(column)?.way {
            Way::Seal(seal) => Some(seal),
            _ => None,
        }
    }
}

/// Longest name as written, its quotes included.
pub(super) fn longest(raw: &[u8]) -> usize {
    MAX_NAME + if raw.first() == Some(&b'"') { 2 } else { 0 }
}

impl Header {
    pub(super) fn new(mask: &Mask) -> Self {
        Self {
            masked: SmallVec::from_elem(0, mask.actions.len()),
            ..Self::default()
        }
    }

    /// Takes the next column, as it is written. What is to be written of its name: none if the column goes; whether a
    /// delimiter stands before.
    pub(super) fn take(&mut self, raw: &[u8], grammar: Grammar, mask: &Mask) -> Result<Option<bool>, CsvFault> {
        if raw.len() > longest(raw) {
            return Err(CsvFault::LongName);
        }
        if self.fates.len() == MAX_COLUMNS {
            return Err(CsvFault::TooManyColumns);
        }
        let first = self.fates.is_empty();
        let name = name(raw, grammar, first)?;
        let fate = self.judge(&name, mask);
        let lead = self.fates.iter().any(|before| *before != Fate::Remove);
        self.fates.push(fate);
        if matches!(fate, Fate::Hash(_) | Fate::Encrypt(_)) {
            self.sealed.push_back(trim(&name).to_owned());
        }
        Ok((fate != Fate::Remove).then_some(lead))
    }

    /// The strictest that any of the classes of a column asks for.
    fn judge(&mut self, name: &str, mask: &Mask) -> Fate {
        self.hits.clear();
        self.hits.extend(mask.selectors.column(name));
        self.hits.sort_unstable();
        self.hits.dedup();
        let mut strictest = Fate::Keep;
        for &class in &self.hits {
            let fate = match mask.actions.get(usize::from(class)) {
                Some(None) => continue,
                Some(Some(Action::Redact(_))) => Fate::Redact(class),
                Some(Some(Action::Null)) => Fate::Null,
                Some(Some(Action::Hash(_))) => Fate::Hash(class),
                Some(Some(Action::Encrypt(_))) => Fate::Encrypt(class),
                Some(Some(Action::Remove)) | None => Fate::Remove,
            };
            strictest = strictest.max(fate);
            if let Some(count) = self.masked.get_mut(usize::from(class)) {
                *count += 1;
            }
        }
        strictest
    }

    /// The header has ended.
    pub(super) fn close(mut self, grammar: Grammar, mask: &Mask) -> Table {
        let kept = self.fates.iter().filter(|fate| **fate != Fate::Remove).count();
        let mut lead = false;
        let columns = self.fates.iter().map(|&fate| {
            let way = match fate {
                Fate::Keep => Way::Keep,
                Fate::Remove => Way::Remove,
                Fate::Hash(class) | Fate::Encrypt(class) => {
                    Way::Seal(Seal::new(class, &self.sealed.pop_front().unwrap_or_default()))
                }
                Fate::Null => Way::Put(field("", grammar, kept == 1)),
                Fate::Redact(class) => {
                    let action = mask.actions.get(usize::from(class)).and_then(Option::as_ref);
                    let text = action.map(Action::text).unwrap_or_default();
                    Way::Put(field(&text, grammar, kept == 1))
                }
            };
            let before = lead;
            lead |= fate != Fate::Remove;
            Column { way, lead: before }
        });
        Table {
            columns: columns.collect(),
            masked: self.masked,
        }
    }
}

/// A name as it is meant.
fn name(raw: &[u8], grammar: Grammar, first: bool) -> Result<String, CsvFault> {
    let decoded = grammar.charset.decode(raw);
    let quoted = decoded
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .map(|inner| inner.replace("\"\"", "\""));
    let name = quoted.clone().unwrap_or_else(|| decoded.clone().into_owned());
    // As bytes: in another charset than UTF-8 it is other characters, and the name after it would be none that is known.
    if raw.starts_with(b"\xef\xbb\xbf") || name.starts_with(MARK) {
        return Err(CsvFault::Mark);
    }
    // In no charset of one byte each is a name made of what UTF-8 makes of letters.
    let foreign = matches!(grammar.charset, Charset::Single(_)) && !raw.is_ascii() && std::str::from_utf8(raw).is_ok();
    if foreign {
        return Err(CsvFault::Charset);
    }
    if quoted.is_none() {
        // Excel writes and reads `sep=;` as a line before the header.
        let says = first && name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sep="));
        let bare = trim(&name);
        if says || bare.contains(DELIMITERS) {
            return Err(CsvFault::Delimiter);
        }
    }
    Ok(name)
}

/// A field with this text, quoted if it has to be. The one field of a record is never nothing: that would be a blank
/// line, which some readers skip. Text that the charset does not have is `[REDACTED]`.
fn field(text: &str, grammar: Grammar, alone: bool) -> Box<[u8]> {
    let text = match grammar.charset.encode(text) {
        Some(_) if grammar.one_way && text.contains(['\t', '\r', '\n']) => REDACTED,
        Some(_) => text,
        None => REDACTED,
    };
    let bytes = grammar.charset.encode(text).unwrap_or_default();
    let plain = |byte: u8| byte != grammar.delimiter && byte != b'"' && byte >= 0x20 && byte != 0x7f;
    let trimmed = trim(text).len() == text.len();
    if trimmed && bytes.iter().all(|&byte| plain(byte)) && !(alone && text.is_empty()) {
        return bytes.into();
    }
    let mut quoted = vec![b'"'];
    for &byte in bytes.iter().filter(|byte| **byte != 0) {
        quoted.push(byte);
        if byte == b'"' {
            quoted.push(byte);
        }
    }
    quoted.push(b'"');
    quoted.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::{Delimiter, Dialect};

    fn grammar(delimiter: Delimiter, charset: &str) -> Grammar {
        Grammar::csv(Dialect {
            delimiter,
            charset: Charset::named(charset).unwrap(),
        })
    }

    #[test]
    fn a_text_becomes_one_field() {
        let comma = grammar(Delimiter::Comma, "utf-8");
        let latin = grammar(Delimiter::Semicolon, "iso-8859-1");
        for (text, grammar, alone, wanted) in [
            ("[REDACTED]", comma, false, &b"[REDACTED]"[..]),
            ("", comma, false, b""),
            ("", comma, true, b"\"\""),
            ("a,b", comma, false, b"\"a,b\""),
            ("a,b", latin, false, b"a,b"),
            ("a;b", latin, true, b"\"a;b\""),
            ("say \"no\"", comma, false, b"\"say \"\"no\"\"\""),
            (" x", comma, false, b"\" x\""),
            ("a\nb", comma, false, b"\"a\nb\""),
            ("a\0b", comma, false, b"\"ab\""),
            ("é", comma, false, "é".as_bytes()),
            ("é", latin, false, b"\xe9"),
            ("ж", latin, false, b"[REDACTED]"),
            ("é", grammar(Delimiter::Comma, "us-ascii"), false, b"[REDACTED]"),
            ("a\tb", Grammar::tsv(Charset::Utf8), false, b"[REDACTED]"),
        ] {
            assert_eq!(&*field(text, grammar, alone), wanted, "{text:?}");
        }
    }

    #[test]
    fn an_action_puts_text() {
        for (action, text) in [
            (Action::Redact("\"[REDACTED]\"".into()), "[REDACTED]"),
            (Action::Redact("\"a\\\"b\\u00e9\"".into()), "a\"bé"),
            (Action::Redact("0".into()), "0"),
            (Action::Null, ""),
        ] {
            assert_eq!(action.text(), text);
        }
    }
}
