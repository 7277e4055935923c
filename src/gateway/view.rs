//! What one caller sees of a resource, as HTTP caches and preconditions see it.
//!
//! A masked answer is another representation than the backend's: its `ETag` is one of this view, it cannot be had in
//! ranges, and nobody else may be given it from a cache.
//!
//! Which rows are in an answer may depend on the caller, on any part of the request and on the time. No tag of the
//! backend's says that, so that such an answer has no validator at all: it is never taken for one that was given before.

use http::header::{self, HeaderMap, HeaderValue};
use std::sync::Arc;

use crate::call::headers::remove_if;
use crate::masking::{Action, Mask};

/// How much of the policy's version stands in a mark.
const MARK_DIGITS: usize = 8;

/// A caller's view of what a module answers.
#[derive(Debug)]
pub(super) struct View {
    /// What is cut out.
    pub mask: Mask,
    policy_version: Arc<str>,
}

/// What all tags of one view begin with, written when there is a tag to write: it changes with the policy and with what
/// the view hides.
#[derive(Debug)]
pub(super) struct Mark {
    policy_version: Arc<str>,
    actions: Arc<[Option<Action>]>,
}

impl Mark {
    #[cfg(test)]
    pub(super) fn of<const N: usize>(policy_version: &str, actions: [Option<Action>; N]) -> Self {
        Self {
            policy_version: policy_version.into(),
            actions: actions.into(),
        }
    }

    /// Writes `v`, some of the policy's version, and what is hidden.
    pub(super) fn write(&self, prefix: &mut String) {
        prefix.push('v');
        prefix.extend(
            self.policy_version
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(MARK_DIGITS),
        );
        prefix.extend(
            self.actions
                .iter()
                .map(|action| if action.is_some() { 'x' } else { 'o' }),
        );
    }
}

impl View {
    /// The view that `mask` makes under a policy.
    pub(super) fn new(mask: Mask, policy_version: &Arc<str>) -> Self {
        Self {
            mask,
            policy_version: Arc::clone(policy_version),
        }
    }

    /// Whether rows are dropped.
    pub(super) fn filters(&self) -> bool {
        self.mask.rows.is_some()
    }

    /// Tells the entity tags of this view from others.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            policy_version: Arc::clone(&self.policy_version),
            actions: Arc::clone(&self.mask.actions),
        }
    }

    /// Asks the backend for something that can be masked: uncompressed, whole, and with its own tags.
    pub(super) fn ask(&self, fields: &mut HeaderMap) {
        fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        fields.remove(header::RANGE);
        fields.remove(header::IF_RANGE);
        if self.filters() {
            fields.remove(header::IF_MODIFIED_SINCE);
        }
    }

    /// Makes the head of an answer one of this view. Its tag is [`Tags`](super::tag::Tags)' to write.
    pub(super) fn adjust(&self, fields: &mut HeaderMap) {
        forget_bytes(fields);
        if self.filters() {
            fields.remove(header::ETAG);
            fields.remove(header::LAST_MODIFIED);
        }
    }
}

/// Whether a text is the mark of some view, of this policy or of another. Tags of views always have one class or more: where
/// rows are dropped there is no tag.
pub(super) fn is_mark(text: &str) -> bool {
    let parts = text
        .strip_prefix('v')
        .and_then(|rest| rest.split_at_checked(MARK_DIGITS));
    parts.is_some_and(|(version, actions)| {
        let is_version = version.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_version && !actions.is_empty() && actions.bytes().all(|byte| matches!(byte, b'x' | b'o'))
    })
}

/// What is said of the bytes of a body is not true of others.
pub(super) fn forget_bytes(fields: &mut HeaderMap) {
    remove_if(fields, |name| {
        matches!(
            name.as_str(),
            "content-length"
                | "accept-ranges"
                | "content-range"
                | "content-md5"
                | "digest"
                | "content-digest"
                | "repr-digest"
        )
    });
}

/// Keeps what was made for one caller from everybody else (RFC 9111, 3.5 and 4.1).
pub(super) fn for_this_caller_only(fields: &mut HeaderMap) {
    let no_store = fields.get_all(header::CACHE_CONTROL).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.to_ascii_lowercase().contains("no-store"))
    });
    fields.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(if no_store { "private, no-store" } else { "private" }),
    );
    vary(fields, "Authorization");
}

/// Says that the answer depends on a header of the request, unless it says so already (RFC 9110, 12.5.5).
pub(super) fn vary(fields: &mut HeaderMap, name: &'static str) {
    let covered = fields.get_all(header::VARY).iter().any(|value| {
        let names = value.as_bytes().split(|&byte| byte == b',');
        names
            .map(<[u8]>::trim_ascii)
            .any(|own| own.eq_ignore_ascii_case(name.as_bytes()))
    });
    if !covered {
        fields.append(header::VARY, HeaderValue::from_static(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_private() {
        for (before, after) in [
            ("public, max-age=60", "private"),
            ("no-store", "private, no-store"),
            ("", "private"),
        ] {
            let mut fields = HeaderMap::new();
            if !before.is_empty() {
                fields.insert(header::CACHE_CONTROL, before.parse().unwrap());
            }
            for_this_caller_only(&mut fields);
            assert_eq!(fields[header::CACHE_CONTROL], after);
            assert_eq!(fields[header::VARY], "Authorization");
        }
    }
}
