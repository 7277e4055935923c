//! A dry run says what a write would do, and nothing of it reaches a backend (interface, section 7; S1.10).

use serde_json::{Value, json};
use std::io::Write;
use std::thread;

use super::harness::*;

const SYNC: &str = "/api/ledger/sync";
const DRY: &str = "/api/ledger/sync?dry_run=true";

/// What a batch must be.
const SCHEMA: &str = r#"{ "type": "object", "required": ["county", "entries"],
  "properties": { "county": { "type": "string" }, "entries": { "type": "array", "items": {
    "type": "object", "required": ["account_id", "amount"], "properties": {
      "account_id": { "type": "string", "maxLength": 8 }, "amount": { "type": ["string", "number"] } } } } } }"#;

const BATCH: &str = r#"{"county":"County_A","entries":[{"account_id":"A1","amount":"12.30"},{"account_id":"B2","amount":-2.5},{"account_id":"A1","amount":"0.7"}]}"#;

fn policy(more: &str) -> String {
    let keyed = "idempotency: { required: true, transaction_id: /transaction_id, keep: 35d, on_duplicate: conflict }";
    let dry = format!(
        "{keyed}\n        dry_run: {{ schema: schemas/ledger-sync.json, entries: /entries, account: /account_id, amount: /amount{more} }}"
    );
    let policy = POLICY.replace(keyed, &dry);
    assert_ne!(policy, POLICY);
    policy
}

fn gateway(backend: &Backend, more: &str) -> Gateway {
    let setup = Setup::new(backend).policy(&policy(more));
    Setup {
        files: vec![("policy/schemas/ledger-sync.json", SCHEMA.into())],
        ..setup
    }
    .start()
}

fn backend() -> Backend {
    Backend::bytes(answer("201 Created", "application/json", r#"{"transaction_id":"T-1"}"#))
}

fn post(gateway: &Gateway, target: &str, key: &str, body: &str) -> Answer {
    let key = if key.is_empty() {
        String::new()
    } else {
        format!("X-Idempotency-Key: {key}\r\n")
    };
    let headers = format!("Content-Type: application/json\r\n{key}");
    gateway.call("POST", target, &["finance_admin"], &headers, body)
}

/// A gateway whose dry runs tell balances: from a backend that answers `balances` to a `GET`.
fn with_balances(balances: String, route: &str) -> (Backend, Gateway) {
    let backend = Backend::script(move |_, stream| stream.write_all(balances.as_bytes()).is_ok());
    let policy = policy(", balances: { get: /api/ledger/balances, pointer: /balances }").replace(
        "      - path: /counties/{county}\n",
        &format!("      - {{ path: /balances, methods: [GET], {route} }}\n      - path: /counties/{{county}}\n"),
    );
    let setup = Setup::new(&backend).policy(&policy);
    let gateway = Setup {
        files: vec![("policy/schemas/ledger-sync.json", SCHEMA.into())],
        timeout: "1s",
        ..setup
    }
    .start();
    (backend, gateway)
}

/// A batch of one entry, so written.
fn entry(entry: &str) -> String {
    format!(r#"{{"county":"County_A","entries":[{entry}]}}"#)
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) -> Value {
    assert_eq!((answer.status, &*answer.error()), (status, error), "{}", answer.text());
    answer.json()
}

#[test]
fn s1_10_a_dry_run_adds_up_and_asks_nobody() {
    let backend = backend();
    let gateway = gateway(&backend, "");
    let answer = post(&gateway, DRY, "", BATCH);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let id = answer.field("x-request-id").unwrap();
    let expected = r#"{"dry_run":true,"entries":3,"deltas":[{"account":"A1","delta":"13.00"},{"account":"B2","delta":"-2.5"}],"total":"10.50","request_id":""#;
    assert_eq!(answer.text(), format!("{expected}{id}\"}}"));
    for (entries, deltas, total) in [
        ("", json!([]), "0"),
        (
            r#"{"account_id":"A","amount":"0.10"},{"account_id":"A","amount":0.2}"#,
            json!([["A", "0.30"]]),
            "0.30",
        ),
        (
            r#"{"account_id":"A","amount":1e2},{"account_id":"\u0041","amount":-100.00}"#,
            json!([["A", "0.00"]]),
            "0.00",
        ),
        (
            r#"{"account_id":"A","amount":123456789012345678901234567890.12},{"account_id":"B","amount":"0.0000000000000000000000000000001"}"#,
            json!([
                ["A", "123456789012345678901234567890.12"],
                ["B", "0.0000000000000000000000000000001"]
            ]),
            "123456789012345678901234567890.1200000000000000000000000000001",
        ),
    ] {
        let answer = post(&gateway, DRY, "", &entry(entries)).json();
        let told: Vec<Value> = answer["deltas"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| json!([one["account"], one["delta"]]))
            .collect();
        assert_eq!(
            (Value::from(told), &answer["total"]),
            (deltas, &json!(total)),
            "{entries}"
        );
    }
    assert_eq!(backend.count(), 0);
    let lines = gateway.audit(5);
    let line = lines.iter().find(|line| line["request_id"] == id).unwrap();
    let told = [
        "decision",
        "error",
        "response_status_code",
        "upstream",
        "module",
        "route",
        "requested_scope",
    ]
    .map(|name| line[name].clone());
    let expected = json!(["DRY_RUN", null, 200, null, "ledger", SYNC, "ledger:sync"]);
    assert_eq!(Value::from(told.to_vec()), expected, "{line}");
}

#[test]
fn s1_10_faults_are_told_by_place_and_never_by_value() {
    let backend = backend();
    let gateway = gateway(
        &backend,
        ", currency: /currency, currencies: [USD, CAD], sign: positive, max_entries: 3",
    );
    let good = r#"{"account_id":"A","amount":"1","currency":"USD"}"#;
    let cases = [
        (r#"{"county":"County_A","entries":[],"entries":[]}"#, "", None),
        (r#"{"county":"County_A"}"#, "", Some("\"entries\" is missing")),
        (
            &entry(r#"{"account_id":7,"amount":"1","currency":"USD"}"#),
            "/entries/0/account_id",
            Some("is not of type string"),
        ),
        (
            &entry(r#"{"account_id":"CANARY-7f3a","amount":"1","currency":"USD"}"#),
            "/entries/0/account_id",
            Some("is longer than 8 characters"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":"CANARY-7f3a","currency":"USD"}"#),
            "/entries/0/amount",
            Some("is not a plain decimal number"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":"1e1000000000","currency":"USD"}"#),
            "/entries/0/amount",
            Some("has an exponent beyond 64"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":1e65,"currency":"USD"}"#),
            "/entries/0/amount",
            Some("has an exponent beyond 64"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":"+1","currency":"USD"}"#),
            "/entries/0/amount",
            Some("is not a plain decimal number"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":-0.01,"currency":"USD"}"#),
            "/entries/0/amount",
            Some("is not above zero"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":0,"currency":"USD"}"#),
            "/entries/0/amount",
            Some("is not above zero"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":"1"}"#),
            "/entries/0/currency",
            Some("is missing"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":"1","currency":"EUR"}"#),
            "/entries/0/currency",
            Some("is none of the currencies that may be used"),
        ),
        (
            &entry(&format!(r#"{good},{{"account_id":"A","amount":"1","currency":"CAD"}}"#)),
            "/entries/1/currency",
            Some("is another currency than that of the first entry"),
        ),
        (
            &entry(r#"{"account_id":"A","amount":"1","AMOUNT":"2","currency":"USD"}"#),
            "/entries/0/amount",
            None,
        ),
        (
            &entry(&[good; 4].join(",")),
            "/entries",
            Some("has more than 3 entries"),
        ),
    ];
    for (body, pointer, detail) in &cases {
        let told = refused(&post(&gateway, DRY, "", body), 422, "dry_run_invalid");
        assert_eq!(told["decision"], "DRY_RUN");
        assert_eq!(told["errors"][0]["pointer"], *pointer, "{body}: {told}");
        if let Some(detail) = detail {
            assert_eq!(told["errors"][0]["detail"], *detail, "{body}: {told}");
        }
        assert!(!told.to_string().contains(CANARY));
        // What a dry run refuses, a real write is refused for.
        let told = refused(&post(&gateway, SYNC, "k1", body), 422, "schema_violation");
        assert_eq!(
            (&told["decision"], &told["errors"][0]["pointer"]),
            (&json!("DENIED_REQUEST"), &json!(pointer))
        );
    }
    let many = entry(&vec![r#"{"account_id":7}"#; 100].join(","));
    assert_eq!(
        refused(&post(&gateway, DRY, "", &many), 422, "dry_run_invalid")["errors"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
    assert_eq!(backend.count(), 0);
    let answer = post(&gateway, DRY, "", &entry(good)).json();
    assert_eq!((&answer["currency"], &answer["total"]), (&json!("USD"), &json!("1")));
    // The key is not burnt.
    assert_eq!(post(&gateway, SYNC, "k1", &entry(good)).status, 201);
}

#[test]
fn double_entry_comes_to_nothing() {
    let backend = backend();
    let gateway = gateway(&backend, ", total: \"0\"");
    let told = refused(&post(&gateway, DRY, "", BATCH), 422, "dry_run_invalid");
    assert_eq!(
        told["errors"],
        json!([{ "pointer": "/entries", "detail": "do not balance: their total is not zero" }])
    );
    refused(&post(&gateway, SYNC, "k1", BATCH), 422, "schema_violation");
    let even = entry(r#"{"account_id":"A","amount":"0.10"},{"account_id":"B","amount":-0.1}"#);
    assert_eq!(post(&gateway, DRY, "", &even).json()["total"], "0.00");
    assert_eq!((post(&gateway, SYNC, "k1", &even).status, backend.count()), (201, 1));
}

#[test]
fn s1_10_no_spelling_of_a_dry_run_reaches_a_backend() {
    let backend = backend();
    let gateway = gateway(&backend, "");
    let names = [
        "dry_run",
        "DRY_RUN",
        "Dry_Run",
        "dryRun",
        "dryrun",
        "dry-run",
        "dry.run",
        "dry+run",
        "dry%20run",
        "+dry_run",
        "%20dry_run",
        "dry_run+",
        "%09dry_run",
        "dry_run%00",
        "dry_run%00x",
        "dry_run[]",
        "dry_run[0]",
        "dry_run%5B%5D",
        "dry[run",
        "a[dry_run]",
        "a[b][dry_run]",
        "dry%5Frun",
        "dry%255Frun",
        "%64ry_run",
        "%2564ry_run",
        "%u0064ry_run",
        ";dry_run",
        "a;dry_run",
        "a=1;dry_run",
        "a%26dry_run",
        "a=1%26dry_run",
        "a=1%3bdry_run",
        "?dry_run",
        "dry%E2%80%8B_run",
        "%EF%BB%BFdry_run",
        "d%CC%81ry_run",
        "%EF%BD%84ry_run",
        "dry%EF%BC%BFrun",
        "%C1%A4ry_run",
        "dry%C2%ADrun",
        "dry__run",
        "_dry_run",
    ];
    let values = [
        "=true",
        "=TRUE",
        "=1",
        "=",
        "",
        "=%74rue",
        "=true&dry_run=false",
        "=false&dry_run=true",
        "=true;dry_run=false",
        "%3Dtrue",
    ];
    let (mut asked, mut dry) = (0, 0);
    thread::scope(|scope| {
        let halves = names.chunks(names.len().div_ceil(4)).map(|part| {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut statuses = Vec::new();
                for (at, name) in part.iter().enumerate() {
                    for (number, value) in values.iter().enumerate() {
                        // A key of its own each: nothing but the query keeps it from being sent.
                        let key = format!("{}-{at}-{number}", name.len());
                        let answer = post(gateway, &format!("{SYNC}?a=1&{name}{value}"), &key, BATCH);
                        statuses.push((format!("{name}{value}"), answer.status));
                    }
                }
                statuses
            })
        });
        let halves: Vec<_> = halves.collect();
        for half in halves {
            for (query, status) in half.join().unwrap() {
                asked += 1;
                let expected = if query == "dry_run=true" { 200 } else { 400 };
                assert_eq!(status, expected, "{query}");
                dry += usize::from(status == 200);
            }
        }
    });
    assert_eq!((asked, dry, backend.count()), (names.len() * values.len(), 1, 0));
    // And where the route has none.
    for target in [
        "/portal/assignments?dry_run=true",
        "/portal/assignments?x=1&dry_run=true",
    ] {
        refused(
            &gateway.call("POST", target, &["dispatcher"], "", "x"),
            400,
            "dry_run_unsupported",
        );
    }
    refused(
        &gateway.get("/api/ledger/state?dry_run=true", &["finance_admin"]),
        400,
        "dry_run_unsupported",
    );
    assert_eq!(backend.count(), 0);
    // A plain no is a real request, and goes on with its query as it came.
    assert_eq!(
        post(&gateway, "/api/ledger/sync?a=%41&dry_run=false", "k1", BATCH).status,
        201
    );
    assert_eq!(backend.last().target, "/api/ledger/sync?a=%41&dry_run=false");
    // Headers and bodies spell nothing.
    let headers = "Content-Type: application/json\r\nX-Idempotency-Key: k2\r\nX-Dry-Run: true\r\nDry-Run: true\r\n";
    let body = BATCH.replacen('{', r#"{"dry_run":true,"#, 1);
    assert_eq!(
        gateway.call("POST", SYNC, &["finance_admin"], headers, &body).status,
        201
    );
    assert_eq!(backend.count(), 2);
}

#[test]
fn who_may_not_write_may_not_try_either() {
    let backend = backend();
    let gateway = gateway(&backend, "");
    let ask = |roles: &[&str], body: &str| gateway.call("POST", DRY, roles, "", body);
    refused(&ask(&["clerk"], BATCH), 403, "denied_scope");
    refused(&ask(&["finance_admin", "rate_engineer"], BATCH), 403, "denied_module");
    refused(
        &ask(&["finance_admin"], &BATCH.replace("County_A", "County_B")),
        403,
        "jurisdiction_mismatch",
    );
    refused(&gateway.call_as("POST", DRY, "", "", BATCH), 401, "missing_token");
    assert_eq!(backend.count(), 0);
}

#[test]
fn a_dry_run_leaves_the_key_alone() {
    let backend = backend();
    let gateway = gateway(&backend, "");
    // Before: the key is still free for the real write.
    assert_eq!(post(&gateway, DRY, "k1", BATCH).status, 200);
    assert_eq!(post(&gateway, SYNC, "k1", BATCH).status, 201);
    // After: neither the key nor what became of it matters, and it stays what it was.
    assert_eq!(post(&gateway, DRY, "k1", BATCH).status, 200);
    assert_eq!(post(&gateway, DRY, "k1", &BATCH.replace("12.30", "12.31")).status, 200);
    let told = refused(&post(&gateway, SYNC, "k1", BATCH), 409, "duplicate_request");
    assert_eq!(told["original_transaction_id"], "T-1");
    assert_eq!(backend.count(), 1);
    // A key that is none is not looked at.
    assert_eq!(post(&gateway, DRY, "a b", BATCH).status, 200);
    // Two are still two readings.
    assert_eq!(
        gateway
            .call(
                "POST",
                DRY,
                &["finance_admin"],
                "X-Idempotency-Key: a\r\nX-Idempotency-Key: b\r\n",
                BATCH
            )
            .status,
        400
    );
}

#[test]
fn a_changed_schema_is_in_force_and_a_broken_one_is_not() {
    let backend = backend();
    let gateway = gateway(&backend, "");
    assert_eq!(post(&gateway, SYNC, "k1", BATCH).status, 201);
    let version = || {
        gateway.admin("GET", "/-/policy").json()["version"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = version();
    // Stricter: what is done already is still told so, and what is new is refused.
    let file = gateway.path("policy/schemas/ledger-sync.json");
    std::fs::write(&file, SCHEMA.replace("\"maxLength\": 8", "\"maxLength\": 1")).unwrap();
    wait_for("the schema to be in force", || {
        post(&gateway, DRY, "", BATCH).status == 422
    });
    let stricter = version();
    assert_ne!(stricter, before);
    let told = refused(&post(&gateway, SYNC, "k1", BATCH), 409, "duplicate_request");
    assert_eq!(told["original_transaction_id"], "T-1");
    refused(&post(&gateway, SYNC, "k2", BATCH), 422, "schema_violation");
    let other = BATCH.replace("12.30", "12.31");
    refused(&post(&gateway, SYNC, "k1", &other), 422, "schema_violation");
    // Broken: the one before stays.
    std::fs::write(&file, r#"{ "requierd": ["county"] }"#).unwrap();
    wait_for("the reload to fail", || {
        gateway.metrics().contains("tollgate_policy_reload_failed 1")
    });
    assert!(
        gateway
            .admin("POST", "/-/reload")
            .text()
            .contains("`/requierd` is no keyword that is checked")
    );
    assert_eq!((version(), post(&gateway, DRY, "", BATCH).status), (stricter, 422));
    std::fs::write(&file, SCHEMA).unwrap();
    wait_for("the schema to be mended", || {
        post(&gateway, DRY, "", BATCH).status == 200
    });
    assert_eq!((version(), backend.count()), (before, 1));
}

#[test]
fn large_batches_are_added_up_beside_other_requests() {
    let backend = backend();
    let gateway = gateway(&backend, ", max_entries: 50000");
    let one = r#"{"account_id":"A","amount":"0.01"}"#;
    let large = entry(&vec![one; 20_000].join(","));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let answer = post(&gateway, DRY, "", &large).json();
                assert_eq!(
                    (&answer["entries"], &answer["total"]),
                    (&json!(20_000), &json!("200.00")),
                    "{answer}"
                );
            });
        }
        scope.spawn(|| assert_eq!(gateway.get("/api/ledger/state", &["finance_admin"]).status, 201));
    });
    // One amount as long as the body may be, and one account for each entry.
    let long = format!("{}.5", "9".repeat(1_000_000));
    let answer = post(
        &gateway,
        DRY,
        "",
        &entry(&format!(r#"{{"account_id":"A","amount":"{long}"}}"#)),
    )
    .json();
    assert_eq!(answer["total"], long);
    let bomb = format!(
        r#"{{"county":"County_A","entries":[{}]}}"#,
        vec!["{}"; 500_000].join(",")
    );
    let told = refused(&post(&gateway, DRY, "", &bomb), 422, "dry_run_invalid");
    assert_eq!(told["errors"].as_array().unwrap().len(), 1);
    refused(&post(&gateway, DRY, "", &"x".repeat(11 << 20)), 413, "body_too_large");
}

#[test]
fn a_schema_on_trial_is_recorded_and_keeps_nobody_out() {
    let backend = backend();
    let text = policy("").replace(
        "    prefix: /api/ledger\n",
        "    prefix: /api/ledger\n    mode: shadow\n",
    );
    let setup = Setup::new(&backend).policy(&text);
    let gateway = Setup {
        files: vec![("policy/schemas/ledger-sync.json", SCHEMA.into())],
        ..setup
    }
    .start();
    let (bad, worse) = (r#"{"county":"County_A","entries":[{}]}"#, r#"{"county":"County_B"}"#);
    for (key, body) in [("k0", BATCH), ("k1", bad), ("k2", worse)] {
        assert_eq!(post(&gateway, SYNC, key, body).status, 201, "{body}");
        assert_eq!(backend.last().body, body.as_bytes());
    }
    // Its key holds as ever, and a dry run says what is wrong.
    refused(&post(&gateway, SYNC, "k1", bad), 409, "duplicate_request");
    refused(&post(&gateway, DRY, "", bad), 422, "dry_run_invalid");
    assert_eq!(backend.count(), 3);
    let lines = gateway.audit(5);
    let told: Vec<Value> = lines
        .iter()
        .map(|line| json!([line["decision"], line.get("would_deny"), line.get("detail")]))
        .collect();
    let faults = "faults in the body: 2";
    let expected = json!([
        ["ALLOWED", null, null],
        ["ALLOWED", "DENIED_REQUEST", faults],
        // The first denial is told.
        ["ALLOWED", "DENIED_JURISDICTION", told[2][2]],
        ["DENIED_IDEMPOTENCY", "DENIED_REQUEST", faults],
        ["DRY_RUN", null, faults],
    ]);
    assert_eq!(Value::from(told), expected, "{lines:?}");
    let counted = r#"tollgate_would_deny_total{decision="DENIED_REQUEST",module="ledger"} 2"#;
    assert!(gateway.metrics().contains(counted), "{}", gateway.metrics());
    // Who asks in advance is told both.
    write(&gateway.path(""), "bad.json", bad);
    let claims = claims(&["finance_admin"]).to_string();
    let (config, body) = (["--config", "tollgate.yaml"], ["--body", "bad.json"]);
    let rest = ["--claims", &claims, "--header", "X-Idempotency-Key: k9", "POST", SYNC];
    let all = [&["explain"], &config[..], &body, &rest].concat();
    let (code, out, err) = run(&all, &gateway.path(""));
    assert_eq!(code, 0, "{out}{err}");
    for needle in [
        "FAIL  schema",
        "would be denied: DENIED_REQUEST  schema_violation (shadow)",
        "ALLOWED",
    ] {
        assert!(out.contains(needle), "{needle}\n{out}");
    }
}

#[test]
fn a_policy_whose_schema_is_none_does_not_load() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "keys/public.pem", key_pair().1);
    write(folder.path(), "policy/policy.yaml", &policy(""));
    let gateway = "listen: [{ address: 127.0.0.1:1 }]\nadmin: { address: 127.0.0.1:2 }\npolicy: policy\nstate: state/\naudit: { path: audit/audit.jsonl }\nupstreams: { billing: { url: \"http://127.0.0.1:3\" } }\n";
    write(folder.path(), "tollgate.yaml", gateway);
    let check = || {
        let (status, out, err) = run(&["check", "--config", "tollgate.yaml"], folder.path());
        (status, out + &err)
    };
    let (status, told) = check();
    assert!(
        status == 1 && told.contains("`schemas/ledger-sync.json` is not there"),
        "{told}"
    );
    for (schema, expected) in [
        (
            "{ \"type\": \"object\",\n  \"required\": [ }",
            "schemas/ledger-sync.json:2:17: error: is no JSON here",
        ),
        (r#"{"type":"object","type":"array"}"#, "gives a member twice"),
        (
            r#"{"$ref":"https://example.com/schema.json"}"#,
            "`/$ref` refers to something outside this file",
        ),
        (
            r#"{"properties":{"a":{"patern":"x"}}}"#,
            "`/properties/a/patern` is no keyword that is checked",
        ),
        (r#"{"properties":{"a":{"pattern":"(?=x)"}}}"#, "`/properties/a/pattern`"),
    ] {
        write(folder.path(), "policy/schemas/ledger-sync.json", schema);
        let (status, told) = check();
        assert!(status == 1 && told.contains(expected), "{schema}: {told}");
        assert!(told.contains("it is the schema that is named at"), "{told}");
    }
    write(folder.path(), "policy/schemas/ledger-sync.json", SCHEMA);
    assert_eq!(check().0, 0);
}

const HOME: &str = "scope: ledger:read, jurisdiction: { fixed: [County_A] }";

#[test]
fn balances_are_read_by_a_get_of_the_policys_own_path() {
    let told = r#"{"balances":{"A1":"100.5","B2":7,"C3":"CANARY-7f3a"}}"#;
    let (backend, gateway) = with_balances(answer("200 OK", "application/json", told), HOME);
    let headers = "Content-Type: application/json\r\nX-Idempotency-Key: k1\r\nX-Custom: mine\r\nCookie: a=1\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\n";
    let answer = gateway.call("POST", &format!("{DRY}&x=1"), &["finance_admin"], headers, BATCH);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json()["deltas"],
        json!([
            { "account": "A1", "delta": "13.00", "balance": "100.5", "expected": "113.50" },
            { "account": "B2", "delta": "-2.5", "balance": "7", "expected": "4.5" },
        ])
    );
    assert!(!answer.text().contains(CANARY));
    let seen = backend.last();
    assert_eq!(
        (&*seen.method, &*seen.target, &*seen.body),
        ("GET", "/api/ledger/balances", &b""[..])
    );
    assert_eq!(
        (seen.field("x-municipal-user"), seen.field("x-municipal-role")),
        (Some("u1"), Some("finance_admin"))
    );
    for name in [
        "x-idempotency-key",
        "x-custom",
        "cookie",
        "range",
        "if-none-match",
        "content-type",
        "authorization",
    ] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    // A body that is no good asks nobody, and an account without a balance is told by place.
    refused(&post(&gateway, DRY, "", &entry("{}")), 422, "dry_run_invalid");
    assert_eq!(backend.count(), 1);
    let told = refused(
        &post(&gateway, DRY, "", &BATCH.replace("B2", "X9")),
        422,
        "dry_run_invalid",
    );
    assert_eq!(
        told["errors"],
        json!([{ "pointer": "/entries/1/account_id", "detail": "is no account that has a balance" }])
    );
    let lines = gateway.audit(3);
    let asked: Vec<Value> = lines
        .iter()
        .map(|line| json!([line["decision"], line["upstream"]]))
        .collect();
    let expected = json!([["DRY_RUN", "billing"], ["DRY_RUN", null], ["DRY_RUN", "billing"]]);
    assert_eq!(Value::from(asked), expected, "{lines:?}");
    assert!(backend.seen().iter().all(|seen| seen.method == "GET"));
}

#[test]
fn balances_that_cannot_be_had_are_no_answer() {
    let json = |body: &str| answer("200 OK", "application/json", body);
    let large = format!(r#"{{"balances":{{"A1":1,"B2":1,"x":"{}"}}}}"#, "x".repeat(1 << 20));
    for (said, status, error) in [
        (
            answer("500 Oh", "application/json", r#"{"balances":{"A1":1,"B2":1}}"#),
            502,
            "upstream_broken",
        ),
        (
            answer("302 Found", "application/json", r#"{"balances":{"A1":1,"B2":1}}"#),
            502,
            "upstream_broken",
        ),
        (
            answer("200 OK", "text/html", r#"{"balances":{"A1":1,"B2":1}}"#),
            502,
            "unmaskable_response",
        ),
        (json(r#"{"balances":{"A1":1,"B2":1,"A1":2}}"#), 502, "upstream_broken"),
        (json(r#"{"balances":{"A1":1,"B2":"n/a"}}"#), 502, "upstream_broken"),
        (json(r#"{"balance":{"A1":1,"B2":1}}"#), 502, "upstream_broken"),
        (json(r#"{"balances":{"A1":1"#), 502, "unmaskable_response"),
        (json(&large), 502, "answer_too_large"),
        (String::new(), 504, "upstream_timeout"),
    ] {
        let (backend, gateway) = with_balances(said.clone(), HOME);
        let answer = post(&gateway, DRY, "", BATCH);
        refused(&answer, status, error);
        assert_eq!(backend.count(), 1, "asked once: {said}");
    }
}

#[test]
fn who_may_not_read_balances_is_told_none() {
    let told = answer("200 OK", "application/json", r#"{"balances":{"A1":1,"B2":1}}"#);
    for (route, status, error) in [
        (
            "scope: tariffs:write, jurisdiction: { fixed: [County_A] }",
            403,
            "denied_scope",
        ),
        (
            "scope: ledger:read, jurisdiction: { fixed: [County_B] }",
            403,
            "jurisdiction_mismatch",
        ),
        // The question has no body.
        ("scope: ledger:read", 403, "jurisdiction_mismatch"),
        (
            "scope: ledger:read, jurisdiction: { fixed: [County_A] }, when: 'request.method == \"POST\"'",
            403,
            "denied_condition",
        ),
    ] {
        let (backend, gateway) = with_balances(told.clone(), route);
        refused(&post(&gateway, DRY, "", BATCH), status, error);
        assert_eq!(backend.count(), 0, "{route}");
        assert_eq!(gateway.audit(1)[0]["upstream"], json!(null), "{route}");
    }
    // What is masked for the caller is no balance.
    let masked = answer("200 OK", "application/json", r#"{"balances":{"ssn":"1.00"}}"#);
    let (_backend, gateway) = with_balances(masked, HOME);
    refused(
        &post(&gateway, DRY, "", &entry(r#"{"account_id":"ssn","amount":1}"#)),
        502,
        "upstream_broken",
    );
}
