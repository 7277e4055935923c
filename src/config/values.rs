//! Texts that stand for something: durations, sizes, names, pointers, headers.
//!
//! Each has one reader, which the check of a file and the reader of its section both call. Faults are worded to follow
//! the author's text: "`30` has no unit".

use http::HeaderName;
use jiff::Timestamp;
use std::time::Duration;

use super::yaml::{Kind, Scalar};
use crate::identity::MAX_REVOKED_NAME;
use crate::policy::cors::WebOrigin;
use crate::policy::parts::{Jurisdiction, TransactionId};
use crate::policy::{PathPattern, ScopePattern, pattern::PatternFault};

/// Longest text of an author, in bytes.
const MAX_TEXT: usize = 1024;

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

/// A token's id, or a user, that is refused: exactly as tokens have it.
pub(super) fn revoked_name(text: &str) -> Result<(), Fault> {
    line(text)?;
    if text.len() > MAX_REVOKED_NAME {
        return Err(Fault::new(format!("is longer than {MAX_REVOKED_NAME} bytes")));
    }
    Ok(())
}

/// A moment, in unix seconds; the next full second if it is between two.
pub(super) fn time(text: &str) -> Result<u64, Fault> {
    let wrong = |_| Fault::new("is no time").hint("write it as `2026-11-20T10:00:00Z`");
    let time: Timestamp = text.parse().map_err(wrong)?;
    let up = i64::from(time.subsec_nanosecond() > 0);
    u64::try_from(time.as_second().saturating_add(up)).map_err(|_| Fault::new("is before 1970"))
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

/// A JSON pointer that may be the empty one, to the root.
pub(super) fn pointer_or_root(text: &str) -> Result<(), Fault> {
    if text.is_empty() { Ok(()) } else { pointer(text) }
}

/// A header's name.
pub(super) fn header(text: &str) -> Result<HeaderName, Fault> {
    let odd = || Fault::new("is no header name").hint("a header's name is letters, digits and `-`, such as `X-County`");
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| odd())
}

/// An origin of web pages.
pub(super) fn web_origin(text: &str) -> Result<(), Fault> {
    line(text)?;
    WebOrigin::parse(text)
        .map(drop)
        .map_err(|fault| Fault::new(fault.to_string()).hint(fault.hint()))
}

/// A header that a page may set or read. `*` means all of them to browsers, so it is no name here.
pub(super) fn page_header(text: &str) -> Result<HeaderName, Fault> {
    if text.contains('*') {
        return Err(Fault::new("is no header name").hint("name each header"));
    }
    header(text)
}

/// A request header that reaches the policy: those with `_`, `.` and the like are dropped before (section 5).
fn request_header(text: &str) -> Result<HeaderName, Fault> {
    let name = header(text)?;
    let odd = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    if let Some(found) = text.chars().find(|&c| odd(c)) {
        return Err(Fault::new(format!(
            "has `{found}` in it: such headers are dropped, because CGI programs take them for others"
        ))
        .hint(format!("write `{}`", text.replace(odd, "-"))));
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

/// The name of a field key: it stands in every hash and envelope, between colons.
pub(super) fn key_name(text: &str) -> Result<(), Fault> {
    let fits = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if fits && (1..=32).contains(&text.len()) {
        Ok(())
    } else {
        Err(Fault::new("is no name for a key").hint("1 to 32 letters, digits, `_` and `-`, such as `k2026`"))
    }
}

/// What stands in place of a redacted value.
pub(super) fn redacted(text: &str) -> Result<(), Fault> {
    const MOST: usize = 256;
    if text.len() > MOST {
        return Err(Fault::new(format!("is longer than {MOST} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::new("has a control character in it"));
    }
    Ok(())
}
