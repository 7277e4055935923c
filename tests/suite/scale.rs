//! Ten thousand routes, five hundred modules and a thousand roles are a policy like any other. How fast it is, the bench says.

#[path = "../bench/policy/city.rs"]
mod city;

use http::{HeaderMap, Method};
use std::sync::Arc;

use city::{LARGE, SMALL, Size};
use tollgate::call::{Call, Path, Query};
use tollgate::config::{LoadedPolicy, load_policy, render};
use tollgate::identity::Caller;
use tollgate::policy::{Authority, Decision, Policy, evaluate};
use tollgate::reason::Reason;

fn load(size: Size) -> LoadedPolicy {
    let folder = tempfile::tempdir().unwrap();
    size.write(folder.path()).unwrap();
    load_policy(folder.path(), &["billing".into()]).unwrap_or_else(|problems| panic!("{}", render(&problems)))
}

/// Why somebody with these roles is not let through to a path; nothing if they are.
fn why(policy: &Arc<Policy>, roles: &[&str], path: &str) -> Option<Reason> {
    let caller = Caller {
        issuer: "https://idp.city.example".into(),
        user: "u1".into(),
        roles: roles.iter().map(ToString::to_string).collect(),
        scopes: None,
        jurisdictions: vec!["County_A".into()],
        claims: serde_json::Map::new(),
        issued_at: None,
        expires_at: 2_000_000_000,
        token_id: None,
        bound_to: None,
    };
    let authority = match Authority::new(policy, caller) {
        Ok(authority) => authority,
        Err(refused) => return Some(refused.0),
    };
    let call = Call {
        method: Method::GET,
        path: Path::parse(path).unwrap(),
        query: Query::parse(None).unwrap(),
        host: "billing.city.example".into(),
        headers: HeaderMap::new(),
        source: [127, 0, 0, 1].into(),
        certificate: None,
    };
    match evaluate(policy, &call, Some(&authority), jiff::Timestamp::now(), &mut ()) {
        Decision::Allow(permit) => {
            assert!(path.contains(&*permit.module().unwrap().name), "{path}");
            None
        }
        Decision::Deny(denial) => Some(denial.reason),
        Decision::NeedsBody(_) => panic!("{path} asks for a body"),
    }
}

#[test]
fn a_large_policy_loads_and_decides_right() {
    let loaded = load(LARGE);
    // It has no issuers, and nothing else is said of so many rules.
    assert_eq!(loaded.warnings.len(), 1, "{}", render(&loaded.warnings));
    let policy = Arc::new(loaded.policy);
    for module in [0, 7, 255, 256, 499] {
        let role = LARGE.role_for(module);
        for route in 0..LARGE.routes {
            let path = LARGE.path(module, route);
            assert_eq!(why(&policy, &[&role], &path), None, "{role} {path}");
        }
        let path = LARGE.path(module ^ 1, 1);
        let expected = Some(Reason::DeniedScope);
        assert_eq!(why(&policy, &[&role], &path), expected, "{role} {path}");
    }
    for (roles, path, expected) in [
        // A wildcard that is inherited, and one in a module that its role is kept out of.
        (&["role_0015"][..], LARGE.path(300, 7), None),
        (&["role_0757"], LARGE.path(8, 17), None),
        (&["role_0757"], LARGE.path(7, 17), Some(Reason::DeniedModule)),
        (
            &["role_0757", "role_0007"],
            LARGE.path(7, 0),
            Some(Reason::DeniedModule),
        ),
        (
            &["role_0999", "role_0998"],
            LARGE.path(499, 0),
            Some(Reason::ConflictingRoles),
        ),
        (&["role_1000"], LARGE.path(499, 0), Some(Reason::NoRole)),
        (
            &["role_0499"],
            "/api/m0500/accounts00".to_owned(),
            Some(Reason::NoRoute),
        ),
        (
            &["role_0499"],
            "/api/m0499/accounts99".to_owned(),
            Some(Reason::NoRoute),
        ),
    ] {
        assert_eq!(why(&policy, roles, &path), expected, "{roles:?} {path}");
    }
}

#[test]
fn a_small_one_is_made_alike() {
    let loaded = load(SMALL);
    assert_eq!(loaded.warnings.len(), 1, "{}", render(&loaded.warnings));
    let policy = Arc::new(loaded.policy);
    for (module, route) in [(0, 0), (0, 4), (0, 9)] {
        let role = SMALL.role_for(module);
        assert_eq!(
            why(&policy, &[&role], &SMALL.path(module, route)),
            None,
            "{role} {route}"
        );
    }
}
