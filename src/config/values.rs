//! Texts that stand for something: durations, sizes, addresses, ranges, pointers, header names.
//!
//! Each has one reader, which the check of a file and the reader of its section both call. Faults are worded to follow
//! the author's text: "`30` has no unit".

use http::HeaderName;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::yaml::{Kind, Scalar};
use crate::policy::parts::{Jurisdiction, TransactionId};
use crate::policy::{PathPattern, ScopePattern, pattern::PatternFault};

/// Longest text of an author, in bytes.
const MAX_TEXT: usize = 1024;

/// Longest path of a Unix socket, in bytes (`sun_path` less its closing NUL).
const MAX_SOCKET_PATH: usize = 107;

/// What is wrong with a text; follows the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl From<PatternFault> for Fault {
    fn from(fault: PatternFault) -> Self {
        Self::new(fault.to_string())
    }
}

/// A number and the unit that follows it.
fn measure(text: &str, example: &str) -> Result<(u64, String), Fault> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    if number.is_empty() {
        return Err(Fault::new("is not a whole number with a unit").hint(format!("such as {example}")));
    }
    if unit.is_empty() {
        return Err(Fault::new("has no unit").hint(format!("such as {example}")));
    }
    let number = number.parse().map_err(|_| Fault::new("is too large"))?;
    Ok((number, unit.to_owned()))
}

/// `250ms 30s 5m 24h 7d`.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    const EXAMPLE: &str = "`250ms`, `30s`, `5m`, `24h` or `7d`";
    let (number, unit) = measure(text, EXAMPLE)?;
    let seconds = match unit.as_str() {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(Fault::new("has an unknown unit").hint(format!("such as {EXAMPLE}"))),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(|| Fault::new("is too large"))
}

/// A duration as an author would write it.
pub(super) fn show_duration(value: Duration) -> String {
    let seconds = value.as_secs();
    if value.subsec_millis() > 0 {
        return format!("{}ms", value.as_millis());
    }
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

/// `512B 64KiB 10MiB 1GiB`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Fault> {
    const EXAMPLE: &str = "`64KiB` or `10MiB`";
    let (number, unit) = measure(text, EXAMPLE)?;
    let shift = match unit.as_str() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(Fault::new("has an unknown unit").hint(format!("such as {EXAMPLE}"))),
    };
    number.checked_mul(1 << shift).ok_or_else(|| Fault::new("is too large"))
}

/// A size as an author would write it.
pub(super) fn show_size(value: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if value > 0 && value.trailing_zeros() >= shift {
            return format!("{}{unit}", value >> shift);
        }
    }
    format!("{value}B")
}

/// `true` or `false`, without quotes.
pub(super) fn flag(scalar: &Scalar) -> Option<bool> {
    if scalar.kind() != Kind::Flag && scalar.written.is_none() {
        return None;
    }
    match scalar.text.as_str() {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number in decimal.
pub(super) fn count(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Text of one line.
pub(super) fn line(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("is empty"));
    }
    if text.len() > MAX_TEXT {
        return Err(Fault::new(format!("is longer than {MAX_TEXT} bytes")));
    }
    if text.contains(['\n', '\r']) {
        return Err(Fault::new("has a line break").hint("write it on one line, without `|` or `>`"));
    }
    if let Some(odd) = text.chars().find(|c| c.is_control()) {
        return Err(Fault::new(format!(
            "has the character {odd:?}, which cannot occur in it"
        )));
    }
    Ok(())
}

/// Names of modules, field classes and upstreams: they become labels of metrics.
pub(super) fn name(text: &str) -> Result<(), Fault> {
    const MAX: usize = 64;
    let odd = text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'));
    if text.len() > MAX {
        return Err(Fault::new(format!("is longer than {MAX} characters")));
    }
    if text.is_empty() || odd.is_some() || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(Fault::new("is no name")
            .hint("a name is letters, digits, `_`, `.` and `-`, and starts with a letter or a digit"));
    }
    Ok(())
}

/// Names of roles as tokens have them. A comma would split it in two in a forwarded header.
pub(super) fn role(text: &str) -> Result<(), Fault> {
    const MAX: usize = 128;
    if text.len() > MAX {
        return Err(Fault::new(format!("is longer than {MAX} characters")));
    }
    let fits = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, ',' | '"' | '\\' | '`');
    if text.is_empty() || !text.chars().all(fits) || text.trim() != text {
        return Err(Fault::new("is no role name").hint("a role is visible ASCII without `,`, quotes and `\\`"));
    }
    Ok(())
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/x.sock`.
pub(super) fn address(text: &str) -> Result<Address, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        line(path)?;
        if path.len() > MAX_SOCKET_PATH {
            return Err(Fault::new(format!(
                "is longer than the {MAX_SOCKET_PATH} bytes that a Unix socket's path may have"
            )));
        }
        return Ok(Address::Unix(path.into()));
    }
    text.parse().map(Address::Tcp).map_err(|_| {
        Fault::new("is no address to listen on")
            .hint("such as `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/tollgate/public.sock`")
    })
}

/// Where a backend is: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name or an IP address, an IPv6 one without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// `host:port`, as a URL and a `Host` header have it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host as an address, if it is written as one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// `http://127.0.0.1:9000`: no user, no path, a port.
pub(super) fn upstream(text: &str) -> Result<Endpoint, Fault> {
    line(text)?;
    let example = "such as `http://127.0.0.1:9000`";
    for scheme in ["https://", "unix:"] {
        if text.starts_with(scheme) {
            return Err(Fault::new(format!("is not supported yet: `{scheme}` upstreams")).hint(example));
        }
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return Err(Fault::new("does not start with `http://`").hint(example));
    };
    if rest.contains('@') {
        return Err(Fault::new("has a user in it").hint(example));
    }
    if let Some((at, _)) = rest.char_indices().find(|(_, c)| matches!(c, '/' | '?' | '#' | '\\')) {
        let origin = rest.get(..at).unwrap_or_default();
        return Err(Fault::new("has a path").hint(format!(
            "write `http://{}`; requests keep their own path",
            origin.escape_default()
        )));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest
            .split_once("]:")
            .ok_or_else(|| Fault::new("has no port").hint(example))?,
        None => rest
            .rsplit_once(':')
            .ok_or_else(|| Fault::new("has no port").hint(example))?,
    };
    let bracketed = rest.starts_with('[');
    let fits = if bracketed {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        is_host(host)
    };
    if !fits {
        return Err(Fault::new("has no host name or address").hint(example));
    }
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|&number| number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| Fault::new("has no port from 1 to 65535").hint(example))?;
    Ok(Endpoint {
        host: host.to_ascii_lowercase(),
        port,
    })
}

/// A DNS name or an IPv4 address. A name that ends in a number must be an address: resolvers read `127.1` and `0x7f.1`
/// as addresses (WHATWG URL, "ends in a number").
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with(|c: char| c.is_ascii_digit());
    host.len() <= 253 && host.split('.').all(label) && (!numeric || host.parse::<Ipv4Addr>().is_ok())
}

/// Whether a host is one that cloud machines keep their own credentials behind.
pub(super) fn is_link_local(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80),
        Err(_) => host.eq_ignore_ascii_case("metadata.google.internal"),
    }
}

/// `10.0.0.0/8`, `::1/128`, or one address. Bits past the prefix stay as written.
pub(super) fn range(text: &str) -> Result<IpNet, Fault> {
    let parsed = match text.contains('/') {
        true => text.parse::<IpNet>().ok(),
        false => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let range = parsed.ok_or_else(|| Fault::new("is no address range").hint("such as `10.0.0.0/8` or `::1/128`"))?;
    if let IpNet::V6(net) = range
        && let Some(v4) = net.addr().to_ipv4_mapped()
        && net.prefix_len() >= 96
    {
        return Err(Fault::new("is an IPv4 range written as IPv6, which matches nothing")
            .hint(format!("write `{v4}/{}`", net.prefix_len() - 96)));
    }
    Ok(range)
}

/// A scope that something asks for: one, not a pattern.
pub(super) fn scope(text: &str) -> Result<(), Fault> {
    if ScopePattern::parse(text)?.is_wildcard() {
        return Err(Fault::new("has a `*`").hint("`*` is for what roles grant; here stands one scope"));
    }
    Ok(())
}

/// A module's prefix: literal.
pub(super) fn prefix(text: &str) -> Result<PathPattern, Fault> {
    let pattern = PathPattern::parse(text)?;
    if pattern.has_parameters() {
        return Err(Fault::new("has a `{name}`; a module's prefix is literal")
            .hint("put the parameter into the paths of its routes"));
    }
    if text == "/.tollgate" || text.starts_with("/.tollgate/") {
        return Err(Fault::new("is Tollgate's own"));
    }
    Ok(pattern)
}

/// A JSON pointer (RFC 6901) to something inside: `/county`.
pub(super) fn pointer(text: &str) -> Result<(), Fault> {
    line(text)?;
    if !text.starts_with('/') {
        return Err(Fault::new("is no JSON pointer: it must start with `/`")
            .hint(format!("such as `/{}`", text.escape_default())));
    }
    for (at, _) in text.match_indices('~') {
        if !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')) {
            return Err(Fault::new(
                "has a `~` that is neither `~0` (for `~`) nor `~1` (for `/`)",
            ));
        }
    }
    Ok(())
}

/// A header's name.
pub(super) fn header(text: &str) -> Result<HeaderName, Fault> {
    let odd = || Fault::new("is no header name").hint("a header's name is letters, digits and `-`, such as `X-County`");
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| odd())
}

/// A request header that reaches the policy: those with `_` or `.` are dropped before (section 5).
fn request_header(text: &str) -> Result<HeaderName, Fault> {
    let name = header(text)?;
    if text.contains(['_', '.']) {
        return Err(Fault::new(
            "has `_` or `.` in it: such headers are dropped, because CGI programs take them for others",
        )
        .hint(format!("write `{}`", text.replace(['_', '.'], "-"))));
    }
    Ok(name)
}

/// A request header that Tollgate sets for backends.
pub(super) fn forwarded_header(text: &str) -> Result<HeaderName, Fault> {
    const TAKEN: [&str; 33] = [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "origin",
        "proxy",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-approval",
        "x-http-method-override",
        "x-idempotency-key",
        "x-request-id",
    ];
    let name = request_header(text)?;
    let lower = name.as_str();
    if TAKEN.contains(&lower)
        || lower.starts_with("content-")
        || lower.starts_with("x-forwarded")
        || lower.starts_with("x-original-")
        || lower.starts_with("x-rewrite-")
    {
        return Err(
            Fault::new("has a meaning of its own and cannot carry a fact about the caller")
                .hint("such as `X-Municipal-User`"),
        );
    }
    Ok(name)
}

/// `path:NAME`, `query:NAME`, `header:NAME`, `body:POINTER`.
pub(super) fn jurisdiction(text: &str) -> Result<Jurisdiction, Fault> {
    line(text)?;
    let hint = "such as `path:county`, `query:county`, `header:X-County` or `body:/county`";
    let Some((source, rest)) = text.split_once(':') else {
        return Err(Fault::new("does not say where to look").hint(hint));
    };
    if rest.is_empty() {
        return Err(Fault::new(format!("has nothing after `{}:`", source.escape_default())).hint(hint));
    }
    match source {
        "path" => Ok(Jurisdiction::Path(rest.to_owned())),
        "query" => Ok(Jurisdiction::Query(rest.to_owned())),
        "header" => request_header(rest).map(Jurisdiction::Header),
        "body" => pointer(rest).map(|()| Jurisdiction::Body(rest.to_owned())),
        _ => Err(Fault::new("does not say where to look").hint(hint)),
    }
}

/// A JSON pointer into the answer, or `header:NAME` of it.
pub(super) fn transaction_id(text: &str) -> Result<TransactionId, Fault> {
    line(text)?;
    match text.strip_prefix("header:") {
        Some(name) => header(name).map(TransactionId::Header),
        None => pointer(text).map(|()| TransactionId::Pointer(text.to_owned())),
    }
}

/// `application/pdf`, in lower case.
pub(super) fn media_type(text: &str) -> Result<String, Fault> {
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    match text.split_once('/') {
        Some((kind, sub)) if token(kind) && token(sub) => Ok(text.to_ascii_lowercase()),
        _ => Err(Fault::new("is no media type").hint("such as `application/pdf`, without parameters and without `*`")),
    }
}

/// A file or an `https` URL.
pub(super) fn jwks(text: &str) -> Result<(), Fault> {
    line(text)?;
    let Some((scheme, rest)) = text.split_once("://") else {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        return match scheme {
            Some("file" | "http" | "https" | "data") => Err(Fault::new("is neither a file nor an `https://` URL")),
            _ => Ok(()),
        };
    };
    if scheme != "https" {
        return Err(Fault::new("is neither a file nor an `https://` URL")
            .hint("keys that come over an open line can be anybody's"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Fault::new("has a user in it"));
    }
    if rest.contains(['#', '\\', ' ']) || !rest.is_ascii() {
        return Err(Fault::new("is no URL"));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').unwrap_or((inner, "")),
        None => authority
            .find(':')
            .and_then(|at| authority.split_at_checked(at))
            .unwrap_or((authority, "")),
    };
    let bracketed = authority.starts_with('[');
    let host_fits = if bracketed {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        is_host(host)
    };
    let port_fits = port.is_empty()
        || port
            .strip_prefix(':')
            .and_then(|number| number.parse::<u16>().ok())
            .is_some_and(|number| number > 0);
    if !host_fits || !port_fits {
        return Err(Fault::new("has no host name or address").hint("such as `https://idp.city.example/jwks.json`"));
    }
    if is_link_local(host) {
        return Err(Fault::new(
            "is a link-local address, behind which machines keep credentials",
        ));
    }
    Ok(())
}
