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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::daybook::{Daybook, Group, Shelf};
    use super::super::failing::{Bytes, Failing};
    use super::super::tests::{KEEP, NOW, fingerprint, key};
    use super::*;

    const ID: u64 = 7;

    /// What is pushed: keys, each with a time that tells the record from others, or gone.
    type Entries = Vec<(usize, Option<u64>)>;

    fn record(since: u64) -> Record {
        Record::running(fingerprint(1), None, since, KEEP)
    }

    /// Writes some commits, those after the first `in_first` to the second file, and carries nothing.
    fn written(commits: &[Entries], in_first: usize) -> Failing {
        let disk = Failing::with(Bytes::default());
        let mut books = [0, 1].map(|which| Daybook::begin(disk.make(which).unwrap(), ID).unwrap());
        for (at, entries) in commits.iter().enumerate() {
            let mut group = Group::new();
            for (of, since) in entries {
                group.push(&key(*of), since.map(record).as_ref());
            }
            let latest = Latest::new(NOW + at as u64);
            books[usize::from(at >= in_first)]
                .append(group, 1 + at as u64, latest)
                .unwrap();
        }
        disk
    }

    fn replayed(disk: &Failing, id: u64, carried: u64) -> Result<Replay, StoreFault> {
        replay(&[0, 1].map(|which| Shelf::open(disk, which).unwrap()), id, carried)
    }

    /// What stands after so many commits, by the plainest of ways.
    fn expected(commits: &[Entries]) -> BTreeMap<RecordKey, Option<Record>> {
        let entries = commits.iter().flatten();
        entries.map(|(of, since)| (key(*of), since.map(record))).collect()
    }

    fn commits() -> impl Strategy<Value = Vec<Entries>> {
        let entry = (0..40_usize, proptest::option::of(0..9_u64));
        proptest::collection::vec(proptest::collection::vec(entry, 1..80), 1..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_newest_word_on_each_key_is_replayed(commits in commits(), first in 0..9_usize, carried in 0..9_usize) {
            let carried = carried.min(commits.len());
            // What is carried is never in the file that is written, unless all of it is.
            let in_first = if carried == 0 { first } else { carried };
            let replay = replayed(&written(&commits, in_first), ID, carried as u64).unwrap();
            prop_assert_eq!(replay.newest, expected(&commits[carried..]));
            prop_assert_eq!(replay.sequence, commits.len() as u64);
        }

        #[test]
        fn a_torn_end_was_never_acknowledged_and_goes_or_stays(
            commits in commits(), in_first in 0..9_usize, kept in proptest::collection::vec(any::<bool>(), 64),
        ) {
            let (last, before) = commits.split_last().unwrap();
            let whole = written(&commits, in_first).bytes();
            let mut torn = written(before, in_first).bytes();
            for (torn, whole) in torn.iter_mut().zip(&whole) {
                let sectors = torn.chunks_mut(512).zip(whole.chunks(512)).filter(|(torn, whole)| torn != whole);
                for (at, (torn, whole)) in sectors.enumerate() {
                    if kept[at % kept.len()] {
                        torn.copy_from_slice(whole);
                    }
                }
            }
            let replay = replayed(&Failing::with(torn), ID, 0).unwrap();
            let is_kept = replay.sequence == commits.len() as u64;
            prop_assert_eq!(replay.newest, expected(if is_kept { &commits } else { before }));
            prop_assert!(is_kept || kept.contains(&false) || last.is_empty());
        }

        #[test]
        fn one_damage_is_noticed_or_harmless(
            commits in commits(), in_first in 0..9_usize, file in 1..3_usize, at in any::<prop::sample::Index>(), length in 1..2000_usize,
        ) {
            let mut bytes = written(&commits, in_first).bytes();
            let used = bytes[file].iter().rposition(|byte| *byte != 0).unwrap_or_default() + 1;
            let at = at.index(used);
            // Copies stand in blocks of their own.
            let end = (at + length).min((at / BLOCK + 1) * BLOCK);
            bytes[file][at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            match replayed(&Failing::with(bytes), ID, 0) {
                Ok(replay) => prop_assert_eq!(replay.newest, expected(&commits)),
                Err(StoreFault::Corrupt(_)) => {}
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// Four commits of a block each, two in a file; each block is a copy, behind the title.
    fn four() -> Bytes {
        let commits: Vec<Entries> = (0..4).map(|of| vec![(of, Some(1))]).collect();
        written(&commits, 2).bytes()
    }

    fn block(of: usize) -> std::ops::Range<usize> {
        of * BLOCK..(of + 1) * BLOCK
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        type Case = (&'static str, fn(&mut Bytes), u64, u64);
        let cases: [Case; 12] = [
            ("it is another store's", |_| {}, ID + 1, 0),
            ("a title is another", |files| files[2][8] ^= 1, ID, 0),
            (
                "the tree is older than the file",
                |files| files[1][block(1).start..block(3).start].fill(0),
                ID,
                0,
            ),
            (
                "a copy in the middle is gone",
                |files| files[1][block(4)].fill(0),
                ID,
                0,
            ),
            (
                "the last in a file is gone, the next file goes on",
                |files| files[1][block(3).start..].fill(0),
                ID,
                0,
            ),
            (
                "the first in a file is gone",
                |files| files[2][block(1).start..block(3).start].fill(0),
                ID,
                0,
            ),
            ("a file is blank", |files| files[1][BLOCK..].fill(0), ID, 0),
            (
                "a commit is in the place of another",
                |files| files[1].copy_within(block(1).start..block(3).start, block(3).start),
                ID,
                0,
            ),
            (
                "there is a third copy",
                |files| files[2].copy_within(block(4), block(5).start),
                ID,
                0,
            ),
            (
                "a copy is elsewhere",
                |files| {
                    files[2].copy_within(block(4), block(9).start);
                    files[2][block(4)].fill(0)
                },
                ID,
                0,
            ),
            ("a file is longer", |files| files[1].push(0), ID, 0),
            ("a file is shorter", |files| files[2].truncate(BYTES - 1), ID, 0),
        ];
        assert_eq!(replayed(&Failing::with(four()), ID, 0).unwrap().sequence, 4);
        for (what, damage, id, carried) in cases {
            let mut files = four();
            damage(&mut files);
            let found = replayed(&Failing::with(files), id, carried).map(|replay| replay.sequence);
            assert!(matches!(found, Err(StoreFault::Corrupt(_))), "{what}: {found:?}");
        }
    }

    #[test]
    fn what_is_carried_counts_no_more_however_it_looks() {
        let cases: [fn(&mut Bytes); 3] = [
            |_| {},
            |files| files[1][block(2)].fill(0x55),
            |files| files[1][BLOCK..].fill(0),
        ];
        for damage in cases {
            let mut files = four();
            damage(&mut files);
            let replay = replayed(&Failing::with(files), ID, 2).unwrap();
            assert_eq!((replay.sequence, replay.newest.len()), (4, 2));
        }
    }

    #[test]
    fn one_copy_of_the_very_last_is_enough() {
        for gone in [3, 4] {
            let mut files = four();
            files[2][block(gone)].fill(0);
            assert_eq!(replayed(&Failing::with(files), ID, 0).unwrap().sequence, 4);
        }
        let mut files = four();
        files[2][block(3).start..].fill(0);
        assert_eq!(
            replayed(&Failing::with(files), ID, 0).unwrap().sequence,
            3,
            "torn, so never acknowledged"
        );
    }
}
