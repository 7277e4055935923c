//! Runs against a plain map: whatever is carried and merged, and whatever of it is lost.

use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTableMetadata};
use std::collections::BTreeMap;

use super::super::carry::{self, Note};
use super::super::failing::Failing;
use super::super::layer::{Layer, View, Word};
use super::super::tests::{NOW, fingerprint};
use super::super::{StoreFault, file};
use super::tiers::{FAN, MAX_RUNS};
use super::*;
use crate::ledger::{Latest, State};

/// Keys that come again and again, so that runs have words on the same.
const KEYS: u16 = 200;

fn key(of: u16) -> RecordKey {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &of.to_be_bytes());
    RecordKey::from_bytes(digest.as_ref().try_into().unwrap())
}

/// A finished record with an answer of so many bytes.
fn record(since: u64, answer: usize) -> Record {
    Record {
        fingerprint: fingerprint(1),
        owner: None,
        state: State::Done {
            status: Some(201),
            transaction_id: None,
            completed_at: since,
            keep_until: since + 100,
            answer: (answer > 0).then(|| vec![7; answer].into()),
        },
    }
}

/// A tree, its runs, and what is in them by the plainest of ways.
struct World {
    database: Database,
    runs: Runs,
    expected: BTreeMap<RecordKey, Record>,
    since: u64,
}

impl World {
    fn new() -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        file::initialise(&database).unwrap();
        Self {
            database,
            runs: Runs::default(),
            expected: BTreeMap::new(),
            since: NOW,
        }
    }

    fn carry(&mut self, layer: &Layer) {
        let note = Note {
            sequence: 0,
            latest: Latest::default(),
            id: None,
        };
        self.runs = carry::carry(&self.database, layer, self.runs.clone(), note)
            .unwrap()
            .runs;
        for (key, word) in layer {
            match word {
                Word::Is(record) => drop(self.expected.insert(*key, record.clone())),
                Word::Gone | Word::Swept(_) => drop(self.expected.remove(key)),
            }
        }
    }

    /// A layer of words on some keys: finished, gone, or swept if there is anything to sweep.
    fn layer(&mut self, words: &[(u16, u8)], answer: usize) -> Layer {
        self.since += 1;
        let word = |of: u16, kind: u8| match (kind, self.expected.get(&key(of))) {
            (0, _) | (1, None) => Word::Gone,
            (1, Some(record)) => Word::Swept(record.deadline()),
            _ => Word::Is(record(self.since, answer)),
        };
        words.iter().map(|(of, kind)| (key(*of), word(*of, *kind))).collect()
    }

    /// All keys are told of as they should be, by the runs at hand and by those that a start finds.
    fn check(&self) {
        let view = View::of(&self.database, self.runs.clone()).unwrap();
        let write = self.database.begin_write().unwrap();
        let (table, blocks) = (write.open_table(RUNS).unwrap(), write.open_table(BLOCKS).unwrap());
        let mut found = BTreeMap::new();
        let audited = Runs::audit(&table, &blocks, |key, bytes| {
            bytes.map(|bytes| found.insert(*key, decode(key, bytes).unwrap()));
            Ok(())
        });
        let audited = audited.unwrap();
        assert_eq!(found, self.expected, "a start");
        audited.fit(&table).unwrap();
        let first = RecordKey::from_bytes([0; 32]);
        for runs in [&self.runs, &audited] {
            for of in 0..KEYS {
                assert_eq!(
                    runs.find(&blocks, &key(of)).unwrap().as_ref(),
                    self.expected.get(&key(of)),
                    "{of}"
                );
            }
        }
        let mut listed = view.finished(&first).unwrap();
        let mut names = Vec::new();
        while let Some((key, word)) = listed.head() {
            names.extend(word.word().unwrap().1.map(|_| key));
            listed.advance().unwrap();
        }
        assert!(names.iter().eq(self.expected.keys()));
        let bytes = self
            .expected
            .values()
            .map(|record| (AROUND + record.encode().len()) as u64);
        let live = Live {
            words: self.expected.len() as u64,
            bytes: bytes.sum(),
        };
        assert_eq!(self.runs.live, live);
        assert_eq!(write.open_table(file::DEADLINES).unwrap().len().unwrap(), live.words);
    }
}

fn layers() -> impl Strategy<Value = Vec<(Vec<(u16, u8)>, usize)>> {
    let words = proptest::collection::vec((0..KEYS, 0..6_u8), 1..60);
    // Some with answers, so that merges take more than one part.
    let answer = prop_oneof![Just(0_usize), 1..20_000_usize];
    proptest::collection::vec((words, answer), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_last_word_on_each_key_counts_however_runs_are_merged(layers in layers()) {
        let mut world = World::new();
        for (words, answer) in layers {
            let layer = world.layer(&words, answer);
            world.carry(&layer);
            world.check();
        }
    }
}

/// Layers with answers, so that a merge of them takes more parts than one; each has keys of the one before, and takes some away.
fn large(world: &mut World, of: u16) -> Layer {
    let kind = |at| if at % 9 == 0 { 0 } else { 2 };
    let words: Vec<(u16, u8)> = (0..40).map(|at| ((of * 17 + at) % KEYS, kind(at))).collect();
    world.layer(&words, 40_000)
}

#[test]
fn a_merge_that_takes_many_parts_is_right_after_each() {
    let mut world = World::new();
    let mut under_way = 0;
    for of in 0..40 {
        let layer = large(&mut world, of);
        world.carry(&layer);
        world.check();
        under_way += usize::from(world.runs.list.iter().any(|run| run.into.is_some()));
    }
    assert!(under_way > 5, "{under_way} of 40");
    assert!(world.runs.count() < 2 * usize::from(FAN), "{}", world.runs.count());
}

#[test]
fn runs_stay_few_however_much_is_carried_at_a_time() {
    let mut world = World::new();
    let mut most = 0;
    for of in 0..600_u16 {
        let layer = if of % 50 < 3 {
            large(&mut world, of)
        } else {
            world.layer(&[(of % KEYS, 2)], 0)
        };
        world.carry(&layer);
        most = most.max(world.runs.count());
    }
    assert!(most <= MAX_RUNS / 2, "{most}");
    world.check();
}

#[test]
fn what_is_gone_everywhere_takes_no_room() {
    let mut world = World::new();
    for of in 0..FAN {
        let layer = world.layer(&[(of, 2), (of + 100, 2)], 0);
        world.carry(&layer);
    }
    for of in 0..4 * FAN {
        let layer = world.layer(&[(of % FAN, 0), (of % FAN + 100, 1)], 0);
        world.carry(&layer);
    }
    assert_eq!(world.expected.len(), 0);
    world.check();
    // The words on what is gone went with it, up to those of the runs that are not merged yet.
    let words: u64 = world.runs.list.iter().map(|run| run.words).sum();
    assert!(words < 2 * u64::from(FAN), "{words}");
}

#[test]
fn a_part_of_a_merge_that_breaks_off_is_as_if_it_had_not_begun() {
    // So many layers that the next one moves a part.
    let before = |disk: &Failing| {
        let database = file::verified(|builder| builder.create_with_backend(disk.clone())).unwrap();
        file::initialise(&database).unwrap();
        let mut world = World {
            database,
            ..World::new()
        };
        for of in 0..FAN {
            let layer = large(&mut world, of);
            world.carry(&layer);
        }
        assert!(world.runs.list.iter().any(|run| run.into.is_some()), "one is under way");
        let layer = large(&mut world, FAN);
        (world, layer)
    };
    let note = Note {
        sequence: 0,
        latest: Latest::default(),
        id: None,
    };
    let (mut lost, mut kept) = (0, 0);
    for steps in 0.. {
        let disk = Failing::default();
        disk.is_full_after(u64::MAX);
        let (mut world, layer) = before(&disk);
        disk.is_full_after(steps);
        let carried = carry::carry(&world.database, &layer, world.runs.clone(), note);
        for keeps in [true, false] {
            let after = disk.crashed(keeps);
            after.is_full_after(u64::MAX);
            let database = file::verified(|builder| builder.create_with_backend(after.clone())).unwrap();
            let write = database.begin_write().unwrap();
            let (table, blocks) = (write.open_table(RUNS).unwrap(), write.open_table(BLOCKS).unwrap());
            let mut found = BTreeMap::new();
            let audited = Runs::audit(&table, &blocks, |key, bytes| {
                bytes.map(|bytes| found.insert(*key, decode(key, bytes).unwrap()));
                Ok(())
            });
            audited.unwrap();
            if found == world.expected {
                lost += 1;
                assert!(carried.is_err(), "{steps}");
            } else {
                kept += 1;
                let old = world.expected.clone();
                world.expected.extend(
                    layer
                        .iter()
                        .filter_map(|(key, word)| Some((*key, word.clone().record()?))),
                );
                world
                    .expected
                    .retain(|key, _| !matches!(layer.get(key), Some(Word::Gone | Word::Swept(_))));
                assert_eq!(found, world.expected, "{steps}");
                world.expected = old;
            }
        }
        if carried.is_ok() {
            break;
        }
    }
    assert!(lost > 10 && kept > 0, "{lost} {kept}");
}

#[test]
fn runs_that_do_not_fit_together_are_refused() {
    type Damage = fn(&mut BlockTable<'_>, &mut RunTable<'_>);
    let cases: [(&str, Damage); 9] = [
        ("a block is gone", |blocks, _| drop(blocks.pop_last().unwrap())),
        ("the first block is gone", |blocks, _| drop(blocks.pop_first().unwrap())),
        ("a block is of no run", |blocks, _| {
            let block = blocks.first().unwrap().unwrap().1.value().to_vec();
            blocks.insert(&[0xff; 40], block.as_slice()).unwrap();
        }),
        ("a run is not listed", |_, runs| drop(runs.pop_last().unwrap())),
        ("a run that is merged is not listed", |_, runs| {
            drop(runs.pop_first().unwrap())
        }),
        ("a run has fewer words", |_, runs| change(runs, |row| row.2 -= 1)),
        ("a run has fewer bytes", |_, runs| change(runs, |row| row.3 -= 1)),
        ("a run is merged into none", |_, runs| change(runs, |row| row.1 = 99)),
        ("a word was moved and is still there", |blocks, runs| {
            // The last block of the run that is made, once more in one that it is made of.
            let (of, into) = runs
                .iter()
                .unwrap()
                .find_map(|entry| {
                    let (id, row) = entry.unwrap();
                    Some((id.value(), row.value().1)).filter(|(_, into)| *into > 0)
                })
                .unwrap();
            let (begin, end) = (join(into, &[0; 32]), join(into, &[0xff; 32]));
            let (name, block) = blocks
                .range::<&[u8; 40]>(&begin..=&end)
                .unwrap()
                .next_back()
                .unwrap()
                .map(|(name, block)| (*name.value(), block.value().to_vec()))
                .unwrap();
            let (_, first) = split(&name);
            let (mut words, mut reader) = (0, Reader::new(block.as_slice(), &first).unwrap());
            while reader.word().is_some() {
                words += 1;
                reader.advance().unwrap();
            }
            blocks.insert(&join(of, first.as_bytes()), block.as_slice()).unwrap();
            let mut row = runs.get(of).unwrap().unwrap().value();
            row.2 += words;
            row.3 += block.len() as u64;
            runs.insert(of, row).unwrap();
        }),
    ];
    let mut world = World::new();
    for of in 0..FAN {
        let layer = large(&mut world, of);
        world.carry(&layer);
    }
    for (what, damage) in cases {
        let write = world.database.begin_write().unwrap();
        {
            let (mut table, mut blocks) = (write.open_table(RUNS).unwrap(), write.open_table(BLOCKS).unwrap());
            Runs::audit(&table, &blocks, |_, _| Ok(())).unwrap();
            damage(&mut blocks, &mut table);
            let audited = Runs::audit(&table, &blocks, |_, _| Ok(()));
            assert!(matches!(audited, Err(StoreFault::Corrupt(_))), "{what}");
        }
        write.abort().unwrap();
    }
}

/// Changes what is said of a run that is merged.
fn change(runs: &mut RunTable<'_>, change: fn(&mut Row)) {
    let (id, mut row) = runs
        .iter()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|(id, row)| (id.value(), row.value()))
        .find(|(_, row)| row.1 > 0)
        .unwrap();
    change(&mut row);
    runs.insert(id, row).unwrap();
}

#[test]
fn filters_that_know_less_than_the_tree_are_not_asked() {
    let mut world = World::new();
    let before = world.runs.clone();
    let layer = world.layer(&[(1, 2), (2, 2)], 0);
    world.carry(&layer);
    assert!(View::of(&world.database, world.runs.clone()).is_ok());
    let mut empty = world.runs.clone();
    empty.list[0].filter = Arc::new(Filter::new(2));
    let mut one_more = world.runs.clone();
    one_more.list.push(Run {
        id: 99,
        ..one_more.list[0].clone()
    });
    let mut other = world.runs.clone();
    other.list[0].words += 1;
    for wrong in [before, empty, one_more, other] {
        let fault = View::of(&world.database, wrong).unwrap_err();
        assert!(matches!(fault, StoreFault::Corrupt(_)), "{fault:?}");
    }
}
