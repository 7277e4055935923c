//! What is newer than the tree, in memory: the last word on each key since the tree was last written.
//!
//! Bounded by the daybook, which has it all on disk: what does not fit there is carried to the tree first.

use redb::{Database, ReadOnlyTable, ReadableDatabase};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::StoreFault;
use super::embedded::damaged;
use super::file::{self, DEADLINES, OPEN};
use super::runs::{BLOCKS, Cursor, Newest, RUNS, Runs};
use crate::ledger::{Record, RecordKey};

/// The last word on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// This stands under it.
    Is(Record),
    /// Nothing does.
    Gone,
    /// What the tree has under it has expired by this time, unix seconds, and goes.
    Swept(u64),
}

impl Word {
    pub(super) fn record(self) -> Option<Record> {
        match self {
            Self::Is(record) => Some(record),
            Self::Gone | Self::Swept(_) => None,
        }
    }

    /// How many bytes of an answer the record has.
    pub(super) fn answer_bytes(&self) -> usize {
        match self {
            Self::Is(record) => record.answer_bytes(),
            Self::Gone | Self::Swept(_) => 0,
        }
    }
}

impl From<Option<Record>> for Word {
    fn from(record: Option<Record>) -> Self {
        record.map_or(Self::Gone, Self::Is)
    }
}

/// The last word on some keys, by key.
pub(super) type Layer = BTreeMap<RecordKey, Word>;

/// Records by key, as the tree keeps them.
pub(super) type Records = ReadOnlyTable<&'static [u8; 32], &'static [u8]>;

/// The tree as of one transaction.
#[derive(Debug)]
pub(super) struct View {
    pub(super) open: Records,
    blocks: ReadOnlyTable<&'static [u8; 40], &'static [u8]>,
    pub(super) runs: Runs,
    deadlines: ReadOnlyTable<&'static [u8; 40], (u32, u32)>,
}

impl View {
    /// As of the last transaction, which left these runs.
    pub(super) fn of(database: &Database, runs: Runs) -> Result<Self, StoreFault> {
        let read = database.begin_read()?;
        runs.fit(&read.open_table(RUNS)?)?;
        Ok(Self {
            open: read.open_table(OPEN)?,
            blocks: read.open_table(BLOCKS)?,
            runs,
            deadlines: read.open_table(DEADLINES)?,
        })
    }

    fn read(&self, key: &RecordKey) -> Result<Option<Record>, StoreFault> {
        match self.open.get(key.as_bytes())? {
            Some(found) => Record::decode(found.value()).map(Some).map_err(|_| damaged(key)),
            None => self.runs.find(&self.blocks, key),
        }
    }

    /// What is finished, from a key on.
    pub(super) fn finished(&self, first: &RecordKey) -> Result<Newest<Cursor<'_>>, StoreFault> {
        self.runs.from(&self.blocks, first)
    }

    /// When it expired and the key of what has by then, oldest first.
    pub(super) fn expired(
        &self,
        now: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, RecordKey), StoreFault>>, StoreFault> {
        let end = file::join(now.saturating_add(1), &[0; 32]);
        let range = self.deadlines.range::<&[u8; 40]>(..&end)?;
        Ok(range.map(|entry| Ok(file::split(entry?.0.value()))))
    }
}

/// All that is known: the newest first.
#[derive(Debug)]
pub(super) struct Layers {
    /// What came since the last carry began.
    pub(super) newest: Layer,
    /// What is being carried.
    pub(super) carried: Arc<Layer>,
    /// What the tree had before that.
    pub(super) view: View,
}

impl Layers {
    pub(super) fn read(&self, key: &RecordKey) -> Result<Option<Record>, StoreFault> {
        match self.newest.get(key).or_else(|| self.carried.get(key)) {
            Some(word) => Ok(word.clone().record()),
            None => self.view.read(key),
        }
    }
}
