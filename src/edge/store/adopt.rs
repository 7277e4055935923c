//! A database that is taken over from an earlier life: verified, brought to the newest layout, and completed from its daybook.

use redb::{AccessGuard, Database, ReadableTable, ReadableTableMetadata, WriteTransaction};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::StoreFault;
use super::carry::{self, Note};
use super::convert;
use super::daybook::{Daybook, Shelf};
use super::file::{
    CARRIED, DAYBOOK, DEADLINES, FACTS, FORMAT, FORMAT_KNOWN, FORMAT_OLDEST, LATEST, LIVE, OPEN, begin, split,
};
use super::layer::Layer;
use super::replay::{Replay, replay};
use super::runs::{self, BLOCKS, Live, RUNS, Runs};
use crate::ledger::{Latest, Record, RecordKey};

/// What stands in a database that was taken over.
pub(super) struct Adopted {
    /// The latest time seen.
    pub(super) latest: Latest,
    /// How many keys there are.
    pub(super) keys: u64,
    /// How many of their outcomes are unknown.
    pub(super) unknown: u64,
    /// How many bytes of answers are kept.
    pub(super) answer_bytes: u64,
    /// The last commit of the daybook.
    pub(super) sequence: u64,
    /// Whose the daybook is.
    pub(super) id: u64,
    /// The daybook, of which the tree has everything.
    pub(super) daybooks: [Daybook; 2],
    /// What is finished.
    pub(super) runs: Runs,
}

/// Verifies the format, every record of a database and its daybook, carries the latter to the tree, and turns what ran into
/// what is unknown.
pub(super) fn adopt(database: &Database, shelf: &dyn Shelf) -> Result<Adopted, StoreFault> {
    catch_unwind(AssertUnwindSafe(|| take_over(database, shelf)))
        .map_err(|_| StoreFault::Corrupt("a broken assertion".to_owned()))?
}

fn take_over(database: &Database, shelf: &dyn Shelf) -> Result<Adopted, StoreFault> {
    let write = begin(database)?;
    // Before any other table is touched: a newer version may have other ones.
    let facts = Facts::read(&write)?;
    let is_older = facts.format < FORMAT_KNOWN;
    if is_older {
        convert::convert(&write, facts.format)?;
    }
    let (mut runs, tree_bytes) = verify(&write)?;
    let (id, daybooks, replay) = match facts.daybook {
        Some(id) => {
            let media = [shelf.open(0)?, shelf.open(1)?];
            let replay = replay(&media, id, facts.carried)?;
            (id, media.map(|medium| Daybook::of(medium, id)), replay)
        }
        None => {
            let id = random()?;
            let daybooks = [Daybook::begin(shelf.make(0)?, id)?, Daybook::begin(shelf.make(1)?, id)?];
            (id, daybooks, Replay::default())
        }
    };
    let is_replayed = !replay.newest.is_empty();
    let layer: Layer = replay
        .newest
        .into_iter()
        .map(|(key, record)| (key, record.into()))
        .collect();
    let added: u64 = layer.values().map(|word| word.answer_bytes() as u64).sum();
    let freed = carry::apply(&write, &layer, &mut runs)?;
    let orphans = orphan(&write)?;
    let note = Note {
        sequence: replay.sequence,
        latest: facts.latest.max(replay.latest),
        id: Some(id),
    };
    note.write(&write)?;
    // So that a version which does not know these tables says so instead of calling the file damaged, or forgetting what is
    // in the daybook.
    write.open_table(FACTS)?.insert(FORMAT, FORMAT_KNOWN)?;
    let (records, open) = (write.open_table(DEADLINES)?.len()?, write.open_table(OPEN)?.len()?);
    if facts.daybook.is_none() {
        write.commit()?;
        // Once more, so that the root which is not in force knows of the daybook, too.
        let write = begin(database)?;
        note.write(&write)?;
        write.commit()?;
    } else if is_older || is_replayed || orphans > 0 {
        write.commit()?;
    } else {
        write.abort()?;
    }
    Ok(Adopted {
        latest: note.latest,
        keys: records + open,
        // Nothing runs any more.
        unknown: open,
        answer_bytes: (tree_bytes + added).saturating_sub(freed.swept + freed.replaced),
        sequence: note.sequence,
        id,
        daybooks,
        runs,
    })
}

/// A number that no other store has.
fn random() -> Result<u64, StoreFault> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreFault::Io("the system gives no random bytes".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Looks at every record of the tree: its runs, and how many bytes of answers there are.
fn verify(write: &WriteTransaction) -> Result<(Runs, u64), StoreFault> {
    let blocks = write.open_table(BLOCKS)?;
    let deadlines = write.open_table(DEADLINES)?;
    let (mut found, mut answer_bytes) = (Sum::default(), 0);
    let mut runs = Runs::audit(&write.open_table(RUNS)?, &blocks, |key, bytes| {
        let Some(bytes) = bytes else { return Ok(()) };
        let record = runs::decode(key, bytes)?;
        if !record.is_done() {
            return Err(StoreFault::Corrupt(format!("record {key} is not finished")));
        }
        answer_bytes += record.answer_bytes() as u64;
        found.add(record.deadline(), key, carry::sizes(bytes.len(), &record));
        Ok(())
    })?;
    let mut expected = Sum::default();
    for entry in deadlines.iter()? {
        let (name, sizes) = entry?;
        let (at, key) = split(name.value());
        expected.add(at, &key, sizes.value());
    }
    if found != expected {
        return Err(unequal());
    }
    if write.open_table(FACTS)?.get(LIVE)?.map(|live| live.value()) != Some(found.live.bytes) {
        return Err(StoreFault::Corrupt(
            "the file does not say what counts in it".to_owned(),
        ));
    }
    runs.live = found.live;
    for entry in write.open_table(OPEN)?.iter()? {
        let (key, record) = decoded(&entry?)?;
        if record.is_done() || runs.find(&blocks, &key)?.is_some() {
            return Err(StoreFault::Corrupt(format!("record {key} is finished, and is not")));
        }
    }
    Ok((runs, answer_bytes))
}

pub(super) fn unequal() -> StoreFault {
    StoreFault::Corrupt("a record has no deadline, or a deadline no record".to_owned())
}

/// Records and their deadlines, in whatever order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    live: Live,
    /// The sum of a hash of each. Nobody makes two sums equal who does not mean to; whoever could, could write the file.
    hashes: u64,
}

impl Sum {
    pub(super) fn add(&mut self, at: u64, key: &RecordKey, sizes: (u32, u32)) {
        let mut hasher = DefaultHasher::new();
        (at, key, sizes).hash(&mut hasher);
        self.hashes = self.hashes.wrapping_add(hasher.finish());
        self.live.words += 1;
        self.live.bytes += u64::from(sizes.0);
    }
}

/// What ran is unknown; how many there are.
fn orphan(write: &WriteTransaction) -> Result<usize, StoreFault> {
    let mut open = write.open_table(OPEN)?;
    let mut orphans = Vec::new();
    for entry in open.iter()? {
        let (key, record) = decoded(&entry?)?;
        let orphan = record.clone().orphaned();
        if orphan != record {
            orphans.push((key, orphan));
        }
    }
    for (key, orphan) in &orphans {
        open.insert(key.as_bytes(), orphan.encode().as_slice())?;
    }
    Ok(orphans.len())
}

/// A record and its key.
pub(super) fn decoded(
    (key, bytes): &(AccessGuard<'_, &'static [u8; 32]>, AccessGuard<'_, &'static [u8]>),
) -> Result<(RecordKey, Record), StoreFault> {
    let key = RecordKey::from_bytes(*key.value());
    match Record::decode(bytes.value()) {
        Ok(record) => Ok((key, record)),
        Err(fault) => Err(StoreFault::Corrupt(format!("record {key}: {fault}"))),
    }
}

/// What a database says of itself.
struct Facts {
    format: u64,
    latest: Latest,
    daybook: Option<u64>,
    carried: u64,
}

impl Facts {
    fn read(write: &WriteTransaction) -> Result<Self, StoreFault> {
        let facts = write.open_table(FACTS)?;
        let known = |name: &str| -> Result<Option<u64>, StoreFault> { Ok(facts.get(name)?.map(|value| value.value())) };
        let fact =
            |name: &str| known(name)?.ok_or_else(|| StoreFault::Corrupt(format!("the file does not say its {name}")));
        match fact(FORMAT)? {
            format @ FORMAT_OLDEST..=FORMAT_KNOWN => {
                let daybook = known(DAYBOOK)?;
                Ok(Self {
                    format,
                    latest: Latest::new(fact(LATEST)?),
                    daybook,
                    carried: if daybook.is_some() { fact(CARRIED)? } else { 0 },
                })
            }
            found if found > FORMAT_KNOWN => Err(StoreFault::Newer {
                found,
                known: FORMAT_KNOWN,
            }),
            found => Err(StoreFault::Corrupt(format!("there is no format {found}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, granted, wait};
    use super::super::{Store, embedded};
    use super::*;

    #[test]
    fn tables_that_do_not_fit_together_are_refused() {
        type Damage = fn(&WriteTransaction);
        let cases: [(&str, Damage); 5] = [
            ("a deadline is gone", |write| {
                write.open_table(DEADLINES).unwrap().pop_first().unwrap();
            }),
            ("a deadline is another", |write| {
                let mut deadlines = write.open_table(DEADLINES).unwrap();
                let sizes = deadlines.pop_first().unwrap().unwrap().1.value();
                deadlines.insert(&[7; 40], sizes).unwrap();
            }),
            ("a size is another", |write| {
                let mut deadlines = write.open_table(DEADLINES).unwrap();
                let (name, (bytes, answer)) = deadlines
                    .pop_first()
                    .unwrap()
                    .map(|(name, sizes)| (*name.value(), sizes.value()))
                    .unwrap();
                deadlines.insert(&name, (bytes, answer + 1)).unwrap();
            }),
            ("what counts is another", |write| {
                write.open_table(FACTS).unwrap().insert(LIVE, 1).unwrap();
            }),
            ("what is open is finished, too", |write| {
                let mut open = write.open_table(OPEN).unwrap();
                let record = open.pop_first().unwrap().unwrap().1.value().to_vec();
                let (_, key) = split(write.open_table(DEADLINES).unwrap().first().unwrap().unwrap().0.value());
                open.insert(key.as_bytes(), record.as_slice()).unwrap();
            }),
        ];
        for (what, damage) in cases {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            for of in 0..3 {
                wait(granted(&store, of, NOW).complete(201, None, NOW)).unwrap();
            }
            wait(granted(&store, 3, NOW).unknown(NOW)).unwrap();
            drop(store);
            let database = Database::open(folder.path().join(embedded::FILE)).unwrap();
            let write = begin(&database).unwrap();
            damage(&write);
            write.commit().unwrap();
            drop(database);
            let fault = Store::open(folder.path()).unwrap_err();
            assert!(matches!(fault, StoreFault::Corrupt(_)), "{what}: {fault:?}");
        }
    }
}
