//! What is wrong with CSV, in words for an operator. Nothing of the body is in it.

use crate::masking::seal::MAX_SEALED;
use crate::masking::{MAX_COLUMNS, MAX_NAME, MAX_ROW};

/// What is wrong with CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvFault {
    /// A class is hidden that selects something, and no column could be told to belong to it.
    #[error("a class that is hidden from this caller has `paths` alone, which say nothing of columns")]
    Columnless,
    /// Rows are elements of JSON arrays.
    #[error("the route has `rows`, which are elements of JSON arrays")]
    Rows,
    /// A quote in a field that does not start with one.
    #[error("a quote stands in a field that does not start with one")]
    Quote,
    /// Something other than a delimiter or a line's end after a closing quote.
    #[error("a closing quote is followed by something else than a delimiter or the end of the line")]
    AfterQuote,
    /// A delimiter or a line break in quotes, in TSV.
    #[error("a tab or a line break stands in quotes, which not every reader of TSV knows")]
    QuotedBreak,
    /// A carriage return without a line feed, outside quotes.
    #[error("a carriage return stands alone")]
    Return,
    /// A control character outside quotes, or NUL anywhere.
    #[error("a control character stands in a field")]
    Control,
    /// A byte that the charset does not have, or a name that is UTF-8 where the charset is another.
    #[error("the charset seems to be another: it is the module's `charset`")]
    Charset,
    /// A byte order mark where none is expected.
    #[error("a byte order mark, which the charset does not have or which is the second")]
    Mark,
    /// The header is a blank line.
    #[error("the header is a blank line, which some readers skip")]
    NoHeader,
    /// The header has what another delimiter would cut, or says itself what the delimiter is.
    #[error("the header seems to have another delimiter: it is the module's `csv: {{ delimiter }}`")]
    Delimiter,
    /// More than [`MAX_COLUMNS`].
    #[error("more than {MAX_COLUMNS} columns")]
    TooManyColumns,
    /// More than [`MAX_NAME`].
    #[error("the name of a column is longer than {MAX_NAME} bytes")]
    LongName,
    /// More than [`MAX_ROW`].
    #[error("of a record stay more than {MAX_ROW} bytes")]
    LongRecord,
    /// More than [`MAX_SEALED`].
    #[error("a field to be hashed or encrypted is longer than {MAX_SEALED} bytes")]
    LongValue,
    /// There is no randomness, or the library refuses.
    #[error("a field could not be hashed or encrypted")]
    NotSealed,
    /// Another number of fields than the header has.
    #[error("the record has another number of fields than the header")]
    Ragged,
    /// The body ends within quotes, or within a character.
    #[error("the body ends in the middle of a field")]
    Open,
}
