//! The daybook: what was written last, in the order in which it came.
//!
//! Names of records are hashes, so a commit to a large tree rewrites as many scattered leaves as it has keys, with the
//! paths to them. Here a commit is one write to the end of a file and one sync, however many keys there are. What stands
//! here is carried to the tree later, in one sorted transaction ([`super::carry`]), and the file is begun anew.
//!
//! There are two files, so that one is written while the other is carried. Each has a fixed size, allocated when it is
//! made: the disk has to note nothing but the data, a file of another length is damaged, and a disk that fills up is
//! noticed when the tree grows, not here.
//!
//! A file is blocks of [`BLOCK`] bytes. The first says whose it is. Then groups follow, one a commit, each at the beginning
//! of a block, so that no block is written again that holds something acknowledged. A group has a number, one more than
//! the one before it in either file, and a digest over all that it says, the store's id with it.
//!
//! Each group is written twice, side by side, in one write. A group that a crash tore was never acknowledged and must be
//! dropped; one that was damaged later must not be. In the middle the two are told apart by what follows. At the end only
//! the second copy can tell: as long as one of them is whole, the group stands. Nothing is mistaken for torn unless a crash
//! comes together with damage to both copies of the last groups. Those are a second's work where there are pauses, in which
//! the writer carries them to the tree, and a minute's where there are none; in the tree the same would be noticed.

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::{FallocateFlags, fallocate};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StoreFault;
use super::faults::is_want_of_room;
use super::file::private;
use super::replay::Read;
use crate::ledger::{Latest, Record, RecordKey};

/// The files in the folder.
pub(super) const FILES: [&str; 2] = ["keys.day-0", "keys.day-1"];

/// The size of each file, bytes: some thousand commits. The more keys are carried to a large tree at a time, the less each
/// costs; memory holds what is in here, and a start after a crash reads it all.
pub(super) const BYTES: usize = if cfg!(test) { 256 << 10 } else { 32 << 20 };

/// What is written at once at the least, bytes: what disks and caches of this machine write whole or not at all, or more.
pub(super) const BLOCK: usize = 4096;

/// Most bytes of the entries of one group, unless it has a single entry.
pub(super) const MAX_GROUP: usize = BYTES / 4;

/// Most bytes of an entry without the answer in it: a name, a length, and a record with every text as long as it may be.
pub(super) const MAX_ENTRY: usize = 2048;

const TITLE_MARK: [u8; 8] = *b"tolldays";
const GROUP_MARK: [u8; 8] = *b"tollday1";

/// Mark, store, number, latest time, bytes of entries: what the digest covers, before the entries.
const FIELDS: usize = 8 + 8 + 8 + 8 + 4;
const DIGEST: usize = 32;
const HEAD: usize = FIELDS + DIGEST;

/// Where bytes are kept: a file, or what tests take for one.
pub(super) trait Medium: Send + fmt::Debug {
    /// How many bytes there are.
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` from a place.
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at a place.
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()>;
    /// Returns once all that was written is on disk.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, at)
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(data, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Where the two files are.
pub(super) trait Shelf {
    /// Opens a file that must be there.
    fn open(&self, which: usize) -> Result<Box<dyn Medium>, StoreFault>;
    /// Opens a file, or makes it, with [`BYTES`] bytes, whatever they are.
    fn make(&self, which: usize) -> Result<Box<dyn Medium>, StoreFault>;
}

/// A folder with the files in it.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    fn path(&self, which: usize) -> PathBuf {
        self.0.join(FILES.get(which).copied().unwrap_or_default())
    }
}

impl Shelf for Folder {
    fn open(&self, which: usize) -> Result<Box<dyn Medium>, StoreFault> {
        let path = self.path(which);
        if !path
            .try_exists()
            .map_err(|error| StoreFault::io("the daybook", &error))?
        {
            return Err(damaged("a file of it is gone"));
        }
        Ok(Box::new(private(&mut OpenOptions::new(), &path)?))
    }

    fn make(&self, which: usize) -> Result<Box<dyn Medium>, StoreFault> {
        let file = private(OpenOptions::new().create(true).truncate(false), &self.path(which))?;
        allocate(&file).map_err(|error| fault(&error))?;
        sync_folder(&self.0)?;
        Ok(Box::new(file))
    }
}

/// Gives a file its size, and all of it a place on the disk.
fn allocate(file: &File) -> io::Result<()> {
    if Medium::len(file)? != BYTES as u64 {
        file.set_len(0)?;
        file.set_len(BYTES as u64)?;
    }
    match fallocate(file, FallocateFlags::empty(), 0, BYTES as u64) {
        Err(error) if error == rustix::io::Errno::OPNOTSUPP => {}
        other => other.map_err(io::Error::from)?,
    }
    file.sync_all()
}

fn sync_folder(folder: &Path) -> Result<(), StoreFault> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreFault::io("the folder", &error))
}

pub(super) fn fault(error: &io::Error) -> StoreFault {
    if is_want_of_room(error) {
        StoreFault::NoRoom
    } else {
        StoreFault::Write(format!("the daybook: {error}"))
    }
}

pub(super) fn damaged(what: &str) -> StoreFault {
    StoreFault::Corrupt(format!("the daybook: {what}"))
}

/// The changes of one commit, in the making.
#[derive(Debug)]
pub(super) struct Group {
    /// Room for the head, then the entries.
    bytes: Vec<u8>,
}

impl Group {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEAD] }
    }

    /// Adds what stands under a key from now on: a record, or none.
    pub(super) fn push(&mut self, key: &RecordKey, record: Option<&Record>) {
        // No record is empty.
        let record = record.map(Record::encode).unwrap_or_default();
        self.bytes.extend(key.as_bytes());
        // Within the limits of a record.
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(record);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD
    }

    /// Its bytes as they go to disk: whole blocks, twice.
    fn finish(mut self, id: u64, sequence: u64, latest: Latest) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - HEAD).unwrap_or(u32::MAX);
        let mut head = Vec::with_capacity(HEAD);
        head.extend(GROUP_MARK);
        for number in [id, sequence, latest.seconds()] {
            head.extend(number.to_be_bytes());
        }
        head.extend(length.to_be_bytes());
        let digest = self.bytes.get(HEAD..).map(|entries| digest(&head, entries));
        head.extend(digest.unwrap_or_default());
        for (to, from) in self.bytes.iter_mut().zip(head) {
            *to = from;
        }
        let blocks = blocks(self.bytes.len());
        self.bytes.resize(blocks * BLOCK, 0);
        self.bytes.extend_from_within(..);
        self.bytes
    }
}

fn digest(fields: &[u8], entries: &[u8]) -> [u8; DIGEST] {
    let mut hash = Context::new(&SHA256);
    hash.update(fields);
    hash.update(entries);
    hash.finish().as_ref().try_into().unwrap_or_default()
}

const fn blocks(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK)
}

/// One of the two files, written from the beginning.
#[derive(Debug)]
pub(super) struct Daybook {
    medium: Box<dyn Medium>,
    id: u64,
    /// How many bytes are written; the next group begins there.
    used: usize,
}

impl Daybook {
    /// Makes a file this store's own, whatever is in it.
    pub(super) fn begin(medium: Box<dyn Medium>, id: u64) -> Result<Self, StoreFault> {
        medium
            .write(0, &title(id))
            .and_then(|()| medium.sync())
            .map_err(|error| fault(&error))?;
        Ok(Self::of(medium, id))
    }

    /// Takes a file over of which nothing is wanted any more.
    pub(super) const fn of(medium: Box<dyn Medium>, id: u64) -> Self {
        Self {
            medium,
            id,
            used: BLOCK,
        }
    }

    /// Everything in it is in the tree: the next group comes first.
    pub(super) const fn restart(&mut self) {
        self.used = BLOCK;
    }

    /// Whether half of it is written.
    pub(super) const fn is_half_full(&self) -> bool {
        self.used >= BYTES / 2
    }

    /// Whether a group with so many bytes of entries fits.
    pub(super) const fn has_room_for(&self, entries: usize) -> bool {
        2 * blocks(HEAD + entries) * BLOCK <= BYTES - self.used
    }

    /// Puts a group on disk, under its number. After an error nobody knows how much of it is there.
    pub(super) fn append(&mut self, group: Group, sequence: u64, latest: Latest) -> Result<(), StoreFault> {
        let bytes = group.finish(self.id, sequence, latest);
        if bytes.len() > BYTES - self.used {
            return Err(StoreFault::Write("a commit is larger than the daybook".to_owned()));
        }
        self.medium
            .write(self.used as u64, &bytes)
            .and_then(|()| self.medium.sync())
            .map_err(|error| fault(&error))?;
        self.used += bytes.len();
        Ok(())
    }
}

/// The first block: whose the file is.
fn title(id: u64) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK);
    block.extend(TITLE_MARK);
    block.extend(id.to_be_bytes());
    let digest = digest(&block, &[]);
    block.extend(digest);
    block.resize(BLOCK, 0);
    block
}

/// Whether a file begins with the title of this store.
pub(super) fn is_title(bytes: &[u8], id: u64) -> bool {
    bytes.starts_with(&title(id))
}

/// The group that begins here, if one does that is whole and this store's.
///
/// # Errors
/// It is whole, and says what is never written.
pub(super) fn group(bytes: &[u8], id: u64) -> Result<Option<Read>, StoreFault> {
    let Some((fields, rest)) = bytes.split_at_checked(FIELDS) else {
        return Ok(None);
    };
    let mut reader = Reader(fields);
    if reader.take() != Some(GROUP_MARK) || reader.number() != Some(id) {
        return Ok(None);
    }
    let (Some(sequence), Some(latest), Some(length)) = (reader.number(), reader.number(), reader.length()) else {
        return Ok(None);
    };
    let whole = rest
        .split_first_chunk::<DIGEST>()
        .and_then(|(written, rest)| Some((written, rest.get(..length)?)))
        .filter(|(written, entries)| digest(fields, entries) == **written);
    let Some((_, entries)) = whole else { return Ok(None) };
    let entries = Reader(entries)
        .entries()
        .ok_or_else(|| damaged("an entry is malformed"))?;
    Ok(Some(Read {
        sequence,
        latest: Latest::new(latest),
        entries,
        blocks: blocks(HEAD + length),
    }))
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.take().map(u32::from_be_bytes)?).ok()
    }

    fn entries(mut self) -> Option<Vec<(RecordKey, Option<Record>)>> {
        let mut entries = Vec::new();
        while !self.0.is_empty() {
            let key = RecordKey::from_bytes(self.take()?);
            let length = self.length()?;
            let (record, rest) = self.0.split_at_checked(length)?;
            self.0 = rest;
            let record = match record {
                [] => None,
                bytes => Some(Record::decode(bytes).ok()?),
            };
            entries.push((key, record));
        }
        Some(entries)
    }
}
