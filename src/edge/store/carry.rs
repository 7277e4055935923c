//! Carrying what is in the daybook to the tree: one transaction, in the order of the keys, while others go on writing.
//!
//! Two neighbours of a large tree share a leaf seldom, but the path to it almost always: the more keys at a time, the less
//! each costs. The transaction says up to which commit the tree has it all, so that nothing is missing or done twice after
//! a crash at any moment: before it, the daybook is replayed, and after it, what is there counts no more.

use redb::{Database, ReadableTable, Table, WriteTransaction};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::StoreFault;
use super::embedded::damaged;
use super::file::{self, CARRIED, DAYBOOK, DEADLINES, FACTS, LATEST, OPEN, RECORDS};
use super::layer::{Layer, Word};
use crate::ledger::{Latest, Record, RecordKey};

/// What is noted together with the records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// The last commit that the tree has then.
    pub(super) sequence: u64,
    pub(super) latest: Latest,
    /// Whose the daybook is; none when the tree needs none any more.
    pub(super) id: Option<u64>,
}

/// How many bytes of answers went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Freed {
    /// With what had expired.
    pub(super) swept: u64,
    /// With what was replaced or removed otherwise.
    pub(super) replaced: u64,
}

/// A layer on its way.
#[derive(Debug)]
pub(super) struct Carrier(JoinHandle<Result<Freed, StoreFault>>);

impl Carrier {
    /// Begins in a thread of its own.
    pub(super) fn start(database: &Arc<Database>, layer: &Arc<Layer>, note: Note) -> Result<Self, StoreFault> {
        let (database, layer) = (Arc::clone(database), Arc::clone(layer));
        Builder::new()
            .name("store-carrier".to_owned())
            .spawn(move || carry(&database, &layer, note))
            .map(Self)
            .map_err(|error| StoreFault::io("the carrier's thread", &error))
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end.
    pub(super) fn join(self) -> Result<Freed, StoreFault> {
        let broken = |_| Err(StoreFault::Corrupt("a broken assertion".to_owned()));
        self.0.join().unwrap_or_else(broken)
    }
}

/// Writes a layer to the tree, with a note on it.
pub(super) fn carry(database: &Database, layer: &Layer, note: Note) -> Result<Freed, StoreFault> {
    let write = file::begin(database)?;
    let freed = apply(&write, layer)?;
    note.write(&write)?;
    write.commit()?;
    Ok(freed)
}

impl Note {
    /// Writes it down.
    pub(super) fn write(&self, write: &WriteTransaction) -> Result<(), StoreFault> {
        let mut facts = write.open_table(FACTS)?;
        facts.insert(LATEST, self.latest.seconds())?;
        match self.id {
            Some(id) => {
                facts.insert(DAYBOOK, id)?;
                facts.insert(CARRIED, self.sequence)?;
            }
            None => {
                facts.remove(DAYBOOK)?;
                facts.remove(CARRIED)?;
            }
        }
        Ok(())
    }
}

/// Writes a layer to the tree.
pub(super) fn apply(write: &WriteTransaction, layer: &Layer) -> Result<Freed, StoreFault> {
    let mut tables = Tables {
        records: write.open_table(RECORDS)?,
        open: write.open_table(OPEN)?,
        deadlines: write.open_table(DEADLINES)?,
    };
    let mut freed = Freed::default();
    let mut deadlines = Vec::new();
    for (key, word) in layer {
        match word {
            Word::Is(record) => {
                freed.replaced += tables.put(key, record)?;
                if record.is_done() {
                    deadlines.push(file::deadline(record.deadline(), key.as_bytes()));
                }
            }
            Word::Gone => freed.replaced += tables.remove(key)?,
            Word::Swept => freed.swept += tables.sweep(key)?,
        }
    }
    deadlines.sort_unstable();
    for deadline in &deadlines {
        tables.deadlines.insert(deadline, ())?;
    }
    Ok(freed)
}

struct Tables<'t> {
    records: Table<'t, &'static [u8; 32], &'static [u8]>,
    open: Table<'t, &'static [u8; 32], &'static [u8]>,
    deadlines: Table<'t, &'static [u8; 40], ()>,
}

impl Tables<'_> {
    /// All but the deadline, which the caller writes; how many bytes of an answer went with what was there.
    fn put(&mut self, key: &RecordKey, record: &Record) -> Result<u64, StoreFault> {
        let bytes = record.encode();
        if !record.is_done() {
            let freed = self.finished(key)?;
            self.open.insert(key.as_bytes(), bytes.as_slice())?;
            return Ok(freed);
        }
        self.open.remove(key.as_bytes())?;
        let before = self.records.insert(key.as_bytes(), bytes.as_slice())?;
        let before = before.map(|bytes| Record::decode(bytes.value()).map_err(|_| damaged(key)));
        match before.transpose()? {
            Some(before) => self.forget_deadline(key, &before),
            None => Ok(0),
        }
    }

    /// Most of what is removed never came here.
    fn remove(&mut self, key: &RecordKey) -> Result<u64, StoreFault> {
        self.open.remove(key.as_bytes())?;
        self.finished(key)
    }

    fn sweep(&mut self, key: &RecordKey) -> Result<u64, StoreFault> {
        if self.records.get(key.as_bytes())?.is_none() {
            return Err(damaged(key));
        }
        self.finished(key)
    }

    /// Removes what is finished, with its deadline.
    fn finished(&mut self, key: &RecordKey) -> Result<u64, StoreFault> {
        let before = self.records.remove(key.as_bytes())?;
        let before = before.map(|bytes| Record::decode(bytes.value()).map_err(|_| damaged(key)));
        match before.transpose()? {
            Some(before) => self.forget_deadline(key, &before),
            None => Ok(0),
        }
    }

    fn forget_deadline(&mut self, key: &RecordKey, before: &Record) -> Result<u64, StoreFault> {
        let deadline = file::deadline(before.deadline(), key.as_bytes());
        match self.deadlines.remove(&deadline)? {
            Some(_) => Ok(before.answer_bytes() as u64),
            None => Err(damaged(key)),
        }
    }
}
