//! CSV (RFC 4180) and its likes: a machine that stops at any byte and goes on with the next chunk.
//!
//! Read `machine` (bytes in, bytes out), then `walk` (the grammar) over `scan`, `header` (which columns go) and
//! `sealing` (what is hashed or encrypted).
//!
//! CSV has many readers and no two agree on everything. Where two could take one byte for different things, the byte is
//! refused: a quote anywhere but around a field, a carriage return that ends no line, a record with another number of fields
//! than the header (a column that is shifted shows what the next one hides), a header that another delimiter would cut
//! in other places.

mod fault;
mod header;
mod machine;
mod scan;
mod sealing;
mod walk;

pub use fault::CsvFault;
pub(super) use machine::Machine;

use super::{Charset, Delimiter, Dialect};

/// How records are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grammar {
    delimiter: u8,
    charset: Charset,
    /// Fields may be quoted, but no delimiter and no line break is in them: half of the readers of TSV take quotes for
    /// letters, and would end the field there.
    one_way: bool,
}

impl Grammar {
    /// `text/csv` (RFC 4180).
    pub(super) const fn csv(dialect: Dialect) -> Self {
        Self {
            delimiter: dialect.delimiter.byte(),
            charset: dialect.charset,
            one_way: false,
        }
    }

    /// `text/tab-separated-values` (as registered with IANA, which has no quotes, and as spreadsheets write it).
    pub(super) const fn tsv(charset: Charset) -> Self {
        Self {
            delimiter: Delimiter::Tab.byte(),
            charset,
            one_way: true,
        }
    }
}
