//! The decision: a pure function of a policy, a request and a caller.
//!
//! Read [`parts`] for what a policy is made of, [`Policy::compile`] for the tables that it becomes, and
//! [`evaluate()`] for the steps that a request meets (interface, section 4). Only [`evaluate()`] makes a
//! [`Permit`], and nothing is forwarded without one (invariant 4). Everything unknown is denied.
//!
//! No clock, no I/O, no HTTP: the same function serves the gateway and `tollgate explain`. What authors ask of a policy as
//! a whole is answered from the same tables: [`matrix`] says who may do what, [`compare`] what another policy would change.

mod analysis;
mod authority;
pub mod bits;
pub mod compare;
mod compile;
pub mod condition;
pub mod cors;
mod evaluate;
mod grants;
pub mod matcher;
pub mod matrix;
pub mod parts;
pub mod pattern;
#[cfg(test)]
mod properties;
pub mod rate;
mod rows;
#[cfg(test)]
mod tests;
mod versions;
mod why;

use http::{HeaderName, Method};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::identity::Revocations;
use crate::masking::{Action, Selectors};
use bits::Bits;
use matcher::Matcher;
use parts::{CallerFact, FieldClass, Idempotency, Jurisdiction, Module, Role, VersionFrom};

pub use analysis::Finding;
pub use authority::Authority;
pub use compile::CompileFault;
pub use condition::Condition;
pub use cors::Cors;
pub use evaluate::{Decision, Denial, Pending, Permit, Place, Step, Trace, evaluate, route};
pub use grants::ScopeTree;
pub use parts::Parts;
pub use pattern::{PathPattern, ScopePattern};
pub use rate::{Pace, RateLimit};
pub use versions::VersionFault;
pub use why::{ClassView, Why};

/// What masking does to each class of fields for one caller, by class index; `None` = visible.
pub type Actions = Arc<[Option<Action>]>;

/// A policy whose every question has a table.
#[derive(Debug)]
pub struct Policy {
    /// Identifies the files it was read from.
    pub version: Arc<str>,
    roles: Vec<CompiledRole>,
    role_index: HashMap<Arc<str>, usize>,
    exclusive: Vec<Bits>,
    /// Every concrete scope that a route asks for or a class is visible to.
    scopes: Vec<Arc<str>>,
    prefixes: Matcher<u16>,
    modules: Vec<CompiledModule>,
    classes: Vec<CompiledClass>,
    /// Everything masked: what a caller without a token sees.
    closed: Actions,
    forward_as: Vec<(HeaderName, CallerFact)>,
    allow_from: Option<Vec<IpNet>>,
    cors: Option<Cors>,
    /// Versions of resources with a path of their own, by that.
    versions: HashMap<Box<str>, VersionFrom>,
    revoked: Revocations,
}

#[derive(Debug)]
struct CompiledRole {
    role: Role,
    /// The role itself and everything that it inherits, at any distance.
    includes: Bits,
    restricted: Bits,
    /// Scopes granted, wildcards included.
    granted: Bits,
    /// Scopes granted by their own name.
    named: Bits,
    /// Own address list and those of inherited roles do not add up: only its own counts.
    allow_from: Option<Arc<[IpNet]>>,
}

#[derive(Debug)]
struct CompiledModule {
    module: Module,
    /// Route index per pattern and method.
    routes: Matcher<u16>,
    /// The routes at one pattern, which differ in their methods.
    leaves: Vec<Vec<u16>>,
    route_facts: Vec<RouteFacts>,
    selectors: Arc<Selectors>,
    /// Class indexes with a say in this module's answers.
    classes: Vec<u16>,
    /// Folded response header names, with their class.
    headers: Vec<(String, u16)>,
}

/// What evaluation needs of a route besides what its author wrote.
#[derive(Debug)]
struct RouteFacts {
    scope: Option<usize>,
    jurisdiction: Option<Need>,
    /// What the route's own rules deny is let through, and recorded.
    shadow: bool,
    /// The version of what the route gets, where a write to the same path says what that is.
    version: Option<VersionFrom>,
    /// The module's prefix and the route's path, for audit lines and metrics.
    label: Arc<str>,
}

/// Where the jurisdiction of a request is read.
#[derive(Debug)]
enum Need {
    /// A path segment, counted from the route's first.
    Segment(usize),
    Elsewhere(Jurisdiction),
}

#[derive(Debug)]
struct CompiledClass {
    class: FieldClass,
    visible_to: Bits,
    never_to: Bits,
    action: Action,
}

impl Policy {
    fn role_named(&self, name: &str) -> Option<usize> {
        self.role_index.get(name).copied()
    }

    /// Builds the action table of a caller who sees the classes for which `visible` holds.
    fn actions_for(&self, visible: impl Fn(&CompiledClass) -> bool) -> Actions {
        self.classes
            .iter()
            .map(|class| (!visible(class)).then(|| class.action.clone()))
            .collect()
    }

    /// Whether anybody may ask from `source`.
    #[must_use]
    pub fn admits(&self, source: IpAddr) -> bool {
        self.allow_from.as_ref().is_none_or(|ranges| within(ranges, source))
    }

    /// Tokens and users that are refused whatever their tokens say.
    #[must_use]
    pub fn revoked(&self) -> &Revocations {
        &self.revoked
    }

    /// Which web pages may ask; none: browsers are told nothing.
    #[must_use]
    pub fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// Headers that Tollgate sets for backends, and from what.
    #[must_use]
    pub fn forward_as(&self) -> &[(HeaderName, CallerFact)] {
        &self.forward_as
    }

    /// Names of the field classes, by class index.
    pub fn class_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.classes.iter().map(|class| &class.class.name)
    }

    /// Each module with the labels of its routes, by index; for metrics that are made before they are counted.
    pub fn modules(&self) -> impl Iterator<Item = (&Module, Vec<&Arc<str>>)> {
        self.modules.iter().map(|module| {
            (
                &module.module,
                module.route_facts.iter().map(|facts| &facts.label).collect(),
            )
        })
    }
}

/// Whether an address is in one of the ranges; an IPv4 address written as IPv6 (`::ffff:a.b.c.d`) is the IPv4 address.
#[must_use]
pub fn within(ranges: &[IpNet], source: IpAddr) -> bool {
    let source = source.to_canonical();
    ranges.iter().any(|range| range.contains(&source))
}

/// The methods of `routes`, for `Allow`. `HEAD` comes with `GET` (RFC 9110, 9.3.2).
fn allowed_methods<'a>(routes: impl Iterator<Item = &'a parts::Route>) -> Vec<Method> {
    let mut methods: Vec<Method> = routes.flat_map(|route| route.methods.iter().cloned()).collect();
    if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
        methods.push(Method::HEAD);
    }
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods
}

impl Permit {
    /// How writes on the route are kept from happening twice.
    #[must_use]
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.route().idempotency.as_ref()
    }
}
