//! The offline commands: `matrix`, `test`, `diff` with `--replay`, and the admin port's `explain`.

use super::harness::*;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const GATEWAY: &str = "listen:\n  - address: 127.0.0.1:18080\npolicy: policy.yaml\nupstreams:\n  billing: { url: \
                       \"http://127.0.0.1:19000\" }\n";

/// The suite's policy as `policy.yaml`, and another one as `other.yaml`.
fn folder(other: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "tollgate.yaml", GATEWAY);
    write(folder.path(), "policy.yaml", &POLICY.replace("../keys/", "keys/"));
    write(folder.path(), "other.yaml", &other.replace("../keys/", "keys/"));
    write(folder.path(), "keys/public.pem", key_pair().1);
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A shipped policy with the upstreams that it names, and its cases.
fn shipped(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    copy(&policies.join(name), &folder.path().join("policy"));
    if name == "fleet" {
        write(folder.path(), "policy/keys/portal.secret", &"x".repeat(48));
    }
    fs::copy(
        policies.join(format!("{name}-tests.yaml")),
        folder.path().join("tests.yaml"),
    )
    .unwrap();
    let mut gateway = "listen:\n  - address: 127.0.0.1:18080\npolicy: policy\nupstreams:\n".to_owned();
    for (at, upstream) in ["billing", "rates", "archive", "portal"].iter().enumerate() {
        writeln!(gateway, "  {upstream}: {{ url: \"http://127.0.0.1:{}\" }}", 19_000 + at).unwrap();
    }
    write(folder.path(), "tollgate.yaml", &gateway);
    folder
}

fn good(folder: &TempDir, arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments, folder.path());
    assert_eq!(code, 0, "{out}{err}");
    out
}

fn matrix(folder: &TempDir, format: &str) -> String {
    good(folder, &["matrix", "--config", "tollgate.yaml", "--format", format])
}

#[test]
fn matrix_for_a_terminal() {
    for name in ["municipal", "fleet"] {
        let text = matrix(&shipped(name), "table");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(format!("matrix_table_{name}"), text);
    }
    insta::assert_snapshot!("matrix_table_suite", matrix(&folder(""), "table"));
}

#[test]
fn matrix_for_documents_and_spreadsheets() {
    for name in ["municipal", "fleet"] {
        let folder = shipped(name);
        insta::assert_snapshot!(format!("matrix_markdown_{name}"), matrix(&folder, "markdown"));
        let csv = matrix(&folder, "csv");
        assert!(
            csv.split("\r\n")
                .filter(|line| !line.is_empty())
                .all(|line| line.split(',').count() == 8)
        );
        insta::assert_snapshot!(format!("matrix_csv_{name}"), csv.replace('\r', ""));
    }
}

#[test]
fn more_roles_than_fit_into_a_line_are_several_tables() {
    let mut roles = String::from("roles:\n");
    for number in 0..40 {
        writeln!(roles, "  role_{number}: {{ scopes: [accounts:read] }}").unwrap();
    }
    let folder = folder("");
    let policy = POLICY.replace("../keys/", "keys/").replacen("roles:\n", &roles, 1);
    write(folder.path(), "policy.yaml", &policy);
    let text = matrix(&folder, "table");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(
        (0..40).all(|number| text.contains(&format!("┌ role_{number}\n"))),
        "{text}"
    );
}

/// S3's permission table, cell by cell.
#[test]
fn s3_the_matrix_is_the_designs_table() {
    let told: Value = serde_json::from_str(&matrix(&shipped("fleet"), "json")).unwrap();
    let rows = told["modules"][0]["routes"].as_array().unwrap();
    for (scopes, roles) in [
        (&["manage_users", "manage_system"][..], &["admin"][..]),
        (
            &[
                "view_financial",
                "view_variable_invoices",
                "view_weekly_incentives",
                "view_fleet_invoices",
                "view_dsp_scorecard",
                "view_pod_reports",
            ],
            &["admin", "manager"],
        ),
        (
            &["view_reports", "view_wst_data", "manage_assignments"],
            &["admin", "manager", "dispatcher"],
        ),
        (
            &["view_assignments", "view_schedule"],
            &["admin", "manager", "dispatcher", "driver"],
        ),
    ] {
        for scope in scopes {
            let mut asking = rows.iter().filter(|row| row["scope"] == *scope).peekable();
            assert!(asking.peek().is_some(), "no route asks for {scope}");
            for row in asking {
                for role in ["admin", "manager", "dispatcher", "driver"] {
                    let expected = if roles.contains(&role) { "allowed" } else { "no_scope" };
                    assert_eq!(row["roles"][role], expected, "{role} {row}");
                }
            }
        }
    }
}

/// S2's role table: which scopes each role has, and which modules are closed to it.
#[test]
fn s2_the_matrix_is_the_designs_table() {
    let told: Value = serde_json::from_str(&matrix(&shipped("municipal"), "json")).unwrap();
    let modules = told["modules"].as_array().unwrap();
    for (role, scopes, closed) in [
        (
            "meter_validator",
            &["telemetry:read", "validation:write"][..],
            &["tariffs", "collections", "assistance"][..],
        ),
        (
            "rate_engineer",
            &["tariffs:read", "tariffs:write", "rate_engine:configure"],
            &["collections", "assistance", "ledger"],
        ),
        (
            "collections_agent",
            &["arrears:read", "payment_routing:execute", "customer:contact"],
            &["tariffs", "rates", "assistance"],
        ),
        (
            "assistance_caseworker",
            &["assistance:read", "eligibility:verify"],
            &["tariffs", "rates", "collections"],
        ),
        (
            "finance_admin",
            &["ledger:sync", "ledger:read", "tariffs:read", "arrears:read"],
            &[],
        ),
    ] {
        for module in modules {
            let name = module["module"].as_str().unwrap();
            for row in module["routes"].as_array().unwrap() {
                let access = row["roles"][role].as_str().unwrap();
                assert!(!closed.contains(&name) || access == "restricted_module", "{role} {row}");
                assert!(!closed.is_empty() || access != "restricted_module", "{role} {row}");
                let granted = scopes.contains(&row["scope"].as_str().unwrap());
                assert!(!granted || access == "allowed", "{role} {row}");
            }
        }
    }
}

#[test]
fn shipped_policies_keep_what_their_tests_say() {
    for name in ["municipal", "fleet"] {
        let out = good(&shipped(name), &["test", "--config", "tollgate.yaml", "tests.yaml"]);
        assert!(out.starts_with("ok: ") && out.ends_with(" 0 failed\n"), "{out}");
    }
}

const FAILING: &str = r#"
- name: a clerk reads tariffs
  claims: { sub: u1, roles: [clerk] }
  request: { method: GET, url: /api/tariffs }
  expect: { decision: ALLOWED, status: 200 }
- name: a clerk sees subsidies
  claims: { sub: u1, roles: [clerk] }
  request: { method: GET, url: /api/accounts/A1 }
  response: { account_id: A1, subsidy_tier: T2 }
  expect: { decision: ALLOWED, body: { account_id: A1, subsidy_tier: T2 }, masked: [] }
- name: help is for everybody
  request: { method: GET, url: /api/accounts/help }
  expect: { decision: ALLOWED }
"#;

#[test]
fn a_failing_case_says_what_came_and_why() {
    let folder = folder("");
    write(folder.path(), "cases.yaml", FAILING);
    let arguments = ["test", "--config", "tollgate.yaml", "cases.yaml"];
    let (code, out, _) = run(&arguments, folder.path());
    assert_eq!(code, 1);
    insta::assert_snapshot!("test_failing", out);

    let (code, out, _) = run(&[&arguments[..], &["--format", "json"]].concat(), folder.path());
    assert_eq!(code, 1);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["passed"], &told["failed"]), (&json!(1), &json!(2)));
    assert_eq!(told["cases"][0]["misses"][0]["got"], "DENIED_SCOPE");
    assert_eq!(told["cases"][1]["explanation"]["masked"], json!(["subsidy", "pii"]));
}

#[test]
fn every_problem_in_cases_is_said_at_once() {
    let folder = folder("");
    write(
        folder.path(),
        "cases.yaml",
        "- name: one\n  request: { method: GET, ulr: /x }\n  expect: { decision: DENIED_SCOP, staus: 403 }\n\
         - name: one\n  claims: [a]\n  request: { method: \"G T\", url: /x, source: here }\n  expect: { masked: [subsidi], body: 1 }\n\
         - name: two\n  request: { method: GET, url: /x }\n  expect: {}\n\
         - name: three\n  request: { method: GET, url: /x }\n  content_type: csv\n  response: [a]\n  expect: { body: a }\n\
         - name: four\n  request: { method: GET, url: /x }\n  content_type: text/csv\n  response: [a]\n  expect: { body: [a] }\n\
         - name: five\n  request: { method: GET, url: /x }\n  content_type: text/csv\n  expect: { status: 200 }\n",
    );
    let (code, _, err) = run(&["test", "--config", "tollgate.yaml", "cases.yaml"], folder.path());
    assert_eq!(code, 1);
    insta::assert_snapshot!("test_problems", err);
}

const TEXTS: &str = r#"
- ASK
  name: a table
  content_type: text/csv; charset=windows-1252
  response: "Straße;ssn;Code;IBAN\nGräfe;1;C-17;\"a;b\"\n"
  expect: { status: 200, masked: [pii, code, iban], body: "Straße;ssn;Code;IBAN\nGräfe;[REDACTED];HASH;enc:k1:*\n" }
- ASK
  name: an XML document
  content_type: application/soap+xml
  response: "<l id='é'><ssn>1</ssn><Code>C-17</Code><a iban='1' code='C-17'/><subsidy_tier/></l>"
  expect:
    masked: [pii, code, iban, subsidy]
    body: "<l id='é'><ssn>[REDACTED]</ssn><Code>HASH</Code><a iban='enc:k1:*' code='HASH'/></l>"
- ASK
  name: lines
  content_type: application/x-ndjson
  response: "{\"code\":\"C-17\"}\n{\"iban\":1,\"x\":[\"enc:k1:*\"]}\n"
  expect: { body: "{\"code\":\"HASH\"}\n{\"iban\":\"enc:k1:*\",\"x\":[\"enc:k1:*\"]}\n" }
- ASK
  name: JSON that is not quite JSON
  content_type: application/json
  response: "{\"ssn\":\"a\",\"n\":007,}"
  expect: { body: "{\"ssn\":\"[REDACTED]\",\"n\":007,}" }
- ASK
  name: what passes
  content_type: text/plain
  response: "ssn 1"
  expect: { status: 200, masked: [], body: "ssn 1" }
- ASK
  name: what does not
  content_type: text/html
  response: "<p>1</p>"
  expect: { status: 502, decision: ERROR_UPSTREAM, error: unmaskable_response }
- ASK
  name: the other delimiter
  content_type: text/csv
  response: "id,ssn\n1,2\n"
  expect: { status: 502, error: unmaskable_response }
- ASK
  name: the other charset
  content_type: text/csv; charset=utf-8
  response: "id;ssn\n1;2\n"
  expect: { status: 502, error: unmaskable_response }
- ASK
  name: text that the charset does not have
  content_type: text/xml
  response: "<a><ж/></a>"
  expect: { status: 502, error: unmaskable_response }
"#;

/// The suite's policy; accounts are read otherwise, and have classes that are hashed and encrypted.
fn of_texts() -> TempDir {
    let reads =
        "    json: tolerant\n    csv: { delimiter: \";\" }\n    charset: windows-1252\n    unmaskable: [text/plain]\n";
    let classes = "  code: { names: [code], mask: hash, key: k1 }\n  iban: { names: [iban], mask: encrypt, key: k1 }\n";
    let policy = POLICY
        .replace("../keys/", "keys/")
        .replace(
            "    prefix: /api/accounts\n",
            &format!("    prefix: /api/accounts\n{reads}"),
        )
        .replace(
            "fields:\n",
            &format!("field_keys: {{ k1: {{ file: keys/fields.key }} }}\nfields:\n{classes}"),
        );
    let folder = folder("");
    write(folder.path(), "policy.yaml", &policy);
    write(folder.path(), "keys/fields.key", &"5a".repeat(32));
    folder
}

#[test]
fn cases_have_bodies_of_every_type_that_is_read() {
    let folder = of_texts();
    let hash = good(&folder, &["field", "hash", "--key", "k1=keys/fields.key", "C-17"]);
    let ask = "claims: { sub: u1, roles: [clerk] }\n  request: { method: GET, url: /api/accounts }";
    let cases = TEXTS.replace("HASH", hash.trim_end()).replace("ASK", ask);
    write(folder.path(), "cases.yaml", &cases);
    let arguments = ["test", "--config", "tollgate.yaml", "cases.yaml"];
    let out = good(&folder, &arguments);
    assert_eq!(out, "ok: 9 cases, 9 passed, 0 failed\n");
    // Each that is given back fails when it is another.
    let count = cases.matches("body: ").count();
    write(folder.path(), "cases.yaml", &cases.replace("body: \"", "body: \"x"));
    let (code, out, _) = run(&arguments, folder.path());
    assert_eq!(code, 1);
    assert!(out.contains(&format!(" {count} failed")), "{out}");
    assert!(out.contains("body: expected \"xssn 1\", got \"ssn 1\""), "{out}");
}

#[test]
fn how_a_module_reads_answers_is_said_where_one_asks_what_is_seen() {
    let folder = of_texts();
    let words = [
        "JSON that is not quite JSON is read",
        "fields of CSV are separated by `;`",
        "CSV and XML are in windows-1252",
        "unmasked passes: text/plain",
    ];
    let claims = r#"{"sub":"u1","roles":["clerk"],"iss":"https://idp.city.example","aud":"billing-api"}"#;
    let request = ["--claims", claims, "GET", "/api/accounts"];
    let explained = good(
        &folder,
        &[&["explain", "--config", "tollgate.yaml"], &request[..]].concat(),
    );
    let step = explained.lines().find(|line| line.contains("answer ")).unwrap();
    assert!(
        step.contains(&words.join("; ")) && step.contains("policy.yaml:"),
        "{explained}"
    );
    for format in ["table", "markdown"] {
        let text = matrix(&folder, format);
        for words in words {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
    let told: Value = serde_json::from_str(&matrix(&folder, "json")).unwrap();
    assert_eq!(told["modules"][0]["answers"], json!(words));
    assert_eq!(told["modules"][1]["answers"], json!([]));
}

#[test]
fn two_hundred_cases_take_no_time() {
    let folder = folder("");
    let mut cases = String::new();
    for number in 0..200 {
        writeln!(
            cases,
            "- name: case {number}\n  claims: {{ sub: u1, roles: [clerk] }}\n  request: {{ method: GET, url: /api/accounts/A{number} }}\n  \
             response: {{ id: {number}, subsidy_tier: T2 }}\n  expect: {{ decision: ALLOWED, body: {{ id: {number} }} }}"
        )
        .unwrap();
    }
    write(folder.path(), "cases.yaml", &cases);
    let started = Instant::now();
    good(&folder, &["test", "--config", "tollgate.yaml", "cases.yaml"]);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

fn diff(folder: &TempDir, more: &[&str]) -> (i32, String) {
    let arguments = [&["diff", "--config", "tollgate.yaml", "--to", "other.yaml"][..], more].concat();
    let (code, out, err) = run(&arguments, folder.path());
    (code, out + &err)
}

#[test]
fn diff_exits_4_when_anything_widens() {
    for (from, to, code) in [
        ("", "", 0),
        (
            "clerk: { scopes: [accounts:read] }",
            "clerk: { scopes: [accounts:read, tariffs:read] }",
            4,
        ),
        (
            "restricted_modules: [ledger]",
            "restricted_modules: [ledger, accounts]",
            0,
        ),
        ("restricted_modules: [ledger]", "restricted_modules: []", 4),
        ("algorithms: [ES256]", "algorithms: [ES256, ES384]", 4),
        ("max_lifetime: 30m", "max_lifetime: 15m", 0),
        ("mask: redact", "mask: blur", 1),
    ] {
        let other = POLICY.replacen(from, to, 1);
        let (got, text) = diff(&folder(&other), &[]);
        assert_eq!(got, code, "{to}\n{text}");
    }
    let (code, text) = diff(&folder("version: 1\n"), &[]);
    assert_eq!(code, 4, "an exclusive pair is gone, and so are classes: {text}");
}

const CHANGES: [(&str, &str); 4] = [
    (
        "clerk: { scopes: [accounts:read] }",
        "clerk: { scopes: [tariffs:read] }",
    ),
    (
        "jurisdiction: { from: \"path:county\" }",
        "jurisdiction: { from: \"query:county\" }",
    ),
    (
        "  - [rate_engineer, collections_agent]",
        "  - [rate_engineer, finance_admin]",
    ),
    ("never_to: [billing_analyst]", "never_to: [clerk]"),
];

fn changed() -> String {
    CHANGES.iter().fold(POLICY.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

#[test]
fn diff_for_people_and_programs() {
    let folder = folder(&changed());
    let (code, text) = diff(&folder, &[]);
    assert_eq!(code, 4);
    insta::assert_snapshot!("diff", text);
    let (code, text) = diff(&folder, &["--format", "json"]);
    assert_eq!(code, 4);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["widens"], true);
    let changes = told["changes"].as_array().unwrap();
    let asks = |change: &&Value| change["role"] == "clerk" && change["route"] == "/api/tariffs";
    let change = changes.iter().find(asks).unwrap();
    assert_eq!(change["effect"], "widens");
    assert_eq!(change["methods"], json!(["GET"]));
    assert_eq!(told["replay"], Value::Null);
}

/// The log is a real gateway's, which ran under the policy that is.
#[test]
fn past_requests_are_decided_again() {
    let backend = Backend::start();
    let folder = folder(&changed());
    let setup = Setup::new(&backend).policy(&POLICY.replace("../keys/", "keys/"));
    let mut gateway = Setup {
        files: vec![("policy/keys/public.pem", key_pair().1.to_owned())],
        ..setup
    }
    .start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/api/accounts/A1001", &["clerk"]).status, 200);
    }
    assert_eq!(gateway.get("/api/tariffs", &["clerk"]).status, 403);
    assert_eq!(
        gateway.get("/api/ledger/counties/County_A", &["finance_admin"]).status,
        200
    );
    assert_eq!(
        gateway
            .get("/api/ledger/entries?county=County_A", &["finance_admin"])
            .status,
        200
    );
    assert_eq!(
        gateway
            .get("/api/ledger/entries?county=County_B", &["finance_admin"])
            .status,
        403
    );
    assert_eq!(gateway.get("/api/accounts/help", &["clerk"]).status, 200);
    assert_eq!(gateway.get("/nowhere", &["clerk"]).status, 404);
    assert_eq!(gateway.call_as("GET", "/api/tariffs", "bad", "", "").status, 401);
    assert_eq!(gateway.call_as("GET", "/api/tariffs", "", "", "").status, 401);
    assert_eq!(gateway.get("/api/tariffs", &["nobody"]).status, 401);
    let log = gateway.path("audit/audit.jsonl");
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    wait_for("the log to be written", || lines() >= 13);
    gateway.kill();
    // The version is that of the files' names and bytes: so they have the same name here.
    let text = fs::read_to_string(&log).unwrap() + "not a record\n";
    write(folder.path(), "audit.jsonl", &text);

    let (code, out) = diff(&folder, &["--replay", "audit.jsonl"]);
    assert_eq!(code, 4);
    let replayed = out.split("\n\n").nth(1).unwrap();
    let times = |line: &str| {
        line.split("  ")
            .filter(|part| !part.ends_with('Z'))
            .collect::<Vec<_>>()
            .join("  ")
    };
    let replayed: Vec<String> = replayed.lines().map(times).collect();
    insta::assert_snapshot!("diff_replay", replayed.join("\n"));

    let (_, out) = diff(&folder, &["--format", "json", "--replay", "audit.jsonl"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["replay"]["newly_allowed"], 1);
    assert_eq!(told["replay"]["newly_denied"], 3);

    // The same policy decides nothing otherwise.
    write(folder.path(), "other.yaml", &POLICY.replace("../keys/", "keys/"));
    let (code, out) = diff(&folder, &["--replay", "audit.jsonl"]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("0 would be allowed that were denied, 0 denied that were allowed"),
        "{out}"
    );
}

fn question(admin: u16, body: &str) -> Answer {
    let request = format!(
        "POST /-/explain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(admin, request.as_bytes())
}

#[test]
fn the_admin_port_explains_by_the_policy_in_force() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let asked = |body: Value| {
        let answer = question(gateway.admin, &body.to_string());
        assert_eq!(answer.status, 200, "{body}");
        answer.json()
    };
    let told = asked(json!({ "claims": claims(&["clerk"]), "method": "GET", "url": "/api/accounts/A1" }));
    assert_eq!((&told["decision"], &told["error"]), (&json!("ALLOWED"), &Value::Null));
    assert_eq!(told["masked"], json!(["subsidy", "pii"]));
    let steps = told["steps"].as_array().unwrap();
    let route = steps.iter().find(|step| step["step"] == "route").unwrap();
    assert!(route["file"].as_str().unwrap().ends_with("policy.yaml") && route["line"].as_u64().unwrap() > 1);

    let told = asked(json!({ "claims": claims(&["clerk"]), "method": "GET", "url": "/api/tariffs" }));
    assert_eq!(
        (&told["decision"], &told["status"]),
        (&json!("DENIED_SCOPE"), &json!(403))
    );
    assert!(told["hint"].as_str().unwrap().contains("`tariffs:read`"));

    let body = json!({
        "claims": claims(&["finance_admin"]), "method": "POST", "url": "/api/ledger/sync", "body": { "county": "County_A" }
    });
    assert_eq!(asked(body.clone())["error"], "idempotency_key_missing");
    let mut keyed = body;
    keyed["headers"] = json!({ "X-Idempotency-Key": "k1" });
    assert_eq!(asked(keyed)["decision"], "ALLOWED");

    let told = asked(
        json!({ "claims": claims(&["remote"]), "method": "GET", "url": "/api/accounts/A1", "source": "192.0.2.1" }),
    );
    assert_eq!(told["decision"], "DENIED_SOURCE");
    assert_eq!(
        asked(json!({ "method": "GET", "url": "/api/accounts/A1" }))["decision"],
        "DENIED_TOKEN"
    );
    assert!(backend.seen().is_empty(), "nothing was forwarded");
}

#[test]
fn a_bad_question_is_refused() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for body in [
        "",
        "[]",
        "{}",
        r#"{"method":"GET","url":"/","claim":{}}"#,
        r#"{"method":"G T","url":"/"}"#,
        r#"{"method":"GET","url":"/","headers":{"a b":"c"}}"#,
        r#"{"method":"GET","url":"/","source":"here"}"#,
    ] {
        assert_eq!(question(gateway.admin, body).status, 400, "{body}");
    }
    let large = format!(r#"{{"method":"GET","url":"/","body":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(question(gateway.admin, &large).status, 400);
    assert_eq!(gateway.admin("GET", "/-/explain").status, 405);
}

#[test]
fn wrong_usage_of_the_tools_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["matrix"][..],
        &["matrix", "--config", "x", "--format", "xml"],
        &["test", "--config", "x"],
        &["diff", "--config", "x"],
        &["diff", "--config", "x", "--to", "y", "--replay"],
    ] {
        assert_eq!(run(arguments, folder.path()).0, 2, "{arguments:?}");
    }
}
