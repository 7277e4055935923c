//! Reading all runs once, at a start: every word is looked at, and the filters are made.

use redb::{ReadableTable, ReadableTableMetadata};
use std::sync::Arc;

use super::block::AROUND;
use super::cursor::Cursor;
use super::filter::Filter;
use super::newest::{Newest, Source};
use super::{BlockTable, Run, RunTable, Runs, StoreFault};
use crate::ledger::RecordKey;

/// A run that is read to its end.
struct Audited<'t> {
    cursor: Cursor<'t>,
    run: Run,
    words: u64,
    bytes: u64,
    first: Option<RecordKey>,
    last: Option<RecordKey>,
}

impl Runs {
    /// Reads the runs of a tree, and says of each key what the newest word on it is: a record's bytes, or none when it is gone.
    ///
    /// # Errors
    /// [`StoreFault::Corrupt`] if a block is missing, is of no run, or is not as it was written.
    pub(in super::super) fn audit(
        table: &RunTable<'_>,
        blocks: &BlockTable<'_>,
        mut tell: impl FnMut(&RecordKey, Option<&[u8]>) -> Result<(), StoreFault>,
    ) -> Result<Self, StoreFault> {
        let runs = Self::listed(table)?;
        let sources = runs.list.iter().map(|run| Audited::new(blocks, run));
        let mut newest = Newest::new(sources.collect::<Result<_, _>>()?);
        while let Some((key, source)) = newest.head() {
            tell(&key, source.cursor.word().and_then(|(_, record)| record))?;
            newest.advance()?;
        }
        let audited = newest.into_sources();
        for source in &audited {
            if (source.words, source.bytes) != (source.run.words, source.run.bytes) {
                return Err(wrong("a run has lost some of its words"));
            }
            let into = audited.iter().find(|other| Some(other.run.id) == source.run.into);
            if into.is_some_and(|into| into.last.is_some() && into.last >= source.first) {
                return Err(wrong("a run has words that were moved"));
            }
        }
        let seen: u64 = audited.iter().map(|source| source.cursor.turned()).sum();
        if seen != blocks.len()? {
            return Err(wrong("a block is of no run"));
        }
        Ok(runs)
    }

    /// What the table says, with filters that are empty yet.
    fn listed(table: &RunTable<'_>) -> Result<Self, StoreFault> {
        let mut runs = Vec::new();
        for entry in table.iter()? {
            let (id, row) = entry?;
            let (age, into, words, bytes) = row.value();
            runs.push((id.value(), age, Some(into).filter(|into| *into > 0), words, bytes));
        }
        let expected = |id| {
            // What is still to be moved there is known to it, too.
            let to_come = runs.iter().filter(|run| run.2 == Some(id)).map(|run| run.3);
            to_come.fold(0, u64::saturating_add)
        };
        for (id, age, into, ..) in &runs {
            let target = into.map(|into| runs.iter().find(|run| run.0 == into));
            if *id == 0 || target.is_some_and(|run| run.is_none_or(|run| run.2.is_some() || run.1 < *age)) {
                return Err(wrong("a run is merged into none"));
            }
        }
        let mut listed = Self::default();
        for (id, age, into, words, bytes) in &runs {
            listed.list.push(Run {
                id: *id,
                age: *age,
                into: *into,
                words: *words,
                bytes: *bytes,
                filter: Arc::new(Filter::new(words.saturating_add(expected(*id)))),
            });
        }
        listed.sort();
        Ok(listed)
    }
}

impl<'t> Audited<'t> {
    fn new(blocks: &'t BlockTable<'_>, run: &Run) -> Result<Self, StoreFault> {
        let mut audited = Self {
            cursor: Cursor::new(blocks, run.id, &RecordKey::from_bytes([0; 32]))?,
            run: run.clone(),
            words: 0,
            bytes: 0,
            first: None,
            last: None,
        };
        audited.note();
        audited.first = audited.last;
        Ok(audited)
    }

    fn note(&mut self) {
        if let Some((key, record)) = self.cursor.word() {
            self.run.filter.add(key);
            self.words += 1;
            self.bytes += (AROUND + record.map_or(0, <[u8]>::len)) as u64;
            self.last = Some(*key);
        }
    }
}

impl Source for Audited<'_> {
    fn key(&self) -> Option<RecordKey> {
        self.cursor.key()
    }

    fn advance(&mut self) -> Result<(), StoreFault> {
        self.cursor.advance()?;
        self.note();
        Ok(())
    }
}

fn wrong(what: &str) -> StoreFault {
    StoreFault::Corrupt(what.to_owned())
}
