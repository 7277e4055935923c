//! A write happens at most once (interface, section 6; S1.8).

use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Mutex, mpsc};
use std::thread;

use super::harness::*;

const SYNC: &str = "/api/ledger/sync";
const BODY: &str = r#"{"county":"County_A","amount":"1.00"}"#;
const DONE: &str = r#"{"transaction_id":"T-1","ok":true}"#;

fn created(body: &str) -> String {
    answer("201 Created", "application/json", body)
}

/// Answers as `created`, each request once the sender says so; hangs up when the sender is gone.
fn holding() -> (Backend, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel();
    let held = Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        held.lock().unwrap().recv().is_ok() && stream.write_all(created(DONE).as_bytes()).is_ok()
    });
    (backend, release)
}

fn bytes(gateway: &Gateway, user: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut claims = claims(&["finance_admin"]);
    claims["sub"] = user.into();
    let headers = format!("Content-Type: application/json\r\n{headers}");
    request("POST", SYNC, &gateway.token(&claims), &headers, body)
}

fn post_as(gateway: &Gateway, user: &str, key: &str, body: &str) -> Answer {
    let headers = format!("X-Idempotency-Key: {key}\r\n");
    ask(gateway.port, &bytes(gateway, user, &headers, body))
}

fn post(gateway: &Gateway, key: &str) -> Answer {
    post_as(gateway, "u1", key, BODY)
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) -> Value {
    assert_eq!((answer.status, &*answer.error()), (status, error), "{}", answer.text());
    answer.json()
}

#[track_caller]
fn counted(gateway: &Gateway, outcome: &str, count: u64) {
    let line = format!("tollgate_idempotency_total{{outcome=\"{outcome}\"}} {count}\n");
    let metrics = gateway.metrics();
    assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
}

#[test]
fn s1_8_a_key_is_needed_and_is_one_and_is_visible_ascii() {
    let backend = Backend::bytes(created(DONE));
    let gateway = Setup::new(&backend).start();
    let long = "k".repeat(256);
    let cases = [
        (String::new(), "idempotency_key_missing"),
        ("X-Idempotency-Key:\r\n".into(), "idempotency_key_invalid"),
        ("X-Idempotency-Key: a b\r\n".into(), "idempotency_key_invalid"),
        ("X-Idempotency-Key: k\u{e9}\r\n".into(), "idempotency_key_invalid"),
        (format!("X-Idempotency-Key: {long}\r\n"), "idempotency_key_invalid"),
        (
            "X-Idempotency-Key: a\r\nX-Idempotency-Key: a\r\n".into(),
            "ambiguous_request",
        ),
        (
            "X-Idempotency-Key: a\r\nIdempotency-Key: a\r\n".into(),
            "ambiguous_request",
        ),
    ];
    for (headers, error) in &cases {
        let answer = ask(gateway.port, &bytes(&gateway, "u1", headers, BODY));
        refused(&answer, 400, error);
    }
    assert_eq!(backend.count(), 0);
    for line in gateway.audit(cases.len()).iter().take(5) {
        assert_eq!(line["decision"], "DENIED_IDEMPOTENCY", "{line}");
    }
    counted(&gateway, "missing", 1);
    // The longest key, the other name, and no key where none is needed.
    for (at, headers) in [
        format!("X-Idempotency-Key: {}\r\n", "k".repeat(255)),
        "idempotency-key: other\r\n".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(ask(gateway.port, &bytes(&gateway, "u1", headers, BODY)).status, 201);
        assert_eq!(backend.count(), at + 1);
    }
    assert_eq!(gateway.get("/api/ledger/state", &["finance_admin"]).status, 201);
}

#[test]
fn s1_8_the_first_is_sent_and_what_comes_after_is_told_what_became_of_it() {
    let backend = Backend::bytes(created(DONE));
    let gateway = Setup::new(&backend).start();
    let started = unix_now();
    let first = post(&gateway, "k1");
    assert_eq!((first.status, first.text()), (201, DONE.to_owned()));
    assert_eq!(backend.last().field("X-Idempotency-Key"), Some("k1"));
    assert_eq!(backend.last().body, BODY.as_bytes());
    for _ in 0..2 {
        let again = post(&gateway, "k1");
        let problem = refused(&again, 409, "duplicate_request");
        assert_eq!(problem["original_transaction_id"], "T-1");
        assert_eq!(problem["original_status"], 201);
        let at: jiff::Timestamp = problem["completed_at"].as_str().unwrap().parse().unwrap();
        let at = u64::try_from(at.as_second()).unwrap();
        assert!((started..=unix_now()).contains(&at), "{problem}");
        assert_eq!(again.field("x-original-transaction-id"), Some("T-1"));
    }
    refused(
        &post_as(&gateway, "u1", "k1", &BODY.replace("1.00", "2.00")),
        422,
        "idempotency_key_reused",
    );
    refused(
        &post_as(&gateway, "u1", "k1", &BODY.replace(',', ", ")),
        422,
        "idempotency_key_reused",
    );
    assert_eq!(backend.count(), 1, "only the first was sent");
    for (outcome, count) in [("first", 1), ("duplicate", 2), ("reused", 2)] {
        counted(&gateway, outcome, count);
    }
    let decisions: Vec<_> = gateway.audit(5).iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions[0], "ALLOWED");
    assert!(
        decisions[1..].iter().all(|decision| decision == "DENIED_IDEMPOTENCY"),
        "{decisions:?}"
    );
}

#[test]
fn s1_8_a_key_belongs_to_its_user() {
    let backend = Backend::bytes(created(DONE));
    let gateway = Setup::new(&backend).start();
    assert_eq!(post_as(&gateway, "u1", "k", BODY).status, 201);
    assert_eq!(post_as(&gateway, "u2", "k", &BODY.replace("1.00", "2.00")).status, 201);
    refused(&post_as(&gateway, "u1", "k", BODY), 409, "duplicate_request");
    refused(&post_as(&gateway, "u2", "k", BODY), 422, "idempotency_key_reused");
    assert_eq!(backend.count(), 2);
}

#[test]
fn s1_8_who_may_not_write_learns_nothing_of_a_key() {
    let backend = Backend::bytes(created(DONE));
    let gateway = Setup::new(&backend).start();
    assert_eq!(post(&gateway, "k").status, 201);
    let headers = "X-Idempotency-Key: k\r\n";
    let clerk = gateway.call("POST", SYNC, &["clerk"], headers, BODY);
    refused(&clerk, 403, "denied_scope");
    let elsewhere = post_as(&gateway, "u1", "k", &BODY.replace("County_A", "County_B"));
    refused(&elsewhere, 403, "jurisdiction_mismatch");
    assert_eq!(backend.count(), 1);
}

#[test]
fn s1_8_while_the_first_runs_the_others_wait_their_turn() {
    let (backend, release) = holding();
    let gateway = Setup::new(&backend).start();
    let (answers, all) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..16 {
            let (answers, gateway) = (answers.clone(), &gateway);
            scope.spawn(move || answers.send(post(gateway, "k")).unwrap());
        }
        for answer in all.iter().take(15) {
            refused(&answer, 409, "request_in_progress");
            assert_eq!(answer.field("retry-after"), Some("1"));
        }
        release.send(()).unwrap();
        assert_eq!(all.recv().unwrap().status, 201);
    });
    refused(&post(&gateway, "k"), 409, "duplicate_request");
    assert_eq!(backend.count(), 1);
    counted(&gateway, "first", 1);
    counted(&gateway, "in_progress", 15);
}

#[test]
fn s1_8_what_was_never_sent_frees_its_key() {
    let port = free_port();
    let unused = Backend::start();
    let gateway = Setup {
        backend: port,
        ..Setup::new(&unused)
    }
    .start();
    for _ in 0..2 {
        let answer = post(&gateway, "k");
        refused(&answer, 503, "upstream_unavailable");
        assert!(answer.field("retry-after").is_some());
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let backend = Backend::on(listener, |_, stream| stream.write_all(created(DONE).as_bytes()).is_ok());
    assert_eq!(post(&gateway, "k").status, 201);
    refused(&post(&gateway, "k"), 409, "duplicate_request");
    assert_eq!(backend.count(), 1);
}

#[test]
fn s1_8_what_was_sent_and_not_answered_whole_is_never_sent_again() {
    let cases: [(&str, &str, u16, &str); 6] = [
        ("hangs up", "", 502, "upstream_broken"),
        (
            "half a head",
            "HTTP/1.1 201 Created\r\nContent-",
            502,
            "upstream_broken",
        ),
        ("no HTTP", "hello\r\n\r\n", 502, "upstream_broken"),
        (
            "a body cut short",
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"transaction_id\":\"T-1\"",
            502,
            "upstream_broken",
        ),
        (
            "chunks without an end",
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            502,
            "upstream_broken",
        ),
        ("silence", "wait", 504, "upstream_timeout"),
    ];
    thread::scope(|scope| {
        for (name, script, status, error) in cases {
            scope.spawn(move || {
                let (over, waiting) = mpsc::channel::<()>();
                let waiting = Mutex::new(waiting);
                let backend = Backend::script(move |_, stream| {
                    if script == "wait" {
                        let _ = waiting.lock().unwrap().recv();
                    } else {
                        stream.write_all(script.as_bytes()).unwrap();
                    }
                    false
                });
                let mut gateway = Setup::new(&backend).start();
                let first = post(&gateway, "k");
                assert_eq!((first.status, &*first.error()), (status, error), "{name}");
                refused(&post(&gateway, "k"), 409, "outcome_unknown");
                counted(&gateway, "unknown", 1);
                gateway.kill();
                gateway.launch();
                refused(&post(&gateway, "k"), 409, "outcome_unknown");
                assert_eq!(backend.count(), 1, "{name}: sent again");
                drop(over);
            });
        }
    });
}

#[test]
fn s1_8_a_whole_answer_is_the_outcome_whatever_its_status() {
    for (status, number) in [
        ("500 Internal Server Error", 500),
        ("404 Not Found", 404),
        ("503 Service Unavailable", 503),
    ] {
        let backend = Backend::bytes(answer(status, "application/json", DONE));
        let gateway = Setup::new(&backend).start();
        let first = post(&gateway, "k");
        assert_eq!((first.status, first.text()), (number, DONE.to_owned()));
        let problem = refused(&post(&gateway, "k"), 409, "duplicate_request");
        assert_eq!(problem["original_status"], number);
        assert_eq!(problem["original_transaction_id"], "T-1");
        assert_eq!(backend.count(), 1);
    }
}

#[test]
fn s1_8_a_transaction_is_named_as_the_backend_wrote_it() {
    let long = format!(r#"{{"transaction_id":"{}"}}"#, "t".repeat(513));
    let cases = [
        (r#"{"transaction_id":"a\u0062c"}"#, json!("abc")),
        (r#"{"transaction_id":42}"#, json!("42")),
        (
            r#"{"transaction_id":18446744073709551615}"#,
            json!("18446744073709551615"),
        ),
        (r#"{"transaction_id":null}"#, Value::Null),
        (r#"{"transaction_id":{"id":"x"}}"#, Value::Null),
        (r#"{"transaction_id":""}"#, Value::Null),
        (r#"{"transaction_id":"a\r\nX-Evil: 1"}"#, Value::Null),
        (r#"{"other":1}"#, Value::Null),
        (r#"{"nested":{"transaction_id":"x"}}"#, Value::Null),
        (&long, Value::Null),
    ];
    let (next, answers) = mpsc::channel::<String>();
    let answers = Mutex::new(answers);
    let backend = Backend::script(move |_, stream| {
        let body = answers.lock().unwrap().recv().unwrap();
        stream.write_all(created(&body).as_bytes()).is_ok()
    });
    let gateway = Setup::new(&backend).start();
    for (at, (body, id)) in cases.iter().enumerate() {
        next.send((*body).to_owned()).unwrap();
        let key = format!("k{at}");
        let first = post(&gateway, &key);
        assert_eq!((first.status, first.text()), (201, (*body).to_owned()));
        let again = post(&gateway, &key);
        let problem = refused(&again, 409, "duplicate_request");
        assert_eq!(problem["original_transaction_id"], *id, "{body}");
        assert!(problem.as_object().unwrap().contains_key("original_transaction_id"));
        assert_eq!(again.field("x-original-transaction-id"), id.as_str(), "{body}");
        assert!(again.field("x-evil").is_none());
    }
    assert_eq!(backend.count(), cases.len());
}

#[test]
fn s1_8_a_transactions_number_may_be_longer_than_a_machine_word() {
    let backend = Backend::bytes(created(r#"{"transaction_id":1234567890123456789012}"#));
    let gateway = Setup::new(&backend).start();
    assert_eq!(post(&gateway, "k").status, 201);
    let problem = refused(&post(&gateway, "k"), 409, "duplicate_request");
    assert_eq!(problem["original_transaction_id"], "1234567890123456789012");
}

#[test]
fn s1_8_a_restart_forgets_no_key() {
    let backend = Backend::bytes(created(DONE));
    let mut gateway = Setup::new(&backend).start();
    assert_eq!(post(&gateway, "k").status, 201);
    let before = refused(&post(&gateway, "k"), 409, "duplicate_request");
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    gateway.launch();
    for crash in [false, true] {
        if crash {
            gateway.kill();
            gateway.launch();
        }
        let after = refused(&post(&gateway, "k"), 409, "duplicate_request");
        for member in ["original_transaction_id", "original_status", "completed_at"] {
            assert_eq!(before[member], after[member]);
        }
    }
    assert_eq!(backend.count(), 1);
}

#[test]
fn s1_8_a_crash_in_flight_leaves_the_outcome_unknown() {
    let (backend, release) = holding();
    let mut gateway = Setup::new(&backend).start();
    let mut client = Client::open(gateway.port);
    client.write(&bytes(&gateway, "u1", "X-Idempotency-Key: k\r\n", BODY));
    backend.wait_for(1);
    gateway.kill();
    assert!(client.is_closed());
    gateway.launch();
    for _ in 0..2 {
        refused(&post(&gateway, "k"), 409, "outcome_unknown");
    }
    refused(
        &post_as(&gateway, "u1", "k", &BODY.replace("1.00", "2.00")),
        422,
        "idempotency_key_reused",
    );
    assert_eq!(backend.count(), 1, "never sent again");
    drop(release);
}

#[test]
fn s1_8_a_write_is_carried_to_its_end_though_the_client_hangs_up() {
    let (backend, release) = holding();
    let gateway = Setup::new(&backend).start();
    let mut client = Client::open(gateway.port);
    client.write(&bytes(&gateway, "u1", "X-Idempotency-Key: k\r\n", BODY));
    backend.wait_for(1);
    drop(client);
    refused(&post(&gateway, "k"), 409, "request_in_progress");
    release.send(()).unwrap();
    let mut again = post(&gateway, "k");
    wait_for("the outcome", || {
        again = post(&gateway, "k");
        again.error() != "request_in_progress"
    });
    let problem = refused(&again, 409, "duplicate_request");
    assert_eq!(problem["original_transaction_id"], "T-1");
    assert_eq!(backend.count(), 1);
}

#[test]
fn s1_8_a_body_in_chunks_is_the_same_request() {
    let backend = Backend::bytes(created(DONE));
    let gateway = Setup::new(&backend).start();
    assert_eq!(post(&gateway, "k").status, 201);
    let head = bytes(&gateway, "u1", "X-Idempotency-Key: k\r\n", "");
    let head = String::from_utf8(head).unwrap();
    let head = head.trim_end();
    let chunked = format!(
        "{head}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &BODY[..5],
        BODY.len() - 5,
        &BODY[5..]
    );
    refused(&ask(gateway.port, chunked.as_bytes()), 409, "duplicate_request");
    // The query belongs to a request, too.
    let other = head.replacen(SYNC, &format!("{SYNC}?x=1"), 1);
    let other = format!("{other}\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
    refused(&ask(gateway.port, other.as_bytes()), 422, "idempotency_key_reused");
    assert_eq!(backend.count(), 1);
}

#[test]
fn s1_8_a_refused_write_uses_no_key_up() {
    let backend = Backend::bytes(created(DONE));
    let gateway = Setup::new(&backend).extra("limits: { body_bytes: 1KiB }").start();
    let large = format!(r#"{{"county":"County_A","x":"{}"}}"#, "x".repeat(1024));
    refused(&post_as(&gateway, "u1", "k", &large), 413, "body_too_large");
    let elsewhere = BODY.replace("County_A", "County_B");
    refused(&post_as(&gateway, "u1", "k", &elsewhere), 403, "jurisdiction_mismatch");
    assert_eq!(backend.count(), 0);
    assert_eq!(post(&gateway, "k").status, 201);
}

#[test]
fn s1_8_an_answer_that_cannot_be_shown_is_an_outcome_all_the_same() {
    let large = created(&format!(r#"{{"a":"{}"}}"#, "x".repeat(2048)));
    for (name, bytes, error) in [
        (
            "html",
            answer("201 Created", "text/html", "<p>done"),
            "unmaskable_response",
        ),
        (
            "broken",
            answer("201 Created", "application/json", "{\"a\":1,}"),
            "unmaskable_response",
        ),
        ("large", large, "answer_too_large"),
    ] {
        let backend = Backend::bytes(bytes);
        let gateway = Setup::new(&backend).extra("limits: { body_bytes: 1KiB }").start();
        refused(&post(&gateway, "k"), 502, error);
        let problem = refused(&post(&gateway, "k"), 409, "duplicate_request");
        assert_eq!(problem["original_status"], 201, "{name}");
        assert_eq!(backend.count(), 1, "{name}");
    }
}

#[test]
fn s1_8_a_stop_finishes_a_write_or_leaves_it_unknown() {
    for finished in [true, false] {
        let (backend, release) = holding();
        let grace = if finished { "10s" } else { "300ms" };
        let mut gateway = Setup::new(&backend).extra(&format!("shutdown_grace: {grace}")).start();
        let mut client = Client::open(gateway.port);
        client.write(&bytes(&gateway, "u1", "X-Idempotency-Key: k\r\n", BODY));
        backend.wait_for(1);
        gateway.signal("TERM");
        let port = gateway.port;
        wait_for("the listener to close", || Client::try_open(port).is_none());
        if finished {
            release.send(()).unwrap();
            assert_eq!(client.read(false).status, 201);
        }
        gateway.ended();
        gateway.launch();
        let error = if finished {
            "duplicate_request"
        } else {
            "outcome_unknown"
        };
        refused(&post(&gateway, "k"), 409, error);
        assert_eq!(backend.count(), 1);
    }
}

#[test]
fn two_gateways_never_share_one_store() {
    let backend = Backend::bytes(created(DONE));
    let gateway = Setup::new(&backend).start();
    let config = std::fs::read_to_string(gateway.path("tollgate.yaml")).unwrap();
    let config = config
        .replace(&format!(":{}\n", gateway.port), &format!(":{}\n", free_port()))
        .replace(&format!(":{} }}", gateway.admin), &format!(":{} }}", free_port()))
        .replace("audit/audit.jsonl", "audit/second.jsonl");
    write(&gateway.path(""), "second.yaml", &config);
    let (code, _, said) = run(&["serve", "--config", "second.yaml"], &gateway.path(""));
    assert!(code > 0, "{said}");
    assert!(said.contains("state"), "{said}");
    assert_eq!(post(&gateway, "k").status, 201, "the first goes on");
}
