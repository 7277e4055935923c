//! What is said to be unreachable or closed is so, and nothing else is, tried out with requests.

use super::*;
use crate::policy::parts::ModuleId;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A module: its prefixes, and its routes with the number of their scope.
type Drawn = (Vec<String>, Vec<(String, usize)>);

/// A path of at most three segments, some of them parameters.
fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "{x}"]), 0..3).prop_map(|parts| {
        // One parameter has one name: `/{x}/{x}` would be no pattern.
        let parts = parts
            .iter()
            .enumerate()
            .map(|(at, part)| part.replace("{x}", &format!("{{x{at}}}")));
        format!("/{}", parts.collect::<Vec<_>>().join("/"))
    })
}

fn prefix() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b"]), 0..3).prop_map(|parts| format!("/{}", parts.join("/")))
}

/// Modules whose prefixes and paths do not tie. Each route asks for a scope, each module is shut to some of three roles.
fn modules() -> impl Strategy<Value = Vec<Drawn>> {
    let routes = prop::collection::vec((path(), 0_usize..3), 1..4);
    let all = prop::collection::vec((prop::collection::vec(prefix(), 1..3), routes), 1..4);
    all.prop_map(|modules| {
        let mut prefixes = BTreeSet::new();
        let modules = modules.into_iter().map(|(own, routes)| {
            let own: Vec<String> = own
                .into_iter()
                .filter(|prefix| prefixes.insert(prefix.clone()))
                .collect();
            let mut paths = BTreeSet::new();
            let routes = routes.into_iter().filter(|(path, _)| paths.insert(path.clone()));
            (own, routes.collect())
        });
        modules.filter(|(own, _): &Drawn| !own.is_empty()).collect()
    })
}

/// Requests for a route below a prefix, its parameters filled in with each of some words.
fn requests(prefix: &str, path: &str) -> Vec<String> {
    ["a", "b", "q"]
        .iter()
        .map(|word| {
            let filled = (0..3).fold(path.to_owned(), |path, at| path.replace(&format!("{{x{at}}}"), word));
            let whole = format!("{}{filled}", prefix.trim_end_matches('/'));
            if whole == "/" {
                whole
            } else {
                whole.trim_end_matches('/').to_owned()
            }
        })
        .map(|whole| if whole.is_empty() { "/".to_owned() } else { whole })
        .collect()
}

proptest! {
    #[test]
    fn findings_are_what_requests_meet(
        drawn in modules(),
        roles in prop::collection::vec((0_usize..3, prop::collection::vec(0_u16..3, 0..3)), 1..4),
    ) {
        let count = u16::try_from(drawn.len()).unwrap();
        let scopes = ["s0", "s1", "s2"];
        let parts = Parts {
            roles: roles
                .iter()
                .enumerate()
                .map(|(at, (scope, shut))| {
                    let shut: Vec<u16> = shut.iter().copied().filter(|&id| id < count).collect();
                    role(&format!("r{at}"), &[scopes[*scope]], &[], &shut)
                })
                .collect(),
            modules: drawn
                .iter()
                .enumerate()
                .map(|(at, (prefixes, routes))| Module {
                    prefixes: prefixes.iter().map(|text| PathPattern::parse(text).unwrap()).collect(),
                    ..module(
                        &format!("m{at}"),
                        "/",
                        None,
                        routes.iter().map(|(path, scope)| one_route(path, &[Method::GET], scopes[*scope])).collect(),
                    )
                })
                .collect(),
            ..Parts::default()
        };
        let policy = Arc::new(Policy::compile(parts).unwrap());
        let findings = policy.findings();
        let authorities: Vec<Authority> =
            (0..roles.len()).map(|at| Authority::new(&policy, caller(&[&format!("r{at}")], None, &[])).unwrap()).collect();
        for (at, (prefixes, routes)) in drawn.iter().enumerate() {
            let id = u16::try_from(at).unwrap();
            for (number, (path, _)) in routes.iter().enumerate() {
                let place = Place { module: id, route: Some(u16::try_from(number).unwrap()) };
                let calls: Vec<Call> =
                    prefixes.iter().flat_map(|prefix| requests(prefix, path)).map(|path| call("GET", &path, &[])).collect();
                let reached: Vec<&Call> = calls
                    .iter()
                    .filter(|call| {
                        let taken = route(&policy, call);
                        taken.is_ok_and(|(found, leaf)| found.module == id && leaf.contains(&place.route.unwrap()))
                    })
                    .collect();
                let dead = findings.iter().any(|finding| match finding {
                    Finding::DeadModule(module) => *module == ModuleId(id),
                    Finding::DeadRoute(route, _) => *route == place,
                    _ => false,
                });
                prop_assert_eq!(dead, reached.is_empty(), "{:?} {}", prefixes, path);
                let closed = findings.contains(&Finding::ClosedRoute(place));
                for call in reached {
                    let open = authorities.iter().any(|who| decide(&policy, Some(who), call, "").is_ok());
                    // A scope that no role grants is refused before anything is analysed; here nobody has it.
                    prop_assert_eq!(closed, !open, "{:?}", call);
                }
            }
        }
    }
}
