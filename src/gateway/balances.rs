//! What accounts have now, for a dry run.
//!
//! The answer is masked as it would be for the caller: a dry run tells no balance that its caller could not read.

use bytes::Bytes;
use http::{Method, StatusCode, header};

use super::forward::{Outgoing, Sent, forward};
use super::guard::Turn;
use super::lookup::{Asker, Lookup, permit};
use super::mask::{Reader, mask};
use super::record::Line;
use super::refusal::Refusal;
use super::tag::Tags;
use super::view::View;
use crate::call::Call;
use crate::edge::payload::Payload;
use crate::policy::parts::Balances;
use crate::reason::Reason;

/// Largest answer with balances, in bytes.
const MAX_BALANCES: usize = 1 << 20;

/// Asks, and gives what the caller would see of the answer.
pub(super) async fn ask(
    asker: Asker<'_>,
    balances: &Balances,
    asked: &Call,
    line: &mut Line,
) -> Result<Bytes, Refusal> {
    let json = (header::ACCEPT, "application/json");
    let lookup = Lookup::of(Some(&balances.get), asked, &[json])?;
    let permit = permit(asker, lookup.call(), line)?;
    let authority = asker.caller.map(|caller| &caller.authority);
    let view = permit
        .mask(lookup.call(), authority, line.at())
        .map(|mask| View::new(mask, &asker.policy.version));
    let tags = Tags::new(view.as_ref(), None, &lookup.call().headers);
    let outgoing = Outgoing {
        sent: Sent::Lookup(lookup),
        host: asker.host.clone(),
        arrival: asker.arrival,
        caller: asker.caller,
        permit: &permit,
        view: view.as_ref(),
        tags: &tags,
        turn: Turn {
            payload: Payload::Empty,
            fault: None,
            reservation: None,
            condition: None,
        },
        told: None,
    };
    line.asks(&permit);
    let sending = forward(asker.shared, asker.worker, outgoing)?;
    let reply = sending.await?;
    let reader = Reader {
        method: &Method::GET,
        permit: &permit,
        tags,
        wish: None,
    };
    let masking = mask(reply, reader, view, line)?;
    let pending = masking.await?;
    match pending.whole(MAX_BALANCES, line).await? {
        (StatusCode::OK, bytes) => Ok(bytes),
        (status, _) => Err(Refusal::because(
            Reason::UpstreamBroken,
            format!("the backend answered {status} when it was asked for balances"),
        )),
    }
}
