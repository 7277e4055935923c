//! What one line of the audit log says, as values.

use http::{HeaderValue, Method};
use jiff::Timestamp;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Authority;
use crate::reason::{Outcome, Reason};

/// One request (S1.11, S2.2). Nothing of a body, a token or a classified field is in it.
#[derive(Debug)]
pub struct Entry {
    /// When it came.
    pub at: Timestamp,
    /// Its name, as in `X-Request-Id`.
    pub request_id: HeaderValue,
    /// Who asked; absent when the token was absent or bad.
    pub caller: Option<Arc<Authority>>,
    /// The method; absent when the head could not be read.
    pub method: Option<Method>,
    /// The canonical path without its query.
    pub endpoint: Option<Arc<str>>,
    /// The module that took the path.
    pub module: Option<Arc<str>>,
    /// The route that took it.
    pub route: Option<Arc<str>>,
    /// The scope that the route asks for.
    pub requested_scope: Option<Arc<str>>,
    /// Where it came from.
    pub source: IpAddr,
    /// What was decided and why.
    pub outcome: Outcome,
    /// Why it would have been refused, had its route not been in shadow mode.
    pub would_deny: Option<Reason>,
    /// More for the operator.
    pub detail: Option<Cow<'static, str>>,
    /// The status that went out; absent when none did.
    pub status: Option<u16>,
    /// The backend.
    pub upstream: Option<Arc<str>>,
    /// Field classes of which something was masked, and how many.
    pub masked: SmallVec<[(Arc<str>, u32); 2]>,
    /// From its head to its end.
    pub duration: Duration,
    /// The policy that it met.
    pub policy_version: Arc<str>,
}

/// Something that happened to the gateway itself: a start, a stop, a policy reload.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: &'static str,
    /// More about it.
    pub facts: Vec<(&'static str, String)>,
}

impl Event {
    /// An event, now.
    #[must_use]
    pub fn new(event: &'static str) -> Self {
        Self {
            at: Timestamp::now(),
            event,
            facts: Vec::new(),
        }
    }

    /// With one more fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.facts.push((name, value.to_owned()));
        self
    }
}
