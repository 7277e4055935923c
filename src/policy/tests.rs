//! The decision table, as data: one policy in parts, many requests.

mod analysis;
mod shadow;

use super::parts::{
    CallerFact, FieldClass, Jurisdiction, MaskAction, Module, ModuleId, Role, RoleId, Route, Unmaskable, UpstreamId,
};
use super::*;
use crate::call::{Call, Path, Query};
use crate::identity::Caller;
use crate::reason::Reason;
use http::{HeaderMap, HeaderValue};

const METER: RoleId = RoleId(0);
const ENGINEER: RoleId = RoleId(1);
const COLLECTOR: RoleId = RoleId(2);
const SENIOR: RoleId = RoleId(5);

pub(super) fn role(name: &str, scopes: &[&str], inherits: &[RoleId], restricted: &[u16]) -> Role {
    Role {
        name: name.into(),
        scopes: scopes.iter().map(|text| ScopePattern::parse(text).unwrap()).collect(),
        inherits: inherits.to_vec(),
        restricted_modules: restricted.iter().map(|&id| ModuleId(id)).collect(),
        ..Role::default()
    }
}

pub(super) fn one_route(path: &str, methods: &[Method], scope: &str) -> Route {
    Route {
        pattern: PathPattern::parse(path).unwrap(),
        methods: methods.to_vec(),
        scope: (!scope.is_empty()).then(|| scope.into()),
        public: scope.is_empty(),
        jurisdiction: None,
        when: None,
        reads_body: false,
        idempotency: None,
        concurrency: None,
        dry_run: None,
        mode: None,
        rows: None,
        origin: parts::Origin::default(),
    }
}

pub(super) fn module(name: &str, prefix: &str, jurisdiction: Option<Jurisdiction>, routes: Vec<Route>) -> Module {
    Module {
        name: name.into(),
        prefixes: vec![PathPattern::parse(prefix).unwrap()],
        upstream: UpstreamId(0),
        upstream_name: "billing".into(),
        jurisdiction,
        path_parameters: false,
        forward_token: false,
        unmaskable: Unmaskable::default(),
        compress: Vec::new(),
        tolerant_json: false,
        dialect: crate::masking::Dialect::default(),
        mode: parts::Mode::default(),
        routes,
        origin: parts::Origin::default(),
    }
}

fn policy() -> Arc<Policy> {
    let parts = Parts {
        revoked: Vec::new(),
        version: "test".into(),
        roles: vec![
            role("meter_validator", &["telemetry:read", "validation:write"], &[], &[1]),
            role("rate_engineer", &["tariffs:read", "tariffs:write"], &[], &[]),
            role("collections_agent", &["arrears:read", "ledger:read"], &[], &[1]),
            role("finance_admin", &["*:read", "ledger:sync"], &[], &[]),
            role("caseworker", &["assistance:read", "accounts:read"], &[], &[]),
            role("senior_validator", &["tariffs:read"], &[METER], &[]),
            role("clerk", &["accounts:read", "assistance:read"], &[], &[]),
        ],
        exclusive_roles: vec![vec![ENGINEER, COLLECTOR]],
        modules: vec![
            module(
                "telemetry",
                "/api/telemetry",
                None,
                vec![one_route("/", &[Method::GET], "telemetry:read")],
            ),
            module(
                "tariffs",
                "/api/tariffs",
                None,
                vec![
                    one_route("/", &[Method::GET], "tariffs:read"),
                    one_route("/{id}", &[Method::PUT, Method::POST], "tariffs:write"),
                ],
            ),
            module(
                "ledger",
                "/api/ledger",
                Some(Jurisdiction::Body("/county".into())),
                vec![
                    one_route("/sync", &[Method::POST], "ledger:sync"),
                    Route {
                        jurisdiction: Some(Jurisdiction::Path("county".into())),
                        ..one_route("/counties/{county}", &[Method::GET], "ledger:read")
                    },
                    Route {
                        jurisdiction: Some(Jurisdiction::Query("county".into())),
                        ..one_route("/entries", &[Method::GET], "ledger:read")
                    },
                    Route {
                        jurisdiction: Some(Jurisdiction::Header(HeaderName::from_static("x-county"))),
                        ..one_route("/totals", &[Method::GET], "ledger:read")
                    },
                    Route {
                        jurisdiction: Some(Jurisdiction::Fixed(vec!["County_A".into(), "County_C".into()])),
                        ..one_route("/state", &[Method::GET], "ledger:read")
                    },
                ],
            ),
            module(
                "accounts",
                "/api/accounts",
                None,
                vec![
                    one_route("/", &[Method::GET], "accounts:read"),
                    one_route("/help", &[Method::GET], ""),
                ],
            ),
        ],
        classes: vec![
            FieldClass {
                name: "subsidy".into(),
                names: vec!["subsidy_tier".into()],
                visible_to: vec!["assistance:read".into()],
                never_to: vec![RoleId(6)],
                ..FieldClass::default()
            },
            FieldClass {
                name: "pii".into(),
                names: vec!["ssn".into()],
                headers: vec!["X-Customer-Name".into()],
                visible_to: vec![],
                mask: MaskAction::Redact,
                modules: Some(vec![ModuleId(3)]),
                ..FieldClass::default()
            },
        ],
        forward_as: vec![(HeaderName::from_static("x-municipal-role"), CallerFact::Roles)],
        allow_from: None,
        cors: None,
    };
    Arc::new(Policy::compile(parts).unwrap())
}

pub(super) fn caller(roles: &[&str], scopes: Option<&[&str]>, counties: &[&str]) -> Caller {
    let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    Caller {
        issuer: "https://idp.city.example".into(),
        user: "u1".into(),
        roles: strings(roles),
        scopes: scopes.map(strings),
        jurisdictions: strings(counties),
        claims: serde_json::Map::new(),
        issued_at: None,
        expires_at: 2_000_000_000,
        token_id: None,
        bound_to: None,
    }
}

pub(super) fn call(method: &str, target: &str, headers: &[(&'static str, &str)]) -> Call {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    Call {
        method: method.parse().unwrap(),
        path: Path::parse(path).unwrap(),
        query: Query::parse(query).unwrap(),
        host: "billing.city.example".into(),
        headers: map,
        source: [127, 0, 0, 1].into(),
        certificate: None,
    }
}

/// `None` = allowed.
pub(super) fn decide(
    policy: &Arc<Policy>,
    authority: Option<&Authority>,
    call: &Call,
    body: &str,
) -> Result<Permit, Denial> {
    match evaluate(policy, call, authority, jiff::Timestamp::UNIX_EPOCH, &mut ()) {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(denial),
        Decision::NeedsBody(pending) => match pending.resume(body.as_bytes(), &mut ()) {
            Decision::Allow(permit) => Ok(permit),
            Decision::Deny(denial) => Err(denial),
            Decision::NeedsBody(_) => panic!("asked for the body twice"),
        },
    }
}

#[test]
fn each_step_denies_with_its_own_reason() {
    let policy = policy();
    let a: &[&str] = &["County_A"];
    for (roles, method, target, headers, body, expected) in [
        // S2.1, S2.2: scope first, then module isolation.
        (&["meter_validator"][..], "GET", "/api/telemetry", &[][..], "", None),
        (&["meter_validator"], "GET", "/api/telemetry/m1/latest", &[], "", None),
        (&["meter_validator"], "HEAD", "/api/telemetry", &[], "", None),
        (
            &["meter_validator"],
            "GET",
            "/api/tariffs",
            &[],
            "",
            Some(Reason::DeniedScope),
        ),
        (&["senior_validator"], "GET", "/api/telemetry", &[], "", None),
        (
            &["senior_validator"],
            "GET",
            "/api/tariffs",
            &[],
            "",
            Some(Reason::DeniedModule),
        ),
        (
            &["senior_validator", "finance_admin"],
            "GET",
            "/api/tariffs",
            &[],
            "",
            Some(Reason::DeniedModule),
        ),
        (&["rate_engineer"], "PUT", "/api/tariffs/t1", &[], "", None),
        (
            &["rate_engineer"],
            "PUT",
            "/api/tariffs",
            &[],
            "",
            Some(Reason::MethodNotAllowed),
        ),
        (
            &["rate_engineer"],
            "GET",
            "/api/tariffs/t1",
            &[],
            "",
            Some(Reason::MethodNotAllowed),
        ),
        (
            &["finance_admin"],
            "PUT",
            "/api/tariffs/t1",
            &[],
            "",
            Some(Reason::DeniedScope),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/nothing",
            &[],
            "",
            Some(Reason::NoRoute),
        ),
        (&["finance_admin"], "GET", "/api/ledger", &[], "", Some(Reason::NoRoute)),
        (
            &["finance_admin"],
            "GET",
            "/API/tariffs",
            &[],
            "",
            Some(Reason::NoRoute),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/tariffsheet",
            &[],
            "",
            Some(Reason::NoRoute),
        ),
        // S1.5: the jurisdiction, wherever it stands.
        (
            &["finance_admin"],
            "POST",
            "/api/ledger/sync",
            &[],
            r#"{"county":"County_A"}"#,
            None,
        ),
        (
            &["finance_admin"],
            "POST",
            "/api/ledger/sync",
            &[],
            r#"{"county":"County_B"}"#,
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "POST",
            "/api/ledger/sync",
            &[],
            r#"{"county":"County_A","county":"County_A"}"#,
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "POST",
            "/api/ledger/sync",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/counties/County_A",
            &[],
            "",
            None,
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/counties/County_%41",
            &[],
            "",
            None,
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/counties/County_A;x",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/counties/County_B",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/entries?county=County_A",
            &[],
            "",
            None,
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/entries?county=County_B",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/entries",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/entries?county=County_A&county=County_A",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/entries?county=County_A&County=County_B",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/totals",
            &[("x-county", "County_A")],
            "",
            None,
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/totals",
            &[("x-county", "County_A"), ("x-county", "County_A")],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (
            &["finance_admin"],
            "GET",
            "/api/ledger/totals",
            &[],
            "",
            Some(Reason::JurisdictionMismatch),
        ),
        (&["finance_admin"], "GET", "/api/ledger/state", &[], "", None),
        (
            &["collections_agent"],
            "GET",
            "/api/ledger/counties/County_A",
            &[],
            "",
            None,
        ),
        // Public.
        (&["collections_agent"], "GET", "/api/accounts/help", &[], "", None),
    ] {
        let authority = Authority::new(&policy, caller(roles, None, a)).unwrap();
        let got = decide(&policy, Some(&authority), &call(method, target, headers), body)
            .err()
            .map(|denial| denial.reason);
        assert_eq!(got, expected, "{roles:?} {method} {target} {body}");
    }
}

#[test]
fn without_a_token_only_public_routes_are_open() {
    let policy = policy();
    let permit = decide(&policy, None, &call("GET", "/api/accounts/help", &[]), "").unwrap();
    assert_eq!(
        permit.hidden_classes().count(),
        2,
        "everything classified is masked on a public route"
    );
    for (method, target) in [
        ("GET", "/api/accounts"),
        ("GET", "/nowhere"),
        ("POST", "/api/accounts/help"),
        ("GET", "/api/ledger/state"),
    ] {
        let denial = decide(&policy, None, &call(method, target, &[]), "").unwrap_err();
        assert_eq!(denial.reason, Reason::MissingToken, "{method} {target}");
        assert!(
            denial.methods.is_empty() && denial.scope.is_none(),
            "nothing about the route is told"
        );
    }
}

#[test]
fn roles_decide_who_somebody_is() {
    let policy = policy();
    let reason = |roles: &[&str]| {
        Authority::new(&policy, caller(roles, None, &[]))
            .err()
            .map(|refused| refused.0)
    };
    assert_eq!(reason(&[]), Some(Reason::NoRole), "S2.3");
    assert_eq!(reason(&["wizard"]), Some(Reason::NoRole), "S2.3");
    assert_eq!(reason(&["METER_VALIDATOR"]), Some(Reason::NoRole));
    assert_eq!(
        reason(&["wizard", "clerk"]),
        None,
        "an unknown role grants nothing and takes nothing"
    );
    assert_eq!(
        reason(&["rate_engineer", "collections_agent"]),
        Some(Reason::ConflictingRoles),
        "S2.1"
    );
    assert_eq!(reason(&["rate_engineer", "clerk"]), None);
}

#[test]
fn a_token_narrows_and_never_widens() {
    let policy = policy();
    let reason = |scopes: &[&str]| {
        let authority = Authority::new(&policy, caller(&["meter_validator"], Some(scopes), &[])).unwrap();
        decide(&policy, Some(&authority), &call("GET", "/api/telemetry", &[]), "")
            .err()
            .map(|denial| denial.reason)
    };
    assert_eq!(reason(&["telemetry:read"]), None);
    assert_eq!(reason(&["*:read"]), None);
    assert_eq!(reason(&[]), Some(Reason::DeniedScope));
    assert_eq!(reason(&["validation:write"]), Some(Reason::DeniedScope));
    let authority = Authority::new(
        &policy,
        caller(&["meter_validator"], Some(&["tariffs:read", "*:*"]), &[]),
    )
    .unwrap();
    assert!(decide(&policy, Some(&authority), &call("GET", "/api/tariffs", &[]), "").is_err());
}

#[test]
fn a_classified_field_is_shown_by_its_own_scope_only() {
    let policy = policy();
    let hidden = |roles: &[&str], scopes: Option<&[&str]>| {
        let authority = Authority::new(&policy, caller(roles, scopes, &[])).unwrap();
        let permit = decide(&policy, Some(&authority), &call("GET", "/api/accounts", &[]), "").unwrap();
        permit.hidden_classes().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(hidden(&["caseworker"], None), ["pii"]);
    assert_eq!(
        hidden(&["finance_admin"], None),
        ["subsidy", "pii"],
        "`*:read` opens routes, not fields"
    );
    assert_eq!(
        hidden(&["clerk"], None),
        ["subsidy", "pii"],
        "S1.7: never_to wins over visible_to"
    );
    assert_eq!(hidden(&["clerk", "caseworker"], None), ["subsidy", "pii"], "deny wins");
    assert_eq!(hidden(&["caseworker"], Some(&["accounts:read"])), ["subsidy", "pii"]);
    assert_eq!(hidden(&["caseworker"], Some(&["*:read"])), ["subsidy", "pii"]);
    assert_eq!(
        hidden(&["caseworker"], Some(&["accounts:read", "assistance:read"])),
        ["pii"]
    );
}

#[test]
fn response_headers_of_a_class_are_compared_folded_and_by_module() {
    let policy = policy();
    let authority = Authority::new(&policy, caller(&["finance_admin"], None, &["County_A"])).unwrap();
    let accounts = decide(&policy, Some(&authority), &call("GET", "/api/accounts", &[]), "").unwrap();
    assert_eq!(
        accounts.hidden_header(&HeaderName::from_static("x-customer-name")),
        Some(1)
    );
    assert_eq!(
        accounts.hidden_header(&HeaderName::from_static("x_customername")),
        Some(1)
    );
    assert_eq!(accounts.hidden_header(&HeaderName::from_static("x-customer")), None);
    let ledger = decide(&policy, Some(&authority), &call("GET", "/api/ledger/state", &[]), "").unwrap();
    assert_eq!(ledger.hidden_header(&HeaderName::from_static("x-customer-name")), None);
}

#[test]
fn a_role_that_inherits_keeps_its_parents_restrictions() {
    let policy = policy();
    assert!(policy.roles[usize::from(SENIOR.0)].restricted.contains(1));
    assert!(
        policy.roles[usize::from(SENIOR.0)]
            .includes
            .contains(usize::from(METER.0))
    );
}

#[test]
fn parts_that_tie_or_go_round_are_no_policy() {
    // `HEAD` comes with `GET`, whichever stands first.
    let (get, head) = (Method::GET, Method::HEAD);
    for (one, other) in [(&get, &get), (&get, &head), (&head, &get)] {
        let routes =
            [("/{x}", one), ("/{y}", other)].map(|(path, method)| one_route(path, std::slice::from_ref(method), "s"));
        let tie = Parts {
            modules: vec![module("a", "/a", None, routes.to_vec())],
            ..Parts::default()
        };
        assert!(
            matches!(Policy::compile(tie), Err(CompileFault::Tie(..))),
            "{one} {other}"
        );
    }
    let prefixes = Parts {
        modules: vec![module("a", "/a", None, vec![]), module("b", "/a", None, vec![])],
        ..Parts::default()
    };
    assert!(matches!(Policy::compile(prefixes), Err(CompileFault::Tie(..))));
    let cycle = Parts {
        roles: vec![role("a", &[], &[RoleId(1)], &[]), role("b", &[], &[RoleId(0)], &[])],
        ..Parts::default()
    };
    assert!(matches!(Policy::compile(cycle), Err(CompileFault::Cycle(_))));
    let path = Parts {
        modules: vec![module(
            "a",
            "/a",
            Some(Jurisdiction::Path("county".into())),
            vec![one_route("/x", &[Method::GET], "s")],
        )],
        ..Parts::default()
    };
    assert!(matches!(Policy::compile(path), Err(CompileFault::NoParameter { .. })));
}

/// A policy of one module `/m` whose routes have conditions.
fn conditional(routes: &[(&str, &str, Option<Jurisdiction>)]) -> Arc<Policy> {
    let routes = routes.iter().map(|(path, source, jurisdiction)| {
        let public = path.contains("public");
        let route = one_route(path, &[Method::POST], if public { "" } else { "s" });
        let parameters = route.pattern.parameter("id").map(|at| ("id".into(), at));
        let names = condition::Names {
            parameters: parameters.into_iter().collect(),
            caller: !public,
            body: true,
            row: false,
        };
        Route {
            when: Some(parts::When {
                condition: Condition::compile(source, &names).unwrap(),
                origin: parts::Origin {
                    file: "p.yaml".into(),
                    line: 7,
                },
            }),
            jurisdiction: jurisdiction.clone(),
            ..route
        }
    });
    let parts = Parts {
        roles: vec![role("r", &["*"], &[], &[])],
        modules: vec![module("m", "/m/n", None, routes.collect())],
        ..Parts::default()
    };
    Arc::new(Policy::compile(parts).unwrap())
}

#[test]
fn a_condition_is_the_last_step_and_closed() {
    let body = |pointer: &str| Some(Jurisdiction::Body(pointer.into()));
    let policy = conditional(&[
        ("/own/{id}", "path.id == caller.user", None),
        ("/county", "body.count < 5", body("/county")),
        ("/count", "body.count < 5", Some(Jurisdiction::Query("county".into()))),
        (
            "/scopes",
            "\"other:scope\" in caller.scopes || \"s\" in caller.scopes",
            None,
        ),
        ("/scopes/other", "\"other\" in caller.scopes", None),
        ("/public", "query.x == \"1\"", None),
    ]);
    let authority = Authority::new(&policy, caller(&["r"], None, &["A"])).unwrap();
    let (home, denied) = (Reason::JurisdictionMismatch, Reason::DeniedCondition);
    for (target, body, expected) in [
        ("/m/n/own/u1", "", None),
        ("/m/n/own/u1/below", "", None),
        ("/m/n/own/u2", "", Some(denied)),
        ("/m/n/county", r#"{"county":"A","count":1}"#, None),
        ("/m/n/county", r#"{"county":"B","count":1}"#, Some(home)),
        ("/m/n/county", r#"{"county":"B"}"#, Some(home)),
        ("/m/n/county", r#"{"county":"A","count":5}"#, Some(denied)),
        ("/m/n/county", r#"{"county":"A","count":"1"}"#, Some(denied)),
        ("/m/n/county", r#"{"county":"A","count":1,"x":1,"x":2}"#, Some(denied)),
        ("/m/n/county", r#"{"county":"A","count":1,"COUNT":9}"#, Some(denied)),
        ("/m/n/county", "", Some(home)),
        ("/m/n/count?county=A", r#"{"count":1}"#, None),
        ("/m/n/count?county=A", "", Some(denied)),
        ("/m/n/count?county=B", r#"{"count":1}"#, Some(home)),
        ("/m/n/scopes", "", None),
        // `*` is one part, and covers what only a condition names.
        ("/m/n/scopes/other", "", None),
    ] {
        let got = decide(&policy, Some(&authority), &call("POST", target, &[]), body);
        assert_eq!(got.err().map(|denial| denial.reason), expected, "{target} {body}");
    }
    // A public route has its condition too, and no token would change what comes of it.
    for caller in [None, Some(&authority)] {
        let got = |target| {
            decide(&policy, caller, &call("POST", target, &[]), "")
                .err()
                .map(|denial| denial.reason)
        };
        assert_eq!(got("/m/n/public?x=1"), None);
        assert_eq!(got("/m/n/public?x=2"), Some(denied));
        assert_eq!(got("/m/n/public"), Some(denied));
    }
}

#[test]
fn a_body_is_not_read_for_what_is_denied_without_it() {
    let policy = conditional(&[("/count", "body.count < 5", Some(Jurisdiction::Query("county".into())))]);
    let authority = Authority::new(&policy, caller(&["r"], None, &["A"])).unwrap();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let elsewhere = call("POST", "/m/n/count?county=B", &[]);
    let decision = evaluate(&policy, &elsewhere, Some(&authority), now, &mut ());
    assert!(matches!(decision, Decision::Deny(_)));
    let here = call("POST", "/m/n/count?county=A", &[]);
    let decision = evaluate(&policy, &here, Some(&authority), now, &mut ());
    assert!(matches!(decision, Decision::NeedsBody(_)));
}

/// A policy of one module whose route has rows.
fn with_rows(path: &str, source: &str) -> Arc<Policy> {
    let route = one_route(path, &[Method::GET], if path == "/public" { "" } else { "s" });
    let names = condition::Names {
        parameters: vec![("id".into(), 1)],
        caller: !route.public,
        body: false,
        row: true,
    };
    let rows = parts::RowRule {
        at: Arc::new(crate::masking::RowPath::parse("").unwrap()),
        condition: Condition::compile(source, &names).unwrap(),
        origin: parts::Origin::default(),
    };
    let parts = Parts {
        roles: vec![
            role("r", &["s"], &[], &[]),
            role("all", &["s", "named:here_only"], &[], &[]),
        ],
        modules: vec![module(
            "m",
            "/m",
            None,
            vec![Route {
                rows: Some(rows),
                ..route
            }],
        )],
        ..Parts::default()
    };
    Arc::new(Policy::compile(parts).unwrap())
}

#[test]
fn s3_5_rows_are_judged_by_who_asks_for_what() {
    for (path, role, source, row, stays) in [
        ("/x", "r", "row.owner == caller.user", r#"{"owner":"u1"}"#, true),
        ("/x", "r", "row.owner == caller.user", r#"{"owner":"u2"}"#, false),
        ("/x", "r", "row.owner == caller.user", r#"{"owner":1}"#, false),
        (
            "/x",
            "r",
            "row.owner == caller.user",
            r#"{"Owner":"u2","owner":"u1"}"#,
            false,
        ),
        (
            "/x",
            "r",
            "row.owner == caller.user",
            r#"{"owner":"u1","owner":"u1"}"#,
            false,
        ),
        ("/x", "r", "row.owner == caller.user", "{}", false),
        ("/x", "r", "row.owner == caller.user", "null", false),
        ("/x", "r", "row.owner != caller.user", "{}", false),
        ("/x", "r", "!(row.owner == caller.user)", "[]", false),
        ("/x", "r", "row == caller.user", r#""u1""#, true),
        ("/x", "r", "row < 5", "4", true),
        ("/x", "r", "row < 5", "9007199254740993.5", false),
        // A scope that nothing else names.
        (
            "/x",
            "all",
            "\"named:here_only\" in caller.scopes || row == 1",
            "2",
            true,
        ),
        (
            "/x",
            "r",
            "\"named:here_only\" in caller.scopes || row == 1",
            "2",
            false,
        ),
        ("/x/{id}", "r", "row.id == path.id", r#"{"id":"7"}"#, true),
        ("/x/{id}", "r", "row.id == path.id", r#"{"id":"8"}"#, false),
        ("/x", "r", "row.n == query.n", r#"{"n":"7"}"#, true),
        ("/x", "r", "row.h == headers[\"x-h\"]", r#"{"h":"7"}"#, true),
        (
            "/x",
            "r",
            "timestamp(row.t) <= now",
            r#"{"t":"1970-01-01T00:00:00Z"}"#,
            true,
        ),
        (
            "/x",
            "r",
            "timestamp(row.t) <= now",
            r#"{"t":"1970-01-01T00:00:01Z"}"#,
            false,
        ),
        ("/public", "r", "row.n == query.n", r#"{"n":"7"}"#, true),
    ] {
        let policy = with_rows(path, source);
        let authority = Arc::new(Authority::new(&policy, caller(&[role], None, &[])).unwrap());
        let target = format!("/m{}?n=7", path.replace("{id}", "7"));
        let call = call("GET", &target, &[("x-h", "7")]);
        let permit = decide(&policy, Some(&authority), &call, "").unwrap();
        let mask = permit
            .mask(&call, Some(&authority), jiff::Timestamp::UNIX_EPOCH)
            .unwrap();
        let judge = mask.rows.unwrap().judge;
        drop((permit, authority));
        assert_eq!(judge.stays(row.as_bytes()), stays, "{source}: {row}");
    }
}

#[test]
fn what_the_operator_reads_has_no_values_of_the_request() {
    let policy = conditional(&[("/own/{id}", "path.id == caller.user && query.x == \"1\"", None)]);
    let authority = Authority::new(&policy, caller(&["r"], None, &[])).unwrap();
    let detail = |target| {
        let denial = decide(&policy, Some(&authority), &call("POST", target, &[]), "").unwrap_err();
        denial.detail.unwrap()
    };
    assert_eq!(detail("/m/n/own/secret"), "the condition at p.yaml:7 is false");
    assert_eq!(
        detail("/m/n/own/u1?x=secret&x=1"),
        "the condition at p.yaml:7 has an error: `query.x`: the request has more than one, or one in an unusual spelling"
    );
}
