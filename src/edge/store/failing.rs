//! A disk that fails at each step, and power that goes with it (THREATS H12, H14).

use redb::StorageBackend;
use std::io;
use std::sync::Mutex;

use super::tests::{KEEP, NOW, duplicate, fingerprint, key, refused, started, wait};
use super::*;
use crate::ledger::State;

/// A disk that fails for good after a number of steps, and keeps of what it had not synced what it likes.
#[derive(Debug, Clone, Default)]
struct Failing(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was done since, in order.
    unsynced: Vec<Step>,
    left: u64,
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
    fn open(&self) -> Embedded {
        self.0.lock().unwrap().left = u64::MAX;
        let is_new = self.0.lock().unwrap().now.is_empty();
        let database = file::verified(|builder| builder.create_with_backend(self.clone())).unwrap();
        if is_new {
            file::initialise(&database).unwrap();
        }
        Embedded::verify(database, None).unwrap()
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
        disk.left = disk.left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
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
fn until_it_fails(store: &Store) -> (usize, bool) {
    for of in 0..1000 {
        let reservation = match wait(store.reserve(key(of), None, fingerprint(1), KEEP, NOW)) {
            Ok(Claim::Granted(reservation)) => reservation,
            Ok(Claim::Refused(verdict)) => panic!("{verdict:?}"),
            Err(fault) => {
                assert!(matches!(fault, StoreFault::Write(_)), "{fault:?}");
                return (of, false);
            }
        };
        if let Err(fault) = wait(reservation.complete(201, Some("t".into()), NOW)) {
            assert!(matches!(fault, StoreFault::Write(_)), "{fault:?}");
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
        let (done, reserved) = until_it_fails(&store);
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
