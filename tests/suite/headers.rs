//! Each header that a client may send, and whether a backend gets it (interface, section 5; THREATS B and D).

use super::harness::*;

/// `header fate remark`, by tabs; `# ` begins a remark.
const CASES: &str = include_str!("../cases/headers.tsv");

/// `\xNN` is a byte, `\\` a backslash.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    while let Some(part) = parts.next() {
        if let Some(digits) = part.strip_prefix('x') {
            out.push(u8::from_str_radix(&digits[..2], 16).unwrap());
            out.extend_from_slice(&digits.as_bytes()[2..]);
        } else {
            assert!(part.is_empty(), "{text}");
            out.push(b'\\');
            out.extend_from_slice(parts.next().unwrap().as_bytes());
        }
    }
    out
}

#[test]
fn a_header_reaches_the_backend_or_does_not() {
    let backend = Backend::json("{}");
    // Nothing is classified where this asks: so nothing but the rules of the wire is at work.
    let policy = POLICY.replace(
        "fields:\n  subsidy:\n",
        "fields:\n  subsidy:\n    modules: [accounts]\n",
    );
    let policy = policy.replace("  pii:\n", "  pii:\n    modules: [accounts]\n");
    assert_eq!(policy.matches("modules: [accounts]").count(), 2);
    let gateway = Setup::new(&backend).policy(&policy).start();
    let token = gateway.token(&claims(&["driver"]));
    let mut failures = Vec::new();
    let mut asked = 0;
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let mut cells = line.split('\t');
        let (header, fate) = (cells.next().unwrap(), cells.next().unwrap());
        let before = backend.count();
        let mut bytes = request("GET", "/portal/schedule", &token, "", "");
        bytes.truncate(bytes.len() - 2);
        bytes.extend(unescape(header));
        bytes.extend_from_slice(b"\r\n\r\n");
        let answer = ask(gateway.port, &bytes);
        asked += 1;
        let seen = backend.seen().split_off(before);
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        let value: String = unescape(value.trim()).iter().map(|&byte| char::from(byte)).collect();
        let values: Vec<&str> = seen
            .iter()
            .flat_map(|request| &request.fields)
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        let held = match fate {
            "kept" => answer.status == 200 && values == [value.as_str()],
            // Tollgate may well say something of its own under the name.
            "gone" => answer.status == 200 && !values.contains(&value.as_str()),
            status => answer.status.to_string() == status && seen.is_empty(),
        };
        if !held {
            failures.push(format!("{line}: {}, the backend saw {values:?}", answer.status));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(asked >= 70, "the table is not read");
    gateway.audit(asked);
}

#[test]
fn a_claim_cannot_become_another_header_or_another_role() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).start();
    for (user, forwarded) in [
        ("a, finance_admin", "a, finance_admin"),
        ("Zoë", "Zo%C3%AB"),
        ("50%", "50%25"),
        ("a\r\nX-Admin: 1", ""),
        ("a\0", ""),
    ] {
        let mut own = claims(&["driver"]);
        own["sub"] = user.into();
        let before = backend.count();
        let answer = gateway.call_as("GET", "/portal/schedule", &gateway.token(&own), "", "");
        if forwarded.is_empty() {
            assert_eq!((answer.status, backend.count()), (401, before), "{user:?}");
            continue;
        }
        assert_eq!(answer.status, 200, "{user:?}");
        let seen = backend.last();
        assert_eq!(seen.field("x-municipal-user"), Some(forwarded), "{user:?}");
        assert_eq!(seen.field("x-municipal-role"), Some("driver"), "{user:?}");
        assert!(!seen.cgi().contains_key("HTTP_X_ADMIN"), "{user:?}");
    }
    let mut own = claims(&["driver"]);
    own["jurisdiction_scope"] = serde_json::json!(["A,B", "C D"]);
    gateway.call_as("GET", "/portal/schedule", &gateway.token(&own), "", "");
    assert_eq!(backend.last().field("x-jurisdiction-scope"), Some("A%2CB,C%20D"));
}

#[test]
fn the_token_is_forwarded_only_where_the_module_says_so() {
    let backend = Backend::json("{}");
    let policy = POLICY.replace("prefix: /portal\n", "prefix: /portal\n    forward_token: true\n");
    assert_ne!(policy, POLICY);
    let gateway = Setup::new(&backend).policy(&policy).start();
    let token = gateway.token(&claims(&["driver", "clerk"]));
    for (path, forwarded) in [("/portal/schedule", true), ("/api/accounts/1", false)] {
        assert_eq!(gateway.call_as("GET", path, &token, "", "").status, 200);
        let expected = forwarded.then(|| format!("Bearer {token}"));
        assert_eq!(backend.last().field("authorization"), expected.as_deref(), "{path}");
    }
}

#[test]
fn what_protects_a_request_cannot_be_named_away() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).start();
    // Kept, or refused; never silently gone (THREATS D07).
    let fields = "Connection: Authorization, Idempotency-Key, If-Match, Content-Type, Content-Length, Host\r\n\
                  Idempotency-Key: k\r\nContent-Type: text/plain\r\n";
    let answer = gateway.call("POST", "/portal/assignments", &["dispatcher"], fields, "{}");
    if answer.status == 400 {
        assert_eq!(backend.count(), 0);
        return;
    }
    assert_eq!(answer.status, 200);
    let seen = backend.last();
    for (name, value) in [
        ("idempotency-key", "k"),
        ("content-type", "text/plain"),
        ("content-length", "2"),
    ] {
        assert_eq!(seen.field(name), Some(value), "{name}");
    }
    assert_eq!(seen.body, b"{}");
}
