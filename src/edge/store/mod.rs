//! The keys that were used, on disk (S1.8; interface, section 6).
//!
//! Any number of single-threaded runtimes ask; one thread writes. Whatever waits when the writer is free shares one
//! commit, so that a disk which syncs a few thousand times a second takes tens of thousands of keys. Nothing is
//! acknowledged that is not on disk.
//!
//! The one who writes has the files of a folder ([`embedded`]), or speaks for this gateway to a server that several share
//! ([`shared`], [`postgres`], [`redis`]). Who asks does not know which, but for locks ([`leases`]), which only gateways that
//! share a store need.
//!
//! What a key means is not known here but in [`crate::ledger`]; who asks, and in which request, is not known at all.

mod adopt;
mod carry;
mod convert;
mod daybook;
mod embedded;
mod faults;
mod file;
mod layer;
mod leases;
mod listing;
mod postgres;
mod queue;
mod redis;
mod replay;
mod request;
mod runs;
mod shared;
mod snapshot;
mod waiters;
mod wire;
mod writer;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod locking;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use self::redis::Redis;
use crate::config::{ServerKind, SharedStore};
use crate::ledger::{Fingerprint, Owner, Record, RecordKey, Reserved, Ruling, Verdict};
use embedded::{Answer, Embedded, Request, Settlement};
use postgres::Postgres;
use queue::{Parcel, Queue};
use shared::Clock;
use writer::Reopen;

pub use embedded::{MAX_ANSWER_BYTES, MAX_BATCH, MAX_KEYS, MAX_LISTED, MAX_SCANNED, MAX_SCANNED_BYTES, MAX_SWEEP};
pub use faults::StoreFault;
pub use file::BACKUP;
pub use leases::{Lease, LockName, Released, Sure};
pub use listing::{Filter, Kind, Page};
pub use queue::{MAX_LIVE, MAX_QUEUED};
pub use redis::{Counted, SharedPaces, SharedPacing, Whose};
pub use snapshot::Copied;
pub use waiters::{MAX_WAITERS, MAX_WAITERS_PER_KEY};

/// A handle on a store. Clones share it; the last one (with the last [`Reservation`]) writes what waits and closes the
/// file, or takes its leave of the server.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Server,
}

/// How long whoever settles a key waits for a server. The outcome is written all the same, as soon as it can be.
pub const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// How often a key is looked at again that may be settled by another gateway.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a reservation comes to.
#[derive(Debug)]
pub enum Claim {
    /// The key is on disk, and this request is the one that runs.
    Granted(Reservation),
    /// It is not; never [`Verdict::Proceed`].
    Refused(Verdict),
}

/// The right, and the duty, to run a keyed request once and to say what became of it.
///
/// Dropped without a word, the outcome counts as unknown: whoever held this may have sent something.
#[derive(Debug)]
#[must_use = "a reservation that is dropped makes the outcome of its request unknown"]
pub struct Reservation {
    /// Absent once settled.
    reserved: Option<Reserved>,
    shared: Arc<Shared>,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many keys stand on disk.
    pub keys: u64,
    /// How many of their outcomes are unknown and wait for an operator.
    pub unknown: u64,
    /// Size of the files, or of the tables, in bytes.
    pub file_bytes: u64,
    /// How many commits were made since the start.
    pub commits: u64,
    /// How many requests wait for the writer.
    pub waiting: usize,
    /// Whether it takes requests.
    pub up: bool,
}

impl Store {
    /// Opens the store in `folder`, which is made if it is not there (mode 0700; the files, 0600).
    ///
    /// Verifies every page and every record, carries what a life that did not end in order left in the daybook to the tree, and turns what ran in an earlier life into an unknown outcome. Reads the
    /// whole file, so it blocks for some seconds a gigabyte: for the start of the program only.
    ///
    /// # Errors
    /// [`StoreFault::InUse`], [`StoreFault::Newer`], [`StoreFault::Corrupt`], [`StoreFault::Io`].
    pub fn open(folder: &Path) -> Result<Self, StoreFault> {
        let engine = Embedded::open(folder)?;
        let again = folder.to_owned();
        let reopen = move || Embedded::reopen(&again);
        Self::start(engine, Box::new(reopen), folder.join(embedded::FILE), Queue::default())
    }

    /// Opens the store of a server. One that does not answer is no fault: the store is away until it does.
    ///
    /// # Errors
    /// [`StoreFault::Newer`], [`StoreFault::Refused`], [`StoreFault::Volatile`], [`StoreFault::Io`].
    pub fn join(server: &SharedStore) -> Result<Self, StoreFault> {
        let queue = Arc::new(Queue::default());
        let (given, lease) = (server.clone(), server.lease);
        let shared = Arc::clone(&queue);
        let writer = match server.kind {
            ServerKind::PostgreSql => shared::spawn(move || Postgres::new(given, Clock::Server), lease, shared)?,
            ServerKind::Redis => shared::spawn(move || Redis::new(given, Clock::Server), lease, shared)?,
        };
        Ok(Self::of_server(queue, writer))
    }

    fn of_server(queue: Arc<Queue>, writer: JoinHandle<()>) -> Self {
        Self(Arc::new(Shared {
            queue,
            writer: Some(writer),
            place: Place::Server,
        }))
    }

    /// Whether several gateways share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0.place, Place::Server)
    }

    fn start(engine: Embedded, reopen: Reopen, file: PathBuf, queue: Queue) -> Result<Self, StoreFault> {
        let queue = Arc::new(queue);
        let writer = writer::spawn(engine, reopen, Arc::clone(&queue))?;
        Ok(Self(Arc::new(Shared {
            queue,
            writer: Some(writer),
            place: Place::File(file),
        })))
    }

    /// Makes a store with these finished records in `folder`, where there must be none: for measurements, which want many
    /// keys and have little time. In the order of their names it is fastest.
    ///
    /// # Errors
    /// [`StoreFault::InUse`], [`StoreFault::Io`], [`StoreFault::NoRoom`].
    pub fn make(folder: &Path, records: impl IntoIterator<Item = (RecordKey, Record)>) -> Result<(), StoreFault> {
        file::fill(folder, records)
    }

    /// Whether there is a store in `folder`; opening one makes it.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(embedded::FILE).exists()
    }

    /// Claims a key for a request. `owner` is what operators will read of it; `keep` is how long it is remembered once
    /// finished; `now` in unix seconds.
    ///
    /// A caller that goes away before it has the reservation has sent nothing: the key is released.
    ///
    /// # Errors
    /// [`StoreFault::Busy`], [`StoreFault::NoRoom`] and [`StoreFault::Full`], which pass; otherwise the store has closed for good.
    pub async fn reserve(
        &self,
        key: RecordKey,
        owner: Option<Arc<Owner>>,
        fingerprint: Fingerprint,
        keep: Duration,
        now: u64,
    ) -> Result<Claim, StoreFault> {
        let request = Request::Reserve {
            key,
            owner,
            fingerprint,
            keep,
            now,
        };
        match self.ask(request).await? {
            Answer::Reserved(reserved) => Ok(Claim::Granted(Reservation {
                reserved: Some(reserved),
                shared: Arc::clone(&self.0),
            })),
            Answer::Refused(verdict) => Ok(Claim::Refused(verdict)),
            Answer::Full => Err(StoreFault::Full),
            _ => Err(StoreFault::Closed),
        }
    }

    /// What stands under a key.
    ///
    /// # Errors
    /// As [`Store::reserve`].
    pub async fn show(&self, key: RecordKey) -> Result<Option<Record>, StoreFault> {
        match self.ask(Request::Show { key }).await? {
            Answer::Shown(record) => Ok(record),
            _ => Err(StoreFault::Closed),
        }
    }

    /// Asks for a key whose first request still runs again as soon as that is settled, for up to `wait`. Beyond
    /// [`MAX_WAITERS`] or [`MAX_WAITERS_PER_KEY`] the answer is at once that it still runs.
    ///
    /// # Errors
    /// As `ask`.
    pub async fn wait_for(
        &self,
        key: RecordKey,
        wait: Duration,
        ask: impl AsyncFn() -> Result<Claim, StoreFault>,
    ) -> Result<Claim, StoreFault> {
        let every = self.is_shared().then_some(LOOK_EVERY);
        waiters::patiently(&self.0.queue.waiters, key, wait, every, ask).await
    }

    /// Some records after `after`, in the order of their names.
    ///
    /// # Errors
    /// As [`Store::reserve`].
    pub async fn list(&self, filter: Filter, after: Option<RecordKey>, now: u64) -> Result<Page, StoreFault> {
        match self.ask(Request::List { filter, after, now }).await? {
            Answer::Listed(page) => Ok(page),
            _ => Err(StoreFault::Closed),
        }
    }

    /// Writes down an operator's word on an unknown outcome; false when what stands under `key` is not, or not any more,
    /// the unknown outcome that the operator has `seen`.
    ///
    /// # Errors
    /// As [`Store::reserve`].
    pub async fn rule(&self, key: RecordKey, seen: Record, ruling: Ruling, now: u64) -> Result<bool, StoreFault> {
        let request = Request::Rule { key, seen, ruling, now };
        match self.ask(request).await? {
            Answer::Ruled(done) => Ok(done),
            _ => Err(StoreFault::Closed),
        }
    }

    /// Copies the store, as of its last commit, to [`BACKUP`] in its folder, in place of an earlier copy there. Others are
    /// served meanwhile.
    ///
    /// # Errors
    /// As [`Store::reserve`], or the copy cannot be written. A server has its own ways of making copies.
    pub async fn back_up(&self) -> Result<Copied, StoreFault> {
        let Place::File(file) = &self.0.place else {
            return Err(StoreFault::Refused(
                "copies of a shared store are made with its server's own tools".to_owned(),
            ));
        };
        let Answer::Snapshot(snapshot) = self.ask(Request::Snapshot).await? else {
            return Err(StoreFault::Closed);
        };
        let file = file.with_file_name(BACKUP);
        tokio::task::spawn_blocking(move || snapshot.write_to(&file))
            .await
            .map_err(|_| StoreFault::Corrupt("a broken assertion".to_owned()))?
    }

    /// Whether the store takes requests. While there is no room on the disk, or a server is away, it does not; after any
    /// other fault of a commit the embedded store never does again in this life.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.queue.is_open()
    }

    /// Why the server of a shared store is away, if it is.
    #[must_use]
    pub fn away(&self) -> Option<StoreFault> {
        self.0.queue.away_because()
    }

    /// Figures for metrics; asks the file system for the sizes of the files. Those of a server are some seconds old.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let figures = self.0.queue.figures();
        Stats {
            keys: figures.keys,
            unknown: figures.unknown,
            commits: figures.commits,
            waiting: figures.waiting,
            up: self.is_healthy(),
            file_bytes: match &self.0.place {
                Place::File(file) => size_beside(file),
                Place::Server => figures.bytes,
            },
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer, StoreFault> {
        let reply = self.0.queue.ask(request)?;
        reply.await.map_err(|_| StoreFault::Closed)?.map(Parcel::open)
    }
}

/// How large the store's files are, bytes.
fn size_beside(tree: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let daybook = daybook::FILES.iter().map(|name| size(&tree.with_file_name(name)));
    size(tree) + daybook.sum::<u64>()
}

impl Reservation {
    /// Which key; none once it is settled.
    #[must_use]
    pub fn key(&self) -> Option<&RecordKey> {
        self.reserved.as_ref().map(Reserved::key)
    }

    /// Whether the key is still this request's for sure: to be asked right before anything is sent. In a shared store, a
    /// gateway that was not heard of for too long (it was stopped, or its machine slept) may have lost it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.shared.queue.is_held()
    }

    /// Which request it is for; none once it is settled.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.reserved.as_ref().map(Reserved::fingerprint)
    }

    /// The backend gave a whole answer, of any status. Answer the client only after this has returned.
    ///
    /// An id longer than [`crate::ledger::MAX_TRANSACTION_ID`] is left out.
    ///
    /// # Errors
    /// The outcome is not known to be on disk; the key is found unknown, or finished, when the store is opened again. With
    /// [`StoreFault::NoRoom`] it is written as soon as there is room, unless the program ends before.
    pub async fn complete(self, status: u16, transaction_id: Option<Box<str>>, now: u64) -> Result<(), StoreFault> {
        self.complete_with(status, transaction_id, None, now).await
    }

    /// The same, and what is kept of the answer: sealed, in the same step. A store that has no room for it, or an answer
    /// longer than [`crate::ledger::MAX_SEALED_ANSWER`], keeps the outcome without it.
    ///
    /// # Errors
    /// As [`Reservation::complete`].
    pub async fn complete_with(
        self,
        status: u16,
        transaction_id: Option<Box<str>>,
        answer: Option<Arc<[u8]>>,
        now: u64,
    ) -> Result<(), StoreFault> {
        let settlement = Settlement::Complete {
            status,
            transaction_id,
            answer,
            now,
        };
        self.settle(settlement).await
    }

    /// Surely not a byte was sent: the key is free again.
    ///
    /// # Errors
    /// The key is not known to be free; it is found unknown when the store is opened again.
    pub async fn release(self) -> Result<(), StoreFault> {
        self.settle(Settlement::Release).await
    }

    /// Something may have been sent, and no whole answer came.
    ///
    /// # Errors
    /// That is not known to be on disk; the key is found unknown when the store is opened again.
    pub async fn unknown(self, now: u64) -> Result<(), StoreFault> {
        self.settle(Settlement::Unknown { now: Some(now) }).await
    }

    async fn settle(mut self, settlement: Settlement) -> Result<(), StoreFault> {
        let Some(reserved) = self.reserved.take() else {
            return Err(StoreFault::Closed);
        };
        let reply = self.shared.queue.settle(Request::Settle { reserved, settlement })?;
        let reply = match self.shared.place {
            Place::File(_) => reply.await,
            Place::Server => tokio::time::timeout(SETTLE_PATIENCE, reply)
                .await
                .map_err(|_| StoreFault::Unavailable("no answer in time".to_owned()))?,
        };
        match reply.map_err(|_| StoreFault::Closed)?.map(Parcel::open)? {
            Answer::Settled => Ok(()),
            Answer::Overtaken => Err(StoreFault::Overtaken),
            _ => Err(StoreFault::Closed),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(reserved) = self.reserved.take() {
            tracing::warn!(record = %reserved.key(), "a keyed write was dropped, so that its outcome is unknown");
            // Nobody waits for the reply. A closed store needs no word: what runs is unknown when it is opened again.
            let settlement = Settlement::Unknown { now: None };
            let _ = self.shared.queue.settle(Request::Settle { reserved, settlement });
        }
    }
}

impl Drop for Shared {
    /// Never runs on the writer's own thread, which holds the queue and nothing else of this.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
