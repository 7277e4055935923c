//! Carrying what is in the daybook to the tree: one transaction, in the order of the keys, while others go on writing.
//!
//! What is finished is written as one sorted run, so that each key costs the same however many there are ([`super::runs`]).
//! The transaction says up to which commit the tree has it all, so that nothing is missing or done twice after
//! a crash at any moment: before it, the daybook is replayed, and after it, what is there counts no more.

use redb::{Database, Table, WriteTransaction};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::StoreFault;
use super::embedded::damaged;
use super::file::{self, CARRIED, DAYBOOK, DEADLINES, FACTS, LATEST, OPEN};
use super::layer::{Layer, Word};
use super::runs::{self, BLOCKS, BlockTable, Live, Pen, Run, Runs};
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

/// What came of carrying.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) freed: Freed,
    /// The runs that there are since.
    pub(super) runs: Runs,
}

/// A layer on its way.
#[derive(Debug)]
pub(super) struct Carrier(JoinHandle<Result<Carried, StoreFault>>);

impl Carrier {
    /// Begins in a thread of its own. These are the runs that the tree has now.
    pub(super) fn start(
        database: &Arc<Database>,
        layer: &Arc<Layer>,
        runs: Runs,
        note: Note,
    ) -> Result<Self, StoreFault> {
        let (database, layer) = (Arc::clone(database), Arc::clone(layer));
        Builder::new()
            .name("store-carrier".to_owned())
            .spawn(move || carry(&database, &layer, runs, note))
            .map(Self)
            .map_err(|error| StoreFault::io("the carrier's thread", &error))
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end.
    pub(super) fn join(self) -> Result<Carried, StoreFault> {
        let broken = |_| Err(StoreFault::Corrupt("a broken assertion".to_owned()));
        self.0.join().unwrap_or_else(broken)
    }
}

/// Writes a layer to the tree, with a note on it.
pub(super) fn carry(database: &Database, layer: &Layer, mut runs: Runs, note: Note) -> Result<Carried, StoreFault> {
    let write = file::begin(database)?;
    let freed = apply(&write, layer, &mut runs)?;
    note.write(&write)?;
    write.commit()?;
    Ok(Carried { freed, runs })
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

/// Writes a layer to the tree: what is finished as a run of its own, the newest.
pub(super) fn apply(write: &WriteTransaction, layer: &Layer, runs: &mut Runs) -> Result<Freed, StoreFault> {
    let mut tables = Tables {
        runs,
        pen: runs.begin(layer.len() as u64),
        blocks: write.open_table(BLOCKS)?,
        open: write.open_table(OPEN)?,
        deadlines: write.open_table(DEADLINES)?,
        live: runs.live,
        due: Vec::new(),
        carried: 0,
    };
    let mut freed = Freed::default();
    for (key, word) in layer {
        match word {
            Word::Is(record) => freed.replaced += tables.put(key, record)?,
            Word::Gone => freed.replaced += tables.remove(key)?,
            Word::Swept(at) => freed.swept += tables.sweep(*at, key)?,
        }
    }
    let (run, live, carried) = tables.finish()?;
    runs.live = live;
    runs.add(run);
    if carried > 0 {
        runs.merge(write, carried)?;
        runs.write(write)?;
    }
    Ok(freed)
}

/// How many bytes a finished record takes in its run, and how many of them are an answer.
pub(super) fn sizes(encoded: usize, record: &Record) -> (u32, u32) {
    // Records are some kilobytes.
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    (size(runs::AROUND + encoded), size(record.answer_bytes()))
}

/// The tables, and what is going to be written.
struct Tables<'r, 't> {
    /// What was there before.
    runs: &'r Runs,
    pen: Pen,
    blocks: BlockTable<'t>,
    open: Table<'t, &'static [u8; 32], &'static [u8]>,
    deadlines: Table<'t, &'static [u8; 40], (u32, u32)>,
    live: Live,
    /// The deadlines that come.
    due: Vec<([u8; 40], (u32, u32))>,
    carried: u64,
}

impl Tables<'_, '_> {
    /// How many bytes of an answer went with what was there.
    fn put(&mut self, key: &RecordKey, record: &Record) -> Result<u64, StoreFault> {
        let bytes = record.encode();
        if !record.is_done() {
            self.open.insert(key.as_bytes(), bytes.as_slice())?;
            return self.finished(key);
        }
        self.open.remove(key.as_bytes())?;
        let freed = match self.runs.find(&self.blocks, key)? {
            Some(before) => self.forget_deadline(before.deadline(), key)?,
            None => 0,
        };
        let sizes = sizes(bytes.len(), record);
        self.write(key, Some(&bytes))?;
        self.live.words += 1;
        self.live.bytes += u64::from(sizes.0);
        self.due.push((file::join(record.deadline(), key.as_bytes()), sizes));
        Ok(freed)
    }

    /// Most of what is removed never came here.
    fn remove(&mut self, key: &RecordKey) -> Result<u64, StoreFault> {
        self.open.remove(key.as_bytes())?;
        self.finished(key)
    }

    /// Removes what has expired, of which the deadline says all.
    fn sweep(&mut self, at: u64, key: &RecordKey) -> Result<u64, StoreFault> {
        self.write(key, None)?;
        self.forget_deadline(at, key)
    }

    /// Removes what is finished, with its deadline.
    fn finished(&mut self, key: &RecordKey) -> Result<u64, StoreFault> {
        match self.runs.find(&self.blocks, key)? {
            Some(before) => self.sweep(before.deadline(), key),
            None => Ok(0),
        }
    }

    fn write(&mut self, key: &RecordKey, record: Option<&[u8]>) -> Result<(), StoreFault> {
        self.carried += self.pen.push(&mut self.blocks, key, record)?;
        Ok(())
    }

    fn forget_deadline(&mut self, at: u64, key: &RecordKey) -> Result<u64, StoreFault> {
        let sizes = self.deadlines.remove(&file::join(at, key.as_bytes()))?;
        let (bytes, answer) = sizes.map(|sizes| sizes.value()).ok_or_else(|| damaged(key))?;
        self.live.words = self.live.words.saturating_sub(1);
        self.live.bytes = self.live.bytes.saturating_sub(u64::from(bytes));
        Ok(u64::from(answer))
    }

    /// Writes what is left, in its order: the new run, what counts in all of them now, and how many bytes were carried.
    fn finish(mut self) -> Result<(Run, Live, u64), StoreFault> {
        self.due.sort_unstable();
        for (deadline, sizes) in &self.due {
            self.deadlines.insert(deadline, *sizes)?;
        }
        Ok((self.pen.finish(&mut self.blocks)?, self.live, self.carried))
    }
}
