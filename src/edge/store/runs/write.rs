//! Writing a run, one block after the other.

use std::sync::Arc;

use super::block::{AROUND, Block};
use super::filter::Filter;
use super::{BlockTable, Run, Runs, StoreFault};
use crate::edge::store::file::join;
use crate::ledger::RecordKey;

/// A run that is being written. What it holds is lost unless it is finished.
#[derive(Debug)]
pub(in super::super) struct Pen {
    run: Run,
    block: Block,
}

impl Runs {
    /// Begins the newest run, with about so many words.
    pub(in super::super) fn begin(&self, words: u64) -> Pen {
        let id = self.unused();
        Pen::on(Run {
            id,
            age: id,
            into: None,
            words: 0,
            bytes: 0,
            filter: Arc::new(Filter::new(words)),
        })
    }
}

impl Pen {
    /// Goes on with a run: what comes must be after all that it has.
    pub(super) fn on(run: Run) -> Self {
        Self {
            run,
            block: Block::default(),
        }
    }

    /// Adds a word, which must come after all others; how many bytes it takes.
    pub(in super::super) fn push(
        &mut self,
        blocks: &mut BlockTable<'_>,
        key: &RecordKey,
        record: Option<&[u8]>,
    ) -> Result<u64, StoreFault> {
        let record = record.unwrap_or_default();
        if self.block.is_full_with(record.len()) {
            self.put(blocks)?;
        }
        self.block.push(key, record);
        self.run.filter.add(key);
        let bytes = (AROUND + record.len()) as u64;
        self.run.words += 1;
        self.run.bytes += bytes;
        Ok(bytes)
    }

    /// Writes what is left.
    pub(in super::super) fn finish(mut self, blocks: &mut BlockTable<'_>) -> Result<Run, StoreFault> {
        self.put(blocks)?;
        Ok(self.run)
    }

    fn put(&mut self, blocks: &mut BlockTable<'_>) -> Result<(), StoreFault> {
        if let Some((first, bytes)) = std::mem::take(&mut self.block).finish() {
            blocks.insert(&join(self.run.id, first.as_bytes()), bytes.as_slice())?;
        }
        Ok(())
    }
}
