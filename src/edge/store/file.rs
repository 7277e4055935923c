//! The file of the embedded store: made, locked, verified, and taken over from an earlier life.

use redb::{
    AccessGuard, Builder, Database, DatabaseError, Durability, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::StoreFault;
use super::carry::{self, Note};
use super::daybook::{Daybook, Shelf};
use super::faults::is_want_of_room;
use super::layer::{Layer, Word};
use super::replay::{Replay, replay};
use crate::ledger::{Latest, Record, RecordKey};

/// The file in the folder.
pub(super) const FILE: &str = "keys.redb";

/// What it is called until it is whole. A file of the right name that is empty or cut is damaged, not new: taken for a
/// new one, it would forget every payment.
const UNFINISHED: &str = "keys.redb.new";

/// The last copy that was made, until somebody takes it.
pub const BACKUP: &str = "backup.redb";

/// Written and removed to find out whether there is room on the disk.
const PROBE: &str = "room";

/// How much room there must be before a store that had none is opened again: some commits' worth, bytes.
const ROOM: usize = 1 << 20;

/// Held locked by the process that has the folder; says [`MARK`] once there was a store in it.
const LOCK: &str = "lock";

/// For people who look into it.
const MARK: &[u8] =
    b"There is a store in this folder. Without keys.redb, put a backup there, or remove the folder to begin anew.\n";

/// The layout of the tables and records. 1: records without owners; 2: records without answers, and what is open among what
/// is finished; 3: no daybook. All are still read.
const FORMAT_KNOWN: u64 = 4;

/// The newest layout in which what is open is among what is finished.
const FORMAT_MIXED: u64 = 2;

/// The oldest layout that is read.
const FORMAT_OLDEST: u64 = 1;

/// Memory for pages of the file, bytes.
const CACHE_BYTES: usize = 64 << 20;

/// What is finished.
pub(super) const RECORDS: TableDefinition<'static, &'static [u8; 32], &'static [u8]> = TableDefinition::new("records");
/// What runs, and what is unknown.
pub(super) const OPEN: TableDefinition<'static, &'static [u8; 32], &'static [u8]> = TableDefinition::new("open");
/// When what is finished may be swept.
pub(super) const DEADLINES: TableDefinition<'static, &'static [u8; 40], ()> = TableDefinition::new("deadlines");
pub(super) const FACTS: TableDefinition<'static, &'static str, u64> = TableDefinition::new("facts");
/// The fact that says which layout the tables have.
pub(super) const FORMAT: &str = "format";
/// The fact that says which time was the latest seen, unix seconds.
pub(super) const LATEST: &str = "latest";
/// The fact that says which daybook is this tree's. Without it the tree is whole by itself, as a copy is and what an orderly
/// end leaves: a daybook that lies beside it is from before, or of a store that this one took the place of.
pub(super) const DAYBOOK: &str = "daybook";
/// The fact that says up to which commit of the daybook the tree has it all.
pub(super) const CARRIED: &str = "carried";

/// The lock of a folder. It is given back in so many words, for a process that is just being started somewhere else in the
/// program has a copy of every open file for a moment, and would hold it.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // At worst it is free a moment later.
        let _ = self.0.unlock();
    }
}

/// Locks `folder` and opens the file in it, which is made if it is not there.
pub(super) fn open(folder: &Path) -> Result<(Database, Held), StoreFault> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| StoreFault::io("the folder", &error))?;
    let held = Held(lock(folder)?);
    let lock = &held.0;
    let file = folder.join(FILE);
    if !file.try_exists().map_err(|error| StoreFault::io(FILE, &error))? {
        if is_marked(lock)? {
            // Taken for a new one, it would forget every payment.
            return Err(StoreFault::Corrupt(format!(
                "`{FILE}` is gone from a folder that was in use"
            )));
        }
        create(folder)?;
    }
    mark(lock)?;
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).map_err(|error| StoreFault::io(FILE, &error))?;
    Ok((verified(|builder| builder.open(&file))?, held))
}

/// Opens a database with the checksum of every page verified: a plain open trusts a file that was closed in order.
pub(super) fn verified(open: impl FnOnce(&Builder) -> Result<Database, DatabaseError>) -> Result<Database, StoreFault> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    // Debug builds of the database assert what release builds report.
    catch_unwind(AssertUnwindSafe(|| open(&builder)))
        .map_err(|_| StoreFault::Corrupt("a broken assertion".to_owned()))?
        .map_err(opening)
}

/// Finds [`ROOM`] bytes on the disk.
pub(super) fn find_room(folder: &Path) -> Result<(), StoreFault> {
    let path = folder.join(PROBE);
    let found = private(OpenOptions::new().create(true).truncate(true), &path).and_then(|mut probe| {
        let room = vec![0x5a; ROOM];
        probe
            .write_all(&room)
            .and_then(|()| probe.sync_data())
            .map_err(|_| StoreFault::NoRoom)
    });
    let _ = std::fs::remove_file(&path);
    found
}

/// Whether there was a file in this folder once.
fn is_marked(lock: &File) -> Result<bool, StoreFault> {
    let length = lock.metadata().map_err(|error| StoreFault::io(LOCK, &error))?.len();
    Ok(length > 0)
}

/// Writes down that there is a file in this folder.
fn mark(mut lock: &File) -> Result<(), StoreFault> {
    if is_marked(lock)? {
        return Ok(());
    }
    lock.write_all(MARK)
        .and_then(|()| lock.sync_data())
        .map_err(|error| StoreFault::io(LOCK, &error))
}

fn lock(folder: &Path) -> Result<File, StoreFault> {
    let lock = private(OpenOptions::new().create(true).truncate(false), &folder.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreFault::InUse),
        Err(TryLockError::Error(error)) => Err(StoreFault::io(LOCK, &error)),
    }
}

pub(super) fn private(options: &mut OpenOptions, path: &Path) -> Result<File, StoreFault> {
    options.read(true).write(true).mode(0o600).open(path).map_err(|error| {
        if is_want_of_room(&error) {
            StoreFault::NoRoom
        } else {
            StoreFault::io("a file", &error)
        }
    })
}

/// Makes the file under another name and renames it once it is on disk, tables and all.
fn create(folder: &Path) -> Result<(), StoreFault> {
    let unfinished = folder.join(UNFINISHED);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreFault::io(UNFINISHED, &error)),
        _ => {}
    }
    drop(private(OpenOptions::new().create_new(true), &unfinished)?);
    let database = verified(|builder| builder.create(&unfinished))?;
    initialise(&database)?;
    database.close().map_err(opening)?;
    std::fs::rename(&unfinished, folder.join(FILE))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| StoreFault::io(FILE, &error))
}

/// Makes a store with these records, so many at a time as memory takes without noticing.
pub(super) fn fill(folder: &Path, records: impl IntoIterator<Item = (RecordKey, Record)>) -> Result<(), StoreFault> {
    const AT_A_TIME: usize = 100_000;
    if folder.join(FILE).exists() {
        return Err(StoreFault::Io("there is a store already".to_owned()));
    }
    let (database, _lock) = open(folder)?;
    let mut words = records.into_iter().map(|(key, record)| (key, Word::Is(record)));
    loop {
        let layer: Layer = words.by_ref().take(AT_A_TIME).collect();
        if layer.is_empty() {
            return Ok(());
        }
        let note = Note {
            sequence: 0,
            latest: Latest::default(),
            id: None,
        };
        carry::carry(&database, &layer, note)?;
    }
}

/// Writes the tables of a new database.
pub(super) fn initialise(database: &Database) -> Result<(), StoreFault> {
    let write = begin(database)?;
    {
        let mut facts = write.open_table(FACTS)?;
        facts.insert(FORMAT, FORMAT_KNOWN)?;
        facts.insert(LATEST, 0)?;
        write.open_table(RECORDS)?;
        write.open_table(OPEN)?;
        write.open_table(DEADLINES)?;
    }
    Ok(write.commit()?)
}

/// Starts a transaction that is on disk when it is committed, in two phases (see [`super::embedded`]).
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreFault> {
    let mut write = database.begin_write()?;
    write.set_two_phase_commit(true);
    write
        .set_durability(Durability::Immediate)
        .map_err(|error| StoreFault::Write(error.to_string()))?;
    Ok(write)
}

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
    let tree_bytes = verify(&write, facts.format)?;
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
    let freed = carry::apply(&write, &layer)?;
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
    let (records, open) = (write.open_table(RECORDS)?.len()?, write.open_table(OPEN)?.len()?);
    if facts.daybook.is_none() {
        write.commit()?;
        // Once more, so that the root which is not in force knows of the daybook, too.
        let write = begin(database)?;
        note.write(&write)?;
        write.commit()?;
    } else if is_replayed || orphans > 0 {
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
    })
}

/// A number that no other store has.
fn random() -> Result<u64, StoreFault> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreFault::Io("the system gives no random bytes".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Looks at every record of the tree, and puts what is open in a table of its own if it is not there yet; how many bytes of
/// answers there are.
fn verify(write: &WriteTransaction, format: u64) -> Result<u64, StoreFault> {
    let mut records = write.open_table(RECORDS)?;
    let mut deadlines = write.open_table(DEADLINES)?;
    let mut open = write.open_table(OPEN)?;
    let mut answer_bytes = 0;
    let mut misplaced = Vec::new();
    for entry in records.iter()? {
        let (key, record) = decoded(&entry?)?;
        if deadlines.get(&deadline(record.deadline(), key.as_bytes()))?.is_none() {
            return Err(StoreFault::Corrupt(format!("record {key} has no deadline")));
        }
        answer_bytes += record.answer_bytes() as u64;
        if !record.is_done() {
            if format > FORMAT_MIXED {
                return Err(StoreFault::Corrupt(format!("record {key} is not finished")));
            }
            misplaced.push((key, record));
        }
    }
    if records.len()? != deadlines.len()? {
        return Err(StoreFault::Corrupt("a deadline has no record".to_owned()));
    }
    for (key, record) in &misplaced {
        records.remove(key.as_bytes())?;
        deadlines.remove(&deadline(record.deadline(), key.as_bytes()))?;
        open.insert(key.as_bytes(), record.encode().as_slice())?;
    }
    for entry in open.iter()? {
        let (key, record) = decoded(&entry?)?;
        if record.is_done() || records.get(key.as_bytes())?.is_some() {
            return Err(StoreFault::Corrupt(format!("record {key} is finished, and is not")));
        }
    }
    Ok(answer_bytes)
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
fn decoded(
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

/// What the database says while it opens: an I/O fault is one of opening, not of writing.
fn opening(error: DatabaseError) -> StoreFault {
    match StoreFault::from(error) {
        StoreFault::Write(what) => StoreFault::Io(what),
        other => other,
    }
}

/// A key of the deadline table: the time, big-endian so that it sorts, and the record's key.
pub(super) fn deadline(at: u64, key: &[u8; 32]) -> [u8; 40] {
    let mut out = [0; 40];
    let (time, name) = out.split_at_mut(8);
    time.copy_from_slice(&at.to_be_bytes());
    name.copy_from_slice(key);
    out
}

/// The time and the record's key.
pub(super) fn split(bytes: &[u8; 40]) -> (u64, RecordKey) {
    let mut time = [0; 8];
    let mut name = [0; 32];
    let (head, tail) = bytes.split_at(8);
    time.copy_from_slice(head);
    name.copy_from_slice(tail);
    (u64::from_be_bytes(time), RecordKey::from_bytes(name))
}
