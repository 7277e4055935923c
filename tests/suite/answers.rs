//! Answers of every kind that HTTP has: interim, not modified, in part, without a body, broken off. What is hidden in a body
//! is not told by what is around it either (S1.7).

use http_body_util::BodyExt;
use serde_json::json;
use std::io::Write;

use super::harness::*;
use super::requests::{ask_http2, on_http2};

const SECRETS: &str = r#"{"ssn":"CANARY-7f3a","subsidy_tier":"CANARY-7f3a","n":1.50}"#;
const MASKED: &str = r#"{"ssn":"[REDACTED]","n":1.50}"#;
const JSON: &str = "Content-Type: application/json\r\n";

fn with(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// All that a caller gets on the wire for one request.
fn wire(gateway: &Gateway, method: &str, name: &str, role: &str, fields: &str) -> String {
    let token = gateway.token(&claims(&[role]));
    let fields = format!("Connection: close\r\n{fields}");
    raw(
        gateway.port,
        &request(method, &format!("/api/accounts/{name}"), &token, &fields, ""),
    )
}

#[test]
fn interim_answers_of_the_backend_are_swallowed() {
    const INTERIM: [&str; 6] = [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nX-Customer-Name: CANARY-7f3a\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </x?ssn=CANARY-7f3a>; rel=preload\r\nX-Hint: CANARY-7f3a\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 199 Odd\r\nETag: \"CANARY-7f3a\"\r\n\r\n",
    ];
    let all = INTERIM.concat();
    let rows: Vec<String> = INTERIM.into_iter().chain([&*all]).map(str::to_owned).collect();
    let sent = rows.clone();
    let backend = Backend::script(move |request, stream| {
        let (way, at) = request.target.rsplit('/').next().unwrap().split_once('-').unwrap();
        let before = &sent[at.parse::<usize>().unwrap()];
        let body = if request.method == "HEAD" { "" } else { SECRETS };
        let length = SECRETS.len();
        let last = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: {length}\r\n\r\n{body}");
        let size = if way == "bytes" { 1 } else { usize::MAX };
        let bytes = [before.as_bytes(), last.as_bytes()].concat();
        bytes.chunks(size).all(|piece| stream.write_all(piece).is_ok())
    });
    let gateway = Setup::new(&backend).start();
    for (way, at) in ["whole", "bytes"]
        .into_iter()
        .flat_map(|way| (0..rows.len()).map(move |at| (way, at)))
    {
        let name = format!("{way}-{at}");
        for (method, role, fields, body) in [
            ("GET", "clerk", "", MASKED),
            ("GET", "caseworker", "", SECRETS),
            ("HEAD", "clerk", "", ""),
            ("GET", "clerk", "Expect: 100-continue\r\n", MASKED),
        ] {
            let text = wire(&gateway, method, &name, role, fields);
            let heads = text.matches("HTTP/1.1 ").count();
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && heads == 1, "{name}: {text}");
            let (head, got) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(got, body, "{name} {method} {role}");
            let lower = head.to_lowercase();
            for field in ["canary", "x-hint", "x-customer-name", "link:"] {
                assert!(!lower.contains(field), "{name} {method} {role}: {head}");
            }
        }
        on_http2(&gateway, async |sender| {
            let token = gateway.token(&claims(&["clerk"]));
            let got = ask_http2(&sender, &token, &format!("/api/accounts/{name}"), &[]).await;
            assert_eq!(got, (200, MASKED.to_owned()), "{name}");
        });
    }
}

#[test]
fn interim_answers_without_end_are_given_up() {
    let backend = Backend::script(|_, stream| {
        while stream
            .write_all(b"HTTP/1.1 103 Early Hints\r\nX-Hint: CANARY-7f3a\r\n\r\n")
            .is_ok()
        {}
        false
    });
    let mut setup = Setup::new(&backend);
    setup.timeout = "1s";
    let gateway = setup.start();
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    assert!(matches!(answer.status, 502 | 504), "{answer:?}");
    assert!(!format!("{answer:?}").contains(CANARY), "{answer:?}");
}

/// The tokens of three callers, each of whom sees something else, and what that is.
fn views(gateway: &Gateway) -> [(&'static str, String, &'static str); 3] {
    let mut subsidy = claims(&["caseworker"]);
    subsidy["scope"] = json!("accounts:read assistance:read");
    [
        ("nothing", gateway.token(&claims(&["clerk"])), MASKED),
        (
            "subsidy",
            gateway.token(&subsidy),
            r#"{"ssn":"[REDACTED]","subsidy_tier":"CANARY-7f3a","n":1.50}"#,
        ),
        ("all", gateway.token(&claims(&["caseworker"])), SECRETS),
    ]
}

#[test]
fn not_modified_is_said_of_the_callers_own_view_alone() {
    // Names the hidden length in a 304, too, as RFC 9110, 8.6 lets it.
    let backend = Backend::script(|request, stream| {
        let fields = format!("{JSON}ETag: \"v1\"\r\nX-Customer-Name: CANARY-7f3a\r\n");
        let asked = request.field("if-none-match").unwrap_or_default();
        let same = asked
            .split(',')
            .any(|tag| tag.trim().trim_start_matches("W/") == "\"v1\"");
        let bytes = if same {
            let length = SECRETS.len();
            format!("HTTP/1.1 304 Not Modified\r\n{fields}Content-Length: {length}\r\n\r\n")
        } else if request.method == "HEAD" {
            with("200 OK", &fields, SECRETS).replace(SECRETS, "")
        } else {
            with("200 OK", &fields, SECRETS)
        };
        stream.write_all(bytes.as_bytes()).is_ok()
    });
    let gateway = Setup::new(&backend).start();
    let views = views(&gateway);
    let ask = |method: &str, token: &str, tag: &str| {
        let fields = if tag.is_empty() {
            String::new()
        } else {
            format!("If-None-Match: {tag}\r\n")
        };
        gateway.call_as(method, "/api/accounts/A1", token, &fields, "")
    };
    let tags: Vec<String> = views
        .iter()
        .map(|(_, token, _)| ask("GET", token, "").field("etag").unwrap().to_owned())
        .collect();
    assert!(
        tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
        "{tags:?}"
    );
    for (own, (name, token, body)) in tags.iter().zip(&views) {
        for method in ["GET", "HEAD"] {
            let others = tags.iter().filter(|tag| *tag != own).cloned().collect::<Vec<_>>();
            for (sent, same) in [
                (own.clone(), true),
                (format!("W/{own}"), true),
                (format!("\"x\", {own}"), true),
                (others[0].clone(), false),
                (others[1].clone(), false),
                (others.join(", "), false),
                ("\"v2\"".to_owned(), false),
            ] {
                let answer = ask(method, token, &sent);
                let want = if same { 304 } else { 200 };
                assert_eq!(answer.status, want, "{name} {method} {sent}: {answer:?}");
                assert_eq!(answer.field("etag"), Some(own.as_str()), "{name} {method} {sent}");
                let shown = if same || method == "HEAD" { "" } else { body };
                assert_eq!(answer.text(), shown, "{name} {method} {sent}");
                if *name != "all" {
                    assert_eq!(answer.field("x-customer-name"), None, "{name} {sent}");
                    let length = answer.field("content-length");
                    let told = length.is_some_and(|length| length == SECRETS.len().to_string());
                    assert!(!told, "{name} {method} {sent}: the length of what is not shown");
                }
            }
        }
    }
}

/// Everything but who answered when.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>) {
    let mut fields = answer.fields.clone();
    fields.retain(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"));
    (answer.status, fields)
}

#[test]
fn nothing_beside_a_body_tells_how_long_the_hidden_is() {
    let bodies = ["1", "CANARY-7f3a", &"CANARY-7f3a".repeat(400)]
        .map(|secret| format!(r#"{{"ssn":"{secret}","subsidy_tier":["{secret}"],"n":1.50}}"#));
    let backend = Backend::script(move |request, stream| {
        let (way, at) = request.target.rsplit('/').next().unwrap().split_once('-').unwrap();
        let body = &bodies[at.parse::<usize>().unwrap()];
        let length = body.len();
        let head = request.method == "HEAD";
        let describes = format!("Content-Length: {length}\r\nAccept-Ranges: bytes\r\n");
        let (status, fields, bytes) = match way {
            "sized" => ("200 OK", describes, if head { "" } else { body }),
            "same" => ("304 Not Modified", describes, ""),
            "range" => (
                "416 Range Not Satisfiable",
                format!("Content-Range: bytes */{length}\r\nContent-Length: 2\r\n"),
                if head { "" } else { "{}" },
            ),
            _ => ("200 OK", "Transfer-Encoding: chunked\r\n".to_owned(), ""),
        };
        let text = format!("HTTP/1.1 {status}\r\n{JSON}{fields}\r\n{bytes}");
        let chunks = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
        stream.write_all(text.as_bytes()).is_ok()
            && (way != "chunks" || head || stream.write_all(chunks.as_bytes()).is_ok())
    });
    let gateway = Setup::new(&backend).start();
    for way in ["sized", "same", "range", "chunks"] {
        for method in ["HEAD", "GET"] {
            let ask = |at: usize, role: &str| {
                let path = format!("/api/accounts/{way}-{at}");
                gateway.call(method, &path, &[role], "Range: bytes=9-\r\n", "")
            };
            let answers = [0, 1, 2].map(|at| ask(at, "clerk"));
            for answer in &answers[1..] {
                assert_eq!(told(answer), told(&answers[0]), "{way} {method}");
                assert_eq!(answer.body, answers[0].body, "{way} {method}");
            }
            for field in ["content-range", "accept-ranges"] {
                assert_eq!(answers[0].field(field), None, "{way} {method}");
            }
            // Who sees all is told: without it, the rows above say nothing.
            if way != "chunks" && (way, method) != ("same", "GET") {
                assert_ne!(
                    told(&ask(0, "caseworker")),
                    told(&ask(2, "caseworker")),
                    "{way} {method}"
                );
            }
        }
    }
}

#[test]
fn a_part_of_a_body_and_another_protocol_are_refused() {
    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nCANARY-7f3a";
    let part = format!("{JSON}Content-Range: bytes 0-70/99\r\n");
    let parts = "Content-Type: multipart/byteranges; boundary=b\r\n";
    let body = format!("--b\r\n{JSON}Content-Range: bytes 0-70/99\r\n\r\n{SECRETS}\r\n--b--\r\n");
    let rows = [
        (
            "part",
            with("206 Partial Content", &part, SECRETS),
            "unmaskable_response",
        ),
        (
            "parts",
            with("206 Partial Content", parts, &body),
            "unmaskable_response",
        ),
        (
            "bare",
            with("206 Partial Content", JSON, SECRETS),
            "unmaskable_response",
        ),
        ("switch", SWITCH.to_owned(), ""),
        ("late", format!("HTTP/1.1 103 Early Hints\r\n\r\n{SWITCH}"), ""),
        ("both", format!("{SWITCH}{}", with("200 OK", JSON, SECRETS)), ""),
    ];
    let sent = rows.clone();
    let backend = Backend::script(move |request, stream| {
        let name = request.target.rsplit('/').next().unwrap();
        let (_, bytes, _) = sent.iter().find(|(own, ..)| *own == name).unwrap();
        stream.write_all(bytes.as_bytes()).is_ok() && name.starts_with("part")
    });
    let gateway = Setup::new(&backend).start();
    let mut asked = 0;
    for (name, _, error) in &rows {
        let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nRange: bytes=0-70\r\n";
        for fields in ["Range: bytes=0-70\r\n", upgrade] {
            let answer = gateway.call("GET", &format!("/api/accounts/{name}"), &["clerk"], fields, "");
            asked += 1;
            let line = gateway.audit(asked).pop().unwrap();
            assert_eq!(
                (answer.status, &line["decision"]),
                (502, &json!("ERROR_UPSTREAM")),
                "{name}"
            );
            assert!(!format!("{answer:?}").contains(CANARY), "{name}: {answer:?}");
            if !error.is_empty() {
                assert_eq!(line["error"], *error, "{name}");
            }
        }
        // Another protocol is for nobody; a part is for who sees all.
        let all = gateway.call("GET", &format!("/api/accounts/{name}"), &["caseworker"], "", "");
        asked += 1;
        let want = if error.is_empty() { 502 } else { 206 };
        assert_eq!(all.status, want, "{name}: {all:?}");
        assert!(want == 206 || !format!("{all:?}").contains(CANARY), "{name}: {all:?}");
    }
}

/// Rows of an array without its end, of about so many bytes.
fn open_array(bytes: usize) -> String {
    let row = r#"{"ssn":"CANARY-7f3a","pad":"0123456789012345678901234567890123456789"},"#;
    format!("[{}", row.repeat(bytes / row.len()))
}

#[test]
fn a_body_that_breaks_is_refused_while_it_can_be_and_then_cut() {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let chunked = format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n");
    let sized = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 9999999\r\n\r\n");
    let mut rows = Vec::new();
    for (size, bytes) in [("small", 2000), ("large", 300_000)] {
        let begun = open_array(bytes);
        let wrong = format!("{begun}}}\"CANARY-7f3a\"]");
        rows.extend([
            (format!("{size}-syntax"), with("200 OK", JSON, &wrong)),
            (format!("{size}-chunk"), format!("{chunked}{}zz\r\n\r\n", chunk(&begun))),
            (format!("{size}-short"), format!("{sized}{begun}")),
            (format!("{size}-halfchunk"), format!("{chunked}ffffff\r\n{begun}")),
            (format!("{size}-unended"), format!("{chunked}{}", chunk(&begun))),
            (
                format!("{size}-utf8"),
                with("200 OK", JSON, &format!("{begun}\"\u{e9}\"]")),
            ),
        ]);
    }
    let sent = rows.clone();
    let backend = Backend::script(move |request, stream| {
        let name = request.target.rsplit('/').next().unwrap();
        let (_, text) = sent.iter().find(|(own, _)| own == name).unwrap();
        let mut bytes = text.clone().into_bytes();
        if name.ends_with("utf8") {
            // One byte of the character, the length as it was.
            let at = bytes.iter().position(|byte| *byte == 0xc3).unwrap();
            bytes[at + 1] = b'"';
        }
        let _ = stream.write_all(&bytes);
        false
    });
    let gateway = Setup::new(&backend).start();
    for (at, (name, _)) in rows.iter().enumerate() {
        let path = format!("/api/accounts/{name}");
        let want = if name.starts_with("small") { 502 } else { 200 };
        let answer = gateway.get(&path, &["clerk"]);
        assert_eq!((answer.status, answer.whole), (want, want == 502), "{name}: {answer:?}");
        assert!(!answer.text().contains(CANARY), "{name}");
        assert_eq!(answer.text().contains("[REDACTED]"), want == 200, "{name}");
        if want == 502 {
            assert!(!answer.error().is_empty(), "{name}");
        }
        on_http2(&gateway, async |sender| {
            let request = http::Request::get(format!("http://gw.example{path}")).header(
                "authorization",
                format!("Bearer {}", gateway.token(&claims(&["clerk"]))),
            );
            let request = request.body(String::new()).unwrap();
            let (head, mut body) = sender.clone().send_request(request).await.unwrap().into_parts();
            assert_eq!(head.status, want, "{name}");
            let (mut bytes, mut reset) = (Vec::new(), false);
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    // RST_STREAM: the other streams go on.
                    Err(_) => {
                        reset = true;
                        break;
                    }
                }
            }
            assert_eq!(reset, want == 200, "{name}");
            assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{name}");
            let token = gateway.token(&claims(&["clerk"]));
            let after = ask_http2(&sender, &token, "/api/accounts/small-syntax", &[]).await;
            assert_eq!(after.0, 502, "after {name} the connection serves others");
        });
        for line in gateway.audit(3 * (at + 1)) {
            assert_eq!(line["decision"], "ERROR_UPSTREAM", "{name}: {line}");
        }
    }
}

#[test]
fn the_reason_phrase_is_no_way_round_the_mask() {
    let rows = [
        ("200 CANARY-7f3a", "200 OK"),
        ("404 No customer CANARY-7f3a", "404 Not Found"),
        ("500 CANARY-7f3a\u{e9}", "500 Internal Server Error"),
        ("200", "200 OK"),
    ];
    let backend = Backend::script(move |request, stream| {
        let at: usize = request.target.rsplit('/').next().unwrap().parse().unwrap();
        stream.write_all(with(rows[at].0, JSON, SECRETS).as_bytes()).is_ok()
    });
    let gateway = Setup::new(&backend).start();
    for (at, (_, told)) in rows.iter().enumerate() {
        for (role, body) in [("clerk", MASKED), ("caseworker", SECRETS)] {
            let text = wire(&gateway, "GET", &at.to_string(), role, "");
            let (head, got) = text.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {told}\r\n")),
                "{told} {role}: {head}"
            );
            assert!(!head.contains("CANARY"), "{told} {role}: {head}");
            assert_eq!(got, body, "{told} {role}");
        }
    }
}

#[test]
fn an_answer_that_two_readers_would_end_in_two_places_is_refused() {
    let length = SECRETS.len();
    let chunks = format!("{length:x}\r\n{SECRETS}\r\n0\r\n\r\n");
    let rows = [
        ("Transfer-Encoding: gzip\r\n".to_owned(), SECRETS),
        ("Transfer-Encoding: xchunked\r\n".to_owned(), SECRETS),
        ("Transfer-Encoding: identity\r\n".to_owned(), SECRETS),
        ("Transfer-Encoding: gzip, chunked\r\n".to_owned(), &*chunks),
        (
            format!("Transfer-Encoding: identity\r\nContent-Length: {length}\r\n"),
            SECRETS,
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            &*chunks,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            &*chunks,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            &*chunks,
        ),
    ];
    let sent = rows
        .clone()
        .map(|(fields, body)| format!("HTTP/1.1 200 OK\r\n{JSON}{fields}\r\n{body}"));
    let backend = Backend::script(move |request, stream| {
        let at: usize = request.target.rsplit('/').next().unwrap().parse().unwrap();
        let _ = stream.write_all(sent[at].as_bytes());
        false
    });
    let gateway = Setup::new(&backend).start();
    for (at, (fields, _)) in rows.iter().enumerate() {
        for role in ["clerk", "caseworker"] {
            let answer = gateway.get(&format!("/api/accounts/{at}"), &[role]);
            assert_eq!(
                (answer.status, answer.error().as_str()),
                (502, "upstream_broken"),
                "{role} {fields}"
            );
            assert!(!format!("{answer:?}").contains(CANARY), "{role} {fields}: {answer:?}");
        }
    }
    // The one coding that there is, in any case, is taken.
    let backend = Backend::bytes(format!(
        "HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: Chunked\r\n\r\n{chunks}"
    ));
    let gateway = Setup::new(&backend).start();
    assert_eq!(gateway.get("/api/accounts/1", &["clerk"]).text(), MASKED);
}
