//! Questions as they come over HTTP. What is misspelt is refused: it would be answered as if it were not there.

use http::{Method, StatusCode};
use serde::Deserialize;
use std::fmt::Write as _;

use super::{PATH, Told, told};
use crate::edge::store::{Filter, Kind};
use crate::ledger::{MAX_TRANSACTION_ID, RecordKey, is_transaction_id};

/// Largest body of a question, in bytes.
pub const MAX_BODY: usize = 16 << 10;

/// Longest reason, in bytes.
pub const MAX_REASON: usize = 500;

/// Longest name of an operator, in bytes.
pub const MAX_OPERATOR: usize = 100;

#[derive(Debug)]
pub(super) enum Question {
    List(Listing),
    Show(String),
    Settle(String, Word),
}

#[derive(Debug)]
pub(super) struct Listing {
    pub(super) filter: Filter,
    pub(super) after: Option<RecordKey>,
}

/// An operator's word, as it is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    #[serde(rename = "as")]
    outcome: Outcome,
    transaction_id: Option<String>,
    reason: Option<String>,
    /// Who says it, as the asking side tells.
    operator: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Done,
    Free,
}

impl Question {
    pub(super) fn read(method: &Method, target: &str, body: &[u8]) -> Result<Self, Told> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let rest = path.strip_prefix(PATH).unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        let (expected, question) = match parts.as_slice() {
            [] => (Method::GET, Listing::read(query).map(Self::List)),
            [name] if !name.is_empty() => (Method::GET, decode(name).map(Self::Show)),
            [name, "settle"] if !name.is_empty() => {
                let read = || Ok(Self::Settle(decode(name)?, Word::read(body)?));
                // Nothing is read of a body that should not be there.
                (
                    Method::POST,
                    if method == Method::POST { read() } else { Err(wrong("")) },
                )
            }
            _ => {
                let detail = format!("there are `{PATH}`, `{PATH}/KEY` and `{PATH}/KEY/settle`");
                return Err(Told::refused(StatusCode::NOT_FOUND, "no_such_question", &detail));
            }
        };
        if *method != expected {
            let detail = format!("ask with {expected}");
            return Err(Told::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                &detail,
            ));
        }
        question
    }
}

impl Listing {
    fn read(query: Option<&str>) -> Result<Self, Told> {
        let mut listing = Self {
            filter: Filter::Unsettled,
            after: None,
        };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("state", state)) => listing.filter = Filter::Of(kind(state)?),
                Some(("after", name)) => {
                    let name = name.parse().map_err(|fault| wrong(format!("`after`: {fault}")))?;
                    listing.after = Some(name);
                }
                _ => return Err(wrong("there are `state` and `after`")),
            }
        }
        Ok(listing)
    }
}

fn kind(state: &str) -> Result<Kind, Told> {
    [Kind::Unknown, Kind::InProgress, Kind::Done]
        .into_iter()
        .find(|kind| told::word(*kind) == state)
        .ok_or_else(|| wrong("`state` is `unknown`, `in_progress` or `done`"))
}

impl Word {
    fn read(body: &[u8]) -> Result<Self, Told> {
        let word: Self = serde_json::from_slice(body).map_err(|fault| wrong(fault.to_string()))?;
        if word.transaction_id.is_some() && !word.is_done() {
            return Err(wrong("`transaction_id` goes with `as`: `done` only"));
        }
        if word.transaction_id.as_deref().is_some_and(|id| !is_transaction_id(id)) {
            return Err(wrong(format!(
                "`transaction_id` is 1-{MAX_TRANSACTION_ID} visible ASCII characters"
            )));
        }
        for (name, text, most) in [
            ("reason", &word.reason, MAX_REASON),
            ("operator", &word.operator, MAX_OPERATOR),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > most) {
                return Err(wrong(format!("`{name}` is longer than {most} bytes")));
            }
        }
        Ok(word)
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcome == Outcome::Done
    }

    pub(super) fn name(&self) -> &'static str {
        if self.is_done() { "done" } else { "free" }
    }

    pub(super) fn transaction_id(&self) -> Option<Box<str>> {
        self.transaction_id.as_deref().map(Box::from)
    }

    /// What else was said, for the audit log.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("transaction_id", &self.transaction_id),
            ("operator", &self.operator),
            ("reason", &self.reason),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

fn wrong(detail: impl AsRef<str>) -> Told {
    Told::refused(StatusCode::BAD_REQUEST, "bad_question", detail.as_ref())
}

/// A key as a part of a path. Its characters are ASCII, and any of them may be there.
#[must_use]
pub fn encode(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A part of a path as the key that it stands for.
fn decode(part: &str) -> Result<String, Told> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let decoded = digit()
            .zip(digit())
            .and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        out.push(decoded.ok_or_else(|| wrong("a malformed `%` in the key"))?);
    }
    String::from_utf8(out)
        .ok()
        .filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| wrong("a key is visible ASCII characters"))
}
