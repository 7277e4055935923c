//! The embedded store: a tree of records, a daybook before it, one writer.
//!
//! A commit goes to the end of the daybook ([`super::daybook`]) and to memory ([`super::layer`]); from time to time all that
//! is carried to the tree ([`super::carry`]). The tree is one file of five tables. `open` has what runs and what is unknown,
//! `blocks` and `runs` what is finished ([`super::runs`]), and `ends` the keys of the latter by the time from which they may
//! be swept; so neither sweeping nor listing scans. `facts` has the format, the latest time seen, and up to where the daybook
//! is carried.
//!
//! Keys are hashes, so each finished one belongs somewhere else among all of them. With the daybook a commit costs the same
//! however many keys there are, and with runs what is carried does, too: no key rewrites a page of others. Most keys end
//! before they are carried, so that the tree never hears that they ran.
//!
//! The tree is committed in two phases: a root is written and synced before it becomes the one in force. With one phase a
//! damaged page of the last commit would be taken for a torn commit at the next start and the commit silently undone, with
//! the payments that it acknowledged; with two it is a fault.

use redb::{Database, ReadableDatabase};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::StoreFault;
use super::adopt;
use super::carry::{self, Carried, Carrier, Note};
use super::daybook::{Daybook, Folder, Group, MAX_GROUP, Shelf};
use super::file;
use super::layer::{Layers, View, Word};
use super::listing;
use super::snapshot::Snapshot;
use crate::ledger::{Change, Latest, Record, RecordKey, Reserved, State, Verdict, judge, rule};

pub(super) use super::file::FILE;
pub(super) use super::request::{Answer, Batch, Request, Settlement};

/// Most requests in one commit.
pub const MAX_BATCH: usize = 256;

/// Most expired records that are swept at a time, or twice as many as are carried to the tree then: more than come, so that
/// the store cannot only grow.
pub const MAX_SWEEP: usize = 2 * MAX_BATCH;

/// After how long at most a commit is carried to the tree, and what has expired is swept with it, while requests come
/// all the time.
const CARRY_AFTER: Duration = Duration::from_secs(60);

/// Most records of one page of a listing.
pub const MAX_LISTED: usize = 256;

/// Most records that are looked at for one page: what the writer does in some milliseconds, for payments wait meanwhile.
pub const MAX_SCANNED: usize = 4096;

/// Most bytes of answers that are passed over for one page.
pub const MAX_SCANNED_BYTES: usize = 4 << 20;

/// Most bytes of answers on disk, beside those that were swept and are not merged away yet ([`super::runs`]). An answer beyond
/// is not kept; its outcome is.
pub const MAX_ANSWER_BYTES: u64 = 4 << 30;

/// Most keys on disk, about 6 GB without answers and with what is not merged away yet; one more is [`StoreFault::Full`].
pub const MAX_KEYS: u64 = 12_000_000;

/// The open store.
pub(super) struct Embedded {
    /// Let go of before the database.
    layers: Layers,
    database: Arc<Database>,
    /// What carries a part of the daybook to the tree.
    carrier: Option<Carrier>,
    /// The file of the daybook that is written.
    daybook: Daybook,
    /// The other, which is carried, or of which everything is.
    spare: Daybook,
    id: u64,
    /// The changes of the commit in the making.
    group: Group,
    /// The number of the last commit.
    sequence: u64,
    /// Since when something waits to be carried.
    since: Option<Instant>,
    latest: Latest,
    /// The earliest time that anybody told in the last batch: nothing is swept that one of them still has to see.
    now: Option<u64>,
    keys: u64,
    unknown: u64,
    answer_bytes: u64,
    max_keys: u64,
    /// Opened again in the life of the program, so that reservations from before are about.
    resumed: bool,
    max_answer_bytes: u64,
    /// Whether to wait for the carrier, for tests that count every step of the disk.
    is_patient: bool,
    /// Held as long as the database; absent when there is no folder.
    _lock: Option<file::Held>,
}

impl Embedded {
    /// Opens the files in `folder`, or makes them.
    pub(super) fn open(folder: &std::path::Path) -> Result<Self, StoreFault> {
        let (database, lock) = file::open(folder)?;
        Self::verify(database, &Folder(folder.to_owned()), Some(lock))
    }

    /// Opens it again in the same life, once there is room on the disk: a database that could not be written must not be used
    /// any more, and opening one reads all of it, which would be in vain without room.
    pub(super) fn reopen(folder: &std::path::Path) -> Result<Self, StoreFault> {
        file::find_room(folder)?;
        Self::open(folder).map(Self::resumed)
    }

    /// Takes a database and its daybook in, after a look at every record.
    pub(super) fn verify(database: Database, shelf: &dyn Shelf, lock: Option<file::Held>) -> Result<Self, StoreFault> {
        let adopted = adopt::adopt(&database, shelf)?;
        let [daybook, spare] = adopted.daybooks;
        Ok(Self {
            layers: Layers {
                newest: BTreeMap::new(),
                carried: Arc::default(),
                view: View::of(&database, adopted.runs)?,
            },
            database: Arc::new(database),
            carrier: None,
            daybook,
            spare,
            id: adopted.id,
            group: Group::new(),
            sequence: adopted.sequence,
            since: None,
            latest: adopted.latest,
            now: None,
            keys: adopted.keys,
            unknown: adopted.unknown,
            answer_bytes: adopted.answer_bytes,
            max_keys: MAX_KEYS,
            resumed: false,
            max_answer_bytes: MAX_ANSWER_BYTES,
            is_patient: false,
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

    #[cfg(test)]
    pub(super) const fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// How many keys there are.
    pub(super) const fn keys(&self) -> u64 {
        self.keys
    }

    /// How many of their outcomes are unknown.
    pub(super) const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Does everything that is asked, in as few commits as its size allows. An error means that nothing is acknowledged,
    /// whatever is on disk, and that the store must be opened again.
    pub(super) fn run(&mut self, requests: &[Request]) -> Result<Batch, StoreFault> {
        self.now = requests.iter().filter_map(Request::now).min().or(self.now);
        self.take_note(false)?;
        self.find_place(requests)?;
        let before = self.sequence;
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while let Some((part, later)) = rest
            .split_at_checked(in_one_commit(rest))
            .filter(|(part, _)| !part.is_empty())
        {
            self.make_room(part.iter().map(Request::bytes).sum())?;
            for request in part {
                answers.push(self.answer(request)?);
            }
            self.commit()?;
            rest = later;
        }
        let committed = self.sequence > before;
        Ok(Batch { answers, committed })
    }

    /// Puts the changes on disk, if there are any.
    fn commit(&mut self) -> Result<(), StoreFault> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::replace(&mut self.group, Group::new());
        self.sequence += 1;
        self.daybook.append(group, self.sequence, self.latest)?;
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }
}

/// How many of the requests share the next commit. A copy of the store is made of what was committed before it.
fn in_one_commit(requests: &[Request]) -> usize {
    let mut bytes = 0;
    for (at, request) in requests.iter().enumerate() {
        bytes += request.bytes();
        match request {
            Request::Snapshot => return at.max(1),
            _ if at > 0 && bytes > MAX_GROUP => return at,
            _ => {}
        }
    }
    requests.len()
}

/// What is asked, one thing at a time.
impl Embedded {
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
            Request::Show { key } => Ok(Answer::Shown(self.layers.read(key)?)),
            Request::List { filter, after, now } => {
                listing::page(&self.layers, filter, *after, *now).map(Answer::Listed)
            }
            // Nobody shares this store, so nobody asks.
            Request::Lock { .. } => Ok(Answer::Taken),
            Request::Snapshot => {
                self.carry_all()?;
                Ok(Answer::Snapshot(Snapshot::new(self.database.begin_read()?)))
            }
            Request::Rule { key, seen, ruling, now } => {
                let existing = self.layers.read(key)?;
                let ruled = existing
                    .as_ref()
                    .filter(|record| *record == seen)
                    .and_then(|record| rule(record, ruling.clone(), *now, self.latest));
                let done = ruled.is_some();
                if let Some(change) = ruled {
                    self.apply(*key, existing.as_ref(), change);
                }
                Ok(Answer::Ruled(done))
            }
        }
    }

    fn reserve(&mut self, key: RecordKey, record: Record, now: u64) -> Result<Answer, StoreFault> {
        let existing = self.layers.read(&key)?;
        let verdict = judge(existing.as_ref(), &record.fingerprint, now);
        if verdict != Verdict::Proceed {
            return Ok(Answer::Refused(verdict));
        }
        if existing.is_none() && self.keys >= self.max_keys {
            return Ok(Answer::Full);
        }
        self.apply(key, existing.as_ref(), Change::Write(record.clone()));
        // The proof is made here and handed out by the writer after the commit.
        Reserved::on_disk(key, record).map_or_else(|| Err(damaged(&key)), |reserved| Ok(Answer::Reserved(reserved)))
    }

    /// Leaves the proof with its owner: should the commit fail, it is needed again.
    fn settle(&mut self, reserved: &Reserved, settlement: Settlement) -> Result<Answer, StoreFault> {
        let key = *reserved.key();
        let existing = self.layers.read(&key)?;
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
        self.apply(key, existing.as_ref(), change);
        Ok(Answer::Settled)
    }

    fn has_room_for(&self, answer: &[u8]) -> bool {
        self.answer_bytes.saturating_add(answer.len() as u64) <= self.max_answer_bytes
    }

    fn apply(&mut self, key: RecordKey, existing: Option<&Record>, change: Change) {
        if let Some(existing) = existing {
            self.keys = self.keys.saturating_sub(1);
            self.unknown = self.unknown.saturating_sub(u64::from(is_unknown(existing)));
            self.answer_bytes = self.answer_bytes.saturating_sub(existing.answer_bytes() as u64);
        }
        let word = match change {
            Change::Write(record) => {
                self.keys += 1;
                self.unknown += u64::from(is_unknown(&record));
                self.answer_bytes += record.answer_bytes() as u64;
                self.group.push(&key, Some(&record));
                Word::Is(record)
            }
            Change::Forget => {
                self.group.push(&key, None);
                Word::Gone
            }
        };
        self.layers.newest.insert(key, word);
    }
}

/// Carrying the daybook to the tree.
impl Embedded {
    /// What is done when nobody has asked for anything for a while: the tree gets what it has not.
    pub(super) fn idle(&mut self) -> Result<(), StoreFault> {
        self.take_note(false)?;
        if self.carrier.is_none() && self.since.is_some() {
            self.carry()?;
        }
        Ok(())
    }

    /// Leaves everything in the tree, which needs no daybook then, and closes it.
    pub(super) fn close(mut self) -> Result<(), StoreFault> {
        self.take_note(true)?;
        self.sweep()?;
        let note = Note {
            id: None,
            ..self.note()
        };
        carry::carry(&self.database, &self.layers.newest, self.layers.view.runs.clone(), note).map(drop)
    }

    /// Makes sure that a commit of so many bytes fits into the daybook. Waits only if it does not, and what was written
    /// before is still being carried.
    fn make_room(&mut self, bytes: usize) -> Result<(), StoreFault> {
        let has_room = self.daybook.has_room_for(bytes);
        if !has_room {
            self.take_note(true)?;
        }
        if self.carrier.is_none() && (!has_room || self.daybook.is_half_full() || self.is_old()) {
            self.carry()?;
        }
        Ok(())
    }

    fn is_old(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= CARRY_AFTER)
    }

    /// A store that is full of what has expired begins to make place, at once for keys and soon for answers.
    fn find_place(&mut self, requests: &[Request]) -> Result<(), StoreFault> {
        let answers = requests.iter().map(Request::answer_bytes).sum::<usize>() as u64;
        let is_full = self.keys >= self.max_keys || self.answer_bytes.saturating_add(answers) > self.max_answer_bytes;
        let Some(now) = self.now.filter(|_| is_full && self.carrier.is_none()) else {
            return Ok(());
        };
        let is_left = |it: Result<(_, RecordKey), _>| it.is_ok_and(|(_, key)| !self.layers.newest.contains_key(&key));
        if self.layers.view.expired(now)?.any(is_left) {
            self.carry()?;
        }
        Ok(())
    }

    /// Carries everything to the tree.
    pub(super) fn carry_all(&mut self) -> Result<(), StoreFault> {
        self.take_note(true)?;
        self.carry()?;
        self.take_note(true)
    }

    /// Begins to carry what came since the last time. Nothing else may be carried at the moment.
    fn carry(&mut self) -> Result<(), StoreFault> {
        self.sweep()?;
        self.layers.carried = Arc::new(std::mem::take(&mut self.layers.newest));
        let runs = self.layers.view.runs.clone();
        self.carrier = Some(Carrier::start(&self.database, &self.layers.carried, runs, self.note())?);
        // Everything in the other file is in the tree since the carrier before.
        std::mem::swap(&mut self.daybook, &mut self.spare);
        self.daybook.restart();
        self.since = None;
        if self.is_patient {
            self.take_note(true)?;
        }
        Ok(())
    }

    const fn note(&self) -> Note {
        Note {
            sequence: self.sequence,
            latest: self.latest,
            id: Some(self.id),
        }
    }

    /// Takes note of what was carried, if that is done or if it shall be waited for.
    fn take_note(&mut self, wait: bool) -> Result<(), StoreFault> {
        if let Some(carrier) = self.carrier.take_if(|carrier| wait || carrier.is_done()) {
            let Carried { freed, runs } = carrier.join()?;
            self.answer_bytes = self.answer_bytes.saturating_sub(freed.swept);
            self.layers.view = View::of(&self.database, runs)?;
            let carried = std::mem::take(&mut self.layers.carried);
            // Many small pieces, and somebody waits for this thread. Without another one they are dropped here.
            let _ = Builder::new().spawn(move || drop(carried));
        }
        Ok(())
    }

    /// Removes what has expired, oldest first. The tree has no word of it until that is carried: after a crash before, what
    /// has expired is there again, and counts as absent.
    fn sweep(&mut self) -> Result<(), StoreFault> {
        let Some(now) = self.now else { return Ok(()) };
        let newest = &mut self.layers.newest;
        let most = MAX_SWEEP.max(2 * newest.len());
        for word in newest.values_mut() {
            if let Word::Is(record) = word
                && record.is_expired(now)
            {
                self.keys = self.keys.saturating_sub(1);
                self.answer_bytes = self.answer_bytes.saturating_sub(record.answer_bytes() as u64);
                *word = Word::Gone;
            }
        }
        let mut doomed = Vec::new();
        for key in self.layers.view.expired(now)?.take(most) {
            doomed.push(key?);
        }
        for (at, key) in doomed {
            if let Entry::Vacant(place) = newest.entry(key) {
                place.insert(Word::Swept(at));
                self.keys = self.keys.saturating_sub(1);
            }
        }
        Ok(())
    }
}

impl Drop for Embedded {
    /// Nobody else can have the database before the carrier has let go of it.
    fn drop(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

pub(super) const fn is_unknown(record: &Record) -> bool {
    matches!(record.state, State::Unknown { .. })
}

/// The file was verified when it was opened, so this is no state that it may be in.
pub(super) fn damaged(key: &RecordKey) -> StoreFault {
    StoreFault::Corrupt(format!("record {key} is not as it was written"))
}
