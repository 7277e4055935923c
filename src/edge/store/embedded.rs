//! The embedded store: one file, one writer, three tables.
//!
//! `records` has a record per key. `deadlines` has the same keys by the time from which they may be swept, with what
//! never may (running, unknown) at the end of time; so neither sweeping nor listing scans. `facts` has the format and
//! the latest time seen.
//!
//! Commits are in two phases: a root is written and synced before it becomes the one in force. With one phase a damaged
//! page of the last commit would be taken for a torn commit at the next start and the commit silently undone, with the
//! payment that it acknowledged; with two it is a fault.

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::StoreFault;
use super::file::{self, DEADLINES, FACTS, LATEST, RECORDS};
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

/// Most keys on disk, about 6 GB; one more is [`StoreFault::Full`].
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
    Snapshot,
}

/// What became of a reservation.
#[derive(Debug)]
pub(super) enum Settlement {
    Complete {
        status: u16,
        transaction_id: Option<Box<str>>,
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
    Shown(Option<Record>),
    Listed(Page),
    Ruled(bool),
    Snapshot(Snapshot),
}

/// A batch that is on disk, or needed not be.
pub(super) struct Batch {
    pub(super) answers: Vec<Answer>,
    pub(super) committed: bool,
}

impl Request {
    pub(super) const fn is_settlement(&self) -> bool {
        matches!(self, Self::Settle { .. })
    }

    /// The key that is no longer in progress once this is done.
    pub(super) const fn settles(&self) -> Option<RecordKey> {
        match self {
            Self::Settle { reserved, .. } => Some(*reserved.key()),
            _ => None,
        }
    }

    /// The key that it is about, if it is about one.
    pub(super) const fn key(&self) -> Option<RecordKey> {
        match self {
            Self::Reserve { key, .. } | Self::Show { key } | Self::Rule { key, .. } => Some(*key),
            Self::Settle { reserved, .. } => Some(*reserved.key()),
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
            Self::Settle { .. } | Self::Show { .. } | Self::List { .. } | Self::Snapshot => None,
        }
    }
}

/// The open file.
pub(super) struct Embedded {
    database: Database,
    latest: Latest,
    keys: u64,
    unknown: u64,
    max_keys: u64,
    /// Held as long as the database; absent when there is no folder.
    _lock: Option<File>,
}

impl Embedded {
    /// Opens the file in `folder`, or makes it.
    pub(super) fn open(folder: &std::path::Path) -> Result<Self, StoreFault> {
        let (database, lock) = file::open(folder)?;
        Self::verify(database, Some(lock))
    }

    /// Takes a database in, after a look at every record.
    pub(super) fn verify(database: Database, lock: Option<File>) -> Result<Self, StoreFault> {
        let file::Adopted { latest, keys, unknown } = file::adopt(&database)?;
        Ok(Self {
            database,
            latest,
            keys,
            unknown,
            max_keys: MAX_KEYS,
            _lock: lock,
        })
    }

    #[cfg(test)]
    pub(super) const fn limit_keys(mut self, max_keys: u64) -> Self {
        self.max_keys = max_keys;
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
    pub(super) fn run(&mut self, requests: Vec<Request>) -> Result<Batch, StoreFault> {
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
        let (latest, keys, unknown) = (work.latest, work.records.len()?, work.unknown);
        drop(work);
        if committed {
            write.commit()?;
        } else {
            write.abort()?;
        }
        (self.latest, self.keys, self.unknown) = (latest, keys, unknown);
        Ok(Batch { answers, committed })
    }
}

/// The tables of one transaction.
struct Work<'t> {
    database: &'t Database,
    records: Table<'t, &'static [u8; 32], &'static [u8]>,
    deadlines: Table<'t, &'static [u8; 40], ()>,
    facts: Table<'t, &'static str, u64>,
    latest: Latest,
    unknown: u64,
    max_keys: u64,
    changed: bool,
}

impl<'t> Work<'t> {
    fn begin(write: &'t WriteTransaction, engine: &'t Embedded) -> Result<Self, StoreFault> {
        Ok(Self {
            database: &engine.database,
            records: write.open_table(RECORDS)?,
            deadlines: write.open_table(DEADLINES)?,
            facts: write.open_table(FACTS)?,
            latest: engine.latest,
            unknown: engine.unknown,
            max_keys: engine.max_keys,
            changed: false,
        })
    }

    fn answer(&mut self, request: Request) -> Result<Answer, StoreFault> {
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
            } => self.reserve(key, Record::running(fingerprint, owner, now, keep), now),
            Request::Settle { reserved, settlement } => self.settle(reserved, settlement),
            Request::Show { key } => Ok(Answer::Shown(self.read(&key)?)),
            Request::List { filter, after, now } => {
                listing::page(&self.records, &self.deadlines, &filter, after, now).map(Answer::Listed)
            }
            Request::Snapshot => Ok(Answer::Snapshot(Snapshot::new(self.database.begin_read()?))),
            Request::Rule { key, seen, ruling, now } => {
                let existing = self.read(&key)?;
                let ruled = existing
                    .as_ref()
                    .filter(|record| **record == seen)
                    .and_then(|record| rule(record, ruling, now, self.latest));
                let done = ruled.is_some();
                if let Some(change) = ruled {
                    self.apply(&key, existing.as_ref(), change)?;
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
        if existing.is_none() && self.records.len()? >= self.max_keys {
            return Ok(Answer::Full);
        }
        self.apply(&key, existing.as_ref(), Change::Write(record.clone()))?;
        // The proof is made here and handed out by the writer after the commit.
        Reserved::on_disk(key, record).map_or_else(|| Err(damaged(&key)), |reserved| Ok(Answer::Reserved(reserved)))
    }

    fn settle(&mut self, reserved: Reserved, settlement: Settlement) -> Result<Answer, StoreFault> {
        let key = *reserved.key();
        let existing = self.read(&key)?;
        if !reserved.stands(existing.as_ref()) {
            return Err(damaged(&key));
        }
        let change = match settlement {
            Settlement::Complete {
                status,
                transaction_id,
                now,
            } => reserved.complete(status, transaction_id, now, self.latest),
            Settlement::Release => reserved.release(),
            Settlement::Unknown { now } => reserved.unknown(now),
        };
        self.apply(&key, existing.as_ref(), change)?;
        Ok(Answer::Settled)
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

    fn read(&self, key: &RecordKey) -> Result<Option<Record>, StoreFault> {
        listing::read(&self.records, key)
    }

    fn apply(&mut self, key: &RecordKey, existing: Option<&Record>, change: Change) -> Result<(), StoreFault> {
        self.changed = true;
        if let Some(existing) = existing {
            self.deadlines
                .remove(&file::deadline(existing.deadline(), key.as_bytes()))?
                .ok_or_else(|| damaged(key))?;
            self.unknown = self.unknown.saturating_sub(u64::from(is_unknown(existing)));
        }
        match change {
            Change::Write(record) => {
                self.unknown += u64::from(is_unknown(&record));
                self.records.insert(key.as_bytes(), record.encode().as_slice())?;
                self.deadlines
                    .insert(&file::deadline(record.deadline(), key.as_bytes()), ())?;
            }
            Change::Forget => {
                self.records.remove(key.as_bytes())?;
            }
        }
        Ok(())
    }
}

pub(super) const fn is_unknown(record: &Record) -> bool {
    matches!(record.state, State::Unknown { .. })
}

/// The file was verified when it was opened, so this is no state that it may be in.
pub(super) fn damaged(key: &RecordKey) -> StoreFault {
    StoreFault::Corrupt(format!("record {key} is not as it was written"))
}
