//! Requests that are odd, hostile, slow or too large, and the ordinary ones beside them.

use super::harness::*;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Barrier;
use std::thread::{self, JoinHandle};
use std::time::Instant;

const ACCOUNTS: &str = "/api/accounts/A1";
/// A route whose body streams through.
const POST: &str = "POST /portal/assignments HTTP/1.1";

fn authorization(gateway: &Gateway, role: &str) -> String {
    format!("Authorization: Bearer {}\r\n", gateway.token(&claims(&[role])))
}

/// How many answers are in what came.
fn answers(all: &str) -> usize {
    all.matches("HTTP/1.1 ").count()
}

/// Waits until the gateway closes, far sooner than anybody's deadline.
fn assert_closes(what: &str, client: &mut Client) {
    let started = Instant::now();
    assert!(client.is_closed(), "{what}");
    assert!(
        started.elapsed() < DEADLINE / 2,
        "{what}: open for {:?}",
        started.elapsed()
    );
}

#[test]
fn a_request_names_one_host() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let token = authorization(&gateway, "caseworker");
    let rows = [
        (ACCOUNTS, "Host: gw.example\r\n", 200),
        (ACCOUNTS, "Host: GW.Example.:8080\r\n", 200),
        (ACCOUNTS, "Host: [::1]:80\r\n", 200),
        ("http://gw.example/api/accounts/A1", "Host: GW.example\r\n", 200),
        (ACCOUNTS, "", 400),
        (ACCOUNTS, "Host:\r\n", 400),
        (ACCOUNTS, "Host: a\r\nHost: b\r\n", 400),
        (ACCOUNTS, "Host: a\r\nHost: a\r\n", 400),
        (ACCOUNTS, "Host: a, b\r\n", 400),
        (ACCOUNTS, "Host: u@gw\r\n", 400),
        (ACCOUNTS, "Host: gw:99999\r\n", 400),
        (ACCOUNTS, "Host: gw:8a\r\n", 400),
        (ACCOUNTS, "Host: gw:\r\n", 400),
        (ACCOUNTS, "Host: gw/../x\r\n", 400),
        (ACCOUNTS, "Host: gw;proto=http\r\n", 400),
        (ACCOUNTS, "Host: [::1\r\n", 400),
        ("http://evil.example/api/accounts/A1", "Host: gw.example\r\n", 400),
        ("http://gw.example:81/api/accounts/A1", "Host: gw.example\r\n", 400),
        ("http://u@gw.example/api/accounts/A1", "Host: gw.example\r\n", 400),
        ("http://127.0.0.1:9901/metrics", "Host: gw.example\r\n", 400),
        ("http://gw.example/api/accounts/A1", "", 400),
    ];
    for (target, host, status) in rows {
        let answer = ask(
            gateway.port,
            format!("GET {target} HTTP/1.1\r\n{host}{token}Connection: close\r\n\r\n").as_bytes(),
        );
        assert_eq!(answer.status, status, "{target} {host}");
        if status == 400 {
            assert_eq!(answer.error(), "ambiguous_request", "{target} {host}");
        }
    }
    let good = rows.iter().filter(|row| row.2 == 200).count();
    assert_eq!(backend.count(), good);
    for request in backend.seen() {
        assert_eq!(request.target, ACCOUNTS);
        assert_eq!(
            request.field("host"),
            Some(format!("127.0.0.1:{}", backend.port()).as_str())
        );
    }
    gateway.audit(rows.len());
}

#[test]
fn a_body_has_one_framing() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).start();
    let token = authorization(&gateway, "dispatcher");
    let hidden = format!("0\r\n\r\nGET {ACCOUNTS} HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n{token}\r\n");
    let rows = [
        ("1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        ("1.1", "Transfer-Encoding: gzip, chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked, identity\r\n"),
        ("1.1", "Transfer-Encoding: identity\r\n"),
        ("1.1", "Transfer-Encoding: xchunked\r\n"),
        ("1.1", "Transfer-Encoding: ,chunked\r\n"),
        ("1.1", "Transfer-Encoding: \"chunked\"\r\n"),
        ("1.1", "Transfer-Encoding: chunked;q=1\r\n"),
        ("1.1", "Transfer-Encoding: \x0bchunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("1.1", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("1.1", "Transfer-Encoding : chunked\r\n"),
        ("1.0", "Transfer-Encoding: chunked\r\n"),
        ("1.1", "Content-Length: 0\r\nContent-Length: 50\r\n"),
        ("1.1", "Content-Length: +2\r\n"),
        ("1.1", "Content-Length: -2\r\n"),
        ("1.1", "Content-Length: 0x2\r\n"),
        ("1.1", "Content-Length: 2_0\r\n"),
        ("1.1", "Content-Length: 2, 3\r\n"),
        ("1.1", "Content-Length:\r\n"),
        ("1.1", "Content-Length: 18446744073709551618\r\n"),
        ("1.1", "Content-Length : 5\r\n"),
    ];
    let mut read_on = Vec::new();
    for (version, framing) in rows {
        let head = format!("POST /portal/assignments HTTP/{version}\r\nHost: gw\r\n{token}{framing}\r\n{hidden}");
        let all = raw(gateway.port, head.as_bytes());
        assert!(
            all.starts_with("HTTP/1.") && all[8..].starts_with(" 400 "),
            "{version} {framing}: {all}"
        );
        assert!(all.contains("application/problem+json"), "{framing}: {all}");
        if all.matches("HTTP/1.").count() != 1 {
            read_on.push(framing);
        }
    }
    assert_eq!(backend.count(), 0);
    assert!(
        read_on.is_empty(),
        "what followed was taken for another request: {read_on:?}"
    );
    for line in gateway.audit(rows.len()) {
        assert_eq!(line["decision"], "DENIED_REQUEST", "{line}");
    }
}

#[test]
fn what_is_hidden_in_a_body_is_never_a_request() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).start();
    let (clerk, dispatcher) = (authorization(&gateway, "clerk"), authorization(&gateway, "dispatcher"));
    let hidden = format!("GET {ACCOUNTS}/hidden HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n{clerk}\r\n");
    let rows = [("", 401), (clerk.as_str(), 403), (dispatcher.as_str(), 200)];
    for (token, status) in rows {
        let length = hidden.len();
        let all = raw(
            gateway.port,
            format!("{POST}\r\nHost: gw\r\nConnection: close\r\n{token}Content-Length: {length}\r\n\r\n{hidden}")
                .as_bytes(),
        );
        assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {all}");
        assert_eq!(answers(&all), 1, "{all}");
    }
    // Refused early on a connection that would stay open: closed, or the body is read to its end and thrown away.
    let mut client = Client::open(gateway.port);
    let length = hidden.len();
    let refused = client.send(format!("{POST}\r\nHost: gw\r\nContent-Length: {length}\r\n\r\n{hidden}").as_bytes());
    assert_eq!(refused.status, 401);
    if refused.field("connection") != Some("close") {
        client.write(request("GET", ACCOUNTS, "", "", "").as_slice());
        assert!(client.is_closed() || client.read(false).status == 401);
    }
    assert_eq!(backend.count(), 1);
    assert_eq!(backend.last().body, hidden.as_bytes());
    assert_eq!(
        backend.last().field("content-length"),
        Some(length.to_string().as_str())
    );
}

#[test]
fn a_header_that_steers_comes_once() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let worker = gateway.token(&claims(&["caseworker"]));
    let again = format!("Authorization: Bearer {worker}\r\n");
    let rows = [
        again.as_str(),
        "Authorization: Basic eDp5\r\n",
        "If-Match: \"a\"\r\nIf-Match: \"a\"\r\n",
        "If-Match: \"a\"\r\nif-match: \"b\"\r\n",
        "X-Idempotency-Key: a\r\nX-Idempotency-Key: a\r\n",
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
        "Content-Type: text/plain\r\nContent-Type: application/json\r\n",
    ];
    for fields in rows {
        let answer = gateway.call_as("GET", ACCOUNTS, &worker, fields, "");
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (400, "ambiguous_request"),
            "{fields}"
        );
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn an_idempotency_key_has_one_of_its_two_names() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let admin = gateway.token(&claims(&["finance_admin"]));
    let body = r#"{"county":"County_A","transaction_id":"t"}"#;
    let both = "X-Idempotency-Key: a\r\nIdempotency-Key: a\r\n";
    for (method, path, body) in [("POST", "/api/ledger/sync", body), ("GET", ACCOUNTS, "")] {
        let answer = gateway.call_as(method, path, &admin, both, body);
        assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn a_broken_chunk_never_completes_a_request() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).start();
    let token = authorization(&gateway, "dispatcher");
    let rows = [
        "0x2\r\nab\r\n0\r\n\r\n",
        "+2\r\nab\r\n0\r\n\r\n",
        "2_0\r\nab\r\n0\r\n\r\n",
        "\r\nab\r\n0\r\n\r\n",
        "zz\r\nab\r\n0\r\n\r\n",
        "2\r\nabXX0\r\n\r\n",
        "2\r\nab\r\n0\r\nXX",
        "2;\nxx\r\nab\r\n0\r\n\r\n",
        "2\r\r;a\r\nab\r\n0\r\n\r\n",
        "10000000000000002\r\nab\r\n0\r\n\r\n",
    ];
    for chunks in rows {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("{POST}\r\nHost: gw\r\n{token}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        let _ = stream.read_to_string(&mut all);
        assert!(all.is_empty() || all.starts_with("HTTP/1.1 400 "), "{chunks:?}: {all}");
        assert!(answers(&all) <= 1, "{chunks:?}: {all}");
    }
    for line in gateway.audit(rows.len()) {
        assert_ne!(line["decision"], "ALLOWED", "{line}");
    }
    assert_eq!(backend.count(), 0, "{:?}", backend.seen());
    let whole = format!(
        "{POST}\r\nHost: gw\r\nConnection: close\r\n{token}Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    );
    assert_eq!(ask(gateway.port, whole.as_bytes()).status, 200);
    assert_eq!(backend.last().body, b"abc");
}

#[test]
fn a_chunked_body_may_speak_of_a_content_length() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).start();
    let token = authorization(&gateway, "dispatcher");
    let chunks = "13\r\n\nContent-Length: 1\n\r\n0\r\n";
    for (end, count) in [
        ("\r\n".to_owned(), 1),
        ("Content-Length: 9\r\n\r\n".into(), 1),
        (
            format!("\r\n{POST}\r\nHost: gw\r\nConnection: close\r\n{token}Content-Length: 2\r\n\r\n{{}}"),
            2,
        ),
    ] {
        let mut client = Client::open(gateway.port);
        let chunks = if count == 1 && end.len() == 2 { chunks } else { "0\r\n" };
        client
            .write(format!("{POST}\r\nHost: gw\r\n{token}Transfer-Encoding: chunked\r\n\r\n{chunks}{end}").as_bytes());
        for _ in 0..count {
            assert_eq!(client.read(false).status, 200, "{chunks:?} {end:?}");
        }
    }
}

/// A backend for one request with a chunked body, and every byte of that, in small letters.
pub(super) fn takes_an_upload() -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taking = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut all = Vec::new();
        let mut byte = [0];
        // The end of a chunked body, with trailers or without.
        while !(all.windows(3).any(|part| part == b"\n0\r") && all.ends_with(b"\r\n\r\n")) {
            stream.read_exact(&mut byte).unwrap();
            all.push(byte[0]);
        }
        stream
            .write_all(answer("200 OK", "application/json", "{}").as_bytes())
            .unwrap();
        String::from_utf8(all).unwrap().to_lowercase()
    });
    (port, taking)
}

#[test]
fn trailers_are_dropped() {
    let (port, taking) = takes_an_upload();
    let backend = Backend::start();
    let gateway = Setup {
        backend: port,
        ..Setup::new(&backend)
    }
    .start();
    let token = authorization(&gateway, "dispatcher");
    let trailers = "X_Municipal_Role: finance_admin\r\nX-Extra: planted\r\nAuthorization: Bearer x\r\n";
    let sent = format!(
        "{POST}\r\nHost: gw\r\nConnection: close\r\n{token}Trailer: X-Extra\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n{trailers}\r\n"
    );
    assert_eq!(ask(gateway.port, sent.as_bytes()).status, 200);
    let seen = taking.join().unwrap();
    for planted in ["finance_admin", "x-extra", "planted", "bearer"] {
        assert!(!seen.contains(planted), "{planted} in {seen}");
    }
}

#[test]
fn a_head_that_cannot_be_read_has_its_answer_and_its_line() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let line = "GET /api/accounts/A1 HTTP/1.1\r\nHost: gw\r\n";
    let rows = [
        format!("{line}X: a\r\n X-Municipal-Role: finance_admin\r\n\r\n"),
        format!("{line}Transfer-\r\n Encoding: chunked\r\n\r\n"),
        format!("{line}X: a\0b\r\n\r\n"),
        format!("{line}X\0: a\r\n\r\n"),
        format!("{line}X : a\r\n\r\n"),
        format!("{line}X Y: a\r\n\r\n"),
        format!("{line}: a\r\n\r\n"),
        format!("{line}nothing\r\n\r\n"),
        format!("{line}X: a\rX-Municipal-Role: b\r\n\r\n"),
        "GET /api/accounts/A1 HTTP/1.1\r\n Host: gw\r\n\r\n".into(),
        "GET /api/accounts/A1\r\n\r\n".into(),
        "GET /api/accounts/A1 HTTP/2.0\r\nHost: gw\r\n\r\n".into(),
        "GET /api/accounts/A1 HTTP/1.10\r\nHost: gw\r\n\r\n".into(),
        "GET /api/accounts/A1 http/1.1\r\nHost: gw\r\n\r\n".into(),
        "GET  /api/accounts/A1 HTTP/1.1\r\nHost: gw\r\n\r\n".into(),
        "GET api/accounts/A1 HTTP/1.1\r\nHost: gw\r\n\r\n".into(),
        "G\"ET /api/accounts/A1 HTTP/1.1\r\nHost: gw\r\n\r\n".into(),
    ];
    for head in &rows {
        let all = raw(gateway.port, head.as_bytes());
        assert!(all.starts_with("HTTP/1.1 400 "), "{head:?}: {all}");
        assert!(
            all.contains("application/problem+json") && all.contains("ambiguous_request"),
            "{head:?}: {all}"
        );
        assert!(all.to_lowercase().contains("\r\nx-request-id: "), "{head:?}: {all}");
        assert_eq!(answers(&all), 1, "{head:?}: {all}");
    }
    for line in gateway.audit(rows.len()) {
        assert_eq!(line["decision"], "DENIED_REQUEST", "{line}");
        assert_eq!(line["response_status_code"], 400, "{line}");
        assert!(line["endpoint"].is_null(), "{line}");
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn only_known_methods_are_routed() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let long = "A".repeat(300);
    for (method, target) in [
        ("TRACE", ACCOUNTS),
        ("CONNECT", "127.0.0.1:22"),
        ("CONNECT", ACCOUNTS),
        ("get", ACCOUNTS),
        ("GeT", ACCOUNTS),
        ("BREW", ACCOUNTS),
        ("PRI", ACCOUNTS),
        (&long, ACCOUNTS),
        ("DELETE", ACCOUNTS),
    ] {
        let answer = gateway.call(method, target, &["caseworker"], "", "");
        if (method, target) == ("CONNECT", ACCOUNTS) {
            assert!(matches!(answer.status, 400 | 405), "{answer:?}");
            continue;
        }
        assert_eq!(answer.status, 405, "{method}: {answer:?}");
        assert!(
            answer.field("allow").is_some_and(|allow| allow.contains("GET")),
            "{method}: {answer:?}"
        );
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn nobody_is_told_to_continue_before_he_is_judged() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).start();
    let expect = "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut stranger = Client::open(gateway.port);
    let refused = stranger.send(format!("{POST}\r\nHost: gw\r\n{expect}").as_bytes());
    assert_eq!((refused.status, refused.error().as_str()), (401, "missing_token"));
    assert_closes("a connection whose body was never read", &mut stranger);
    let token = authorization(&gateway, "dispatcher");
    let mut client = Client::open(gateway.port);
    client.write(format!("{POST}\r\nHost: gw\r\n{token}{expect}").as_bytes());
    assert_eq!(client.read(true).status, 100);
    assert_eq!(client.send(b"hello").status, 200);
    assert_eq!(backend.last().body, b"hello");
    assert_eq!(backend.last().field("expect"), None);
    let odd = format!(
        "{POST}\r\nHost: gw\r\nConnection: close\r\n{token}Expect: y 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    );
    let all = raw(gateway.port, odd.as_bytes());
    assert!(
        all.starts_with("HTTP/1.1 200 ") || all.starts_with("HTTP/1.1 417 "),
        "{all}"
    );
    assert_eq!(answers(&all), 1, "{all}");
}

#[test]
fn nothing_is_upgraded() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let token = authorization(&gateway, "caseworker");
    let next = format!("GET {ACCOUNTS} HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n");
    for upgrade in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    ] {
        let all = raw(
            gateway.port,
            format!("GET {ACCOUNTS} HTTP/1.1\r\nHost: gw\r\n{token}{upgrade}\r\n{next}").as_bytes(),
        );
        assert!(all.starts_with("HTTP/1.1 200 "), "{all}");
        assert_eq!((answers(&all), all.matches("HTTP/1.1 401 ").count()), (2, 1), "{all}");
        let seen = backend.last();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(seen.field(name), None, "{name}");
        }
    }
    assert_eq!(backend.count(), 2);
}

#[test]
fn pipelined_requests_are_answered_in_order_each_on_its_own() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let (worker, driver) = (authorization(&gateway, "caseworker"), authorization(&gateway, "driver"));
    let one = |token: &str, name: &str| {
        format!("GET /api/accounts/{name} HTTP/1.1\r\nHost: gw\r\nX-Request-Id: {name}\r\n{token}\r\n")
    };
    let mut client = Client::open(gateway.port);
    client.write(
        [one(&worker, "a"), one("", "b"), one(&driver, "c"), one(&worker, "d")]
            .concat()
            .as_bytes(),
    );
    for (name, status) in [("a", 200), ("b", 401), ("c", 403), ("d", 200)] {
        let answer = client.read(false);
        assert_eq!((answer.status, answer.field("x-request-id")), (status, Some(name)));
    }
    assert_eq!(backend.count(), 2);
}

#[test]
fn a_request_is_only_so_large() {
    let backend = Backend::json("{}");
    let limits = "limits: { header_bytes: 8KiB, uri_bytes: 1KiB, body_bytes: 1KiB }";
    let gateway = Setup::new(&backend).extra(limits).start();
    let token = gateway.token(&claims(&["dispatcher"]));
    let many = |count: usize| (0..count).map(|at| format!("X-{at}: y\r\n")).collect::<String>();
    let long = |size: usize| format!("X-Long: {}\r\n", "y".repeat(size));
    let uri = |size: usize| format!("/portal/assignments?{}", "y".repeat(size));
    let rows = [
        ("/portal/assignments".to_owned(), long(6000), 200, ""),
        ("/portal/assignments".into(), many(80), 200, ""),
        (uri(900), String::new(), 200, ""),
        ("/portal/assignments".into(), long(9000), 431, "headers_too_large"),
        ("/portal/assignments".into(), long(100_000), 431, "headers_too_large"),
        ("/portal/assignments".into(), many(101), 431, "headers_too_large"),
        ("/portal/assignments".into(), many(1500), 431, "headers_too_large"),
        (uri(2000), String::new(), 414, "uri_too_long"),
    ];
    for (target, fields, status, error) in rows {
        let answer = gateway.call_as("GET", &target, &token, &fields, "");
        assert_eq!(answer.status, status, "{} {}", target.len(), fields.len());
        if status != 200 {
            assert_eq!(answer.error(), error);
        }
    }
    let before = backend.count();
    let post = |fields: &str, body: &str| gateway.call_as("POST", "/portal/assignments", &token, fields, body);
    let chunks = |count: usize| format!("200\r\n{}\r\n", "y".repeat(512)).repeat(count) + "0\r\n\r\n";
    let chunked = |count: usize| {
        let head = format!(
            "{POST}\r\nHost: gw\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        ask(gateway.port, (head + &chunks(count)).as_bytes())
    };
    for (answer, status) in [
        (post("", &"y".repeat(1024)), 200),
        (chunked(2), 200),
        (post("", &"y".repeat(1025)), 413),
        (chunked(3), 413),
        (chunked(40), 413),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 413 {
            assert_eq!(answer.error(), "body_too_large");
        }
    }
    assert_eq!(backend.count() - before, 2);
    // Declared and not sent: refused at once.
    let declared = format!("{POST}\r\nHost: gw\r\nAuthorization: Bearer {token}\r\nContent-Length: 99999\r\n\r\n");
    let mut client = Client::open(gateway.port);
    assert_eq!(client.send(declared.as_bytes()).status, 413);
    assert_closes("a connection with a body too large", &mut client);
}

#[test]
fn slow_clients_are_given_up() {
    let backend = Backend::json("{}");
    let limits = "limits: { header_timeout: 300ms, body_timeout: 400ms, idle_timeout: 500ms }";
    let gateway = Setup::new(&backend).extra(limits).start();
    let token = authorization(&gateway, "dispatcher");
    assert_closes("a silent connection", &mut Client::open(gateway.port));
    for part in [
        "G",
        "PRI * HTTP/2.0\r\n",
        "GET /portal/schedule HTTP/1.1\r\nHost: gw\r\nX-",
    ] {
        let mut client = Client::open(gateway.port);
        client.write(part.as_bytes());
        assert_closes(part, &mut client);
    }
    for framing in [
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let mut client = Client::open(gateway.port);
        let answer = client.send(format!("{POST}\r\nHost: gw\r\n{token}{framing}").as_bytes());
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (408, "body_timeout"),
            "{framing}"
        );
        assert_closes("after a slow body", &mut client);
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn a_connection_is_kept_for_more_requests_and_not_for_ever() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).extra("limits: { idle_timeout: 500ms }").start();
    let token = authorization(&gateway, "dispatcher");
    let mut client = Client::open(gateway.port);
    assert_eq!(
        client.send(b"GET /portal/schedule HTTP/1.1\r\nHost: gw\r\n\r\n").status,
        401
    );
    assert_closes("an idle connection after a refusal", &mut client);
    let mut client = Client::open(gateway.port);
    for _ in 0..3 {
        let answer = client.send(format!("GET /portal/schedule HTTP/1.1\r\nHost: gw\r\n{token}\r\n").as_bytes());
        assert_eq!(answer.status, 200, "one connection, many requests");
    }
    assert_eq!(backend.count(), 3);
    assert_closes("an idle connection", &mut client);
}

#[test]
fn old_clients_are_answered() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let token = authorization(&gateway, "caseworker");
    let old = format!("GET {ACCOUNTS} HTTP/1.0\r\nHost: gw\r\n{token}\r\n");
    let all = raw(gateway.port, old.as_bytes());
    assert!(all.starts_with("HTTP/1.0 200 ") && all.ends_with(ACCOUNT), "{all}");
    // Bytes that an HTTP/1.0 client sends after a head without a length are no body and no request.
    let all = raw(
        gateway.port,
        format!("POST /portal/assignments HTTP/1.0\r\nHost: gw\r\n{token}\r\nGET {ACCOUNTS} HTTP/1.1\r\nHost: gw\r\n{token}\r\n").as_bytes(),
    );
    assert_eq!(all.matches("HTTP/1.").count(), 1, "{all}");
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_client_that_has_said_all_and_half_closes_is_answered() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let token = authorization(&gateway, "caseworker");
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {ACCOUNTS} HTTP/1.1\r\nHost: gw\r\n{token}\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with(ACCOUNT), "{all:?}");
}

#[test]
fn what_belongs_to_a_connection_stays_on_it() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let lines = "Connection: X-Drop, x-DROP-too, Authorization, If-Match, Idempotency-Key, X-Municipal-Role, Host, Content-Type\r\n\
                 X-Drop: 1\r\nX-Drop-Too: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X\r\nProxy-Connection: close\r\n\
                 Proxy-Authorization: Basic eDp5\r\nIf-Match: \"m\"\r\nIdempotency-Key: k1\r\nX-Kept: 1\r\nCookie: a=1\r\nContent-Type: text/x\r\n\
                 X-Municipal-Role: finance_admin\r\nx-municipal-user: root\r\nRemote-User: root\r\nProxy: http://127.0.0.1:9/\r\n\
                 X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Original-URL: /x\r\nX-HTTP-Method-Override: DELETE\r\n";
    let answer = gateway.call("GET", ACCOUNTS, &["caseworker"], lines, "");
    assert_eq!(answer.status, 200, "the token was taken away by `Connection`?");
    let seen = backend.last();
    for gone in [
        "connection",
        "x-drop",
        "x-drop-too",
        "keep-alive",
        "te",
        "trailer",
        "proxy-connection",
        "proxy-authorization",
        "authorization",
        "remote-user",
        "proxy",
        "forwarded",
        "x-original-url",
        "x-http-method-override",
        "transfer-encoding",
        "content-length",
    ] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    for (name, value) in [
        ("if-match", "\"m\""),
        ("idempotency-key", "k1"),
        ("x-kept", "1"),
        ("cookie", "a=1"),
        ("content-type", "text/x"),
        ("x-municipal-role", "caseworker"),
        ("x-municipal-user", "u1"),
        ("x-jurisdiction-scope", "County_A"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "gw.example"),
    ] {
        assert_eq!(seen.field(name), Some(value), "{name}");
    }
    assert_eq!(seen.field("x-request-id"), answer.field("x-request-id"));
    // As a CGI program sees it, whatever the spelling.
    let folded = "X_Municipal_Role: finance_admin\r\nX-Municipal_Role: finance_admin\r\nX.Municipal.Role: finance_admin\r\n\
                  Content_Length: 9\r\nTransfer_Encoding: chunked\r\nREMOTE_USER: root\r\n";
    let answer = gateway.call("GET", ACCOUNTS, &["caseworker"], folded, "");
    assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    for request in backend.seen() {
        let variables = request.cgi();
        assert_eq!(variables["HTTP_X_MUNICIPAL_ROLE"], "caseworker");
        for gone in ["HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_REMOTE_USER"] {
            assert!(!variables.contains_key(gone), "{gone}: {variables:?}");
        }
    }
}

pub(super) type Sender = http2::SendRequest<String>;

/// Runs in a runtime of its own, with an HTTP/2 connection by prior knowledge.
pub(super) fn on_http2<F: Future<Output = ()>>(gateway: &Gateway, test: impl FnOnce(Sender) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", gateway.port))
            .await
            .unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        tokio::time::timeout(DEADLINE, test(sender)).await.expect("too slow");
    });
}

/// Status, error if any, and text.
pub(super) async fn ask_http2(sender: &Sender, token: &str, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let mut request = http::Request::get(format!("http://gw.example{path}"));
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(String::new()).unwrap();
    let (head, body) = sender.clone().send_request(request).await.unwrap().into_parts();
    assert!(head.headers.contains_key("x-request-id"));
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn http2_is_judged_like_http1() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let token = gateway.token(&claims(&["caseworker"]));
    on_http2(&gateway, async |sender| {
        let good = ask_http2(
            &sender,
            &token,
            ACCOUNTS,
            &[("cookie", "a=1"), ("cookie", "b=2"), ("x_municipal_role", "x")],
        )
        .await;
        assert_eq!(good, (200, ACCOUNT.to_owned()));
        assert_eq!(
            ask_http2(&sender, &token, ACCOUNTS, &[("host", "GW.example")]).await.0,
            200
        );
        for (token, path, fields, status, error) in [
            ("", ACCOUNTS, &[][..], 401, "missing_token"),
            (&*token, "/api/nowhere", &[], 404, "no_route"),
            (&token, "/api/accounts/%2e%2e/x", &[], 400, "ambiguous_path"),
            (&token, ACCOUNTS, &[("host", "evil.example")], 400, "ambiguous_request"),
            (
                &token,
                ACCOUNTS,
                &[("host", "gw.example"), ("host", "gw.example")],
                400,
                "ambiguous_request",
            ),
            (
                &token,
                ACCOUNTS,
                &[("if-match", "\"a\""), ("if-match", "\"a\"")],
                400,
                "ambiguous_request",
            ),
        ] {
            let (got, text) = ask_http2(&sender, token, path, fields).await;
            assert_eq!(got, status, "{path} {fields:?}: {text}");
            assert!(
                text.contains(&format!("\"error\":\"{error}\"")),
                "{path} {fields:?}: {text}"
            );
        }
    });
    assert_eq!(backend.count(), 2);
    let first = &backend.seen()[0];
    assert_eq!(first.field("cookie"), Some("a=1; b=2"));
    assert_eq!(
        first.field("host"),
        Some(format!("127.0.0.1:{}", backend.port()).as_str())
    );
    assert_eq!(first.field("x-forwarded-host"), Some("gw.example"));
    assert_eq!(first.cgi()["HTTP_X_MUNICIPAL_ROLE"], "caseworker");
    gateway.audit(8);
}

#[test]
fn http2_streams_are_answered_side_by_side() {
    // Each is answered only when both have come.
    let both = Barrier::new(2);
    let backend = Backend::script(move |request, stream| {
        both.wait();
        let body = format!("{{\"at\":\"{}\"}}", request.target);
        stream
            .write_all(answer("200 OK", "application/json", &body).as_bytes())
            .is_ok()
    });
    let gateway = Setup::new(&backend).start();
    let token = gateway.token(&claims(&["clerk"]));
    on_http2(&gateway, async |sender| {
        let (a, b) = tokio::join!(
            ask_http2(&sender, &token, "/api/accounts/a", &[]),
            ask_http2(&sender, &token, "/api/accounts/b", &[])
        );
        assert_eq!(a, (200, "{\"at\":\"/api/accounts/a\"}".to_owned()));
        assert_eq!(b, (200, "{\"at\":\"/api/accounts/b\"}".to_owned()));
    });
}

/// A CGI server refuses a `POST` that does not say how long it is (RFC 3875, 4.1.2): an empty one says 0.
#[test]
fn an_empty_post_says_that_it_is_empty() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    assert_eq!(
        gateway
            .call("POST", "/portal/assignments", &["dispatcher"], "", "")
            .status,
        200
    );
    assert_eq!(backend.last().field("content-length"), Some("0"));
    assert_eq!(gateway.get("/portal/assignments", &["dispatcher"]).status, 200);
    assert_eq!(backend.last().field("content-length"), None);
    assert_eq!(backend.last().field("transfer-encoding"), None);
}
