//! Seventh step: the request goes to its backend, once, with the caller's facts from the token and nothing else.

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri, Version, response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prometheus::Histogram;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decode::{coding, decoded};
use super::guard::Turn;
use super::identify::Identity;
use super::kept;
use super::lookup::Lookup;
use super::refusal::Refusal;
use super::rehearse::Earnest;
use super::request_id::REQUEST_ID;
use super::tag::Tags;
use super::versions::{Condition, Telling};
use super::view::View;
use super::{Arrival, Shared, neighbourhood};
use crate::call::document::{self, Located};
use crate::call::{Call, headers};
use crate::edge::backend::{Backend, Lease, Reply as BackendReply, SendFault};
use crate::edge::payload::{Payload, UploadFault};
use crate::edge::room::Room;
use crate::edge::share::{Crowded, Share};
use crate::edge::store::Reservation;
use crate::ledger::{StoreKeys, is_transaction_id};
use crate::policy::Permit;
use crate::policy::parts::TransactionId;
use crate::reason::Reason;

/// A backend's answer, with what belonged to its connection gone.
#[derive(Debug)]
pub(super) struct Reply {
    /// Status and headers.
    pub head: response::Parts,
    /// The body.
    pub body: ReplyBody,
    /// Longest wait for the next bytes of the body.
    pub patience: Duration,
}

/// The body of a backend's answer.
#[derive(Debug)]
pub(super) enum ReplyBody {
    /// Read already, because a keyed write's outcome is on disk before its answer goes back.
    Whole {
        /// As they came, coded or not.
        bytes: Bytes,
        /// Most bytes that may be held of it, decoded too.
        limit: u64,
    },
    /// Still on the wire.
    Wire(Incoming, Lease),
}

/// Everything that a request upstream is made of.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    /// What is sent.
    pub(super) sent: Sent,
    /// The host that the client asked for.
    pub(super) host: HeaderValue,
    pub(super) arrival: Arrival<'a>,
    pub(super) caller: Option<&'a Arc<Identity>>,
    pub(super) permit: &'a Permit,
    /// What the caller sees of the answer, if not all.
    pub(super) view: Option<&'a View>,
    /// Its entity tags, and the backend's.
    pub(super) tags: &'a Tags,
    pub(super) turn: Turn,
    /// The version that the answer goes out with.
    pub(super) told: Option<&'a Telling>,
}

/// What may be sent to a backend: no dry run can make the one, and no client the other.
#[derive(Debug)]
pub(super) enum Sent {
    /// A client's request.
    Earnest(Earnest),
    /// A question of Tollgate's own.
    Lookup(Lookup),
}

impl ReplyBody {
    /// The whole body, of at most `limit` bytes, for which there is room.
    pub(super) async fn whole(self, limit: u64, room: &Arc<Room>) -> Result<Bytes, Refusal> {
        let (mut wire, mut lease) = match self {
            Self::Whole { bytes, .. } => return Ok(bytes),
            Self::Wire(wire, lease) => (wire, lease),
        };
        let mut taken = room.begin();
        let mut all = BytesMut::new();
        loop {
            match lease.within(wire.frame()).await {
                None => {
                    return Err(Refusal::because(
                        Reason::UpstreamTimeout,
                        "the backend's answer stalled",
                    ));
                }
                Some(Some(Err(_))) => {
                    return Err(Refusal::because(
                        Reason::UpstreamBroken,
                        "the backend's answer broke off",
                    ));
                }
                Some(None) => break,
                Some(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    if (all.len() + data.len()) as u64 > limit {
                        return Err(Reason::AnswerTooLarge.into());
                    }
                    if !taken.more(data.len()) {
                        return Err(Reason::ChecksBusy.into());
                    }
                    all.extend_from_slice(&data);
                }
            }
        }
        lease.keep();
        Ok(taken.keep(all.freeze()))
    }
}

impl Sent {
    fn call(&self) -> &Call {
        match self {
            Self::Earnest(earnest) => earnest.call(),
            Self::Lookup(lookup) => lookup.call(),
        }
    }

    fn into_parts(self) -> (Box<Call>, PathAndQuery) {
        match self {
            Self::Earnest(earnest) => earnest.into_parts(),
            Self::Lookup(lookup) => lookup.into_parts(),
        }
    }
}

/// Makes the request at once; what is returned sends it.
///
/// No `async fn`: that would keep what the request is made of until the answer is here.
pub(super) fn forward<'a>(
    shared: &'a Arc<Shared>,
    worker: usize,
    outgoing: Outgoing<'a>,
) -> Result<impl Future<Output = Result<Reply, Refusal>> + 'a, Refusal> {
    let permit = outgoing.permit;
    let (backend, durations) = backend(shared, permit)?;
    let head = outgoing.sent.call().method == Method::HEAD;
    // Who has no token is known by the address.
    let share = match outgoing.caller {
        Some(caller) => backend.share((&caller.authority.caller.issuer, &caller.authority.caller.user)),
        None => backend.share(neighbourhood(outgoing.sent.call().source)),
    };
    let Sendable {
        request,
        fault,
        reservation,
        condition,
    } = request(outgoing, backend)?;
    let exchange = Exchange {
        shared: Arc::clone(shared),
        backend: Arc::clone(backend),
        worker,
        fault,
        tagless: condition.as_ref().is_some_and(|condition| !condition.is_by_tag()),
        under_way: Cell::new(false),
    };
    Ok(async move {
        if reservation.is_none() && condition.is_none() {
            let started = Instant::now();
            let reply = exchange.reply(exchange.backend.send(worker, share, request).await);
            durations.observe(started.elapsed().as_secs_f64());
            return reply;
        }
        let write = Write {
            exchange,
            share,
            request,
            reservation,
            condition,
            remember: Remember::of(permit),
            head_only: head,
            durations: durations.clone(),
        };
        // Carried to its end although the client may hang up meanwhile: the outcome must be known, and nobody else may
        // write before it is.
        tokio::task::spawn_local(Box::pin(write.carry()))
            .await
            .unwrap_or_else(|_| Err(Reason::Internal.into()))
    })
}

/// A question of Tollgate's own, to be sent later.
pub(super) fn prepared(
    shared: &Arc<Shared>,
    worker: usize,
    outgoing: Outgoing<'_>,
) -> Result<(Exchange, Box<Request<Payload>>), Refusal> {
    let (backend, _) = backend(shared, outgoing.permit)?;
    let Sendable { request, fault, .. } = request(outgoing, backend)?;
    let exchange = Exchange {
        shared: Arc::clone(shared),
        backend: Arc::clone(backend),
        worker,
        fault,
        tagless: false,
        under_way: Cell::new(false),
    };
    Ok((exchange, request))
}

fn backend<'s>(shared: &'s Shared, permit: &Permit) -> Result<&'s (Arc<Backend>, Histogram), Refusal> {
    let upstream = permit
        .module()
        .map_or(usize::MAX, |module| usize::from(module.upstream.0));
    let unknown = || Refusal::because(Reason::Internal, "the module's upstream is unknown");
    shared.backends.get(upstream).ok_or_else(unknown)
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A request, and what is to be done before and after it is sent.
struct Sendable {
    request: Box<Request<Payload>>,
    fault: Option<UploadFault>,
    reservation: Option<Box<Reservation>>,
    condition: Option<Box<Condition>>,
}

fn request(outgoing: Outgoing<'_>, backend: &Backend) -> Result<Sendable, Refusal> {
    let Outgoing {
        sent,
        host,
        arrival,
        caller,
        permit,
        view,
        tags,
        turn,
        told,
    } = outgoing;
    let (call, target) = sent.into_parts();
    let mut fields = call.headers;
    if !permit.module().is_some_and(|module| module.forward_token) {
        fields.remove(header::AUTHORIZATION);
    }
    one_cookie_field(&mut fields);
    if let Some(view) = view {
        view.ask(&mut fields);
    }
    tags.ask(&mut fields);
    if let Some(told) = told {
        told.ask(&mut fields);
    }
    let source = arrival
        .peer
        .write(call.source)
        .ok_or_else(|| Refusal::because(Reason::Internal, "an address that is no header value"))?;
    let scheme = if arrival.peer.tls { "https" } else { "http" };
    fields.insert(header::HOST, backend.host().clone());
    fields.insert(FORWARDED_FOR, source);
    fields.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    fields.insert(FORWARDED_HOST, host);
    fields.insert(REQUEST_ID, arrival.request_id.clone());
    for (name, value) in caller.iter().flat_map(|caller| &caller.forwarded) {
        fields.insert(name.clone(), value.clone());
    }
    if matches!(turn.payload, Payload::Empty) && matches!(call.method, Method::POST | Method::PUT | Method::PATCH) {
        // A server behind CGI wants to be told (RFC 3875, 4.1.2).
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut request = Box::new(Request::new(turn.payload));
    *request.method_mut() = call.method;
    *request.uri_mut() = Uri::from(target);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = fields;
    Ok(Sendable {
        request,
        fault: turn.fault,
        reservation: turn.reservation,
        condition: turn.condition,
    })
}

/// HTTP/2 may split a `Cookie` into crumbs; HTTP/1.1 has one field (RFC 9113, 8.2.3).
fn one_cookie_field(fields: &mut HeaderMap) {
    if fields.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = fields
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        fields.insert(header::COOKIE, joined);
    }
}

/// What is remembered of the answer to a keyed write.
struct Remember {
    transaction_id: Option<TransactionId>,
    /// All of it, sealed with these.
    whole: Option<Arc<StoreKeys>>,
}

impl Remember {
    fn of(permit: &Permit) -> Self {
        let rules = permit.idempotency();
        Self {
            transaction_id: rules.and_then(|rules| rules.transaction_id.clone()),
            whole: rules.and_then(|rules| rules.replay.clone()),
        }
    }
}

/// A write that must be known to its end.
struct Write {
    exchange: Exchange,
    share: Result<Option<Share>, Crowded>,
    request: Box<Request<Payload>>,
    reservation: Option<Box<Reservation>>,
    condition: Option<Box<Condition>>,
    remember: Remember,
    head_only: bool,
    durations: Histogram,
}

impl Write {
    /// Sends it when its condition holds, and once.
    async fn carry(self) -> Result<Reply, Refusal> {
        let Self {
            exchange,
            share,
            mut request,
            reservation,
            condition,
            remember,
            head_only,
            durations,
        } = self;
        let held = match condition {
            None => None,
            Some(condition) => match condition.met(request.headers_mut()).await {
                Ok(held) => Some(held),
                Err(refusal) => {
                    free(reservation).await;
                    return Err(refusal);
                }
            },
        };
        let started = Instant::now();
        let sending = async {
            match reservation {
                Some(reservation) => {
                    exchange
                        .send_once(share, request, reservation, remember, head_only)
                        .await
                }
                None => exchange.send_whole(share, request).await,
            }
        };
        let reply = match held {
            None => sending.await,
            Some(held) => held
                .during(sending, || exchange.under_way.get())
                .await
                .unwrap_or_else(|| {
                    let why = "the lock of its resource ended before the backend had answered";
                    Err(Refusal::because(Reason::UpstreamTimeout, why))
                }),
        };
        durations.observe(started.elapsed().as_secs_f64());
        reply
    }
}

/// One request at one backend.
#[derive(Debug)]
pub(super) struct Exchange {
    shared: Arc<Shared>,
    backend: Arc<Backend>,
    worker: usize,
    fault: Option<UploadFault>,
    /// The backend's tags are not the versions that clients know.
    tagless: bool,
    /// Whether the backend may be at work on what was sent: it has not answered whole.
    under_way: Cell<bool>,
}

impl Exchange {
    /// Most bytes of an answer that may be held.
    pub(super) fn limit(&self) -> u64 {
        self.shared.limits.body_bytes
    }

    /// Longest time until the head of an answer.
    pub(super) fn longest(&self) -> Duration {
        self.backend.rules().longest()
    }

    /// Where there is room for it.
    pub(super) fn room(&self) -> &Arc<Room> {
        &self.shared.room
    }

    /// What belonged to the backend's connection goes, its version too: in HTTP/1.0 a cut could not be told from an end.
    /// So does its reason phrase, which hyper would pass on: a field's value may stand there as well as in a body.
    fn ours(&self, head: &mut response::Parts) {
        head.version = Version::HTTP_11;
        head.extensions.clear();
        headers::strip_response(&mut head.headers);
        if self.tagless {
            head.headers.remove(header::ETAG);
        }
    }

    /// Sends it, and waits for the whole answer.
    async fn send_whole(
        &self,
        share: Result<Option<Share>, Crowded>,
        request: Box<Request<Payload>>,
    ) -> Result<Reply, Refusal> {
        let mut reply = self.reply(self.send_write(share, request).await)?;
        let limit = self.limit();
        let bytes = reply.body.whole(limit, self.room()).await?;
        self.under_way.set(false);
        reply.body = ReplyBody::Whole { bytes, limit };
        Ok(reply)
    }

    /// Sends it, and takes note of whether the backend may be at work on it.
    async fn send_write(
        &self,
        share: Result<Option<Share>, Crowded>,
        request: Box<Request<Payload>>,
    ) -> Result<BackendReply, SendFault> {
        self.under_way.set(true);
        let sent = self.backend.send(self.worker, share, request).await;
        let arrived = sent.as_ref().map_or_else(SendFault::may_have_arrived, |_| true);
        self.under_way.set(arrived);
        sent
    }

    /// Sends it.
    pub(super) async fn send(&self, request: Box<Request<Payload>>) -> Result<Reply, Refusal> {
        // What Tollgate asks of itself is nobody's share.
        self.reply(self.backend.send(self.worker, Ok(None), request).await)
    }

    /// What came back to a request.
    fn reply(&self, reply: Result<BackendReply, SendFault>) -> Result<Reply, Refusal> {
        let BackendReply { response, lease } = reply.map_err(|fault| self.refusal(&fault))?;
        let (mut head, body) = response.into_parts();
        if head.status.is_informational() {
            return Err(Refusal::because(
                Reason::UpstreamBroken,
                format!("the backend answered {}", head.status),
            ));
        }
        self.ours(&mut head);
        Ok(Reply {
            head,
            body: ReplyBody::Wire(body, lease),
            patience: self.backend.rules().timeout,
        })
    }

    fn refusal(&self, fault: &SendFault) -> Refusal {
        // A body that broke off is its sender's fault, whatever the backend made of it.
        let broken_off = self.fault.as_ref().and_then(UploadFault::reason);
        let reason = broken_off.unwrap_or(match fault {
            SendFault::Unreachable(_) | SendFault::Busy => Reason::UpstreamUnavailable,
            SendFault::Crowded => Reason::RateLimited,
            SendFault::Broken(_) | SendFault::Framing => Reason::UpstreamBroken,
            SendFault::Timeout => Reason::UpstreamTimeout,
        });
        Refusal::because(reason, fault.to_string())
    }

    /// A keyed write: its outcome is on disk before its answer goes back.
    async fn send_once(
        &self,
        share: Result<Option<Share>, Crowded>,
        request: Box<Request<Payload>>,
        reservation: Box<Reservation>,
        remember: Remember,
        head_only: bool,
    ) -> Result<Reply, Refusal> {
        if !reservation.is_held() {
            // Nothing was sent; whether the key can be freed is for the store to say.
            let _ = reservation.release().await;
            let why = "the shared store has not heard of this gateway for too long";
            return Err(Refusal::because(Reason::StoreUnavailable, why));
        }
        let BackendReply { response, lease } = match self.send_write(share, request).await {
            Ok(reply) => reply,
            Err(fault) => {
                if fault.may_have_arrived() {
                    doubt(reservation).await;
                } else {
                    free(Some(reservation)).await;
                }
                return Err(self.refusal(&fault));
            }
        };
        let (mut head, body) = response.into_parts();
        let limit = self.shared.limits.body_bytes;
        let whole = match self.whole(body, limit).await {
            Ok(whole) if !head.status.is_informational() => whole,
            Ok(_) | Err(()) => {
                // Not a whole answer: nobody knows what the backend did.
                doubt(reservation).await;
                return Err(Refusal::because(
                    Reason::UpstreamBroken,
                    "no whole answer to a keyed write",
                ));
            }
        };
        self.under_way.set(false);
        lease.keep();
        let id = remember
            .transaction_id
            .zip(whole.as_ref())
            .and_then(|(find, whole)| transaction_id(&find, &head.headers, whole, limit));
        let status = head.status;
        self.ours(&mut head);
        let bodiless = head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let whole = whole.map(|bytes| if bodiless { Bytes::new() } else { bytes });
        let kept = remember
            .whole
            .zip(whole.as_ref())
            .and_then(|(keys, whole)| kept::seal(&keys, &reservation, status, &head.headers, whole));
        reservation
            .complete_with(status.as_u16(), id, kept, super::unix_now())
            .await
            .map_err(|fault| Refusal::because(Reason::StoreUnavailable, fault.to_string()))?;
        match whole {
            Some(bytes) => Ok(Reply {
                head,
                body: ReplyBody::Whole { bytes, limit },
                patience: self.backend.rules().timeout,
            }),
            None => Err(Reason::AnswerTooLarge.into()),
        }
    }

    /// The whole body; `None` if it came whole but is too large to be held.
    async fn whole(&self, mut body: Incoming, limit: u64) -> Result<Option<Bytes>, ()> {
        let mut taken = self.shared.room.begin();
        let mut all = BytesMut::new();
        let mut fits = true;
        loop {
            let Ok(frame) = tokio::time::timeout(self.backend.rules().timeout, body.frame()).await else {
                return Err(());
            };
            match frame {
                None => return Ok(fits.then(|| taken.keep(all.freeze()))),
                Some(Err(_)) => return Err(()),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    fits = fits && (all.len() + data.len()) as u64 <= limit && taken.more(data.len());
                    if fits {
                        all.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Nobody knows what the backend did. An operator finds the record by its name.
async fn doubt(reservation: Box<Reservation>) {
    let record = reservation.key().map(ToString::to_string).unwrap_or_default();
    match reservation.unknown(super::unix_now()).await {
        Ok(()) => tracing::warn!(
            record,
            "the outcome of a keyed write is unknown until an operator settles it"
        ),
        Err(fault) => {
            tracing::error!(%fault, record, "the outcome of a keyed write is unknown, and that is not on disk")
        }
    }
}

/// Nothing was sent: the key may be used again.
async fn free(reservation: Option<Box<Reservation>>) {
    if let Some(reservation) = reservation
        && let Err(fault) = reservation.release().await
    {
        tracing::error!(%fault, "an idempotency key could not be set free");
    }
}

/// What the backend calls the transaction; numbers count as they are written. A body that cannot be decoded to at most
/// `limit` bytes names none.
fn transaction_id(find: &TransactionId, fields: &HeaderMap, body: &Bytes, limit: u64) -> Option<Box<str>> {
    let text = match find {
        TransactionId::Header(name) => fields.get(name)?.to_str().ok()?.to_owned(),
        TransactionId::Pointer(pointer) => {
            let plain = decoded(coding(fields).ok()?, body, limit).ok()?;
            match document::locate(&plain, pointer) {
                Ok(Located::Text(text) | Located::Number(text)) => text,
                _ => return None,
            }
        }
    };
    is_transaction_id(&text).then(|| text.into())
}
