//! What callers may not see does not leave, however the backend says it (S1.7).

use super::harness::*;
use std::io::Write;

const SECRETS: &str = r#"{"ssn":"CANARY-7f3a","n":1.50,"phone":{"x":["CANARY-7f3a"]},"end":null}"#;
const MASKED: &str = r#"{"ssn":"[REDACTED]","n":1.50,"phone":"[REDACTED]","end":null}"#;

type Table = Vec<(&'static str, Vec<u8>)>;

/// Answers by the last segment of the path; those named `…-close` end with the connection.
fn table(rows: Table) -> Backend {
    Backend::script(move |request, stream| {
        let name = request.target.rsplit('/').next().unwrap();
        let (name, bytes) = rows.iter().find(|(own, _)| *own == name).unwrap();
        stream.write_all(bytes).is_ok() && !name.ends_with("-close")
    })
}

fn json(body: &str) -> Vec<u8> {
    typed("application/json", body)
}

fn typed(kind: &str, body: &str) -> Vec<u8> {
    answer("200 OK", kind, body).into_bytes()
}

/// A head of these lines, a length, and the body.
fn with(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn chunked(body: &str, size: usize, trailers: &str) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.as_bytes().chunks(size) {
        write!(out, "{:x}\r\n", piece.len()).unwrap();
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    write!(out, "0\r\n{trailers}\r\n").unwrap();
    out
}

fn assert_clean(name: &str, answer: &Answer) {
    assert!(
        !String::from_utf8_lossy(&answer.body).contains("CANARY"),
        "{name}: {answer:?}"
    );
    let fields = answer.fields.iter().any(|(_, value)| value.contains("CANARY"));
    assert!(!fields, "{name}: {answer:?}");
}

#[test]
fn s1_7_a_class_is_removed_redacted_or_nulled() {
    for (mask, want) in [
        ("remove", r#"{"n":1.50,"end":null}"#),
        ("redact", MASKED),
        ("null", r#"{"ssn":null,"n":1.50,"phone":null,"end":null}"#),
        ("\"null\"", r#"{"ssn":null,"n":1.50,"phone":null,"end":null}"#),
    ] {
        let backend = Backend::json(SECRETS);
        let policy = POLICY.replace("mask: redact", &format!("mask: {mask}"));
        let gateway = Setup::new(&backend).policy(&policy).start();
        let answer = gateway.get("/api/accounts/A1", &["clerk"]);
        assert_eq!((answer.status, answer.text().as_str()), (200, want), "{mask}");
    }
}

#[test]
fn however_a_json_body_is_framed_it_is_masked() {
    let close = |version: &str| {
        format!("HTTP/{version} 200 OK\r\nContent-Type: application/json\r\n\r\n{SECRETS}").into_bytes()
    };
    let rows: Table = vec![
        ("length", json(SECRETS)),
        ("one", chunked(SECRETS, 4096, "")),
        ("bytes", chunked(SECRETS, 1, "")),
        ("seven", chunked(SECRETS, 7, "")),
        (
            "trailers",
            chunked(SECRETS, 9, "X-SSN: CANARY-7f3a\r\nETag: \"CANARY-7f3a\"\r\n"),
        ),
        ("old-close", close("1.0")),
        ("new-close", close("1.1")),
    ];
    let backend = table(rows.clone());
    let gateway = Setup::new(&backend).start();
    for (name, _) in &rows {
        let path = format!("/api/accounts/{name}");
        let answer = gateway.call("GET", &path, &["clerk"], "TE: trailers\r\n", "");
        assert_eq!((answer.status, answer.text().as_str()), (200, MASKED), "{name}");
        let token = gateway.token(&claims(&["clerk"]));
        let all = raw(gateway.port, &request("GET", &path, &token, "TE: trailers\r\n", ""));
        assert!(!all.contains("CANARY"), "{name}: {all}");
    }
}

#[test]
fn every_json_type_is_masked_and_errors_too() {
    let line = format!("{SECRETS}\n\n{SECRETS}\n");
    let lines = format!("{MASKED}\n\n{MASKED}\n");
    let sequence = format!("\u{1e}{SECRETS}\n\u{1e}{SECRETS}\n");
    let masked_sequence = format!("\u{1e}{MASKED}\n\u{1e}{MASKED}\n");
    let problem = |status: &str| answer(status, "application/problem+json", SECRETS).into_bytes();
    let rows = [
        ("ndjson", typed("application/x-ndjson", &line), 200, lines.as_str()),
        (
            "sequence",
            typed("application/geo+json-seq", &sequence),
            200,
            masked_sequence.as_str(),
        ),
        ("vendor", typed("application/vnd.city+json", SECRETS), 200, MASKED),
        (
            "upper",
            typed("APPLICATION/JSON; Charset=\"UTF-8\"", SECRETS),
            200,
            MASKED,
        ),
        ("missing", problem("404 Not Found"), 404, MASKED),
        ("conflict", problem("409 Conflict"), 409, MASKED),
        ("broken", problem("500 Internal Server Error"), 500, MASKED),
        ("down", problem("503 Service Unavailable"), 503, MASKED),
    ];
    let backend = table(rows.iter().map(|row| (row.0, row.1.clone())).collect());
    let gateway = Setup::new(&backend).start();
    for (name, _, status, want) in rows {
        let answer = gateway.get(&format!("/api/accounts/{name}"), &["clerk"]);
        assert_eq!((answer.status, answer.text().as_str()), (status, want), "{name}");
    }
}

#[test]
fn what_cannot_be_masked_does_not_leave() {
    let coded = |coding: &str| {
        with(
            "200 OK",
            &format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\n"),
            SECRETS,
        )
    };
    let part = "Content-Type: application/json\r\nContent-Range: bytes 0-70/99\r\n";
    let wide: Vec<u8> = SECRETS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut wide_answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        wide.len()
    )
    .into_bytes();
    wide_answer.extend(wide);
    let rows: Table = vec![
        ("html", typed("text/html", SECRETS)),
        ("plain", typed("text/plain", SECRETS)),
        (
            "form",
            typed("application/x-www-form-urlencoded", "ssn=CANARY-7f3a&a=1"),
        ),
        ("labelled", typed("application/json", "<html>CANARY-7f3a</html>")),
        ("octets", typed("application/octet-stream", SECRETS)),
        ("untyped", with("200 OK", "", SECRETS)),
        (
            "two",
            with(
                "200 OK",
                "Content-Type: application/json\r\nContent-Type: text/html\r\n",
                SECRETS,
            ),
        ),
        (
            "same",
            with(
                "200 OK",
                "Content-Type: application/json\r\nContent-Type: application/json\r\n",
                SECRETS,
            ),
        ),
        ("list", typed("application/json, text/html", SECRETS)),
        ("utf16", typed("application/json; charset=utf-16", SECRETS)),
        ("latin", typed("application/json; charset=iso-8859-1", SECRETS)),
        ("wide", wide_answer),
        ("gzip", coded("gzip")),
        ("unknown", coded("rot13")),
        ("part", with("206 Partial Content", part, SECRETS)),
        (
            "page",
            answer("500 Internal Server Error", "text/html", SECRETS).into_bytes(),
        ),
        ("cut", json(&SECRETS[..40])),
        ("key", json(r#"{"a":"CANARY-7f3a","ss"#)),
        ("comma", json(r#"{"a":"CANARY-7f3a",}"#)),
        ("quotes", json("{'ssn':'CANARY-7f3a'}")),
        ("nan", json(r#"{"a":"CANARY-7f3a","b":NaN}"#)),
        ("comment", json(r#"{"a":"CANARY-7f3a"/*x*/}"#)),
        ("guard", json(")]}',\n{\"a\":\"CANARY-7f3a\"}")),
        ("second", json(r#"{"a":"CANARY-7f3a"}{"b":1}"#)),
        ("tab", json("{\"a\":\"CANARY-7f3a\t\"}")),
        (
            "deep",
            json(&format!("{{\"a\":\"CANARY-7f3a\",\"b\":{}", "[".repeat(60_000))),
        ),
        (
            "old-close",
            format!(
                "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{}",
                &SECRETS[..40]
            )
            .into_bytes(),
        ),
    ];
    let backend = table(rows.clone());
    let gateway = Setup::new(&backend).start();
    for (name, _) in &rows {
        let answer = gateway.get(&format!("/api/accounts/{name}"), &["clerk"]);
        assert_eq!(answer.status, 502, "{name}: {answer:?}");
        assert_eq!(answer.error(), "unmaskable_response", "{name}");
        assert_clean(name, &answer);
    }
    for line in gateway.audit(rows.len()) {
        assert_eq!(line["decision"], "ERROR_UPSTREAM", "{line}");
        assert_eq!(line["error"], "unmaskable_response", "{line}");
        assert_eq!(line["response_status_code"], 502, "{line}");
    }
    // Who may see all gets all of it, whatever it is.
    let page = gateway.get("/api/accounts/html", &["caseworker"]);
    assert_eq!((page.status, page.text().as_str()), (200, SECRETS));
}

#[test]
fn a_backend_that_breaks_http_gets_a_502() {
    let rows: Table = vec![
        ("switch-close", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nCANARY-7f3a".to_vec()),
        ("short-close", format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{SECRETS}").into_bytes()),
        ("chunk-close", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\nzz\r\nCANARY-7f3a".to_vec()),
        ("head-close", b"Status: 200 OK\r\n\r\nCANARY-7f3a".to_vec()),
        ("nothing-close", Vec::new()),
    ];
    let backend = table(rows.clone());
    let gateway = Setup::new(&backend).start();
    for (name, _) in &rows {
        let answer = gateway.get(&format!("/api/accounts/{name}"), &["clerk"]);
        assert_eq!(answer.status, 502, "{name}: {answer:?}");
        assert_clean(name, &answer);
    }
    for line in gateway.audit(rows.len()) {
        assert_eq!(line["decision"], "ERROR_UPSTREAM", "{line}");
    }
}

#[test]
fn a_large_body_that_breaks_later_is_cut_and_never_completed() {
    let item = r#"{"ssn":"CANARY-7f3a","pad":"0123456789012345678901234567890123456789"},"#;
    let large = format!("[{}", item.repeat(3000));
    let whole = chunked(&format!("{large}1}}\"CANARY-7f3a\"]"), 8000, "");
    let head = |version: &str| format!("HTTP/{version} 200 OK\r\nContent-Type: application/json\r\n");
    let rows: [(&'static str, Vec<u8>, &str); 4] = [
        ("syntax", whole, "unmaskable_response"),
        (
            "sized",
            json(&format!("{large}}}\"CANARY-7f3a\"]")),
            "unmaskable_response",
        ),
        (
            "short-close",
            format!("{}Content-Length: 9999999\r\n\r\n{large}", head("1.1")).into_bytes(),
            "",
        ),
        (
            "old-close",
            format!("{}\r\n{large}", head("1.0")).into_bytes(),
            "unmaskable_response",
        ),
    ];
    let backend = table(rows.iter().map(|row| (row.0, row.1.clone())).collect());
    let gateway = Setup::new(&backend).start();
    for (at, (name, _, error)) in rows.iter().enumerate() {
        let answer = gateway.get(&format!("/api/accounts/{name}"), &["clerk"]);
        assert_eq!((answer.status, answer.whole), (200, false), "{name}");
        assert_clean(name, &answer);
        let line = gateway.audit(at + 1).pop().unwrap();
        assert_eq!(line["decision"], "ERROR_UPSTREAM", "{line}");
        if !error.is_empty() {
            assert_eq!(line["error"], *error, "{line}");
        }
    }
}

#[test]
fn a_module_lets_only_the_named_types_pass() {
    for (kind, status, want) in [
        ("text/plain", 200, Some(SECRETS)),
        ("Text/Plain; charset=utf-16", 200, Some(SECRETS)),
        ("text/html", 502, None),
        ("text/plainer", 502, None),
        ("application/json", 200, Some(MASKED)),
    ] {
        let backend = Backend::bytes(answer("200 OK", kind, SECRETS));
        let gateway = Setup::new(&backend).start();
        let answer = gateway.get("/portal/schedule", &["driver"]);
        assert_eq!(answer.status, status, "{kind}");
        match want {
            Some(want) => assert_eq!(answer.text(), want, "{kind}"),
            None => assert_clean(kind, &answer),
        }
    }
}

#[test]
fn an_answer_without_a_body_needs_no_mask() {
    let rows = [
        ("GET", "none", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), 204),
        (
            "GET",
            "same",
            b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec(),
            304,
        ),
        (
            "GET",
            "empty",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
            200,
        ),
        (
            "GET",
            "moved",
            b"HTTP/1.1 303 See Other\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_vec(),
            303,
        ),
        (
            "HEAD",
            "json",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n".to_vec(),
            200,
        ),
        ("HEAD", "bare", b"HTTP/1.1 200 OK\r\nX-Other: 1\r\n\r\n".to_vec(), 200),
    ];
    let backend = table(rows.iter().map(|row| (row.1, row.2.clone())).collect());
    let gateway = Setup::new(&backend).start();
    for (method, name, _, status) in &rows {
        let path = format!("/api/accounts/{name}");
        let answer = gateway.call(method, &path, &["clerk"], "", "");
        assert_eq!((answer.status, answer.body.len()), (*status, 0), "{name}");
        if *method == "HEAD" {
            assert_eq!(
                answer.field("content-length"),
                None,
                "{name}: the length of what is not shown"
            );
            let all = gateway.call(method, &path, &["caseworker"], "", "");
            let length = (*name == "json").then_some("500");
            assert_eq!(all.field("content-length"), length, "{name}");
        }
    }
}

#[test]
fn bytes_after_an_answer_never_become_anothers() {
    let smuggled = answer("200 OK", "application/json", r#"{"a":"CANARY-7f3a"}"#);
    for (status, method) in [
        ("204 No Content", "GET"),
        ("304 Not Modified", "GET"),
        ("200 OK", "HEAD"),
    ] {
        let first = format!("HTTP/1.1 {status}\r\n\r\n{smuggled}");
        let backend = Backend::script(move |request, stream| {
            let bytes = if request.target.ends_with("first") {
                first.clone()
            } else {
                answer("200 OK", "application/json", "{}")
            };
            stream.write_all(bytes.as_bytes()).is_ok()
        });
        let gateway = Setup::new(&backend).start();
        gateway.call(method, "/api/accounts/first", &["clerk"], "", "");
        let next = gateway.get("/api/accounts/next", &["caseworker"]);
        assert_eq!(
            (next.status, next.text().as_str()),
            (200, "{}"),
            "after {status} to {method}"
        );
    }
}

#[test]
fn headers_of_a_class_are_hidden_however_they_are_spelt() {
    let fields = "Content-Type: application/json\r\nX-Customer-Name: CANARY-7f3a\r\nx_customer_name: CANARY-7f3a\r\n\
                  X-CUSTOMER_NAME: CANARY-7f3a\r\nXCustomerName: CANARY-7f3a\r\nX-Customer-Names: two\r\n";
    for status in ["200 OK", "404 Not Found"] {
        let backend = Backend::bytes(with(status, fields, "{}"));
        let gateway = Setup::new(&backend).start();
        let answer = gateway.get("/api/accounts/A1", &["clerk"]);
        assert_clean(status, &answer);
        assert_eq!(answer.field("x-customer-names"), Some("two"));
        let all = gateway.get("/api/accounts/A1", &["caseworker"]);
        assert_eq!(all.field("x-customer-name"), Some("CANARY-7f3a"));
    }
    let backend = Backend::bytes(&b"HTTP/1.1 204 No Content\r\nX-Customer-Name: CANARY-7f3a\r\n\r\n"[..]);
    let gateway = Setup::new(&backend).start();
    assert_clean("204", &gateway.get("/api/accounts/A1", &["clerk"]));
}

#[test]
fn an_etag_is_the_views_own_and_comes_back_as_the_backends() {
    let backend = Backend::bytes(with(
        "200 OK",
        "Content-Type: application/json\r\nETag: \"abc\"\r\n",
        SECRETS,
    ));
    let gateway = Setup::new(&backend).start();
    let tag = gateway
        .get("/api/accounts/A1", &["clerk"])
        .field("etag")
        .unwrap()
        .to_owned();
    assert_ne!(tag, "\"abc\"");
    let seen = |role: &str, field: &str, value: &str| {
        gateway.call("GET", "/api/accounts/A1", &[role], &format!("{field}: {value}\r\n"), "");
        backend.last().field(field).map(str::to_owned)
    };
    for field in ["If-Match", "If-None-Match"] {
        for (sent, want) in [
            (tag.clone(), "\"abc\""),
            (format!("W/{tag}"), "W/\"abc\""),
            (format!("{tag}, {tag}"), "\"abc\", \"abc\""),
            ("*".into(), "*"),
        ] {
            assert_eq!(seen("clerk", field, &sent).as_deref(), Some(want), "{field}: {sent}");
        }
        let guess = seen("clerk", field, "\"abc\"").unwrap_or_default();
        assert!(
            !guess.contains("\"abc\""),
            "a tag that this caller was never shown: {field}: {guess}"
        );
        assert_eq!(seen("caseworker", field, "\"abc\"").as_deref(), Some("\"abc\""));
        assert_ne!(
            seen("caseworker", field, &tag).as_deref(),
            Some("\"abc\""),
            "a tag of another view"
        );
    }
    assert_eq!(
        gateway.get("/api/accounts/A1", &["caseworker"]).field("etag"),
        Some("\"abc\"")
    );
}

#[test]
fn a_masked_view_is_asked_for_whole_and_plain() {
    let backend = Backend::json(SECRETS);
    let gateway = Setup::new(&backend).start();
    let headers = "Range: bytes=8-\r\nIf-Range: \"abc\"\r\nAccept-Encoding: gzip, br\r\nAccept-Encoding: zstd\r\n";
    gateway.call("GET", "/api/accounts/A1", &["clerk"], headers, "");
    let masked = backend.last();
    assert_eq!(masked.field("range"), None);
    assert_eq!(masked.field("if-range"), None);
    assert_eq!(masked.field("accept-encoding"), Some("identity"));
    let headers = "Range: bytes=8-\r\nIf-Range: \"abc\"\r\nAccept-Encoding: gzip, br\r\n";
    gateway.call("GET", "/api/accounts/A1", &["caseworker"], headers, "");
    let all = backend.last();
    assert_eq!(all.field("range"), Some("bytes=8-"));
    assert_eq!(all.field("if-range"), Some("\"abc\""));
    assert_eq!(all.field("accept-encoding"), Some("gzip, br"));
}

#[test]
fn what_describes_the_whole_body_goes_with_it() {
    let whole = [
        ("content-md5", "m"),
        ("digest", "sha-256=x"),
        ("content-digest", "sha-256=:x:"),
        ("repr-digest", "sha-256=:x:"),
        ("accept-ranges", "bytes"),
    ];
    let lines: String = whole
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let fields = format!(
        "Content-Type: application/json\r\nCache-Control: public, max-age=60\r\nVary: Accept\r\nX-Other: kept\r\n{lines}"
    );
    let backend = Backend::bytes(with("200 OK", &fields, SECRETS));
    let gateway = Setup::new(&backend).start();
    let clerk = gateway.get("/api/accounts/A1", &["clerk"]);
    let all = gateway.get("/api/accounts/A1", &["caseworker"]);
    for (name, value) in whole {
        assert_eq!(clerk.field(name), None, "{name}");
        assert_eq!(all.field(name), Some(value), "{name}");
    }
    assert_eq!(clerk.text(), MASKED);
    assert_ne!(clerk.field("content-length"), Some(SECRETS.len().to_string().as_str()));
    assert_eq!(all.body, SECRETS.as_bytes());
    assert_eq!(all.field("content-length"), Some(SECRETS.len().to_string().as_str()));
    for answer in [&clerk, &all] {
        assert_eq!(answer.field("cache-control"), Some("private"));
        assert_eq!(answer.field("x-other"), Some("kept"));
        let vary: Vec<&str> = answer
            .fields
            .iter()
            .filter(|(name, _)| name == "vary")
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(
            vary.join(",").contains("Authorization") && vary.join(",").contains("Accept"),
            "{vary:?}"
        );
    }
}

#[test]
fn what_was_masked_is_counted() {
    let backend = Backend::bytes(with(
        "200 OK",
        "Content-Type: application/json\r\nX-Customer-Name: CANARY-7f3a\r\n",
        ACCOUNT,
    ));
    let gateway = Setup::new(&backend).start();
    for role in ["clerk", "caseworker"] {
        gateway.get("/api/accounts/A1", &[role]);
    }
    let lines = gateway.audit(2);
    assert_eq!(lines[0]["masked_fields"], serde_json::json!({"pii": 3, "subsidy": 2}));
    assert_eq!(lines[1]["masked_fields"], serde_json::json!({}));
    let metrics = gateway.metrics();
    for line in [
        "tollgate_masked_fields_total{class=\"pii\"} 3",
        "tollgate_masked_fields_total{class=\"subsidy\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[test]
fn a_hundred_megabytes_flow_through_little_memory() {
    const ROWS: usize = 100_000;
    let row = |value: &str| format!("{{\"ssn\":\"{value}\",\"pad\":\"{}\"}},\n", "x".repeat(1000));
    let secret = row(CANARY);
    let backend = Backend::script(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n";
        let block = secret.repeat(50);
        let chunk = format!("{:x}\r\n{block}\r\n", block.len());
        stream.write_all(head.as_bytes()).is_ok()
            && (0..ROWS / 50).all(|_| stream.write_all(chunk.as_bytes()).is_ok())
            && stream.write_all(b"2\r\n0]\r\n0\r\n\r\n").is_ok()
    });
    let gateway = Setup::new(&backend).start();
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    let want = row("[REDACTED]");
    assert_eq!((answer.status, answer.whole), (200, true));
    assert_eq!(answer.body.len(), ROWS * want.len() + "[0]".len());
    let rows = &answer.body[1..answer.body.len() - 2];
    assert!(rows.chunks(want.len()).all(|row| row == want.as_bytes()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 40 * 1024, "{peak} KiB");
    assert_eq!(gateway.audit(1)[0]["masked_fields"]["pii"], ROWS);
}
