//! Writes a line: pure ASCII, one object, into a buffer that is used again.
//!
//! Whatever a client put into a path or a token stays one JSON string on one line (THREATS K01-K04): control bytes,
//! quotes, terminal escapes and everything beyond ASCII are escaped, and what is too long is cut and named by its hash.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::tz::Offset;
use std::io::Write as _;

use super::chain::{Link, SEQ_MEMBER, hex};
use super::entry::{Entry, Event};

/// Longest text of one field, in bytes before escaping.
pub const MAX_FIELD: usize = 1024;

/// Appends a request's line and its end.
pub fn write_entry(entry: &Entry, link: &mut Link, out: &mut Vec<u8>) {
    let start = begin(link.seq + 1, entry.at, out);
    let caller = entry.caller.as_deref();
    member(out, "request_id", entry.request_id.to_str().ok());
    member(out, "user_id", caller.map(|authority| authority.caller.user.as_str()));
    let roles = caller.map(|authority| authority.roles.as_slice()).unwrap_or_default();
    list(out, "roles", roles.iter().map(|role| &**role));
    member(out, "method", entry.method.as_ref().map(http::Method::as_str));
    member(out, "endpoint", entry.endpoint.as_deref());
    member(out, "module", entry.module.as_deref());
    member(out, "route", entry.route.as_deref());
    member(out, "requested_scope", entry.requested_scope.as_deref());
    let jurisdictions = caller
        .map(|authority| authority.caller.jurisdictions.as_slice())
        .unwrap_or_default();
    list(out, "jurisdiction_scope", jurisdictions.iter().map(String::as_str));
    // A Vec takes every write.
    let _ = write!(out, ",\"ip_address\":\"{}\"", entry.source.to_canonical());
    member(out, "decision", Some(entry.outcome.decision()));
    member(out, "error", entry.outcome.error());
    if let Some(reason) = entry.would_deny {
        member(out, "would_deny", Some(reason.decision()));
    }
    if let Some(detail) = &entry.detail {
        member(out, "detail", Some(detail));
    }
    match entry.status {
        Some(status) => {
            out.extend_from_slice(b",\"response_status_code\":");
            decimal(out, u64::from(status), 1);
        }
        None => out.extend_from_slice(b",\"response_status_code\":null"),
    }
    member(out, "upstream", entry.upstream.as_deref());
    out.extend_from_slice(b",\"masked_fields\":{");
    for (at, (class, count)) in entry.masked.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, class);
        out.push(b':');
        decimal(out, u64::from(*count), 1);
    }
    out.extend_from_slice(b"},\"duration_us\":");
    decimal(out, u64::try_from(entry.duration.as_micros()).unwrap_or(u64::MAX), 1);
    member(out, "policy_version", Some(&entry.policy_version));
    link.seal(out, start);
}

/// Appends an event's line and its end.
pub fn write_event(event: &Event, link: &mut Link, out: &mut Vec<u8>) {
    let start = begin(link.seq + 1, event.at, out);
    member(out, "event", Some(event.event));
    for (name, value) in &event.facts {
        member(out, name, Some(value));
    }
    link.seal(out, start);
}

fn begin(seq: u64, at: Timestamp, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(SEQ_MEMBER);
    let time = Offset::UTC.to_datetime(at);
    decimal(out, seq, 1);
    out.extend_from_slice(b",\"timestamp\":\"");
    for (part, digits, after) in [
        (i32::from(time.year()), 4, b'-'),
        (i32::from(time.month()), 2, b'-'),
        (i32::from(time.day()), 2, b'T'),
        (i32::from(time.hour()), 2, b':'),
        (i32::from(time.minute()), 2, b':'),
        (i32::from(time.second()), 2, b'.'),
        (time.subsec_nanosecond() / 1000, 6, b'Z'),
    ] {
        decimal(out, u64::try_from(part).unwrap_or(0), digits);
        out.push(after);
    }
    out.push(b'"');
    start
}

/// A number in at least so many digits. There is one in every line several times, and the formatter of the standard
/// library takes several times as long.
fn decimal(out: &mut Vec<u8>, mut number: u64, digits: usize) {
    let start = out.len();
    while number > 0 || out.len() - start < digits {
        out.push(b'0' + u8::try_from(number % 10).unwrap_or(0));
        number /= 10;
    }
    if let Some(written) = out.get_mut(start..) {
        written.reverse();
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    match value {
        None => out.extend_from_slice(b"null"),
        Some(text) => string(out, text),
    }
}

fn list<'t>(out: &mut Vec<u8>, name: &str, items: impl Iterator<Item = &'t str>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":[");
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
