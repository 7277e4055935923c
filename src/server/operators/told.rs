//! A record as operators read it: who, where, when, what became of it. No body, no token, no answer is in a record.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::edge::store::Kind;
use crate::ledger::{Record, RecordKey, State};

/// The word for a kind of record, in questions and answers.
pub(super) const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Unknown => "unknown",
        Kind::InProgress => "in_progress",
        Kind::Done => "done",
    }
}

/// Everything that is known of a record. What older versions did not keep is null.
pub(super) fn record(key: &RecordKey, record: &Record, now: u64) -> Value {
    let owner = record.owner.as_deref();
    let mut told = json!({
        "record": key.to_string(),
        "state": word(Kind::of(record)),
        "issuer": owner.map(|owner| &owner.issuer),
        "user": owner.map(|owner| &owner.user),
        "module": owner.map(|owner| &owner.module),
        "route": owner.map(|owner| &owner.route),
        "key": owner.map(|owner| &owner.key),
        "fingerprint": format!("{:?}", record.fingerprint),
    });
    let state = match &record.state {
        State::Running { since, keep } | State::Unknown { since, keep } => json!({
            "since": time(*since),
            "age_seconds": now.saturating_sub(*since),
            "keep_seconds": keep,
        }),
        State::Done {
            status,
            transaction_id,
            completed_at,
            keep_until,
            ..
        } => json!({
            "since": time(*completed_at),
            "age_seconds": now.saturating_sub(*completed_at),
            "keep_until": time(*keep_until),
            "original_status": status,
            "transaction_id": transaction_id,
        }),
    };
    if let (Value::Object(told), Value::Object(state)) = (&mut told, state) {
        told.extend(state);
    }
    told
}

/// A time beyond what a calendar holds is no time: such a record is kept for good.
pub(super) fn time(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}
