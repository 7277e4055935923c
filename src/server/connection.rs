//! One client connection: which protocol it speaks, and its requests, one after the other or many at once.
//!
//! Hyper's `auto` connection is not used: it has no timer while it tells the protocols apart.

use http::{Request, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::certificate;
use super::crowd::Crowd;
use super::frames::Frames;
use super::heads::{Heads, Refused};
use super::patience::{Doings, Patience, Patient};
use super::proxy::{self, Sender};
use super::streams::{Held, Streams};
use super::tls::Tls;
use crate::edge::metrics::TurnedAway;
use crate::gateway::{Gateway, Peer};
use crate::policy;

/// How an HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What one HTTP/2 connection may use up, beside the header list and the frames ([`super::frames`]).
mod two {
    use std::time::Duration;

    /// Requests at one time. More are refused, each with `REFUSED_STREAM`.
    pub(super) const MAX_STREAMS: u32 = 128;

    /// Bytes of one request's body that are kept unread.
    pub(super) const STREAM_WINDOW: u32 = 128 * 1024;

    /// Of all its requests' bodies together.
    pub(super) const CONNECTION_WINDOW: u32 = 512 * 1024;

    /// Bytes that wait to be written on a stream.
    pub(super) const MAX_SEND_BUFFER: usize = 256 * 1024;

    /// Requests taken back before they were looked at (CVE-2023-44487); at one more the connection is closed.
    pub(super) const MAX_TAKEN_BACK: usize = 20;

    /// Streams that we reset because of what the client did with them (CVE-2025-8671), in a connection's life. Among them
    /// are those over [`MAX_STREAMS`], of which a client has not heard when it begins.
    pub(super) const MAX_RESET_BY_US: usize = 1024;

    /// Bytes of the table of header fields that the client may refer to.
    pub(super) const HEADER_TABLE: u32 = 4096;

    /// How often a silent client is asked whether it is there.
    pub(super) const PING_EVERY: Duration = Duration::from_secs(20);

    /// How long it may take to say so.
    pub(super) const PING_WITHIN: Duration = Duration::from_secs(20);
}

/// What a listener gives its connections.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    pub(super) patience: Patience,
    pub(super) header_bytes: usize,
    /// Whose PROXY headers are believed, if connections must begin with one.
    pub(super) proxies: Option<Arc<[IpNet]>>,
    /// Connections by address.
    pub(super) crowd: Arc<Crowd>,
    /// Turns true when the gateway drains.
    pub(super) drain: watch::Receiver<bool>,
}

impl Manners {
    fn end(&self, trust: Option<watch::Receiver<()>>) -> End {
        let drain = self.drain.clone();
        End { drain, trust }
    }
}

/// Tells a connection to end.
struct End {
    /// Turns true when the gateway drains.
    drain: watch::Receiver<bool>,
    /// Changes with the authorities that vouched for the client's certificate, if it has shown one.
    trust: Option<watch::Receiver<()>>,
}

impl End {
    /// Comes when the connection is to end: after what is under way, and without anything more for a peer whose
    /// certificate may be worth nothing any more.
    async fn told(mut self, peer: &Peer) {
        let outdated = async {
            let Some(trust) = &mut self.trust else {
                return pending().await;
            };
            // Who tells of it is kept by the listener, which outlives its connections.
            let _ = trust.changed().await;
            peer.outdate();
        };
        tokio::select! {
            _ = self.drain.wait_for(|draining| *draining) => {}
            () = outdated => {}
        }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<T>(gateway: Rc<Gateway>, mut io: T, address: IpAddr, tls: Option<&Tls>, manners: Manners)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let within = manners.patience.head;
    let metrics = &gateway.shared().metrics;
    let sender = match &manners.proxies {
        None => Sender::Client(address),
        Some(proxies) => match tokio::time::timeout(within, through_proxy(&mut io, address, proxies)).await {
            Ok(Some(sender)) => sender,
            Ok(None) | Err(_) => return metrics.turned_away(TurnedAway::Proxy),
        },
    };
    let peer = match sender {
        Sender::Client(client) => Peer::new(client, tls.is_some()),
        Sender::Unnamed => Peer::unnamed(address, tls.is_some()),
    };
    let Some(_entered) = manners.crowd.enter(peer.address) else {
        return metrics.turned_away(TurnedAway::TooMany);
    };
    let address = peer.address;
    let doings = Doings::new();
    let Some(tls) = tls else {
        if let Ok(Some((ahead, two))) = tokio::time::timeout(within, sniff(&mut io)).await {
            let io = Patient::new(io, ahead, Rc::clone(&doings), manners.patience);
            speak(gateway, io, two, doings, Rc::new(peer), manners.end(None), manners).await;
        }
        return;
    };
    let (config, trust) = tls.current();
    let accepting = TlsAcceptor::from(config).accept(io);
    match tokio::time::timeout(within, accepting).await {
        Ok(Ok(io)) => {
            let session = io.get_ref().1;
            let two = session.alpn_protocol() == Some(b"h2");
            let shown = session.peer_certificates().and_then(<[_]>::first);
            let (peer, trust) = match shown {
                Some(certificate) => (peer.showing(certificate::read(certificate)), Some(trust)),
                None => (peer, None),
            };
            let peer = Rc::new(peer);
            let io = Patient::new(io, Vec::new(), Rc::clone(&doings), manners.patience);
            speak(gateway, io, two, doings, peer, manners.end(trust), manners).await;
        }
        Ok(Err(fault)) => tracing::debug!(%address, %fault, "TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
}

/// Whose connection it is, as the proxy at its other end says; none if that is no proxy, or says nothing that can be read.
async fn through_proxy<T: AsyncRead + Unpin>(io: &mut T, address: IpAddr, proxies: &[IpNet]) -> Option<Sender> {
    if !policy::within(proxies, address) {
        tracing::debug!(%address, "a connection from an address whose PROXY header is not believed");
        return None;
    }
    proxy::sender(io)
        .await
        .inspect_err(|fault| tracing::debug!(%address, %fault, "a connection without a PROXY header"))
        .ok()
}

/// Reads until it is clear whether the client speaks HTTP/2. None if it hung up before it said anything.
async fn sniff<T: AsyncRead + Unpin>(io: &mut T) -> Option<(Vec<u8>, bool)> {
    let mut ahead = Vec::with_capacity(1024);
    loop {
        if io.read_buf(&mut ahead).await.ok()? == 0 {
            return (!ahead.is_empty()).then_some((ahead, false));
        }
        if ahead.starts_with(PREFACE) {
            return Some((ahead, true));
        }
        if !PREFACE.starts_with(&ahead) {
            return Some((ahead, false));
        }
    }
}

async fn speak<T>(
    gateway: Rc<Gateway>,
    io: Patient<T>,
    two: bool,
    doings: Rc<Doings>,
    peer: Rc<Peer>,
    end: End,
    manners: Manners,
) where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Manners {
        header_bytes,
        patience: Patience { stall, .. },
        ..
    } = manners;
    let address = peer.address;
    let flooded = Arc::clone(&gateway.shared().metrics);
    let answering = Rc::clone(&gateway);
    let requests = Rc::clone(&doings);
    let heads = two.then(Rc::<RefCell<Heads>>::default);
    let handed = heads.clone();
    let asking = Rc::clone(&peer);
    let ending = Rc::clone(&peer);
    let end = end.told(&ending);
    let service = service_fn(move |request: Request<Incoming>| {
        let gateway = Rc::clone(&answering);
        let busy = requests.begin();
        if let Some(heads) = &handed {
            heads.borrow_mut().handed();
        }
        let two_framings = request.headers().contains_key(header::TRANSFER_ENCODING)
            && requests.doubts_framing(request.method().as_str());
        requests.forget_head();
        let peer = Rc::clone(&asking);
        let request = Box::new(request);
        async move {
            let answer = gateway.answer(request, &peer, two_framings).await;
            Ok::<_, Infallible>(answer.map(|body| Held::new(body, busy)))
        }
    });
    let ended = if let Some(heads) = heads {
        let io = io.multiplexed(Frames::after(PREFACE.len(), Rc::clone(&heads)));
        // What is a little over the limit is answered by the gateway, in words; the library's own answer has none.
        let header_list = u32::try_from(header_bytes.saturating_mul(2)).unwrap_or(u32::MAX);
        let connection = http2::Builder::new(Streams { stall })
            .timer(TokioTimer::new())
            .max_concurrent_streams(two::MAX_STREAMS)
            .max_header_list_size(header_list)
            .header_table_size(two::HEADER_TABLE)
            .initial_stream_window_size(two::STREAM_WINDOW)
            .initial_connection_window_size(two::CONNECTION_WINDOW)
            .max_send_buf_size(two::MAX_SEND_BUFFER)
            .max_pending_accept_reset_streams(two::MAX_TAKEN_BACK)
            .max_local_error_reset_streams(two::MAX_RESET_BY_US)
            .keep_alive_interval(two::PING_EVERY)
            .keep_alive_timeout(two::PING_WITHIN)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        let mut end = std::pin::pin!(end);
        let mut ending = false;
        poll_fn(|cx| {
            let mut ended = connection.as_mut().poll(cx);
            if ended.is_pending() && !ending && end.as_mut().poll(cx).is_ready() {
                ending = true;
                connection.as_mut().graceful_shutdown();
                ended = connection.as_mut().poll(cx);
            }
            for why in heads.borrow_mut().settle() {
                refused(&gateway, &peer, why);
            }
            ended
        })
        .await
    } else {
        let refusing = Rc::clone(&gateway);
        let io = io.refusing(Box::new(move |status| refusing.malformed(&peer, status)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .half_close(true)
            .writev(false)
            .max_buf_size(header_bytes.max(MIN_BUFFER))
            .serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = end => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if doings.flooded() {
        flooded.turned_away(TurnedAway::Frames);
        tracing::debug!(%address, "connection closed: more HTTP/2 frames than any client has a use for");
    } else if let Err(fault) = ended {
        tracing::debug!(%address, %fault, "connection ended early");
    }
}

/// A request that the library has refused by itself: its audit line, or its place among those that may be sent again.
fn refused(gateway: &Gateway, peer: &Peer, why: Refused) {
    match why {
        Refused::Malformed => drop(gateway.malformed(peer, 400)),
        Refused::TooLarge => drop(gateway.malformed(peer, 431)),
        Refused::TooMany => gateway.shared().metrics.stream_refused(),
    }
}

/// The smallest read buffer that hyper takes.
const MIN_BUFFER: usize = 8192;
