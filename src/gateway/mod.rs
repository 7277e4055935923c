//! The request, from its first byte to its audit line: one file per step, in reading order.
//!
//! [`Gateway::serve`] is the spine. Each step takes the proof of the one before: nothing is forwarded without a permit,
//! and only a masked answer can be returned. The wrong order does not compile.

mod accept;
mod answer;
mod balances;
mod compress;
mod decide;
mod decode;
mod forward;
mod guard;
mod identify;
mod kept;
mod lookup;
mod mask;
mod normalize;
pub mod offline;
mod pace;
mod pages;
mod record;
mod refusal;
mod rehearse;
mod request_id;
mod rules;
mod source;
mod tag;
mod versions;
mod view;

use arc_swap::ArcSwap;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use ipnet::IpNet;
use prometheus::Histogram;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::audit::Entry;
use crate::config::AuditSync;
use crate::edge::backend::Backend;
use crate::edge::journal::Journal;
use crate::edge::locks::Locks;
use crate::edge::metrics::Metrics;
use crate::edge::revoked::Register;
use crate::edge::room::Room;
use crate::edge::store::Store;
use crate::reason::{Outcome, Reason};

pub use accept::{Limits, Peer};
pub use answer::{AnswerBody, Cut};
pub use compress::MIN_COMPRESSED;
pub use mask::{Answer, HOLD};
pub use pace::{Attempts, Paces};
pub use record::Line;
pub use rules::{IssuerKeys, Keys, Rules};
pub use source::neighbourhood;

use accept::accept;
use compress::Wish;
use decide::decide;
use forward::{Outgoing, Sent, forward};
use guard::{Guarded, Next, guard};
use identify::{Beside, identify};
use lookup::Asker;
use mask::{Pending, Reader, mask};
use normalize::{Normal, normalize};
use pace::Standing;
use pages::preflight;
use refusal::{Refusal, last_bytes};
use rehearse::Intent;
use request_id::{REQUEST_ID, RequestIds};
use tag::Tags;
use versions::{Condition, Telling};
use view::View;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// The rules in force.
    pub rules: ArcSwap<Rules>,
    /// Limits on requests.
    pub limits: Limits,
    /// The room for bodies that must be held whole.
    pub room: Arc<Room>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whose answers wait for their audit line.
    pub sync: AuditSync,
    /// Backends in the order of the gateway file, each with its histogram.
    pub backends: Vec<(Arc<Backend>, Histogram)>,
    /// How fast users ask.
    pub paces: Paces,
    /// How many bad tokens addresses show.
    pub attempts: Attempts,
    /// The audit log.
    pub journal: Journal,
    /// Idempotency keys.
    pub store: Store,
    /// Resources that are being written.
    pub locks: Locks,
    /// Tokens and users that operators have revoked.
    pub revoked: Arc<Register>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// How a request came: from whom, and under which name it is known.
#[derive(Clone, Copy, Debug)]
struct Arrival<'a> {
    peer: &'a Peer,
    /// Its head's bytes had a `Content-Length` that hyper dropped for the sake of a `Transfer-Encoding`.
    two_framings: bool,
    request_id: &'a HeaderValue,
}

/// One worker's gateway.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    worker: usize,
    ids: RequestIds,
}

impl Gateway {
    /// The gateway of a worker, counted from 0.
    #[must_use]
    pub fn new(shared: Arc<Shared>, worker: usize) -> Self {
        Self {
            shared,
            worker,
            ids: RequestIds::new(),
        }
    }

    /// What all workers share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Answers a request, whatever it is. Makes exactly one audit line and one count (invariant 5).
    ///
    /// The request is boxed since it passes through many hands, and each would copy it.
    ///
    /// `two_framings`: the head's bytes had a `Content-Length` beside a `Transfer-Encoding`, which hyper does not show.
    pub async fn answer(&self, request: Box<Request<Incoming>>, peer: &Peer, two_framings: bool) -> Answer {
        let started = Instant::now();
        let rules = self.shared.rules.load_full();
        let id = self.ids.of(request.headers());
        let cors = rules.policy().cors();
        let page = cors.and_then(|cors| cors.admitted(request.headers())).cloned();
        let mut answer = match self.shared.journal.slot() {
            Ok(slot) => {
                let entry = entry(&rules, &id, peer, Some(request.method().clone()));
                let line = Line::open(slot, &rules, entry, started);
                let arrival = Arrival {
                    peer,
                    two_framings,
                    request_id: &id,
                };
                self.answer_recorded(&rules, request, arrival, line).await
            }
            Err(fault) => {
                // There is no line to be had; the count and the log are all that is left to say it.
                tracing::error!(%fault, "a request was refused because the audit log cannot be written");
                let outcome = Outcome::Refused(Reason::AuditUnavailable);
                let method = Some(request.method().as_str());
                rules.unrouted().count(method, Some(503), outcome, started.elapsed());
                refusal_response(Reason::AuditUnavailable.into(), &id)
            }
        };
        if let Some(cors) = cors {
            cors.tell(page.as_ref(), answer.headers_mut());
        }
        answer.headers_mut().insert(REQUEST_ID, id);
        answer
    }

    async fn answer_recorded(
        &self,
        rules: &Arc<Rules>,
        request: Box<Request<Incoming>>,
        arrival: Arrival<'_>,
        mut line: Line,
    ) -> Answer {
        let mut standing = None;
        let answered = match self.serve(rules, request, arrival, &mut standing, &mut line).await {
            Ok(pending) => pending.close(line).await.map_err(Refusal::from),
            Err(refusal) => {
                let filed = line.refuse(&refusal);
                let lost = match filed {
                    Some(filed) => filed.await.is_err(),
                    None => false,
                };
                Err(if lost { Reason::AuditUnavailable.into() } else { refusal })
            }
        };
        let mut answer = answered.unwrap_or_else(|refusal| refusal_response(refusal, arrival.request_id));
        if let Some(standing) = standing {
            standing.tell(answer.headers_mut());
        }
        answer
    }

    /// The spine: the life of a request.
    async fn serve(
        &self,
        rules: &Arc<Rules>,
        request: Box<Request<Incoming>>,
        arrival: Arrival<'_>,
        standing: &mut Option<Standing>,
        line: &mut Line,
    ) -> Result<Pending, Refusal> {
        let Shared {
            limits,
            trusted_proxies,
            room,
            ..
        } = &*self.shared;
        let policy = rules.policy();
        let accepted = accept(*request, arrival.two_framings, limits)?;
        let Normal {
            call,
            upload,
            target,
            host,
        } = normalize(accepted, arrival.peer, policy, trusted_proxies, limits)?;
        line.call(&call, self.shared.waits(call.is_unsafe()));
        arrival.peer.is_up_to_date()?;
        if let Some(leave) = preflight(policy, &call.method, &call.headers)? {
            return Ok(Pending::own(StatusCode::NO_CONTENT, leave, line));
        }
        if !policy.admits(call.source) {
            return Err(Reason::SourceNotAllowed.into());
        }
        let beside = Beside {
            peer: arrival.peer,
            tries: self.shared.attempts.from(call.source, self.shared.paces.shared()),
            revoked: &self.shared.revoked,
        };
        let caller = identify(rules, &call.headers, &beside, line.now())
            .await
            .inspect_err(|_| line.sought(&call))?;
        if let Some(caller) = &caller {
            line.caller(&caller.authority);
            self.shared
                .paces
                .admit(&caller.authority, standing)
                .await
                .inspect_err(|_| line.sought(&call))?;
        }
        let (permit, body) = decide(policy, &call, caller.as_deref(), upload, room, line).await?;
        let asker = Asker {
            shared: &self.shared,
            worker: self.worker,
            policy,
            caller: caller.as_ref(),
            arrival,
            host: &host,
        };
        let earnest = match Intent::of(call, target)? {
            Intent::Earnest(earnest) => earnest,
            Intent::DryRun(rehearsal) => return Box::pin(rehearsal.answer(&permit, body, asker, line)).await,
        };
        let condition = Condition::of(asker, &permit, earnest.call());
        let next = match guard(&self.shared, &earnest, caller.as_ref(), &permit, body, condition, line) {
            Guarded::Now(next) => next,
            Guarded::Later(next) => next.await?,
        };
        let told = Telling::of(asker, &permit, earnest.call())?;
        line.permitted(&permit);
        let view = permit
            .mask(
                earnest.call(),
                caller.as_ref().map(|caller| &caller.authority),
                line.at(),
            )
            .map(|mask| View::new(mask, &policy.version));
        let call = earnest.call();
        let method = call.method.clone();
        let wish = Wish::of(&call.headers, &permit);
        let tags = Tags::new(view.as_ref(), wish.as_ref(), &call.headers).of_version(told.is_some());
        let reply = match next {
            Next::Send(turn) => {
                let outgoing = Outgoing {
                    sent: Sent::Earnest(earnest),
                    host,
                    arrival,
                    caller: caller.as_ref(),
                    permit: &permit,
                    view: view.as_ref(),
                    tags: &tags,
                    turn,
                    told: told.as_deref(),
                };
                let sending = forward(&self.shared, self.worker, outgoing)?;
                sending.await?
            }
            Next::Repeat(reply) => {
                line.repeats();
                *reply
            }
        };
        let reply = match told {
            None => reply,
            Some(told) => Box::pin(told.tell(reply, limits.body_bytes, room)).await?,
        };
        let reader = Reader {
            method: &method,
            permit: &permit,
            tags,
            wish,
        };
        let masking = mask(reply, reader, view, line)?;
        masking.await
    }

    /// A head that cannot be read at all has its audit line too, and an answer like any other: its bytes, after which the
    /// connection is closed. `status` is what the HTTP parser made of it.
    pub fn malformed(&self, peer: &Peer, status: u16) -> Vec<u8> {
        let reason = match status {
            431 => Reason::HeadersTooLarge,
            414 => Reason::UriTooLong,
            _ => Reason::AmbiguousRequest,
        };
        let refusal = Refusal::because(reason, "the head cannot be read");
        let id = self.ids.fresh();
        let rules = self.shared.rules.load_full();
        if let Ok(slot) = self.shared.journal.slot() {
            let mut line = Line::open(slot, &rules, entry(&rules, &id, peer, None), Instant::now());
            let _ = line.refuse(&refusal);
        }
        let mut answer = refusal_response(refusal, &id);
        if let Some(cors) = rules.policy().cors() {
            cors.tell(None, answer.headers_mut());
        }
        last_bytes(answer, &id)
    }
}

impl Shared {
    fn waits(&self, may_change_something: bool) -> bool {
        match self.sync {
            AuditSync::Writes => may_change_something,
            AuditSync::All => true,
            AuditSync::None => false,
        }
    }
}

fn refusal_response(refusal: Refusal, id: &HeaderValue) -> Answer {
    refusal.into_response(id.to_str().unwrap_or_default())
}

fn entry(rules: &Rules, id: &HeaderValue, peer: &Peer, method: Option<http::Method>) -> Box<Entry> {
    Box::new(Entry {
        at: jiff::Timestamp::now(),
        request_id: id.clone(),
        caller: None,
        method,
        endpoint: None,
        module: None,
        route: None,
        requested_scope: None,
        source: peer.address,
        outcome: Outcome::Abandoned,
        would_deny: None,
        detail: None,
        status: None,
        upstream: None,
        masked: SmallVec::new(),
        duration: Duration::ZERO,
        policy_version: Arc::clone(&rules.policy().version),
    })
}

/// The wall clock in unix seconds; before 1970 it is 1970, when no token is valid yet.
#[must_use]
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
