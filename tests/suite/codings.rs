//! Backends that compress although they are asked not to: what they mean is masked, and goes out as it is meant.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

use super::harness::*;

const SECRETS: &str = r#"{"ssn":"CANARY-7f3a","n":1.50,"phone":{"x":["CANARY-7f3a"]},"end":null}"#;
const MASKED: &str = r#"{"ssn":"[REDACTED]","n":1.50,"phone":"[REDACTED]","end":null}"#;
const ALL: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

fn encode(coding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 22);
            encoder.write_all(text).unwrap();
            drop(encoder);
            out
        }
        "zstd" => {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

/// Answers by the last segment of the path; those named `…-close` end with the connection.
fn table(rows: impl IntoIterator<Item = (String, Vec<u8>)>) -> Backend {
    let rows: BTreeMap<String, Vec<u8>> = rows.into_iter().collect();
    Backend::script(move |request, stream| {
        let name = request.target.rsplit('/').next().unwrap();
        stream.write_all(&rows[name]).is_ok() && !name.ends_with("-close")
    })
}

fn head(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("HTTP/1.1 {status}\r\n{fields}").into_bytes()
}

/// A JSON answer with these codings named and a length.
fn coded(codings: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let fields = [
        ("Content-Type", "application/json"),
        ("Content-Encoding", codings),
        ("Content-Length", &length),
    ];
    [&head("200 OK", &fields)[..], b"\r\n", body].concat()
}

fn chunked(coding: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut out = head(
        "200 OK",
        &[
            ("Content-Type", "application/json"),
            ("Content-Encoding", coding),
            ("Transfer-Encoding", "chunked"),
        ],
    );
    out.extend_from_slice(b"\r\n");
    for piece in body.chunks(size) {
        write!(out, "{:x}\r\n", piece.len()).unwrap();
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\nX-SSN: CANARY-7f3a\r\n\r\n");
    out
}

/// Until the connection ends.
fn closing(version: &str, coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/{version} 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn get(gateway: &Gateway, name: &str, role: &str) -> Answer {
    gateway.get(&format!("/api/accounts/{name}"), &[role])
}

fn assert_clean(name: &str, answer: &Answer) {
    let text = format!("{:?} {}", answer.fields, String::from_utf8_lossy(&answer.body));
    assert!(!text.contains(CANARY), "{name}: {text}");
}

/// Rows with a secret in each.
fn rows(count: usize) -> String {
    let row = |at| format!(r#"{{"id":{at},"ssn":"CANARY-7f3a","pad":"{:x}"}}"#, at * 2_654_435_761);
    let rows: Vec<String> = (0..count).map(row).collect();
    format!("[{}]", rows.join(", "))
}

#[test]
fn however_a_coded_body_is_framed_it_is_masked() {
    let mut table_rows = Vec::new();
    for coding in ALL {
        let body = encode(coding, SECRETS.as_bytes());
        for (way, bytes) in [
            ("length", coded(coding, &body)),
            ("one", chunked(coding, &body, 4096)),
            ("bytes", chunked(coding, &body, 1)),
            ("seven", chunked(coding, &body, 7)),
            ("old-close", closing("1.0", coding, &body)),
            ("new-close", closing("1.1", coding, &body)),
        ] {
            table_rows.push((format!("{coding}-{way}"), bytes));
        }
    }
    let backend = table(table_rows.clone());
    let gateway = Setup::new(&backend).start();
    let mut asked = 0;
    for (name, _) in &table_rows {
        let answer = get(&gateway, name, "clerk");
        assert_eq!((answer.status, answer.text().as_str()), (200, MASKED), "{name}");
        assert_eq!(answer.field("content-encoding"), None, "{name}");
        assert_eq!(
            answer.field("content-length"),
            Some(&*MASKED.len().to_string()),
            "{name}"
        );
        asked += 1;
        let line = gateway.audit(asked).pop().unwrap();
        assert_eq!(line["masked_fields"], json!({ "pii": 2 }), "{name}");

        let all = get(&gateway, name, "caseworker");
        let coding = name.split('-').next().unwrap();
        assert_eq!(all.field("content-encoding"), Some(coding), "{name}");
        assert_eq!(
            all.body,
            encode(coding, SECRETS.as_bytes()),
            "{name}: nothing is hidden, nothing is touched"
        );
        asked += 1;
    }
}

#[test]
fn a_coding_has_the_names_that_http_gives_it() {
    let gzip = encode("gzip", SECRETS.as_bytes());
    let names = [
        "gzip",
        "GZip",
        "x-gzip",
        "X-GZIP",
        "identity, gzip",
        "gzip,",
        "gzip\r\nContent-Encoding: identity",
    ];
    let named = names.iter().map(|name| coded(name, &gzip));
    let plain = ["identity", "Identity", "identity, identity", ""];
    let bytes: Vec<Vec<u8>> = named
        .chain(plain.iter().map(|name| coded(name, SECRETS.as_bytes())))
        .collect();
    let count = bytes.len();
    let backend = table(bytes.into_iter().enumerate().map(|(at, bytes)| (at.to_string(), bytes)));
    let gateway = Setup::new(&backend).start();
    for at in 0..count {
        let answer = get(&gateway, &at.to_string(), "clerk");
        assert_eq!((answer.status, answer.text().as_str()), (200, MASKED), "{at}");
        assert_eq!(answer.field("content-encoding"), None, "{at}");
    }
}

#[test]
fn what_cannot_be_decoded_does_not_leave() {
    let mut table_rows: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| table_rows.push((name, bytes));
    for coding in ALL {
        let body = encode(coding, SECRETS.as_bytes());
        let most = &body[..body.len() - 1];
        add(format!("{coding}-plain"), coded(coding, SECRETS.as_bytes()));
        add(format!("{coding}-unsaid"), coded("identity", &body));
        add(format!("{coding}-twice"), coded(coding, &encode(coding, &body)));
        add(
            format!("{coding}-stacked"),
            coded(&format!("{coding}, {coding}"), &encode(coding, &body)),
        );
        add(
            format!("{coding}-fields"),
            coded(&format!("{coding}\r\nContent-Encoding: gzip"), &body),
        );
        add(format!("{coding}-cut"), coded(coding, most));
        add(format!("{coding}-cut-chunks"), chunked(coding, most, 5));
        add(format!("{coding}-cut-close"), closing("1.0", coding, most));
        add(format!("{coding}-more"), coded(coding, &[&body[..], b"\0"].concat()));
        add(format!("{coding}-again"), coded(coding, &[&body[..], &body].concat()));
        add(
            format!("{coding}-trailing"),
            coded(coding, &[&body[..], b"<CANARY-7f3a>"].concat()),
        );
        add(
            format!("{coding}-no-json"),
            coded(coding, &encode(coding, br#"{"a":"CANARY-7f3a",}"#)),
        );
        add(format!("{coding}-nothing"), coded(coding, &encode(coding, b"")));
        let hidden = format!(r#"{{"ssn":"{}"}}"#, "7".repeat(20 << 20));
        add(
            format!("{coding}-bomb"),
            coded(coding, &encode(coding, hidden.as_bytes())),
        );
    }
    let mut wrong = encode("gzip", SECRETS.as_bytes());
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    add("checksum".into(), coded("gzip", &wrong));
    let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    bare.write_all(SECRETS.as_bytes()).unwrap();
    add("bare".into(), coded("deflate", &bare.finish().unwrap()));
    for (at, name) in ["rot13", "compress", "dcz", "gzip;q=1", "gzip br"]
        .into_iter()
        .enumerate()
    {
        add(format!("unknown-{at}"), coded(name, SECRETS.as_bytes()));
    }
    let count = table_rows.len();
    let backend = table(table_rows.clone());
    let gateway = Setup::new(&backend).start();
    for (name, _) in &table_rows {
        let answer = get(&gateway, name, "clerk");
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (502, "unmaskable_response"),
            "{name}"
        );
        assert_clean(name, &answer);
    }
    for line in gateway.audit(count) {
        assert_eq!(line["error"], "unmaskable_response", "{line}");
        assert_eq!(line["response_status_code"], 502, "{line}");
    }
}

#[test]
fn a_large_coded_body_is_what_the_plain_one_is() {
    let text = rows(60_000);
    let length = format!("Content-Length: {}\r\n", text.len());
    let plain = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n{text}");
    let mut table_rows = vec![("plain".to_owned(), plain.into_bytes())];
    for coding in ALL {
        let body = encode(coding, text.as_bytes());
        table_rows.push((format!("{coding}-length"), coded(coding, &body)));
        table_rows.push((format!("{coding}-chunks"), chunked(coding, &body, 7919)));
        table_rows.push((format!("{coding}-close"), closing("1.0", coding, &body)));
    }
    let backend = table(table_rows.clone());
    let gateway = Setup::new(&backend).start();
    let want = get(&gateway, "plain", "clerk");
    assert_eq!(want.text(), text.replace(CANARY, "[REDACTED]"));
    for (name, _) in &table_rows {
        let answer = get(&gateway, name, "clerk");
        assert_eq!((answer.status, answer.whole), (200, true), "{name}");
        assert!(answer.body == want.body, "{name}");
    }
    for line in gateway.audit(table_rows.len() + 1) {
        assert_eq!(line["masked_fields"], json!({ "pii": 60_000 }), "{line}");
    }
}

#[test]
fn a_large_coded_body_that_breaks_later_is_cut() {
    let text = rows(60_000);
    let zeros = format!("[\"CANARY\",\"{}\"]", "0".repeat(20 << 20));
    let mut table_rows = Vec::new();
    for coding in ALL {
        let body = encode(coding, text.as_bytes());
        let most = &body[..body.len() - 1];
        table_rows.push((format!("{coding}-cut"), coded(coding, most)));
        table_rows.push((format!("{coding}-cut-close"), closing("1.0", coding, most)));
        table_rows.push((format!("{coding}-more"), coded(coding, &[&body[..], b"x"].concat())));
        table_rows.push((
            format!("{coding}-bomb"),
            coded(coding, &encode(coding, zeros.as_bytes())),
        ));
    }
    let backend = table(table_rows.clone());
    let gateway = Setup::new(&backend).start();
    for (at, (name, _)) in table_rows.iter().enumerate() {
        let answer = get(&gateway, name, "clerk");
        assert_eq!((answer.status, answer.whole), (200, false), "{name}");
        assert_clean(name, &answer);
        assert!(answer.body.len() < 9 << 20, "{name}: a bomb goes no further");
        let line = gateway.audit(at + 1).pop().unwrap();
        assert_eq!(line["error"], "unmaskable_response", "{name}: {line}");
    }
}

/// Most memory that the gateway has had, in bytes.
fn peak(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_small_body_that_grows_takes_no_more_memory_than_it_has_pieces() {
    let row = |at| format!(r#"{{"id":{at},"pad":"{}"}}"#, "0".repeat(1200));
    let items: Vec<String> = (0..20_000).map(row).collect();
    let text = format!("[{}]", items.join(","));
    for coding in ["gzip", "zstd"] {
        let body = encode(coding, text.as_bytes());
        assert!(body.len() * 100 < text.len(), "{coding}: it is small");
        let backend = table([
            ("small".into(), coded(coding, &encode(coding, b"{}"))),
            ("large".into(), coded(coding, &body)),
        ]);
        let gateway = Setup::new(&backend).start();
        assert_eq!(get(&gateway, "small", "clerk").status, 200);
        let before = peak(&gateway);
        let answer = get(&gateway, "large", "clerk");
        assert!(answer.whole && answer.body == text.as_bytes(), "{coding}");
        let grown = peak(&gateway) - before;
        assert!(grown < 12 << 20, "{coding}: {grown} bytes for {}", text.len());
    }
}

#[test]
fn a_head_without_a_body_speaks_of_the_view() {
    let fields = |kind: &'static str| {
        vec![
            ("Content-Type", kind),
            ("Content-Encoding", "gzip"),
            ("Content-Length", "500"),
        ]
    };
    let end = |mut head: Vec<u8>| {
        head.extend_from_slice(b"\r\n");
        head
    };
    let empty = [
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "0"),
    ];
    let bare = [("ETag", "\"a\""), ("Content-Encoding", "gzip")];
    let backend = table([
        ("json".into(), end(head("200 OK", &fields("application/json")))),
        ("text".into(), end(head("200 OK", &fields("text/plain")))),
        ("empty".into(), end(head("200 OK", &empty))),
        ("none".into(), end(head("204 No Content", &bare))),
        ("same".into(), end(head("304 Not Modified", &bare))),
    ]);
    let policy = POLICY.replace(
        "prefix: /api/accounts\n",
        "prefix: /api/accounts\n    unmaskable: [text/plain]\n",
    );
    let gateway = Setup::new(&backend).policy(&policy).start();
    for (method, name, status, kept) in [
        ("HEAD", "json", 200, None),
        ("HEAD", "text", 200, Some("gzip")),
        ("GET", "empty", 200, None),
        ("GET", "none", 204, None),
        ("GET", "same", 304, None),
    ] {
        let path = format!("/api/accounts/{name}");
        let answer = gateway.call(method, &path, &["clerk"], "", "");
        assert_eq!(
            (answer.status, answer.field("content-encoding")),
            (status, kept),
            "{name}"
        );
        let all = gateway.call(method, &path, &["caseworker"], "", "");
        assert_eq!(
            (all.status, all.field("content-encoding")),
            (status, Some("gzip")),
            "{name}"
        );
    }
}

#[test]
fn a_type_that_can_be_masked_never_passes_coded() {
    for coding in ALL {
        let body = encode(coding, SECRETS.as_bytes());
        for unmaskable in ["[text/plain]", "[text/plain, application/json]", "pass"] {
            let policy = POLICY.replace("unmaskable: [text/plain]", &format!("unmaskable: {unmaskable}"));
            let mut text = coded(coding, &body);
            let at = text
                .windows(16)
                .position(|window| window == b"application/json")
                .unwrap();
            text.splice(at..at + 16, *b"text/plain");
            let backend = table([("schedule".into(), coded(coding, &body))]);
            let gateway = Setup::new(&backend).policy(&policy).start();
            let answer = gateway.get("/portal/schedule", &["driver"]);
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, MASKED),
                "{coding} {unmaskable}"
            );
            let backend = table([("schedule".into(), text)]);
            let gateway = Setup::new(&backend).policy(&policy).start();
            let answer = gateway.get("/portal/schedule", &["driver"]);
            assert_eq!((answer.status, &answer.body), (200, &body), "{coding} {unmaskable}");
            assert_eq!(answer.field("content-encoding"), Some(coding), "{coding} {unmaskable}");
        }
    }
}

#[test]
fn the_tag_of_a_coded_answer_is_one_of_the_view() {
    let body = encode("gzip", SECRETS.as_bytes());
    let mut bytes = coded("gzip", &body);
    let fields = b"ETag: \"abc-gzip\"\r\nContent-MD5: x\r\nDigest: x\r\nVary: Accept-Encoding\r\n";
    bytes.splice(17..17, *fields);
    let backend = Backend::bytes(bytes);
    let gateway = Setup::new(&backend).start();
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    let tag = answer.field("etag").unwrap().to_owned();
    assert!(tag.ends_with(".abc-gzip\"") && answer.text() == MASKED, "{answer:?}");
    assert_eq!((answer.field("content-md5"), answer.field("digest")), (None, None));
    let headers = format!("If-None-Match: {tag}\r\nAccept-Encoding: gzip\r\n");
    gateway.call("GET", "/api/accounts/A1", &["clerk"], &headers, "");
    let asked = backend.last();
    assert_eq!(asked.field("if-none-match"), Some("\"abc-gzip\""));
    assert_eq!(asked.field("accept-encoding"), Some("identity"));
}

fn post(gateway: &Gateway, key: &str) -> Answer {
    let headers = format!("Content-Type: application/json\r\nX-Idempotency-Key: {key}\r\n");
    gateway.call(
        "POST",
        "/api/ledger/sync",
        &["finance_admin"],
        &headers,
        r#"{"county":"County_A"}"#,
    )
}

fn transaction(gateway: &Gateway) -> Value {
    let again = post(gateway, "k");
    assert_eq!((again.status, again.error().as_str()), (409, "duplicate_request"));
    again.json()["original_transaction_id"].clone()
}

#[test]
fn the_coded_answer_of_a_keyed_write_is_decoded_and_searched() {
    let text = r#"{"transaction_id":"T-1","ssn":"CANARY-7f3a"}"#;
    for coding in ALL {
        let backend = Backend::bytes(coded(coding, &encode(coding, text.as_bytes())));
        let gateway = Setup::new(&backend).start();
        let answer = post(&gateway, "k");
        assert_eq!(
            (answer.status, answer.text()),
            (200, text.replace(CANARY, "[REDACTED]")),
            "{coding}"
        );
        assert_eq!(answer.field("content-encoding"), None, "{coding}");
        assert_eq!(transaction(&gateway), "T-1", "{coding}");

        // Who may see all gets it coded; its transaction is known all the same.
        let policy = POLICY.replace(
            "[\"*:read\", ledger:sync]",
            "[\"*:read\", ledger:sync, customer:pii_read, assistance:read]",
        );
        let gateway = Setup::new(&backend).policy(&policy).start();
        let answer = post(&gateway, "k");
        assert_eq!(
            (answer.status, answer.body),
            (200, encode(coding, text.as_bytes())),
            "{coding}"
        );
        assert_eq!(transaction(&gateway), "T-1", "{coding}");
        assert_eq!(backend.count(), 2, "{coding}");
    }
}

#[test]
fn a_keyed_write_whose_answer_cannot_be_decoded_names_no_transaction() {
    let text = |size: usize| format!(r#"{{"transaction_id":"T-1","x":"{}"}}"#, "x".repeat(size));
    let frame = text(0).len();
    for coding in ALL {
        let whole = encode(coding, text(9).as_bytes());
        for (name, bytes, error, id) in [
            (
                "cut",
                coded(coding, &whole[..whole.len() - 1]),
                "unmaskable_response",
                Value::Null,
            ),
            ("stacked", coded("gzip, br", &whole), "unmaskable_response", Value::Null),
            (
                "unknown",
                coded("rot13", text(9).as_bytes()),
                "unmaskable_response",
                Value::Null,
            ),
            (
                "limit",
                coded(coding, &encode(coding, text(1024 - frame).as_bytes())),
                "",
                json!("T-1"),
            ),
            (
                "past",
                coded(coding, &encode(coding, text(1025 - frame).as_bytes())),
                "answer_too_large",
                Value::Null,
            ),
        ] {
            let backend = Backend::bytes(bytes);
            let gateway = Setup::new(&backend).extra("limits: { body_bytes: 1KiB }").start();
            let answer = post(&gateway, "k");
            if error.is_empty() {
                assert_eq!(
                    (answer.status, answer.text()),
                    (200, text(1024 - frame)),
                    "{coding} {name}"
                );
            } else {
                assert_eq!(
                    (answer.status, answer.error().as_str()),
                    (502, error),
                    "{coding} {name}"
                );
            }
            assert_eq!(transaction(&gateway), id, "{coding} {name}");
            assert_eq!(backend.count(), 1, "{coding} {name}");
        }
    }
}

#[test]
fn members_and_frames_that_follow_each_other_are_one_body() {
    let (first, second) = SECRETS.split_at(17);
    for coding in ["gzip", "zstd"] {
        let parts = [first, "", second].map(|part| encode(coding, part.as_bytes())).concat();
        let backend = table([
            ("length".into(), coded(coding, &parts)),
            ("bytes".into(), chunked(coding, &parts, 1)),
            ("old-close".into(), closing("1.0", coding, &parts)),
        ]);
        let gateway = Setup::new(&backend).start();
        for name in ["length", "bytes", "old-close"] {
            let answer = get(&gateway, name, "clerk");
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, MASKED),
                "{coding} {name}"
            );
        }
    }
}

#[test]
fn a_head_is_refused_where_its_get_would_be() {
    type Fields = &'static [(&'static str, &'static str)];
    const ROWS: [(&str, &str, Fields); 10] = [
        (
            "unknown",
            "200 OK",
            &[("Content-Type", "application/json"), ("Content-Encoding", "rot13")],
        ),
        (
            "stacked",
            "200 OK",
            &[("Content-Type", "application/json"), ("Content-Encoding", "gzip, br")],
        ),
        ("html", "200 OK", &[("Content-Type", "text/html")]),
        (
            "two",
            "200 OK",
            &[("Content-Type", "application/json"), ("Content-Type", "text/html")],
        ),
        (
            "latin",
            "200 OK",
            &[("Content-Type", "application/json; charset=x-unknown")],
        ),
        ("untyped", "200 OK", &[("X-Other", "1")]),
        (
            "part",
            "206 Partial Content",
            &[("Content-Type", "application/json"), ("Content-Range", "bytes 0-70/99")],
        ),
        ("page", "404 Not Found", &[("Content-Type", "text/html")]),
        ("json", "200 OK", &[("Content-Type", "application/json")]),
        (
            "gzip",
            "200 OK",
            &[("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
        ),
    ];
    let backend = Backend::script(|request, stream| {
        let name = request.target.rsplit('/').next().unwrap();
        let (_, status, fields) = ROWS.iter().find(|(own, ..)| *own == name).unwrap();
        let gzip = encode("gzip", SECRETS.as_bytes());
        let body = if name == "gzip" { &gzip } else { SECRETS.as_bytes() };
        let mut bytes = head(status, fields);
        write!(bytes, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
        if request.method != "HEAD" {
            bytes.extend_from_slice(body);
        }
        stream.write_all(&bytes).is_ok()
    });
    let gateway = Setup::new(&backend).start();
    for (name, ..) in ROWS {
        let path = format!("/api/accounts/{name}");
        let got = gateway.call("GET", &path, &["clerk"], "", "");
        let head = gateway.call("HEAD", &path, &["clerk"], "", "");
        assert_eq!(head.status, got.status, "{name}");
        assert_eq!(got.status == 200, matches!(name, "json" | "gzip"), "{name}");
        for field in ["content-type", "content-encoding", "etag", "vary", "cache-control"] {
            assert_eq!(head.field(field), got.field(field), "{name} {field}");
        }
        assert_eq!(head.field("content-encoding"), None, "{name}");
        if head.status == 200 {
            assert_eq!(
                head.field("content-length"),
                None,
                "{name}: the length of what is not shown"
            );
        }
    }
}
