//! Each step of a request's life, in the order in which they answer (interface, section 4).

use std::io::{Read, Write};

use super::harness::*;

#[test]
fn s1_7_each_role_sees_its_own_view_of_an_account() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let analyst = gateway.get("/api/accounts/A1001", &["billing_analyst"]);
    assert_eq!(analyst.status, 200);
    assert_eq!(
        analyst.text(),
        r#"{"account_id":"A1001", "balance":1234.5000,"customer":{"ssn":"[REDACTED]","phone":"[REDACTED]","name":"x"},"note":"\/ok"}"#
    );
    let caseworker = gateway.get("/api/accounts/A1001", &["caseworker"]);
    assert_eq!(
        caseworker.body,
        ACCOUNT.as_bytes(),
        "whoever may see all gets the backend's own bytes"
    );
}

/// A request of a table, and what must come of it.
struct Row {
    /// `METHOD PATH`.
    line: &'static str,
    /// Roles, by blanks. Empty = no token.
    roles: &'static str,
    /// More header lines, each ended by `|`.
    headers: &'static str,
    body: &'static str,
    status: u16,
    /// Empty = let through.
    error: &'static str,
    decision: &'static str,
}

const fn row(
    line: &'static str,
    roles: &'static str,
    headers: &'static str,
    body: &'static str,
    expected: (u16, &'static str, &'static str),
) -> Row {
    Row {
        line,
        roles,
        headers,
        body,
        status: expected.0,
        error: expected.1,
        decision: expected.2,
    }
}

const ALLOWED: (u16, &str, &str) = (200, "", "ALLOWED");
const MISSING: (u16, &str, &str) = (401, "missing_token", "DENIED_TOKEN");
const INVALID: (u16, &str, &str) = (401, "invalid_token", "DENIED_TOKEN");
const NO_ROLE: (u16, &str, &str) = (401, "no_role", "DENIED_ROLE");
const CONFLICT: (u16, &str, &str) = (403, "conflicting_roles", "DENIED_ROLE");
const SOURCE: (u16, &str, &str) = (403, "source_not_allowed", "DENIED_SOURCE");
const NO_ROUTE: (u16, &str, &str) = (404, "no_route", "DENIED_ROUTE");
const METHOD: (u16, &str, &str) = (405, "method_not_allowed", "DENIED_ROUTE");
const SCOPE: (u16, &str, &str) = (403, "denied_scope", "DENIED_SCOPE");
const MODULE: (u16, &str, &str) = (403, "denied_module", "DENIED_MODULE");
const ELSEWHERE: (u16, &str, &str) = (403, "jurisdiction_mismatch", "DENIED_JURISDICTION");
const DRY_RUN: (u16, &str, &str) = (400, "dry_run_unsupported", "DRY_RUN");
const NO_KEY: (u16, &str, &str) = (400, "idempotency_key_missing", "DENIED_IDEMPOTENCY");
const BAD_KEY: (u16, &str, &str) = (400, "idempotency_key_invalid", "DENIED_IDEMPOTENCY");
const PATH: (u16, &str, &str) = (400, "ambiguous_path", "DENIED_REQUEST");
const ODD: (u16, &str, &str) = (400, "ambiguous_request", "DENIED_REQUEST");

/// Sends each row, and holds the answer, the audit line and what reached the backend against it.
fn hold(gateway: &Gateway, backend: &Backend, rows: &[Row]) -> Vec<Answer> {
    let reached = backend.count();
    let mut answers = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let what = format!("row {at}: {} as [{}] {} {}", row.line, row.roles, row.headers, row.body);
        let (method, path) = row.line.split_once(' ').unwrap();
        let token = match row.roles {
            "" => String::new(),
            "bad" => "a.b.c".into(),
            roles => gateway.token(&claims(&roles.split(' ').collect::<Vec<_>>())),
        };
        let headers = format!("X-Request-Id: row-{at}\r\n{}", row.headers.replace('|', "\r\n"));
        let answer = gateway.call_as(method, path, &token, &headers, row.body);
        assert_eq!(answer.status, row.status, "{what}: {}", answer.text());
        assert_eq!(
            answer.field("x-request-id"),
            Some(format!("row-{at}").as_str()),
            "{what}"
        );
        if !row.error.is_empty() {
            let problem = answer.json();
            assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{what}");
            assert_eq!(problem["error"], row.error, "{what}");
            assert_eq!(problem["decision"], row.decision, "{what}");
            assert_eq!(problem["status"], row.status, "{what}");
            assert_eq!(problem["request_id"], format!("row-{at}"), "{what}");
            for member in ["type", "title", "detail"] {
                assert!(
                    problem[member].as_str().is_some_and(|text| !text.is_empty()),
                    "{what}: {member}"
                );
            }
        }
        let challenge = answer.field("www-authenticate").unwrap_or_default();
        assert_eq!(
            challenge.starts_with("Bearer"),
            row.status == 401 || row.error == "denied_scope",
            "{what}"
        );
        assert_eq!(
            challenge == "Bearer",
            row.error == "missing_token",
            "{what}: no error when there was no token"
        );
        answers.push(answer);
    }
    let lines = gateway.audit(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let id = format!("row-{at}");
        let line = lines.iter().find(|line| line["request_id"] == id.as_str()).unwrap();
        assert_eq!(line["decision"], row.decision, "{}: {line}", row.line);
        assert_eq!(
            line["error"].as_str().unwrap_or_default(),
            row.error,
            "{}: {line}",
            row.line
        );
        assert_eq!(line["response_status_code"], row.status, "{}: {line}", row.line);
    }
    let through = rows.iter().filter(|row| row.error.is_empty()).count();
    assert_eq!(
        backend.count() - reached,
        through,
        "a refused request has reached the backend"
    );
    answers
}

#[test]
fn s2_2_s2_3_each_step_answers_and_the_first_that_fails_is_the_one() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let rows = [
        row("GET /api/accounts/1", "clerk", "", "", ALLOWED),
        // The path comes before the token, the token before everything that the policy says.
        row("GET /api/accounts/../x", "", "", "", PATH),
        row("GET /api//accounts", "bad", "", "", PATH),
        row("GET /api/accounts", "bad", "If-Match: a|If-Match: b|", "", ODD),
        row("GET /api/accounts/1", "", "", "", MISSING),
        row("GET /nowhere", "", "", "", MISSING),
        row("DELETE /api/accounts", "", "", "", MISSING),
        row("POST /api/ledger/sync?dry_run=true", "", "", "", MISSING),
        row("GET /api/accounts/1", "bad", "", "", INVALID),
        row("GET /nowhere", "bad", "", "", INVALID),
        row("GET /api/accounts/help", "bad", "", "", INVALID),
        row("GET /api/accounts/1", "mayor", "", "", NO_ROLE),
        row("GET /api/accounts/1", "CLERK", "", "", NO_ROLE),
        row("GET /nowhere", "mayor", "", "", NO_ROLE),
        row("GET /api/accounts/1", "mayor clerk", "", "", ALLOWED),
        row(
            "GET /api/accounts/1",
            "rate_engineer collections_agent",
            "",
            "",
            CONFLICT,
        ),
        row("GET /nowhere", "rate_engineer collections_agent", "", "", CONFLICT),
        row(
            "GET /api/accounts/1",
            "rate_engineer collections_agent clerk",
            "",
            "",
            CONFLICT,
        ),
        row("GET /api/accounts/1", "remote", "", "", SOURCE),
        row("GET /api/accounts/1", "clerk remote", "", "", SOURCE),
        row("GET /nowhere", "remote", "", "", SOURCE),
        row(
            "GET /api/accounts/1",
            "remote",
            "X-Forwarded-For: 10.0.0.1|",
            "",
            SOURCE,
        ),
        // Then where, then how.
        row("GET /nowhere", "clerk", "", "", NO_ROUTE),
        row("GET /", "finance_admin", "", "", NO_ROUTE),
        row("GET /api", "finance_admin", "", "", NO_ROUTE),
        row("GET /api/ledger", "finance_admin", "", "", NO_ROUTE),
        row("GET /api/accountsheet", "finance_admin", "", "", NO_ROUTE),
        row("DELETE /nowhere?dry_run=true", "clerk", "", "", NO_ROUTE),
        row("DELETE /api/tariffs/7", "clerk", "", "", METHOD),
        row("PUT /api/tariffs", "rate_engineer", "", "", METHOD),
        row("POST /api/ledger/counties/County_B", "clerk", "", "", METHOD),
        row("GET /api/ledger/sync", "rate_engineer", "", "", METHOD),
        row("POST /api/accounts/help", "clerk", "", "", METHOD),
        // Then scope, module, jurisdiction.
        row("GET /api/tariffs", "clerk", "", "", SCOPE),
        row("PUT /api/tariffs/7", "finance_admin", "", "", SCOPE),
        row("GET /api/ledger/state", "rate_engineer", "", "", SCOPE),
        row("GET /api/ledger/counties/County_B", "clerk", "", "", SCOPE),
        row("POST /api/ledger/sync", "clerk", "", "{\"county\":\"County_B\"}", SCOPE),
        row("GET /api/ledger/state?dry_run=true", "clerk", "", "", SCOPE),
        row("GET /api/ledger/state", "rate_engineer finance_admin", "", "", MODULE),
        row(
            "GET /api/ledger/counties/County_B",
            "rate_engineer finance_admin",
            "",
            "",
            MODULE,
        ),
        row(
            "GET /api/ledger/state?dry_run=1",
            "rate_engineer finance_admin",
            "",
            "",
            MODULE,
        ),
        row("GET /api/tariffs", "collections_agent finance_admin", "", "", MODULE),
        row(
            "GET /api/ledger/state",
            "collections_agent finance_admin",
            "",
            "",
            ALLOWED,
        ),
        row(
            "GET /api/ledger/counties/County_B?dry_run=true",
            "finance_admin",
            "",
            "",
            ELSEWHERE,
        ),
        row(
            "POST /api/ledger/sync",
            "finance_admin",
            "",
            "{\"county\":\"County_B\"}",
            ELSEWHERE,
        ),
        row(
            "POST /api/ledger/sync?dry_run=true",
            "finance_admin",
            "",
            "{\"county\":\"County_B\"}",
            ELSEWHERE,
        ),
        // Then dry run and key.
        row(
            "POST /api/ledger/sync?dry_run=true",
            "finance_admin",
            "",
            "{\"county\":\"County_A\"}",
            DRY_RUN,
        ),
        row(
            "POST /api/ledger/sync?DRY_RUN=true",
            "finance_admin",
            "",
            "{\"county\":\"County_A\"}",
            ODD,
        ),
        row(
            "POST /api/ledger/sync",
            "finance_admin",
            "",
            "{\"county\":\"County_A\"}",
            NO_KEY,
        ),
        row(
            "POST /api/ledger/sync?dry_run=false",
            "finance_admin",
            "",
            "{\"county\":\"County_A\"}",
            NO_KEY,
        ),
        row(
            "POST /api/ledger/sync",
            "finance_admin",
            "X-Idempotency-Key: a b|",
            "{\"county\":\"County_A\"}",
            BAD_KEY,
        ),
        row(
            "POST /api/ledger/sync",
            "finance_admin",
            "X-Idempotency-Key: k1|",
            "{\"county\":\"County_A\"}",
            ALLOWED,
        ),
        // S3.3: a dispatcher has what a driver has, and a driver not what a dispatcher has.
        row("GET /portal/schedule", "driver", "", "", ALLOWED),
        row("GET /portal/schedule", "dispatcher", "", "", ALLOWED),
        row("POST /portal/assignments", "dispatcher", "", "x", ALLOWED),
        row("GET /portal/assignments", "driver", "", "", SCOPE),
    ];
    let answers = hold(&gateway, &backend, &rows);
    for (row, answer) in rows.iter().zip(&answers) {
        assert_eq!(answer.field("allow").is_some(), row.status == 405, "{}", row.line);
    }
}

#[test]
fn s3_2_a_refusal_says_what_would_do_and_no_more() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let scope = gateway.get("/portal/assignments", &["driver"]);
    assert_eq!(
        scope.json()["detail"],
        "Insufficient permissions. Required: manage_assignments"
    );
    assert_eq!(
        scope.field("www-authenticate"),
        Some(r#"Bearer error="insufficient_scope", scope="manage_assignments""#)
    );
    for (path, expected) in [
        ("/api/tariffs", "GET, HEAD"),
        ("/api/tariffs/7", "GET, HEAD, PUT"),
        ("/api/ledger/sync", "POST"),
        ("/portal/assignments", "GET, HEAD, POST"),
    ] {
        let answer = gateway.call("DELETE", path, &["clerk"], "", "");
        assert_eq!(answer.status, 405, "{path}");
        let mut allow: Vec<&str> = answer.field("allow").unwrap().split(", ").collect();
        allow.sort_unstable();
        assert_eq!(allow.join(", "), expected, "{path}");
    }
    // Nothing in an answer names a rule, a file, or a role that the caller has not.
    for answer in [
        gateway.get("/api/tariffs", &["clerk"]),
        gateway.get("/api/ledger/state", &["rate_engineer", "finance_admin"]),
        gateway.get("/api/accounts/1", &["rate_engineer", "collections_agent"]),
        gateway.get("/api/accounts/1", &["remote"]),
        gateway.get("/nowhere", &["clerk"]),
        gateway.get("/api/accounts/1", &["mayor"]),
    ] {
        let text = answer.text();
        for secret in [
            "policy",
            "yaml",
            "dispatcher",
            "collections_agent",
            "caseworker",
            "10.0.0.0",
            "billing",
        ] {
            assert!(!text.contains(secret), "`{secret}` in {text}");
        }
    }
}

#[test]
fn an_expired_token_is_told_from_a_bad_one() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let mut old = claims(&["clerk"]);
    old["iat"] = (unix_now() - 1000).into();
    old["exp"] = (unix_now() - 100).into();
    for path in ["/api/accounts/1", "/nowhere"] {
        let answer = gateway.call_as("GET", path, &gateway.token(&old), "", "");
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (401, "expired_token"),
            "{path}"
        );
    }
    assert!(gateway.audit(2).iter().all(|line| line["decision"] == "DENIED_TOKEN"));
}

#[test]
fn a_policy_may_admit_addresses_and_then_nobody_else() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend)
        .policy(&format!("{POLICY}\nallow_from: [10.0.0.0/8]\n"))
        .extra("trusted_proxies: [127.0.0.1/32]")
        .start();
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    for (path, token, headers, status, error) in [
        ("/api/accounts/help", "", String::new(), 403, "source_not_allowed"),
        ("/api/accounts/1", "a.b.c", String::new(), 403, "source_not_allowed"),
        ("/api//accounts", "", String::new(), 400, "ambiguous_path"),
        ("/api/accounts/help", "", from("192.0.2.7"), 403, "source_not_allowed"),
        (
            "/api/accounts/help",
            "",
            from("10.1.2.3, 192.0.2.7"),
            403,
            "source_not_allowed",
        ),
        ("/api/accounts/help", "", from("10.1.2.3"), 200, ""),
        ("/api/accounts/help", "", from("192.0.2.7, 10.1.2.3"), 200, ""),
        ("/api/accounts/1", "a.b.c", from("10.1.2.3"), 401, "invalid_token"),
    ] {
        let answer = gateway.call_as("GET", path, token, &headers, "");
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (status, error),
            "{path} {headers}"
        );
    }
    let remote = gateway.call("GET", "/api/accounts/1", &["remote"], &from("10.1.2.3"), "");
    assert_eq!(remote.status, 200, "a role may be used from where it may");
    assert_eq!(backend.last().field("x-forwarded-for"), Some("10.1.2.3"));
    let lines = gateway.audit(9);
    assert!(
        lines
            .iter()
            .any(|line| line["ip_address"] == "10.1.2.3" && line["roles"][0] == "remote")
    );
}

#[test]
fn s1_5_a_request_stays_in_its_callers_jurisdiction() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let get = |path, headers, expected| row(path, "finance_admin", headers, "", expected);
    let post = |body, expected| row("POST /api/ledger/sync", "finance_admin", "", body, expected);
    let rows = [
        get("GET /api/ledger/counties/County_A", "", ALLOWED),
        get("GET /api/ledger/counties/%43ounty_A", "", ALLOWED),
        get("GET /api/ledger/counties/County_A/accounts", "", ALLOWED),
        get("GET /api/ledger/counties/County_B", "", ELSEWHERE),
        get("GET /api/ledger/counties/county_a", "", ELSEWHERE),
        get("GET /api/ledger/counties/County_A%20x", "", ELSEWHERE),
        get(
            "GET /api/ledger/counties/County_B?county=County_A",
            "X-County: County_A|",
            ELSEWHERE,
        ),
        get("GET /api/ledger/entries?county=County_A", "", ALLOWED),
        get("GET /api/ledger/entries?a=1&county=%43ounty_A&b", "", ALLOWED),
        get("GET /api/ledger/entries", "", ELSEWHERE),
        get("GET /api/ledger/entries?", "X-County: County_A|", ELSEWHERE),
        get("GET /api/ledger/entries?county", "", ELSEWHERE),
        get("GET /api/ledger/entries?county=", "", ELSEWHERE),
        get("GET /api/ledger/entries?county=County_B", "", ELSEWHERE),
        get("GET /api/ledger/entries?county=County_A&county=County_B", "", ELSEWHERE),
        get("GET /api/ledger/entries?county=County_A&county=County_A", "", ELSEWHERE),
        get("GET /api/ledger/entries?county=County_A&COUNTY=County_B", "", ELSEWHERE),
        get(
            "GET /api/ledger/entries?county=County_A&county[]=County_B",
            "",
            ELSEWHERE,
        ),
        get("GET /api/ledger/entries?county=County_A;county=County_B", "", ELSEWHERE),
        get(
            "GET /api/ledger/entries?county=County_A&coun%74y=County_B",
            "",
            ELSEWHERE,
        ),
        get("GET /api/ledger/totals", "X-County: County_A|", ALLOWED),
        get("GET /api/ledger/totals", "x-county: County_A|", ALLOWED),
        get("GET /api/ledger/totals", "", ELSEWHERE),
        get("GET /api/ledger/totals", "X-County: County_B|", ELSEWHERE),
        get(
            "GET /api/ledger/totals",
            "X-County: County_A|X-County: County_B|",
            ELSEWHERE,
        ),
        get(
            "GET /api/ledger/totals",
            "X-County: County_A|x-county: County_A|",
            ELSEWHERE,
        ),
        get("GET /api/ledger/totals", "X-County: County_A, County_B|", ELSEWHERE),
        get("GET /api/ledger/totals", "X_County: County_A|", ELSEWHERE),
        get(
            "GET /api/ledger/totals",
            "X-County: County_A|Connection: X-County|",
            ELSEWHERE,
        ),
        get("GET /api/ledger/state", "", ALLOWED),
        // From the body; the next step, which asks for a key, shows that it passed.
        post("{\"county\":\"County_A\"}", NO_KEY),
        post(
            " {\"x\":[{\"county\":\"County_B\"}],\"county\":\"County_\\u0041\"} ",
            NO_KEY,
        ),
        post("", ELSEWHERE),
        post("{}", ELSEWHERE),
        post("County_A", ELSEWHERE),
        post("[\"County_A\"]", ELSEWHERE),
        post("{\"county\":\"County_B\"}", ELSEWHERE),
        post("{\"County\":\"County_A\"}", ELSEWHERE),
        post("{\"x\":{\"county\":\"County_A\"}}", ELSEWHERE),
        post("{\"county\":\"County_A\",\"county\":\"County_B\"}", ELSEWHERE),
        post("{\"county\":\"County_A\",\"county\":\"County_A\"}", ELSEWHERE),
        post("{\"county\":\"County_A\",\"count\\u0079\":\"County_B\"}", ELSEWHERE),
        post("{\"county\":[\"County_A\"]}", ELSEWHERE),
        post("{\"county\":7}", ELSEWHERE),
        post("{\"county\":null}", ELSEWHERE),
        post("{\"county\":true}", ELSEWHERE),
        post("{\"county\":\"County_A\"", ELSEWHERE),
        post("{\"county\":\"County_A\"} {\"county\":\"County_B\"}", ELSEWHERE),
        post("county=County_A", ELSEWHERE),
    ];
    for (row, answer) in rows.iter().zip(hold(&gateway, &backend, &rows)) {
        if row.error == "jurisdiction_mismatch" {
            assert_eq!(
                answer.json()["allowed_scope"],
                serde_json::json!(["County_A"]),
                "{}",
                row.line
            );
        }
    }
}

#[test]
fn s1_5_the_callers_jurisdictions_are_a_list_or_a_string_or_none() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for (claim, status) in [
        (serde_json::json!(["County_B", "County_A"]), 200),
        (serde_json::json!("County_A"), 200),
        (serde_json::json!([]), 403),
        (serde_json::json!("County_B"), 403),
    ] {
        let mut own = claims(&["finance_admin"]);
        own["jurisdiction_scope"] = claim.clone();
        let answer = gateway.call_as("GET", "/api/ledger/state", &gateway.token(&own), "", "");
        assert_eq!(answer.status, status, "{claim}: {}", answer.text());
    }
    let mut none = claims(&["finance_admin"]);
    none.as_object_mut().unwrap().remove("jurisdiction_scope");
    let answer = gateway.call_as("GET", "/api/ledger/state", &gateway.token(&none), "", "");
    assert_eq!((answer.status, answer.error().as_str()), (403, "jurisdiction_mismatch"));
    assert_eq!(answer.json()["allowed_scope"], serde_json::json!([]));
}

#[test]
fn a_tokens_scopes_narrow_and_never_widen() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for (roles, scope, path, status) in [
        ("finance_admin", "accounts:read", "/api/accounts/1", 200),
        ("finance_admin", "accounts:read", "/api/ledger/state", 403),
        ("finance_admin", "*:read", "/api/ledger/state", 200),
        ("finance_admin", "", "/api/accounts/1", 403),
        ("clerk", "ledger:read accounts:read", "/api/ledger/state", 403),
        ("clerk", "*:read", "/api/accounts/1", 200),
        ("clerk", "*", "/api/tariffs", 403),
    ] {
        let mut own = claims(&[roles]);
        own["scope"] = scope.into();
        let answer = gateway.call_as("GET", path, &gateway.token(&own), "", "");
        assert_eq!(
            answer.status,
            status,
            "{roles} with `{scope}` at {path}: {}",
            answer.text()
        );
    }
}

#[test]
fn s1_10_a_dry_run_is_never_taken_for_a_real_one() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let mut rows = vec![
        row("GET /api/accounts/1?dry_run=true", "clerk", "", "", DRY_RUN),
        row("GET /api/accounts/help?dry_run=true", "", "", "", DRY_RUN),
        row(
            "POST /portal/assignments?a=1&dry_run=true",
            "dispatcher",
            "",
            "x",
            DRY_RUN,
        ),
        row("POST /portal/assignments?dry_run=false", "dispatcher", "", "x", ALLOWED),
        row(
            "POST /portal/assignments?laundry_run=true",
            "dispatcher",
            "",
            "x",
            ALLOWED,
        ),
    ];
    for line in [
        "POST /portal/assignments?dry_run",
        "POST /portal/assignments?dry_run=",
        "POST /portal/assignments?dry_run=1",
        "POST /portal/assignments?dry_run=TRUE",
        "POST /portal/assignments?dry_run=%74rue",
        "POST /portal/assignments?dry_run=true&dry_run=true",
        "POST /portal/assignments?dry_run=false&dry_run=true",
        "POST /portal/assignments?DRY_RUN=true",
        "POST /portal/assignments?+dry_run=true",
        "POST /portal/assignments?%20dry_run=true",
        "POST /portal/assignments?dry_run[]=true",
        "POST /portal/assignments?dry%5Frun=true",
        "POST /portal/assignments?dry%255Frun=true",
        "POST /portal/assignments?dry.run=true",
        "POST /portal/assignments?dry-run=true",
        "POST /portal/assignments?a=1;dry_run=true",
        "POST /portal/assignments?dry_run%00=true",
    ] {
        rows.push(row(line, "dispatcher", "", "x", ODD));
    }
    hold(&gateway, &backend, &rows);
}

#[test]
fn a_public_route_needs_no_token_and_shows_nothing_classified() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let masked = r#"{"account_id":"A1001", "balance":1234.5000,"customer":{"ssn":"[REDACTED]","phone":"[REDACTED]","name":"x"},"note":"\/ok"}"#;
    let nobody = gateway.call_as("GET", "/api/accounts/help", "", "", "");
    assert_eq!((nobody.status, nobody.text().as_str()), (200, masked));
    let caseworker = gateway.get("/api/accounts/help", &["caseworker"]);
    assert_eq!(caseworker.text(), masked, "nor to those who may see it elsewhere");
    let lines = gateway.audit(2);
    let nobody = lines.iter().find(|line| line["user_id"].is_null()).unwrap();
    assert_eq!(nobody["masked_fields"], serde_json::json!({"subsidy": 2, "pii": 2}));
}

#[test]
fn a_request_keeps_its_id_if_it_is_a_good_one() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let long = "a".repeat(128);
    let mut count = 0;
    for (sent, kept) in [
        ("abc-1.2_3", true),
        (long.as_str(), true),
        (&format!("{long}a"), false),
        ("", false),
        ("a b", false),
        ("a/b", false),
        ("\"a\"", false),
        ("a,b", false),
    ] {
        for (path, status) in [("/api/accounts/1", 200), ("/nowhere", 404)] {
            let answer = gateway.call("GET", path, &["clerk"], &format!("X-Request-Id: {sent}\r\n"), "");
            assert_eq!(answer.status, status);
            let id = answer.field("x-request-id").unwrap();
            assert_eq!(id == sent, kept, "`{sent}` became `{id}`");
            assert!(
                id.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
                    && !id.is_empty()
            );
            if status == 200 {
                assert_eq!(backend.last().field("x-request-id"), Some(id));
            }
            count += 1;
        }
    }
    let mut ids: Vec<String> = gateway
        .audit(count)
        .iter()
        .map(|line| line["request_id"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count - 2, "a fresh id is nobody else's");
    let two = gateway.call(
        "GET",
        "/api/accounts/1",
        &["clerk"],
        "X-Request-Id: one\r\nX-Request-Id: two\r\n",
        "",
    );
    assert!(
        !["one", "two"].contains(&two.field("x-request-id").unwrap()),
        "two ids are none"
    );
}

#[test]
fn the_backend_learns_who_asks_from_tollgate_alone() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let spoofed = concat!(
        "X-Municipal-Role: finance_admin|X_Municipal_Role: finance_admin|x-municipal-role: finance_admin|",
        "X-Municipal_Role: finance_admin|X.Municipal.Role: finance_admin|X-MUNICIPAL.ROLE: finance_admin|",
        "X-Municipal-User: root|x_municipal_user: root|X-Jurisdiction_Scope: County_Z|X.Jurisdiction.Scope: County_Z|",
        "X-Forwarded-For: 6.6.6.6|X_Forwarded_For: 6.6.6.6|X-Forwarded-Proto: gopher|X-Forwarded-Host: evil.example|",
        "X-Forwarded-User: root|X.Forwarded.User: root|Forwarded: for=6.6.6.6|X-Real-IP: 6.6.6.6|Via: 1.1 evil|",
        "X-Original-URL: /admin|X_Original_URL: /admin|X-Rewrite-URL: /admin|X-HTTP-Method-Override: DELETE|",
        "X_HTTP_Method_Override: DELETE|X-Request-Id: mine|Proxy: evil|Remote-User: root|X-Hop: 1|X-Kept: yes|",
        "Connection: X-Hop, X-Municipal-Role, X-Municipal-User, X-Forwarded-For, X-Request-Id|",
    )
    .replace('|', "\r\n");
    let expect = |seen: &Request, user: Option<&str>, role: Option<&str>| {
        let cgi = seen.cgi();
        let value = |name: &str| cgi.get(name).map(String::as_str);
        assert_eq!(value("HTTP_X_MUNICIPAL_USER"), user);
        assert_eq!(value("HTTP_X_MUNICIPAL_ROLE"), role);
        assert_eq!(value("HTTP_X_JURISDICTION_SCOPE"), user.map(|_| "County_A"));
        assert_eq!(value("HTTP_X_FORWARDED_FOR"), Some("127.0.0.1"));
        assert_eq!(value("HTTP_X_FORWARDED_PROTO"), Some("http"));
        assert_eq!(value("HTTP_X_FORWARDED_HOST"), Some("gw.example"));
        assert_eq!(value("HTTP_X_REQUEST_ID"), Some("mine"));
        assert_eq!(value("HTTP_X_KEPT"), Some("yes"));
        for (name, content) in &cgi {
            for evil in [
                "finance_admin",
                "root",
                "6.6.6.6",
                "evil",
                "County_Z",
                "/admin",
                "DELETE",
                "gopher",
                "eyJ",
            ] {
                assert!(!content.contains(evil), "{name}: {content}");
            }
        }
        for gone in [
            "HTTP_AUTHORIZATION",
            "HTTP_X_HOP",
            "HTTP_X_FORWARDED_USER",
            "HTTP_PROXY",
            "HTTP_FORWARDED",
        ] {
            assert_eq!(value(gone), None, "{gone}");
        }
        assert_eq!(
            seen.field("host"),
            Some(format!("127.0.0.1:{}", backend.port()).as_str())
        );
    };
    let answer = gateway.call(
        "GET",
        "/api/accounts/1?x=%2e",
        &["clerk", "mayor", "driver"],
        &spoofed,
        "",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = backend.last();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("GET", "/api/accounts/1?x=%2e")
    );
    expect(&seen, Some("u1"), Some("clerk,driver"));
    let answer = gateway.call_as("GET", "/api/accounts/help", "", &spoofed, "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    expect(&backend.last(), None, None);
}

#[test]
fn a_backend_that_fails_is_told_apart() {
    let backend = Backend::script(|request, stream| {
        let answer: &[u8] = match request.target.rsplit('/').next().unwrap() {
            "garbage" => b"what do you want?\r\n\r\n",
            "lengths" => {
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
            }
            "names" => b"HTTP/1.1 200 OK\r\nContent Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            "switch" => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "version" => b"HTTP/9.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "hangup" => b"",
            "half" => b"HTTP/1.1 200 OK\r\nContent-Le",
            "slow" => {
                // Until the gateway hangs up.
                let _ = stream.read(&mut [0]);
                b""
            }
            _ => b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        };
        let _ = stream.write_all(answer);
        false
    });
    let gateway = Setup {
        timeout: "300ms",
        ..Setup::new(&backend)
    }
    .start();
    let rows = [
        ("garbage", 502, "upstream_broken"),
        ("lengths", 502, "upstream_broken"),
        ("names", 502, "upstream_broken"),
        ("switch", 502, "upstream_broken"),
        ("version", 502, "upstream_broken"),
        ("hangup", 502, "upstream_broken"),
        ("half", 502, "upstream_broken"),
        ("slow", 504, "upstream_timeout"),
        ("fine", 404, ""),
    ];
    for (path, status, error) in rows {
        let answer = gateway.get(&format!("/api/accounts/{path}"), &["clerk"]);
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (status, error),
            "{path}: {}",
            answer.text()
        );
        assert_eq!(backend.last().target, format!("/api/accounts/{path}"));
    }
    assert_eq!(backend.count(), rows.len(), "nothing is sent twice");
    let lines = gateway.audit(rows.len());
    assert_eq!(
        lines.iter().filter(|line| line["decision"] == "ERROR_UPSTREAM").count(),
        rows.len() - 1
    );
    let fine = lines.iter().find(|line| line["response_status_code"] == 404).unwrap();
    assert_eq!(fine["decision"], "ALLOWED", "the backend's own no is its answer");
}

#[test]
fn a_backend_that_is_not_there_is_unavailable() {
    let gateway = Setup {
        backend: free_port(),
        ..Setup::new(&Backend::start())
    }
    .start();
    let answer = gateway.get("/api/accounts/1", &["clerk"]);
    assert_eq!((answer.status, answer.error().as_str()), (503, "upstream_unavailable"));
    assert!(answer.field("retry-after").is_some());
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    let lines = gateway.audit(1);
    assert_eq!(lines[0]["decision"], "ERROR_UPSTREAM");
    assert_eq!(lines[0]["upstream"], "billing");
}
