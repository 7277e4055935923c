//! The steps from route to jurisdiction, in the order of the interface's section 4. The first that fails answers.

use http::{HeaderName, Method};
use std::sync::Arc;

use super::matcher::Found;
use super::parts::{Jurisdiction, Origin, Route};
use super::{Actions, Authority, CompiledModule, Need, Policy, RouteFacts, allowed_methods};
use crate::call::Call;
use crate::call::document::{self, Located};
use crate::masking::{Mask, fold};
use crate::reason::Reason;

/// What [`evaluate`] says.
#[derive(Debug)]
pub enum Decision {
    /// The request may be forwarded.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
    /// It depends on the body, which has to be read first.
    NeedsBody(Pending),
}

/// The proof that a request may be forwarded. Made here only.
#[derive(Debug)]
pub struct Permit {
    policy: Arc<Policy>,
    place: Place,
    actions: Actions,
}

/// Which module and route a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Module index.
    pub module: u16,
    /// Route index in the module, once one is known.
    pub route: Option<u16>,
}

/// Why a request is denied, with what its client may be told.
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
}

/// A request that is allowed if its body's jurisdiction is the caller's.
#[derive(Debug)]
pub struct Pending {
    permit: Permit,
    pointer: String,
    jurisdictions: Vec<String>,
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
pub fn route(policy: &Policy, call: &Call) -> Result<(Place, Vec<u16>), Denial> {
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
    let candidates = module.leaves.get(usize::from(leaf)).cloned().unwrap_or_default();
    Ok((place, candidates))
}

/// Decides. A caller is absent when the request has no token: then only public routes are open.
pub fn evaluate(policy: &Arc<Policy>, call: &Call, caller: Option<&Authority>, trace: &mut impl Trace) -> Decision {
    match steps(policy, call, caller, trace) {
        Ok(decision) => decision,
        Err(denial) => Decision::Deny(match caller {
            // Without a token nobody learns which routes exist.
            None => Denial::new(Reason::MissingToken, denial.place),
            Some(_) => denial,
        }),
    }
}

fn steps(
    policy: &Arc<Policy>,
    call: &Call,
    caller: Option<&Authority>,
    trace: &mut impl Trace,
) -> Result<Decision, Denial> {
    let found = find_route(policy, call, trace)?;
    let FoundRoute {
        place,
        module,
        route,
        facts,
    } = found;
    let Some(caller) = (if route.public { None } else { Some(caller) }) else {
        trace.step(&Step::Scope {
            required: None,
            passed: true,
        });
        return Ok(Decision::Allow(Permit {
            policy: Arc::clone(policy),
            place,
            actions: Arc::clone(&policy.closed),
        }));
    };
    let Some(caller) = caller else {
        return Err(Denial::new(Reason::MissingToken, Some(place)));
    };
    let scoped = |reason| Denial {
        scope: route.scope.clone(),
        ..Denial::new(reason, Some(place))
    };

    let passed = facts.scope.is_some_and(|scope| caller.scopes.contains(scope));
    trace.step(&Step::Scope {
        required: route.scope.as_deref(),
        passed,
    });
    if !passed {
        return Err(scoped(Reason::DeniedScope));
    }
    let passed = !caller.restricted.contains(usize::from(place.module));
    trace.step(&Step::Module {
        module: &module.module.name,
        passed,
    });
    if !passed {
        return Err(scoped(Reason::DeniedModule));
    }
    let permit = Permit {
        policy: Arc::clone(policy),
        place,
        actions: Arc::clone(&caller.actions),
    };
    let Some(need) = &facts.jurisdiction else {
        return Ok(Decision::Allow(permit));
    };
    let allowed = &caller.caller.jurisdictions;
    let (source, wanted) = match need {
        Need::Segment(index) => {
            let prefix = policy.prefix_depth(call);
            (
                "the path".to_owned(),
                call.path.segment(prefix + index).map(|text| vec![text.to_owned()]),
            )
        }
        Need::Elsewhere(Jurisdiction::Query(name)) => (
            format!("query parameter `{name}`"),
            call.query.only(name).ok().flatten().map(|text| vec![text.into_owned()]),
        ),
        Need::Elsewhere(Jurisdiction::Header(name)) => (
            format!("header `{name}`"),
            only_header(call, name).map(|text| vec![text]),
        ),
        Need::Elsewhere(Jurisdiction::Fixed(list)) => ("the policy".to_owned(), Some(list.clone())),
        Need::Elsewhere(Jurisdiction::Body(pointer)) => {
            return Ok(Decision::NeedsBody(Pending {
                permit,
                pointer: pointer.clone(),
                jurisdictions: allowed.clone(),
            }));
        }
        Need::Elsewhere(Jurisdiction::Path(_)) => ("the path".to_owned(), None),
    };
    let wanted = wanted.unwrap_or_default();
    let passed = wanted.iter().any(|one| allowed.contains(one));
    trace.step(&Step::Jurisdiction {
        source,
        found: wanted,
        allowed,
        passed,
    });
    if passed {
        Ok(Decision::Allow(permit))
    } else {
        Err(Denial {
            jurisdictions: Some(allowed.clone()),
            ..scoped(Reason::JurisdictionMismatch)
        })
    }
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

/// The value of a header that is there once and is text.
fn only_header(call: &Call, name: &HeaderName) -> Option<String> {
    let mut values = call.headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.to_owned();
    values.next().is_none().then_some(value)
}

impl Pending {
    /// The scope and place that are settled already, for audit lines of requests whose body never came.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Decides with the body, as the client sent it.
    pub fn resume(self, body: &[u8], trace: &mut impl Trace) -> Decision {
        let found = match document::locate(body, &self.pointer) {
            Ok(Located::Text(text)) => vec![text],
            Ok(Located::Number(_) | Located::Other | Located::Missing) | Err(_) => Vec::new(),
        };
        let passed = found.iter().any(|one| self.jurisdictions.contains(one));
        trace.step(&Step::Jurisdiction {
            source: format!("the body at `{}`", self.pointer),
            found,
            allowed: &self.jurisdictions,
            passed,
        });
        if passed {
            return Decision::Allow(self.permit);
        }
        Decision::Deny(Denial {
            scope: self.permit.route().scope.clone(),
            jurisdictions: Some(self.jurisdictions),
            ..Denial::new(Reason::JurisdictionMismatch, Some(self.permit.place))
        })
    }
}

impl Denial {
    fn new(reason: Reason, place: Option<Place>) -> Self {
        Self {
            reason,
            place,
            scope: None,
            methods: Vec::new(),
            jurisdictions: None,
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
            Found::Nothing | Found::CaseFolds => 0,
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
            Found::Nothing | Found::CaseFolds => false,
        }
    }
}

/// What a permit of a route that has vanished would be: closed. A permit always names a route of its own policy.
static NO_ROUTE: std::sync::LazyLock<Route> = std::sync::LazyLock::new(|| Route {
    pattern: super::PathPattern::default(),
    methods: Vec::new(),
    scope: None,
    public: false,
    jurisdiction: None,
    idempotency: None,
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

    pub(super) fn compiled(&self) -> Option<&CompiledModule> {
        self.policy.module(self.place)
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> Option<&super::Module> {
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

    /// What is to be cut from the answer's body; none when the caller may see all that the module classifies.
    #[must_use]
    pub fn mask(&self) -> Option<Mask> {
        let module = self.compiled()?;
        if module.selectors.is_empty() || !module.classes.iter().any(|&class| self.hides(class)) {
            return None;
        }
        Some(Mask {
            selectors: Arc::clone(&module.selectors),
            actions: Arc::clone(&self.actions),
        })
    }

    /// Whether a class is hidden from this caller.
    pub(super) fn hides(&self, class: u16) -> bool {
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
