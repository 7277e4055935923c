//! A repeated write gets the first answer once more, as its sender may see it now (`on_duplicate: replay`).

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write as _;

use super::harness::*;

const SYNC: &str = "/api/ledger/sync";
const BODY: &str = r#"{"county":"County_A","amount":"1.00"}"#;
const DONE: &str = r#"{"transaction_id":"T-1","ssn":"CANARY-7f3a","amount":1.500}"#;
const HIDDEN: &str = r#"{"transaction_id":"T-1","ssn":"[REDACTED]","amount":1.500}"#;
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
const OTHER: &str = "6162636465666768696a6b6c6d6e6f707172737475767778797a303132333435";

/// The suite's policy with answers kept, and a role that sees all of them.
fn policy(keys: &str, idempotency: &str) -> String {
    POLICY
        .replace("on_duplicate: conflict", &format!("on_duplicate: replay{idempotency}"))
        .replace("\nmodules:", &format!("\nstore_keys: [{keys}]\nmodules:"))
        .replace(
            "\nexclusive_roles:",
            "\n  confidant: { scopes: [ledger:sync, customer:pii_read, assistance:read] }\nexclusive_roles:",
        )
}

fn setup(backend: &Backend) -> Setup {
    let mut setup = Setup::new(backend).policy(&policy("../keys/a.key", ""));
    setup.files = vec![("keys/a.key", KEY.into()), ("keys/b.key", OTHER.into())];
    setup
}

fn created(more: &str, body: &str) -> String {
    let answer = answer("201 Created", "application/json", body);
    answer.replacen("\r\n", &format!("\r\n{more}"), 1)
}

fn post(gateway: &Gateway, key: &str, roles: &[&str]) -> Answer {
    let headers = format!("X-Idempotency-Key: {key}\r\n");
    gateway.call("POST", SYNC, roles, &headers, BODY)
}

#[track_caller]
fn replayed(answer: &Answer, body: &str) {
    assert_eq!((answer.status, answer.text()), (201, body.to_owned()));
    assert_eq!(answer.field("idempotency-replayed"), Some("true"));
}

#[track_caller]
fn conflict(answer: &Answer) {
    assert_eq!(
        (answer.status, &*answer.error()),
        (409, "duplicate_request"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["original_transaction_id"], "T-1");
    assert_eq!(answer.field("idempotency-replayed"), None);
}

#[test]
fn the_first_answer_is_given_again_and_nothing_of_its_moment() {
    let more = "Location: /api/ledger/T-1\r\nX-Transaction-Id: T-1\r\nSet-Cookie: session=1\r\nDate: Mon, 02 Nov 2026 09:00:00 GMT\r\n";
    let backend = Backend::bytes(created(more, DONE));
    let gateway = setup(&backend).start();
    let first = post(&gateway, "k1", &["finance_admin"]);
    assert_eq!((first.status, first.text()), (201, HIDDEN.to_owned()));
    assert_eq!(first.field("idempotency-replayed"), None);
    for _ in 0..2 {
        let again = post(&gateway, "k1", &["finance_admin"]);
        replayed(&again, HIDDEN);
        for name in ["location", "x-transaction-id", "content-type", "cache-control", "vary"] {
            assert_eq!(again.field(name), first.field(name), "{name}");
        }
        assert!(again.field("x-transaction-id").is_some());
        assert_eq!(again.field("set-cookie"), None);
        assert_ne!(again.field("date"), Some("Mon, 02 Nov 2026 09:00:00 GMT"));
        assert_ne!(again.field("x-request-id"), first.field("x-request-id"));
    }
    assert_eq!(backend.count(), 1);
    let reused = gateway.call(
        "POST",
        SYNC,
        &["finance_admin"],
        "X-Idempotency-Key: k1\r\n",
        "{\"county\":\"County_A\"}",
    );
    assert_eq!((reused.status, &*reused.error()), (422, "idempotency_key_reused"));
    let lines = gateway.audit(4);
    assert_eq!(
        (&lines[0]["decision"], &lines[0]["upstream"]),
        (&"ALLOWED".into(), &"billing".into())
    );
    for line in &lines[1..3] {
        assert_eq!(
            (&line["decision"], &line["response_status_code"]),
            (&"ALLOWED".into(), &201.into())
        );
        assert!(line["upstream"].is_null(), "no backend was asked: {line}");
        assert_eq!(line["masked_fields"]["pii"], lines[0]["masked_fields"]["pii"]);
    }
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("tollgate_idempotency_total{outcome=\"replayed\"} 2\n"),
        "{metrics}"
    );
}

#[test]
fn who_asks_again_sees_what_they_may_see_now() {
    let backend = Backend::bytes(created("ETag: \"7\"\r\nX-Customer-Name: CANARY-7f3a\r\n", DONE));
    let gateway = setup(&backend).start();
    let full = post(&gateway, "k1", &["confidant"]);
    assert_eq!(full.text(), DONE);
    assert_eq!(full.field("x-customer-name"), Some(CANARY));
    let less = post(&gateway, "k1", &["finance_admin"]);
    replayed(&less, HIDDEN);
    assert_eq!(less.field("x-customer-name"), None);
    assert_ne!(less.field("etag"), full.field("etag"), "another view, another tag");
    replayed(&post(&gateway, "k1", &["confidant"]), DONE);
    // And the other way round.
    assert_eq!(post(&gateway, "k2", &["finance_admin"]).text(), HIDDEN);
    replayed(&post(&gateway, "k2", &["confidant"]), DONE);
    let refused = post(&gateway, "k1", &["clerk"]);
    assert_eq!((refused.status, &*refused.error()), (403, "denied_scope"));
    assert_eq!(backend.count(), 2);
}

#[test]
fn an_answer_outlives_the_program_and_is_nowhere_to_be_read() {
    let backend = Backend::bytes(created("", DONE));
    let mut gateway = setup(&backend).start();
    assert_eq!(post(&gateway, "k1", &["confidant"]).status, 201);
    gateway.kill();
    let bytes: Vec<u8> = fs::read_dir(gateway.path("state"))
        .unwrap()
        .flat_map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("T-1"), "the record itself is there");
    assert!(!holds(CANARY) && !holds("1.500") && !holds("application/json"));
    gateway.launch();
    replayed(&post(&gateway, "k1", &["confidant"]), DONE);
    assert_eq!(backend.count(), 1);
}

#[test]
fn an_older_key_opens_and_a_key_that_is_gone_lets_nothing_through() {
    let backend = Backend::bytes(created("", DONE));
    let mut gateway = setup(&backend).start();
    assert_eq!(post(&gateway, "k1", &["confidant"]).status, 201);
    let with_keys = |gateway: &mut Gateway, keys: &str| {
        gateway.kill();
        write(&gateway.path(""), "policy/policy.yaml", &policy(keys, ""));
        gateway.launch();
    };
    with_keys(&mut gateway, "../keys/b.key, ../keys/a.key");
    replayed(&post(&gateway, "k1", &["confidant"]), DONE);
    assert_eq!(post(&gateway, "k2", &["confidant"]).status, 201);
    with_keys(&mut gateway, "../keys/b.key");
    conflict(&post(&gateway, "k1", &["confidant"]));
    replayed(&post(&gateway, "k2", &["confidant"]), DONE);
    // The file has another secret now.
    gateway.kill();
    write(&gateway.path(""), "keys/b.key", KEY);
    gateway.launch();
    conflict(&post(&gateway, "k2", &["confidant"]));
    replayed(&post(&gateway, "k1", &["confidant"]), DONE);
    assert_eq!(backend.count(), 2);
    let lost = gateway.log();
    assert!(lost.contains("is not given its first answer again"), "{lost}");
}

#[test]
fn every_whole_answer_is_an_outcome() {
    let backend = Backend::script(|request, stream| {
        let whole = match request.field("X-Idempotency-Key").unwrap_or_default() {
            "failed" => answer("500 Internal Server Error", "application/json", DONE),
            "empty" => "HTTP/1.1 204 No Content\r\nX-Transaction-Id: T-1\r\n\r\n".to_owned(),
            "chunked" => format!(
                "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{DONE}\r\n0\r\n\r\n",
                DONE.len()
            ),
            other => panic!("{other}"),
        };
        stream.write_all(whole.as_bytes()).is_ok()
    });
    let gateway = setup(&backend).start();
    for (key, status, body) in [("failed", 500, DONE), ("empty", 204, ""), ("chunked", 201, DONE)] {
        let first = post(&gateway, key, &["confidant"]);
        let again = post(&gateway, key, &["confidant"]);
        for (answer, replayed) in [(&first, None), (&again, Some("true"))] {
            assert_eq!((answer.status, answer.text()), (status, body.to_owned()), "{key}");
            assert_eq!(answer.field("idempotency-replayed"), replayed, "{key}");
        }
        assert_eq!(again.field("x-transaction-id"), first.field("x-transaction-id"));
    }
    assert_eq!(backend.count(), 3);
}

#[test]
fn an_answer_too_large_to_keep_is_told_of() {
    let backend = Backend::script(|request, stream| {
        let length = match request.field("X-Idempotency-Key").unwrap_or_default() {
            "fits" => 64 * 1024 - 200,
            _ => 64 * 1024,
        };
        let body = format!("{{\"transaction_id\":\"T-1\",\"pad\":\"{}\"}}", "x".repeat(length - 33));
        stream.write_all(created("", &body).as_bytes()).is_ok()
    });
    let gateway = setup(&backend).start();
    for key in ["fits", "does-not"] {
        let first = post(&gateway, key, &["finance_admin"]);
        assert_eq!(first.status, 201);
        let again = post(&gateway, key, &["finance_admin"]);
        match key {
            "fits" => replayed(&again, &first.text()),
            _ => conflict(&again),
        }
    }
    assert_eq!(backend.count(), 2);
}

#[test]
fn a_coded_answer_is_masked_when_it_is_given_again() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(DONE.as_bytes()).unwrap();
    let coded = encoder.finish().unwrap();
    let mut bytes = format!(
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        coded.len()
    )
    .into_bytes();
    bytes.extend(&coded);
    let backend = Backend::bytes(bytes);
    let gateway = setup(&backend).start();
    let first = post(&gateway, "k1", &["confidant"]);
    assert_eq!(first.body, coded, "nothing is hidden from them");
    let again = post(&gateway, "k1", &["finance_admin"]);
    replayed(&again, HIDDEN);
    assert_eq!(again.field("content-encoding"), None);
    let as_it_came = post(&gateway, "k1", &["confidant"]);
    assert_eq!(
        (&as_it_came.body, as_it_came.field("content-encoding")),
        (&coded, Some("gzip"))
    );
}

#[test]
fn who_waits_for_the_first_gets_its_answer() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        held.lock().unwrap().recv().is_ok() && stream.write_all(created("", DONE).as_bytes()).is_ok()
    });
    let mut setup = setup(&backend);
    setup.policy = policy("../keys/a.key", ", wait: 8s");
    let gateway = setup.start();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| post(&gateway, "k1", &["confidant"]));
        backend.wait_for(1);
        let second = scope.spawn(|| post(&gateway, "k1", &["finance_admin"]));
        release.send(()).unwrap();
        assert_eq!(first.join().unwrap().text(), DONE);
        replayed(&second.join().unwrap(), HIDDEN);
    });
    assert_eq!(backend.count(), 1);
}

#[test]
fn what_is_safe_is_asked_again() {
    let backend = Backend::bytes(answer("200 OK", "application/json", DONE));
    let mut setup = setup(&backend);
    setup.policy = setup
        .policy
        .replace("methods: [POST]\n", "methods: [GET, POST]\n")
        .replace(
            "jurisdiction: { from: \"body:/county\" }",
            "jurisdiction: { fixed: [County_A] }",
        );
    let gateway = setup.start();
    for method in ["HEAD", "GET", "HEAD", "GET"] {
        let answer = gateway.call(method, SYNC, &["finance_admin"], "X-Idempotency-Key: k1\r\n", "");
        assert_eq!((answer.status, answer.field("idempotency-replayed")), (200, None));
    }
    assert_eq!(backend.count(), 4);
}
