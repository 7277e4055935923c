//! Why an answer cannot be masked, in words for an operator. Nothing of the body is ever in it, only a place.

pub use super::csv::CsvFault;
pub use super::xml::XmlFault;

/// The answer is not what it is said to be, or cannot be read in one way only. Every variant says where: bytes from the body's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmaskable {
    /// The body has no JSON text in it, or no header.
    #[error("byte {at}: the body is empty")]
    Empty {
        /// Offset in bytes.
        at: u64,
    },
    /// The body ends inside a JSON text.
    #[error("byte {at}: the body ends in the middle of a JSON text")]
    Incomplete {
        /// Offset in bytes.
        at: u64,
    },
    /// A byte order mark (RFC 8259, 8.1 forbids it).
    #[error("byte {at}: the body starts with a byte order mark")]
    ByteOrderMark {
        /// Offset in bytes.
        at: u64,
    },
    /// Not UTF-8 (RFC 3629): a stray byte, an overlong form, a surrogate.
    #[error("byte {at}: not UTF-8")]
    NotUtf8 {
        /// Offset in bytes.
        at: u64,
    },
    /// In a body that is not UTF-8: a name or a row beyond ASCII, or a byte beyond ASCII right before a backslash, which may be one
    /// character together.
    #[error("byte {at}: not UTF-8, and what it says depends on what it is instead")]
    Charset {
        /// Offset in bytes.
        at: u64,
    },
    /// The grammar (RFC 8259, 2) wants something else.
    #[error("byte {at}: {expected} is expected here")]
    Unexpected {
        /// Offset in bytes.
        at: u64,
        /// What would have been right.
        expected: &'static str,
    },
    /// A byte below 0x20 inside a string (RFC 8259, 7).
    #[error("byte {at}: a control character stands unescaped in a string")]
    Control {
        /// Offset in bytes.
        at: u64,
    },
    /// No escape of RFC 8259, 7.
    #[error("byte {at}: no escape that JSON knows")]
    Escape {
        /// Offset in bytes.
        at: u64,
    },
    /// More than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("byte {at}: nested deeper than {} levels", super::MAX_DEPTH)]
    TooDeep {
        /// Offset in bytes.
        at: u64,
    },
    /// More than [`MAX_NAME`](super::MAX_NAME).
    #[error("byte {at}: a member name is longer than {} bytes", super::MAX_NAME)]
    LongName {
        /// Offset in bytes.
        at: u64,
    },
    /// Not an array where rows should be, or an array where the way to them has a member.
    #[error("byte {at}: the rows are not where `rows.at` says")]
    NotRows {
        /// Offset in bytes.
        at: u64,
    },
    /// More than [`MAX_ROW`](super::MAX_ROW).
    #[error("byte {at}: a row is longer than {} bytes", super::MAX_ROW)]
    LongRow {
        /// Offset in bytes.
        at: u64,
    },
    /// Not CSV, or CSV that cannot be masked for this caller.
    #[error("byte {at}: {fault}")]
    Csv {
        /// Offset in bytes.
        at: u64,
        /// What is wrong.
        fault: CsvFault,
    },
    /// Not XML, or XML that cannot be masked for this caller.
    #[error("byte {at}: {fault}")]
    Xml {
        /// Offset in bytes.
        at: u64,
        /// What is wrong.
        fault: XmlFault,
    },
    /// More than [`MAX_SEALED`](super::seal::MAX_SEALED).
    #[error(
        "byte {at}: a value to be encrypted, or hashed in XML, is longer than {} bytes",
        super::seal::MAX_SEALED
    )]
    LongValue {
        /// Offset in bytes.
        at: u64,
    },
    /// More than [`MAX_POINTER`](super::seal::MAX_POINTER).
    #[error(
        "byte {at}: the path of a value to be encrypted is longer than {} bytes",
        super::seal::MAX_POINTER
    )]
    LongPath {
        /// Offset in bytes.
        at: u64,
    },
    /// Half a character of UTF-16, in a text to be hashed or in a name on the way to a value to be encrypted.
    #[error("byte {at}: half a surrogate pair is no text that could be hashed, nor a name")]
    LoneSurrogate {
        /// Offset in bytes.
        at: u64,
    },
    /// There is no randomness, or the library refuses.
    #[error("byte {at}: the value that starts here could not be hashed or encrypted")]
    NotSealed {
        /// Offset in bytes.
        at: u64,
    },
    /// More than [`MAX_HELD`](super::MAX_HELD).
    #[error("byte {at}: more than {} bytes of whitespace before a member", super::MAX_HELD)]
    LongSpace {
        /// Offset in bytes.
        at: u64,
    },
}

impl Unmaskable {
    /// Where, in bytes from the start of the body.
    pub const fn offset(&self) -> u64 {
        match *self {
            Self::Empty { at }
            | Self::Incomplete { at }
            | Self::ByteOrderMark { at }
            | Self::NotUtf8 { at }
            | Self::Charset { at }
            | Self::Unexpected { at, .. }
            | Self::Control { at }
            | Self::Escape { at }
            | Self::TooDeep { at }
            | Self::LongName { at }
            | Self::NotRows { at }
            | Self::LongRow { at }
            | Self::Csv { at, .. }
            | Self::Xml { at, .. }
            | Self::LongValue { at }
            | Self::LongPath { at }
            | Self::LoneSurrogate { at }
            | Self::NotSealed { at }
            | Self::LongSpace { at } => at,
        }
    }
}
