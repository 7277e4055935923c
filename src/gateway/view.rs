//! What one caller sees of a resource, as HTTP caches and preconditions see it.
//!
//! A masked answer is another representation than the backend's: its `ETag` is one of this view, it cannot be had in
//! ranges, and nobody else may be given it from a cache.
//!
//! Which rows are in an answer may depend on the caller, on any part of the request and on the time. No tag of the
//! backend's says that, so that such an answer has no validator at all: it is never taken for one that was given before.

use http::header::{self, HeaderMap, HeaderValue};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::call::headers::remove_if;
use crate::masking::Mask;

/// Separates the view from the backend's own tag.
const BETWEEN: char = '.';

/// A caller's view of what a module answers.
#[derive(Debug)]
pub(super) struct View {
    /// What is cut out.
    pub mask: Mask,
    policy_version: Arc<str>,
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
    fn filters(&self) -> bool {
        self.mask.rows.is_some()
    }

    /// Starts the entity tags of this view: they change with the policy and with what it hides.
    fn prefix(&self) -> String {
        let mut prefix = String::from("v");
        prefix.extend(self.policy_version.chars().filter(char::is_ascii_alphanumeric).take(8));
        for action in self.mask.actions.iter() {
            prefix.push(if action.is_some() { 'x' } else { 'o' });
        }
        prefix.push(BETWEEN);
        prefix
    }

    /// Asks the backend for something that can be masked: uncompressed, whole, and with its own tags.
    pub(super) fn ask(&self, fields: &mut HeaderMap) {
        fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        fields.remove(header::RANGE);
        fields.remove(header::IF_RANGE);
        if self.filters() {
            fields.remove(header::IF_MODIFIED_SINCE);
        }
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            let Some(text) = fields.get(&name).and_then(|value| value.to_str().ok()) else {
                continue;
            };
            if let Ok(value) = HeaderValue::try_from(self.theirs(text)) {
                fields.insert(name, value);
            }
        }
    }

    /// Makes the head of an answer one of this view.
    pub(super) fn adjust(&self, fields: &mut HeaderMap) {
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
        if self.filters() {
            fields.remove(header::ETAG);
            fields.remove(header::LAST_MODIFIED);
        }
        let Some(tag) = fields.get(header::ETAG) else { return };
        let tag = tag
            .to_str()
            .ok()
            .and_then(|tag| HeaderValue::try_from(self.ours(tag)?).ok());
        match tag {
            Some(tag) => fields.insert(header::ETAG, tag),
            None => fields.remove(header::ETAG),
        };
    }

    /// `"abc"` becomes `"VIEW.abc"`.
    fn ours(&self, tag: &str) -> Option<String> {
        let (weak, opaque) = match tag.strip_prefix("W/") {
            Some(rest) => ("W/", rest),
            None => ("", tag),
        };
        let opaque = opaque.strip_prefix('"')?.strip_suffix('"')?;
        Some(format!("{weak}\"{}{opaque}\"", self.prefix()))
    }

    /// Tags of this view become the backend's own again. Any other is left to fail: it may be the backend's tag, but what
    /// this caller saw was not that. Where rows are dropped no tag was ever given, and none is taken.
    fn theirs(&self, list: &str) -> String {
        let prefix = self.prefix();
        let mut out = String::with_capacity(list.len());
        for (at, part) in list.split('"').enumerate() {
            if at > 0 {
                out.push('"');
            }
            match part.strip_prefix(prefix.as_str()) {
                // Every second part stands between quotes.
                Some(own) if at % 2 == 1 && !self.filters() => out.push_str(own),
                _ if at % 2 == 1 => {
                    let _ = write!(out, "{part}{BETWEEN}not-this-view");
                }
                _ => out.push_str(part),
            }
        }
        out
    }
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
    let covered = fields.get_all(header::VARY).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.to_ascii_lowercase().contains("authorization"))
    });
    if !covered {
        fields.append(header::VARY, HeaderValue::from_static("Authorization"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::{Action, Selectors};

    fn view(hidden: bool) -> View {
        let mask = Mask {
            selectors: Arc::new(Selectors::compile(&[]).unwrap()),
            actions: Arc::new([hidden.then_some(Action::Remove)]),
            rows: None,
            route: "".into(),
        };
        View::new(mask, &"0123456789abcdef".into())
    }

    #[test]
    fn a_tag_goes_out_as_one_of_the_view_and_comes_back_as_the_backends() {
        let ours = view(true);
        for tag in ["\"abc\"", "W/\"abc\"", "\"\"", "\"a.b\""] {
            let out = ours.ours(tag).unwrap();
            assert_ne!(out, tag);
            assert_eq!(ours.theirs(&out), tag);
            assert_ne!(view(false).theirs(&out), tag, "another view's tag is not taken");
            assert_ne!(
                ours.theirs(tag),
                tag,
                "the backend's own tag was never seen by this caller"
            );
        }
        assert_eq!(ours.theirs("*"), "*");
        let (a, b) = (ours.ours("\"a\"").unwrap(), ours.ours("\"b\"").unwrap());
        assert_eq!(ours.theirs(&format!("{a}, {b}")), "\"a\", \"b\"");
        assert_eq!(ours.ours("abc"), None);
    }

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
