//! What HTTP/1 refuses is refused in HTTP/2 too (RFC 9113, 8; THREATS C): each request as raw frames, on a connection of
//! its own. No backend sees any of them, save those that are good.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::frames::{END_HEADERS, END_STREAM, Fate, Frames, block, frame, get, kind};
use super::harness::*;
use super::requests::{on_http2, takes_an_upload};

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
    // Also what the library has cut has its line, and one only.
    let cut = cases.iter().filter(|(expected, _)| *expected == "cut").count();
    let lines = gateway.audit(cases.len());
    let unread: Vec<_> = lines
        .iter()
        .filter(|line| line["detail"] == "the head cannot be read")
        .collect();
    assert_eq!(unread.len(), cut);
    for line in unread {
        assert_eq!(
            (&line["ip_address"], &line["error"]),
            (&"127.0.0.1".into(), &"ambiguous_request".into()),
            "{line}"
        );
    }
}

/// A target longer than `uri_bytes` and shorter than any head.
fn long_path() -> &'static [u8] {
    static PATH: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| format!("/{}", "a".repeat(9_000)).into_bytes());
    &PATH
}

/// A request with a body and fields behind it: its head, two bytes, and these frames.
fn upload(gateway: &Gateway, method: &str, path: &str, behind: &[Vec<u8>]) -> Frames {
    let bearer = format!("Bearer {}", gateway.token(&claims(&["dispatcher", "clerk"])));
    let mut fields = get(path, &bearer);
    fields[0].1 = method;
    let mut client = Frames::open(gateway.port);
    client.write(&frame(kind::HEADERS, END_HEADERS, 1, &block(&fields)));
    client.write(&frame(kind::DATA, 0, 1, b"ab"));
    for frame in behind {
        client.write(frame);
    }
    client
}

fn trailers(fields: &[Change<'_>]) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &block(fields))
}

#[test]
fn trailers_are_dropped_in_http2_too() {
    let planted: [&[Change<'_>]; 6] = [
        &[(":path", b"/planted")],
        &[("x-extra", b"planted")],
        &[("authorization", b"Bearer planted"), ("x_municipal_role", b"planted")],
        &[
            ("x-municipal-role", b"planted"),
            ("x-forwarded-for", b"10.9.8.7, planted"),
        ],
        &[("content-length", b"9"), ("host", b"planted")],
        &[("x-idempotency-key", b"planted"), ("if-match", b"planted")],
    ];
    for fields in planted {
        let (port, taking) = takes_an_upload();
        let backend = Backend::start();
        let mut setup = Setup::new(&backend);
        setup.backend = port;
        let gateway = setup.start();
        let mut client = upload(&gateway, "POST", "/portal/assignments", &[trailers(fields)]);
        assert_eq!(client.fate(1), Fate::Answered(200, "{}".into()), "{fields:?}");
        let seen = taking.join().unwrap();
        assert!(seen.contains("\r\n\r\n2\r\nab\r\n0\r\n\r\n"), "{seen}");
        for word in ["planted", "x-extra", "content-length", "10.9.8.7"] {
            assert!(!seen.contains(word), "{word} in {seen}");
        }
        gateway.audit(1);
    }
}

/// What cannot be trailers ends the request, whose backend gets no whole one.
#[test]
fn what_is_no_trailer_ends_an_http2_request() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let data = |flags, bytes: &[u8]| frame(kind::DATA, flags, 1, bytes);
    let cases: [(&str, Vec<Vec<u8>>); 7] = [
        (
            "a pseudo-header behind others",
            vec![trailers(&[("x-a", b"1"), (":method", b"GET")])],
        ),
        (
            "a field of a connection",
            vec![trailers(&[("transfer-encoding", b"chunked")])],
        ),
        ("another field of one", vec![trailers(&[("connection", b"close")])]),
        ("capitals", vec![trailers(&[("X-Extra", b"planted")])]),
        ("a line end", vec![trailers(&[("x-a", b"a\r\nx-b: planted")])]),
        (
            "no end of the stream",
            vec![
                frame(kind::HEADERS, END_HEADERS, 1, &block(&[("x-a", "1")])),
                data(END_STREAM, b"cd"),
            ],
        ),
        (
            "more of the body",
            vec![trailers(&[("x-a", b"1")]), data(END_STREAM, b"cd")],
        ),
    ];
    let mut failures = Vec::new();
    for (what, behind) in cases {
        let whole = what == "more of the body";
        let before = backend.count();
        let fate = upload(&gateway, "POST", "/portal/assignments", &behind).fate(1);
        // What ended before it was broken may have been sent; nothing of what came after is in it.
        let sent: Vec<Vec<u8>> = backend
            .seen()
            .split_off(before)
            .into_iter()
            .map(|seen| seen.body)
            .collect();
        let good = if whole {
            sent.iter().all(|body| body == b"ab")
        } else {
            matches!(fate, Fate::Reset(_) | Fate::Gone(_)) && sent.is_empty()
        };
        if !good {
            failures.push(format!("{what}: {fate:?}, {sent:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let mut client = upload(&gateway, "POST", "/portal/assignments", &[data(END_STREAM, b"")]);
    assert_eq!(in_a_word(&client.fate(1)), "200", "others are served");
    // One line each, also where the whole connection is at fault and the gateway may not have heard of its request.
    gateway.audit(8);
}

/// What the library refuses by itself is told from what the gateway answers, in whatever order they come.
#[test]
fn each_request_of_a_connection_has_one_line_whoever_answers_it() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let bearer = format!("Bearer {}", gateway.token(&claims(&["dispatcher", "clerk"])));
    let good = get(ACCOUNTS, &bearer);
    let head =
        |stream, flags, fields: &[(&str, &str)]| frame(kind::HEADERS, END_HEADERS | flags, stream, &block(fields));
    let with = |extra: &[(&'static str, &'static str)]| [&good[..], extra].concat();
    let upload = |more: &[(&'static str, &'static str)]| {
        let mut fields = get("/portal/assignments", &bearer);
        fields[0].1 = "POST";
        fields.extend_from_slice(more);
        fields
    };
    let mut large = block(&good);
    large.push(0x40);
    large.extend_from_slice(&block(&[("x-large", "a".repeat(3900))])[1..]);
    large.resize(large.len() + 60, 0xbe);
    let in_two = |stream, fields: &[u8]| {
        let (first, second) = fields.split_at(fields.len() / 2);
        let first = frame(kind::HEADERS, END_STREAM, stream, first);
        [first, frame(kind::CONTINUATION, END_HEADERS, stream, second)].concat()
    };
    let mut bytes = Vec::new();
    for part in [
        head(1, END_STREAM, &good),
        head(3, END_STREAM, &with(&[("connection", "close")])),
        head(5, END_STREAM, &good),
        // Malformed, with a body behind it.
        head(7, 0, &upload(&[(":path", "/twice")])),
        frame(kind::DATA, END_STREAM, 7, b"ab"),
        // Good as far as its head goes: the gateway has it, and its body is another than it says.
        head(9, 0, &upload(&[("content-length", "5")])),
        frame(kind::DATA, END_STREAM, 9, b"ab"),
        // Larger than the gateway itself would still answer: a large field that is named again and again.
        frame(kind::HEADERS, END_HEADERS | END_STREAM, 11, &large),
        head(13, END_STREAM, &with(&[(":scheme", "http")])),
        head(15, END_STREAM, &good),
        in_two(17, &block(&good)),
        in_two(19, &block(&with(&[("connection", "close")]))),
    ] {
        bytes.extend(part);
    }
    for piece in [bytes.len(), 100, 9] {
        let mut client = Frames::open(gateway.port);
        for part in bytes.chunks(piece) {
            client.write(part);
        }
        // Which of them is answered first is not said.
        let mut open = BTreeSet::from([1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        while !open.is_empty() {
            let frame = client.next().unwrap_or_else(|| panic!("{piece}: {open:?} are open"));
            if frame.kind == kind::RST_STREAM || frame.flags & END_STREAM != 0 && frame.kind <= kind::HEADERS {
                open.remove(&frame.stream);
            }
        }
    }
    // One after which the connection is not understood any more.
    let mut client = Frames::open(gateway.port);
    let broken = head(3, END_STREAM, &with(&[("X-Upper", "a")]));
    client.write(&[head(1, END_STREAM, &with(&[("te", "gzip")])), broken].concat());
    assert_eq!(client.fate(3), Fate::Gone(Some(1)));
    let lines = gateway.audit(32);
    let mut errors = BTreeMap::<_, usize>::new();
    for line in &lines {
        *errors.entry(line["error"].as_str().unwrap_or("none")).or_default() += 1;
    }
    let expected = [
        ("none", 12),
        ("ambiguous_request", 14),
        ("headers_too_large", 3),
        ("client_closed", 3),
    ];
    assert_eq!(errors, expected.into());
}

/// One request more than a connection may have is not processed, and the client is told so: it has no line, and is counted.
#[test]
fn a_request_too_many_is_counted() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        use std::io::Write as _;
        let _ = held.lock().unwrap().recv();
        let whole = answer("200 OK", "application/json", "{}");
        stream.write_all(whole.as_bytes()).is_ok()
    });
    let gateway = Setup::new(&backend).start();
    let bearer = format!("Bearer {}", gateway.token(&claims(&["clerk"])));
    let fields = block(&get(ACCOUNTS, &bearer));
    let mut client = Frames::open(gateway.port);
    for at in 0..131 {
        client.write(&frame(kind::HEADERS, END_STREAM | END_HEADERS, at * 2 + 1, &fields));
    }
    let refused: Vec<u32> = std::iter::from_fn(|| client.next())
        .filter(|frame| frame.kind == kind::RST_STREAM)
        .map(|frame| frame.stream)
        .take(3)
        .collect();
    assert_eq!(refused, [257, 259, 261]);
    drop(release);
    gateway.audit(128);
    let metrics = gateway.metrics();
    assert!(metrics.contains("tollgate_streams_refused_total 3"), "{metrics}");
}

/// Interim answers of the backend, and what they have with them, do not reach a client: one head, the last, comes.
#[test]
fn interim_answers_of_the_backend_are_swallowed_in_http2_too() {
    const INTERIM: [&str; 4] = [
        "HTTP/1.1 100 Continue\r\nX-Hint: CANARY-7f3a\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </x?ssn=CANARY-7f3a>; rel=preload\r\n\r\n",
        "HTTP/1.1 199 Odd\r\nETag: \"CANARY-7f3a\"\r\n\r\n",
    ];
    for before in INTERIM.into_iter().map(str::to_owned).chain([INTERIM.concat()]) {
        let last = answer("200 OK", "application/json", r#"{"ssn":"CANARY-7f3a","n":1}"#);
        let backend = Backend::bytes(format!("{before}{last}"));
        let gateway = Setup::new(&backend).start();
        for (method, expect) in [("GET", false), ("POST", false), ("POST", true)] {
            let bearer = format!("Bearer {}", gateway.token(&claims(&["dispatcher", "clerk"])));
            let path = if method == "GET" {
                ACCOUNTS
            } else {
                "/portal/assignments"
            };
            let mut fields = get(path, &bearer);
            fields[0].1 = method;
            fields.extend(expect.then_some(("expect", "100-continue")));
            let mut client = Frames::open(gateway.port);
            client.write(&frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields)));
            let (mut heads, mut body, mut ended) = (Vec::new(), Vec::new(), false);
            while !ended {
                let frame = client.next().expect("the connection ended before the answer");
                match frame.kind {
                    kind::HEADERS => heads.push(frame.payload),
                    kind::DATA => body.extend_from_slice(&frame.payload),
                    _ => continue,
                }
                ended = frame.flags & END_STREAM != 0;
            }
            assert_eq!(heads.len(), 1, "{before:?} {method}");
            assert_eq!(heads[0][0], 0x88, "200: {before:?} {method}");
            assert!(!String::from_utf8_lossy(&body).contains(CANARY), "{before:?}");
        }
        let token = gateway.token(&claims(&["clerk"]));
        on_http2(&gateway, async |sender| {
            let asked = http::Request::get(format!("http://gw.example{ACCOUNTS}"));
            let asked = asked.header("authorization", format!("Bearer {token}"));
            let answer = sender
                .clone()
                .send_request(asked.body(String::new()).unwrap())
                .await
                .unwrap();
            assert_eq!(answer.status(), 200);
            assert!(
                !format!("{:?}", answer.headers()).contains(CANARY),
                "{before:?}: {answer:?}"
            );
        });
    }
}
