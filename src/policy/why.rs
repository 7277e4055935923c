//! Which line of a policy decided: for those who explain a decision, never for those who make one.

use super::parts::{FieldClass, Jurisdiction, MaskAction, Origin};
use super::{Authority, CompiledRole, Need, Permit, Place, Policy};

/// What becomes of one class of fields in one caller's answers, and why.
#[derive(Clone, Copy, Debug)]
pub struct ClassView<'p> {
    /// The class as written.
    pub class: &'p FieldClass,
    /// What masking does; none = this caller sees it.
    pub masked: Option<MaskAction>,
    /// Why.
    pub why: Why<'p>,
}

/// Why a class of fields is seen or masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'p> {
    /// A scope of `visible_to` is held by its own name, and no held role is in `never_to`.
    Held,
    /// The route is public: everything classified is masked.
    Public,
    /// A held role is in `never_to`.
    Never(&'p str),
    /// A scope of `visible_to` is held, by a pattern: that opens routes, not classified fields.
    ByPatternOnly(&'p str),
    /// No scope of `visible_to` is held.
    NotHeld,
}

/// What a route asks of a request that only the whole request can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'p> {
    /// Where its jurisdiction is read, if not in the path.
    pub jurisdiction: Option<&'p Jurisdiction>,
    /// Its condition, as written.
    pub condition: Option<&'p str>,
}

impl Policy {
    /// The roles that a caller holds, inherited ones included.
    fn held<'p>(&'p self, caller: &Authority) -> impl Iterator<Item = &'p CompiledRole> {
        let direct = caller.roles.iter().filter_map(|name| self.role_named(name));
        let mut all: Vec<usize> = direct
            .filter_map(|at| self.roles.get(at))
            .flat_map(|role| role.includes.iter())
            .collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().filter_map(|at| self.roles.get(at))
    }

    /// The held role whose own line keeps the caller out of the module at `place`.
    #[must_use]
    pub fn kept_out_by(&self, caller: &Authority, place: Place) -> Option<(&str, &Origin)> {
        let mut held = self.held(caller);
        held.find(|role| role.role.restricted_modules.iter().any(|id| id.0 == place.module))
            .map(|role| (&*role.role.name, &role.role.origin))
    }

    /// The held role whose own line grants a scope.
    #[must_use]
    pub fn granted_by(&self, caller: &Authority, scope: &str) -> Option<(&str, &Origin)> {
        let mut held = self.held(caller);
        held.find(|role| role.role.scopes.iter().any(|pattern| pattern.covers(scope)))
            .map(|role| (&*role.role.name, &role.role.origin))
    }

    /// The held role that may not be used from where the request comes.
    #[must_use]
    pub fn not_from(&self, caller: &Authority, source: std::net::IpAddr) -> Option<(&str, &Origin)> {
        let direct = caller.roles.iter().filter_map(|name| self.role_named(name));
        direct
            .filter_map(|at| self.roles.get(at))
            .find(|role| {
                role.allow_from
                    .as_ref()
                    .is_some_and(|ranges| !super::within(ranges, source))
            })
            .map(|role| (&*role.role.name, &role.role.origin))
    }

    /// Where the module and the route at a place stand.
    #[must_use]
    pub fn origins(&self, place: Place) -> (Option<&Origin>, Option<&Origin>) {
        let module = self.module(place).map(|module| &module.module);
        let route = module
            .zip(place.route)
            .and_then(|(module, route)| module.routes.get(usize::from(route)));
        (module.map(|module| &module.origin), route.map(|route| &route.origin))
    }

    /// What a route asks of a request besides its path, its caller's rights and its address. None = nothing.
    #[must_use]
    pub fn asks(&self, place: Place) -> Option<Asked<'_>> {
        let module = self.module(place)?;
        let at = usize::from(place.route?);
        let jurisdiction = match &module.route_facts.get(at)?.jurisdiction {
            Some(Need::Elsewhere(
                elsewhere @ (Jurisdiction::Query(_) | Jurisdiction::Header(_) | Jurisdiction::Body(_)),
            )) => Some(elsewhere),
            _ => None,
        };
        let when = module.module.routes.get(at)?.when.as_ref();
        let asked = Asked {
            jurisdiction,
            condition: when.map(|when| when.condition.source()),
        };
        (asked != Asked::default()).then_some(asked)
    }

    fn why<'p>(&'p self, class: usize, caller: &Authority) -> Why<'p> {
        let Some(class) = self.classes.get(class) else {
            return Why::NotHeld;
        };
        let never = |role: &&CompiledRole| {
            self.role_named(&role.role.name)
                .is_some_and(|at| class.never_to.contains(at))
        };
        if let Some(role) = self.held(caller).find(never) {
            return Why::Never(&role.role.name);
        }
        let by_pattern = class.visible_to.iter().find(|&scope| caller.scopes.contains(scope));
        match by_pattern.and_then(|scope| self.scopes.get(scope)) {
            Some(scope) => Why::ByPatternOnly(scope),
            None => Why::NotHeld,
        }
    }
}

impl Permit {
    /// Each class that applies to this answer, with what becomes of it. A caller is absent on a public route.
    pub fn classes<'p>(&'p self, caller: Option<&Authority>) -> Vec<ClassView<'p>> {
        let policy = self.policy();
        let indexes = self
            .compiled()
            .map(|module| module.classes.as_slice())
            .unwrap_or_default();
        indexes
            .iter()
            .filter_map(|&at| {
                let class = &policy.classes.get(usize::from(at))?.class;
                let hidden = self.hides(at);
                let why = match caller {
                    _ if self.route().public => Why::Public,
                    None => Why::Public,
                    Some(_) if !hidden => Why::Held,
                    Some(caller) => policy.why(usize::from(at), caller),
                };
                Some(ClassView {
                    class,
                    masked: hidden.then_some(class.mask),
                    why,
                })
            })
            .collect()
    }
}
