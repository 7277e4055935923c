//! From a policy's parts to its tables.

use http::Method;
use std::collections::HashMap;
use std::sync::Arc;

use super::bits::Bits;
use super::condition::{Condition, Mentioned};
use super::cors::Cors;
use super::grants::Coverage;
use super::matcher::Matcher;
use super::parts::{FieldClass, FieldKeyRef, Jurisdiction, MaskAction, Mode, Module, Parts, Role, Route};
use super::{CompiledClass, CompiledModule, CompiledRole, Need, Policy, RouteFacts};
use crate::identity::Revocations;
use crate::masking::{Action, ClassId, FieldRule, SelectorFault, Selectors, fold};

/// What the JSON value of a redacted field becomes.
const REDACTED: &str = "[REDACTED]";

/// What masking does, compiled.
fn action(class: &FieldClass) -> Action {
    match (class.mask, &class.key) {
        (MaskAction::Remove, _) | (MaskAction::Hash | MaskAction::Encrypt, None) => Action::Remove,
        (MaskAction::Null, _) => Action::Null,
        (MaskAction::Redact, _) => {
            let text = class.redact_as.as_deref().unwrap_or(REDACTED);
            Action::Redact(serde_json::Value::from(text).to_string().into())
        }
        (MaskAction::Hash, Some(FieldKeyRef(key))) => Action::Hash(Arc::clone(key)),
        (MaskAction::Encrypt, Some(FieldKeyRef(key))) => Action::Encrypt(Arc::clone(key)),
    }
}

/// Why parts do not make a policy. The reader of files has checked names and ties already; what is left is what only
/// the tables show.
#[derive(Debug, thiserror::Error)]
pub enum CompileFault {
    /// A field class has a selector that cannot be read.
    #[error("class `{class}`: {fault}")]
    Selector {
        /// The class.
        class: Arc<str>,
        /// What is wrong.
        fault: SelectorFault,
    },
    /// Two modules have one prefix, or two routes one path and method.
    #[error("`{0}` and `{1}` tie")]
    Tie(String, String),
    /// A route's jurisdiction names a path parameter that it has not.
    #[error("route `{route}` has no path parameter `{parameter}`")]
    NoParameter {
        /// The route.
        route: String,
        /// The parameter.
        parameter: String,
    },
    /// A role inherits from itself.
    #[error("role `{0}` inherits from itself")]
    Cycle(Arc<str>),
    /// More entries than an index can name.
    #[error("the policy has more than {max} {0}", max = u16::MAX)]
    TooMany(&'static str),
}

impl Policy {
    /// Makes the tables.
    ///
    /// # Errors
    /// The first thing that makes the parts no policy.
    pub fn compile(parts: Parts) -> Result<Self, CompileFault> {
        for (count, what) in [
            (parts.roles.len(), "roles"),
            (parts.modules.len(), "modules"),
            (parts.classes.len(), "field classes"),
        ] {
            index(count, what)?;
        }
        let scopes = needed_scopes(&parts);
        let scope_index: HashMap<Arc<str>, usize> = scopes
            .iter()
            .enumerate()
            .map(|(at, scope)| (Arc::clone(scope), at))
            .collect();
        let roles = compile_roles(&parts, &scopes)?;
        let role_index = roles
            .iter()
            .enumerate()
            .map(|(at, role)| (Arc::clone(&role.role.name), at))
            .collect();
        let exclusive = parts
            .exclusive_roles
            .iter()
            .map(|set| collect(roles.len(), set.iter().map(|role| usize::from(role.0))))
            .collect();
        let classes: Vec<CompiledClass> = parts
            .classes
            .iter()
            .map(|class| CompiledClass {
                class: class.clone(),
                visible_to: collect(
                    scopes.len(),
                    class
                        .visible_to
                        .iter()
                        .filter_map(|scope| scope_index.get(scope).copied()),
                ),
                never_to: collect(roles.len(), class.never_to.iter().map(|role| usize::from(role.0))),
                action: action(class),
            })
            .collect();
        let mut selectors = HashMap::new();
        let mut prefixes = Matcher::default();
        let mut modules = Vec::with_capacity(parts.modules.len());
        for module in parts.modules {
            let at = index(modules.len(), "modules")?;
            for prefix in &module.prefixes {
                if prefixes.entry(prefix, || at).copied() != Some(at) {
                    return Err(CompileFault::Tie(prefix.to_string(), module.name.to_string()));
                }
            }
            modules.push(compile_module(module, at, &classes, &mut selectors, &scope_index)?);
        }
        let closed = classes.iter().map(|class| Some(class.action.clone())).collect();
        let versions = Self::versions_at(&modules);
        Ok(Self {
            version: parts.version,
            roles,
            role_index,
            exclusive,
            scopes,
            prefixes,
            modules,
            classes,
            closed,
            forward_as: parts.forward_as,
            allow_from: parts.allow_from,
            cors: parts.cors.map(Cors::new),
            versions,
            revoked: Revocations::new(parts.revoked),
        })
    }
}

fn index(at: usize, what: &'static str) -> Result<u16, CompileFault> {
    u16::try_from(at).map_err(|_| CompileFault::TooMany(what))
}

fn collect(size: usize, indexes: impl Iterator<Item = usize>) -> Bits {
    let mut bits = Bits::new(size);
    indexes.for_each(|index| bits.insert(index));
    bits
}

/// The concrete scopes that something asks for.
fn needed_scopes(parts: &Parts) -> Vec<Arc<str>> {
    let routes = parts
        .modules
        .iter()
        .flat_map(|module| &module.routes)
        .filter_map(|route| route.scope.clone());
    let classes = parts.classes.iter().flat_map(|class| class.visible_to.iter().cloned());
    let conditions = parts
        .modules
        .iter()
        .flat_map(|module| &module.routes)
        .flat_map(|route| {
            let rows = route.rows.as_ref().map(|rows| &rows.condition);
            route.when.as_ref().map(|when| &when.condition).into_iter().chain(rows)
        })
        .flat_map(Condition::mentions)
        .filter(|mention| mention.of == Mentioned::Scope)
        .map(|mention| (&*mention.name).into());
    let mut scopes: Vec<Arc<str>> = routes.chain(classes).chain(conditions).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

fn compile_roles(parts: &Parts, scopes: &[Arc<str>]) -> Result<Vec<CompiledRole>, CompileFault> {
    let coverage = Coverage::new(parts.roles.iter().flat_map(|role| &role.scopes), scopes);
    let own: Vec<CompiledRole> = parts
        .roles
        .iter()
        .map(|role| own_role(parts, role, &coverage, scopes.len()))
        .collect();
    let mut roles = Vec::with_capacity(own.len());
    for (at, role) in parts.roles.iter().enumerate() {
        let includes = closure(&parts.roles, at)?;
        let (mut restricted, mut granted, mut named) = (
            Bits::new(parts.modules.len()),
            Bits::new(scopes.len()),
            Bits::new(scopes.len()),
        );
        for held in includes.iter().filter_map(|index| own.get(index)) {
            restricted.union(&held.restricted);
            granted.union(&held.granted);
            named.union(&held.named);
        }
        let allow_from = role.allow_from.as_ref().map(|ranges| ranges.clone().into());
        roles.push(CompiledRole {
            role: role.clone(),
            includes,
            restricted,
            granted,
            named,
            allow_from,
        });
    }
    Ok(roles)
}

/// What a role says for itself, before inheritance.
fn own_role(parts: &Parts, role: &Role, coverage: &Coverage<'_>, scopes: usize) -> CompiledRole {
    let by_name = role.scopes.iter().filter(|pattern| !pattern.is_wildcard());
    let covered = |pattern| coverage.of(pattern).iter().copied();
    CompiledRole {
        role: role.clone(),
        includes: Bits::new(0),
        restricted: collect(
            parts.modules.len(),
            role.restricted_modules.iter().map(|module| usize::from(module.0)),
        ),
        granted: collect(scopes, role.scopes.iter().flat_map(covered)),
        named: collect(scopes, by_name.flat_map(covered)),
        allow_from: None,
    }
}

/// A role and everything that it inherits; each role is visited once.
fn closure(roles: &[Role], start: usize) -> Result<Bits, CompileFault> {
    let mut includes = Bits::new(roles.len());
    let mut waiting = vec![start];
    let mut first = true;
    while let Some(at) = waiting.pop() {
        if at == start && !first {
            return Err(CompileFault::Cycle(
                roles.get(start).map(|role| Arc::clone(&role.name)).unwrap_or_default(),
            ));
        }
        first = false;
        if includes.contains(at) {
            continue;
        }
        includes.insert(at);
        waiting.extend(
            roles
                .get(at)
                .into_iter()
                .flat_map(|role| &role.inherits)
                .map(|role| usize::from(role.0)),
        );
    }
    Ok(includes)
}

fn compile_module(
    module: Module,
    at: u16,
    classes: &[CompiledClass],
    known: &mut HashMap<Vec<u16>, Arc<Selectors>>,
    scope_index: &HashMap<Arc<str>, usize>,
) -> Result<CompiledModule, CompileFault> {
    let mut routes = Matcher::default();
    let mut leaves: Vec<Vec<u16>> = Vec::new();
    let mut route_facts = Vec::with_capacity(module.routes.len());
    for (number, route) in module.routes.iter().enumerate() {
        let number = index(number, "routes in one module")?;
        let next = index(leaves.len(), "routes in one module")?;
        let leaf = routes.entry(&route.pattern, || next).copied().unwrap_or(next);
        if leaf == next {
            leaves.push(Vec::new());
        }
        if let Some(same) = leaves.get_mut(usize::from(leaf)) {
            let tie = same
                .iter()
                .filter_map(|&other| module.routes.get(usize::from(other)))
                .find(|other| overlap(&other.methods, &route.methods));
            if let Some(other) = tie {
                return Err(CompileFault::Tie(other.pattern.to_string(), route.pattern.to_string()));
            }
            same.push(number);
        }
        let jurisdiction = match route.jurisdiction.as_ref().or(module.jurisdiction.as_ref()) {
            None => None,
            Some(Jurisdiction::Path(name)) => {
                let missing = || CompileFault::NoParameter {
                    route: route.pattern.to_string(),
                    parameter: name.clone(),
                };
                Some(Need::Segment(route.pattern.parameter(name).ok_or_else(missing)?))
            }
            Some(other) => Some(Need::Elsewhere(other.clone())),
        };
        let prefix = module.prefixes.first().map(ToString::to_string).unwrap_or_default();
        let label = format!(
            "{}{}",
            prefix.trim_end_matches('/'),
            if route.pattern.segments().is_empty() {
                String::new()
            } else {
                route.pattern.to_string()
            }
        );
        let label = if label.is_empty() { "/".into() } else { label.into() };
        let scope = route.scope.as_ref().and_then(|scope| scope_index.get(scope).copied());
        route_facts.push(RouteFacts {
            scope,
            jurisdiction,
            shadow: route.mode.unwrap_or(module.mode) == Mode::Shadow,
            version: None,
            label,
        });
    }
    give_versions(&module.routes, &leaves, &mut route_facts);
    let (selectors, own_classes, headers) = compile_classes(at, classes, known)?;
    Ok(CompiledModule {
        module,
        routes,
        leaves,
        route_facts,
        selectors,
        classes: own_classes,
        headers,
    })
}

/// Whoever gets what a write at the same path changes is given its version.
fn give_versions(routes: &[Route], leaves: &[Vec<u16>], facts: &mut [RouteFacts]) {
    let version = |route: &Route| {
        let rule = route.concurrency.as_ref()?.version.as_ref()?;
        rule.get.is_none().then(|| rule.from.clone())
    };
    let route = |at: &u16| routes.get(usize::from(*at));
    for leaf in leaves {
        let Some(from) = leaf.iter().filter_map(route).find_map(version) else {
            continue;
        };
        for at in leaf.iter().filter(|at| route(at).is_some_and(takes_get)) {
            if let Some(facts) = facts.get_mut(usize::from(*at)) {
                facts.version = Some(from.clone());
            }
        }
    }
}

/// Whether a route takes a `GET`.
pub(super) fn takes_get(route: &Route) -> bool {
    route.methods.contains(&Method::GET)
}

/// Whether a request could be taken by either: `HEAD` comes with `GET`.
fn overlap(a: &[Method], b: &[Method]) -> bool {
    let takes = |methods: &[Method], method: &Method| {
        methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
    };
    a.iter().any(|method| takes(b, method)) || b.iter().any(|method| takes(a, method))
}

type ModuleClasses = (Arc<Selectors>, Vec<u16>, Vec<(String, u16)>);

/// One automaton for all the classes that apply in a module. Modules with the same classes share it: it is `known`.
fn compile_classes(
    module: u16,
    classes: &[CompiledClass],
    known: &mut HashMap<Vec<u16>, Arc<Selectors>>,
) -> Result<ModuleClasses, CompileFault> {
    let mut own = Vec::new();
    let mut headers = Vec::new();
    for (at, CompiledClass { class, .. }) in classes.iter().enumerate() {
        if class
            .modules
            .as_ref()
            .is_some_and(|list| !list.iter().any(|id| id.0 == module))
        {
            continue;
        }
        let at = index(at, "field classes")?;
        own.push(at);
        headers.extend(class.headers.iter().map(|name| (fold(name), at)));
    }
    if let Some(selectors) = known.get(&own) {
        return Ok((Arc::clone(selectors), own, headers));
    }
    let selectors = Arc::new(compile_selectors(&own, classes)?);
    known.insert(own.clone(), Arc::clone(&selectors));
    Ok((selectors, own, headers))
}

fn compile_selectors(own: &[u16], classes: &[CompiledClass]) -> Result<Selectors, CompileFault> {
    let class = |at: u16| classes.get(usize::from(at)).map(|class| &class.class);
    let rules: Vec<FieldRule> = own
        .iter()
        .filter_map(|&at| {
            let class = class(at)?;
            Some(FieldRule {
                class: ClassId(at),
                names: class.names.clone(),
                columns: class.columns.clone(),
                exact: class.exact,
                paths: class.paths.clone(),
            })
        })
        .collect();
    Selectors::compile(&rules).map_err(|fault| CompileFault::Selector {
        class: own
            .get(fault.rule())
            .and_then(|&at| class(at))
            .map(|class| Arc::clone(&class.name))
            .unwrap_or_default(),
        fault,
    })
}
