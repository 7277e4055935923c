//! Tokens and users that operators have revoked while the gateway runs: in force at once, and kept in a file.
//!
//! Requests read a snapshot. Whoever was found not to be on the list need not be looked up again until it changes, which
//! a number tells. The file is written whole, beside the old one, and renamed over it once it is on disk.

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::identity::{Caller, MAX_REVOKED, Revocation, Revocations, Revoked};

/// The file in the state folder.
pub const FILE: &str = "revoked.json";

/// The last copy that was made, until somebody takes it.
pub const BACKUP: &str = "backup.revoked.json";

/// What either is called until it is whole.
const UNFINISHED: &str = "revoked.json.new";

/// The layout of the file.
const FORMAT: u64 = 1;

/// Largest file that is read, in bytes: a full list of the longest entries fits.
const MAX_FILE: u64 = 64 << 20;

/// One entry, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom it is about.
    pub revocation: Revocation,
    /// When it was made, in unix seconds.
    pub at: u64,
    /// Why, as an operator said.
    pub reason: Option<String>,
    /// Who, as the asking side said.
    pub operator: Option<String>,
}

/// The list, shared by all workers.
#[derive(Debug)]
pub struct Register {
    file: PathBuf,
    now: ArcSwap<Snapshot>,
    /// Which list it is. Raised after the list has changed.
    generation: AtomicU64,
    /// Held while the list changes and its file is written.
    changing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Snapshot {
    entries: Vec<Entry>,
    index: Revocations,
}

/// A proof of having been looked up in a list, and in which.
#[derive(Debug)]
pub struct Cleared(AtomicU64);

/// Why the list cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterFault {
    /// The file cannot be read.
    #[error("`{path}`: {1}", path = .0.display())]
    Unread(PathBuf, io::Error),
    /// The file is no list. Taken for an empty one, it would let in whom it keeps out.
    #[error("`{path}` is no list of revoked tokens: {1}", path = .0.display())]
    Corrupt(PathBuf, String),
    /// There is no room for another entry.
    #[error("the list is full: it has {MAX_REVOKED} entries; lift some, or give them an end with `until`")]
    Full,
    /// The file cannot be written. What was added is in force all the same; what was to be lifted is not lifted.
    #[error("`{path}` cannot be written: {1}", path = .0.display())]
    Unwritten(PathBuf, io::Error),
}

/// An entry as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    format: u64,
    revoked: Vec<Line>,
}

impl Register {
    /// Reads the list of a state folder; one that was never written is empty.
    ///
    /// # Errors
    /// It cannot be read, or is no list.
    pub fn open(folder: &Path) -> Result<Self, RegisterFault> {
        let file = folder.join(FILE);
        let entries = read(&file)?;
        Ok(Self {
            file,
            now: ArcSwap::from_pointee(Snapshot::new(entries)),
            generation: AtomicU64::new(1),
            changing: Mutex::new(()),
        })
    }

    /// Whether a caller is refused at `now` (unix seconds), and why. Nothing is looked up for one that was not on this
    /// list before.
    #[must_use]
    pub fn refuse(&self, caller: &Caller, cleared: &Cleared, now: u64) -> Option<&'static str> {
        // The number before the list: whoever reads it too early looks again.
        let generation = self.generation.load(Ordering::Acquire);
        if cleared.0.load(Ordering::Relaxed) == generation {
            return None;
        }
        let why = self.now.load().index.refuse(caller, now);
        if why.is_none() {
            cleared.0.store(generation, Ordering::Relaxed);
        }
        why
    }

    /// The entries in force at `now`, in the order in which they were made.
    #[must_use]
    pub fn list(&self, now: u64) -> Vec<Entry> {
        let snapshot = self.now.load();
        let entries = snapshot.entries.iter();
        entries
            .filter(|entry| entry.revocation.is_in_force(now))
            .cloned()
            .collect()
    }

    /// Whether there is an entry about exactly these tokens.
    #[must_use]
    pub fn has(&self, revoked: &Revoked, issuer: Option<&str>, now: u64) -> bool {
        self.list(now).iter().any(|held| held.is_about(revoked, issuer))
    }

    /// Whether there is no room for an entry, and none whose place it takes.
    #[must_use]
    pub fn is_full_for(&self, entry: &Entry, now: u64) -> bool {
        let Revocation { revoked, issuer, .. } = &entry.revocation;
        self.room(now) == 0 && !self.has(revoked, issuer.as_deref(), now)
    }

    /// How many more entries there is room for.
    #[must_use]
    pub fn room(&self, now: u64) -> usize {
        MAX_REVOKED.saturating_sub(self.list(now).len())
    }

    /// Puts an entry in force, in place of one about the same, and then into the file. Tells whether there was one.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`RegisterFault::Full`], and [`RegisterFault::Unwritten`]: then it is in force until the gateway ends.
    pub fn add(&self, entry: Entry, now: u64) -> Result<bool, RegisterFault> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = self.list(now);
        let before = entries.len();
        entries.retain(|held| !held.is_about(&entry.revocation.revoked, entry.revocation.issuer.as_deref()));
        let replaced = entries.len() < before;
        if entries.len() >= MAX_REVOKED {
            return Err(RegisterFault::Full);
        }
        entries.push(entry);
        let text = text(&entries);
        self.put_in_force(entries);
        self.write(&text)?;
        Ok(replaced)
    }

    /// Takes an entry off the file, and then out of force. Gives what it was, if there was one. Blocks on the disk.
    ///
    /// # Errors
    /// [`RegisterFault::Unwritten`]: then it stays in force.
    pub fn lift(&self, revoked: &Revoked, issuer: Option<&str>, now: u64) -> Result<Option<Entry>, RegisterFault> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (lifted, entries): (Vec<_>, Vec<_>) = self
            .list(now)
            .into_iter()
            .partition(|held| held.is_about(revoked, issuer));
        let Some(lifted) = lifted.into_iter().next() else {
            return Ok(None);
        };
        self.write(&text(&entries))?;
        self.put_in_force(entries);
        Ok(Some(lifted))
    }

    /// Writes a copy of what is in force beside the file, as [`BACKUP`], in place of what is there; it can take the file's
    /// place. Gives how many entries it has. Blocks on the disk.
    ///
    /// # Errors
    /// [`RegisterFault::Unwritten`].
    pub fn back_up(&self, now: u64) -> Result<usize, RegisterFault> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = self.list(now);
        let copy = self.file.with_file_name(BACKUP);
        replace(&copy, &text(&entries)).map_err(|fault| RegisterFault::Unwritten(copy, fault))?;
        Ok(entries.len())
    }

    fn put_in_force(&self, entries: Vec<Entry>) {
        self.now.store(Arc::new(Snapshot::new(entries)));
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn write(&self, text: &[u8]) -> Result<(), RegisterFault> {
        replace(&self.file, text).map_err(|fault| RegisterFault::Unwritten(self.file.clone(), fault))
    }
}

impl Cleared {
    /// Of no list yet.
    #[must_use]
    pub const fn of_none() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Entry {
    /// Whether it is about exactly these tokens: an entry for one issuer is another than the one for all.
    fn is_about(&self, revoked: &Revoked, issuer: Option<&str>) -> bool {
        self.revocation.revoked == *revoked && self.revocation.issuer.as_deref() == issuer
    }
}

impl Snapshot {
    fn new(entries: Vec<Entry>) -> Self {
        let index = Revocations::new(entries.iter().map(|entry| entry.revocation.clone()).collect());
        Self { entries, index }
    }
}

fn read(file: &Path) -> Result<Vec<Entry>, RegisterFault> {
    let unread = |fault| RegisterFault::Unread(file.to_owned(), fault);
    let open = match File::open(file) {
        Ok(open) => open,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(unread(fault)),
    };
    let mut bytes = Vec::new();
    open.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unread)?;
    let corrupt = |what: String| RegisterFault::Corrupt(file.to_owned(), what);
    if bytes.len() as u64 > MAX_FILE {
        return Err(corrupt(format!("it is larger than {MAX_FILE} bytes")));
    }
    let whole: Whole = serde_json::from_slice(&bytes).map_err(|fault| corrupt(fault.to_string()))?;
    if whole.format != FORMAT {
        return Err(corrupt(format!("its format is {}, not {FORMAT}", whole.format)));
    }
    if whole.revoked.len() > MAX_REVOKED {
        return Err(corrupt(format!("it has more than {MAX_REVOKED} entries")));
    }
    let entries = whole.revoked.into_iter().enumerate();
    entries
        .map(|(at, line)| {
            entry(line).ok_or_else(|| corrupt(format!("entry {} names not one of token and user", at + 1)))
        })
        .collect()
}

fn entry(line: Line) -> Option<Entry> {
    let revoked = match (line.token, line.user) {
        (Some(id), None) => Revoked::Token(id),
        (None, Some(user)) => Revoked::User(user),
        _ => return None,
    };
    Some(Entry {
        revocation: Revocation {
            revoked,
            issuer: line.issuer,
            issued_before: line.issued_before,
            until: line.until,
        },
        at: line.at,
        reason: line.reason,
        operator: line.operator,
    })
}

fn text(entries: &[Entry]) -> Vec<u8> {
    let line = |entry: &Entry| {
        let Revocation {
            revoked,
            issuer,
            issued_before,
            until,
        } = entry.revocation.clone();
        let (token, user) = match revoked {
            Revoked::Token(id) => (Some(id), None),
            Revoked::User(user) => (None, Some(user)),
        };
        Line {
            token,
            user,
            issuer,
            issued_before,
            until,
            at: entry.at,
            reason: entry.reason.clone(),
            operator: entry.operator.clone(),
        }
    };
    let whole = Whole {
        format: FORMAT,
        revoked: entries.iter().map(line).collect(),
    };
    // Strings and numbers always serialise.
    serde_json::to_vec(&whole).unwrap_or_default()
}

/// Replaces a file by a whole one, or leaves it as it is.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let unfinished = file.with_file_name(UNFINISHED);
    let mut new = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    std::fs::rename(&unfinished, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
