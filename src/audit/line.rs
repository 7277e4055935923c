//! Writes a line: pure ASCII, one object, into a buffer that is used again.
//!
//! Whatever a client put into a path or a token stays one JSON string on one line (THREATS K01-K04): control bytes,
//! quotes, terminal escapes and everything beyond ASCII are escaped, and what is too long is cut and named by its hash.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::tz::Offset;
use std::io::Write as _;
use std::net::IpAddr;

use super::chain::{Link, SEQ_MEMBER, hex};
use super::entry::{Entry, Event};

/// Longest text of one field, in bytes before escaping.
pub const MAX_FIELD: usize = 1024;

/// A member's name as it stands in a line, between the member before and its own value.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// Appends a request's line and its end.
pub fn write_entry(entry: &Entry, link: &mut Link, out: &mut Vec<u8>) {
    let start = begin(link.seq + 1, entry.at, out);
    let caller = entry.caller.as_deref();
    member(out, key!("request_id"), entry.request_id.to_str().ok());
    member(
        out,
        key!("user_id"),
        caller.map(|authority| authority.caller.user.as_str()),
    );
    let roles = caller.map(|authority| authority.roles.as_slice()).unwrap_or_default();
    list(out, key!("roles"), roles.iter().map(|role| &**role));
    member(out, key!("method"), entry.method.as_ref().map(http::Method::as_str));
    member(out, key!("endpoint"), entry.endpoint.as_deref());
    member(out, key!("module"), entry.module.as_deref());
    member(out, key!("route"), entry.route.as_deref());
    member(out, key!("requested_scope"), entry.requested_scope.as_deref());
    let jurisdictions = caller
        .map(|authority| authority.caller.jurisdictions.as_slice())
        .unwrap_or_default();
    list(
        out,
        key!("jurisdiction_scope"),
        jurisdictions.iter().map(String::as_str),
    );
    out.extend_from_slice(key!("ip_address"));
    address(out, entry.source.to_canonical());
    member(out, key!("decision"), Some(entry.outcome.decision()));
    member(out, key!("error"), entry.outcome.error());
    if let Some(reason) = entry.would_deny {
        member(out, key!("would_deny"), Some(reason.decision()));
    }
    if let Some(detail) = &entry.detail {
        member(out, key!("detail"), Some(detail));
    }
    out.extend_from_slice(key!("response_status_code"));
    match entry.status {
        Some(status) => decimal(out, u64::from(status)),
        None => out.extend_from_slice(b"null"),
    }
    member(out, key!("upstream"), entry.upstream.as_deref());
    out.extend_from_slice(b",\"masked_fields\":{");
    for (at, (class, count)) in entry.masked.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, class);
        out.push(b':');
        decimal(out, u64::from(*count));
    }
    out.extend_from_slice(b"},\"duration_us\":");
    decimal(out, u64::try_from(entry.duration.as_micros()).unwrap_or(u64::MAX));
    member(out, key!("policy_version"), Some(&entry.policy_version));
    link.seal(out, start);
}

/// Appends an event's line and its end.
pub fn write_event(event: &Event, link: &mut Link, out: &mut Vec<u8>) {
    let start = begin(link.seq + 1, event.at, out);
    member(out, key!("event"), Some(event.event));
    for (name, value) in &event.facts {
        member(out, format!(",\"{name}\":").as_bytes(), Some(value));
    }
    link.seal(out, start);
}

fn begin(seq: u64, at: Timestamp, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(SEQ_MEMBER);
    decimal(out, seq);
    out.extend_from_slice(key!("timestamp"));
    let time = Offset::UTC.to_datetime(at);
    let (year, micros) = (time.year(), time.subsec_nanosecond() / 1000);
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    for (place, two) in [
        (1, i32::from(year / 100)),
        (3, i32::from(year % 100)),
        (6, i32::from(time.month())),
        (9, i32::from(time.day())),
        (12, i32::from(time.hour())),
        (15, i32::from(time.minute())),
        (18, i32::from(time.second())),
        (21, micros / 10_000),
        (23, micros / 100 % 100),
        (25, micros % 100),
    ] {
        if let (Some(digits), Ok(two)) = (text.get_mut(place..place + 2), u8::try_from(two)) {
            digits.copy_from_slice(&[b'0' + two / 10 % 10, b'0' + two % 10]);
        }
    }
    out.extend_from_slice(&text);
    start
}

/// A number. There is one in every line several times, and the formatter of the standard library takes several times as
/// long.
fn decimal(out: &mut Vec<u8>, mut number: u64) {
    const MOST_DIGITS: usize = 20;
    let mut digits = [b'0'; MOST_DIGITS];
    let mut first = MOST_DIGITS - 1;
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        first = place;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// An address between quotes, of IPv4 as fast as any number.
fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut before = b'"';
            for octet in address.octets() {
                out.push(before);
                decimal(out, u64::from(octet));
                before = b'.';
            }
            out.push(b'"');
        }
        IpAddr::V6(address) => {
            // A Vec takes every write.
            let _ = write!(out, "\"{address}\"");
        }
    }
}

fn member(out: &mut Vec<u8>, key: &[u8], value: Option<&str>) {
    out.extend_from_slice(key);
    match value {
        None => out.extend_from_slice(b"null"),
        Some(text) => string(out, text),
    }
}

fn list<'t>(out: &mut Vec<u8>, key: &[u8], items: impl Iterator<Item = &'t str>) {
    out.extend_from_slice(key);
    out.push(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, item);
    }
    out.push(b']');
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.len() <= MAX_FIELD {
        escape(out, text);
    } else {
        let mut end = MAX_FIELD;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        escape(out, text.get(..end).unwrap_or_default());
        out.extend_from_slice(b"... cut, sha256 ");
        out.extend_from_slice(&hex(digest(&SHA256, text.as_bytes()).as_ref()));
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, text: &str) {
    // Without an early end, so that many bytes are looked at together.
    let plain = text.bytes().fold(true, |plain, byte| {
        plain & (0x20..0x7f).contains(&byte) & !matches!(byte, b'"' | b'\\')
    });
    if plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            ' '..='~' => out.push(u8::try_from(character).unwrap_or(b'?')),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::{Outcome, Reason};
    use serde_json::Value;
    use std::time::Duration;

    fn entry(endpoint: &str) -> Entry {
        Entry {
            at: Timestamp::from_microsecond(1_790_000_000_123_456).unwrap(),
            request_id: http::HeaderValue::from_static("r-1"),
            caller: None,
            method: Some(http::Method::GET),
            endpoint: Some(endpoint.into()),
            module: Some("ledger".into()),
            route: None,
            requested_scope: Some("ledger:read".into()),
            source: "::ffff:10.0.0.7".parse().unwrap(),
            outcome: Outcome::Refused(Reason::DeniedScope),
            would_deny: None,
            detail: None,
            status: Some(403),
            upstream: None,
            masked: smallvec::smallvec![("pii".into(), 2), ("subsidy".into(), 1)],
            duration: Duration::from_micros(1234),
            policy_version: "abc".into(),
        }
    }

    #[test]
    fn a_line_is_as_the_interface_says() {
        let mut link = Link::GENESIS;
        let mut out = Vec::new();
        write_entry(&entry("/api/ledger"), &mut link, &mut out);
        write_event(
            &Event {
                at: Timestamp::from_second(1_790_000_001).unwrap(),
                event: "stop",
                facts: vec![],
            },
            &mut link,
            &mut out,
        );
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {"seq":1,"timestamp":"2026-09-21T14:13:20.123456Z","request_id":"r-1","user_id":null,"roles":[],"method":"GET","endpoint":"/api/ledger","module":"ledger","route":null,"requested_scope":"ledger:read","jurisdiction_scope":[],"ip_address":"10.0.0.7","decision":"DENIED_SCOPE","error":"denied_scope","response_status_code":403,"upstream":null,"masked_fields":{"pii":2,"subsidy":1},"duration_us":1234,"policy_version":"abc","prev":"0000000000000000000000000000000000000000000000000000000000000000","hash":"316ad3e87f89775cd1a740fda8404e3909afd20b65b25f33ede38eecb3525e89"}
        {"seq":2,"timestamp":"2026-09-21T14:13:21.000000Z","event":"stop","prev":"316ad3e87f89775cd1a740fda8404e3909afd20b65b25f33ede38eecb3525e89","hash":"43fd98acd986532a7650325afe0301be0a6915071cfd17a569259679c7dd38e6"}
        "#);
    }

    #[test]
    fn hostile_text_stays_one_ascii_string_on_one_line() {
        for text in [
            "a\r\nb",
            "\"},{\"x\":1",
            "\u{1b}[31m",
            "\u{202e}",
            "\u{2028}",
            "\u{0}",
            "é€😀",
            "\\",
            "\u{7f}",
            "\u{feff}",
        ] {
            let mut out = Vec::new();
            write_entry(&entry(text), &mut Link::GENESIS.clone(), &mut out);
            let line = out.strip_suffix(b"\n").unwrap();
            assert!(line.iter().all(|byte| (0x20..0x7f).contains(byte)), "{text:?}");
            let parsed: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(parsed["endpoint"], text);
            assert_eq!(parsed["ip_address"], "10.0.0.7");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_named_by_its_hash() {
        for (length, cut) in [(MAX_FIELD, false), (MAX_FIELD + 1, true)] {
            let mut out = Vec::new();
            write_entry(&entry(&"a".repeat(length)), &mut Link::GENESIS.clone(), &mut out);
            let parsed: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(
                parsed["endpoint"].as_str().unwrap().contains("... cut, sha256 "),
                cut,
                "{length}"
            );
        }
    }
}
