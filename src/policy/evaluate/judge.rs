//! The last steps, which ask for values of the request: its jurisdiction, and its route's condition.

use http::HeaderName;

use super::{Decision, Denial, Permit, Step, Trace};
use crate::call::document::{self, Located};
use crate::call::{Call, json};
use crate::policy::condition::Facts;
use crate::policy::parts::{Jurisdiction, Origin};
use crate::policy::{Authority, Need};
use crate::reason::Reason;

/// A request of which everything is settled but what has to be asked of its values, and perhaps of its body.
#[derive(Debug)]
pub struct Pending<'r> {
    pub(super) permit: Permit,
    pub(super) call: &'r Call,
    /// Absent on public routes, whoever asks.
    pub(super) caller: Option<&'r Authority>,
    pub(super) now: jiff::Timestamp,
    /// The jurisdiction is the caller's, or the route asks for none.
    pub(super) at_home: bool,
}

/// The value of a header that is there once and is text.
fn only_header(call: &Call, name: &HeaderName) -> Option<String> {
    let mut values = call.headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.to_owned();
    values.next().is_none().then_some(value)
}

impl<'r> Pending<'r> {
    /// The scope and place that are settled already, for audit lines of requests whose body never came.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Decides with the body, as the client sent it.
    pub fn resume(self, body: &[u8], trace: &mut impl Trace) -> Decision<'r> {
        self.judge(Some(body), trace).unwrap_or_else(Decision::Deny)
    }

    /// Jurisdiction, then condition. Each that passed before the body was read is not asked again.
    pub(super) fn judge(mut self, body: Option<&[u8]>, trace: &mut impl Trace) -> Result<Decision<'r>, Denial> {
        match self.settle(body, trace) {
            Ok(true) => Ok(Decision::Allow(self.permit)),
            Ok(false) => Ok(Decision::NeedsBody(self)),
            Err(denial) => self.permit.unless_enforced(denial).map(Decision::Allow),
        }
    }

    /// Whether both hold; `false` if the body has to be read to know.
    fn settle(&mut self, body: Option<&[u8]>, trace: &mut impl Trace) -> Result<bool, Denial> {
        if !self.at_home {
            if !self.jurisdiction(body, trace)? {
                return Ok(false);
            }
            self.at_home = true;
        }
        self.condition(body, trace)
    }

    fn denied(&self, reason: Reason) -> Denial {
        Denial {
            scope: self.permit.route().scope.clone(),
            ..Denial::new(reason, Some(self.permit.place))
        }
    }

    /// Whether the request's jurisdiction is the caller's; `false` if the body has to be read to know.
    fn jurisdiction(&self, body: Option<&[u8]>, trace: &mut impl Trace) -> Result<bool, Denial> {
        let nothing = || self.denied(Reason::JurisdictionMismatch);
        let need = self.permit.facts().and_then(|facts| facts.jurisdiction.as_ref());
        let (need, caller) = need.zip(self.caller).ok_or_else(nothing)?;
        let call = self.call;
        let (source, found) = match need {
            Need::Segment(index) => {
                let prefix = self.permit.policy.prefix_depth(call);
                let segment = call.path.settled_segment(prefix + index).ok().flatten();
                ("the path".to_owned(), segment.map(|text| vec![text.to_owned()]))
            }
            Need::Elsewhere(Jurisdiction::Query(name)) => (
                format!("query parameter `{name}`"),
                call.query.only(name).ok().flatten().map(|text| vec![text.into_owned()]),
            ),
            Need::Elsewhere(Jurisdiction::Header(name)) => (
                format!("header `{name}`"),
                only_header(call, name).map(|text| vec![text]),
            ),
            Need::Elsewhere(Jurisdiction::Fixed(list)) => ("the policy".to_owned(), Some(list.clone())),
            Need::Elsewhere(Jurisdiction::Body(pointer)) => {
                let Some(body) = body else { return Ok(false) };
                let found = match document::locate(body, pointer) {
                    Ok(Located::Text(text)) => Some(vec![text]),
                    Ok(Located::Number(_) | Located::Other | Located::Missing) | Err(_) => None,
                };
                (format!("the body at `{pointer}`"), found)
            }
            Need::Elsewhere(Jurisdiction::Path(_)) => ("the path".to_owned(), None),
        };
        let found = found.unwrap_or_default();
        let allowed = &caller.caller.jurisdictions;
        let passed = found.iter().any(|one| allowed.contains(one));
        trace.step(&Step::Jurisdiction {
            source,
            found,
            allowed,
            passed,
        });
        if passed {
            return Ok(true);
        }
        Err(Denial {
            jurisdictions: Some(allowed.clone()),
            ..self.denied(Reason::JurisdictionMismatch)
        })
    }

    /// Whether the route's condition holds; `false` if the body has to be read to know. What cannot be evaluated is denied.
    fn condition(&self, body: Option<&[u8]>, trace: &mut impl Trace) -> Result<bool, Denial> {
        let Some(when) = &self.permit.route().when else {
            return Ok(true);
        };
        let body = match (when.condition.reads_body(), body) {
            (false, _) => None,
            (true, None) => return Ok(false),
            (true, Some(bytes)) => json::read_within(bytes, json::MAX_BODY_DEPTH, json::MAX_BODY_VALUES),
        };
        let policy = &self.permit.policy;
        let facts = Facts {
            caller: self.caller.map(|caller| caller.facts(policy)),
            call: self.call,
            prefix: policy.prefix_depth(self.call),
            body: body.as_ref(),
            row: None,
            now: self.now,
        };
        let outcome = when.condition.holds(&facts);
        trace.step(&Step::Condition {
            when,
            facts: &facts,
            outcome,
        });
        // What an operator reads repeats the policy, never the request: its values may be anybody's (S1.11).
        let said = match outcome {
            Ok(true) => return Ok(true),
            Ok(false) => "is false".to_owned(),
            Err(fault) => format!("has an error: {}", when.condition.describe(&fault)),
        };
        let Origin { file, line } = &when.origin;
        Err(Denial {
            detail: Some(format!("the condition at {file}:{line} {said}")),
            ..self.denied(Reason::DeniedCondition)
        })
    }
}
