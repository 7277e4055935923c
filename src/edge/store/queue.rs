//! Between those who ask and the one who writes: a bounded queue.
//!
//! Settling never meets a full queue. A reservation that was granted has its place until it is settled, for a payment
//! that was made must be written down however busy the store is. While the server of a shared store is away, settlements
//! wait for it and everything else is told so at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, oneshot};

use super::StoreFault;
use super::embedded::{Answer, MAX_BATCH, Request, Settlement};
use super::leases::{self, Sure};
use super::waiters::Waiters;

/// Most requests that wait for the writer, besides settlements; one more is [`StoreFault::Busy`].
pub const MAX_QUEUED: usize = 4096;

/// Most requests that wait plus reservations not yet settled; one more is [`StoreFault::Busy`]. Bounds the settlements
/// that can wait, too.
pub const MAX_LIVE: usize = 32_768;

/// A request, and where its answer goes.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Result<Parcel, StoreFault>>,
}

impl Job {
    /// Nobody waits for its answer.
    pub(super) fn unheard(request: Request) -> Self {
        let (reply, _) = oneshot::channel();
        Self { request, reply }
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    /// The same as `ready`, for tasks.
    called: Notify,
    /// The server went away, for whoever looks for it.
    lost: Notify,
    /// Who waits for a key to be settled.
    pub(super) waiters: Arc<Waiters>,
    max_queued: usize,
    max_live: usize,
}

#[derive(Debug)]
struct State {
    jobs: VecDeque<Job>,
    /// Those among the jobs that are not settlements.
    queued: usize,
    /// Waiting requests and reservations not yet settled.
    live: usize,
    phase: Phase,
    /// Why the server is away.
    away: Option<StoreFault>,
    /// Until when what is held here is held for sure; none where nobody else can take it.
    held: Option<Sure>,
    keys: u64,
    unknown: u64,
    bytes: u64,
    commits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Takes everything.
    Open,
    /// The server is away: takes settlements, which wait.
    Away,
    /// There is no room on the disk: takes settlements, and keeps them until there is.
    Suspended,
    /// Takes settlements, and ends when nothing waits.
    Draining,
    /// Takes nothing.
    Ended,
}

/// What the metrics want to know.
pub(super) struct Figures {
    pub(super) keys: u64,
    pub(super) unknown: u64,
    pub(super) bytes: u64,
    pub(super) commits: u64,
    pub(super) waiting: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self::with_limits(MAX_QUEUED, MAX_LIVE)
    }
}

impl Queue {
    pub(super) fn with_limits(max_queued: usize, max_live: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                queued: 0,
                live: 0,
                phase: Phase::Open,
                away: None,
                held: None,
                keys: 0,
                unknown: 0,
                bytes: 0,
                commits: 0,
            }),
            ready: Condvar::new(),
            called: Notify::new(),
            lost: Notify::new(),
            waiters: Arc::default(),
            max_queued,
            max_live,
        }
    }

    /// Queues a request that may be refused.
    pub(super) fn ask(&self, request: Request) -> Result<oneshot::Receiver<Result<Parcel, StoreFault>>, StoreFault> {
        let mut state = self.lock();
        match state.phase {
            Phase::Open => {}
            Phase::Away => return Err(state.away.clone().unwrap_or(StoreFault::Closed)),
            Phase::Suspended => return Err(StoreFault::NoRoom),
            Phase::Draining | Phase::Ended => return Err(StoreFault::Closed),
        }
        if state.queued >= self.max_queued || state.live >= self.max_live {
            return Err(StoreFault::Busy);
        }
        state.queued += 1;
        state.live += 1;
        Ok(self.push(state, request))
    }

    /// Queues a settlement, or the release of a lock, which have their places already.
    ///
    /// # Errors
    /// [`StoreFault::Closed`], or [`StoreFault::NoRoom`]: then it is kept, but nobody should wait for it.
    pub(super) fn settle(&self, request: Request) -> Result<oneshot::Receiver<Result<Parcel, StoreFault>>, StoreFault> {
        let state = self.lock();
        let phase = state.phase;
        if phase == Phase::Ended {
            return Err(StoreFault::Closed);
        }
        let reply = self.push(state, request);
        if phase == Phase::Suspended {
            return Err(StoreFault::NoRoom);
        }
        Ok(reply)
    }

    fn push(
        &self,
        mut state: MutexGuard<'_, State>,
        request: Request,
    ) -> oneshot::Receiver<Result<Parcel, StoreFault>> {
        let (reply, receiver) = oneshot::channel();
        state.jobs.push_back(Job { request, reply });
        drop(state);
        self.call();
        receiver
    }

    fn call(&self) {
        self.ready.notify_one();
        self.called.notify_one();
    }

    /// Waits for work and takes up to [`MAX_BATCH`] of it; nothing when none came for so long, and none when the queue has
    /// ended.
    pub(super) fn take_within(&self, patience: Duration) -> Option<Vec<Job>> {
        let state = self.lock();
        let is_idle = |state: &mut State| state.jobs.is_empty() && state.phase == Phase::Open;
        let (state, waited) = self
            .ready
            .wait_timeout_while(state, patience, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Some(Vec::new());
        }
        Some(Self::batch(state)).filter(|batch| !batch.is_empty())
    }

    /// Waits for work without end, for one of several tasks that write to a server.
    pub(super) async fn taken(&self) -> Vec<Job> {
        loop {
            let called = self.called.notified();
            {
                let state = self.lock();
                let (open, some) = (state.phase == Phase::Open, !state.jobs.is_empty());
                if (open && some) || matches!(state.phase, Phase::Draining | Phase::Ended) {
                    let batch = Self::batch(state);
                    // Whoever is called next finds more work, or the end.
                    self.called.notify_one();
                    return batch;
                }
            }
            called.await;
        }
    }

    fn batch(mut state: MutexGuard<'_, State>) -> Vec<Job> {
        if state.jobs.is_empty() {
            state.phase = Phase::Ended;
        }
        let count = state.jobs.len().min(MAX_BATCH);
        let batch: Vec<Job> = state.jobs.drain(..count).collect();
        let asked = batch.iter().filter(|job| !job.request.is_settlement()).count();
        state.queued = state.queued.saturating_sub(asked);
        batch
    }

    /// Takes note of a batch that is done: every answer but a reservation gives its place back.
    pub(super) fn done(&self, answers: &[Answer], (keys, unknown): (u64, u64), committed: bool) {
        let ended = answers
            .iter()
            .filter(|answer| !matches!(answer, Answer::Reserved(_) | Answer::Locked(_)))
            .count();
        let mut state = self.lock();
        state.live = state.live.saturating_sub(ended);
        (state.keys, state.unknown) = (keys, unknown);
        state.commits += u64::from(committed);
    }

    /// Takes note of requests that are done, with whatever result but a reservation.
    pub(super) fn ended(&self, count: usize) {
        let mut state = self.lock();
        state.live = state.live.saturating_sub(count);
        state.commits += 1;
    }

    /// A lock is not held any more, and nobody has to be told.
    pub(super) fn given_back(&self) {
        let mut state = self.lock();
        state.live = state.live.saturating_sub(1);
    }

    /// Settlements that could not be written come first the next time; they come back from a store that closes.
    pub(super) fn put_back(&self, settlements: Vec<Job>) -> Result<(), Vec<Job>> {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open | Phase::Away) {
            return Err(settlements);
        }
        for job in settlements.into_iter().rev() {
            state.jobs.push_front(job);
        }
        drop(state);
        self.call();
        Ok(())
    }

    /// The server is away: whoever waits for more than a settlement is told so.
    pub(super) fn away(&self, fault: &StoreFault) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open | Phase::Away) {
            return;
        }
        state.phase = Phase::Away;
        state.away = Some(fault.clone());
        let (kept, told): (VecDeque<Job>, VecDeque<Job>) = std::mem::take(&mut state.jobs)
            .into_iter()
            .partition(|job| job.request.is_settlement());
        state.jobs = kept;
        state.queued = 0;
        state.live = state.live.saturating_sub(told.len());
        drop(state);
        for job in told {
            let _ = job.reply.send(Err(fault.clone()));
        }
        self.lost.notify_one();
    }

    /// The server is there (again), has heard of this gateway since `at`, and counts it as alive for `good_for`.
    pub(super) fn back(&self, at: (Instant, SystemTime), good_for: Duration) {
        let mut state = self.lock();
        if state.phase == Phase::Away {
            state.phase = Phase::Open;
            state.away = None;
        }
        state.held = Some(Sure::since(at, good_for));
        drop(state);
        self.called.notify_one();
    }

    /// Waits until the server is found to be away.
    pub(super) async fn is_lost(&self) {
        self.lost.notified().await;
    }

    /// Whether what is held here is surely not taken for abandoned by others.
    pub(super) fn is_held(&self) -> bool {
        let held = self.lock().held;
        held.is_none_or(|held| !held.left().is_zero())
    }

    /// Takes note of a server's figures.
    pub(super) fn figured(&self, keys: u64, unknown: u64, bytes: u64) {
        let mut state = self.lock();
        (state.keys, state.unknown, state.bytes) = (keys, unknown, bytes);
    }

    /// There is no room for a batch: whoever waits hears of it, and settlements are kept, those of the batch first.
    pub(super) fn suspend(&self, batch: Vec<Job>) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Suspended;
        }
        let waiting = std::mem::take(&mut state.jobs);
        let (kept, refused): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .chain(waiting)
            .partition(|job| job.request.is_settlement());
        state.queued = 0;
        state.live = state.live.saturating_sub(refused.len());
        let (requests, replies): (Vec<_>, Vec<_>) = kept.into_iter().map(|job| (job.request, job.reply)).unzip();
        state.jobs.extend(requests.into_iter().map(Job::unheard));
        drop(state);
        for reply in replies.into_iter().chain(refused.into_iter().map(|job| job.reply)) {
            let _ = reply.send(Err(StoreFault::NoRoom));
        }
    }

    /// Waits before there is another look for room; false when the store is no longer wanted.
    pub(super) fn rests(&self, pause: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .ready
            .wait_timeout_while(state, pause, |state| state.phase == Phase::Suspended)
            .unwrap_or_else(PoisonError::into_inner);
        state.phase == Phase::Suspended
    }

    /// There is room again.
    pub(super) fn resume(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Suspended {
            state.phase = Phase::Open;
        }
    }

    /// Takes no more requests; what waits is still written, if there is room.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.phase = match state.phase {
            Phase::Open | Phase::Away => Phase::Draining,
            Phase::Suspended => Phase::Ended,
            phase @ (Phase::Draining | Phase::Ended) => phase,
        };
        drop(state);
        self.call();
    }

    /// Takes nothing any more; whoever waits hears that the store has closed.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.phase = Phase::Ended;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        self.waiters.close();
        self.call();
    }

    /// Why the server is away, if it is.
    pub(super) fn away_because(&self) -> Option<StoreFault> {
        self.lock().away.clone()
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    pub(super) fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            keys: state.keys,
            unknown: state.unknown,
            bytes: state.bytes,
            commits: state.commits,
            waiting: state.jobs.len(),
        }
    }

    /// Nothing under the lock can leave it half-done, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.request.fmt(f)
    }
}

/// An answer on its way. A reservation or a lock that does not arrive is released, for nobody has sent anything with it.
#[derive(Debug)]
pub(super) struct Parcel {
    answer: Option<Answer>,
    queue: Arc<Queue>,
}

impl Parcel {
    pub(super) const fn new(answer: Answer, queue: Arc<Queue>) -> Self {
        Self {
            answer: Some(answer),
            queue,
        }
    }

    /// It has arrived.
    pub(super) fn open(mut self) -> Answer {
        self.answer.take().unwrap_or(Answer::Settled)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        match self.answer.take() {
            Some(Answer::Reserved(reserved)) => {
                let settlement = Settlement::Release;
                let _ = self.queue.settle(Request::Settle { reserved, settlement });
            }
            Some(Answer::Locked(grip)) => {
                let _ = leases::release(&self.queue, &grip);
            }
            _ => {}
        }
    }
}
