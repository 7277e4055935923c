//! Versions of resources whose backend knows none, or does not compare them (S1.9; interface, section 7).
//!
//! A write waits for its resource's lock, reads the version, and is sent before the lock is released, all of it in a task
//! that goes on although the client may hang up: between a version that was compared and the write that it let through
//! nobody else writes. Who gets the resource is given the version as its `ETag`.
//!
//! The version that is made of a whole body is made with a key: a plain hash of a body with a masked field would tell the
//! field to whoever tries all that it could be.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use std::sync::Arc;
use std::time::Duration;

use super::decode::{coding, decoded};
use super::forward::{Exchange, Outgoing, Reply, ReplyBody, Sent, prepared};
use super::guard::Turn;
use super::lookup::{Asker, Lookup};
use super::refusal::Refusal;
use super::tag::{Tags, unmarked};
use crate::call::Call;
use crate::call::document::{Located, locate};
use crate::edge::locks::{Held, Locks, NotLocked, Resource};
use crate::edge::payload::Payload;
use crate::edge::room::Room;
use crate::edge::store::StoreFault;
use crate::ledger::{IfMatch, Version};
use crate::policy::Permit;
use crate::policy::parts::{Concurrency, VersionFrom};
use crate::reason::Reason;

/// What must hold when a write is sent.
#[derive(Debug)]
pub(super) struct Condition {
    wanted: IfMatch,
    from: VersionFrom,
    question: Question,
    resource: Resource,
    locks: Locks,
    /// Longest time that the write may take.
    write: Duration,
    wait: Duration,
}

/// A lookup that is ready to be sent.
#[derive(Debug)]
struct Question {
    exchange: Exchange,
    request: Box<Request<Payload>>,
}

/// The version that an answer goes out with.
#[derive(Debug)]
pub(super) struct Telling {
    from: VersionFrom,
    /// Asked after the answer has come, which says nothing of the body that the version stands in.
    question: Option<Question>,
}

/// What a write says of the version that it was made for; none if its route does not ask.
pub(super) fn asked<'p>(call: &Call, permit: &'p Permit) -> Result<Option<(&'p Concurrency, IfMatch)>, Refusal> {
    let Some(rules) = permit.concurrency().filter(|_| call.is_unsafe()) else {
        return Ok(None);
    };
    match IfMatch::parse(&call.headers) {
        Ok(Some(wanted)) => Ok(Some((rules, wanted))),
        Ok(None) => Err(Reason::PreconditionRequired.into()),
        Err(fault) => Err(Refusal::because(Reason::AmbiguousRequest, fault.to_string())),
    }
}

impl Condition {
    /// What must hold when `call` is sent; none if nothing must, or if the backend sees to it.
    pub(super) fn of(asker: Asker<'_>, permit: &Permit, call: &Call) -> Result<Option<Box<Self>>, Refusal> {
        let Some((rules, wanted)) = asked(call, permit)? else {
            return Ok(None);
        };
        let Some(version) = &rules.version else { return Ok(None) };
        let lookup = Lookup::of(version.get.as_deref(), call, &PLAIN)?;
        let path = lookup.call().path.shared().clone();
        let question = Question::new(asker, permit, lookup)?;
        let write = question.longest();
        let backend = permit.module().map(|module| Arc::clone(&module.upstream_name));
        Ok(Some(Box::new(Self {
            wanted,
            from: version.from.clone(),
            question,
            resource: Resource::new(&backend.unwrap_or_default(), &path),
            locks: asker.shared.locks.clone(),
            write,
            wait: rules.wait,
        })))
    }

    /// Whether the backend's own tags are the versions.
    pub(super) fn is_by_tag(&self) -> bool {
        is_by_tag(&self.from)
    }

    /// Waits for the lock and compares. The write, which sees its backend's own tag or none, may be sent as long as the
    /// lock is held.
    pub(super) async fn met(self: Box<Self>, write: &mut HeaderMap) -> Result<Held, Refusal> {
        let held = self.locks.take(self.resource, self.write, self.wait).await;
        let held = held.map_err(|fault| {
            let reason = match fault {
                NotLocked::Away(_) => Reason::StoreUnavailable,
                _ => Reason::ResourceBusy,
            };
            Refusal::because(reason, fault.to_string())
        })?;
        let current = self.question.version(&self.from).await?;
        if !self.wanted.admits(current.as_ref(), unmarked) {
            return Err(Refusal::mismatch(current.as_ref()));
        }
        write.remove(header::IF_MATCH);
        let tag = match (&self.wanted, current) {
            _ if !is_by_tag(&self.from) => None,
            (IfMatch::Any, _) => Some(HeaderValue::from_static("*")),
            (IfMatch::OneOf(_), current) => current.and_then(|current| HeaderValue::try_from(current.tag()).ok()),
        };
        if let Some(tag) = tag {
            write.insert(header::IF_MATCH, tag);
        }
        let away = |fault: StoreFault| Refusal::because(Reason::StoreUnavailable, fault.to_string());
        held.ready().await.map_err(away)?;
        Ok(held)
    }
}

/// What a question says beside who asks: the answer is to come as it is, in its usual form.
const PLAIN: [(HeaderName, &str); 1] = [(header::ACCEPT_ENCODING, "identity")];

impl Question {
    /// The question. It goes where the caller's own request goes, and by its permit: nothing of the answer goes out but the
    /// version, to whoever may write by it.
    fn new(asker: Asker<'_>, permit: &Permit, lookup: Lookup) -> Result<Self, Refusal> {
        let tags = Tags::new(None, None, &lookup.call().headers);
        let outgoing = Outgoing {
            sent: Sent::Lookup(lookup),
            host: asker.host.clone(),
            arrival: asker.arrival,
            caller: asker.caller,
            permit,
            view: None,
            tags: &tags,
            turn: Turn {
                payload: Payload::Empty,
                fault: None,
                reservation: None,
                condition: None,
            },
            told: None,
        };
        let (exchange, request) = prepared(asker.shared, asker.worker, outgoing)?;
        Ok(Self { exchange, request })
    }

    /// Longest time that a request to its backend may take.
    fn longest(&self) -> Duration {
        self.exchange.longest()
    }

    /// The version that the resource has now; none if it is not there.
    async fn version(self, from: &VersionFrom) -> Result<Option<Version>, Refusal> {
        let broken = |why: String| Refusal::because(Reason::UpstreamBroken, why);
        let limit = self.exchange.limit();
        let reply = self.exchange.send(self.request).await?;
        match reply.head.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            status => {
                return Err(broken(format!(
                    "the backend answered {status} when it was asked for a version"
                )));
            }
        }
        let head = reply.head;
        let body = reply.body.whole(limit, self.exchange.room()).await?;
        read(from, &head.headers, &body, limit)
            .map(Some)
            .ok_or_else(|| broken("the backend's answer has no version where the policy says".into()))
    }
}

impl Telling {
    /// The version that goes out with the answer to `call`; none if its resource has none, or if it goes out by itself.
    pub(super) fn of(asker: Asker<'_>, permit: &Permit, call: &Call) -> Result<Option<Box<Self>>, Refusal> {
        let Some(from) = permit.version_of(call) else {
            return Ok(None);
        };
        let in_body = matches!(from, VersionFrom::Pointer(_) | VersionFrom::Body(_));
        let question = if in_body && call.method == Method::HEAD {
            let lookup = Lookup::of(None, call, &PLAIN)?;
            Some(Question::new(asker, permit, lookup)?)
        } else {
            None
        };
        Ok(Some(Box::new(Self {
            from: from.clone(),
            question,
        })))
    }

    /// Takes from a request what would make its answer another than the one that has the version.
    pub(super) fn ask(&self, fields: &mut HeaderMap) {
        if is_by_tag(&self.from) {
            return;
        }
        for name in [
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_RANGE,
            header::RANGE,
        ] {
            fields.remove(name);
        }
        if matches!(self.from, VersionFrom::Body(_)) {
            for name in [header::ACCEPT, header::ACCEPT_LANGUAGE, header::ACCEPT_CHARSET] {
                fields.remove(name);
            }
        }
    }

    /// Writes the version into an answer. A body that it stands in is read whole, up to `limit` bytes.
    pub(super) async fn tell(self: Box<Self>, reply: Reply, limit: u64, room: &Arc<Room>) -> Result<Reply, Refusal> {
        if is_by_tag(&self.from) {
            return Ok(reply);
        }
        let Reply {
            mut head,
            body,
            patience,
        } = reply;
        // The backend's own tags are none that could be named in `If-Match` here.
        head.headers.remove(header::ETAG);
        let is_whole = head.status == StatusCode::OK;
        let (version, body) = match (self.question, &self.from) {
            _ if !is_whole => (None, body),
            (Some(question), from) => (question.version(from).await?, body),
            (None, from @ VersionFrom::Header(_)) => (read(from, &head.headers, &Bytes::new(), limit), body),
            (None, from) => {
                let bytes = body.whole(limit, room).await?;
                let version = read(from, &head.headers, &bytes, limit);
                (version, ReplyBody::Whole { bytes, limit })
            }
        };
        if let Some(tag) = version.and_then(|version| HeaderValue::try_from(version.tag()).ok()) {
            head.headers.insert(header::ETAG, tag);
        }
        Ok(Reply { head, body, patience })
    }
}

/// A backend that tags its answers compares tags itself, or at least knows them.
fn is_by_tag(from: &VersionFrom) -> bool {
    matches!(from, VersionFrom::Header(name) if *name == header::ETAG)
}

/// The version in an answer; none if there is none where the policy says.
fn read(from: &VersionFrom, fields: &HeaderMap, body: &Bytes, limit: u64) -> Option<Version> {
    let plain = || decoded(coding(fields).ok()?, body, limit).ok();
    match from {
        VersionFrom::Header(name) => {
            let text = fields.get(name)?.to_str().ok()?;
            match Version::of_tag(text) {
                Some(version) => Some(version),
                None if is_by_tag(from) => None,
                None => Version::of_text(text),
            }
        }
        VersionFrom::Pointer(pointer) => match locate(&plain()?, pointer) {
            Ok(Located::Text(text) | Located::Number(text)) => Version::of_text(&text),
            _ => None,
        },
        VersionFrom::Body(keys) => Version::of_text(&keys.version_of(&plain()?)?),
    }
}
