//! What HTTP/1 refuses is refused in HTTP/2 too (RFC 9113, 8; THREATS C): each request as raw frames, on a connection of
//! its own. No backend sees any of them, save those that are good.

use super::harness::frames::{END_HEADERS, END_STREAM, Fate, Frames, block, frame, get, kind};
use super::harness::*;

const ACCOUNTS: &str = "/api/accounts/A1001";

/// More fields, or others: `name: value`, where a name that is there already is replaced.
type Change<'a> = (&'a str, &'a [u8]);

/// Asks with the fields of a good `GET`, some of them replaced (`=name`), some left out (`-name`), some added.
fn ask_with(gateway: &Gateway, token: &str, changes: &[Change<'_>]) -> Fate {
    let bearer = format!("Bearer {token}");
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = get(ACCOUNTS, &bearer)
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    for (change, value) in changes {
        match change.split_at(change.len().min(1)) {
            ("=", name) => {
                let field = fields.iter_mut().find(|(own, _)| own == name.as_bytes());
                field.expect("a field to replace").1 = value.to_vec();
            }
            ("-", name) => fields.retain(|(own, _)| own != name.as_bytes()),
            _ => fields.push((change.as_bytes().into(), value.to_vec())),
        }
    }
    let mut client = Frames::open(gateway.port);
    client.write(&frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields)));
    client.fate(1)
}

/// How it ended, in a word.
fn in_a_word(fate: &Fate) -> String {
    match fate {
        Fate::Answered(status, body) => {
            let error = body
                .split("\"error\":\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            format!("{status} {}", error.unwrap_or_default()).trim().to_owned()
        }
        Fate::Reset(_) | Fate::Gone(_) => "cut".into(),
    }
}

#[test]
fn a_head_means_one_thing_in_http2_too() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let token = gateway.token(&claims(&["clerk"]));
    let bearer = format!("Bearer {token}");
    let cases: &[(&str, &[Change<'_>])] = &[
        ("200", &[]),
        // What steers comes once.
        ("400 ambiguous_request", &[("authorization", bearer.as_bytes())]),
        ("400 ambiguous_request", &[("authorization", b"Bearer x")]),
        (
            "400 ambiguous_request",
            &[("if-match", b"\"a\""), ("if-match", b"\"b\"")],
        ),
        (
            "400 ambiguous_request",
            &[("x-idempotency-key", b"a"), ("idempotency-key", b"b")],
        ),
        (
            "400 ambiguous_request",
            &[("content-type", b"text/csv"), ("content-type", b"application/json")],
        ),
        // One host.
        ("400 ambiguous_request", &[("host", b"evil.example")]),
        (
            "400 ambiguous_request",
            &[("host", b"gw.example"), ("host", b"gw.example")],
        ),
        ("400 ambiguous_request", &[("-:authority", b"")]),
        ("400 ambiguous_request", &[("=:authority", b"user@gw.example")]),
        ("cut", &[("=:authority", b"gw.example, evil.example")]),
        ("cut", &[("=:authority", b"gw.example/x")]),
        ("200", &[("-:authority", b""), ("host", b"gw.example")]),
        // Fields of a connection that HTTP/2 has not.
        ("cut", &[("connection", b"authorization")]),
        ("cut", &[("transfer-encoding", b"chunked")]),
        ("cut", &[("upgrade", b"websocket")]),
        ("cut", &[("keep-alive", b"timeout=5")]),
        ("cut", &[("proxy-connection", b"close")]),
        ("cut", &[("te", b"gzip")]),
        ("200", &[("te", b"trailers")]),
        // Names and values.
        ("cut", &[("X-Upper", b"a")]),
        ("cut", &[("x a", b"a")]),
        ("cut", &[("x:a", b"a")]),
        ("cut", &[("x\r\na", b"a")]),
        ("cut", &[("", b"a")]),
        ("cut", &[("x-a", b"a\r\nx-municipal-role: finance_admin")]),
        ("cut", &[("x-a", b"a\nb")]),
        ("cut", &[("x-a", b"a\0b")]),
        // Pseudo-headers.
        ("cut", &[(":path", ACCOUNTS.as_bytes())]),
        ("cut", &[(":method", b"GET")]),
        ("cut", &[(":scheme", b"http")]),
        ("cut", &[(":authority", b"gw.example")]),
        ("cut", &[(":protocol", b"websocket")]),
        ("cut", &[(":status", b"200")]),
        ("cut", &[(":unknown", b"a")]),
        ("cut", &[("-:path", b"")]),
        ("cut", &[("-:method", b"")]),
        ("cut", &[("-:scheme", b"")]),
        // A method, and no more.
        ("cut", &[("=:method", b"GET / HTTP/1.1")]),
        ("405 unsupported_method", &[("=:method", b"get")]),
        ("405 unsupported_method", &[("=:method", b"TRACE")]),
        // A target.
        ("cut", &[("=:path", b"api/accounts/A1001")]),
        ("cut", &[("=:path", b"")]),
        ("cut", &[("=:path", b"/api/accounts/A1001 HTTP/1.1")]),
        ("cut", &[("=:path", b"/api/accounts/A1001\r\nx: y")]),
        ("cut", &[("=:path", b"http://evil.example/api/accounts/A1001")]),
        (
            "400 ambiguous_path",
            &[("=:path", b"//evil.example/api/accounts/A1001")],
        ),
        (
            "400 ambiguous_path",
            &[("=:path", b"/api/accounts/%2e%2e/ledger/state")],
        ),
        ("400 ambiguous_path", &[("=:path", b"/api/accounts/..;/ledger/state")]),
        ("400 ambiguous_path", &[("=:path", b"/api/accounts/a\\b")]),
        ("400 ambiguous_path", &[("=:path", "/api/accounts/é".as_bytes())]),
        ("414 uri_too_long", &[("=:path", &[b'/'; 1]), ("=:path", long_path())]),
        ("400 ambiguous_path", &[("=:path", b"*")]),
        // A fragment is nobody's business.
        ("404 no_route", &[("=:path", b"/admin#/api/accounts/A1001")]),
        // A length, and no body.
        ("cut", &[("content-length", b"5")]),
        ("cut", &[("content-length", b"+0")]),
        ("cut", &[("content-length", b"0"), ("content-length", b"5")]),
    ];
    let mut failures = Vec::new();
    let mut good = 0;
    for (expected, changes) in cases {
        let before = backend.count();
        let fate = ask_with(&gateway, &token, changes);
        let word = in_a_word(&fate);
        let sent = backend.count() - before;
        good += usize::from(*expected == "200");
        let readable: Vec<_> = changes
            .iter()
            .map(|(name, value)| format!("{name}: {:.60}", String::from_utf8_lossy(value)))
            .collect();
        if word != *expected || sent != usize::from(*expected == "200") {
            failures.push(format!(
                "{readable:?}: {word} and not {expected}, sent {sent} times: {fate:?}"
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(backend.count(), good);
}

/// A target longer than `uri_bytes` and shorter than any head.
fn long_path() -> &'static [u8] {
    static PATH: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| format!("/{}", "a".repeat(9_000)).into_bytes());
    &PATH
}
