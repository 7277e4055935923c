//! A request decided offline, step by step, with everything that a person wants to know of it.
//!
//! `explain`, `test` and the admin port ask here. No second engine: each step is the gateway's own function, in the order
//! of [`Gateway::answer`](super::Gateway::answer). What needs a network, a disk or a signature is left out: a token is its
//! claims, and a key that came before is not known.

mod steps;

use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::accept::{METHODS, once};
use super::guard::key;
use super::mask::{dialect, masker_of};
use super::normalize::read_target;
use super::pages::preflight;
use super::refusal::{Refusal, status};
use super::rehearse;
use super::versions;
use crate::call::certificate::Certificate;
use crate::call::{Call, headers};
use crate::identity::{self, IssuerRules};
use crate::masking::{Charset, Format, Mask};
use crate::policy::{Authority, Decision, Permit, Policy, evaluate, route};
use crate::reason::{Outcome, Reason};
use steps::Steps;

pub use steps::{Field, Line};

/// A request as a person writes it.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the token says; without claims there is no token.
    pub claims: Option<Map<String, Value>>,
    /// The method.
    pub method: Method,
    /// The path with its query, or a URL.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Where it comes from.
    pub source: IpAddr,
    /// The certificate that the client shows.
    pub certificate: Option<Arc<Certificate>>,
}

/// What was decided, and each step on the way.
#[derive(Debug)]
pub struct Explanation {
    /// What a client and the audit log are told; not `Abandoned`.
    pub outcome: Outcome,
    /// The steps, up to the first that fails.
    pub steps: Vec<Line>,
    /// Each class of fields that applies to the answer; empty when the request is denied.
    pub fields: Vec<Field>,
    /// What would have to change.
    pub hint: Option<String>,
    /// Why it would be denied if its route were not in shadow mode.
    pub would_deny: Option<Reason>,
    permit: Option<Permit>,
    mask: Option<Mask>,
}

/// An explanation for programs.
#[derive(Debug, Serialize)]
pub struct Told<'e> {
    decision: &'static str,
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<&'static str>,
    status: u16,
    steps: &'e [Line],
    masked: Vec<&'e str>,
    fields: &'e [Field],
    hint: Option<&'e str>,
}

/// A backend's answer as this caller would have it.
#[derive(Debug)]
pub struct Masked {
    /// The body's text.
    pub text: String,
    /// The classes of which something was masked.
    pub classes: Vec<Arc<str>>,
}

/// Decides.
#[must_use]
pub fn explain<'r>(
    policy: &Arc<Policy>,
    issuers: impl IntoIterator<Item = &'r IssuerRules>,
    request: &Request,
) -> Explanation {
    let mut steps = Steps::new(policy);
    let (outcome, permit, mask) = match walk(policy, issuers, request, &mut steps) {
        Ok(Some((outcome, permit, mask))) => (outcome, Some(permit), mask),
        Ok(None) => (Outcome::Allowed, None, None),
        Err(refusal) => (Outcome::Refused(refusal.reason), None, None),
    };
    let Steps {
        lines,
        fields,
        hint,
        on_trial,
        ..
    } = steps;
    let would_deny = permit.as_ref().and_then(Permit::would_deny).map(|denial| denial.reason);
    Explanation {
        outcome,
        steps: lines,
        fields,
        hint,
        would_deny: would_deny.or(on_trial),
        permit,
        mask,
    }
}

/// What would be forwarded; nothing of a preflight, which Tollgate answers itself.
fn walk<'r>(
    policy: &Arc<Policy>,
    issuers: impl IntoIterator<Item = &'r IssuerRules>,
    request: &Request,
    steps: &mut Steps<'_>,
) -> Result<Option<(Outcome, Permit, Option<Mask>)>, Refusal> {
    let call = read(policy, request).inspect_err(|refusal| steps.refused("request", refusal))?;
    steps.line(true, "request", format!("{} {}", call.method, call.path.decoded()));
    let leave =
        preflight(policy, &call.method, &call.headers).inspect_err(|refusal| steps.refused("origin", refusal))?;
    if leave.is_some() {
        steps.line(
            true,
            "origin",
            "the page may ask; no backend hears of a preflight".into(),
        );
        return Ok(None);
    }
    steps.page(&call.headers);
    if !policy.admits(call.source) {
        let text = format!("{} is not in the policy's `allow_from`", call.source);
        steps.line(false, "source", text);
        return Err(Reason::SourceNotAllowed.into());
    }
    let caller = identify(policy, issuers, request, steps)?;
    if let Some(caller) = &caller
        && !caller.admits(call.source)
    {
        steps.not_from(caller, call.source);
        return Err(Reason::SourceNotAllowed.into());
    }
    steps.line(true, "source", call.source.to_string());
    if let Some(limit) = caller.as_deref().and_then(Authority::rate_limit) {
        let text = format!(
            "{} in each {:?}, {} at once; what came before is not known here",
            limit.requests, limit.per, limit.burst
        );
        steps.line(true, "rate", text);
    }
    steps.place = route(policy, &call).ok().map(|(place, _)| place);
    let now = Timestamp::now();
    let mut decision = evaluate(policy, &call, caller.as_deref(), now, steps);
    if let Decision::NeedsBody(pending) = decision {
        decision = pending.resume(&request.body, steps);
    }
    let permit = match decision {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => {
            steps.hint(&denial);
            return Err(denial.into());
        }
        Decision::NeedsBody(_) => return Err(Refusal::because(Reason::Internal, "asked for the body twice")),
    };
    if let Some(denial) = permit.would_deny() {
        steps.hint(denial);
    }
    if asks_dry_run(&call, steps)? {
        rehearsed(&call, &permit, &request.body, steps)?;
        return Ok(Some((Outcome::DryRun, permit, None)));
    }
    valid(&call, &permit, &request.body, steps)?;
    let found = key(&call, &permit).inspect_err(|refusal| steps.refused("idempotency", refusal))?;
    let version = versions::asked(&call, &permit).inspect_err(|refusal| steps.refused("version", refusal))?;
    steps.allowed(&permit, found.map(|(rules, _)| rules));
    if let Some((rules, _)) = version {
        steps.version(rules);
    }
    let mask = permit.mask(&call, caller.as_ref(), now);
    Ok(Some((Outcome::Allowed, permit, mask)))
}

fn asks_dry_run(call: &Call, steps: &mut Steps<'_>) -> Result<bool, Refusal> {
    call.query.dry_run().map_err(|fault| {
        let refusal = Refusal::because(Reason::AmbiguousRequest, fault.to_string());
        steps.refused("dry run", &refusal);
        refusal
    })
}

/// What a dry run would be answered.
fn rehearsed(call: &Call, permit: &Permit, body: &[u8], steps: &mut Steps<'_>) -> Result<(), Refusal> {
    let rules = rehearse::rules_of_dry_run(call, permit).inspect_err(|refusal| steps.refused("dry run", refusal))?;
    match rules.add_up(body) {
        Ok(deltas) => {
            let (accounts, total) = (deltas.accounts.len(), deltas.total.to_plain());
            let asked = match &rules.balances {
                None => "no backend is asked".to_owned(),
                Some(balances) => format!("balances are read at `{}`, if the caller may", balances.get),
            };
            let text = format!(
                "entries: {}, accounts: {accounts}, total: {total}; {asked}",
                deltas.entries
            );
            steps.line(true, "dry run", text);
            Ok(())
        }
        Err(faults) => {
            steps.invalid("dry run", rules, &faults);
            Err(Refusal::invalid(Reason::DryRunInvalid, faults))
        }
    }
}

/// Whether the body of a real write would do.
fn valid(call: &Call, permit: &Permit, body: &[u8], steps: &mut Steps<'_>) -> Result<(), Refusal> {
    let Some(rules) = rehearse::rules(call, permit) else {
        return Ok(());
    };
    let faults = rules.check(body);
    if faults.is_empty() {
        steps.line(true, "schema", format!("the body meets `{}`", rules.schema_file));
        return Ok(());
    }
    steps.invalid("schema", rules, &faults);
    if permit.is_on_trial() {
        steps.on_trial = Some(Reason::SchemaViolation);
        return Ok(());
    }
    Err(Refusal::invalid(Reason::SchemaViolation, faults))
}

/// The call as the gateway would make it.
fn read(policy: &Policy, request: &Request) -> Result<Call, Refusal> {
    if !METHODS.contains(&request.method) {
        return Err(Refusal::methods(Reason::UnsupportedMethod, METHODS.to_vec()));
    }
    once(&request.headers)?;
    let (target, host) = match request.url.split_once("://") {
        None => (request.url.clone(), String::new()),
        Some(_) => {
            let malformed = |_| Refusal::because(Reason::AmbiguousRequest, "the URL is malformed");
            let url: Uri = request.url.parse().map_err(malformed)?;
            let host = url.authority().map(ToString::to_string).unwrap_or_default();
            let target = url.path_and_query().map_or_else(|| "/".into(), ToString::to_string);
            (target, host)
        }
    };
    let (path, query) = match target.split_once('?') {
        None => (target.as_str(), None),
        Some((path, query)) => (path, Some(query)),
    };
    let (path, query) = read_target(policy, path, query)?;
    let mut fields = request.headers.clone();
    headers::strip_request(&mut fields, &policy.forward_as().iter().map(|(name, _)| name), false);
    Ok(Call {
        method: request.method.clone(),
        path,
        query,
        host: host.to_ascii_lowercase().into(),
        headers: fields,
        source: request.source.to_canonical(),
        certificate: request.certificate.clone(),
    })
}

fn identify<'r>(
    policy: &Policy,
    issuers: impl IntoIterator<Item = &'r IssuerRules>,
    request: &Request,
    steps: &mut Steps<'_>,
) -> Result<Option<Arc<Authority>>, Refusal> {
    let Some(claims) = &request.claims else {
        steps.line(true, "token", "none: only public routes are open".into());
        return Ok(None);
    };
    let caller = identity::caller_of(issuers, claims).map_err(|fault| {
        steps.line(false, "token", fault.to_string());
        Refusal::because(fault.reason(), fault.to_string())
    })?;
    let shown = request.certificate.as_deref().map(|certificate| &certificate.sha256);
    caller.is_used_with(shown).map_err(|fault| {
        steps.line(false, "token", fault.to_string());
        Refusal::because(fault.reason(), fault.to_string())
    })?;
    match Authority::new(policy, caller) {
        Ok(caller) => {
            let caller = Arc::new(caller);
            steps.caller(&caller);
            Ok(Some(caller))
        }
        Err(refused) => {
            let (reason, caller) = *refused;
            steps.no_caller(reason, &caller);
            Err(reason.into())
        }
    }
}

impl Explanation {
    /// Whether the request would be let through.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed)
    }

    /// The status of the answer; of a backend that is asked nothing is known, and it is taken for 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.outcome {
            Outcome::Allowed if self.permit.is_none() => StatusCode::NO_CONTENT.as_u16(),
            Outcome::Allowed | Outcome::DryRun | Outcome::Abandoned => 200,
            Outcome::Refused(reason) => status(reason).as_u16(),
        }
    }

    /// The classes that would be masked.
    pub fn masked(&self) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(|field| field.masked.is_some())
            .map(|field| &*field.class)
    }

    /// For programs.
    #[must_use]
    pub fn told(&self) -> Told<'_> {
        Told {
            decision: self.outcome.decision(),
            error: self.outcome.error(),
            would_deny: self.would_deny.map(Reason::decision),
            status: self.status(),
            steps: &self.steps,
            masked: self.masked().collect(),
            fields: &self.fields,
            hint: self.hint.as_deref(),
        }
    }

    /// What this caller would have of a backend's answer of this type; none when the backend would not be asked. The text is
    /// written in the charset that the module says, and read in it again.
    ///
    /// # Errors
    /// The answer cannot be masked: why, and the status of the answer in its place.
    pub fn mask(&self, content_type: &str, text: &str) -> Option<Result<Masked, (Reason, u16)>> {
        let permit = self.permit.as_ref().filter(|_| self.outcome != Outcome::DryRun)?;
        let Some(mask) = self.mask.clone() else {
            return Some(Ok(Masked::untouched(text)));
        };
        let told = |reason| (reason, status(reason).as_u16());
        let mut masker = match masker_of(content_type.as_bytes(), mask, permit) {
            Ok(Some(masker)) => masker,
            Ok(None) => return Some(Ok(Masked::untouched(text))),
            Err(refusal) => return Some(Err(told(refusal.reason))),
        };
        let charset =
            Format::of(content_type.as_bytes(), dialect(permit)).map_or_else(Charset::default, Format::charset);
        // Text that the charset does not have is what no backend of it says. Those that say it in UTF-8 are read like this.
        let bytes = charset.encode(text).unwrap_or(Cow::Borrowed(text.as_bytes()));
        let mut out = Vec::new();
        let fed = masker.feed(&bytes, &mut out).and_then(|()| masker.finish(&mut out));
        if fed.is_err() {
            return Some(Err(told(Reason::UnmaskableResponse)));
        }
        let names = permit.policy().class_names().zip(masker.tally());
        let classes = names.filter(|(_, count)| **count > 0).map(|(name, _)| Arc::clone(name));
        Some(Ok(Masked {
            text: charset.decode(&out).into_owned(),
            classes: classes.collect(),
        }))
    }
}

impl Masked {
    fn untouched(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            classes: Vec::new(),
        }
    }
}
