//! Sixth step: keep a write from happening twice (interface, section 6; S1.8).
//!
//! The key is on disk before the backend sees a byte, and a key that came before is never sent again.

use bytes::Bytes;
use std::sync::Arc;

use super::Shared;
use super::decide::Inbound;
use super::identify::Identity;
use super::refusal::{Original, Refusal};
use super::rehearse::{self, Earnest};
use crate::call::Call;
use crate::edge::payload::{Payload, UploadFault};
use crate::edge::store::{Claim, Reservation};
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
    pub reservation: Option<Reservation>,
}

/// Reserves the key, or says what became of the request that had it first.
pub(super) async fn guard(
    shared: &Shared,
    earnest: &Earnest,
    caller: Option<&Arc<Identity>>,
    permit: &Permit,
    body: Inbound,
) -> Result<Turn, Refusal> {
    let call = earnest.call();
    let body = valid(shared, call, caller, permit, body).await?;
    let key = key(call, permit).inspect_err(|refusal| {
        if refusal.reason == Reason::IdempotencyKeyMissing {
            shared.metrics.idempotency("missing");
        }
    })?;
    let (Some((rules, key)), Some(caller)) = (key, caller) else {
        return Ok(unguarded(body));
    };
    let bytes = body.read().await?;
    let Named {
        record,
        owner,
        fingerprint,
    } = Named::of(call, caller, permit, &key, &bytes);
    let store = &shared.store;
    let ask = async || {
        let owner = Some(Arc::clone(&owner));
        store
            .reserve(record, owner, fingerprint, rules.keep, super::unix_now())
            .await
    };
    let claim = match (ask().await, rules.wait) {
        (Ok(Claim::Refused(Verdict::InProgress)), Some(wait)) => Box::pin(store.wait_for(record, wait, ask)).await,
        (claim, _) => claim,
    };
    let claim = claim.map_err(|fault| {
        shared.metrics.idempotency("store_unavailable");
        Refusal::because(Reason::StoreUnavailable, fault.to_string())
    })?;
    admit(shared, claim, bytes)
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
/// nothing behind. But a schema may have grown stricter since a write was done, and whoever tries that one again must
/// learn what became of it: only a body that is new is told what is wrong with it.
async fn valid(
    shared: &Shared,
    call: &Call,
    caller: Option<&Arc<Identity>>,
    permit: &Permit,
    body: Inbound,
) -> Result<Inbound, Refusal> {
    let Some(rules) = rehearse::rules(call, permit) else {
        return Ok(body);
    };
    let bytes = body.read().await?;
    let faults = rehearse::faults(rules, &bytes).await?;
    if faults.is_empty() {
        return Ok(Inbound::Read(bytes));
    }
    if let (Ok(Some((_, key))), Some(caller)) = (key(call, permit), caller) {
        let named = Named::of(call, caller, permit, &key, &bytes);
        let found = shared.store.show(named.record).await.map_err(|fault| {
            shared.metrics.idempotency("store_unavailable");
            Refusal::because(Reason::StoreUnavailable, fault.to_string())
        })?;
        let verdict = judge(found.as_ref(), &named.fingerprint, super::unix_now());
        if !matches!(verdict, Verdict::Proceed | Verdict::Reused) {
            return Err(refused(shared, verdict));
        }
    }
    Err(Refusal::invalid(Reason::SchemaViolation, faults))
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
    }
}

fn whole(bytes: Bytes) -> Payload {
    if bytes.is_empty() {
        Payload::Empty
    } else {
        Payload::Whole(Some(bytes))
    }
}

fn admit(shared: &Shared, claim: Claim, bytes: Bytes) -> Result<Turn, Refusal> {
    match claim {
        Claim::Granted(reservation) => {
            shared.metrics.idempotency("first");
            Ok(Turn {
                payload: whole(bytes),
                fault: None,
                reservation: Some(reservation),
            })
        }
        Claim::Refused(verdict) => Err(refused(shared, verdict)),
    }
}

/// What a key that came before says to the request that has it now.
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
