//! What a verified caller may do under one policy: worked out once per token, read on each of its requests.

use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

use super::bits::Bits;
use super::condition::CallerFacts;
use super::{Actions, Policy, RateLimit, ScopePattern};
use crate::identity::Caller;
use crate::reason::Reason;

/// A caller whose roles and scopes have been resolved against a policy.
#[derive(Debug)]
pub struct Authority {
    /// Who it is, as the token says.
    pub caller: Caller,
    /// The known roles that the token names, in its order.
    pub roles: Vec<Arc<str>>,
    /// Scopes that routes ask for and that the caller has.
    pub(super) scopes: Bits,
    /// Modules that a held role is kept out of.
    pub(super) restricted: Bits,
    /// What is done to each class of fields in what this caller sees.
    pub(super) actions: Actions,
    /// Address ranges from which the roles may be used, one list per role that has one.
    pub(super) allow_from: Vec<Arc<[IpNet]>>,
    /// The strictest of the roles' limits.
    pub(super) rate_limit: Option<RateLimit>,
}

impl Authority {
    /// Resolves a caller.
    ///
    /// # Errors
    /// [`Reason::InvalidToken`] when the policy has revoked the token or its user, [`Reason::NoRole`] when the token names no role that the policy knows (S2.3), [`Reason::ConflictingRoles`] when
    /// it holds roles that separation of duties keeps apart (S2.1).
    pub fn new(policy: &Policy, caller: Caller) -> Result<Self, Box<(Reason, Caller)>> {
        // A policy's entries have no end, so that it does not matter what time it is.
        if policy.revoked.refuse(&caller, 0).is_some() {
            return Err(Box::new((Reason::InvalidToken, caller)));
        }
        let known: Vec<usize> = caller.roles.iter().filter_map(|name| policy.role_named(name)).collect();
        if known.is_empty() {
            return Err(Box::new((Reason::NoRole, caller)));
        }
        let mut held = Bits::new(policy.roles.len());
        let mut restricted = Bits::new(policy.modules.len());
        let mut granted = Bits::new(policy.scopes.len());
        let mut named = Bits::new(policy.scopes.len());
        let mut roles = Vec::with_capacity(known.len());
        let mut allow_from = Vec::new();
        let mut limits = Vec::new();
        for role in known.iter().filter_map(|&index| policy.roles.get(index)) {
            held.union(&role.includes);
            restricted.union(&role.restricted);
            granted.union(&role.granted);
            named.union(&role.named);
            roles.push(Arc::clone(&role.role.name));
            allow_from.extend(role.allow_from.iter().cloned());
            limits.extend(role.role.rate_limit);
        }
        if policy.exclusive.iter().any(|set| set.common(&held) > 1) {
            return Err(Box::new((Reason::ConflictingRoles, caller)));
        }
        if let Some(claimed) = &caller.scopes {
            narrow(policy, claimed, &mut granted, &mut named);
        }
        let actions =
            policy.actions_for(|class| class.visible_to.common(&named) > 0 && class.never_to.common(&held) == 0);
        Ok(Self {
            caller,
            roles,
            scopes: granted,
            restricted,
            actions,
            allow_from,
            rate_limit: limits.into_iter().reduce(RateLimit::stricter),
        })
    }

    /// How often this caller may ask: of all limits of held roles the strictest. A role's limit is its own, and is not
    /// inherited.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// The caller as conditions see it.
    pub(super) fn facts<'f>(&'f self, policy: &'f Policy) -> CallerFacts<'f> {
        CallerFacts {
            user: &self.caller.user,
            roles: &self.roles,
            scopes: &policy.scopes,
            held: &self.scopes,
            jurisdictions: &self.caller.jurisdictions,
            claims: &self.caller.claims,
        }
    }

    /// Whether every held role with an address list may be used from `source`.
    #[must_use]
    pub fn admits(&self, source: IpAddr) -> bool {
        self.allow_from.iter().all(|ranges| super::within(ranges, source))
    }
}

/// Keeps only what the token claims too. A `*` in the token narrows routes as it does in a role; a classified field
/// must be claimed by the scope's own name.
fn narrow(policy: &Policy, claimed: &[String], granted: &mut Bits, named: &mut Bits) {
    let patterns: Vec<ScopePattern> = claimed
        .iter()
        .filter_map(|text| ScopePattern::parse(text).ok())
        .collect();
    let (before, before_named) = (granted.clone(), named.clone());
    *granted = Bits::new(policy.scopes.len());
    *named = Bits::new(policy.scopes.len());
    for index in before.iter() {
        let Some(scope) = policy.scopes.get(index) else {
            continue;
        };
        if patterns.iter().any(|pattern| pattern.covers(scope)) {
            granted.insert(index);
        }
        if before_named.contains(index) && patterns.iter().any(|pattern| pattern.as_str() == &**scope) {
            named.insert(index);
        }
    }
}
