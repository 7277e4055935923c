//! Warnings about what has no effect, each at its place. Asked of a policy that has no problems: after one, half of them
//! would only repeat it.

use http::{HeaderMap, Method};
use std::net::IpAddr;

use super::class_keys::CLASS;
use super::concurrency::{CONCURRENCY, VERSION};
use super::dry_runs::{BALANCES, DRY_RUN};
use super::fields::{Fields, Text};
use super::policy_keys::{MODULE, POLICY, ROLE_KEYS, ROUTE};
use super::problem::{Problems, quote};
use super::yaml::{Key, Node};
use crate::call::{Call, Path, Query};
use crate::policy::parts::{ModuleId, RoleId};
use crate::policy::{Finding, Place, Policy, VersionFault, route};

/// Whether some route takes a `GET` of a path.
fn gets(policy: &Policy, path: &str) -> bool {
    let Ok(path) = Path::parse(path) else { return false };
    let call = Call {
        method: Method::GET,
        path,
        query: Query::default(),
        host: Box::default(),
        headers: HeaderMap::new(),
        source: IpAddr::from([0, 0, 0, 0]),
        certificate: None,
    };
    route(policy, &call).is_ok_and(|(place, candidates)| {
        let module = policy.modules().nth(usize::from(place.module));
        module.is_some_and(|(module, _)| {
            let mut routes = candidates.iter().filter_map(|&at| module.routes.get(usize::from(at)));
            routes.any(|route| route.methods.contains(&Method::GET))
        })
    })
}

/// The author's files once more, to find places in.
struct Source<'a> {
    roles: &'a [(Key, Node)],
    modules: &'a [(Key, Node)],
    classes: &'a [(Key, Node)],
}

/// Notes everything in `policy` that has no effect; `root` is what it was made of.
pub(super) fn warn(policy: &Policy, root: &Node, problems: &mut Problems) {
    let fields = Fields::new(root, root.at, &POLICY);
    let source = Source {
        roles: fields.named("roles"),
        modules: fields.named("modules"),
        classes: fields.named("fields"),
    };
    source.balances(policy, problems);
    source.versions(policy, problems);
    for finding in policy.findings() {
        // Every index is one of a policy that was made of this source.
        let _ = source.say(&finding, problems);
    }
}

impl<'a> Source<'a> {
    fn say(&self, finding: &Finding, problems: &mut Problems) -> Option<()> {
        match *finding {
            Finding::DeadModule(id) => {
                let key = self.module(id)?;
                problems
                    .warn(key.at, format!("no request reaches module {}", quote(&key.text)))
                    .hint("more specific prefixes win the paths of all its routes");
            }
            Finding::DeadRoute(place, taker) => self.dead_route(place, taker, problems)?,
            Finding::ClosedRoute(place) => self.closed_route(place, problems)?,
            Finding::IdleRole(id) => {
                let (key, own) = self.role(id)?;
                let at = own.key("scopes").unwrap_or(key.at);
                problems
                    .warn(at, format!("nothing asks for what role {} grants", quote(&key.text)))
                    .hint("no route, class or condition of this policy names a scope of it");
            }
            Finding::IdleGrant(id, number) => {
                let (key, own) = self.role(id)?;
                let texts = own.texts("scopes");
                let scope: &Text<'_> = texts.get(number)?;
                problems
                    .warn(
                        scope.at,
                        format!("role {} can never use {}", quote(&key.text), scope.quoted()),
                    )
                    .hint("only routes of modules that the role is kept out of ask for it");
            }
            Finding::StrandedRole(id) => {
                let (key, own) = self.role(id)?;
                problems
                    .warn(
                        own.key("allow_from")?,
                        format!("role {} can be used from nowhere", quote(&key.text)),
                    )
                    .hint("the policy's own `allow_from` admits none of these addresses");
            }
            Finding::NeverSeen(at) => {
                let (key, own) = self.class(at)?;
                problems
                    .warn(
                        own.key("never_to")?,
                        format!("nobody ever sees class {}", quote(&key.text)),
                    )
                    .hint("every role with a scope of its `visible_to` is in its `never_to`");
            }
            Finding::SeenNowhere(at) => {
                let (key, own) = self.class(at)?;
                problems
                    .warn(
                        own.key("visible_to")?,
                        format!("nobody ever sees class {}", quote(&key.text)),
                    )
                    .hint("every role that may see it is kept out of the modules where it is looked for");
            }
        }
        Some(())
    }

    /// A path of balances that no route takes is a reference to nothing: no dry run would ever be answered.
    fn balances(&self, policy: &Policy, problems: &mut Problems) {
        for (number, (module, _)) in policy.modules().enumerate() {
            for (at, route) in module.routes.iter().enumerate() {
                let balances = route.dry_run.as_ref().and_then(|rules| rules.balances.as_ref());
                let narrow = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
                let place = Place {
                    module: narrow(number),
                    route: Some(narrow(at)),
                };
                if let Some(balances) = balances
                    && !gets(policy, &balances.get)
                    && let Some(own) = self.route(place)
                    && let Some(text) = own
                        .section("dry_run", &DRY_RUN)
                        .and_then(|own| own.section("balances", &BALANCES))
                        .and_then(|own| own.text("get"))
                {
                    problems
                        .error(text.at, format!("no route takes `GET` of {}", text.quoted()))
                        .hint("balances are read as the caller would read them");
                }
            }
        }
    }

    /// A version that nobody could read, or that not everybody may know.
    fn versions(&self, policy: &Policy, problems: &mut Problems) {
        for (place, fault) in policy.version_faults() {
            let own = self
                .route(place)
                .and_then(|own| own.section("concurrency", &CONCURRENCY));
            let Some(own) = own.and_then(|own| own.section("version", &VERSION)) else {
                continue;
            };
            let get = own.text("get");
            let from = own.text("pointer").or_else(|| own.text("header"));
            match fault {
                VersionFault::NotRead => {
                    let what = get.map_or("the route's own path".to_owned(), |text| text.quoted());
                    problems
                        .warn(
                            get.map_or(own.at, |text| text.at),
                            format!("no route takes `GET` of {what}"),
                        )
                        .hint("Tollgate reads the version there, and clients learn it from refusals only");
                }
                VersionFault::Elsewhere => problems
                    .error(
                        get.map_or(own.at, |text| text.at),
                        "the path is one of another backend's",
                    )
                    .hint("the version of a resource is read at the backend that writes it"),
                VersionFault::Classified => {
                    let what = from.map_or_else(String::new, |text| text.quoted());
                    problems
                        .error(
                            from.map_or(own.at, |text| text.at),
                            format!("the version at {what} is hidden from some callers"),
                        )
                        .hint("a version is told to everybody who may read the resource; name one that hides nothing");
                }
                VersionFault::Another => problems
                    .error(own.at, "another route takes another version of the same resource")
                    .hint("a client could not tell which of them it has"),
            }
        }
    }

    fn dead_route(&self, place: Place, taker: ModuleId, problems: &mut Problems) -> Option<()> {
        let own = self.route(place)?;
        let at = own.text("path").map_or(own.at, |text| text.at);
        let noted = problems.warn(at, "no request reaches this route");
        if taker.0 == place.module {
            noted.hint("a more specific prefix of its own module wins its path");
        } else {
            let taker = self.module(taker)?;
            noted.hint(format!(
                "a more specific prefix of module {} wins its path",
                quote(&taker.text)
            ));
        }
        Some(())
    }

    fn closed_route(&self, place: Place, problems: &mut Problems) -> Option<()> {
        let own = self.route(place)?;
        let scope = own.text("scope")?;
        let module = self.module(ModuleId(place.module))?;
        problems.warn(scope.at, "nobody can use this route").hint(format!(
            "every role that grants {} is kept out of module {}",
            scope.quoted(),
            quote(&module.text)
        ));
        Some(())
    }

    fn module(&self, id: ModuleId) -> Option<&'a Key> {
        self.modules.get(usize::from(id.0)).map(|(key, _)| key)
    }

    fn role(&self, id: RoleId) -> Option<(&'a Key, Fields<'a>)> {
        let (key, node) = self.roles.get(usize::from(id.0))?;
        Some((key, Fields::new(node, key.at, &ROLE_KEYS)))
    }

    fn class(&self, at: usize) -> Option<(&'a Key, Fields<'a>)> {
        let (key, node) = self.classes.get(at)?;
        Some((key, Fields::new(node, key.at, &CLASS)))
    }

    fn route(&self, place: Place) -> Option<Fields<'a>> {
        let (key, node) = self.modules.get(usize::from(place.module))?;
        let routes = Fields::new(node, key.at, &MODULE).list("routes");
        let node = routes.get(usize::from(place.route?))?;
        Some(Fields::new(node, node.at, &ROUTE))
    }
}
