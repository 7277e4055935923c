//! What has no effect in a policy, and so is probably not what its author meant: routes that no request reaches or no
//! caller passes, rights that open nothing, classes that nobody ever sees.
//!
//! A token may hold several roles, but neither `restricted_modules` nor `never_to` of one is undone by another. So what
//! no single role can do, no set of roles can.

use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

use super::condition::Mentioned;
use super::grants::Coverage;
use super::matcher::fold;
use super::parts::{ModuleId, RoleId};
use super::pattern::{PathPattern, Segment};
use super::{CompiledClass, CompiledRole, Place, Policy};

/// Something that has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No request reaches any route of a module: other modules win all their paths.
    DeadModule(ModuleId),
    /// No request reaches a route: another module, or another prefix of its own, wins its path.
    DeadRoute(Place, ModuleId),
    /// Every role that has the route's scope is kept out of the module.
    ClosedRoute(Place),
    /// Nothing asks for anything that a role grants.
    IdleRole(RoleId),
    /// Only modules that the role is kept out of ask for this one of its own scopes.
    IdleGrant(RoleId, usize),
    /// The policy admits none of the addresses from which a role may be used.
    StrandedRole(RoleId),
    /// Every role with a scope that shows a class is one that never sees it.
    NeverSeen(usize),
    /// Every role that could see a class is kept out of all modules in which it is looked for.
    SeenNowhere(usize),
}

/// Where a scope is asked for.
#[derive(Clone, Default)]
struct Asked {
    /// The modules with such a route.
    modules: Vec<usize>,
    /// By a class or by a condition, of which no module decides.
    elsewhere: bool,
}

impl Policy {
    /// Everything that has no effect. A policy without modules denies everything, which is another matter.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.modules.is_empty() {
            return found;
        }
        self.dead_routes(&mut found);
        self.closed_routes(&mut found);
        self.idle_roles(&mut found);
        self.unseen_classes(&mut found);
        found
    }

    fn dead_routes(&self, found: &mut Vec<Finding>) {
        let mut prefixes: HashMap<String, u16, RandomState> = HashMap::default();
        for (at, module) in (0_u16..).zip(&self.modules) {
            for prefix in &module.module.prefixes {
                prefixes.insert(joined(prefix), at);
            }
        }
        for (module, compiled) in (0_u16..).zip(&self.modules) {
            let own = &compiled.module;
            let dead: Vec<Finding> = (0_u16..)
                .zip(&own.routes)
                .filter_map(|(route, rule)| {
                    let taker = taken(&own.prefixes, &rule.pattern, &prefixes)?;
                    let place = Place {
                        module,
                        route: Some(route),
                    };
                    Some(Finding::DeadRoute(place, ModuleId(taker)))
                })
                .collect();
            if !dead.is_empty() && dead.len() == own.routes.len() {
                found.push(Finding::DeadModule(ModuleId(module)));
            } else {
                found.extend(dead);
            }
        }
    }

    fn closed_routes(&self, found: &mut Vec<Finding>) {
        // Nearly all roles are kept out of nothing, or out of little: most routes are settled by the first question.
        let free = |role: &&CompiledRole| role.restricted.is_empty();
        let mut anywhere = super::Bits::new(self.scopes.len());
        self.roles
            .iter()
            .filter(free)
            .for_each(|role| anywhere.union(&role.granted));
        let bound: Vec<&CompiledRole> = self.roles.iter().filter(|role| !free(role)).collect();
        for (module, compiled) in (0_u16..).zip(&self.modules) {
            for (route, facts) in (0_u16..).zip(&compiled.route_facts) {
                let Some(scope) = facts.scope else { continue };
                let passes = |role: &&CompiledRole| {
                    role.granted.contains(scope) && !role.restricted.contains(usize::from(module))
                };
                if !anywhere.contains(scope) && !bound.iter().any(passes) {
                    let route = Some(route);
                    found.push(Finding::ClosedRoute(Place { module, route }));
                }
            }
        }
    }

    fn idle_roles(&self, found: &mut Vec<Finding>) {
        let asked = self.asked();
        let named = self.named_in_conditions();
        let patterns = self
            .roles
            .iter()
            .filter(|role| !role.restricted.is_empty())
            .flat_map(|role| &role.role.scopes);
        let coverage = Coverage::new(patterns, &self.scopes);
        for (id, role) in (0_u16..).map(RoleId).zip(&self.roles) {
            if let (Some(own), Some(all)) = (&role.allow_from, &self.allow_from)
                && !own.iter().any(|a| all.iter().any(|b| a.contains(b) || b.contains(a)))
            {
                found.push(Finding::StrandedRole(id));
            }
            if role.granted.is_empty() {
                if !role.role.scopes.is_empty() && !named.contains(&*role.role.name) {
                    found.push(Finding::IdleRole(id));
                }
                continue;
            }
            for (at, scope) in role.role.scopes.iter().enumerate() {
                let covered = coverage.of(scope);
                let shut = |index: &usize| {
                    asked.get(*index).is_some_and(|asked| {
                        !asked.elsewhere && asked.modules.iter().all(|&module| role.restricted.contains(module))
                    })
                };
                if !covered.is_empty() && covered.iter().all(shut) {
                    found.push(Finding::IdleGrant(id, at));
                }
            }
        }
    }

    /// For each scope, by whom it is asked for.
    fn asked(&self) -> Vec<Asked> {
        let mut asked = vec![Asked::default(); self.scopes.len()];
        for (module, compiled) in self.modules.iter().enumerate() {
            for scope in compiled.route_facts.iter().filter_map(|facts| facts.scope) {
                if let Some(asked) = asked.get_mut(scope)
                    && asked.modules.last() != Some(&module)
                {
                    asked.modules.push(module);
                }
            }
        }
        let classes = self.classes.iter().flat_map(|class| class.visible_to.iter());
        let conditions = self
            .mentions(Mentioned::Scope)
            .filter_map(|name| self.scopes.binary_search_by(|scope| (**scope).cmp(name)).ok());
        for index in classes.chain(conditions) {
            if let Some(asked) = asked.get_mut(index) {
                asked.elsewhere = true;
            }
        }
        asked
    }

    fn named_in_conditions(&self) -> HashSet<&str> {
        self.mentions(Mentioned::Role).collect()
    }

    fn mentions(&self, of: Mentioned) -> impl Iterator<Item = &str> {
        self.modules
            .iter()
            .flat_map(|module| &module.module.routes)
            .filter_map(|route| route.when.as_ref())
            .flat_map(|when| when.condition.mentions())
            .filter(move |mention| mention.of == of)
            .map(|mention| &*mention.name)
    }

    fn unseen_classes(&self, found: &mut Vec<Finding>) {
        for (at, class) in self.classes.iter().enumerate() {
            let scopes: Vec<usize> = class.visible_to.iter().collect();
            let shows = |role: &&CompiledRole| scopes.iter().any(|&scope| role.named.contains(scope));
            // Without `visible_to` a class is meant to be seen by nobody.
            let mut seers = self.roles.iter().filter(shows).peekable();
            if seers.peek().is_none() {
                continue;
            }
            let seers: Vec<&CompiledRole> = seers
                .filter(|role| class.never_to.common(&role.includes) == 0)
                .collect();
            if seers.is_empty() {
                found.push(Finding::NeverSeen(at));
            } else if !seers.iter().any(|role| self.enters_some(role, class)) {
                found.push(Finding::SeenNowhere(at));
            }
        }
    }

    /// Whether a role may enter some module in which a class is looked for.
    fn enters_some(&self, role: &CompiledRole, class: &CompiledClass) -> bool {
        match &class.class.modules {
            Some(list) => list.iter().any(|id| !role.restricted.contains(usize::from(id.0))),
            None => (0..self.modules.len()).any(|module| !role.restricted.contains(module)),
        }
    }
}

/// The literal segments that a pattern starts with, folded as the matcher folds them: a path that differs from a prefix
/// only in case is refused, so that it reaches no route either.
fn literals(pattern: &PathPattern) -> impl Iterator<Item = String> {
    pattern.segments().iter().map_while(|segment| match segment {
        Segment::Literal(text) => Some(fold(text)),
        Segment::Parameter(_) => None,
    })
}

fn joined(prefix: &PathPattern) -> String {
    literals(prefix).fold(String::new(), |text, segment| text + "/" + &segment)
}

/// The module whose more specific prefix wins every request for a route; none if under some prefix of its own module no
/// other prefix does.
fn taken(own: &[PathPattern], route: &PathPattern, prefixes: &HashMap<String, u16, RandomState>) -> Option<u16> {
    let mut taker = None;
    for prefix in own {
        let mut path = joined(prefix);
        let mut deepest = None;
        for segment in literals(route) {
            path.push('/');
            path.push_str(&segment);
            deepest = prefixes.get(&path).copied().or(deepest);
        }
        taker = Some(deepest?);
    }
    taker
}
