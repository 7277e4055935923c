//! A disk that fails at each step, and power that goes with it (THREATS H12, H14).

use redb::StorageBackend;
use std::io;
use std::sync::Mutex;

use super::tests::{KEEP, NOW, duplicate, fingerprint, granted, key, refused, ruled, started, wait};
use super::*;
use crate::ledger::State;

/// A disk that fails for good after a number of steps, and keeps of what it had not synced what it likes.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was done since, in order.
    unsynced: Vec<Step>,
    left: u64,
    /// What it says when nothing is left.
    fault: Option<io::ErrorKind>,
}

#[derive(Debug)]
enum Step {
    Resize(usize),
    Write(usize, Vec<u8>),
}

impl Step {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Resize(length) => bytes.resize(*length, 0),
            Self::Write(at, data) => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl Failing {
    /// A disk with this file, which does not fail.
    pub(super) fn with(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            now: bytes.clone(),
            synced: bytes,
            left: u64::MAX,
            ..Disk::default()
        })))
    }

    pub(super) fn open(&self) -> Embedded {
        self.0.lock().unwrap().left = u64::MAX;
        let is_new = self.0.lock().unwrap().now.is_empty();
        let database = file::verified(|builder| builder.create_with_backend(self.clone())).unwrap();
        if is_new {
            file::initialise(&database).unwrap();
        }
        Embedded::verify(database, None).unwrap()
    }

    /// Another disk, as the power leaves it when it goes now, with all or nothing of what was not synced.
    pub(super) fn crashed(&self, keeps: bool) -> Self {
        let disk = self.0.lock().unwrap();
        let bytes = if keeps { disk.now.clone() } else { disk.synced.clone() };
        Self(Arc::new(Mutex::new(Disk {
            now: bytes.clone(),
            synced: bytes,
            ..Disk::default()
        })))
    }

    /// Takes so many more steps, and then says that it is full.
    pub(super) fn is_full_after(&self, steps: u64) {
        let mut disk = self.0.lock().unwrap();
        disk.left = steps;
        disk.fault = Some(io::ErrorKind::StorageFull);
    }

    /// How the writer opens it again, as [`Embedded::reopen`] does.
    pub(super) fn reopening(&self) -> Reopen {
        let disk = self.clone();
        Box::new(move || {
            if disk.0.lock().unwrap().left < u64::MAX / 2 {
                return Err(StoreFault::NoRoom);
            }
            let database = file::verified(|builder| builder.create_with_backend(disk.clone()))?;
            Embedded::verify(database, None).map(Embedded::resumed)
        })
    }

    /// The power goes: of the steps since the last sync those are kept for which `keeps` holds.
    fn cut(&self, keeps: fn(usize) -> bool) {
        let mut disk = self.0.lock().unwrap();
        let mut bytes = disk.synced.clone();
        for (_, step) in disk.unsynced.iter().enumerate().filter(|(at, _)| keeps(*at)) {
            step.apply(&mut bytes);
        }
        *disk = Disk {
            now: bytes.clone(),
            synced: bytes,
            ..Disk::default()
        };
    }

    fn step(&self, step: Option<Step>) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let fault = disk.fault.unwrap_or(io::ErrorKind::Other);
        disk.left = disk.left.checked_sub(1).ok_or(fault)?;
        match step {
            Some(step) => {
                step.apply(&mut disk.now);
                disk.unsynced.push(step);
            }
            None => {
                disk.synced = disk.now.clone();
                disk.unsynced.clear();
            }
        }
        Ok(())
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        out.copy_from_slice(disk.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.step(Some(Step::Resize(usize::try_from(length).unwrap())))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Some(Step::Write(usize::try_from(offset).unwrap(), data.to_vec())))
    }
}

/// Reserves and completes keys until the disk fails; what was acknowledged, and whether the last one was reserved.
fn until_it_fails(store: &Store, is_expected: fn(&StoreFault) -> bool) -> (usize, bool) {
    for of in 0..1000 {
        let reservation = match wait(store.reserve(key(of), None, fingerprint(1), KEEP, NOW)) {
            Ok(Claim::Granted(reservation)) => reservation,
            Ok(Claim::Refused(verdict)) => panic!("{verdict:?}"),
            Err(fault) => {
                assert!(is_expected(&fault), "{fault:?}");
                return (of, false);
            }
        };
        if let Err(fault) = wait(reservation.complete(201, Some("t".into()), NOW)) {
            assert!(is_expected(&fault), "{fault:?}");
            return (of, true);
        }
    }
    panic!("the disk does not fail");
}

#[test]
fn a_disk_that_fails_at_any_step_loses_nothing_acknowledged() {
    let keeps: [fn(usize) -> bool; 4] = [|_| true, |_| false, |at| at % 2 == 0, |at| at % 2 == 1];
    for (steps, keeps) in (0..60).flat_map(|steps| keeps.map(|keeps| (steps, keeps))) {
        let disk = Failing::default();
        let store = started(disk.open(), Queue::default());
        disk.0.lock().unwrap().left = steps;
        let (done, reserved) = until_it_fails(&store, |fault| matches!(fault, StoreFault::Write(_)));
        assert!(!store.is_healthy());
        let later = wait(store.reserve(key(0), None, fingerprint(1), KEEP, NOW));
        assert_eq!(later.unwrap_err(), StoreFault::Closed);
        drop(store);

        disk.cut(keeps);
        let store = started(disk.open(), Queue::default());
        for of in 0..done {
            assert_eq!(refused(&store, of, NOW), duplicate("t", NOW), "{of} of {done}, {steps}");
        }
        let doubtful = wait(store.show(key(done))).unwrap();
        let is_known = doubtful.is_some_and(|record| !matches!(record.state, State::Running { .. }));
        assert!(is_known || !reserved, "{done}, {steps}");
    }
}

/// Keys of requests that run while the disk is full.
const EARLY: usize = 2000;
const LATE: usize = 2001;

#[test]
fn a_disk_that_is_full_stops_the_store_until_there_is_room_and_no_outcome_is_lost() {
    let keeps: [fn(usize) -> bool; 2] = [|_| true, |_| false];
    for (steps, keeps) in (0..60).flat_map(|steps| keeps.map(|keeps| (steps, keeps))) {
        let disk = Failing::default();
        let engine = disk.open();
        let store = Store::start(engine, disk.reopening(), PathBuf::new(), Queue::default()).unwrap();
        let (early, late) = (granted(&store, EARLY, NOW), granted(&store, LATE, NOW));
        disk.is_full_after(steps);
        let (done, reserved) = until_it_fails(&store, |fault| *fault == StoreFault::NoRoom);
        assert!(!store.is_healthy());
        // Nothing new, whatever it is; what is settled meanwhile is kept.
        let later = wait(store.reserve(key(0), None, fingerprint(1), KEEP, NOW));
        assert_eq!(later.unwrap_err(), StoreFault::NoRoom);
        assert_eq!(wait(store.show(key(0))), Err(StoreFault::NoRoom));
        let settled = wait(early.complete(201, Some("early".into()), NOW));
        assert_eq!(settled, Err(StoreFault::NoRoom));

        disk.is_full_after(u64::MAX);
        until(|| store.is_healthy());
        wait(late.complete(201, Some("late".into()), NOW)).unwrap();
        let check = |store: &Store| {
            for of in 0..done {
                assert_eq!(refused(store, of, NOW), duplicate("t", NOW), "{of} of {done}, {steps}");
            }
            assert_eq!(refused(store, EARLY, NOW), duplicate("early", NOW));
            assert_eq!(refused(store, LATE, NOW), duplicate("late", NOW));
            if reserved {
                // Its outcome did not fit at first.
                assert_eq!(refused(store, done, NOW), duplicate("t", NOW));
            }
        };
        check(&store);
        wait(granted(&store, EARLY + LATE, NOW).complete(201, None, NOW)).unwrap();
        drop(store);
        disk.cut(keeps);
        check(&started(disk.open(), Queue::default()));
    }
}

#[test]
fn what_an_operator_settled_while_the_store_was_closed_stays_as_it_is() {
    let disk = Failing::default();
    let engine = disk.open();
    let store = Store::start(engine, disk.reopening(), PathBuf::new(), Queue::default()).unwrap();
    let held = granted(&store, EARLY, NOW);
    disk.is_full_after(0);
    until_it_fails(&store, |fault| *fault == StoreFault::NoRoom);
    disk.is_full_after(u64::MAX);
    until(|| store.is_healthy());
    assert!(ruled(&store, key(EARLY), Ruling::Free, NOW).unwrap());
    assert_eq!(wait(held.complete(201, None, NOW)), Err(StoreFault::Overtaken));
    assert!(store.is_healthy());
    assert_eq!(wait(store.show(key(EARLY))), Ok(None));
}

pub(super) fn until(condition: impl Fn() -> bool) {
    let patience = std::time::Instant::now();
    while !condition() {
        assert!(patience.elapsed() < Duration::from_secs(10), "waited too long");
        std::thread::yield_now();
    }
}
