//! The steps from route to condition, in the order of the interface's section 4. The first that fails answers.

mod judge;
mod permit;

use http::Method;
use std::sync::Arc;

use super::condition::{EvaluationFault, Facts};
use super::matcher::Found;
use super::parts::{Origin, Route, When};
use super::{Authority, CompiledModule, Policy, RouteFacts, allowed_methods};
use crate::call::Call;
use crate::reason::Reason;
pub use judge::Pending;
pub use permit::Permit;

/// What [`evaluate`] says.
#[derive(Debug)]
pub enum Decision<'r> {
    /// The request may be forwarded.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
    /// It depends on the body, which has to be read first.
    NeedsBody(Pending<'r>),
}

/// Which module and route a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Module index.
    pub module: u16,
    /// Route index in the module, once one is known.
    pub route: Option<u16>,
}

/// Why a request is denied, with what its client may be told. On a route in shadow mode, why it would be.
#[derive(Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub reason: Reason,
    /// Where it was going, as far as known.
    pub place: Option<Place>,
    /// The scope that was asked.
    pub scope: Option<Arc<str>>,
    /// The methods that the route has, for `Allow`.
    pub methods: Vec<Method>,
    /// The caller's jurisdictions, when they were compared (S1.5).
    pub jurisdictions: Option<Vec<String>>,
    /// For the operator only.
    pub detail: Option<String>,
}

/// One comparison that was made, for `explain`.
#[derive(Debug)]
pub enum Step<'a> {
    /// The path was looked up.
    Route {
        /// The module, if one took the path.
        module: Option<(&'a str, &'a Origin)>,
        /// The route's label and where it stands.
        route: Option<(&'a str, &'a Origin)>,
    },
    /// The method was compared with the route's.
    Method {
        /// The methods that the route has.
        allowed: &'a [Method],
        /// Whether the request's is among them.
        passed: bool,
    },
    /// The route's scope was looked for among the caller's.
    Scope {
        /// The scope, absent on a public route.
        required: Option<&'a str>,
        /// Whether the caller has it.
        passed: bool,
    },
    /// The module was compared with those that the caller's roles are kept out of.
    Module {
        /// The module's name.
        module: &'a str,
        /// Whether the caller may enter.
        passed: bool,
    },
    /// The request's jurisdiction was compared with the caller's.
    Jurisdiction {
        /// Where it was read.
        source: String,
        /// What it is; none if it is missing, doubled or no string.
        found: Vec<String>,
        /// The caller's.
        allowed: &'a [String],
        /// Whether they meet.
        passed: bool,
    },
    /// The route's condition was evaluated.
    Condition {
        /// The condition.
        when: &'a When,
        /// What it was evaluated against.
        facts: &'a Facts<'a>,
        /// What came of it.
        outcome: Result<bool, EvaluationFault>,
    },
}

/// Told of each step as it is made.
pub trait Trace {
    /// A comparison was made.
    fn step(&mut self, step: &Step<'_>);
}

/// The gateway needs no trace.
impl Trace for () {
    fn step(&mut self, _: &Step<'_>) {}
}

/// Finds the route of a call; the method is not compared yet.
///
/// # Errors
/// No module or no route takes the path.
pub fn route<'p>(policy: &'p Policy, call: &Call) -> Result<(Place, &'p [u16]), Denial> {
    let nothing = |place| Denial::new(Reason::NoRoute, place);
    let Found::One(module_index, depth) = policy.prefixes.find(&call.path, 0) else {
        return Err(nothing(None));
    };
    let place = Place {
        module: module_index,
        route: None,
    };
    let Some(module) = policy.module(place) else {
        return Err(nothing(None));
    };
    let Found::One(leaf, _) = module.routes.find(&call.path, depth) else {
        return Err(nothing(Some(place)));
    };
    let candidates = module
        .leaves
        .get(usize::from(leaf))
        .map(Vec::as_slice)
        .unwrap_or_default();
    Ok((place, candidates))
}

/// Decides at the time `now`. A caller is absent when the request has no token: then only public routes are open.
pub fn evaluate<'r>(
    policy: &Arc<Policy>,
    call: &'r Call,
    caller: Option<&'r Authority>,
    now: jiff::Timestamp,
    trace: &mut impl Trace,
) -> Decision<'r> {
    match steps(policy, call, caller, now, trace) {
        Ok(decision) => decision,
        // Only a public route comes so far without a token, and none would help.
        Err(denial) if denial.reason == Reason::DeniedCondition => Decision::Deny(denial),
        Err(denial) => Decision::Deny(match caller {
            // Without a token nobody learns which routes exist.
            None => Denial::new(Reason::MissingToken, denial.place),
            Some(_) => denial,
        }),
    }
}

fn steps<'r>(
    policy: &Arc<Policy>,
    call: &'r Call,
    caller: Option<&'r Authority>,
    now: jiff::Timestamp,
    trace: &mut impl Trace,
) -> Result<Decision<'r>, Denial> {
    let found = find_route(policy, call, trace)?;
    let place = found.place;
    let (caller, actions) = if found.route.public {
        trace.step(&Step::Scope {
            required: None,
            passed: true,
        });
        (None, &policy.closed)
    } else {
        let caller = caller.ok_or_else(|| Denial::new(Reason::MissingToken, Some(place)))?;
        (Some(caller), &caller.actions)
    };
    let permit = Permit {
        policy: Arc::clone(policy),
        place,
        actions: Arc::clone(actions),
        would_deny: None,
    };
    if let Some(caller) = caller
        && let Err(denial) = may_enter(&found, caller, trace)
    {
        return permit.unless_enforced(denial).map(Decision::Allow);
    }
    let pending = Pending {
        permit,
        call,
        caller,
        now,
        at_home: caller.is_none() || found.facts.jurisdiction.is_none(),
    };
    pending.judge(None, trace)
}

/// The caller has the route's scope, and is not kept out of its module.
fn may_enter(found: &FoundRoute<'_>, caller: &Authority, trace: &mut impl Trace) -> Result<(), Denial> {
    let scoped = |reason| Denial {
        scope: found.route.scope.clone(),
        ..Denial::new(reason, Some(found.place))
    };
    let passed = found.facts.scope.is_some_and(|scope| caller.scopes.contains(scope));
    trace.step(&Step::Scope {
        required: found.route.scope.as_deref(),
        passed,
    });
    if !passed {
        return Err(scoped(Reason::DeniedScope));
    }
    let passed = !caller.restricted.contains(usize::from(found.place.module));
    trace.step(&Step::Module {
        module: &found.module.module.name,
        passed,
    });
    if !passed {
        return Err(scoped(Reason::DeniedModule));
    }
    Ok(())
}

struct FoundRoute<'p> {
    place: Place,
    module: &'p CompiledModule,
    route: &'p Route,
    facts: &'p RouteFacts,
}

fn find_route<'p>(policy: &'p Policy, call: &Call, trace: &mut impl Trace) -> Result<FoundRoute<'p>, Denial> {
    let (place, candidates) = route(policy, call).inspect_err(|denial| {
        let module = denial.place.and_then(|place| policy.module(place));
        trace.step(&Step::Route {
            module: module.map(|module| (&*module.module.name, &module.module.origin)),
            route: None,
        });
    })?;
    let nothing = || Denial::new(Reason::NoRoute, Some(place));
    let module = policy.module(place).ok_or_else(nothing)?;
    let routes = || {
        candidates
            .iter()
            .filter_map(|&at| Some((at, module.module.routes.get(usize::from(at))?)))
    };
    let named = Some((&*module.module.name, &module.module.origin));
    let taken = routes().find(|(_, route)| takes(route, &call.method));
    let shown = taken.or_else(|| routes().next());
    trace.step(&Step::Route {
        module: named,
        route: shown.and_then(|(at, route)| Some((&*module.route_facts.get(usize::from(at))?.label, &route.origin))),
    });
    let Some((at, route)) = taken else {
        let methods = allowed_methods(routes().map(|(_, route)| route));
        trace.step(&Step::Method {
            allowed: &methods,
            passed: false,
        });
        let place = Place {
            route: shown.map(|(at, _)| at),
            ..place
        };
        return Err(Denial {
            methods,
            ..Denial::new(Reason::MethodNotAllowed, Some(place))
        });
    };
    let facts = module.route_facts.get(usize::from(at)).ok_or_else(nothing)?;
    Ok(FoundRoute {
        place: Place {
            route: Some(at),
            ..place
        },
        module,
        route,
        facts,
    })
}

/// Whether a route has the method; `HEAD` is a `GET` whose body stays away (RFC 9110, 9.3.2).
pub(super) fn takes(route: &Route, method: &Method) -> bool {
    route.methods.contains(method) || (method == Method::HEAD && route.methods.contains(&Method::GET))
}

impl Denial {
    fn new(reason: Reason, place: Option<Place>) -> Self {
        Self {
            reason,
            place,
            scope: None,
            methods: Vec::new(),
            jurisdictions: None,
            detail: None,
        }
    }
}

impl Policy {
    pub(super) fn module(&self, place: Place) -> Option<&CompiledModule> {
        self.modules.get(usize::from(place.module))
    }

    /// How many segments of the path are its module's prefix.
    pub(super) fn prefix_depth(&self, call: &Call) -> usize {
        match self.prefixes.find(&call.path, 0) {
            Found::One(_, depth) => depth,
            Found::Nothing | Found::Folds => 0,
        }
    }

    /// The module's name and the route's label at a place, for audit lines and metrics.
    #[must_use]
    pub fn names(&self, place: Place) -> (Option<Arc<str>>, Option<Arc<str>>) {
        let module = self.module(place);
        let facts = place
            .route
            .zip(module)
            .and_then(|(route, module)| module.route_facts.get(usize::from(route)));
        (
            module.map(|module| Arc::clone(&module.module.name)),
            facts.map(|facts| Arc::clone(&facts.label)),
        )
    }

    /// Whether the module that takes the path lets `;` parameters pass.
    #[must_use]
    pub fn allows_path_parameters(&self, path: &crate::call::Path) -> bool {
        match self.prefixes.find(path, 0) {
            Found::One(module, _) => self
                .modules
                .get(usize::from(module))
                .is_some_and(|module| module.module.path_parameters),
            Found::Nothing | Found::Folds => false,
        }
    }
}
