//! A disk that fails at each step, and power that goes with it (THREATS H12, H14).

use redb::StorageBackend;
use std::io;
use std::sync::{Mutex, MutexGuard};

use super::daybook::{Medium, Shelf};
use super::tests::{KEEP, NOW, duplicate, fingerprint, granted, key, refused, ruled, started, wait};
use super::*;
use crate::ledger::State;

/// What a disk writes whole or not at all, bytes.
const SECTOR: usize = 512;

/// Whether a sector of a step is kept.
type Keeps = fn(usize, usize) -> bool;

/// A file on a disk that fails for good after a number of steps, and keeps of what it had not synced what it likes.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing {
    disk: Arc<Mutex<Disk>>,
    /// Which file: the tree, or one of the daybook's.
    file: usize,
}

/// What the files hold: the tree, and the two of the daybook.
pub(super) type Bytes = [Vec<u8>; 3];

#[derive(Debug, Default)]
struct Disk {
    now: Bytes,
    synced: Bytes,
    /// What was done since to which file, in order.
    unsynced: Vec<(usize, Step)>,
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

impl Step {
    /// Only those sectors of it.
    fn torn(&self, keeps: &impl Fn(usize) -> bool, bytes: &mut Vec<u8>) {
        match self {
            Self::Resize(_) if keeps(0) => self.apply(bytes),
            Self::Resize(_) => {}
            Self::Write(at, data) => {
                for (sector, part) in data.chunks(SECTOR).enumerate().filter(|(sector, _)| keeps(*sector)) {
                    Self::Write(at + sector * SECTOR, part.to_vec()).apply(bytes);
                }
            }
        }
    }
}

impl Failing {
    /// A disk with these files, which does not fail.
    pub(super) fn with(bytes: Bytes) -> Self {
        let disk = Self::holding(bytes);
        disk.lock().left = u64::MAX;
        disk
    }

    fn holding(bytes: Bytes) -> Self {
        let disk = Disk {
            now: bytes.clone(),
            synced: bytes,
            ..Disk::default()
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
            file: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    fn file(&self, file: usize) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            file,
        }
    }

    /// The store on it, which waits for its carrier: each step is the same in each run.
    pub(super) fn open(&self) -> Embedded {
        self.lock().left = u64::MAX;
        let is_new = self.lock().now[0].is_empty();
        let database = file::verified(|builder| builder.create_with_backend(self.clone())).unwrap();
        if is_new {
            file::initialise(&database).unwrap();
        }
        Embedded::verify(database, self, None).unwrap().patient()
    }

    /// The store on it, as [`Embedded::open`] takes it.
    pub(super) fn try_open(&self) -> Result<Embedded, StoreFault> {
        let database = file::verified(|builder| builder.create_with_backend(self.clone()))?;
        Embedded::verify(database, self, None).map(Embedded::patient)
    }

    /// Another disk, as the power leaves it when it goes now, with all or nothing of what was not synced.
    pub(super) fn crashed(&self, keeps: bool) -> Self {
        let disk = self.lock();
        Self::holding(if keeps { disk.now.clone() } else { disk.synced.clone() })
    }

    /// What the files hold now.
    pub(super) fn bytes(&self) -> Bytes {
        self.lock().now.clone()
    }

    /// Takes so many more steps, and then says that it is full.
    pub(super) fn is_full_after(&self, steps: u64) {
        let mut disk = self.lock();
        disk.left = steps;
        disk.fault = Some(io::ErrorKind::StorageFull);
    }

    /// How the writer opens it again, as [`Embedded::reopen`] does.
    pub(super) fn reopening(&self) -> Reopen {
        let disk = self.clone();
        Box::new(move || {
            if disk.lock().left < u64::MAX / 2 {
                return Err(StoreFault::NoRoom);
            }
            disk.try_open().map(Embedded::resumed)
        })
    }

    /// The power goes: of the steps since the last sync those sectors are kept for which `keeps` holds.
    fn cut(&self, keeps: Keeps) {
        let mut disk = self.lock();
        let mut bytes = disk.synced.clone();
        for (at, (file, step)) in disk.unsynced.iter().enumerate() {
            step.torn(&|sector| keeps(at, sector), &mut bytes[*file]);
        }
        *disk = Disk {
            now: bytes.clone(),
            synced: bytes,
            ..Disk::default()
        };
    }

    fn step(&self, step: Option<Step>) -> io::Result<()> {
        let mut disk = self.lock();
        let fault = disk.fault.unwrap_or(io::ErrorKind::Other);
        disk.left = disk.left.checked_sub(1).ok_or(fault)?;
        let Disk {
            now, synced, unsynced, ..
        } = &mut *disk;
        if let Some(step) = step {
            step.apply(&mut now[self.file]);
            unsynced.push((self.file, step));
            return Ok(());
        }
        let (done, others) = std::mem::take(unsynced)
            .into_iter()
            .partition(|(of, _)| *of == self.file);
        *unsynced = others;
        for (of, step) in done {
            step.apply(&mut synced[of]);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.lock().now[self.file].len() as u64
    }

    fn fill(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.lock();
        let at = usize::try_from(offset).unwrap();
        let found = disk.now[self.file].get(at..at + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn put(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Some(Step::Write(usize::try_from(offset).unwrap(), data.to_vec())))
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.size())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.fill(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.step(Some(Step::Resize(usize::try_from(length).unwrap())))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.put(offset, data)
    }
}

impl Medium for Failing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.size())
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.fill(at, out)
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.put(at, data)
    }

    fn sync(&self) -> io::Result<()> {
        self.step(None)
    }
}

impl Shelf for Failing {
    fn open(&self, which: usize) -> Result<Box<dyn Medium>, StoreFault> {
        Ok(Box::new(self.file(1 + which)))
    }

    fn make(&self, which: usize) -> Result<Box<dyn Medium>, StoreFault> {
        let file = self.file(1 + which);
        if file.size() != daybook::BYTES as u64 {
            file.set_len(daybook::BYTES as u64)
                .map_err(|error| daybook::fault(&error))?;
        }
        Ok(Box::new(file))
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
    let keeps: [Keeps; 7] = [
        |_, _| true,
        |_, _| false,
        |at, _| at % 2 == 0,
        |at, _| at % 2 == 1,
        |_, sector| sector % 2 == 0,
        |_, sector| sector < 8,
        |_, sector| sector >= 8,
    ];
    for (steps, keeps) in (0..STEPS).flat_map(|steps| keeps.map(|keeps| (steps, keeps))) {
        let disk = Failing::default();
        let store = started(disk.open(), Queue::default());
        disk.lock().left = steps;
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

/// At how many steps the disk fails: until the daybook was carried twice and begun anew.
const STEPS: u64 = 140;

/// Keys of requests that run while the disk is full.
const EARLY: usize = 2000;
const LATE: usize = 2001;

#[test]
fn a_disk_that_is_full_stops_the_store_until_there_is_room_and_no_outcome_is_lost() {
    let keeps: [Keeps; 2] = [|_, _| true, |_, _| false];
    for (steps, keeps) in (0..STEPS).flat_map(|steps| keeps.map(|keeps| (steps, keeps))) {
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
