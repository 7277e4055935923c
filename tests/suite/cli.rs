//! The commands: what they print, and what they exit with.

use super::harness::*;
use serde_json::Value;
use tempfile::TempDir;

const GATEWAY: &str = "listen:\n  - address: 127.0.0.1:18080\npolicy: policy.yaml\nupstreams:\n  billing: { url: \
                       \"http://127.0.0.1:19000\" }\n";

fn folder(gateway: &str, policy: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "tollgate.yaml", gateway);
    write(folder.path(), "policy.yaml", &policy.replace("../keys/", "keys/"));
    write(folder.path(), "keys/public.pem", key_pair().1);
    write(folder.path(), "keys/private.pem", key_pair().0);
    folder
}

fn check(gateway: &str, policy: &str) -> (i32, String) {
    let folder = folder(gateway, policy);
    let (code, out, err) = run(&["check", "--config", "tollgate.yaml"], folder.path());
    (code, out + &err)
}

#[test]
fn check_is_content_with_the_suites_policy() {
    let (code, text) = check(GATEWAY, POLICY);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("ok: "), "{text}");
}

#[test]
fn check_prints_every_problem_with_its_place_and_a_hint() {
    let policy = POLICY
        .replace("scope: tariffs:write }", "scope: tariffs:wirte }")
        .replace(
            "upstream: billing\n    path_parameters",
            "upstream: biling\n    path_parameters",
        )
        .replace("never_to: [billing_analyst]", "never_to: [billing_analist]")
        .replace("mask: redact", "mask: blur")
        .replace("exclusive_roles:", "exclusive_rolls:");
    let (code, text) = check(GATEWAY, &policy);
    assert_eq!(code, 1, "{text}");
    for (needle, line) in [
        ("tariffs:wirte", "scope: tariffs:wirte"),
        ("biling", "upstream: biling"),
        ("billing_analist", "billing_analist"),
        ("blur", "mask: blur"),
        ("exclusive_rolls", "exclusive_rolls:"),
    ] {
        let number = policy.lines().position(|text| text.contains(line)).unwrap() + 1;
        assert!(
            text.contains(&format!("policy.yaml:{number}:")),
            "{needle} at line {number}:\n{text}"
        );
        assert!(text.contains(&format!("`{needle}`")), "{needle}:\n{text}");
    }
    for hint in ["`tariffs:write`", "`billing`", "`billing_analyst`", "`exclusive_roles`"] {
        assert!(text.contains(hint), "{hint}:\n{text}");
    }
}

#[test]
fn what_is_not_supported_yet_says_so() {
    for (from, to) in [
        ("scope: tariffs:read }", "scope: tariffs:read, concurrency: {} }"),
        ("exclusive_roles:", "elevations: {}\nexclusive_roles:"),
        ("on_duplicate: conflict", "on_duplicate: replay"),
        ("allow_from: [10.0.0.0/8]", "recertify_by: 2027-03-31"),
    ] {
        let policy = POLICY.replacen(from, to, 1);
        assert_ne!(policy, POLICY, "{from}");
        let (code, text) = check(GATEWAY, &policy);
        assert_eq!(code, 1, "{to}: {text}");
        assert!(text.contains("not supported yet"), "{to}: {text}");
    }
}

#[test]
fn keys_are_checked_too() {
    let folder = folder(GATEWAY, POLICY);
    write(
        folder.path(),
        "keys/public.pem",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    );
    let (code, out, err) = run(&["check", "--config", "tollgate.yaml"], folder.path());
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains("public.pem"), "{err}");
}

#[test]
fn json_problems_can_be_read_by_a_program() {
    let folder = folder(GATEWAY, &POLICY.replace("mask: redact", "mask: blur"));
    let (code, out, _) = run(
        &["check", "--config", "tollgate.yaml", "--format", "json"],
        folder.path(),
    );
    assert_eq!(code, 1);
    let problems: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(problems[0]["severity"], "error");
    assert!(problems[0]["line"].as_u64().unwrap() > 1);
}

#[test]
fn serve_refuses_to_start_with_problems() {
    let folder = folder(GATEWAY, &POLICY.replace("mask: redact", "mask: blur"));
    let (code, _, err) = run(&["serve", "--config", "tollgate.yaml"], folder.path());
    assert_eq!(code, 1);
    assert!(err.contains("`blur`"), "{err}");
    assert!(!folder.path().join("audit").exists(), "nothing was made on disk");
}

#[test]
fn explain_decides_as_the_gateway_does() {
    let folder = folder(GATEWAY, POLICY);
    write(folder.path(), "body.json", r#"{"county":"County_B"}"#);
    let claims = |roles: &[&str]| claims(roles).to_string();
    let explain = |claims: &str, rest: &[&str]| {
        let mut arguments = vec!["explain", "--config", "tollgate.yaml"];
        if !claims.is_empty() {
            arguments.extend(["--claims", claims]);
        }
        arguments.extend(rest);
        run(&arguments, folder.path())
    };
    for (roles, rest, code, needles) in [
        (
            &["clerk"][..],
            &["GET", "/api/accounts/A1"][..],
            0,
            &["ALLOWED", "`subsidy`, `pii`", "policy.yaml:"][..],
        ),
        (&["caseworker"], &["GET", "/api/accounts/A1"], 0, &["ALLOWED", "none"]),
        (
            &["clerk"],
            &["GET", "/api/tariffs"],
            3,
            &["DENIED_SCOPE", "`tariffs:read`"],
        ),
        (
            &["collections_agent"],
            &["GET", "/api/ledger/counties/County_B"],
            3,
            &["DENIED_JURISDICTION", "`County_B`", "`County_A`"],
        ),
        (
            &["finance_admin"],
            &["--body", "body.json", "POST", "/api/ledger/sync"],
            3,
            &["DENIED_JURISDICTION"],
        ),
        (
            &["finance_admin"],
            &[
                "--header",
                "X-County: County_A",
                "GET",
                "http://gw.example/api/ledger/totals",
            ],
            0,
            &["ALLOWED"],
        ),
        (&["nobody"], &["GET", "/api/tariffs"], 3, &["DENIED_ROLE"]),
        (&["clerk"], &["GET", "/api/a/../b"], 3, &["DENIED_REQUEST"]),
        (&["clerk"], &["GET", "/nowhere"], 3, &["DENIED_ROUTE"]),
    ] {
        let (got, out, err) = explain(&claims(roles), rest);
        assert_eq!(got, code, "{roles:?} {rest:?}\n{out}{err}");
        for needle in needles {
            assert!(out.contains(needle), "{roles:?} {rest:?}: {needle}\n{out}");
        }
    }
    let (code, out, _) = explain("", &["GET", "/api/accounts/A1"]);
    assert_eq!(code, 3);
    assert!(out.contains("DENIED_TOKEN"), "{out}");
}

#[test]
fn a_minted_token_is_taken() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let key = gateway.path("keys/private.pem");
    let claims = claims(&["clerk"]).to_string();
    let (code, token, _) = run(
        &[
            "token",
            "--key",
            key.to_str().unwrap(),
            "--claims",
            &claims,
            "--ttl",
            "5m",
        ],
        gateway.path("").as_path(),
    );
    assert_eq!(code, 0);
    assert_eq!(
        gateway.call_as("GET", "/api/accounts/A1", token.trim(), "", "").status,
        200
    );
}

#[test]
fn schemas_are_json_schemas() {
    let folder = tempfile::tempdir().unwrap();
    for which in ["gateway", "policy"] {
        let (code, out, _) = run(&["schema", which], folder.path());
        assert_eq!(code, 0);
        let schema: Value = serde_json::from_str(&out).unwrap();
        assert!(
            schema["$schema"].as_str().unwrap().contains("json-schema.org"),
            "{which}"
        );
        assert!(
            schema["properties"].is_object() || schema["$ref"].is_string(),
            "{which}"
        );
    }
}

#[test]
fn wrong_usage_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &[][..],
        &["dance"],
        &["serve"],
        &["check", "--config"],
        &["explain", "--config", "x"],
        &["audit"],
        &["token"],
        &["schema", "x"],
    ] {
        assert_eq!(run(arguments, folder.path()).0, 2, "{arguments:?}");
    }
}
