//! One snapshot of the rules: what a request meets from start to end (invariant 1).
//!
//! A changed policy makes a new snapshot. Changed keys are swapped within it, together with the cache of tokens that
//! the old keys verified: no cached token outlives the keys or the policy that it was judged by.

use arc_swap::{ArcSwap, Guard};
use prometheus::IntCounter;
use std::sync::Arc;
use std::time::Duration;

use super::identify::Identity;
use crate::edge::jwks::{REFETCH_WINDOW, Remote};
use crate::edge::metrics::{Metrics, RouteMeter};
use crate::identity::{Algorithm, IssuerRules, KeySet, Keyring, VerifiedCache};
use crate::masking::Deviation;
use crate::policy::{Place, Policy};

/// A policy in force, its keys, and its counters.
#[derive(Debug)]
pub struct Rules {
    policy: Arc<Policy>,
    keys: ArcSwap<Keys>,
    /// Key servers, by issuer.
    remotes: Vec<Option<Arc<Remote>>>,
    unrouted: Arc<RouteMeter>,
    modules: Vec<ModuleMeters>,
    classes: Vec<(Arc<str>, IntCounter)>,
}

#[derive(Debug)]
struct ModuleMeters {
    routes: Vec<Arc<RouteMeter>>,
    /// Requests to the module that met none of its routes.
    nowhere: Arc<RouteMeter>,
    /// Rows that were dropped; none if no route of the module filters any.
    rows: Option<IntCounter>,
    /// By `Deviation::ALL`: what was tolerated in JSON; none if the module tolerates nothing.
    tolerated: Option<[IntCounter; Deviation::ALL.len()]>,
}

/// Keys, and the tokens that they verified.
#[derive(Debug)]
pub struct Keys {
    /// Who may sign.
    pub ring: Keyring,
    /// Tokens known to be good, by hash, until they expire.
    pub verified: VerifiedCache<Identity>,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug)]
pub enum IssuerKeys {
    /// From files, read already.
    Fixed(Arc<KeySet>),
    /// From a key server.
    Remote(Arc<Remote>),
}

impl Rules {
    /// A snapshot. What a key server was last heard to say is in force at once.
    #[must_use]
    pub fn new(policy: Policy, issuers: Vec<(IssuerRules, IssuerKeys)>, metrics: &Arc<Metrics>) -> Self {
        let remotes = issuers
            .iter()
            .map(|(_, keys)| match keys {
                IssuerKeys::Fixed(_) => None,
                IssuerKeys::Remote(remote) => Some(Arc::clone(remote)),
            })
            .collect();
        let ring = issuers
            .into_iter()
            .map(|(rules, keys)| match keys {
                IssuerKeys::Fixed(keys) => (rules, keys),
                IssuerKeys::Remote(remote) => (rules, remote.keys()),
            })
            .collect();
        let modules = policy
            .modules()
            .map(|(module, labels)| ModuleMeters {
                routes: labels
                    .into_iter()
                    .map(|label| metrics.route(Some(&module.name), Some(label)))
                    .collect(),
                nowhere: metrics.route(Some(&module.name), None),
                rows: module
                    .routes
                    .iter()
                    .any(|route| route.rows.is_some())
                    .then(|| metrics.rows(&module.name)),
                tolerated: module
                    .tolerant_json
                    .then(|| Deviation::ALL.map(|kind| metrics.tolerated(&module.name, kind.name()))),
            })
            .collect();
        let classes = policy
            .class_names()
            .map(|name| (Arc::clone(name), metrics.masked(name)))
            .collect();
        Self {
            policy: Arc::new(policy),
            keys: ArcSwap::from_pointee(Keys::new(Keyring::new(ring))),
            remotes,
            unrouted: metrics.route(None, None),
            modules,
            classes,
        }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The keys in force now.
    pub fn keys(&self) -> Guard<Arc<Keys>> {
        self.keys.load()
    }

    /// A key server that is asked as this one would be, with what it has said.
    #[must_use]
    pub fn remote(&self, url: &str, authorities: Option<&[u8]>, algorithms: &[Algorithm]) -> Option<Arc<Remote>> {
        let mut remotes = self.remotes.iter().flatten();
        remotes.find(|remote| remote.is(url, authorities, algorithms)).cloned()
    }

    /// A token names a key that is not known: asks its issuer's key server, at most once in a while. Tells whether it is
    /// worth looking again.
    pub async fn refetch(self: &Arc<Self>, issuer: usize) -> bool {
        if self.remotes.get(issuer).is_none_or(Option::is_none) {
            return false;
        }
        // A task of its own: it goes on for the others if this client hangs up.
        let rules = Arc::clone(self);
        let fetching = tokio::task::spawn_local(async move { rules.fetch(issuer, REFETCH_WINDOW).await });
        fetching.await.is_ok()
    }

    /// Asks all key servers.
    pub async fn refresh(&self) {
        for issuer in 0..self.remotes.len() {
            self.fetch(issuer, Duration::ZERO).await;
        }
    }

    async fn fetch(&self, issuer: usize, window: Duration) {
        let Some(Some(remote)) = self.remotes.get(issuer) else {
            return;
        };
        let keys = remote.refresh(window).await;
        // Only other keys empty the cache of verified tokens.
        if !self.keys.load().ring.has(issuer, &keys) {
            self.keys
                .rcu(|old| Keys::new(old.ring.replace(issuer, Arc::clone(&keys))));
        }
    }

    /// The meter of requests that met no module.
    #[must_use]
    pub fn unrouted(&self) -> &Arc<RouteMeter> {
        &self.unrouted
    }

    /// The meter of a place.
    #[must_use]
    pub fn meter(&self, place: Place) -> Arc<RouteMeter> {
        let module = self.modules.get(usize::from(place.module));
        let meter = module.map_or(&self.unrouted, |module| {
            place
                .route
                .and_then(|route| module.routes.get(usize::from(route)))
                .unwrap_or(&module.nowhere)
        });
        Arc::clone(meter)
    }

    /// The counter of rows that are dropped at a place.
    #[must_use]
    pub fn rows(&self, place: Place) -> Option<&IntCounter> {
        self.modules.get(usize::from(place.module))?.rows.as_ref()
    }

    /// The counters of what is tolerated in JSON at a place, in the order of [`Deviation::ALL`].
    pub fn tolerated(&self, place: Place) -> impl Iterator<Item = &IntCounter> {
        let module = self.modules.get(usize::from(place.module));
        module
            .and_then(|module| module.tolerated.as_ref())
            .into_iter()
            .flatten()
    }

    /// A field class: its name and its counter.
    #[must_use]
    pub fn class(&self, index: usize) -> Option<&(Arc<str>, IntCounter)> {
        self.classes.get(index)
    }
}

impl Keys {
    fn new(ring: Keyring) -> Self {
        Self {
            ring,
            verified: VerifiedCache::new(),
        }
    }
}
