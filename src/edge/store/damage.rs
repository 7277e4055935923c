//! A file that is not as it was written: it opens with everything that was acknowledged, or not at all.

use std::fs;

use super::failing::Failing;
use super::tests::{KEEP, NOW, fingerprint, granted, key, wait};
use super::*;

/// How many payments are finished; one more is unknown.
const DONE: usize = 40;

/// Bytes of the database's header, each of which is damaged.
const HEADER: usize = 320;

/// The byte of the header that says which of two roots is in force, and in its lowest bit, which.
const ROOT_IN_FORCE: usize = 9;

/// The file of a store as a clean end leaves it, and as a crash does.
fn images() -> [(&'static str, Vec<u8>); 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(embedded::FILE);
    let store = Store::open(folder.path()).unwrap();
    wait(granted(&store, DONE, NOW).unknown(NOW)).unwrap();
    let held: Vec<_> = (0..DONE).map(|of| granted(&store, of, NOW)).collect();
    for (of, reservation) in held.into_iter().enumerate() {
        wait(reservation.complete(201, Some(id(of)), NOW)).unwrap();
    }
    let crashed = fs::read(&file).unwrap();
    drop(store);
    [("closed", fs::read(&file).unwrap()), ("crashed", crashed)]
}

fn id(of: usize) -> Box<str> {
    format!("t{of}").into()
}

/// Takes a disk that needs none for a file, as [`Embedded::open`] does.
fn open(disk: &Failing) -> Result<Embedded, StoreFault> {
    let disk = disk.clone();
    Embedded::verify(file::verified(|builder| builder.create_with_backend(disk))?, None)
}

/// How many payments would be run again, or be told of wrongly; none when the file is refused.
fn forgotten(bytes: &[u8]) -> Option<usize> {
    let disk = Failing::with(bytes.to_vec());
    // Whoever tries again after a refusal fares no better.
    let mut engine = match open(&disk).or_else(|_| open(&disk)) {
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

fn check(what: &str, bytes: &[u8]) -> bool {
    let forgotten = forgotten(bytes);
    assert!(matches!(forgotten, None | Some(0)), "{what}: {forgotten:?} forgotten");
    forgotten.is_some()
}

/// The one bit that no checksum covers: after a crash, the root that is not in force can be a commit that was not
/// finished as well as one that was acknowledged. It takes a crash and this very bit.
fn is_beyond_detection(image: &str, at: usize, bit: usize) -> bool {
    image == "crashed" && at == ROOT_IN_FORCE && bit == 0
}

#[test]
fn a_flipped_bit_loses_nothing() {
    for (image, bytes) in images() {
        assert!(check(image, &bytes), "an undamaged file opens");
        let used = (HEADER..bytes.len()).filter(|at| bytes[*at] != 0).step_by(101);
        let bits = (0..HEADER).chain(used).map(|at| (at, at % 8));
        let mut refused = 0;
        for (at, bit) in bits.chain((0..8).map(|bit| (ROOT_IN_FORCE, bit))) {
            if is_beyond_detection(image, at, bit) {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            refused += usize::from(!check(&format!("{image}, byte {at}, bit {bit}"), &damaged));
        }
        assert!(refused > 0, "nothing that matters was damaged");
    }
}

#[test]
fn a_lost_sector_loses_nothing() {
    const SECTOR: usize = 512;
    for (image, bytes) in images() {
        for at in (0..bytes.len()).step_by(SECTOR) {
            let mut damaged = bytes.clone();
            damaged[at..at + SECTOR].fill(0);
            check(&format!("{image}, sector at {at}"), &damaged);
        }
    }
}

#[test]
fn a_file_of_another_length_loses_nothing() {
    const PAGE: usize = 4096;
    for (image, bytes) in images() {
        for pages in 0..=bytes.len() / PAGE + 1 {
            for length in [pages * PAGE, pages * PAGE + 1, pages * PAGE + PAGE / 2] {
                let mut damaged = bytes.clone();
                damaged.resize(length, 0xa5);
                check(&format!("{image}, {length} bytes"), &damaged);
            }
        }
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let [(_, bytes), _] = images();
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
