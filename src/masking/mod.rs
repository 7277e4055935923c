//! Response masking: classified members, columns and elements are cut out of a byte stream; every byte that stays is the backend's
//! own.
//!
//! [`Selectors`] say which members are classified (one automaton for all classes of a module), a [`Mask`] adds what
//! one caller may not see, and a [`Masker`] is fed the answer in chunks of any size. It reads strict RFC 8259 JSON (or
//! what [`Deviation`] lists beside it), strict RFC 4180 CSV and XML 1.0 without document types in constant memory, and
//! never writes a byte before it knows that the caller may see it. What it cannot read is [`Unmaskable`]; the answer is then
//! cut, never completed (invariant 7).
//!
//! What links in headers say of classified names is [`links`]'. A body that its backend compressed is undone by [`coding`] before.
//!
//! Read `selectors`, then `masker` (the face of all formats), then `json`, `csv` and `xml`. JSON inside a JSON string,
//! base64, or tables whose column names stand apart from the values are beyond what a selector can name.
//!
//! No HTTP, no policy, no caller: only names, paths and bytes.

mod charset;
pub mod coding;
mod csv;
mod json;
pub mod links;
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
mod xml;

use std::borrow::Cow;
use std::sync::Arc;

use seal::{FieldKey, Home};

pub use charset::Charset;
pub use json::{Deviation, RowJudge, RowPath, Rows, Tolerated};
pub use masker::Masker;
pub use media::{Delimiter, Dialect, Format, media_type};
pub use names::fold;
pub use selectors::{FieldRule, SelectorFault, Selectors, trim};
pub use unmaskable::{CsvFault, Unmaskable, XmlFault};

/// Deepest nesting of objects and arrays, or of elements of XML, that is read; RFC 8259, 9 lets a reader set one.
pub const MAX_DEPTH: usize = 512;
/// Longest name of a member, a column, an element or an attribute that is read, in bytes as written: a name is held back until
/// it is judged.
pub const MAX_NAME: usize = 1024;
/// Most whitespace that is held back before a name or an element is judged, in bytes, its comma included.
pub const MAX_HELD: usize = 64 * 1024;
/// Largest element that is judged as a row, in bytes as the backend wrote it: it is held back whole. Likewise what stays of
/// a record of CSV, until it is known to have as many fields as the header.
pub const MAX_ROW: usize = 1024 * 1024;
/// Most columns of a table: what happens to each is remembered.
pub const MAX_COLUMNS: usize = 4096;
/// Longest tag of XML, in bytes: it is held back until all of it is judged.
pub const MAX_TAG: usize = 64 * 1024;
/// Most attributes of one element of XML.
pub const MAX_ATTRIBUTES: usize = 1024;
/// Longest reference of XML, `&` and `;` included, in bytes: it is held back until it is known to be one.
pub const MAX_REFERENCE: usize = 32;
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
    /// The value's envelope stands in its place, as a string; of XML, as the content of the element or the value of the attribute.
    Encrypt(Arc<FieldKey>),
    /// The value's hash stands in its place, as a string; of XML, as the content of the element or the value of the attribute.
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

impl Action {
    /// The text that stands in place of a value where there is no JSON: what the action puts there, without its quotes.
    pub(in crate::masking) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Redact(literal) => match serde_json::from_str::<String>(literal) {
                Ok(text) => text.into(),
                Err(_) => Cow::Borrowed(literal),
            },
            Self::Null | Self::Remove | Self::Hash(_) | Self::Encrypt(_) => "".into(),
        }
    }
}

/// What one caller may not see in the answers of one module.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Which values belong to which class.
    pub selectors: Arc<Selectors>,
    /// By class index; `None` = this caller may see the class. A class that is not listed is removed.
    pub actions: Arc<[Option<Action>]>,
    /// Which elements of which arrays this caller may see; absent = all that are not classified.
    pub rows: Option<Rows>,
    /// Where the answer comes from: envelopes open there only, and without it nothing is encrypted.
    pub home: Option<Home>,
}

impl Mask {
    /// Whether something may be encrypted: what comes out is another each time then.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.home.is_some()
    }

    /// A class that is hidden, selects something and could be no column's: no table can be masked then.
    #[must_use]
    pub fn columnless(&self) -> Option<ClassId> {
        let hidden = |class: &u16| !matches!(self.actions.get(usize::from(*class)), Some(None));
        let mut classes = self.selectors.columnless().iter().copied();
        classes.find(hidden).map(ClassId)
    }
}
