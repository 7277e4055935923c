//! A JSON object in which no member is given twice, at any depth: a second reader might take the other one
//! (RFC 7515, 4; RFC 7519, 4).

use serde_json::{Map, Value};

use crate::call::json;

/// How deep a token's JSON may be nested.
pub(super) const MAX_DEPTH: usize = 32;

/// Reads an object; anything else, also anything after it, is none.
pub(super) fn parse(bytes: &[u8]) -> Option<Map<String, Value>> {
    match json::read(bytes, MAX_DEPTH)? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}
