//! The proof that a request may be forwarded.

use http::HeaderName;
use std::sync::{Arc, LazyLock};

use super::{Denial, Place};
use crate::call::Call;
use crate::masking::seal::Home;
use crate::masking::{Action, Mask, fold};
use crate::policy::parts::{Module, Origin, Route};
use crate::policy::{Actions, Authority, CompiledModule, PathPattern, Policy, RouteFacts};
use crate::reason::Reason;

/// The proof that a request may be forwarded. Made by [`evaluate()`](super::evaluate()) only.
#[derive(Debug)]
pub struct Permit {
    pub(in crate::policy) policy: Arc<Policy>,
    pub(super) place: Place,
    pub(super) actions: Actions,
    /// The denial that did not hold because the route is in shadow mode.
    pub(super) would_deny: Option<Box<Denial>>,
}

/// What a permit of a route that has vanished would be: closed. A permit always names a route of its own policy.
static NO_ROUTE: LazyLock<Route> = LazyLock::new(|| Route {
    pattern: PathPattern::default(),
    methods: Vec::new(),
    scope: None,
    public: false,
    jurisdiction: None,
    when: None,
    reads_body: false,
    idempotency: None,
    concurrency: None,
    dry_run: None,
    mode: None,
    rows: None,
    origin: Origin::default(),
});

impl Permit {
    /// Where the request goes.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// The policy that permits.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Why the request would be denied if its route were not in shadow mode.
    #[must_use]
    pub fn would_deny(&self) -> Option<&Denial> {
        self.would_deny.as_deref()
    }

    /// Whether the route is in shadow mode.
    #[must_use]
    pub fn is_on_trial(&self) -> bool {
        self.facts().is_some_and(|facts| facts.shadow)
    }

    /// The permit all the same, with the denial kept in it, if the route is in shadow mode and the denial is one of its own
    /// rules'. Every other denial holds whatever the mode.
    pub(super) fn unless_enforced(self, denial: Denial) -> Result<Self, Denial> {
        let on_trial = matches!(
            denial.reason,
            Reason::DeniedScope | Reason::DeniedModule | Reason::JurisdictionMismatch | Reason::DeniedCondition
        );
        if !on_trial || !self.is_on_trial() {
            return Err(denial);
        }
        Ok(Self {
            would_deny: Some(Box::new(denial)),
            ..self
        })
    }

    pub(in crate::policy) fn compiled(&self) -> Option<&CompiledModule> {
        self.policy.module(self.place)
    }

    pub(in crate::policy) fn facts(&self) -> Option<&RouteFacts> {
        self.compiled()?.route_facts.get(usize::from(self.place.route?))
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> Option<&Module> {
        self.compiled().map(|module| &module.module)
    }

    /// The route.
    #[must_use]
    pub fn route(&self) -> &Route {
        self.place
            .route
            .and_then(|route| self.compiled()?.module.routes.get(usize::from(route)))
            .unwrap_or(&NO_ROUTE)
    }

    /// What is to be cut from the body of the answer to `call`; none when the caller, who is the one that the permit was
    /// made for, may see all that the module classifies, and every row.
    #[must_use]
    pub fn mask(&self, call: &Call, caller: Option<&Arc<Authority>>, now: jiff::Timestamp) -> Option<Mask> {
        let module = self.compiled()?;
        let rows = self.rows(call, caller, now);
        let hides = !module.selectors.is_empty() && module.classes.iter().any(|&class| self.hides(class));
        if !hides && rows.is_none() {
            return None;
        }
        Some(Mask {
            selectors: Arc::clone(&module.selectors),
            actions: Arc::clone(&self.actions),
            rows,
            home: self.encrypts_for(module),
        })
    }

    /// What envelopes are bound to, if a class of the module is encrypted for this caller.
    fn encrypts_for(&self, module: &CompiledModule) -> Option<Home> {
        let encrypted = |class: &u16| matches!(self.actions.get(usize::from(*class)), Some(Some(Action::Encrypt(_))));
        let facts = module.classes.iter().any(encrypted).then(|| self.facts()).flatten()?;
        Some(Home {
            module: Arc::clone(&module.module.name),
            route: Arc::clone(&facts.label),
        })
    }

    /// Whether a class is hidden from this caller.
    pub(in crate::policy) fn hides(&self, class: u16) -> bool {
        self.actions.get(usize::from(class)).is_some_and(Option::is_some)
    }

    /// Whether any response header is classified and hidden from this caller.
    #[must_use]
    pub fn hides_headers(&self) -> bool {
        self.compiled()
            .is_some_and(|module| module.headers.iter().any(|(_, class)| self.hides(*class)))
    }

    /// The class for which a response header is hidden from this caller.
    #[must_use]
    pub fn hidden_header(&self, name: &HeaderName) -> Option<u16> {
        let folded = fold(name.as_str());
        let headers = &self.compiled()?.headers;
        headers
            .iter()
            .find(|(own, class)| *own == folded && self.hides(*class))
            .map(|(_, class)| *class)
    }

    /// The names of the classes that are hidden from this caller here, for `explain`.
    pub fn hidden_classes(&self) -> impl Iterator<Item = &Arc<str>> {
        let classes = self
            .compiled()
            .map(|module| module.classes.as_slice())
            .unwrap_or_default();
        classes
            .iter()
            .filter(|&&class| self.hides(class))
            .filter_map(|&class| self.policy.classes.get(usize::from(class)))
            .map(|class| &class.class.name)
    }
}
