//! A client's header fields: what is left of them says nothing in Tollgate's name to any CGI program.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeSet;
use tollgate::call::headers::{same_cgi_variable, strip_request, strip_response};

/// What a policy has in `forward_as`, in its own spelling and in one that CGI folds.
const OWNED: [&str; 4] = ["x-municipal-user", "x-municipal-role", "x_scope", "from"];

/// What no client may say, whatever the policy is.
const NEVER: [&str; 8] = [
    "connection",
    "content-length",
    "forwarded",
    "host",
    "proxy",
    "remote-user",
    "transfer-encoding",
    "x-request-id",
];

/// What changes what a request means: nobody can have it taken away.
const KEPT: [&str; 5] = [
    "content-type",
    "content-encoding",
    "idempotency-key",
    "if-match",
    "x-idempotency-key",
];

/// Letters and digits in upper case, `_` for all else: as the oldest servers make variables of names (RFC 3875, 4.1.18).
fn variable(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// The lowest bit of the first byte says whether the token is kept; the rest are fields, a line each.
pub(crate) fn run(data: &[u8]) {
    let Some((&ask, lines)) = data.split_first() else {
        return;
    };
    let before = read(lines);
    let owned: Vec<HeaderName> = OWNED.into_iter().map(HeaderName::from_static).collect();
    let keep_token = ask & 1 == 1;
    let mut after = before.clone();
    strip_request(&mut after, &owned.iter(), keep_token);
    hold(&before, &after, keep_token);
    let mut again = after.clone();
    strip_request(&mut again, &owned.iter(), keep_token);
    assert_eq!(again, after, "stripped twice");

    let mut answer = before;
    strip_response(&mut answer);
    let name = answer.keys().find(|name| {
        let name = name.as_str();
        ["connection", "transfer-encoding", "status"].contains(&name) || name.starts_with("access-control-")
    });
    assert_eq!(name, None, "left in an answer");
}

/// The fields that a server would take; others it refuses.
fn read(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n').take(64) {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn hold(before: &HeaderMap, after: &HeaderMap, keep_token: bool) {
    let mut variables = BTreeSet::new();
    for name in after.keys() {
        let text = name.as_str();
        let own = variable(text);
        for owned in OWNED {
            assert!(
                own != variable(owned) && !same_cgi_variable(text, owned),
                "`{text}` speaks as `{owned}`"
            );
        }
        for never in NEVER {
            assert_ne!(own, variable(never), "`{text}` speaks as `{never}`");
        }
        assert!(!own.starts_with("X_FORWARDED"), "`{text}`");
        assert!(keep_token || own != "AUTHORIZATION", "`{text}` is a token");
        let same: Vec<_> = before.get_all(name).iter().collect();
        assert_eq!(
            after.get_all(name).iter().collect::<Vec<_>>(),
            same,
            "`{text}` was changed"
        );
        assert!(variables.insert(own), "`{text}` is one variable with another");
    }
    for name in KEPT {
        assert_eq!(before.contains_key(name), after.contains_key(name), "`{name}`");
    }
    let token = before.contains_key("authorization") && keep_token;
    assert_eq!(after.contains_key("authorization"), token);
}
