//! A file that is not as it was written: it opens with everything that was acknowledged, or not at all.

use std::fs;

use super::failing::{Bytes, Failing};
use super::tests::{KEEP, NOW, duplicate, fingerprint, granted, key, refused, started, wait};
use super::*;

/// How many payments are finished; one more is unknown. More than the daybook takes at a time.
const DONE: usize = 40;

/// Bytes of the database's header, each of which is damaged.
const HEADER: usize = 320;

/// The byte of the header that says which of two roots is in force, and in its lowest bit, which.
const ROOT_IN_FORCE: usize = 9;

/// Bytes at the beginning of a group in the daybook, each of which is damaged: its head and a part of the first entry.
const HEAD: usize = 120;

/// What the files are.
const NAMES: [&str; 3] = ["tree", "daybook 0", "daybook 1"];

/// The files of a store as a clean end leaves them, and as a crash does.
fn images() -> [(&'static str, Bytes); 2] {
    let disk = Failing::default();
    let store = started(disk.open(), Queue::default());
    wait(granted(&store, DONE, NOW).unknown(NOW)).unwrap();
    let held: Vec<_> = (0..DONE).map(|of| granted(&store, of, NOW)).collect();
    for (of, reservation) in held.into_iter().enumerate() {
        wait(reservation.complete(201, Some(id(of)), NOW)).unwrap();
    }
    let crashed = disk.bytes();
    drop(store);
    [("closed", disk.bytes()), ("crashed", crashed)]
}

fn id(of: usize) -> Box<str> {
    format!("t{of}").into()
}

/// How many payments would be run again, or be told of wrongly; none when the files are refused.
fn forgotten(bytes: &Bytes) -> Option<usize> {
    let disk = Failing::with(bytes.clone());
    // Whoever tries again after a refusal fares no better.
    let mut engine = match disk.try_open().or_else(|_| disk.try_open()) {
        Ok(engine) => engine,
        Err(StoreFault::Corrupt(_) | StoreFault::Io(_)) => return None,
        Err(fault) => panic!("{fault:?}"),
    };
    let ask = |of| Request::Reserve {
        key: key(of),
        owner: None,
        fingerprint: fingerprint(1),
        keep: KEEP,
        now: NOW,
    };
    let answers = engine.run(&(0..=DONE).map(ask).collect::<Vec<_>>()).unwrap().answers;
    let is_right = |of: usize, answer: &Answer| match answer {
        Answer::Refused(Verdict::Duplicate { transaction_id, .. }) => *transaction_id == Some(id(of)),
        Answer::Refused(Verdict::Unknown { .. }) => of == DONE,
        _ => false,
    };
    let wrong = answers.iter().enumerate().filter(|(of, answer)| !is_right(*of, answer));
    Some(wrong.count())
}

/// Opens the files with one of them damaged; whether they were taken, which is right only with everything in them.
fn check(what: &str, bytes: &Bytes, file: usize, damage: impl FnOnce(&mut Vec<u8>)) -> bool {
    let mut damaged = bytes.clone();
    damage(&mut damaged[file]);
    let forgotten = forgotten(&damaged);
    assert!(matches!(forgotten, None | Some(0)), "{what}: {forgotten:?} forgotten");
    forgotten.is_some()
}

/// The bits that are flipped: all that matter most, and some of every part that is used.
fn bits(file: usize, bytes: &[u8]) -> Vec<(usize, usize)> {
    let used = (0..bytes.len()).filter(|at| bytes[*at] != 0).step_by(101);
    let some = |at| (at, at % 8);
    if file == 0 {
        let root = (0..8).map(|bit| (ROOT_IN_FORCE, bit));
        return (0..HEADER).chain(used).map(some).chain(root).collect();
    }
    let heads = (0..bytes.len()).step_by(daybook::BLOCK);
    let heads = heads.flat_map(|block| (block..block + HEAD).step_by(3));
    heads.chain(used).map(some).collect()
}

#[test]
fn a_flipped_bit_loses_nothing() {
    for (image, bytes) in images() {
        assert_eq!(forgotten(&bytes), Some(0), "undamaged files open");
        for (file, name) in NAMES.iter().enumerate() {
            let mut refused = 0;
            for (at, bit) in bits(file, &bytes[file]) {
                let what = format!("{image}, {name}, byte {at}, bit {bit}");
                refused += usize::from(!check(&what, &bytes, file, |damaged| damaged[at] ^= 1 << bit));
            }
            // After a clean end nothing in the daybook matters.
            assert_eq!(
                refused > 0,
                file == 0 || image == "crashed",
                "{image}, {name}: {refused}"
            );
        }
    }
}

#[test]
fn a_lost_sector_loses_nothing() {
    const SECTOR: usize = 512;
    for (image, bytes) in images() {
        for (file, name) in NAMES.iter().enumerate() {
            for at in (0..bytes[file].len()).step_by(SECTOR) {
                check(&format!("{image}, {name}, sector at {at}"), &bytes, file, |damaged| {
                    damaged[at..at + SECTOR].fill(0);
                });
            }
        }
    }
}

#[test]
fn a_file_of_another_length_loses_nothing() {
    const PAGE: usize = 4096;
    for (image, bytes) in images() {
        for (file, name) in NAMES.iter().enumerate() {
            for pages in 0..=bytes[file].len() / PAGE + 1 {
                for length in [pages * PAGE, pages * PAGE + 1, pages * PAGE + PAGE / 2] {
                    check(&format!("{image}, {name}, {length} bytes"), &bytes, file, |damaged| {
                        damaged.resize(length, 0xa5);
                    });
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let [(_, [bytes, ..]), _] = images();
    for wrong in [&b""[..], b"x", &[0; 8192], &bytes[..4096], &bytes[4096..]] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(embedded::FILE);
        fs::write(&file, wrong).unwrap();
        let fault = Store::open(folder.path()).unwrap_err();
        assert!(matches!(fault, StoreFault::Corrupt(_)), "{fault:?}");
        assert_eq!(fs::read(&file).unwrap(), wrong);
    }
}

#[test]
fn a_file_that_is_gone_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    fs::remove_file(folder.path().join(embedded::FILE)).unwrap();
    for _ in 0..2 {
        let fault = Store::open(folder.path()).unwrap_err();
        assert!(matches!(fault, StoreFault::Corrupt(_)), "{fault:?}");
        assert!(!Store::is_in(folder.path()));
    }
}

#[test]
fn a_creation_that_broke_off_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.redb.new"), b"half").unwrap();
    assert!(Store::open(folder.path()).is_ok());
}

#[test]
fn what_an_orderly_end_leaves_is_whole_by_itself_and_what_a_crash_leaves_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let moved = |files: &[&str]| {
        let other = tempfile::tempdir().unwrap();
        for file in files {
            fs::copy(folder.path().join(file), other.path().join(file)).unwrap();
        }
        other
    };
    let store = Store::open(folder.path()).unwrap();
    wait(granted(&store, 1, NOW).complete(201, Some("t1".into()), NOW)).unwrap();
    let [one, two] = daybook::FILES;
    for files in [&[embedded::FILE][..], &[embedded::FILE, one], &[embedded::FILE, two]] {
        let fault = Store::open(moved(files).path()).unwrap_err();
        assert!(matches!(fault, StoreFault::Corrupt(_)), "{files:?}: {fault:?}");
    }
    drop(store);
    let alone = moved(&[embedded::FILE]);
    // Whatever lies beside it is older.
    fs::write(alone.path().join(one), "another's").unwrap();
    let store = Store::open(alone.path()).unwrap();
    assert_eq!(refused(&store, 1, NOW), duplicate("t1", NOW));
}
