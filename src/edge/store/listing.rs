//! What operators see of the store: pages of records.
//!
//! A page is made by the writer between two batches, so it looks at a bounded number of records and says where to go on.

use redb::{Range, ReadableTable};

use super::StoreFault;
use super::embedded::{MAX_LISTED, MAX_SCANNED, MAX_SCANNED_BYTES, damaged};
use crate::ledger::{Record, RecordKey, State};

/// What became of a request, without the particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its outcome is unknown.
    Unknown,
    /// It runs.
    InProgress,
    /// It is finished.
    Done,
}

/// Which records are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Those that run, or whose outcome is unknown.
    Unsettled,
    /// Those of one kind.
    Of(Kind),
    /// Those with this key, as the client wrote it.
    Key(Box<str>),
}

/// Some records in the order of their names, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`MAX_LISTED`], without the answers; possibly none although there are more.
    pub records: Vec<(RecordKey, Record)>,
    /// After which record the next page begins; none when this was the last.
    pub next: Option<RecordKey>,
}

impl Kind {
    /// The kind of a record.
    #[must_use]
    pub const fn of(record: &Record) -> Self {
        match record.state {
            State::Unknown { .. } => Self::Unknown,
            State::Running { .. } => Self::InProgress,
            State::Done { .. } => Self::Done,
        }
    }
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        match self {
            Self::Unsettled => Kind::of(record) != Kind::Done,
            Self::Of(kind) => Kind::of(record) == *kind,
            Self::Key(key) => record.owner.as_ref().is_some_and(|owner| owner.key == *key),
        }
    }

    /// Whether it takes any that run or are unknown.
    fn has_open(&self) -> bool {
        !matches!(self, Self::Of(Kind::Done))
    }

    /// Whether it takes any that are finished, which are far more.
    fn has_done(&self) -> bool {
        matches!(self, Self::Of(Kind::Done) | Self::Key(_))
    }
}

/// The next page after a record.
pub(super) fn page(
    open: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
    records: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
    filter: &Filter,
    after: Option<RecordKey>,
    now: u64,
) -> Result<Page, StoreFault> {
    let first = after.map_or([0; 32], |key| *key.as_bytes());
    let mut page = Sheet {
        filter,
        after,
        now,
        seen: 0,
        bytes: 0,
        page: Page::default(),
    };
    let mut open = open.range::<&[u8; 32]>(&first..)?;
    let mut records = records.range::<&[u8; 32]>(&first..)?;
    let mut next_open = || if filter.has_open() { next(&mut open) } else { Ok(None) };
    let mut next_done = || {
        if filter.has_done() {
            next(&mut records)
        } else {
            Ok(None)
        }
    };
    let (mut is_open, mut is_done) = (next_open()?, next_done()?);
    // In the order of their names, whichever table they are in.
    loop {
        let is_open_first = match (&is_open, &is_done) {
            (Some((open, _)), Some((done, _))) => open < done,
            (open, _) => open.is_some(),
        };
        let found = if is_open_first {
            std::mem::replace(&mut is_open, next_open()?)
        } else {
            std::mem::replace(&mut is_done, next_done()?)
        };
        let Some((key, record)) = found else { break };
        if page.is_full_with(key, record) {
            break;
        }
    }
    Ok(page.page)
}

/// The next record of a table.
fn next(range: &mut Range<'_, &'static [u8; 32], &'static [u8]>) -> Result<Option<(RecordKey, Record)>, StoreFault> {
    let Some(entry) = range.next() else { return Ok(None) };
    let (key, bytes) = entry?;
    let key = RecordKey::from_bytes(*key.value());
    let record = Record::decode(bytes.value()).map_err(|_| damaged(&key))?;
    Ok(Some((key, record)))
}

/// A page in the making.
struct Sheet<'f> {
    filter: &'f Filter,
    after: Option<RecordKey>,
    now: u64,
    seen: usize,
    bytes: usize,
    page: Page,
}

impl Sheet<'_> {
    /// Looks at a record; true when the page ends with it.
    fn is_full_with(&mut self, key: RecordKey, record: Record) -> bool {
        self.seen += 1;
        self.bytes += record.answer_bytes();
        // What has expired counts as absent, swept or not.
        if self.after != Some(key) && !record.is_expired(self.now) && self.filter.takes(&record) {
            self.page.records.push((key, record.without_answer()));
        }
        let full = self.seen >= MAX_SCANNED || self.bytes >= MAX_SCANNED_BYTES || self.page.records.len() >= MAX_LISTED;
        self.page.next = full.then_some(key);
        full
    }
}
