//! Whose tokens are believed. Every gain is a wider policy; of other keys and other claims nobody can say.

use std::sync::Arc;
use std::time::Duration;

use super::{Change, Effect, Kind, difference, list};
use crate::identity::{Algorithm, ClaimNames, IssuerRules, Revocation};

/// An issuer with a name for its keys, equal for equal keys. The name is compared and never shown.
#[derive(Debug)]
pub struct Issuer<'i> {
    /// What its tokens must be like.
    pub rules: &'i IssuerRules,
    /// Its keys.
    pub keys: String,
}

/// Every difference between two lists of issuers.
#[must_use]
pub fn issuers(old: &[Issuer<'_>], new: &[Issuer<'_>]) -> Vec<Change> {
    let mut changes = Vec::new();
    let find = |list: &'_ [Issuer<'_>], name: &Arc<str>| list.iter().position(|one| one.rules.issuer == *name);
    for gone in old.iter().filter(|one| find(new, &one.rules.issuer).is_none()) {
        let text = format!("tokens of issuer `{}` are no longer taken", gone.rules.issuer);
        changes.push(Change::new(Effect::Narrows, Kind::Identity, text));
    }
    for one in new {
        match find(old, &one.rules.issuer).and_then(|at| old.get(at)) {
            None => {
                let text = format!("tokens of issuer `{}` are taken", one.rules.issuer);
                changes.push(Change::new(Effect::Widens, Kind::Identity, text));
            }
            Some(before) => issuer(before, one, &mut changes),
        }
    }
    changes
}

/// Whose tokens are refused whatever they say. What another entry covers has not changed.
pub(super) fn revoked(old: &[Revocation], new: &[Revocation], changes: &mut Vec<Change>) {
    let covered = |one: &Revocation, by: &[Revocation]| by.iter().any(|other| other.covers(one));
    for gone in old.iter().filter(|one| !covered(one, new)) {
        let text = format!("{gone}: no longer refused");
        changes.push(Change::new(Effect::Widens, Kind::Identity, text));
    }
    for added in new.iter().filter(|one| !covered(one, old)) {
        let text = format!("{added}: refused");
        changes.push(Change::new(Effect::Narrows, Kind::Identity, text));
    }
}

fn issuer(old: &Issuer<'_>, new: &Issuer<'_>, changes: &mut Vec<Change>) {
    let IssuerRules {
        issuer,
        audiences,
        algorithms,
        max_lifetime,
        leeway,
        require_bound,
        claims,
    } = new.rules;
    let mut say = |effect, text: String| {
        changes.push(Change::new(
            effect,
            Kind::Identity,
            format!("issuer `{issuer}`: {text}"),
        ));
    };
    let names = |list: &[Algorithm]| -> Vec<String> { list.iter().map(|one| one.as_str().to_owned()).collect() };
    let (old_algorithms, new_algorithms) = (names(&old.rules.algorithms), names(algorithms));
    for (what, before, after) in [
        ("audience", &old.rules.audiences, audiences),
        ("algorithm", &old_algorithms, &new_algorithms),
    ] {
        let (added, removed) = difference(before, after);
        if !added.is_empty() {
            say(Effect::Widens, format!("{what} {} is taken", list(&added)));
        }
        if !removed.is_empty() {
            say(Effect::Narrows, format!("{what} {} is no longer taken", list(&removed)));
        }
    }
    let forever = |lifetime: Option<Duration>| lifetime.unwrap_or(Duration::MAX);
    match forever(*max_lifetime).cmp(&forever(old.rules.max_lifetime)) {
        std::cmp::Ordering::Greater => say(Effect::Widens, "tokens may live longer".into()),
        std::cmp::Ordering::Less => say(Effect::Narrows, "tokens may not live as long".into()),
        std::cmp::Ordering::Equal => {}
    }
    match leeway.cmp(&old.rules.leeway) {
        std::cmp::Ordering::Greater => say(Effect::Widens, "`leeway` is longer".into()),
        std::cmp::Ordering::Less => say(Effect::Narrows, "`leeway` is shorter".into()),
        std::cmp::Ordering::Equal => {}
    }
    match (old.rules.require_bound, *require_bound) {
        (true, false) => say(
            Effect::Widens,
            "tokens need not be bound to a client certificate any more".into(),
        ),
        (false, true) => say(Effect::Narrows, "tokens must be bound to a client certificate".into()),
        _ => {}
    }
    for (what, differs) in claim_names(&old.rules.claims, claims) {
        if differs {
            say(Effect::Widens, format!("`{what}` are read from other claims"));
        }
    }
    if old.keys != new.keys {
        say(Effect::Widens, "its keys are others: whoever has them can sign".into());
    }
}

fn claim_names(old: &ClaimNames, new: &ClaimNames) -> [(&'static str, bool); 4] {
    let ClaimNames {
        user,
        roles,
        scopes,
        jurisdictions,
    } = new;
    [
        ("user", old.user != *user),
        ("roles", old.roles != *roles),
        ("scopes", old.scopes != *scopes),
        ("jurisdictions", old.jurisdictions != *jurisdictions),
    ]
}
