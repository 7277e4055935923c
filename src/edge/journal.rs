//! The audit file: appended to by one thread, in batches, and continued after a crash.
//!
//! A request takes room in the queue before it does anything ([`Journal::slot`]), so that its line can never be lost for
//! want of room. Lines are formatted, hashed and written by the writer thread, off the request's path: all that wait are
//! one write, and all that must be on disk share one sync. When nobody waits, lines are gathered for [`GATHER`].
//! There is room on the disk, too, before there is a need of it: without, no request is taken.

mod preallocated;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use self::preallocated::Preallocated;
use crate::audit::{self, Entry, Event, Link, chain, verify::MAX_LINE};

/// Most lines that may wait to be written; a request that finds no room is refused.
pub const MAX_QUEUED: usize = 65_536;

/// Most events that may wait beside them.
pub const MAX_EVENTS: usize = 256;

/// How long lines are gathered when nobody waits for them.
pub const GATHER: Duration = Duration::from_millis(5);

/// How long the writer waits before it tries a file again that could not be written.
pub const RETRY: Duration = Duration::from_secs(1);

/// How long a start waits for the file of a gateway that is just ending.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Most lines that are formatted into one write.
const MAX_BATCH: usize = 4096;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output: it can be neither continued nor synced.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// The open journal. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Shared>);

/// Room for one line.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    used: bool,
}

/// Done when the line is on disk.
#[derive(Debug)]
pub struct Filed(oneshot::Receiver<()>);

/// What the last life had left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes of a torn last line that were cut off.
    pub cut_bytes: u64,
}

/// Why the journal takes no line.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// The file cannot be opened, read or locked.
    #[error("`{path}`: {1}", path = .0.display())]
    Open(PathBuf, io::Error),
    /// Another gateway writes it.
    #[error("`{path}` is in use by another gateway", path = .0.display())]
    InUse(PathBuf),
    /// Its last record is none of ours.
    #[error("`{path}`: the last record {1}; it is not continued", path = .0.display())]
    Broken(PathBuf, chain::LineFault),
    /// Too many lines wait.
    #[error("{MAX_QUEUED} lines wait to be written")]
    Full,
    /// The last write failed.
    #[error("the audit log cannot be written")]
    Unwritable,
    /// The writer thread could not be started.
    #[error("no thread: {0}")]
    Thread(io::Error),
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the writer.
    work: Condvar,
    /// The last write succeeded.
    healthy: AtomicBool,
    /// The disk has blocks for lines to come.
    preallocated: AtomicBool,
    records: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Lines that wait, and room that was given out for more.
    taken: usize,
    lines: VecDeque<Line>,
    /// Somebody waits for a line to be on disk.
    urgent: bool,
    closing: bool,
}

#[derive(Debug)]
struct Line {
    what: What,
    filed: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum What {
    Entry(Box<Entry>),
    Event(Event),
}

impl Journal {
    /// Opens the log and continues its chain. A torn last line is cut off, and an `audit_recovered` event says so.
    ///
    /// # Errors
    /// The file is not ours to continue.
    pub fn open(target: Target) -> Result<(Self, Recovered), JournalFault> {
        let (sink, recovered) = Sink::open(target)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            healthy: AtomicBool::new(true),
            preallocated: AtomicBool::new(true),
            records: AtomicU64::new(0),
            writer: Mutex::new(None),
        });
        let journal = Self(Arc::clone(&shared));
        let mut writer = Writer::new(shared, sink);
        writer.preallocate();
        if recovered.cut_bytes > 0 {
            let event = Event::new("audit_recovered").with("cut_bytes", &recovered.cut_bytes.to_string());
            journal.event(event)?;
        }
        let writer = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run())
            .map_err(JournalFault::Thread)?;
        *lock(&journal.0.writer) = Some(writer);
        Ok((journal, recovered))
    }

    /// Takes room for one line.
    ///
    /// # Errors
    /// [`JournalFault::Full`], [`JournalFault::Unwritable`].
    pub fn slot(&self) -> Result<Slot, JournalFault> {
        if !self.healthy() {
            return Err(JournalFault::Unwritable);
        }
        self.take(MAX_QUEUED)
    }

    fn take(&self, most: usize) -> Result<Slot, JournalFault> {
        let mut queue = lock(&self.0.queue);
        if queue.taken >= most {
            return Err(JournalFault::Full);
        }
        queue.taken += 1;
        Ok(Slot {
            shared: Arc::clone(&self.0),
            used: false,
        })
    }

    /// Records something that happened to the gateway itself. That is kept also while the file cannot be written, and has
    /// room of its own beside the requests'.
    ///
    /// # Errors
    /// [`JournalFault::Full`].
    pub fn event(&self, event: Event) -> Result<(), JournalFault> {
        self.take(MAX_QUEUED + MAX_EVENTS)?.put(What::Event(event), None);
        Ok(())
    }

    /// Records an event that must be on disk before what it tells of is done. Should waiting for it fail, it may still be
    /// written later.
    ///
    /// # Errors
    /// [`JournalFault::Full`], [`JournalFault::Unwritable`].
    pub fn event_on_disk(&self, event: Event) -> Result<Filed, JournalFault> {
        if !self.healthy() {
            return Err(JournalFault::Unwritable);
        }
        let (filed, wait) = oneshot::channel();
        self.take(MAX_QUEUED + MAX_EVENTS)?.put(What::Event(event), Some(filed));
        Ok(Filed(wait))
    }

    /// Whether the last write succeeded and there is room for more.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.0.healthy.load(Ordering::Relaxed) && self.0.preallocated.load(Ordering::Relaxed)
    }

    /// Lines written in this life.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.records.load(Ordering::Relaxed)
    }

    /// Writes and syncs what waits, and ends the writer.
    pub fn close(&self) {
        lock(&self.0.queue).closing = true;
        self.0.work.notify_one();
        if let Some(writer) = lock(&self.0.writer).take() {
            let _ = writer.join();
        }
    }
}

impl Slot {
    /// Files a request's line. `durable` gives what to wait for until it is on disk.
    pub fn file(self, entry: Box<Entry>, durable: bool) -> Option<Filed> {
        let (filed, wait) = durable.then(oneshot::channel).unzip();
        self.put(What::Entry(entry), filed);
        wait.map(Filed)
    }

    fn put(mut self, what: What, filed: Option<oneshot::Sender<()>>) {
        self.used = true;
        let mut queue = lock(&self.shared.queue);
        // The writer sleeps soundly only while nothing waits; then the first line wakes it, and so does the first
        // that somebody waits for.
        let wake = queue.lines.is_empty() || (filed.is_some() && !queue.urgent);
        queue.urgent |= filed.is_some();
        queue.lines.push_back(Line { what, filed });
        drop(queue);
        if wake {
            self.shared.work.notify_one();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.used {
            let mut queue = lock(&self.shared.queue);
            queue.taken = queue.taken.saturating_sub(1);
        }
    }
}

impl Future for Filed {
    type Output = Result<(), JournalFault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| JournalFault::Unwritable)
    }
}

/// The file, and where its chain stands.
#[derive(Debug)]
struct Sink {
    target: Target,
    file: Option<File>,
    /// Length of the file up to its last whole line.
    length: u64,
    link: Link,
    preallocated: Preallocated,
}

impl Sink {
    fn open(target: Target) -> Result<(Self, Recovered), JournalFault> {
        let mut sink = Self {
            file: None,
            length: 0,
            link: Link::GENESIS,
            preallocated: Preallocated::default(),
            target,
        };
        let mut recovered = Recovered::default();
        if let Target::File(path) = sink.target.clone() {
            let fault = |fault| JournalFault::Open(path.clone(), fault);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(fault)?;
            }
            let mut file = open(&path).map_err(fault)?;
            take_lock(&file).map_err(|held| match held {
                TryLockError::WouldBlock => JournalFault::InUse(path.clone()),
                TryLockError::Error(fault) => JournalFault::Open(path.clone(), fault),
            })?;
            let (length, last) = last_line(&mut file).map_err(fault)?;
            let whole = file.metadata().map_err(fault)?.len();
            if length < whole {
                recovered.cut_bytes = whole - length;
                file.set_len(length).map_err(fault)?;
            }
            if let Some(last) = last {
                let place = chain::read(&last).map_err(|fault| JournalFault::Broken(path.clone(), fault))?;
                sink.link = Link {
                    seq: place.seq,
                    hash: place.hash,
                };
            }
            sink.length = length;
            sink.file = Some(file);
        }
        Ok((sink, recovered))
    }

    /// Writes whole lines, all or none.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            let mut stdout = io::stdout().lock();
            return stdout.write_all(lines).and_then(|()| stdout.flush());
        };
        if let Err(fault) = file.write_all(lines) {
            // What was written in part is no line. Should this fail too, the next start finds it torn and cuts it.
            let _ = file.set_len(self.length);
            return Err(fault);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match &self.file {
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }

    /// Allocates blocks for lines to come.
    fn preallocate(&mut self) -> io::Result<()> {
        match &self.file {
            Some(file) => self.preallocated.extend(file, self.length),
            None => Ok(()),
        }
    }

    /// Gives back the blocks that were not needed.
    fn give_back(&mut self) {
        if let Some(file) = &self.file {
            self.preallocated.give_back(file, self.length);
        }
    }

    /// A file that was moved away is followed by a new one at its place, in which the chain goes on.
    fn follow_rotation(&mut self) -> io::Result<()> {
        let (Target::File(path), Some(file)) = (&self.target, &self.file) else {
            return Ok(());
        };
        let ours = file.metadata()?;
        let moved = match std::fs::metadata(path) {
            Ok(there) => (there.dev(), there.ino()) != (ours.dev(), ours.ino()),
            Err(fault) => fault.kind() == io::ErrorKind::NotFound,
        };
        if moved {
            file.sync_data()?;
            let next = open(path)?;
            next.try_lock().map_err(io::Error::other)?;
            self.give_back();
            self.length = next.metadata()?.len();
            self.file = Some(next);
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Takes the file for this process; waits a moment for one that is just ending.
fn take_lock(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            taken => return taken,
        }
    }
}

/// Where the last whole line ends, and that line without its end.
fn last_line(file: &mut File) -> io::Result<(u64, Option<Vec<u8>>)> {
    let length = file.metadata()?.len();
    let kept = u64::try_from(2 * MAX_LINE).unwrap_or(u64::MAX).min(length);
    file.seek(SeekFrom::Start(length - kept))?;
    let mut tail = Vec::new();
    file.take(kept).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        if kept == length {
            return Ok((0, None));
        }
        return Err(io::Error::other("the last line is longer than any that is written"));
    };
    let torn = (tail.len() - end - 1) as u64;
    tail.truncate(end);
    let start = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok((length - torn, Some(tail.split_off(start))))
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    sink: Sink,
    /// Used again for each batch.
    buffer: Vec<u8>,
    looked: Instant,
}

impl Writer {
    fn new(shared: Arc<Shared>, sink: Sink) -> Self {
        Self {
            shared,
            sink,
            buffer: Vec::new(),
            looked: Instant::now(),
        }
    }

    fn run(mut self) {
        loop {
            let (batch, closing) = self.next_batch();
            if !batch.is_empty() {
                self.write(batch, closing);
            } else if closing {
                // All is written.
                let _ = self.sink.sync();
                self.sink.give_back();
                return;
            }
            self.preallocate();
        }
    }

    /// Waits for lines, and then for more unless somebody waits for these.
    fn next_batch(&self) -> (Vec<Line>, bool) {
        let mut queue = lock(&self.shared.queue);
        while queue.lines.is_empty() && !queue.closing {
            if !self.shared.preallocated.load(Ordering::Relaxed) {
                // There may be room by and by.
                let (queue, _) = self
                    .shared
                    .work
                    .wait_timeout(queue, RETRY)
                    .unwrap_or_else(PoisonError::into_inner);
                if queue.lines.is_empty() {
                    return (Vec::new(), queue.closing);
                }
                return self.gathered(queue);
            }
            queue = self.shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        self.gathered(queue)
    }

    /// Takes the lines that wait, and those that come within [`GATHER`] unless somebody waits.
    fn gathered(&self, mut queue: MutexGuard<'_, Queue>) -> (Vec<Line>, bool) {
        let until = Instant::now() + GATHER;
        while !queue.urgent && !queue.closing && queue.lines.len() < MAX_BATCH {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self
                .shared
                .work
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let count = queue.lines.len().min(MAX_BATCH);
        let batch = queue.lines.drain(..count).collect();
        queue.urgent = queue.lines.iter().any(|line| line.filed.is_some());
        (batch, queue.closing)
    }

    fn write(&mut self, mut batch: Vec<Line>, closing: bool) {
        if self.looked.elapsed() >= RETRY {
            self.looked = Instant::now();
            if let Err(fault) = self.sink.follow_rotation() {
                tracing::error!(%fault, "the audit log was moved away, and no new one can be opened");
            }
        }
        let mut link = self.sink.link;
        self.buffer.clear();
        for line in &batch {
            match &line.what {
                What::Entry(entry) => audit::write_entry(entry, &mut link, &mut self.buffer),
                What::Event(event) => audit::write_event(event, &mut link, &mut self.buffer),
            }
        }
        let durable = batch.iter().any(|line| line.filed.is_some());
        if !self.written(durable, closing, &mut batch) {
            // The chain goes on where it was; only the operators' log can still say how many there were.
            tracing::error!(lines = batch.len(), "audit lines were lost");
            self.release(batch.len());
            return;
        }
        self.sink.link = link;
        self.shared.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.release(batch.len());
        for filed in batch.into_iter().filter_map(|line| line.filed) {
            let _ = filed.send(());
        }
    }

    /// Writes the buffer, trying again until it works or the journal closes. While it does not, no request is taken, and
    /// nobody is kept waiting.
    fn written(&mut self, durable: bool, closing: bool, batch: &mut [Line]) -> bool {
        let mut written = false;
        loop {
            let result = if written { Ok(()) } else { self.sink.write(&self.buffer) };
            written |= result.is_ok();
            let result = result.and_then(|()| if durable { self.sink.sync() } else { Ok(()) });
            match result {
                Ok(()) => {
                    if !self.shared.healthy.swap(true, Ordering::Relaxed) {
                        tracing::info!("the audit log can be written again");
                    }
                    return true;
                }
                Err(fault) => {
                    if self.shared.healthy.swap(false, Ordering::Relaxed) {
                        tracing::error!(%fault, "the audit log cannot be written; requests are refused");
                    }
                }
            }
            let mut queue = lock(&self.shared.queue);
            for line in batch.iter_mut().chain(&mut queue.lines) {
                line.filed = None;
            }
            queue.urgent = false;
            if closing || queue.closing {
                return false;
            }
            drop(
                self.shared
                    .work
                    .wait_timeout(queue, RETRY)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Allocates blocks for lines to come. While there are none, what was begun is still written into those from before.
    fn preallocate(&mut self) {
        let made = self.sink.preallocate();
        match (&made, self.shared.preallocated.swap(made.is_ok(), Ordering::Relaxed)) {
            (Ok(()), false) => tracing::info!("there is room for the audit log again"),
            (Err(fault), true) => tracing::error!(%fault, "there is no room for the audit log; requests are refused"),
            _ => {}
        }
    }

    fn release(&self, count: usize) {
        let mut queue = lock(&self.shared.queue);
        queue.taken = queue.taken.saturating_sub(count);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
