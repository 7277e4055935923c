//! What is finished, in runs: each is sorted by key and written once, one block after the other ([`block`]).
//!
//! What is carried becomes a run of its own, the newest, so that a key costs no page of its own wherever it sorts, and the same
//! among ten keys as among ten million. The last word on a key is the one in the newest run that has any; that it is gone is a
//! word, too. Most runs are not even asked for a key, for each has a [`filter`] in memory.
//!
//! Runs are merged so that there are few ([`tiers`]), a part at a time and in the transactions that carry. A merge takes blocks
//! away from its sources as it writes those of its run, in one transaction: at each commit a word is in one of them, and none
//! is left where it would count again. So nothing has to be known of how far a merge is, after a crash neither.

mod audit;
mod block;
mod cursor;
mod filter;
mod merge;
mod newest;
mod tiers;
mod write;

#[cfg(test)]
mod tests;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use std::sync::Arc;

use super::StoreFault;
use super::file::{FACTS, LIVE, join, split};
use crate::ledger::{Record, RecordKey};
use block::Reader;
use filter::Filter;

pub(super) use block::{AROUND, decode};
pub(super) use cursor::Cursor;
pub(super) use newest::Newest;
pub(super) use tiers::Live;
pub(super) use write::Pen;

/// Blocks, each under the number of its run and its first key.
pub(super) const BLOCKS: TableDefinition<'static, &'static [u8; 40], &'static [u8]> = TableDefinition::new("blocks");
/// Which runs there are, by number: the age, the number of the run that it is merged into or nought, how many words it has,
/// and how many bytes these take.
pub(super) const RUNS: TableDefinition<'static, u64, Row> = TableDefinition::new("runs");

/// A table of blocks, to be read.
pub(super) trait Blocks: ReadableTable<&'static [u8; 40], &'static [u8]> {}

impl<T: ReadableTable<&'static [u8; 40], &'static [u8]>> Blocks for T {}

/// A run as it is in its table.
type Row = (u64, u64, u64, u64);

type RunTable<'t> = Table<'t, u64, Row>;

pub(super) type BlockTable<'t> = Table<'t, &'static [u8; 40], &'static [u8]>;

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    id: u64,
    /// Of two words on a key the one in the run of the higher age counts. A run that is made of others has the age of the
    /// newest of them, which it shares no key with.
    age: u64,
    /// The run that this one is merged into.
    into: Option<u64>,
    words: u64,
    /// How many bytes they take.
    bytes: u64,
    filter: Arc<Filter>,
}

/// All runs of a tree as of one commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// The newest first.
    list: Vec<Run>,
    /// What counts in them.
    pub(super) live: Live,
}

impl Runs {
    /// The record under a key; none if there never was one, or if it is gone.
    pub(super) fn find(&self, blocks: &impl Blocks, key: &RecordKey) -> Result<Option<Record>, StoreFault> {
        for run in self.list.iter().filter(|run| run.filter.may_have(key)) {
            if let Some(word) = look(blocks, run.id, key)? {
                return Ok(word);
            }
        }
        Ok(None)
    }

    /// Reads all runs at once, from a key on; the newest word on each key counts.
    pub(super) fn from<'t>(&self, blocks: &'t impl Blocks, key: &RecordKey) -> Result<Newest<Cursor<'t>>, StoreFault> {
        let cursors = self.list.iter().map(|run| Cursor::new(blocks, run.id, key));
        Ok(Newest::new(cursors.collect::<Result<_, _>>()?))
    }

    /// Whether these are the runs of that tree, with filters that know all of them. Otherwise a key could be denied that is
    /// there.
    pub(super) fn fit(&self, table: &impl ReadableTable<u64, Row>) -> Result<(), StoreFault> {
        let wrong = || StoreFault::Corrupt("the runs are not those of the tree".to_owned());
        let mut count = 0;
        for entry in table.iter()? {
            let (id, row) = entry?;
            let run = self.list.iter().find(|run| run.id == id.value());
            let fits = run.is_some_and(|run| run.row() == row.value() && run.filter.held() >= run.words);
            count += usize::from(fits);
            if !fits {
                return Err(wrong());
            }
        }
        if count == self.list.len() { Ok(()) } else { Err(wrong()) }
    }

    /// Writes down which there are.
    pub(super) fn write(&self, write: &WriteTransaction) -> Result<(), StoreFault> {
        let mut table = write.open_table(RUNS)?;
        table.retain(|id, _| self.list.iter().any(|run| run.id == id))?;
        for run in &self.list {
            table.insert(run.id, run.row())?;
        }
        write.open_table(FACTS)?.insert(LIVE, self.live.bytes)?;
        Ok(())
    }

    /// Adds the newest.
    pub(super) fn add(&mut self, run: Run) {
        if run.words > 0 {
            self.list.insert(0, run);
        }
    }

    /// A number that no run has.
    fn unused(&self) -> u64 {
        self.list.iter().map(|run| run.id).max().unwrap_or_default() + 1
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) const fn count(&self) -> usize {
        self.list.len()
    }
}

impl Run {
    const fn row(&self) -> Row {
        let into = match self.into {
            Some(into) => into,
            None => 0,
        };
        (self.age, into, self.words, self.bytes)
    }
}

/// The word of a run on a key.
fn look(blocks: &impl Blocks, run: u64, key: &RecordKey) -> Result<Option<Option<Record>>, StoreFault> {
    let (begin, end) = (join(run, &[0; 32]), join(run, key.as_bytes()));
    match blocks.range::<&[u8; 40]>(&begin..=&end)?.next_back() {
        Some(entry) => {
            let (name, block) = entry?;
            Reader::new(block.value(), &split(name.value()).1)?.find(key)
        }
        None => Ok(None),
    }
}
