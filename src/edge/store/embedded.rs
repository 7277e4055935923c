//! The embedded store: one file, one writer, three tables.
//!
//! `open` has what runs and what is unknown, `records` what is finished, and `deadlines` the keys of the latter by the time
//! from which they may be swept; so neither sweeping nor listing scans. `facts` has the format and the latest time seen.
//!
//! Keys are hashes, so each finished one is written somewhere else in a large table. The open ones are few and lie together:
//! a reservation costs the disk a page or two, however many keys there are.
//!
//! Commits are in two phases: a root is written and synced before it becomes the one in force. With one phase a damaged
//! page of the last commit would be taken for a torn commit at the next start and the commit silently undone, with the
//! payment that it acknowledged; with two it is a fault.

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::StoreFault;
use super::file::{self, DEADLINES, FACTS, LATEST, OPEN, RECORDS};
use super::leases::{Grip, LockName, Step};
use super::listing::{self, Filter, Page};
use super::snapshot::Snapshot;
use crate::ledger::{
    Change, Fingerprint, Latest, Owner, Record, RecordKey, Reserved, Ruling, State, Verdict, judge, rule,
};

pub(super) use super::file::FILE;

/// Most requests in one commit.
pub const MAX_BATCH: usize = 256;

/// Most expired records that one commit sweeps: more than it can add, so that the store cannot only grow.
pub const MAX_SWEEP: usize = 2 * MAX_BATCH;

/// Most records of one page of a listing.
pub const MAX_LISTED: usize = 256;

/// Most records that are looked at for one page: what the writer does in some milliseconds, for payments wait meanwhile.
pub const MAX_SCANNED: usize = 4096;

/// Most bytes of answers that are passed over for one page.
pub const MAX_SCANNED_BYTES: usize = 4 << 20;

/// Most bytes of answers on disk. An answer beyond is not kept; its outcome is.
pub const MAX_ANSWER_BYTES: u64 = 4 << 30;

/// Most keys on disk, about 6 GB without answers; one more is [`StoreFault::Full`].
pub const MAX_KEYS: u64 = 10_000_000;

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Request {
    Reserve {
        key: RecordKey,
        owner: Option<Arc<Owner>>,
        fingerprint: Fingerprint,
        keep: Duration,
        now: u64,
    },
    Settle {
        reserved: Reserved,
        settlement: Settlement,
    },
    Show {
        key: RecordKey,
    },
    List {
        filter: Filter,
        after: Option<RecordKey>,
        now: u64,
    },
    Rule {
        key: RecordKey,
        /// What the operator was shown: the word is about that and nothing else.
        seen: Record,
        ruling: Ruling,
        now: u64,
    },
    /// About a lock that gateways share.
    Lock {
        name: LockName,
        step: Step,
    },
    Snapshot,
}

/// What became of a reservation.
#[derive(Clone, Debug)]
pub(super) enum Settlement {
    Complete {
        status: u16,
        transaction_id: Option<Box<str>>,
        answer: Option<Arc<[u8]>>,
        now: u64,
    },
    Release,
    Unknown {
        now: Option<u64>,
    },
}

/// What the writer answers, once it is on disk.
#[derive(Debug)]
pub(super) enum Answer {
    Reserved(Reserved),
    Refused(Verdict),
    Full,
    Settled,
    /// An operator settled it first.
    Overtaken,
    Shown(Option<Record>),
    Listed(Page),
    Ruled(bool),
    Locked(Grip),
    /// Another turn has the lock.
    Taken,
    /// Whether the lock is still this turn's.
    Extended(bool),
    Snapshot(Snapshot),
}

/// A batch that is on disk, or needed not be.
pub(super) struct Batch {
    pub(super) answers: Vec<Answer>,
    pub(super) committed: bool,
}

impl Request {
    /// Whether it gives up what was held, which is written however long that takes.
    pub(super) const fn is_settlement(&self) -> bool {
        matches!(
            self,
            Self::Settle { .. }
                | Self::Lock {
                    step: Step::Release(_),
                    ..
                }
        )
    }

    /// The key that is no longer in progress once this is done.
    pub(super) const fn settles(&self) -> Option<RecordKey> {
        match self {
            Self::Settle { reserved, .. } => Some(*reserved.key()),
            _ => None,
        }
    }

    /// What takes it back if it may have been carried out and its answer was lost; none if that is left to others.
    pub(super) const fn taken_back(&self, turn: u64) -> Option<Self> {
        match self {
            Self::Lock {
                name,
                step: Step::Take(_),
            } => Some(Self::Lock {
                name: *name,
                step: Step::Release(turn),
            }),
            _ => None,
        }
    }

    /// The key, or the lock, that it is about, if it is about one.
    pub(super) const fn key(&self) -> Option<RecordKey> {
        match self {
            Self::Reserve { key, .. } | Self::Show { key } | Self::Rule { key, .. } => Some(*key),
            Self::Settle { reserved, .. } => Some(*reserved.key()),
            Self::Lock { name, .. } => Some(RecordKey::from_bytes(*name)),
            Self::List { .. } | Self::Snapshot => None,
        }
    }

    const fn now(&self) -> Option<u64> {
        match self {
            Self::Reserve { now, .. }
            | Self::Rule { now, .. }
            | Self::Settle {
                settlement: Settlement::Complete { now, .. },
                ..
            } => Some(*now),
            Self::Settle {
                settlement: Settlement::Unknown { now },
                ..
            } => *now,
            Self::Settle { .. } | Self::Show { .. } | Self::List { .. } | Self::Lock { .. } | Self::Snapshot => None,
        }
    }
}

/// The open file.
pub(super) struct Embedded {
    database: Database,
    latest: Latest,
    keys: u64,
    unknown: u64,
    answer_bytes: u64,
    max_keys: u64,
    /// Opened again in the life of the program, so that reservations from before are about.
    resumed: bool,
    max_answer_bytes: u64,
    /// Held as long as the database; absent when there is no folder.
    _lock: Option<File>,
}

impl Embedded {
    /// Opens the file in `folder`, or makes it.
    pub(super) fn open(folder: &std::path::Path) -> Result<Self, StoreFault> {
        let (database, lock) = file::open(folder)?;
        Self::verify(database, Some(lock))
    }

    /// Opens it again in the same life, once there is room on the disk: a database that could not be written must not be used
    /// any more, and opening one reads all of it, which would be in vain without room.
    pub(super) fn reopen(folder: &std::path::Path) -> Result<Self, StoreFault> {
        file::find_room(folder)?;
        Self::open(folder).map(Self::resumed)
    }

    /// Takes a database in, after a look at every record.
    pub(super) fn verify(database: Database, lock: Option<File>) -> Result<Self, StoreFault> {
        let file::Adopted {
            latest,
            keys,
            unknown,
            answer_bytes,
        } = file::adopt(&database)?;
        Ok(Self {
            database,
            latest,
            keys,
            unknown,
            answer_bytes,
            max_keys: MAX_KEYS,
            resumed: false,
            max_answer_bytes: MAX_ANSWER_BYTES,
            _lock: lock,
        })
    }

    /// The same store, for those who held reservations before it was opened again.
    pub(super) const fn resumed(mut self) -> Self {
        self.resumed = true;
        self
    }

    #[cfg(test)]
    pub(super) const fn limit_keys(mut self, max_keys: u64) -> Self {
        self.max_keys = max_keys;
        self
    }

    #[cfg(test)]
    pub(super) const fn limit_answers(mut self, max_answer_bytes: u64) -> Self {
        self.max_answer_bytes = max_answer_bytes;
        self
    }

    /// How many keys stand on disk.
    pub(super) const fn keys(&self) -> u64 {
        self.keys
    }

    /// How many of their outcomes are unknown.
    pub(super) const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Does everything that is asked, in one commit. An error means that nothing is acknowledged, whatever is on disk.
    pub(super) fn run(&mut self, requests: &[Request]) -> Result<Batch, StoreFault> {
        let write = file::begin(&self.database)?;
        let mut work = Work::begin(&write, self)?;
        // The earliest time that anybody tells: nothing is swept that one of them still has to see.
        let now = requests.iter().filter_map(Request::now).min();
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(work.answer(request)?);
        }
        let committed = work.changed;
        if committed {
            work.sweep(now)?;
            work.remember_latest(self.latest)?;
        }
        let (latest, keys, unknown) = (work.latest, work.keys()?, work.unknown);
        let answer_bytes = work.answer_bytes;
        drop(work);
        if committed {
            write.commit()?;
        } else {
            write.abort()?;
        }
        (self.latest, self.keys, self.unknown) = (latest, keys, unknown);
        self.answer_bytes = answer_bytes;
        Ok(Batch { answers, committed })
    }
}

/// The tables of one transaction.
struct Work<'t> {
    database: &'t Database,
    records: Table<'t, &'static [u8; 32], &'static [u8]>,
    open: Table<'t, &'static [u8; 32], &'static [u8]>,
    deadlines: Table<'t, &'static [u8; 40], ()>,
    facts: Table<'t, &'static str, u64>,
    latest: Latest,
    unknown: u64,
    answer_bytes: u64,
    max_keys: u64,
    resumed: bool,
    max_answer_bytes: u64,
    changed: bool,
}

impl<'t> Work<'t> {
    fn begin(write: &'t WriteTransaction, engine: &'t Embedded) -> Result<Self, StoreFault> {
        Ok(Self {
            database: &engine.database,
            records: write.open_table(RECORDS)?,
            open: write.open_table(OPEN)?,
            deadlines: write.open_table(DEADLINES)?,
            facts: write.open_table(FACTS)?,
            latest: engine.latest,
            unknown: engine.unknown,
            answer_bytes: engine.answer_bytes,
            max_keys: engine.max_keys,
            resumed: engine.resumed,
            max_answer_bytes: engine.max_answer_bytes,
            changed: false,
        })
    }

    fn answer(&mut self, request: &Request) -> Result<Answer, StoreFault> {
        if let Some(now) = request.now() {
            self.latest = self.latest.seen(now);
        }
        match request {
            Request::Reserve {
                key,
                owner,
                fingerprint,
                keep,
                now,
            } => self.reserve(*key, Record::running(*fingerprint, owner.clone(), *now, *keep), *now),
            Request::Settle { reserved, settlement } => self.settle(reserved, settlement.clone()),
            Request::Show { key } => Ok(Answer::Shown(self.read(key)?)),
            Request::List { filter, after, now } => {
                listing::page(&self.open, &self.records, filter, *after, *now).map(Answer::Listed)
            }
            // Nobody shares this store, so nobody asks.
            Request::Lock { .. } => Ok(Answer::Taken),
            Request::Snapshot => Ok(Answer::Snapshot(Snapshot::new(self.database.begin_read()?))),
            Request::Rule { key, seen, ruling, now } => {
                let existing = self.read(key)?;
                let ruled = existing
                    .as_ref()
                    .filter(|record| *record == seen)
                    .and_then(|record| rule(record, ruling.clone(), *now, self.latest));
                let done = ruled.is_some();
                if let Some(change) = ruled {
                    self.apply(key, existing.as_ref(), change)?;
                }
                Ok(Answer::Ruled(done))
            }
        }
    }

    fn reserve(&mut self, key: RecordKey, record: Record, now: u64) -> Result<Answer, StoreFault> {
        let existing = self.read(&key)?;
        let verdict = judge(existing.as_ref(), &record.fingerprint, now);
        if verdict != Verdict::Proceed {
            return Ok(Answer::Refused(verdict));
        }
        if existing.is_none() && self.keys()? >= self.max_keys {
            return Ok(Answer::Full);
        }
        self.apply(&key, existing.as_ref(), Change::Write(record.clone()))?;
        // The proof is made here and handed out by the writer after the commit.
        Reserved::on_disk(key, record).map_or_else(|| Err(damaged(&key)), |reserved| Ok(Answer::Reserved(reserved)))
    }

    /// Leaves the proof with its owner: should the commit fail, it is needed again.
    fn settle(&mut self, reserved: &Reserved, settlement: Settlement) -> Result<Answer, StoreFault> {
        let key = *reserved.key();
        let existing = self.read(&key)?;
        if !reserved.stands(existing.as_ref()) {
            // Only between two lives of the store can anybody else have touched it.
            return if self.resumed {
                Ok(Answer::Overtaken)
            } else {
                Err(damaged(&key))
            };
        }
        let reserved = reserved.again();
        let change = match settlement {
            Settlement::Complete {
                status,
                transaction_id,
                answer,
                now,
            } => {
                let change = reserved.complete(status, transaction_id, now, self.latest);
                change.keeping(answer.filter(|answer| self.has_room_for(answer)))
            }
            Settlement::Release => reserved.release(),
            Settlement::Unknown { now } => reserved.unknown(now),
        };
        self.apply(&key, existing.as_ref(), change)?;
        Ok(Answer::Settled)
    }

    fn has_room_for(&self, answer: &[u8]) -> bool {
        self.answer_bytes.saturating_add(answer.len() as u64) <= self.max_answer_bytes
    }

    /// Removes what has expired, oldest first.
    fn sweep(&mut self, now: Option<u64>) -> Result<(), StoreFault> {
        let Some(now) = now else { return Ok(()) };
        let end = file::deadline(now.saturating_add(1), &[0; 32]);
        let mut doomed = Vec::new();
        for entry in self.deadlines.range::<&[u8; 40]>(..&end)?.take(MAX_SWEEP) {
            doomed.push(file::split(entry?.0.value()).1);
        }
        for key in doomed {
            let record = self.read(&key)?.filter(|record| record.is_expired(now));
            let record = record.ok_or_else(|| damaged(&key))?;
            self.apply(&key, Some(&record), Change::Forget)?;
        }
        Ok(())
    }

    /// Not while nothing else is written: a duplicate costs no sync.
    fn remember_latest(&mut self, before: Latest) -> Result<(), StoreFault> {
        if self.latest > before {
            self.facts.insert(LATEST, self.latest.seconds())?;
        }
        Ok(())
    }

    fn keys(&self) -> Result<u64, StoreFault> {
        Ok(self.records.len()? + self.open.len()?)
    }

    fn read(&self, key: &RecordKey) -> Result<Option<Record>, StoreFault> {
        let found = match self.open.get(key.as_bytes())? {
            Some(found) => Some(found),
            None => self.records.get(key.as_bytes())?,
        };
        found
            .map(|bytes| Record::decode(bytes.value()).map_err(|_| damaged(key)))
            .transpose()
    }

    fn apply(&mut self, key: &RecordKey, existing: Option<&Record>, change: Change) -> Result<(), StoreFault> {
        self.changed = true;
        if let Some(existing) = existing {
            self.remove(key, existing)?;
        }
        let Change::Write(record) = change else { return Ok(()) };
        self.unknown += u64::from(is_unknown(&record));
        self.answer_bytes += record.answer_bytes() as u64;
        if record.is_done() {
            self.records.insert(key.as_bytes(), record.encode().as_slice())?;
            self.deadlines
                .insert(&file::deadline(record.deadline(), key.as_bytes()), ())?;
        } else {
            self.open.insert(key.as_bytes(), record.encode().as_slice())?;
        }
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey, existing: &Record) -> Result<(), StoreFault> {
        self.unknown = self.unknown.saturating_sub(u64::from(is_unknown(existing)));
        self.answer_bytes = self.answer_bytes.saturating_sub(existing.answer_bytes() as u64);
        let was_there = if existing.is_done() {
            let deadline = file::deadline(existing.deadline(), key.as_bytes());
            self.deadlines.remove(&deadline)?.is_some() && self.records.remove(key.as_bytes())?.is_some()
        } else {
            self.open.remove(key.as_bytes())?.is_some()
        };
        if was_there { Ok(()) } else { Err(damaged(key)) }
    }
}

pub(super) const fn is_unknown(record: &Record) -> bool {
    matches!(record.state, State::Unknown { .. })
}

/// The file was verified when it was opened, so this is no state that it may be in.
pub(super) fn damaged(key: &RecordKey) -> StoreFault {
    StoreFault::Corrupt(format!("record {key} is not as it was written"))
}
