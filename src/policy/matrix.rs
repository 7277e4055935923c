//! Who may do what: every role, alone, against every route and every class of fields.
//!
//! Answered from the tables that decide, with what a role inherits. Where a request comes from, which jurisdictions its
//! caller has and what its token narrows are not looked at: the marks say which routes ask for more.

use http::Method;
use std::sync::Arc;

use super::parts::{Jurisdiction, MaskAction, Module, Route};
use super::{CompiledModule, CompiledRole, Policy};

/// The whole table.
#[derive(Debug)]
pub struct Matrix {
    /// The columns.
    pub roles: Vec<RoleColumn>,
    /// The rows, by module, in the policy's order.
    pub modules: Vec<ModuleRows>,
}

/// A role.
#[derive(Debug)]
pub struct RoleColumn {
    /// Its name.
    pub name: Arc<str>,
    /// It counts only from named addresses.
    pub addressed: bool,
    /// It brings roles together that exclude each other: its tokens are refused.
    pub conflicting: bool,
}

/// A module's routes, and the classes of fields that apply in it.
#[derive(Debug)]
pub struct ModuleRows {
    /// Its name.
    pub name: Arc<str>,
    /// Its prefixes.
    pub prefixes: Vec<String>,
    /// How its answers are read, in words, as far as it says so.
    pub answers: Vec<String>,
    /// Its routes.
    pub routes: Vec<RouteRow>,
    /// The classes.
    pub classes: Vec<ClassRow>,
}

/// A route.
#[derive(Debug)]
pub struct RouteRow {
    /// The module's first prefix and the route's path.
    pub path: Arc<str>,
    /// Its methods.
    pub methods: Vec<Method>,
    /// The scope that it asks for; none if it is public.
    pub scope: Option<Arc<str>>,
    /// Where the jurisdiction is read, if it asks for one.
    pub jurisdiction: Option<String>,
    /// Other conditions, as written.
    pub conditions: Vec<String>,
    /// A write needs an idempotency key.
    pub key_required: bool,
    /// A write needs an `If-Match`.
    pub if_match: bool,
    /// The file of the schema that a write's body must meet.
    pub schema: Option<Arc<str>>,
    /// Its rules are on trial: who may not ask is recorded, and let through.
    pub shadow: bool,
    /// By role.
    pub cells: Vec<Access>,
}

/// A class of fields in one module.
#[derive(Debug)]
pub struct ClassRow {
    /// Its name.
    pub name: Arc<str>,
    /// What masking does to it.
    pub mask: MaskAction,
    /// By role.
    pub cells: Vec<Sight>,
}

/// What a role may do on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody may, without a token.
    Public,
    /// It may.
    Allowed,
    /// It has not the scope.
    NoScope,
    /// It is kept out of the module, whatever scopes it or another role has.
    Restricted,
}

/// What a role sees of a class of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// No route of the module is open to it.
    Closed,
    /// It sees the fields.
    Visible,
    /// They are masked, for want of a scope.
    Masked,
    /// They are masked whatever other scopes it has: it is in `never_to`.
    Never,
}

impl Access {
    /// Whether the role may ask.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Public | Self::Allowed)
    }

    /// For programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Allowed => "allowed",
            Self::NoScope => "no_scope",
            Self::Restricted => "restricted_module",
        }
    }
}

impl Sight {
    /// For programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Visible => "visible",
            Self::Masked => "masked",
            Self::Never => "never",
        }
    }
}

impl Policy {
    /// The table.
    #[must_use]
    pub fn matrix(&self) -> Matrix {
        let roles = self
            .roles
            .iter()
            .map(|role| RoleColumn {
                name: Arc::clone(&role.role.name),
                addressed: role.allow_from.is_some(),
                conflicting: self.exclusive.iter().any(|set| set.common(&role.includes) > 1),
            })
            .collect();
        let modules = self
            .modules
            .iter()
            .enumerate()
            .map(|(at, module)| self.module_rows(at, module))
            .collect();
        Matrix { roles, modules }
    }

    fn module_rows(&self, at: usize, module: &CompiledModule) -> ModuleRows {
        let routes: Vec<RouteRow> = module
            .module
            .routes
            .iter()
            .zip(&module.route_facts)
            .map(|(route, facts)| RouteRow {
                path: Arc::clone(&facts.label),
                methods: route.methods.clone(),
                scope: route.scope.clone(),
                jurisdiction: jurisdiction(&module.module, route).map(source_of),
                conditions: conditions(route),
                shadow: facts.shadow,
                key_required: route.idempotency.as_ref().is_some_and(|rules| rules.required),
                if_match: route.concurrency.is_some(),
                schema: route.dry_run.as_ref().map(|rules| Arc::clone(&rules.schema_file)),
                cells: self
                    .roles
                    .iter()
                    .map(|role| access(role, at, route.public, facts.scope))
                    .collect(),
            })
            .collect();
        let classes = module.classes.iter().filter_map(|&class| {
            let class = self.classes.get(usize::from(class))?;
            let cells = self.roles.iter().enumerate().map(|(column, role)| {
                let opens = |access: Access| routes.iter().any(|row| row.cells.get(column) == Some(&access));
                if opens(Access::Allowed) {
                    sight(role, class)
                } else if opens(Access::Public) {
                    // On a public route everything classified is masked.
                    Sight::Masked
                } else {
                    Sight::Closed
                }
            });
            Some(ClassRow {
                name: Arc::clone(&class.class.name),
                mask: class.class.mask,
                cells: cells.collect(),
            })
        });
        let classes = classes.collect();
        ModuleRows {
            name: Arc::clone(&module.module.name),
            prefixes: module.module.prefixes.iter().map(ToString::to_string).collect(),
            answers: module.module.answers(),
            routes,
            classes,
        }
    }
}

/// What a role, alone, may do on a route. A decision asks for the scope first; the restriction is what holds longer.
pub(super) fn access(role: &CompiledRole, module: usize, public: bool, scope: Option<usize>) -> Access {
    if public {
        Access::Public
    } else if role.restricted.contains(module) {
        Access::Restricted
    } else if scope.is_some_and(|scope| role.granted.contains(scope)) {
        Access::Allowed
    } else {
        Access::NoScope
    }
}

/// What a role, alone, sees of a class where it may ask.
pub(super) fn sight(role: &CompiledRole, class: &super::CompiledClass) -> Sight {
    if class.never_to.common(&role.includes) > 0 {
        Sight::Never
    } else if class.visible_to.common(&role.named) > 0 {
        Sight::Visible
    } else {
        Sight::Masked
    }
}

/// Where a route's jurisdiction is read; a public route asks nobody for one.
pub(super) fn jurisdiction<'r>(module: &'r Module, route: &'r Route) -> Option<&'r Jurisdiction> {
    let asked = route.jurisdiction.as_ref().or(module.jurisdiction.as_ref());
    asked.filter(|_| !route.public)
}

/// As an author writes it.
pub(super) fn source_of(jurisdiction: &Jurisdiction) -> String {
    match jurisdiction {
        Jurisdiction::Path(name) => format!("path:{name}"),
        Jurisdiction::Query(name) => format!("query:{name}"),
        Jurisdiction::Header(name) => format!("header:{name}"),
        Jurisdiction::Body(pointer) => format!("body:{pointer}"),
        Jurisdiction::Fixed(list) => format!("fixed: {}", list.join(", ")),
    }
}

/// What a route asks besides scope, module and jurisdiction, as its author wrote it; [`compare`](super::compare) takes
/// any change of it for a wider policy.
pub(super) fn conditions(route: &Route) -> Vec<String> {
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let when = route.when.iter().map(|when| one_line(when.condition.source()));
    let rows = route.rows.iter().map(|rule| {
        let condition = one_line(rule.condition.source());
        format!("rows of `{}`: {condition}", rule.at)
    });
    when.chain(rows).collect()
}
