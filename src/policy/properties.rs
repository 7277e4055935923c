//! What holds for every policy: another deny never allows more, and never shows more.

use http::Method;
use proptest::prelude::*;
use std::sync::Arc;

use super::condition::{Condition, Names};
use super::parts::{FieldClass, Jurisdiction, ModuleId, Origin, Parts, RoleId, Route, When};
use super::tests::{call, caller, decide, module, one_route, role};
use super::{Authority, Permit, Policy};

const ROLES: usize = 4;
const MODULES: usize = 3;
const SCOPES: [&str; 6] = ["a:read", "a:write", "b:read", "*:read", "a:*", "pii:read"];
const PLAIN: [&str; 4] = ["a:read", "a:write", "b:read", "pii:read"];
const PATHS: [&str; 6] = ["/m0", "/m0/x", "/m0/y/z", "/m1/x", "/m2/County_A", "/m2"];

/// A policy drawn from bits: role grants, restrictions, classes.
#[derive(Clone, Debug)]
struct Draw {
    grants: [u8; ROLES],
    restricted: [u8; ROLES],
    inherits: [bool; ROLES],
    scopes: [usize; 6],
    visible: [u8; 2],
    never: [u8; 2],
}

prop_compose! {
    fn draw()(
        grants in any::<[u8; ROLES]>(), restricted in any::<[u8; ROLES]>(), inherits in any::<[bool; ROLES]>(),
        scopes in prop::array::uniform6(0..PLAIN.len()), visible in any::<[u8; 2]>(), never in any::<[u8; 2]>(),
    ) -> Draw {
        // Restrictions are rarer than grants, else little is ever allowed.
        let restricted = restricted.map(|bits| bits & bits >> 3);
        Draw { grants, restricted, inherits, scopes, visible, never: never.map(|bits| bits & bits >> 4) }
    }
}

fn bits<T>(bits: u8, list: &[T]) -> impl Iterator<Item = &T> {
    list.iter()
        .enumerate()
        .filter(move |(at, _)| bits >> at & 1 == 1)
        .map(|(_, item)| item)
}

fn parts(draw: &Draw) -> Parts {
    let roles = (0..ROLES).map(|at| {
        let scopes: Vec<&str> = bits(draw.grants[at], &SCOPES).copied().collect();
        let restricted: Vec<u16> = bits(draw.restricted[at], &[0, 1, 2]).copied().collect();
        let inherits = if at > 0 && draw.inherits[at] {
            vec![RoleId(u16::try_from(at - 1).unwrap())]
        } else {
            vec![]
        };
        role(&format!("r{at}"), &scopes, &inherits, &restricted)
    });
    let route = |path, at: usize| one_route(path, &[Method::GET, Method::POST], PLAIN[draw.scopes[at]]);
    let modules = vec![
        module(
            "m0",
            "/m0",
            None,
            vec![route("/", 0), route("/x", 1), route("/{id}/z", 2)],
        ),
        module("m1", "/m1", None, vec![route("/", 3)]),
        module(
            "m2",
            "/m2",
            Some(Jurisdiction::Fixed(vec!["County_A".into()])),
            vec![
                route("/", 4),
                Route {
                    jurisdiction: Some(Jurisdiction::Path("county".into())),
                    ..route("/{county}", 5)
                },
            ],
        ),
    ];
    let classes = (0..2).map(|at| FieldClass {
        name: format!("c{at}").into(),
        names: vec![format!("f{at}")],
        visible_to: bits(draw.visible[at], &PLAIN).map(|scope| Arc::from(*scope)).collect(),
        never_to: bits(draw.never[at], &[0, 1, 2, 3]).map(|&at| RoleId(at)).collect(),
        ..FieldClass::default()
    });
    Parts {
        version: "test".into(),
        roles: roles.collect(),
        modules,
        classes: classes.collect(),
        ..Parts::default()
    }
}

/// One deny more.
#[derive(Clone, Debug)]
enum Deny {
    Restrict { role: usize, module: u16 },
    Never { class: usize, role: u16 },
    Exclude { one: u16, other: u16 },
    Source,
    RoleSource { role: usize },
    Condition { module: usize, route: usize },
    Home { module: usize, route: usize },
    Unseen { class: usize },
}

fn deny() -> impl Strategy<Value = Deny> {
    let role = 0..ROLES;
    let id = 0..u16::try_from(ROLES).unwrap();
    prop_oneof![
        (role.clone(), 0..3_u16).prop_map(|(role, module)| Deny::Restrict { role, module }),
        (0..2_usize, id.clone()).prop_map(|(class, role)| Deny::Never { class, role }),
        (id.clone(), id).prop_map(|(one, other)| Deny::Exclude { one, other }),
        Just(Deny::Source),
        role.prop_map(|role| Deny::RoleSource { role }),
        (0..MODULES, 0..3_usize).prop_map(|(module, route)| Deny::Condition { module, route }),
        (0..MODULES, 0..3_usize).prop_map(|(module, route)| Deny::Home { module, route }),
        (0..2_usize).prop_map(|class| Deny::Unseen { class }),
    ]
}

fn with(mut parts: Parts, deny: &Deny) -> Parts {
    let elsewhere = || Some(vec!["10.0.0.0/8".parse().unwrap()]);
    match *deny {
        Deny::Restrict { role, module } => parts.roles[role].restricted_modules.push(ModuleId(module)),
        Deny::Never { class, role } => parts.classes[class].never_to.push(RoleId(role)),
        Deny::Exclude { one, other } if one != other => parts.exclusive_roles.push(vec![RoleId(one), RoleId(other)]),
        Deny::Exclude { .. } => {}
        Deny::Source => parts.allow_from = elsewhere(),
        Deny::RoleSource { role } => parts.roles[role].allow_from = elsewhere(),
        Deny::Condition { module, route } => {
            let routes = &mut parts.modules[module].routes;
            let at = route % routes.len();
            let names = Names {
                caller: true,
                ..Names::default()
            };
            let condition = Condition::compile(r#"request.method == "GET" && "r1" in caller.roles"#, &names).unwrap();
            routes[at].when = Some(When {
                condition,
                origin: Origin::default(),
            });
        }
        Deny::Home { module, route } => {
            let routes = &mut parts.modules[module].routes;
            let at = route % routes.len();
            // Where one is asked for already, another place would not be one deny more.
            if module < 2 {
                routes[at].jurisdiction = Some(Jurisdiction::Query("county".into()));
            }
        }
        Deny::Unseen { class } => parts.classes[class].visible_to.clear(),
    }
    parts
}

fn asked(policy: &Arc<Policy>, roles: &[&str], method: &str, path: &str) -> Option<Permit> {
    let request = call(method, path, &[]);
    let authority = Authority::new(policy, caller(roles, None, &["County_A"])).ok()?;
    let admitted = policy.admits(request.source) && authority.admits(request.source);
    admitted
        .then(|| decide(policy, Some(&authority), &request, "").ok())
        .flatten()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_deny_more_never_allows_and_never_shows_more(draw in draw(), deny in deny(), held in 1..16_u8) {
        let before = Arc::new(Policy::compile(parts(&draw)).unwrap());
        let after = Arc::new(Policy::compile(with(parts(&draw), &deny)).unwrap());
        let names = ["r0", "r1", "r2", "r3"];
        let roles: Vec<&str> = bits(held, &names).copied().collect();
        for path in PATHS {
            for method in ["GET", "POST", "HEAD", "DELETE"] {
                let Some(now) = asked(&after, &roles, method, path) else { continue };
                let was = asked(&before, &roles, method, path);
                let Some(was) = was else {
                    return Err(TestCaseError::fail(format!("{deny:?} lets {roles:?} {method} {path}")));
                };
                let hidden: Vec<_> = now.hidden_classes().collect();
                for class in was.hidden_classes() {
                    prop_assert!(hidden.contains(&class), "{deny:?} shows {class} to {roles:?} at {path}");
                }
            }
        }
    }
}
