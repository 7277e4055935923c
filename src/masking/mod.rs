//! Response masking: classified members are cut out of a JSON byte stream; every byte that stays is the backend's own.
//!
//! [`Selectors`] say which members are classified (one automaton for all classes of a module), a [`Mask`] adds what
//! one caller may not see, and a [`Masker`] is fed the answer in chunks of any size. It reads strict RFC 8259 JSON
//! in constant memory and never writes a byte before it knows that the caller may see it. What it cannot read is
//! [`Unmaskable`]; the answer is then cut, never completed (invariant 7).
//!
//! What links in headers say of classified names is [`links`]'. A body that its backend compressed is undone by [`coding`] before.
//!
//! Read `selectors`, then `masker` (the face of all formats), then `json`. JSON inside a JSON string,
//! base64, or tables whose column names stand apart from the values are beyond what a selector can name.
//!
//! No HTTP, no policy, no caller: only names, paths and bytes.

pub mod coding;
mod json;
pub mod links;
mod masker;
mod media;
mod names;
mod paths;
mod selectors;
#[cfg(test)]
mod tests;
mod unmaskable;
mod utf8;

use std::sync::Arc;

pub use json::{RowJudge, RowPath, Rows};
pub use masker::Masker;
pub use media::{Format, media_type};
pub use names::fold;
pub use selectors::{FieldRule, SelectorFault, Selectors};
pub use unmaskable::Unmaskable;

/// Deepest nesting of objects and arrays that is read; RFC 8259, 9 lets a reader set one.
pub const MAX_DEPTH: usize = 512;
/// Longest member name that is read, in bytes as written between its quotes: a name is held back until it is judged.
pub const MAX_NAME: usize = 1024;
/// Most whitespace that is held back before a name or an element is judged, in bytes, its comma included.
pub const MAX_HELD: usize = 64 * 1024;
/// Largest element that is judged as a row, in bytes as the backend wrote it: it is held back whole.
pub const MAX_ROW: usize = 1024 * 1024;
/// Most steps, ends included, that the paths of one module may have together.
pub const MAX_PATH_STEPS: usize = 1024;

/// A class of fields, by its place in the policy's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u16);

/// What happens to a value that a caller may not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The member goes, name and all; so does an array's element.
    Remove,
    /// The value becomes `null`.
    Null,
    /// The value becomes this JSON literal, quotes included.
    Redact(Arc<str>),
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
}
