//! What accounts have now, for a dry run: a question of Tollgate's own to a backend.
//!
//! The question is decided as if the caller had asked it, and its answer is masked as it would be for them: a dry run tells
//! no balance that its caller could not read. A [`Lookup`] is a `GET` of a path that the policy names, without a query or a
//! body, and cannot be made into anything else: nothing of the client's request is in it but who asks.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use std::sync::Arc;

use super::forward::{Outgoing, Sent, forward};
use super::guard::Turn;
use super::identify::Identity;
use super::mask::{Reader, mask};
use super::record::Line;
use super::refusal::Refusal;
use super::tag::Tags;
use super::view::View;
use super::{Arrival, Shared};
use crate::call::{Call, Path, Query};
use crate::edge::payload::Payload;
use crate::policy::parts::Balances;
use crate::policy::{Decision, Permit, Policy, evaluate};
use crate::reason::Reason;

/// Largest answer with balances, in bytes.
const MAX_BALANCES: usize = 1 << 20;

/// Who asks, and through what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) worker: usize,
    pub(super) policy: &'a Arc<Policy>,
    pub(super) caller: Option<&'a Arc<Identity>>,
    pub(super) arrival: Arrival<'a>,
    pub(super) host: &'a HeaderValue,
}

/// A `GET` of a path that the policy names. Made by [`Lookup::of`] only.
#[derive(Debug)]
pub(super) struct Lookup {
    call: Call,
    target: PathAndQuery,
}

impl Lookup {
    /// The question, asked for who sent `asked`.
    fn of(balances: &Balances, asked: &Call) -> Result<Self, Refusal> {
        let unreadable = |_| Refusal::because(Reason::Internal, "the path of the balances cannot be read");
        let path = Path::parse(&balances.get).map_err(|_| unreadable(()))?;
        let target = PathAndQuery::try_from(&*balances.get).map_err(|_| unreadable(()))?;
        let mut headers = HeaderMap::new();
        // It goes on only where the module says so, as ever.
        if let Some(token) = asked.headers.get(header::AUTHORIZATION) {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let call = Call {
            method: Method::GET,
            path,
            query: Query::default(),
            host: asked.host.clone(),
            headers,
            source: asked.source,
            certificate: asked.certificate.clone(),
        };
        Ok(Self { call, target })
    }

    /// The call.
    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    /// What a request is made of.
    pub(super) fn into_parts(self) -> (Call, PathAndQuery) {
        (self.call, self.target)
    }
}

/// Asks, and gives what the caller would see of the answer.
pub(super) async fn ask(
    asker: Asker<'_>,
    balances: &Balances,
    asked: &Call,
    line: &mut Line,
) -> Result<Bytes, Refusal> {
    let lookup = Lookup::of(balances, asked)?;
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
        },
    };
    let sending = forward(asker.shared, asker.worker, outgoing)?;
    let reply = sending.await?;
    let reader = Reader {
        method: &Method::GET,
        permit: &permit,
        tags,
        wish: None,
    };
    let pending = mask(reply, reader, view, line).await?;
    match pending.whole(MAX_BALANCES, line).await? {
        (StatusCode::OK, bytes) => Ok(bytes),
        (status, _) => Err(Refusal::because(
            Reason::UpstreamBroken,
            format!("the backend answered {status} when it was asked for balances"),
        )),
    }
}

fn permit(asker: Asker<'_>, call: &Call, line: &Line) -> Result<Permit, Refusal> {
    let authority = asker.caller.map(|caller| &*caller.authority);
    let mut decision = evaluate(asker.policy, call, authority, line.at(), &mut ());
    if let Decision::NeedsBody(pending) = decision {
        // There is none: what depends on it is denied.
        decision = pending.resume(b"", &mut ());
    }
    match decision {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(denial.into()),
        Decision::NeedsBody(_) => Err(Refusal::because(Reason::Internal, "asked for the body twice")),
    }
}
