//! What each caller sees of an answer (interface, section 3; S1.6, S1.7): the cases of `cases/mask.yaml`, and which of a
//! caller's roles and scopes count.

use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};

use super::harness::*;

const CASES: &str = include_str!("../cases/mask.yaml");

/// The suite's policy with two more classes.
fn policy() -> String {
    let more = "fields:\n  contact: { names: [email], visible_to: [customer:pii_read], mask: null }\n  places: { paths: \
                [\"/accounts/*/customer/address\"], columns: [address], visible_to: [customer:pii_read], mask: redact }\n";
    let policy = POLICY.replace("\nfields:\n", &format!("\n{more}"));
    assert_ne!(policy, POLICY);
    policy
}

/// What a backend answers next.
#[derive(Clone, Default)]
struct Next {
    bytes: Vec<u8>,
    /// Closes the connection after it.
    close: bool,
}

/// A backend that answers with what was put in last.
fn changing() -> (Backend, Arc<Mutex<Next>>) {
    let next = Arc::new(Mutex::new(Next::default()));
    let own = Arc::clone(&next);
    let backend = Backend::script(move |_, stream| {
        let Next { bytes, close } = own.lock().unwrap().clone();
        stream.write_all(&bytes).is_ok() && !close
    });
    (backend, next)
}

/// The same body in one piece, in chunks of one byte, and until the connection ends.
fn framings(kind: &str, body: &str) -> [(&'static str, Vec<u8>, bool); 3] {
    let kind = if kind.is_empty() {
        String::new()
    } else {
        format!("Content-Type: {kind}\r\n")
    };
    let whole = format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut chunks = format!("HTTP/1.1 200 OK\r\n{kind}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for byte in body.as_bytes() {
        chunks.extend_from_slice(b"1\r\n");
        chunks.push(*byte);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    [
        ("whole", whole.into_bytes(), false),
        ("in chunks", chunks, false),
        (
            "to the end",
            format!("HTTP/1.1 200 OK\r\n{kind}\r\n{body}").into_bytes(),
            true,
        ),
    ]
}

#[test]
fn s1_7_what_each_caller_sees() {
    let (backend, next) = changing();
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let cases: Value = serde_yaml::from_str(CASES).unwrap();
    let mut failures = Vec::new();
    let mut asked = 0;
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let body = case["body"].as_str().unwrap();
        let expected = match case["analyst"].as_str().unwrap() {
            "same" => Some(body),
            "refused" => None,
            text => Some(text),
        };
        for (way, bytes, close) in framings(case["type"].as_str().unwrap_or("application/json"), body) {
            // An empty body whose length is not known beforehand is no JSON.
            if body.is_empty() && way != "whole" {
                continue;
            }
            *next.lock().unwrap() = Next { bytes, close };
            let answer = gateway.get("/api/accounts/A1", &["billing_analyst"]);
            asked += 1;
            let line = gateway.audit(asked).pop().unwrap();
            let held = match expected {
                Some(text) => {
                    (answer.status, answer.whole, answer.text().as_str()) == (200, true, text)
                        && line["masked_fields"] == case["masked"]
                }
                None => {
                    answer.status == 502
                        && answer.error() == "unmaskable_response"
                        && !answer.text().contains(CANARY)
                        && line["error"] == "unmaskable_response"
                }
            };
            if !held {
                failures.push(format!("{name}, {way}: {} {:?}, {line}", answer.status, answer.text()));
            }
            let caseworker = gateway.get("/api/accounts/A1", &["caseworker"]);
            asked += 1;
            if caseworker.body != body.as_bytes() {
                failures.push(format!("{name}, {way}: a caseworker gets {:?}", caseworker.text()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(asked > 200, "the cases are not read");
}

#[test]
fn s1_6_never_wins_and_a_star_shows_nothing_classified() {
    let body = r#"{"subsidy_tier":"CANARY-7f3a","ssn":"CANARY-7f3a"}"#;
    let backend = Backend::json(body);
    let policy = POLICY.replace(
        "  driver:",
        "  both: { inherits: [caseworker, billing_analyst] }\n  star: { scopes: [\"*:read\", \"customer:*\", \"*:*\"] }\n  driver:",
    );
    assert_ne!(policy, POLICY);
    let gateway = Setup::new(&backend).policy(&policy).start();
    let (nothing, pii, subsidy) = (
        r#"{"ssn":"[REDACTED]"}"#,
        r#"{"ssn":"CANARY-7f3a"}"#,
        r#"{"subsidy_tier":"CANARY-7f3a","ssn":"[REDACTED]"}"#,
    );
    for (roles, scope, expected) in [
        (json!(["caseworker"]), Value::Null, body),
        (json!(["clerk"]), Value::Null, nothing),
        (json!(["billing_analyst"]), Value::Null, nothing),
        (json!(["finance_admin"]), Value::Null, nothing),
        (json!(["star"]), Value::Null, nothing),
        (json!(["caseworker", "billing_analyst"]), Value::Null, pii),
        (json!(["billing_analyst", "caseworker"]), Value::Null, pii),
        (json!(["both"]), Value::Null, pii),
        (json!(["caseworker", "clerk"]), Value::Null, body),
        (json!(["caseworker"]), json!("accounts:read"), nothing),
        (json!(["caseworker"]), json!("accounts:read assistance:read"), subsidy),
        (
            json!(["clerk"]),
            json!("accounts:read assistance:read customer:pii_read"),
            nothing,
        ),
        (
            json!(["star"]),
            json!("accounts:read assistance:read customer:pii_read"),
            nothing,
        ),
    ] {
        let mut own = claims(&[]);
        own["roles"] = roles.clone();
        if !scope.is_null() {
            own["scope"] = scope.clone();
        }
        let answer = gateway.call_as("GET", "/api/accounts/A1", &gateway.token(&own), "", "");
        assert_eq!(answer.text(), expected, "{roles} {scope}");
    }
}

#[test]
fn a_class_holds_in_its_own_modules() {
    let body = r#"{"ssn":"CANARY-7f3a"}"#;
    let backend = Backend::json(body);
    let policy = POLICY.replace("  pii:\n", "  pii:\n    modules: [accounts]\n");
    let gateway = Setup::new(&backend).policy(&policy).start();
    assert_eq!(gateway.get("/portal/schedule", &["driver"]).text(), body);
    assert_eq!(
        gateway.get("/api/accounts/1", &["clerk"]).text(),
        r#"{"ssn":"[REDACTED]"}"#
    );
}

#[test]
fn views_that_differ_have_tags_that_differ() {
    let backend = Backend::bytes(
        &b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"v1\"\r\nContent-Length: 2\r\n\r\n{}"[..],
    );
    let mut tags = Vec::new();
    for policy in [POLICY.to_owned(), POLICY.replace("mask: redact", "mask: remove")] {
        let gateway = Setup::new(&backend).policy(&policy).start();
        for role in ["clerk", "caseworker"] {
            let answer = gateway.get("/api/accounts/A1", &[role]);
            tags.push(answer.field("etag").unwrap().to_owned());
        }
    }
    let (loose, tight) = (&tags[..2], &tags[2..]);
    assert_ne!(loose[0], loose[1], "of two callers");
    assert_ne!(loose[0], tight[0], "of two policies");
}

#[test]
fn a_slow_reader_holds_the_backend_back() {
    const PIECES: usize = 16 * 1024;
    let sent = Arc::new(Mutex::new(0));
    let count = Arc::clone(&sent);
    let backend = Backend::script(move |_, stream| {
        let piece = "7,".repeat(8 * 1024);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[";
        let mut going = stream.write_all(head.as_bytes()).is_ok();
        for _ in 0..PIECES {
            going = going && stream.write_all(piece.as_bytes()).is_ok();
            *count.lock().unwrap() += usize::from(going);
        }
        false
    });
    let gateway = Setup::new(&backend).start();
    let mut client = Client::open(gateway.port);
    client.write(&request(
        "GET",
        "/api/accounts/A1",
        &gateway.token(&claims(&["clerk"])),
        "",
        "",
    ));
    assert_eq!(client.head().status, 200);
    // Nobody reads 256 MB: what the kernel takes is all that the backend gets rid of.
    let (mut last, mut still) = (0, 0);
    wait_for("the backend to be held back", || {
        let now = *sent.lock().unwrap();
        still = if now == last { still + 1 } else { 0 };
        last = now;
        still > 40
    });
    assert!(last < PIECES / 2, "{last} of {PIECES} pieces went through");
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 40 * 1024, "{peak} KiB");
    drop(client);
    assert_eq!(gateway.audit(1)[0]["error"], "client_closed");
}
