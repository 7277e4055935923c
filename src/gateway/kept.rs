//! The answer to a keyed write, kept for whoever sends the write again (interface, section 6).
//!
//! Kept is the backend's answer as it came, sealed; given again, it goes the way of every answer, through the masking of
//! the caller who asks now. What cannot be kept or opened is told of as if nothing had been kept: the write is never sent
//! a second time for want of its answer.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;

use super::forward::{Reply, ReplyBody};
use crate::edge::store::Reservation;
use crate::ledger::{Fingerprint, KeptAnswer, RecordKey, StoreKeys};

/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What is kept of an answer; none if it is too large.
pub(super) fn seal(
    keys: &StoreKeys,
    reservation: &Reservation,
    status: StatusCode,
    fields: &HeaderMap,
    body: &[u8],
) -> Option<Arc<[u8]>> {
    let answer = KeptAnswer::of(status.as_u16(), fields, body)?;
    keys.seal(reservation.key()?, reservation.fingerprint()?, &answer)
        .map(Arc::from)
}

/// The answer that was kept, as it came from the backend; none if it does not open. `limit`: most bytes that may be held
/// of it, decoded too.
pub(super) fn open(
    keys: &StoreKeys,
    record: &RecordKey,
    request: &Fingerprint,
    sealed: &[u8],
    limit: u64,
) -> Option<Reply> {
    let answer = match keys.open(record, request, sealed) {
        Ok(answer) => answer,
        Err(fault) => {
            tracing::warn!(%fault, %record, "a repeated write is not given its first answer again");
            return None;
        }
    };
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::from_u16(answer.status).ok()?;
    head.headers = answer.headers();
    head.headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Some(Reply {
        head,
        body: ReplyBody::Whole {
            bytes: Bytes::from(answer.body),
            limit,
        },
        // Nothing of it is waited for.
        patience: Duration::ZERO,
    })
}
