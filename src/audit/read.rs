//! Reads lines back, for those who count or replay them. What a line says is borrowed from it.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What stands in a text that was cut, before the hash of the whole.
pub const CUT_MARK: &str = "... cut, sha256 ";

/// A line of the log, as far as a decision can be made from it again. An event has an `event` and nothing else of this.
#[derive(Debug, Deserialize)]
pub struct Record<'l> {
    /// Its number.
    pub seq: u64,
    /// When it came.
    #[serde(borrow)]
    pub timestamp: Cow<'l, str>,
    /// The event, of a line that is no request's.
    #[serde(borrow, default)]
    pub event: Option<Cow<'l, str>>,
    /// Who asked.
    #[serde(borrow, default)]
    pub user_id: Option<Cow<'l, str>>,
    /// The known roles, as they are written: a JSON list.
    #[serde(borrow, default)]
    pub roles: Option<&'l RawValue>,
    /// The method.
    #[serde(borrow, default)]
    pub method: Option<Cow<'l, str>>,
    /// The canonical path without its query.
    #[serde(borrow, default)]
    pub endpoint: Option<Cow<'l, str>>,
    /// The module that took it.
    #[serde(borrow, default)]
    pub module: Option<Cow<'l, str>>,
    /// The jurisdictions, as they are written: a JSON list.
    #[serde(borrow, default)]
    pub jurisdiction_scope: Option<&'l RawValue>,
    /// Where it came from.
    #[serde(borrow, default)]
    pub ip_address: Option<Cow<'l, str>>,
    /// What was decided.
    #[serde(borrow, default)]
    pub decision: Option<Cow<'l, str>>,
    /// Why not.
    #[serde(borrow, default)]
    pub error: Option<Cow<'l, str>>,
    /// The policy that it met.
    #[serde(borrow, default)]
    pub policy_version: Option<Cow<'l, str>>,
}

/// Reads one line; none if it is no record.
#[must_use]
pub fn record(line: &[u8]) -> Option<Record<'_>> {
    serde_json::from_slice(line).ok()
}
