//! One name space for request headers: the one that a CGI program sees.
//!
//! CGI turns `X-Municipal-Role`, `X_Municipal_Role` and (some servers) `X.Municipal.Role` into one variable
//! (RFC 3875, 4.1.18); the oldest do so with whatever is neither letter nor digit. So names are compared folded, and what Tollgate says about the caller can be said by nobody else.

use http::header::{self, HeaderMap, HeaderName};
use smallvec::SmallVec;

/// Hop-by-hop fields and those that belong to one connection (RFC 9110, 7.6.1); `Host` and the framing are rebuilt.
fn belongs_to_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
            | "content-length"
            | "host"
            | "http2-settings"
    )
}

/// Fields by which a client could speak in Tollgate's name, or point a backend at another target, method or identity.
fn spoken_by_proxies(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "via"
            | "x-real-ip"
            | "x-original-url"
            | "x-original-uri"
            | "x-original-host"
            | "x-original-method"
            | "x-rewrite-url"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
            | "x-accel-redirect"
            | "x-envoy-original-path"
            | "x-middleware-subrequest"
            | "x-request-id"
            | "proxy"
            | "remote-user"
            | "remote-addr"
            | "auth-type"
            | "auth-user"
            | "x-remote-user"
            | "x-authenticated-user"
            | "ssl-client-s-dn"
            | "ssl-client-verify"
            | "x-approval"
            | "true-client-ip"
            | "client-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "cf-connecting-ip"
            | "fastly-client-ip"
            | "x-envoy-external-address"
            | "x-originating-ip"
            | "x-remote-addr"
            | "x-remote-ip"
            | "x-scheme"
            | "x-url-scheme"
            | "front-end-https"
    )
}

/// Fields without which a request would mean something else: a `Connection` header cannot take them away (THREATS R4).
const PROTECTED: [&str; 8] = [
    "authorization",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "x-idempotency-key",
];

/// Most names that `Connection` may list; the rest of a longer list is ignored, which keeps end-to-end headers.
const MAX_CONNECTION_NAMES: usize = 32;

/// Whether a CGI program would read `name` as the variable of `own` (both without the `HTTP_` prefix).
#[must_use]
pub fn same_cgi_variable(name: &str, own: &str) -> bool {
    name.len() == own.len() && name.bytes().zip(own.bytes()).all(|(a, b)| cgi(a) == cgi(b))
}

fn cgi(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_uppercase()
    } else {
        b'_'
    }
}

/// Removes from a client's headers what belongs to the connection, what only Tollgate may say, and what a CGI program would
/// confuse with another. `owned` are the policy's `forward_as` names; `keep_token` leaves `Authorization` in place.
pub fn strip_request<'n>(
    headers: &mut HeaderMap,
    owned: &(impl Iterator<Item = &'n HeaderName> + Clone),
    keep_token: bool,
) {
    let named = connection_names(headers);
    remove_if(headers, |name| {
        let text = name.as_str();
        is_stripped(text)
            || owned.clone().any(|own| same_cgi_variable(text, own.as_str()))
            || (!keep_token && *name == header::AUTHORIZATION)
            || named
                .iter()
                .any(|named| named.eq_ignore_ascii_case(text) && !PROTECTED.contains(&text))
    });
}

/// Removes every field whose name is `doomed`. One walk over the few fields that there are costs less than asking for
/// each of many names.
pub fn remove_if(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let names: SmallVec<[HeaderName; 8]> = headers.keys().filter(|name| doomed(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a client's field never reaches a backend, whatever the policy says. Names that fields really have are of
/// letters, digits and `-`: any other byte is there to become `_`.
fn is_stripped(name: &str) -> bool {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return true;
    }
    name.starts_with("x-forwarded") || belongs_to_connection(name) || spoken_by_proxies(name)
}

/// The names that `Connection` lists (RFC 9110, 7.6.1).
fn connection_names(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| {
            !name.is_empty() && !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close")
        })
        .take(MAX_CONNECTION_NAMES)
        .map(str::to_owned)
        .collect()
}

/// Removes from a backend's answer what belongs to its connection (RFC 9110, 7.6.1), the CGI `Status` pseudo-header, and
/// what it says to web pages: only the policy speaks of that.
pub fn strip_response(headers: &mut HeaderMap) {
    let named = connection_names(headers);
    remove_if(headers, |name| {
        let text = name.as_str();
        let kept = matches!(
            text,
            "content-type" | "content-encoding" | "etag" | "cache-control" | "set-cookie" | "vary"
        );
        matches!(
            text,
            "connection"
                | "proxy-authenticate"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "keep-alive"
                | "proxy-connection"
                | "status"
        ) || text.starts_with("access-control-")
            || (!kept && named.iter().any(|named| named.eq_ignore_ascii_case(text)))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn stripped(fields: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        strip_request(
            &mut headers,
            &[HeaderName::from_static("x-municipal-role")].iter(),
            false,
        );
        let mut left: Vec<String> = headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn nobody_else_speaks_for_tollgate() {
        for name in [
            "X-Municipal-Role",
            "x_municipal_role",
            "X-Municipal_Role",
            "X.Municipal.Role",
            "X~Municipal~Role",
            "X!Municipal-Role",
            "X'Request'Id",
            "X|Forwarded|For",
            "X-Forwarded-For",
            "X-Forwarded-User",
            "Forwarded",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "Authorization",
            "Content_Length",
            "Transfer_Encoding",
            "Proxy",
            "Remote-User",
            "REMOTE_USER",
            "Via",
            "Upgrade",
            "TE",
            "Trailer",
            "Expect",
            "X-Request-Id",
            "X_Request_Id",
            "Keep-Alive",
            "a.b",
        ] {
            assert_eq!(stripped(&[(name, "v")]), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn what_connection_names_goes_but_not_what_protects() {
        assert_eq!(
            stripped(&[
                ("Connection", "X-A, close, x-b"),
                ("X-A", "1"),
                ("X-B", "2"),
                ("X-C", "3")
            ]),
            ["x-c"]
        );
        assert_eq!(
            stripped(&[
                ("Connection", "If-Match, Idempotency-Key, content-type"),
                ("If-Match", "1"),
                ("Idempotency-Key", "2"),
                ("Content-Type", "a/b")
            ]),
            ["content-type", "idempotency-key", "if-match"]
        );
    }

    #[test]
    fn ordinary_headers_stay() {
        for name in [
            "accept",
            "user-agent",
            "cookie",
            "x-idempotency-key",
            "if-match",
            "content-type",
            "content-encoding",
            "referer",
            "priority",
        ] {
            assert_eq!(stripped(&[(name, "v")]), [name]);
        }
    }

    #[test]
    fn a_long_connection_list_is_bounded() {
        let list: Vec<String> = (0..MAX_CONNECTION_NAMES + 1).map(|n| format!("x-{n}")).collect();
        let last = list.last().unwrap().clone();
        assert_eq!(
            stripped(&[("Connection", &list.join(",")), ("x-0", "1"), (&last, "1")]),
            [last]
        );
    }
}
