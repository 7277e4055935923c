//! Response masking: classified members and columns are cut out of a byte stream; every byte that stays is the backend's
//! own.
//!
//! [`Selectors`] say which members are classified (one automaton for all classes of a module), a [`Mask`] adds what
//! one caller may not see, and a [`Masker`] is fed the answer in chunks of any size. It reads strict RFC 8259 JSON (or
//! what [`Deviation`] lists beside it) and strict RFC 4180 CSV in constant memory, and never writes a byte before it knows
//! that the caller may see it. What it cannot read is [`Unmaskable`]; the answer is then cut, never completed (invariant 7).
//!
//! A body that its backend compressed is undone by [`coding`] before.
//!
//! Read `selectors`, then `masker` (the face of all formats), then `json` and `csv`. JSON inside a JSON string,
//! base64, or tables whose column names stand apart from the values are beyond what a selector can name.
//!
//! No HTTP, no policy, no caller: only names, paths and bytes.

mod charset;
pub mod coding;
mod csv;
mod json;
mod masker;
mod media;
mod names;
mod paths;
pub mod seal;
mod selectors;
#[cfg(test)]
mod tests;
mod unmaskable;
mod utf8;

use std::sync::Arc;

use seal::FieldKey;

pub use charset::Charset;
pub use json::{Deviation, RowJudge, RowPath, Rows, Tolerated};
pub use masker::Masker;
pub use media::{Delimiter, Dialect, Format, media_type};
pub use names::fold;
pub use selectors::{FieldRule, SelectorFault, Selectors, trim};
pub use unmaskable::{CsvFault, Unmaskable};

/// Deepest nesting of objects and arrays that is read; RFC 8259, 9 lets a reader set one.
pub const MAX_DEPTH: usize = 512;
/// Longest name of a member or a column that is read, in bytes as written between its quotes: a name is held back until
/// it is judged.
pub const MAX_NAME: usize = 1024;
/// Most whitespace that is held back before a name or an element is judged, in bytes, its comma included.
pub const MAX_HELD: usize = 64 * 1024;
/// Largest element that is judged as a row, in bytes as the backend wrote it: it is held back whole. Likewise what stays of
/// a record of CSV, until it is known to have as many fields as the header.
pub const MAX_ROW: usize = 1024 * 1024;
/// Most columns of a table: what happens to each is remembered.
pub const MAX_COLUMNS: usize = 4096;
/// Most steps, ends included, that the paths of one module may have together.
pub const MAX_PATH_STEPS: usize = 1024;

/// A class of fields, by its place in the policy's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u16);

/// What happens to a value that a caller may not see.
#[derive(Clone, Debug)]
pub enum Action {
    /// The member goes, name and all; so does an array's element.
    Remove,
    /// The value becomes `null`.
    Null,
    /// The value becomes this JSON literal, quotes included.
    Redact(Arc<str>),
    /// The value's envelope stands in its place, as a string.
    Encrypt(Arc<FieldKey>),
    /// The value's hash stands in its place, as a string.
    Hash(Arc<FieldKey>),
}

impl PartialEq for Action {
    /// Keys are told apart by where they are.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Remove, Self::Remove) | (Self::Null, Self::Null) => true,
            (Self::Redact(one), Self::Redact(two)) => one == two,
            (Self::Encrypt(one), Self::Encrypt(two)) | (Self::Hash(one), Self::Hash(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl Eq for Action {}

/// What one caller may not see in the answers of one module.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Which values belong to which class.
    pub selectors: Arc<Selectors>,
    /// By class index; `None` = this caller may see the class. A class that is not listed is removed.
    pub actions: Arc<[Option<Action>]>,
    /// Which elements of which arrays this caller may see; absent = all that are not classified.
    pub rows: Option<Rows>,
    /// Where the answer comes from: envelopes open there only.
    pub route: Arc<str>,
}

impl Mask {
    /// A class that is hidden, selects something and could be no column's: no table can be masked then.
    #[must_use]
    pub fn columnless(&self) -> Option<ClassId> {
        let hidden = |class: &u16| !matches!(self.actions.get(usize::from(*class)), Some(None));
        let mut classes = self.selectors.columnless().iter().copied();
        classes.find(hidden).map(ClassId)
    }
}
