//! Past requests, decided again: which would another policy decide otherwise?
//!
//! A line holds who asked, with which roles and jurisdictions, from where, and the path. It holds no query, no header, no
//! body and no other claim. So a line is decided again by both policies, with the function that decided it. What the line
//! cannot tell is counted by reason and never guessed; where only the jurisdiction is missing, and both policies read it in
//! the same place, what was found then is what would be found again.

mod callers;
#[cfg(test)]
mod tests;

use http::{HeaderMap, Method};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::read::{CUT_MARK, Record, record};
use crate::call::{Call, Path, Query};
use crate::policy::{Authority, Decision, Place, Policy, evaluate, route};
use crate::reason::Reason;
use callers::Callers;

pub use callers::MAX_CALLERS;

/// Most requests that are shown one by one.
pub const MAX_EXAMPLES: usize = 20;

/// Most groups of requests that are counted apart; those of further groups are counted together.
pub const MAX_GROUPS: usize = 10_000;

/// What became of a log.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Requests decided again.
    pub replayed: u64,
    /// Of these, those that would be allowed and were not.
    pub newly_allowed: u64,
    /// Of these, those that would be denied and were not.
    pub newly_denied: u64,
    /// Those that would be decided otherwise, counted by what they have in common.
    pub groups: Vec<(Group, u64)>,
    /// The first of them.
    pub examples: Vec<Example>,
    /// Lines that cannot be decided again, by reason.
    pub not_replayed: BTreeMap<&'static str, u64>,
    /// Lines about the gateway itself.
    pub events: u64,
}

/// What requests have in common that would be decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Group {
    /// Allowed, where it was denied; or the other way round.
    pub now: Now,
    /// The caller's roles.
    pub roles: String,
    /// The method.
    pub method: String,
    /// The route of the new policy, or of the old one.
    pub route: String,
    /// What the new policy says.
    pub decision: &'static str,
}

/// What would become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Now {
    /// It would be allowed.
    Allowed,
    /// It would be denied.
    Denied,
}

/// One request that would be decided otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// Its line's number.
    pub seq: u64,
    /// When it came.
    pub timestamp: String,
    /// Who asked.
    pub user: String,
    /// The method.
    pub method: String,
    /// The path.
    pub endpoint: String,
    /// What was decided.
    pub was: String,
    /// What would be.
    pub now: &'static str,
}

/// Why a line cannot be decided again.
type Unknown = &'static str;

/// Decides lines again.
#[derive(Debug)]
pub struct Replay {
    old: Arc<Policy>,
    new: Arc<Policy>,
    callers: Callers,
    groups: BTreeMap<Group, u64>,
    report: Report,
}

/// What a policy says of a request of which the log knows so much.
enum Said {
    Allowed,
    Denied(Reason),
    /// It depends on a jurisdiction or a condition for which the line does not hold enough.
    Asks(Place),
}

impl Replay {
    /// A replay under `new` of a log that `old` may have written.
    #[must_use]
    pub fn new(old: Arc<Policy>, new: Arc<Policy>) -> Self {
        Self {
            old,
            new,
            callers: Callers::default(),
            groups: BTreeMap::new(),
            report: Report::default(),
        }
    }

    /// Takes one line, without its end.
    pub fn line(&mut self, line: &[u8]) {
        let Some(record) = record(line) else {
            self.unknown("the line is no record");
            return;
        };
        if record.event.is_some() {
            self.report.events += 1;
            return;
        }
        if let Err(why) = self.request(&record) {
            self.unknown(why);
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.groups = self.groups.into_iter().collect();
        self.report
            .groups
            .sort_by_key(|(group, count)| (group.now, std::cmp::Reverse(*count)));
        self.report
    }

    fn unknown(&mut self, why: Unknown) {
        *self.report.not_replayed.entry(why).or_default() += 1;
    }

    fn request(&mut self, record: &Record<'_>) -> Result<(), Unknown> {
        let decision = record.decision.as_deref().unwrap_or_default();
        if is_preflight(record, decision) {
            return Err("a web page asked what it may ask, and its origin is not in the line");
        }
        let was_allowed = was_allowed(decision, record.error.as_deref())?;
        let call = call(record)?;
        let key = caller_of(record, was_allowed)?;
        if record.user_id.is_none() && decision == Reason::SourceNotAllowed.decision() {
            return self.out_of_range(&call);
        }
        let user = record.user_id.as_deref().unwrap_or_default();
        if [&self.old, &self.new]
            .iter()
            .any(|policy| policy.revoked().has_user(user))
        {
            return Err("tokens of the user are revoked, and which one it was is not in the line");
        }
        let same_policy = record.policy_version.as_deref() == Some(&*self.old.version);
        let (before, after) = match key {
            None => (said(&self.old, &call, None), said(&self.new, &call, None)),
            Some(key) => {
                let known = self.callers.find(&self.old, &self.new, record, key)?;
                let ask = |policy, caller: &Result<Authority, Reason>| match caller {
                    Ok(caller) => said(policy, &call, Some(caller)),
                    Err(reason) => Said::Denied(*reason),
                };
                (ask(&self.old, &known.old), ask(&self.new, &known.new))
            }
        };
        if same_policy {
            consistent(&before, decision, was_allowed)?;
        }
        let reason = match after {
            Said::Allowed => None,
            Said::Denied(reason) => Some(reason),
            Said::Asks(place) => match (&before, decision) {
                _ if !same_policy => {
                    return Err("a jurisdiction or condition is not in the line, and another policy decided it");
                }
                (Said::Asks(other), _) if self.asks_the_same(*other, place) => {
                    let denied = [Reason::JurisdictionMismatch, Reason::DeniedCondition]
                        .into_iter()
                        .find(|reason| reason.decision() == decision);
                    if was_allowed { None } else { denied }
                }
                _ if self.new.asks(place).is_some_and(|asked| asked.condition.is_some()) => {
                    return Err("the route has a `when`, and the line does not hold all that it may ask");
                }
                _ => {
                    return Err("the jurisdiction is in the query, a header or the body, which the line does not hold");
                }
            },
        };
        self.report.replayed += 1;
        self.compare(record, &call, was_allowed, reason);
        Ok(())
    }

    /// A request from an address that nobody may ask from: who it was is not known.
    fn out_of_range(&mut self, call: &Call) -> Result<(), Unknown> {
        if self.new.admits(call.source) {
            return Err("the caller is not in the line");
        }
        self.report.replayed += 1;
        Ok(())
    }

    fn asks_the_same(&self, old: Place, new: Place) -> bool {
        self.old.asks(old) == self.new.asks(new)
    }

    fn compare(&mut self, record: &Record<'_>, call: &Call, was_allowed: bool, reason: Option<Reason>) {
        let now = match (was_allowed, reason) {
            (false, None) => Now::Allowed,
            (true, Some(_)) => Now::Denied,
            _ => return,
        };
        match now {
            Now::Allowed => self.report.newly_allowed += 1,
            Now::Denied => self.report.newly_denied += 1,
        }
        let decision = reason.map_or("ALLOWED", Reason::decision);
        let method = call.method.to_string();
        let group = Group {
            now,
            roles: roles(record),
            method: method.clone(),
            route: self.label(call),
            decision,
        };
        if self.groups.len() < MAX_GROUPS || self.groups.contains_key(&group) {
            *self.groups.entry(group).or_default() += 1;
        } else {
            let rest = Group {
                roles: "others".into(),
                method: String::new(),
                route: String::new(),
                ..group
            };
            *self.groups.entry(rest).or_default() += 1;
        }
        if self.report.examples.len() < MAX_EXAMPLES {
            self.report.examples.push(Example {
                seq: record.seq,
                timestamp: record.timestamp.to_string(),
                user: record.user_id.as_deref().unwrap_or_default().to_owned(),
                method,
                endpoint: call.path.decoded().to_owned(),
                was: record.decision.as_deref().unwrap_or_default().to_owned(),
                now: decision,
            });
        }
    }

    /// The route that takes a path, as either policy names it.
    fn label(&self, call: &Call) -> String {
        [&self.new, &self.old]
            .into_iter()
            .find_map(|policy| {
                let (place, candidates) = route(policy, call).ok()?;
                let place = Place {
                    route: candidates.first().copied(),
                    ..place
                };
                policy.names(place).1
            })
            .map_or_else(|| "no route".to_owned(), |label| label.to_string())
    }
}

/// Whether the request was a preflight: no module is asked for one that is let pass.
fn is_preflight(record: &Record<'_>, decision: &str) -> bool {
    let passed = decision == "ALLOWED" && record.module.is_none();
    decision == Reason::OriginNotAllowed.decision() || (passed && record.method.as_deref() == Some("OPTIONS"))
}

/// Whether the policy had let the request pass, whatever became of it afterwards.
fn was_allowed(decision: &str, error: Option<&str>) -> Result<bool, Unknown> {
    match decision {
        "ALLOWED" | "ERROR_UPSTREAM" | "DENIED_IDEMPOTENCY" | "DRY_RUN" => Ok(true),
        "DENIED_ROUTE"
        | "DENIED_SCOPE"
        | "DENIED_MODULE"
        | "DENIED_JURISDICTION"
        | "DENIED_CONDITION"
        | "DENIED_SOURCE" => Ok(false),
        "DENIED_TOKEN" if error == Some(Reason::MissingToken.code()) => Ok(false),
        "DENIED_TOKEN" => Err("the token was bad, and its claims are not in the line"),
        "DENIED_ROLE" => Err("the token's roles were refused, and are not in the line"),
        // The body is looked at after the policy was asked.
        "DENIED_REQUEST" if error == Some(Reason::SchemaViolation.code()) => Ok(true),
        "DENIED_REQUEST" => Err("the request was refused before the policy was asked"),
        _ => Err("the decision was none of the policy's"),
    }
}

fn call(record: &Record<'_>) -> Result<Call, Unknown> {
    let (Some(method), Some(endpoint)) = (&record.method, &record.endpoint) else {
        return Err("the request was refused before the policy was asked");
    };
    if endpoint.contains(CUT_MARK) {
        return Err("the path is too long for the line");
    }
    let unreadable = "the line's request cannot be read";
    let source = record.ip_address.as_deref().and_then(|text| text.parse().ok());
    Ok(Call {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| unreadable)?,
        path: path(endpoint).ok_or(unreadable)?,
        query: Query::default(),
        host: "".into(),
        headers: HeaderMap::new(),
        source: source.ok_or(unreadable)?,
        certificate: None,
    })
}

/// The line has the path decoded; it is encoded again where it has to be.
fn path(endpoint: &str) -> Option<Path> {
    use std::fmt::Write as _;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    if endpoint.bytes().all(plain) {
        return Path::parse(endpoint).ok();
    }
    let mut raw = String::with_capacity(endpoint.len() * 2);
    for byte in endpoint.bytes() {
        if plain(byte) {
            raw.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(raw, "%{byte:02X}");
        }
    }
    Path::parse(&raw).ok()
}

/// What the caller is known by: its roles and jurisdictions as they are written. None = there was no token.
fn caller_of<'l>(record: &Record<'l>, was_allowed: bool) -> Result<Option<(&'l str, &'l str)>, Unknown> {
    if record.user_id.is_none() {
        let tokenless = record.error.as_deref() == Some(Reason::MissingToken.code());
        let elsewhere = record.error.as_deref() == Some(Reason::SourceNotAllowed.code());
        // What was allowed without a caller is a public route.
        return if was_allowed || tokenless || elsewhere {
            Ok(None)
        } else {
            Err("the caller is not in the line")
        };
    }
    let (Some(roles), Some(jurisdictions)) = (record.roles, record.jurisdiction_scope) else {
        return Err("the caller is not in the line");
    };
    if [roles, jurisdictions].iter().any(|list| list.get().contains(CUT_MARK)) {
        return Err("the caller's jurisdictions are too long for the line");
    }
    Ok(Some((roles.get(), jurisdictions.get())))
}

fn said(policy: &Arc<Policy>, call: &Call, caller: Option<&Authority>) -> Said {
    if !policy.admits(call.source) || caller.is_some_and(|caller| !caller.admits(call.source)) {
        return Said::Denied(Reason::SourceNotAllowed);
    }
    // Whether a condition holds is not asked: what it may want to know is mostly not in the line.
    let asks = |place| policy.asks(place).is_some_and(|asked| asked.condition.is_some());
    match evaluate(policy, call, caller, jiff::Timestamp::UNIX_EPOCH, &mut ()) {
        Decision::Allow(permit) if asks(permit.place()) => Said::Asks(permit.place()),
        Decision::Allow(_) => Said::Allowed,
        Decision::NeedsBody(pending) => Said::Asks(pending.permit().place()),
        Decision::Deny(denial) => match denial.place {
            Some(place) if denial.reason == Reason::DeniedCondition => Said::Asks(place),
            Some(place)
                if denial.reason == Reason::JurisdictionMismatch
                    && policy.asks(place).is_some_and(|asked| asked.jurisdiction.is_some()) =>
            {
                Said::Asks(place)
            }
            _ => Said::Denied(denial.reason),
        },
    }
}

/// The policy that wrote the line would write it again; else the token or the request held more than the line does.
fn consistent(before: &Said, decision: &str, was_allowed: bool) -> Result<(), Unknown> {
    let same = match before {
        Said::Allowed => was_allowed,
        Said::Asks(_) => was_allowed || matches!(decision, "DENIED_JURISDICTION" | "DENIED_CONDITION"),
        Said::Denied(reason) => !was_allowed && reason.decision() == decision,
    };
    if same {
        Ok(())
    } else {
        Err("the decision depended on more than the line holds, such as the token's scopes")
    }
}

fn roles(record: &Record<'_>) -> String {
    let list: Vec<String> = record
        .roles
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    if list.is_empty() {
        "no token".into()
    } else {
        list.join(", ")
    }
}
