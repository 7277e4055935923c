//! A question of Tollgate's own to a backend: what accounts have, or which version a resource has.
//!
//! What goes back of the answer is asked for only if the caller might have asked it, as [`permit()`] decides. A [`Lookup`] is a
//! `GET` of one path, without a query or a body, and cannot be made into anything else: nothing of the client's request is
//! in it but who asks.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderName, Method};
use std::sync::Arc;

use super::identify::Identity;
use super::record::Line;
use super::refusal::Refusal;
use super::{Arrival, Shared};
use crate::call::{Call, Path, Query};
use crate::policy::{Decision, Permit, Policy, evaluate};
use crate::reason::Reason;

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

/// A `GET` of one path. Made by [`Lookup::of`] only.
#[derive(Debug)]
pub(super) struct Lookup {
    call: Box<Call>,
    target: PathAndQuery,
}

impl Lookup {
    /// The question, asked for who sent `asked`: for a path that the policy names, or for that of `asked` itself.
    pub(super) fn of(path: Option<&str>, asked: &Call, fields: &[(HeaderName, &'static str)]) -> Result<Self, Refusal> {
        let unreadable = || Refusal::because(Reason::Internal, "the path of a question of our own cannot be read");
        let path = match path {
            Some(path) => Path::parse(path).map_err(|_| unreadable())?,
            None => asked.path.clone(),
        };
        let target = PathAndQuery::try_from(path.raw()).map_err(|_| unreadable())?;
        let mut headers = HeaderMap::new();
        // It goes on only where the module says so, as ever.
        if let Some(token) = asked.headers.get(header::AUTHORIZATION) {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        for (name, value) in fields {
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
        let call = Box::new(Call {
            method: Method::GET,
            path,
            query: Query::default(),
            host: asked.host.clone(),
            headers,
            source: asked.source,
            certificate: asked.certificate.clone(),
        });
        Ok(Self { call, target })
    }

    /// The call.
    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    /// What a request is made of.
    pub(super) fn into_parts(self) -> (Box<Call>, PathAndQuery) {
        (self.call, self.target)
    }
}

/// Whether the caller may ask it.
pub(super) fn permit(asker: Asker<'_>, call: &Call, line: &Line) -> Result<Permit, Refusal> {
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
