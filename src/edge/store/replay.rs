//! What the daybook says after a life that did not end in order (see [`super::daybook`]).
//!
//! Everything is looked at, not only what comes before the first thing that is wrong: a group that is not whole is torn if
//! it is the last, and damaged if any other follows.

use std::collections::BTreeMap;

use super::StoreFault;
use super::daybook::{BLOCK, BYTES, Medium, damaged, group, is_title};
use crate::ledger::{Latest, Record, RecordKey};

/// A commit as it was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) sequence: u64,
    pub(super) latest: Latest,
    /// The entries, in their order.
    pub(super) entries: Vec<(RecordKey, Option<Record>)>,
    /// How many blocks one copy takes.
    pub(super) blocks: usize,
}

/// What the daybook adds to the tree.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The newest word on each key: a record, or none.
    pub(super) newest: BTreeMap<RecordKey, Option<Record>>,
    /// The number of the last commit.
    pub(super) sequence: u64,
    /// The latest time seen.
    pub(super) latest: Latest,
}

/// Reads both files of the store with this id. The tree has all commits up to `carried`.
///
/// # Errors
/// [`StoreFault::Corrupt`] if anything but the very end of the last commit is missing or not as it was written.
pub(super) fn replay(media: &[Box<dyn Medium>; 2], id: u64, carried: u64) -> Result<Replay, StoreFault> {
    let mut commits = Vec::new();
    for medium in media {
        let bytes = read(medium.as_ref())?;
        if !is_title(&bytes, id) {
            return Err(damaged("a file of it is not this store's"));
        }
        commits.extend(in_order(copies(&bytes, id, carried)?)?);
    }
    commits.sort_by_key(|commit| commit.read.sequence);
    let mut replay = Replay {
        sequence: carried,
        ..Replay::default()
    };
    let last = commits.len();
    for (at, Commit { read, is_whole }) in commits.into_iter().enumerate() {
        if replay.sequence.checked_add(1) != Some(read.sequence) {
            return Err(damaged("a commit is missing"));
        }
        if !is_whole && at + 1 != last {
            return Err(damaged("a commit is not as it was written"));
        }
        replay.sequence = read.sequence;
        replay.latest = replay.latest.max(read.latest);
        replay.newest.extend(read.entries);
    }
    Ok(replay)
}

fn read(medium: &dyn Medium) -> Result<Vec<u8>, StoreFault> {
    let fault = |error| StoreFault::io("the daybook", &error);
    if medium.len().map_err(fault)? != BYTES as u64 {
        return Err(damaged("a file of it has another length"));
    }
    let mut bytes = vec![0; BYTES];
    medium.read(0, &mut bytes).map_err(fault)?;
    Ok(bytes)
}

/// One of the two copies of a commit, and in which block it begins.
struct Copy {
    at: usize,
    read: Read,
}

/// A commit, and whether both copies are whole.
struct Commit {
    read: Read,
    is_whole: bool,
}

/// Every whole copy in a file of what is not carried yet.
fn copies(bytes: &[u8], id: u64, carried: u64) -> Result<Vec<Copy>, StoreFault> {
    let mut copies = Vec::new();
    let mut at = 1;
    while let Some(rest) = bytes.get(at * BLOCK..).filter(|rest| !rest.is_empty()) {
        let Some(read) = group(rest, id)? else {
            at += 1;
            continue;
        };
        let next = at + read.blocks;
        // What is carried is what is left of an earlier turn, possibly written over.
        if read.sequence > carried {
            copies.push(Copy { at, read });
        }
        at = next;
    }
    Ok(copies)
}

/// The commits of a file, which must stand without a gap from its beginning: but for the last, twice each.
fn in_order(copies: Vec<Copy>) -> Result<Vec<Commit>, StoreFault> {
    let mut commits: Vec<Commit> = Vec::new();
    let mut copies = copies.into_iter().peekable();
    let mut place = 1;
    while let Some(Copy { at, read }) = copies.next() {
        let second = copies.next_if(|copy| copy.read.sequence == read.sequence);
        let is_placed = match &second {
            Some(second) => at == place && second.at == place + read.blocks,
            None => at == place || at == place + read.blocks,
        };
        if !is_placed {
            return Err(damaged("a commit is not where it was written"));
        }
        place += 2 * read.blocks;
        let is_whole = second.is_some();
        commits.push(Commit { read, is_whole });
    }
    Ok(commits)
}
