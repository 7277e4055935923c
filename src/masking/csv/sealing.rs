//! A field that is read to be hashed or encrypted: its bytes are collected, and at its end stand as text in its place.

use super::machine::{Cursor, Machine};
use super::{CsvFault, Grammar};
use crate::masking::seal::MAX_SEALED;
use crate::masking::{Action, Unmaskable};

/// What seals the fields of one column.
#[derive(Debug)]
pub(super) struct Seal {
    pub(super) class: u16,
    /// The column's name as a JSON pointer (RFC 6901): an envelope opens in its own column.
    pub(super) pointer: String,
}

impl Seal {
    pub(super) fn new(class: u16, name: &str) -> Self {
        Self {
            class,
            pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        }
    }
}

impl Machine {
    /// A field that will be sealed starts at the cursor.
    pub(super) fn start_value(&mut self, cursor: &mut Cursor<'_>) {
        self.sealing = true;
        self.name.clear();
        cursor.name = cursor.at;
    }

    /// Keeps what this chunk has of the field up to the cursor.
    pub(super) fn gather_value(&mut self, cursor: &Cursor<'_>) -> Result<(), Unmaskable> {
        let part = cursor.chunk.get(cursor.name..cursor.at).unwrap_or_default();
        if self.name.len() + part.len() > MAX_SEALED {
            return Err(self.fault(self.record_at, CsvFault::LongValue));
        }
        self.name.extend_from_slice(part);
        Ok(())
    }

    /// The field ends at the cursor: what seals it is written.
    pub(super) fn end_value(&mut self, cursor: &mut Cursor<'_>, column: usize) -> Result<(), Unmaskable> {
        if !std::mem::take(&mut self.sealing) {
            return Ok(());
        }
        self.gather_value(cursor)?;
        let Some(seal) = self.table.seal(column) else {
            return Err(self.fault(self.record_at, CsvFault::NotSealed));
        };
        let text = match self.mask.actions.get(usize::from(seal.class)) {
            Some(Some(Action::Hash(key))) => Some(key.hash(text(&self.name, self.grammar).as_bytes())),
            Some(Some(Action::Encrypt(key))) => self
                .mask
                .home
                .as_ref()
                .and_then(|home| key.seal(&self.name, home, &seal.pointer).ok()),
            _ => None,
        };
        let text = text.ok_or_else(|| self.fault(self.record_at, CsvFault::NotSealed))?;
        // Nothing in it has to be quoted in any delimiter or charset.
        cursor.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A field without its quotes, as what it means: hashed it is the same as in JSON.
fn text(field: &[u8], grammar: Grammar) -> String {
    let decoded = grammar.charset.decode(field);
    let quoted = decoded.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        Some(inner) => inner.replace("\"\"", "\""),
        None => decoded.into_owned(),
    }
}
