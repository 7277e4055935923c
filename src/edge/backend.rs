//! The backends: connections kept open, their number bounded, each request sent at most once.
//!
//! A pool over hyper's own client connections, because the general ones bound neither the connections to a backend
//! nor tell whether anything of a request was written. Each worker has its own idle list, so that the usual request
//! stays on one thread; a worker without an idle connection may take another's rather than open one too many.

use http::header::{self, HeaderMap, HeaderValue};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::hash::Hash;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::gather::Gathered;
use super::payload::Payload;
use super::share::{Crowded, Share, Shares};
use super::tls::{ClientTls, ClientTlsFault};

/// How long a connection may be idle and still be used again. Short: backends of this age close theirs after
/// five seconds, and a request that meets a closing connection may not be sent twice.
pub const MAX_IDLE: Duration = Duration::from_secs(4);

/// Largest head of a backend's answer, in bytes. It may have 100 fields, which is hyper's own limit: any other would cost
/// two large allocations for each answer.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How often a request that was given back unsent is tried on another connection.
const MAX_UNSENT: usize = 3;

/// What is known of a backend before it is asked.
#[derive(Clone, Debug)]
pub struct BackendRules {
    /// Its name in the gateway file.
    pub name: Arc<str>,
    /// `host:port` where it listens; a name is looked up at each connect.
    pub authority: String,
    /// Longest wait for a connection, and for a turn when all are busy.
    pub connect_timeout: Duration,
    /// Longest wait for the head of the answer, and between two pieces of its body.
    pub timeout: Duration,
    /// Most connections at one time, from all workers together.
    pub max_connections: usize,
    /// Of these, for one user's requests; absent = all.
    pub max_connections_per_user: Option<u32>,
    /// How to reach it by TLS; absent = plain TCP.
    pub tls: Option<Arc<ClientTls>>,
}

impl BackendRules {
    /// Longest time from asking for a connection until the head of an answer: for a turn, for a place, for the connection, and
    /// for the answer.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.connect_timeout * 3 + self.timeout
    }
}

/// A backend and the connections to it.
#[derive(Debug)]
pub struct Backend {
    rules: BackendRules,
    /// Requests under way: at most `max_connections`.
    turns: Arc<Semaphore>,
    /// Connections open: at most `max_connections`.
    open: Arc<Semaphore>,
    shares: Option<Arc<Shares>>,
    idle: Box<[Mutex<VecDeque<Idle>>]>,
    up: AtomicBool,
    host: HeaderValue,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    since: Instant,
}

/// A connection, with the timer of whoever waits for its answer.
#[derive(Debug)]
struct Wire {
    sender: SendRequest<Payload>,
    alarm: Alarm,
    /// By which certificates it was opened ([`ClientTls::era`]).
    era: u64,
}

/// A timer that is kept from one wait to the next and set again only when it rings too early: most waits are over
/// long before, and then have cost nothing but a look at the clock.
#[derive(Debug)]
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new(limit: Duration) -> Self {
        Self(Box::pin(tokio::time::sleep(limit)))
    }

    /// Waits for `future`, but no longer than `limit`, which is the same for every wait of an alarm.
    async fn within<F: Future>(&mut self, limit: Duration, mut future: Pin<&mut F>) -> Option<F::Output> {
        let mut deadline = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let deadline = *deadline.get_or_insert_with(|| tokio::time::Instant::now() + limit);
            while self.0.as_mut().poll(cx).is_ready() {
                if tokio::time::Instant::now() >= deadline {
                    return Poll::Ready(None);
                }
                self.0.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

/// The right to one request at a backend; given back when dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop")]
pub struct Turn(OwnedSemaphorePermit, Option<Share>);

/// A backend's answer, its body still on the wire.
#[derive(Debug)]
pub struct Reply {
    /// Head and body.
    pub response: Response<Incoming>,
    /// Gives the connection back once the body has been read.
    pub lease: Lease,
}

/// A connection in use. [`Lease::keep`] makes it idle again; otherwise it is closed.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    worker: usize,
    wire: Wire,
    #[expect(dead_code, reason = "held for its drop")]
    turn: Turn,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendFault {
    /// Nothing of the request was written.
    #[error("no connection: {0}")]
    Unreachable(io::Error),
    /// All connections were busy for too long; nothing was written.
    #[error("all connections are busy")]
    Busy,
    /// The user has as many requests under way as one user may; nothing was written.
    #[error("as many requests under way at this backend as one user may have")]
    Crowded,
    /// The request was written, at least in part, and then there was no whole head.
    #[error("the backend broke off: {0}")]
    Broken(hyper::Error),
    /// The head of the answer does not say in one way where its body ends.
    #[error("the backend's answer has a `Transfer-Encoding` that is not `chunked` alone")]
    Framing,
    /// The request was written, and no head came in time.
    #[error("the backend did not answer in time")]
    Timeout,
}

impl SendFault {
    /// Whether the backend may have seen the request.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Framing | Self::Timeout)
    }
}

impl Backend {
    /// A backend without connections yet.
    #[must_use]
    pub fn new(rules: BackendRules, workers: usize) -> Self {
        let most = rules.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            turns: Arc::new(Semaphore::new(most)),
            open: Arc::new(Semaphore::new(most)),
            idle: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            up: AtomicBool::new(true),
            host: HeaderValue::try_from(rules.authority.as_str()).unwrap_or(HeaderValue::from_static("localhost")),
            shares: rules.max_connections_per_user.map(Shares::new),
            rules,
        }
    }

    /// Its name, address and limits.
    #[must_use]
    pub fn rules(&self) -> &BackendRules {
        &self.rules
    }

    /// The `Host` of requests to it.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Whether the last attempt to reach it succeeded.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// A user's share of the connections, for one request; without shares, none is needed.
    ///
    /// # Errors
    /// The user has all of it.
    pub fn share(&self, who: impl Hash) -> Result<Option<Share>, Crowded> {
        match &self.shares {
            None => Ok(None),
            Some(shares) => shares.take(who).map(Some).ok_or(Crowded),
        }
    }

    /// Sends a request, boxed since it waits in many places, and waits for the head of the answer. `share` is held until the answer is over.
    ///
    /// # Errors
    /// What went wrong, and by [`SendFault::may_have_arrived`] whether the backend may know of the request.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` keeps its room for the request twice"
    )]
    pub fn send(
        self: &Arc<Self>,
        worker: usize,
        share: Result<Option<Share>, Crowded>,
        mut request: Box<Request<Payload>>,
    ) -> impl Future<Output = Result<Reply, SendFault>> {
        async move {
            let share = share.map_err(|Crowded| SendFault::Crowded)?;
            let permit = match Arc::clone(&self.turns).try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => Box::pin(self.wait_for_turn()).await?,
            };
            let turn = Turn(permit, share);
            let mut tries = 0;
            loop {
                tries += 1;
                // Whatever is rare is boxed: it would make room for itself in every request.
                let mut wire = match self.ready_idle(worker) {
                    Some(wire) => wire,
                    None => Box::pin(self.connection(worker))
                        .await
                        .inspect_err(|_| self.note(false))?,
                };
                self.note(true);
                let answered = pin!(wire.sender.try_send_request(*request));
                match wire.alarm.within(self.rules.timeout, answered).await {
                    None => return Err(SendFault::Timeout),
                    Some(Ok(response)) if !is_framed(response.headers()) => return Err(SendFault::Framing),
                    Some(Ok(response)) => {
                        let lease = Lease {
                            backend: Arc::clone(self),
                            worker,
                            wire,
                            turn,
                        };
                        return Ok(Reply { response, lease });
                    }
                    Some(Err(mut fault)) => match fault.take_message() {
                        // Given back before a byte of it was written: the connection had been closed while idle.
                        Some(unsent) if tries < MAX_UNSENT => *request = unsent,
                        Some(_) => return Err(SendFault::Unreachable(io::Error::other(fault.into_error()))),
                        None => return Err(SendFault::Broken(fault.into_error())),
                    },
                }
            }
        }
    }

    async fn wait_for_turn(&self) -> Result<OwnedSemaphorePermit, SendFault> {
        match tokio::time::timeout(self.rules.connect_timeout, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(SendFault::Busy),
        }
    }

    /// An idle connection of this worker, else a new one, else another worker's idle one. Who has a turn finds one
    /// of these, but for the moment in which a closed connection has not yet given its place back: that is waited for.
    async fn connection(self: &Arc<Self>, worker: usize) -> Result<Wire, SendFault> {
        if let Some(wire) = self.take_idle(worker).await {
            return Ok(wire);
        }
        let permit = match Arc::clone(&self.open).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                for other in 0..self.idle.len() {
                    if let Some(wire) = self.take_idle(other).await {
                        // The other worker's timers are not for this one to wait on.
                        return Ok(self.wire(wire.sender, wire.era));
                    }
                }
                tokio::time::timeout(self.rules.connect_timeout, Arc::clone(&self.open).acquire_owned())
                    .await
                    .ok()
                    .and_then(Result::ok)
                    .ok_or(SendFault::Busy)?
            }
        };
        match tokio::time::timeout(self.rules.connect_timeout, self.connect(permit)).await {
            Ok(connected) => connected
                .map(|(sender, era)| self.wire(sender, era))
                .map_err(SendFault::Unreachable),
            Err(_) => Err(SendFault::Unreachable(io::ErrorKind::TimedOut.into())),
        }
    }

    fn wire(&self, sender: SendRequest<Payload>, era: u64) -> Wire {
        Wire {
            sender,
            era,
            alarm: Alarm::new(self.rules.timeout),
        }
    }

    async fn take_idle(&self, worker: usize) -> Option<Wire> {
        while let Some(Idle { mut wire, since }) = self.pop_idle(worker) {
            if since.elapsed() <= MAX_IDLE
                && wire.era == self.era()
                && let Ok(Ok(())) = tokio::time::timeout(self.rules.connect_timeout, wire.sender.ready()).await
            {
                return Some(wire);
            }
        }
        None
    }

    /// This worker's youngest idle connection, if it can be used at once, which it can unless its last answer's end has
    /// yet to be seen.
    fn ready_idle(&self, worker: usize) -> Option<Wire> {
        let mut idle = self.idle.get(worker)?.lock().unwrap_or_else(PoisonError::into_inner);
        let youngest = idle.back()?;
        let usable =
            youngest.wire.sender.is_ready() && youngest.wire.era == self.era() && youngest.since.elapsed() <= MAX_IDLE;
        if usable {
            idle.pop_back().map(|idle| idle.wire)
        } else {
            None
        }
    }

    /// The youngest; the others may well be too old to be used, and then they go one by one.
    fn pop_idle(&self, worker: usize) -> Option<Idle> {
        let idle = self.idle.get(worker)?;
        idle.lock().unwrap_or_else(PoisonError::into_inner).pop_back()
    }

    /// A connection, and by which certificates it was opened.
    async fn connect(&self, permit: OwnedSemaphorePermit) -> io::Result<(SendRequest<Payload>, u64)> {
        loop {
            let era = self.era();
            let stream = TcpStream::connect(&self.rules.authority).await?;
            stream.set_nodelay(true)?;
            let stream = Gathered::new(stream);
            let Some(tls) = &self.rules.tls else {
                return Ok((handshake(stream, permit).await?, era));
            };
            let stream = tls.connect(stream).await?;
            // The certificates may have changed in between: then it would carry one request too many.
            if era == self.era() {
                return Ok((handshake(stream, permit).await?, era));
            }
        }
    }

    /// By which certificates a connection must have been opened to carry a request; 0 without TLS.
    fn era(&self) -> u64 {
        self.rules.tls.as_ref().map_or(0, |tls| tls.era())
    }

    /// Reads the certificates again, and closes what is idle if they are others: whoever was trusted then may not be
    /// now. What is under way is finished. Tells whether they are others.
    ///
    /// # Errors
    /// What is wrong with which file; then what was good stays.
    pub fn reload_tls(&self) -> Result<bool, ClientTlsFault> {
        let Some(tls) = &self.rules.tls else {
            return Ok(false);
        };
        let changed = tls.reload()?;
        if changed {
            for idle in &self.idle {
                idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
        Ok(changed)
    }

    fn note(&self, up: bool) {
        if self.is_up() != up && self.up.swap(up, Ordering::Relaxed) != up {
            if up {
                tracing::info!(upstream = &*self.rules.name, "upstream is reachable again");
            } else {
                tracing::warn!(upstream = &*self.rules.name, "upstream cannot be reached");
            }
        }
    }
}

/// Whether there is one way to find the body's end. hyper takes any coding for one that ends with the connection, and
/// reads past a length beside `chunked`, which another reader might believe (RFC 9112, 6.1 and 6.3).
fn is_framed(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| {
        codings.next().is_none()
            && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
            && !fields.contains_key(header::CONTENT_LENGTH)
    })
}

async fn handshake<S>(stream: S, permit: OwnedSemaphorePermit) -> io::Result<SendRequest<Payload>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = Builder::new()
        .writev(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // What goes wrong on a connection in use is told to who uses it.
        let _ = connection.await;
        drop(permit);
    });
    Ok(sender)
}

impl Lease {
    /// Waits for the next piece of the answer's body, no longer than the backend's `timeout`.
    pub async fn within<F: Future>(&mut self, next: F) -> Option<F::Output> {
        self.wire.alarm.within(self.backend.rules.timeout, pin!(next)).await
    }

    /// The body was read to its end: the connection may carry another request.
    pub fn keep(self) {
        if self.wire.sender.is_closed() || self.wire.era != self.backend.era() {
            return;
        }
        let Some(idle) = self.backend.idle.get(self.worker) else {
            return;
        };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.backend.rules.max_connections {
            idle.push_back(Idle {
                wire: self.wire,
                since: Instant::now(),
            });
        }
    }
}
