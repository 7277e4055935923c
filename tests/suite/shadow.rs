//! `mode: shadow`: a rule on trial is decided and recorded, and opens no door to a caller without a valid token.

use serde_json::{Value, json};
use std::fs;

use super::harness::*;

/// The suite's policy with accounts and ledger on trial, save what says otherwise.
fn on_trial() -> String {
    let mut policy = POLICY.to_owned();
    for (old, new) in [
        (
            "    prefix: /api/accounts\n",
            "    prefix: /api/accounts\n    mode: shadow\n",
        ),
        (
            "    prefix: /api/ledger\n",
            "    prefix: /api/ledger\n    mode: shadow\n",
        ),
        (
            "    prefix: /api/tariffs\n",
            "    prefix: /api/tariffs\n    mode: enforce\n",
        ),
        ("scope: tariffs:read }", "scope: tariffs:read, mode: shadow }"),
        (
            "      - path: /state\n        methods: [GET]\n",
            "      - path: /state\n        methods: [GET]\n        mode: enforce\n",
        ),
        (
            "      - { methods: [GET], scope: accounts:read }\n",
            "      - { methods: [GET], scope: accounts:read }\n      - { path: /own, methods: [GET], scope: \
             accounts:read, when: 'caller.user == \"nobody\"' }\n",
        ),
    ] {
        assert!(policy.contains(old), "{old}");
        policy = policy.replace(old, new);
    }
    policy
}

fn line(gateway: &Gateway, number: usize) -> Value {
    gateway.audit(number).remove(number - 1)
}

#[test]
fn a_denial_is_let_through_and_recorded() {
    let backend = Backend::json(ACCOUNT);
    let gateway = Setup::new(&backend).policy(&on_trial()).start();
    let mut lines = 0;
    let county = r#"{"county":"County_B"}"#;
    for (method, path, role, body, status, decision, would_deny) in [
        ("GET", "/api/accounts/A1", "clerk", "", 200, "ALLOWED", None),
        (
            "GET",
            "/api/accounts/A1",
            "driver",
            "",
            200,
            "ALLOWED",
            Some("DENIED_SCOPE"),
        ),
        (
            "GET",
            "/api/accounts/own",
            "clerk",
            "",
            200,
            "ALLOWED",
            Some("DENIED_CONDITION"),
        ),
        (
            "GET",
            "/api/ledger/totals",
            "driver",
            "",
            200,
            "ALLOWED",
            Some("DENIED_SCOPE"),
        ),
        (
            "GET",
            "/api/ledger/entries?county=County_B",
            "finance_admin",
            "",
            200,
            "ALLOWED",
            Some("DENIED_JURISDICTION"),
        ),
        (
            "POST",
            "/api/ledger/sync",
            "finance_admin",
            county,
            200,
            "ALLOWED",
            Some("DENIED_JURISDICTION"),
        ),
        // A route's own mode is not its module's.
        ("GET", "/api/ledger/state", "driver", "", 403, "DENIED_SCOPE", None),
        (
            "GET",
            "/api/tariffs",
            "collections_agent",
            "",
            200,
            "ALLOWED",
            Some("DENIED_SCOPE"),
        ),
        (
            "GET",
            "/api/tariffs/1",
            "collections_agent",
            "",
            403,
            "DENIED_SCOPE",
            None,
        ),
        // Everything else holds as ever.
        ("GET", "/portal/schedule", "clerk", "", 403, "DENIED_SCOPE", None),
        ("PUT", "/api/accounts/A1", "driver", "", 405, "DENIED_ROUTE", None),
        ("GET", "/api/nothing", "driver", "", 404, "DENIED_ROUTE", None),
        ("GET", "/api/accounts/A1", "stranger", "", 401, "DENIED_ROLE", None),
        ("GET", "/api/accounts/A1", "remote", "", 403, "DENIED_SOURCE", None),
    ] {
        let key = if method == "POST" {
            "X-Idempotency-Key: k1\r\n"
        } else {
            ""
        };
        let answer = gateway.call(method, path, &[role], key, body);
        lines += 1;
        let line = line(&gateway, lines);
        assert_eq!(answer.status, status, "{method} {path} {role}: {line}");
        assert_eq!(line["decision"], decision, "{line}");
        assert_eq!(line.get("would_deny").and_then(Value::as_str), would_deny, "{line}");
    }
    let detail = gateway.audit(lines)[2]["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("the condition at") && detail.ends_with("is false"),
        "{detail}"
    );

    let metrics = gateway.metrics();
    for (decision, module, count) in [
        ("DENIED_SCOPE", "accounts", 1),
        ("DENIED_CONDITION", "accounts", 1),
        ("DENIED_JURISDICTION", "ledger", 2),
        ("DENIED_SCOPE", "ledger", 1),
        ("DENIED_SCOPE", "tariffs", 1),
    ] {
        let text = format!("tollgate_would_deny_total{{decision=\"{decision}\",module=\"{module}\"}} {count}");
        assert!(metrics.contains(&text), "{text} is not in\n{metrics}");
    }
    assert!(metrics.contains(r#"tollgate_decisions_total{decision="ALLOWED",module="accounts"} 3"#));
    assert!(
        gateway.log().contains("module `accounts` is in shadow mode"),
        "{}",
        gateway.log()
    );
}

#[test]
fn no_door_opens_without_a_token_and_no_key_is_spared() {
    let backend = Backend::json(ACCOUNT);
    let gateway = Setup::new(&backend).policy(&on_trial()).start();
    let path = "/api/accounts/A1";
    for (name, claims, status) in [
        ("expired", json!({ "exp": 1 }), 401),
        ("for somebody else", json!({ "aud": "x" }), 401),
        ("of somebody else", json!({ "iss": "https://x.example" }), 401),
        (
            "exclusive",
            json!({ "roles": ["rate_engineer", "collections_agent"] }),
            403,
        ),
    ] {
        let mut all = super::harness::claims(&["clerk"]);
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let answer = gateway.call_as("GET", path, &gateway.token(&all), "", "");
        assert_eq!(answer.status, status, "{name}");
    }
    for token in ["", "x.y.z"] {
        assert_eq!(gateway.call_as("GET", path, token, "", "").status, 401, "{token:?}");
    }
    let home = r#"{"county":"County_B"}"#;
    let sync = |key: &str| {
        gateway
            .call("POST", "/api/ledger/sync", &["finance_admin"], key, home)
            .status
    };
    assert_eq!(sync(""), 400);
    assert_eq!(backend.count(), 0);
    assert_eq!(
        [sync("X-Idempotency-Key: k\r\n"), sync("X-Idempotency-Key: k\r\n")],
        [200, 409]
    );
    assert_eq!(backend.count(), 1);
    for line in gateway.audit(9) {
        let denied = line["would_deny"].is_string();
        let on_trial = line["endpoint"] == "/api/ledger/sync";
        assert_eq!(denied, on_trial, "{line}");
    }
}

#[test]
fn masking_is_by_the_rights_that_the_caller_has() {
    let backend = Backend::json(ACCOUNT);
    let gateway = Setup::new(&backend).policy(&on_trial()).start();
    for role in ["driver", "clerk"] {
        let answer = gateway.get("/api/accounts/A1", &[role]);
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains(CANARY), "{role}: {}", answer.text());
        assert!(answer.text().contains("[REDACTED]"), "{role}: {}", answer.text());
    }
    assert!(gateway.audit(2)[0]["masked_fields"]["pii"].as_u64() > Some(0));
}

#[test]
fn a_reload_ends_the_trial() {
    let backend = Backend::json(ACCOUNT);
    let gateway = Setup::new(&backend).policy(&on_trial()).start();
    let status = || gateway.get("/api/accounts/A1", &["driver"]).status;
    assert_eq!(status(), 200);
    let file = gateway.path("policy/policy.yaml");
    fs::write(&file, on_trial().replace("mode: shadow", "mode: enforce")).unwrap();
    wait_for("the denial to hold", || status() == 403);
    fs::write(&file, on_trial()).unwrap();
    wait_for("the trial to begin again", || status() == 200);
}

#[test]
fn check_and_explain_say_what_is_on_trial() {
    let backend = Backend::json(ACCOUNT);
    let gateway = Setup::new(&backend).policy(&on_trial()).start();
    let folder = gateway.path("");
    let (code, out, err) = run(&["check", "--config", "tollgate.yaml"], &folder);
    let said = format!("{out}{err}");
    assert_eq!(code, 0, "{said}");
    for text in [
        "warning: module `accounts` is in shadow mode",
        "warning: module `ledger` is in shadow mode",
        "warning: the route is in shadow mode",
    ] {
        assert!(said.contains(text), "{text} is not in\n{said}");
    }
    let claims = claims(&["driver"]).to_string();
    let explain = |path: &str| {
        let arguments = ["explain", "--config", "tollgate.yaml", "--claims", &claims, "GET", path];
        let (code, out, _) = run(&arguments, &folder);
        (code, out)
    };
    let (code, out) = explain("/api/accounts/A1");
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("would be denied: DENIED_SCOPE  denied_scope (shadow)"),
        "{out}"
    );
    assert!(out.contains("would take: a role that grants `accounts:read`"), "{out}");
    let (code, out) = explain("/api/ledger/state");
    assert!(code == 3 && !out.contains("shadow"), "{out}");
}
