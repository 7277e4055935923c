//! Sixth step: keep a write from happening twice (interface, section 6; S1.8).
//!
//! The key is on disk before the backend sees a byte, and a key that came before is never sent again.

use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;

use super::Shared;
use super::decide::Inbound;
use super::forward::Reply;
use super::identify::Identity;
use super::kept;
use super::record::Line;
use super::refusal::{Original, Refusal};
use super::rehearse::{self, Earnest};
use super::versions::Condition;
use crate::call::Call;
use crate::edge::payload::{Payload, UploadFault};
use crate::edge::store::{Claim, Reservation, StoreFault};
use crate::ledger::{Fingerprint, IdempotencyKey, Owner, RecordKey, Verdict, judge};
use crate::policy::Permit;
use crate::policy::parts::Idempotency;
use crate::reason::Reason;

/// What may now be sent, once.
#[derive(Debug)]
pub(super) struct Turn {
    /// The body.
    pub payload: Payload,
    /// Why the body broke off, if it is passed on as it comes and does.
    pub fault: Option<UploadFault>,
    /// The key's place in the store, on a keyed write.
    pub reservation: Option<Box<Reservation>>,
    /// What must hold when it is sent.
    pub condition: Option<Box<Condition>>,
}

/// What becomes of a request that may be sent.
#[derive(Debug)]
pub(super) enum Next {
    /// It is.
    Send(Turn),
    /// It was, and its answer was kept.
    Repeat(Box<Reply>),
}

/// What comes next, or the wait for it: boxed, since most requests have nothing to wait for and would still make room.
pub(super) enum Guarded<'g> {
    Now(Next),
    Later(Pin<Box<dyn Future<Output = Result<Next, Refusal>> + 'g>>),
}

/// Reserves the key, or says what became of the request that had it first.
pub(super) fn guard<'g>(
    shared: &'g Shared,
    earnest: &'g Earnest,
    caller: Option<&'g Arc<Identity>>,
    permit: &'g Permit,
    body: Inbound,
    condition: Result<Option<Box<Condition>>, Refusal>,
    line: &'g mut Line,
) -> Guarded<'g> {
    let call = earnest.call();
    let unasked = rehearse::rules(call, permit).is_none() && matches!(key(call, permit), Ok(None));
    if unasked && matches!(condition, Ok(None)) {
        return Guarded::Now(Next::Send(unguarded(body)));
    }
    Guarded::Later(Box::pin(look_up(shared, call, caller, permit, body, condition, line)))
}

async fn look_up(
    shared: &Shared,
    call: &Call,
    caller: Option<&Arc<Identity>>,
    permit: &Permit,
    body: Inbound,
    condition: Result<Option<Box<Condition>>, Refusal>,
    line: &mut Line,
) -> Result<Next, Refusal> {
    let (body, objection) = valid(shared, call, permit, body).await?;
    if let Some(objection) = on_trial(permit, objection, line) {
        let bytes = body.read(&shared.room).await?;
        return unless_known(shared, call, caller, permit, &bytes, objection).await;
    }
    let key = key(call, permit).inspect_err(|refusal| {
        if refusal.reason == Reason::IdempotencyKeyMissing {
            shared.metrics.idempotency("missing");
        }
    })?;
    let condition = match condition {
        Ok(condition) => condition,
        Err(objection) if key.is_none() => return Err(objection),
        Err(objection) => {
            let bytes = body.read(&shared.room).await?;
            return unless_known(shared, call, caller, permit, &bytes, objection).await;
        }
    };
    let (Some((rules, key)), Some(caller)) = (key, caller) else {
        return Ok(Next::Send(match condition {
            None => unguarded(body),
            // Nobody holds a lock while a client's body is on its way.
            Some(condition) => Turn {
                payload: whole(body.read(&shared.room).await?),
                fault: None,
                reservation: None,
                condition: Some(condition),
            },
        }));
    };
    let bytes = body.read(&shared.room).await?;
    let named = Named::of(call, caller, permit, &key, &bytes);
    let store = &shared.store;
    let ask = async || {
        let owner = Some(Arc::clone(&named.owner));
        store
            .reserve(named.record, owner, named.fingerprint, rules.keep, super::unix_now())
            .await
    };
    let claim = match (ask().await, rules.wait) {
        (Ok(Claim::Refused(Verdict::InProgress)), Some(wait)) => {
            Box::pin(store.wait_for(named.record, wait, ask)).await
        }
        (claim, _) => claim,
    };
    match claim.map_err(|fault| away(shared, &fault))? {
        Claim::Granted(reservation) => {
            shared.metrics.idempotency("first");
            Ok(Next::Send(Turn {
                payload: whole(bytes),
                fault: None,
                reservation: Some(Box::new(reservation)),
                condition,
            }))
        }
        Claim::Refused(verdict) => known(shared, rules, &named, verdict),
    }
}

fn away(shared: &Shared, fault: &StoreFault) -> Refusal {
    shared.metrics.idempotency("store_unavailable");
    Refusal::because(Reason::StoreUnavailable, fault.to_string())
}

/// What a keyed write is known by.
struct Named {
    record: RecordKey,
    owner: Arc<Owner>,
    fingerprint: Fingerprint,
}

impl Named {
    fn of(call: &Call, caller: &Identity, permit: &Permit, key: &IdempotencyKey, body: &[u8]) -> Self {
        let mut fingerprint = Fingerprint::of(&call.method, call.path.raw(), call.query.raw());
        fingerprint.body(body);
        let (module, route) = permit.policy().names(permit.place());
        let (module, route) = (module.unwrap_or_default(), route.unwrap_or_default());
        let who = &caller.authority.caller;
        Self {
            record: RecordKey::new(&who.issuer, &who.user, &module, &route, key),
            owner: Arc::new(Owner::new(&who.issuer, &who.user, &module, &route, key)),
            fingerprint: fingerprint.finish(),
        }
    }
}

/// Holds the body of a write against the route's schema, if it has one, before its key is touched: a bad request leaves
/// nothing behind. Gives the body back, and what is wrong with it.
async fn valid(
    shared: &Shared,
    call: &Call,
    permit: &Permit,
    body: Inbound,
) -> Result<(Inbound, Option<Refusal>), Refusal> {
    let Some(rules) = rehearse::rules(call, permit) else {
        return Ok((body, None));
    };
    let bytes = body.read(&shared.room).await?;
    let faults = rehearse::faults(rules, &bytes).await?;
    let objection = (!faults.is_empty()).then(|| Refusal::invalid(Reason::SchemaViolation, faults));
    Ok((Inbound::Read(bytes), objection))
}

/// An objection that holds: in shadow mode none does, and the line says what would be.
fn on_trial(permit: &Permit, objection: Option<Refusal>, line: &mut Line) -> Option<Refusal> {
    let objection = objection?;
    if !permit.is_on_trial() {
        return Some(objection);
    }
    line.would_refuse(&objection);
    None
}

/// What is wrong with a request is said to one that is new only. The rules may have grown stricter since a write was done,
/// and whoever tries that one again must learn what became of it.
async fn unless_known(
    shared: &Shared,
    call: &Call,
    caller: Option<&Arc<Identity>>,
    permit: &Permit,
    body: &[u8],
    objection: Refusal,
) -> Result<Next, Refusal> {
    let (Ok(Some((rules, key))), Some(caller)) = (key(call, permit), caller) else {
        return Err(objection);
    };
    let named = Named::of(call, caller, permit, &key, body);
    let found = shared.store.show(named.record).await;
    let found = found.map_err(|fault| away(shared, &fault))?;
    match judge(found.as_ref(), &named.fingerprint, super::unix_now()) {
        Verdict::Proceed => Err(objection),
        // A body that is not as it must be may well be another than the first.
        Verdict::Reused if objection.reason == Reason::SchemaViolation => Err(objection),
        verdict => known(shared, rules, &named, verdict),
    }
}

/// The key of a write that is to be done once, with the route's rules; none if it is not to be.
pub(super) fn key<'p>(call: &Call, permit: &'p Permit) -> Result<Option<(&'p Idempotency, IdempotencyKey)>, Refusal> {
    // A key belongs to somebody: on a public route there is nobody.
    let asked = call.is_unsafe() && !permit.route().public;
    let Some(rules) = permit.idempotency().filter(|_| asked) else {
        return Ok(None);
    };
    let key =
        IdempotencyKey::parse(&call.headers).map_err(|fault| Refusal::because(fault.reason(), fault.to_string()))?;
    match key {
        Some(key) => Ok(Some((rules, key))),
        None if rules.required => Err(Reason::IdempotencyKeyMissing.into()),
        None => Ok(None),
    }
}

fn unguarded(body: Inbound) -> Turn {
    let (payload, fault) = match body {
        Inbound::Read(bytes) => (whole(bytes), None),
        Inbound::Wire(upload) if upload.is_empty() => (Payload::Empty, None),
        Inbound::Wire(mut upload) => {
            let fault = upload.fault();
            (Payload::Stream(Box::new(upload)), Some(fault))
        }
    };
    Turn {
        payload,
        fault,
        reservation: None,
        condition: None,
    }
}

fn whole(bytes: Bytes) -> Payload {
    if bytes.is_empty() {
        Payload::Empty
    } else {
        Payload::Whole(Some(bytes))
    }
}

/// What a key that came before says to the request that has it now: the first answer once more, if it was kept and still
/// opens, or a refusal.
fn known(shared: &Shared, rules: &Idempotency, named: &Named, verdict: Verdict) -> Result<Next, Refusal> {
    if let (
        Some(keys),
        Verdict::Duplicate {
            answer: Some(sealed), ..
        },
    ) = (&rules.replay, &verdict)
    {
        let limit = shared.limits.body_bytes;
        if let Some(reply) = kept::open(keys, &named.record, &named.fingerprint, sealed, limit) {
            shared.metrics.idempotency("replayed");
            return Ok(Next::Repeat(Box::new(reply)));
        }
    }
    Err(refused(shared, verdict))
}

/// Why a request is refused whose key came before.
fn refused(shared: &Shared, verdict: Verdict) -> Refusal {
    let (outcome, refusal) = match verdict {
        Verdict::Proceed => return Refusal::because(Reason::Internal, "a key is free and was not reserved"),
        Verdict::Reused => ("reused", Reason::IdempotencyKeyReused.into()),
        Verdict::InProgress => ("in_progress", Reason::RequestInProgress.into()),
        Verdict::Unknown { .. } => ("unknown", Reason::OutcomeUnknown.into()),
        Verdict::Duplicate {
            status,
            transaction_id,
            completed_at,
            answer: _,
        } => (
            "duplicate",
            Refusal::duplicate(Original {
                transaction_id,
                status,
                completed_at,
            }),
        ),
    };
    shared.metrics.idempotency(outcome);
    refusal
}
