//! Operators and idempotency keys: what is unknown is listed, settled and recorded, with and without a gateway (S1.8).

use serde_json::{Value, json};
use std::io::Write;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::*;

const SYNC: &str = "/api/ledger/sync";
const BODY: &str = r#"{"county":"County_A","amount":"1.00"}"#;
const DONE: &str = r#"{"transaction_id":"T-1","ok":true}"#;

/// A backend that hangs up without an answer while told to, and answers 201 otherwise.
fn unsteady() -> (Backend, Arc<Mutex<bool>>) {
    let broken = Arc::new(Mutex::new(true));
    let state = Arc::clone(&broken);
    let backend = Backend::script(move |_, stream| {
        let created = answer("201 Created", "application/json", DONE);
        !*state.lock().unwrap() && stream.write_all(created.as_bytes()).is_ok()
    });
    (backend, broken)
}

fn post(gateway: &Gateway, user: &str, key: &str) -> Answer {
    let mut claims = claims(&["finance_admin"]);
    claims["sub"] = user.into();
    let headers = format!("Content-Type: application/json\r\nX-Idempotency-Key: {key}\r\n");
    gateway.call_as("POST", SYNC, &gateway.token(&claims), &headers, BODY)
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) -> Value {
    assert_eq!((answer.status, &*answer.error()), (status, error), "{}", answer.text());
    answer.json()
}

/// The command, with the gateway's own file.
fn command(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    let (verb, rest) = arguments.split_first().unwrap();
    let all: Vec<&str> = ["idempotency", verb]
        .into_iter()
        .chain(rest.iter().copied())
        .chain(["--config", "tollgate.yaml"])
        .collect();
    run(&all, &gateway.path(""))
}

#[track_caller]
fn told(gateway: &Gateway, code: i32, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
    let (ended, out, err) = command(gateway, &arguments);
    assert_eq!(ended, code, "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}: {out}{err}"))
}

fn listed(gateway: &Gateway) -> Vec<(String, String)> {
    let list = told(gateway, 0, &["list"]);
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let records = list["records"].as_array().unwrap();
    let mut all: Vec<_> = records
        .iter()
        .map(|one| (text(one, "key"), text(one, "state")))
        .collect();
    all.sort();
    all
}

fn events(gateway: &Gateway) -> Vec<Value> {
    let lines = audit_lines(&gateway.path("audit/audit.jsonl")).into_iter();
    lines.filter(|line| line["event"] == "idempotency_settled").collect()
}

#[track_caller]
fn verified(gateway: &Gateway) {
    let (code, out, err) = run(&["audit", "verify", "audit/audit.jsonl"], &gateway.path(""));
    assert_eq!(code, 0, "{out}{err}");
}

/// The whole story, with the command asking the gateway or opening the store itself.
fn story(stopped: bool) {
    let (backend, broken) = unsteady();
    let mut gateway = Setup::new(&backend).start();
    for key in ["k-done", "k-free", "k-left"] {
        refused(&post(&gateway, "u1", key), 502, "upstream_broken");
        refused(&post(&gateway, "u1", key), 409, "outcome_unknown");
    }
    assert!(gateway.metrics().contains("tollgate_store_unknown 3\n"));
    *broken.lock().unwrap() = false;
    if stopped {
        gateway.kill();
    }
    let unknown = |key: &str| (key.to_owned(), "unknown".to_owned());
    assert_eq!(
        listed(&gateway),
        [unknown("k-done"), unknown("k-free"), unknown("k-left")]
    );
    let (_, out, err) = command(&gateway, &["list", "--state", "unknown"]);
    let which = if stopped { "no gateway runs" } else { "a gateway runs" };
    assert!(err.contains(which), "{err}");
    for word in ["AGE", "ledger", SYNC, "u1", "k-done"] {
        assert!(out.contains(word), "{word} is not in\n{out}");
    }
    let shown = told(&gateway, 0, &["show", "k-done"]);
    assert_eq!((&shown["issuer"], &shown["user"]), (&json!(ISSUER), &json!("u1")));

    let done = [
        "settle",
        "k-done",
        "--as",
        "done",
        "--transaction-id",
        "T-77",
        "--reason",
        "seen",
    ];
    let (code, out, err) = command(&gateway, &done);
    assert!(code == 0 && out.contains("settled"), "{out}{err}");
    assert_eq!(
        told(&gateway, 0, &["settle", "k-free", "--as", "free"])["settled"],
        "free"
    );
    for (key, error) in [("k-done", "already_done"), ("k-free", "not_found"), ("k", "not_found")] {
        assert_eq!(told(&gateway, 1, &["settle", key, "--as", "done"])["error"], error);
    }
    assert_eq!(listed(&gateway), [unknown("k-left")]);
    if stopped {
        gateway.launch();
        assert!(gateway.log().contains("tollgate idempotency list"), "{}", gateway.log());
    }

    let again = post(&gateway, "u1", "k-done");
    let problem = refused(&again, 409, "duplicate_request");
    assert_eq!(problem["original_transaction_id"], "T-77");
    assert_eq!(problem["original_status"], Value::Null);
    assert_eq!(again.field("x-original-transaction-id"), Some("T-77"));
    assert_eq!(backend.count(), 3, "what is done is not sent again");
    assert_eq!(post(&gateway, "u1", "k-free").status, 201);
    refused(&post(&gateway, "u1", "k-free"), 409, "duplicate_request");
    refused(&post(&gateway, "u1", "k-left"), 409, "outcome_unknown");
    assert_eq!(backend.count(), 4, "what is free is sent once");

    let events = events(&gateway);
    assert_eq!(events.len(), 2, "{events:?}");
    let via = if stopped { "command" } else { "admin" };
    for (name, value) in [
        ("as", "done"),
        ("via", via),
        ("record", shown["record"].as_str().unwrap()),
        ("of_user", "u1"),
        ("module", "ledger"),
        ("reason", "seen"),
        ("transaction_id", "T-77"),
    ] {
        assert_eq!(events[0][name], value, "{events:?}");
    }
    assert!(events.iter().all(|event| event["operator"].is_string()), "{events:?}");
    verified(&gateway);
}

#[test]
fn s1_8_an_operator_settles_while_the_gateway_runs() {
    story(false);
}

#[test]
fn s1_8_an_operator_settles_while_no_gateway_runs() {
    story(true);
}

#[test]
fn s1_8_a_crash_leaves_an_unknown_outcome_that_can_be_settled() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::script(move |_, _| held.lock().unwrap().recv().is_ok());
    let mut gateway = Setup::new(&backend).start();
    thread::scope(|scope| {
        let port = gateway.port;
        let token = gateway.token(&claims(&["finance_admin"]));
        let bytes = request("POST", SYNC, &token, "X-Idempotency-Key: k\r\n", BODY);
        scope.spawn(move || raw(port, &bytes));
        backend.wait_for(1);
        assert_eq!(listed(&gateway), [("k".to_owned(), "in_progress".to_owned())]);
        let refused = told(&gateway, 1, &["settle", "k", "--as", "free"]);
        assert_eq!(refused["error"], "in_progress");
        gateway.kill();
    });
    drop(release);
    assert_eq!(listed(&gateway), [("k".to_owned(), "unknown".to_owned())]);
    told(&gateway, 0, &["settle", "k", "--as", "done"]);
    gateway.launch();
    refused(&post(&gateway, "u1", "k"), 409, "duplicate_request");
    assert_eq!(backend.count(), 1);
    verified(&gateway);
}

#[test]
fn a_key_of_two_users_is_named_by_its_record() {
    let (backend, _broken) = unsteady();
    let gateway = Setup::new(&backend).start();
    for user in ["u1", "u2"] {
        refused(&post(&gateway, user, "k"), 502, "upstream_broken");
    }
    let several = told(&gateway, 1, &["settle", "k", "--as", "free"]);
    assert_eq!(several["error"], "ambiguous_key");
    let (code, _, err) = command(&gateway, &["show", "k"]);
    assert!(code == 1 && err.contains("u1") && err.contains("u2"), "{err}");
    let candidates = several["candidates"].as_array().unwrap();
    let of_u2 = candidates.iter().find(|one| one["user"] == "u2").unwrap();
    told(
        &gateway,
        0,
        &["settle", of_u2["record"].as_str().unwrap(), "--as", "free"],
    );
    assert_eq!(told(&gateway, 0, &["show", "k"])["user"], "u1");
}

#[test]
fn the_admin_port_answers_operators_and_no_browsers() {
    let (backend, _broken) = unsteady();
    let gateway = Setup::new(&backend).start();
    refused(&post(&gateway, "u1", "k/1"), 502, "upstream_broken");
    let page = gateway.admin("GET", "/-/idempotency?state=unknown").json();
    assert_eq!(page["records"][0]["key"], "k/1");
    assert_eq!(gateway.admin("GET", "/-/idempotency/k%2F1").json()["state"], "unknown");
    for (method, path, status) in [
        ("GET", "/-/idempotency?state=x", 400),
        ("POST", "/-/idempotency", 405),
        ("GET", "/-/idempotency/none", 404),
        ("GET", "/-/idempotencyx", 404),
        ("GET", "/-/idempotency/k%2F1/settle", 405),
        ("POST", "/-/idempotency/k%2F1/settle", 400),
    ] {
        assert_eq!(gateway.admin(method, path).status, status, "{method} {path}");
    }
    let settle = |fields: &str, body: &str| {
        let head = "POST /-/idempotency/k%2F1/settle HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let bytes = format!("{head}{fields}Content-Length: {}\r\n\r\n{body}", body.len());
        ask(gateway.admin, bytes.as_bytes())
    };
    assert_eq!(settle("Origin: http://localhost\r\n", r#"{"as":"free"}"#).status, 403);
    let large = format!(r#"{{"as":"free","reason":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(settle("", &large).status, 413);
    let settled = settle("", r#"{"as":"done","transaction_id":"T-5"}"#);
    assert_eq!((settled.status, &settled.json()["settled"]), (200, &json!("done")));
    let events = events(&gateway);
    assert!(
        events[0]["from"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{events:?}"
    );
}

#[test]
fn wrong_usage_and_nothing_to_see() {
    let (backend, _broken) = unsteady();
    let mut gateway = Setup::new(&backend).start();
    gateway.kill();
    for arguments in [
        &["settle", "k"][..],
        &["settle", "k", "--as", "lost"],
        &["settle", "k", "--as", "free", "--transaction-id", "T"],
        &["settle", "k", "--as", "done", "--transaction-id", "a b"],
        &["settle", "k", "--as", "done", "--reason", &"x".repeat(501)],
        &["settle", "k k", "--as", "done"],
        &["show", ""],
        &["list", "--state", "lost"],
        &["list", "--after", "k"],
        &["forget", "k"],
    ] {
        let (code, out, err) = command(&gateway, arguments);
        assert_eq!(code, 2, "{arguments:?}: {out}{err}");
    }
    let (code, out, _) = command(&gateway, &["list"]);
    assert_eq!((code, &*out), (0, "none\n"));
    let config = std::fs::read_to_string(gateway.path("tollgate.yaml")).unwrap();
    write(
        &gateway.path(""),
        "new.yaml",
        &config.replace("state: state/", "state: other/"),
    );
    for (arguments, code) in [
        (&["list"][..], 0),
        (&["show", "k"], 1),
        (&["settle", "k", "--as", "free"], 1),
    ] {
        let all = [&["idempotency"], arguments, &["--config", "new.yaml"]].concat();
        let (ended, out, err) = run(&all, &gateway.path(""));
        assert!(ended == code && err.contains("there is no store"), "{out}{err}");
    }
    assert!(!gateway.path("other").exists(), "looking makes no store");
    write(
        &gateway.path(""),
        "stdout.yaml",
        &config.replace("audit/audit.jsonl", "stdout"),
    );
    let settle = ["idempotency", "settle", "k", "--as", "free", "--config", "stdout.yaml"];
    let (code, _, err) = run(&settle, &gateway.path(""));
    assert!(code == 1 && err.contains("standard output"), "{err}");
}

#[test]
fn what_cannot_be_recorded_is_not_settled() {
    let (backend, _broken) = unsteady();
    let mut gateway = Setup::new(&backend).start();
    refused(&post(&gateway, "u1", "k"), 502, "upstream_broken");
    gateway.kill();
    let config = std::fs::read_to_string(gateway.path("tollgate.yaml")).unwrap();
    write(
        &gateway.path(""),
        "full.yaml",
        &config.replace("audit/audit.jsonl", "/dev/full"),
    );
    let settle = ["idempotency", "settle", "k", "--as", "free", "--config", "full.yaml"];
    let (code, out, err) = run(&settle, &gateway.path(""));
    assert!(code == 1 && err.contains("recorded"), "{out}{err}");
    assert_eq!(listed(&gateway), [("k".to_owned(), "unknown".to_owned())]);
}

#[test]
fn s1_8_a_duplicate_waits_for_the_first_where_the_route_says_so() {
    let (release, held) = mpsc::channel();
    let held = Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        let created = answer("201 Created", "application/json", DONE);
        held.lock().unwrap().recv().is_ok() && stream.write_all(created.as_bytes()).is_ok()
    });
    let policy = POLICY.replace("on_duplicate: conflict }", "on_duplicate: conflict, wait: 2s }");
    let gateway = Setup::new(&backend).policy(&policy).start();
    thread::scope(|scope| {
        let (answers, all) = mpsc::channel();
        let started = Instant::now();
        for _ in 0..8 {
            let (answers, gateway) = (answers.clone(), &gateway);
            scope.spawn(move || answers.send(post(gateway, "u1", "k")).unwrap());
        }
        backend.wait_for(1);
        assert!(
            all.recv_timeout(Duration::from_millis(300)).is_err(),
            "all of them wait"
        );
        release.send(()).unwrap();
        let answers: Vec<Answer> = all.iter().take(8).collect();
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "nobody waited longer than it had to"
        );
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!(
                refused(answer, 409, "duplicate_request")["original_transaction_id"],
                "T-1"
            );
        }
    });
    thread::scope(|scope| {
        let first = scope.spawn(|| post(&gateway, "u1", "slow"));
        backend.wait_for(2);
        let started = Instant::now();
        refused(&post(&gateway, "u1", "slow"), 409, "request_in_progress");
        assert!(
            started.elapsed() >= Duration::from_secs(2),
            "it waited as long as it may"
        );
        release.send(()).unwrap();
        assert_eq!(first.join().unwrap().status, 201);
    });
    assert_eq!(backend.count(), 2);
}

#[test]
fn a_copy_is_made_while_a_gateway_runs_and_while_none_does() {
    let (backend, broken) = unsteady();
    let mut gateway = Setup::new(&backend).start();
    refused(&post(&gateway, "u1", "k-lost"), 502, "upstream_broken");
    *broken.lock().unwrap() = false;
    assert_eq!(post(&gateway, "u1", "k-done").status, 201);
    let revoke = ["revoke", "user", "mallory", "--config", "tollgate.yaml"];
    assert_eq!(run(&revoke, &gateway.path("")).0, 0);
    let told_running = told(&gateway, 0, &["backup", "running.redb"]);
    assert_eq!(
        (&told_running["keys"], &told_running["revoked"]),
        (&json!(2), &json!(1))
    );
    let (code, _, err) = command(&gateway, &["backup", "running.redb"]);
    assert!(code == 1 && err.contains("not overwritten"), "{err}");
    let (code, _, err) = command(&gateway, &["backup", "no/such/folder.redb"]);
    assert!(code == 1 && err.contains("cannot make"), "{err}");
    write(&gateway.path(""), "taken.redb.revoked.json", "");
    let (code, _, err) = command(&gateway, &["backup", "taken.redb"]);
    assert!(
        code == 1 && err.contains("`taken.redb.revoked.json` is there already"),
        "{err}"
    );
    assert!(!gateway.path("taken.redb").exists(), "no half of a copy");
    assert_eq!(gateway.admin("DELETE", "/-/backup").status, 405);
    gateway.kill();
    let (code, out, err) = command(&gateway, &["backup", "stopped.redb"]);
    assert!(
        code == 0 && out.contains("2 keys") && out.contains("1 revocations"),
        "{out}{err}"
    );
    for copy in ["running.redb", "stopped.redb"] {
        std::fs::rename(gateway.path(copy), gateway.path("state/keys.redb")).unwrap();
        std::fs::remove_file(gateway.path("state/revoked.json")).unwrap();
        std::fs::rename(
            gateway.path(&format!("{copy}.revoked.json")),
            gateway.path("state/revoked.json"),
        )
        .unwrap();
        assert_eq!(listed(&gateway), [("k-lost".to_owned(), "unknown".to_owned())]);
        gateway.launch();
        refused(&post(&gateway, "u1", "k-done"), 409, "duplicate_request");
        refused(&post(&gateway, "u1", "k-lost"), 409, "outcome_unknown");
        refused(&post(&gateway, "mallory", "k-new"), 401, "invalid_token");
        gateway.kill();
    }
    assert_eq!(backend.count(), 2);
    let lines = audit_lines(&gateway.path("audit/audit.jsonl"));
    assert!(
        lines
            .iter()
            .any(|line| line["event"] == "store_backed_up" && line["via"] == "admin")
    );
}
