//! A store that several gateways share, in a server on the network.
//!
//! Each life of a gateway is a *holder* with a random name, each of its reservations a *turn*. What stands under a key
//! says whose turn it is, and nothing is changed in the name of a turn that does not stand there any more. So:
//!
//! - A question whose answer was lost, on a connection that broke, has sent nothing to a backend. Should it have been
//!   carried out, now or later, it stands under a turn that this gateway does not have, and is removed ([`Server::beat`]).
//! - A holder tells the server that it lives. Once it has not for the time of its lease, by the server's clock, its
//!   running keys have unknown outcomes. Only a gateway that has itself been heard of for as long says so of another:
//!   after an outage of the server, nobody is taken for dead who had no chance to be heard.
//! - A holder that comes back can still write down an outcome that it knows, as long as nobody else has said anything.
//!   It frees nothing any more. It sends nothing either, for it knows for how long it was last heard of
//!   ([`super::Reservation::is_held`]).
//!
//! Times are the server's. One thread drives a keeper, with a connection of its own, and a few writers.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::LocalOptions;
use tokio::time::{sleep, timeout};

use super::StoreFault;
use super::embedded::{Answer, Request};
use super::leases::Step;
use super::queue::{Job, Parcel, Queue};

/// Connections that write, for each gateway; one more keeps the lease.
pub(super) const MAX_LINKS: usize = 4;

/// How long a server may take to be connected to, or to answer a batch.
pub(super) const MAX_ANSWER: Duration = Duration::from_secs(5);

/// Most rounds of sweeping between two signs of life.
pub(super) const MAX_ROUNDS: usize = 32;

/// Longest time that a finished key is kept, in seconds: some thirty thousand years, which every server's numbers hold.
pub(super) const MAX_KEEP: u64 = 1_000_000_000_000;

/// Shortest and longest pause before a server that is away is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long a store that closes tries to write what it still has.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many signs of life there are in a lease.
const BEATS: u32 = 5;

/// A server of some kind.
pub(super) trait Server: Sized + 'static {
    /// A connection.
    type Link: 'static;

    /// Connects, and makes sure that the server is fit and has what the store needs.
    async fn connect(&self) -> Result<Self::Link, StoreFault>;

    /// Whether a connection is known to be of no use any more, by what can be known of it without asking the server.
    fn is_broken(link: &mut Self::Link) -> bool;

    /// Answers a batch, each question for itself; what is answered is on the server's disk. An error means that nothing
    /// is known of any of them.
    async fn run(
        &self,
        link: &mut Self::Link,
        batch: &[Question<'_>],
    ) -> Result<Vec<Result<Answer, StoreFault>>, StoreFault>;

    /// Tells the server that this holder lives, and does what has to be done now and then: removes reservations of this
    /// holder that it does not have, makes unknown what the dead ran, sweeps what has expired.
    async fn beat(&self, link: &mut Self::Link, has: &dyn Fn(u64) -> bool) -> Result<Beat, StoreFault>;

    /// Says that this holder is gone: what it leaves running is unknown at once.
    async fn leave(&self, link: &mut Self::Link) -> Result<(), StoreFault>;
}

/// A request, and the turn that it is about.
pub(super) struct Question<'a> {
    pub(super) request: &'a Request,
    pub(super) turn: u64,
}

/// What a sign of life was answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beat {
    pub(super) keys: u64,
    pub(super) unknown: u64,
    pub(super) bytes: u64,
}

/// Which time it is.
#[derive(Clone, Debug)]
pub(super) enum Clock {
    /// The server says.
    Server,
    /// A test says.
    #[cfg(test)]
    Told(Arc<std::sync::atomic::AtomicI64>),
}

impl Clock {
    /// What the server is to take for the time, unix seconds; none for its own clock.
    pub(super) fn told(&self) -> Option<i64> {
        match self {
            Self::Server => None,
            #[cfg(test)]
            Self::Told(seconds) => Some(seconds.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }
}

/// A holder's name: random, so that no two lives have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder(pub(super) [u8; 16]);

impl Holder {
    pub(super) fn new() -> Result<Self, StoreFault> {
        let mut name = [0; 16];
        aws_lc_rs::rand::fill(&mut name).map_err(|_| StoreFault::Io("the system gives no random bytes".to_owned()))?;
        Ok(Self(name))
    }
}

/// Starts the thread and waits for what the server says first. One that does not answer is away; one that refuses, or is
/// not fit, is a fault.
pub(super) fn spawn<S: Server>(
    make: impl FnOnce() -> Result<S, StoreFault> + Send + 'static,
    lease: Duration,
    queue: Arc<Queue>,
) -> Result<JoinHandle<()>, StoreFault> {
    let (tell, told) = mpsc::sync_channel(1);
    let thread = Builder::new()
        .name("store".to_owned())
        .spawn(move || {
            let ended = match (
                make(),
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default()),
            ) {
                (Ok(server), Ok(runtime)) => runtime.block_on(drive(server, lease, &queue, &tell)),
                (Err(fault), _) => Err(fault),
                (_, Err(error)) => Err(StoreFault::io("a runtime", &error)),
            };
            queue.end();
            if let Err(fault) = ended {
                // Whoever opened the store listens until it was told once.
                let _ = tell.try_send(Err(fault));
            }
        })
        .map_err(|error| StoreFault::io("the store's thread", &error))?;
    match told.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(fault)) => {
            let _ = thread.join();
            Err(fault)
        }
        Err(_) => Err(StoreFault::Closed),
    }
}

struct Driver<S: Server> {
    server: S,
    queue: Arc<Queue>,
    lease: Duration,
    /// The turns that this holder has, from before their reservation is asked for until they are settled.
    live: RefCell<HashSet<u64>>,
    last_turn: Cell<u64>,
    /// How often the server was found to be away. A connection from before the last time may lead to nowhere.
    era: Cell<u64>,
}

/// A connection, and from which era it is.
type Made<S> = Option<(u64, <S as Server>::Link)>;

async fn drive<S: Server>(
    server: S,
    lease: Duration,
    queue: &Arc<Queue>,
    tell: &mpsc::SyncSender<Result<(), StoreFault>>,
) -> Result<(), StoreFault> {
    let driver = Rc::new(Driver {
        server,
        queue: Arc::clone(queue),
        lease,
        live: RefCell::default(),
        last_turn: Cell::new(0),
        era: Cell::new(0),
    });
    let mut link = None;
    match driver.pulse(&mut link).await {
        Ok(()) => {}
        Err(fault @ StoreFault::Unavailable(_)) => driver.is_away(&fault),
        Err(fault) => return Err(fault),
    }
    let _ = tell.try_send(Ok(()));
    let keeper = tokio::task::spawn_local(Rc::clone(&driver).keep(link));
    let writers: Vec<_> = (0..MAX_LINKS)
        .map(|_| tokio::task::spawn_local(Rc::clone(&driver).write()))
        .collect();
    for writer in writers {
        // A writer that breaks an assertion ends the store, as the embedded one does.
        if writer.await.is_err() {
            queue.end();
        }
    }
    keeper.abort();
    let _ = timeout(MAX_ANSWER, async {
        let mut link = driver.server.connect().await?;
        driver.server.leave(&mut link).await
    })
    .await;
    Ok(())
}

impl<S: Server> Driver<S> {
    /// Gives signs of life, and looks for a server that is away.
    async fn keep(self: Rc<Self>, mut link: Made<S>) {
        let mut pause = PAUSES.0;
        loop {
            let lost = tokio::select! {
                () = sleep(self.lease / BEATS), if self.queue.away_because().is_none() => false,
                () = self.queue.is_lost() => true,
                () = sleep(pause), if self.queue.away_because().is_some() => true,
            };
            if lost {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            } else {
                pause = PAUSES.0;
            }
            if let Err(fault) = self.pulse(&mut link).await {
                link = None;
                self.is_away(&fault);
            }
        }
    }

    /// A sign of life, on a connection that is made if there is none.
    async fn pulse(&self, link: &mut Made<S>) -> Result<(), StoreFault> {
        let at = (Instant::now(), SystemTime::now());
        let beat = timeout(MAX_ANSWER, async {
            let link = self.connected(link).await?;
            let live = &self.live;
            self.server.beat(link, &|turn| live.borrow().contains(&turn)).await
        })
        .await
        .unwrap_or_else(|_| Err(silent()))?;
        if self.queue.away_because().is_some() {
            tracing::info!("the shared store is there again");
        }
        self.queue.figured(beat.keys, beat.unknown, beat.bytes);
        // A third is left for what is on its way when the lease ends.
        self.queue.back(at, self.lease * 2 / 3);
        Ok(())
    }

    fn is_away(&self, fault: &StoreFault) {
        if self.queue.away_because().is_none() {
            tracing::error!(%fault, "the shared store is away; keyed writes, and those by version, are refused until it is back");
        }
        self.era.set(self.era.get() + 1);
        self.queue.away(fault);
    }

    /// The connection that there is, or a new one in place of one that may be of no use.
    async fn connected<'l>(&self, made: &'l mut Made<S>) -> Result<&'l mut S::Link, StoreFault> {
        let era = self.era.get();
        let stale = |(of, link): &mut (u64, S::Link)| *of != era || S::is_broken(link);
        if made.as_mut().is_none_or(stale) {
            *made = Some((era, self.server.connect().await?));
        }
        made.as_mut().map(|(_, link)| link).ok_or(StoreFault::Closed)
    }

    /// Writes what waits, until the store closes.
    async fn write(self: Rc<Self>) {
        let mut link = None;
        loop {
            let mut jobs = self.queue.taken().await;
            if jobs.is_empty() {
                return;
            }
            let began = Instant::now();
            loop {
                let left = self.serve(&mut link, jobs).await;
                if left.is_empty() {
                    break;
                }
                match self.queue.put_back(left) {
                    Ok(()) => break,
                    Err(left) if began.elapsed() < LAST_WORDS => {
                        sleep(PAUSES.0).await;
                        jobs = left;
                    }
                    Err(left) => {
                        let count = left.len();
                        tracing::error!(
                            count,
                            "outcomes could not be written before the end; they will be unknown"
                        );
                        break;
                    }
                }
            }
        }
    }

    /// Has a batch answered; gives back the settlements that were not written.
    async fn serve(&self, link: &mut Made<S>, jobs: Vec<Job>) -> Vec<Job> {
        let turns: Vec<u64> = jobs.iter().map(|job| self.turn(&job.request)).collect();
        let batch: Vec<Question<'_>> = jobs
            .iter()
            .zip(&turns)
            .map(|(Job { request, .. }, &turn)| Question { request, turn })
            .collect();
        let answered = timeout(MAX_ANSWER, self.ask(link, &batch))
            .await
            .unwrap_or_else(|_| Err(silent()));
        drop(batch);
        let answers = answered.unwrap_or_else(|fault| {
            *link = None;
            jobs.iter().map(|_| Err(fault.clone())).collect()
        });
        let mut left = Vec::new();
        let mut away = None;
        for ((job, turn), answer) in jobs.into_iter().zip(turns).zip(answers) {
            if let Err(fault @ (StoreFault::Unavailable(_) | StoreFault::Refused(_))) = &answer {
                away = Some(fault.clone());
            }
            left.extend(self.finish(job, turn, answer));
        }
        if let Some(fault) = away {
            self.is_away(&fault);
        }
        left
    }

    async fn ask(
        &self,
        link: &mut Made<S>,
        batch: &[Question<'_>],
    ) -> Result<Vec<Result<Answer, StoreFault>>, StoreFault> {
        self.server.run(self.connected(link).await?, batch).await
    }

    fn turn(&self, request: &Request) -> u64 {
        match request {
            Request::Reserve { .. } => {
                let turn = self.next_turn();
                self.live.borrow_mut().insert(turn);
                turn
            }
            Request::Lock {
                step: Step::Take(_), ..
            } => self.next_turn(),
            Request::Lock {
                step: Step::Extend(turn, _) | Step::Release(turn),
                ..
            } => *turn,
            Request::Settle { reserved, .. } => reserved.turn(),
            _ => 0,
        }
    }

    fn next_turn(&self) -> u64 {
        let turn = self.last_turn.get() + 1;
        self.last_turn.set(turn);
        turn
    }

    /// Tells the answer; gives the job back if it is a settlement that is still to be written.
    fn finish(&self, job: Job, turn: u64, answer: Result<Answer, StoreFault>) -> Option<Job> {
        let settled = job.request.settles();
        match &answer {
            Ok(Answer::Reserved(_) | Answer::Locked(_)) => {}
            Err(fault) if job.request.is_settlement() && *fault != StoreFault::Overtaken => return Some(job),
            _ => {
                if let (Err(fault @ StoreFault::Unavailable(_)), Some(release)) =
                    (&answer, job.request.taken_back(turn))
                {
                    let _ = job.reply.send(Err(fault.clone()));
                    return Some(Job::unheard(release));
                }
                // A reservation that was not granted and stands all the same is found by the next sign of life.
                self.live.borrow_mut().remove(&turn);
                self.queue.ended(1);
            }
        }
        if let Some(key) = settled {
            self.queue.waiters.wake(&key);
            if matches!(answer, Err(StoreFault::Overtaken)) {
                tracing::error!(record = %key, "a keyed write ended whose key somebody else had settled meanwhile");
            }
        }
        // A parcel that is not taken comes back in the error and is dropped there.
        let _ = job
            .reply
            .send(answer.map(|answer| Parcel::new(answer, Arc::clone(&self.queue))));
        None
    }
}

/// For whoever reads on the server which gateways there are.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}, process {}", name.trim(), std::process::id())
}

fn silent() -> StoreFault {
    StoreFault::Unavailable("no answer in time".to_owned())
}
