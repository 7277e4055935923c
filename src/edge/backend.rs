//! The backends: connections kept open, their number bounded, each request sent at most once.
//!
//! A pool over hyper's own client connections, because the general ones bound neither the connections to a backend
//! nor tell whether anything of a request was written. Each worker has its own idle list, so that the usual request
//! stays on one thread; a worker without an idle connection may take another's rather than open one too many.

use http::HeaderValue;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::payload::Payload;

/// How long a connection may be idle and still be used again. Short: backends of this age close theirs after
/// five seconds, and a request that meets a closing connection may not be sent twice.
pub const MAX_IDLE: Duration = Duration::from_secs(4);

/// Largest head of a backend's answer, in bytes.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Most header fields in a backend's answer.
pub const MAX_HEAD_FIELDS: usize = 128;

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
}

/// A backend and the connections to it.
#[derive(Debug)]
pub struct Backend {
    rules: BackendRules,
    /// Requests under way: at most `max_connections`.
    turns: Arc<Semaphore>,
    /// Connections open: at most `max_connections`.
    open: Arc<Semaphore>,
    idle: Box<[Mutex<VecDeque<Idle>>]>,
    up: AtomicBool,
    host: HeaderValue,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Payload>,
    since: Instant,
}

/// The right to one request at a backend; given back when dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

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
    sender: Option<SendRequest<Payload>>,
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
    /// The request was written, at least in part, and then there was no whole head.
    #[error("the backend broke off: {0}")]
    Broken(hyper::Error),
    /// The request was written, and no head came in time.
    #[error("the backend did not answer in time")]
    Timeout,
}

impl SendFault {
    /// Whether the backend may have seen the request.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Timeout)
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

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// What went wrong, and by [`SendFault::may_have_arrived`] whether the backend may know of the request.
    pub async fn send(self: &Arc<Self>, worker: usize, request: Request<Payload>) -> Result<Reply, SendFault> {
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(permit) => Turn(permit),
            Err(_) => self.wait_for_turn().await?,
        };
        let mut request = request;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut sender = self.connection(worker).await.inspect_err(|_| self.note(false))?;
            self.note(true);
            match tokio::time::timeout(self.rules.timeout, sender.try_send_request(request)).await {
                Err(_) => return Err(SendFault::Timeout),
                Ok(Ok(response)) => {
                    let lease = Lease {
                        backend: Arc::clone(self),
                        worker,
                        sender: Some(sender),
                        turn,
                    };
                    return Ok(Reply { response, lease });
                }
                Ok(Err(mut fault)) => match fault.take_message() {
                    // Given back before a byte of it was written: the connection had been closed while idle.
                    Some(unsent) if tries < MAX_UNSENT => request = unsent,
                    Some(_) => return Err(SendFault::Unreachable(io::Error::other(fault.into_error()))),
                    None => return Err(SendFault::Broken(fault.into_error())),
                },
            }
        }
    }

    async fn wait_for_turn(&self) -> Result<Turn, SendFault> {
        match tokio::time::timeout(self.rules.connect_timeout, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            _ => Err(SendFault::Busy),
        }
    }

    /// An idle connection of this worker, else a new one, else another worker's idle one. Who has a turn finds one
    /// of these, but for the moment in which a closed connection has not yet given its place back: that is waited for.
    async fn connection(self: &Arc<Self>, worker: usize) -> Result<SendRequest<Payload>, SendFault> {
        if let Some(sender) = self.take_idle(worker).await {
            return Ok(sender);
        }
        let permit = match Arc::clone(&self.open).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                for other in 0..self.idle.len() {
                    if let Some(sender) = self.take_idle(other).await {
                        return Ok(sender);
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
            Ok(connected) => connected.map_err(SendFault::Unreachable),
            Err(_) => Err(SendFault::Unreachable(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn take_idle(&self, worker: usize) -> Option<SendRequest<Payload>> {
        while let Some(Idle { mut sender, since }) = self.pop_idle(worker) {
            // It is ready at once unless its own worker has yet to see the end of the last answer.
            if since.elapsed() <= MAX_IDLE
                && let Ok(Ok(())) = tokio::time::timeout(self.rules.connect_timeout, sender.ready()).await
            {
                return Some(sender);
            }
        }
        None
    }

    /// The youngest; the others may well be too old to be used, and then they go one by one.
    fn pop_idle(&self, worker: usize) -> Option<Idle> {
        let idle = self.idle.get(worker)?;
        idle.lock().unwrap_or_else(PoisonError::into_inner).pop_back()
    }

    async fn connect(&self, permit: OwnedSemaphorePermit) -> io::Result<SendRequest<Payload>> {
        let stream = TcpStream::connect(&self.rules.authority).await?;
        stream.set_nodelay(true)?;
        handshake(TokioIo::new(stream), permit).await
    }

    fn note(&self, up: bool) {
        if self.up.swap(up, Ordering::Relaxed) != up {
            if up {
                tracing::info!(upstream = &*self.rules.name, "upstream is reachable again");
            } else {
                tracing::warn!(upstream = &*self.rules.name, "upstream cannot be reached");
            }
        }
    }
}

async fn handshake(io: TokioIo<TcpStream>, permit: OwnedSemaphorePermit) -> io::Result<SendRequest<Payload>> {
    let (sender, connection) = Builder::new()
        .max_headers(MAX_HEAD_FIELDS)
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(io)
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
    /// The body was read to its end: the connection may carry another request.
    pub fn keep(mut self) {
        let Some(sender) = self.sender.take() else { return };
        if sender.is_closed() {
            return;
        }
        let Some(idle) = self.backend.idle.get(self.worker) else {
            return;
        };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.backend.rules.max_connections {
            idle.push_back(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }
}
