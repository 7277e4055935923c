//! The process: sockets, threads, signals, the admin port, and what happens when files change.
//!
//! One thread for each worker, which serves its connections from the first byte to the last, and one for everything
//! else: signals, admin, changed files, keys.

mod admin;
pub(crate) mod certificate;
mod connection;
mod crowd;
mod cutter;
mod explain;
mod frames;
mod heads;
mod listen;
pub mod operators;
mod patience;
pub mod prepare;
mod proxy;
mod reload;
mod streams;
mod tls;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::audit::Event;
use crate::config::{Address, Gateway as Settings, Problem};
use crate::edge::journal::JournalFault;
use crate::edge::jwks::REFRESH_EVERY;
use crate::edge::revoked::RegisterFault;
use crate::edge::store::StoreFault;
use crate::edge::watch::Watch;
use crate::gateway::{Gateway, Shared};
use connection::Manners;
use crowd::Crowd;
use listen::{Bound, Listener};
use operators::Desk;
use patience::Patience;
use prepare::Prepared;
use reload::{Cause, Reloader};
use tls::Tls;

pub use tls::{TlsFault, TlsFiles};

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The policy, or a file that it names, does not load.
    #[error("the policy does not load")]
    Policy(Vec<Problem>),
    /// The audit log cannot be written.
    #[error("audit log: {0}")]
    Audit(#[from] JournalFault),
    /// The store cannot be opened.
    #[error("state: {0}{advice}", advice = .0.advice())]
    Store(#[from] StoreFault),
    /// The list of revoked tokens cannot be read.
    #[error("state: {0}")]
    Revoked(#[from] RegisterFault),
    /// An address cannot be bound.
    #[error("cannot listen at {0}: {1}")]
    Listen(String, io::Error),
    /// The system gives no runtime, thread or signal.
    #[error("{0}")]
    System(#[from] io::Error),
    /// Two metrics of one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the gateway until a signal ends it.
///
/// # Errors
/// It cannot start.
pub fn run(settings: Settings) -> Result<(), StartFault> {
    runtime()?.block_on(control(settings))
}

/// A runtime for one thread. Not a `LocalSet` on one: that wakes its own thread through the kernel for what this thread
/// has just done.
fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

/// The control thread: starts the workers, reacts to signals and changed files, and ends in order.
async fn control(settings: Settings) -> Result<(), StartFault> {
    let terminate = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let hangup = signal(SignalKind::hangup())?;
    let Prepared {
        shared,
        tls,
        version,
        files,
    } = prepare::all(&settings).await?;
    let (drain, draining) = watch::channel(false);
    let workers = start_workers(&settings, &shared, &tls, &draining)?;
    let reloader = Arc::new(Reloader::new(
        settings.clone(),
        Arc::clone(&shared),
        tls.into_iter().flatten().collect(),
        version,
        files,
    ));
    let admin = bind(&settings.admin, 1)?
        .into_iter()
        .next()
        .map(Listener::new)
        .transpose()?;
    let desk = Desk::new(shared.store.clone(), Some(shared.journal.clone())).revoking(Arc::clone(&shared.revoked));
    let desk = Arc::new(desk);
    let admin = admin.map(|listener| tokio::task::spawn_local(admin::serve(listener, Arc::clone(&reloader), desk)));
    let started = Event::new("start")
        .with("policy_version", &shared.rules.load().policy().version)
        .with("tollgate_version", env!("CARGO_PKG_VERSION"));
    shared.journal.event(started)?;
    tell_of_doubts(&shared);
    tracing::info!(admin = %settings.admin, workers = workers.len(), "tollgate is up");

    let refreshing = tokio::task::spawn_local(refresh_keys(Arc::clone(&shared)));
    until_terminated(&reloader, terminate, hangup).await;
    refreshing.abort();

    tracing::info!("draining");
    reloader.drain();
    let _ = drain.send(true);
    for worker in workers {
        // A worker ends by itself within `shutdown_grace`; meanwhile the admin port still answers.
        let _ = tokio::task::spawn_blocking(move || worker.join()).await;
    }
    if let Some(admin) = admin {
        admin.abort();
    }
    if let Err(fault) = shared.journal.event(Event::new("stop")) {
        tracing::error!(%fault, "the stop could not be recorded");
    }
    shared.journal.close();
    tracing::info!("stopped");
    Ok(())
}

/// What an earlier life left for somebody to look into is said at each start.
fn tell_of_doubts(shared: &Shared) {
    let unknown = shared.store.stats().unknown;
    if unknown > 0 {
        tracing::warn!(
            unknown,
            "keyed writes have an unknown outcome and are refused until it is settled; \
             `tollgate idempotency list --config FILE` lists them"
        );
    }
}

/// One worker's share of a listener.
struct Share {
    bound: Bound,
    tls: Option<Arc<Tls>>,
    manners: Manners,
}

fn start_workers(
    settings: &Settings,
    shared: &Arc<Shared>,
    tls: &[Option<Arc<Tls>>],
    draining: &watch::Receiver<bool>,
) -> Result<Vec<thread::JoinHandle<()>>, StartFault> {
    let connections = usize::try_from(settings.limits.connections).unwrap_or(usize::MAX);
    let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let limits = &settings.limits;
    let manners = Manners {
        patience: Patience {
            head: limits.header_timeout,
            idle: limits.idle_timeout,
            stall: limits.body_timeout,
        },
        header_bytes: usize::try_from(limits.header_bytes).unwrap_or(usize::MAX),
        proxies: None,
        crowd: Crowd::new(limits.connections_per_address, settings.trusted_proxies.clone()),
        drain: draining.clone(),
    };
    let mut sockets: Vec<Vec<Share>> = (0..settings.worker_count()).map(|_| Vec::new()).collect();
    for (listener, tls) in settings.listen.iter().zip(tls) {
        let manners = Manners {
            proxies: listener.proxies.clone().map(Arc::from),
            ..manners.clone()
        };
        let bound = bind(&listener.address, settings.worker_count())?;
        for (worker, bound) in sockets.iter_mut().zip(bound) {
            worker.push(Share {
                bound,
                tls: tls.clone(),
                manners: manners.clone(),
            });
        }
    }
    let grace = settings.shutdown_grace;
    sockets
        .into_iter()
        .enumerate()
        .map(|(number, sockets)| {
            let (shared, places) = (Arc::clone(shared), Arc::clone(&places));
            let worker = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let ended = work(number, sockets, shared, &places, grace);
                if let Err(fault) = ended {
                    tracing::error!(%fault, "a worker ended");
                }
            })?;
            Ok(worker)
        })
        .collect()
}

fn bind(address: &Address, workers: usize) -> Result<Vec<Bound>, StartFault> {
    listen::bind(address, workers).map_err(|fault| StartFault::Listen(address.to_string(), fault))
}

/// One worker: a runtime of its own, and all its listeners.
fn work(
    number: usize,
    sockets: Vec<Share>,
    shared: Arc<Shared>,
    places: &Arc<Semaphore>,
    grace: Duration,
) -> io::Result<()> {
    let gateway = Rc::new(Gateway::new(shared, number));
    runtime()?.block_on(async {
        let mut listening = tokio::task::JoinSet::new();
        for Share { bound, tls, manners } in sockets {
            let (gateway, places) = (Rc::clone(&gateway), Arc::clone(places));
            listening.spawn_local(listen::accept(bound, gateway, tls, manners, places, grace));
        }
        while let Some(ended) = listening.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    })
}

/// Asks key servers now and then, not all gateways at the same moment.
async fn refresh_keys(shared: Arc<Shared>) {
    let jitter = RandomState::new().build_hasher().finish() % (REFRESH_EVERY.as_secs() / 5);
    loop {
        tokio::time::sleep(REFRESH_EVERY - Duration::from_secs(jitter)).await;
        let rules = shared.rules.load_full();
        rules.refresh().await;
    }
}

/// Reloads on SIGHUP and on changed files until SIGTERM or SIGINT.
async fn until_terminated(reloader: &Arc<Reloader>, terminate: [Signal; 2], mut hangup: Signal) {
    let [mut term, mut interrupt] = terminate;
    let mut watch = Watch::new(reloader.audit_log());
    loop {
        let paths = reloader.watched();
        if watch.follow(paths.iter().map(std::path::PathBuf::as_path)) {
            // What changed before the folder was watched would be told by nobody.
            let _ = reloader.reload(Cause::Watch);
        }
        tokio::select! {
            _ = term.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => {
                let _ = reloader.reload(Cause::Signal);
                reloader.reload_tls();
            }
            () = watch.changed() => {
                let _ = reloader.reload(Cause::Watch);
                reloader.reload_tls();
            }
        }
    }
}
