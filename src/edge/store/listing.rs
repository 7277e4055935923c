//! What operators see of the store: pages of records.
//!
//! A page is made by the writer between two batches, so it looks at a bounded number of records and says where to go on.

use redb::Range;

use super::StoreFault;
use super::embedded::{MAX_LISTED, MAX_SCANNED, MAX_SCANNED_BYTES, damaged};
use super::layer::{Layers, Records};
use super::runs::{self, Newest};
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
pub(super) fn page(layers: &Layers, filter: &Filter, after: Option<RecordKey>, now: u64) -> Result<Page, StoreFault> {
    let first = after.map_or(RecordKey::from_bytes([0; 32]), |key| key);
    let mut page = Sheet {
        filter,
        after,
        now,
        seen: 0,
        bytes: 0,
        page: Page::default(),
    };
    // In the order of their names, wherever they are, and the newest word counts.
    let mut newest = layers.newest.range(first..).peekable();
    let mut carried = layers.carried.range(first..).peekable();
    let mut open = Cursor::new(&layers.view.open, first, filter.has_open())?;
    let mut done = Finished(match filter.has_done() {
        true => Some(layers.view.finished(&first)?),
        false => None,
    });
    loop {
        let names = [
            newest.peek().map(|(key, _)| **key),
            carried.peek().map(|(key, _)| **key),
            open.key(),
            done.key(),
        ];
        let Some(key) = names.into_iter().flatten().min() else {
            break;
        };
        let newest = newest.next_if(|(name, _)| **name == key);
        let carried = carried.next_if(|(name, _)| **name == key);
        let open = open.next_if(&key)?;
        let done = done.next_if(&key)?;
        let record = match newest.or(carried) {
            Some((_, word)) => word.clone().record(),
            None => open.or(done.flatten()),
        };
        // What is newer than the tree is in memory, and little.
        let is_read = filter.has_done() || record.as_ref().is_some_and(|record| !record.is_done());
        if is_read && page.is_full_with(key, record) {
            break;
        }
    }
    Ok(page.page)
}

/// A place in a table of the tree.
struct Cursor {
    range: Option<Range<'static, &'static [u8; 32], &'static [u8]>>,
    next: Option<(RecordKey, Record)>,
}

impl Cursor {
    /// Nothing is read of what is not wanted.
    fn new(table: &Records, first: RecordKey, is_wanted: bool) -> Result<Self, StoreFault> {
        let range = is_wanted.then(|| table.range::<&[u8; 32]>(first.as_bytes()..));
        let mut cursor = Self {
            range: range.transpose()?,
            next: None,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    fn key(&self) -> Option<RecordKey> {
        self.next.as_ref().map(|(key, _)| *key)
    }

    /// The record, if it is under this key.
    fn next_if(&mut self, key: &RecordKey) -> Result<Option<Record>, StoreFault> {
        if self.key() != Some(*key) {
            return Ok(None);
        }
        let found = self.next.take();
        self.advance()?;
        Ok(found.map(|(_, record)| record))
    }

    fn advance(&mut self) -> Result<(), StoreFault> {
        self.next = match self.range.as_mut().and_then(Iterator::next) {
            Some(entry) => {
                let (key, bytes) = entry?;
                let key = RecordKey::from_bytes(*key.value());
                Some((key, Record::decode(bytes.value()).map_err(|_| damaged(&key))?))
            }
            None => None,
        };
        Ok(())
    }
}

/// A place in the runs; nothing is read of what is not wanted.
struct Finished<'v>(Option<Newest<runs::Cursor<'v>>>);

impl Finished<'_> {
    fn key(&self) -> Option<RecordKey> {
        self.0.as_ref()?.head().map(|(key, _)| key)
    }

    /// The word on this key, if there is one: a record, or that there is none any more.
    fn next_if(&mut self, key: &RecordKey) -> Result<Option<Option<Record>>, StoreFault> {
        let Some(words) = self
            .0
            .as_mut()
            .filter(|words| words.head().is_some_and(|(name, _)| name == *key))
        else {
            return Ok(None);
        };
        let record = words.head().and_then(|(_, word)| word.word()?.1);
        let record = record.map(|bytes| runs::decode(key, bytes)).transpose()?;
        words.advance()?;
        Ok(Some(record))
    }
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
    /// Looks at a key and its record, if there is one; true when the page ends with it.
    fn is_full_with(&mut self, key: RecordKey, record: Option<Record>) -> bool {
        self.seen += 1;
        if let Some(record) = record {
            self.bytes += record.answer_bytes();
            // What has expired counts as absent, swept or not.
            if self.after != Some(key) && !record.is_expired(self.now) && self.filter.takes(&record) {
                self.page.records.push((key, record.without_answer()));
            }
        }
        let full = self.seen >= MAX_SCANNED || self.bytes >= MAX_SCANNED_BYTES || self.page.records.len() >= MAX_LISTED;
        self.page.next = full.then_some(key);
        full
    }
}
