//! First step: a request that is small enough and names one target, one host and one framing.
//!
//! Hyper accepts more than a relay may (several hosts, any method, a foreign authority, `Content-Length` beside
//! `Transfer-Encoding`); what two readers could read differently is refused here, before anything else is looked at.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version, request};
use hyper::body::{Body, Incoming};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::identify::LastCaller;
use super::refusal::Refusal;
use crate::call::certificate::Certificate;
use crate::reason::Reason;

/// Methods that may be routed at all.
pub(super) const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Longest host name with its port, in bytes (RFC 1035's 253 and a port).
const MAX_HOST: usize = 259;

/// The two names of one field (interface, section 6).
const KEY_NAMES: [HeaderName; 2] = [
    HeaderName::from_static("x-idempotency-key"),
    HeaderName::from_static("idempotency-key"),
];

/// Fields that steer what Tollgate does: two of one are refused.
const ONCE: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::HOST,
    header::ORIGIN,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::IF_MATCH,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("x-idempotency-key"),
    HeaderName::from_static("idempotency-key"),
];

/// Limits on a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All names and values of the header section, in bytes.
    pub header_bytes: usize,
    /// The request target, in bytes.
    pub uri_bytes: usize,
    /// The body, in bytes.
    pub body_bytes: u64,
    /// How long the body may take.
    pub body_timeout: Duration,
}

/// Who is at the other end of a connection, for all of its requests.
#[derive(Debug)]
pub struct Peer {
    /// Its address; loopback for a socket file.
    pub address: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Its address is a proxy's, which did not say whose the connection is.
    pub(super) unnamed: bool,
    /// Its address as backends are told of it.
    pub(super) written: Option<HeaderValue>,
    /// The certificate that it has shown, where it is asked for one.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Other authorities vouch for certificates since it has shown its own.
    pub(super) outdated: Cell<bool>,
    /// Whom its last token named.
    pub(super) last: LastCaller,
}

impl Peer {
    /// A peer that has not said anything yet.
    #[must_use]
    pub fn new(address: IpAddr, tls: bool) -> Self {
        Self {
            written: HeaderValue::try_from(address.to_canonical().to_string()).ok(),
            address,
            tls,
            unnamed: false,
            certificate: None,
            outdated: Cell::new(false),
            last: LastCaller::default(),
        }
    }

    /// Somebody behind the proxy at this address, which does not say who. Nothing that comes from there is the proxy's own
    /// word, and `X-Forwarded-For` is not believed.
    #[must_use]
    pub fn unnamed(address: IpAddr, tls: bool) -> Self {
        Self {
            unnamed: true,
            ..Self::new(address, tls)
        }
    }

    /// The same, with a certificate that it has shown and whose chain has been verified.
    #[must_use]
    pub fn showing(self, certificate: Certificate) -> Self {
        Self {
            certificate: Some(Arc::new(certificate)),
            ..self
        }
    }

    /// Other authorities vouch for certificates now: nothing that this peer asks from here on is let through.
    pub fn outdate(&self) {
        self.outdated.set(true);
    }

    /// Whether the authorities that vouched for its certificate still do.
    pub(super) fn is_up_to_date(&self) -> Result<(), Refusal> {
        if self.outdated.get() {
            return Err(Reason::CertificateOutdated.into());
        }
        Ok(())
    }

    /// An address as backends are told of it: mostly this peer's own.
    pub(super) fn write(&self, source: IpAddr) -> Option<HeaderValue> {
        if source == self.address.to_canonical() {
            return self.written.clone();
        }
        HeaderValue::try_from(source.to_string()).ok()
    }
}

/// A request with one target, one host and one framing.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The head.
    pub head: request::Parts,
    /// The host that the client asked for.
    pub host: HeaderValue,
    /// The body, not yet read.
    pub body: Incoming,
}

/// Checks the head. `two_framings`: its bytes had a `Content-Length` that hyper dropped for the sake of a `Transfer-Encoding`.
pub(super) fn accept(request: Request<Incoming>, two_framings: bool, limits: &Limits) -> Result<Accepted, Refusal> {
    let (head, body) = request.into_parts();
    if !METHODS.contains(&head.method) {
        return Err(Refusal::methods(Reason::UnsupportedMethod, METHODS.to_vec()));
    }
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes {
        return Err(Reason::UriTooLong.into());
    }
    let size: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    if size > limits.header_bytes {
        return Err(Reason::HeadersTooLarge.into());
    }
    if body.size_hint().lower() > limits.body_bytes {
        return Err(Reason::BodyTooLarge.into());
    }
    one_framing(&head, two_framings)?;
    once(&head.headers)?;
    let host = one_host(&head)?;
    Ok(Accepted { head, host, body })
}

/// Each field that steers what Tollgate does is there at most once.
pub(super) fn once(headers: &HeaderMap) -> Result<(), Refusal> {
    let doubled = headers.len() > headers.keys_len();
    for name in ONCE.iter().filter(|_| doubled) {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(Refusal::because(
                Reason::AmbiguousRequest,
                format!("two `{name}` headers"),
            ));
        }
    }
    if KEY_NAMES.iter().all(|name| headers.contains_key(name)) {
        return Err(Refusal::because(Reason::AmbiguousRequest, "two idempotency headers"));
    }
    Ok(())
}

/// RFC 9112, 6.1: a relay accepts exactly one way to tell where the body ends.
fn one_framing(head: &request::Parts, two_framings: bool) -> Result<(), Refusal> {
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let exact = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    let alone = !head.headers.contains_key(header::CONTENT_LENGTH) && !two_framings;
    if exact && alone && head.version == Version::HTTP_11 {
        return Ok(());
    }
    Err(Refusal::because(
        Reason::AmbiguousRequest,
        "the body's framing is ambiguous",
    ))
}

/// RFC 9112, 3.2: one `Host`, and an absolute target or `:authority` that agrees with it.
fn one_host(head: &request::Parts) -> Result<HeaderValue, Refusal> {
    let ambiguous = |why| Refusal::because(Reason::AmbiguousRequest, why);
    let named = head.headers.get(header::HOST);
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    if named.is_some_and(|host| !is_host(host.as_bytes())) || target.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(ambiguous("the host is malformed"));
    }
    match (named, target) {
        (None, Some(target)) if head.version == Version::HTTP_2 => {
            HeaderValue::from_str(target).map_err(|_| ambiguous("the host is malformed"))
        }
        (Some(host), None) => Ok(host.clone()),
        (Some(host), Some(target)) if host.as_bytes().eq_ignore_ascii_case(target.as_bytes()) => Ok(host.clone()),
        (Some(_), Some(_)) => Err(ambiguous("the target names another host")),
        (None, _) => Err(ambiguous("there is no host")),
    }
}

/// A name or address with an optional port (RFC 3986, 3.2.2): no userinfo, no list, no path.
fn is_host(text: &[u8]) -> bool {
    if text.len() > MAX_HOST {
        return false;
    }
    let (host, port) = match text.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if text.get(at) == Some(&b':') => text.split_at(at),
        _ => (text, &[][..]),
    };
    let port_is_one = match port.strip_prefix(b":") {
        None => true,
        Some(digits) => {
            let text = std::str::from_utf8(digits).unwrap_or_default();
            digits.iter().all(u8::is_ascii_digit) && text.parse::<u16>().is_ok()
        }
    };
    let host_is_one = match host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(address) => std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !host.is_empty() && host.iter().all(plain)
        }
    };
    port_is_one && host_is_one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_name_or_address_and_perhaps_a_port() {
        for good in [
            "gw",
            "gw.example",
            "GW.Example.",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "gw:443",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "a, b",
            "u@gw",
            "gw/../x",
            "gw;proto=http",
            "gw:99999",
            "gw:",
            "gw:8a",
            "[::1",
            "::1",
            "gw:80:80",
            "a b",
            "gw?x",
            "gw#x",
            "\u{e9}",
            "[gw]",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(is_host("a".repeat(MAX_HOST).as_bytes()));
        assert!(!is_host("a".repeat(MAX_HOST + 1).as_bytes()));
    }
}
