//! Writers do not undo each other's changes (interface, section 7; S1.9).

use serde_json::json;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::harness::*;
use super::requests::on_http2;

const STATE: &str = "/api/ledger/state";
pub const SYNC: &str = "/api/ledger/sync";
const BATCH: &str = "/api/ledger/batches/7";
pub const BODY: &str = r#"{"amount":"1.00"}"#;
pub const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";

/// The suite's policy with these routes of the ledger.
fn policy(routes: &str) -> String {
    let (before, rest) = POLICY.split_once("  ledger:\n").unwrap();
    let (_, after) = rest.split_once("  portal:\n").unwrap();
    let before = before
        .replace("\nmodules:", "\nstore_keys: [../keys/store.key]\nmodules:")
        .replace(
            "\nexclusive_roles:",
            "\n  confidant: { scopes: [ledger:read, ledger:sync, customer:pii_read, assistance:read] }\n  writer: { scopes: [ledger:sync] }\nexclusive_roles:",
        );
    format!(
        "{before}  ledger:\n    prefix: /api/ledger\n    upstream: billing\n    routes:\n{routes}  portal:\n{after}"
    )
}

pub fn sync(version: &str, more: &str) -> String {
    policy(&format!(
        "      - path: /sync\n        methods: [POST]\n        scope: ledger:sync\n        idempotency: {{ required: false, transaction_id: /transaction_id }}\n        \
         concurrency: {{ if_match: required, version: {{ {version} }}{more} }}\n      - {{ path: /state, methods: [GET], scope: ledger:read }}\n"
    ))
}

fn start(backend: &Backend, policy: &str) -> Gateway {
    let mut setup = Setup::new(backend).policy(policy);
    setup.files = vec![("keys/store.key", KEY.into())];
    setup.start()
}

/// A ledger whose version a write moves on, and which can hold writes back.
#[derive(Default)]
pub struct Ledger {
    version: Mutex<u32>,
    held: Mutex<bool>,
    opened: Condvar,
}

impl Ledger {
    pub fn backend() -> (Backend, Arc<Self>) {
        let ledger = Arc::new(Self::default());
        let own = Arc::clone(&ledger);
        let backend = Backend::script(move |request, stream| own.answer(request, stream));
        (backend, ledger)
    }

    fn answer(&self, request: &Request, stream: &mut TcpStream) -> bool {
        let version = |number: u32| format!("{{\"version_hash\":\"v{number}\",\"ssn\":\"CANARY-7f3a\"}}");
        let whole = match &*request.method {
            "GET" => answer("200 OK", "application/json", &version(*self.version.lock().unwrap())),
            "HEAD" => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n".to_owned(),
            _ => {
                let mut held = self.held.lock().unwrap();
                while *held {
                    held = self.opened.wait_timeout(held, DEADLINE).unwrap().0;
                }
                *self.version.lock().unwrap() += 1;
                answer("201 Created", "application/json", "{\"transaction_id\":\"T-1\"}")
            }
        };
        stream.write_all(whole.as_bytes()).is_ok()
    }

    pub fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.opened.notify_all();
    }

    pub fn version(&self) -> u32 {
        *self.version.lock().unwrap()
    }
}

pub fn writes(backend: &Backend) -> usize {
    backend.seen().iter().filter(|request| request.method != "GET").count()
}

fn post(gateway: &Gateway, headers: &str) -> Answer {
    gateway.call("POST", SYNC, &["finance_admin"], headers, BODY)
}

#[track_caller]
pub fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, &*answer.error()), (status, error), "{}", answer.text());
}

#[test]
fn s1_9_a_write_names_the_version_that_it_was_made_for() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    refused(&post(&gateway, ""), 428, "precondition_required");
    refused(&post(&gateway, "If-Match:\r\n"), 428, "precondition_required");
    for (header, error) in [
        ("If-Match: \"v0\r\n", "ambiguous_request"),
        ("If-Match: \"v0\"\r\nIf-Match: \"v0\"\r\n", "ambiguous_request"),
        ("If-Match: *, \"v0\"\r\n", "ambiguous_request"),
    ] {
        refused(&post(&gateway, header), 400, error);
    }
    assert_eq!(backend.count(), 0, "nothing was asked");
    for header in ["If-Match: \"v7\"\r\n", "If-Match: W/\"v0\"\r\n", "If-Match: v00\r\n"] {
        let answer = post(&gateway, header);
        refused(&answer, 412, "version_mismatch");
        assert_eq!(answer.field("etag"), Some("\"v0\""), "{header}");
    }
    assert_eq!((writes(&backend), ledger.version()), (0, 0));
    for header in [
        "If-Match: \"v0\"\r\n",
        "If-Match: v1\r\n",
        "If-Match: \"x\", \"v2\"\r\n",
        "If-Match: *\r\n",
    ] {
        assert_eq!(post(&gateway, header).status, 201, "{header}");
    }
    assert_eq!(ledger.version(), 4);
    let sent = backend.last();
    assert_eq!((sent.method.as_str(), sent.field("If-Match")), ("POST", None));
    assert_eq!(sent.body, BODY.as_bytes());
    let seen = backend.seen();
    let lookup = seen.iter().find(|request| request.method == "GET").unwrap();
    assert_eq!((lookup.target.as_str(), lookup.body.len()), (STATE, 0));
    assert_eq!(lookup.field("X-Municipal-User"), Some("u1"));
    assert_eq!(lookup.field("If-Match"), None);
    let lines = gateway.audit(12);
    for (at, decision) in [
        (0, "DENIED_PRECONDITION"),
        (2, "DENIED_REQUEST"),
        (5, "DENIED_PRECONDITION"),
        (11, "ALLOWED"),
    ] {
        assert_eq!(lines[at]["decision"], decision, "{}", lines[at]);
    }
}

#[test]
fn what_a_client_got_as_etag_will_do_whatever_it_sees() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    let mut tags = Vec::new();
    for (number, roles) in ["finance_admin", "confidant"].iter().enumerate() {
        for method in ["GET", "HEAD"] {
            let got = gateway.call(method, STATE, &[roles], "If-None-Match: \"v0\"\r\n", "");
            let tag = got.field("etag").unwrap_or_else(|| panic!("{method}")).to_owned();
            assert_eq!(got.status, 200);
            assert!(
                tag.ends_with(&format!("v{number}\"")) && !tag.starts_with("W/"),
                "{tag}"
            );
            tags.push(tag);
        }
        let tag = tags.last().unwrap();
        assert_eq!(post(&gateway, &format!("If-Match: {tag}\r\n")).status, 201);
        refused(
            &post(&gateway, &format!("If-Match: {tag}\r\n")),
            412,
            "version_mismatch",
        );
    }
    assert_eq!(tags[0], tags[1]);
    assert_eq!(ledger.version(), 2);
    assert_eq!(tags[2], "\"v1\"", "to whom nothing is hidden");
    // A query may ask for another thing.
    let other = gateway.get(&format!("{STATE}?page=2"), &["confidant"]);
    assert_eq!((other.status, other.field("etag")), (200, None));
}

#[test]
fn of_two_writers_one_wins() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    ledger.hold(true);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| post(&gateway, "If-Match: v0\r\n")))
            .collect();
        wait_for("one writer to be at the backend", || writes(&backend) == 1);
        ledger.hold(false);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((won, ledger.version(), writes(&backend)), (1, 1, 1));
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        refused(lost, 412, "version_mismatch");
        assert_eq!(lost.field("etag"), Some("\"v1\""));
    }
}

#[test]
fn http2_writers_are_no_others() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    let token = gateway.token(&claims(&["finance_admin"]));
    on_http2(&gateway, async |sender| {
        let write = async || {
            let request = http::Request::post(format!("http://gw.example{SYNC}"))
                .header("authorization", format!("Bearer {token}"))
                .header("if-match", "\"v0\"")
                .body(BODY.to_owned())
                .unwrap();
            sender.clone().send_request(request).await.unwrap()
        };
        let (a, b, c) = tokio::join!(write(), write(), write());
        let mut statuses = [&a, &b, &c].map(|answer| answer.status().as_u16());
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 412, 412]);
        let lost = [a, b, c].into_iter().find(|answer| answer.status() == 412).unwrap();
        assert_eq!(lost.headers()["etag"], "\"v1\"");
    });
    assert_eq!(ledger.version(), 1);
}

#[test]
fn the_retry_of_a_finished_write_is_told_so() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    let keyed = |key: &str, more: &str| post(&gateway, &format!("X-Idempotency-Key: {key}\r\n{more}"));
    refused(&keyed("k0", "If-Match: v9\r\n"), 412, "version_mismatch");
    assert_eq!(keyed("k1", "If-Match: v0\r\n").status, 201);
    // The version is another now, or is not named at all.
    for more in ["If-Match: v0\r\n", "If-Match: v1\r\n", "", "If-Match: \"\r\n"] {
        let again = keyed("k1", more);
        refused(&again, 409, "duplicate_request");
        assert_eq!(again.field("x-original-transaction-id"), Some("T-1"));
    }
    // A write that was refused has left its key as it was.
    refused(&keyed("k0", ""), 428, "precondition_required");
    assert_eq!(keyed("k0", "If-Match: v1\r\n").status, 201);
    let other = gateway.call(
        "POST",
        SYNC,
        &["finance_admin"],
        "X-Idempotency-Key: k1\r\n",
        "{\"amount\":\"2.00\"}",
    );
    refused(&other, 422, "idempotency_key_reused");
    assert_eq!((ledger.version(), writes(&backend)), (2, 2));
}

#[test]
fn a_write_whose_client_has_left_is_finished_under_its_lock() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    ledger.hold(true);
    let token = gateway.token(&claims(&["finance_admin"]));
    on_http2(&gateway, async |sender| {
        let request = http::Request::post(format!("http://gw.example{SYNC}"))
            .header("authorization", format!("Bearer {token}"))
            .header("if-match", "v0")
            .body(BODY.to_owned())
            .unwrap();
        let pending = tokio::spawn(sender.clone().send_request(request));
        while writes(&backend) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        pending.abort();
        assert!(pending.await.is_err());
    });
    let line = gateway.audit(1).remove(0);
    assert_eq!(line["error"], "client_closed", "{line}");
    let second = thread::scope(|scope| {
        let second = scope.spawn(|| post(&gateway, "If-Match: v0\r\n"));
        // It waits: nothing more comes to the backend while the first is there.
        thread::yield_now();
        assert_eq!(backend.count(), 2);
        ledger.hold(false);
        second.join().unwrap()
    });
    refused(&second, 412, "version_mismatch");
    assert_eq!((ledger.version(), second.field("etag")), (1, Some("\"v1\"")));
}

#[test]
fn who_waits_too_long_is_told_to_come_again() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(
        &backend,
        &sync("get: /api/ledger/state, pointer: /version_hash", ", wait: 50ms"),
    );
    ledger.hold(true);
    thread::scope(|scope| {
        let first = scope.spawn(|| post(&gateway, "If-Match: v0\r\n"));
        wait_for("the write to be at the backend", || writes(&backend) == 1);
        let late = post(&gateway, "If-Match: v0\r\nX-Idempotency-Key: k1\r\n");
        refused(&late, 503, "resource_busy");
        assert_eq!(late.field("retry-after"), Some("1"));
        ledger.hold(false);
        assert_eq!(first.join().unwrap().status, 201);
    });
    let again = post(&gateway, "If-Match: v1\r\nX-Idempotency-Key: k1\r\n");
    assert_eq!(again.status, 201, "its key is free");
}

/// A backend that cuts off what follows a `;` has one resource where two paths are, and one write at a time.
#[test]
fn a_resource_has_one_lock_however_its_path_is_spelt() {
    let (backend, ledger) = Ledger::backend();
    let policy = batches("pointer: /version_hash")
        .replace("required, version", "required, wait: 50ms, version")
        .replace(
            "prefix: /api/ledger\n",
            "prefix: /api/ledger\n    path_parameters: allow\n",
        );
    let gateway = start(&backend, &policy);
    let put = |path: &str| gateway.call("PUT", path, &["confidant"], "If-Match: v0\r\n", BODY);
    ledger.hold(true);
    thread::scope(|scope| {
        let first = scope.spawn(|| put("/api/ledger/batches/a"));
        wait_for("the write to be at the backend", || writes(&backend) == 1);
        for end in ["a", "a/", "A", "%61", "a;x", "a;", "a%3Bx", "A;x=1/"] {
            let late = put(&format!("/api/ledger/batches/{end}"));
            refused(&late, 503, "resource_busy");
        }
        ledger.hold(false);
        assert_eq!(first.join().unwrap().status, 201);
    });
    assert_eq!(writes(&backend), 1);
}

/// A route whose writes have their version at their own path.
fn batches(version: &str) -> String {
    policy(&format!(
        "      - path: /batches/{{id}}\n        methods: [PUT, DELETE]\n        scope: ledger:sync\n        concurrency: {{ if_match: \
         required, version: {{ {version} }} }}\n      - {{ path: \"/batches/{{id}}\", methods: [GET], scope: ledger:read }}\n"
    ))
}

/// Answers a `GET` as `get` says, and a write with an `ETag` of its own.
fn resource(get: impl Fn() -> String + Send + Sync + 'static) -> Backend {
    Backend::script(move |request, stream| {
        let whole = match &*request.method {
            "GET" | "HEAD" => get(),
            _ => "HTTP/1.1 200 OK\r\nETag: \"after\"\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        stream.write_all(whole.as_bytes()).is_ok()
    })
}

fn with_fields(fields: &str, body: &str) -> String {
    answer("200 OK", "application/json", body).replacen("\r\n", &format!("\r\n{fields}"), 1)
}

fn put(gateway: &Gateway, headers: &str) -> Answer {
    gateway.call("PUT", BATCH, &["confidant"], headers, BODY)
}

#[test]
fn a_backends_own_tag_is_compared_and_goes_on_to_it() {
    let backend = resource(|| with_fields("ETag: \"e5\"\r\n", "{\"ssn\":1}"));
    let gateway = start(&backend, &batches("header: ETag"));
    for roles in ["confidant", "finance_admin"] {
        let got = gateway.get(BATCH, &[roles]);
        let tag = got.field("etag").unwrap().to_owned();
        let written = gateway.call("PUT", BATCH, &[roles], &format!("If-Match: {tag}\r\n"), BODY);
        assert_eq!(written.status, 200, "{tag}");
        assert_eq!(backend.last().field("If-Match"), Some("\"e5\""));
        assert!(written.field("etag").unwrap().ends_with("after\""));
    }
    assert_eq!(put(&gateway, "If-Match: e5\r\n").status, 200, "bare");
    assert_eq!(backend.last().field("If-Match"), Some("\"e5\""));
    refused(&put(&gateway, "If-Match: \"e4\"\r\n"), 412, "version_mismatch");
    // A weak tag never matches, not even itself.
    let backend = resource(|| with_fields("ETag: W/\"e5\"\r\n", "{}"));
    let gateway = start(&backend, &batches("header: ETag"));
    for header in ["If-Match: \"e5\"\r\n", "If-Match: W/\"e5\"\r\n"] {
        refused(&put(&gateway, header), 412, "version_mismatch");
    }
    assert_eq!(writes(&backend), 0);
    assert_eq!(put(&gateway, "If-Match: *\r\n").status, 200, "any will do");
    assert_eq!(backend.last().field("If-Match"), Some("*"));
}

#[test]
fn another_header_is_given_as_a_tag() {
    let backend = resource(|| with_fields("ETag: \"other\"\r\nX-Revision: 2026-11-25 09:00\r\n", "{}"));
    let gateway = start(&backend, &batches("header: X-Revision"));
    let head = gateway.call("HEAD", BATCH, &["confidant"], "", "");
    assert_eq!(head.field("etag"), Some("\"2026-11-25%2009:00\""));
    let written = put(&gateway, "If-Match: \"2026-11-25%2009:00\"\r\n");
    assert_eq!(
        (written.status, written.field("etag")),
        (200, None),
        "its tag would be no version"
    );
    assert_eq!(backend.last().field("If-Match"), None);
    refused(&put(&gateway, "If-Match: \"other\"\r\n"), 412, "version_mismatch");
}

#[test]
fn a_version_of_the_whole_body_tells_nothing_of_it() {
    let tier = Arc::new(Mutex::new("T1"));
    let own = Arc::clone(&tier);
    let backend = resource(move || with_fields("", &format!("{{\"subsidy_tier\":\"{}\"}}", own.lock().unwrap())));
    let mut gateway = start(&backend, &batches(""));
    let tag = |gateway: &Gateway, roles: &str, method: &str| {
        let headers = "Accept: text/csv\r\nRange: bytes=0-3\r\n";
        let got = gateway.call(method, BATCH, &[roles], headers, "");
        assert_eq!(got.status, 200);
        got.field("etag").unwrap().to_owned()
    };
    let seen = tag(&gateway, "confidant", "GET");
    assert_eq!(
        (backend.last().field("Accept"), backend.last().field("Range")),
        (None, None)
    );
    assert_eq!(tag(&gateway, "confidant", "HEAD"), seen);
    let masked = tag(&gateway, "finance_admin", "GET");
    assert_ne!(masked, seen, "another view");
    // What could be guessed offline is no part of either.
    let opaque = seen.trim_matches('"');
    assert!(masked.ends_with(&format!("{opaque}\"")), "{masked} {seen}");
    for guess in ["{\"subsidy_tier\":\"T1\"}", "T1"] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, guess.as_bytes());
        use base64::Engine as _;
        assert_ne!(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest), opaque);
    }
    // The key is the policy's, so the version is the same after a start; with another key it is not.
    gateway.kill();
    gateway.launch();
    assert_eq!(tag(&gateway, "confidant", "GET"), seen);
    let written = gateway.call(
        "PUT",
        BATCH,
        &["finance_admin"],
        &format!("If-Match: {masked}\r\n"),
        BODY,
    );
    assert_eq!(written.status, 200);
    *tier.lock().unwrap() = "T2";
    refused(
        &put(&gateway, &format!("If-Match: {seen}\r\n")),
        412,
        "version_mismatch",
    );
    gateway.kill();
    *tier.lock().unwrap() = "T1";
    write(
        &gateway.path(""),
        "keys/store.key",
        &"61".repeat(16).replace("61", "8f3a"),
    );
    gateway.launch();
    assert_ne!(tag(&gateway, "confidant", "GET"), seen);
}

#[test]
fn an_encrypting_view_can_be_written_by_its_tag() {
    let backend = resource(|| with_fields("", "{\"ssn\":\"CANARY-7f3a\",\"v\":17}"));
    let policy = batches("pointer: /v")
        .replace("    mask: redact\n", "    mask: encrypt\n    key: k1\n")
        .replace(
            "\nfields:\n",
            "\nfield_keys: { k1: { file: ../keys/store.key } }\nfields:\n",
        );
    let gateway = start(&backend, &policy);
    let got = gateway.get(BATCH, &["finance_admin"]);
    let tag = got.field("etag").unwrap().to_owned();
    assert!(tag.ends_with(".17\"") && !tag.starts_with("W/"), "{tag}");
    let headers = format!("If-Match: {tag}\r\n");
    assert_eq!(
        gateway.call("PUT", BATCH, &["finance_admin"], &headers, BODY).status,
        200
    );
}

#[test]
fn without_a_version_nothing_is_written() {
    let large = format!("{{\"v\":1,\"pad\":\"{}\"}}", "x".repeat(200_000));
    for (get, status, error) in [
        (
            answer("404 Not Found", "application/json", "{}"),
            412,
            "version_mismatch",
        ),
        (
            answer("500 Internal Server Error", "application/json", "{\"v\":1}"),
            502,
            "upstream_broken",
        ),
        (
            answer("200 OK", "application/json", "{\"w\":1}"),
            502,
            "upstream_broken",
        ),
        (
            answer("200 OK", "application/json", "{\"v\":[1]}"),
            502,
            "upstream_broken",
        ),
        (answer("200 OK", "text/plain", "v=1"), 502, "upstream_broken"),
        (answer("200 OK", "application/json", &large), 502, "answer_too_large"),
        (String::new(), 502, "upstream_broken"),
    ] {
        let shown: String = get.chars().take(60).collect();
        let backend = resource(move || get.clone());
        let mut setup = Setup::new(&backend)
            .policy(&batches("pointer: /v"))
            .extra("limits: { body_bytes: 100KiB }");
        setup.files = vec![("keys/store.key", KEY.into())];
        setup.timeout = "1s";
        let gateway = setup.start();
        for header in ["If-Match: \"1\"\r\n", "If-Match: *\r\n"] {
            let answer = put(&gateway, header);
            // A backend that says nothing at all takes all the time that it has.
            if shown.is_empty() {
                refused(&answer, 504, "upstream_timeout");
                break;
            }
            refused(&answer, status, error);
            assert_eq!(answer.field("etag"), None, "{shown}");
        }
        assert_eq!(writes(&backend), 0, "{shown}");
    }
}

#[test]
fn a_backend_that_breaks_off_holds_no_lock() {
    let backend = Backend::script(|request, stream| {
        let get = request.method == "GET";
        get && stream
            .write_all(answer("200 OK", "application/json", "{\"v\":1}").as_bytes())
            .is_ok()
    });
    let gateway = start(&backend, &batches("pointer: /v"));
    for count in 1..4 {
        refused(&put(&gateway, "If-Match: 1\r\n"), 502, "upstream_broken");
        assert_eq!(writes(&backend), count);
    }
}

#[test]
fn a_write_that_takes_too_long_holds_no_lock_either() {
    let (backend, ledger) = Ledger::backend();
    let mut setup = Setup::new(&backend).policy(&sync("get: /api/ledger/state, pointer: /version_hash", ""));
    setup.files = vec![("keys/store.key", KEY.into())];
    setup.timeout = "300ms";
    let gateway = setup.start();
    ledger.hold(true);
    refused(&post(&gateway, "If-Match: v0\r\n"), 504, "upstream_timeout");
    let keyed = "X-Idempotency-Key: k1\r\nIf-Match: v0\r\n";
    refused(&post(&gateway, keyed), 504, "upstream_timeout");
    refused(&post(&gateway, keyed), 409, "outcome_unknown");
    ledger.hold(false);
    // Both are done in the end.
    wait_for("the backend to be done", || ledger.version() == 2);
    refused(&post(&gateway, "If-Match: v0\r\n"), 412, "version_mismatch");
    assert_eq!(post(&gateway, "If-Match: v2\r\n").status, 201);
}

#[test]
fn after_a_crash_no_lock_is_left() {
    let (backend, ledger) = Ledger::backend();
    let mut gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    ledger.hold(true);
    let token = gateway.token(&claims(&["finance_admin"]));
    let keyed = "X-Idempotency-Key: k1\r\nIf-Match: v0\r\n";
    Client::open(gateway.port).write(&request("POST", SYNC, &token, keyed, BODY));
    wait_for("the write to be at the backend", || writes(&backend) == 1);
    gateway.kill();
    ledger.hold(false);
    wait_for("the backend to be done", || ledger.version() == 1);
    gateway.launch();
    refused(&post(&gateway, keyed), 409, "outcome_unknown");
    refused(&post(&gateway, "If-Match: v0\r\n"), 412, "version_mismatch");
    assert_eq!(post(&gateway, "If-Match: v1\r\n").status, 201);
}

#[test]
fn who_may_write_but_not_read_learns_the_version_and_nothing_else() {
    let (backend, ledger) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    assert_eq!(gateway.get(STATE, &["writer"]).status, 403);
    let write = |header: &str| gateway.call("POST", SYNC, &["writer"], header, BODY);
    let answer = write("If-Match: v9\r\n");
    refused(&answer, 412, "version_mismatch");
    assert_eq!(answer.field("etag"), Some("\"v0\""));
    assert!(!answer.text().contains(CANARY));
    assert_eq!(write("If-Match: v0\r\n").status, 201);
    assert_eq!(ledger.version(), 1);
}

#[test]
fn without_a_version_rule_the_backend_compares() {
    let backend = resource(|| answer("200 OK", "application/json", "{}"));
    let routes = "      - { path: \"/batches/{id}\", methods: [GET, PUT], scope: ledger:sync, concurrency: { if_match: required } }\n";
    let gateway = start(&backend, &policy(routes));
    refused(&put(&gateway, ""), 428, "precondition_required");
    refused(&put(&gateway, "If-Match: , ,\r\n"), 428, "precondition_required");
    assert_eq!(put(&gateway, "If-Match: \"e5\"\r\n").status, 200);
    assert_eq!(backend.last().field("If-Match"), Some("\"e5\""));
    assert_eq!(gateway.get(BATCH, &["confidant"]).status, 200, "who reads needs none");
    assert_eq!(backend.count(), 2);
}

#[test]
fn explain_and_test_know_of_versions() {
    let (backend, _) = Ledger::backend();
    let gateway = start(&backend, &sync("get: /api/ledger/state, pointer: /version_hash", ""));
    let caller = claims(&["finance_admin"]).to_string();
    let explain = |more: &[&str]| {
        let mut arguments = vec!["explain", "--config", "tollgate.yaml", "--claims", &caller];
        arguments.extend(more);
        arguments.extend(["POST", SYNC]);
        run(&arguments, &gateway.path(""))
    };
    let (code, out, _) = explain(&[]);
    assert!(code == 3 && out.contains("needs an If-Match"), "{out}");
    let (code, out, _) = explain(&["--header", "If-Match: v0"]);
    assert!(
        code == 0 && out.contains("compared with that at `/api/ledger/state`"),
        "{out}"
    );
    let cases = json!([{
        "name": "a write says what it was made for",
        "claims": claims(&["finance_admin"]),
        "request": { "method": "POST", "url": SYNC },
        "expect": { "decision": "DENIED_PRECONDITION", "status": 428 },
    }]);
    write(&gateway.path(""), "cases.yaml", &cases.to_string());
    let (code, out, err) = run(&["test", "--config", "tollgate.yaml", "cases.yaml"], &gateway.path(""));
    assert_eq!(code, 0, "{out}{err}");
}
