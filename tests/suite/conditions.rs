//! Conditions (`when`), by the policies that ship: customer classes, attributes of an adjustment, a driver's own rows.

use serde_json::{Value, json};

use super::harness::*;

/// The suite's own issuer, with the claims that the fleet's policy gives a meaning to.
pub(super) const FLEET_IDENTITY: &str = r#"
version: 1
identity:
  issuers:
    - issuer: https://idp.city.example
      audience: billing-api
      public_key: ../keys/public.pem
      algorithms: [ES256]
      claims: { user: sub, roles: role, jurisdictions: sub }
"#;

/// A folder of `policies/` before a backend that is all of its upstreams, with the suite's identity in place of its own.
pub(super) fn shipped(name: &str, identity: &str, backend: &Backend) -> Gateway {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("policies")
        .join(name);
    let schemas = std::fs::read_dir(folder.join("schemas")).into_iter().flatten();
    let files = std::fs::read_dir(&folder).unwrap().chain(schemas).filter_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(&folder).unwrap().to_str()?.to_owned();
        let wanted = (name.ends_with(".yaml") && name != "identity.yaml") || name.ends_with(".json");
        let name: &'static str = format!("policy/{name}").leak();
        wanted.then(|| (name, std::fs::read_to_string(&path).unwrap()))
    });
    let upstreams: String = ["rates", "archive", "portal"]
        .iter()
        .map(|name| format!("  {name}: {{ url: \"http://127.0.0.1:{}\" }}\n", backend.port()))
        .collect();
    let setup = Setup::new(backend).policy(identity).extra(&upstreams);
    Setup {
        files: files.collect(),
        ..setup
    }
    .start()
}

/// The suite's policy up to its roles.
pub(super) fn municipal_identity() -> &'static str {
    POLICY.split("\nroles:").next().unwrap()
}

/// Sends one request as the bearer of these claims: the status, and the error if Tollgate refused.
fn ask_as(gateway: &Gateway, claims: &Value, line: &str, body: &str) -> (u16, String) {
    let (method, path) = line.split_once(' ').unwrap();
    let answer = gateway.call_as(method, path, &gateway.token(claims), "", body);
    let error = if answer.status == 200 {
        String::new()
    } else {
        answer.error()
    };
    (answer.status, error)
}

fn denied() -> (u16, String) {
    (403, "denied_condition".into())
}

fn allowed() -> (u16, String) {
    (200, String::new())
}

#[test]
fn s1_3_a_commercial_rate_auditor_cannot_query_residential_tier_data() {
    let backend = Backend::json(r#"{"tiers":[]}"#);
    let gateway = shipped("municipal", municipal_identity(), &backend);
    for (role, line, expected) in [
        ("commercial_rate_auditor", "GET /api/tiers/commercial", allowed()),
        ("commercial_rate_auditor", "HEAD /api/tiers/commercial", allowed()),
        ("commercial_rate_auditor", "GET /api/tiers/residential", denied()),
        (
            "commercial_rate_auditor",
            "GET /api/tiers/residential?customer_class=commercial",
            denied(),
        ),
        ("commercial_rate_auditor", "GET /api/tiers/Residential", denied()),
        ("commercial_rate_auditor", "GET /api/tiers/%72esidential", denied()),
        ("residential_rate_auditor", "GET /api/tiers/residential", allowed()),
        ("residential_rate_auditor", "GET /api/tiers/commercial", denied()),
        ("finance_admin", "GET /api/tiers/residential", allowed()),
        (
            "rate_engineer",
            "GET /api/tiers/residential",
            (403, "denied_scope".into()),
        ),
    ] {
        assert_eq!(ask_as(&gateway, &claims(&[role]), line, ""), expected, "{role}: {line}");
    }
    assert_eq!(backend.count(), 4, "a refused request has reached the backend");
    let lines = gateway.audit(10);
    let refused = lines
        .iter()
        .find(|line| line["decision"] == "DENIED_CONDITION")
        .unwrap();
    assert_eq!(refused["error"], "denied_condition");
    assert_eq!(refused["module"], "tiers");
    assert_eq!(refused["requested_scope"], "tiers:read");
    assert!(gateway.metrics().contains("DENIED_CONDITION"));
}

#[test]
fn s2_7_an_adjustment_is_within_the_tokens_authority_tag_and_schedule() {
    let backend = Backend::json("{}");
    let gateway = shipped("municipal", municipal_identity(), &backend);
    let mut engineer = claims(&["rate_engineer"]);
    engineer["tax_authorities"] = json!(["TA-1", "TA-7"]);
    engineer["geographic_tags"] = json!(["north"]);
    engineer["rate_schedule"] = json!("2026-2");
    let good = r#"{"geographic_tag":"north","rate_schedule":"2026-2","percent":3}"#;
    for (line, body, expected) in [
        ("POST /api/adjustments/TA-7", good, allowed()),
        ("POST /api/adjustments/TA-8", good, denied()),
        (
            "POST /api/adjustments/TA-7",
            r#"{"geographic_tag":"south","rate_schedule":"2026-2"}"#,
            denied(),
        ),
        (
            "POST /api/adjustments/TA-7",
            r#"{"geographic_tag":"north","rate_schedule":"2025-1"}"#,
            denied(),
        ),
        // What is missing, of another type, given twice or no JSON is no match, however it is read.
        ("POST /api/adjustments/TA-7", r#"{"geographic_tag":"north"}"#, denied()),
        (
            "POST /api/adjustments/TA-7",
            r#"{"geographic_tag":["north"],"rate_schedule":"2026-2"}"#,
            denied(),
        ),
        (
            "POST /api/adjustments/TA-7",
            r#"{"geographic_tag":"north","geographic_tag":"south","rate_schedule":"2026-2"}"#,
            denied(),
        ),
        (
            "POST /api/adjustments/TA-7",
            r#"{"geographic_tag":"north","geographicTag":"south","rate_schedule":"2026-2"}"#,
            denied(),
        ),
        ("POST /api/adjustments/TA-7", "geographic_tag=north", denied()),
        ("POST /api/adjustments/TA-7", "", denied()),
    ] {
        assert_eq!(ask_as(&gateway, &engineer, line, body), expected, "{line} {body}");
    }
    assert_eq!(backend.count(), 1, "a refused request has reached the backend");
    assert_eq!(
        backend.last().body,
        good.as_bytes(),
        "the backend gets the body that was judged"
    );
    // A token without the claims is nobody's authority.
    let without = claims(&["rate_engineer"]);
    assert_eq!(ask_as(&gateway, &without, "POST /api/adjustments/TA-7", good), denied());
}

#[test]
fn s3_4_a_driver_sees_deliveries_of_their_own() {
    let backend = Backend::json(r#"{"rows":[]}"#);
    let gateway = shipped("fleet", FLEET_IDENTITY, &backend);
    let driver = json!({"iss": ISSUER, "aud": "billing-api", "sub": "d1", "role": "driver"});
    for (path, expected) in [
        ("/portal/deliveries/d1", allowed()),
        ("/portal/deliveries/d1/today", allowed()),
        ("/portal/deliveries/d2", denied()),
        ("/portal/deliveries/D1", denied()),
        ("/portal/deliveries/d2?driver_id=d1", denied()),
    ] {
        assert_eq!(
            ask_as(&gateway, &driver, &format!("GET {path}"), ""),
            expected,
            "{path}"
        );
    }
    // What a client is told names neither the rule nor its file.
    let answer = gateway.call_as("GET", "/portal/deliveries/d2", &gateway.token(&driver), "", "");
    let text = answer.text();
    for word in ["driver_id", "path.", ".yaml", "when"] {
        assert!(!text.contains(word), "{text}");
    }
    assert_eq!(answer.json()["decision"], "DENIED_CONDITION");
}

#[test]
fn a_public_route_has_its_condition() {
    let backend = Backend::json("{}");
    let policy = POLICY.replace(
        "- { path: /help, methods: [GET], public: true }",
        "- { path: /help, methods: [GET], public: true, when: 'query.lang in [\"en\", \"es\"]' }",
    );
    let gateway = Setup::new(&backend).policy(&policy).start();
    for (path, status) in [
        ("?lang=en", 200),
        ("?lang=de", 403),
        ("", 403),
        ("?lang=en&lang=es", 403),
    ] {
        let answer = gateway.call_as("GET", &format!("/api/accounts/help{path}"), "", "", "");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert_eq!(backend.count(), 1);
}

#[test]
fn explain_says_which_part_does_not_hold() {
    let backend = Backend::start();
    let gateway = shipped("municipal", municipal_identity(), &backend);
    let folder = gateway.path("");
    let explain = |claims: &Value, rest: &[&str]| {
        let claims = claims.to_string();
        let mut arguments = vec!["explain", "--config", "tollgate.yaml", "--claims", &claims];
        arguments.extend(rest);
        let (code, out, err) = run(&arguments, &folder);
        assert!(err.is_empty(), "{err}");
        (code, out)
    };
    let auditor = claims(&["commercial_rate_auditor"]);
    let (code, out) = explain(&auditor, &["GET", "/api/tiers/residential"]);
    assert_eq!(code, 3, "{out}");
    for needle in [
        "FAIL  condition",
        "modules-rates.yaml:",
        "`path.customer_class == \"commercial\"` is false; `path.customer_class` is `residential`",
        "`\"residential_rate_auditor\" in caller.roles` is false; `caller.roles` is [`commercial_rate_auditor`]",
        "DENIED_CONDITION",
        "would take:",
    ] {
        assert!(out.contains(needle), "{needle}\n{out}");
    }
    let (code, out) = explain(&auditor, &["GET", "/api/tiers/commercial"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("pass  condition"), "{out}");

    write(&folder, "body.json", r#"{"geographic_tag":"north"}"#);
    let mut engineer = claims(&["rate_engineer"]);
    engineer["tax_authorities"] = json!(["TA-7"]);
    engineer["geographic_tags"] = json!(["north"]);
    let (code, out) = explain(&engineer, &["--body", "body.json", "POST", "/api/adjustments/TA-7"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("`body.rate_schedule`: there is no such member"), "{out}");
}

#[test]
fn a_condition_that_does_not_load_is_named_by_its_place() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let broken = POLICY.replace(
        "- { methods: [GET], scope: tariffs:read }",
        "- { methods: [GET], scope: tariffs:read, when: 'caler.user == \"a\"' }",
    );
    write(&gateway.path(""), "policy/policy.yaml", &broken);
    let (code, out, err) = run(&["check", "--config", "tollgate.yaml"], &gateway.path(""));
    let line = broken.lines().position(|line| line.contains("caler")).unwrap() + 1;
    let text = format!("{out}{err}");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains(&format!("policy.yaml:{line}:55: error: unknown name `caler`")),
        "{text}"
    );
    assert!(text.contains("did you mean `caller`?"), "{text}");
}
