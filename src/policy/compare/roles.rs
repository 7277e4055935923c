//! Roles that come and go, and what keeps them out whatever else is held: restricted modules, `never_to`, addresses, and
//! roles that exclude each other.

use std::sync::Arc;

use super::{Change, Effect, Kind, list, ranges, role, role_names};
use crate::policy::parts::Role;
use crate::policy::{CompiledRole, Policy};

pub(super) fn compare(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    for name in role_names(old, new) {
        let (before, after) = (role(old, name), role(new, name));
        came_or_went(name, before, after, changes);
        modules(name, (old, before), (new, after), changes);
        addresses(name, before, after, changes);
        rates(name, before, after, changes);
    }
    exclusive(old, new, changes);
}

fn came_or_went(
    name: &Arc<str>,
    before: Option<&CompiledRole>,
    after: Option<&CompiledRole>,
    changes: &mut Vec<Change>,
) {
    match (before, after) {
        (None, Some(role)) => {
            let change = Change::new(Effect::Neutral, Kind::Role, "is new");
            changes.push(change.role(name).at(&role.role.origin));
        }
        (Some(role), None) => {
            let change = Change::new(
                Effect::Narrows,
                Kind::Role,
                "is gone: a token that has no other is refused",
            );
            changes.push(change.role(name).at(&role.role.origin));
        }
        (Some(_), Some(after)) => {
            // What a role grants and inherits shows in what it may do, and its restrictions below.
            let Role {
                name: _,
                scopes: _,
                inherits: _,
                restricted_modules: _,
                allow_from: _,
                rate_limit: _,
                origin: _,
            } = &after.role;
        }
        (None, None) => {}
    }
}

/// Modules that both policies have, by name: a module that is gone needs no restriction, and one that has another name is
/// compared by its paths.
fn modules(
    name: &Arc<str>,
    (old, before): (&Policy, Option<&CompiledRole>),
    (new, after): (&Policy, Option<&CompiledRole>),
    changes: &mut Vec<Change>,
) {
    for (at_new, module) in new.modules.iter().enumerate() {
        let named = |other: &crate::policy::CompiledModule| other.module.name == module.module.name;
        let Some(at_old) = old.modules.iter().position(named) else {
            continue;
        };
        let was = before.is_some_and(|role| role.restricted.contains(at_old));
        let is = after.is_some_and(|role| role.restricted.contains(at_new));
        let change = match (was, is) {
            (true, false) => Change::new(
                Effect::Widens,
                Kind::Role,
                "no longer keeps a caller out who has other roles too",
            ),
            (false, true) => Change::new(
                Effect::Narrows,
                Kind::Role,
                "keeps a caller out, whatever other roles it has",
            ),
            _ => continue,
        };
        let origin = after
            .or(before)
            .map(|role| role.role.origin.clone())
            .unwrap_or_default();
        changes.push(change.role(name).module(&module.module.name).at(&origin));
    }
}

/// A role that is gone no longer binds those who hold others to its addresses.
fn addresses(name: &Arc<str>, before: Option<&CompiledRole>, after: Option<&CompiledRole>, changes: &mut Vec<Change>) {
    let list = |role: Option<&'_ CompiledRole>| role.and_then(|role| role.allow_from.clone());
    let (was, is) = (list(before), list(after));
    if before.is_none() {
        return;
    }
    if let Some((effect, text)) = ranges(was.as_deref(), is.as_deref()) {
        let origin = after
            .or(before)
            .map(|role| role.role.origin.clone())
            .unwrap_or_default();
        let change = Change::new(effect, Kind::Source, format!("`allow_from` {text}"));
        changes.push(change.role(name).at(&origin));
    }
}

/// A limit of a role binds all who hold it, whatever other roles they have; so one that goes with its role widens.
fn rates(name: &Arc<str>, before: Option<&CompiledRole>, after: Option<&CompiledRole>, changes: &mut Vec<Change>) {
    let limit = |role: Option<&CompiledRole>| role.and_then(|role| role.role.rate_limit);
    let (was, is) = (limit(before), limit(after));
    if was == is || before.is_none() {
        return;
    }
    let (effect, text) = match (was, is) {
        (_, None) => (Effect::Widens, "may ask as often as it likes"),
        (None, Some(_)) => (Effect::Narrows, "may ask so often only"),
        (Some(was), Some(is)) if was.stricter(is) == is && is.burst <= was.burst => {
            (Effect::Narrows, "may ask less often")
        }
        (Some(_), Some(_)) => (Effect::Widens, "may ask more often"),
    };
    let origin = after
        .or(before)
        .map(|role| role.role.origin.clone())
        .unwrap_or_default();
    changes.push(Change::new(effect, Kind::Role, text).role(name).at(&origin));
}

/// Sets of which a token holds two exclude each other pair by pair, with what each role includes.
fn exclusive(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    let names = role_names(old, new);
    let mut differing: Vec<(&str, &str, Effect)> = Vec::new();
    for (at, a) in names.iter().enumerate() {
        for b in names.iter().skip(at) {
            match (excluded(old, a, b), excluded(new, a, b)) {
                (true, false) => differing.push((a, b, Effect::Widens)),
                (false, true) => differing.push((a, b, Effect::Narrows)),
                _ => {}
            }
        }
    }
    for &(a, b, effect) in &differing {
        let policy = if effect == Effect::Widens { old } else { new };
        let implied = |&(c, d, same): &(&str, &str, Effect)| {
            same == effect
                && (a, b) != (c, d)
                && ((includes(policy, a, c) && includes(policy, b, d))
                    || (includes(policy, a, d) && includes(policy, b, c)))
        };
        if differing.iter().any(implied) {
            continue;
        }
        let text = match effect {
            Effect::Widens => format!("{} may now be held together", list(&[a, b])),
            _ => format!("{} may no longer be held together", list(&[a, b])),
        };
        changes.push(Change::new(effect, Kind::Role, text));
    }
}

fn includes(policy: &Policy, holder: &str, held: &str) -> bool {
    let held = policy.role_named(held);
    role(policy, holder)
        .zip(held)
        .is_some_and(|(role, at)| role.includes.contains(at))
}

/// Whether a token that names both is refused for it.
fn excluded(policy: &Policy, a: &str, b: &str) -> bool {
    let (Some(a), Some(b)) = (role(policy, a), role(policy, b)) else {
        return false;
    };
    let mut held = a.includes.clone();
    held.union(&b.includes);
    policy.exclusive.iter().any(|set| set.common(&held) > 1)
}
