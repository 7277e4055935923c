//! The file of the embedded store: made, locked, and opened with its pages verified.

use redb::{Builder, Database, DatabaseError, Durability, TableDefinition, WriteTransaction};
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::StoreFault;
use super::carry::{self, Note};
use super::faults::is_want_of_room;
use super::layer::{Layer, Word};
use super::runs::{BLOCKS, RUNS, Runs};
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
/// is finished; 3: no daybook; 4: what is finished in a tree by key. All are still read.
pub(super) const FORMAT_KNOWN: u64 = 5;

/// The oldest layout that is read.
pub(super) const FORMAT_OLDEST: u64 = 1;

/// Memory for pages of the file, bytes.
const CACHE_BYTES: usize = 64 << 20;

/// What runs, and what is unknown.
pub(super) const OPEN: TableDefinition<'static, &'static [u8; 32], &'static [u8]> = TableDefinition::new("open");
/// When what is finished may be swept, how many bytes it takes in its run, and how many of them are an answer: so that what
/// is swept need not be looked for.
pub(super) const DEADLINES: TableDefinition<'static, &'static [u8; 40], (u32, u32)> = TableDefinition::new("ends");
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
/// The fact that says how many bytes of the runs count: what neither was replaced nor is gone.
pub(super) const LIVE: &str = "live";

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
    let mut runs = Runs::default();
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
        runs = carry::carry(&database, &layer, runs, note)?.runs;
    }
}

/// Writes the tables of a new database.
pub(super) fn initialise(database: &Database) -> Result<(), StoreFault> {
    let write = begin(database)?;
    {
        let mut facts = write.open_table(FACTS)?;
        facts.insert(FORMAT, FORMAT_KNOWN)?;
        facts.insert(LATEST, 0)?;
        facts.insert(LIVE, 0)?;
        write.open_table(BLOCKS)?;
        write.open_table(RUNS)?;
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

/// What the database says while it opens: an I/O fault is one of opening, not of writing.
fn opening(error: DatabaseError) -> StoreFault {
    match StoreFault::from(error) {
        StoreFault::Write(what) => StoreFault::Io(what),
        other => other,
    }
}

/// A number and a record's key, in the order of the numbers: a time in the table of deadlines, a run in that of blocks.
pub(super) fn join(number: u64, key: &[u8; 32]) -> [u8; 40] {
    let mut out = [0; 40];
    let (head, name) = out.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    name.copy_from_slice(key);
    out
}

/// The number and the record's key.
pub(super) fn split(bytes: &[u8; 40]) -> (u64, RecordKey) {
    let mut number = [0; 8];
    let mut name = [0; 32];
    let (head, tail) = bytes.split_at(8);
    number.copy_from_slice(head);
    name.copy_from_slice(tail);
    (u64::from_be_bytes(number), RecordKey::from_bytes(name))
}
