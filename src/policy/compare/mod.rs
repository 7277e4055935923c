//! What another policy would change: two compiled policies compared by what they decide, never as text.
//!
//! [`routes`] asks both policies for the rule at every path that either of them tells apart ([`probes`]), and compares what
//! each role may do there. [`roles`] compares what keeps roles out, [`classes`] what is masked, [`mod@issuers`] whose tokens
//! are believed, [`pages`] what browsers are told.
//!
//! A caller with several roles may do what one of them grants and none of them forbids. So nobody gains anything unless
//! some role alone gains a grant, or loses a restriction; both are compared, and combinations need not be tried.
//!
//! **Closed**: what cannot be decided counts as widening. What authors write is taken apart field by field without `..`: who
//! adds a field to it must say here what a change of it means.

mod classes;
mod issuers;
mod pages;
mod probes;
mod roles;
mod routes;
#[cfg(test)]
mod tests;

use ipnet::IpNet;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

use super::parts::Origin;
use super::{CompiledRole, Policy};

pub use issuers::{Issuer, issuers};
pub use probes::MAX_PROBES;

/// What a change does to access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Somebody may do or see more, or nobody can say that not.
    Widens,
    /// Somebody may do or see less.
    Narrows,
    /// Neither.
    Neutral,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whose tokens are believed.
    Identity,
    /// Addresses that are admitted.
    Source,
    /// Web pages that may ask.
    Page,
    /// Roles, and what keeps them out.
    Role,
    /// Who may ask.
    Access,
    /// What is asked of those who may.
    Condition,
    /// What a role sees.
    Field,
    /// What is classified, and how it is masked.
    Class,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What it does.
    pub effect: Effect,
    /// What it is about.
    pub kind: Kind,
    /// The role; none when it concerns everybody.
    pub role: Option<Arc<str>>,
    /// The module.
    pub module: Option<Arc<str>>,
    /// The path, `{name}` for any one segment, `/*` for what is below.
    pub route: Option<String>,
    /// The methods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The class of fields.
    pub class: Option<Arc<str>>,
    /// The change in words.
    pub text: String,
    /// Where the new policy says so, or the old one if the new says nothing.
    pub file: Option<Arc<str>>,
    /// The line.
    pub line: Option<u32>,
}

/// Every difference between two policies, what widens first.
#[must_use]
pub fn compare(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    top(old, new, &mut changes);
    roles::compare(old, new, &mut changes);
    routes::compare(old, new, &mut changes);
    classes::compare(old, new, &mut changes);
    sort(&mut changes);
    changes
}

/// What widens first; each difference once.
pub fn sort(changes: &mut Vec<Change>) {
    changes.sort();
    changes.dedup();
}

/// What stands at the top of a policy.
fn top(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    // Everything else is compared elsewhere, or made from what is.
    let Policy {
        version: _,
        roles: _,
        role_index: _,
        exclusive: _,
        scopes: _,
        prefixes: _,
        modules: _,
        classes: _,
        closed: _,
        versions: _,
        forward_as,
        allow_from,
        cors,
        revoked,
    } = new;
    if let Some((effect, text)) = ranges(old.allow_from.as_deref(), allow_from.as_deref()) {
        changes.push(Change::new(
            effect,
            Kind::Source,
            format!("`allow_from` of everyone {text}"),
        ));
    }
    pages::compare(old.cors.as_ref(), cors.as_ref(), changes);
    issuers::revoked(old.revoked.list(), revoked.list(), changes);
    if old.forward_as != *forward_as {
        changes.push(Change::new(
            Effect::Widens,
            Kind::Identity,
            "`forward_as` is another: what a backend makes of it cannot be said".to_owned(),
        ));
    }
}

impl Change {
    fn new(effect: Effect, kind: Kind, text: impl Into<String>) -> Self {
        Self {
            effect,
            kind,
            role: None,
            module: None,
            route: None,
            methods: Vec::new(),
            class: None,
            text: text.into(),
            file: None,
            line: None,
        }
    }

    fn role(self, role: &Arc<str>) -> Self {
        Self {
            role: Some(Arc::clone(role)),
            ..self
        }
    }

    fn module(self, module: &Arc<str>) -> Self {
        Self {
            module: Some(Arc::clone(module)),
            ..self
        }
    }

    fn class(self, class: &Arc<str>) -> Self {
        Self {
            class: Some(Arc::clone(class)),
            ..self
        }
    }

    fn at(self, origin: &Origin) -> Self {
        if origin.line == 0 {
            return self;
        }
        Self {
            file: Some(Arc::clone(&origin.file)),
            line: Some(origin.line),
            ..self
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Widens => "widens",
            Self::Narrows => "narrows",
            Self::Neutral => "changes",
        })
    }
}

/// Who and what, then the change: `role `clerk`, GET /api/tariffs: may now ask`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(role) = &self.role {
            parts.push(format!("role `{role}`"));
        }
        match (&self.route, &self.module) {
            (Some(route), _) => parts.push(format!("{} {route}", self.methods.join(" ")).trim().to_owned()),
            (None, Some(module)) => parts.push(format!("module `{module}`")),
            (None, None) => {}
        }
        if let Some(class) = &self.class {
            parts.push(format!("class `{class}`"));
        }
        if parts.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", parts.join(", "), self.text)
        }
    }
}

/// Role names of both policies, each once, in the old one's order and then the new one's.
fn role_names<'p>(old: &'p Policy, new: &'p Policy) -> Vec<&'p Arc<str>> {
    let names = |policy: &'p Policy| policy.roles.iter().map(|role| &role.role.name);
    let added = names(new).filter(|name| old.role_named(name).is_none());
    names(old).chain(added).collect()
}

fn role<'p>(policy: &'p Policy, name: &str) -> Option<&'p CompiledRole> {
    policy.roles.get(policy.role_named(name)?)
}

/// How a list of addresses changes; absent = all.
fn ranges(old: Option<&[IpNet]>, new: Option<&[IpNet]>) -> Option<(Effect, String)> {
    let within = |inner: &[IpNet], outer: &[IpNet]| {
        let outer = IpNet::aggregate(&outer.to_vec());
        let inner = IpNet::aggregate(&inner.to_vec());
        inner.iter().all(|one| outer.iter().any(|range| range.contains(one)))
    };
    match (old, new) {
        (None, None) => None,
        (None, Some(_)) => Some((Effect::Narrows, "is new: not every address will do any more".into())),
        (Some(_), None) => Some((Effect::Widens, "is gone: every address will do".into())),
        (Some(old), Some(new)) => match (within(new, old), within(old, new)) {
            (true, true) => None,
            (true, false) => Some((Effect::Narrows, "has fewer addresses".into())),
            (false, _) => Some((Effect::Widens, "has addresses that were not in it".into())),
        },
    }
}

/// What is in one list and not in the other: added, removed.
fn difference<'t>(old: &'t [String], new: &'t [String]) -> (Vec<&'t str>, Vec<&'t str>) {
    let missing = |from: &'t [String], other: &[String]| -> Vec<&'t str> {
        from.iter()
            .filter(|item| !other.contains(item))
            .map(String::as_str)
            .collect()
    };
    (missing(new, old), missing(old, new))
}

fn list(items: &[&str]) -> String {
    items
        .iter()
        .map(|item| format!("`{item}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
