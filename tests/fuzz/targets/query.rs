//! Queries: a control parameter is read as every other reader reads it, or the query is refused.

use tollgate::call::query::{Query, QueryFault};

use crate::escapes::percent_decoded;

/// Control parameters: Tollgate's own, and one that a policy could name.
const NAMES: [&str; 2] = ["dry_run", "county"];

/// The bytes are what follows the `?`.
pub(crate) fn run(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let Ok(query) = Query::parse(Some(raw)) else { return };
    assert_eq!(query.raw(), Some(raw));
    let again = Query::parse(Some(&written(&query))).unwrap();
    for name in NAMES {
        let found = query.only(name);
        assert_eq!(found, again.only(name), "`{name}` of {:?}", again.raw());
        if let Ok(found) = found {
            hold(raw, name, found.as_deref());
        }
    }
    let dry_run = query.dry_run();
    match dry_run {
        Ok(asked) => assert_eq!(again.dry_run(), Ok(asked), "{:?}", again.raw()),
        Err(fault) => assert_ne!(fault, QueryFault::TooManyParameters),
    }
    // A rehearsal is asked for in so many letters, and whoever writes them has one or is told why not.
    let plain = raw.split('&').filter(|pair| *pair == "dry_run=true").count();
    assert!(dry_run != Ok(true) || plain == 1);
    assert!(plain == 0 || dry_run != Ok(false));
}

/// The parameters as a careful client writes them.
fn written(query: &Query) -> String {
    let escaped = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> = query
        .parameters()
        .map(|(name, value)| format!("{}={}", escaped(&name), escaped(&value)))
        .collect();
    pairs.join("&")
}

/// No reader finds a parameter that Tollgate has not found, nor another beside it.
fn hold(raw: &str, name: &str, found: Option<&str>) {
    let strict = values(raw, &['&'], name);
    match found {
        None => assert!(strict.is_empty(), "`{name}` was missed: {strict:?}"),
        // Tollgate keeps a letter that is written in too many bytes; the reader here does not.
        Some(value) => assert!(strict.len() == 1 && (strict[0] == value || strict[0].contains('\u{fffd}'))),
    }
    let mut text = raw.to_owned();
    for decodings in 0..3 {
        for separators in [&['&'][..], &['&', ';'], &['&', ';', '?']] {
            let seen = values(&text, separators, name);
            assert_eq!(
                seen.len(),
                usize::from(found.is_some()),
                "`{name}` for who decodes {decodings} times and splits at {separators:?}: {seen:?}"
            );
        }
        text = form_decoded(&text);
    }
}

/// What a lenient backend takes for the values of `name`: names without regard to case, folded as PHP folds them.
fn values(text: &str, separators: &[char], name: &str) -> Vec<String> {
    let pairs = text.split(separators);
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| {
            let key = form_decoded(key).to_lowercase();
            let key = key.split('\0').next().unwrap_or_default().trim();
            let key = key.split('[').next().unwrap_or_default().trim();
            key.replace([' ', '.', '-'], "_") == name
        })
        .map(|(_, value)| form_decoded(value))
        .collect()
}

fn form_decoded(text: &str) -> String {
    percent_decoded(&text.replace('+', " "))
}
